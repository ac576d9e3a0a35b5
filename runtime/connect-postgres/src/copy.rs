//! Rows in the text format of COPY (*PostgreSQL*, COPY, File Formats): fields parted by tabs, rows by line feeds, `\N` for null, and a backslash before
//! what would be one of these.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use selvedge_node::{Error, Result};
use std::fmt::Write;

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
    fn what_would_be_a_mark_is_escaped() {
        let write = |text: &str| {
            let mut line = String::new();
            Rows::new(&table(text)).unwrap().write(0, "7", &mut line);
            line
        };
        assert_eq!(write("a | b:Int64\nnull | 3"), "\\N\t3\t7\n");
        assert_eq!(write("a | b\n\\N | x"), "\\\\N\tx\t7\n");
        assert_eq!(write("a\n\"t\\tn\\nr\\r\""), "t\\tn\\nr\\r\t7\n");
    }
}
