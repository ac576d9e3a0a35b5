//! The first row of each key goes on at once; only hashes are kept.
//!
//! ```text
//! row ─► in the set? ─yes─► duplicate
//!            │no
//!            ▼
//!        may the set take it? ─yes─► sent
//!            │no, and never again
//!            ▼
//!        set aside with all later rows of its key: partitions, each then done the same way with a set of its own
//! ```
//!
//! A segment of the set that was once refused memory stays as it is, so a key set aside once is set aside always: no key is
//! sent twice, however the budget breathes. What has rows set aside and comes out of a checkpoint, where segments are not known any more,
//! takes in no key at all. A giant key needs one slot, so skew costs nothing.

use crate::hashed::{hash_column, hash_field, hashes, unhashed};
use crate::send::send_kept;
use arrow::array::BooleanBufferBuilder;
use selvedge_node::prelude::*;
use selvedge_node::{Reservation, Save};
use selvedge_state::{Inserted, KeySet, Partitions, RowHasher};

/// What a set may always have: without it, a run whose budget is taken would only ever set rows aside.
fn floor(task: &Task) -> u64 {
    (task.memory.limit() / 64).min(64 << 10)
}

/// Parts of a checkpoint: the keys that were sent, and the rows that were set aside.
const SENT: &str = "sent";
const ASIDE: &str = "aside";
/// Keys in a batch of it.
const SAVED_KEYS: usize = 64 << 10;

pub(crate) struct Distinct {
    hasher: RowHasher,
    task: Task,
    pass: Pass,
    hashes: Vec<u128>,
}

/// One go at some rows: all that come in, or those of a partition.
struct Pass {
    set: KeySet,
    reservation: Reservation,
    /// The set has been refused memory.
    full: bool,
    /// The set takes in no key any more.
    closed: bool,
    /// Rows set aside. `None`: nowhere to set aside to, so the set must grow.
    aside: Option<Partitions>,
}

impl Pass {
    fn new(task: &Task, aside: Option<Partitions>) -> Pass {
        Pass { set: KeySet::default(), reservation: task.memory.reserve(), full: false, closed: false, aside }
    }

    fn take(&mut self, batch: &RecordBatch, hashes: &[u128], task: &Task, out: &mut dyn Out) -> Result<()> {
        let rows = batch.num_rows();
        let mut new = BooleanBufferBuilder::new(rows);
        let mut aside = vec![];
        let (reservation, full, must) = (&mut self.reservation, &mut self.full, self.aside.is_none());
        let floor = floor(task);
        let may_grow = |bytes: u64| {
            if must || bytes <= floor {
                reservation.resize(bytes);
            } else if *full || !reservation.try_resize(bytes) {
                *full = true;
                return false;
            }
            true
        };
        let mut then = |row: usize, what| {
            new.append(what == Inserted::New);
            if what == Inserted::Refused {
                aside.push(row as u32);
            }
        };
        if self.closed {
            self.set.contains_all(hashes, |row, is| then(row, if is { Inserted::Seen } else { Inserted::Refused }));
        } else {
            self.set.insert_all(hashes, may_grow, then);
        }
        // What growing took besides is free again.
        if self.reservation.bytes() > self.set.bytes() {
            self.reservation.resize(self.set.bytes());
        }
        let new = new.finish();
        let Some(partitions) = self.aside.as_mut().filter(|_| !aside.is_empty()) else {
            return send_kept(batch, new, "duplicate", task, out);
        };
        if aside.len() == rows {
            return partitions.push(batch, hashes);
        }
        let hashes: Vec<u128> = aside.iter().map(|&r| hashes[r as usize]).collect();
        let later = arrow::array::UInt32Array::from(aside);
        partitions.push(&arrow::compute::take_record_batch(batch, &later)?, &hashes)?;
        // What remains: rows that are neither new nor set aside are duplicates.
        let mut decided = vec![true; rows];
        later.values().iter().for_each(|&r| decided[r as usize] = false);
        let decided = BooleanArray::from(decided);
        let new = arrow::compute::filter(&BooleanArray::new(new, None), &decided)?;
        let batch = arrow::compute::filter_record_batch(batch, &decided)?;
        send_kept(&batch, arrow::array::AsArray::as_boolean(&new).values().clone(), "duplicate", task, out)
    }

    fn finish(self, task: &Task, out: &mut dyn Out) -> Result<()> {
        let Some(partitions) = self.aside else { return Ok(()) };
        // No row set aside is in the set: its memory serves the partitions.
        drop((self.set, self.reservation));
        for partition in partitions.drain()?.filter(|p| !p.is_empty()) {
            let mut pass = Pass::new(task, partition.deeper());
            for piece in partition.read() {
                if out.stopping() {
                    return Err(Error::stopped());
                }
                let piece = piece?;
                pass.take(&piece.batch, &piece.hashes, task, out)?;
            }
            drop(partition);
            pass.finish(task, out)?;
        }
        Ok(())
    }
}

impl Distinct {
    pub(crate) fn new(schema: &SchemaRef, hasher: &RowHasher, task: &Task) -> Result<Distinct> {
        let pass = Pass::new(task, Some(Partitions::new(task, schema)));
        Ok(Distinct { hasher: hasher.clone(), task: task.clone(), pass, hashes: vec![] })
    }
}

impl Transform for Distinct {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        self.hasher.hash(&batch, &mut self.hashes);
        self.pass.take(&batch, &self.hashes, &self.task, out)
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        let schema = Arc::new(Schema::new(vec![hash_field()]));
        let keys: Vec<i128> = self.pass.set.keys().map(|key| key as i128).collect();
        for keys in keys.chunks(SAVED_KEYS) {
            to.put(SENT, &RecordBatch::try_new(schema.clone(), vec![hash_column(keys.iter().copied())])?)?;
        }
        self.pass.aside.iter_mut().try_for_each(|aside| aside.each(|rows| to.put(ASIDE, rows)))
    }

    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        let Pass { set, reservation, closed, aside, .. } = &mut self.pass;
        if part == ASIDE {
            let (rows, hashes) = unhashed(&batch)?;
            *closed = true;
            return aside.iter_mut().try_for_each(|aside| aside.push(&rows, &hashes));
        }
        let keys: Vec<u128> = hashes(&batch).iter().map(|&key| key as u128).collect();
        set.insert_all(&keys, |_| true, |_, _| {});
        reservation.resize(set.bytes());
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        let pass = std::mem::replace(&mut self.pass, Pass::new(&self.task, None));
        pass.finish(&self.task, out)
    }
}
