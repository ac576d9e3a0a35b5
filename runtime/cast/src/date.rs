//! Text to dates, as Spark's `stringToDate`: `yyyy`, `yyyy-[m]m`, `yyyy-[m]m-[d]d`, and after a whole date a blank or a `T`
//! and anything.

use crate::civil;
use crate::text::{Text, eight_digits, trim};

/// Days since 1970-01-01.
#[inline(always)]
pub(crate) fn date(t: Text) -> Option<i32> {
    if t.len == 10
        && let Some(days) = ten(t)
    {
        return Some(days as i32);
    }
    any(t.bytes())
}

/// `yyyy-mm-dd` in the first ten bytes: the digits are moved together and read at once.
#[inline(always)]
pub(crate) fn ten(t: Text) -> Option<i64> {
    let front = t.word(0);
    let back = t.word(2);
    if (front >> 32) as u8 != b'-' || (front >> 56) as u8 != b'-' {
        return None;
    }
    let packed = front & 0xFFFF_FFFF | (front >> 40 & 0xFFFF) << 32 | back >> 48 << 48;
    let number = eight_digits(packed)? as u32;
    civil::days_of_common_era(number / 10_000, number / 100 % 100, number % 100).map(i64::from)
}

#[inline(never)]
fn any(text: &[u8]) -> Option<i32> {
    let text = trim(text);
    let (sign, text) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let (year, rest) = number(text, 4, 7)?;
    let year = sign * i64::from(year);
    let (month, rest) = match rest {
        [] => (1, rest),
        [b'-', rest @ ..] => number(rest, 1, 2)?,
        _ => return None,
    };
    let (day, rest) = match rest {
        [] => (1, rest),
        [b'-', rest @ ..] => number(rest, 1, 2)?,
        _ => return None,
    };
    if !matches!(rest, [] | [b' ' | b'T', ..]) {
        return None;
    }
    i32::try_from(civil::days(year, month, day)?).ok()
}

/// All digits at the start of the text, if there are `least` to `most`.
#[inline]
pub(crate) fn number(text: &[u8], least: usize, most: usize) -> Option<(u32, &[u8])> {
    let count = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    if !(least..=most).contains(&count) {
        return None;
    }
    let (digits, rest) = text.split_at(count);
    Some((digits.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')), rest))
}
