//! Which Arrow type a column has, and which type a column is made of. Both tables are in the docs of `Table` and `Warehouse`.

use arrow::datatypes::{DataType, TimeUnit};
use tokio_postgres::types::Type;

/// `modifier`: as `pg_attribute.atttypmod`.
pub fn of(ty: &Type, modifier: i32) -> DataType {
    match *ty {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::OID => DataType::UInt32,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => decimal(modifier),
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::BYTEA => DataType::Binary,
        _ => DataType::Utf8,
    }
}

/// `numeric(p, s)`; without precision, or with digits that a Decimal128 has not, the text.
fn decimal(modifier: i32) -> DataType {
    if modifier < 4 {
        return DataType::Utf8;
    }
    // Precision in the upper half; the scale has eleven bits with a sign.
    let (precision, scale) = ((modifier - 4) >> 16, (((modifier - 4) & 0x7ff) ^ 1024) - 1024);
    match (precision, scale) {
        (1..=38, 0..) if scale <= precision => DataType::Decimal128(precision as u8, scale as i8),
        _ => DataType::Utf8,
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
