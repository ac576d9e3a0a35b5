//! The load as a sink: rows are staged beside the target, and one transaction of the target takes them all.
//!
//! The transaction also writes the commit's name into `_selvedge_commits`. A commit that comes again finds it there and does
//! nothing, so a load takes effect exactly once, however often it is repeated.

use super::staging::{Flushed, StagingWriter, definition};
use super::target::{Fit, Found, existing, fit};
use super::{Sqlite, error, list, open, quoted};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use selvedge_connect::database::{Change, Load};
use selvedge_node::{Commit, Error, Pending, Problems, Result, Sink, Task, Writer};
use std::fs;
use std::path::PathBuf;

pub struct Loader {
    pub database: Sqlite,
    pub load: Load,
}

/// SQLite's page cache of a commit, in KiB.
const CACHE: u64 = 32 << 10;
/// Databases that may be attached at once. A run that was saved more often has its rows copied beside each other first.
const ATTACHED: usize = 10;

const COMMITS: &str = "CREATE TABLE IF NOT EXISTS main._selvedge_commits (run TEXT NOT NULL, node TEXT NOT NULL, epoch INTEGER NOT NULL, \
    \"table\" TEXT NOT NULL, \"rows\" INTEGER NOT NULL, committed_at TEXT NOT NULL, PRIMARY KEY (run, node, epoch)) WITHOUT ROWID";

impl Sink for Loader {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        // The target may have changed since the plan looked at it, or come to be.
        let fit = if self.database.path.exists() { self.fit(&self.database.reader()?)? } else { self.fit_new()? };
        Ok(Box::new(StagingWriter::open(&self.database, &self.load, fit, task)?))
    }

    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        let flushed = pending.iter().map(|p| parse(p)).collect::<Result<Vec<_>>>()?;
        let path = &self.database.path;
        let mut how = OpenFlags::SQLITE_OPEN_READ_WRITE;
        if self.load.create {
            how |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let mut connection = open(path, how)?;
        let failed = |e: rusqlite::Error| error("committing to", path, &e);
        connection.busy_timeout(self.database.busy).map_err(failed)?;
        connection.execute_batch(&format!("PRAGMA main.cache_size = -{CACHE}")).map_err(failed)?;
        // The schema is looked at before the transaction too: attaching must be done by then.
        let done = self.is_done(&connection, commit).map_err(failed)?;
        for (i, staged) in flushed.iter().enumerate().filter(|_| !done) {
            let file = self.file(staged);
            if !file.exists() {
                return Err(Error::world(format!(
                    "the staged rows at {} are gone, and were never committed",
                    file.display()
                ))
                .help("run the graph again"));
            }
            connection.execute(&format!("ATTACH ?1 AS s{i}"), [file.to_string_lossy()]).map_err(failed)?;
            if flushed.len() > ATTACHED {
                let table = quoted(&self.load.table);
                let copy = format!("CREATE TEMP TABLE s{i} AS SELECT * FROM s{i}.{table}; DETACH s{i}");
                connection.execute_batch(&copy).map_err(failed)?;
            }
        }
        if !done {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            // Asked again inside: another process may have repeated this commit meanwhile.
            if !self.is_done(&transaction, commit).map_err(failed)? {
                self.take(&transaction, commit, &flushed)?;
            }
            transaction.commit().map_err(failed)?;
        }
        connection.close().map_err(|(_, e)| failed(e))?;
        self.clear(&flushed);
        Ok(())
    }

    fn abort(&self, pending: &[Pending]) {
        self.clear(&pending.iter().filter_map(|p| parse(p).ok()).collect::<Vec<_>>());
    }
}

fn parse(pending: &str) -> Result<Flushed> {
    serde_json::from_str(pending).map_err(|e| Error::bug(format!("what was flushed cannot be read back: {e}")))
}

impl Loader {
    fn file(&self, flushed: &Flushed) -> PathBuf {
        self.database.path.with_file_name(&flushed.file)
    }

    /// Removes staging files. Best effort: they harm nobody.
    fn clear(&self, flushed: &[Flushed]) {
        for staged in flushed {
            _ = fs::remove_file(self.file(staged));
        }
    }

    fn fit(&self, connection: &Connection) -> Result<Fit> {
        match existing(connection, &self.database.path, &self.load.table)? {
            Found::Table(existing) => fit(Some(existing), &self.load).map_err(|p| self.unfit(&p)),
            Found::Nothing => self.fit_new(),
            Found::Other(what) => Err(Error::graph(format!("`{}` is {what}, which cannot be loaded", self.load.table))),
        }
    }

    fn fit_new(&self) -> Result<Fit> {
        if !self.load.create {
            return Err(Error::graph(format!(
                "there is no table `{}` in {}",
                self.load.table,
                self.database.path.display()
            ))
            .help("make it, or set create: true"));
        }
        fit(None, &self.load).map_err(|p| self.unfit(&p))
    }

    fn unfit(&self, problems: &Problems) -> Error {
        Error::graph(format!("the table `{}` does not fit: {problems}", self.load.table))
    }

    fn is_done(&self, connection: &Connection, commit: &Commit) -> rusqlite::Result<bool> {
        if !connection.table_exists(Some("main"), "_selvedge_commits")? {
            return Ok(false);
        }
        let sql = "SELECT count(*) FROM main._selvedge_commits WHERE run = ?1 AND node = ?2 AND epoch = ?3";
        let count: u64 = connection.query_row(sql, (&commit.run, &self.load.node, commit.epoch), |r| r.get(0))?;
        Ok(count > 0)
    }

    /// The transaction's work.
    fn take(&self, connection: &Connection, commit: &Commit, flushed: &[Flushed]) -> Result<()> {
        let failed = |e: rusqlite::Error| refused(&self.database.path, &e);
        let run = |sql: &str| connection.execute(sql, []).map(|rows| rows as u64).map_err(failed);
        run(COMMITS)?;
        let fit = self.fit(connection)?;
        let table = format!("main.{}", quoted(&self.load.table));
        let names = list(fit.names());
        let upsert = matches!(self.load.change, Change::Upsert(_));
        let made = fit.existing.is_none();
        if made {
            run(&format!("CREATE TABLE {table} {}", definition(&fit)))?;
        }
        for column in fit.columns.iter().filter(|c| c.added) {
            run(&format!("ALTER TABLE {table} ADD COLUMN {}", column.declaration()))?;
        }
        // A later epoch of the same run adds to what its first one has put in place of the old.
        let sql = "SELECT EXISTS (SELECT 1 FROM main._selvedge_commits WHERE run = ?1 AND node = ?2)";
        let later: bool = connection.query_row(sql, (&commit.run, &self.load.node), |r| r.get(0)).map_err(failed)?;
        if self.load.change == Change::Replace && !later && !made {
            run(&format!("DELETE FROM {table}"))?;
        }
        let mut total = 0;
        for (i, staged) in flushed.iter().enumerate() {
            let source = match flushed.len() > ATTACHED {
                true => format!("temp.s{i}"),
                false => format!("s{i}.{}", quoted(&self.load.table)),
            };
            let sql = format!("SELECT count(*) FROM {source}");
            let found: u64 = connection.query_row(&sql, [], |r| r.get(0)).map_err(failed)?;
            if found != staged.rows {
                return Err(Error::world(format!(
                    "{} rows were flushed, but {} holds {found}",
                    staged.rows, staged.file
                ))
                .help("the staging file was changed; run the graph again"));
            }
            let taken = if upsert && !(made && i == 0) {
                self.upsert(connection, &fit, &table, &source)?
            } else if made && !upsert && flushed.len() == 1 {
                // One definition, an empty target: SQLite copies whole records (its "transfer optimization").
                run(&format!("INSERT INTO {table} SELECT * FROM {source}"))?
            } else {
                run(&format!("INSERT INTO {table} ({names}) SELECT {names} FROM {source}"))?
            };
            if taken != staged.rows {
                return Err(Error::bug(format!("{} rows were staged, but the table took {taken}", staged.rows)));
            }
            total += taken;
            if upsert && made && i == 0 {
                let keys = fit.key_names();
                let index = format!("{}_{}", self.load.table, keys.join("_"));
                run(&format!(
                    "CREATE UNIQUE INDEX main.{} ON {} ({})",
                    quoted(&index),
                    quoted(&self.load.table),
                    list(&keys)
                ))?;
            }
        }
        let sql =
            "INSERT INTO main._selvedge_commits VALUES (?1, ?2, ?3, ?4, ?5, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";
        let record = (&commit.run, &self.load.node, commit.epoch, &self.load.table, total);
        connection.execute(sql, record).map(|_| ()).map_err(failed)
    }

    /// Updates the rows whose keys are there and adds the others; tells how many staged rows took part.
    fn upsert(&self, connection: &Connection, fit: &Fit, table: &str, source: &str) -> Result<u64> {
        let failed = |e: rusqlite::Error| refused(&self.database.path, &e);
        let run = |sql: &str| connection.execute(sql, []).map(|rows| rows as u64).map_err(failed);
        let (names, keys) = (fit.names(), fit.key_names());
        let (all, rest) =
            (list(&names), names.iter().filter(|n| !keys.contains(n)).map(|n| quoted(n)).collect::<Vec<_>>());
        if fit.keys_are_unique() {
            let set = rest.iter().map(|c| format!("{c} = excluded.{c}")).collect::<Vec<_>>().join(", ");
            let on_conflict = if rest.is_empty() { "DO NOTHING".into() } else { format!("DO UPDATE SET {set}") };
            // `WHERE true`: without it, ON would read as that of a join.
            let sql = format!(
                "INSERT INTO {table} ({all}) SELECT {all} FROM {source} WHERE true ON CONFLICT ({}) {on_conflict}",
                list(&keys)
            );
            let taken = run(&sql)?;
            if !rest.is_empty() {
                return Ok(taken);
            }
            let sql = format!("SELECT count(*) FROM {source}");
            return connection.query_row(&sql, [], |r| r.get(0)).map_err(failed);
        }
        // Nothing keeps the keys unique: update every row that matches, then add what matched none.
        let equal = keys.iter().map(|k| format!("t.{0} = s.{0}", quoted(k))).collect::<Vec<_>>().join(" AND ");
        let sql = format!("SELECT count(*) FROM {source} s WHERE EXISTS (SELECT 1 FROM {table} t WHERE {equal})");
        let matched: u64 = connection.query_row(&sql, [], |r| r.get(0)).map_err(failed)?;
        if !rest.is_empty() {
            let set = rest.iter().map(|c| format!("{c} = s.{c}")).collect::<Vec<_>>().join(", ");
            run(&format!("UPDATE {table} AS t SET {set} FROM {source} s WHERE {equal}"))?;
        }
        let selected = names.iter().map(|n| format!("s.{}", quoted(n))).collect::<Vec<_>>().join(", ");
        let added = run(&format!(
            "INSERT INTO {table} ({all}) SELECT {selected} FROM {source} s WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE {equal})"
        ))?;
        Ok(matched + added)
    }
}

/// As [`error`], for a constraint that only the commit could see: rows came in between, or a trigger speaks.
fn refused(path: &std::path::Path, e: &rusqlite::Error) -> Error {
    let told = error("committing to", path, e);
    match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            told.help("nothing was changed; others may have added rows since the flush: run the graph again")
        }
        _ => told,
    }
}
