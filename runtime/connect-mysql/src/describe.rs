//! What there is: tables, columns, bounds of keys, the state of the server.

use crate::config::Database;
use crate::types;
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Row, Value};
use selvedge_connect::database::{Described, Range, Relation, Select};
use selvedge_connect::wait;
use selvedge_node::{Error, Result};
use selvedge_schemas::{FoundColumn, type_of};

/// A name in SQL.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// What a FROM takes.
pub fn from(relation: &Relation) -> String {
    match relation {
        Relation::Table(name) => quoted(name),
        Relation::Query(sql) => format!("({}) AS `query`", sql.trim().trim_end_matches(';')),
    }
}

fn rows(database: &Database, doing: &str, sql: &str) -> Result<Vec<Row>> {
    let mut conn = database.connection()?;
    wait(conn.query::<Row, _>(sql))?.map_err(database.failed(doing))
}

/// A cell in the text protocol.
fn text(row: &Row, at: usize) -> Option<String> {
    match row.as_ref(at)? {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

pub fn tables(database: &Database) -> Result<Vec<String>> {
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name";
    Ok(rows(database, "listing the tables of", sql)?.iter().filter_map(|row| text(row, 0)).collect())
}

/// The columns as the server describes a result of no row.
pub fn described(database: &Database, relation: &Relation) -> Result<Vec<Column>> {
    let mut conn = database.connection()?;
    let sql = format!("SELECT * FROM {} LIMIT 0", from(relation));
    let found = wait(async {
        let result = conn.query_iter(sql).await?;
        Ok(result.columns_ref().to_vec())
    })?;
    found.map_err(database.failed("describing what is read of"))
}

pub fn columns(database: &Database, relation: &Relation) -> Result<Vec<Described>> {
    let described = described(database, relation)?;
    Ok(described.iter().map(|c| Described { name: c.name_str().into_owned(), ty: Some(types::of(c)) }).collect())
}

/// What is declared is true of every row.
pub fn crawl(database: &Database, table: &str) -> Result<Vec<FoundColumn>> {
    let not_null = mysql_async::consts::ColumnFlags::NOT_NULL_FLAG;
    let described = described(database, &Relation::Table(table.into()))?;
    let found = |c: &Column| FoundColumn {
        name: c.name_str().into_owned(),
        ty: type_of(&types::of(c)),
        nullable: !c.flags().contains(not_null),
    };
    Ok(described.iter().map(found).collect())
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
    let sql = format!("SELECT MIN({column}), MAX({column}) FROM {}", from(&select.relation));
    let found = rows(database, "finding the bounds of a key of", &sql)?;
    let end = |at: usize| {
        let cell = found.first().and_then(|row| text(row, at));
        // Beyond a signed key there is an open end.
        cell.map(|text| text.parse::<i128>().map(|n| n.clamp(i64::MIN.into(), i64::MAX.into()) as i64)).transpose()
    };
    match (end(0), end(1)) {
        (Ok(Some(least)), Ok(Some(most))) => Ok(Some((least, most))),
        (Ok(_), Ok(_)) => Ok(None),
        _ => Err(Error::world(format!("the bounds of {column} in {} are no whole numbers", database.place))),
    }
}

/// The place in the server's log of changes: where it is the same, so is everything. On a replica, and for a user who may not see it, the
/// answer is never the same again.
pub fn version(database: &Database) -> Result<String> {
    let mut conn = database.connection()?;
    let mut ask = |sql| -> Result<mysql_async::Result<Vec<Row>>> { wait(conn.query(sql)) };
    // What a replica gets need not be in its own log. The new words first, then the old ones.
    let (new, old) = (ask("SHOW REPLICA STATUS")?, ask("SHOW SLAVE STATUS")?);
    let replica = new.or(old).map_or(true, |rows| !rows.is_empty());
    // The first is MySQL's from 8.2 on, the second that of older ones and of MariaDB.
    for sql in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        let found = ask(sql)?;
        if let Some(row) = found.ok().filter(|_| !replica).and_then(|rows| rows.into_iter().next())
            && let (Some(file), Some(at)) = (text(&row, 0), text(&row, 1))
        {
            return Ok(format!("{} at {file}:{at}", database.place));
        }
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{} at {} ns, whose log of changes tells nothing", database.place, now.as_nanos()))
}
