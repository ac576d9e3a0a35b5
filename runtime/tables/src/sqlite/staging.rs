//! Rows on their way to a warehouse: a database file beside the target, which only its load knows.
//!
//! ```text
//! warehouse.db
//! warehouse.db.selvedge-RUN-NODE-0.staging   being written: no journal, no sync, removed when its writer is dropped or dead
//! warehouse.db.selvedge-RUN-NODE-0.flushed   synced: waits for its commit
//! ```
//!
//! A file of its own leaves the target unlocked while rows come, and spares it the pages that staging would leave behind. Its
//! table is a copy of the target's definition, so that SQLite itself refuses, row by row, what the target would refuse. What
//! depends on rows that are already there is asked once, before the flush.

use super::cursor::{Cell, Cursor};
use super::encode::Stored;
use super::target::{Existing, Fit};
use super::{Sqlite, error, list, open, quoted, raw};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use selvedge_connect::database::{Change, Load};
use selvedge_node::{Error, Out, Pending, Rejection, Reservation, Result, Task, Writer};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Counts the rows that an upsert has merged into one.
pub const SEEN: &str = "_selvedge_seen";
/// SQLite's page cache of a load, in KiB: with an index to keep, and without.
const CACHE: (u64, u64) = (64 << 10, 8 << 10);
/// … and at least this, what SQLite takes by itself.
const LEAST_CACHE: u64 = 2 << 10;

/// What a flush hands over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Flushed {
    /// The name of the file beside the target.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
}

pub struct StagingWriter {
    database: Sqlite,
    load: Load,
    fit: Fit,
    task: Task,
    memory: Reservation,
    current: Option<Staging>,
    count: usize,
}

/// One staging file being written.
struct Staging {
    path: PathBuf,
    insert: Cursor,
    /// Rows taken.
    rows: u64,
    /// Tells the sweep of other runs that this one lives.
    _lock: Option<File>,
}

impl StagingWriter {
    pub fn open(database: &Sqlite, load: &Load, fit: Fit, task: &Task) -> Result<StagingWriter> {
        // A first run in a clean place has neither the file nor its folder.
        if load.create
            && let Some(folder) = database.path.parent()
        {
            fs::create_dir_all(folder).map_err(|e| Error::io("making", folder.display(), &e))?;
        }
        sweep(&database.path);
        let mut writer = StagingWriter {
            database: database.clone(),
            load: load.clone(),
            fit,
            task: task.clone(),
            memory: task.memory.reserve(),
            current: None,
            count: 0,
        };
        writer.begin()?;
        Ok(writer)
    }

    /// Starts the next staging file.
    fn begin(&mut self) -> Result<()> {
        let (path, lock) = loop {
            let name = format!(
                "{}.selvedge-{}-{}-{}",
                file_name(&self.database.path),
                self.task.run,
                self.load.node,
                self.count
            );
            let name: String =
                name.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect();
            let path = self.database.path.with_file_name(format!("{name}.staging"));
            self.count += 1;
            if path.with_extension("flushed").exists() {
                continue;
            }
            match File::create_new(&path) {
                Ok(file) => {
                    let lock = file.lock_shared().is_ok().then_some(file);
                    // Before it was locked, the sweep of another writer may have taken it for a dead one's.
                    if path.exists() {
                        break (path, lock);
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("making", path.display(), &e)),
            }
        };
        let made = self.make(&path);
        if made.is_err() {
            _ = fs::remove_file(&path);
        }
        self.current = Some(Staging { path, insert: made?, rows: 0, _lock: lock });
        Ok(())
    }

    /// The table, and the statement that fills it.
    fn make(&mut self, path: &Path) -> Result<Cursor> {
        let failed = |e: &rusqlite::Error| error("preparing", path, e);
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let table = quoted(&self.load.table);
        let upsert = matches!(self.load.change, Change::Upsert(_));
        let cache = if upsert { CACHE.0 } else { CACHE.1 };
        // Several loads of one graph leave room for the state of others.
        let cache = cache.min((self.task.memory.limit() / 8) >> 10).max(LEAST_CACHE);
        self.memory.resize(cache << 10);
        let body = match &self.fit.existing {
            Some(existing) => existing.body.clone(),
            None => definition(&self.fit),
        };
        let mut sql = format!(
            "PRAGMA main.journal_mode = MEMORY; PRAGMA main.synchronous = OFF; PRAGMA main.locking_mode = EXCLUSIVE; \
             PRAGMA main.cache_size = -{cache}; PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE {table} {body};"
        );
        for column in self.fit.columns.iter().filter(|c| c.added) {
            sql.push_str(&format!("ALTER TABLE {table} ADD COLUMN {};", column.declaration()));
        }
        for (i, unique) in self.fit.existing.iter().flat_map(|e| &e.unique).enumerate() {
            sql.push_str(&format!("CREATE UNIQUE INDEX \"_selvedge_unique_{i}\" ON {table} ({});", list(unique)));
        }
        let names = self.fit.names();
        let marks = vec!["?"; names.len()].join(", ");
        let mut insert = format!("INSERT INTO {table} ({}) VALUES ({marks})", list(&names));
        if upsert {
            let keys = self.fit.key_names();
            sql.push_str(&format!("ALTER TABLE {table} ADD COLUMN {SEEN} INTEGER NOT NULL DEFAULT 1;"));
            if !self.fit.keys_are_unique() {
                sql.push_str(&format!("CREATE UNIQUE INDEX _selvedge_keys ON {table} ({});", list(&keys)));
            }
            let set = names.iter().filter(|n| !keys.contains(n)).map(|n| format!("{0} = excluded.{0}, ", quoted(n)));
            let set = format!("{}{SEEN} = {SEEN} + 1", set.collect::<String>());
            insert.push_str(&format!(" ON CONFLICT ({}) DO UPDATE SET {set}", list(&keys)));
        }
        connection.execute_batch(&sql).map_err(|e| failed(&e))?;
        Cursor::new(connection, &insert).map_err(|e| failed(&e))
    }
}

/// A row that cannot be staged, and why.
struct Refusal {
    row: usize,
    code: &'static str,
    message: String,
}

impl StagingWriter {
    /// SQLite stores NaN as null.
    fn tell_nan(&self, batch: &RecordBatch, out: &mut dyn Out) {
        for (given, column) in batch.columns().iter().zip(&self.fit.columns) {
            let nan = match given.data_type() {
                DataType::Float64 => BooleanArray::from_unary(given.as_primitive::<Float64Type>(), f64::is_nan),
                DataType::Float32 => BooleanArray::from_unary(given.as_primitive::<Float32Type>(), f32::is_nan),
                _ => continue,
            };
            out.altered_where(&format!("NaN became null: {}", column.name), batch, &nan);
        }
    }

    /// Rows that SQLite must not see at all: a value without a stored form, a null in a key. One refusal a row.
    fn unstorable(&self, batch: &RecordBatch, columns: &[Stored]) -> Vec<Refusal> {
        let mut refused = vec![];
        for (i, ((stored, given), column)) in columns.iter().zip(batch.columns()).zip(&self.fit.columns).enumerate() {
            let nulls = given.logical_nulls();
            let was_null = |row| nulls.as_ref().is_some_and(|n| n.is_null(row));
            let count = nulls.as_ref().map_or(0, |n| n.null_count());
            let rows = 0..batch.num_rows();
            if stored.null_count() > count {
                let message =
                    format!("the value of column `{}` has no form in SQLite: years go from 0 to 9999", column.name);
                let lost = rows.clone().filter(|&row| stored.is_null(row) && !was_null(row));
                refused.extend(lost.map(|row| Refusal { row, code: "warehouse.range", message: message.clone() }));
            }
            if count > 0 && self.fit.keys.contains(&i) {
                let message = format!("null in the key column `{}`", column.name);
                let lost = rows.filter(|&row| was_null(row));
                refused.extend(lost.map(|row| Refusal { row, code: "warehouse.key", message: message.clone() }));
            }
        }
        refused.sort_by_key(|r| r.row);
        refused.dedup_by_key(|r| r.row);
        refused
    }
}

/// The columns of a table that the load will make.
pub fn definition(fit: &Fit) -> String {
    format!("({})", fit.columns.iter().map(|c| c.declaration()).collect::<Vec<_>>().join(", "))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "warehouse".into(), |n| n.to_string_lossy().into_owned())
}

impl Writer for StagingWriter {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        if self.current.is_none() {
            self.begin()?;
        }
        let at_once = !self.fit.asks_at_flush(&self.load.change);
        let columns = self.fit.columns.iter().zip(batch.columns());
        let columns = columns.map(|(c, a)| Stored::of(a, &c.ty)).collect::<Result<Vec<_>>>()?;

        self.tell_nan(&batch, out);
        let mut refused = self.unstorable(&batch, &columns);
        let mut skip = vec![false; if refused.is_empty() { 0 } else { batch.num_rows() }];
        for refusal in &refused {
            if let Some(skip) = skip.get_mut(refusal.row) {
                *skip = true;
            }
        }
        let Some(staging) = &mut self.current else { return Err(Error::bug("the staging file just opened is gone")) };
        let mut rows = 0;
        for row in 0..batch.num_rows() {
            if skip.get(row) == Some(&true) {
                continue;
            }
            match staging.insert.run(columns.iter().map(|c| c.cell(row))) {
                Ok(()) => rows += 1,
                Err(e)
                    if matches!(
                        e.sqlite_error_code(),
                        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)
                    ) =>
                {
                    refused.push(Refusal { row, code: "warehouse.constraint", message: super::reason(&e) });
                }
                Err(e) => return Err(error("writing", &staging.path, &e)),
            }
        }
        staging.rows += rows;
        for Refusal { row, code, message } in refused {
            out.reject_rows(code, &batch, &[row], &|_| message.clone())?;
        }
        if at_once {
            out.absorb("written", rows);
        }
        Ok(())
    }

    fn flush(&mut self, _: u64, out: &mut dyn Out) -> Result<Pending> {
        if self.current.is_none() {
            self.begin()?;
        }
        let late = self.fit.asks_at_flush(&self.load.change);
        let Some(staging) = self.current.take() else { return Err(Error::bug("the staging file just opened is gone")) };
        let Flushing { path, connection, mut rows, lock } = staging.into_parts();
        let flushed = self.settle(&path, connection, &mut rows, late, out);
        if flushed.is_err() {
            _ = fs::remove_file(&path);
        }
        drop(lock);
        self.memory.resize(0);
        flushed
    }
}

/// A staging file that takes no more rows.
struct Flushing {
    path: PathBuf,
    connection: Connection,
    rows: u64,
    lock: Option<File>,
}

impl Staging {
    fn into_parts(self) -> Flushing {
        Flushing { path: self.path, connection: self.insert.into_connection(), rows: self.rows, lock: self._lock }
    }
}

impl StagingWriter {
    /// Asks the target about the rows, counts them, and makes the file safe.
    fn settle(
        &self,
        path: &Path,
        connection: Connection,
        rows: &mut u64,
        late: bool,
        out: &mut dyn Out,
    ) -> Result<Pending> {
        let failed = |e: rusqlite::Error| error("flushing", path, &e);
        if let (true, Some(existing)) = (late, &self.fit.existing) {
            connection.execute_batch("COMMIT").map_err(failed)?;
            *rows -= self.refuse_conflicts(&connection, existing, path, out)?;
            connection.execute_batch("BEGIN").map_err(failed)?;
            out.absorb("written", *rows);
        }
        let upsert = matches!(self.load.change, Change::Upsert(_));
        let table = quoted(&self.load.table);
        let sum = if upsert { format!("coalesce(sum({SEEN}), 0)") } else { "count(*)".to_string() };
        let sql = format!("SELECT count(*), {sum} FROM {table}");
        let (staged, taken): (u64, u64) =
            connection.query_row(&sql, [], |r| Ok((r.get(0)?, r.get(1)?))).map_err(failed)?;
        if taken != *rows {
            return Err(Error::bug(format!("{rows} rows were written, but the staging table holds {taken}")));
        }
        connection.execute_batch("COMMIT").map_err(failed)?;
        connection.close().map_err(|(_, e)| failed(e))?;
        let ready = path.with_extension("flushed");
        let synced = File::open(path).and_then(|f| f.sync_all()).and_then(|()| fs::rename(path, &ready));
        synced.and_then(|()| sync_folder(&ready)).map_err(|e| Error::io("flushing", path.display(), &e))?;
        let flushed = Flushed { file: file_name(&ready), rows: staged };
        serde_json::to_string(&flushed).map_err(|e| Error::bug(format!("listing what was flushed: {e}")))
    }

    /// Rejects the rows that the target would refuse for rows that it or its neighbours hold now; tells how many (rows of
    /// the input, so each one merged by an upsert counts).
    fn refuse_conflicts(
        &self,
        connection: &Connection,
        existing: &Existing,
        path: &Path,
        out: &mut dyn Out,
    ) -> Result<u64> {
        let failed = |e: rusqlite::Error| error("comparing with", &self.database.path, &e);
        // An upsert has merged rows: the law counts each of them.
        let weight = if matches!(self.load.change, Change::Upsert(_)) { SEEN } else { "1" };
        let table = quoted(&self.load.table);
        let mut conditions: Vec<(String, String)> = vec![];
        if self.load.change == Change::Append {
            for unique in &existing.unique {
                let equal =
                    unique.iter().map(|c| format!("t.{0} = s.{0}", quoted(c))).collect::<Vec<_>>().join(" AND ");
                let named = unique.iter().map(|c| format!("{}.{c}", self.load.table)).collect::<Vec<_>>().join(", ");
                conditions.push((
                    format!("EXISTS (SELECT 1 FROM target.{table} t WHERE {equal})"),
                    format!("UNIQUE constraint failed: {named}: the table already holds such a row"),
                ));
            }
        }
        for key in &existing.foreign {
            let given = key
                .columns
                .iter()
                .map(|(c, _)| format!("s.{} IS NOT NULL", quoted(c)))
                .collect::<Vec<_>>()
                .join(" AND ");
            let equal = key
                .columns
                .iter()
                .map(|(c, p)| format!("p.{} = s.{}", quoted(p), quoted(c)))
                .collect::<Vec<_>>()
                .join(" AND ");
            conditions.push((
                format!("{given} AND NOT EXISTS (SELECT 1 FROM target.{} p WHERE {equal})", quoted(&key.parent)),
                format!("FOREIGN KEY constraint failed: no such row in `{}`", key.parent),
            ));
        }
        connection.execute("ATTACH ?1 AS target", [self.database.path.to_string_lossy()]).map_err(failed)?;
        connection.busy_timeout(self.database.busy).map_err(failed)?;
        let columns = list(self.fit.names());
        let mut refused = 0;
        for (condition, message) in conditions {
            let sql = format!("SELECT {weight}, {columns} FROM main.{table} s WHERE {condition}");
            let mut statement = connection.prepare(&sql).map_err(failed)?;
            let mut found = statement.query([]).map_err(failed)?;
            while let Some(row) = found.next().map_err(failed)? {
                let weight: u64 = row.get(0).map_err(failed)?;
                let raw = self.json(row).map_err(failed)?;
                for _ in 0..weight {
                    out.reject(Rejection {
                        code: "warehouse.constraint".into(),
                        message: message.clone(),
                        raw: raw.clone(),
                    })?;
                }
                refused += weight;
            }
            drop(found);
            let sql = format!("DELETE FROM main.{table} AS s WHERE {condition}");
            connection.execute(&sql, []).map_err(|e| error("flushing", path, &e))?;
        }
        connection.execute_batch("DETACH target").map_err(failed)?;
        Ok(refused)
    }

    /// A staged row as JSON; its columns stand behind the first.
    fn json(&self, row: &rusqlite::Row) -> rusqlite::Result<String> {
        let cells = self.fit.names().into_iter().enumerate().map(|(i, name)| {
            let cell = match row.get_ref(i + 1)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(v) => Cell::Int(v),
                ValueRef::Real(v) => Cell::Real(v),
                ValueRef::Text(t) => Cell::Text(t),
                ValueRef::Blob(b) => Cell::Blob(b),
            };
            Ok((name, cell))
        });
        Ok(raw::json(cells.collect::<rusqlite::Result<Vec<_>>>()?.into_iter()))
    }
}

impl Drop for StagingWriter {
    fn drop(&mut self) {
        if let Some(staging) = self.current.take() {
            let Flushing { path, connection, .. } = staging.into_parts();
            drop(connection);
            // Best effort: what stays is swept by the next load.
            _ = fs::remove_file(path);
        }
    }
}

fn sync_folder(file: &Path) -> std::io::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Removes staging files beside this database whose writers died before they flushed.
fn sweep(database: &Path) {
    let prefix = format!("{}.selvedge-", file_name(database));
    let Some(entries) = database.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix)
            && name.ends_with(".staging")
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            // Locked until it is gone: a writer that has just made it waits, and sees that it has to make another.
            _ = fs::remove_file(entry.path());
        }
    }
}
