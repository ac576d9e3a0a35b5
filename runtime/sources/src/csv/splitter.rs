//! Finds the ends of fields and records in a window of CSV text, 64 bytes at a time.
//!
//! The bytes of a block become three 64-bit masks (delimiters, quotes, line feeds). A prefix XOR of the quotes tells which bytes
//! are inside quotes; what is left of the delimiters and line feeds are the ends. This is the first stage of simdjson
//! (Langdale, Lemire: "Parsing gigabytes of JSON per second", VLDB 2019) and of simdcsv.
//!
//! A quote opens a field only as its first byte; anywhere else in an unquoted field it is a letter (`5" pan`), as for Spark and
//! csv-core. A block where a quote stands anywhere else is walked byte by byte by the state machine, which says what all this means:
//!
//! ```text
//!            delimiter ──► Field          quote at the start of a field ──► Quoted
//!  Record ─┤ line feed ──► Record         quote in Quoted ──► Closed
//!          │ comment   ──► Comment        quote right behind it ──► Quoted (a doubled quote)
//!          └ other     ──► Plain          other in Closed ──► Plain, and the byte is noted as `odd`
//! ```

use super::dialect::{Dialect, is_blank};

/// What the byte before a place has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// At the start of a record.
    Record,
    /// At the start of a field that is not its record's first.
    Field,
    /// In an unquoted field, or behind the closing quote of a broken one.
    Plain,
    Quoted,
    /// Behind the escape character, inside quotes.
    Escaped,
    /// Behind a quote inside quotes: it closes the field unless another quote follows.
    Closed,
    /// Behind blanks behind a closing quote, with `trim`.
    After,
    Comment,
}

/// The ends found so far in a window. Offsets are those of the window.
pub struct Splitter {
    dialect: Dialect,
    state: State,
    /// How much of the window has been looked at.
    scanned: usize,
    /// `starts[k]` is where field k starts, and `starts[k + 1] - 1` is the delimiter or line feed behind it.
    starts: Vec<u32>,
    /// Number of complete fields.
    fields: usize,
    /// `ends[r]` is the number of fields up to the end of record r.
    ends: Vec<u32>,
    /// Number of complete records.
    records: usize,
    /// Line feeds inside quotes.
    breaks: Vec<u32>,
    /// Bytes behind a closing quote that should not be there.
    odd: Vec<u32>,
    unterminated: bool,
}

const BLOCK: usize = 64;

impl Splitter {
    pub fn new(dialect: Dialect) -> Splitter {
        Splitter::within(dialect, State::Record)
    }

    /// Starts in the middle of a text.
    pub fn within(dialect: Dialect, state: State) -> Splitter {
        Splitter {
            dialect,
            state,
            scanned: 0,
            starts: vec![0; 1 + BLOCK],
            fields: 0,
            ends: vec![],
            records: 0,
            breaks: vec![],
            odd: vec![],
            unterminated: false,
        }
    }

    /// Complete records in the window.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Index of the first field of record `r`; for `r == records()`, of the one that is not complete.
    pub fn first_field(&self, r: usize) -> usize {
        if r == 0 { 0 } else { self.ends[r - 1] as usize }
    }

    /// `ends[r]` for all complete records: the number of fields up to the end of each.
    pub fn ends(&self) -> &[u32] {
        &self.ends[..self.records]
    }

    /// Where each complete field starts, and then the first incomplete one.
    pub fn starts(&self) -> &[u32] {
        &self.starts[..=self.fields]
    }

    /// Where record `r` starts in the window.
    pub fn start(&self, r: usize) -> usize {
        self.starts[self.first_field(r)] as usize
    }

    /// How much of the window has been looked at.
    pub fn scanned(&self) -> usize {
        self.scanned
    }

    /// Line feeds inside quotes, in order.
    pub fn breaks(&self) -> &[u32] {
        &self.breaks
    }

    /// Places behind closing quotes where neither a delimiter nor a line end stood, in order.
    pub fn odd(&self) -> &[u32] {
        &self.odd
    }

    /// The last record of a finished text ended inside quotes.
    pub fn unterminated(&self) -> bool {
        self.unterminated
    }

    /// Looks at what is new in the window: whole blocks only, the rest comes next time.
    pub fn scan(&mut self, window: &[u8]) {
        let to = self.scanned + (window.len() - self.scanned) / BLOCK * BLOCK;
        self.make_room(to - self.scanned);
        match (self.dialect.is_regular(), self.dialect.quote) {
            (true, Some(quote)) => self.scan_blocks::<true>(window, to, quote),
            (true, None) => self.scan_blocks::<false>(window, to, 0),
            (false, _) => self.walk(window, to),
        }
    }

    /// Looks at the whole window, down to the last byte.
    pub fn scan_all(&mut self, window: &[u8]) {
        self.scan(window);
        self.make_room(window.len() - self.scanned + 1);
        self.walk(window, window.len());
    }

    /// Looks at the rest of the last window and ends the last record, if it has any bytes.
    pub fn finish(&mut self, window: &[u8]) {
        self.scan_all(window);
        if self.starts[self.fields] as usize >= window.len() && self.state == State::Record {
            return;
        }
        self.unterminated = matches!(self.state, State::Quoted | State::Escaped);
        self.end_field(window.len());
        self.end_record();
        self.state = State::Record;
    }

    /// Forgets the first `gone` bytes of the window and every complete record. They must have been consumed.
    pub fn forget(&mut self, gone: usize) {
        let first = self.first_field(self.records);
        self.starts.copy_within(first..=self.fields, 0);
        self.fields -= first;
        self.records = 0;
        for start in &mut self.starts[..=self.fields] {
            *start = start.saturating_sub(gone as u32);
        }
        for places in [&mut self.breaks, &mut self.odd] {
            places.retain_mut(|place| {
                let kept = *place as usize >= gone;
                *place = place.saturating_sub(gone as u32);
                kept
            });
        }
        self.scanned -= gone;
    }

    /// Forgets the whole window, in the middle of a record that nobody wants.
    pub fn forget_all(&mut self) {
        self.scanned = 0;
        self.fields = 0;
        self.records = 0;
        self.starts[0] = 0;
        self.breaks.clear();
        self.odd.clear();
    }

    /// Room for as many ends as there are new bytes, so that the loops need not ask.
    fn make_room(&mut self, bytes: usize) {
        let fields = self.fields + 1 + bytes + BLOCK;
        if self.starts.len() < fields {
            self.starts.resize(fields, 0);
        }
        let records = self.records + bytes + BLOCK;
        if self.ends.len() < records {
            self.ends.resize(records, 0);
        }
    }

    fn end_field(&mut self, at: usize) {
        self.fields += 1;
        self.starts[self.fields] = at as u32 + 1;
    }

    fn end_record(&mut self) {
        self.ends[self.records] = self.fields as u32;
        self.records += 1;
    }

    fn scan_blocks<const QUOTES: bool>(&mut self, window: &[u8], to: usize, quote: u8) {
        while self.scanned < to {
            let Some(block) = window.get(self.scanned..).and_then(|rest| rest.first_chunk::<BLOCK>()) else { return };
            let (delimiters, quotes, feeds) = masks(block, self.dialect.delimiter, quote);
            if QUOTES && (quotes != 0 || self.state == State::Closed) {
                self.scan_quoted(window, delimiters, quotes, feeds);
                continue;
            }
            if self.state == State::Quoted {
                push_all(&mut self.breaks, self.scanned, feeds);
            } else {
                self.push_ends(delimiters | feeds, feeds);
                self.state = behind(delimiters | feeds, feeds);
            }
            self.scanned += BLOCK;
        }
    }

    /// A block with quotes in it.
    fn scan_quoted(&mut self, window: &[u8], delimiters: u64, quotes: u64, feeds: u64) {
        // Bit i: byte i leaves us inside quotes. An opening quote is inside by this, a closing one outside.
        let inside = prefix_xor(quotes) ^ if self.state == State::Quoted { !0 } else { 0 };
        let opening = quotes & inside;
        let closing = quotes & !inside;
        let ends = (delimiters | feeds) & !inside;
        let before = u64::from(matches!(self.state, State::Record | State::Field | State::Closed));
        let may_open = ((ends | closing) << 1) | before;
        if opening & !may_open != 0 {
            // Some quote is a letter here: the parity is worth nothing.
            self.walk(window, self.scanned + BLOCK);
            return;
        }
        let behind_closing = (closing << 1) | u64::from(self.state == State::Closed);
        let mut odd = behind_closing & !(delimiters | feeds | quotes);
        while odd != 0 {
            let at = self.scanned + odd.trailing_zeros() as usize;
            if !is_line_end(window, at) {
                self.odd.push(at as u32);
            }
            odd &= odd - 1;
        }
        push_all(&mut self.breaks, self.scanned, feeds & inside);
        self.push_ends(ends, feeds);
        self.state = if inside >> 63 != 0 {
            State::Quoted
        } else if closing >> 63 != 0 {
            State::Closed
        } else {
            behind(ends, feeds)
        };
        self.scanned += BLOCK;
    }

    /// Notes the ends of one block.
    #[inline(always)]
    fn push_ends(&mut self, mut ends: u64, feeds: u64) {
        let base = self.scanned as u32 + 1;
        let Some(starts) = self.starts.get_mut(self.fields + 1..).and_then(|s| s.first_chunk_mut::<BLOCK>()) else {
            return;
        };
        let Some(records) = self.ends.get_mut(self.records..).and_then(|s| s.first_chunk_mut::<BLOCK>()) else {
            return;
        };
        let (mut fields, mut found) = (0, 0);
        while ends != 0 {
            let bit = ends.trailing_zeros();
            starts[fields % BLOCK] = base + bit;
            fields += 1;
            // Written always, kept only behind a line feed: cheaper than a branch.
            records[found % BLOCK] = (self.fields + fields) as u32;
            found += (feeds >> bit & 1) as usize;
            ends &= ends - 1;
        }
        self.fields += fields;
        self.records += found;
    }

    /// The state machine, byte by byte.
    fn walk(&mut self, window: &[u8], to: usize) {
        let Dialect { delimiter, quote, escape, comment, trim } = self.dialect;
        let mut state = self.state;
        for at in self.scanned..to.min(window.len()) {
            let byte = window[at];
            state = match state {
                State::Quoted if Some(byte) == quote => State::Closed,
                State::Quoted if Some(byte) == escape => State::Escaped,
                State::Quoted | State::Escaped => {
                    if byte == b'\n' {
                        self.breaks.push(at as u32);
                    }
                    State::Quoted
                }
                State::Comment if byte != b'\n' => State::Comment,
                State::Closed if Some(byte) == quote => State::Quoted,
                _ if byte == b'\n' => {
                    self.end_field(at);
                    self.end_record();
                    State::Record
                }
                _ if byte == delimiter => {
                    self.end_field(at);
                    State::Field
                }
                State::Record if Some(byte) == comment => State::Comment,
                State::Record | State::Field if Some(byte) == quote => State::Quoted,
                // Blanks do not start the field yet: a quote may follow. A record has begun, though: no comment any more.
                State::Record | State::Field if trim && is_blank(byte) => State::Field,
                State::Closed | State::After if trim && is_blank(byte) => State::After,
                State::Closed | State::After => {
                    if !is_line_end(window, at) {
                        self.odd.push(at as u32);
                    }
                    State::Plain
                }
                _ => State::Plain,
            };
        }
        self.state = state;
        self.scanned = to.min(window.len());
    }
}

/// A carriage return right before a line feed. Where the window ends between the two, the reader decides.
fn is_line_end(window: &[u8], at: usize) -> bool {
    window[at] == b'\r' && window.get(at + 1) == Some(&b'\n')
}

/// The state behind a block that ends outside quotes.
fn behind(ends: u64, feeds: u64) -> State {
    match (ends >> 63, feeds >> 63) {
        (0, _) => State::Plain,
        (_, 0) => State::Field,
        _ => State::Record,
    }
}

fn push_all(places: &mut Vec<u32>, base: usize, mut bits: u64) {
    while bits != 0 {
        places.push(base as u32 + bits.trailing_zeros());
        bits &= bits - 1;
    }
}

/// Bit i of the result: the XOR of bits 0 to i.
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Where a block has the delimiter, the quote, a line feed.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn masks(block: &[u8; BLOCK], delimiter: u8, quote: u8) -> (u64, u64, u64) {
    use std::arch::x86_64::*;
    let mut found = (0, 0, 0);
    for part in 0..4 {
        // SAFETY: SSE2 is part of x86-64, and the unaligned load reads bytes 16 * part to 16 * part + 15 of 64.
        let masks = unsafe {
            let bytes = _mm_loadu_si128(block.as_ptr().add(16 * part).cast());
            let equal = |b: u8| u64::from(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b as i8))) as u32);
            (equal(delimiter), equal(quote), equal(b'\n'))
        };
        found.0 |= masks.0 << (16 * part);
        found.1 |= masks.1 << (16 * part);
        found.2 |= masks.2 << (16 * part);
    }
    found
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn masks(block: &[u8; BLOCK], delimiter: u8, quote: u8) -> (u64, u64, u64) {
    let mut found = (0, 0, 0);
    for (i, &byte) in block.iter().enumerate() {
        found.0 |= u64::from(byte == delimiter) << i;
        found.1 |= u64::from(byte == quote) << i;
        found.2 |= u64::from(byte == b'\n') << i;
    }
    found
}
