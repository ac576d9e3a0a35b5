//! Windows made of panes: sorted panes go in, finished windows go out, and panes that are still needed come back.
//!
//! ```text
//! panes by (key, time) ──► windows that end by the horizon ──► out
//!                     └──► panes of other windows ──► kept
//! ```
//!
//! Sessions are read from their last pane backwards, the others forwards: so whether a window has ended is known from its
//! first pane on, and none but the windows at work are held.

use super::panes::{Stored, identity};
use super::spans::Spans;
use super::{Plan, WINDOW_ROWS};
use crate::grouping::groups::Groups;
use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{SortOptions, take_record_batch};
use selvedge_node::{Error, Out, Reservation, Result};
use selvedge_state::Piece;
use std::sync::Arc;

/// Rows of partial results that are merged at once.
const MERGED: usize = 8192;

/// What becomes of panes that are still needed: the rows, their identities, and when the first of their windows may end.
pub(super) type Keep<'a> = dyn FnMut(RecordBatch, Vec<u128>, i64) -> Result<()> + 'a;

/// The session or stagger window of the pane read last.
struct Current {
    first: i64,
    end: i64,
    open: bool,
    /// What its panes become one under, if it stays.
    slot: i64,
}

pub(super) struct Closing<'a> {
    plan: &'a Plan,
    /// Windows that end by then were sent before.
    closed: i64,
    /// Windows that end by now are sent.
    horizon: i64,
    windows: Groups,
    /// By window, those in `rows` included.
    starts: Vec<i64>,
    ends: Vec<i64>,
    key: Option<i128>,
    /// The first window of `key`.
    key_from: usize,
    current: Option<Current>,
    /// Rows of the batch at work, and their windows.
    rows: Vec<u32>,
    ids: Vec<u128>,
    reservation: Reservation,
    batch_rows: usize,
}

/// The order that panes must come in: by hash, then by time.
pub(super) fn order(plan: &Plan) -> [(usize, SortOptions); 2] {
    let columns = plan.stored.fields().len();
    let backwards = matches!(plan.spans, Spans::Session { .. });
    let (time, hash) = (if backwards { columns - 2 } else { columns - 3 }, columns - 1);
    [(hash, SortOptions::default()), (time, SortOptions { descending: backwards, nulls_first: false })]
}

impl<'a> Closing<'a> {
    pub fn new(plan: &'a Plan, closed: i64, horizon: i64, task: &selvedge_node::Task) -> Result<Closing<'a>> {
        Ok(Closing {
            plan,
            closed,
            horizon,
            windows: Groups::new(&plan.aggregates)?,
            starts: vec![],
            ends: vec![],
            key: None,
            key_from: 0,
            current: None,
            rows: vec![],
            ids: vec![],
            reservation: task.memory.reserve(),
            batch_rows: task.batch_rows,
        })
    }

    /// Takes the next panes in order.
    pub fn take(&mut self, batch: &RecordBatch, out: &mut dyn Out, keep: &mut Keep) -> Result<()> {
        let Stored { first, last, hash } = Stored::of(batch)?;
        let (mut kept, mut kept_ids, mut due) = (vec![], vec![], super::spans::NEVER);
        for row in 0..batch.num_rows() {
            if self.key != Some(hash[row]) {
                self.key = Some(hash[row]);
                self.key_from = self.starts.len();
                self.current = None;
            }
            let key = hash[row] as u128;
            let found = match self.plan.spans {
                Spans::Aligned { .. } => self.aligned(batch, row, key, first[row], out)?,
                Spans::Session { gap } => self.session(row, key, gap, first[row], last[row]),
                Spans::Stagger { size } => self.stagger(row, key, size, first[row]),
            };
            if let Some((id, end)) = found {
                kept.push(row as u32);
                kept_ids.push(id);
                due = due.min(end);
            }
            if self.rows.len() >= MERGED {
                self.merge(batch, first[row], out)?;
            }
        }
        if let Some(&first) = first.last() {
            self.merge(batch, first, out)?;
        }
        if !kept.is_empty() {
            keep(take_record_batch(batch, &UInt32Array::from(kept))?, kept_ids, due)?;
        }
        Ok(())
    }

    /// The windows of a pane; where it is needed later, its identity and when its next window ends.
    fn aligned(
        &mut self,
        batch: &RecordBatch,
        row: usize,
        key: u128,
        first: i64,
        out: &mut dyn Out,
    ) -> Result<Option<(u128, i64)>> {
        let spans = &self.plan.spans;
        let slot = spans.slot(first);
        for start in spans.windows(slot, self.closed, self.horizon) {
            // Windows of a key come in order, but for those that a pane before was in.
            if self.starts[self.key_from..].last().is_none_or(|last| start > *last) {
                self.open(start, start + spans.length());
            }
            self.rows.push(row as u32);
            self.ids.push(identity(key, start));
            // A pane may be in more windows than are merged at once.
            if self.rows.len() >= MERGED {
                self.merge(batch, first, out)?;
            }
        }
        let needed = spans.outlives(slot, self.horizon);
        Ok(needed.then(|| (identity(key, slot), spans.due(slot, slot, self.horizon))))
    }

    fn session(&mut self, row: usize, key: u128, gap: i64, first: i64, last: i64) -> Option<(u128, i64)> {
        let joins = self.current.as_ref().is_some_and(|c| last + gap > c.first);
        if !joins {
            let end = last + gap;
            self.start(Current { first, end, open: end > self.horizon, slot: self.plan.spans.slot(last) });
        }
        let current = self.current.as_mut()?;
        current.first = current.first.min(first);
        if current.open {
            return Some((identity(key, current.slot), current.end));
        }
        if let Some(start) = self.starts.last_mut() {
            *start = current.first;
        }
        self.rows.push(row as u32);
        self.ids.push(identity(key, current.end));
        None
    }

    fn stagger(&mut self, row: usize, key: u128, size: i64, first: i64) -> Option<(u128, i64)> {
        let joins = self.current.as_ref().is_some_and(|c| first < c.end);
        if !joins {
            self.start(Current { first, end: first + size, open: first + size > self.horizon, slot: first });
        }
        let current = self.current.as_ref()?;
        if current.open {
            // No row before the horizon comes any more: what starts before it starts for certain.
            let slot = if first < self.horizon { current.slot } else { first };
            return Some((identity(key, slot), current.end));
        }
        self.rows.push(row as u32);
        self.ids.push(identity(key, current.first));
        None
    }

    fn start(&mut self, current: Current) {
        if !current.open {
            self.open(current.first, current.end);
        }
        self.current = Some(current);
    }

    fn open(&mut self, start: i64, end: i64) {
        self.starts.push(start);
        self.ends.push(end);
    }

    /// Merges the chosen rows into their windows; windows that are through go when there are enough of them. `first` is where
    /// the pane read last begins.
    fn merge(&mut self, batch: &RecordBatch, first: i64, out: &mut dyn Out) -> Result<()> {
        if out.stopping() {
            return Err(Error::stopped());
        }
        if !self.rows.is_empty() {
            let rows = take_record_batch(batch, &UInt32Array::from(std::mem::take(&mut self.rows)))?;
            let keys = self.plan.keys_of(&rows)?;
            self.reservation.resize(self.windows.bytes_with(rows.num_rows(), &keys));
            self.windows.merge(&keys, &Piece { batch: rows, hashes: std::mem::take(&mut self.ids) })?;
        }
        if self.windows.len() < WINDOW_ROWS {
            return Ok(());
        }
        let through = match self.plan.spans {
            Spans::Aligned { .. } => {
                let ended = self.ends[self.key_from..].iter().take_while(|end| **end <= first).count();
                self.key_from + ended
            }
            // The last one may not be complete.
            _ => self.windows.len() - 1,
        };
        self.send(through, out)
    }

    fn send(&mut self, first: usize, out: &mut dyn Out) -> Result<()> {
        let plan = self.plan;
        let bound = |times: &mut Vec<i64>| -> ArrayRef {
            let times: Vec<i64> = times.drain(..first).collect();
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone_opt(plan.zone.clone()))
        };
        let besides = [bound(&mut self.starts), bound(&mut self.ends)];
        self.key_from = self.key_from.saturating_sub(first);
        self.windows.send(&plan.results, first, &besides, self.batch_rows, out)
    }

    /// All panes were there.
    pub fn finish(mut self, out: &mut dyn Out) -> Result<()> {
        self.send(self.windows.len(), out)
    }
}
