//! Arrow columns in SQLite's storage classes: a whole column at a time, so that an insert only looks cells up.

use super::cursor::Cell;
use super::types::{fraction_digits, stored_as_number};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit};
use selvedge_node::{Error, Result};

/// A column as it will be stored.
pub enum Stored {
    Int(Int64Array),
    Real(Float64Array),
    Text(StringArray),
    Blob(BinaryArray),
}

impl Stored {
    /// Encodes `array` for a column of type `ty` (one that `types::declare` knows). A value that is null here but not in
    /// `array` has no form there: a date outside of the years 0 to 9999, an instant beyond the column's range.
    pub fn of(array: &ArrayRef, ty: &DataType) -> Result<Stored> {
        let lossy = CastOptions { safe: true, ..Default::default() };
        let array = if array.data_type() == ty { array.clone() } else { cast_with_options(array, ty, &lossy)? };
        Ok(match ty {
            DataType::Float32 | DataType::Float64 => {
                Stored::Real(cast(&array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
            }
            DataType::Decimal128(p, s) if stored_as_number(*p) => {
                let unscaled = array.as_primitive::<Decimal128Type>();
                if *s == 0 {
                    Stored::Int(unscaled.unary::<_, Int64Type>(|v| v as i64))
                } else {
                    // Both are exact in a double, so the quotient is the nearest one, whose first 15 digits are right.
                    let scale = 10f64.powi((*s).into());
                    Stored::Real(unscaled.unary::<_, Float64Type>(|v| v as f64 / scale))
                }
            }
            DataType::Decimal128(..) | DataType::Utf8 => {
                Stored::Text(cast(&array, &DataType::Utf8)?.as_string::<i32>().clone())
            }
            DataType::Binary => Stored::Blob(array.as_binary::<i32>().clone()),
            DataType::Date32 => Stored::Text(dates(&array)),
            DataType::Timestamp(unit, zone) => Stored::Text(timestamps(&array, unit, zone.is_some())?),
            _ if ty.is_integer() || *ty == DataType::Boolean => {
                Stored::Int(cast(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            other => return Err(Error::bug(format!("a column of type {other} has no stored form"))),
        })
    }

    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Stored::Int(a) => a.is_null(row),
            Stored::Real(a) => a.is_null(row),
            Stored::Text(a) => a.is_null(row),
            Stored::Blob(a) => a.is_null(row),
        }
    }

    pub fn null_count(&self) -> usize {
        match self {
            Stored::Int(a) => a.null_count(),
            Stored::Real(a) => a.null_count(),
            Stored::Text(a) => a.null_count(),
            Stored::Blob(a) => a.null_count(),
        }
    }

    pub fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            _ if self.is_null(row) => Cell::Null,
            Stored::Int(a) => Cell::Int(a.value(row)),
            Stored::Real(a) => Cell::Real(a.value(row)),
            Stored::Text(a) => Cell::Text(a.value(row).as_bytes()),
            Stored::Blob(a) => Cell::Blob(a.value(row)),
        }
    }
}

const SECONDS_A_DAY: i64 = 86_400;

fn dates(array: &ArrayRef) -> StringArray {
    let array = array.as_primitive::<Date32Type>();
    let mut text = StringBuilder::with_capacity(array.len(), array.len() * 10);
    let mut buffer = Digits::default();
    for row in 0..array.len() {
        let date = array.is_valid(row).then(|| civil(array.value(row).into())).flatten();
        text.append_option(date.map(|date| {
            buffer.clear();
            buffer.date(date);
            buffer.as_str()
        }));
    }
    text.finish()
}

fn timestamps(array: &ArrayRef, unit: &TimeUnit, zoned: bool) -> Result<StringArray> {
    let digits = fraction_digits(unit);
    let a_second = 10i64.pow(digits as u32);
    let array = cast(array, &DataType::Int64)?;
    let array = array.as_primitive::<Int64Type>();
    let mut text = StringBuilder::with_capacity(array.len(), array.len() * 27);
    let mut buffer = Digits::default();
    for row in 0..array.len() {
        let (seconds, fraction) = match array.is_valid(row) {
            true => (array.value(row).div_euclid(a_second), array.value(row).rem_euclid(a_second)),
            false => (0, 0),
        };
        let date = array.is_valid(row).then(|| civil(seconds.div_euclid(SECONDS_A_DAY))).flatten();
        text.append_option(date.map(|date| {
            let second = seconds.rem_euclid(SECONDS_A_DAY);
            buffer.clear();
            buffer.date(date);
            buffer.push(b' ');
            buffer.number(second / 3600, 2);
            buffer.push(b':');
            buffer.number(second / 60 % 60, 2);
            buffer.push(b':');
            buffer.number(second % 60, 2);
            if digits > 0 {
                buffer.push(b'.');
                buffer.number(fraction, digits);
            }
            if zoned {
                buffer.push(b'Z');
            }
            buffer.as_str()
        }));
    }
    Ok(text.finish())
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, `civil_from_days`); `None` outside of the years 0 to 9999,
/// which have no ISO text of fixed width.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    if !(-719_528..=2_932_896).contains(&days) {
        return None;
    }
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    Some((year + era * 400, month, day))
}

/// Text of fixed width, written without formatting machinery.
#[derive(Default)]
struct Digits(String);

impl Digits {
    fn clear(&mut self) {
        self.0.clear();
    }
    fn push(&mut self, byte: u8) {
        self.0.push(byte.into());
    }
    fn number(&mut self, number: i64, width: usize) {
        let mut place = 10i64.pow(width as u32 - 1);
        while place > 0 {
            self.push(b'0' + (number / place % 10) as u8);
            place /= 10;
        }
    }
    fn date(&mut self, (year, month, day): (i64, i64, i64)) {
        self.number(year, 4);
        self.push(b'-');
        self.number(month, 2);
        self.push(b'-');
        self.number(day, 2);
    }
    fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn check(rows: &str, expected: &[Cell]) {
        let batch = selvedge_testkit::table(rows);
        let ty = super::super::types::plain(batch.schema().field(0).data_type()).unwrap();
        let stored = Stored::of(batch.column(0), &ty).unwrap();
        let found: Vec<Cell> = (0..batch.num_rows()).map(|r| stored.cell(r)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_type_has_its_form() {
        check("a:Boolean\ntrue\nnull", &[Cell::Int(1), Cell::Null]);
        check("a:Int8\n-128", &[Cell::Int(-128)]);
        check("a:UInt32\n4294967295", &[Cell::Int(4_294_967_295)]);
        check("a:Float32\n0.5", &[Cell::Real(0.5)]);
        check("a:Decimal128(15, 2)\n9999999999999.99\n-0.01", &[Cell::Real(9_999_999_999_999.99), Cell::Real(-0.01)]);
        check("a:Decimal128(15, 0)\n-5", &[Cell::Int(-5)]);
        check("a:Decimal128(16, 2)\n12345678901234.50", &[Cell::Text(b"12345678901234.50")]);
        check(
            "a:Date32\n2024-02-29\n0000-01-01\n9999-12-31",
            &[Cell::Text(b"2024-02-29"), Cell::Text(b"0000-01-01"), Cell::Text(b"9999-12-31")],
        );
        check("a:Timestamp(µs)\n2024-03-01T10:00:00.5", &[Cell::Text(b"2024-03-01 10:00:00.500000")]);
        check("a:Timestamp(s, \"Europe/Berlin\")\n1969-12-31T23:59:59Z", &[Cell::Text(b"1969-12-31 23:59:59Z")]);
        check("a:Timestamp(ns)\n1969-12-31T23:59:59.999999999", &[Cell::Text(b"1969-12-31 23:59:59.999999999")]);
    }

    #[test]
    fn years_without_four_digits_have_no_form() {
        let dates = Arc::new(arrow::array::Date32Array::from(vec![2_932_897, -719_529, i32::MAX, 0])) as ArrayRef;
        let stored = Stored::of(&dates, &DataType::Date32).unwrap();
        assert_eq!((0..4).map(|r| stored.is_null(r)).collect::<Vec<_>>(), [true, true, true, false]);
    }
}
