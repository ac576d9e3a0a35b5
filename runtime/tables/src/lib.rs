//! Tables of databases: the `Table` source and the `Warehouse` sink.
//!
//! ```text
//! Table, Warehouse      the two nodes: config, checks, docs
//!        │  driver      what they ask of a database, and which one a connection means
//!        ▼
//!     sqlite            the embedded one
//! ```

mod driver;
mod sqlite;
mod table;
mod warehouse;

use selvedge_node::{ErasedKind, erase};
pub use table::{crawl, objects};

use table::Table;
use warehouse::Warehouse;

/// The kinds of this crate.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<Table>(), erase::<Warehouse>()]
}
