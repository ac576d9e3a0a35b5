//! Rows in memory and the open sessions that they belong to.
//!
//! ```text
//! key's hash ─► session ─next─► session of the same key         apart by more than the gap
//!                  │ head
//!                  ▼
//!                row ─prev─► row ─prev─► row                    ids: chunk, place in it; they rise with arrival
//! ```
//!
//! A watermark touches the sessions that are due and nothing else: they stand in a heap by the time at which they may end. Of the
//! sessions of a key either all are here or none: what is here and has rows on disk as well knows of them.

use super::runs::Mark;
use super::session::Rules;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, interleave};
use arrow::datatypes::SchemaRef;
use hashbrown::HashTable;
use selvedge_node::Result;
use selvedge_state::batch_bytes;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No row.
const NONE: u64 = u64::MAX;
/// Before a row that nobody has.
const DEAD: u64 = u64::MAX - 1;
const NO_SESSION: u32 = u32::MAX;

/// What writing a session to disk takes besides: its place in two orders.
const ORDERS: u64 = 48;

#[derive(Default)]
struct Chunk {
    /// `None` once no row of it is held.
    batch: Option<RecordBatch>,
    times: Vec<i64>,
    /// The next row of the same session, for each row.
    prev: Vec<u64>,
    /// When each row arrived. Empty: one after another from `base`.
    arrivals: Vec<u64>,
    base: u64,
    /// When the newest arrived.
    newest: u64,
    /// Where each row is now that those that nobody has are gone. Empty: where it was.
    places: Vec<u32>,
    live: u32,
    bytes: u64,
}

impl Chunk {
    fn at(&self, row: u32) -> usize {
        if self.places.is_empty() { row as usize } else { self.places[row as usize] as usize }
    }

    fn measure(&mut self) -> u64 {
        let Some(batch) = &self.batch else { return 0 };
        let lists = (self.times.len() + self.prev.len() + self.arrivals.len()) * 8 + self.places.len() * 4;
        // The arrays have heads of their own.
        self.bytes = batch_bytes(batch) + lists as u64 + 128 * batch.num_columns() as u64 + 256;
        self.bytes
    }

    /// The rows that somebody has and that arrived at `since` or after, their times and arrivals.
    fn since(&self, batch: &RecordBatch, since: u64) -> Result<(RecordBatch, Vec<i64>, Vec<u64>)> {
        let arrival = |row: usize| self.arrivals.get(row).copied().unwrap_or(self.base + row as u64);
        let rows = (0..self.times.len()).filter(|&row| self.prev[row] != DEAD && arrival(row) >= since);
        let (mut times, mut arrivals, mut here) = (vec![], vec![], vec![false; self.times.len()]);
        for row in rows {
            times.push(self.times[row]);
            arrivals.push(arrival(row));
            here[row] = true;
        }
        Ok((filter_record_batch(batch, &BooleanArray::from(here))?, times, arrivals))
    }

    /// Lets go of the rows that nobody has.
    fn shrink(&mut self) -> Result<()> {
        let Some(batch) = &self.batch else { return Ok(()) };
        let live: Vec<bool> = self.prev.iter().map(|&prev| prev != DEAD).collect();
        let mut places = vec![];
        let mut next = 0;
        for &live in &live {
            places.push(next);
            next += u32::from(live);
        }
        if self.places.is_empty() {
            self.places = places;
        } else {
            // What is gone already points anywhere.
            self.places.iter_mut().for_each(|place| *place = places.get(*place as usize).copied().unwrap_or(0));
        }
        if self.arrivals.is_empty() {
            self.arrivals = (0..live.len() as u64).map(|row| self.base + row).collect();
        }
        fn keep<T: Copy>(list: &mut Vec<T>, live: &[bool]) {
            let kept = list.iter().zip(live).filter(|(_, live)| **live).map(|(item, _)| *item);
            *list = kept.collect();
        }
        keep(&mut self.times, &live);
        keep(&mut self.prev, &live);
        keep(&mut self.arrivals, &live);
        self.batch = Some(filter_record_batch(batch, &BooleanArray::from(live))?);
        Ok(())
    }
}

#[derive(Clone)]
pub(crate) struct Session {
    pub key: u128,
    pub first: i64,
    pub last: i64,
    head: u64,
    tail: u64,
    /// Rows in memory, and those among the sorted runs.
    pub rows: u64,
    pub disk: u64,
    /// Rows of the key before this have been sent: no earlier one can join them.
    pub floor: i64,
    /// Further rows are on disk and come back when event time gets there.
    pub until: i64,
    next: u32,
    /// Tells the sessions apart that have had this place, one after another. Odd: somebody has it.
    turn: u32,
}

impl Session {
    /// When it may end.
    pub(crate) fn due(&self, rules: &Rules) -> i64 {
        rules.due(self.first, self.last).max(self.until)
    }
}

#[derive(Default)]
pub(crate) struct Held {
    chunks: Vec<Chunk>,
    vacant: Vec<u32>,
    pub sessions: Vec<Session>,
    free: Vec<u32>,
    /// The newest session of each key.
    keys: HashTable<u32>,
    due: BinaryHeap<Reverse<(i64, u32, u32)>>,
    firsts: BinaryHeap<Reverse<(i64, u32, u32)>>,
    /// Bytes of the chunks, and rows in them that somebody has.
    bytes: u64,
    pub rows: u64,
    arrived: u64,
}

impl Held {
    /// What the rows and the sessions take: room that stands empty counts, for it is taken.
    pub(crate) fn bytes(&self) -> u64 {
        let heaps = (self.due.capacity() + self.firsts.capacity()) * 16;
        let sessions = self.sessions.capacity() * std::mem::size_of::<Session>() + self.free.capacity() * 4;
        let lists = (heaps + sessions + self.keys.capacity() * 6) as u64;
        self.bytes + lists + (self.chunks.len() * std::mem::size_of::<Chunk>()) as u64 + self.open() as u64 * ORDERS
    }

    fn open(&self) -> usize {
        self.sessions.len() - self.free.len()
    }

    /// Takes a batch; its rows belong to nothing yet. `arrivals`: for rows that have been here before. Answers the id of the
    /// first.
    pub(crate) fn add(&mut self, batch: &RecordBatch, times: &[i64], arrivals: Vec<u64>) -> u64 {
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk::default());
            self.chunks.len() as u32 - 1
        });
        let base = self.arrived;
        self.arrived = match arrivals.iter().max() {
            Some(last) => self.arrived.max(last + 1),
            None => base + times.len() as u64,
        };
        let newest = arrivals.iter().copied().max().unwrap_or(self.arrived.saturating_sub(1));
        let prev = vec![DEAD; times.len()];
        let (held, times) = (Some(batch.clone()), times.to_vec());
        let chunk = &mut self.chunks[at as usize];
        *chunk = Chunk { batch: held, times, prev, arrivals, base, newest, ..Chunk::default() };
        self.bytes += chunk.measure();
        u64::from(at) << 32
    }

    /// Lets a batch go if none of its rows was taken.
    pub(crate) fn settle(&mut self, id: u64) -> Result<()> {
        self.tidy((id >> 32) as usize)
    }

    /// Lets a chunk go that nobody has rows of any more, or makes it smaller that has lost half of them.
    fn tidy(&mut self, at: usize) -> Result<()> {
        let chunk = &mut self.chunks[at];
        if chunk.live == 0 && chunk.batch.is_some() {
            self.bytes -= chunk.bytes;
            *chunk = Chunk::default();
            self.vacant.push(at as u32);
        } else if chunk.times.len() > 16 && (chunk.live as usize) < chunk.times.len() / 2 {
            self.bytes -= chunk.bytes;
            chunk.shrink()?;
            self.bytes += chunk.measure();
        }
        Ok(())
    }

    /// Whether it has a session of the key.
    pub(crate) fn knows(&self, key: u128) -> bool {
        self.newest(key) != NO_SESSION
    }

    fn newest(&self, key: u128) -> u32 {
        let found = self.keys.find(key as u64, |&at| self.sessions[at as usize].key == key);
        found.copied().unwrap_or(NO_SESSION)
    }

    /// Makes a session the newest of its key. `NO_SESSION`: the key has none.
    fn set_newest(&mut self, key: u128, at: u32) {
        let sessions = &self.sessions;
        if let Ok(entry) = self.keys.find_entry(key as u64, |&at| sessions[at as usize].key == key) {
            match at {
                NO_SESSION => _ = entry.remove(),
                at => *entry.into_mut() = at,
            }
        } else if at != NO_SESSION {
            self.keys.insert_unique(key as u64, at, |&at| sessions[at as usize].key as u64);
        }
    }

    /// The session of a key that rows from `first` to `last` belong to, made one if they tie several together. `NO_SESSION`: none.
    fn meet(&mut self, rules: &Rules, key: u128, first: i64, last: i64, may: impl Fn(&Session) -> bool) -> u32 {
        let mut found = NO_SESSION;
        let mut at = self.newest(key);
        while at != NO_SESSION {
            let one = &self.sessions[at as usize];
            let next = one.next;
            if !rules.over(one.last, first) && one.first.saturating_sub(last) <= rules.gap && may(one) {
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
        found
    }

    /// Takes note of rows of a session that are on disk until event time comes to when it seemed due.
    pub(crate) fn note(&mut self, rules: &Rules, key: u128, [first, last, floor]: [i64; 3]) {
        let found = match self.meet(rules, key, first, last, |_| true) {
            NO_SESSION => self.open_one(key, first),
            found => found,
        };
        let session = &mut self.sessions[found as usize];
        session.first = session.first.min(first);
        session.last = session.last.max(last);
        session.floor = session.floor.max(floor);
        session.until = session.until.max(rules.due(first, last));
        self.wait(rules, found);
    }

    /// Puts a row into its session: one that is open, one that it ties together from several, or a new one. `None`: it comes
    /// before `now` and belongs to none.
    pub(crate) fn join(&mut self, rules: &Rules, key: u128, time: i64, id: u64, now: i64) -> Option<u32> {
        let mut found = self.meet(rules, key, time, time, |one| time >= now || time >= one.floor);
        if found == NO_SESSION {
            if time < now {
                return None;
            }
            found = self.open_one(key, time);
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
        self.chunks[(id >> 32) as usize].live += 1;
        Some(found)
    }

    fn open_one(&mut self, key: u128, time: i64) -> u32 {
        let next = self.newest(key);
        let new = Session {
            key,
            first: time,
            last: time,
            head: NONE,
            tail: NONE,
            rows: 0,
            disk: 0,
            floor: i64::MIN,
            until: i64::MIN,
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
        self.set_newest(key, at);
        at
    }

    /// Tells both heaps when the session may end and where it begins.
    pub(crate) fn wait(&mut self, rules: &Rules, at: u32) {
        let s = &self.sessions[at as usize];
        self.due.push(Reverse((s.due(rules), at, s.turn)));
        self.firsts.push(Reverse((s.first, at, s.turn)));
        // What a session has said before stays in the heaps: not for ever.
        if self.due.len().max(self.firsts.len()) > 2 * self.open() + 1024 {
            self.wait_anew(rules);
        }
    }

    fn wait_anew(&mut self, rules: &Rules) {
        let open: Vec<u32> = self.open_sessions();
        let of = |what: &dyn Fn(&Session) -> i64| {
            let entry = |&at: &u32| Reverse((what(&self.sessions[at as usize]), at, self.sessions[at as usize].turn));
            open.iter().map(entry).collect()
        };
        (self.due, self.firsts) = (of(&|s| s.due(rules)), of(&|s| s.first));
    }

    /// Gives back the room of sessions that are gone.
    pub(crate) fn repack(&mut self, rules: &Rules) {
        let open = self.open_sessions();
        let mut places = vec![NO_SESSION; self.sessions.len()];
        open.iter().enumerate().for_each(|(new, &old)| places[old as usize] = new as u32);
        let mut sessions: Vec<Session> = Vec::with_capacity(open.len());
        for &old in &open {
            let session = &self.sessions[old as usize];
            let next = if session.next == NO_SESSION { NO_SESSION } else { places[session.next as usize] };
            sessions.push(Session { next, turn: 1, ..session.clone() });
        }
        let mut keys = HashTable::with_capacity(self.keys.len());
        for &newest in &self.keys {
            let at = places[newest as usize];
            keys.insert_unique(sessions[at as usize].key as u64, at, |&at| sessions[at as usize].key as u64);
        }
        (self.sessions, self.keys, self.free) = (sessions, keys, vec![]);
        self.wait_anew(rules);
    }

    fn link(&mut self, at: u32, id: u64) {
        let session = &mut self.sessions[at as usize];
        let prev = std::mem::replace(&mut session.head, id);
        if prev == NONE {
            session.tail = id;
        }
        session.rows += 1;
        *self.prev(id) = prev;
    }

    fn prev(&mut self, id: u64) -> &mut u64 {
        let chunk = &mut self.chunks[(id >> 32) as usize];
        let at = chunk.at(id as u32);
        &mut chunk.prev[at]
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
        session.until = session.until.max(gone.until);
        if gone.head == NONE {
            return;
        }
        let tail = std::mem::replace(&mut session.tail, gone.tail);
        match tail {
            NONE => session.head = gone.head,
            tail => *self.prev(tail) = gone.head,
        }
    }

    /// Forgets a session; its rows, if there are any, are somebody else's now.
    pub(crate) fn close(&mut self, at: u32) {
        let Session { key, next, .. } = self.sessions[at as usize];
        match self.newest(key) {
            NO_SESSION => {}
            newest if newest == at => self.set_newest(key, next),
            mut one => {
                while self.sessions[one as usize].next != at {
                    one = self.sessions[one as usize].next;
                }
                self.sessions[one as usize].next = next;
            }
        }
        self.sessions[at as usize].turn += 1;
        self.free.push(at);
    }

    /// The session of a key that this time lies in.
    pub(crate) fn find(&self, key: u128, time: i64) -> Option<u32> {
        self.of_key(key).find(|&at| {
            let one = &self.sessions[at as usize];
            (one.first..=one.last).contains(&time)
        })
    }

    pub(crate) fn of_key(&self, key: u128) -> impl Iterator<Item = u32> + '_ {
        let some = |at: u32| (at != NO_SESSION).then_some(at);
        std::iter::successors(some(self.newest(key)), move |&at| some(self.sessions[at as usize].next))
    }

    /// The next session that is due at `now`.
    pub(crate) fn next_due(&mut self, rules: &Rules, now: i64) -> Option<u32> {
        while let Some(&Reverse((_, at, turn))) = self.due.peek().filter(|d| d.0.0 <= now) {
            self.due.pop();
            let s = &self.sessions[at as usize];
            if s.turn != turn {
                continue;
            }
            let due = s.due(rules);
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
            let chunk = &self.chunks[(id >> 32) as usize];
            let row = chunk.at(id as u32);
            rows.push((chunk.times[row], id));
            id = chunk.prev[row];
        }
        let arrival = |id: u64| self.arrival(id);
        rows[start..].sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| arrival(a.1).cmp(&arrival(b.1))));
    }

    /// The next row to come has this number.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// The rows that arrived at `since` or after, with their times and arrivals, in any order.
    pub(crate) fn since(&self, since: u64) -> impl Iterator<Item = Result<(RecordBatch, Vec<i64>, Vec<u64>)>> + '_ {
        let chunks = self.chunks.iter().filter(move |chunk| chunk.newest >= since);
        chunks.filter_map(move |chunk| Some(chunk.since(chunk.batch.as_ref()?, since)))
    }

    /// When a row came, as a number that rises.
    pub(crate) fn arrival(&self, id: u64) -> u64 {
        let chunk = &self.chunks[(id >> 32) as usize];
        let row = id as u32;
        if chunk.arrivals.is_empty() { chunk.base + u64::from(row) } else { chunk.arrivals[chunk.at(row)] }
    }

    /// Gives rows back to a session that they were taken from.
    pub(crate) fn put_back(&mut self, at: u32, rows: &[(i64, u64)]) {
        rows.iter().for_each(|&(_, id)| self.link(at, id));
    }

    /// Rows have been sent or stored: nobody has them any more.
    pub(crate) fn let_go(&mut self, rows: &[(i64, u64)]) -> Result<()> {
        self.rows -= rows.len() as u64;
        for (_, id) in rows {
            *self.prev(*id) = DEAD;
            let at = (id >> 32) as usize;
            self.chunks[at].live -= 1;
            self.tidy(at)?;
        }
        Ok(())
    }

    /// What is stored of a row of a session besides its columns.
    pub(crate) fn mark(&self, at: u32, (time, id): (i64, u64)) -> Mark {
        let Session { key, floor, .. } = self.sessions[at as usize];
        Mark { key, time, arrival: self.arrival(id), floor }
    }

    /// The columns of these rows.
    pub(crate) fn gather(&self, schema: &SchemaRef, rows: &[(i64, u64)]) -> Result<Vec<ArrayRef>> {
        // Chunks that take part, by their place in the list.
        let mut places: Vec<u32> = rows.iter().map(|(_, id)| (id >> 32) as u32).collect();
        places.sort_unstable();
        places.dedup();
        let mut local = vec![0; places.last().map_or(0, |&last| last as usize + 1)];
        places.iter().enumerate().for_each(|(i, &place)| local[place as usize] = i);
        let order: Vec<(usize, usize)> = rows
            .iter()
            .map(|(_, id)| (id >> 32, *id as u32))
            .map(|(chunk, row)| (local[chunk as usize], self.chunks[chunk as usize].at(row)))
            .collect();
        let batches: Vec<&RecordBatch> =
            places.iter().filter_map(|&place| self.chunks[place as usize].batch.as_ref()).collect();
        let column = |c: usize| {
            let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(c).as_ref()).collect();
            Ok(interleave(&parts, &order)?)
        };
        (0..schema.fields().len()).map(column).collect()
    }

    /// Moves the rows together where they are spread over many tiny batches.
    pub(crate) fn compact(&mut self, schema: &SchemaRef, batch_rows: usize) -> Result<()> {
        if self.rows == 0 || (self.chunks.len() - self.vacant.len()) as u64 <= 256 + self.rows / 64 {
            return Ok(());
        }
        let (mut rows, mut owners) = (vec![], vec![]);
        for at in self.open_sessions() {
            let start = rows.len();
            self.take(at, &mut rows);
            owners.push((at, start..rows.len()));
        }
        let size = batch_rows.max(1);
        let mut fresh = Held::default();
        for some in rows.chunks(size) {
            let batch = RecordBatch::try_new(schema.clone(), self.gather(schema, some)?)?;
            let times: Vec<i64> = some.iter().map(|(time, _)| *time).collect();
            fresh.add(&batch, &times, some.iter().map(|(_, id)| self.arrival(*id)).collect());
        }
        (self.chunks, self.vacant, self.bytes) = (fresh.chunks, vec![], fresh.bytes);
        for (i, row) in rows.iter_mut().enumerate() {
            row.1 = ((i / size) as u64) << 32 | (i % size) as u64;
            self.chunks[i / size].live += 1;
        }
        owners.into_iter().for_each(|(at, range)| self.put_back(at, &rows[range]));
        Ok(())
    }

    /// Forgets everything but how many rows have come.
    pub(crate) fn clear(&mut self) {
        *self = Held { arrived: self.arrived, ..Held::default() };
    }
}
