//! SQLite: one file, opened by each split and each load for itself.

mod crawl;
mod cursor;
mod describe;
mod encode;
#[cfg(test)]
mod epoch_tests;
mod load;
mod position;
mod raw;
mod read;
mod staging;
mod target;
#[cfg(test)]
mod tests;
mod types;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use selvedge_connect::database::{Described, Driver, Load, Relation, Select};
use selvedge_node::{Error, Problem, Problems, Reader, Result, Task};
use selvedge_schemas::{Extent, FoundColumn};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A database file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    /// How long to wait for others who write.
    busy: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Relative to the file of connections.
    path: String,
    /// How long to wait for others who write; 30 unless told.
    busy_seconds: Option<u64>,
}

impl Sqlite {
    pub fn new(connection: &selvedge_node::Connection) -> std::result::Result<Sqlite, Problem> {
        let config: Config = connection.config()?;
        let busy = Duration::from_secs(config.busy_seconds.unwrap_or(30).min(24 * 3600));
        Ok(Sqlite { path: connection.base.join(config.path), busy })
    }

    /// For reading only: nothing is created, nothing can be changed. What a killed writer has left half done is taken back first,
    /// which a reader may not do.
    fn reader(&self) -> Result<Connection> {
        let failed = |e: rusqlite::Error| self.error("opening", &e);
        let connection = open(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(self.busy).map_err(failed)?;
        if look(&connection).is_err_and(|e| e.sqlite_error().is_some_and(|e| e.extended_code == READONLY_ROLLBACK)) {
            let writer = open(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            writer.busy_timeout(self.busy).and_then(|()| look(&writer)).map_err(failed)?;
        }
        Ok(connection)
    }

    fn error(&self, doing: &str, e: &rusqlite::Error) -> Error {
        error(doing, &self.path, e)
    }
}

/// SQLITE_READONLY_ROLLBACK: a journal waits to be rolled back.
const READONLY_ROLLBACK: i32 = 776;

/// Reads the first page.
fn look(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA schema_version", [], |_| Ok(()))
}

/// A connection is used by one thread at a time, so SQLite need not lock for itself.
fn open(path: &Path, how: OpenFlags) -> Result<Connection> {
    Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(|e| error("opening", path, &e))
}

/// What SQLite says, and the way out.
fn error(doing: &str, path: &Path, e: &rusqlite::Error) -> Error {
    let told = Error::world(format!("{doing} {}: {}", path.display(), reason(e)));
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => told
            .help("another program is writing to it; wait for it, or set busy_seconds in the connection")
            .retryable(),
        Some(ErrorCode::DiskFull) => told.help("free some disk space"),
        Some(ErrorCode::CannotOpen) => told.help("check the path of the connection, and that its folder exists"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            told.help("check who may write to the file and its folder")
        }
        Some(ErrorCode::NotADatabase) => told.help("the file is something else than a SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => told.help("check it with `pragma integrity_check`"),
        _ => told,
    }
}

/// The message alone.
fn reason(e: &rusqlite::Error) -> String {
    match e {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// A name in SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names in SQL, with commas.
fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|n| quoted(n.as_ref())).collect::<Vec<_>>().join(", ")
}

impl Driver for Sqlite {
    fn place(&self) -> String {
        self.path.display().to_string()
    }
    fn reach(&self) -> Result<()> {
        match self.path.exists() {
            true => Ok(()),
            false => Err(Error::world(format!("there is no database at {}", self.path.display()))
                .help("check the path of the connection, or choose another --profile")),
        }
    }
    fn tables(&self) -> Result<Vec<String>> {
        describe::tables(self)
    }
    fn describe(&self, relation: &Relation, typed: &dyn Fn(&str) -> bool) -> Result<Vec<Described>> {
        describe::columns(self, relation, typed)
    }
    fn crawl(&self, table: &str, extent: Extent) -> Result<Vec<FoundColumn>> {
        crawl::columns(self, table, extent)
    }
    fn bounds(&self, select: &Select, column: &str) -> Result<Option<(i64, i64)>> {
        describe::bounds(self, select, column)
    }
    fn version(&self) -> Result<String> {
        let log = PathBuf::from(format!("{}-wal", self.path.display()));
        let stamp = |path: &Path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.len(), found.modified().ok()?))
        };
        Ok(format!("{} {:?} {:?}", self.path.display(), stamp(&self.path), stamp(&log)))
    }
    fn read(&self, select: &Select, task: &Task) -> Result<Box<dyn Reader>> {
        Ok(Box::new(read::TableReader::open(self, select, task)?))
    }
    fn check(&self, load: &Load) -> Result<Problems> {
        target::check(self, load)
    }
    fn compares_rows(&self, load: &Load) -> Result<bool> {
        target::compares_rows(self, load)
    }
    fn sink(&self, load: Load) -> Arc<dyn selvedge_node::Sink> {
        Arc::new(load::Loader { database: self.clone(), load })
    }
}
