//! What a look at an object (a table, the files of a folder) has found.

use arrow::datatypes::{DataType, Field, TimeUnit as ArrowUnit};
use selvedge_node::{Fields, Spanned, TimeUnit, Type};
use serde::Deserialize;

/// How much of the rows is looked at, where nothing but the rows tells the types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Extent {
    /// The first rows of each file or table.
    Sample(u64),
    /// All of them.
    Full,
}

impl Extent {
    /// The most rows to look at.
    pub fn rows(self) -> u64 {
        match self {
            Extent::Sample(rows) => rows,
            Extent::Full => u64::MAX,
        }
    }
}

impl Default for Extent {
    fn default() -> Extent {
        Extent::Sample(1000)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundColumn {
    pub name: String,
    pub ty: Type,
    /// False only where the object itself promises it, or where all rows were looked at.
    pub nullable: bool,
}

impl FoundColumn {
    /// From a column of Arrow: what is not nullable there promises it.
    pub fn of(field: &Field) -> FoundColumn {
        FoundColumn { name: field.name().clone(), ty: type_of(field.data_type()), nullable: field.is_nullable() }
    }
}

/// The columns in their order, and what people should know besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub columns: Vec<FoundColumn>,
    pub notes: Vec<String>,
}

/// The type as a graph writes it.
pub fn type_of(ty: &DataType) -> Type {
    let unit = |unit: &ArrowUnit| match unit {
        ArrowUnit::Second => TimeUnit::Second,
        ArrowUnit::Millisecond => TimeUnit::Millisecond,
        ArrowUnit::Microsecond => TimeUnit::Microsecond,
        ArrowUnit::Nanosecond => TimeUnit::Nanosecond,
    };
    match ty {
        DataType::Boolean => Type::Boolean,
        DataType::Int8 => Type::Int8,
        DataType::Int16 => Type::Int16,
        DataType::Int32 => Type::Int32,
        DataType::Int64 => Type::Int64,
        DataType::UInt8 => Type::UInt8,
        DataType::UInt16 => Type::UInt16,
        DataType::UInt32 => Type::UInt32,
        DataType::UInt64 => Type::UInt64,
        DataType::Float32 => Type::Float32,
        DataType::Float64 => Type::Float64,
        DataType::Decimal128(precision, scale) if *scale >= 0 && *scale as u8 <= *precision => {
            Type::Decimal(*precision, *scale)
        }
        DataType::Utf8 => Type::Utf8,
        DataType::Binary => Type::Binary,
        DataType::Date32 => Type::Date,
        DataType::Timestamp(ArrowUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => Type::Timestamp,
        DataType::Timestamp(u, None) => Type::LocalTimestamp(unit(u)),
        DataType::Timestamp(u, Some(zone)) => Type::ZonedTimestamp(unit(u), zone.to_string()),
        DataType::List(item) => Type::List(Box::new(type_of(item.data_type()))),
        DataType::Struct(fields) => match selvedge_node::choice_fields(ty) {
            Some(fields) => Type::Choice(fields.iter().map(|f| type_of(f.data_type())).collect()),
            None => {
                let field = |f: &Field| (plain(f.name().clone()), plain(type_of(f.data_type())));
                Type::Struct(Fields(fields.iter().map(|f| field(f)).collect()))
            }
        },
        other => Type::Arrow(other.to_string()),
    }
}

fn plain<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Default::default())
}
