//! Which road a cast takes, and the roads that lean on arrow's kernels: what does not fit becomes null there, and is found by
//! comparing what was null before and after.

use crate::decimal::Decimal;
use crate::{Cast, Unsupported, from_text, print, time};
use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BooleanArray, GenericListArray, OffsetSizeTrait, PrimitiveArray, StructArray, new_null_array,
};
use arrow::compute::kernels::cast::cast as arrow_cast;
use arrow::compute::or;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, FieldRef, Float32Type, Float64Type};
use std::fmt::Write;
use std::sync::Arc;

/// How to get from one type to another.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Road {
    Same,
    Nulls,
    /// By this crate's parsers.
    Parse,
    /// First to the plain form of the type: text views and dictionaries.
    Unpack,
    Print,
    /// By arrow, with this type on the way if there is one.
    Kernel(Option<Via>),
    FloatToDecimal,
    Time,
    NumberToTimestamp,
    TimestampToNumber,
    List,
    Struct,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Via {
    Float64,
    Int8,
    Date32,
    Utf8,
}

fn road(from: &DataType, to: &DataType) -> Option<Road> {
    use DataType::*;
    let number = |t: &DataType| t.is_integer() || matches!(t, Float32 | Float64) || matches!(t, Decimal128(..));
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let bytes = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView | FixedSizeBinary(_));
    let clock = |t: &DataType| matches!(t, Time32(_) | Time64(_));
    Some(match (from, to) {
        (a, b) if a == b => Road::Same,
        (Null, _) => Road::Nulls,
        (a, b) if text(a) && text(b) => Road::Kernel(None),
        (Utf8, Boolean | Date32 | Timestamp(..)) => Road::Parse,
        (Utf8, b) if number(b) => Road::Parse,
        (Utf8, Date64) => Road::Kernel(Some(Via::Date32)),
        (Utf8, b) if clock(b) || bytes(b) && !matches!(b, FixedSizeBinary(_)) => Road::Kernel(None),
        (LargeUtf8 | Utf8View, b) => road(&Utf8, b).map(|_| Road::Unpack)?,
        (Dictionary(_, values), b) => road(values, b).map(|_| Road::Unpack)?,
        (Float32 | Float64 | Date32 | Timestamp(..), Utf8) => Road::Print,
        (Float32 | Float64 | Date32 | Timestamp(..), LargeUtf8 | Utf8View) => Road::Kernel(Some(Via::Utf8)),
        (Date64, b) if text(b) => Road::Kernel(Some(Via::Date32)),
        (a, b) if text(b) && (number(a) || clock(a) || bytes(a) || *a == Boolean) => Road::Kernel(None),
        (a, b) if bytes(a) && bytes(b) && !matches!(b, FixedSizeBinary(_)) => Road::Kernel(None),
        (Float32 | Float64, Decimal128(..)) => Road::FloatToDecimal,
        (Boolean, Decimal128(..)) => Road::Kernel(Some(Via::Int8)),
        (Decimal128(..), Boolean) => Road::Kernel(Some(Via::Float64)),
        (a, b) if (number(a) || *a == Boolean) && (number(b) || *b == Boolean) => Road::Kernel(None),
        (a, b) if clock(a) && clock(b) => Road::Kernel(None),
        (Date32, Date64) | (Date64, Date32) => Road::Kernel(None),
        (Date64, Timestamp(..)) | (Timestamp(..), Date64) => Road::Kernel(Some(Via::Date32)),
        (Date32 | Timestamp(..), Date32 | Timestamp(..)) => Road::Time,
        (a, Timestamp(..)) if number(a) => Road::NumberToTimestamp,
        (Timestamp(..), b) if number(b) => Road::TimestampToNumber,
        (List(a), List(b)) | (LargeList(a), LargeList(b)) => road(a.data_type(), b.data_type()).map(|_| Road::List)?,
        (Struct(a), Struct(b)) if a.len() == b.len() => {
            let fields = a.iter().zip(b).all(|(a, b)| a.name() == b.name() && supported(a.data_type(), b.data_type()));
            fields.then_some(Road::Struct)?
        }
        _ => return None,
    })
}

/// Whether [`cast`] can work between these types at all.
pub fn supported(from: &DataType, to: &DataType) -> bool {
    road(from, to).is_some()
}

/// Casts a column of any type.
pub fn cast(array: &dyn Array, to: &DataType) -> Result<Cast, Unsupported> {
    let from = array.data_type();
    let none = || Unsupported { from: from.clone(), to: to.clone() };
    match road(from, to).ok_or_else(none)? {
        Road::Same => Ok(Cast::whole(array.slice(0, array.len()))),
        Road::Nulls => Ok(Cast::whole(new_null_array(to, array.len()))),
        Road::Parse => from_text(array.as_string(), to),
        Road::Unpack => {
            let plain = match from {
                DataType::Dictionary(_, values) => (**values).clone(),
                _ => DataType::Utf8,
            };
            cast(&kernel(array, &plain)?, to)
        }
        Road::Print => Ok(Cast::whole(print::print(array).ok_or_else(none)?)),
        Road::Kernel(None) => Ok(Cast::compared(array, kernel(array, to)?)),
        Road::Kernel(Some(via)) => {
            let via = match via {
                Via::Float64 => DataType::Float64,
                Via::Int8 => DataType::Int8,
                Via::Date32 => DataType::Date32,
                Via::Utf8 => DataType::Utf8,
            };
            let first = cast(array, &via)?;
            let second = cast(&first.values, to)?;
            Ok(Cast { values: second.values, failed: either(first.failed, second.failed) })
        }
        Road::FloatToDecimal => {
            let DataType::Decimal128(precision, scale) = to else { return Err(none()) };
            let parser = Decimal::new(*precision, *scale);
            let values = match from {
                DataType::Float32 => by_digits(array.as_primitive::<Float32Type>(), parser),
                _ => by_digits(array.as_primitive::<Float64Type>(), parser),
            };
            Ok(Cast::compared(array, Arc::new(values.with_data_type(to.clone()))))
        }
        Road::Time => time::time_to_time(array, to),
        Road::NumberToTimestamp => match to {
            DataType::Timestamp(unit, _) => time::number_to_timestamp(array, *unit, to),
            _ => Err(none()),
        },
        Road::TimestampToNumber => match from {
            DataType::Timestamp(unit, _) => time::timestamp_to_number(array, *unit, to),
            _ => Err(none()),
        },
        Road::List => match to {
            DataType::LargeList(item) => list::<i64>(array, item),
            DataType::List(item) => list::<i32>(array, item),
            _ => Err(none()),
        },
        Road::Struct => structure(array.as_struct(), to),
    }
}

fn kernel(array: &dyn Array, to: &DataType) -> Result<ArrayRef, Unsupported> {
    arrow_cast(array, to).map_err(|_| Unsupported { from: array.data_type().clone(), to: to.clone() })
}

/// A float to an exact number by way of its shortest digits, as Spark and people do: 1.005 is 1.01 at two places, whatever
/// its binary expansion says.
fn by_digits<T>(array: &PrimitiveArray<T>, parser: Decimal) -> PrimitiveArray<Decimal128Type>
where
    T: ArrowPrimitiveType,
    T::Native: std::fmt::LowerExp,
{
    let mut digits = String::new();
    let values = array.iter().map(|value| {
        let value = value?;
        digits.clear();
        write!(digits, "{value:e}").ok()?;
        parser.parse_any(digits.as_bytes())
    });
    values.collect()
}

fn list<O: OffsetSizeTrait>(array: &dyn Array, item: &FieldRef) -> Result<Cast, Unsupported> {
    let list = array.as_list::<O>();
    let items = cast(list.values(), item.data_type())?;
    let failed = items.failed.map(|failed| {
        let rows =
            list.offsets().windows(2).enumerate().map(|(row, ends)| {
                list.is_valid(row) && (ends[0].as_usize()..ends[1].as_usize()).any(|i| failed.value(i))
            });
        BooleanArray::new(rows.collect(), None)
    });
    let values =
        GenericListArray::<O>::try_new(item.clone(), list.offsets().clone(), items.values, list.nulls().cloned())
            .map_err(|_| Unsupported { from: array.data_type().clone(), to: item.data_type().clone() })?;
    Ok(Cast { values: Arc::new(values), failed: failed.filter(|f| f.true_count() > 0) })
}

fn structure(array: &StructArray, to: &DataType) -> Result<Cast, Unsupported> {
    let none = || Unsupported { from: array.data_type().clone(), to: to.clone() };
    let DataType::Struct(fields) = to else { return Err(none()) };
    let mut columns = vec![];
    let mut failed = None;
    for (column, field) in array.columns().iter().zip(fields) {
        let child = cast(column, field.data_type())?;
        columns.push(child.values);
        failed = either(failed, child.failed);
    }
    let valid = array.nulls().map(|n| BooleanArray::new(n.inner().clone(), None));
    let failed = match (failed, valid) {
        (Some(failed), Some(valid)) => arrow::compute::and(&failed, &valid).ok().filter(|f| f.true_count() > 0),
        (failed, _) => failed,
    };
    let values = StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len());
    Ok(Cast { values: Arc::new(values.map_err(|_| none())?), failed })
}

/// Rows that failed in one step or the other.
fn either(a: Option<BooleanArray>, b: Option<BooleanArray>) -> Option<BooleanArray> {
    match (a, b) {
        (Some(a), Some(b)) => or(&a, &b).ok(),
        (a, b) => a.or(b),
    }
}
