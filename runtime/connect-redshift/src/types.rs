//! Redshift's types and Arrow's, by way of Parquet.
//!
//! COPY takes a Parquet column into a column of just its type. So the temporary table is made from the input, and what it has is assigned to
//! the target, whose columns may be wider.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use selvedge_node::Result;
use std::sync::Arc;

/// The longest text, in bytes.
pub const LONGEST: usize = 65_535;

/// A column that is there, as `information_schema` tells it.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub ty: String,
    /// Of text: PostgreSQL's word for it, but Redshift counts bytes.
    pub length: Option<usize>,
    pub precision: Option<i32>,
    pub scale: Option<i32>,
    pub never_null: bool,
    pub fills_itself: bool,
}

impl Column {
    /// As SQL declares it.
    pub fn declared(&self) -> String {
        match (&*self.ty, self.length, self.precision, self.scale) {
            ("character varying", Some(n), ..) => format!("varchar({n})"),
            ("numeric", _, Some(p), Some(s)) => format!("numeric({p},{s})"),
            _ => self.ty.clone(),
        }
    }
}

/// What a column is made of, there and in the temporary table; `None`: nothing holds it.
pub fn declare(ty: &DataType) -> Option<String> {
    Some(match ty {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "SMALLINT".into(),
        DataType::Int32 | DataType::UInt16 => "INTEGER".into(),
        DataType::Int64 | DataType::UInt32 => "BIGINT".into(),
        DataType::UInt64 => "DECIMAL(20,0)".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE PRECISION".into(),
        DataType::Decimal128(precision, scale) if *scale >= 0 => format!("DECIMAL({precision},{scale})"),
        DataType::Utf8 => format!("VARCHAR({LONGEST})"),
        DataType::Binary => "VARBYTE(1024000)".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(unit, _) if *unit == TimeUnit::Nanosecond => return None,
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".into(),
        _ => return None,
    })
}

/// In the temporary table instants are times of UTC: Parquet has no other in Redshift.
pub fn declare_staged(ty: &DataType) -> Option<String> {
    match ty {
        DataType::Timestamp(unit, Some(_)) => declare(&DataType::Timestamp(*unit, None)),
        other => declare(other),
    }
}

/// The Arrow type whose Parquet type is that of [`declare_staged`].
pub fn staged(ty: &DataType) -> DataType {
    match ty {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => other.clone(),
    }
}

/// A column on its way.
pub fn stage(column: &ArrayRef) -> Result<ArrayRef> {
    let to = staged(column.data_type());
    if let DataType::Timestamp(_, Some(_)) = column.data_type() {
        let instants = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
        let times = instants.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<Arc<str>>);
        return Ok(Arc::new(times));
    }
    Ok(if *column.data_type() == to { column.clone() } else { cast(column, &to)? })
}

/// Whether every value of this type fits into a column.
pub fn fits(ty: &DataType, to: &Column) -> bool {
    let width = |ty: &str| ["smallint", "integer", "bigint"].iter().position(|t| *t == ty);
    let digits = |whole: i32, fraction: i32| match (&*to.ty, to.precision, to.scale) {
        ("numeric", Some(p), Some(s)) => s >= fraction && p - s >= whole,
        _ => false,
    };
    let whole = |narrowest: &str, most: i32| width(&to.ty) >= width(narrowest) || digits(most, 0);
    match ty {
        DataType::Boolean => to.ty == "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => whole("smallint", 5),
        DataType::Int32 | DataType::UInt16 => whole("integer", 10),
        DataType::Int64 | DataType::UInt32 => whole("bigint", 19),
        DataType::UInt64 => digits(20, 0),
        DataType::Float32 => matches!(&*to.ty, "real" | "double precision"),
        DataType::Float64 => to.ty == "double precision",
        DataType::Decimal128(p, s) => digits(i32::from(*p) - i32::from(*s), i32::from(*s)),
        DataType::Utf8 => to.length.is_some() || holds_json(to),
        DataType::Binary => matches!(&*to.ty, "binary varying" | "varbyte" | "bytea"),
        DataType::Date32 => to.ty == "date",
        DataType::Timestamp(..) => to.ty.starts_with("timestamp"),
        _ => false,
    }
}

/// SUPER, which PostgreSQL has not: there it is `jsonb`.
fn holds_json(to: &Column) -> bool {
    matches!(&*to.ty, "super" | "jsonb")
}

/// What is assigned to a column of the target, in SQL.
pub fn assigned(name: &str, ty: &DataType, to: Option<&Column>) -> String {
    match (ty, to) {
        (DataType::Timestamp(_, Some(_)), None) => format!("{name} AT TIME ZONE 'UTC'"),
        (DataType::Timestamp(..), Some(to)) if to.ty == "timestamp with time zone" => {
            format!("{name} AT TIME ZONE 'UTC'")
        }
        (DataType::Utf8, Some(to)) if holds_json(to) => format!("JSON_PARSE({name})"),
        _ => name.to_string(),
    }
}
