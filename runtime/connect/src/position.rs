//! Where an incremental read stands: the highest bookmark seen, and how many of its rows, while more of them may come.

use selvedge_node::{Error, Result};
use serde::{Deserialize, Serialize};

/// `{"after": "2024-03-01 10:00:00+00"}`, or in the middle of equal values `{"at": "2024-03-01 10:00:00+00", "rows": 17}`. The value is
/// the database's own text of it, which it reads back exactly.
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

/// Follows the bookmark of the rows that are read, in ascending order, nulls first.
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
            Some(Position::After { after }) => Progress { mark: Some(after), rows: 0, done: false },
            Some(Position::At { at, rows }) => Progress { mark: Some(at), rows, done: false },
        }
    }

    /// Takes the bookmark of the next row. Allocates only when a text changes in length.
    pub fn see(&mut self, mark: Option<&str>) {
        // Nulls have no place in the order: only the first run reads them.
        let Some(mark) = mark else { return };
        match &mut self.mark {
            Some(old) if old == mark => self.rows += 1,
            Some(old) => {
                old.clear();
                old.push_str(mark);
                self.rows = 1;
            }
            None => {
                self.mark = Some(mark.to_string());
                self.rows = 1;
            }
        }
    }

    /// All rows have been read.
    pub fn finish(&mut self) {
        self.done = true;
    }

    pub fn position(&self) -> Option<String> {
        let mark = self.mark.clone()?;
        let position = match (self.done, self.rows) {
            (true, _) | (_, 0) => Position::After { after: mark },
            (false, rows) => Position::At { at: mark, rows },
        };
        serde_json::to_string(&position).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_rows() {
        let mut progress = Progress::default();
        progress.see(None);
        assert_eq!(progress.position(), None);
        for (mark, expected) in
            [("a", r#"{"at":"a","rows":1}"#), ("a", r#"{"at":"a","rows":2}"#), ("bc", r#"{"at":"bc","rows":1}"#)]
        {
            progress.see(Some(mark));
            let position = progress.position().unwrap();
            assert_eq!(position, expected);
            assert_eq!(Progress::resume(Some(Position::parse(&position).unwrap())).position().unwrap(), expected);
        }
        progress.finish();
        assert_eq!(progress.position().unwrap(), r#"{"after":"bc"}"#);
        assert!(Position::parse("gibberish").is_err());
    }
}
