//! Types guessed from the first rows of CSV files, for `infer: true`. Careful: what is not plainly a number, a date or a
//! boolean stays text, and so do numbers with leading zeros, which are codes.

use super::Options;
use super::head::{self, Head};
use crate::request::Request;
use crate::typed::Reading;
use arrow::array::{Array, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use selvedge_node::Problems;
use std::collections::HashMap;

/// Rows of a file, and files, that are looked at.
const ROWS: usize = 1000;
const FILES: usize = 100;

/// A guessed type, and how text of that kind is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    pub ty: DataType,
    pub reading: Reading,
}

impl Guess {
    pub fn text() -> Guess {
        Guess { ty: DataType::Utf8, reading: Reading::AsIs }
    }
}

/// What all values of a column seen so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Nothing,
    Whole,
    Number,
    Boolean,
    Date,
    Timestamp,
    Text,
}

impl Shape {
    pub(super) fn and(self, other: Shape) -> Shape {
        use Shape::*;
        match (self, other) {
            (Nothing, x) | (x, Nothing) => x,
            (a, b) if a == b => a,
            (Whole, Number) | (Number, Whole) => Number,
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            _ => Text,
        }
    }

    pub(super) fn of(text: &str) -> Shape {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let code = digits.len() > 1 && digits.starts_with('0') && !digits[1..].starts_with('.');
        let bytes = text.as_bytes();
        if text.is_empty() {
            Shape::Nothing
        } else if code {
            Shape::Text
        } else if !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit()) {
            Shape::Whole
        } else if digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+'))
            && digits.starts_with(|c: char| c.is_ascii_digit())
            && text.parse::<f64>().is_ok_and(f64::is_finite)
            && !digits.bytes().all(|b| b.is_ascii_digit())
        {
            Shape::Number
        } else if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            Shape::Boolean
        } else if bytes.len() >= 10 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[..4].iter().all(u8::is_ascii_digit)
        {
            let (shape, to) = match bytes.get(10) {
                None => (Shape::Date, DataType::Date32),
                Some(b' ' | b'T') => (Shape::Timestamp, timestamp()),
                Some(_) => return Shape::Text,
            };
            let read = selvedge_cast::from_text(&StringArray::from(vec![text]), &to);
            if read.is_ok_and(|cast| cast.values.null_count() == 0) { shape } else { Shape::Text }
        } else {
            Shape::Text
        }
    }

    pub(super) fn guess(self) -> Guess {
        let (ty, reading) = match self {
            Shape::Nothing | Shape::Text => return Guess::text(),
            Shape::Whole => (DataType::Int64, Reading::Whole),
            Shape::Number => (DataType::Float64, Reading::Cast(DataType::Float64)),
            Shape::Boolean => (DataType::Boolean, Reading::Cast(DataType::Boolean)),
            Shape::Date => (DataType::Date32, Reading::Cast(DataType::Date32)),
            Shape::Timestamp => (timestamp(), Reading::Cast(timestamp())),
        };
        Guess { ty, reading }
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Guesses the types of the columns `names` from the first rows of the files.
pub fn types(
    request: &Request,
    options: &Options,
    heads: &[Option<Head>],
    names: &[String],
) -> Result<Vec<Guess>, Problems> {
    let mut shapes = vec![Shape::Nothing; names.len()];
    let step = request.files.len().div_ceil(FILES).max(1);
    for (file, head) in request.files.iter().zip(heads).step_by(step) {
        let Some(head) = head else { continue };
        let there: HashMap<&str, usize> = head.names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        let places: Vec<Option<usize>> = names.iter().map(|name| there.get(name.as_str()).copied()).collect();
        let skip = usize::from(options.header);
        let rows = head::records(request, file, options, ROWS + skip).map_err(|e| request.problem(e))?;
        // A row of another width will be rejected; it must not spoil the guess.
        for row in rows.fields.iter().skip(skip).filter(|row| row.len() == head.names.len()) {
            for (shape, place) in shapes.iter_mut().zip(&places) {
                let Some(text) = place.and_then(|place| row.get(place)) else { continue };
                let found = match std::str::from_utf8(text) {
                    Ok(text) if options.nulls.iter().any(|null| null == text) => Shape::Nothing,
                    Ok(text) => Shape::of(text),
                    Err(_) => Shape::Text,
                };
                *shape = shape.and(found);
            }
        }
    }
    Ok(shapes.into_iter().map(Shape::guess).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_guessed_with_care() {
        use Shape::*;
        for (text, shape) in [
            ("", Nothing),
            ("12", Whole),
            ("-7", Whole),
            ("0", Whole),
            ("007", Text),
            ("-", Text),
            ("1234567890123456789012", Text),
            ("12.50", Number),
            ("0.5", Number),
            ("1e9", Number),
            ("1e999", Text),
            ("NaN", Text),
            ("true", Boolean),
            ("FALSE", Boolean),
            ("yes", Text),
            ("2024-03-01", Date),
            ("2024-02-30", Text),
            ("2024-03-01 10:00:00", Timestamp),
            ("2024-03-01T10:00:00Z", Timestamp),
            ("2024-03-01x", Text),
            (" 12", Text),
            ("äöüäöü-ö-", Text),
        ] {
            assert_eq!(Shape::of(text), shape, "{text}");
        }
        assert_eq!(Whole.and(Number), Number);
        assert_eq!(Whole.and(Date), Text);
        assert_eq!(Nothing.and(Whole), Whole);
        assert_eq!(Date.and(Timestamp), Timestamp);
    }
}
