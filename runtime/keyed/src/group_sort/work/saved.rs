//! What a `GroupSort` remembers, in parts.
//!
//! ```text
//! clock     how far event time has come
//! far-N     the rows of a run of sessions that are not due soon: a run of which nothing has come back stays as it was put
//! rows      all others: those of sessions too large for memory, then those in memory, each session in its order
//! ```
//!
//! Rows are put as on disk: with their hash, when they came, and before which time no row can join their session.

use super::Work;
use crate::group_sort::runs::{rows_on_disk, store};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use selvedge_node::{Result, Save};
use std::sync::Arc;

const CLOCK: &str = "clock";
const ROWS: &str = "rows";

impl Work {
    pub(super) fn save_to(&mut self, to: &mut dyn Save) -> Result<()> {
        let now = Arc::new(Int64Array::from(vec![self.now])) as ArrayRef;
        to.put(CLOCK, &RecordBatch::try_from_iter([("now", now)])?)?;
        for (number, whole, rows) in self.far.rest() {
            let part = format!("far-{}-{number}", self.task.run);
            if !whole || !to.keep(&part) {
                rows?.try_for_each(|batch| to.put(&part, &batch?))?;
            }
        }
        for run in self.runs.files() {
            for batch in run.read()? {
                to.put(ROWS, &batch?)?;
            }
        }
        let size = rows_on_disk(&self.task, self.held.bytes() / self.held.rows.max(1));
        let (mut rows, mut owners, mut sessions) = (vec![], vec![], vec![]);
        let order = self.held.in_order();
        for (i, &at) in order.iter().enumerate() {
            let start = rows.len();
            self.held.take(at, &mut rows);
            owners.resize(rows.len(), at);
            sessions.push((at, start));
            if rows.len() < size && i + 1 < order.len() {
                continue;
            }
            for (some, owners) in rows.chunks(size).zip(owners.chunks(size)) {
                let columns = self.held.gather(&self.plan.schema, some)?;
                let marks: Vec<_> = some.iter().zip(owners).map(|(&row, &at)| self.held.mark(at, row)).collect();
                to.put(ROWS, &store(self.runs.schema(), columns, &marks)?)?;
            }
            while let Some((at, start)) = sessions.pop() {
                self.held.put_back(at, &rows[start..]);
                rows.truncate(start);
            }
            owners.clear();
        }
        Ok(())
    }

    pub(super) fn load_from(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        if part == CLOCK {
            self.now = self.now.max(batch.column(0).as_primitive::<Int64Type>().value(0));
            return Ok(());
        }
        self.take_back(batch)
    }
}
