//! Tables of databases: the `Table` source and the `Warehouse` sink.
//!
//! ```text
//! Table, Warehouse      the two nodes: config, checks, docs
//!        │              what they ask of a database is `selvedge_connect::database`
//!        ▼
//!     sqlite            the embedded one; others are connectors
//! ```

mod sqlite;
mod table;
mod warehouse;

use selvedge_connect::Connectors;
use selvedge_connect::database::Driver;
use selvedge_node::{ErasedKind, Problem, Site, Spanned, erase};
use sqlite::Sqlite;
use std::sync::Arc;
pub use table::{crawl, objects};

use table::Table;
use warehouse::Warehouse;

/// The kinds of this crate.
pub fn kinds<C: Connectors>() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<Table<C>>(), erase::<Warehouse<C>>()]
}

/// The database that a connection means.
fn connect<C: Connectors>(site: &Site, name: &Spanned<String>) -> Result<Arc<dyn Driver>, Problem> {
    let connection = site.connection(name)?;
    if connection.kind == "Sqlite" {
        return Ok(Arc::new(Sqlite::new(&connection)?));
    }
    C::database(&connection).unwrap_or_else(|| {
        let text = format!("tables need a database, but `{name}` is {}", connection.kind);
        Err(Problem::error(name.span, text).help("Sqlite(path: \"retail.db\") in connections.ron"))
    })
}
