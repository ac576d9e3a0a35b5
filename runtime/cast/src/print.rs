//! Anything to text, as Spark prints it: `1.0E10`, `2024-03-01 10:00:00.5`, `true`. Decimals are always plain (`0.0000001`,
//! where Spark with ANSI off prints `1E-7`).

use crate::civil;
use crate::zone::{Zone, per_second};
use arrow::array::cast::AsArray;
use arrow::array::types::{ArrowPrimitiveType, Date32Type, Float32Type, Float64Type};
use arrow::array::{Array, ArrayRef, PrimitiveArray, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use std::fmt::{LowerExp, Write};
use std::sync::Arc;

/// `None`: not a type that is printed here.
pub(crate) fn print(array: &dyn Array) -> Option<ArrayRef> {
    Some(match array.data_type() {
        DataType::Float64 => text(array.as_primitive::<Float64Type>(), float),
        DataType::Float32 => text(array.as_primitive::<Float32Type>(), float),
        DataType::Date32 => text(array.as_primitive::<Date32Type>(), |out, days| date(out, i64::from(days))),
        DataType::Timestamp(unit, zone) => {
            let zone = Zone::of(zone.as_deref())?;
            let per_second = per_second(*unit);
            let ticks = arrow::compute::cast(array, &DataType::Int64).ok()?;
            text(ticks.as_primitive::<Int64Type>(), |out, ticks| timestamp(out, ticks, per_second, zone))
        }
        _ => return None,
    })
}

fn text<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    print: impl Fn(&mut StringBuilder, T::Native) -> std::fmt::Result,
) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 12);
    for value in array {
        // Writing into memory does not fail.
        match value.map(|v| print(&mut out, v)) {
            Some(_) => out.append_value(""),
            None => out.append_null(),
        }
    }
    Arc::new(out.finish())
}

/// As Java's `Double.toString`: shortest digits that read back as the same number, an exponent from 10^7 on and below 10^-3.
fn float<F: LowerExp + std::fmt::Debug + Into<f64> + Copy>(out: &mut StringBuilder, value: F) -> std::fmt::Result {
    let size: f64 = value.into().abs();
    if size.is_nan() {
        out.write_str("NaN")
    } else if size.is_infinite() {
        out.write_str(if value.into() < 0.0 { "-Infinity" } else { "Infinity" })
    } else if size == 0.0 || (1e-3..1e7).contains(&size) {
        write!(out, "{value:?}")
    } else {
        write!(Scientific { out, point: false }, "{value:e}")
    }
}

/// Turns Rust's `1e10` into Java's `1.0E10` while it is written.
struct Scientific<'a> {
    out: &'a mut StringBuilder,
    point: bool,
}

impl Write for Scientific<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            self.point |= c == '.';
            match c {
                'e' if self.point => self.out.write_char('E')?,
                'e' => self.out.write_str(".0E")?,
                c => self.out.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn date(out: &mut StringBuilder, days: i64) -> std::fmt::Result {
    let (year, month, day) = civil::date(days);
    match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "{year:+05}-{month:02}-{day:02}"),
    }
}

fn timestamp(out: &mut StringBuilder, ticks: i64, per_second: i64, zone: Zone) -> std::fmt::Result {
    let instant = ticks.div_euclid(per_second);
    let wall = zone.wall(instant).unwrap_or(instant);
    date(out, wall.div_euclid(86_400))?;
    let second = wall.rem_euclid(86_400);
    write!(out, " {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)?;
    let mut fraction = ticks.rem_euclid(per_second);
    if fraction == 0 {
        return Ok(());
    }
    let mut digits = per_second.ilog10() as usize;
    while fraction % 10 == 0 {
        fraction /= 10;
        digits -= 1;
    }
    write!(out, ".{fraction:0digits$}")
}
