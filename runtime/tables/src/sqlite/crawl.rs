//! The columns of a table for a schema file. SQLite types each cell by itself: what is declared is only half of the truth.

use super::{Sqlite, quoted, types};
use arrow::datatypes::DataType;
use selvedge_node::{Result, Type};
use selvedge_schemas::{Extent, FoundColumn, type_of};

pub fn columns(database: &Sqlite, table: &str, extent: Extent) -> Result<Vec<FoundColumn>> {
    let connection = database.reader()?;
    let failed = |e| database.error("describing a table of", &e);
    // Hidden columns of kind 1 belong to virtual tables and are not in `SELECT *`.
    let sql = "SELECT name, type, \"notnull\" FROM pragma_table_xinfo(?) WHERE hidden <> 1";
    let declared: Vec<(String, String, bool)> = connection
        .prepare(sql)
        .and_then(|mut s| s.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
        .map_err(failed)?;
    let mut columns = vec![];
    for (name, declaration, not_null) in declared {
        let limit = match extent {
            Extent::Sample(rows) => format!(" LIMIT {rows}"),
            Extent::Full => String::new(),
        };
        let sql =
            format!("SELECT DISTINCT typeof(c) FROM (SELECT {} AS c FROM {}{limit})", quoted(&name), quoted(table));
        let classes: Vec<String> =
            connection.prepare(&sql).and_then(|mut s| s.query_map([], |row| row.get(0))?.collect()).map_err(failed)?;
        let seen_null = classes.iter().any(|class| class == "null");
        let whole = extent == Extent::Full && !classes.is_empty();
        columns.push(FoundColumn {
            name,
            ty: ty(types::meaning(&declaration), &classes),
            nullable: !not_null && (seen_null || !whole),
        });
    }
    Ok(columns)
}

/// The type for what is declared and the storage classes that were seen.
fn ty(declared: Option<DataType>, classes: &[String]) -> Type {
    let open = declared.is_none();
    let mut found: Vec<DataType> = declared.into_iter().collect();
    for (class, ty) in [
        ("integer", DataType::Int64),
        ("real", DataType::Float64),
        ("text", DataType::Utf8),
        ("blob", DataType::Binary),
    ] {
        if !classes.iter().any(|c| c == class) || found.iter().any(|ty| holds(ty, class)) {
            continue;
        }
        // Without a declaration, whole numbers among fractions are floats.
        if open && class == "real" {
            found.clear();
        }
        found.push(ty);
    }
    match &found[..] {
        [] => Type::Utf8,
        [one] => type_of(one),
        many => Type::Choice(many.iter().map(type_of).collect()),
    }
}

/// Whether cells of this class are values of the type.
fn holds(ty: &DataType, class: &str) -> bool {
    match ty {
        DataType::Float32 | DataType::Float64 => matches!(class, "integer" | "real"),
        DataType::Decimal128(precision, _) => {
            matches!(class, "integer" | "real") || class == "text" && !types::stored_as_number(*precision)
        }
        // Numbers have a text, and stay as they came in a column of text without TEXT affinity.
        DataType::Utf8 => class != "blob",
        DataType::Binary => matches!(class, "blob" | "text"),
        DataType::Date32 => class == "text",
        DataType::Timestamp(..) => matches!(class, "text" | "integer"),
        _ => class == "integer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_schemas::type_text;

    #[test]
    fn what_is_declared_and_what_is_there() {
        let check = |declared: &str, classes: &str, expected: &str| {
            let classes: Vec<String> = classes.split(' ').map(str::to_string).collect();
            assert_eq!(type_text(&ty(types::meaning(declared), &classes)), expected, "{declared}: {classes:?}");
        };
        check("INTEGER", "integer null", "Int64");
        check("INTEGER", "integer text", "Choice([Int64, Utf8])");
        check("INTEGER", "integer real", "Choice([Int64, Float64])");
        check("", "integer real", "Float64");
        check("", "integer real text blob", "Choice([Float64, Utf8, Binary])");
        check("", "integer text", "Choice([Int64, Utf8])");
        check("", "null", "Utf8");
        check("DATE", "text integer", "Choice([Date, Int64])");
        check("DECIMAL(10,2)", "real integer", "Decimal(10, 2)");
        check("DECIMAL(30,2)", "text", "Decimal(30, 2)");
        check("STRING", "text integer", "Utf8");
        check("REAL", "real text", "Choice([Float64, Utf8])");
    }
}
