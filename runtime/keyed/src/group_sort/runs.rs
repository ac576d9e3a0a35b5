//! Rows on disk, in runs sorted by key and time, and the merge of runs.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema, SchemaRef};
use selvedge_node::{Result, Task};
use selvedge_state::{SpillFile, SpillReader, SpillWriter, batch_bytes};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// So many runs of one size are made one: the merge of all has few readers.
const FAN: usize = 16;

pub(crate) const HASH: DataType = DataType::Decimal128(38, 0);

/// What the rows look like on disk: as they came, then how much of their session has been sent before, when they arrived, the hash
/// of the key and the time in ticks.
pub(crate) fn stored(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    for (name, ty) in
        [("\0floor", DataType::Int64), ("\0arrival", DataType::Int64), ("\0hash", HASH), ("\0time", DataType::Int64)]
    {
        fields.push(Arc::new(Field::new(name, ty, false)));
    }
    Arc::new(Schema::new(fields))
}

/// What is stored of a row besides its columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub key: u128,
    pub time: i64,
    pub arrival: u64,
    pub floor: i64,
}

/// A stored batch of rows.
pub(crate) fn store(schema: &SchemaRef, mut columns: Vec<ArrayRef>, marks: &[Mark]) -> Result<RecordBatch> {
    let numbers = |get: fn(&Mark) -> i64| Arc::new(Int64Array::from_iter_values(marks.iter().map(get)));
    columns.push(numbers(|m| m.floor));
    columns.push(numbers(|m| m.arrival as i64));
    let hashes = Decimal128Array::from_iter_values(marks.iter().map(|m| m.key as i128));
    columns.push(Arc::new(hashes.with_data_type(HASH)));
    columns.push(numbers(|m| m.time));
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// The marks of a stored batch.
#[derive(Clone, Copy)]
pub(crate) struct Marks<'a> {
    pub hashes: &'a [i128],
    pub times: &'a [i64],
    pub arrivals: &'a [i64],
    pub floors: &'a [i64],
}

pub(crate) fn marks(batch: &RecordBatch) -> Marks<'_> {
    let last = batch.num_columns() - 1;
    let numbers = |column: usize| batch.column(column).as_primitive::<Int64Type>().values().as_ref();
    Marks {
        hashes: batch.column(last - 1).as_primitive::<Decimal128Type>().values(),
        times: numbers(last),
        arrivals: numbers(last - 2),
        floors: numbers(last - 3),
    }
}

/// Rows sorted by key, time and arrival.
struct Run {
    file: SpillFile,
    /// How often its rows have been merged.
    merged: u32,
    /// All of them arrived before this.
    until: u64,
}

pub(crate) struct Runs {
    schema: SchemaRef,
    runs: Vec<Run>,
}

impl Runs {
    pub(crate) fn new(schema: SchemaRef) -> Runs {
        Runs { schema, runs: vec![] }
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }
    pub(crate) fn rows(&self) -> u64 {
        self.runs.iter().map(|run| run.file.rows()).sum()
    }

    /// The runs that may have rows that arrived at `since` or after.
    pub(crate) fn since(&self, since: u64) -> impl Iterator<Item = Result<SpillReader>> + '_ {
        self.runs.iter().filter(move |run| run.until > since).map(|run| run.file.read())
    }

    /// Adds a run, all rows of which arrived before `until`.
    pub(crate) fn push(&mut self, file: SpillFile, until: u64, task: &Task) -> Result<()> {
        self.runs.push(Run { file, merged: 0, until });
        while let Some(from) = self.runs.len().checked_sub(FAN) {
            let Run { merged: level, .. } = self.runs[from];
            if self.runs[from..].iter().any(|run| run.merged != level) {
                break;
            }
            let until = self.runs[from..].iter().map(|run| run.until).max().unwrap_or(0);
            let merged = Merge::new(&self.schema, self.runs.split_off(from), task)?;
            let mut writer = SpillWriter::create(&task.scratch, &self.schema)?;
            for batch in merged {
                writer.write(&batch?)?;
            }
            self.runs.push(Run { file: writer.finish()?, merged: level + 1, until });
        }
        Ok(())
    }

    /// All rows arrived before this.
    pub(crate) fn until(&self) -> u64 {
        self.runs.iter().map(|run| run.until).max().unwrap_or(0)
    }

    /// Everything, in order. No run is left.
    pub(crate) fn drain(&mut self, task: &Task) -> Result<Merge> {
        Merge::new(&self.schema, std::mem::take(&mut self.runs), task)
    }
}

/// Rows for a batch on disk, of which the merge holds one for each run.
pub(crate) fn rows_on_disk(task: &Task, row_bytes: u64) -> usize {
    let bytes = (task.memory.limit() / 256).clamp(8 << 10, 1 << 20);
    ((bytes / row_bytes.max(1)) as usize).clamp(16, task.batch_rows.max(16))
}

/// A batch of a run at work.
struct Cursor {
    reader: SpillReader,
    /// Where its batch stands in the pool, and the next row of it.
    at: usize,
    row: usize,
}

/// Merges runs into batches.
pub(crate) struct Merge {
    schema: SchemaRef,
    cursors: Vec<Cursor>,
    /// Batches that the rows gathered next are from.
    pool: Vec<RecordBatch>,
    /// The next row of each run.
    heap: BinaryHeap<Reverse<(u128, i64, i64, usize)>>,
    size: usize,
    /// The files, removed after the merge.
    _files: Vec<Run>,
}

impl Merge {
    fn new(schema: &SchemaRef, files: Vec<Run>, task: &Task) -> Result<Merge> {
        let mut merge = Merge {
            schema: schema.clone(),
            cursors: vec![],
            pool: vec![],
            heap: BinaryHeap::new(),
            size: task.batch_rows.max(1),
            _files: vec![],
        };
        for run in &files {
            merge.cursors.push(Cursor { reader: run.file.read()?, at: 0, row: 0 });
            merge.load(merge.cursors.len() - 1)?;
        }
        if let Some(widest) = merge.pool.iter().map(|b| batch_bytes(b) / b.num_rows().max(1) as u64).max() {
            merge.size = rows_on_disk(task, widest);
        }
        merge._files = files;
        Ok(merge)
    }

    /// The next batch of a run.
    fn load(&mut self, run: usize) -> Result<()> {
        let cursor = &mut self.cursors[run];
        while let Some(batch) = cursor.reader.next().transpose()? {
            if batch.num_rows() > 0 {
                (cursor.at, cursor.row) = (self.pool.len(), 0);
                self.pool.push(batch);
                self.offer(run);
                break;
            }
        }
        Ok(())
    }

    fn offer(&mut self, run: usize) {
        let Cursor { at, row, .. } = self.cursors[run];
        let m = marks(&self.pool[at]);
        self.heap.push(Reverse((m.hashes[row] as u128, m.times[row], m.arrivals[row], run)));
    }

    fn gather(&mut self) -> Result<Option<RecordBatch>> {
        let mut order: Vec<(usize, usize)> = Vec::with_capacity(self.size);
        while order.len() < self.size {
            let Some(Reverse((.., run))) = self.heap.pop() else { break };
            let (at, rest) = (self.cursors[run].at, self.heap.peek().map(|Reverse(next)| *next));
            let m = marks(&self.pool[at]);
            let mut row = self.cursors[run].row;
            // Rows of one run that come before those of all others need no turn in the heap.
            loop {
                order.push((at, row));
                row += 1;
                let ends = row == m.times.len() || order.len() == self.size;
                if ends || rest.is_some_and(|r| (m.hashes[row] as u128, m.times[row], m.arrivals[row], run) > r) {
                    break;
                }
            }
            let ended = row == m.times.len();
            self.cursors[run].row = row;
            if ended { self.load(run)? } else { self.offer(run) }
        }
        if order.is_empty() {
            return Ok(None);
        }
        let column = |c: usize| {
            let parts: Vec<&dyn Array> = self.pool.iter().map(|b| b.column(c).as_ref()).collect();
            interleave(&parts, &order)
        };
        let columns = (0..self.schema.fields().len()).map(column).collect::<std::result::Result<Vec<_>, _>>()?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        // Only the batches at work stay.
        let waiting: Vec<usize> = self.heap.iter().map(|Reverse((.., run))| *run).collect();
        let mut pool = vec![];
        for run in waiting {
            pool.push(self.pool[self.cursors[run].at].clone());
            self.cursors[run].at = pool.len() - 1;
        }
        self.pool = pool;
        Ok(Some(batch))
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.gather().transpose()
    }
}
