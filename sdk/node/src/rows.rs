//! Rows as JSON text: for samples and rejected rows, and for sinks that write NDJSON.

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, FieldRef, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, NullableEncoder, make_encoder};
use arrow::json::{Encoder, EncoderFactory, EncoderOptions, WriterBuilder};
use std::sync::{Arc, LazyLock};

/// Appends the rows as JSON objects, one a line. `nulls`: fields that are null are written, as `null`, and not left out.
///
/// JSON has no number for what is not finite. As in Spark those are texts: `"NaN"`, `"Infinity"`, `"-Infinity"`; a column of
/// floats reads them back. Arrow would write `null`, and a value would be gone.
pub fn write_json_lines(batch: &RecordBatch, nulls: bool, to: &mut Vec<u8>) -> Result<(), ArrowError> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(nulls)
        .with_encoder_factory(Arc::new(NotFinite))
        .build::<_, LineDelimited>(to);
    writer.write(batch)?;
    writer.finish()
}

/// Encodes arrays of floats some of which are not finite; leaves all others to arrow.
#[derive(Debug)]
struct NotFinite;

impl EncoderFactory for NotFinite {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        static PLAIN: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);
        let finite = match array.data_type() {
            DataType::Float16 => array.as_primitive::<Float16Type>().values().iter().all(|v| v.is_finite()),
            DataType::Float32 => array.as_primitive::<Float32Type>().values().iter().all(|v| v.is_finite()),
            DataType::Float64 => array.as_primitive::<Float64Type>().values().iter().all(|v| v.is_finite()),
            _ => return Ok(None),
        };
        if finite {
            return Ok(None);
        }
        let inner = make_encoder(field, array, &PLAIN)?;
        Ok(Some(NullableEncoder::new(Box::new(Floats { array, inner }), array.nulls().cloned())))
    }
}

struct Floats<'a> {
    array: &'a dyn Array,
    inner: NullableEncoder<'a>,
}

impl Encoder for Floats<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = match self.array.data_type() {
            DataType::Float16 => self.array.as_primitive::<Float16Type>().value(row).to_f64(),
            DataType::Float32 => f64::from(self.array.as_primitive::<Float32Type>().value(row)),
            _ => self.array.as_primitive::<Float64Type>().value(row),
        };
        match value {
            v if v.is_nan() => out.extend_from_slice(b"\"NaN\""),
            f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
            f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
            _ => self.inner.encode(row, out),
        }
    }
}

/// The given rows as JSON objects, nulls written out. A row that JSON cannot express is described instead.
pub fn rows_json(batch: &RecordBatch, rows: &[usize]) -> Vec<String> {
    let indices = UInt32Array::from_iter_values(rows.iter().map(|&r| r as u32));
    let mut text = vec![];
    let written = take_record_batch(batch, &indices).and_then(|some| write_json_lines(&some, true, &mut text));
    match written {
        Ok(()) => String::from_utf8_lossy(&text).lines().map(str::to_string).collect(),
        Err(e) => rows.iter().map(|r| format!("{{\"row\":{r},\"unprintable\":{:?}}}", e.to_string())).collect(),
    }
}

/// One row as a JSON object.
pub fn row_json(batch: &RecordBatch, row: usize) -> String {
    rows_json(batch, &[row]).pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float32Array, Float64Array, ListArray, StructArray};
    use arrow::datatypes::Field;

    #[test]
    fn what_is_not_finite_is_text() {
        let wide = Float64Array::from(vec![Some(f64::NAN), Some(f64::INFINITY), None, Some(0.1)]);
        let narrow = Float32Array::from(vec![1.5, f32::NEG_INFINITY, f32::NAN, -0.0]);
        let list = ListArray::from_iter_primitive::<Float64Type, _, _>([
            Some(vec![Some(f64::NEG_INFINITY), None, Some(2.0)]),
            None,
            Some(vec![]),
            Some(vec![Some(1.0)]),
        ]);
        let inner = Arc::new(Field::new("x", DataType::Float64, true));
        let nested = StructArray::from(vec![(inner, Arc::new(wide.clone()) as ArrayRef)]);
        let plain = Float64Array::from(vec![1.0, 1e300, -2.5, 0.0]);
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("w", Arc::new(wide) as ArrayRef, true),
            ("n", Arc::new(narrow), true),
            ("l", Arc::new(list), true),
            ("s", Arc::new(nested), true),
            ("p", Arc::new(plain), true),
        ])
        .unwrap();
        let mut text = vec![];
        write_json_lines(&batch, true, &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r#"{"w":"NaN","n":1.5,"l":["-Infinity",null,2.0],"s":{"x":"NaN"},"p":1.0}
{"w":"Infinity","n":"-Infinity","l":null,"s":{"x":"Infinity"},"p":1.0e300}
{"w":null,"n":"NaN","l":[],"s":{"x":null},"p":-2.5}
{"w":0.1,"n":-0.0,"l":[1.0],"s":{"x":0.1},"p":0.0}
"#
        );
        assert_eq!(row_json(&batch, 2), r#"{"w":null,"n":"NaN","l":[],"s":{"x":null},"p":-2.5}"#);
    }
}
