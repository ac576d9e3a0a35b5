//! Small tables as text, both ways.

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;

/// A batch from text: a head of `name:Type` (Arrow's type names; `Utf8` if left out), then a line a row, cells parted by
/// `|`. `null` is null, `"…"` keeps blanks and escapes as Rust does. A text that does not fit panics: it is the test's fault.
pub fn table(text: &str) -> RecordBatch {
    let arrow = |ty: &str| ty.parse().map_err(|e| format!("{e}"));
    try_table(text, &arrow).unwrap_or_else(|e| panic!("{e}"))
}

/// As [`table`], with the names of types that `named` knows; says what does not fit.
pub fn try_table(text: &str, named: &dyn Fn(&str) -> Result<DataType, String>) -> Result<RecordBatch, String> {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let head = lines.next().ok_or("a table starts with its columns")?;
    let fields = head.split('|').map(|column| match column.trim().split_once(':') {
        Some((name, ty)) => {
            let ty = named(ty.trim()).map_err(|e| format!("type of {}: {e}", column.trim()))?;
            Ok(Field::new(name.trim(), ty, true))
        }
        None => Ok(Field::new(column.trim(), DataType::Utf8, true)),
    });
    let fields: Vec<Field> = fields.collect::<Result<_, String>>()?;
    let rows = lines.map(|line| {
        let cells: Vec<_> = line.split('|').map(|c| cell(c.trim())).collect();
        match cells.len() == fields.len() {
            true => Ok(cells),
            false => Err(format!("expected {} cells, found {} in `{line}`", fields.len(), cells.len())),
        }
    });
    let rows: Vec<Vec<Option<String>>> = rows.collect::<Result<_, String>>()?;
    let columns = fields
        .iter()
        .enumerate()
        .map(|(c, field)| {
            let text: StringArray = rows.iter().map(|r| r[c].as_deref()).collect();
            if field.data_type() == &DataType::Null {
                return Ok(new_null_array(&DataType::Null, rows.len()));
            }
            let strict = CastOptions { safe: false, ..Default::default() };
            cast_with_options(&text, field.data_type(), &strict).map_err(|e| format!("column {}: {e}", field.name()))
        })
        .collect::<Result<Vec<ArrayRef>, String>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(|e| e.to_string())
}

fn cell(text: &str) -> Option<String> {
    if text == "null" {
        return None;
    }
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(inner) => Some(
            inner
                .replace("\\n", "\n")
                .replace("\\t", "\t")
                .replace("\\r", "\r")
                .replace("\\p", "|")
                .replace("\\\"", "\""),
        ),
        None => Some(text.to_string()),
    }
}

/// A batch as text that [`table`] reads back: for comparing with what a test expects.
pub fn show(batch: &RecordBatch) -> String {
    let options = FormatOptions::default().with_null("null");
    let mut rows = vec![
        batch
            .schema()
            .fields()
            .iter()
            .map(|f| format!("{}:{}", f.name(), f.data_type()))
            .collect::<Vec<_>>()
            .join(" | "),
    ];
    let columns: Vec<_> =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).expect("a printable column")).collect();
    for row in 0..batch.num_rows() {
        let cells = columns.iter().zip(batch.columns()).map(|(text, values)| match values.is_null(row) {
            true => "null".to_string(),
            false => quote(&text.value(row).to_string()),
        });
        rows.push(cells.collect::<Vec<_>>().join(" | "));
    }
    rows.join("\n")
}

/// A text as a cell that reads back as it.
pub fn quote(text: &str) -> String {
    let blank = text.is_empty() || text == "null" || text.trim() != text || text.contains(['\n', '\t', '\r', '|', '"']);
    if !blank {
        return text.to_string();
    }
    let escaped =
        text.replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r").replace('|', "\\p");
    format!("\"{escaped}\"")
}

/// The rows of several batches in the order of their columns' text: multisets become comparable.
pub fn sorted(batches: &[RecordBatch]) -> Option<RecordBatch> {
    let all = concat_batches(batches.first()?.schema_ref(), batches).expect("batches of one schema");
    let options = FormatOptions::default().with_null("\0");
    let keys: Vec<String> = (0..all.num_rows())
        .map(|row| {
            all.columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options).expect("a printable column").value(row).to_string())
                .collect::<Vec<_>>()
                .join("\u{1}")
        })
        .collect();
    let keys: ArrayRef = Arc::new(StringArray::from(keys));
    let order = arrow::compute::SortColumn { values: keys, options: None };
    let indices = lexsort_to_indices(&[order], None).expect("text sorts");
    Some(take_record_batch(&all, &indices).expect("indices of its own rows"))
}
