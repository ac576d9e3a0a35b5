//! Rows of a SELECT into batches: a task takes cells from the network, in columns, while the node's thread casts those before.

use crate::config::Database;
use crate::describe::{described, from, quoted, range_condition};
use crate::position::{Position, Progress};
use crate::types;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Value};
use selvedge_connect::database::{Relation, Select};
use selvedge_connect::{spawn, wait};
use selvedge_node::{Error, Next, Out, Reader, Rejection, Reservation, Result, Task};
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Cells that have come, in columns; behind those of the output the bookmark, where it is none of them.
struct Cells {
    columns: Vec<BinaryBuilder>,
    rows: usize,
    bytes: usize,
}

impl Cells {
    fn new(columns: usize) -> Cells {
        Cells { columns: (0..columns).map(|_| BinaryBuilder::new()).collect(), rows: 0, bytes: 0 }
    }

    fn push(&mut self, row: &mysql_async::Row) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            match row.as_ref(at) {
                Some(Value::Bytes(bytes)) => {
                    self.bytes += bytes.len();
                    column.append_value(bytes);
                }
                // The text protocol has nothing but bytes and null.
                _ => column.append_null(),
            }
        }
        self.rows += 1;
    }
}

pub struct TableReader {
    cells: Receiver<Result<Cells>>,
    schema: SchemaRef,
    /// Of an incremental read.
    progress: Option<Progress>,
    /// Its column.
    mark: usize,
    /// For the batches on their way.
    _memory: Reservation,
}

impl TableReader {
    pub fn open(database: &Database, select: &Select, task: &Task) -> Result<TableReader> {
        let columns = described(database, &select.relation)?;
        let position = match select.bookmark.as_ref().and_then(|b| b.from.as_deref()) {
            Some(text) => Some(Position::parse(text)?),
            None => None,
        };
        let sql = statement(database, select, &columns, position.as_ref())?;
        let skip = match &position {
            Some(Position::At { rows, .. }) => *rows,
            _ => 0,
        };
        let mark = select.mark().unwrap_or(select.schema.fields().len());
        let wanted = select.schema.fields().len() + usize::from(select.bookmark.is_some() && select.mark().is_none());
        let (to, cells) = channel(1);
        let limits = (task.batch_rows.max(1), task.batch_bytes.max(1));
        // One is filled, one waits and one is cast.
        let mut memory = task.memory.reserve();
        memory.resize(3 * limits.1 as u64);
        let mut conn = database.connection()?;
        let failed = database.failed("reading from");
        spawn(async move {
            if let Err(e) = fetch(&mut conn, &sql, wanted, skip, limits, &to).await {
                // Whoever reads has gone, or hears of it.
                let _ = to.send(Err(failed(e))).await;
            }
        })?;
        let progress = select.bookmark.as_ref().map(|_| Progress::resume(position));
        Ok(TableReader { cells, schema: select.schema.clone(), progress, mark, _memory: memory })
    }
}

async fn fetch(
    conn: &mut mysql_async::Conn,
    sql: &str,
    columns: usize,
    mut skip: u64,
    (rows, bytes): (usize, usize),
    to: &Sender<Result<Cells>>,
) -> mysql_async::Result<()> {
    let mut result = conn.query_iter(sql).await?;
    let mut cells = Cells::new(columns);
    while let Some(row) = result.next().await? {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        cells.push(&row);
        if cells.rows < rows && cells.bytes < bytes {
            continue;
        }
        if to.send(Ok(std::mem::replace(&mut cells, Cells::new(columns)))).await.is_err() {
            return Ok(());
        }
    }
    if cells.rows > 0 {
        let _ = to.send(Ok(cells)).await;
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
        conditions.extend(position.map(|position| position.condition(column, &name)));
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

impl Reader for TableReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let Some(cells) = wait(self.cells.recv())? else {
            if let Some(progress) = &mut self.progress {
                progress.finish();
            }
            return Ok(Next::Done);
        };
        let Cells { mut columns, rows, .. } = cells?;
        let columns: Vec<BinaryArray> = columns.iter_mut().map(BinaryBuilder::finish).collect();
        out.create("read", rows as u64);
        if let (Some(progress), Some(marks)) = (&mut self.progress, columns.get(self.mark)) {
            marks.iter().flatten().for_each(|mark| progress.saw(&String::from_utf8_lossy(mark)));
        }
        let mut values = vec![];
        // The first column of each row that holds what its type cannot.
        let mut misfits: Vec<Option<usize>> = vec![];
        for (at, (field, cells)) in self.schema.fields().iter().zip(&columns).enumerate() {
            let (array, failed) = convert(cells, field.data_type())?;
            if let Some(failed) = failed {
                misfits.resize(rows, None);
                for row in failed.values().set_indices() {
                    misfits[row].get_or_insert(at);
                }
            }
            values.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let mut batch = RecordBatch::try_new_with_options(self.schema.clone(), values, &options)?;
        if !misfits.is_empty() {
            let mut sound = BooleanBufferBuilder::new(rows);
            for (row, misfit) in misfits.iter().enumerate() {
                sound.append(misfit.is_none());
                if let Some(column) = misfit {
                    out.reject(self.misfit(&columns, row, *column))?;
                }
            }
            batch = filter_record_batch(&batch, &BooleanArray::new(sound.finish(), None))?;
        }
        if batch.num_rows() > 0 {
            out.send(0, batch)?;
        }
        Ok(Next::More)
    }

    fn position(&self) -> Option<String> {
        self.progress.as_ref()?.position()
    }
}

impl TableReader {
    fn misfit(&self, columns: &[BinaryArray], row: usize, column: usize) -> Rejection {
        let field = self.schema.field(column);
        let found = shown(columns[column].value(row), 80);
        let message = format!("column `{}` is {}, but holds `{found}`", field.name(), field.data_type());
        let cells = self.schema.fields().iter().zip(columns).map(|(field, cells)| {
            let cell = if cells.is_null(row) { Json::Null } else { shown(cells.value(row), 64 << 10).into() };
            (field.name().clone(), cell)
        });
        let raw = Json::Object(cells.collect::<Map<_, _>>()).to_string();
        Rejection { code: "table.type".into(), message, raw }
    }
}

/// The start of a cell, as text.
fn shown(cell: &[u8], most: usize) -> String {
    String::from_utf8_lossy(&cell[..cell.len().min(most)]).into_owned()
}

/// A column of cells in its type, and which of them it cannot hold.
fn convert(cells: &BinaryArray, to: &DataType) -> Result<(ArrayRef, Option<BooleanArray>)> {
    if *to == DataType::Binary {
        return Ok((Arc::new(cells.clone()), None));
    }
    let (text, odd) = match StringArray::try_from_binary(cells.clone()) {
        Ok(text) => (text, None),
        Err(_) => by_cell(cells),
    };
    let cast = selvedge_cast::cast(&text, to).map_err(|e| {
        Error::graph(format!("{e}: no column of MySQL can be read so")).help("read it as Utf8, and see to it behind")
    })?;
    let failed = match (odd, cast.failed) {
        (Some(odd), Some(failed)) => Some(arrow::compute::or(&odd, &failed)?),
        (odd, failed) => odd.or(failed),
    };
    Ok((cast.values, failed))
}

/// Some of the cells are no UTF-8, which the server had promised.
fn by_cell(cells: &BinaryArray) -> (StringArray, Option<BooleanArray>) {
    let mut text = StringBuilder::new();
    let mut odd = BooleanBufferBuilder::new(cells.len());
    for cell in cells.iter() {
        let read = cell.map(std::str::from_utf8);
        odd.append(matches!(read, Some(Err(_))));
        text.append_option(read.and_then(|read| read.ok()));
    }
    (text.finish(), Some(BooleanArray::new(odd.finish(), None)))
}
