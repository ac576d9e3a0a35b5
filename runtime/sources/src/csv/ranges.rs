//! Cuts a CSV file at record starts near equal distances, so that its parts can be read in parallel and give exactly the
//! records of the whole.
//!
//! Whether a place is inside quotes depends on everything before it. So each chunk is first scanned for all three states that it
//! may start in, in parallel; then the states are followed from chunk to chunk. Only quotes matter, and most files have few:
//!
//! ```text
//!   chunk 0           chunk 1           chunk 2                a chunk: (Outside, Inside, Closed) ──► the state behind it
//!  Outside ────► Outside │ Inside ───► … follow                then, from each chunk's start: the next line feed outside quotes
//! ```
//!
//! After "Data-parallel finite-state machines" (Mytkowicz, Musuvathi, Schulte, ASPLOS 2014).

use super::BOM;
use super::dialect::Dialect;
use super::splitter::{Splitter, State};
use crate::compression::{Compression, Input};
use crate::lake::Found;
use selvedge_node::{Error, Result};

/// How much is read at once.
const BLOCK: usize = 256 << 10;

/// What the bytes before a place have left behind, as far as it concerns quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Outside,
    Inside,
    /// Right behind a quote inside quotes, at this place.
    Closed(u64),
}

impl Lane {
    /// A closing quote has closed its field for good once something else follows.
    fn settled(self, at: u64) -> Lane {
        match self {
            Lane::Closed(place) if place != at => Lane::Outside,
            lane => lane,
        }
    }

    /// A quote at `at`; `opens`: it stands where a field starts, if this is outside.
    fn quote(self, at: u64, opens: bool) -> Lane {
        match self.settled(at) {
            Lane::Outside if opens => Lane::Inside,
            Lane::Outside => Lane::Outside,
            Lane::Inside => Lane::Closed(at + 1),
            Lane::Closed(_) => Lane::Inside,
        }
    }
}

/// The state behind a chunk for each of the states before it: outside, inside, closed.
type Passage = [Lane; 3];

/// The starts of the parts: at least the start of the file, each the start of a record, about `distance` bytes apart; and the
/// end of the file. `distance` is at least 1, the dialect regular, the file not packed.
pub fn cuts(file: &Found, dialect: Dialect, bytes: u64, distance: u64, threads: usize) -> Result<Vec<u64>> {
    let head = byte_order_mark(file)?;
    let chunks = bytes.div_ceil(distance.max(1)).max(1);
    let start = |chunk: u64| (head + chunk * distance).min(bytes);
    let passages = match dialect.quote {
        None => vec![[Lane::Outside; 3]; chunks as usize],
        Some(quote) => {
            let pass = |chunk: u64| {
                // The first field opens like any other.
                pass(file, [dialect.delimiter, quote], chunk == 0, start(chunk), start(chunk + 1))
            };
            in_parallel(chunks - 1, threads, &pass)?
        }
    };
    let mut cuts = vec![0];
    let mut lane = Lane::Outside;
    // A record that reaches over whole chunks has no start in them.
    let mut reached = 0;
    for chunk in 1..chunks {
        let at = start(chunk);
        lane = match (lane, passages.get(chunk as usize - 1)) {
            (_, None) => Lane::Outside,
            (Lane::Outside, Some(passage)) => passage[0],
            (Lane::Inside, Some(passage)) => passage[1],
            (Lane::Closed(_), Some(passage)) => passage[2],
        };
        if reached < at && at < bytes {
            reached = next_record(file, dialect, lane, at, bytes)?;
            if reached < bytes {
                cuts.push(reached);
            }
        }
    }
    cuts.push(bytes);
    Ok(cuts)
}

/// Runs `work` for `0..count`, in order of the results.
fn in_parallel<T: Send>(count: u64, threads: usize, work: &(dyn Fn(u64) -> Result<T> + Sync)) -> Result<Vec<T>> {
    let threads = (threads as u64).clamp(1, count.max(1));
    if threads == 1 {
        return (0..count).map(work).collect();
    }
    let parts: Vec<Result<Vec<T>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|t| scope.spawn(move || (t * count / threads..(t + 1) * count / threads).map(work).collect()))
            .collect();
        let lost = || Err(Error::bug("a thread that looked for quotes panicked"));
        handles.into_iter().map(|h| h.join().unwrap_or_else(|_| lost())).collect()
    });
    let mut all = vec![];
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

/// Follows the quotes of bytes `from..to`.
fn pass(file: &Found, [delimiter, quote]: [u8; 2], first: bool, from: u64, to: u64) -> Result<Passage> {
    let mut lanes = [Lane::Outside, Lane::Inside, Lane::Closed(from)];
    let mut buffer = vec![0; BLOCK];
    let mut before = b'\n';
    if !first {
        // It tells whether a quote at the start opens a field.
        Input::part(file, from - 1, from)?.read_full(&mut buffer[..1])?;
        before = buffer[0];
    }
    let mut input = Input::part(file, from, to)?;
    let mut at = from;
    loop {
        let n = input.read_full(&mut buffer)?;
        if n == 0 {
            return Ok(lanes.map(|lane| lane.settled(to)));
        }
        let block = &buffer[..n];
        for place in memchr::memchr_iter(quote, block) {
            let previous = if place == 0 { before } else { block[place - 1] };
            let opens = previous == delimiter || previous == b'\n';
            let place = at + place as u64;
            lanes = lanes.map(|lane| lane.quote(place, opens));
        }
        before = block.last().copied().unwrap_or(before);
        at += block.len() as u64;
    }
}

/// Length of the mark at the start of the file.
fn byte_order_mark(file: &Found) -> Result<u64> {
    let mut head = [0; BOM.len()];
    let n = Input::whole(file, Compression::Uncompressed)?.read_full(&mut head)?;
    Ok(if head[..n] == *BOM { n as u64 } else { 0 })
}

/// The first start of a record at or behind `at`; `bytes`, the end of the file, if there is none.
fn next_record(file: &Found, dialect: Dialect, lane: Lane, at: u64, bytes: u64) -> Result<u64> {
    let mut input = Input::part(file, at - 1, bytes)?;
    // Most lines are short.
    let mut buffer = vec![0; 4 << 10];
    input.read_full(&mut buffer[..1])?;
    let before = buffer[0];
    let state = match lane {
        Lane::Outside if before == b'\n' => return Ok(at),
        Lane::Outside if before == dialect.delimiter => State::Field,
        Lane::Outside => State::Plain,
        Lane::Inside => State::Quoted,
        Lane::Closed(_) => State::Closed,
    };
    let mut splitter = Splitter::within(dialect, state);
    let mut from = at;
    loop {
        let n = input.read_full(&mut buffer)?;
        if n == 0 {
            return Ok(bytes);
        }
        splitter.scan_all(&buffer[..n]);
        if splitter.records() > 0 {
            return Ok(from + splitter.start(1) as u64);
        }
        splitter.forget_all();
        from += n as u64;
        buffer.resize(BLOCK, 0);
    }
}
