//! An instance at work: rows become panes, panes become windows when event time has come to their ends.

use super::Plan;
use super::closing::{Closing, order};
use super::panes::{Panes, Stored, identity};
use super::spans::{NEVER, Spans};
use super::times::micros;
use crate::grouping::{batch_of, evaluate};
use crate::sort::sorting;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch, not};
use arrow::datatypes::Int64Type;
use selvedge_node::{Error, Out, Reservation, Result, Save, Task, Transform};
use selvedge_state::{SpillWriter, batch_bytes};
use std::sync::Arc;

/// Panes are looked through when so many times the rows have come, …
const PAID: u64 = 4;
/// … where each watermark counts for as many rows.
const WATERMARK: u64 = 8192;
/// Parts of the state.
const CLOCK: &str = "clock";
const PANES: &str = "panes";

pub(super) struct State {
    plan: Arc<Plan>,
    task: Task,
    panes: Panes,
    /// When the first window of `panes` may end.
    due: i64,
    reservation: Reservation,
    aside: Option<Aside>,
    watermark: i64,
    /// All windows that end by then were sent.
    closed: i64,
    /// Rows that came since panes were last looked through.
    came: u64,
    hashes: Vec<u128>,
}

/// Panes on disk, in no order.
struct Aside {
    rows: SpillWriter,
    count: u64,
    bytes: u64,
    /// When the first of their windows may end.
    due: i64,
}

impl State {
    pub fn new(plan: Arc<Plan>, task: &Task) -> Result<State> {
        Ok(State {
            panes: Panes::new(&plan)?,
            due: NEVER,
            reservation: task.memory.reserve(),
            aside: None,
            watermark: -NEVER,
            closed: -NEVER,
            came: 0,
            hashes: vec![],
            task: task.clone(),
            plan,
        })
    }

    /// Rejects rows without a usable time.
    fn timed(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<(RecordBatch, Vec<i64>)> {
        let column = batch.column(self.plan.time);
        let times = micros(column)?;
        if times.iter().all(Option::is_some) {
            let times = times.into_iter().flatten().collect();
            return Ok((batch, times));
        }
        let bad = (0..times.len()).filter(|row| times[*row].is_none());
        let (null, far): (Vec<usize>, Vec<usize>) = bad.partition(|row| column.is_null(*row));
        out.reject_rows("no_time", &batch, &null, &|_| "expected a time, found null".into())?;
        let message = "the time lies more than 146,000 years from 1970";
        out.reject_rows("time_out_of_range", &batch, &far, &|_| message.into())?;
        let good: BooleanArray = times.iter().map(|t| Some(t.is_some())).collect();
        Ok((filter_record_batch(&batch, &good)?, times.into_iter().flatten().collect()))
    }

    /// Sends rows away that come too late. Of those that stay, some may be older than the watermark.
    fn in_time(&mut self, batch: RecordBatch, times: &[i64], out: &mut dyn Out) -> Result<RecordBatch> {
        let old = times.iter().filter(|t| **t < self.watermark).count();
        if old == 0 {
            return Ok(batch);
        }
        let late: BooleanArray = times.iter().map(|t| Some(self.plan.spans.late(*t, self.watermark))).collect();
        out.send(1, filter_record_batch(&batch, &late)?)?;
        // An old row may be in windows that are not over, next to windows that are, but still wait here without it.
        if old > late.true_count() && self.next() <= self.watermark {
            self.close(self.watermark, out)?;
        }
        Ok(filter_record_batch(&batch, &not(&late)?)?)
    }

    /// When the next window may end.
    fn next(&self) -> i64 {
        self.aside.as_ref().map_or(self.due, |a| a.due.min(self.due))
    }

    /// Makes room for some rows with these keys.
    fn make_room(&mut self, keys: &RecordBatch, out: &mut dyn Out) -> Result<()> {
        // Twice: windows that end are taken out of the panes into memory of their own.
        let needed = |panes: &Panes| 2 * panes.bytes_with(keys.num_rows(), keys);
        if self.reservation.try_resize(needed(&self.panes)) {
            return Ok(());
        }
        // What is over goes first, and panes of a stagger window become one; worth it where half of them do.
        let held = needed(&self.panes);
        let folds = matches!(self.plan.spans, Spans::Stagger { .. }) && self.watermark > self.closed;
        if self.aside.is_none() && (folds || self.due <= self.watermark) {
            self.close(self.watermark, out)?;
        }
        if needed(&self.panes) > held / 2 || !self.reservation.try_resize(needed(&self.panes)) {
            self.set_aside()?;
            self.reservation.resize(needed(&self.panes));
        }
        Ok(())
    }

    /// Moves all panes to disk.
    fn set_aside(&mut self) -> Result<()> {
        if self.panes.len() == 0 {
            return Ok(());
        }
        let due = std::mem::replace(&mut self.due, NEVER);
        let batches = self.panes.drain(&self.plan)?;
        let aside = aside(&mut self.aside, &self.plan, &self.task)?;
        for batch in batches {
            aside.write(&batch, due)?;
        }
        self.reservation.resize(0);
        Ok(())
    }

    /// Sends all windows that end by `horizon` and were not sent before.
    fn close(&mut self, horizon: i64, out: &mut dyn Out) -> Result<()> {
        self.came = 0;
        match self.aside.is_some() {
            true => self.close_on_disk(horizon, out)?,
            false => self.close_in_memory(horizon, out)?,
        }
        self.closed = horizon;
        Ok(())
    }

    fn close_in_memory(&mut self, horizon: i64, out: &mut dyn Out) -> Result<()> {
        let plan = self.plan.clone();
        let batches = self.panes.drain(&plan)?;
        self.due = NEVER;
        // Hash, time and place of each pane: sorted without moving the panes.
        let backwards = matches!(plan.spans, Spans::Session { .. });
        let mut sorted: Vec<(i128, i64, (usize, usize))> = vec![];
        for (at, batch) in batches.iter().enumerate() {
            let Stored { first, last, hash } = Stored::of(batch)?;
            let time = |row: usize| if backwards { !last[row] } else { first[row] };
            sorted.extend((0..batch.num_rows()).map(|row| (hash[row], time(row), (at, row))));
        }
        sorted.sort_unstable();
        let mut closing = Closing::new(&plan, self.closed, horizon, &self.task)?;
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        for some in sorted.chunks(self.task.batch_rows.max(1)) {
            let places: Vec<(usize, usize)> = some.iter().map(|(_, _, place)| *place).collect();
            closing.take(&interleave_record_batch(&batches, &places)?, out, &mut |rows, ids, due| {
                self.due = self.due.min(due);
                self.panes.merge(&plan, &rows, ids)
            })?;
        }
        closing.finish(out)?;
        let none = RecordBatch::new_empty(plan.keys.clone());
        self.reservation.resize(2 * self.panes.bytes_with(0, &none));
        Ok(())
    }

    fn close_on_disk(&mut self, horizon: i64, out: &mut dyn Out) -> Result<()> {
        self.set_aside()?;
        let plan = self.plan.clone();
        let Some(old) = self.aside.take() else { return Ok(()) };
        let old = old.rows.finish()?;
        let mut closing = Closing::new(&plan, self.closed, horizon, &self.task)?;
        let mut kept: Option<Aside> = None;
        {
            let mut take = |batch: RecordBatch, out: &mut dyn Out| {
                closing.take(&batch, out, &mut |rows, _, due| aside(&mut kept, &plan, &self.task)?.write(&rows, due))
            };
            let mut query = sorting(&plan.stored, &order(&plan), &self.task)?;
            for batch in old.read()? {
                query.push(0, &batch?, out, &mut take)?;
            }
            query.end(0, out, &mut take)?;
            query.finish(out, &mut take)?;
        }
        drop(old);
        closing.finish(out)?;
        self.take_back(kept)
    }

    /// Takes panes back into memory where they have become few; else they stay on disk.
    fn take_back(&mut self, kept: Option<Aside>) -> Result<()> {
        let Some(kept) = kept else { return Ok(()) };
        if kept.bytes.saturating_mul(8) > self.reservation.share() {
            self.aside = Some(kept);
            return Ok(());
        }
        for rows in kept.rows.finish()?.read()? {
            self.merge(&rows?)?;
        }
        self.due = kept.due;
        let none = RecordBatch::new_empty(self.plan.keys.clone());
        self.reservation.resize(2 * self.panes.bytes_with(0, &none));
        Ok(())
    }
}

impl State {
    /// Takes stored panes into memory.
    fn merge(&mut self, rows: &RecordBatch) -> Result<()> {
        let plan = self.plan.clone();
        let Stored { first, last, hash } = Stored::of(rows)?;
        let mut ids = Vec::with_capacity(rows.num_rows());
        for ((&first, &last), &hash) in first.iter().zip(last).zip(hash) {
            let slot = plan.spans.slot_of(first, last);
            ids.push(identity(hash as u128, slot));
            self.due = self.due.min(plan.spans.due(slot, last, self.closed));
        }
        self.panes.merge(&plan, rows, ids)
    }
}

/// The panes on disk, if there are none yet, a place for them.
fn aside<'a>(aside: &'a mut Option<Aside>, plan: &Plan, task: &Task) -> Result<&'a mut Aside> {
    Ok(match aside {
        Some(aside) => aside,
        none => none.insert(Aside {
            rows: SpillWriter::create(&task.scratch, &plan.stored)?,
            count: 0,
            bytes: 0,
            due: NEVER,
        }),
    })
}

impl Aside {
    fn write(&mut self, rows: &RecordBatch, due: i64) -> Result<()> {
        self.count += rows.num_rows() as u64;
        self.bytes += batch_bytes(rows);
        self.due = self.due.min(due);
        self.rows.write(rows)
    }
}

impl Transform for State {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        self.came += batch.num_rows() as u64;
        let (batch, times) = self.timed(batch, out)?;
        let batch = self.in_time(batch, &times, out)?;
        let (batch, taken) = evaluate(&self.plan.aggregates, batch, out)?;
        let rows = batch.num_rows();
        out.absorb("grouped", rows as u64);
        if rows == 0 {
            return Ok(());
        }
        let times: Vec<i64> = micros(batch.column(self.plan.time))?.into_iter().flatten().collect();
        let keys = self.plan.by.iter().map(|&c| batch.column(c).clone()).collect();
        let keys = batch_of(&self.plan.keys, keys, rows)?;
        self.make_room(&keys, out)?;
        self.plan.hasher.hash(&batch, &mut self.hashes);
        let spans = self.plan.spans;
        for (hash, &time) in self.hashes.iter_mut().zip(&times) {
            let slot = spans.slot(time);
            *hash = identity(*hash, slot);
            self.due = self.due.min(spans.due(slot, time, self.closed));
        }
        self.panes.update(&keys, &self.hashes, &taken, &times)
    }

    fn watermark(&mut self, time: i64, out: &mut dyn Out) -> Result<i64> {
        self.watermark = self.watermark.max(time.clamp(-NEVER, NEVER - 1));
        self.came += WATERMARK;
        if self.due <= self.watermark {
            // Sessions may have grown since.
            self.due = self.panes.due(&self.plan, self.closed);
        }
        let held = self.panes.len() as u64 + self.aside.as_ref().map_or(0, |a| a.count);
        let due = self.next() <= self.watermark;
        if due && self.came * PAID >= held {
            self.close(self.watermark, out)?;
        } else if !due && matches!(self.plan.spans, Spans::Aligned { .. }) {
            // There is nothing to send until then: all instances say the same, whatever they hold.
            self.closed = self.watermark;
        }
        // The event time of a window is its end less a microsecond.
        Ok(time.min(self.next() - 1))
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        let time = |t: i64| Arc::new(Int64Array::from(vec![t])) as ArrayRef;
        let clock = [("watermark", time(self.watermark)), ("closed", time(self.closed))];
        to.put(CLOCK, &RecordBatch::try_from_iter(clock)?)?;
        let (plan, due) = (self.plan.clone(), self.due);
        // Partial results leave the accumulators when they are read, and are put back.
        for batch in self.panes.drain(&plan)? {
            to.put(PANES, &batch)?;
            self.merge(&batch)?;
        }
        self.due = due;
        let Some(Aside { rows, count, bytes, due }) = self.aside.take() else { return Ok(()) };
        let old = rows.finish()?;
        let mut rows = SpillWriter::create(&self.task.scratch, &plan.stored)?;
        for batch in old.read()? {
            let batch = batch?;
            to.put(PANES, &batch)?;
            rows.write(&batch)?;
        }
        self.aside = Some(Aside { rows, count, bytes, due });
        Ok(())
    }

    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        if part == CLOCK {
            let time = |c: usize| batch.column(c).as_primitive::<Int64Type>().value(0);
            let (watermark, closed) = (time(0), time(1));
            let differs = self.closed != -NEVER && self.closed != closed;
            // A pane of one window is gone when that was sent; of others it is not known which were.
            if differs && self.plan.spans.overlap() {
                let message =
                    "the windows of several instances were sent up to different times, and cannot be put together";
                return Err(Error::graph(message).help("run the graph with as many --threads as before"));
            }
            self.closed = if differs { closed.min(self.closed) } else { closed };
            self.watermark = self.watermark.max(watermark);
            return Ok(());
        }
        self.merge(&batch)?;
        let none = RecordBatch::new_empty(self.plan.keys.clone());
        if !self.reservation.try_resize(2 * self.panes.bytes_with(0, &none)) {
            self.set_aside()?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        self.close(NEVER, out)
    }
}
