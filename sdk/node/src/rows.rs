//! Rows as JSON text, for samples and rejected rows. Not for hot paths.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;

/// The given rows as JSON objects, nulls written out. A row that JSON cannot express is described instead.
pub fn rows_json(batch: &RecordBatch, rows: &[usize]) -> Vec<String> {
    let indices = UInt32Array::from_iter_values(rows.iter().map(|&r| r as u32));
    let text = take_record_batch(batch, &indices).and_then(|some| {
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
        writer.write(&some)?;
        writer.finish()?;
        Ok(String::from_utf8_lossy(&writer.into_inner()).into_owned())
    });
    match text {
        Ok(text) => text.lines().map(str::to_string).collect(),
        Err(e) => rows.iter().map(|r| format!("{{\"row\":{r},\"unprintable\":{:?}}}", e.to_string())).collect(),
    }
}

/// One row as a JSON object.
pub fn row_json(batch: &RecordBatch, row: usize) -> String {
    rows_json(batch, &[row]).pop().unwrap_or_default()
}
