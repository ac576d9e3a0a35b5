//! Rows on their way: a table beside the target, which nobody looks into before the commit.
//!
//! A writer copies rows in one transaction for each flush, so that those of a flush that did not come about were never there. Each flush has a
//! mark of its own, and the commit takes the rows of the flushes that it is told of: what a writer left that died between its flush and
//! the checkpoint is removed.

use crate::connection::{Postgres, Session};
use crate::copy::Rows;
use crate::target::{Existing, existing};
use crate::types;
use crate::{list, literal, quoted};
use arrow::array::{Array, RecordBatch};
use arrow::compute::filter_record_batch;
use bytes::Bytes;
use futures::SinkExt;
use selvedge_connect::database::{Change, Load};
use selvedge_connect::wait;
use selvedge_node::{Error, Out, Pending, Result, Task, Writer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

pub const MARK: &str = "_selvedge_flush";
pub const ROW: &str = "_selvedge_row";
const PREFIX: &str = "_selvedge_stage_";

/// What a flush hands over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flushed {
    pub stage: String,
    pub mark: String,
    pub rows: u64,
}

impl Flushed {
    pub fn read(pending: &str) -> Result<Flushed> {
        serde_json::from_str(pending).map_err(|e| Error::bug(format!("what was flushed cannot be read back: {e}")))
    }
}

/// One table for each load of a run.
fn name(run: &str, node: &str) -> String {
    let hash = Sha256::digest(format!("{run}\n{node}"));
    let digits: String = hash.iter().take(12).map(|b| format!("{b:02x}")).collect();
    format!("{PREFIX}{digits}")
}

/// Drops a stage without a row that nobody uses.
pub fn drop_if_free(database: &Postgres, client: &Session, stage: &str) -> Result<()> {
    let table = database.table(stage);
    let sql = format!(
        "DO $selvedge$ BEGIN LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT; \
         IF NOT EXISTS (SELECT FROM {table}) THEN DROP TABLE {table}; END IF; \
         EXCEPTION WHEN lock_not_available OR undefined_table THEN NULL; END $selvedge$"
    );
    database.execute(client, "removing a stage of", &sql)
}

/// Of loads that died before a flush.
fn sweep(database: &Postgres, client: &Session) -> Result<()> {
    let sql = format!(
        "SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = {}) AND relkind = 'r' \
         AND starts_with(relname, {}) AND pg_has_role(relowner, 'USAGE')",
        literal(&database.schema),
        literal(PREFIX)
    );
    let stages = database.query(client, "listing the tables of", &sql)?;
    stages.into_iter().flatten().flatten().try_for_each(|stage| drop_if_free(database, client, &stage))
}

pub struct StageWriter {
    database: Postgres,
    load: Load,
    client: Session,
    stage: String,
    create: String,
    copy: String,
    /// Columns that must not be null, with the reason of those that are.
    never_null: Vec<(usize, &'static str)>,
    instance: usize,
    /// The mark of the transaction that is open.
    mark: Option<String>,
    rows: u64,
}

impl StageWriter {
    pub fn open(database: &Postgres, load: &Load, task: &Task) -> Result<StageWriter> {
        let client = database.connect()?;
        sweep(database, &client)?;
        let there: Vec<Existing> = existing(database, &client, &load.table)?.unwrap_or_default();
        let stage = name(&task.run, &load.node);
        let mut columns = vec![];
        let mut never_null = vec![];
        for (at, field) in load.schema.fields().iter().enumerate() {
            let target = there.iter().find(|c| c.name == *field.name());
            let declared = match target {
                Some(column) => column.declared.clone(),
                None => types::declare(field.data_type()).unwrap_or_else(|| "text".into()),
            };
            columns.push(format!("{} {declared}", quoted(field.name())));
            if matches!(&load.change, Change::Upsert(keys) if keys.contains(field.name())) {
                never_null.push((at, "warehouse.key"));
            } else if target.is_some_and(Existing::never_null) {
                never_null.push((at, "warehouse.constraint"));
            }
        }
        let table = database.table(&stage);
        let names = list(load.schema.fields().iter().map(|f| f.name().as_str()).chain([MARK, ROW]));
        Ok(StageWriter {
            create: format!(
                "CREATE TABLE IF NOT EXISTS {table} ({}, {MARK} text, {ROW} bigint) WITH (autovacuum_enabled = false)",
                columns.join(", ")
            ),
            copy: format!("COPY {table} ({names}) FROM STDIN"),
            database: database.clone(),
            load: load.clone(),
            client,
            stage,
            never_null,
            instance: task.instance,
            mark: None,
            rows: 0,
        })
    }

    /// Begins the transaction of the next flush. Its lock tells others that the stage is in use.
    fn begin(&mut self) -> Result<String> {
        if let Some(mark) = &self.mark {
            return Ok(mark.clone());
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mark = format!("{time:x}-{}-{}", std::process::id(), self.instance);
        let lock = format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", self.database.table(&self.stage));
        let sql = format!("BEGIN; {}; {lock}", self.create);
        self.database.execute(&self.client, "staging rows in", &sql)?;
        self.mark = Some(mark.clone());
        Ok(mark)
    }

    /// Copies some rows, all or none. `Err(Some(why))`: the server refuses one of them.
    fn copy(&self, rows: &Rows, some: std::ops::Range<usize>, mark: &str) -> std::result::Result<(), Refused> {
        let mut text = String::new();
        let mut parts = vec![];
        for (number, row) in (self.rows..).zip(some) {
            rows.write(row, &format!("{mark}\t{number}"), &mut text);
            if text.len() >= PART {
                parts.push(Bytes::from(std::mem::take(&mut text)));
            }
        }
        parts.push(Bytes::from(text));
        let doing = "staging rows in";
        self.database.execute(&self.client, doing, "SAVEPOINT batch")?;
        let copied = wait(async {
            let sink = self.client.client.copy_in::<_, Bytes>(&self.copy).await?;
            let mut sink = std::pin::pin!(sink);
            for part in parts {
                sink.send(part).await?;
            }
            sink.finish().await
        })?;
        match copied {
            Ok(_) => Ok(self.database.execute(&self.client, doing, "RELEASE SAVEPOINT batch")?),
            // Class 22: data that the columns cannot hold; 23: data that they must not.
            Err(e) if e.code().is_some_and(|c| c.code().starts_with("22") || c.code().starts_with("23")) => {
                let why = e.as_db_error().map(|e| e.message().to_string()).unwrap_or_default();
                self.database.execute(&self.client, doing, "ROLLBACK TO SAVEPOINT batch")?;
                Err(Refused::Row(why))
            }
            Err(e) => Err(Refused::Failed(self.database.error(doing, &e))),
        }
    }

    /// Copies the rows that the server takes, and finds the others by halves.
    fn halve(
        &mut self,
        rows: &Rows,
        some: std::ops::Range<usize>,
        mark: &str,
        bad: &mut Vec<(usize, String)>,
    ) -> Result<()> {
        if some.is_empty() {
            return Ok(());
        }
        match self.copy(rows, some.clone(), mark) {
            Ok(()) => self.rows += some.len() as u64,
            Err(Refused::Failed(e)) => return Err(e),
            Err(Refused::Row(why)) if some.len() == 1 => bad.push((some.start, why)),
            Err(Refused::Row(_)) => {
                let middle = some.start + some.len() / 2;
                self.halve(rows, some.start..middle, mark, bad)?;
                self.halve(rows, middle..some.end, mark, bad)?;
            }
        }
        Ok(())
    }
}

/// Bytes of a message to the server.
const PART: usize = 1 << 20;

enum Refused {
    Row(String),
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(e: Error) -> Refused {
        Refused::Failed(e)
    }
}

impl Writer for StageWriter {
    fn write(&mut self, _: usize, mut batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        for &(column, reason) in &self.never_null {
            let cells = batch.column(column);
            if cells.null_count() > 0 {
                let nulls: Vec<usize> = (0..cells.len()).filter(|&row| cells.is_null(row)).collect();
                let name = self.load.schema.field(column).name();
                let message = format!("column `{name}` of table `{}` must not be null", self.load.table);
                out.reject_rows(reason, &batch, &nulls, &|_| message.clone())?;
                batch = filter_record_batch(&batch, &arrow::compute::is_not_null(cells)?)?;
            }
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mark = self.begin()?;
        let rows = Rows::new(&batch)?;
        let mut bad = vec![];
        self.halve(&rows, 0..batch.num_rows(), &mark, &mut bad)?;
        let places: Vec<usize> = bad.iter().map(|(row, _)| *row).collect();
        out.reject_rows("warehouse.constraint", &batch, &places, &|row| {
            bad.iter().find(|(r, _)| *r == row).map(|(_, why)| why.clone()).unwrap_or_default()
        })?;
        out.absorb("written", (batch.num_rows() - bad.len()) as u64);
        Ok(())
    }

    fn flush(&mut self, _: u64, _: &mut dyn Out) -> Result<Pending> {
        let rows = std::mem::take(&mut self.rows);
        let mark = match self.mark.take() {
            Some(mark) => {
                self.database.execute(&self.client, "staging rows in", "COMMIT")?;
                mark
            }
            None => String::new(),
        };
        let flushed = Flushed { stage: self.stage.clone(), mark, rows };
        serde_json::to_string(&flushed).map_err(|e| Error::bug(format!("listing what was flushed: {e}")))
    }
}
