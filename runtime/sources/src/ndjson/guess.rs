//! The columns of NDJSON files from their first lines, in the order in which the fields appear.

use super::Options;
use crate::compression::Input;
use crate::lake::Found;
use crate::request::Request;
use crate::typed::shorten;
use arrow::datatypes::{DataType, Field};
use selvedge_node::{Error, Result};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// Files that are looked at, spread evenly.
const FILES: usize = 100;
/// No more than this of each file.
const BYTES: usize = 32 << 20;
/// Lines are held whole, and a file may have none.
const LONGEST: usize = 64 << 20;

/// What all values of a field seen so far are.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Nothing,
    Boolean,
    Whole,
    Number,
    Text,
    List(Box<Shape>),
    Object(Vec<(String, Shape)>),
    /// Values of kinds that no one type has: one, and the other.
    Mixed(&'static str, &'static str),
}

impl Shape {
    fn of(value: &Value) -> Shape {
        match value {
            Value::Null => Shape::Nothing,
            Value::Bool(_) => Shape::Boolean,
            Value::Number(n) if n.is_i64() => Shape::Whole,
            // A long identifier; as a float it would lose its last digits.
            Value::Number(n) if n.is_u64() => Shape::Text,
            Value::Number(_) => Shape::Number,
            Value::String(_) => Shape::Text,
            Value::Array(items) => {
                Shape::List(Box::new(items.iter().fold(Shape::Nothing, |shape, item| shape.and(Shape::of(item)))))
            }
            Value::Object(fields) => {
                Shape::Object(fields.iter().map(|(name, v)| (name.clone(), Shape::of(v))).collect())
            }
        }
    }

    fn and(self, other: Shape) -> Shape {
        use Shape::*;
        match (self, other) {
            (Nothing, x) | (x, Nothing) => x,
            (x @ Mixed(..), _) | (_, x @ Mixed(..)) => x,
            (Whole, Number) | (Number, Whole) => Number,
            (List(a), List(b)) => List(Box::new(a.and(*b))),
            (Object(mut fields), Object(others)) => {
                // Most lines have the same fields in the same order; a wide one must not be searched for each of its own.
                let mut places: Option<HashMap<String, usize>> = None;
                for (i, (name, shape)) in others.into_iter().enumerate() {
                    let at = match fields.get(i) {
                        Some((known, _)) if *known == name => Some(i),
                        _ => {
                            let all = || fields.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
                            places.get_or_insert_with(all).get(&name).copied()
                        }
                    };
                    match at {
                        Some(at) => {
                            let known = &mut fields[at].1;
                            *known = std::mem::replace(known, Nothing).and(shape);
                        }
                        // Names in an object are unique, so the new one need not be found again.
                        None => fields.push((name, shape)),
                    }
                }
                Object(fields)
            }
            (a, b) if a == b => a,
            (a @ (List(_) | Object(_)), b) | (a, b @ (List(_) | Object(_))) => Mixed(a.word(), b.word()),
            // Scalars of several kinds have their text in common.
            _ => Text,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Shape::List(_) => "a list",
            Shape::Object(_) => "an object",
            _ => "a single value",
        }
    }

    /// The type; `None`: an object that never has a field.
    fn ty(&self, path: &str) -> std::result::Result<Option<DataType>, String> {
        Ok(Some(match self {
            Shape::Nothing | Shape::Text => DataType::Utf8,
            Shape::Boolean => DataType::Boolean,
            Shape::Whole => DataType::Int64,
            Shape::Number => DataType::Float64,
            Shape::List(item) => match item.ty(&format!("{path}[]"))? {
                Some(item) => DataType::new_list(item, true),
                None => return Ok(None),
            },
            Shape::Object(fields) => {
                let mut typed = vec![];
                for (name, shape) in fields {
                    if let Some(ty) = shape.ty(&format!("{path}.{name}"))? {
                        typed.push(Field::new(name, ty, true));
                    }
                }
                if typed.is_empty() {
                    return Ok(None);
                }
                DataType::Struct(typed.into())
            }
            Shape::Mixed(one, other) => {
                return Err(format!("the field `{path}` is {one} in some lines and {other} in others"));
            }
        }))
    }
}

/// What the first lines of the files have.
#[derive(Default)]
pub struct Sample {
    fields: Vec<(String, Shape)>,
    /// Objects among the lines.
    objects: usize,
    /// The first line that is no object, and its file.
    other: Option<(String, Vec<u8>)>,
}

impl Sample {
    /// Names of all fields, in order of appearance.
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Names and types of the columns; the error says which field has no one type.
    pub fn columns(&self) -> std::result::Result<Vec<(String, DataType)>, String> {
        let mut columns = vec![];
        for (name, shape) in &self.fields {
            if let Some(ty) = shape.ty(name)? {
                columns.push((name.clone(), ty));
            }
        }
        Ok(columns)
    }

    /// Why there are no columns; `None`: the files are empty.
    pub fn nothing(&self) -> Option<(String, &'static str)> {
        const DECLARE: &str = "declare them: schema: { \"name\": Utf8, … }";
        if self.objects > 0 {
            return Some(("no object of the sample has a field with a value".into(), DECLARE));
        }
        let (file, line) = self.other.as_ref()?;
        let help = match line.trim_ascii_start().first() {
            _ if line.contains(&b'\r') && line.trim_ascii_end().contains(&b'\r') => {
                "lines must end in LF or CRLF: convert the file: tr '\\r' '\\n'"
            }
            Some(b'[') => "if it is one JSON list, make a line of each of its items: jq -c '.[]'",
            Some(b'{') => "if its objects go over several lines, or share one, part them: jq -c .",
            _ => "NDJSON has one JSON object on each line: is the format another one?",
        };
        let line = String::from_utf8_lossy(line);
        Some((format!("no line of {file} is a JSON object, such as `{}`", shorten(&line, 80)), help))
    }
}

/// Looks at the first lines. Lines that are no JSON object are passed over: the run will reject them.
pub fn sample(request: &Request, options: &Options) -> Result<Sample> {
    let mut sample = Sample::default();
    let mut all = Shape::Nothing;
    let step = request.files.len().div_ceil(FILES).max(1);
    for file in request.files.iter().step_by(step) {
        for line in lines(request, file, options)? {
            match serde_json::from_slice(&tame(&line)) {
                Ok(value @ Value::Object(_)) => {
                    sample.objects += 1;
                    all = all.and(Shape::of(&value));
                }
                _ if sample.other.is_none() && !line.trim_ascii().is_empty() => {
                    sample.other = Some((file.name.clone(), line));
                }
                _ => {}
            }
        }
    }
    if let Shape::Object(fields) = all {
        sample.fields = fields;
    }
    Ok(sample)
}

/// A line with stand-ins for numbers that serde cannot hold, or not as they are: `1e999` is a number like any other, and a
/// whole number of more digits than an Int64 has is text, so that none of them gets lost.
pub(super) fn tame(line: &[u8]) -> Cow<'_, [u8]> {
    let mut tamed: Option<Vec<u8>> = None;
    let (mut at, mut copied) = (0, 0);
    let mut quoted = false;
    while at < line.len() {
        match line[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'-' | b'0'..=b'9' if !quoted => {
                let number = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+');
                let end = line[at..].iter().position(|b| !number(b)).map_or(line.len(), |n| at + n);
                let stand_in: Option<&[u8]> = match std::str::from_utf8(&line[at..end]) {
                    Ok(text) if text.len() > 18 && !text.contains(['.', 'e', 'E']) && text.parse::<i64>().is_err() => {
                        Some(b"\"\"")
                    }
                    Ok(text) if text.parse::<f64>().is_ok_and(f64::is_infinite) => Some(b"0.5"),
                    _ => None,
                };
                if let Some(stand_in) = stand_in {
                    let tamed = tamed.get_or_insert_default();
                    tamed.extend_from_slice(&line[copied..at]);
                    tamed.extend_from_slice(stand_in);
                    copied = end;
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    match tamed {
        None => Cow::Borrowed(line),
        Some(mut tamed) => {
            tamed.extend_from_slice(&line[copied..]);
            Cow::Owned(tamed)
        }
    }
}

fn lines(request: &Request, file: &Found, options: &Options) -> Result<Vec<Vec<u8>>> {
    let mut lines = vec![];
    each_line(request, file, options.sample as u64, BYTES, &mut |line| lines.push(line.to_vec()))?;
    Ok(lines)
}

/// Shows the first lines of a file, no more than about so many bytes of it.
pub(super) fn each_line(
    request: &Request,
    file: &Found,
    most: u64,
    bytes: usize,
    look: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    const BLOCK: usize = 64 << 10;
    let mut input = Input::whole(file, request.compression)?;
    let mut text: Vec<u8> = vec![];
    let (mut shown, mut read_in_all, mut searched) = (0, 0, 0);
    let mut ended = false;
    while !ended && shown < most && read_in_all < bytes {
        let filled = text.len();
        text.resize(filled + BLOCK, 0);
        let read = match input.read(&mut text[filled..]) {
            Ok(n) => n,
            Err(e) if read_in_all == 0 => return Err(e),
            // The run will meet the damage again.
            Err(_) => 0,
        };
        text.truncate(filled + read);
        ended = read == 0;
        if read_in_all == 0 && text.starts_with(super::BOM) {
            text.drain(..super::BOM.len());
            searched = 0;
        }
        read_in_all += read;
        let mut from = 0;
        while let Some(feed) = memchr::memchr(b'\n', &text[searched..]) {
            let feed = searched + feed;
            searched = feed + 1;
            if shown < most {
                look(&text[from..feed]);
                shown += 1;
            }
            from = feed + 1;
        }
        text.drain(..from);
        searched = text.len();
        if text.len() > LONGEST {
            let what = format!("{} has a line of more than {LONGEST} bytes", file.name);
            return Err(Error::data(what).help("NDJSON has one JSON object on each line: is the format another one?"));
        }
    }
    if ended && shown < most {
        look(&text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_too_large_get_stand_ins() {
        let tamed = |line: &str| String::from_utf8(tame(line.as_bytes()).into_owned()).unwrap();
        assert_eq!(tamed(r#"{"a":1e999,"b":[-1e999,2]}"#), r#"{"a":0.5,"b":[0.5,2]}"#);
        assert_eq!(
            tamed(r#"{"id":123456789012345678901,"n":9223372036854775807}"#),
            r#"{"id":"","n":9223372036854775807}"#
        );
        let same = r#"{"t":"1e999 \" 99999999999999999999","1e999":0.1234567890123456789,"n":-12}"#;
        assert!(matches!(tame(same.as_bytes()), Cow::Borrowed(_)));
    }
}
