//! Rows of a SELECT, by COPY.

use crate::config::Database;
use crate::copy::{Fields, hex};
use crate::describe::{described, literal, quoted, range_condition};
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use selvedge_connect::cells::{CellsReader, Taker};
use selvedge_connect::database::{Relation, Select};
use selvedge_connect::position::Position;
use selvedge_connect::spawn;
use selvedge_node::{Error, Result, Task};
use tokio_postgres::Client;

pub fn open(database: &Database, select: &Select, task: &Task) -> Result<CellsReader> {
    let client = database.client()?;
    let columns = described(database, &client, &select.relation)?;
    let position = select.bookmark.as_ref().and_then(|b| b.from.as_deref()).map(Position::parse).transpose()?;
    let sql = statement(database, &client, select, &columns, position.as_ref())?;
    let (reader, mut taker) = CellsReader::new(select, position, task);
    let binary: Vec<bool> = select.schema.fields().iter().map(|f| *f.data_type() == DataType::Binary).collect();
    let failed = database.failed("reading from");
    spawn(async move {
        let ended = fetch(&client, &sql, &binary, &mut taker).await.map_err(failed);
        taker.end(ended).await;
    })?;
    Ok(reader)
}

async fn fetch(
    client: &Client,
    sql: &str,
    binary: &[bool],
    taker: &mut Taker,
) -> std::result::Result<(), tokio_postgres::Error> {
    let stream = client.copy_out(sql).await?;
    let mut stream = std::pin::pin!(stream);
    let mut fields = Fields::new();
    let mut bytes: Vec<Vec<u8>> = binary.iter().map(|_| vec![]).collect();
    // A message is one row and its line feed.
    while let Some(message) = stream.try_next().await? {
        let row = message.strip_suffix(b"\n").unwrap_or(&message);
        fields.split(row);
        for (at, bytes) in bytes.iter_mut().enumerate().filter(|(at, _)| binary[*at]) {
            if let Some(text) = fields.get(row, at)
                && !hex(text, bytes)
            {
                // No `bytea`: its text, in UTF-8.
                bytes.extend_from_slice(text);
            }
        }
        let cell = |at: usize| match (fields.get(row, at), binary.get(at)) {
            (Some(_), Some(true)) => Some(bytes[at].as_slice()),
            (cell, _) => cell,
        };
        if !taker.row(cell).await {
            break;
        }
    }
    Ok(())
}

/// `COPY (SELECT columns[, bookmark] FROM … WHERE … ORDER BY bookmark, primary key) TO STDOUT`
fn statement(
    database: &Database,
    client: &Client,
    select: &Select,
    columns: &[(String, DataType)],
    position: Option<&Position>,
) -> Result<String> {
    let there = |name: &str| match columns.iter().any(|(known, _)| known == name) {
        true => Ok(quoted(name)),
        false => {
            Err(Error::world(format!("there is no column `{name}` in what is read of {} any more", database.place))
                .help("check the graph again"))
        }
    };
    let mut asked = select.schema.fields().iter().map(|f| there(f.name())).collect::<Result<Vec<_>>>()?;
    let mut conditions: Vec<String> = select.range.iter().map(range_condition).collect();
    let mut order = String::new();
    if let Some(bookmark) = &select.bookmark {
        let name = there(&bookmark.column)?;
        // A text without a type is read as the column's.
        conditions.extend(position.map(|position| match position {
            Position::After { after } => format!("{name} > {}", literal(after)),
            Position::At { at, .. } => format!("{name} >= {}", literal(at)),
        }));
        order = format!(" ORDER BY {name} NULLS FIRST");
        // Rows with equal bookmarks need an order of their own, or skipping some of them later would mean others.
        if let Relation::Table(table) = &select.relation {
            for key in primary_key(database, client, table)? {
                order += &format!(", {}", quoted(&key));
            }
        }
        if select.mark().is_none() {
            asked.push(name);
        }
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    // No column at all still counts rows.
    let asked = if asked.is_empty() { "NULL".to_string() } else { asked.join(", ") };
    Ok(format!("COPY (SELECT {asked} FROM {}{conditions}{order}) TO STDOUT", database.from(&select.relation)))
}

fn primary_key(database: &Database, client: &Client, table: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
         WHERE i.indrelid = {}::regclass AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)",
        literal(&database.table(table))
    );
    let rows = database.query(client, "describing a table of", &sql)?;
    Ok(rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect())
}
