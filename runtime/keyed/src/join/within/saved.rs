//! What a join of near rows remembers, in parts.
//!
//! ```text
//! clock      per input: before which time rows are settled, how many have come
//! met-N      rows of the parts before that have met one since
//! rows-L-N   left rows, as they came, and rows-R-N right ones
//! ```
//!
//! A checkpoint costs what has changed since the last one: it puts the rows that came after the newest parts were sealed, and keeps
//! those. Rows that are settled stay in their parts; the clock says which they are. Once most of what the parts have is
//! settled, all that is held begins anew.

use super::block::{Block, arrivals};
use super::{Side, Work};
use crate::hashed::{hash_column, hashes};
use crate::join::{LEFT, RIGHT};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Decimal128Type, Field, Int64Type, Schema};
use hashbrown::HashSet;
use selvedge_node::{HASH_COLUMN, Result, Save};
use std::sync::Arc;

const CLOCK: &str = "clock";
const MET: &str = "met-";
const ROWS: [&str; 2] = ["rows-L-", "rows-R-"];

/// The fewest changes that are worth parts of their own. Few in tests, so that there are many.
const SEAL: u64 = if cfg!(test) { 16 } else { 4096 };
/// At most so many parts for all that is held.
const PARTS: u64 = 32;

/// What the last checkpoint has that does not change any more.
#[derive(Default)]
pub(super) struct Log {
    /// Rows of each input that arrived before this are in sealed parts.
    sealed: [i64; 2],
    parts: Vec<String>,
    /// Rows in them.
    rows: u64,
    /// The input, hash and arrival of those that have met a row since.
    met: Vec<(usize, i128, i64)>,
    /// While state is loaded: rows that have met one, and before which times rows were settled where they come from.
    known: HashSet<(usize, i64, i64)>,
    settled: Option<[i64; 2]>,
}

impl Log {
    pub(super) fn bytes(&self) -> u64 {
        (self.met.capacity() * size_of::<(usize, i128, i64)>() + self.known.capacity() * 25) as u64
    }

    /// Takes note that a row has met its first.
    pub(super) fn met(&mut self, port: usize, hash: i128, arrival: i64) {
        if arrival < self.sealed[port] {
            self.met.push((port, hash, arrival));
            if self.met.len() as u64 * 2 > self.rows {
                *self = Log::default();
            }
        }
    }
}

impl Work {
    pub(super) fn save_to(&mut self, to: &mut dyn Save) -> Result<()> {
        let numbers =
            |get: fn(&Side) -> i64| Arc::new(Int64Array::from_iter_values(self.sides.iter().map(get))) as ArrayRef;
        let clock = [("horizon", numbers(|s| s.horizon)), ("arrived", numbers(|s| s.arrived))];
        to.put(CLOCK, &RecordBatch::try_from_iter(clock)?)?;
        let held: u64 = self.sides.iter().flat_map(Side::blocks).map(|b| b.living as u64).sum();
        if self.log.rows > 2 * held + SEAL || !to.keep(&self.log.parts) {
            self.log = Log::default();
        }
        let name = |kind: &str| format!("{kind}{:06}", self.log.parts.len());
        let mut changed = vec![];
        let met = &self.log.met;
        if !met.is_empty() {
            let columns = [
                (HASH_COLUMN, hash_column(met.iter().map(|m| m.1))),
                ("arrival", Arc::new(Int64Array::from_iter_values(met.iter().map(|m| m.2)))),
                ("port", Arc::new(Int64Array::from_iter_values(met.iter().map(|m| m.0 as i64)))),
            ];
            to.put(&name(MET), &RecordBatch::try_from_iter(columns)?)?;
            changed.push(name(MET));
        }
        let mut rows = 0;
        for port in [LEFT, RIGHT] {
            let put = self.put_since(port, &name(ROWS[port]), to)?;
            if put > 0 {
                changed.push(name(ROWS[port]));
            }
            rows += put;
        }
        let changes = rows + met.len() as u64;
        if changes >= SEAL && changes >= held / PARTS {
            self.log.sealed = [LEFT, RIGHT].map(|port| self.sides[port].arrived);
            self.log.rows += rows;
            self.log.parts.extend(changed);
            self.log.met = vec![];
        }
        Ok(())
    }

    /// Puts the rows of an input that came after the last seal and are still of use. Answers how many.
    fn put_since(&self, port: usize, part: &str, to: &mut dyn Save) -> Result<u64> {
        let (side, sealed, alive) = (&self.sides[port], self.log.sealed[port], self.alive(port));
        let mut fields: Vec<_> = side.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("\0time", arrow::datatypes::DataType::Int64, false)));
        fields.push(Arc::new(Field::new("\0met", arrow::datatypes::DataType::Boolean, false)));
        let schema = Arc::new(Schema::new(fields));
        let mut put = 0;
        for block in side.blocks().filter(|b| b.until > sealed) {
            for (start, page) in block.pages() {
                let page = page?;
                let (times, met) = (&block.times[start..][..page.num_rows()], &block.met[start..][..page.num_rows()]);
                let rows = arrivals(&page).iter().zip(times).zip(met);
                let new: BooleanArray =
                    rows.map(|((&a, &time), met)| Some(a >= sealed && alive(time, met.get()))).collect();
                let mut columns = page.columns().to_vec();
                columns.push(Arc::new(Int64Array::from(times.to_vec())));
                columns.push(Arc::new(BooleanArray::from_iter(met.iter().map(|met| Some(met.get())))));
                let batch = filter_record_batch(&RecordBatch::try_new(schema.clone(), columns)?, &new)?;
                put += batch.num_rows() as u64;
                if batch.num_rows() > 0 {
                    to.put(part, &batch)?;
                }
            }
        }
        Ok(put)
    }

    pub(super) fn load_from(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        let numbers = |column: usize| batch.column(column).as_primitive::<Int64Type>().values();
        if part == CLOCK {
            // One of each instance: none may know more than all of them.
            let before = self.log.settled.is_some();
            for (port, side) in self.sides.iter_mut().enumerate() {
                let horizon = numbers(0)[port];
                side.horizon = if before { side.horizon.min(horizon) } else { horizon };
                side.arrived = side.arrived.max(numbers(1)[port]);
            }
            self.log.known.clear();
            self.log.settled = Some([numbers(0)[LEFT], numbers(0)[RIGHT]]);
        } else if part.starts_with(MET) {
            let keys = batch.column(0).as_primitive::<Decimal128Type>().values().iter().map(|&hash| hash as i64);
            let rows = keys.zip(numbers(1)).zip(numbers(2));
            self.log.known.extend(rows.map(|((key, &arrival), &port)| (port as usize, key, arrival)));
        } else {
            let port = if part.starts_with(ROWS[LEFT]) { LEFT } else { RIGHT };
            return self.take_back(port, batch);
        }
        Ok(())
    }

    fn take_back(&mut self, port: usize, batch: &RecordBatch) -> Result<()> {
        let settled = self.log.settled.map_or(i64::MIN, |settled| settled[port]);
        let once = port == LEFT && self.shape.how.left_only();
        let columns = batch.num_columns();
        let times = batch.column(columns - 2).as_primitive::<Int64Type>().values();
        let rows = batch.project(&(0..columns - 2).collect::<Vec<_>>())?;
        let had = batch.column(columns - 1).as_boolean();
        let keys = hashes(&rows).iter().zip(arrivals(&rows));
        let known = &mut self.log.known;
        let met: Vec<bool> = keys
            .enumerate()
            .map(|(row, (&key, &arrival))| had.value(row) || known.remove(&(port, key as i64, arrival)))
            .collect();
        let alive: Vec<bool> = times.iter().zip(&met).map(|(&time, &met)| time >= settled && !(met && once)).collect();
        let kept = |row: &usize| alive[*row];
        let these = |row: usize| (times[row], met[row]);
        let (times, met): (Vec<i64>, Vec<bool>) = (0..alive.len()).filter(kept).map(these).unzip();
        let rows = filter_record_batch(&rows, &BooleanArray::from(alive.clone()))?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let rows = RecordBatch::try_new(self.sides[port].schema.clone(), rows.columns().to_vec())?;
        self.sides[port].memory.push(Block::of(rows, &times, &met)?);
        self.merge(port)?;
        self.fit()
    }
}
