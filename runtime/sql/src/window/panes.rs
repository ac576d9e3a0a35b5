//! Partial results by key and pane, in memory; and as rows, for what is sorted or set aside on disk.

use super::Plan;
use crate::grouping::groups::Groups;
use crate::grouping::{Taken, batch_of};
use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema, SchemaRef};
use selvedge_node::{Error, Result};
use selvedge_state::Piece;
use std::sync::Arc;

const HASH: DataType = DataType::Decimal128(38, 0);

/// The schema of partial results as rows: keys and states, then the first and the last time and the hash of the key.
pub(super) fn stored(states: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<_> = states.fields().iter().cloned().collect();
    let besides = [("\0first", DataType::Int64), ("\0last", DataType::Int64), ("\0hash", HASH)];
    fields.extend(besides.map(|(name, ty)| Arc::new(Field::new(name, ty, false))));
    Arc::new(Schema::new(fields))
}

/// What stands in the last columns of stored rows.
pub(super) struct Stored<'a> {
    pub first: &'a [i64],
    pub last: &'a [i64],
    pub hash: &'a [i128],
}

impl<'a> Stored<'a> {
    pub fn of(batch: &'a RecordBatch) -> Result<Stored<'a>> {
        let [.., first, last, hash] = batch.columns() else {
            return Err(Error::bug("stored panes without their times"));
        };
        Ok(Stored {
            first: first.as_primitive::<Int64Type>().values(),
            last: last.as_primitive::<Int64Type>().values(),
            hash: hash.as_primitive::<Decimal128Type>().values(),
        })
    }
}

/// The identity of a key in a pane or window. A sum, so that the key's own hash can be taken out again.
pub(super) fn identity(hash: u128, time: i64) -> u128 {
    hash.wrapping_add(spread(time))
}

/// Times that lie close together go far apart in both halves of the hash.
fn spread(time: i64) -> u128 {
    (time as u64 as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

pub(super) struct Panes {
    groups: Groups,
    /// By group.
    first: Vec<i64>,
    last: Vec<i64>,
}

impl Panes {
    pub fn new(plan: &Plan) -> Result<Panes> {
        Ok(Panes { groups: Groups::new(&plan.aggregates)?, first: vec![], last: vec![] })
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Bytes that the panes may take once `rows` more rows with these keys are in.
    pub fn bytes_with(&self, rows: usize, keys: &RecordBatch) -> u64 {
        self.groups.bytes_with(rows, keys) + (self.len() + rows) as u64 * 24
    }

    /// Takes rows of the input into the panes of these identities.
    pub fn update(&mut self, keys: &RecordBatch, ids: &[u128], taken: &[Taken], times: &[i64]) -> Result<()> {
        self.groups.update(keys, ids, taken)?;
        self.widen(times, times);
        Ok(())
    }

    /// Takes stored rows into the panes of these identities.
    pub fn merge(&mut self, plan: &Plan, rows: &RecordBatch, ids: Vec<u128>) -> Result<()> {
        let keys = plan.keys_of(rows)?;
        self.groups.merge(&keys, &Piece { batch: rows.clone(), hashes: ids })?;
        let Stored { first, last, .. } = Stored::of(rows)?;
        self.widen(first, last);
        Ok(())
    }

    fn widen(&mut self, first: &[i64], last: &[i64]) {
        self.first.resize(self.groups.len(), i64::MAX);
        self.last.resize(self.groups.len(), i64::MIN);
        for ((&number, &first), &last) in self.groups.numbers().iter().zip(first).zip(last) {
            self.first[number] = self.first[number].min(first);
            self.last[number] = self.last[number].max(last);
        }
    }

    /// When the next window may end.
    pub fn due(&self, plan: &Plan, closed: i64) -> i64 {
        let spans = &plan.spans;
        let each = self.first.iter().zip(&self.last).map(|(&first, &last)| spans.due(spans.slot(first), last, closed));
        each.min().unwrap_or(super::spans::NEVER)
    }

    /// Gives everything away as stored rows.
    pub fn drain(&mut self, plan: &Plan) -> Result<Vec<RecordBatch>> {
        let (first, last) = (std::mem::take(&mut self.first), std::mem::take(&mut self.last));
        let mut batches = vec![];
        let mut at = 0;
        self.groups.drain(&plan.states, &mut |batch, ids| {
            let rows = at..at + ids.len();
            at = rows.end;
            let (first, last) = (&first[rows.clone()], &last[rows]);
            let times = first.iter().zip(last);
            let hashes = ids
                .iter()
                .zip(times)
                .map(|(&id, (&first, &last))| id.wrapping_sub(spread(plan.spans.slot_of(first, last))) as i128);
            let hashes = Decimal128Array::from_iter_values(hashes).with_data_type(HASH);
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(Int64Array::from(first.to_vec())) as ArrayRef);
            columns.push(Arc::new(Int64Array::from(last.to_vec())));
            columns.push(Arc::new(hashes));
            batches.push(batch_of(&plan.stored, columns, ids.len())?);
            Ok(())
        })?;
        Ok(batches)
    }
}
