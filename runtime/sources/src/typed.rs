//! Text columns become what the schema says they are.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Schema};
use schemars::JsonSchema;
use selvedge_cast::{Cast, from_text};
use selvedge_node::{Error, Out, Result};
use serde::Deserialize;
use std::sync::Arc;

/// What happens to a row with a text that its column's type cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum OnError {
    /// The row goes to `errors`.
    #[default]
    Reject,
    /// The value becomes null, as in Spark, and its row is reported as altered.
    Null,
    /// The run stops.
    Fail,
}

/// How a column's text is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// As it is (text, and what the format reads by itself).
    AsIs,
    /// As Spark's CAST does.
    Cast(DataType),
    /// As a whole number and nothing else: the schema was only guessed, so a fraction must not get lost.
    Whole,
}

impl Reading {
    fn apply(&self, column: &ArrayRef) -> Result<Option<Cast>> {
        let (Some(text), false) = (column.as_string_opt::<i32>(), *self == Reading::AsIs) else { return Ok(None) };
        match self {
            Reading::AsIs => Ok(None),
            Reading::Cast(to) => from_text(text, to).map(Some).map_err(|e| Error::bug(e.to_string())),
            Reading::Whole => {
                let values: Int64Array = text.iter().map(|t| t.and_then(whole)).collect();
                let failed = (values.null_count() > text.null_count())
                    .then(|| (0..text.len()).map(|i| Some(text.is_valid(i) && values.is_null(i))).collect());
                Ok(Some(Cast { values: Arc::new(values), failed }))
            }
        }
    }
}

/// A whole number, also one written as `12.0` or `1e3` if it is exact.
pub fn whole(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    if let Ok(n) = text.parse() {
        return Some(n);
    }
    // Beyond 2^53 a float no longer knows which whole number it was.
    let exact = |x: &f64| x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0;
    text.parse::<f64>().ok().filter(exact).map(|x| x as i64)
}

/// A value that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    pub row: usize,
    pub column: usize,
}

/// Columns in their types, without the rows that could not be read.
pub struct Typed {
    pub columns: Vec<ArrayRef>,
    /// The rows that stayed, where some did not.
    pub kept: Option<BooleanArray>,
    /// For each row that did not stay, in order, its first bad column.
    pub bad: Vec<Bad>,
    /// Columns, and in which rows their values became null because they could not be read.
    nulled: Vec<(usize, BooleanArray)>,
}

impl Typed {
    /// Tells of values that became null. `text` is how the rows came, `schema` has the columns' names.
    pub fn report_nulled(&self, text: &[ArrayRef], schema: &Schema, out: &mut dyn Out) -> Result<()> {
        if !self.nulled.is_empty() {
            let batch = text_batch(text, schema)?;
            for (column, rows) in &self.nulled {
                out.altered_where(&format!("null by cast: {}", schema.field(*column).name()), &batch, rows);
            }
        }
        Ok(())
    }
}

/// The columns as they came, under their names.
pub fn text_batch(text: &[ArrayRef], schema: &Schema) -> Result<RecordBatch> {
    let field = |(column, field): (&ArrayRef, &Arc<Field>)| Field::new(field.name(), column.data_type().clone(), true);
    let fields: Vec<Field> = text.iter().zip(schema.fields()).map(field).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), text.to_vec())?)
}

/// Reads the text of each column in its way.
pub fn typed(columns: &[ArrayRef], readings: &[Reading], on_error: OnError) -> Result<Typed> {
    let mut done = Vec::with_capacity(columns.len());
    let mut failed: Vec<(usize, BooleanArray)> = vec![];
    for (i, (column, reading)) in columns.iter().zip(readings).enumerate() {
        match reading.apply(column)? {
            None => done.push(column.clone()),
            Some(cast) => {
                done.push(cast.values);
                failed.extend(cast.failed.map(|f| (i, f)));
            }
        }
    }
    if on_error == OnError::Null || failed.is_empty() {
        return Ok(Typed { columns: done, kept: None, bad: vec![], nulled: failed });
    }
    let rows = columns.first().map_or(0, |c| c.len());
    let first_bad = |row: usize| failed.iter().find(|(_, f)| f.value(row)).map(|(column, _)| *column);
    let bad: Vec<Bad> = (0..rows).filter_map(|row| first_bad(row).map(|column| Bad { row, column })).collect();
    let mut keep = vec![true; rows];
    for bad in &bad {
        keep[bad.row] = false;
    }
    let keep = BooleanArray::from(keep);
    let columns = done.iter().map(|c| filter(c, &keep)).collect::<std::result::Result<_, _>>()?;
    Ok(Typed { columns, kept: Some(keep), bad, nulled: vec![] })
}

/// What to say of a bad value.
pub fn message(text: &ArrayRef, row: usize, name: &str, to: &DataType) -> String {
    let text = text.as_string_opt::<i32>().filter(|t| t.is_valid(row)).map_or("", |t| t.value(row));
    format!("cannot read `{}` in column `{name}` as {to}", shorten(text, 200))
}

/// At most `most` bytes of a text, cut between characters.
pub fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_string();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_lose_nothing() {
        assert_eq!(whole("12"), Some(12));
        assert_eq!(whole(" 12.0 "), Some(12));
        assert_eq!(whole("1e3"), Some(1000));
        assert_eq!(whole("9223372036854775807"), Some(i64::MAX));
        assert_eq!(whole("12.5"), None);
        assert_eq!(whole("9223372036854775808"), None);
        assert_eq!(whole("1e300"), None);
        assert_eq!(whole("N/A"), None);
    }
}
