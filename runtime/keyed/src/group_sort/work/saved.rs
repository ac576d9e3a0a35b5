//! What a `GroupSort` remembers, in parts.
//!
//! ```text
//! clock     how far event time has come
//! log-N     rows, as they arrived
//! left-N    those of them, and of the logs before, that have left
//! past      sessions of which rows have been sent: before which time no row can join them
//! ```
//!
//! A checkpoint costs what has changed since the last one, not what is open: it puts the newest log, which has all rows that
//! came after the one before was sealed, and keeps the others. Where a row is, in memory or on disk, does not matter to it. Once
//! half of what the logs have is gone, all that is open begins one log anew.

use super::Work;
use crate::group_sort::runs::{HASH, Mark, marks, rows_on_disk, store};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use hashbrown::HashSet;
use selvedge_node::{HASH_COLUMN, Result, Save};
use std::sync::Arc;

const CLOCK: &str = "clock";
const LEFT: &str = "left-";
const LOG: &str = "log-";
const PAST: &str = "past";

/// The fewest rows that are worth a log of their own. Few in tests, so that there are many.
const SEAL: u64 = if cfg!(test) { 16 } else { 4096 };
/// At most so many logs for all that is open.
const LOGS: u64 = 32;

/// What the last checkpoint has that does not change any more.
#[derive(Default)]
pub(super) struct Log {
    /// Rows that arrived before this are in sealed parts.
    sealed: u64,
    parts: Vec<String>,
    /// Rows in them, and how many of those have left.
    rows: u64,
    gone: u64,
    /// Key and arrival of those that have left since the last seal.
    left: Vec<(u128, u64)>,
    /// While state is loaded: the rows that are not to come back, by the low half of the key and arrival.
    lost: HashSet<(u64, u64)>,
}

impl Log {
    pub(super) fn bytes(&self) -> u64 {
        (self.left.capacity() * size_of::<(u128, u64)>() + self.lost.capacity() * 18) as u64
    }

    /// Takes note of a row that has left.
    pub(super) fn left(&mut self, key: u128, arrival: u64) {
        if arrival < self.sealed {
            self.gone += 1;
            self.left.push((key, arrival));
            if self.gone * 2 > self.rows {
                *self = Log::default();
            }
        }
    }
}

/// Columns of numbers, for the keys with these hashes.
fn of_keys<const N: usize>(keys: impl Iterator<Item = u128>, numbers: [(&str, Vec<i64>); N]) -> Result<RecordBatch> {
    let hashes = Decimal128Array::from_iter_values(keys.map(|key| key as i128)).with_data_type(HASH);
    let numbers = numbers.map(|(name, of)| (name, Arc::new(Int64Array::from(of)) as ArrayRef));
    Ok(RecordBatch::try_from_iter([(HASH_COLUMN, Arc::new(hashes) as ArrayRef)].into_iter().chain(numbers))?)
}

impl Work {
    pub(super) fn save_to(&mut self, to: &mut dyn Save) -> Result<()> {
        let now = Arc::new(Int64Array::from(vec![self.now])) as ArrayRef;
        to.put(CLOCK, &RecordBatch::try_from_iter([("now", now)])?)?;
        self.put_past(to)?;
        if !to.keep(&self.log.parts) {
            self.log = Log::default();
        }
        let number = self.log.parts.len();
        let (log, left) = (format!("{LOG}{number:06}"), format!("{LEFT}{number:06}"));
        let rows = self.put_since(self.log.sealed, &log, to)?;
        if !self.log.left.is_empty() {
            let arrivals = self.log.left.iter().map(|l| l.1 as i64).collect();
            to.put(&left, &of_keys(self.log.left.iter().map(|l| l.0), [("arrival", arrivals)])?)?;
        }
        let changed = rows + self.log.left.len() as u64;
        if changed >= SEAL && changed >= (self.log.rows - self.log.gone + rows) / LOGS {
            self.log.sealed = self.held.arrived();
            self.log.rows += rows;
            if rows > 0 {
                self.log.parts.push(log);
            }
            if !self.log.left.is_empty() {
                self.log.parts.push(left);
            }
            self.log.left = vec![];
        }
        Ok(())
    }

    /// Puts all rows that arrived at `since` or after and are still here. Answers how many.
    fn put_since(&self, since: u64, part: &str, to: &mut dyn Save) -> Result<u64> {
        let mut put = 0;
        for run in self.far.since(since).chain(self.runs.since(since)) {
            for batch in run? {
                let batch = batch?;
                let new = marks(&batch).arrivals.iter().map(|&arrival| Some(arrival as u64 >= since)).collect();
                let batch = filter_record_batch(&batch, &new)?;
                put += batch.num_rows() as u64;
                to.put(part, &batch)?;
            }
        }
        let size = rows_on_disk(&self.task, self.held.bytes() / self.held.rows.max(1));
        let (mut some, mut many, mut hashes) = (vec![], 0, vec![]);
        let schema = self.runs.schema();
        for rows in self.held.since(since) {
            let (batch, times, arrivals) = rows?;
            hashes.clear();
            self.plan.hasher.hash(&batch, &mut hashes);
            let marks = hashes.iter().zip(times).zip(arrivals);
            let marks: Vec<Mark> =
                marks.map(|((&key, time), arrival)| Mark { key, time, arrival, floor: i64::MIN }).collect();
            many += batch.num_rows();
            some.push(store(schema, batch.columns().to_vec(), &marks)?);
            if many >= size {
                to.put(part, &concat_batches(schema, &std::mem::take(&mut some))?)?;
                put += std::mem::take(&mut many) as u64;
            }
        }
        if many > 0 {
            to.put(part, &concat_batches(schema, &some)?)?;
        }
        Ok(put + many as u64)
    }

    fn put_past(&self, to: &mut dyn Save) -> Result<()> {
        if self.plan.rules.max == i64::MAX {
            return Ok(());
        }
        let open = self.held.open_sessions().into_iter().map(|at| &self.held.sessions[at as usize]);
        let here = open.filter(|s| s.floor > i64::MIN).map(|s| (s.key, s.first, s.floor));
        let all: Vec<_> = here.chain(self.far.floors()).collect();
        let numbers = |get: fn(&(u128, i64, i64)) -> i64| all.iter().map(get).collect();
        let columns = [("first", numbers(|s| s.1)), ("floor", numbers(|s| s.2))];
        if all.is_empty() { Ok(()) } else { to.put(PAST, &of_keys(all.iter().map(|s| s.0), columns)?) }
    }

    pub(super) fn load_from(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        let numbers = |column: usize| batch.column(column).as_primitive::<Int64Type>().values();
        if part == CLOCK {
            self.now = self.now.max(numbers(0)[0]);
        } else if part.starts_with(LOG) {
            return self.load_log(batch);
        } else {
            let keys = batch.column(0).as_primitive::<Decimal128Type>().values().iter().map(|&hash| hash as u128);
            if part.starts_with(LEFT) {
                self.log.lost.extend(keys.zip(numbers(1)).map(|(key, &arrival)| (key as u64, arrival as u64)));
                return self.fit();
            }
            for ((key, &first), &floor) in keys.zip(numbers(1)).zip(numbers(2)) {
                self.recall(&[key])?;
                if let Some(at) = self.held.find(key, first) {
                    let session = &mut self.held.sessions[at as usize];
                    session.floor = session.floor.max(floor);
                }
            }
        }
        Ok(())
    }

    fn load_log(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.log.lost.is_empty() {
            return self.take_back(batch);
        }
        let m = marks(batch);
        let rows = m.hashes.iter().zip(m.arrivals);
        let lost = &mut self.log.lost;
        let here: BooleanArray =
            rows.map(|(&hash, &arrival)| Some(!lost.remove(&(hash as u64, arrival as u64)))).collect();
        if lost.is_empty() {
            *lost = HashSet::new();
        }
        self.take_back(&filter_record_batch(batch, &here)?)
    }
}
