//! On which line of its file a range starts. Nobody counts lines before somebody asks, and each range is counted once.

use crate::compression::Input;
use crate::lake::Found;
use selvedge_node::Result;
use std::sync::OnceLock;

/// The ranges of one file that is read in parts.
pub struct Lines {
    file: Found,
    /// Where each range starts, and the end of the last.
    bounds: Vec<u64>,
    /// Line feeds in each range.
    counts: Vec<OnceLock<u64>>,
}

impl Lines {
    pub fn new(file: Found, bounds: Vec<u64>) -> Lines {
        let counts = bounds.iter().skip(1).map(|_| OnceLock::new()).collect();
        Lines { file, bounds, counts }
    }

    /// A range has been read to its end and had so many line feeds.
    pub fn note(&self, range: usize, lines: u64) {
        if let Some(count) = self.counts.get(range) {
            // If somebody has counted meanwhile, it is the same number.
            _ = count.set(lines);
        }
    }

    /// Line feeds before the range.
    pub fn before(&self, range: usize) -> Result<u64> {
        let mut total = 0;
        for (i, count) in self.counts.iter().enumerate().take(range) {
            total += match count.get() {
                Some(n) => *n,
                None => {
                    let n = self.count(self.bounds[i], self.bounds[i + 1])?;
                    *count.get_or_init(|| n)
                }
            };
        }
        Ok(total)
    }

    fn count(&self, from: u64, to: u64) -> Result<u64> {
        let mut input = Input::part(&self.file, from, to)?;
        let mut buffer = vec![0; 256 << 10];
        let mut lines = 0;
        loop {
            match input.read(&mut buffer)? {
                0 => return Ok(lines),
                n => lines += memchr::memchr_iter(b'\n', &buffer[..n]).count() as u64,
            }
        }
    }
}
