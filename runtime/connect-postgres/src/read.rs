//! Rows of a SELECT into batches: a task on the network's threads decodes what `COPY` sends, and hands over whole batches.

use crate::column::Column;
use crate::connection::{Background, Postgres, Session};
use crate::decode::Decoder;
use crate::describe::{Origin, range_condition};
use crate::{literal, types};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use futures::StreamExt;
use selvedge_connect::database::Select;
use selvedge_connect::position::{Position, Progress};
use selvedge_connect::wait;
use selvedge_node::{Error, Next, Out, Reader, Rejection, Result, Task, rows_json};
use serde_json::Value;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches on their way from the network's threads: one is taken while the next is made.
const AHEAD: usize = 2;
/// How often a waiting reader looks whether the run stops.
const LOOK: Duration = Duration::from_millis(50);

pub struct TableReader {
    batches: mpsc::Receiver<Result<Chunk>>,
    _task: Background,
    position: Option<String>,
}

/// What one batch of rows became.
struct Chunk {
    /// Rows that were found.
    rows: usize,
    batch: RecordBatch,
    rejections: Vec<Rejection>,
    /// Where they end, of an incremental read.
    position: Option<String>,
    last: bool,
}

/// A SELECT, and how its columns come.
struct Plan {
    sql: String,
    wires: Vec<DataType>,
    skip: u64,
}

impl TableReader {
    pub fn open(database: &Postgres, select: &Select, task: &Task) -> Result<TableReader> {
        let from = select.bookmark.as_ref().and_then(|b| b.from.as_deref());
        let position = from.map(Position::parse).transpose()?;
        let progress = select.bookmark.as_ref().map(|_| Progress::resume(position.clone()));
        let first = progress.as_ref().and_then(Progress::position);
        let (sender, batches) = mpsc::channel(AHEAD);
        let (database, select) = (database.clone(), select.clone());
        let (most_rows, most_bytes) = (task.batch_rows.max(1), task.batch_bytes.max(1));
        let reading = async move {
            let read = async {
                let session = database.session().await?;
                let failed = |e| database.error("reading from", &e);
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                session.client.batch_execute(begin).await.map_err(failed)?;
                let plan = plan(&database, &session, &select, position.as_ref()).await?;
                let columns = plan.wires.iter().map(Column::of).collect::<Result<Vec<_>>>()?;
                let mut decoder = Decoder::new(columns, progress, plan.skip);
                let mut rows = pin!(session.client.copy_out(&plan.sql).await.map_err(failed)?);
                while let Some(message) = rows.next().await {
                    decoder.feed(&message.map_err(failed)?)?;
                    if decoder.rows >= most_rows || decoder.bytes >= most_bytes {
                        let chunk = chunk(&mut decoder, &select.schema, false)?;
                        if sender.send(Ok(chunk)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                if !decoder.ended() {
                    return Err(
                        Error::world(format!("{} hung up in the middle of the rows", database.place)).retryable()
                    );
                }
                if let Some(progress) = &mut decoder.progress {
                    progress.finish();
                }
                // A receiver that is gone wants no more.
                _ = sender.send(Ok(chunk(&mut decoder, &select.schema, true)?)).await;
                Ok(())
            };
            if let Err(e) = read.await {
                _ = sender.send(Err(e)).await;
            }
        };
        let task = wait(async { Background::spawn(reading) })?;
        Ok(TableReader { batches, _task: task, position: first })
    }
}

/// `SELECT columns[, bookmark::text] FROM … WHERE … ORDER BY bookmark, ctid`
async fn plan(database: &Postgres, session: &Session, select: &Select, position: Option<&Position>) -> Result<Plan> {
    let from = Origin::new(database, session, &select.relation).await?;
    let (mut columns, mut wires) = (vec![], vec![]);
    for field in select.schema.fields() {
        let column = from.column(field.name())?;
        let wire = types::wire(&column.ty, column.modifier, field.data_type());
        columns.push(if wire.is_some() { column.sql.clone() } else { format!("{}::text", column.sql) });
        wires.push(wire.unwrap_or(DataType::Utf8));
    }
    let mut conditions = vec![];
    if let Some(range) = &select.range {
        conditions.push(range_condition(range, &from.column(&range.column)?.sql));
    }
    let (mut order, mut skip) = (String::new(), 0);
    if let Some(bookmark) = &select.bookmark {
        let mark = &from.column(&bookmark.column)?.sql;
        match position {
            // PostgreSQL takes a bare literal for the type of what it is compared with.
            Some(Position::After { after }) => conditions.push(format!("{mark} > {}", literal(after))),
            Some(Position::At { at, rows }) => {
                conditions.push(format!("{mark} >= {}", literal(at)));
                skip = *rows;
            }
            None => {}
        }
        order = format!(" ORDER BY {mark}{}", if position.is_none() { " NULLS FIRST" } else { "" });
        // Rows with equal bookmarks need an order of their own, or skipping some of them later would mean others.
        if from.plain {
            order.push_str(", ctid");
        }
        columns.push(format!("{mark}::text"));
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    // No column at all still counts rows.
    let columns = if columns.is_empty() { "NULL::int4".to_string() } else { columns.join(", ") };
    let select = from.select(&columns, &format!("{conditions}{order}"));
    Ok(Plan { sql: format!("COPY ({select}) TO STDOUT (FORMAT BINARY)"), wires, skip })
}

/// What was decoded since the last batch.
fn chunk(decoder: &mut Decoder, schema: &SchemaRef, last: bool) -> Result<Chunk> {
    let rows = std::mem::take(&mut decoder.rows);
    decoder.bytes = 0;
    let came = decoder.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
    let mut misfits: Vec<(usize, usize, String)> =
        decoder.misfits.drain(..).map(|(row, column, why)| (row, column, why.to_string())).collect();
    let mut columns = vec![];
    for (i, (column, field)) in came.iter().zip(schema.fields()).enumerate() {
        let cast = fitted(column, field.data_type())?;
        if cast.null_count() > column.null_count() {
            let lost = (0..rows).filter(|&row| cast.is_null(row) && !column.is_null(row));
            let told = |row| array_value_to_string(column, row).map(|t| format!("`{}`", start(&t)));
            misfits.extend(lost.map(|row| Ok((row, i, told(row)?))).collect::<Result<Vec<_>>>()?);
        }
        columns.push(cast);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let mut batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    let mut rejections = vec![];
    if !misfits.is_empty() {
        misfits.sort();
        misfits.dedup_by_key(|(row, ..)| *row);
        let fields = came.iter().zip(schema.fields()).map(|(c, f)| Field::new(f.name(), c.data_type().clone(), true));
        let given = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), came)?;
        let mut keep = vec![true; rows];
        for (row, column, found) in misfits {
            if let Some(keep) = keep.get_mut(row) {
                *keep = false;
            }
            rejections.push(rejection(&given, schema.field(column), row, &found));
        }
        batch = filter_record_batch(&batch, &BooleanArray::from(keep))?;
    }
    let position = decoder.progress.as_ref().and_then(Progress::position);
    Ok(Chunk { rows, batch, rejections, position, last })
}

/// As the type of the output; what does not fit is null.
fn fitted(column: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    if column.data_type() == ty {
        return Ok(column.clone());
    }
    Ok(cast_with_options(column, ty, &CastOptions { safe: true, ..Default::default() })?)
}

fn rejection(given: &RecordBatch, field: &Field, row: usize, found: &str) -> Rejection {
    let mut raw = rows_json(given, &[row]).pop().unwrap_or_default();
    // A value that Arrow has no form for is told in words.
    if let Ok(Value::Object(mut cells)) = serde_json::from_str::<Value>(&raw)
        && cells.get(field.name()).is_none_or(Value::is_null)
    {
        cells.insert(field.name().clone(), found.into());
        raw = Value::Object(cells).to_string();
    }
    let message = format!("column `{}` is {}, but holds {found}", field.name(), field.data_type());
    Rejection { code: "table.type".into(), message, raw }
}

/// Enough of a text to know it.
fn start(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_string(),
    }
}

impl Reader for TableReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let came = loop {
            match wait(async { tokio::time::timeout(LOOK, self.batches.recv()).await })? {
                Ok(came) => break came,
                Err(_) if out.stopping() => return Ok(Next::More),
                Err(_) => {}
            }
        };
        let Some(chunk) = came else { return Err(Error::bug("rows were asked for after the last")) };
        let chunk = chunk?;
        out.create("read", chunk.rows as u64);
        for rejection in chunk.rejections {
            out.reject(rejection)?;
        }
        out.send(0, chunk.batch)?;
        self.position = chunk.position;
        Ok(if chunk.last { Next::Done } else { Next::More })
    }

    fn position(&self) -> Option<String> {
        self.position.clone()
    }
}
