//! Text to timestamps, as Spark's `stringToTimestamp`: a date as in `date.rs`, then `[h]h`, `:[m]m`, `:[s]s`, a fraction of any
//! length cut to the column's resolution, and a zone. Without a zone in the text, the column's zone counts; a column without
//! one keeps the wall clock. A time without a date is refused (Spark would put in the day of the run).

use crate::civil;
use crate::date::{number, ten};
use crate::text::{Text, digits, trim};
use crate::zone::{Zone, per_second};
use arrow::datatypes::TimeUnit;

/// A parser for one type of timestamp column.
#[derive(Clone, Copy)]
pub(crate) struct Timestamp {
    per_second: i64,
    zone: Zone,
    /// The column has no zone: one in the text is read and ignored.
    local: bool,
}

impl Timestamp {
    /// `None` if nobody knows the zone.
    pub fn new(unit: TimeUnit, zone: Option<&str>) -> Option<Timestamp> {
        Some(Timestamp { per_second: per_second(unit), zone: Zone::of(zone)?, local: zone.is_none() })
    }

    #[inline(always)]
    pub fn parse(self, t: Text) -> Option<i64> {
        if t.len >= 19
            && matches!(self.zone, Zone::Utc)
            && let Some((seconds, nanos)) = usual(t)
        {
            return self.join(seconds, nanos);
        }
        self.any(t.bytes())
    }

    #[inline(always)]
    fn join(self, seconds: i64, nanos: u32) -> Option<i64> {
        seconds.checked_mul(self.per_second)?.checked_add(i64::from(nanos) / (1_000_000_000 / self.per_second))
    }

    #[inline(never)]
    fn any(self, text: &[u8]) -> Option<i64> {
        let (wall, nanos, zone) = parts(trim(text))?;
        let instant = match zone {
            Some(zone) if !self.local => zone_of_text(zone)?.instant(wall)?,
            Some(zone) => zone_of_text(zone).map(|_| wall)?,
            None => self.zone.instant(wall)?,
        };
        self.join(instant, nanos)
    }
}

/// `yyyy-mm-dd hh:mm:ss[.fraction][Z]`: seconds since 1970 and nanoseconds.
#[inline(always)]
fn usual(t: Text) -> Option<(i64, u32)> {
    let text = t.bytes();
    let time = t.word(11);
    if !matches!(text[10], b' ' | b'T') || (time >> 16) as u8 != b':' || (time >> 40) as u8 != b':' {
        return None;
    }
    let packed = time & 0xFFFF | (time >> 24 & 0xFFFF) << 16 | time >> 48 << 32;
    let number = digits(packed, 6)? as i64;
    let (hour, minute, second) = (number / 10_000, number / 100 % 100, number % 100);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = ten(t)? * 86_400 + hour * 3600 + minute * 60 + second;
    let (nanos, rest) = match &text[19..] {
        [b'.', rest @ ..] => fraction(rest),
        rest => (0, rest),
    };
    matches!(rest, [] | [b'Z']).then_some((seconds, nanos))
}

/// Digits of a fraction as nanoseconds; the tenth digit and all later ones are cut off.
#[inline(always)]
fn fraction(text: &[u8]) -> (u32, &[u8]) {
    let mut nanos = 0;
    let mut unit = 100_000_000;
    let mut at = 0;
    while let Some(digit) = text.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        nanos += u32::from(digit) * unit;
        unit /= 10;
        at += 1;
    }
    (nanos, &text[at..])
}

/// Wall clock in seconds since 1970, nanoseconds, and the text of the zone.
fn parts(text: &[u8]) -> Option<(i64, u32, Option<&[u8]>)> {
    let (sign, text) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let (year, mut rest) = number(text, 4, 6)?;
    // Month, day, hour, minute, second: each may be the last one.
    let mut fields = [1, 1, 0, 0, 0];
    let before: [&[u8]; 5] = [b"-", b"-", b" T", b":", b":"];
    for (field, before) in fields.iter_mut().zip(before) {
        let [separator, after @ ..] = rest else { break };
        if !before.contains(separator) {
            return None;
        }
        (*field, rest) = number(after, 1, 2)?;
    }
    let [month, day, hour, minute, second] = fields;
    let (nanos, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest),
        rest => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = civil::days(sign * i64::from(year), month, day)?;
    let wall = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some((wall, nanos, (!rest.is_empty()).then(|| trim(rest))))
}

/// `Z`, `UTC`, `+2`, `+02:00`, `-0530`, `GMT+1`, `Europe/Berlin`.
fn zone_of_text(text: &[u8]) -> Option<Zone> {
    let offset =
        [&b"UTC"[..], b"GMT", b"UT", b"Z"].iter().find_map(|prefix| text.strip_prefix(*prefix)).unwrap_or(text);
    let (sign, digits) = match offset {
        [] => return Some(Zone::Utc),
        [b'+', digits @ ..] => ('+', digits),
        [b'-', digits @ ..] => ('-', digits),
        _ => return Zone::of(Some(std::str::from_utf8(text).ok()?)),
    };
    let (hours, minutes) = match digits {
        [a, b, c, d] if digits.is_ascii() && *b != b':' && *c != b':' => {
            (number(&[*a, *b], 2, 2)?.0, number(&[*c, *d], 2, 2)?.0)
        }
        _ => match number(digits, 1, 2)? {
            (hours, []) => (hours, 0),
            (hours, [b':', rest @ ..]) => match number(rest, 1, 2)? {
                (minutes, [] | [b':', b'0', b'0']) => (hours, minutes),
                _ => return None,
            },
            _ => return None,
        },
    };
    if minutes > 59 || hours * 60 + minutes > 18 * 60 {
        return None;
    }
    Zone::of(Some(&format!("{sign}{hours:02}:{minutes:02}")))
}
