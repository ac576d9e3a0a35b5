//! Open sessions as bytes, for `save` and `load`: numbers of as many bytes as they need, times as distances where one is known.

use crate::sessions::{Session, Sessions};
use std::collections::BTreeMap;

/// Changes with the format: state of another one is refused.
const VERSION: u64 = 1;

impl Sessions {
    /// All that the following events depend on.
    pub fn save(&self) -> Vec<u8> {
        let mut state = vec![];
        number(&mut state, VERSION);
        number(&mut state, self.columns() as u64);
        number(&mut state, zigzag(self.clock.watermark));
        number(&mut state, self.users.len() as u64);
        for (user, sessions) in &self.users {
            text(&mut state, user);
            number(&mut state, sessions.len() as u64);
            for session in sessions {
                number(&mut state, zigzag(session.start));
                number(&mut state, session.end.wrapping_sub(session.start) as u64);
                number(&mut state, session.events);
                session.counts.iter().for_each(|count| number(&mut state, *count));
                number(&mut state, session.items.len() as u64);
                for (item, time) in &session.items {
                    text(&mut state, item);
                    number(&mut state, session.end.wrapping_sub(*time) as u64);
                }
            }
        }
        state
    }

    /// Takes back what `save` gave. None: it is something else.
    pub fn load(&mut self, state: &[u8]) -> Option<()> {
        let mut rest = Rest(state);
        let columns = self.columns();
        if rest.number()? != VERSION || rest.number()? != columns as u64 {
            return None;
        }
        self.clock.watermark = unzigzag(rest.number()?);
        self.users = rest.many(|rest| Some((rest.text()?, rest.many(|rest| session(rest, columns))?)))?;
        rest.0.is_empty().then_some(())
    }
}

fn session(rest: &mut Rest, columns: usize) -> Option<Session> {
    let start = unzigzag(rest.number()?);
    let end = start.wrapping_add(rest.number()? as i64);
    let events = rest.number()?;
    let counts = (0..columns).map(|_| rest.number()).collect::<Option<_>>()?;
    let items: BTreeMap<_, _> = rest.many(|rest| Some((rest.text()?, end.wrapping_sub(rest.number()? as i64))))?;
    Some(Session { start, end, events, counts, items })
}

/// Seven bits a byte, the lowest first; the eighth says that there are more.
fn number(state: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        state.push(number as u8 | 0x80);
        number >>= 7;
    }
    state.push(number as u8);
}

fn text(state: &mut Vec<u8>, text: &str) {
    number(state, text.len() as u64);
    state.extend_from_slice(text.as_bytes());
}

/// Small numbers of either sign are small.
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Box<str>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(Into::into)
    }

    /// A count, and as many of these.
    fn many<T, C: FromIterator<T>>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<C> {
        let count = self.number()?;
        (0..count).map(|_| one(self)).collect()
    }
}
