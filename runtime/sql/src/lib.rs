//! Nodes that speak SQL, on DataFusion: expressions row by row, whole queries over several inputs, external sort.

mod aggregate;
mod derive;
mod expr;
mod feed;
mod filter;
mod named;
mod parse;
mod place;
mod pool;
mod problem;
mod query;
mod reject;
mod route;
mod session;
mod sort;

pub use aggregate::{CompiledAggregate, compile_aggregate};
pub use expr::{Compiled, Values, compile, compile_conjuncts, compile_predicate, plain};

use selvedge_node::{ErasedKind, erase};

/// Every kind of this crate.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<derive::Derive>(), erase::<filter::Filter>(), erase::<route::Route>(), erase::<sort::Sort>()]
}
