//! What is in a database: tables, their columns and types, and the range of a key.

use super::cursor::{ASKED_EVERY, Cell, Cursor};
use super::{Sqlite, quoted, types};
use arrow::datatypes::DataType;
use rusqlite::{Connection, ErrorCode, Statement};
use selvedge_connect::database::{Described, Range, Relation, Select};
use selvedge_node::{Error, Result};
use std::ffi::c_int;

/// Rows looked at where no declaration tells the type of a column.
const SAMPLE: usize = 1000;
/// What finding them may take, in instructions of SQLite's machine: about a second. A count and not a clock, so that every
/// machine plans the same.
const WORK: c_int = 100_000_000;

pub fn tables(database: &Sqlite) -> Result<Vec<String>> {
    let connection = database.reader()?;
    let sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               AND name NOT LIKE '\\_selvedge\\_%' ESCAPE '\\' ORDER BY name";
    let names = connection.prepare(sql).and_then(|mut s| s.query_map([], |row| row.get(0))?.collect());
    names.map_err(|e| database.error("listing the tables of", &e))
}

/// A relation in a FROM clause. The columns of a query go by their place there: a subquery's are renamed by SQLite where they
/// differ only in case.
pub struct Origin {
    /// `WITH … AS (…) ` for a query.
    with: String,
    name: String,
    /// Of a query, in order.
    columns: Vec<String>,
}

impl Origin {
    pub fn new(connection: &Connection, relation: &Relation) -> rusqlite::Result<Origin> {
        let sql = match relation {
            Relation::Table(name) => return Ok(Origin { with: String::new(), name: quoted(name), columns: vec![] }),
            Relation::Query(sql) => bare(sql),
        };
        let columns: Vec<String> = connection.prepare(sql)?.column_names().iter().map(|c| c.to_string()).collect();
        let places = (0..columns.len()).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ");
        let name = "_selvedge_query";
        // A query ends with a line break, as it may end with a comment.
        Ok(Origin { with: format!("WITH {name} ({places}) AS ({sql}\n) "), name: name.into(), columns })
    }

    /// A column in SQL.
    pub fn column(&self, name: &str) -> String {
        self.columns.iter().position(|c| c == name).map_or_else(|| quoted(name), |i| format!("c{i}"))
    }

    pub fn select(&self, what: &str, rest: &str) -> String {
        format!("{}SELECT {what} FROM {}{rest}", self.with, self.name)
    }
}

fn bare(query: &str) -> &str {
    query.trim().trim_end_matches(';')
}

pub fn columns(database: &Sqlite, relation: &Relation, typed: &dyn Fn(&str) -> bool) -> Result<Vec<Described>> {
    let connection = database.reader()?;
    let failed = |e: rusqlite::Error| match relation {
        Relation::Query(_) => Error::graph(format!("the query does not run: {}", super::reason(&e))),
        Relation::Table(_) => database.error("describing a table of", &e),
    };
    let mut described: Vec<Described> = {
        let sql = match relation {
            Relation::Table(name) => format!("SELECT * FROM {}", quoted(name)),
            Relation::Query(sql) => {
                // Only one SELECT can stand in a FROM clause.
                connection.prepare(&format!("SELECT * FROM ({}\n)", bare(sql))).map_err(failed)?;
                bare(sql).to_string()
            }
        };
        let statement = connection.prepare(&sql).map_err(failed)?;
        filled(&statement)?;
        let ty = |c: &rusqlite::Column| types::meaning(c.decl_type().unwrap_or(""));
        statement.columns().iter().map(|c| Described { name: c.name().to_string(), ty: ty(c) }).collect()
    };
    for (i, Described { name, .. }) in described.iter().enumerate() {
        if described.iter().take(i).any(|d| d.name == *name) {
            return Err(Error::graph(format!("two columns of the query are named `{name}`"))
                .help("give each a name of its own: `select a.id as a_id, b.id as b_id …`"));
        }
    }
    let mut open: Vec<&mut Described> = described.iter_mut().filter(|d| d.ty.is_none() && !typed(&d.name)).collect();
    if !open.is_empty() {
        let from = Origin::new(&connection, relation).map_err(failed)?;
        // `typeof` does not fetch the value, which may be large.
        let classes: Vec<String> = open.iter().map(|d| format!("typeof({})", from.column(&d.name))).collect();
        let sql = from.select(&classes.join(", "), &format!(" LIMIT {SAMPLE}"));
        let (seen, whole) = sample(connection, &sql, open.len()).map_err(failed)?;
        for (column, seen) in open.iter_mut().zip(seen) {
            column.ty = seen.ty().or(whole.then_some(DataType::Utf8));
        }
    }
    Ok(described)
}

/// SQLite takes null for a parameter without a value, which is hardly what the query means.
fn filled(statement: &Statement) -> Result<()> {
    let names = (1..=statement.parameter_count()).map(|i| statement.parameter_name(i).unwrap_or("?"));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return Ok(());
    }
    let (noun, verb) = if names.len() == 1 { ("parameter", "has") } else { ("parameters", "have") };
    let message = format!("the {noun} {} of the query {verb} no value", names.join(", "));
    Err(Error::graph(message).help(
        "write the value itself, or a parameter of the graph: `where x = ${name}`, with quotes for a text: `'${name}'`",
    ))
}

/// The storage classes that a statement of `typeof`s tells, and whether it ended within the work that a plan may take.
fn sample(connection: Connection, sql: &str, columns: usize) -> rusqlite::Result<(Vec<Seen>, bool)> {
    let mut cursor = Cursor::new(connection, sql)?;
    let mut seen = vec![Seen::default(); columns];
    let mut work = 0;
    let mut enough = || {
        work += ASKED_EVERY;
        work > WORK
    };
    loop {
        match cursor.step_unless(&mut enough) {
            Ok(true) => seen.iter_mut().enumerate().for_each(|(i, seen)| seen.look(cursor.cell(i))),
            Ok(false) => return Ok((seen, true)),
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => return Ok((seen, false)),
            Err(e) => return Err(e),
        }
    }
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
    /// Takes what `typeof` says.
    fn look(&mut self, class: Cell) {
        match class {
            Cell::Text(b"integer") => self.int = true,
            Cell::Text(b"real") => self.real = true,
            Cell::Text(b"text") => self.text = true,
            Cell::Text(b"blob") => self.blob = true,
            _ => {}
        }
    }

    /// The type that holds all of them; text holds anything but blobs. `None` if there was no value.
    fn ty(self) -> Option<DataType> {
        Some(match self {
            Seen { text: false, blob: false, real: false, int: false } => return None,
            Seen { text: false, blob: false, real: false, int: true } => DataType::Int64,
            Seen { text: false, blob: false, real: true, .. } => DataType::Float64,
            Seen { text: false, blob: true, real: false, int: false } => DataType::Binary,
            _ => DataType::Utf8,
        })
    }
}

/// Smallest and largest value of a column, if both are integers.
pub fn bounds(database: &Sqlite, select: &Select, column: &str) -> Result<Option<(i64, i64)>> {
    let connection = database.reader()?;
    let failed = |e| database.error("looking for the range of keys in", &e);
    let from = Origin::new(&connection, &select.relation).map_err(failed)?;
    let key = from.column(column);
    let end = |end: &str| from.select(&format!("{end}({key})"), &format!(" WHERE typeof({key}) = 'integer'"));
    // Two subqueries: SQLite answers each from an index, but not both in one SELECT.
    let sql = format!("SELECT ({}), ({})", end("min"), end("max"));
    let range: (Option<i64>, Option<i64>) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    Ok(range.0.zip(range.1))
}

/// The condition of a key range. What is null or no integer is in the first or the last: text and blobs sort above numbers.
pub fn range_condition(range: &Range, from: &Origin) -> String {
    let key = from.column(&range.column);
    match (range.from, range.to) {
        (None, None) => "true".into(),
        (None, Some(to)) => format!("({key} < {to} OR {key} IS NULL)"),
        (Some(from), None) => format!("{key} >= {from}"),
        (Some(from), Some(to)) => format!("({key} >= {from} AND {key} < {to})"),
    }
}
