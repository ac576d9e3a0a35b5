//! The sink: staged rows become the target's in one transaction, which notes the run in `_selvedge_commits`. A commit that is repeated, or whose
//! answer was lost, finds its note and does nothing.

use crate::connection::{Postgres, Session};
use crate::stage::{Flushed, MARK, ROW, StageWriter, drop_if_free};
use crate::target::prepare;
use crate::{list, literal, quoted};
use selvedge_connect::database::{Change, Load};
use selvedge_connect::retry::Backoff;
use selvedge_node::{Commit, Error, Pending, Result, Sink, Task, Writer};

pub struct Loader {
    pub database: Postgres,
    pub load: Load,
}

const COMMITS: &str = "_selvedge_commits";
/// Epochs of a run that are remembered.
const EPOCHS: u64 = 256;
/// Any number, as long as no other program has it: whoever makes the table of commits holds this lock.
const MAKING: i64 = 0x73656c7665646765;

impl Sink for Loader {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(StageWriter::open(&self.database, &self.load, task)?))
    }

    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        let flushed = pending.iter().map(|p| Flushed::read(p)).collect::<Result<Vec<_>>>()?;
        // Each try begins by looking whether an earlier one has done it.
        Backoff::default().retry(|| {
            let client = self.database.connect()?;
            self.try_commit(&client, commit, &flushed)?;
            // What else is there was left by writers that died between a flush and its checkpoint.
            for one in flushed.iter().filter(|f| !f.mark.is_empty()) {
                let sql = format!("DELETE FROM {}", self.database.table(&one.stage));
                if self.database.execute(&client, "removing staged rows of", &sql).is_err() {
                    break;
                }
            }
            self.drop_stages(&client, &flushed);
            Ok(())
        })
    }

    fn abort(&self, pending: &[Pending]) {
        let flushed: Vec<Flushed> = pending.iter().filter_map(|p| Flushed::read(p).ok()).collect();
        let Ok(client) = self.database.connect() else { return };
        for one in flushed.iter().filter(|f| !f.mark.is_empty()) {
            let sql = format!("DELETE FROM {} WHERE {MARK} = {}", self.database.table(&one.stage), literal(&one.mark));
            // Best effort: what stays is in nobody's way.
            let _ = self.database.execute(&client, "removing staged rows of", &sql);
        }
        self.drop_stages(&client, &flushed);
    }
}

impl Loader {
    fn try_commit(&self, client: &Session, commit: &Commit, flushed: &[Flushed]) -> Result<()> {
        let doing = format!("loading table `{}` of", self.load.table);
        let execute = |sql: &str| self.database.execute(client, &doing, sql);
        let (target, commits) = (self.database.table(&self.load.table), self.database.table(COMMITS));
        execute(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({MAKING}); CREATE TABLE IF NOT EXISTS {commits} \
             (run text, node text, epoch bigint, rows bigint, at timestamptz DEFAULT now(), PRIMARY KEY (run, node, epoch)); COMMIT"
        ))?;
        let rows: u64 = flushed.iter().map(|f| f.rows).sum();
        let (run, node) = (literal(&commit.run), literal(&self.load.node));
        execute(&format!("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended({}, 0))", literal(&target)))?;
        let note = format!(
            "INSERT INTO {commits} (run, node, epoch, rows) VALUES ({run}, {node}, {}, {rows}) ON CONFLICT DO NOTHING RETURNING 1",
            commit.epoch
        );
        if self.database.query(client, &doing, &note)?.is_empty() {
            return execute("ROLLBACK");
        }
        execute(&prepare(&self.database, client, &self.load)?)?;
        let earlier = format!(
            "SELECT 1 FROM {commits} WHERE run = {run} AND node = {node} AND epoch <> {} LIMIT 1",
            commit.epoch
        );
        let first = self.database.query(client, &doing, &earlier)?.is_empty();
        // A later epoch of the run adds to what its first one has put in place of the old. DELETE and not TRUNCATE, which readers of an
        // older state would find empty.
        if self.load.change == Change::Replace && first {
            execute(&format!("DELETE FROM {target}"))?;
        }
        if let Some(staged) = self.staged(flushed) {
            let found = self.change(client, &doing, &target, &staged)?;
            if rows != found {
                let (table, place) = (&self.load.table, &self.database.place);
                let text = format!("{rows} rows were staged for `{table}` in {place}, but {found} are there");
                return Err(Error::world(text).help("somebody has changed the tables `_selvedge_stage_…`; run again"));
            }
        }
        execute(&format!(
            "DELETE FROM {commits} WHERE run = {run} AND node = {node} AND epoch > 1 AND epoch + {EPOCHS} < {}; COMMIT",
            commit.epoch
        ))
    }

    /// `None`: nothing was staged.
    fn staged(&self, flushed: &[Flushed]) -> Option<Staged> {
        let some: Vec<&Flushed> = flushed.iter().filter(|f| !f.mark.is_empty()).collect();
        let stage = self.database.table(&some.first()?.stage);
        let marks: Vec<String> = some.iter().map(|f| literal(&f.mark)).collect();
        let marks = marks.join(", ");
        Some(Staged {
            from: format!("{stage} WHERE {MARK} IN ({marks})"),
            flush: format!("array_position(ARRAY[{marks}], {MARK})"),
        })
    }

    /// Moves the staged rows; how many there were.
    fn change(&self, client: &Session, doing: &str, target: &str, Staged { from, flush }: &Staged) -> Result<u64> {
        let names: Vec<&str> = self.load.schema.fields().iter().map(|f| f.name().as_str()).collect();
        let columns = list(&names);
        let Change::Upsert(keys) = &self.load.change else {
            // In no order: a table has none, and sorting would take longer than all else.
            let sql = format!("INSERT INTO {target} ({columns}) SELECT {columns} FROM {from}");
            return self.database.affected(client, doing, &sql);
        };
        let found = self.database.query(client, doing, &format!("SELECT count(*) FROM {from}"))?;
        let found = found.into_iter().flatten().flatten().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let same: Vec<String> = keys.iter().map(|k| format!("t.{0} = l.{0}", quoted(k))).collect();
        let same = same.join(" AND ");
        let set: Vec<String> = names
            .iter()
            .filter(|name| !keys.iter().any(|k| k == *name))
            .map(|name| format!("{0} = l.{0}", quoted(name)))
            .collect();
        // Nobody else may add a key between the two statements. They need no unique index; with one they are faster.
        let mut sql = format!("LOCK TABLE {target} IN SHARE ROW EXCLUSIVE MODE;");
        let by = list(keys);
        sql += &format!(
            "CREATE TEMP TABLE _selvedge_latest ON COMMIT DROP AS SELECT DISTINCT ON ({by}) {columns} FROM {from} \
             ORDER BY {by}, {flush} DESC, {ROW} DESC;"
        );
        sql += "ANALYZE _selvedge_latest;";
        if !set.is_empty() {
            sql += &format!("UPDATE {target} t SET {} FROM pg_temp._selvedge_latest l WHERE {same};", set.join(", "));
        }
        let ours: Vec<String> = names.iter().map(|name| format!("l.{}", quoted(name))).collect();
        sql += &format!(
            "INSERT INTO {target} ({columns}) SELECT {} FROM pg_temp._selvedge_latest l WHERE NOT EXISTS (SELECT FROM {target} t WHERE {same});",
            ours.join(", ")
        );
        self.database.execute(client, doing, &sql)?;
        Ok(found)
    }

    /// Drops the stages that nobody uses. Best effort.
    fn drop_stages(&self, client: &Session, flushed: &[Flushed]) {
        let mut stages: Vec<&str> = flushed.iter().map(|f| f.stage.as_str()).collect();
        stages.dedup();
        stages.iter().for_each(|stage| _ = drop_if_free(&self.database, client, stage));
    }
}

/// Rows that were flushed.
struct Staged {
    /// What a FROM takes: the stage and which rows of it.
    from: String,
    /// The order of the flushes; in each of them the rows have one.
    flush: String,
}
