//! What went wrong: whose fault it is, whether trying again can help, and which setting is to blame.

use crate::bindings::types;
use std::fmt;

pub use crate::bindings::types::Fault;

/// The result of whatever may fail in a plugin.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a node. It never names the node itself: the host knows who and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether the same call may succeed later.
    pub retry: bool,
    /// Lower case, no full stop: what was expected and what was found.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The setting at fault, as a path in the config: `sizes.0.from`.
    pub at: Option<String>,
}

impl Error {
    fn new(fault: Fault, message: impl Into<String>) -> Error {
        Error { fault, retry: false, message: message.into(), help: None, at: None }
    }
    /// The graph asks for what cannot be done.
    pub fn graph(message: impl Into<String>) -> Error {
        Error::new(Fault::Graph, message)
    }
    /// A row is not what it should be.
    pub fn data(message: impl Into<String>) -> Error {
        Error::new(Fault::Data, message)
    }
    /// Disk, network, another system.
    pub fn world(message: impl Into<String>) -> Error {
        Error::new(Fault::World, message)
    }
    /// The plugin itself is wrong.
    pub fn bug(message: impl Into<String>) -> Error {
        Error::new(Fault::Bug, message)
    }
    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Error {
        self.help = Some(help.into());
        self
    }
    /// The setting at fault; the host shows its place in the graph.
    #[must_use]
    pub fn at(mut self, setting: impl Into<String>) -> Error {
        self.at = Some(setting.into());
        self
    }
    /// A later try may not meet it.
    #[must_use]
    pub fn retryable(mut self) -> Error {
        self.retry = true;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for types::Error {
    fn from(e: Error) -> types::Error {
        types::Error { fault: e.fault, retry: e.retry, message: e.message, help: e.help, at: e.at }
    }
}

/// The one of `known` that was probably meant by `found`.
pub(crate) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (distance(&found.to_ascii_lowercase(), &name.to_ascii_lowercase()), name))
        .filter(|(d, name)| *d <= name.len().max(found.len()).div_ceil(3))
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// Edit distance (Levenshtein), by bytes: good enough for names. Neighbours swapped count as two.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        row[0] = left;
        for (cell, y) in row[1..].iter_mut().zip(b.bytes()) {
            left = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, left);
        }
    }
    row[b.len()]
}

/// `known` as words for a message.
pub(crate) fn list<'a>(known: impl Iterator<Item = &'a str>) -> String {
    known.map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
}
