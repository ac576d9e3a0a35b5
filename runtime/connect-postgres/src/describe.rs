//! What there is: tables, columns, bounds of keys, the state of the server.

use crate::config::Database;
use crate::types;
use arrow::datatypes::DataType;
use selvedge_connect::database::{Described, Range, Relation, Select};
use selvedge_connect::wait;
use selvedge_node::{Error, Result};
use selvedge_schemas::{FoundColumn, type_of};
use tokio_postgres::{Client, Column};

/// A name in SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names in SQL, with commas.
pub fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|n| quoted(n.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A text in SQL.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\\', "\\\\").replace('\'', "''");
    if text.contains('\\') { format!("E'{quoted}'") } else { format!("'{quoted}'") }
}

impl Database {
    /// A table in SQL, with its schema.
    pub fn table(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(name))
    }

    /// What a FROM takes.
    pub fn from(&self, relation: &Relation) -> String {
        match relation {
            Relation::Table(name) => self.table(name),
            Relation::Query(sql) => format!("({}\n) AS \"query\"", sql.trim().trim_end_matches(';')),
        }
    }
}

pub fn tables(database: &Database) -> Result<Vec<String>> {
    let client = database.client()?;
    let sql = format!(
        "SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = {}) \
         AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY relname",
        literal(&database.schema)
    );
    let rows = database.query(&client, "listing the tables of", &sql)?;
    Ok(rows
        .into_iter()
        .filter_map(|mut row| row.pop().flatten())
        .filter(|name| !name.starts_with("_selvedge_"))
        .collect())
}

/// The columns as the server describes a result.
pub fn described(database: &Database, client: &Client, relation: &Relation) -> Result<Vec<(String, DataType)>> {
    let sql = format!("SELECT * FROM {}", database.from(relation));
    let statement = wait(client.prepare(&sql))?.map_err(database.failed("describing what is read of"))?;
    let one = |c: &Column| (c.name().to_string(), types::of(c.type_(), c.type_modifier()));
    Ok(statement.columns().iter().map(one).collect())
}

pub fn columns(database: &Database, relation: &Relation) -> Result<Vec<Described>> {
    let columns = described(database, &database.client()?, relation)?;
    Ok(columns.into_iter().map(|(name, ty)| Described { name, ty: Some(ty) }).collect())
}

/// What is declared is true of every row.
pub fn crawl(database: &Database, table: &str) -> Result<Vec<FoundColumn>> {
    let client = database.client()?;
    let sql = format!(
        "SELECT attname FROM pg_attribute WHERE attrelid = {}::regclass AND attnum > 0 AND attnotnull",
        literal(&database.table(table))
    );
    let rows = database.query(&client, "describing a table of", &sql)?;
    let never_null: Vec<String> = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
    let columns = described(database, &client, &Relation::Table(table.into()))?;
    let found =
        |(name, ty): (String, DataType)| FoundColumn { nullable: !never_null.contains(&name), ty: type_of(&ty), name };
    Ok(columns.into_iter().map(found).collect())
}

/// Rows with a key in the range; what is null belongs to an open end.
pub fn range_condition(range: &Range) -> String {
    let column = quoted(&range.column);
    match (range.from, range.to) {
        (Some(from), Some(to)) => format!("{column} >= {from} AND {column} < {to}"),
        (Some(from), None) => format!("{column} >= {from}"),
        (None, Some(to)) => format!("({column} < {to} OR {column} IS NULL)"),
        (None, None) => "TRUE".into(),
    }
}

pub fn bounds(database: &Database, select: &Select, column: &str) -> Result<Option<(i64, i64)>> {
    let column = quoted(column);
    let sql = format!("SELECT min({column}), max({column}) FROM {}", database.from(&select.relation));
    let rows = database.query(&database.client()?, "finding the bounds of a key of", &sql)?;
    let end = |at: usize| rows.first().and_then(|row| row.get(at)?.clone()).map(|text| text.parse::<i64>()).transpose();
    match (end(0), end(1)) {
        (Ok(Some(least)), Ok(Some(most))) => Ok(Some((least, most))),
        (Ok(_), Ok(_)) => Ok(None),
        _ => Err(Error::world(format!("the bounds of {column} in {} are no whole numbers", database.place))),
    }
}

/// The place in the server's log of changes: where it is the same, so is everything.
pub fn version(database: &Database) -> Result<String> {
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, \
               pg_current_snapshot()";
    let rows = database.query(&database.client()?, "asking for the state of", sql)?;
    let state: Vec<String> = rows.into_iter().flatten().flatten().collect();
    Ok(format!("{} at {}", database.place, state.join(" ")))
}
