//! `COPY … (FORMAT BINARY)` into columns. The stream is one of bytes: where its messages end means nothing.

use crate::column::{Column, Misfit, garbled};
use selvedge_connect::position::Progress;
use selvedge_node::Result;
use std::ops::Range;

/// Signature, flags and the length of an extension that is not there.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

pub struct Decoder {
    pub columns: Vec<Column>,
    /// Of an incremental read: its bookmark is the last field of each row, as text.
    pub progress: Option<Progress>,
    /// Rows of the position's own bookmark value that were read before.
    pub skip: u64,
    /// Since the last batch: rows, their bytes, and values that did not fit: row, column, why.
    pub rows: usize,
    pub bytes: usize,
    pub misfits: Vec<(usize, usize, Misfit)>,
    /// The beginning of a row whose end has not come yet.
    rest: Vec<u8>,
    /// The fields of a row; `None` is null. Kept, so that no row allocates.
    fields: Vec<Option<Range<usize>>>,
    begun: bool,
    ended: bool,
}

enum Found {
    /// A row of so many bytes, in `fields`.
    Row(usize),
    End,
    Incomplete,
}

impl Decoder {
    pub fn new(columns: Vec<Column>, progress: Option<Progress>, skip: u64) -> Decoder {
        let fields = Vec::with_capacity(columns.len() + 1);
        Decoder {
            columns,
            progress,
            skip,
            rows: 0,
            bytes: 0,
            misfits: vec![],
            rest: vec![],
            fields,
            begun: false,
            ended: false,
        }
    }

    /// Whether the stream has told its end: one that just breaks off has not.
    pub fn ended(&self) -> bool {
        self.ended && self.rest.is_empty()
    }

    /// Takes what came.
    pub fn feed(&mut self, message: &[u8]) -> Result<()> {
        if self.rest.is_empty() {
            let taken = self.take(message)?;
            self.rest.extend_from_slice(message.get(taken..).unwrap_or_default());
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend_from_slice(message);
            let taken = self.take(&rest)?;
            rest.drain(..taken);
            self.rest = rest;
        }
        Ok(())
    }

    /// Takes all that is whole, and tells how many bytes it was.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut at = 0;
        if !self.begun {
            match bytes.get(..HEADER.len()) {
                None => return Ok(0),
                Some(HEADER) => (self.begun, at) = (true, HEADER.len()),
                Some(_) => return Err(garbled()),
            }
        }
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match self.row(rest)? {
                Found::Row(length) => {
                    self.add(rest)?;
                    self.bytes += length;
                    at += length;
                }
                Found::End => {
                    self.ended = true;
                    return Ok(at + 2);
                }
                Found::Incomplete => return Ok(at),
            }
        }
    }

    /// Finds the fields of the next row: a count, then for each its length (-1 for null) and its bytes.
    fn row(&mut self, bytes: &[u8]) -> Result<Found> {
        let Some(count) = bytes.first_chunk::<2>() else { return Ok(Found::Incomplete) };
        let expected = self.columns.len() + usize::from(self.progress.is_some());
        match i16::from_be_bytes(*count) {
            -1 => return Ok(Found::End),
            count if usize::try_from(count) == Ok(expected) && !self.ended => {}
            // A SELECT without columns has one all the same.
            1 if expected == 0 => {}
            _ => return Err(garbled()),
        }
        self.fields.clear();
        let mut at = 2;
        for _ in 0..expected.max(1) {
            let Some(length) = bytes.get(at..).and_then(|b| b.first_chunk::<4>()) else { return Ok(Found::Incomplete) };
            at += 4;
            match i32::from_be_bytes(*length) {
                -1 => self.fields.push(None),
                length => {
                    let end = at + usize::try_from(length).map_err(|_| garbled())?;
                    if bytes.len() < end {
                        return Ok(Found::Incomplete);
                    }
                    self.fields.push(Some(at..end));
                    at = end;
                }
            }
        }
        Ok(Found::Row(at))
    }

    /// Adds the row that was found.
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(());
        }
        for (i, (column, field)) in self.columns.iter_mut().zip(&self.fields).enumerate() {
            match field {
                None => column.null(),
                Some(field) => {
                    if let Some(misfit) = column.add(bytes.get(field.clone()).unwrap_or_default())? {
                        self.misfits.push((self.rows, i, misfit));
                    }
                }
            }
        }
        if let (Some(progress), Some(mark)) = (&mut self.progress, self.fields.last()) {
            let mark = mark.clone().map(|m| std::str::from_utf8(bytes.get(m).unwrap_or_default()));
            progress.see(mark.transpose().map_err(|_| garbled())?);
        }
        self.rows += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Int32Type};

    /// Two rows: (1, "ab") and (null, "").
    fn stream() -> Vec<u8> {
        let mut stream = HEADER.to_vec();
        stream.extend_from_slice(b"\0\x02\0\0\0\x04\0\0\0\x01\0\0\0\x02ab");
        stream.extend_from_slice(b"\0\x02\xff\xff\xff\xff\0\0\0\0\xff\xff");
        stream
    }

    fn decoder() -> Decoder {
        let columns = [DataType::Int32, DataType::Utf8].map(|t| Column::of(&t).unwrap());
        Decoder::new(columns.into(), None, 0)
    }

    #[test]
    fn any_cut_of_the_stream_gives_the_same_rows() {
        let stream = stream();
        for size in 1..=stream.len() {
            let mut decoder = decoder();
            for piece in stream.chunks(size) {
                assert!(!decoder.ended());
                decoder.feed(piece).unwrap();
            }
            assert!(decoder.ended());
            assert_eq!(decoder.rows, 2);
            let numbers = decoder.columns[0].finish().unwrap();
            assert_eq!(numbers.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
            let texts = decoder.columns[1].finish().unwrap();
            assert_eq!(texts.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("ab"), Some("")]);
        }
    }

    #[test]
    fn another_form_is_refused() {
        assert!(decoder().feed(b"HTTP/1.1 400 Bad Request").is_err());
        let mut stream = stream();
        stream[20] = 3;
        assert!(decoder().feed(&stream).is_err());
    }
}
