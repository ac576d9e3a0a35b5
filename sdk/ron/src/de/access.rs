//! The parts of a value, handed to serde one by one: items, entries, and the inside of an enum's variant.

use super::De;
use super::error::{Error, Step, describe};
use crate::span::enclosed;
use crate::{Field, Span, Value, ValueKind};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Values in order.
pub(super) struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
}

impl<'a> Items<'a> {
    pub fn new(items: &'a [Value]) -> Self {
        Items { items: items.iter().enumerate() }
    }

    pub fn left(&self) -> usize {
        self.items.len()
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((i, value)) = self.items.next() else { return Ok(None) };
        descend(value, Step::Index(i), seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// Deserialises a part, so that its errors and its `Spanned` values know where they are.
fn descend<'de, T: DeserializeSeed<'de>>(value: &Value, step: Step, seed: T) -> Result<T::Value, Error> {
    enclosed(value.span, || seed.deserialize(De { value })).map_err(|e| e.at(value).within(step))
}

enum Key<'a> {
    Name(&'a str, Span),
    Value(&'a Value),
}

impl Key<'_> {
    fn step(&self) -> Step {
        match self {
            Key::Name(name, _) => Step::Field((*name).into()),
            Key::Value(key) => match key.as_str() {
                Some(name) => Step::Field(name.into()),
                None => Step::Field(key.to_string()),
            },
        }
    }
}

/// Keys and values: of a map, or of a struct's fields.
pub(super) struct Entries<'a> {
    entries: std::vec::IntoIter<(Key<'a>, &'a Value)>,
    current: Option<(Key<'a>, &'a Value)>,
}

impl<'a> Entries<'a> {
    fn new(entries: Vec<(Key<'a>, &'a Value)>) -> Self {
        Entries { entries: entries.into_iter(), current: None }
    }

    /// A struct's fields may come as a map, but then with strings for keys.
    pub fn check_names(&self) -> Result<(), Error> {
        for (key, _) in self.entries.as_slice() {
            if let Key::Value(key) = key
                && key.as_str().is_none()
            {
                return Err(Error::expected("a field's name in quotes", &describe(key)).at(key));
            }
        }
        Ok(())
    }
}

/// The entries of what can be read as a map or struct, `None` if it cannot. `names` are given to positional values.
pub(super) fn entries_of<'a>(value: &'a Value, names: Option<&[&'static str]>) -> Option<Result<Entries<'a>, Error>> {
    match &value.kind {
        ValueKind::Map(entries) => Some(Ok(Entries::new(entries.iter().map(|(k, v)| (Key::Value(k), v)).collect()))),
        ValueKind::Struct { fields, .. } => {
            let count = positional(fields);
            let mut entries = vec![];
            for (i, field) in fields.iter().enumerate() {
                let name = match names.and_then(|n| n.get(i)) {
                    Some(name) if i < count => *name,
                    _ if i < count => return Some(Err(misplaced(&field.value, i, names))),
                    _ => &field.name,
                };
                entries.push((Key::Name(name, field.name_span), &field.value));
            }
            Some(Ok(Entries::new(entries)))
        }
        ValueKind::Tuple { items, .. } if names.is_some() || items.is_empty() => {
            let mut entries = vec![];
            for (i, item) in items.iter().enumerate() {
                match names.and_then(|n| n.get(i)) {
                    Some(name) => entries.push((Key::Name(name, item.span), item)),
                    None => return Some(Err(misplaced(item, i, names))),
                }
            }
            Some(Ok(Entries::new(entries)))
        }
        ValueKind::Unit { name: None } => Some(Ok(Entries::new(vec![]))),
        _ => None,
    }
}

fn misplaced(value: &Value, index: usize, names: Option<&[&'static str]>) -> Error {
    match names {
        Some(names) => {
            Error::expected(&format!("at most {} values", names.len()), &format!("{} or more", index + 1)).at(value)
        }
        None => Error::expected("`name: value`", &describe(value)).at(value),
    }
}

/// How many positional values stand before the named ones.
fn positional(fields: &[Field]) -> usize {
    fields.iter().enumerate().take_while(|(i, f)| f.name == i.to_string()).count()
}

pub(super) fn is_mixed(fields: &[Field]) -> bool {
    positional(fields) > 0
}

/// `(x, y, a: 1)` as the tuple `(x, y, (a: 1))`, for types that hold their options as a last struct.
pub(super) fn folded(value: &Value, fields: &[Field]) -> Value {
    let (front, named) = fields.split_at(positional(fields));
    let mut items: Vec<Value> = front.iter().map(|f| f.value.clone()).collect();
    let start = named.first().map_or(value.span.end, |f| f.name_span.start);
    let end = named.last().map_or(value.span.end, |f| f.value.span.end);
    let span = Span { start, end, ..value.span };
    let name_span = Span { end: start, ..span };
    items.push(Value { span, kind: ValueKind::Struct { name: None, name_span, fields: named.to_vec() } });
    Value { span: value.span, kind: ValueKind::Tuple { name: None, name_span, items } }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.entries.next();
        let Some((key, _)) = &self.current else { return Ok(None) };
        match key {
            Key::Name(name, span) => {
                let value = Value { span: *span, kind: ValueKind::Str((*name).into()) };
                enclosed(*span, || seed.deserialize(De { value: &value })).map_err(|e| e.at_span(*span)).map(Some)
            }
            Key::Value(key) => {
                enclosed(key.span, || seed.deserialize(De { value: key })).map_err(|e| e.at(key)).map(Some)
            }
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        match self.current.take() {
            Some((key, value)) => descend(value, key.step(), seed),
            None => Err(serde::de::Error::custom("a value was asked for before its key")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// `Name(…)` for a type that takes anything: the map `{"Name": …}`.
pub(super) struct StructAsMap<'a> {
    name: Option<&'a str>,
    value: &'a Value,
}

impl<'a> StructAsMap<'a> {
    pub fn new(name: &'a str, value: &'a Value) -> Self {
        StructAsMap { name: Some(name), value }
    }
}

impl<'de> MapAccess<'de> for StructAsMap<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.name.take() else { return Ok(None) };
        let value = Value { span: self.value.span, kind: ValueKind::Str(name.into()) };
        seed.deserialize(De { value: &value }).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let inner = match &self.value.kind {
            ValueKind::Tuple { items, .. } if items.len() == 1 => return seed.deserialize(De { value: &items[0] }),
            ValueKind::Tuple { name_span, items, .. } => {
                ValueKind::Tuple { name: None, name_span: *name_span, items: items.clone() }
            }
            ValueKind::Struct { name_span, fields, .. } => {
                ValueKind::Struct { name: None, name_span: *name_span, fields: fields.clone() }
            }
            kind => kind.clone(),
        };
        seed.deserialize(De { value: &Value { span: self.value.span, kind: inner } })
    }
}

/// An enum's variant: its name, and the value that holds what is in its brackets.
pub(super) struct Variant<'a> {
    name: &'a str,
    name_span: Span,
    value: &'a Value,
    /// What `Some(x)` holds, for an enum that has a variant of that name.
    some: Option<&'a Value>,
}

impl<'a> Variant<'a> {
    /// `None` if the value cannot be a variant.
    pub fn of(value: &'a Value, variants: &[&str]) -> Option<Variant<'a>> {
        let variant = |name: &'a str, name_span| Variant { name, name_span, value, some: None };
        match &value.kind {
            ValueKind::Unit { name: Some(name) } => Some(variant(name, value.span)),
            ValueKind::Tuple { name: Some(name), name_span, .. }
            | ValueKind::Struct { name: Some(name), name_span, .. } => Some(variant(name, *name_span)),
            // An environment variable can only give a string.
            ValueKind::Str(name) if variants.contains(&name.as_str()) => Some(variant(name, value.span)),
            ValueKind::Option(None) if variants.contains(&"None") => Some(variant("None", value.span)),
            ValueKind::Option(Some(inner)) if variants.contains(&"Some") => {
                Some(Variant { some: Some(inner), ..variant("Some", value.span) })
            }
            _ => None,
        }
    }

    fn is_bare(&self) -> bool {
        matches!(self.value.kind, ValueKind::Unit { .. } | ValueKind::Str(_) | ValueKind::Option(None))
    }

    fn wants(&self, what: &str) -> Error {
        let name = self.name;
        Error::expected(&format!("{what} in `{name}(…)`"), &describe(self.value)).at(self.value)
    }
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Variant<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Variant<'a>), Error> {
        let value = Value { span: self.name_span, kind: ValueKind::Str(self.name.into()) };
        let name = seed.deserialize(De { value: &value }).map_err(|e| e.at_span(self.name_span))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match &self.value.kind {
            _ if self.is_bare() => Ok(()),
            ValueKind::Tuple { items, .. } if items.is_empty() => Ok(()),
            _ => Err(Error::expected(&format!("`{}` alone", self.name), &describe(self.value)).at(self.value)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let inside = match (&self.value.kind, self.some) {
            (_, Some(inner)) => inner,
            (ValueKind::Tuple { items, .. }, _) if items.len() == 1 => &items[0],
            _ if self.is_bare() => return Err(self.wants("a value").help(Some(format!("write {}(…)", self.name)))),
            _ => self.value,
        };
        enclosed(inside.span, || seed.deserialize(De { value: inside })).map_err(|e| e.at(inside))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        if self.is_bare() {
            return Err(self.wants(&format!("{len} values")));
        }
        De { value: self.value }.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let value = self.value;
        // `Name` with nothing in it may stand for one whose fields all have defaults.
        if self.is_bare() {
            return visitor.visit_map(Entries::new(vec![])).map_err(|e| e.at(value));
        }
        match entries_of(value, Some(fields)) {
            Some(entries) => visitor.visit_map(entries?).map_err(|e| e.at_struct(value)),
            None => Err(self.wants("named fields")),
        }
    }
}
