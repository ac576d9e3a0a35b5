//! Where an incremental read stands: the highest bookmark seen, and how many of its rows, while more of them may come.

use selvedge_node::{Error, Result};
use serde::{Deserialize, Serialize};

/// `{"after": "2024-03-01 10:00:00"}`, or in the middle of equal values `{"at": "2024-03-01 10:00:00", "rows": 17}`; values as the
/// database prints them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Position {
    After { after: String },
    At { at: String, rows: u64 },
}

impl Position {
    pub fn parse(text: &str) -> Result<Position> {
        serde_json::from_str(text).map_err(|e| {
            Error::world(format!("the position `{text}` of the last run cannot be read: {e}"))
                .help("it is kept in the folder of --state; without it, everything is read again")
        })
    }
}

/// Follows the bookmark of the rows that are read, in ascending order.
#[derive(Debug, Default)]
pub struct Progress {
    mark: Option<String>,
    rows: u64,
    done: bool,
}

impl Progress {
    pub fn resume(position: Option<Position>) -> Progress {
        match position {
            None => Progress::default(),
            Some(Position::After { after }) => Progress { mark: Some(after), rows: 0, done: true },
            Some(Position::At { at, rows }) => Progress { mark: Some(at), rows, done: false },
        }
    }

    /// A row with this bookmark has been read.
    pub fn saw(&mut self, mark: &str) {
        self.done = false;
        if self.mark.as_deref() == Some(mark) {
            self.rows += 1;
        } else {
            (self.mark, self.rows) = (Some(mark.to_string()), 1);
        }
    }

    /// No more rows come in this run.
    pub fn finish(&mut self) {
        self.done = true;
    }

    pub fn position(&self) -> Option<String> {
        let mark = self.mark.clone()?;
        let position = match self.done {
            true => Position::After { after: mark },
            false => Position::At { at: mark, rows: self.rows },
        };
        serde_json::to_string(&position).ok()
    }
}
