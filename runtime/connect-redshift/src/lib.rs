//! Redshift behind `Warehouse`.
//!
//! ```text
//! batches ─stage─► Parquet parts in S3, as uploads that nobody completed
//!                     │ commit
//!                     ▼
//! parts, manifest ─load─► one transaction: COPY into a temporary table ─► counted ─► target, and the note of the run
//! ```

mod config;
mod load;
mod stage;
mod target;
#[cfg(test)]
mod tests;
mod types;

use selvedge_connect::database::{Described, Driver, Load, Relation, Select};
use selvedge_connect::store::Store;
use selvedge_connect_postgres::Postgres;
use selvedge_node::{Connection, Error, Problem, Problems, Reader, Result, Task};
use selvedge_schemas::{Extent, FoundColumn};
use std::sync::Arc;

/// The kind of connection.
pub const KIND: &str = "Redshift";

/// A cluster or workgroup, and the bucket that rows get there by.
#[derive(Clone)]
pub struct Redshift {
    /// It speaks PostgreSQL's protocol.
    database: Postgres,
    staging: Arc<dyn Store>,
    /// What COPY says to be let into the bucket. Secret.
    authorization: Arc<str>,
}

/// The database that a connection means; `None`: it is of another kind.
pub fn connect(connection: &Connection) -> Option<std::result::Result<Arc<dyn Driver>, Problem>> {
    (connection.kind == KIND).then(|| Ok(Arc::new(Redshift::new(connection)?) as Arc<dyn Driver>))
}

fn no_source<T>() -> Result<T> {
    Err(Error::graph("tables of Redshift are not read over its connection, row by row")
        .help("UNLOAD them to S3 as Parquet, and read those with Files(connection: …, format: Parquet())"))
}

impl Driver for Redshift {
    fn place(&self) -> String {
        self.database.place.clone()
    }
    fn reach(&self) -> Result<()> {
        self.database.with(async |_| Ok(()))?;
        // A listing of nothing: whether there is such a bucket, and we are let in.
        self.staging.list("_selvedge-doctor").map(|_| ())
    }
    fn tables(&self) -> Result<Vec<String>> {
        target::tables(self)
    }
    fn describe(&self, _: &Relation, _: &dyn Fn(&str) -> bool) -> Result<Vec<Described>> {
        no_source()
    }
    fn crawl(&self, _: &str, _: Extent) -> Result<Vec<FoundColumn>> {
        no_source()
    }
    fn bounds(&self, _: &Select, _: &str) -> Result<Option<(i64, i64)>> {
        no_source()
    }
    fn version(&self) -> Result<String> {
        no_source()
    }
    fn read(&self, _: &Select, _: &Task) -> Result<Box<dyn Reader>> {
        no_source()
    }
    fn check(&self, load: &Load) -> Result<Problems> {
        target::check(self, load)
    }
    fn compares_rows(&self, _: &Load) -> Result<bool> {
        Ok(false)
    }
    fn sink(&self, load: Load) -> Arc<dyn selvedge_node::Sink> {
        Arc::new(load::Loader { redshift: self.clone(), load })
    }
}
