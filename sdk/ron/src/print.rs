//! The tree as text: canonical RON on one line, and JSON.

use crate::{Value, ValueKind};
use std::fmt::{Display, Formatter, Result};

const KEYWORDS: [&str; 10] = ["true", "false", "Some", "None", "inf", "NaN", "inff32", "inff64", "NaNf32", "NaNf64"];

/// Reads back as the same value, but for secrets, which print as `***`.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.kind {
            ValueKind::Bool(b) => write!(f, "{b}"),
            ValueKind::Int(i) => write!(f, "{i}"),
            ValueKind::Float(x) => write!(f, "{x:?}"),
            ValueKind::Char(c) => write!(f, "{c:?}"),
            ValueKind::Str(s) => f.write_str(&quote(s)),
            ValueKind::Secret(_) => f.write_str("\"***\""),
            ValueKind::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            ValueKind::Option(None) => f.write_str("None"),
            ValueKind::Option(Some(v)) => write!(f, "Some({v})"),
            ValueKind::List(items) => {
                f.write_str("[")?;
                separated(f, items, |f, item| item.fmt(f))?;
                f.write_str("]")
            }
            ValueKind::Map(entries) => {
                f.write_str("{")?;
                separated(f, entries, |f, (key, value)| write!(f, "{key}: {value}"))?;
                f.write_str("}")
            }
            ValueKind::Unit { name: None } => f.write_str("()"),
            ValueKind::Unit { name: Some(n) } => f.write_str(&struct_name(n)),
            ValueKind::Tuple { name, items, .. } => {
                write!(f, "{}(", name.as_deref().map(struct_name).unwrap_or_default())?;
                separated(f, items, |f, item| item.fmt(f))?;
                f.write_str(")")
            }
            ValueKind::Struct { name, fields, .. } => {
                write!(f, "{}(", name.as_deref().map(struct_name).unwrap_or_default())?;
                separated(f, fields.iter().enumerate(), |f, (i, field)| {
                    if field.name != i.to_string() {
                        write!(f, "{}: ", crate::print::name(&field.name))?;
                    }
                    field.value.fmt(f)
                })?;
                f.write_str(")")
            }
        }
    }
}

fn separated<T>(
    f: &mut Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    mut print: impl FnMut(&mut Formatter<'_>, T) -> Result,
) -> Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        print(f, item)?;
    }
    Ok(())
}

/// A field name as RON has it, raw if need be.
pub(crate) fn name(text: &str) -> String {
    let mut chars = text.chars();
    let plain = chars.next().is_some_and(|c| c == '_' || unicode_ident::is_xid_start(c))
        && chars.all(unicode_ident::is_xid_continue);
    if plain { text.into() } else { format!("r#{text}") }
}

fn struct_name(text: &str) -> String {
    if KEYWORDS.contains(&text) { format!("r#{text}") } else { name(text) }
}

/// A string literal.
pub(crate) fn quote(text: &str) -> String {
    format!("{text:?}")
}

/// The first characters of a text that may be long, on one line.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut short: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

/// The value as JSON, for people and programs that read reports: a named value is an object with its name as the one key, a
/// bare name is a string, a secret is `***`.
pub fn to_json(value: &Value) -> serde_json::Value {
    use serde_json::{Map, Value as Json};
    let named = |name: &Option<String>, inner: Json| match name {
        Some(name) => Json::Object(Map::from_iter([(name.clone(), inner)])),
        None => inner,
    };
    match &value.kind {
        ValueKind::Bool(b) => Json::Bool(*b),
        ValueKind::Int(i) => {
            serde_json::Number::from_i128(*i).map_or_else(|| Json::String(i.to_string()), Json::Number)
        }
        ValueKind::Float(x) => {
            serde_json::Number::from_f64(*x).map_or_else(|| Json::String(x.to_string()), Json::Number)
        }
        ValueKind::Char(c) => Json::String(c.to_string()),
        ValueKind::Str(s) => Json::String(s.clone()),
        ValueKind::Secret(_) => Json::String("***".into()),
        ValueKind::Bytes(bytes) => Json::Array(bytes.iter().map(|b| Json::from(*b)).collect()),
        ValueKind::Option(None) | ValueKind::Unit { name: None } => Json::Null,
        ValueKind::Option(Some(v)) => to_json(v),
        ValueKind::List(items) => Json::Array(items.iter().map(to_json).collect()),
        ValueKind::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| (key.as_str().map_or_else(|| key.to_string(), str::to_string), to_json(value)))
                .collect(),
        ),
        ValueKind::Unit { name: Some(name) } => Json::String(name.clone()),
        // A single value in brackets is the value itself, as serde has it.
        ValueKind::Tuple { name: name @ Some(_), items, .. } if items.len() == 1 => named(name, to_json(&items[0])),
        ValueKind::Tuple { name, items, .. } => named(name, Json::Array(items.iter().map(to_json).collect())),
        ValueKind::Struct { name, fields, .. } => {
            named(name, Json::Object(fields.iter().map(|f| (f.name.clone(), to_json(&f.value))).collect()))
        }
    }
}
