//! Rows of a SELECT, in the text protocol.

use crate::config::Database;
use crate::describe::{described, from, quoted, range_condition};
use crate::position::condition;
use crate::types;
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Value};
use selvedge_connect::cells::{CellsReader, Taker};
use selvedge_connect::database::{Relation, Select};
use selvedge_connect::position::Position;
use selvedge_connect::spawn;
use selvedge_node::{Error, Result, Task};

pub fn open(database: &Database, select: &Select, task: &Task) -> Result<CellsReader> {
    let columns = described(database, &select.relation)?;
    let position = select.bookmark.as_ref().and_then(|b| b.from.as_deref()).map(Position::parse).transpose()?;
    let sql = statement(database, select, &columns, position.as_ref())?;
    let (reader, mut taker) = CellsReader::new(select, position, task);
    let mut conn = database.connection()?;
    let failed = database.failed("reading from");
    spawn(async move {
        let ended = fetch(&mut conn, &sql, &mut taker).await.map_err(failed);
        taker.end(ended).await;
    })?;
    Ok(reader)
}

async fn fetch(conn: &mut mysql_async::Conn, sql: &str, taker: &mut Taker) -> mysql_async::Result<()> {
    let mut result = conn.query_iter(sql).await?;
    while let Some(row) = result.next().await? {
        // The text protocol has nothing but bytes and null.
        let cell = |at: usize| match row.as_ref(at) {
            Some(Value::Bytes(bytes)) => Some(bytes.as_slice()),
            _ => None,
        };
        if !taker.row(cell).await {
            break;
        }
    }
    Ok(())
}

/// `SELECT columns[, bookmark] FROM … WHERE … ORDER BY bookmark, primary key`
fn statement(database: &Database, select: &Select, columns: &[Column], position: Option<&Position>) -> Result<String> {
    let find = |name: &str| {
        let found = columns.iter().find(|c| c.name_str() == name);
        found.ok_or_else(|| {
            Error::world(format!("there is no column `{name}` in what is read of {} any more", database.place))
                .help("check the graph again")
        })
    };
    let mut asked = vec![];
    for field in select.schema.fields() {
        asked.push(types::asked(find(field.name())?, &quoted(field.name())));
    }
    let mut conditions: Vec<String> = select.range.iter().map(range_condition).collect();
    let mut order = String::new();
    if let Some(bookmark) = &select.bookmark {
        let (column, name) = (find(&bookmark.column)?, quoted(&bookmark.column));
        if !types::grows(column) {
            let text = format!(
                "column `{}` of {} is text, whose order its collation decides",
                bookmark.column, database.place
            );
            return Err(Error::graph(text).help("a bookmark is a number, a date or a time"));
        }
        conditions.extend(position.map(|position| condition(position, column, &name)));
        order = format!(" ORDER BY {name}");
        // Rows with equal bookmarks need an order of their own, or skipping some of them later would mean others.
        if let Relation::Table(_) = &select.relation {
            let primary = mysql_async::consts::ColumnFlags::PRI_KEY_FLAG;
            let keys = columns.iter().filter(|c| c.flags().contains(primary));
            keys.for_each(|key| order += &format!(", {}", quoted(&key.name_str())));
        }
        if select.mark().is_none() {
            asked.push(types::asked(column, &name));
        }
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    // No column at all still counts rows.
    let asked = if asked.is_empty() { "NULL".to_string() } else { asked.join(", ") };
    Ok(format!("SELECT {asked} FROM {}{conditions}{order}", from(&select.relation)))
}
