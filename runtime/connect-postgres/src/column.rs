//! A column being built from values as PostgreSQL's binary format has them: the `…send` functions of its types, big-endian.

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, ListArray, NullBufferBuilder, PrimitiveBuilder,
    StringBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt32Type,
};
use selvedge_node::{Error, Result};
use std::sync::Arc;

/// Days and microseconds from 1970 to PostgreSQL's own epoch, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
/// What a calendar of 262,143 years both ways holds, in days since 1970: beyond, other parts of the system have no text for it.
const CALENDAR: std::ops::RangeInclusive<i64> = -96_465_292..=95_026_236;
/// Digits in each place of a numeric.
const BASE: i128 = 10_000;

pub enum Column {
    Boolean(BooleanBuilder),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    UInt32(PrimitiveBuilder<UInt32Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal { values: Decimal128Builder, precision: u8, scale: i8 },
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Time(PrimitiveBuilder<TimestampMicrosecondType>),
    List { field: FieldRef, values: Box<Column>, ends: Vec<i32>, valid: NullBufferBuilder, held: usize },
}

/// A value that its column cannot hold, in words: `infinity`.
pub type Misfit = &'static str;

impl Column {
    pub fn of(ty: &DataType) -> Result<Column> {
        Ok(match ty {
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Int16 => Column::Int16(PrimitiveBuilder::new()),
            DataType::Int32 => Column::Int32(PrimitiveBuilder::new()),
            DataType::Int64 => Column::Int64(PrimitiveBuilder::new()),
            DataType::UInt32 => Column::UInt32(PrimitiveBuilder::new()),
            DataType::Float32 => Column::Float32(PrimitiveBuilder::new()),
            DataType::Float64 => Column::Float64(PrimitiveBuilder::new()),
            DataType::Decimal128(precision, scale) => Column::Decimal {
                values: Decimal128Builder::new().with_precision_and_scale(*precision, *scale)?,
                precision: *precision,
                scale: *scale,
            },
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            DataType::Binary => Column::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Column::Date(PrimitiveBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Column::Time(PrimitiveBuilder::new().with_data_type(ty.clone()))
            }
            DataType::List(field) => Column::List {
                field: field.clone(),
                values: Box::new(Column::of(field.data_type())?),
                ends: vec![0],
                valid: NullBufferBuilder::new(0),
                held: 0,
            },
            other => return Err(Error::bug(format!("PostgreSQL sends no {other}"))),
        })
    }

    pub fn null(&mut self) {
        match self {
            Column::Boolean(values) => values.append_null(),
            Column::Int16(values) => values.append_null(),
            Column::Int32(values) => values.append_null(),
            Column::Int64(values) => values.append_null(),
            Column::UInt32(values) => values.append_null(),
            Column::Float32(values) => values.append_null(),
            Column::Float64(values) => values.append_null(),
            Column::Decimal { values, .. } => values.append_null(),
            Column::Text(values) => values.append_null(),
            Column::Bytes(values) => values.append_null(),
            Column::Date(values) => values.append_null(),
            Column::Time(values) => values.append_null(),
            Column::List { ends, valid, held, .. } => {
                ends.push(*held as i32);
                valid.append_null();
            }
        }
    }

    /// Adds a value. One that does not fit is added as null and told.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) -> Result<Option<Misfit>> {
        match self {
            Column::Boolean(values) => values.append_value(fixed::<1>(bytes)? != [0]),
            Column::Int16(values) => values.append_value(i16::from_be_bytes(fixed(bytes)?)),
            Column::Int32(values) => values.append_value(i32::from_be_bytes(fixed(bytes)?)),
            Column::Int64(values) => values.append_value(i64::from_be_bytes(fixed(bytes)?)),
            Column::UInt32(values) => values.append_value(u32::from_be_bytes(fixed(bytes)?)),
            Column::Float32(values) => values.append_value(f32::from_be_bytes(fixed(bytes)?)),
            Column::Float64(values) => values.append_value(f64::from_be_bytes(fixed(bytes)?)),
            Column::Text(values) => values.append_value(std::str::from_utf8(bytes).map_err(|_| garbled())?),
            Column::Bytes(values) => values.append_value(bytes),
            Column::Decimal { values, precision, scale } => match numeric(bytes, *precision, *scale)? {
                Ok(value) => values.append_value(value),
                Err(misfit) => {
                    values.append_null();
                    return Ok(Some(misfit));
                }
            },
            Column::Date(values) => match date(i32::from_be_bytes(fixed(bytes)?)) {
                Ok(days) => values.append_value(days),
                Err(misfit) => {
                    values.append_null();
                    return Ok(Some(misfit));
                }
            },
            Column::Time(values) => match time(i64::from_be_bytes(fixed(bytes)?)) {
                Ok(micros) => values.append_value(micros),
                Err(misfit) => {
                    values.append_null();
                    return Ok(Some(misfit));
                }
            },
            Column::List { values, ends, valid, held, .. } => {
                let (added, misfit) = list(bytes, values)?;
                *held += added;
                ends.push(i32::try_from(*held).map_err(|_| Error::data("more than 2^31 array elements in a batch"))?);
                valid.append(misfit.is_none());
                return Ok(misfit);
            }
        }
        Ok(None)
    }

    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Column::Boolean(values) => Arc::new(values.finish()),
            Column::Int16(values) => Arc::new(values.finish()),
            Column::Int32(values) => Arc::new(values.finish()),
            Column::Int64(values) => Arc::new(values.finish()),
            Column::UInt32(values) => Arc::new(values.finish()),
            Column::Float32(values) => Arc::new(values.finish()),
            Column::Float64(values) => Arc::new(values.finish()),
            Column::Decimal { values, .. } => Arc::new(values.finish()),
            Column::Text(values) => Arc::new(values.finish()),
            Column::Bytes(values) => Arc::new(values.finish()),
            Column::Date(values) => Arc::new(values.finish()),
            Column::Time(values) => Arc::new(values.finish()),
            Column::List { field, values, ends, valid, held } => {
                *held = 0;
                let offsets = OffsetBuffer::new(std::mem::replace(ends, vec![0]).into());
                Arc::new(ListArray::try_new(field.clone(), offsets, values.finish()?, valid.finish())?)
            }
        })
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| garbled())
}

pub fn garbled() -> Error {
    Error::world("the server sent rows in another form than PostgreSQL's binary format")
        .help("is something between here and PostgreSQL that only resembles it?")
}

/// Takes the next big-endian number off the bytes.
struct Numbers<'a>(&'a [u8]);

impl<'a> Numbers<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(garbled)?;
        self.0 = rest;
        Ok(taken)
    }
    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(fixed(self.bytes(2)?)?))
    }
    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(fixed(self.bytes(4)?)?))
    }
}

fn date(days: i32) -> std::result::Result<i32, Misfit> {
    match days {
        i32::MAX => Err("infinity"),
        i32::MIN => Err("-infinity"),
        days => match days.checked_add(EPOCH_DAYS) {
            Some(days) if CALENDAR.contains(&days.into()) => Ok(days),
            _ => Err("a date beyond the year 262142"),
        },
    }
}

fn time(micros: i64) -> std::result::Result<i64, Misfit> {
    match micros {
        i64::MAX => Err("infinity"),
        i64::MIN => Err("-infinity"),
        micros => match micros.checked_add(EPOCH_MICROS) {
            Some(micros) if CALENDAR.contains(&micros.div_euclid(86_400_000_000)) => Ok(micros),
            _ => Err("a time beyond the year 262142"),
        },
    }
}

/// The unscaled value: places of base 10,000, the first of weight `10000^weight`. Rounded to the scale, half away from zero, as
/// PostgreSQL rounds.
fn numeric(bytes: &[u8], precision: u8, scale: i8) -> Result<std::result::Result<i128, Misfit>> {
    let mut numbers = Numbers(bytes);
    let (places, weight, sign, _) = (numbers.i16()?, numbers.i16()?, numbers.i16()? as u16, numbers.i16()?);
    match sign {
        0xC000 => return Ok(Err("NaN")),
        0xD000 => return Ok(Err("infinity")),
        0xF000 => return Ok(Err("-infinity")),
        _ => {}
    }
    const TOO_LARGE: Misfit = "a number with more digits";
    let (mut value, mut half): (i128, bool) = (0, false);
    for i in 0..i32::from(places) {
        let place = i128::from(numbers.i16()?);
        // The exponent of ten of the place's last digit, in units of the scale.
        let exponent = 4 * (i32::from(weight) - i) + i32::from(scale);
        let added = match exponent {
            0.. => 10i128.checked_pow(exponent as u32).and_then(|power| place.checked_mul(power)),
            -3..0 => {
                let power = 10i128.pow(-exponent as u32);
                half |= place % power >= power / 2;
                Some(place / power)
            }
            -4 => {
                half |= place >= BASE / 2;
                Some(0)
            }
            _ => Some(0),
        };
        match added.and_then(|added| value.checked_add(added)) {
            Some(sum) => value = sum,
            None => return Ok(Err(TOO_LARGE)),
        }
    }
    value += i128::from(half);
    let limit = 10i128.checked_pow(precision.into());
    if limit.is_some_and(|limit| value >= limit) {
        return Ok(Err(TOO_LARGE));
    }
    Ok(Ok(if sign == 0x4000 { -value } else { value }))
}

/// The elements of an array, and how many there are.
fn list(bytes: &[u8], values: &mut Column) -> Result<(usize, Option<Misfit>)> {
    let mut numbers = Numbers(bytes);
    let (dimensions, _, _) = (numbers.i32()?, numbers.i32()?, numbers.i32()?);
    match dimensions {
        0 => return Ok((0, None)),
        1 => {}
        _ => return Ok((0, Some("an array of several dimensions"))),
    }
    let (count, _) = (usize::try_from(numbers.i32()?).map_err(|_| garbled())?, numbers.i32()?);
    let mut misfit = None;
    for _ in 0..count {
        match usize::try_from(numbers.i32()?) {
            Ok(length) => misfit = values.add(numbers.bytes(length)?)?.or(misfit),
            Err(_) => values.null(),
        }
    }
    Ok((count, misfit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(weight: i16, sign: u16, places: &[i16]) -> Vec<u8> {
        let head = [places.len() as i16, weight, sign as i16, 0];
        head.iter().chain(places).flat_map(|n| n.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_are_exact_or_rounded_half_away_from_zero() {
        let check = |bytes: Vec<u8>, precision, scale, expected| {
            assert_eq!(numeric(&bytes, precision, scale).unwrap(), expected, "{bytes:?}");
        };
        check(places(0, 0, &[12, 3400]), 10, 2, Ok(1234));
        check(places(0, 0x4000, &[12, 3450]), 10, 2, Ok(-1235));
        check(places(0, 0, &[12, 3449]), 10, 2, Ok(1234));
        check(places(0, 0, &[0, 5000]), 10, 0, Ok(1));
        check(places(-1, 0, &[4999]), 10, 0, Ok(0));
        check(places(-2, 0, &[9999]), 10, 0, Ok(0));
        check(places(1, 0, &[1]), 10, 0, Ok(10_000));
        check(places(0, 0, &[]), 10, 2, Ok(0));
        check(places(0, 0, &[9999]), 3, 0, Err("a number with more digits"));
        check(places(0, 0, &[999, 5000]), 3, 0, Err("a number with more digits"));
        check(places(3000, 0, &[1]), 38, 0, Err("a number with more digits"));
        check(places(0, 0xC000, &[]), 38, 0, Err("NaN"));
        check(places(0, 0xF000, &[]), 38, 0, Err("-infinity"));
        check(places(9, 0, &[99, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999]), 38, 0, Ok(10i128.pow(38) - 1));
        assert!(numeric(&[0, 1, 0], 38, 0).is_err());
    }

    #[test]
    fn what_is_cut_off_is_no_value() {
        let mut column = Column::of(&DataType::Int64).unwrap();
        assert!(column.add(&[0; 7]).is_err());
        let mut list = Column::of(&DataType::new_list(DataType::Int16, true)).unwrap();
        assert!(list.add(&[0, 0, 0, 1, 0, 0]).is_err());
    }
}
