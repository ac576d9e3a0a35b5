//! A line under construction: JSON or logfmt, straight into the buffer that is written.

use crate::text::civil;
use std::io::Write;

/// Ends with a line break when it is dropped.
pub struct Line<'a> {
    to: &'a mut Vec<u8>,
    start: usize,
}

impl Line<'_> {
    pub fn new(to: &mut Vec<u8>) -> Line<'_> {
        Line { start: to.len(), to }
    }

    pub fn put(&mut self, text: std::fmt::Arguments) {
        // Writing to memory does not fail.
        let _ = self.to.write_fmt(text);
    }

    /// A text in quotes, as JSON has it; logfmt reads it too.
    pub fn quoted(&mut self, text: &str) {
        self.to.push(b'"');
        for c in text.chars() {
            match c {
                '"' => self.put(format_args!("\\\"")),
                '\\' => self.put(format_args!("\\\\")),
                '\n' => self.put(format_args!("\\n")),
                '\t' => self.put(format_args!("\\t")),
                c if c < ' ' => self.put(format_args!("\\u{:04x}", c as u32)),
                c => self.put(format_args!("{c}")),
            }
        }
        self.to.push(b'"');
    }

    /// Microseconds since 1970 as `2024-03-01T09:05:00.250Z`.
    pub fn time(&mut self, micros: u64) {
        let seconds = micros / 1_000_000;
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let milli = micros / 1000 % 1000;
        self.put(format_args!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"));
    }

    /// Leaves the last part of the line out, as a broken transfer does; the cut is between characters.
    pub fn cut(&mut self, part: usize) {
        let mut end = self.to.len() - (self.to.len() - self.start) / part.max(2);
        while self.to.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        self.to.truncate(end);
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.to.push(b'\n');
    }
}
