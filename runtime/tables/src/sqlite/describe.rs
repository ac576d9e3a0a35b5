//! What is in a database: tables, their columns and types, and the range of a key.

use super::cursor::{Cell, Cursor};
use super::{Sqlite, quoted, types};
use crate::driver::{Described, Range, Relation, Select};
use arrow::datatypes::DataType;
use selvedge_node::{Error, Result};

/// Rows looked at where no declaration tells the type of a column.
const SAMPLE: usize = 1000;

pub fn tables(database: &Sqlite) -> Result<Vec<String>> {
    let connection = database.reader()?;
    let sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               AND name NOT LIKE '\\_selvedge\\_%' ESCAPE '\\' ORDER BY name";
    let names = connection.prepare(sql).and_then(|mut s| s.query_map([], |row| row.get(0))?.collect());
    names.map_err(|e| database.error("listing the tables of", &e))
}

/// The relation in a FROM clause. A query ends with a line break, as it may end with a comment.
pub fn from(relation: &Relation) -> String {
    match relation {
        Relation::Table(name) => quoted(name),
        Relation::Query(sql) => format!("({}\n) AS q", sql.trim().trim_end_matches(';')),
    }
}

pub fn columns(database: &Sqlite, relation: &Relation) -> Result<Vec<Described>> {
    let connection = database.reader()?;
    let sql = format!("SELECT * FROM {}", from(relation));
    let failed = |e: rusqlite::Error| match relation {
        Relation::Query(_) => Error::graph(format!("the query does not run: {}", super::reason(&e))),
        Relation::Table(_) => database.error("describing a table of", &e),
    };
    let declared: Vec<(String, Option<DataType>)> = {
        let statement = connection.prepare(&sql).map_err(failed)?;
        let columns = statement.columns();
        columns.iter().map(|c| (c.name().to_string(), types::meaning(c.decl_type().unwrap_or("")))).collect()
    };
    let mut sampled = vec![Seen::default(); declared.len()];
    if declared.iter().any(|(_, ty)| ty.is_none()) {
        let mut cursor = Cursor::new(connection, &sql).map_err(failed)?;
        for _ in 0..SAMPLE {
            if !cursor.step().map_err(failed)? {
                break;
            }
            for (i, seen) in sampled.iter_mut().enumerate() {
                seen.look(cursor.cell(i));
            }
        }
    }
    let typed = declared.into_iter().zip(sampled);
    Ok(typed.map(|((name, ty), seen)| Described { name, ty: ty.unwrap_or_else(|| seen.ty()) }).collect())
}

/// The storage classes met in a column.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    int: bool,
    real: bool,
    text: bool,
    blob: bool,
}

impl Seen {
    fn look(&mut self, cell: Cell) {
        match cell {
            Cell::Null => {}
            Cell::Int(_) => self.int = true,
            Cell::Real(_) => self.real = true,
            Cell::Text(_) => self.text = true,
            Cell::Blob(_) => self.blob = true,
        }
    }

    /// The type that holds all of them; text holds anything but blobs.
    fn ty(self) -> DataType {
        match self {
            Seen { text: false, blob: false, real: false, int: true } => DataType::Int64,
            Seen { text: false, blob: false, real: true, .. } => DataType::Float64,
            Seen { text: false, blob: true, real: false, int: false } => DataType::Binary,
            _ => DataType::Utf8,
        }
    }
}

/// Smallest and largest value of a column, if both are integers.
pub fn bounds(database: &Sqlite, select: &Select, column: &str) -> Result<Option<(i64, i64)>> {
    let connection = database.reader()?;
    let key = quoted(column);
    // Two subqueries: SQLite answers each from an index, but not both in one SELECT.
    let source = from(&select.relation);
    let sql = format!(
        "SELECT (SELECT min({key}) FROM {source} WHERE typeof({key}) = 'integer'), \
         (SELECT max({key}) FROM {source} WHERE typeof({key}) = 'integer')"
    );
    let range: (Option<i64>, Option<i64>) = connection
        .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|e| database.error("looking for the range of keys in", &e))?;
    Ok(range.0.zip(range.1))
}

/// The condition of a key range. What is null or no integer is in the first or the last: text and blobs sort above numbers.
pub fn range_condition(range: &Range) -> String {
    let key = quoted(&range.column);
    match (range.from, range.to) {
        (None, None) => "true".into(),
        (None, Some(to)) => format!("({key} < {to} OR {key} IS NULL)"),
        (Some(from), None) => format!("{key} >= {from}"),
        (Some(from), Some(to)) => format!("({key} >= {from} AND {key} < {to})"),
    }
}
