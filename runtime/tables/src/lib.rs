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
use selvedge_node::{Connection, ErasedKind, Problem, Site, Spanned, erase};
use sqlite::Sqlite;
use std::sync::Arc;
pub use table::{crawl, objects};

use table::Table;
use warehouse::Warehouse;

/// The kinds of this crate.
pub fn kinds<C: Connectors>() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<Table<C>>(), erase::<Warehouse<C>>()]
}

/// Asks the database of a connection, for a person who wants to know whether it answers. `None`: it is no database.
pub fn probe<C: Connectors>(connection: &Connection, reads: bool) -> Option<selvedge_node::Result<String>> {
    let driver = database::<C>(connection)?;
    let told = |p: Problem| {
        let e = selvedge_node::Error::graph(p.message);
        if let Some(help) = p.help { e.help(help) } else { e }
    };
    Some(driver.map_err(told).and_then(|driver| {
        match driver.reach() {
            // A load makes the file.
            Err(_) if connection.kind == "Sqlite" && !reads => {
                return Ok(format!("the first load makes {}", driver.place()));
            }
            reached => reached?,
        }
        Ok(format!("{} tables in {}", driver.tables()?.len(), driver.place()))
    }))
}

/// The database that a node's connection means.
fn connect<C: Connectors>(site: &Site, name: &Spanned<String>) -> Result<Arc<dyn Driver>, Problem> {
    let connection = site.connection(name)?;
    database::<C>(&connection).unwrap_or_else(|| {
        let text = format!("tables need a database, but `{name}` is {}", connection.kind);
        Err(Problem::error(name.span, text).help("Sqlite(path: \"retail.db\") in connections.ron"))
    })
}

fn database<C: Connectors>(connection: &Connection) -> Option<Result<Arc<dyn Driver>, Problem>> {
    if connection.kind == "Sqlite" {
        return Some(Sqlite::new(connection).map(|sqlite| Arc::new(sqlite) as Arc<dyn Driver>));
    }
    C::database(connection)
}
