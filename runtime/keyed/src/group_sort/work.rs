//! A running `GroupSort`: rows come into sessions, sessions that are over leave; what is too much for memory goes by the disk.
//!
//! ```text
//! row ─► held, in memory ──────────────────────────────────────► sent
//!          │ ▲        │                                           ▲
//!          │ │ due    └─ sessions too large for memory ─► runs ───┘  sorted by key, gone through now and then;
//!          ▼ │                                                       all rows of a bounded run, once, at the end
//!         far: whole sessions, in the order in which they are due
//! ```

mod saved;

use super::Clock;
use super::far::{Far, FarWriter};
use super::held::{Held, Session};
use super::runs::{Mark, Marks, Runs, marks, rows_on_disk, store, stored};
use super::session::{Cut, Rules};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use saved::Log;
use selvedge_node::Reservation;
use selvedge_node::prelude::*;
use selvedge_state::{KeyRun, RowHasher, SpillWriter, run_order};

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
    far: Far,
    runs: Runs,
    log: Log,
    /// Watermarks come: sessions leave while rows come.
    flows: bool,
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

/// What cannot be spilled may take so many bytes in each instance, whatever the budget says.
const LEAST: u64 = 64 << 10;

/// What rows in memory may always take.
fn floor(task: &Task) -> u64 {
    (task.memory.limit() / 64).min(256 << 10)
}

impl Work {
    pub(crate) fn new(plan: Arc<Plan>, task: &Task) -> Work {
        Work {
            runs: Runs::new(stored(&plan.schema)),
            far: Far::default(),
            log: Log::default(),
            flows: plan.unbounded,
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

    fn bytes(&self) -> u64 {
        self.held.bytes() + self.far.bytes() + self.log.bytes()
    }

    /// Keeps to the budget: rows go to disk if need be, first those that are needed last.
    fn fit(&mut self) -> Result<()> {
        self.held.compact(&self.plan.schema, self.task.batch_rows)?;
        for all in [false, true] {
            let bytes = self.bytes();
            if bytes <= floor(&self.task) {
                self.reservation.resize(bytes);
                return Ok(());
            } else if self.fits(bytes) {
                return Ok(());
            }
            if self.flows {
                // Half of them, so that nobody waits for long.
                let near = if all { 0 } else { self.held.rows / 2 };
                self.spill_far(near)?;
            } else {
                let all = self.held.in_order();
                self.spill(&all)?;
                self.held.clear();
            }
        }
        let left = self.bytes();
        if left <= LEAST {
            self.reservation.resize(left);
        } else if !self.reservation.try_hold(left) {
            return Err(Error::world(format!(
                "what is known of open sessions takes {left} bytes, more than is left of the memory budget: {} open sessions take that here, others are on disk",
                self.held.open_sessions().len()
            ))
            .help("raise --memory, or let sessions end earlier with a smaller `gap` or `max_session`"));
        }
        Ok(())
    }

    /// Hands the rows of these sessions, in this order, to `to` in batches fit for the disk, with the first row's session, and
    /// lets them go.
    fn hand(&mut self, order: &[u32], mut to: impl FnMut(RecordBatch, i64) -> Result<()>) -> Result<()> {
        let size = rows_on_disk(&self.task, self.held.bytes() / self.held.rows.max(1));
        let (mut rows, mut owners) = (vec![], vec![]);
        for (i, &at) in order.iter().enumerate() {
            self.held.take(at, &mut rows);
            owners.resize(rows.len(), at);
            let last = i + 1 == order.len();
            let full = rows.len() - if last { 0 } else { rows.len() % size };
            for (some, owners) in rows[..full].chunks(size).zip(owners[..full].chunks(size)) {
                let marks: Vec<Mark> = some.iter().zip(owners).map(|(&row, &at)| self.held.mark(at, row)).collect();
                let due = self.held.sessions[owners[0] as usize].due(&self.plan.rules);
                let columns = self.held.gather(&self.plan.schema, some)?;
                to(store(self.runs.schema(), columns, &marks)?, due)?;
            }
            self.held.let_go(&rows[..full])?;
            rows.drain(..full);
            owners.drain(..full);
        }
        Ok(())
    }

    /// Writes the rows of these sessions, which are in order of key, to disk as one sorted run. The sessions stay.
    fn spill(&mut self, order: &[u32]) -> Result<()> {
        for &at in order {
            let session = &mut self.held.sessions[at as usize];
            session.disk += session.rows;
        }
        let mut writer = SpillWriter::create(&self.task.scratch, self.runs.schema())?;
        self.hand(order, |batch, _| writer.write(&batch))?;
        let run = writer.finish()?;
        if run.rows() == 0 { Ok(()) } else { self.runs.push(run, self.held.arrived(), &self.task) }
    }

    /// Writes sessions to disk until they are due, but for so many rows of those that are due first. Those that are too large
    /// to come back at once leave their rows among the sorted runs.
    fn spill_far(&mut self, near: u64) -> Result<()> {
        let rules = self.plan.rules;
        let mut open: Vec<(i64, u32)> = vec![];
        for at in self.held.open_sessions() {
            open.push((self.held.sessions[at as usize].due(&rules), at));
        }
        open.sort_unstable();
        let (mut rows, mut after) = (0, self.now);
        for (due, at) in &open {
            rows += self.held.sessions[*at as usize].rows;
            if rows > near {
                break;
            }
            after = after.max(*due);
        }
        let large = (self.task.memory.limit() / 32 / (self.held.bytes() / self.held.rows.max(1)).max(1)).max(1);
        let stuck = |s: &Session| s.disk > 0 || s.rows > large;
        let moves = |at: u32| {
            let s = &self.held.sessions[at as usize];
            s.due(&rules) > after && !stuck(s)
        };
        // With all sessions of its key: a key that is here is known here.
        let key = |at: u32| self.held.sessions[at as usize].key;
        let far: Vec<u32> = open.iter().map(|o| o.1).filter(|&at| self.held.of_key(key(at)).all(moves)).collect();
        let late = near == 0;
        let mut large: Vec<u32> = open
            .iter()
            .map(|o| o.1)
            .filter(|&at| {
                let s = &self.held.sessions[at as usize];
                s.rows > 0 && (stuck(s) || late && !self.held.of_key(key(at)).all(moves))
            })
            .collect();
        drop(open);
        large.sort_unstable_by_key(|&at| (key(at), self.held.sessions[at as usize].first));
        if !far.is_empty() {
            self.move_far(&far)?;
        }
        if !large.is_empty() {
            self.spill(&large)?;
        }
        self.held.repack(&rules);
        Ok(())
    }

    fn move_far(&mut self, far: &[u32]) -> Result<()> {
        let session = |at: u32| &self.held.sessions[at as usize];
        // A session that has nothing but rows on disk is known there.
        let mut heads: Vec<u32> = far.iter().copied().filter(|&at| session(at).rows > 0).collect();
        heads.sort_unstable_by_key(|&at| run_order(session(at).key));
        let mut writer = KeyRun::create(&self.task.scratch, heads.len())?;
        let mut floors = vec![];
        for &at in &heads {
            let Session { key, first, last, floor, .. } = *session(at);
            if floor > i64::MIN {
                floors.push((key, first, floor));
            }
            writer.push(key, [first, last, floor])?;
        }
        if !heads.is_empty() {
            let mut rows = FarWriter::create(self.runs.schema(), &self.task)?;
            self.hand(far, |batch, due| rows.write(&batch, due))?;
            self.far.push(rows, writer.finish()?, floors, self.held.arrived())?;
        }
        far.iter().for_each(|&at| self.held.close(at));
        Ok(())
    }

    /// Makes known what is on disk of these keys, unless it is known already.
    fn recall(&mut self, keys: &[u128]) -> Result<()> {
        if self.far.is_empty() {
            return Ok(());
        }
        let missing: Vec<u128> = keys.iter().copied().filter(|&key| !self.held.knows(key)).collect();
        let rules = self.plan.rules;
        self.far.find(&missing, &rules, self.now, |key, head| self.held.note(&rules, key, head))
    }

    /// Takes rows back that were on disk.
    fn take_back(&mut self, batch: &RecordBatch) -> Result<()> {
        let m = marks(batch);
        let keys: Vec<u128> = m.hashes.iter().map(|&hash| hash as u128).collect();
        self.recall(&keys)?;
        let columns: Vec<usize> = (0..self.plan.schema.fields().len()).collect();
        let arrivals = m.arrivals.iter().map(|&a| a as u64).collect();
        let id = self.held.add(&batch.project(&columns)?, m.times, arrivals);
        for (row, &key) in keys.iter().enumerate() {
            if let Some(at) = self.held.join(&self.plan.rules, key, m.times[row], id | row as u64, i64::MIN) {
                let session = &mut self.held.sessions[at as usize];
                session.floor = session.floor.max(m.floors[row]);
            }
        }
        self.fit()
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
            self.log.left(key, self.held.arrival(self.ready[row].1));
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
        self.held.let_go(&rows)
    }

    /// Sends what is over in memory.
    fn release_due(&mut self, out: &mut dyn Out) -> Result<()> {
        while let Some(at) = self.held.next_due(&self.plan.rules, self.now) {
            match self.held.sessions[at as usize].disk {
                0 => self.release(at, false, out)?,
                disk => self.due_on_disk += disk,
            }
        }
        self.flush(out)
    }

    /// Goes through the sorted runs once: sends what is over, or all, and writes the rest again.
    fn sweep(&mut self, all: bool, out: &mut dyn Out) -> Result<()> {
        let mut large = self.held.in_order();
        if !all {
            large.retain(|&at| self.held.sessions[at as usize].disk > 0);
        }
        self.spill(&large)?;
        let rules = self.plan.rules;
        let mut rest = SpillWriter::create(&self.task.scratch, self.runs.schema())?;
        let mut left = 0;
        let (mut cut, mut session, until) = (Cut::default(), None, self.runs.until());
        let mut starts: Vec<Option<i64>> = vec![None; if all { 0 } else { self.held.sessions.len() }];
        self.held.sessions.iter_mut().for_each(|s| s.disk = 0);
        for batch in self.runs.drain(&self.task)? {
            if out.stopping() {
                return Err(Error::stopped());
            }
            let batch = batch?;
            let Marks { hashes, times, arrivals, .. } = marks(&batch);
            let (mut leaves, mut tags) = (Vec::with_capacity(times.len()), Tags::default());
            for ((&hash, &time), &arrival) in hashes.iter().zip(times).zip(arrivals) {
                let key = hash as u128;
                cut.take(&rules, key, time);
                let over = all || {
                    let same = |at: &u32| {
                        let s: &Session = &self.held.sessions[*at as usize];
                        s.key == key && (s.first..=s.last).contains(&time)
                    };
                    session = session.filter(same).or_else(|| self.held.find(key, time));
                    let at = session.ok_or_else(|| Error::bug("rows on disk without a session"))?;
                    let s = &mut self.held.sessions[at as usize];
                    let here = s.until <= self.now;
                    let over = here && (rules.over(s.last, self.now) || rules.full(cut.first, self.now));
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
                    self.log.left(key, arrival as u64);
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
        for at in large {
            match starts.get(at as usize).copied().flatten() {
                None if all || self.held.sessions[at as usize].until <= self.now => self.held.close(at),
                None => {}
                Some(first) => {
                    self.held.sessions[at as usize].first = first;
                    self.held.wait(&rules, at);
                }
            }
        }
        (self.due_on_disk, self.swept) = (0, self.now);
        if left == 0 { Ok(()) } else { self.runs.push(rest.finish()?, until, &self.task) }
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
            let id = self.held.add(&part, times, vec![]);
            let keys = std::mem::take(&mut self.hashes);
            self.recall(&keys[start..start + times.len()])?;
            self.hashes = keys;
            for (row, (&time, &key)) in times.iter().zip(&self.hashes[start..]).enumerate() {
                if self.held.join(&plan.rules, key, time, id | row as u64, self.now).is_none() {
                    late.push((start + row) as u32);
                }
            }
            self.held.settle(id)?;
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
        let now = self.now.max(self.plan.clock.ticks(time));
        // Step by step, so that what comes back from disk can leave before more comes.
        while let Some(due) = self.far.next_due().filter(|&due| due <= now) {
            self.now = self.now.max(due);
            while let Some(batch) = self.far.take(self.now)? {
                self.take_back(&batch)?;
            }
            self.release_due(out)?;
        }
        self.now = now;
        self.release_due(out)?;
        let enough = self.due_on_disk >= self.runs.rows() / 4 || rules.over(self.swept, self.now);
        if self.due_on_disk > 0 && enough {
            self.sweep(false, out)?;
        }
        self.fit()?;
        let earliest = self.held.earliest().into_iter().chain(self.far.earliest()).min();
        Ok(earliest.map_or(time, |first| time.min(self.plan.clock.micros(first))))
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        self.save_to(to)
    }

    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        self.load_from(part, &batch)
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        // From here on as in a bounded run.
        self.flows = false;
        while let Some(batch) = self.far.take(i64::MAX)? {
            self.take_back(&batch)?;
        }
        if !self.runs.is_empty() {
            self.sweep(true, out)?;
            self.held.clear();
            self.reservation.resize(0);
            return Ok(());
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
