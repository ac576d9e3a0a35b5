//! Batches as CSV text. Each column becomes text as a whole, then rows are laid out by copying slices; a column without any
//! byte that needs quotes is never looked at again.
//!
//! Unlike arrow's writer, this one keeps null and the empty string apart: null is the null text (nothing, by default), and a
//! string that reads like it is put in quotes.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema};
use selvedge_node::Result;

/// How rows are laid out.
#[derive(Debug, Clone)]
pub struct Style {
    pub delimiter: u8,
    pub quote: u8,
    /// What stands for null.
    pub null: String,
    pub quote_all: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style { delimiter: b',', quote: b'"', null: String::new(), quote_all: false }
    }
}

/// Whether columns of this type can be written: nested types have no text of their own, and bytes need an encoding first.
pub fn can_hold(ty: &DataType) -> bool {
    let plain = match ty {
        DataType::Dictionary(_, values) => values,
        other => other,
    };
    let bytes =
        matches!(plain, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_));
    !plain.is_nested() && !bytes && arrow::compute::can_cast_types(ty, &DataType::Utf8)
}

impl Style {
    pub fn header(&self, schema: &Schema, out: &mut Vec<u8>) {
        for (i, field) in schema.fields().iter().enumerate() {
            if i > 0 {
                out.push(self.delimiter);
            }
            let name = field.name().as_bytes();
            if self.quote_all || name.is_empty() || self.is_special(name) {
                self.quoted(name, out);
            } else {
                out.extend_from_slice(name);
            }
        }
        out.push(b'\n');
    }

    pub fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let columns = batch.columns().iter().map(|c| self.column(c)).collect::<Result<Vec<_>>>()?;
        // One column and nothing in it would be an empty line, which readers skip.
        let alone = columns.len() == 1;
        for row in 0..batch.num_rows() {
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    out.push(self.delimiter);
                }
                if column.text.is_null(row) {
                    if alone && self.null.is_empty() {
                        // Spark writes the same two quotes for a lone null.
                        self.quoted(b"", out);
                    } else {
                        out.extend_from_slice(self.null.as_bytes());
                    }
                    continue;
                }
                let text = column.text.value(row).as_bytes();
                if self.quote_all || text == self.null.as_bytes() || (column.special && self.is_special(text)) {
                    self.quoted(text, out);
                } else {
                    out.extend_from_slice(text);
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }

    fn column(&self, array: &ArrayRef) -> Result<Column> {
        let strict = CastOptions { safe: false, ..Default::default() };
        let text = cast_with_options(array, &DataType::Utf8, &strict)?;
        let text = text.as_string::<i32>().clone();
        let offsets = text.value_offsets();
        let (start, end) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
        let special = self.is_special(&text.value_data()[start as usize..end as usize]);
        Ok(Column { text, special })
    }

    fn is_special(&self, text: &[u8]) -> bool {
        memchr::memchr3(self.delimiter, self.quote, b'\n', text).is_some()
            // The second is how U+FEFF begins: at the start of a file, readers take it for a byte order mark.
            || memchr::memchr2(b'\r', 0xEF, text).is_some()
    }

    fn quoted(&self, text: &[u8], out: &mut Vec<u8>) {
        out.push(self.quote);
        for part in text.split_inclusive(|&b| b == self.quote) {
            out.extend_from_slice(part);
            if part.ends_with(&[self.quote]) {
                out.push(self.quote);
            }
        }
        out.push(self.quote);
    }
}

struct Column {
    text: StringArray,
    /// Some value may need quotes.
    special: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn check(style: &Style, batch: &RecordBatch, expected: &str) {
        let mut out = vec![];
        style.header(&batch.schema(), &mut out);
        style.rows(batch, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn null_and_empty_are_told_apart() {
        let batch = selvedge_testkit::table("a | b:Int64\nx | 1\n\"\" | null\nnull | 3");
        check(&Style::default(), &batch, "a,b\nx,1\n\"\",\n,3\n");
        let style = Style { null: "NA".into(), delimiter: b';', ..Style::default() };
        let batch = selvedge_testkit::table("a | b\nNA | null\nx;y | \"\"");
        check(&style, &batch, "a;b\n\"NA\";NA\n\"x;y\";\n");
    }

    #[test]
    fn types_have_the_text_that_is_read_back() {
        let batch = selvedge_testkit::table(
            "i:Int32 | f:Float64 | d:Date32 | m:Decimal128(10, 2) | b:Boolean | t:Timestamp(µs)
             -1 | 1.5 | 2024-02-29 | 3.50 | true | 2024-03-01T10:00:00.5",
        );
        check(&Style::default(), &batch, "i,f,d,m,b,t\n-1,1.5,2024-02-29,3.50,true,2024-03-01T10:00:00.500\n");
    }

    proptest! {
        /// What arrow's reader reads back is what was written; it alone takes the empty string for null.
        #[test]
        fn strings_come_back(cells in proptest::collection::vec((".*", "[a\",\n\r ;]*"), 1..20)) {
            let (a, b): (Vec<String>, Vec<String>) = cells.into_iter().unzip();
            let column = |cells: &[String]| Arc::new(StringArray::from(cells.to_vec())) as ArrayRef;
            let batch = RecordBatch::try_from_iter(vec![("a", column(&a)), ("b", column(&b))]).unwrap();
            let mut out = vec![];
            Style::default().rows(&batch, &mut out).unwrap();
            let schema = Arc::new(Schema::new(vec![
                arrow::datatypes::Field::new("a", DataType::Utf8, true),
                arrow::datatypes::Field::new("b", DataType::Utf8, true),
            ]));
            let mut reader = arrow::csv::ReaderBuilder::new(schema).with_batch_size(64)
                .build_buffered(std::io::Cursor::new(out)).unwrap();
            let back = reader.next().unwrap().unwrap();
            for (column, cells) in [a, b].iter().enumerate() {
                let expected: StringArray = cells.iter().map(|c| (!c.is_empty()).then_some(c.as_str())).collect();
                prop_assert_eq!(back.column(column).as_string::<i32>(), &expected);
            }
        }
    }
}
