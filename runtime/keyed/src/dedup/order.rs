//! Which of two rows is better: the one with the larger, or smaller, values in some columns, compared without building rows.

use arrow::array::cast::AsArray;
use arrow::array::types::*;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, Rows, SortField};
use selvedge_node::Result;
use std::cmp::Ordering;

/// Columns to compare by, the most important first.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    columns: Vec<usize>,
    /// Larger is better.
    greatest: bool,
    types: Vec<DataType>,
}

/// What to compare of the rows of one batch.
pub(crate) enum Keys {
    /// A number for each value, in the order of the values, so that larger is better.
    Numbers(Vec<(Vec<u64>, Option<NullBuffer>)>),
    /// Arrow's row format, in which larger bytes are better.
    Rows(Rows),
}

/// Whether values of a type can be compared.
pub(crate) fn orders(ty: &DataType) -> bool {
    !matches!(ty, DataType::Map(..) | DataType::Union(..))
        && RowConverter::supports_fields(&[SortField::new(ty.clone())])
}

impl Order {
    pub(crate) fn new(schema: &Schema, columns: Vec<usize>, greatest: bool) -> Order {
        let types = columns.iter().map(|&c| schema.field(c).data_type().clone()).collect();
        Order { columns, greatest, types }
    }

    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<Keys> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&c| batch.column(c).clone()).collect();
        if let Some(numbers) = columns.iter().map(|c| numbers(c, self.greatest)).collect() {
            return Ok(Keys::Numbers(numbers));
        }
        // A null is the least of all either way: it loses.
        let options = SortOptions { descending: !self.greatest, nulls_first: true };
        let fields = self.types.iter().map(|t| SortField::new_with_options(t.clone(), options)).collect();
        Ok(Keys::Rows(RowConverter::new(fields)?.convert_columns(&columns)?))
    }
}

impl Keys {
    /// How row `a` of these compares with row `b` of those; the greater one is better. Both come of the same order.
    #[inline(always)]
    pub(crate) fn compare(&self, a: usize, those: &Keys, b: usize) -> Ordering {
        match (self, those) {
            (Keys::Numbers(these), Keys::Numbers(those)) => {
                for ((x, x_nulls), (y, y_nulls)) in these.iter().zip(those) {
                    let valid = |nulls: &Option<NullBuffer>, i: usize| nulls.as_ref().is_none_or(|n| n.is_valid(i));
                    let order = match (valid(x_nulls, a), valid(y_nulls, b)) {
                        (true, true) => x[a].cmp(&y[b]),
                        (x, y) => x.cmp(&y),
                    };
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                Ordering::Equal
            }
            (Keys::Rows(these), Keys::Rows(those)) => these.row(a).cmp(&those.row(b)),
            _ => Ordering::Equal,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Keys::Numbers(columns) => columns.iter().map(|(values, _)| values.len() as u64 * 8).sum(),
            Keys::Rows(rows) => rows.size() as u64,
        }
    }
}

/// The values of a column as numbers in the same order (the opposite one if the least is wanted), where 64 bits can tell.
fn numbers(array: &ArrayRef, greatest: bool) -> Option<(Vec<u64>, Option<NullBuffer>)> {
    let flip = if greatest { 0 } else { u64::MAX };
    macro_rules! ints {
        ($ty:ty, $to:ty) => {
            array.as_primitive::<$ty>().values().iter().map(|&v| (v as $to as u64 ^ <$to>::MIN as u64) ^ flip).collect()
        };
    }
    use DataType::*;
    let values: Vec<u64> = match array.data_type() {
        Boolean => array.as_boolean().values().iter().map(|v| u64::from(v) ^ flip).collect(),
        Int8 => ints!(Int8Type, i64),
        Int16 => ints!(Int16Type, i64),
        Int32 => ints!(Int32Type, i64),
        Int64 => ints!(Int64Type, i64),
        UInt8 => ints!(UInt8Type, u64),
        UInt16 => ints!(UInt16Type, u64),
        UInt32 => ints!(UInt32Type, u64),
        UInt64 => ints!(UInt64Type, u64),
        Date32 => ints!(Date32Type, i64),
        Date64 => ints!(Date64Type, i64),
        Timestamp(TimeUnit::Second, _) => ints!(TimestampSecondType, i64),
        Timestamp(TimeUnit::Millisecond, _) => ints!(TimestampMillisecondType, i64),
        Timestamp(TimeUnit::Microsecond, _) => ints!(TimestampMicrosecondType, i64),
        Timestamp(TimeUnit::Nanosecond, _) => ints!(TimestampNanosecondType, i64),
        Float32 => array.as_primitive::<Float32Type>().values().iter().map(|&v| float(f64::from(v)) ^ flip).collect(),
        Float64 => array.as_primitive::<Float64Type>().values().iter().map(|&v| float(v) ^ flip).collect(),
        _ => return None,
    };
    Some((values, array.nulls().filter(|n| n.null_count() > 0).cloned()))
}

/// IEEE 754 total order, with one zero and one NaN, the largest.
fn float(v: f64) -> u64 {
    let bits = if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The columns of a schema that can be hashed: what tells rows apart that are equal in all else.
pub(crate) fn hashable(schema: &SchemaRef) -> Vec<usize> {
    (0..schema.fields().len()).filter(|&c| selvedge_state::RowHasher::new(schema, &[c]).is_ok()).collect()
}
