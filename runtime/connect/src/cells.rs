//! Rows that a database prints as text: a task takes cells from the network, in columns, while the node's thread casts those before.

use crate::database::Select;
use crate::position::{Position, Progress};
use crate::wait;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use selvedge_node::{Error, Next, Out, Reader, Rejection, Reservation, Result, Task};
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Cells that have come, in columns; behind those of the output the bookmark, where it is none of them.
pub struct Cells {
    columns: Vec<BinaryBuilder>,
    rows: usize,
    bytes: usize,
}

impl Cells {
    fn new(columns: usize) -> Cells {
        Cells { columns: (0..columns).map(|_| BinaryBuilder::new()).collect(), rows: 0, bytes: 0 }
    }
}

/// Takes rows, and hands over batches of them.
pub struct Taker {
    cells: Cells,
    /// Rows that were read before.
    skip: u64,
    batch_rows: usize,
    batch_bytes: usize,
    to: Sender<Result<Cells>>,
}

impl Taker {
    /// Takes a row: `cell` tells each cell of it, `None` is null. `false`: nobody reads any more.
    pub async fn row<'a>(&mut self, cell: impl Fn(usize) -> Option<&'a [u8]>) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return true;
        }
        for (at, column) in self.cells.columns.iter_mut().enumerate() {
            match cell(at) {
                Some(bytes) => {
                    self.cells.bytes += bytes.len();
                    column.append_value(bytes);
                }
                None => column.append_null(),
            }
        }
        self.cells.rows += 1;
        self.cells.rows < self.batch_rows && self.cells.bytes < self.batch_bytes || self.hand_over().await
    }

    /// There are no more rows, or there will be none.
    pub async fn end(mut self, ended: Result<()>) {
        // If nobody reads any more, nobody has to know.
        match ended {
            Ok(()) => _ = self.hand_over().await,
            Err(e) => _ = self.to.send(Err(e)).await,
        }
    }

    async fn hand_over(&mut self) -> bool {
        if self.cells.rows == 0 {
            return true;
        }
        let columns = self.cells.columns.len();
        self.to.send(Ok(std::mem::replace(&mut self.cells, Cells::new(columns)))).await.is_ok()
    }
}

/// How long a call waits for rows.
const PATIENCE: Duration = Duration::from_millis(200);

pub struct CellsReader {
    cells: Receiver<Result<Cells>>,
    schema: SchemaRef,
    /// Of an incremental read.
    progress: Option<Progress>,
    /// Its column.
    mark: usize,
    /// For the batches on their way.
    _memory: Reservation,
}

impl CellsReader {
    /// Who reads, and who takes the rows for it. The columns are those of `select`, and behind them the bookmark if it is none of them.
    pub fn new(select: &Select, position: Option<Position>, task: &Task) -> (CellsReader, Taker) {
        let skip = match &position {
            Some(Position::At { rows, .. }) => *rows,
            _ => 0,
        };
        let mark = select.mark().unwrap_or(select.schema.fields().len());
        let columns = select.schema.fields().len() + usize::from(select.bookmark.is_some() && select.mark().is_none());
        let (to, cells) = channel(1);
        let (batch_rows, batch_bytes) = (task.batch_rows.max(1), task.batch_bytes.max(1));
        // One is filled, one waits and one is cast.
        let mut memory = task.memory.reserve();
        memory.resize(3 * batch_bytes as u64);
        let progress = select.bookmark.as_ref().map(|_| Progress::resume(position));
        let reader = CellsReader { cells, schema: select.schema.clone(), progress, mark, _memory: memory };
        (reader, Taker { cells: Cells::new(columns), skip, batch_rows, batch_bytes, to })
    }
}

impl Reader for CellsReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        // A database may take its time; whoever stops the run must not.
        let Ok(cells) = wait(async { tokio::time::timeout(PATIENCE, self.cells.recv()).await })? else {
            return Ok(Next::More);
        };
        let Some(cells) = cells else {
            if let Some(progress) = &mut self.progress {
                progress.finish();
            }
            return Ok(Next::Done);
        };
        let Cells { mut columns, rows, .. } = cells?;
        let columns: Vec<BinaryArray> = columns.iter_mut().map(BinaryBuilder::finish).collect();
        out.create("read", rows as u64);
        if let (Some(progress), Some(marks)) = (&mut self.progress, columns.get(self.mark)) {
            marks.iter().flatten().for_each(|mark| progress.see(Some(&String::from_utf8_lossy(mark))));
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

impl CellsReader {
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
        Error::graph(format!("{e}: no column of a database can be read so"))
            .help("read it as Utf8, and see to it behind")
    })?;
    let failed = match (odd, cast.failed) {
        (Some(odd), Some(failed)) => Some(arrow::compute::or(&odd, &failed)?),
        (odd, failed) => odd.or(failed),
    };
    Ok((cast.values, failed))
}

/// Some of the cells are no UTF-8, which the database had promised.
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
