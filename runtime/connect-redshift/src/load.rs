//! The sink: parts in S3 become the target's rows in one transaction, which notes the run in `_selvedge_commits`. A commit that is repeated, or
//! whose answer was lost, finds its note and does nothing.

use crate::Redshift;
use crate::stage::{FLUSH, Flushed, Part, ROW, StageWriter};
use crate::target::{existing, prepare};
use crate::types;
use selvedge_connect::database::{Change, Load};
use selvedge_connect::retry::Backoff;
use selvedge_connect::store::Over;
use selvedge_connect_postgres::{Session, list, literal, quoted};
use selvedge_node::{Commit, Error, Pending, Result, Sink, Task, Writer};
use serde_json::json;

pub struct Loader {
    pub redshift: Redshift,
    pub load: Load,
}

const COMMITS: &str = "_selvedge_commits";
/// Temporary tables are the session's own.
const STAGE: &str = "_selvedge_stage";
const LATEST: &str = "_selvedge_latest";
/// Epochs of a run that are remembered.
const EPOCHS: u64 = 256;

impl Sink for Loader {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(StageWriter::open(&self.redshift, &self.load, task)?))
    }

    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        let flushed = pending.iter().map(|p| Flushed::read(p)).collect::<Result<Vec<_>>>()?;
        let parts = || flushed.iter().flat_map(|f| &f.parts);
        let manifest = parts().next().map(|first| format!("{}.manifest", first.name));
        // Each try begins by looking whether an earlier one has done it.
        Backoff::default().retry(|| {
            let client = self.redshift.database.connect()?;
            self.try_commit(&client, commit, &flushed, manifest.as_deref()).map_err(|e| {
                // Another transaction was first (Redshift's error 1023).
                if e.message.contains("erializable isolation violation") { e.retryable() } else { e }
            })
        })?;
        let names: Vec<String> = parts().map(|p| p.name.clone()).chain(manifest).collect();
        // What stays is in nobody's way.
        _ = self.redshift.staging.remove(&names);
        Ok(())
    }

    fn abort(&self, pending: &[Pending]) {
        let flushed = pending.iter().filter_map(|p| Flushed::read(p).ok());
        for part in flushed.flat_map(|f| f.parts) {
            self.redshift.staging.forget(&part.name, &part.upload);
            // A commit that failed may have completed it.
            _ = self.redshift.staging.remove(&[part.name.clone(), format!("{}.manifest", part.name)]);
        }
    }
}

impl Loader {
    fn try_commit(&self, client: &Session, commit: &Commit, flushed: &[Flushed], manifest: Option<&str>) -> Result<()> {
        let database = &self.redshift.database;
        let doing = format!("loading table `{}` of", self.load.table);
        let execute = |sql: &str| database.execute(client, &doing, sql);
        let query = |sql: &str| database.query(client, &doing, sql);
        let commits = database.table(COMMITS);
        let (run, node, epoch) = (literal(&commit.run), literal(&self.load.node), commit.epoch);
        let ours = format!("SELECT 1 FROM {commits} WHERE run = {run} AND node = {node} AND epoch");

        if existing(&self.redshift, client, COMMITS)?.is_none() {
            let made = execute(&format!(
                "CREATE TABLE IF NOT EXISTS {commits} (run VARCHAR(256), node VARCHAR(4096), epoch BIGINT, rows BIGINT, at TIMESTAMP DEFAULT GETDATE())"
            ));
            // Somebody else has made it meanwhile.
            if made.is_err() && existing(&self.redshift, client, COMMITS)?.is_none() {
                return made;
            }
        }
        // Parts are removed when they are loaded: of a commit that was done there is nothing to complete.
        if !query(&format!("{ours} = {epoch}"))?.is_empty() {
            return Ok(());
        }
        if let Some(name) = manifest {
            self.complete(name, flushed)?;
        }

        execute("BEGIN")?;
        // Redshift enforces no keys: whoever holds this lock is the only one to note a commit.
        execute(&format!("LOCK {commits}"))?;
        if !query(&format!("{ours} = {epoch}"))?.is_empty() {
            return execute("ROLLBACK");
        }
        let first = query(&format!("{ours} <> {epoch} LIMIT 1"))?.is_empty();
        let target = database.table(&self.load.table);
        let there = existing(&self.redshift, client, &self.load.table)?;
        for statement in prepare(&self.redshift, &self.load, there.as_deref()) {
            execute(&statement)?;
        }
        // A later epoch of the run adds to what its first one has put in place of the old. TRUNCATE would commit.
        if self.load.change == Change::Replace && first {
            execute(&format!("DELETE FROM {target}"))?;
        }
        let rows: u64 = flushed.iter().map(|f| f.rows).sum();
        if let Some(name) = manifest {
            self.stage(client, &doing, name, rows)?;
            for statement in self.change(&target, flushed, there.as_deref()) {
                execute(&statement)?;
            }
        }
        execute(&format!("INSERT INTO {commits} (run, node, epoch, rows) VALUES ({run}, {node}, {epoch}, {rows})"))?;
        execute(&format!(
            "DELETE FROM {commits} WHERE run = {run} AND node = {node} AND epoch > 1 AND epoch + {EPOCHS} < {epoch}"
        ))?;
        execute("COMMIT")
    }

    /// Makes the parts objects, and lists them.
    fn complete(&self, manifest: &str, flushed: &[Flushed]) -> Result<()> {
        let store = &self.redshift.staging;
        let parts: Vec<&Part> = flushed.iter().flat_map(|f| &f.parts).collect();
        for part in &parts {
            store.complete(&part.name, &part.upload, part.bytes)?;
        }
        let entries = parts.iter().map(|part| {
            json!({ "url": store.place(&part.name), "mandatory": true, "meta": { "content_length": part.bytes } })
        });
        let text = json!({ "entries": entries.collect::<Vec<_>>() }).to_string();
        match store.put(manifest, text.into(), &Over::Nothing)? {
            Some(_) => Ok(()),
            None => Err(Error::world(format!("{} is there, and is another one", store.place(manifest)))
                .help("somebody else writes to the staging prefix: give it one of its own")),
        }
    }

    /// Copies the parts into a temporary table, and counts.
    fn stage(&self, client: &Session, doing: &str, manifest: &str, rows: u64) -> Result<()> {
        let database = &self.redshift.database;
        let columns = self
            .load
            .schema
            .fields()
            .iter()
            .map(|f| format!("{} {}", quoted(f.name()), types::declare_staged(f.data_type()).unwrap_or_default()));
        let own = [FLUSH, ROW].map(|name| format!("{name} BIGINT"));
        let columns: Vec<String> = columns.chain(own).collect();
        database.execute(client, doing, &format!("CREATE TEMP TABLE {STAGE} ({})", columns.join(", ")))?;
        let from = literal(&self.redshift.staging.place(manifest));
        let copy = format!("COPY {STAGE} FROM {from} {} FORMAT AS PARQUET MANIFEST", self.redshift.authorization);
        database.execute(client, doing, &copy)?;
        let found = database.query(client, doing, &format!("SELECT COUNT(*) FROM {STAGE}"))?;
        let found = found.into_iter().flatten().flatten().next().and_then(|n| n.parse::<u64>().ok());
        if found == Some(rows) {
            return Ok(());
        }
        let (table, place, found) = (&self.load.table, &database.place, found.unwrap_or_default());
        Err(Error::world(format!("{rows} rows were staged for `{table}` in {place}, but COPY has loaded {found}"))
            .help("nothing was loaded; look into stl_load_errors, and run again"))
    }

    /// The statements that move rows from the temporary table to the target.
    fn change(&self, target: &str, flushed: &[Flushed], there: Option<&[types::Column]>) -> Vec<String> {
        let fields = self.load.schema.fields();
        let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
        let columns = list(&names);
        let assigned = |alias: bool| -> String {
            let each = fields.iter().map(|f| {
                let to = there.and_then(|there| there.iter().find(|c| c.name == *f.name()));
                let name = quoted(f.name());
                let value = types::assigned(&name, f.data_type(), to);
                if alias { format!("{value} AS {name}") } else { value }
            });
            each.collect::<Vec<_>>().join(", ")
        };
        let Change::Upsert(keys) = &self.load.change else {
            return vec![format!("INSERT INTO {target} ({columns}) SELECT {} FROM {STAGE}", assigned(false))];
        };
        // Of rows with one key the last of the last flush wins: MERGE refuses more than one.
        let flushes = flushed.iter().enumerate().map(|(n, f)| format!("WHEN {} THEN {n} ", f.id));
        let flush = format!("CASE {FLUSH} {}END", flushes.collect::<String>());
        let latest = format!(
            "CREATE TEMP TABLE {LATEST} AS SELECT {} FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {flush} DESC, \
             {ROW} DESC) AS _selvedge_rank FROM {STAGE}) AS ranked WHERE _selvedge_rank = 1",
            assigned(true),
            list(keys)
        );
        let name = quoted(&self.load.table);
        let same: Vec<String> = keys.iter().map(|k| format!("{name}.{0} = {LATEST}.{0}", quoted(k))).collect();
        let same = same.join(" AND ");
        let theirs: Vec<String> = names.iter().map(|n| format!("{LATEST}.{}", quoted(n))).collect();
        let theirs = theirs.join(", ");
        let set = names.iter().filter(|n| !keys.iter().any(|k| k == *n));
        let set: Vec<String> = set.map(|n| format!("{0} = {LATEST}.{0}", quoted(n))).collect();
        let merge = match set.is_empty() {
            // MERGE wants something to update.
            true => format!(
                "INSERT INTO {target} ({columns}) SELECT {theirs} FROM {LATEST} WHERE NOT EXISTS (SELECT 1 FROM {target} WHERE {same})"
            ),
            false => format!(
                "MERGE INTO {target} USING {LATEST} ON {same} WHEN MATCHED THEN UPDATE SET {} \
                 WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({theirs})",
                set.join(", ")
            ),
        };
        vec![latest, merge]
    }
}
