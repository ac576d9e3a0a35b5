//! Dates, timestamps and numbers into each other. A number is seconds since 1970, as in Spark. Where a time zone is added to
//! or taken from a column, the wall clock stays; between two zones the instant stays.

use crate::zone::{Zone, per_second};
use crate::{Cast, Unsupported};
use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, PrimitiveArray};
use arrow::compute::kernels::cast::cast as arrow_cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit};
use std::sync::Arc;

/// Timestamp or date to timestamp or date.
pub(crate) fn time_to_time(array: &dyn Array, to: &DataType) -> Result<Cast, Unsupported> {
    let from = array.data_type();
    let none = || Unsupported { from: from.clone(), to: to.clone() };
    match (from, to) {
        (DataType::Date32, DataType::Timestamp(unit, zone)) => {
            let zone = Zone::of(zone.as_deref()).ok_or_else(none)?;
            let per_second = per_second(*unit);
            let days = array.as_primitive::<Date32Type>();
            let ticks: PrimitiveArray<Int64Type> =
                days.unary_opt(|d| zone.instant(i64::from(d) * 86_400)?.checked_mul(per_second));
            retype(array, &ticks, to)
        }
        (DataType::Timestamp(unit, zone), DataType::Date32) => {
            let zone = Zone::of(zone.as_deref()).ok_or_else(none)?;
            let per_second = per_second(*unit);
            let days: PrimitiveArray<Date32Type> = ticks(array)?
                .as_primitive::<Int64Type>()
                .unary_opt(|t| i32::try_from(zone.wall(t.div_euclid(per_second))?.div_euclid(86_400)).ok());
            Ok(Cast::compared(array, Arc::new(days)))
        }
        (DataType::Timestamp(from_unit, from_zone), DataType::Timestamp(to_unit, to_zone)) => {
            let (f, t) = (per_second(*from_unit), per_second(*to_unit));
            let old = Zone::of(from_zone.as_deref()).ok_or_else(none)?;
            let new = Zone::of(to_zone.as_deref()).ok_or_else(none)?;
            let shift = |seconds: i64| match (from_zone.is_some(), to_zone.is_some()) {
                (true, false) => old.wall(seconds),
                (false, true) => new.instant(seconds),
                _ => Some(seconds),
            };
            let moved: PrimitiveArray<Int64Type> = ticks(array)?.as_primitive::<Int64Type>().unary_opt(|value| {
                let fraction = value.rem_euclid(f);
                let fraction = if t >= f { fraction * (t / f) } else { fraction / (f / t) };
                shift(value.div_euclid(f))?.checked_mul(t)?.checked_add(fraction)
            });
            retype(array, &moved, to)
        }
        _ => Err(none()),
    }
}

/// Whole or fractional seconds since 1970 to a timestamp.
pub(crate) fn number_to_timestamp(array: &dyn Array, unit: TimeUnit, to: &DataType) -> Result<Cast, Unsupported> {
    let from = array.data_type();
    let per_second = per_second(unit);
    let ticks: PrimitiveArray<Int64Type> = if from.is_floating() {
        let seconds = plain(array, &DataType::Float64)?;
        seconds.as_primitive::<Float64Type>().unary_opt(|s| {
            let ticks = (s * per_second as f64).trunc();
            // 2^63 itself is a float, the largest i64 is not.
            (ticks >= i64::MIN as f64 && ticks < i64::MAX as f64).then_some(ticks as i64)
        })
    } else if from.is_decimal() {
        let digits = per_second.ilog10() as i8;
        let ticks = plain(array, &DataType::Decimal128(38, digits))?;
        ticks.as_primitive::<Decimal128Type>().unary_opt(|t| i64::try_from(t).ok())
    } else {
        let seconds = plain(array, &DataType::Int64)?;
        seconds.as_primitive::<Int64Type>().unary_opt(|s| s.checked_mul(per_second))
    };
    retype(array, &ticks, to)
}

/// A timestamp to seconds since 1970: whole ones downwards, or with their fraction where the type holds one.
pub(crate) fn timestamp_to_number(array: &dyn Array, unit: TimeUnit, to: &DataType) -> Result<Cast, Unsupported> {
    let per_second = per_second(unit);
    let ticks = ticks(array)?;
    let ticks = ticks.as_primitive::<Int64Type>();
    let seconds: ArrayRef = if to.is_floating() {
        Arc::new(ticks.unary::<_, Float64Type>(|t| t as f64 / per_second as f64))
    } else if to.is_decimal() {
        let exact = ticks.unary::<_, Decimal128Type>(i128::from);
        Arc::new(exact.with_data_type(DataType::Decimal128(38, per_second.ilog10() as i8)))
    } else {
        Arc::new(ticks.unary::<_, Int64Type>(|t| t.div_euclid(per_second)))
    };
    Ok(Cast::compared(array, plain(&seconds, to)?))
}

fn ticks(array: &dyn Array) -> Result<ArrayRef, Unsupported> {
    plain(array, &DataType::Int64)
}

/// An arrow kernel; a value that does not fit becomes null.
fn plain(array: &dyn Array, to: &DataType) -> Result<ArrayRef, Unsupported> {
    arrow_cast(array, to).map_err(|_| Unsupported { from: array.data_type().clone(), to: to.clone() })
}

/// Gives ticks the type of their timestamp; the numbers stay.
fn retype(original: &dyn Array, ticks: &PrimitiveArray<Int64Type>, to: &DataType) -> Result<Cast, Unsupported> {
    Ok(Cast::compared(original, plain(ticks, to)?))
}
