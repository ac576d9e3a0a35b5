//! The first row of each key goes on at once, and its key is remembered until event time has left it behind.
//!
//! Keys stand in lists by the time of their row, a 64th of the length apart: a watermark throws whole lists away, and what it
//! looks at it forgets.

use crate::LEAST;
use crate::group_sort::Clock;
use crate::send::send_kept;
use arrow::array::BooleanBufferBuilder;
use selvedge_node::Reservation;
use selvedge_node::prelude::*;
use selvedge_state::RowHasher;
use std::collections::BTreeMap;

/// What a key takes: in the map with its room to grow, and in the lists.
const KEY_BYTES: u64 = 80;

pub(crate) struct Recent {
    hasher: RowHasher,
    clock: Clock,
    length: i64,
    /// The time of the latest row of each key that was sent.
    sent: hashbrown::HashMap<u128, i64>,
    lists: BTreeMap<i64, Vec<u128>>,
    reservation: Reservation,
    task: Task,
    hashes: Vec<u128>,
}

impl Recent {
    pub(crate) fn new(hasher: &RowHasher, clock: &Clock, micros: i64, task: &Task) -> Recent {
        Recent {
            hasher: hasher.clone(),
            length: clock.ticks(micros),
            clock: clock.clone(),
            sent: hashbrown::HashMap::new(),
            lists: BTreeMap::new(),
            reservation: task.memory.reserve(),
            task: task.clone(),
            hashes: vec![],
        }
    }

    fn width(&self) -> i64 {
        (self.length / 64).max(1)
    }

    fn fit(&mut self) -> Result<()> {
        let bytes = self.sent.len() as u64 * KEY_BYTES;
        if bytes <= LEAST {
            self.reservation.resize(bytes);
            return Ok(());
        }
        if self.reservation.try_take(bytes) {
            return Ok(());
        }
        let keys = self.sent.len();
        Err(Error::world(format!("{keys} keys to remember take more than is left of the memory budget"))
            .help("raise --memory, or remember keys for less time with a smaller `for` in `within`"))
    }
}

impl Transform for Recent {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let (mut batch, mut times) = (batch.clone(), self.clock.read(&batch)?);
        if times.null_count() > 0 {
            let bad: Vec<usize> = (0..batch.num_rows()).filter(|&row| times.is_null(row)).collect();
            let story = |_| "expected a time, found null or one too far from 1970 to be told in 64 bits".to_string();
            out.reject_rows("null_time", &batch, &bad, &story)?;
            let good = arrow::compute::is_not_null(&times)?;
            batch = arrow::compute::filter_record_batch(&batch, &good)?;
            times = arrow::array::AsArray::as_primitive(&arrow::compute::filter(&times, &good)?).clone();
        }
        self.hashes.clear();
        self.hasher.hash(&batch, &mut self.hashes);
        let width = self.width();
        let mut new = BooleanBufferBuilder::new(batch.num_rows());
        for (&key, &time) in self.hashes.iter().zip(times.values()) {
            let before = self.sent.get(&key).copied();
            let repeats = before.is_some_and(|before| before.abs_diff(time) <= self.length.unsigned_abs());
            new.append(!repeats);
            if !repeats && before.is_none_or(|before| before < time) {
                self.sent.insert(key, time);
                self.lists.entry(time.div_euclid(width)).or_default().push(key);
            }
        }
        self.fit()?;
        send_kept(&batch, new.finish(), "duplicate", &self.task, out)
    }

    fn watermark(&mut self, time: i64, _: &mut dyn Out) -> Result<i64> {
        let width = self.width();
        let past = self.clock.ticks(time).saturating_sub(self.length).div_euclid(width);
        while let Some(list) = self.lists.first_entry().filter(|list| *list.key() < past) {
            let slot = *list.key();
            for key in list.remove() {
                // A later row of the key may have taken its place: that one is in a later list.
                if self.sent.get(&key).is_some_and(|sent| sent.div_euclid(width) <= slot) {
                    self.sent.remove(&key);
                }
            }
        }
        if self.sent.len() < self.sent.capacity() / 4 {
            self.sent.shrink_to(self.sent.len() * 2);
        }
        self.fit()?;
        Ok(time)
    }

    fn finish(&mut self, _: &mut dyn Out) -> Result<()> {
        (self.sent, self.lists) = Default::default();
        self.reservation.resize(0);
        Ok(())
    }
}
