//! Many small objects, one request each: the edges of those that come next are fetched together.
//!
//! A plan asks each file for its first bytes (how it is packed, a header) or its last ones (a footer), in their order, and so does a run.
//! Whoever asks for one that is not at hand gets those of the next ones fetched with it; a small object is then at hand as a whole.

use bytes::Bytes;
use selvedge_connect::store::{Object, ReadAt, Store};
use selvedge_node::{Error, Result};
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Bytes of an edge.
const EDGE: u64 = 64 << 10;
/// Edges that are at hand at a time, and their bytes; as many are on their way.
const MOST: usize = 512;
const BYTES: u64 = 8 << 20;

#[derive(Clone, Copy)]
pub enum Edge {
    Start,
    End,
}

/// The objects that one path names, in their order.
pub struct Shelf {
    store: Arc<dyn Store>,
    objects: Vec<Object>,
    starts: Mutex<Window>,
    ends: Mutex<Window>,
}

/// The edges of some neighbours, and those behind them on their way.
#[derive(Default)]
struct Window {
    first: usize,
    edges: Vec<Bytes>,
    ahead: Option<JoinHandle<Result<Vec<Bytes>>>>,
}

impl Shelf {
    pub fn new(store: Arc<dyn Store>, objects: Vec<Object>) -> Shelf {
        Shelf { store, objects, starts: Mutex::default(), ends: Mutex::default() }
    }

    pub fn open(&self, at: usize, edge: Edge) -> Result<Arc<dyn ReadAt>> {
        let object = &self.objects[at];
        let near = match edge {
            Edge::Start => {
                Near { start: 0, bytes: self.edge(&self.starts, at, edge)?, object: self.store.open(object) }
            }
            Edge::End => Near {
                start: object.bytes.saturating_sub(EDGE),
                bytes: self.edge(&self.ends, at, edge)?,
                object: self.store.open(object),
            },
        };
        Ok(Arc::new(near))
    }

    fn edge(&self, window: &Mutex<Window>, at: usize, edge: Edge) -> Result<Bytes> {
        // Held while they are fetched: others want the same ones.
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = at.checked_sub(window.first).and_then(|at| window.edges.get(at)) {
            return Ok(bytes.clone());
        }
        // Whoever asks for the next one behind those at hand will ask for those behind it, too.
        let goes_on = !window.edges.is_empty() && at == window.first + window.edges.len();
        let edges = match window.ahead.take().filter(|_| goes_on) {
            Some(ahead) => ahead.join().map_err(|_| Error::bug("reading ahead of small objects"))??,
            None => self.store.ranges(&self.wanted(at, edge))?,
        };
        let found = edges.first().cloned().unwrap_or_default();
        let next = self.wanted(at + edges.len(), edge);
        let ahead = (goes_on && !next.is_empty()).then(|| {
            let store = self.store.clone();
            std::thread::spawn(move || store.ranges(&next))
        });
        *window = Window { first: at, edges, ahead };
        Ok(found)
    }

    /// The edges from this object on that are fetched together.
    fn wanted(&self, from: usize, edge: Edge) -> Vec<(Object, Range<u64>)> {
        let mut bytes = 0;
        let ranges = self.objects.iter().skip(from).take(MOST).map(|object| {
            let range = match edge {
                Edge::Start => 0..object.bytes.min(EDGE),
                Edge::End => object.bytes.saturating_sub(EDGE)..object.bytes,
            };
            (object.clone(), range)
        });
        ranges
            .take_while(|(_, range)| {
                let first = bytes == 0;
                bytes += range.end - range.start;
                first || bytes <= BYTES
            })
            .collect()
    }
}

/// An object with a part of it at hand.
struct Near {
    start: u64,
    bytes: Bytes,
    object: Arc<dyn ReadAt>,
}

impl Near {
    /// Of a range, what is at hand from its start on; empty: nothing.
    fn at_hand(&self, range: &Range<u64>) -> Bytes {
        let end = range.end.min(self.start + self.bytes.len() as u64);
        if range.start < self.start || range.start >= end {
            return Bytes::new();
        }
        self.bytes.slice((range.start - self.start) as usize..(end - self.start) as usize)
    }
}

impl ReadAt for Near {
    fn length(&self) -> io::Result<u64> {
        self.object.length()
    }
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let near = self.at_hand(&(at..at.saturating_add(buffer.len() as u64)));
        if near.is_empty() {
            return self.object.read_at(buffer, at);
        }
        buffer[..near.len()].copy_from_slice(&near);
        Ok(near.len())
    }
    fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let near = self.at_hand(&range);
        match near.len() as u64 == range.end.saturating_sub(range.start) {
            true => Ok(near),
            false => self.object.range(range),
        }
    }
    fn stream(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read + Send> {
        let near = self.at_hand(&range);
        let rest = range.start + near.len() as u64..range.end;
        if rest.is_empty() {
            return Box::new(Cursor::new(near));
        }
        Box::new(Cursor::new(near).chain(self.object.clone().stream(rest)))
    }
    fn want(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        let near = |range: &&Range<u64>| self.at_hand(range).len() as u64 == range.end.saturating_sub(range.start);
        let far: Vec<Range<u64>> = ranges.iter().filter(|range| !near(range)).cloned().collect();
        if far.is_empty() { Ok(()) } else { self.object.want(&far) }
    }
    fn held(&self) -> u64 {
        self.object.held()
    }
}
