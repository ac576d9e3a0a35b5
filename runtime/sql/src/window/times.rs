//! The time of each row as microseconds since 1970.

use super::spans::LIMIT;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use selvedge_node::{Error, Result};

pub(super) fn is_time(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

/// The times of a column; rows without one and rows whose time is out of range have `None`.
pub(super) fn micros(column: &dyn Array) -> Result<Vec<Option<i64>>> {
    macro_rules! each {
        ($ty:ty, $micros:expr) => {
            column
                .as_primitive::<$ty>()
                .iter()
                .map(|t| t.and_then($micros).filter(|t| (-LIMIT..=LIMIT).contains(t)))
                .collect()
        };
    }
    Ok(match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => each!(TimestampSecondType, |t| t.checked_mul(1_000_000)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => each!(TimestampMillisecondType, |t| t.checked_mul(1_000)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => each!(TimestampMicrosecondType, Some),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => each!(TimestampNanosecondType, |t| Some(t.div_euclid(1_000))),
        DataType::Date32 => each!(Date32Type, |d| i64::from(d).checked_mul(86_400_000_000)),
        DataType::Date64 => each!(Date64Type, |t| t.checked_mul(1_000)),
        other => return Err(Error::bug(format!("a time of type {other}"))),
    })
}
