//! Nodes that speak SQL, on DataFusion: expressions row by row, whole queries over several inputs, external sort.

mod aggregate;
mod apart;
mod assert;
mod bounds;
mod by_key;
mod depth;
mod derive;
mod expr;
mod fast;
mod feed;
mod filter;
mod grouping;
mod joins;
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
mod sql;
mod statement;
mod window;

pub use aggregate::{CompiledAggregate, compile_aggregate};
pub use expr::{Compiled, Values, compile, compile_conjuncts, compile_predicate, plain};

use selvedge_node::{ErasedKind, erase};

/// Every kind of this crate.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![
        erase::<grouping::Aggregate>(),
        erase::<assert::Assert>(),
        erase::<derive::Derive>(),
        erase::<filter::Filter>(),
        erase::<route::Route>(),
        erase::<sort::Sort>(),
        erase::<sql::Sql>(),
        erase::<window::Window>(),
    ]
}
