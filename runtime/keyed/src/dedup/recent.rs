//! The first row of each key goes on at once, and its key is remembered for a time or for a number of rows.
//!
//! ```text
//! row ─► map: key → when it was sent last ──── too much for memory ───► runs on disk, the newest last
//!          ▲                                                              │ filter, then the page of the key
//!          └──────────────── what is not in the map is recalled ◄─────────┘
//! ```
//!
//! Before rows are judged, their keys are brought back into the map: it then knows all that there is to know of them. A run goes
//! as a file when its latest key is forgotten. What is forgotten but still there counts as not there.

mod saved;

use crate::group_sort::Clock;
use crate::send::send_kept;
use arrow::array::{BooleanBufferBuilder, Int64Array};
use selvedge_node::Reservation;
use selvedge_node::prelude::*;
use selvedge_state::{KeyMap, KeyRun, RowHasher};

/// Rows that are judged at once: what is recalled for them is little.
const STEP: usize = 1024;

/// How long a key is remembered.
#[derive(Clone)]
pub(crate) enum Within {
    /// Ticks of event time, earlier or later.
    Time(Clock, i64),
    /// Rows that were sent since.
    Rows(i64),
}

pub(crate) struct Recent {
    hasher: RowHasher,
    within: Within,
    /// For each key the time of its latest row that was sent, or how many rows had been sent with it.
    sent: KeyMap,
    runs: Vec<Run>,
    /// What is less is forgotten, and how much of the map has been thrown out for that: pieces, one after another, so often
    /// that all of them have their turn in an eighth of the time.
    horizon: i64,
    swept: i64,
    piece: usize,
    /// Rows sent.
    count: i64,
    log: saved::Log,
    reservation: Reservation,
    task: Task,
    hashes: Vec<u128>,
}

struct Run {
    keys: KeyRun<1>,
    latest: i64,
}

impl Recent {
    pub(crate) fn new(hasher: &RowHasher, within: &Within, task: &Task) -> Recent {
        Recent {
            hasher: hasher.clone(),
            within: within.clone(),
            sent: KeyMap::default(),
            runs: vec![],
            horizon: i64::MIN,
            swept: i64::MIN,
            piece: 0,
            count: 0,
            log: saved::Log::default(),
            reservation: task.memory.reserve(),
            task: task.clone(),
            hashes: vec![],
        }
    }

    /// The rows that have a time, and their times.
    fn timed(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<(RecordBatch, Option<Int64Array>)> {
        let Within::Time(clock, _) = &self.within else { return Ok((batch, None)) };
        let (batch, times) = clock.timed(batch, out)?;
        Ok((batch, Some(times)))
    }

    /// Brings what the runs know of these keys into the map. The newest run knows best.
    fn recall(&mut self, from: usize, to: usize) -> Result<()> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let mut missing = vec![];
        for keys in self.hashes[from..to].chunks(KeyMap::TOGETHER) {
            self.sent.touch(keys);
            missing.extend(keys.iter().copied().filter(|&key| self.sent.get(key).is_none()));
        }
        for run in self.runs.iter().rev() {
            let (sent, horizon) = (&mut self.sent, self.horizon);
            let before = sent.len();
            run.keys.find_all(&missing, |key, [value]| {
                if value >= horizon {
                    sent.set(key, value);
                }
            })?;
            if sent.len() > before {
                missing.retain(|&key| sent.get(key).is_none());
            }
        }
        Ok(())
    }

    /// Whether the row is the first of its key; if so it is remembered.
    #[inline(always)]
    fn judge(&mut self, key: u128, time: i64) -> bool {
        let before = self.sent.get(key).filter(|&before| before >= self.horizon);
        match self.within {
            Within::Time(_, length) => {
                let repeats = before.is_some_and(|before| before.abs_diff(time) <= length.unsigned_abs());
                if !repeats && before.is_none_or(|before| before < time) {
                    self.sent.set(key, time);
                    self.log.note(key, time);
                }
                !repeats
            }
            Within::Rows(rows) => {
                if before.is_none() {
                    self.count += 1;
                    self.horizon = self.count.saturating_sub(rows - 1);
                    self.sent.set(key, self.count);
                    self.log.note(key, self.count);
                }
                before.is_none()
            }
        }
    }

    /// Throws out what is forgotten: some pieces of the map, and runs.
    fn sweep(&mut self) {
        let length = match self.within {
            Within::Time(_, length) => length,
            Within::Rows(rows) => rows,
        };
        let each = (length / 8 / KeyMap::PIECES as i64).max(1);
        let due = self.horizon.saturating_sub(self.swept) / each;
        if due == 0 {
            return;
        }
        for _ in 0..due.min(KeyMap::PIECES as i64) {
            self.sent.forget(self.piece, self.horizon);
            self.piece = (self.piece + 1) % KeyMap::PIECES;
        }
        self.swept = self.horizon;
        self.runs.retain(|run| run.latest >= self.horizon);
    }

    fn runs_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.keys.bytes()).sum()
    }

    /// Keeps to the budget: the map goes to disk if need be, as long as it is worth a run.
    fn fit(&mut self) -> Result<()> {
        let least = (self.task.memory.limit() / 64).clamp(4 << 10, 64 << 10);
        let runs = self.runs_bytes();
        self.log.stay_small(self.sent.bytes() + runs);
        let bytes = self.sent.bytes() + runs + self.log.bytes();
        if bytes <= least {
            self.reservation.resize(bytes);
            return Ok(());
        }
        if self.reservation.try_resize(bytes) {
            return Ok(());
        }
        if self.sent.bytes() >= runs / 4 {
            self.freeze()?;
        }
        let bytes = self.sent.bytes() + self.runs_bytes() + self.log.bytes();
        if bytes <= least {
            self.reservation.resize(bytes);
        } else if !self.reservation.try_hold(bytes) {
            let keys = self.sent.len() + self.runs.iter().map(|run| run.keys.len()).sum::<usize>();
            return Err(Error::world(format!("{keys} keys to remember take more than is left of the memory budget"))
                .help("raise --memory, or remember keys for less time with a smaller `for` or `rows` in `within`"));
        }
        Ok(())
    }

    /// Writes the map to disk as the newest run.
    fn freeze(&mut self) -> Result<()> {
        let mut writer = KeyRun::create(&self.task.scratch, self.sent.len())?;
        let (horizon, mut latest) = (self.horizon, i64::MIN);
        self.sent.drain(|key, value| {
            latest = latest.max(value);
            if value < horizon { Ok(()) } else { writer.push(key, [value]) }
        })?;
        if latest >= horizon {
            self.runs.push(Run { keys: writer.finish()?, latest });
        }
        Ok(())
    }
}

impl Transform for Recent {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let (batch, times) = self.timed(batch, out)?;
        self.hashes.clear();
        self.hasher.hash(&batch, &mut self.hashes);
        // The map has no place for the key 0.
        self.hashes.iter_mut().for_each(|key| *key = (*key).max(1));
        let mut new = BooleanBufferBuilder::new(batch.num_rows());
        for from in (0..batch.num_rows()).step_by(STEP) {
            let to = batch.num_rows().min(from + STEP);
            self.recall(from, to)?;
            for start in (from..to).step_by(KeyMap::TOGETHER) {
                let end = to.min(start + KeyMap::TOGETHER);
                self.sent.touch(&self.hashes[start..end]);
                for row in start..end {
                    let time = times.as_ref().map_or(0, |times| times.value(row));
                    let first = self.judge(self.hashes[row], time);
                    new.append(first);
                }
            }
            if matches!(self.within, Within::Rows(_)) {
                self.sweep();
            }
            self.fit()?;
        }
        send_kept(&batch, new.finish(), "duplicate", &self.task, out)
    }

    fn watermark(&mut self, time: i64, _: &mut dyn Out) -> Result<i64> {
        if let Within::Time(clock, length) = &self.within {
            self.horizon = self.horizon.max(clock.ticks(time).saturating_sub(*length));
            self.sweep();
            self.fit()?;
        }
        Ok(time)
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        self.save_to(to)
    }

    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        self.load_from(part, &batch)
    }

    fn finish(&mut self, _: &mut dyn Out) -> Result<()> {
        self.sent = KeyMap::default();
        self.runs.clear();
        self.reservation.resize(0);
        Ok(())
    }
}
