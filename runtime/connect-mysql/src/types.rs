//! Which Arrow type a column has. The table is in the docs of `Table`.

use arrow::datatypes::{DataType, TimeUnit};
use mysql_async::Column;
use mysql_async::consts::{ColumnFlags, ColumnType};

/// Character set of what is bytes and not text.
const BINARY: u16 = 63;
/// Digits that a Decimal128 has.
const DIGITS: u32 = 38;

pub fn of(column: &Column) -> DataType {
    use ColumnType::*;
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    let either = |signed, not| if unsigned { not } else { signed };
    match column.column_type() {
        MYSQL_TYPE_TINY => either(DataType::Int8, DataType::UInt8),
        MYSQL_TYPE_SHORT => either(DataType::Int16, DataType::UInt16),
        MYSQL_TYPE_INT24 | MYSQL_TYPE_LONG => either(DataType::Int32, DataType::UInt32),
        MYSQL_TYPE_LONGLONG => either(DataType::Int64, DataType::UInt64),
        MYSQL_TYPE_YEAR => DataType::Int16,
        MYSQL_TYPE_FLOAT => DataType::Float32,
        MYSQL_TYPE_DOUBLE => DataType::Float64,
        MYSQL_TYPE_DECIMAL | MYSQL_TYPE_NEWDECIMAL => {
            let scale = u32::from(column.decimals());
            // As it is printed: with a point and a sign.
            let digits = column.column_length().saturating_sub(u32::from(scale > 0) + u32::from(!unsigned));
            match digits {
                1..=DIGITS if scale <= digits => DataType::Decimal128(digits as u8, scale as i8),
                _ => DataType::Utf8,
            }
        }
        MYSQL_TYPE_BIT if column.column_length() == 1 => DataType::Boolean,
        MYSQL_TYPE_BIT => DataType::UInt64,
        MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => DataType::Date32,
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 => DataType::Timestamp(TimeUnit::Microsecond, None),
        MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        MYSQL_TYPE_GEOMETRY | MYSQL_TYPE_VECTOR => DataType::Binary,
        MYSQL_TYPE_JSON | MYSQL_TYPE_TIME | MYSQL_TYPE_TIME2 | MYSQL_TYPE_ENUM | MYSQL_TYPE_SET => DataType::Utf8,
        _ if column.character_set() == BINARY && column.column_type() != MYSQL_TYPE_NULL => DataType::Binary,
        _ => DataType::Utf8,
    }
}

/// Whether values can be told apart and put in order by what is printed of them: texts may be equal and yet others, and an ENUM is in the
/// order of its declaration.
pub fn grows(column: &Column) -> bool {
    !matches!(of(column), DataType::Utf8 | DataType::Binary) || column.column_type().is_numeric_type()
}

/// How the column is asked for. A FLOAT is printed with six digits only, unless it is a DOUBLE; the bits of a BIT are printed as bytes.
pub fn asked(column: &Column, name: &str) -> String {
    match column.column_type() {
        ColumnType::MYSQL_TYPE_FLOAT => format!("{name} + 0e0"),
        ColumnType::MYSQL_TYPE_BIT => format!("{name} + 0"),
        _ => name.to_string(),
    }
}
