//! What a `GroupSort` remembers, in parts.
//!
//! ```text
//! clock     how far event time has come
//! rows      as on disk: those on disk first, then those in memory, each session in its order
//! sessions  of those that began where another was cut: before which time no row can join them
//! ```

use super::Work;
use crate::group_sort::runs::{HASH, marks, rows_on_disk, store};
use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use selvedge_node::{HASH_COLUMN, Result, Save};
use std::sync::Arc;

const CLOCK: &str = "clock";
const ROWS: &str = "rows";

impl Work {
    pub(super) fn save_to(&mut self, to: &mut dyn Save) -> Result<()> {
        let times = |times: Vec<i64>| Arc::new(Int64Array::from(times)) as ArrayRef;
        to.put(CLOCK, &RecordBatch::try_from_iter([("now", times(vec![self.now]))])?)?;
        for run in self.runs.files() {
            for batch in run.read()? {
                to.put(ROWS, &batch?)?;
            }
        }
        let size = rows_on_disk(&self.task, self.held.bytes() / self.held.rows.max(1));
        let mut rows = vec![];
        for at in self.held.in_order() {
            rows.clear();
            self.held.take(at, &mut rows);
            let key = self.held.sessions[at as usize].key;
            for some in rows.chunks(size) {
                let columns = self.held.gather(&self.plan.schema, some)?;
                let keys = std::iter::repeat_n(key, some.len());
                to.put(ROWS, &store(self.runs.schema(), columns, keys, some.iter().map(|(time, _)| *time))?)?;
            }
            self.held.put_back(at, &rows);
        }
        let open = self.held.open_sessions();
        let cut: Vec<_> =
            open.iter().map(|&at| &self.held.sessions[at as usize]).filter(|s| s.floor > i64::MIN).collect();
        let hashes = Decimal128Array::from_iter_values(cut.iter().map(|s| s.key as i128)).with_data_type(HASH);
        let columns = [
            (HASH_COLUMN, Arc::new(hashes) as ArrayRef),
            ("first", times(cut.iter().map(|s| s.first).collect())),
            ("floor", times(cut.iter().map(|s| s.floor).collect())),
        ];
        to.put("sessions", &RecordBatch::try_from_iter(columns)?)
    }

    pub(super) fn load_from(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        let times = |c: usize| batch.column(c).as_primitive::<Int64Type>().values();
        match part {
            CLOCK => self.now = self.now.max(times(0)[0]),
            ROWS => {
                let (hashes, times) = marks(batch);
                let columns: Vec<usize> = (0..self.plan.schema.fields().len()).collect();
                let id = self.held.add(&batch.project(&columns)?, times);
                for (row, (&hash, &time)) in hashes.iter().zip(times).enumerate() {
                    // None of them was late.
                    self.held.join(&self.plan.rules, hash as u128, time, id | row as u64, i64::MIN);
                }
                self.fit()?;
            }
            _ => {
                let keys = batch.column(0).as_primitive::<Decimal128Type>().values();
                for ((&key, &first), &floor) in keys.iter().zip(times(1)).zip(times(2)) {
                    if let Some(at) = self.held.find(key as u128, first) {
                        self.held.sessions[at as usize].floor = floor;
                    }
                }
            }
        }
        Ok(())
    }
}
