//! From where on an incremental read reads, in SQL.

use mysql_async::Column;
use mysql_async::consts::ColumnType;
use selvedge_connect::position::Position;

/// Which rows are left.
pub fn condition(position: &Position, column: &Column, name: &str) -> String {
    match position {
        Position::After { after } => format!("{name} > {}", literal(column, after)),
        Position::At { at, .. } => format!("{name} >= {}", literal(column, at)),
    }
}

/// A value in SQL, so that it is compared as the column compares: a number in quotes would be compared as a DOUBLE.
fn literal(column: &Column, value: &str) -> String {
    use ColumnType::*;
    let number = column.column_type().is_numeric_type() || column.column_type() == MYSQL_TYPE_BIT;
    let plain = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    match number && !value.is_empty() && value.chars().all(plain) {
        true => value.to_string(),
        false => format!("'{}'", value.replace('\'', "''")),
    }
}
