//! A template: text with the names of columns in braces.

use selvedge_guest::prelude::*;
use std::fmt::Write;

/// How values are made safe for the text around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    None,
    Xml,
    Json,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// A column by name, and by number once the schema is known.
    Column(String, usize),
}

#[derive(Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    escape: Escape,
}

impl Template {
    pub fn read(text: &str, escape: Escape) -> std::result::Result<Template, String> {
        let (mut pieces, mut plain) = (vec![], String::new());
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    plain.push(c);
                }
                '}' => return Err("a brace is closed and was not opened".into()),
                '{' => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err("a brace is opened and not closed".into()),
                        }
                    }
                    pieces.push(Piece::Column(name, 0));
                }
                c => plain.push(c),
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Template { pieces, escape })
    }

    /// Finds the columns.
    pub fn bind(&mut self, mut find: impl FnMut(&str) -> Result<usize>) -> Result<()> {
        for piece in &mut self.pieces {
            if let Piece::Column(name, column) = piece {
                *column = find(name)?;
            }
        }
        Ok(())
    }

    /// The text of all rows of a batch.
    pub fn rows(&self, batch: &Batch) -> Result<String> {
        let mut columns: Vec<Vec<String>> = vec![];
        for piece in &self.pieces {
            if let Piece::Column(_, column) = piece {
                columns.push(self.cells(batch, *column)?);
            }
        }
        let mut text = String::new();
        for row in 0..batch.rows() {
            let mut cells = columns.iter();
            for piece in &self.pieces {
                text.push_str(match piece {
                    Piece::Text(plain) => plain,
                    Piece::Column(..) => cells.next().and_then(|c| c.get(row)).map_or("", String::as_str),
                });
            }
        }
        Ok(text)
    }

    fn cells(&self, batch: &Batch, column: usize) -> Result<Vec<String>> {
        let ty = batch.schema().fields.get(column).map(|f| &f.ty);
        Ok(if ty.is_some_and(Type::is_text) {
            batch.utf8(column)?.iter().map(|t| self.escaped(t.unwrap_or_default())).collect()
        } else if ty.is_some_and(Type::is_integer) {
            batch.integers(column)?.iter().map(|n| n.map_or(String::new(), |n| n.to_string())).collect()
        } else if ty.is_some_and(Type::is_float) {
            batch.numbers(column)?.iter().map(|n| n.map_or(String::new(), |n| n.to_string())).collect()
        } else {
            batch.bool(column)?.iter().map(|b| b.map_or(String::new(), |b| b.to_string())).collect()
        })
    }

    fn escaped(&self, text: &str) -> String {
        let mut safe = String::with_capacity(text.len());
        for c in text.chars() {
            match (self.escape, c) {
                (Escape::Xml, '<') => safe.push_str("&lt;"),
                (Escape::Xml, '>') => safe.push_str("&gt;"),
                (Escape::Xml, '&') => safe.push_str("&amp;"),
                (Escape::Xml, '"') => safe.push_str("&quot;"),
                (Escape::Xml, '\'') => safe.push_str("&apos;"),
                (Escape::Json, '"' | '\\') => safe.extend(['\\', c]),
                (Escape::Json, c) if c.is_control() => _ = write!(safe, "\\u{:04x}", c as u32),
                _ => safe.push(c),
            }
        }
        safe
    }
}
