//! The columns of NDJSON files from their first lines, in the order in which the fields appear.

use super::Options;
use crate::compression::Input;
use crate::paths::Found;
use crate::request::Request;
use arrow::datatypes::{DataType, Field};
use selvedge_node::Result;
use serde_json::Value;

/// Files that are looked at, spread evenly.
const FILES: usize = 100;
/// No more than this of each file.
const BYTES: usize = 32 << 20;

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
                for (name, shape) in others {
                    match fields.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = std::mem::replace(known, Nothing).and(shape),
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
pub struct Sample(Vec<(String, Shape)>);

impl Sample {
    /// Names of all fields, in order of appearance.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Names and types of the columns; the error says which field has no one type.
    pub fn columns(&self) -> std::result::Result<Vec<(String, DataType)>, String> {
        let mut columns = vec![];
        for (name, shape) in &self.0 {
            if let Some(ty) = shape.ty(name)? {
                columns.push((name.clone(), ty));
            }
        }
        Ok(columns)
    }
}

/// Looks at the first lines. Lines that are no JSON object are passed over: the run will reject them.
pub fn sample(request: &Request, options: &Options) -> Result<Sample> {
    let mut all = Shape::Nothing;
    let step = request.files.len().div_ceil(FILES).max(1);
    for file in request.files.iter().step_by(step) {
        for line in lines(request, file, options)? {
            if let Ok(value @ Value::Object(_)) = serde_json::from_slice(&line) {
                all = all.and(Shape::of(&value));
            }
        }
    }
    Ok(Sample(match all {
        Shape::Object(fields) => fields,
        _ => vec![],
    }))
}

fn lines(request: &Request, file: &Found, options: &Options) -> Result<Vec<Vec<u8>>> {
    const BLOCK: usize = 64 << 10;
    let mut input = Input::whole(&file.path, &file.name, request.compression)?;
    let mut lines = vec![];
    let mut text: Vec<u8> = vec![];
    let mut read_in_all = 0;
    let mut ended = false;
    while !ended && lines.len() < options.sample && read_in_all < BYTES {
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
        }
        read_in_all += read;
        let mut from = 0;
        for feed in memchr::memchr_iter(b'\n', &text) {
            lines.push(text[from..feed].to_vec());
            from = feed + 1;
        }
        text.drain(..from);
    }
    if ended {
        lines.push(text);
    }
    lines.truncate(options.sample);
    Ok(lines)
}
