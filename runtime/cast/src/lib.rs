//! Casts between column types as Spark does them with ANSI off, over whole arrays: what cannot be cast becomes null and is
//! reported, so that a node can keep, reject or fail.
//!
//! Where this deviates from Spark, it is never to guess: a whole number too large for a narrower type fails instead of
//! wrapping round, `NaN` to a whole number fails instead of becoming 0, a time without a date fails instead of taking the
//! day of the run, `.` is no number, decimals print without an exponent.

mod boolean;
pub mod civil;
mod convert;
mod date;
mod decimal;
mod float;
mod integer;
mod number;
mod print;
mod text;
mod time;
mod timestamp;
mod zone;

#[cfg(test)]
mod spark;

use arrow::array::{Array, ArrayRef, BooleanArray, StringArray};
use arrow::datatypes::DataType;

pub use convert::{cast, supported};

/// A cast column.
#[derive(Debug, Clone)]
pub struct Cast {
    pub values: ArrayRef,
    /// True where a value that was not null became null because it could not be cast; `None` if that happened nowhere.
    /// Never null itself. In lists and structs, values inside count for their row.
    pub failed: Option<BooleanArray>,
}

impl Cast {
    fn whole(values: ArrayRef) -> Cast {
        Cast { values, failed: None }
    }

    /// What failed is what is null now and was not before.
    fn compared(before: &dyn Array, values: ArrayRef) -> Cast {
        let failed = (values.null_count() > before.null_count()).then(|| {
            let null = values.nulls().map(|n| !n.inner());
            match (null, before.nulls()) {
                (Some(null), Some(before)) => Some(BooleanArray::new(&null & before.inner(), None)),
                (null, _) => null.map(|null| BooleanArray::new(null, None)),
            }
        });
        Cast { values, failed: failed.flatten() }
    }
}

/// No value of one type can be cast to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    pub from: DataType,
    pub to: DataType,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cannot be cast to {}", self.from, self.to)
    }
}

impl std::error::Error for Unsupported {}

/// Casts text: blanks around it are ignored, whole numbers lose their fraction, decimals round half up, dates and times take
/// all of Spark's forms.
pub fn from_text(text: &StringArray, to: &DataType) -> Result<Cast, Unsupported> {
    use arrow::datatypes::*;
    let none = || Unsupported { from: DataType::Utf8, to: to.clone() };
    macro_rules! integer {
        ($ty:ty, $parse:path) => {
            text::primitive::<$ty>(text, to, |t| $parse(t).and_then(|n| n.try_into().ok()))
        };
    }
    macro_rules! timestamp {
        ($ty:ty, $unit:expr, $zone:expr) => {{
            let parser = timestamp::Timestamp::new($unit, $zone.as_deref()).ok_or_else(none)?;
            text::primitive::<$ty>(text, to, |t| parser.parse(t))
        }};
    }
    Ok(match to {
        DataType::Int64 => text::primitive::<Int64Type>(text, to, integer::int64),
        DataType::Int32 => integer!(Int32Type, integer::int64),
        DataType::Int16 => integer!(Int16Type, integer::int64),
        DataType::Int8 => integer!(Int8Type, integer::int64),
        DataType::UInt64 => text::primitive::<UInt64Type>(text, to, integer::uint64),
        DataType::UInt32 => integer!(UInt32Type, integer::uint64),
        DataType::UInt16 => integer!(UInt16Type, integer::uint64),
        DataType::UInt8 => integer!(UInt8Type, integer::uint64),
        DataType::Float64 => text::primitive::<Float64Type>(text, to, float::float),
        DataType::Float32 => text::primitive::<Float32Type>(text, to, float::float),
        DataType::Decimal128(precision, scale) => {
            let parser = decimal::Decimal::new(*precision, *scale);
            text::primitive::<Decimal128Type>(text, to, |t| parser.parse(t))
        }
        DataType::Date32 => text::primitive::<Date32Type>(text, to, date::date),
        DataType::Timestamp(TimeUnit::Second, zone) => timestamp!(TimestampSecondType, TimeUnit::Second, zone),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            timestamp!(TimestampMillisecondType, TimeUnit::Millisecond, zone)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            timestamp!(TimestampMicrosecondType, TimeUnit::Microsecond, zone)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            timestamp!(TimestampNanosecondType, TimeUnit::Nanosecond, zone)
        }
        DataType::Boolean => text::boolean(text, boolean::boolean),
        _ => return cast(text, to),
    })
}
