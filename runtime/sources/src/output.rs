//! What all formats share: the columns that come from the file itself, and the batch that is sent.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use selvedge_node::{Column, Problem, Problems, Result};
use std::sync::Arc;

/// What is sent: the columns read, then those on request.
#[derive(Debug, Clone)]
pub struct Output {
    pub schema: SchemaRef,
    pub file_name: bool,
    pub row_number: bool,
}

impl Output {
    pub fn new(
        read: &Schema,
        file_name: Option<&Column>,
        row_number: Option<&Column>,
    ) -> std::result::Result<Output, Problems> {
        let mut problems = Problems::default();
        let mut fields: Vec<Field> = read.fields().iter().map(|f| f.as_ref().clone()).collect();
        for (name, ty) in [(file_name, DataType::Utf8), (row_number, DataType::Int64)] {
            let Some(name) = name else { continue };
            if fields.iter().any(|f| f.name() == name.as_str()) {
                problems.push(
                    Problem::error(name.span, format!("there is a column `{name}` already"))
                        .help("choose another name"),
                );
            }
            fields.push(Field::new(name.value.clone(), ty, false));
        }
        problems.or(Output {
            schema: Arc::new(Schema::new(fields)),
            file_name: file_name.is_some(),
            row_number: row_number.is_some(),
        })
    }

    /// The batch to send. `numbers`: the row numbers, where they are wanted.
    pub fn batch(
        &self,
        mut columns: Vec<ArrayRef>,
        rows: usize,
        file: &str,
        numbers: Option<ArrayRef>,
    ) -> Result<RecordBatch> {
        if self.file_name {
            columns.push(Arc::new(repeated(file, rows)));
        }
        columns.extend(numbers);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// One text for all rows.
fn repeated(text: &str, rows: usize) -> StringArray {
    let offsets: Vec<i32> = (0..=rows).map(|row| (row * text.len()) as i32).collect();
    StringArray::new(
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        Buffer::from_vec(text.repeat(rows).into_bytes()),
        None,
    )
}
