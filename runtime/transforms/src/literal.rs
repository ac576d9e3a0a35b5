//! A value written in a graph, and the column it makes.

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, UInt32Array, new_null_array};
use arrow::datatypes::DataType;
use schemars::JsonSchema;
use selvedge_node::Result;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Literal {
    /// The type that the value has by itself.
    pub fn natural(&self) -> DataType {
        match self {
            Literal::Null => DataType::Null,
            Literal::Bool(_) => DataType::Boolean,
            Literal::Int(_) => DataType::Int64,
            Literal::Float(_) => DataType::Float64,
            Literal::Text(_) => DataType::Utf8,
        }
    }

    /// The value as a column of one row and the given type; `None` if it cannot be one, or only by losing something.
    pub fn array(&self, ty: &DataType) -> Option<ArrayRef> {
        let plain: ArrayRef = match self {
            Literal::Null => new_null_array(&DataType::Null, 1),
            Literal::Bool(b) => Arc::new(BooleanArray::from(vec![*b])),
            Literal::Int(i) => Arc::new(Int64Array::from(vec![*i])),
            Literal::Float(x) => Arc::new(Float64Array::from(vec![*x])),
            Literal::Text(t) => Arc::new(StringArray::from(vec![t.as_str()])),
        };
        // What a cast would do to data, a graph's author did not mean: 1.5 is no Int32, 3 no boolean, 1 no timestamp.
        let fits = match (self, ty) {
            (Literal::Float(x), t) if t.is_integer() => x.fract() == 0.0,
            (Literal::Int(_) | Literal::Float(_), DataType::Boolean | DataType::Timestamp(..)) => false,
            (Literal::Bool(_), t) => *t == DataType::Boolean || *t == DataType::Utf8,
            _ => true,
        };
        let done = selvedge_cast::cast(&plain, ty).ok().filter(|_| fits)?;
        done.failed.is_none().then_some(done.values)
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Null => f.write_str("None"),
            Literal::Bool(b) => b.fmt(f),
            Literal::Int(i) => i.fmt(f),
            Literal::Float(x) => write!(f, "{x:?}"),
            Literal::Text(t) => write!(f, "{t:?}"),
        }
    }
}

/// `rows` copies of a column of one row.
pub(crate) fn repeat(one: &dyn Array, rows: usize) -> Result<ArrayRef> {
    if one.is_null(0) {
        return Ok(new_null_array(one.data_type(), rows));
    }
    Ok(arrow::compute::take(one, &UInt32Array::from(vec![0; rows]), None)?)
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Literal;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a value: a string, a number, true, false or None")
            }
            fn visit_bool<E>(self, b: bool) -> std::result::Result<Literal, E> {
                Ok(Literal::Bool(b))
            }
            fn visit_i64<E>(self, i: i64) -> std::result::Result<Literal, E> {
                Ok(Literal::Int(i))
            }
            fn visit_u64<E: Error>(self, i: u64) -> std::result::Result<Literal, E> {
                i64::try_from(i).map(Literal::Int).map_err(|_| E::custom("an integer beyond 64 bits: put it in quotes"))
            }
            fn visit_f64<E>(self, x: f64) -> std::result::Result<Literal, E> {
                Ok(Literal::Float(x))
            }
            fn visit_str<E>(self, t: &str) -> std::result::Result<Literal, E> {
                Ok(Literal::Text(t.to_string()))
            }
            fn visit_none<E>(self) -> std::result::Result<Literal, E> {
                Ok(Literal::Null)
            }
            fn visit_unit<E>(self) -> std::result::Result<Literal, E> {
                Ok(Literal::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, d: D) -> std::result::Result<Literal, D::Error> {
                Literal::deserialize(d)
            }
        }
        d.deserialize_any(Any)
    }
}

impl JsonSchema for Literal {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Literal".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "a string, a number, true, false or None" })
    }
}
