//! The columns of NDJSON files, from as many of their lines as wanted. A field with values of several types is a choice of them.

use super::guess::{each_line, tame};
use crate::request::Request;
use selvedge_node::{Fields, Problems, Spanned, Type};
use selvedge_schemas::{Extent, FoundColumn};
use serde_json::Value;
use std::collections::HashMap;

/// Beyond, a float does not know a whole number from its neighbours.
const EXACT: u64 = 1 << 53;
/// What is read of a file for a sample, whatever the length of its lines.
const BYTES: usize = 32 << 20;

/// All that the values of a field were.
#[derive(Debug, Default)]
struct Shape {
    /// Values that were not null.
    values: u64,
    boolean: bool,
    whole: bool,
    /// A whole number that a float would change.
    long: bool,
    number: bool,
    text: bool,
    list: Option<Box<Shape>>,
    object: Option<Object>,
}

#[derive(Debug, Default)]
struct Object {
    fields: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
}

impl Shape {
    fn see(&mut self, value: &Value) {
        self.values += u64::from(!value.is_null());
        match value {
            Value::Null => {}
            Value::Bool(_) => self.boolean = true,
            Value::Number(n) => match n.as_i64() {
                Some(n) => {
                    self.whole = true;
                    self.long |= n.unsigned_abs() > EXACT;
                }
                // A long identifier; as a float it would lose its last digits.
                None if n.is_u64() => self.text = true,
                None => self.number = true,
            },
            Value::String(_) => self.text = true,
            Value::Array(items) => {
                let list = self.list.get_or_insert_default();
                items.iter().for_each(|item| list.see(item));
            }
            Value::Object(fields) => self.object.get_or_insert_default().see(fields),
        }
    }

    /// `None`: only objects without a field.
    fn ty(&self) -> Option<Type> {
        let mut types = vec![];
        if self.boolean {
            types.push(Type::Boolean);
        }
        // A fraction and whole numbers are all floats, unless one of them would come to harm.
        if self.whole && (!self.number || self.long) {
            types.push(Type::Int64);
        }
        if self.number {
            types.push(Type::Float64);
        }
        if self.text {
            types.push(Type::Utf8);
        }
        if let Some(item) = &self.list {
            types.extend(item.ty().map(|item| Type::List(Box::new(item))));
        }
        if let Some(object) = &self.object {
            let fields: Vec<_> = object
                .fields
                .iter()
                .filter_map(|(name, shape)| Some((plain(name.clone()), plain(shape.ty()?))))
                .collect();
            types.extend((!fields.is_empty()).then_some(Type::Struct(Fields(fields))));
        }
        match types.len() {
            0 if self.list.is_some() || self.object.is_some() => None,
            0 => Some(Type::Utf8),
            1 => types.pop(),
            _ => Some(Type::Choice(types)),
        }
    }
}

fn plain<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Default::default())
}

impl Object {
    fn see(&mut self, fields: &serde_json::Map<String, Value>) {
        for (name, value) in fields {
            let at = *self.places.entry(name.clone()).or_insert_with(|| {
                self.fields.push((name.clone(), Shape::default()));
                self.fields.len() - 1
            });
            self.fields[at].1.see(value);
        }
    }
}

/// What the files have, and what is to be told.
pub fn crawl(request: &Request, extent: Extent) -> Result<(Vec<FoundColumn>, Vec<String>), Problems> {
    let (mut all, mut objects, mut bad) = (Object::default(), 0, 0);
    let bytes = if extent == Extent::Full { usize::MAX } else { BYTES };
    for file in request.files {
        let mut look = |line: &[u8]| match serde_json::from_slice(&tame(line)) {
            Ok(Value::Object(fields)) => {
                objects += 1;
                all.see(&fields);
            }
            _ => bad += u64::from(!line.trim_ascii().is_empty()),
        };
        each_line(request, file, extent.rows(), bytes, &mut look).map_err(|e| request.problem(e))?;
    }
    let mut notes = vec![];
    if bad > 0 {
        notes.push(format!("{bad} lines are no JSON objects"));
    }
    let mut columns = vec![];
    for (name, shape) in &all.fields {
        match shape.ty() {
            Some(ty) => {
                let nullable = extent != Extent::Full || shape.values < objects;
                columns.push(FoundColumn { name: name.clone(), ty, nullable });
            }
            None => notes.push(format!("`{name}` is left out: its objects have no fields")),
        }
    }
    Ok((columns, notes))
}
