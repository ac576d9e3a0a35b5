//! A running `GroupSort`: rows come into sessions, sessions that are over leave; what is too much for memory goes by the disk.

mod saved;

use super::Clock;
use super::held::Held;
use super::runs::{Runs, marks, rows_on_disk, store, stored};
use super::session::{Cut, Rules};
use crate::LEAST;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use selvedge_node::Reservation;
use selvedge_node::prelude::*;
use selvedge_state::{RowHasher, SpillWriter};

/// Output ports.
const SORTED: usize = 0;
const LATE: usize = 1;

pub(crate) struct Plan {
    pub rules: Rules,
    pub schema: SchemaRef,
    pub output: SchemaRef,
    pub hasher: RowHasher,
    pub clock: Clock,
    pub session: bool,
    pub position: bool,
    /// Watermarks come.
    pub unbounded: bool,
}

pub(crate) struct Work {
    plan: Arc<Plan>,
    task: Task,
    held: Held,
    runs: Runs,
    reservation: Reservation,
    /// How far event time has come, in ticks.
    now: i64,
    /// Rows on disk of sessions that are due, and when the disk was last gone through.
    due_on_disk: u64,
    swept: i64,
    /// Rows that leave next, and the session and place of each.
    ready: Vec<(i64, u64)>,
    cut: Cut,
    tags: Tags,
    hashes: Vec<u128>,
}

/// The new columns of rows that leave.
#[derive(Default)]
struct Tags {
    ids: Vec<u128>,
    positions: Vec<i64>,
}

impl Tags {
    fn push(&mut self, cut: &Cut) {
        self.ids.push(cut.id());
        self.positions.push(cut.position);
    }

    fn columns(&self, plan: &Plan, columns: &mut Vec<ArrayRef>) {
        if plan.session {
            let mut text = String::new();
            let mut last = None;
            columns.push(Arc::new(StringArray::from_iter_values(self.ids.iter().map(|&id| {
                if last.replace(id) != Some(id) {
                    text = format!("{id:032x}");
                }
                text.clone()
            }))));
        }
        if plan.position {
            columns.push(Arc::new(Int64Array::from(self.positions.clone())));
        }
    }
}

/// What rows in memory may always take.
fn floor(task: &Task) -> u64 {
    (task.memory.limit() / 64).min(256 << 10)
}

impl Work {
    pub(crate) fn new(plan: Arc<Plan>, task: &Task) -> Work {
        Work {
            runs: Runs::new(stored(&plan.schema)),
            plan,
            task: task.clone(),
            held: Held::default(),
            reservation: task.memory.reserve(),
            now: i64::MIN,
            due_on_disk: 0,
            swept: i64::MIN,
            ready: vec![],
            cut: Cut::default(),
            tags: Tags::default(),
            hashes: vec![],
        }
    }

    /// The rows that have a key and a time.
    fn sound(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<(RecordBatch, Int64Array)> {
        let times = self.plan.clock.read(&batch)?;
        let keyless = self.plan.hasher.null_keys(&batch);
        if keyless.is_none() && times.null_count() == 0 {
            return Ok((batch, times));
        }
        let no_key = |row: usize| keyless.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let rows = 0..batch.num_rows();
        let nulls: Vec<usize> = rows.clone().filter(|&row| no_key(row)).collect();
        out.reject_rows("null_key", &batch, &nulls, &|_| "expected a value in each key column, found null".into())?;
        let timeless: Vec<usize> = rows.clone().filter(|&row| !no_key(row) && times.is_null(row)).collect();
        let story = |_| "expected a time, found null or one too far from 1970 to be told in 64 bits".to_string();
        out.reject_rows("null_time", &batch, &timeless, &story)?;
        let good = BooleanArray::from_iter(rows.map(|row| Some(!no_key(row) && times.is_valid(row))));
        let times = arrow::compute::filter(&times, &good)?;
        let times = arrow::array::AsArray::as_primitive(&times).clone();
        Ok((filter_record_batch(&batch, &good)?, times))
    }

    /// Within a fair share, or in a quarter of the budget where nobody else needs it: sessions that go by the disk are slow.
    fn fits(&mut self, bytes: u64) -> bool {
        self.reservation.try_resize(bytes) || bytes <= self.task.memory.limit() / 4 && self.reservation.try_take(bytes)
    }

    /// Keeps to the budget: rows go to disk if need be.
    fn fit(&mut self) -> Result<()> {
        self.held.compact(&self.plan.schema, self.task.batch_rows)?;
        let bytes = self.held.bytes();
        if bytes <= floor(&self.task) {
            self.reservation.resize(bytes);
        } else if !self.fits(bytes) {
            self.spill()?;
            let left = self.held.bytes();
            if left <= LEAST {
                self.reservation.resize(left);
            } else if !self.reservation.try_take(left) {
                return Err(Error::world(format!(
                    "{} open sessions take {left} bytes, more than is left of the memory budget",
                    self.held.open_sessions().len()
                ))
                .help("raise --memory, or let sessions end earlier with a smaller `gap` or `max_session`"));
            }
        }
        Ok(())
    }

    /// Writes all rows in memory to disk as one sorted run. In a stream their sessions stay.
    fn spill(&mut self) -> Result<()> {
        if self.held.rows == 0 {
            return Ok(());
        }
        let average = self.held.bytes() / self.held.rows;
        let size = rows_on_disk(&self.task, average);
        let mut writer = SpillWriter::create(&self.task.scratch, self.runs.schema())?;
        let (mut rows, mut keys) = (vec![], vec![]);
        let order = self.held.in_order();
        for (i, &at) in order.iter().enumerate() {
            let before = rows.len();
            self.held.take(at, &mut rows);
            let session = &mut self.held.sessions[at as usize];
            session.disk += (rows.len() - before) as u64;
            keys.resize(rows.len(), session.key);
            if rows.len() < size && i + 1 < order.len() {
                continue;
            }
            for (some, keys) in rows.chunks(size).zip(keys.chunks(size)) {
                let columns = self.held.gather(&self.plan.schema, some)?;
                let (keys, times) = (keys.iter().copied(), some.iter().map(|(time, _)| *time));
                writer.write(&store(self.runs.schema(), columns, keys, times)?)?;
            }
            self.held.let_go(&rows);
            rows.clear();
            keys.clear();
        }
        if !self.plan.unbounded {
            self.held = Held::default();
        }
        // What is left has to ask for room again.
        self.reservation.resize(0);
        self.runs.push(writer.finish()?, &self.task)
    }

    /// Sends the rows of a session in memory that is due: all, or those that make full sessions.
    fn release(&mut self, at: u32, all: bool, out: &mut dyn Out) -> Result<()> {
        let rules = self.plan.rules;
        let start = self.ready.len();
        self.held.take(at, &mut self.ready);
        let (key, last) = (self.held.sessions[at as usize].key, self.held.sessions[at as usize].last);
        let all = all || rules.over(last, self.now);
        self.cut = Cut::default();
        let mut floor = i64::MIN;
        for row in start..self.ready.len() {
            let time = self.ready[row].0;
            let mut cut = self.cut.clone();
            cut.take(&rules, key, time);
            if !all && !rules.full(cut.first, self.now) {
                let rest = self.ready.split_off(row);
                let session = &mut self.held.sessions[at as usize];
                (session.first, session.floor) = (time, session.floor.max(floor));
                self.held.put_back(at, &rest);
                self.held.wait(&rules, at);
                return self.flush_full(out);
            }
            floor = cut.first.saturating_add(rules.max);
            self.cut = cut;
            self.tags.push(&self.cut);
        }
        self.held.close(at);
        self.flush_full(out)
    }

    fn flush_full(&mut self, out: &mut dyn Out) -> Result<()> {
        if self.ready.len() >= self.task.batch_rows { self.flush(out) } else { Ok(()) }
    }

    /// Sends the rows that are ready.
    fn flush(&mut self, out: &mut dyn Out) -> Result<()> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let (rows, tags) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.tags));
        let size = self.task.batch_rows.max(1);
        for (i, some) in rows.chunks(size).enumerate() {
            let mut columns = self.held.gather(&self.plan.schema, some)?;
            let range = i * size..i * size + some.len();
            let tags = Tags { ids: tags.ids[range.clone()].to_vec(), positions: tags.positions[range].to_vec() };
            tags.columns(&self.plan, &mut columns);
            out.send(SORTED, RecordBatch::try_new(self.plan.output.clone(), columns)?)?;
        }
        self.held.let_go(&rows);
        Ok(())
    }

    /// Goes through the disk once: sends what is over, or all, and writes the rest again.
    fn sweep(&mut self, all: bool, out: &mut dyn Out) -> Result<()> {
        self.spill()?;
        let rules = self.plan.rules;
        let mut rest = SpillWriter::create(&self.task.scratch, self.runs.schema())?;
        let mut left = 0;
        let (mut cut, mut session) = (Cut::default(), None);
        let mut starts: Vec<Option<i64>> = vec![None; if all { 0 } else { self.held.sessions.len() }];
        self.held.sessions.iter_mut().for_each(|s| s.disk = 0);
        for batch in self.runs.drain(&self.task)? {
            if out.stopping() {
                return Err(Error::stopped());
            }
            let batch = batch?;
            let (hashes, times) = marks(&batch);
            let (mut leaves, mut tags) = (Vec::with_capacity(times.len()), Tags::default());
            for (&hash, &time) in hashes.iter().zip(times) {
                let key = hash as u128;
                cut.take(&rules, key, time);
                let over = all || {
                    let same = |at: &u32| {
                        let s: &super::held::Session = &self.held.sessions[*at as usize];
                        s.key == key && (s.first..=s.last).contains(&time)
                    };
                    session = session.filter(same).or_else(|| self.held.find(key, time));
                    let at = session.ok_or_else(|| Error::bug("rows on disk without a session"))?;
                    let s = &mut self.held.sessions[at as usize];
                    let over = rules.over(s.last, self.now) || rules.full(cut.first, self.now);
                    if over {
                        s.floor = if rules.max == i64::MAX { s.floor } else { cut.first.saturating_add(rules.max) };
                    } else {
                        s.disk += 1;
                        starts[at as usize].get_or_insert(time);
                    }
                    over
                };
                leaves.push(over);
                if over {
                    tags.push(&cut);
                }
            }
            let leaves = BooleanArray::from(leaves);
            if leaves.true_count() < batch.num_rows() {
                let kept = filter_record_batch(&batch, &arrow::compute::not(&leaves)?)?;
                left += kept.num_rows();
                rest.write(&kept)?;
            }
            let sent = filter_record_batch(&batch, &leaves)?;
            if sent.num_rows() > 0 {
                let mut columns = sent.columns()[..self.plan.schema.fields().len()].to_vec();
                tags.columns(&self.plan, &mut columns);
                crate::send::send(RecordBatch::try_new(self.plan.output.clone(), columns)?, &self.task, out)?;
            }
        }
        for at in self.held.open_sessions() {
            match starts.get(at as usize).copied().flatten() {
                None => self.held.close(at),
                Some(first) => {
                    self.held.sessions[at as usize].first = first;
                    self.held.wait(&rules, at);
                }
            }
        }
        (self.due_on_disk, self.swept) = (0, self.now);
        if left == 0 { Ok(()) } else { self.runs.push(rest.finish()?, &self.task) }
    }
}

impl Transform for Work {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let (batch, times) = self.sound(batch, out)?;
        let plan = self.plan.clone();
        self.hashes.clear();
        plan.hasher.hash(&batch, &mut self.hashes);
        let mut late = vec![];
        for start in (0..batch.num_rows()).step_by(self.task.batch_rows.max(1)) {
            let part = batch.slice(start, self.task.batch_rows.max(1).min(batch.num_rows() - start));
            let times = &times.values()[start..start + part.num_rows()];
            let id = self.held.add(&part, times);
            for (row, (&time, &key)) in times.iter().zip(&self.hashes[start..]).enumerate() {
                if !self.held.join(&plan.rules, key, time, id | row as u64, self.now) {
                    late.push((start + row) as u32);
                }
            }
            self.held.settle();
            self.fit()?;
        }
        if !late.is_empty() {
            out.count("late rows", late.len() as u64);
            out.send(LATE, take_record_batch(&batch, &UInt32Array::from(late))?)?;
        }
        Ok(())
    }

    fn watermark(&mut self, time: i64, out: &mut dyn Out) -> Result<i64> {
        if !self.plan.unbounded {
            return Ok(i64::MIN);
        }
        let rules = self.plan.rules;
        self.now = self.now.max(self.plan.clock.ticks(time));
        while let Some(at) = self.held.next_due(&rules, self.now) {
            match self.held.sessions[at as usize].disk {
                0 => self.release(at, false, out)?,
                disk => self.due_on_disk += disk,
            }
        }
        self.flush(out)?;
        let enough = self.due_on_disk >= self.runs.rows() / 4 || rules.over(self.swept, self.now);
        if self.due_on_disk > 0 && enough {
            self.sweep(false, out)?;
        }
        self.fit()?;
        Ok(self.held.earliest().map_or(time, |first| time.min(self.plan.clock.micros(first))))
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        self.save_to(to)
    }

    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        self.load_from(part, &batch)
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        if !self.runs.is_empty() {
            return self.sweep(true, out);
        }
        for at in self.held.in_order() {
            if out.stopping() {
                return Err(Error::stopped());
            }
            self.release(at, true, out)?;
        }
        self.flush(out)?;
        self.reservation.resize(0);
        Ok(())
    }
}
