//! Where an incremental read stands: the highest bookmark seen, and how many of its rows, while more of them may come.

use super::cursor::Cell;
use selvedge_node::{Error, Result};
use serde::{Deserialize, Serialize};

/// A bookmark value, as SQLite compares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Mark {
    Int(i64),
    Real(f64),
    Text(String),
}

/// `{"after": "2024-03-01 10:00:00"}`, or in the middle of equal values `{"at": "2024-03-01 10:00:00", "rows": 17}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Position {
    After { after: Mark },
    At { at: Mark, rows: u64 },
}

impl Mark {
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Mark::Int(i) => Cell::Int(*i),
            Mark::Real(x) => Cell::Real(*x),
            Mark::Text(t) => Cell::Text(t.as_bytes()),
        }
    }
}

impl Position {
    pub fn parse(text: &str) -> Result<Position> {
        serde_json::from_str(text).map_err(|e| {
            Error::world(format!("the position `{text}` of the last run cannot be read: {e}"))
                .help("it is kept in the folder of --state; without it, everything is read again")
        })
    }

    pub fn mark(&self) -> &Mark {
        match self {
            Position::After { after } => after,
            Position::At { at, .. } => at,
        }
    }
}

/// Follows the bookmark of the rows that are read, in ascending order.
#[derive(Debug, Default)]
pub struct Progress {
    mark: Option<Mark>,
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
    pub fn see(&mut self, cell: Cell) -> Result<()> {
        let same = self.mark.as_ref().is_some_and(|m| m.cell() == cell);
        if same {
            self.rows += 1;
            return Ok(());
        }
        match (cell, &mut self.mark) {
            // Nulls come first and have no place in the order: only the first run reads them.
            (Cell::Null, _) => return Ok(()),
            (Cell::Int(i), mark) => *mark = Some(Mark::Int(i)),
            (Cell::Real(x), mark) => *mark = Some(Mark::Real(x)),
            (Cell::Text(t), mark) => {
                let text = std::str::from_utf8(t).map_err(|_| unusable("text that is not UTF-8"))?;
                match mark {
                    Some(Mark::Text(old)) => {
                        old.clear();
                        old.push_str(text);
                    }
                    mark => *mark = Some(Mark::Text(text.to_string())),
                }
            }
            (Cell::Blob(_), _) => return Err(unusable("a blob")),
        }
        self.rows = 1;
        Ok(())
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

fn unusable(what: &str) -> Error {
    Error::data(format!("the bookmark column holds {what}")).help("use a column of numbers, dates or timestamps")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_rows() {
        let mut progress = Progress::default();
        assert_eq!(progress.position(), None);
        progress.see(Cell::Null).unwrap();
        assert_eq!(progress.position(), None);
        for (cell, expected) in [
            (Cell::Text(b"a"), r#"{"at":"a","rows":1}"#),
            (Cell::Text(b"a"), r#"{"at":"a","rows":2}"#),
            (Cell::Text(b"bc"), r#"{"at":"bc","rows":1}"#),
        ] {
            progress.see(cell).unwrap();
            let position = progress.position().unwrap();
            assert_eq!(position, expected);
            assert_eq!(Progress::resume(Some(Position::parse(&position).unwrap())).position().unwrap(), expected);
        }
        progress.finish();
        assert_eq!(progress.position().unwrap(), r#"{"after":"bc"}"#);
        assert_eq!(Position::parse(r#"{"after":-3}"#).unwrap(), Position::After { after: Mark::Int(-3) });
        assert!(progress.see(Cell::Blob(b"x")).is_err());
        assert!(Position::parse("gibberish").is_err());
    }
}
