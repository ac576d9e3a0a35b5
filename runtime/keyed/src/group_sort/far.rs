//! Whole sessions on disk until they are due, in runs in the order of that.
//!
//! ```text
//! run:   rows    │ due 10:07 │ due 10:07 │ due 10:08 │ due 10:09 …     read forwards, as event time comes to them
//!        heads   key → first row, last row, floor                        looked up when a row comes whose key is not in memory
//! ```
//!
//! What stays in memory of a session is what a head takes in a [`KeyRun`], about two bytes.

use super::runs::marks;
use super::session::Rules;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use selvedge_node::{Result, Task};
use selvedge_state::{KeyRun, SpillReader, SpillWriter};

/// What a run takes besides: itself and two open files.
const RUN_BYTES: u64 = 512;

struct Run {
    heads: KeyRun<3>,
    rows: SpillReader,
    /// All rows arrived before this.
    until: u64,
    /// Sessions of which rows have been sent: key, first row and floor.
    floors: Vec<(u128, i64, i64)>,
    /// For each batch when its first session is due, and the earliest row in it and all after it. The next batch is last.
    batches: Vec<(i64, i64)>,
}

/// A run while it is written.
pub(crate) struct FarWriter {
    rows: SpillWriter,
    batches: Vec<(i64, i64)>,
}

impl FarWriter {
    pub(crate) fn create(schema: &SchemaRef, task: &Task) -> Result<FarWriter> {
        Ok(FarWriter { rows: SpillWriter::create(&task.scratch, schema)?, batches: vec![] })
    }

    /// Appends rows of sessions, the first of which is due at `due`.
    pub(crate) fn write(&mut self, batch: &RecordBatch, due: i64) -> Result<()> {
        let earliest = marks(batch).times.iter().copied().min().unwrap_or(i64::MAX);
        self.batches.push((due, earliest));
        self.rows.write(batch)
    }
}

#[derive(Default)]
pub(crate) struct Far {
    runs: Vec<Run>,
}

impl Far {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn bytes(&self) -> u64 {
        let lists = |run: &Run| run.batches.capacity() as u64 * 40 + run.floors.capacity() as u64 * 32;
        self.runs.iter().map(|run| RUN_BYTES + run.heads.bytes() + lists(run)).sum()
    }

    /// Adds a run, all rows of which arrived before `until`. `floors`: of sessions of which rows have been sent.
    pub(crate) fn push(
        &mut self,
        writer: FarWriter,
        heads: KeyRun<3>,
        floors: Vec<(u128, i64, i64)>,
        until: u64,
    ) -> Result<()> {
        let mut batches = writer.batches;
        batches.reverse();
        let mut earliest = i64::MAX;
        for batch in &mut batches {
            earliest = earliest.min(batch.1);
            batch.1 = earliest;
        }
        // The reader alone: a file at rest would keep the buffers that wrote it.
        let rows = writer.rows.finish()?.read()?;
        self.runs.push(Run { heads, rows, until, floors, batches });
        Ok(())
    }

    /// When the next batch has to come back.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.runs.iter().filter_map(|run| run.batches.last()).map(|batch| batch.0).min()
    }

    /// The earliest row.
    pub(crate) fn earliest(&self) -> Option<i64> {
        self.runs.iter().filter_map(|run| run.batches.last()).map(|batch| batch.1).min()
    }

    /// The next batch with a session that is due at `now`.
    pub(crate) fn take(&mut self, now: i64) -> Result<Option<RecordBatch>> {
        let due = |run: &Run| run.batches.last().is_some_and(|batch| batch.0 <= now);
        let Some(at) = self.runs.iter().position(due) else { return Ok(None) };
        let run = &mut self.runs[at];
        run.batches.pop();
        let batch = run.rows.next().transpose()?;
        if run.batches.is_empty() {
            self.runs.swap_remove(at);
        }
        Ok(batch)
    }

    /// What has not come back of the runs that may have rows that arrived at `since` or after.
    pub(crate) fn since(&self, since: u64) -> impl Iterator<Item = Result<SpillReader>> + '_ {
        self.runs.iter().filter(move |run| run.until > since).map(|run| run.rows.again())
    }

    pub(crate) fn floors(&self) -> impl Iterator<Item = (u128, i64, i64)> + '_ {
        self.runs.iter().flat_map(|run| run.floors.iter().copied())
    }

    /// Hands to `then` the heads of sessions of these keys that are not due at `now`: first and last row, and floor.
    pub(crate) fn find(
        &self,
        keys: &[u128],
        rules: &Rules,
        now: i64,
        mut then: impl FnMut(u128, [i64; 3]),
    ) -> Result<()> {
        for run in &self.runs {
            run.heads.find_all(keys, |key, head| {
                if rules.due(head[0], head[1]) > now {
                    then(key, head);
                }
            })?;
        }
        Ok(())
    }
}
