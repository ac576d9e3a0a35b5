//! PostgreSQL's types and Arrow's.
//!
//! | PostgreSQL | Arrow |
//! |---|---|
//! | bool | Boolean |
//! | int2, int4, int8, oid | Int16, Int32, Int64, UInt32 |
//! | float4, float8 | Float32, Float64 |
//! | numeric(p ≤ 38, s ≥ 0) | Decimal128(p, s) |
//! | text, varchar, char(n), name | Utf8; char(n) with its blanks |
//! | bytea | Binary |
//! | date | Date32 |
//! | timestamp, timestamptz | Timestamp(µs), Timestamp(µs, UTC) |
//! | an array of these | List |
//! | anything else: numeric without limits, time, interval, uuid, json, inet, enums, ranges, … | Utf8, PostgreSQL's own text |
//!
//! Domains are what they are made of.

use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;
use tokio_postgres::types::{Kind, Type};

/// The Arrow type of what comes over the wire in binary; `None` if the value is asked for as text.
pub fn native(ty: &Type, modifier: i32) -> Option<DataType> {
    if let Kind::Array(element) = ty.kind() {
        let element = native(element, modifier)?;
        return (!element.is_nested()).then(|| DataType::List(Arc::new(Field::new_list_field(element, true))));
    }
    Some(match *ty {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::OID => DataType::UInt32,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => {
            let (precision, scale) = limits(modifier)?;
            DataType::Decimal128(precision, scale)
        }
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => DataType::Utf8,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => return None,
    })
}

/// Precision and scale of a numeric, if an Arrow decimal can have them.
fn limits(modifier: i32) -> Option<(u8, i8)> {
    // As `make_numeric_typmod` packs them: a header of 4, the scale in 11 bits with a sign.
    let packed = modifier.checked_sub(4).filter(|&m| m >= 0)?;
    let (precision, scale) = (packed >> 16, ((packed & 0x7ff) ^ 1024) - 1024);
    ((1..=38).contains(&precision) && (0..=precision).contains(&scale)).then_some((precision as u8, scale as i8))
}

/// In which form a column is asked for and built, before it is cast to the type of the output.
pub fn wire(ty: &Type, modifier: i32, wanted: &DataType) -> Option<DataType> {
    match (native(ty, modifier), wanted) {
        // A numeric has digits for any decimal, whatever its own limits are.
        (_, DataType::Decimal128(p, s)) if *ty == Type::NUMERIC => Some(DataType::Decimal128(*p, *s)),
        // PostgreSQL's own text says it all.
        (Some(native), DataType::Utf8) if native != DataType::Utf8 => None,
        (native, _) => native,
    }
}

/// What a column is made of; `None`: nothing holds it.
pub fn declare(ty: &DataType) -> Option<String> {
    Some(match ty {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => "integer".into(),
        DataType::Int64 | DataType::UInt32 => "bigint".into(),
        DataType::UInt64 => "numeric(20,0)".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) if *scale >= 0 => format!("numeric({precision},{scale})"),
        DataType::Utf8 => "text".into(),
        DataType::Binary => "bytea".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(unit, _) if *unit == TimeUnit::Nanosecond => return None,
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        _ => return None,
    })
}

/// Whether values of this type can be stored in a column of a type, by its `typcategory` and name. Whether each fits is another question.
pub fn fits(ty: &DataType, category: &str, name: &str) -> bool {
    match ty {
        _ if category == "S" => !matches!(ty, DataType::Binary),
        DataType::Boolean => category == "B",
        DataType::Binary => name == "bytea",
        DataType::Date32 => category == "D" && !name.starts_with("time ") && name != "time",
        DataType::Timestamp(..) => name.starts_with("timestamp"),
        DataType::Utf8 => matches!(name, "json" | "jsonb" | "uuid" | "xml") || matches!(category, "E" | "I"),
        _ => category == "N" && name != "oid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_numerics_are_unpacked() {
        let packed = |p: i32, s: i32| ((p << 16) | (s & 0x7ff)) + 4;
        assert_eq!(limits(packed(10, 2)), Some((10, 2)));
        assert_eq!(limits(packed(38, 38)), Some((38, 38)));
        assert_eq!(limits(packed(39, 0)), None);
        assert_eq!(limits(packed(5, -3)), None);
        assert_eq!(limits(packed(2, 5)), None);
        assert_eq!(limits(-1), None);
    }
}
