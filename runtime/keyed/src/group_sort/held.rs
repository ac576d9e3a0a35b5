//! Rows in memory and the open sessions that they belong to.
//!
//! ```text
//! key's hash ─► session ─next─► session of the same key         apart by more than the gap
//!                  │ head
//!                  ▼
//!                row ─prev─► row ─prev─► row                    ids: chunk, place in it; they rise with arrival
//! ```
//!
//! A watermark touches the sessions that are due and nothing else: they stand in a heap by the time at which they may end.

use super::session::Rules;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use selvedge_node::Result;
use selvedge_state::batch_bytes;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No row, no session.
pub(crate) const NONE: u64 = u64::MAX;
const NO_SESSION: u32 = u32::MAX;

/// What a session takes besides its rows: itself, its place in the map and in both heaps.
const SESSION_BYTES: u64 = 200;

struct Chunk {
    /// `None` once no row of it is held.
    batch: Option<RecordBatch>,
    times: Vec<i64>,
    /// The next row of the same session, for each row.
    prev: Vec<u64>,
    live: u32,
    bytes: u64,
}

#[derive(Clone)]
pub(crate) struct Session {
    pub key: u128,
    pub first: i64,
    pub last: i64,
    head: u64,
    tail: u64,
    /// Rows in memory and on disk.
    pub rows: u64,
    pub disk: u64,
    /// Rows of the key before this have been sent: no earlier one can join them.
    pub floor: i64,
    next: u32,
    /// Tells the sessions apart that have had this place, one after another. Odd: somebody has it.
    turn: u32,
}

#[derive(Default)]
pub(crate) struct Held {
    chunks: Vec<Chunk>,
    pub sessions: Vec<Session>,
    free: Vec<u32>,
    keys: hashbrown::HashMap<u128, u32>,
    due: BinaryHeap<Reverse<(i64, u32, u32)>>,
    firsts: BinaryHeap<Reverse<(i64, u32, u32)>>,
    /// Bytes of the chunks, rows in them, and those of these that no session has any more.
    bytes: u64,
    pub rows: u64,
    dead: u64,
}

impl Held {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes + self.sessions_bytes()
    }
    fn sessions_bytes(&self) -> u64 {
        (self.sessions.len() - self.free.len()) as u64 * SESSION_BYTES
    }

    /// Takes a batch; its rows belong to nothing yet. Answers the id of the first.
    pub(crate) fn add(&mut self, batch: &RecordBatch, times: &[i64]) -> u64 {
        // Two lists of eight bytes a row, and the arrays' own heads.
        let bytes = batch_bytes(batch) + 16 * times.len() as u64 + 128 * batch.num_columns() as u64;
        self.bytes += bytes;
        self.dead += times.len() as u64;
        let prev = vec![NONE; times.len()];
        self.chunks.push(Chunk { batch: Some(batch.clone()), times: times.to_vec(), prev, live: 0, bytes });
        (self.chunks.len() as u64 - 1) << 32
    }

    /// Lets the newest batch go if none of its rows was taken.
    pub(crate) fn settle(&mut self) {
        if let Some(at) = self.chunks.len().checked_sub(1) {
            self.drop_if_dead(at);
        }
    }

    fn drop_if_dead(&mut self, at: usize) {
        let chunk = &mut self.chunks[at];
        if chunk.live == 0 && chunk.batch.take().is_some() {
            self.bytes -= std::mem::take(&mut chunk.bytes);
            self.dead -= chunk.times.len() as u64;
            (chunk.times, chunk.prev) = (vec![], vec![]);
        }
        if self.rows == 0 {
            (self.dead, self.bytes) = (0, 0);
            self.chunks.clear();
        }
    }

    /// Puts a row into its session: one that is open, one that it ties together from several, or a new one. `false`: it comes
    /// before `now` and belongs to none.
    pub(crate) fn join(&mut self, rules: &Rules, key: u128, time: i64, id: u64, now: i64) -> bool {
        let mut found = NO_SESSION;
        let mut at = self.keys.get(&key).copied().unwrap_or(NO_SESSION);
        while at != NO_SESSION {
            let one = &self.sessions[at as usize];
            let next = one.next;
            let touches = !rules.over(one.last, time) && one.first.saturating_sub(time) <= rules.gap;
            if touches && (time >= now || time >= one.floor) {
                match found {
                    NO_SESSION => found = at,
                    other => {
                        self.unite(other, at);
                        self.wait(rules, other);
                    }
                }
            }
            at = next;
        }
        if found == NO_SESSION {
            if time < now {
                return false;
            }
            found = self.open(key, time);
            self.wait(rules, found);
        }
        let session = &mut self.sessions[found as usize];
        session.last = session.last.max(time);
        if time < session.first {
            session.first = time;
            self.wait(rules, found);
        }
        self.link(found, id);
        self.rows += 1;
        self.dead -= 1;
        self.chunks[(id >> 32) as usize].live += 1;
        true
    }

    fn open(&mut self, key: u128, time: i64) -> u32 {
        let next = self.keys.get(&key).copied().unwrap_or(NO_SESSION);
        let new = Session {
            key,
            first: time,
            last: time,
            head: NONE,
            tail: NONE,
            rows: 0,
            disk: 0,
            floor: i64::MIN,
            next,
            turn: 1,
        };
        let at = match self.free.pop() {
            Some(at) => {
                let turn = self.sessions[at as usize].turn + 1;
                self.sessions[at as usize] = Session { turn, ..new };
                at
            }
            None => {
                self.sessions.push(new);
                self.sessions.len() as u32 - 1
            }
        };
        self.keys.insert(key, at);
        at
    }

    /// Tells both heaps when the session may end and where it begins.
    pub(crate) fn wait(&mut self, rules: &Rules, at: u32) {
        let s = &self.sessions[at as usize];
        self.due.push(Reverse((rules.due(s.first, s.last), at, s.turn)));
        self.firsts.push(Reverse((s.first, at, s.turn)));
    }

    fn link(&mut self, at: u32, id: u64) {
        let session = &mut self.sessions[at as usize];
        let prev = std::mem::replace(&mut session.head, id);
        if prev == NONE {
            session.tail = id;
        }
        session.rows += 1;
        self.chunks[(id >> 32) as usize].prev[id as u32 as usize] = prev;
    }

    /// One session out of two: a row has come that belongs to both.
    fn unite(&mut self, into: u32, from: u32) {
        let gone = self.sessions[from as usize].clone();
        self.close(from);
        let session = &mut self.sessions[into as usize];
        session.first = session.first.min(gone.first);
        session.last = session.last.max(gone.last);
        session.floor = session.floor.max(gone.floor);
        session.rows += gone.rows;
        session.disk += gone.disk;
        if gone.head == NONE {
            return;
        }
        let tail = std::mem::replace(&mut session.tail, gone.tail);
        match tail {
            NONE => session.head = gone.head,
            tail => self.chunks[(tail >> 32) as usize].prev[tail as u32 as usize] = gone.head,
        }
    }

    /// Forgets a session; its rows, if there are any, are somebody else's now.
    pub(crate) fn close(&mut self, at: u32) {
        let Session { key, next, .. } = self.sessions[at as usize];
        match self.keys.get(&key).copied() {
            Some(head) if head == at => {
                match next {
                    NO_SESSION => self.keys.remove(&key),
                    next => self.keys.insert(key, next),
                };
            }
            Some(mut one) => {
                while self.sessions[one as usize].next != at {
                    one = self.sessions[one as usize].next;
                }
                self.sessions[one as usize].next = next;
            }
            None => {}
        }
        self.sessions[at as usize].turn += 1;
        self.free.push(at);
    }

    /// The session of a key that this time lies in.
    pub(crate) fn find(&self, key: u128, time: i64) -> Option<u32> {
        let mut at = self.keys.get(&key).copied().unwrap_or(NO_SESSION);
        while at != NO_SESSION {
            let one = &self.sessions[at as usize];
            if (one.first..=one.last).contains(&time) {
                return Some(at);
            }
            at = one.next;
        }
        None
    }

    /// The next session that is due at `now`.
    pub(crate) fn next_due(&mut self, rules: &Rules, now: i64) -> Option<u32> {
        while let Some(&Reverse((_, at, turn))) = self.due.peek().filter(|d| d.0.0 <= now) {
            self.due.pop();
            let s = &self.sessions[at as usize];
            if s.turn != turn {
                continue;
            }
            let due = rules.due(s.first, s.last);
            if due <= now {
                return Some(at);
            }
            self.due.push(Reverse((due, at, turn)));
        }
        None
    }

    /// The time of the earliest row of all sessions.
    pub(crate) fn earliest(&mut self) -> Option<i64> {
        while let Some(&Reverse((first, at, turn))) = self.firsts.peek() {
            let s = &self.sessions[at as usize];
            if s.turn == turn && s.first == first {
                return Some(first);
            }
            self.firsts.pop();
        }
        None
    }

    /// Sessions that somebody has.
    pub(crate) fn open_sessions(&self) -> Vec<u32> {
        (0..self.sessions.len() as u32).filter(|&at| self.sessions[at as usize].turn % 2 == 1).collect()
    }

    /// Open sessions in order of key and time.
    pub(crate) fn in_order(&self) -> Vec<u32> {
        let mut all = self.open_sessions();
        all.sort_unstable_by_key(|&at| (self.sessions[at as usize].key, self.sessions[at as usize].first));
        all
    }

    /// Appends the rows of a session in memory, in order of time and arrival, and takes them from it.
    pub(crate) fn take(&mut self, at: u32, rows: &mut Vec<(i64, u64)>) {
        let start = rows.len();
        let session = &mut self.sessions[at as usize];
        let mut id = std::mem::replace(&mut session.head, NONE);
        (session.tail, session.rows) = (NONE, 0);
        while id != NONE {
            let (chunk, row) = (&self.chunks[(id >> 32) as usize], id as u32 as usize);
            rows.push((chunk.times[row], id));
            id = chunk.prev[row];
        }
        rows[start..].sort_unstable();
    }

    /// Gives rows back to a session that they were taken from.
    pub(crate) fn put_back(&mut self, at: u32, rows: &[(i64, u64)]) {
        rows.iter().for_each(|&(_, id)| self.link(at, id));
    }

    /// Rows have been sent or stored: nobody has them any more.
    pub(crate) fn let_go(&mut self, rows: &[(i64, u64)]) {
        self.rows -= rows.len() as u64;
        self.dead += rows.len() as u64;
        for (_, id) in rows {
            let at = (id >> 32) as usize;
            // Without any row left all chunks are gone at once.
            let Some(chunk) = self.chunks.get_mut(at) else { continue };
            chunk.live -= 1;
            if chunk.live == 0 {
                self.drop_if_dead(at);
            }
        }
    }

    /// The columns of these rows.
    pub(crate) fn gather(&self, schema: &SchemaRef, rows: &[(i64, u64)]) -> Result<Vec<ArrayRef>> {
        // Chunks that take part, by their place in the list.
        let mut places: Vec<u32> = rows.iter().map(|(_, id)| (id >> 32) as u32).collect();
        places.sort_unstable();
        places.dedup();
        let mut local = vec![0; places.last().map_or(0, |&last| last as usize + 1)];
        places.iter().enumerate().for_each(|(i, &place)| local[place as usize] = i);
        let order: Vec<(usize, usize)> =
            rows.iter().map(|(_, id)| (local[(id >> 32) as usize], *id as u32 as usize)).collect();
        let batches: Vec<&RecordBatch> =
            places.iter().filter_map(|&place| self.chunks[place as usize].batch.as_ref()).collect();
        let column = |c: usize| {
            let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(c).as_ref()).collect();
            Ok(interleave(&parts, &order)?)
        };
        (0..schema.fields().len()).map(column).collect()
    }

    /// Moves the rows together where most of what is held is rows gone, or batches are tiny.
    pub(crate) fn compact(&mut self, schema: &SchemaRef, batch_rows: usize) -> Result<()> {
        let crumbs = self.chunks.len() as u64 > 256 + self.rows / 256;
        if self.rows == 0 || (self.dead <= self.rows + 65_536 && !crumbs) {
            return Ok(());
        }
        let (mut rows, mut owners) = (vec![], vec![]);
        for at in self.open_sessions() {
            let start = rows.len();
            self.take(at, &mut rows);
            owners.push((at, start..rows.len()));
        }
        let mut fresh = Held::default();
        for some in rows.chunks(batch_rows.max(1)) {
            let batch = RecordBatch::try_new(schema.clone(), self.gather(schema, some)?)?;
            let times: Vec<i64> = some.iter().map(|(time, _)| *time).collect();
            fresh.add(&batch, &times);
        }
        (self.chunks, self.bytes, self.dead) = (fresh.chunks, fresh.bytes, 0);
        let size = batch_rows.max(1);
        for (i, row) in rows.iter_mut().enumerate() {
            row.1 = ((i / size) as u64) << 32 | (i % size) as u64;
            self.chunks[i / size].live += 1;
        }
        owners.into_iter().for_each(|(at, range)| self.put_back(at, &rows[range]));
        Ok(())
    }
}
