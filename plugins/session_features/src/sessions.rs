//! Sessions of users, open until nothing that may still come can belong to them.
//!
//! ```text
//!                 horizon = newest - lateness, or the watermark
//!        gap          |                          newest
//! [closed]----|       |  [ open ]      [ open ]----|-> time of one user
//!   rows here are late  | rows here may begin, prolong or join sessions
//! ```
//!
//! The newest time is each user's own, so that what is late does not depend on other users, nor on threads and batches. A session is closed
//! where even a row at the horizon would be more than the gap behind its end.

use std::collections::BTreeMap;

/// What decides when a session has ended. Times are in the unit of the column.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The longest time without an event in a session.
    pub gap: i64,
    /// How much older than the newest an event of the same user may be.
    pub lateness: i64,
    /// No row of any user comes before it any more.
    pub watermark: i64,
}

impl Clock {
    /// Before it no row of a user's can come, or is late.
    fn horizon(&self, sessions: &[Session]) -> i64 {
        let newest = sessions.last().map_or(i64::MIN, |s| s.end);
        self.watermark.max(newest.saturating_sub(self.lateness))
    }

    /// How many of a user's sessions have ended.
    fn ended(&self, sessions: &[Session]) -> usize {
        let horizon = self.horizon(sessions);
        sessions.partition_point(|s| s.end.saturating_add(self.gap) < horizon)
    }
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its first event.
    pub start: i64,
    /// Its last event.
    pub end: i64,
    /// Its events.
    pub events: u64,
    /// Events by column of counts.
    pub counts: Box<[u64]>,
    /// When each item was there last.
    pub items: BTreeMap<Box<str>, i64>,
}

impl Session {
    fn new(time: i64, columns: usize) -> Session {
        Session { start: time, end: time, events: 0, counts: vec![0; columns].into(), items: BTreeMap::new() }
    }

    fn add(&mut self, event: &Event) {
        self.start = self.start.min(event.time);
        self.end = self.end.max(event.time);
        self.events += 1;
        event.counts.iter().for_each(|at| self.counts[*at] += 1);
        let Some(item) = event.item else { return };
        match self.items.get_mut(item) {
            Some(last) => *last = event.time.max(*last),
            None => _ = self.items.insert(item.into(), event.time),
        }
    }

    fn join(&mut self, other: Session) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.events += other.events;
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        for (item, time) in other.items {
            let last = self.items.entry(item).or_insert(time);
            *last = time.max(*last);
        }
    }

    /// The last items, each once, in the order they were there last; of the same time in the order of their text.
    pub fn last_items(&self, count: usize) -> Vec<&str> {
        let mut items: Vec<(i64, &str)> = self.items.iter().map(|(item, time)| (*time, item.as_ref())).collect();
        items.sort_unstable();
        items[items.len().saturating_sub(count)..].iter().map(|(_, item)| *item).collect()
    }
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When.
    pub time: i64,
    /// The columns in which it counts.
    pub counts: &'a [usize],
    /// With which item.
    pub item: Option<&'a str>,
}

/// Sessions that have ended, up to about so many and of so many bytes: what is above waits until it is asked for again.
#[derive(Debug, Default)]
pub struct Closed {
    /// With their users.
    pub rows: Vec<(Box<str>, Session)>,
    bytes: usize,
    most: (usize, usize),
}

impl Closed {
    /// Room for rows and bytes.
    pub fn new(rows: usize, bytes: usize) -> Closed {
        Closed { rows: vec![], bytes: 0, most: (rows, bytes) }
    }
    fn is_full(&self) -> bool {
        self.rows.len() >= self.most.0 || self.bytes >= self.most.1
    }
    /// Takes the first sessions of a user, at most `ended` and as many as there is room for.
    fn take(&mut self, user: &str, sessions: &mut Vec<Session>, ended: usize) {
        let mut count = 0;
        while count < ended && self.rows.len() + count < self.most.0 && self.bytes < self.most.1 {
            let items = sessions[count].items.keys().map(|item| item.len() + 8);
            self.bytes += 2 * user.len() + 128 + items.sum::<usize>();
            count += 1;
        }
        self.rows.extend(sessions.drain(..count).map(|session| (user.into(), session)));
    }
}

/// All open sessions.
pub struct Sessions {
    pub(crate) clock: Clock,
    /// How many columns of counts there are.
    columns: usize,
    /// By user, in the order of time and more than the gap apart; never none.
    pub(crate) users: BTreeMap<Box<str>, Vec<Session>>,
    /// The watermark at which all users were looked at last.
    looked: i64,
}

impl Sessions {
    /// None yet.
    pub fn new(clock: Clock, columns: usize) -> Sessions {
        Sessions { clock, columns, users: BTreeMap::new(), looked: i64::MIN }
    }

    /// How many columns of counts there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Adds an event, and closes what it shows to have ended. The error is the earliest time that would not have been too late.
    pub fn add(&mut self, user: &str, event: Event, closed: &mut Closed) -> Result<(), i64> {
        let clock = self.clock;
        let known = self.users.get_mut(user);
        let horizon = clock.horizon(known.as_deref().map_or(&[], Vec::as_slice));
        if event.time < horizon {
            return Err(horizon);
        }
        let sessions = match known {
            Some(sessions) => sessions,
            None => self.users.entry(user.into()).or_default(),
        };
        // Those that it touches: one, or two that it joins.
        let from = sessions.partition_point(|s| s.end.saturating_add(clock.gap) < event.time);
        let to = sessions.partition_point(|s| s.start <= event.time.saturating_add(clock.gap));
        match &mut sessions[from..to] {
            [one] => one.add(&event),
            _ => {
                let mut session = Session::new(event.time, self.columns);
                session.add(&event);
                sessions.drain(from..to).for_each(|touched| session.join(touched));
                sessions.insert(from, session);
            }
        }
        closed.take(user, sessions, clock.ended(sessions));
        Ok(())
    }

    /// Nothing before this time comes any more, of any user. A watermark comes with every batch, and to look at all users takes
    /// time: sessions are closed up to a sixteenth of the gap late.
    pub fn watermark(&mut self, time: i64, closed: &mut Closed) {
        self.clock.watermark = time.max(self.clock.watermark);
        if self.clock.watermark < self.looked.saturating_add(self.clock.gap / 16) {
            return;
        }
        self.looked = self.clock.watermark;
        self.users.retain(|user, sessions| {
            closed.take(user, sessions, self.clock.ended(sessions));
            !sessions.is_empty()
        });
    }

    /// Nothing comes any more: closes what there is room for. True: there is more.
    pub fn finish(&mut self, closed: &mut Closed) -> bool {
        while !closed.is_full()
            && let Some((user, mut sessions)) = self.users.pop_first()
        {
            let all = sessions.len();
            closed.take(&user, &mut sessions, all);
            if !sessions.is_empty() {
                self.users.insert(user, sessions);
            }
        }
        !self.users.is_empty()
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
