//! The text format of COPY (*PostgreSQL*, COPY, File Formats): fields parted by tabs, rows by line feeds, `\N` for null, and a backslash before
//! what would be one of these.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use selvedge_node::{Error, Result};
use std::fmt::Write;

/// The fields of one row, without its line feed. Fields with a backslash in them are put down in `buffer`.
pub struct Fields {
    /// Start and end of each field, in the row or, where it was unescaped, in the buffer; `None`: null.
    places: Vec<Option<(bool, usize, usize)>>,
    buffer: Vec<u8>,
}

impl Fields {
    pub fn new() -> Fields {
        Fields { places: vec![], buffer: vec![] }
    }

    pub fn split(&mut self, row: &[u8]) {
        self.places.clear();
        self.buffer.clear();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\t', row).chain([row.len()]) {
            let field = &row[start..end];
            let place = match memchr::memchr(b'\\', field) {
                None => Some((false, start, end)),
                Some(0) if field == b"\\N" => None,
                Some(_) => {
                    let from = self.buffer.len();
                    unescape(field, &mut self.buffer);
                    Some((true, from, self.buffer.len()))
                }
            };
            self.places.push(place);
            start = end + 1;
        }
    }

    pub fn get<'a>(&'a self, row: &'a [u8], at: usize) -> Option<&'a [u8]> {
        let (escaped, start, end) = (*self.places.get(at)?)?;
        Some(if escaped { &self.buffer[start..end] } else { &row[start..end] })
    }
}

fn unescape(field: &[u8], to: &mut Vec<u8>) {
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        to.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'v') => 11,
                Some(&other) => other,
                None => b'\\',
            },
            other => other,
        });
    }
}

/// `\x00ff`, as a `bytea` is printed, in its bytes. `false`: it is not that.
pub fn hex(text: &[u8], to: &mut Vec<u8>) -> bool {
    to.clear();
    let Some(digits) = text.strip_prefix(b"\\x") else { return false };
    let digit = |d: u8| (d as char).to_digit(16).map(|d| d as u8);
    for pair in digits.chunks(2) {
        match pair {
            [high, low] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => to.push(high << 4 | low),
                _ => return false,
            },
            _ => return false,
        }
    }
    true
}

/// Columns whose rows can be written.
pub struct Rows {
    columns: Vec<Printed>,
}

enum Printed {
    Text(StringArray),
    Bytes(arrow::array::BinaryArray),
}

impl Rows {
    pub fn new(batch: &RecordBatch) -> Result<Rows> {
        let columns = batch.columns().iter().map(|column| match column.data_type() {
            DataType::Binary => Ok(Printed::Bytes(column.as_binary::<i32>().clone())),
            _ => {
                let text = selvedge_cast::cast(column, &DataType::Utf8).map_err(|e| Error::bug(e.to_string()))?;
                Ok(Printed::Text(text.values.as_string::<i32>().clone()))
            }
        });
        Ok(Rows { columns: columns.collect::<Result<_>>()? })
    }

    /// Writes a row and then `more`, fields as they are.
    pub fn write(&self, row: usize, more: &str, to: &mut String) {
        for column in &self.columns {
            match column {
                Printed::Text(text) if text.is_null(row) => to.push_str("\\N"),
                Printed::Bytes(bytes) if bytes.is_null(row) => to.push_str("\\N"),
                Printed::Text(text) => escape(text.value(row), to),
                Printed::Bytes(bytes) => {
                    to.push_str("\\\\x");
                    for byte in bytes.value(row) {
                        let _ = write!(to, "{byte:02x}");
                    }
                }
            }
            to.push('\t');
        }
        to.push_str(more);
        to.push('\n');
    }
}

fn escape(text: &str, to: &mut String) {
    if !text.bytes().any(|b| matches!(b, b'\\' | b'\t' | b'\n' | b'\r')) {
        return to.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\\' => to.push_str("\\\\"),
            '\t' => to.push_str("\\t"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            c => to.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::table;

    #[test]
    fn what_is_written_is_read_back() {
        let texts = ["", "a", "\\N", "\\", "tab\there", "line\nfeed\r", "\\.", "ü👟", "\\t"];
        let column: arrow::array::ArrayRef = std::sync::Arc::new(StringArray::from_iter_values(texts));
        let batch = RecordBatch::try_from_iter([("a", column.clone()), ("b", column)]).unwrap();
        let rows = Rows::new(&batch).unwrap();
        let mut fields = Fields::new();
        for (at, text) in texts.iter().enumerate() {
            let mut line = String::new();
            rows.write(at, "7", &mut line);
            let row = line.strip_suffix('\n').unwrap().as_bytes();
            assert!(!row.contains(&b'\n'));
            fields.split(row);
            assert_eq!(fields.get(row, 0), Some(text.as_bytes()));
            assert_eq!(fields.get(row, 1), Some(text.as_bytes()));
            assert_eq!(fields.get(row, 2), Some(&b"7"[..]));
        }
        let mut line = String::new();
        Rows::new(&table("a | b:Int64\nnull | 3")).unwrap().write(0, "", &mut line);
        assert_eq!(line, "\\N\t3\t\n");
        let mut bytes = vec![];
        assert!(hex(b"\\x00fF", &mut bytes) && bytes == [0, 255]);
        assert!(!hex(b"00", &mut bytes) && !hex(b"\\x0", &mut bytes) && !hex(b"\\x0g", &mut bytes));
    }
}
