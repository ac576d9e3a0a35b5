//! A text column under construction: bytes and offsets, without a `String` or `write!` for each value.

use crate::prng::Draw;
use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use selvedge_node::Result;
use std::sync::Arc;

/// A value is a few `put`s and then [`end`](Text::end), or [`null`](Text::null).
pub struct Text {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    nulls: usize,
}

impl Text {
    /// Room for `rows` values of about `width` bytes each.
    pub fn new(rows: usize, width: usize) -> Text {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Text { bytes: Vec::with_capacity(rows * width), offsets, valid: Vec::with_capacity(rows), nulls: 0 }
    }

    pub fn put(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A number in decimal digits, with zeros before it up to `width` digits.
    pub fn number(&mut self, mut value: u64, width: usize) {
        let mut digits = [b'0'; 20];
        let mut at = digits.len();
        while value > 0 || at == digits.len() {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        at = at.min(digits.len().saturating_sub(width));
        self.bytes.extend_from_slice(&digits[at..]);
    }

    /// `1234` as `12.34`.
    pub fn money(&mut self, cents: u64) {
        self.number(cents / 100, 1);
        self.put(".");
        self.number(cents % 100, 2);
    }

    /// Days since 1970 as `2024-03-01`.
    pub fn date(&mut self, days: u64) {
        let (year, month, day) = civil(days);
        self.number(year, 4);
        self.put("-");
        self.number(month, 2);
        self.put("-");
        self.number(day, 2);
    }

    /// Seconds of a day as `09:05:00`.
    pub fn clock(&mut self, seconds: u64) {
        self.number(seconds / 3600 % 24, 2);
        self.put(":");
        self.number(seconds / 60 % 60, 2);
        self.put(":");
        self.number(seconds % 60, 2);
    }

    /// Seconds since 1970 as `2024-03-01 09:05:00`.
    pub fn time(&mut self, seconds: u64) {
        self.date(seconds / 86_400);
        self.put(" ");
        self.clock(seconds);
    }

    /// The clean value, or in `permille` of a thousand cases one of `dirt`, in which `{}` stands for the clean one.
    pub fn dirty(&mut self, draw: &mut Draw, permille: u64, dirt: &[&str], clean: impl Fn(&mut Text)) {
        if draw.chance(permille) {
            let found = draw.pick(dirt);
            match found.split_once("{}") {
                Some((before, after)) => {
                    self.put(before);
                    clean(self);
                    self.put(after);
                }
                None => self.put(found),
            }
        } else {
            clean(self);
        }
        self.end();
    }

    /// The value is complete.
    pub fn end(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.valid.push(true);
    }

    pub fn null(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.valid.push(false);
        self.nulls += 1;
    }

    pub fn finish(self) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let nulls = (self.nulls > 0).then(|| NullBuffer::from(self.valid));
        Ok(Arc::new(StringArray::try_new(offsets, self.bytes.into(), nulls)?))
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    #[test]
    fn numbers_money_and_times() {
        let mut text = Text::new(8, 8);
        text.number(0, 1);
        text.end();
        text.number(42, 5);
        text.end();
        text.number(u64::MAX, 3);
        text.end();
        text.money(5);
        text.end();
        text.null();
        text.date(0);
        text.end();
        text.date(19_782);
        text.end();
        text.time(951_782_399);
        text.end();
        let array = text.finish().unwrap();
        let found: Vec<_> = array.as_string::<i32>().iter().collect();
        let expected =
            ["0", "00042", "18446744073709551615", "0.05", "", "1970-01-01", "2024-02-29", "2000-02-28 23:59:59"];
        let expected: Vec<_> = expected.iter().map(|v| (!v.is_empty()).then_some(*v)).collect();
        assert_eq!(found, expected);
    }
}
