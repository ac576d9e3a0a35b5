//! Column types and column names as a graph writes them.

use crate::{Problem, Spanned, choice_name};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit as ArrowUnit};
use schemars::JsonSchema;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A column named in a graph, with its place.
pub type Column = Spanned<String>;

/// Index of a column in a schema, or the problem with the nearest names.
pub fn column(schema: &Schema, name: &Column) -> Result<usize, Problem> {
    schema
        .index_of(name)
        .map_err(|_| Problem::unknown(name.span, "column", name, schema.fields().iter().map(|f| f.name().as_str())))
}

/// As [`column()`], and of a type that `accepts` likes; `wanted` names it in the message: `a number`.
pub fn column_of_type(
    schema: &Schema,
    name: &Column,
    wanted: &str,
    accepts: impl Fn(&DataType) -> bool,
) -> Result<usize, Problem> {
    let index = column(schema, name)?;
    let found = schema.field(index).data_type();
    if accepts(found) {
        Ok(index)
    } else {
        Err(Problem::error(name.span, format!("column `{name}` must be {wanted}, but is {found}"))
            .help("cast it first with SchemaEdit(edits: [Cast(…)])"))
    }
}

/// Indices of several columns; all unknown ones are reported at once.
pub fn columns(schema: &Schema, names: &[Column]) -> Result<Vec<usize>, crate::Problems> {
    let mut problems = crate::Problems::default();
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(schema.fields().len());
    for (place, field) in schema.fields().iter().enumerate() {
        places.entry(field.name()).or_insert(place);
    }
    let find = |name: &Column| places.get(name.as_str()).copied().map_or_else(|| column(schema, name), Ok);
    let found = names.iter().filter_map(|name| problems.take(find(name))).collect();
    problems.or(found)
}

/// Resolution of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TimeUnit {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

/// A column type. Spark's and SQL's names are accepted besides Arrow's: `String`, `BigInt`, `Int`, `Double`, …
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Type {
    #[serde(alias = "Bool")]
    Boolean,
    #[serde(alias = "TinyInt")]
    Int8,
    #[serde(alias = "SmallInt")]
    Int16,
    #[serde(alias = "Int", alias = "Integer")]
    Int32,
    #[serde(alias = "BigInt", alias = "Long")]
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    #[serde(alias = "Float")]
    Float32,
    #[serde(alias = "Double")]
    Float64,
    /// Precision (1 to 38) and scale (0 to precision): exact numbers.
    Decimal(u8, i8),
    #[serde(alias = "String", alias = "Text")]
    Utf8,
    Binary,
    Date,
    /// Microseconds since 1970 in UTC, as Spark's `timestamp`.
    Timestamp,
    /// Without a time zone, at the given resolution.
    LocalTimestamp(TimeUnit),
    /// An instant at the given resolution, shown in the given time zone (`UTC`, `Europe/Berlin`).
    ZonedTimestamp(TimeUnit, String),
    List(Box<Type>),
    Struct(Fields),
    /// Values of several types, each kept as it came: `Choice([Int64, Utf8])`. `SchemaEdit` makes one type of them.
    Choice(Vec<Type>),
    /// Any other type, in Arrow's words: `Arrow("Time64(ns)")`.
    Arrow(String),
}

impl Type {
    pub fn arrow(&self) -> DataType {
        let unit = |u: &TimeUnit| match u {
            TimeUnit::Second => ArrowUnit::Second,
            TimeUnit::Millisecond => ArrowUnit::Millisecond,
            TimeUnit::Microsecond => ArrowUnit::Microsecond,
            TimeUnit::Nanosecond => ArrowUnit::Nanosecond,
        };
        match self {
            Type::Boolean => DataType::Boolean,
            Type::Int8 => DataType::Int8,
            Type::Int16 => DataType::Int16,
            Type::Int32 => DataType::Int32,
            Type::Int64 => DataType::Int64,
            Type::UInt8 => DataType::UInt8,
            Type::UInt16 => DataType::UInt16,
            Type::UInt32 => DataType::UInt32,
            Type::UInt64 => DataType::UInt64,
            Type::Float32 => DataType::Float32,
            Type::Float64 => DataType::Float64,
            Type::Decimal(p, s) => DataType::Decimal128(*p, *s),
            Type::Utf8 => DataType::Utf8,
            Type::Binary => DataType::Binary,
            Type::Date => DataType::Date32,
            Type::Timestamp => DataType::Timestamp(ArrowUnit::Microsecond, Some("UTC".into())),
            Type::LocalTimestamp(u) => DataType::Timestamp(unit(u), None),
            Type::ZonedTimestamp(u, zone) => DataType::Timestamp(unit(u), Some(zone.as_str().into())),
            Type::List(item) => DataType::new_list(item.arrow(), true),
            Type::Struct(fields) => DataType::Struct(fields.schema().fields().clone()),
            Type::Choice(types) => {
                let types = types.iter().map(Type::arrow);
                DataType::Struct(types.map(|ty| Field::new(choice_name(&ty), ty, true)).collect())
            }
            // What cannot be read is reported by `Fields::problems`.
            Type::Arrow(name) => name.parse().unwrap_or(DataType::Null),
        }
    }
}

/// A declared schema: `{ "sku": Utf8, "quantity": Int32 }`, in the order of the text; every column may be null.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(pub Vec<(Column, Spanned<Type>)>);

impl Fields {
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(
            self.0.iter().map(|(name, ty)| Field::new(name.value.clone(), ty.arrow(), true)).collect::<Vec<_>>(),
        ))
    }

    /// Duplicate names and decimals that cannot be, wherever they stand.
    pub fn problems(&self) -> crate::Problems {
        let mut problems = crate::Problems::default();
        let mut seen = HashSet::new();
        for (name, ty) in &self.0 {
            if !seen.insert(name.value.as_str()) {
                problems.push(Problem::error(name.span, format!("column `{name}` is declared twice")));
            }
            problems.take(type_problem(ty));
        }
        problems
    }
}

/// Refuses what Arrow cannot represent: a decimal of 40 digits, an unknown time zone.
fn type_problem(ty: &Spanned<Type>) -> Result<(), crate::Problems> {
    match &ty.value {
        Type::Decimal(p, s) if !(1..=38).contains(p) || *s < 0 || *s as i16 > *p as i16 => Err(Problem::error(
            ty.span,
            format!("Decimal({p}, {s}) cannot be: precision is 1 to 38 and scale 0 to the precision"),
        )
        .into()),
        Type::ZonedTimestamp(_, zone) if zone.parse::<arrow::array::timezone::Tz>().is_err() => {
            Err(Problem::error(ty.span, format!("no time zone named `{zone}`"))
                .help("use an IANA name such as `Europe/Berlin`, or `UTC`")
                .into())
        }
        Type::List(item) => type_problem(&Spanned::new((**item).clone(), ty.span)),
        Type::Struct(fields) => {
            let problems = fields.problems();
            problems.or(())
        }
        Type::Choice(types) => {
            let mut problems = crate::Problems::default();
            for one in types {
                problems.take(type_problem(&Spanned::new(one.clone(), ty.span)));
            }
            let names: HashSet<String> = types.iter().map(|ty| choice_name(&ty.arrow())).collect();
            if types.len() < 2 || names.len() < types.len() {
                let problem =
                    Problem::error(ty.span, "a choice needs two types or more, and each kind of type only once");
                problems.push(problem.help("write the type itself where there is only one: Int64"));
            }
            problems.or(())
        }
        Type::Arrow(name) if name.parse::<DataType>().is_err() => {
            Err(Problem::error(ty.span, format!("Arrow has no type named `{name}`"))
                .help("write it as Arrow does: Arrow(\"Time64(ns)\")")
                .into())
        }
        _ => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Fields;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a schema: a map from column name to type")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = vec![];
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Fields, A::Error> {
                let mut fields = vec![];
                while let Some(entry) = seq.next_element()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        d.deserialize_map(V)
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fields".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let ty = generator.subschema_for::<Type>();
        schemars::json_schema!({
            "description": "a map from column name to type, in order",
            "type": "object",
            "additionalProperties": ty,
        })
    }
}
