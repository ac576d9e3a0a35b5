//! Dates and times by format: a pattern is compiled once, then walks over the bytes of each value.

use arrow::array::types::{Date32Type, TimestampMicrosecondType};
use arrow::array::{ArrayRef, PrimitiveArray, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use selvedge_cast::civil;
use std::sync::Arc;

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    /// A number in a field, of at least and at most so many digits.
    Number(Part, usize, usize),
    /// Digits of a fraction of a second.
    Fraction,
    /// A month's English name, short or long.
    MonthName,
    /// A weekday's English name; must be one, says nothing.
    DayName,
    HalfDay,
    /// `Z`, `+02:00`, `+0200`, `+02`.
    Offset,
    /// `UTC`, `GMT` or `Z`.
    Utc,
    Text(u8),
    /// Any blanks, or none.
    Blanks,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Year,
    /// Two digits: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068 (POSIX).
    ShortYear,
    Month,
    Day,
    DayOfYear,
    Hour,
    Hour12,
    Minute,
    Second,
}

/// A compiled format.
#[derive(Debug, Clone)]
struct Pattern {
    items: Vec<Item>,
}

/// Formats to be tried in turn.
#[derive(Debug, Clone)]
pub(crate) struct DateParser {
    patterns: Vec<Pattern>,
}

impl DateParser {
    /// Compiles the formats, or says what is wrong with one.
    pub fn new(formats: &[String]) -> Result<DateParser, String> {
        if formats.is_empty() {
            return Err("a list of formats needs at least one".into());
        }
        let patterns = formats.iter().map(|f| Pattern::new(f)).collect::<Result<_, _>>()?;
        Ok(DateParser { patterns })
    }

    /// Days since 1970, null where no format fits.
    pub fn dates(&self, text: &StringArray) -> ArrayRef {
        let days = text.iter().map(|t| i32::try_from(self.read(t?)?.wall.div_euclid(86_400)).ok());
        Arc::new(days.collect::<PrimitiveArray<Date32Type>>())
    }

    /// Microseconds: instants in UTC where some format has an offset (what has none is taken for UTC), else wall clocks.
    pub fn times(&self, text: &StringArray) -> ArrayRef {
        let zone = self.patterns.iter().any(|p| p.items.iter().any(|i| matches!(i, Item::Offset | Item::Utc)));
        let micros = text.iter().map(|t| {
            let read = self.read(t?)?;
            (read.wall - read.offset).checked_mul(1_000_000)?.checked_add(i64::from(read.nanos / 1000))
        });
        let micros: PrimitiveArray<TimestampMicrosecondType> = micros.collect();
        Arc::new(micros.with_data_type(DataType::Timestamp(TimeUnit::Microsecond, zone.then(|| "UTC".into()))))
    }

    fn read(&self, text: &str) -> Option<Read> {
        let text = text.trim_ascii().as_bytes();
        self.patterns.iter().find_map(|p| p.read(text))
    }
}

/// A value as read.
struct Read {
    /// The wall clock in seconds since 1970.
    wall: i64,
    nanos: u32,
    /// Seconds that the wall clock is ahead of UTC.
    offset: i64,
}

impl Pattern {
    fn new(format: &str) -> Result<Pattern, String> {
        let items = if format.contains('%') { strftime(format)? } else { java(format)? };
        let has = |wanted: &[Part]| items.iter().any(|i| matches!(i, Item::Number(p, ..) if wanted.contains(p)));
        if !has(&[Part::Year, Part::ShortYear]) {
            return Err(format!("format `{format}` has no year"));
        }
        let half = items.contains(&Item::HalfDay);
        if has(&[Part::Hour12]) != half {
            return Err(format!("format `{format}` needs an hour of 12 and AM or PM together"));
        }
        Ok(Pattern { items })
    }

    fn read(&self, mut text: &[u8]) -> Option<Read> {
        let (mut year, mut month, mut day, mut of_year) = (0i64, 1u32, 1u32, None);
        let (mut hour, mut minute, mut second, mut nanos, mut offset) = (0i64, 0i64, 0i64, 0u32, 0i64);
        let (mut afternoon, mut twelve) = (false, None);
        for item in &self.items {
            match item {
                Item::Text(b) => match text {
                    [first, rest @ ..] if first == b => text = rest,
                    _ => return None,
                },
                Item::Blanks => text = text.trim_ascii_start(),
                Item::Number(part, least, most) => {
                    let (value, rest) = number(text, *least, *most)?;
                    text = rest;
                    let small = value as u32;
                    match part {
                        Part::Year => year = value,
                        Part::ShortYear => year = if value < 69 { 2000 + value } else { 1900 + value },
                        Part::Month => month = small,
                        Part::Day => day = small,
                        Part::DayOfYear => of_year = Some(value),
                        Part::Hour => hour = value,
                        Part::Hour12 => twelve = Some(value),
                        Part::Minute => minute = value,
                        Part::Second => second = value,
                    }
                }
                Item::Fraction => {
                    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
                    if digits == 0 {
                        return None;
                    }
                    let (fraction, rest) = text.split_at(digits);
                    let padded = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
                    nanos = padded.fold(0, |n, b| n * 10 + u32::from(b - b'0'));
                    text = rest;
                }
                Item::MonthName => {
                    let (index, rest) = name(text, &MONTHS)?;
                    month = index as u32 + 1;
                    text = rest;
                }
                Item::DayName => text = name(text, &DAYS)?.1,
                Item::HalfDay => match text {
                    [a, b'm' | b'M', rest @ ..] if matches!(a, b'a' | b'A' | b'p' | b'P') => {
                        afternoon = matches!(a, b'p' | b'P');
                        text = rest;
                    }
                    _ => return None,
                },
                Item::Offset => (offset, text) = read_offset(text)?,
                Item::Utc => {
                    let word = [&b"UTC"[..], b"GMT", b"Z"].into_iter().find(|w| text.starts_with(w))?;
                    text = &text[word.len()..];
                }
            }
        }
        if let Some(h) = twelve {
            if !(1..=12).contains(&h) {
                return None;
            }
            hour = h % 12 + if afternoon { 12 } else { 0 };
        }
        if !text.is_empty() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = match of_year {
            Some(n) if (1..=365 + i64::from(civil::days_in_month(year, 2) == 29)).contains(&n) => {
                civil::days(year, 1, 1)? + n - 1
            }
            Some(_) => return None,
            None => civil::days(year, month, day)?,
        };
        Some(Read { wall: days * 86_400 + hour * 3600 + minute * 60 + second, nanos, offset })
    }
}

fn number(text: &[u8], least: usize, most: usize) -> Option<(i64, &[u8])> {
    let count = text.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    (count >= least).then(|| (digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')), rest))
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A name in full, or its first three letters, in any case, with a point after it or not.
fn name<'a>(text: &'a [u8], names: &[&str]) -> Option<(usize, &'a [u8])> {
    let letters = text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let (word, rest) = text.split_at(letters);
    let index = names.iter().position(|n| {
        let short = &n.as_bytes()[..3];
        word.eq_ignore_ascii_case(n.as_bytes())
            || word.eq_ignore_ascii_case(short)
            || (*n == "september" && word.eq_ignore_ascii_case(b"sept"))
    })?;
    Some((index, rest.strip_prefix(b".").unwrap_or(rest)))
}

fn read_offset(text: &[u8]) -> Option<(i64, &[u8])> {
    let (sign, rest) = match text {
        [b'Z' | b'z', rest @ ..] => return Some((0, rest)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = number(rest, 2, 2)?;
    let after = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = number(after, 2, 2).unwrap_or((0, rest));
    (hours <= 18 && minutes <= 59).then_some((sign * (hours * 3600 + minutes * 60), rest))
}

fn strftime(format: &str) -> Result<Vec<Item>, String> {
    let mut items = vec![];
    let mut rest = format.bytes();
    while let Some(b) = rest.next() {
        if b != b'%' {
            items.push(if b.is_ascii_whitespace() { Item::Blanks } else { Item::Text(b) });
            continue;
        }
        let mut code = rest.next();
        // `%-d`, `%_d`: without padding; reading does not care.
        if matches!(code, Some(b'-' | b'_')) {
            code = rest.next();
        }
        let two = |part| Item::Number(part, 1, 2);
        match code {
            Some(b'Y') => items.push(Item::Number(Part::Year, 4, 4)),
            Some(b'y') => items.push(Item::Number(Part::ShortYear, 2, 2)),
            Some(b'm') => items.push(two(Part::Month)),
            Some(b'd') => items.push(two(Part::Day)),
            Some(b'e') => items.extend([Item::Blanks, two(Part::Day)]),
            Some(b'j') => items.push(Item::Number(Part::DayOfYear, 1, 3)),
            Some(b'b' | b'B' | b'h') => items.push(Item::MonthName),
            Some(b'a' | b'A') => items.push(Item::DayName),
            Some(b'H' | b'k') => items.push(two(Part::Hour)),
            Some(b'I' | b'l') => items.push(two(Part::Hour12)),
            Some(b'M') => items.push(two(Part::Minute)),
            Some(b'S') => items.push(two(Part::Second)),
            Some(b'f') => items.push(Item::Fraction),
            Some(b'p' | b'P') => items.push(Item::HalfDay),
            Some(b'z') => items.push(Item::Offset),
            Some(b'Z') => items.push(Item::Utc),
            Some(b'T') => items.extend(strftime("%H:%M:%S")?),
            Some(b'D') => items.extend(strftime("%m/%d/%y")?),
            Some(b'F') => items.extend(strftime("%Y-%m-%d")?),
            Some(b'R') => items.extend(strftime("%H:%M")?),
            Some(b'%') => items.push(Item::Text(b'%')),
            Some(other) => return Err(format!("format `{format}`: `%{}` is not known", char::from(other))),
            None => return Err(format!("format `{format}` ends in `%`")),
        }
    }
    Ok(items)
}

/// Patterns of Java's `DateTimeFormatter`, which Spark takes too.
fn java(format: &str) -> Result<Vec<Item>, String> {
    let bytes = format.as_bytes();
    let mut items = vec![];
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let run = bytes[at..].iter().take_while(|c| **c == b).count();
        let two = |part| if run == 1 { Item::Number(part, 1, 2) } else { Item::Number(part, 2, 2) };
        let mut used = run;
        match (b, run) {
            (b'y' | b'u', 2) => items.push(Item::Number(Part::ShortYear, 2, 2)),
            (b'y' | b'u', 1 | 4) => items.push(Item::Number(Part::Year, 4, 4)),
            (b'M' | b'L', 1 | 2) => items.push(two(Part::Month)),
            (b'M' | b'L', 3 | 4) => items.push(Item::MonthName),
            (b'd', 1 | 2) => items.push(two(Part::Day)),
            (b'D', 1..=3) => items.push(Item::Number(Part::DayOfYear, run, 3)),
            (b'E', 1..=4) => items.push(Item::DayName),
            (b'H', 1 | 2) => items.push(two(Part::Hour)),
            (b'h', 1 | 2) => items.push(two(Part::Hour12)),
            (b'm', 1 | 2) => items.push(two(Part::Minute)),
            (b's', 1 | 2) => items.push(two(Part::Second)),
            (b'S', 1..=9) => items.push(Item::Fraction),
            (b'a', 1) => items.push(Item::HalfDay),
            (b'X' | b'x' | b'Z', 1..=3) => items.push(Item::Offset),
            (b'z', 1..=3) => items.push(Item::Utc),
            (b'\'', _) => {
                let Some(end) = bytes[at + 1..].iter().position(|c| *c == b'\'') else {
                    return Err(format!("format `{format}`: a quote is not closed"));
                };
                let quoted = if end == 0 { &b"'"[..] } else { &bytes[at + 1..at + 1 + end] };
                items.extend(quoted.iter().map(|c| Item::Text(*c)));
                used = end + 2;
            }
            (b' ', _) => items.push(Item::Blanks),
            (c, _) if c.is_ascii_alphabetic() => {
                return Err(format!("format `{format}`: `{}` is not known", &format[at..at + run]));
            }
            (c, _) => items.extend(std::iter::repeat_n(Item::Text(c), run)),
        }
        at += used;
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use proptest::prelude::*;

    fn read(formats: &[&str], text: &str) -> String {
        let parser = DateParser::new(&formats.iter().map(|f| f.to_string()).collect::<Vec<_>>()).unwrap();
        let column = parser.times(&StringArray::from(vec![text]));
        if column.is_null(0) { "null".into() } else { arrow::util::display::array_value_to_string(&column, 0).unwrap() }
    }

    #[test]
    fn formats_of_both_worlds() {
        for (format, text, expected) in [
            ("%d/%m/%Y", "15/01/2024", "2024-01-15T00:00:00"),
            ("%d/%m/%Y", "5/1/2024", "2024-01-05T00:00:00"),
            ("%d/%m/%Y", " 15/01/2024 ", "2024-01-15T00:00:00"),
            ("%d/%m/%Y", "15/13/2024", "null"),
            ("%d/%m/%Y", "15/01/2024x", "null"),
            ("%Y%m%d", "20240229", "2024-02-29T00:00:00"),
            ("%Y%m%d", "20230229", "null"),
            ("%m/%d/%y", "01/15/69", "1969-01-15T00:00:00"),
            ("%m/%d/%y", "01/15/68", "2068-01-15T00:00:00"),
            ("%b %e, %Y", "Jan  5, 2024", "2024-01-05T00:00:00"),
            ("%A, %d %B %Y", "Monday, 15 JANUARY 2024", "2024-01-15T00:00:00"),
            ("%Y-%j", "2024-366", "2024-12-31T00:00:00"),
            ("%Y-%j", "2023-366", "null"),
            ("%I:%M %p %F", "12:05 AM 2024-01-02", "2024-01-02T00:05:00"),
            ("%I:%M %p %F", "1:05pm 2024-01-02", "2024-01-02T13:05:00"),
            ("%I:%M %p %F", "13:05 pm 2024-01-02", "null"),
            ("%F %T.%f", "2024-01-02 03:04:05.25", "2024-01-02T03:04:05.250"),
            ("%FT%T%z", "2024-01-02T03:04:05+02:00", "2024-01-02T01:04:05Z"),
            ("%FT%T%z", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
            ("dd/MM/yyyy", "15/01/2024", "2024-01-15T00:00:00"),
            ("dd/MM/yyyy", "5/01/2024", "null"),
            ("d.M.yy", "5.1.24", "2024-01-05T00:00:00"),
            ("dd-MMM-yyyy", "05-Feb-2024", "2024-02-05T00:00:00"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-01-02T03:04:05.123-01:00", "2024-01-02T04:04:05.123Z"),
            ("yyyyMMddHHmmss", "20240102030405", "2024-01-02T03:04:05"),
            ("h:mm a, M/d/yyyy", "9:30 AM, 3/4/2024", "2024-03-04T09:30:00"),
        ] {
            assert_eq!(read(&[format], text), expected, "{text} by {format}");
        }
    }

    #[test]
    fn the_first_format_that_fits_counts() {
        assert_eq!(read(&["%d/%m/%Y", "%m/%d/%Y"], "03/04/2024"), "2024-04-03T00:00:00");
        assert_eq!(read(&["%d/%m/%Y", "%m/%d/%Y"], "03/14/2024"), "2024-03-14T00:00:00");
    }

    #[test]
    fn formats_that_cannot_be() {
        for (format, expected) in [
            ("%d/%m", "format `%d/%m` has no year"),
            ("%Q %Y", "format `%Q %Y`: `%Q` is not known"),
            ("%Y%", "format `%Y%` ends in `%`"),
            ("yyyy-QQ", "format `yyyy-QQ`: `QQ` is not known"),
            ("yyyy 'x", "format `yyyy 'x`: a quote is not closed"),
            ("%I %Y", "format `%I %Y` needs an hour of 12 and AM or PM together"),
        ] {
            assert_eq!(DateParser::new(&[format.to_string()]).unwrap_err(), expected);
        }
        assert!(DateParser::new(&[]).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(format in "[%a-zA-Z '/:é-]{0,12}", text in "[0-9a-zA-Z '/:é+-]{0,24}") {
            for format in [format.clone(), format!("%Y{format}")] {
                if let Ok(parser) = DateParser::new(&[format]) {
                    parser.times(&StringArray::from(vec![text.as_str()]));
                }
            }
        }
    }
}
