//! A record or line longer than any may be, while its rest is being skipped.

/// The longest part of a bad record that is kept for `rawData`.
pub const RAW: usize = 64 << 10;

/// What is known of the record so far.
pub struct Overlong {
    /// Its beginning, at most [`RAW`] bytes.
    pub raw: Vec<u8>,
    pub bytes: u64,
    /// The line it starts on, in this range of the file from 0.
    pub line: u64,
}

impl Overlong {
    pub fn new(line: u64) -> Overlong {
        Overlong { raw: vec![], bytes: 0, line }
    }

    /// The next part of it.
    pub fn take(&mut self, part: &[u8]) {
        self.raw.extend_from_slice(&part[..part.len().min(RAW - self.raw.len())]);
        self.bytes += part.len() as u64;
    }
}
