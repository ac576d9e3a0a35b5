//! What is remembered of keys, in parts that are written once: a list of what came new for each checkpoint, kept until all of it is
//! forgotten, and now and then a list of everything.

use super::Recent;
use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use selvedge_node::{HASH_COLUMN, Result, Save};
use selvedge_state::KeyMap;
use std::sync::Arc;

const CLOCK: &str = "clock";
/// Rows of a batch of the list.
const BATCH: usize = 64 << 10;
/// So many lists are made one.
const LISTS: usize = 64;
/// New keys take at most so many bytes, or a quarter of what all take: beyond that the next list is of everything.
const LEAST: u64 = 1 << 20;

/// What has changed since the last checkpoint.
#[derive(Default)]
pub(super) struct Log {
    /// `None` before the first checkpoint, and where more has changed than is worth noting.
    fresh: Option<Vec<(u128, i64)>>,
    /// The parts of the last checkpoint, and the latest number in each.
    lists: Vec<(String, i64)>,
    /// Lists written so far.
    count: u64,
}

impl Log {
    #[inline(always)]
    pub(super) fn note(&mut self, key: u128, value: i64) {
        if let Some(fresh) = &mut self.fresh {
            fresh.push((key, value));
        }
    }
    pub(super) fn bytes(&self) -> u64 {
        self.fresh.as_ref().map_or(0, |fresh| (fresh.capacity() * size_of::<(u128, i64)>()) as u64)
    }
    /// Gives up where it would take more than it saves.
    pub(super) fn stay_small(&mut self, all: u64) {
        if self.bytes() > LEAST.max(all / 4) {
            self.fresh = None;
        }
    }
}

/// A list on its way to the checkpoint.
struct List<'a> {
    to: &'a mut dyn Save,
    part: String,
    hashes: Vec<i128>,
    values: Vec<i64>,
    latest: i64,
}

impl List<'_> {
    fn push(&mut self, key: u128, value: i64) -> Result<()> {
        self.latest = self.latest.max(value);
        self.hashes.push(key as i128);
        self.values.push(value);
        if self.values.len() == BATCH { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> Result<()> {
        let hashes =
            Decimal128Array::from(std::mem::take(&mut self.hashes)).with_data_type(DataType::Decimal128(38, 0));
        let values = Int64Array::from(std::mem::take(&mut self.values));
        let columns = [(HASH_COLUMN, Arc::new(hashes) as ArrayRef), ("value", Arc::new(values) as ArrayRef)];
        self.to.put(&self.part, &RecordBatch::try_from_iter(columns)?)
    }
}

impl Recent {
    pub(super) fn save_to(&mut self, to: &mut dyn Save) -> Result<()> {
        let number = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
        to.put(
            CLOCK,
            &RecordBatch::try_from_iter([("horizon", number(self.horizon)), ("count", number(self.count))])?,
        )?;
        let horizon = self.horizon;
        self.log.lists.retain(|(_, latest)| *latest >= horizon);
        // All of them, and then the new one on top; or everything again.
        let fresh = self.log.fresh.take().filter(|_| self.log.lists.len() < LISTS);
        let lists: Vec<String> = self.log.lists.iter().map(|(part, _)| part.clone()).collect();
        let fresh = fresh.filter(|_| to.keep(&lists));
        self.log.count += 1;
        let part = format!("keys-{:012}", self.log.count);
        let mut list = List { to, part: part.clone(), hashes: vec![], values: vec![], latest: i64::MIN };
        let mut fresh = match fresh {
            Some(fresh) => {
                fresh.iter().try_for_each(|&(key, value)| list.push(key, value))?;
                fresh
            }
            None => {
                self.log.lists.clear();
                for run in &self.runs {
                    run.keys.each(|key, [value]| if value < horizon { Ok(()) } else { list.push(key, value) })?;
                }
                self.sent.each(|key, value| if value < horizon { Ok(()) } else { list.push(key, value) })?;
                vec![]
            }
        };
        list.put()?;
        self.log.lists.push((part, list.latest));
        fresh.clear();
        self.log.fresh = Some(fresh);
        Ok(())
    }

    pub(super) fn load_from(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        let numbers = |c: usize| batch.column(c).as_primitive::<Int64Type>().values();
        if part == CLOCK {
            self.horizon = self.horizon.max(numbers(0)[0]);
            self.count = self.count.max(numbers(1)[0]);
            return Ok(());
        }
        let keys: Vec<u128> =
            batch.column(0).as_primitive::<Decimal128Type>().values().iter().map(|&key| key as u128).collect();
        for (keys, values) in keys.chunks(super::STEP).zip(numbers(1).chunks(super::STEP)) {
            for (keys, values) in keys.chunks(KeyMap::TOGETHER).zip(values.chunks(KeyMap::TOGETHER)) {
                self.sent.touch(keys);
                for (&key, &value) in keys.iter().zip(values).filter(|(_, value)| **value >= self.horizon) {
                    self.sent.raise(key, value);
                }
            }
            self.fit()?;
        }
        Ok(())
    }
}
