//! What a reader of lines finds: for each column, where its text stands. Nothing is copied before it comes into its column.

use super::quoted::unescape;
use arrow::array::StringBuilder;
use std::fmt::Write;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Cell<'a> {
    #[default]
    Null,
    Text(&'a str),
    /// What stood between quotes, with escapes that have been checked.
    Escaped(&'a str),
}

impl Cell<'_> {
    pub fn append(self, to: &mut StringBuilder) {
        match self {
            Cell::Null => to.append_null(),
            Cell::Text(text) => to.append_value(text),
            Cell::Escaped(text) => {
                // Writing to memory does not fail.
                unescape(text, |part| _ = to.write_str(part));
                to.append_value("");
            }
        }
    }
}

/// A line that cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct Bad {
    /// The code of its rejection.
    pub code: &'static str,
    pub what: String,
}

/// Names to look for. Lines of one log have them in the same order: the search goes on where it last found one.
#[derive(Debug)]
pub(super) struct Names(Vec<String>);

impl Names {
    pub fn new(names: Vec<String>) -> Names {
        Names(names)
    }

    /// The index of a name; `next` is where to look first, and starts at 0.
    pub fn find(&self, name: &str, next: &mut usize) -> Option<usize> {
        let (before, after) = self.0.split_at((*next).min(self.0.len()));
        let found = match after.iter().position(|n| n == name) {
            Some(at) => before.len() + at,
            None => before.iter().position(|n| n == name)?,
        };
        *next = found + 1;
        Some(found)
    }
}
