//! Left rows meet the table: what they match is sent beside them, and what each row became is told to the ledger.

use super::How;
use super::shape::{Rows, Shape};
use super::table::{NONE, Table};
use crate::send::{send, send_kept};
use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter_record_batch;
use selvedge_node::{Out, Result, Task};

/// A table and where its matches go.
pub(crate) struct Probe<'a> {
    pub shape: &'a Shape,
    pub table: &'a mut Table,
    pub task: &'a Task,
    pub out: &'a mut dyn Out,
}

/// Whether each left row of a part has had a match, where the table comes in several goes.
pub(crate) struct Counts(Vec<bool>);

impl Counts {
    pub(crate) fn new(rows: u64) -> Counts {
        Counts(vec![false; rows as usize])
    }
}

impl Probe<'_> {
    fn keys(&self, hashes: &[u128], nulls: Option<&NullBuffer>) -> Vec<u32> {
        let mut keys = vec![];
        self.table.find(hashes, &mut keys);
        if let Some(nulls) = nulls {
            keys.iter_mut().zip(nulls).filter(|(_, valid)| !valid).for_each(|(k, _)| *k = NONE);
        }
        keys
    }

    /// Left rows that meet all right rows here: each of them is dealt with.
    pub(crate) fn batch(&mut self, batch: &RecordBatch, hashes: &[u128], nulls: Option<&NullBuffer>) -> Result<()> {
        let keys = self.keys(hashes, nulls);
        let how = self.shape.how;
        let matched = |keys: &[u32]| BooleanBuffer::collect_bool(keys.len(), |i| keys[i] != NONE);
        match how {
            How::Semi => send_kept(batch, matched(&keys), "no match", self.task, self.out),
            How::Anti => send_kept(batch, !&matched(&keys), "matched", self.task, self.out),
            How::Inner | How::Right => {
                if keys.contains(&NONE) {
                    let lonely = BooleanArray::new(!&matched(&keys), None);
                    self.out.drop_where("no match", batch, &lonely);
                }
                self.emit(batch, &keys, false, |_| false)
            }
            How::Left | How::Full => self.emit(batch, &keys, true, |_| false),
        }
    }

    /// Left rows that meet some of the right rows: pairs are sent, and who has had a match is noted for [`counted`].
    pub(crate) fn pairs(
        &mut self,
        batch: &RecordBatch,
        hashes: &[u128],
        counts: &mut Counts,
        first: usize,
    ) -> Result<()> {
        let keys = self.keys(hashes, None);
        let had = counts.0[first..first + keys.len()].to_vec();
        keys.iter().enumerate().filter(|(_, k)| **k != NONE).for_each(|(i, _)| counts.0[first + i] = true);
        if self.shape.how.left_only() { Ok(()) } else { self.emit(batch, &keys, false, |row| had[row]) }
    }

    /// Sends each left row beside each row of its key; beside nothing if `lonely`. A row's first match is the row itself,
    /// unless it `had` one before; every other is created.
    fn emit(&mut self, batch: &RecordBatch, keys: &[u32], lonely: bool, had: impl Fn(usize) -> bool) -> Result<()> {
        let size = self.task.batch_rows.max(1);
        let mut left: Vec<u32> = Vec::with_capacity(keys.len().min(size));
        let mut right: Vec<u32> = Vec::with_capacity(keys.len().min(size));
        let mut multiplied = 0;
        for (row, &key) in keys.iter().enumerate() {
            let matches = match key {
                NONE if !lonely => continue,
                NONE => 1,
                key => {
                    let matches = self.table.count(key);
                    multiplied += matches as u64 - u64::from(!had(row));
                    matches
                }
            };
            for i in 0..matches {
                left.push(row as u32);
                right.push(if key == NONE { NONE } else { self.table.row(key, i) });
                if left.len() == size {
                    self.send_pairs(batch, &mut left, &mut right)?;
                }
            }
        }
        if multiplied > 0 {
            self.out.create("multiplied", multiplied);
        }
        self.send_pairs(batch, &mut left, &mut right)
    }

    fn send_pairs(&mut self, batch: &RecordBatch, left: &mut Vec<u32>, right: &mut Vec<u32>) -> Result<()> {
        if left.is_empty() {
            return Ok(());
        }
        self.table.mark(right);
        // Each row once and in order: the usual case of a foreign key, and nothing to copy.
        let whole = left.len() == batch.num_rows() && left.iter().enumerate().all(|(i, &row)| i == row as usize);
        let sent = match whole {
            true => self.shape.pairs(batch, Rows::All, self.table, right)?,
            false => {
                let rows = UInt32Array::from(std::mem::take(left));
                self.shape.pairs(batch, Rows::Some(&rows), self.table, right)?
            }
        };
        left.clear();
        right.clear();
        self.out.send(0, sent)
    }

    /// The right rows that nothing matched, once all left rows have passed.
    pub(crate) fn unmatched_right(&mut self) -> Result<()> {
        if self.shape.how.unmatched_right() {
            for lonely in self.table.not_found() {
                lonely_right(self.shape, &lonely?, self.task, self.out)?;
            }
        }
        Ok(())
    }
}

/// Left rows after all right rows have come by in several goes.
pub(crate) fn counted(
    shape: &Shape,
    batch: &RecordBatch,
    counts: &Counts,
    first: usize,
    task: &Task,
    out: &mut dyn Out,
) -> Result<()> {
    let matched = BooleanBuffer::from(&counts.0[first..first + batch.num_rows()]);
    match shape.how {
        How::Semi => send_kept(batch, matched, "no match", task, out),
        How::Anti => send_kept(batch, !&matched, "matched", task, out),
        _ => lonely_left(shape, &filter_record_batch(batch, &BooleanArray::new(!&matched, None))?, task, out),
    }
}

/// Left rows that match nothing.
pub(crate) fn lonely_left(shape: &Shape, batch: &RecordBatch, task: &Task, out: &mut dyn Out) -> Result<()> {
    match shape.how {
        How::Left | How::Full => send(shape.left(batch)?, task, out),
        How::Anti => send(batch.clone(), task, out),
        How::Inner | How::Right | How::Semi => {
            out.drop_all("no match", batch);
            Ok(())
        }
    }
}

/// Right rows that match nothing. They are absorbed like all right rows; those sent are created.
pub(crate) fn lonely_right(shape: &Shape, batch: &RecordBatch, task: &Task, out: &mut dyn Out) -> Result<()> {
    if !shape.how.unmatched_right() || batch.num_rows() == 0 {
        return Ok(());
    }
    out.create("unmatched right", batch.num_rows() as u64);
    send(shape.right(batch)?, task, out)
}
