//! Events as lines of text, one after the other as they come out of a shop's systems: with copies, out of order and late.
//!
//! ```text
//! event n is sent at     start + n / rate
//! its own time is        that, less a delay: none for most, up to 5 s out of order, up to 10 min late
//! its line               depends on its number, the settings and nothing else; a copy is the line of an earlier event
//! ```

mod chat;
mod clickstream;
mod line;
mod partner;
#[cfg(test)]
mod tests;

use crate::prng::{Draw, Draws};
use line::Line;

/// What the events are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    Clickstream,
    Chat,
    Partner,
}

impl Events {
    pub const ALL: &[Events] = &[Events::Clickstream, Events::Chat, Events::Partner];

    /// As the command line names them.
    pub fn name(self) -> &'static str {
        match self {
            Events::Clickstream => "clickstream",
            Events::Chat => "chat",
            Events::Partner => "partner",
        }
    }

    /// One line for a list.
    pub fn about(self) -> &'static str {
        match self {
            Events::Clickstream => "what users of the shop's app and site do: JSON with nested user, page and item",
            Events::Chat => "messages of the site's chat in many languages: JSON, and logfmt for one line in five",
            Events::Partner => {
                "sales of partners: JSON with decimals as text, some of them invalid, some lines cut off"
            }
        }
    }

    pub fn find(name: &str) -> Option<Events> {
        Self::ALL.iter().copied().find(|events| events.name().eq_ignore_ascii_case(name))
    }
}

/// What a stream is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub events: Events,
    pub seed: u64,
    /// When the first event is sent, in microseconds since 1970.
    pub start: u64,
    /// Events per second.
    pub rate: f64,
    /// The share of events that are exact copies of one of the thousand before, 0 to 1.
    pub duplicates: f64,
    /// The share that is up to 5 seconds older than the time it is sent at.
    pub out_of_order: f64,
    /// The share that is 5 seconds to 10 minutes older.
    pub late: f64,
}

/// How much older than its sending an event out of order is, in microseconds, and a late one.
const DISORDER: u64 = 5_000_000;
const LATENESS: u64 = 600_000_000;
/// Copies are of one of so many events before.
const MEMORY: u64 = 1000;
/// A user does something for so long, in microseconds, and about so many times.
const VISIT: u64 = 300_000_000;
const STEPS: u64 = 20;
/// How many users there are.
const USERS: u64 = 1_000_000;

/// Makes the events of a stream, in any order.
#[derive(Debug, Clone)]
pub struct Stream {
    settings: Settings,
    copies: Draws,
    delays: Draws,
    who: Draws,
    what: Draws,
}

/// One event that is to be written.
struct Event {
    number: u64,
    /// When the stream began.
    start: u64,
    /// Its own time, in microseconds since 1970.
    time: u64,
    user: u64,
    draw: Draw,
}

impl Stream {
    pub fn new(settings: Settings) -> Stream {
        // Streams that begin at different times are different, so that one that is begun again does not repeat its ids.
        let draws =
            |what: &str| Draws::new(settings.seed, &format!("{}.{}.{what}", settings.events.name(), settings.start));
        let (copies, delays, who, what) = (draws("copies"), draws("delays"), draws("who"), draws("what"));
        Stream { settings, copies, delays, who, what }
    }

    /// When an event is sent, in microseconds since 1970.
    pub fn sent_at(&self, number: u64) -> u64 {
        self.settings.start + (number as f64 * 1e6 / self.settings.rate) as u64
    }

    /// Appends the event's line and tells the key that its shard is chosen by: the user, the conversation, or the partner's shop.
    pub fn write(&self, number: u64, to: &mut Vec<u8>) -> u64 {
        let mut copy = self.copies.at(number);
        let copied = number > 0 && share(&mut copy, self.settings.duplicates);
        let number = if copied { number - 1 - copy.below(MEMORY.min(number)) } else { number };
        let event = self.event(number);
        let mut line = Line::new(to);
        match self.settings.events {
            Events::Clickstream => clickstream::write(event, &mut line),
            Events::Chat => chat::write(event, &mut line),
            Events::Partner => partner::write(event, &mut line),
        }
    }

    fn event(&self, number: u64) -> Event {
        let sent = self.sent_at(number);
        let mut delay = self.delays.at(number);
        let out_of_order = share(&mut delay, self.settings.out_of_order);
        let late = share(&mut delay, self.settings.late);
        let delay = match (late, out_of_order) {
            (true, _) => DISORDER + delay.below(LATENESS - DISORDER),
            (false, true) => delay.below(DISORDER),
            (false, false) => 0,
        };
        // A few users at a time, so that they have sessions.
        let visit = sent / VISIT;
        let here = ((self.settings.rate * VISIT as f64 / 1e6) as u64 / STEPS).max(1);
        let mut who = self.who.at(number);
        let user = self.who.at(u64::MAX - visit * (USERS + 1) - who.below(here.min(USERS))).below(USERS);
        Event { number, start: self.settings.start, time: sent.saturating_sub(delay), user, draw: self.what.at(number) }
    }
}

/// True for a share of the draws, to a millionth.
fn share(draw: &mut Draw, share: f64) -> bool {
    draw.below(1_000_000) < (share * 1e6) as u64
}

/// The shard of a key: the same in every run and on every machine.
pub fn shard(key: u64, shards: usize) -> usize {
    // FNV-1a, 64 bits.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = key.to_le_bytes().into_iter().fold(0xcbf2_9ce4_8422_2325, step);
    // By its upper half: the lowest bits of FNV depend on few bits of the key.
    ((hash >> 32) as usize) % shards.max(1)
}
