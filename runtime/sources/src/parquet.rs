//! Parquet: row groups in parallel, only the wanted columns.

use crate::lake::Found;
use crate::output::Output;
use crate::plain::plain_schema;
use crate::request::{Plan, Request};
use crate::seeking::Chunks;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use selvedge_connect::store::{ReadAt, failed, is_outside};
use selvedge_node::{
    Error, Next, Out, Positions, Problems, Reader, Reservation, Result, Source, Split, Task, choice_fields,
};
use selvedge_schemas::type_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Reads the footers and plans the reading.
pub fn plan(request: &Request) -> std::result::Result<Plan, Problems> {
    let mut problems = Problems::default();
    let mut files = vec![];
    for file in request.files.iter().filter(|file| file.bytes > 0) {
        if let Some(footer) = problems.take(footer(file).map_err(|e| request.problem(e))) {
            files.push((file.clone(), footer));
        }
    }
    if problems.has_errors() {
        return Err(problems);
    }
    let schemas: Vec<(&str, Schema)> =
        files.iter().map(|(file, footer)| (file.name.as_str(), footer.schema().as_ref().clone())).collect();
    let merged = request.merge(&schemas)?;
    let (wanted, output) = request.project(&merged)?;
    let names = wanted.iter().map(|&i| merged.field(i).name().clone()).collect();
    let groups: usize = files.iter().map(|(_, footer)| footer.metadata().num_row_groups()).sum();
    let rows: i64 = files.iter().map(|(_, footer)| footer.metadata().file_metadata().num_rows()).sum();
    let source =
        ParquetSource { files, names: Arc::new(names), output: output.clone(), split_bytes: request.split_bytes };
    let notes = vec![format!("{groups} row groups, {rows} rows")];
    Ok(Plan { output, source: Box::new(source), may_reject: false, notes, warnings: vec![] })
}

/// A file's metadata, with the plain types that its columns are to be read as.
fn footer(file: &Found) -> Result<ArrowReaderMetadata> {
    let input = file.open_end().and_then(|bytes| chunks(file, bytes))?;
    guarded(file, || {
        let own = ArrowReaderMetadata::load(&input, ArrowReaderOptions::new())?;
        let plain: SchemaRef = Arc::new(plain_schema(own.schema()));
        if plain.fields() == own.schema().fields() {
            return Ok(own);
        }
        // What cannot be decoded as plain (a map of views, say) is cast later.
        let options = ArrowReaderOptions::new().with_schema(plain);
        Ok(ArrowReaderMetadata::try_new(own.metadata().clone(), options).unwrap_or(own))
    })
}

fn chunks(file: &Found, bytes: Arc<dyn ReadAt>) -> Result<Chunks> {
    Chunks::new(bytes).map_err(|e| failed("reading", &file.name, &e))
}

/// Runs the decoder on data that may be damaged: it has been seen to panic on some.
fn guarded<T>(file: &Found, work: impl FnOnce() -> std::result::Result<T, ParquetError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(ParquetError::External(e))) if e.downcast_ref::<std::io::Error>().is_some_and(is_outside) => {
            let e = e.downcast_ref::<std::io::Error>();
            Err(e.map_or_else(|| damaged(file, "it cannot be read"), |e| failed("reading", &file.name, e)))
        }
        Ok(Err(e)) => Err(damaged(file, &e.to_string())),
        Err(_) => Err(damaged(file, "its parts contradict each other")),
    }
}

fn damaged(file: &Found, why: &str) -> Error {
    let why =
        ["Parquet error: ", "EOF: ", "Arrow: "].iter().fold(why, |why, prefix| why.strip_prefix(prefix).unwrap_or(why));
    Error::data(format!("{} is no whole Parquet file: {why}", file.name)).help("fetch or write the file again")
}

struct ParquetSource {
    files: Vec<(Found, ArrowReaderMetadata)>,
    /// The wanted columns.
    names: Arc<Vec<String>>,
    output: Output,
    split_bytes: u64,
}

impl Source for ParquetSource {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let mut splits: Vec<Box<dyn Split>> = vec![];
        for (file, footer) in &self.files {
            let mut first_row = 0;
            for groups in runs(footer.metadata().row_groups(), self.split_bytes) {
                let rows: i64 =
                    footer.metadata().row_groups()[groups.clone()].iter().map(RowGroupMetaData::num_rows).sum();
                splits.push(Box::new(ParquetSplit {
                    file: file.clone(),
                    footer: footer.clone(),
                    names: self.names.clone(),
                    output: self.output.clone(),
                    groups: groups.collect(),
                    first_row,
                    rows,
                }));
                first_row += rows;
            }
        }
        Ok(splits)
    }
}

impl ParquetSplit {
    /// Where the columns' bytes are.
    fn wanted(&self, mask: &ProjectionMask) -> Vec<std::ops::Range<u64>> {
        let groups = self.groups.iter().map(|&group| self.footer.metadata().row_group(group));
        let columns = groups.flat_map(|group| group.columns().iter().enumerate());
        let ranges = columns.filter(|(leaf, _)| mask.leaf_included(*leaf)).map(|(_, column)| {
            let (start, length) = column.byte_range();
            start..start.saturating_add(length)
        });
        ranges.collect()
    }
}

/// Neighbouring row groups that come to about `bytes` together.
fn runs(groups: &[RowGroupMetaData], bytes: u64) -> Vec<std::ops::Range<usize>> {
    let mut runs = vec![];
    let (mut from, mut sum) = (0, 0);
    for (i, group) in groups.iter().enumerate() {
        sum += group.compressed_size().max(0) as u64;
        if sum >= bytes || i + 1 == groups.len() {
            runs.push(from..i + 1);
            (from, sum) = (i + 1, 0);
        }
    }
    runs
}

struct ParquetSplit {
    file: Found,
    footer: ArrowReaderMetadata,
    names: Arc<Vec<String>>,
    output: Output,
    groups: Vec<usize>,
    /// The number of the first row in the file, from 0, and how many there should be.
    first_row: i64,
    rows: i64,
}

impl Split for ParquetSplit {
    fn name(&self) -> String {
        match (self.groups.first(), self.groups.last()) {
            (Some(first), Some(last)) if self.groups.len() < self.footer.metadata().num_row_groups() => {
                format!("{}[row groups {first}..={last}]", self.file.name)
            }
            _ => self.file.name.clone(),
        }
    }

    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        let input = self.file.open_end()?;
        let bytes: i64 = self.groups.iter().map(|&g| self.footer.metadata().row_group(g).total_byte_size()).sum();
        let row_bytes = (bytes / self.rows.max(1)).max(1) as usize;
        let batch_rows = (task.batch_bytes / row_bytes).clamp(1, task.batch_rows.max(1));
        let roots = self.names.iter().filter_map(|name| self.footer.schema().index_of(name).ok());
        let mask = ProjectionMask::roots(self.footer.parquet_schema(), roots);
        input.want(&self.wanted(&mask)).map_err(|e| failed("reading", &self.file.name, &e))?;
        let mut memory = task.memory.reserve();
        memory.resize(input.held());
        let input = chunks(&self.file, input)?;
        let batches = guarded(&self.file, || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(input, self.footer.clone())
                .with_row_groups(self.groups.clone())
                .with_projection(mask)
                .with_batch_size(batch_rows)
                .build()
        })?;
        Ok(Box::new(ParquetReader { split: *self, batches, sent: 0, _held: memory }))
    }
}

struct ParquetReader {
    split: ParquetSplit,
    batches: ParquetRecordBatchReader,
    sent: i64,
    /// For what has been fetched and is not decoded yet.
    _held: Reservation,
}

impl Reader for ParquetReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let ParquetSplit { file, names, output, first_row, rows, .. } = &self.split;
        let batches = &mut self.batches;
        let Some(batch) = guarded(file, || batches.next().transpose().map_err(ParquetError::from))? else {
            return if self.sent == *rows {
                Ok(Next::Done)
            } else {
                Err(damaged(file, &format!("its metadata promises {rows} rows, but {} are there", self.sent)))
            };
        };
        let rows = batch.num_rows();
        out.create("read", rows as u64);
        let numbers = output.row_number.then(|| {
            let first = first_row + self.sent + 1;
            Arc::new(Int64Array::from_iter_values(first..first + rows as i64)) as ArrayRef
        });
        self.sent += rows as i64;
        let columns = pick(&batch, names, &output.schema)?;
        out.send(0, output.batch(columns, rows, &file.name, numbers)?)?;
        Ok(Next::More)
    }
}

/// The wanted columns of a batch by their names, each in its plain type.
pub fn pick(batch: &RecordBatch, names: &[String], schema: &Schema) -> Result<Vec<ArrayRef>> {
    let mut columns = vec![];
    for (name, field) in names.iter().zip(schema.fields()) {
        let Some(column) = batch.column_by_name(name) else {
            return Err(Error::data(format!("the column `{name}` is gone since the graph was planned")));
        };
        columns.push(if column.data_type() == field.data_type() {
            column.clone()
        } else if let Some(choice) = chosen(column, field.data_type())? {
            choice
        } else {
            cast(column, field.data_type())?
        });
    }
    Ok(columns)
}

/// The column as one of a choice; `None`: none is wanted, or it is one.
fn chosen(column: &ArrayRef, to: &DataType) -> Result<Option<ArrayRef>> {
    let Some(types) = choice_fields(to).filter(|_| choice_fields(column.data_type()).is_none()) else {
        return Ok(None);
    };
    let plain = type_of(column.data_type());
    let values = types.iter().map(|ty| match type_of(ty.data_type()) == plain {
        true => cast(column, ty.data_type()),
        false => Ok(new_null_array(ty.data_type(), column.len())),
    });
    let values = values.collect::<std::result::Result<_, _>>()?;
    Ok(Some(Arc::new(StructArray::try_new(types.clone(), values, column.logical_nulls())?)))
}
