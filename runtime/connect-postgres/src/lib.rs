//! PostgreSQL behind `Table` and `Warehouse`.
//!
//! ```text
//! connection   where the server is, TLS, and what its refusals mean
//! describe     tables, columns, ranges of keys
//! types        PostgreSQL's types and Arrow's, both ways
//! read         SELECT → COPY (binary) → decode ──columns──► batches
//! load         batches ──copy──► stage, a table of its own ──one transaction──► target
//! ```

mod column;
mod connection;
mod copy;
mod decode;
mod describe;
mod load;
#[cfg(test)]
mod load_tests;
mod read;
#[cfg(test)]
mod source_tests;
mod stage;
mod target;
mod types;

pub use connection::{Access, Port, Postgres, Session, Tls};
use selvedge_connect::database::{Described, Driver, Load, Relation, Select};
use selvedge_node::{Connection, Problem, Problems, Reader, Result, Task};
use selvedge_schemas::{Extent, FoundColumn};
use std::sync::Arc;

/// The kind of connection.
pub const KIND: &str = "Postgres";

/// The database that a connection means; `None`: it is of another kind.
pub fn connect(connection: &Connection) -> Option<std::result::Result<Arc<dyn Driver>, Problem>> {
    (connection.kind == KIND).then(|| Ok(Arc::new(Postgres::new(connection)?) as Arc<dyn Driver>))
}

/// A name in SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names in SQL, with commas.
pub fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|n| quoted(n.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A text in SQL. Backslashes mean themselves: `standard_conforming_strings` is on since 9.1.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Driver for Postgres {
    fn place(&self) -> String {
        self.place.clone()
    }
    fn reach(&self) -> Result<()> {
        self.with(async |_| Ok(()))
    }
    fn tables(&self) -> Result<Vec<String>> {
        describe::tables(self)
    }
    fn describe(&self, relation: &Relation, _: &dyn Fn(&str) -> bool) -> Result<Vec<Described>> {
        describe::columns(self, relation)
    }
    fn crawl(&self, table: &str, _: Extent) -> Result<Vec<FoundColumn>> {
        describe::crawl(self, table)
    }
    fn bounds(&self, select: &Select, column: &str) -> Result<Option<(i64, i64)>> {
        describe::bounds(self, select, column)
    }
    fn version(&self) -> Result<String> {
        describe::version(self)
    }
    fn read(&self, select: &Select, task: &Task) -> Result<Box<dyn Reader>> {
        Ok(Box::new(read::TableReader::open(self, select, task)?))
    }
    fn check(&self, load: &Load) -> Result<Problems> {
        target::check(self, load)
    }
    fn compares_rows(&self, _: &Load) -> Result<bool> {
        Ok(false)
    }
    fn sink(&self, load: Load) -> Arc<dyn selvedge_node::Sink> {
        Arc::new(load::Loader { database: self.clone(), load })
    }
}
