//! From the tree to typed config, by serde. Each scalar, list, map and struct of the tree answers what serde asks for; an
//! error takes the place of the innermost value that it was met in.

mod access;
mod error;

use crate::span::{NAME, enclosed, set_current};
use crate::{Problem, Value, ValueKind};
use access::{Entries, Items, StructAsMap, Variant, entries_of};
use error::{Error, describe};
use serde::de::{DeserializeOwned, Visitor};

/// Reads `value` as a `T`; an error points at the part of the text that does not fit.
///
/// An `Option<T>` takes `None`, `Some(x)` or x; a newtype takes what it wraps; a struct takes fields or a map, whatever its
/// name; an enum takes `Name`, `Name(x)`, `Name(a: 1)`, for a struct variant also values in the order of its fields, and a
/// bare variant as a string. Secrets give their text, and no message shows it.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    enclosed(value.span, || T::deserialize(De { value }))
        .map_err(|e| error::masked(e.at(value).into_problem(value.span), value))
}

/// One value, asked by serde.
#[derive(Clone, Copy)]
struct De<'a> {
    value: &'a Value,
}

impl<'a> De<'a> {
    fn mismatch<'de, V: Visitor<'de>>(self, visitor: &V) -> Error {
        Error::expected(&error::expecting(visitor), &describe(self.value)).at(self.value)
    }

    /// The text of a string, secret or not.
    fn text(self) -> Option<&'a str> {
        match &self.value.kind {
            ValueKind::Str(s) => Some(s),
            ValueKind::Secret(s) => Some(s.expose()),
            _ => None,
        }
    }

    fn float<'de, V: Visitor<'de>>(self, visitor: &V) -> Result<f64, Error> {
        match self.value.kind {
            ValueKind::Float(x) => Ok(x),
            ValueKind::Int(i) => Ok(i as f64),
            _ => Err(self.mismatch(visitor)),
        }
    }

    fn sequence<'de, V: Visitor<'de>>(self, items: &'a [Value], visitor: V) -> Result<V::Value, Error> {
        let mut access = Items::new(items);
        let expected = error::expecting(&visitor);
        let made = visitor.visit_seq(&mut access).map_err(|e| e.at(self.value))?;
        match access.left() {
            0 => Ok(made),
            _ => Err(Error::expected(&expected, &format!("{} values", items.len())).at(self.value)),
        }
    }

    fn fields<'de, V: Visitor<'de>>(self, entries: Entries<'a>, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(entries).map_err(|e| e.at_struct(self.value))
    }
}

/// `deserialize_u16` and its like: the integer in range, or a message that names the range.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let ValueKind::Int(i) = self.value.kind else {
                return Err(Error::expected("an integer", &describe(self.value)).at(self.value));
            };
            let Ok(i) = <$type>::try_from(i) else {
                let range = format!("an integer from {} to {}", <$type>::MIN, <$type>::MAX);
                return Err(Error::expected(&range, &i.to_string()).at(self.value));
            };
            visitor.$visit(i).map_err(|e: Error| e.at(self.value))
        }
    )*};
}

impl<'de> serde::Deserializer<'de> for De<'_> {
    type Error = Error;

    integers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_u128 visit_u128 u128
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.kind {
            ValueKind::Int(i) => visitor.visit_i128(i).map_err(|e: Error| e.at(self.value)),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.value;
        match &value.kind {
            ValueKind::Bool(b) => visitor.visit_bool(*b),
            ValueKind::Int(i) => match (i64::try_from(*i), u64::try_from(*i)) {
                (Ok(i), _) => visitor.visit_i64(i),
                (_, Ok(i)) => visitor.visit_u64(i),
                _ => visitor.visit_i128(*i),
            },
            ValueKind::Float(x) => visitor.visit_f64(*x),
            ValueKind::Char(c) => visitor.visit_char(*c),
            ValueKind::Str(s) => visitor.visit_str(s),
            ValueKind::Secret(s) => visitor.visit_str(s.expose()),
            ValueKind::Bytes(b) => visitor.visit_bytes(b),
            ValueKind::Option(None) => visitor.visit_none(),
            ValueKind::Option(Some(inner)) => visitor.visit_some(De { value: inner }),
            ValueKind::List(items) | ValueKind::Tuple { name: None, items, .. } => {
                return self.sequence(items, visitor);
            }
            ValueKind::Unit { name: None } => visitor.visit_unit(),
            ValueKind::Unit { name: Some(name) } => visitor.visit_str(name),
            ValueKind::Map(_) | ValueKind::Struct { name: None, .. } => return self.deserialize_map(visitor),
            // A name must not get lost: as in JSON, it is the one key of a map.
            ValueKind::Tuple { name: Some(name), .. } | ValueKind::Struct { name: Some(name), .. } => {
                visitor.visit_map(StructAsMap::new(name, value))
            }
        }
        .map_err(|e: Error| e.at(value))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.kind {
            ValueKind::Bool(b) => visitor.visit_bool(b).map_err(|e: Error| e.at(self.value)),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let x = self.float(&visitor)?;
        if x.is_finite() && !(x as f32).is_finite() {
            return Err(Error::expected("a 32-bit float", &describe(self.value)).at(self.value));
        }
        visitor.visit_f32(x as f32).map_err(|e: Error| e.at(self.value))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let x = self.float(&visitor)?;
        visitor.visit_f64(x).map_err(|e: Error| e.at(self.value))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (&self.value.kind, self.text()) {
            (ValueKind::Char(c), _) => visitor.visit_char(*c),
            (_, Some(text)) => visitor.visit_str(text),
            _ => return Err(self.mismatch(&visitor)),
        }
        .map_err(|e: Error| e.at(self.value))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text() {
            Some(text) => visitor.visit_str(text).map_err(|e: Error| e.at(self.value)),
            None => {
                let quoted = match &self.value.kind {
                    ValueKind::Unit { name: Some(_) }
                    | ValueKind::Int(_)
                    | ValueKind::Float(_)
                    | ValueKind::Bool(_) => Some(format!("put it in quotes: \"{}\"", self.value)),
                    ValueKind::Char(c) => {
                        Some(format!("a string has double quotes: {}", crate::print::quote(&c.to_string())))
                    }
                    _ => None,
                };
                Err(self.mismatch(&visitor).help(quoted))
            }
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (&self.value.kind, self.text()) {
            (ValueKind::Bytes(bytes), _) => visitor.visit_bytes(bytes).map_err(|e: Error| e.at(self.value)),
            (ValueKind::List(items), _) => self.sequence(items, visitor),
            (_, Some(text)) => visitor.visit_bytes(text.as_bytes()).map_err(|e: Error| e.at(self.value)),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value.kind {
            ValueKind::Option(None) => visitor.visit_none(),
            ValueKind::Option(Some(inner)) => visitor.visit_some(De { value: inner }),
            _ => visitor.visit_some(self),
        }
        .map_err(|e: Error| e.at(self.value))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value.kind {
            ValueKind::Unit { .. } => visitor.visit_unit(),
            ValueKind::Tuple { items, .. } if items.is_empty() => visitor.visit_unit(),
            ValueKind::Struct { fields, .. } if fields.is_empty() => visitor.visit_unit(),
            _ => return Err(self.mismatch(&visitor)),
        }
        .map_err(|e: Error| e.at(self.value))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == NAME {
            set_current(self.value.span);
            return visitor.visit_newtype_struct(self);
        }
        match &self.value.kind {
            ValueKind::Tuple { name: found, items, .. }
                if items.len() == 1 && found.as_deref().is_none_or(|f| f == name) =>
            {
                enclosed(items[0].span, || visitor.visit_newtype_struct(De { value: &items[0] }))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value.kind {
            ValueKind::List(items) => self.sequence(items, visitor),
            ValueKind::Option(_) | ValueKind::Map(_) | ValueKind::Secret(_) => Err(self.mismatch(&visitor)),
            ValueKind::Tuple { name: None, items, .. } => {
                let items: Vec<String> = items.iter().map(Value::to_string).collect();
                Err(self.mismatch(&visitor).help(Some(bracketed(&items.join(", ")))))
            }
            _ => Err(self.mismatch(&visitor).help(Some(bracketed(&self.value.to_string())))),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        match &self.value.kind {
            ValueKind::List(items) | ValueKind::Tuple { items, .. } => self.sequence(items, visitor),
            ValueKind::Unit { .. } => self.sequence(&[], visitor),
            ValueKind::Struct { fields, .. } if access::is_mixed(fields) => {
                let items = access::folded(self.value, fields);
                De { value: &items }.deserialize_tuple(0, visitor)
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match entries_of(self.value, None) {
            Some(entries) => self.fields(entries?, visitor),
            None => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Some(entries) = entries_of(self.value, None) else {
            let shape: Vec<String> = fields.iter().map(|f| format!("{f}: …")).collect();
            return Err(self.mismatch(&visitor).help(Some(format!("write ({})", shape.join(", ")))));
        };
        let entries = entries?;
        entries.check_names()?;
        self.fields(entries, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = Variant::of(self.value, variants)
            .ok_or_else(|| Error::expected(&error::one_of(variants), &describe(self.value)).at(self.value))?;
        visitor.visit_enum(variant).map_err(|e| e.at(self.value))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

fn bracketed(text: &str) -> String {
    format!("a list has square brackets: [{}]", crate::print::shorten(text))
}
