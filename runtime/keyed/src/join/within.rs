//! A join of rows that are near each other, in time or in arrival: neither input has to end.
//!
//! ```text
//! left row ──► meets the right rows held ──► pairs      held until no right row that is to come can be near it;
//!          └─► is held itself                           a row that has met none by then is `no match`, or sent alone
//! ```
//!
//! and the other way round. So each pair is found once: by the later of the two.

mod block;
mod saved;

use super::probe::{lonely_left, lonely_right};
use super::shape::Shape;
use super::{How, LEFT, On, RIGHT};
use crate::group_sort::{Clock, time_column};
use crate::hashed::hashes;
use arrow::array::{Array, Int64Array, UInt32Array};
use arrow::compute::{filter_record_batch, interleave, not, take};
use block::{Block, arrivals, merge_here, merge_to_disk, stored};
use selvedge_node::prelude::*;
use selvedge_node::{Period, Reservation, Span};
use selvedge_state::{RowHasher, compact_views};
use std::collections::VecDeque;

/// So many blocks of one size are made one.
const FAN: usize = 4;

/// Which rows are near each other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns of event time: a name if both inputs call it the same, a pair if not. With `for`, `before` or `after`.
    #[serde(default)]
    time: Option<Spanned<On>>,
    /// The right row is at most this much earlier or later than the left row: `"30m"`.
    #[serde(rename = "for", default)]
    length: Option<Spanned<Period>>,
    /// The right row is at most this much earlier; not at all earlier, if there is only `after`.
    #[serde(default)]
    before: Option<Spanned<Period>>,
    /// The right row is at most this much later; not at all later, if there is only `before`.
    #[serde(default)]
    after: Option<Spanned<Period>>,
    /// Each is among this many rows that came last of its input when the other comes. Instead of `time`.
    #[serde(default)]
    rows: Option<Spanned<u64>>,
}

/// Which rows are near each other.
#[derive(Debug, Clone)]
pub(crate) enum Near {
    /// The right row lies so many ticks before or after the left one.
    Time { clocks: [Clock; 2], before: i64, after: i64 },
    /// The other is among so many rows.
    Rows(i64),
}

impl Config {
    pub(crate) fn resolve(&self, span: Span, inputs: [&Schema; 2]) -> std::result::Result<Near, Problems> {
        let Config { time, length, before, after, rows } = self;
        let bounded = length.is_some() != (before.is_some() || after.is_some());
        match (time, rows) {
            (Some(time), None) if bounded => {
                let mut problems = Problems::default();
                let mut column = |port: usize, name: &Column| {
                    // A single name stands where the whole value does.
                    let span = if name.span == Default::default() { time.span } else { name.span };
                    let found = time_column(inputs[port], &Column::new(name.value.clone(), span));
                    problems.take(found.map_err(|p| super::of_input(p, ["left", "right"][port])))
                };
                let columns = (column(LEFT, &time.value.0), column(RIGHT, &time.value.1));
                let (Some(left), Some(right)) = columns else { return Err(problems) };
                let columns = [(inputs[LEFT], left), (inputs[RIGHT], right)];
                let clocks = Clock::alike(columns.map(|(schema, c)| (c, schema.field(c).data_type())));
                let ticks = |p: &Option<Spanned<Period>>| p.as_ref().map_or(0, |p| clocks[LEFT].ticks(p.value.0));
                let (before, after) = (ticks(length).max(ticks(before)), ticks(length).max(ticks(after)));
                Ok(Near::Time { clocks, before, after })
            }
            (None, Some(rows)) if !bounded && length.is_none() => match i64::try_from(rows.value) {
                Ok(rows) if rows > 0 => Ok(Near::Rows(rows)),
                _ => {
                    let message = format!("expected from 1 to {} rows, found {}", i64::MAX, rows.value);
                    Err(Problem::error(rows.span, message).into())
                }
            },
            _ => {
                let message = "expected `time` with `for`, or with `before` and `after`, or `rows` alone";
                let help = "within: (time: \"ts\", for: \"10m\"), within: (time: (\"clicked_at\", \"ordered_at\"), after: \"30m\"), \
                            or within: (rows: 1000000)";
                Err(Problem::error(span, message).help(help).into())
            }
        }
    }
}

/// The rows of an input that are held.
struct Side {
    /// The columns of its rows.
    schema: SchemaRef,
    memory: Vec<Block>,
    disk: Vec<Block>,
    /// Rows that have come.
    arrived: i64,
    /// Rows before this, in time or in arrival, can meet none that is to come: they are settled and gone.
    horizon: i64,
    /// How far event time had come when so many rows had: what can be promised of those held. By rows only.
    marks: VecDeque<(i64, i64)>,
    ended: bool,
}

impl Side {
    fn new(schema: &Schema) -> Side {
        let (schema, horizon, marks) = (stored(schema), i64::MIN, VecDeque::from([(0, i64::MIN)]));
        Side { schema, memory: vec![], disk: vec![], arrived: 0, horizon, marks, ended: false }
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.disk.iter().chain(&self.memory)
    }
}

fn bytes<'a>(blocks: impl Iterator<Item = &'a Block>) -> u64 {
    blocks.map(Block::bytes).sum()
}

pub(crate) struct Work {
    shape: Shape,
    hashers: [RowHasher; 2],
    near: Near,
    sides: [Side; 2],
    log: saved::Log,
    reservation: Reservation,
    task: Task,
    hashes: Vec<u128>,
}

impl Work {
    pub(crate) fn new(shape: &Shape, hashers: &[RowHasher; 2], near: &Near, task: &Task) -> Work {
        Work {
            shape: shape.clone(),
            hashers: hashers.clone(),
            near: near.clone(),
            sides: [Side::new(&shape.left), Side::new(&shape.right)],
            log: saved::Log::default(),
            reservation: task.memory.reserve(),
            task: task.clone(),
            hashes: vec![],
        }
    }

    /// Rows of this input before this can meet none that is to come.
    fn horizon(&self, port: usize) -> i64 {
        if self.sides[1 - port].ended { i64::MAX } else { self.sides[port].horizon }
    }

    /// Whether a row is of use to rows of the other input that are to come.
    fn alive(&self, port: usize) -> impl Fn(i64, bool) -> bool + use<> {
        let (horizon, once) = (self.horizon(port), port == LEFT && self.shape.how.left_only());
        move |time, met| time >= horizon && !(met && once)
    }

    /// Whether it matters of a row of this input that it has met one.
    fn counts(&self, port: usize) -> bool {
        port == LEFT || self.shape.how.unmatched_right()
    }

    /// Sends the pairs that the rows of `mine` make with those held of the other input.
    fn meet(&mut self, port: usize, mine: &Block, out: &mut dyn Out) -> Result<()> {
        let other = 1 - port;
        let held = self.sides[other].horizon;
        let window = |time: i64| match (&self.near, port) {
            (Near::Rows(_), _) => (held, i64::MAX),
            (Near::Time { before, after, .. }, LEFT) => {
                (time.saturating_sub(*before).max(held), time.saturating_add(*after))
            }
            (Near::Time { before, after, .. }, _) => {
                (time.saturating_sub(*after).max(held), time.saturating_add(*before))
            }
        };
        let reach = window(mine.earliest).0..=window(mine.latest).1;
        let once = self.shape.how.left_only();
        let notes = self.counts(other);
        let mut pairs = Pairs::new(&self.shape, port, mine, &self.task, out);
        for block in self.sides[other].blocks() {
            if block.latest < *reach.start() || block.earliest > *reach.end() {
                continue;
            }
            block.meet(mine, window, |page, start, row, rows| {
                for i in rows {
                    let theirs = &block.met[start + i];
                    let (left, right) = if port == LEFT { (&mine.met[row], theirs) } else { (theirs, &mine.met[row]) };
                    if once && left.get() {
                        if port == LEFT { break } else { continue }
                    }
                    if notes && !theirs.get() {
                        self.log.met(other, hashes(page)[i], arrivals(page)[i]);
                    }
                    let again = left.replace(true);
                    right.set(true);
                    pairs.push(row, page, i, again)?;
                }
                Ok(())
            })?;
        }
        pairs.send()
    }

    /// Lets go of the rows of an input that can meet none any more.
    fn settle(&mut self, port: usize, out: &mut dyn Out) -> Result<()> {
        let (horizon, counts, alive) = (self.horizon(port), self.counts(port), self.alive(port));
        let columns: Vec<usize> = (0..self.sides[port].schema.fields().len() - 2).collect();
        let (shape, task, side) = (&self.shape, &self.task, &mut self.sides[port]);
        for block in side.disk.iter_mut().chain(&mut side.memory).filter(|b| b.next < horizon) {
            if counts {
                let due = |&row: &u32| {
                    let (time, met) = (block.times[row as usize], block.met[row as usize].get());
                    time < horizon && time >= block.settled && !met
                };
                let lonely: Vec<u32> = (0..block.len() as u32).filter(due).collect();
                block.pick(&lonely, |rows| {
                    let rows = rows.project(&columns)?;
                    if port == LEFT {
                        lonely_left(shape, &rows, task, out)
                    } else {
                        lonely_right(shape, &rows, task, out)
                    }
                })?;
            }
            block.settle(horizon, &alive);
        }
        side.disk.retain(|b| b.next < i64::MAX);
        side.memory.retain(|b| b.next < i64::MAX);
        for block in side.memory.iter_mut().filter(|b| b.living < b.len() / 2) {
            let merged = block.merged;
            if let Some(rest) = merge_here(&side.schema, std::slice::from_ref(block), &alive)? {
                *block = rest;
                block.merged = merged;
            }
        }
        Ok(())
    }

    /// Holds rows that have met what there is.
    fn hold(&mut self, port: usize, block: Block, out: &mut dyn Out) -> Result<()> {
        let late = block.next < self.horizon(port);
        self.sides[port].memory.push(block);
        if late {
            self.settle(port, out)?;
        }
        self.merge(port)?;
        self.fit()
    }

    /// Makes one block of several of like size.
    fn merge(&mut self, port: usize) -> Result<()> {
        let alive = self.alive(port);
        let side = &mut self.sides[port];
        while let Some(from) = side.memory.len().checked_sub(FAN) {
            let last = &side.memory[from..];
            // What is larger would need too much while it is made.
            if last.iter().any(|b| b.merged != last[0].merged) || bytes(last.iter()) > self.task.memory.limit() / 32 {
                break;
            }
            let merged = merge_here(&side.schema, last, &alive)?;
            side.memory.truncate(from);
            side.memory.extend(merged);
        }
        Ok(())
    }

    /// Keeps to the budget: what is in memory goes to disk if need be, as long as it is worth a block.
    fn fit(&mut self) -> Result<()> {
        let least = (self.task.memory.limit() / 64).clamp(4 << 10, 64 << 10);
        let here = bytes(self.sides.iter().flat_map(|s| &s.memory));
        let rest = bytes(self.sides.iter().flat_map(|s| &s.disk)) + self.log.bytes();
        if here + rest <= least {
            self.reservation.resize(here + rest);
            return Ok(());
        }
        if self.reservation.try_resize(here + rest) {
            return Ok(());
        }
        if here >= rest / 4 {
            self.spill(LEFT)?;
            self.spill(RIGHT)?;
        }
        let bytes = bytes(self.sides.iter().flat_map(Side::blocks)) + self.log.bytes();
        if bytes <= least {
            self.reservation.resize(bytes);
        } else if !self.reservation.try_hold(bytes) {
            let rows: usize = self.sides.iter().flat_map(Side::blocks).map(Block::len).sum();
            return Err(Error::world(format!("{rows} rows to remember take more than is left of the memory budget"))
                .help("raise --memory, or join rows that are nearer with a smaller `for` or `rows` in `within`"));
        }
        Ok(())
    }

    fn spill(&mut self, port: usize) -> Result<()> {
        let alive = self.alive(port);
        let (side, task) = (&mut self.sides[port], &self.task);
        let memory = std::mem::take(&mut side.memory);
        side.disk.extend(merge_to_disk(&side.schema, &memory, &alive, task)?);
        drop(memory);
        while let Some(from) = side.disk.len().checked_sub(FAN) {
            let last = &side.disk[from..];
            if last.iter().any(|b| b.merged != last[0].merged) {
                break;
            }
            let merged = merge_to_disk(&side.schema, last, &alive, task)?;
            side.disk.truncate(from);
            side.disk.extend(merged);
        }
        Ok(())
    }
}

/// Pairs on their way out: rows of one batch beside rows of pages.
struct Pairs<'a> {
    shape: &'a Shape,
    port: usize,
    mine: &'a Block,
    rows: Vec<u32>,
    pool: Vec<RecordBatch>,
    beside: Vec<(usize, usize)>,
    again: u64,
    task: &'a Task,
    out: &'a mut dyn Out,
}

impl<'a> Pairs<'a> {
    fn new(shape: &'a Shape, port: usize, mine: &'a Block, task: &'a Task, out: &'a mut dyn Out) -> Pairs<'a> {
        Pairs { shape, port, mine, rows: vec![], pool: vec![], beside: vec![], again: 0, task, out }
    }

    /// A row beside the `i`th of a page. `again`: it is not the first match of the left one.
    fn push(&mut self, row: usize, page: &RecordBatch, i: usize, again: bool) -> Result<()> {
        let same = |last: &RecordBatch| std::ptr::eq(hashes(last).as_ptr(), hashes(page).as_ptr());
        if !self.pool.last().is_some_and(same) {
            self.pool.push(page.clone());
        }
        self.rows.push(row as u32);
        self.beside.push((self.pool.len() - 1, i));
        self.again += u64::from(again);
        if self.rows.len() >= self.task.batch_rows.max(1) { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if self.out.stopping() {
            return Err(Error::stopped());
        }
        let (rows, beside) = (UInt32Array::from(std::mem::take(&mut self.rows)), std::mem::take(&mut self.beside));
        let mine = self.mine.here()?;
        let own = |c: usize| Ok(take(mine.column(c), &rows, None)?);
        let others = |c: usize| {
            let parts: Vec<&dyn Array> = self.pool.iter().map(|page| page.column(c).as_ref()).collect();
            Ok(interleave(&parts, &beside)?)
        };
        let batch = match self.port {
            LEFT => self.shape.beside(rows.len(), own, others)?,
            _ => self.shape.beside(rows.len(), others, own)?,
        };
        self.pool.clear();
        if self.again > 0 {
            self.out.create("multiplied", std::mem::take(&mut self.again));
        }
        match self.shape.how {
            How::Anti => self.out.drop_all("matched", &batch),
            _ => self.out.send(0, batch)?,
        }
        Ok(())
    }
}

impl Transform for Work {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let first = self.sides[port].arrived;
        let (batch, times) = match &self.near {
            Near::Time { clocks, .. } => clocks[port].timed(batch, out)?,
            Near::Rows(_) => {
                let times = Int64Array::from_iter_values(first..first + batch.num_rows() as i64);
                (batch, times)
            }
        };
        self.hashes.clear();
        self.hashers[port].hash(&batch, &mut self.hashes);
        let nulls = self.hashers[port].null_keys(&batch).filter(|n| n.null_count() > 0);
        let batch = match port {
            LEFT => batch,
            _ => {
                out.absorb("build side", batch.num_rows() as u64);
                batch.project(&self.shape.held)?
            }
        };
        self.sides[port].arrived += batch.num_rows() as i64;
        let schema = &self.sides[port].schema;
        let mut block = Block::new(schema, &compact_views(&batch)?, times.values(), &self.hashes, first)?;
        if let Some(nulls) = nulls {
            // Rows with null keys meet nothing: they need not wait.
            let keyed = BooleanArray::new(nulls.inner().clone(), None);
            let null = filter_record_batch(&batch, &not(&keyed)?)?;
            match port {
                LEFT => lonely_left(&self.shape, &null, &self.task, out)?,
                _ => lonely_right(&self.shape, &null, &self.task, out)?,
            }
            block = block.only(&keyed)?;
        }
        self.meet(port, &block, out)?;
        if let Near::Rows(rows) = self.near {
            let side = &mut self.sides[port];
            side.horizon = side.horizon.max(side.arrived.saturating_sub(rows));
            while side.marks.get(1).is_some_and(|&(arrived, _)| arrived <= side.horizon) {
                side.marks.pop_front();
            }
            self.settle(port, out)?;
        }
        self.hold(port, block, out)
    }

    fn watermark(&mut self, time: i64, out: &mut dyn Out) -> Result<i64> {
        match &self.near {
            Near::Rows(_) => {
                for side in &mut self.sides {
                    if side.marks.back().is_some_and(|&(arrived, _)| arrived < side.arrived) {
                        side.marks.push_back((side.arrived, time));
                    }
                }
                let promised = |side: &Side| match side.marks.front() {
                    Some(&(arrived, mark)) if arrived < side.arrived => mark,
                    _ => time,
                };
                Ok(promised(&self.sides[LEFT]).min(promised(&self.sides[RIGHT])))
            }
            Near::Time { clocks, before, after } => {
                let (now, clock) = (clocks[LEFT].ticks(time), clocks[LEFT].clone());
                let horizons = [now.saturating_sub(*after), now.saturating_sub(*before)];
                // In steps: all that is held is looked at for each.
                let step = (before.saturating_add(*after) / 64) as u64;
                if horizons[LEFT].abs_diff(self.sides[LEFT].horizon) >= step.max(1) {
                    for port in [LEFT, RIGHT] {
                        self.sides[port].horizon = self.sides[port].horizon.max(horizons[port]);
                        self.settle(port, out)?;
                    }
                    self.fit()?;
                }
                Ok(clock.micros(self.sides[LEFT].horizon.min(self.sides[RIGHT].horizon)))
            }
        }
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        self.save_to(to)
    }

    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        self.load_from(part, &batch)
    }

    fn end(&mut self, port: usize, out: &mut dyn Out) -> Result<()> {
        self.sides[port].ended = true;
        self.settle(1 - port, out)?;
        self.fit()
    }
}

#[cfg(test)]
mod tests;
