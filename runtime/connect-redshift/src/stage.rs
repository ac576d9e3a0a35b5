//! Rows on their way: Parquet parts in S3, sent while they are written, which are no objects before the commit completes them.

use crate::Redshift;
use crate::target::existing;
use crate::types;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use selvedge_connect::database::{Change, Load};
use selvedge_connect::store::{PART, Store, Upload};
use selvedge_node::{Error, Out, Pending, Reservation, Result, Task, Writer};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Which flush a row came with, and which row of the writer's it is: of rows with one key the last wins.
pub const FLUSH: &str = "_selvedge_flush";
pub const ROW: &str = "_selvedge_row";

/// A part of about this many bytes is full: Redshift loads several at a time, one on each slice.
const FULL: usize = 64 << 20;
/// A row group, in memory.
const GROUP: usize = 32 << 20;

/// What a flush hands over.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flushed {
    /// The value of [`FLUSH`].
    pub id: i64,
    pub parts: Vec<Part>,
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    /// What completes it.
    pub upload: String,
    pub bytes: u64,
}

impl Flushed {
    pub fn read(pending: &str) -> Result<Flushed> {
        serde_json::from_str(pending).map_err(|e| Error::bug(format!("what was flushed cannot be read back: {e}")))
    }
}

/// A column of the target that takes only some values.
struct Limit {
    column: usize,
    /// The reason of nulls, where there must be none.
    null: Option<&'static str>,
    /// The longest text, in bytes.
    length: Option<usize>,
}

pub struct StageWriter {
    staging: Arc<dyn Store>,
    load: Load,
    limits: Vec<Limit>,
    schema: SchemaRef,
    folder: String,
    open: Option<ArrowWriter<Sending>>,
    flush: Flushed,
    row: i64,
    memory: Reservation,
}

impl StageWriter {
    pub fn open(redshift: &Redshift, load: &Load, task: &Task) -> Result<StageWriter> {
        let there = existing(redshift, &redshift.database.connect()?, &load.table)?.unwrap_or_default();
        let fields = load.schema.fields().iter();
        let limits = fields.clone().enumerate().map(|(column, field)| {
            let target = there.iter().find(|c| c.name == *field.name());
            let key = matches!(&load.change, Change::Upsert(keys) if keys.contains(field.name()));
            let never_null = target.is_some_and(|c| c.never_null);
            Limit {
                column,
                null: if key { Some("warehouse.key") } else { never_null.then_some("warehouse.constraint") },
                length: (*field.data_type() == DataType::Utf8)
                    .then(|| target.map_or(Some(types::LONGEST), |c| c.length))
                    .flatten(),
            }
        });
        let staged = fields.map(|f| Field::new(f.name(), types::staged(f.data_type()), true));
        let own = [FLUSH, ROW].map(|name| Field::new(name, DataType::Int64, false));
        // Names of graphs and nodes may have characters that are awkward in URLs.
        let node: String = load.node.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Ok(StageWriter {
            limits: limits.filter(|l| l.null.is_some() || l.length.is_some()).collect(),
            schema: Arc::new(Schema::new(staged.chain(own).collect::<Vec<_>>())),
            folder: format!("_selvedge/{}/{node}", task.run),
            staging: redshift.staging.clone(),
            load: load.clone(),
            open: None,
            flush: begin(),
            row: 0,
            memory: task.memory.reserve(),
        })
    }

    /// Rejects what the target does not take.
    fn fitting(&self, mut batch: RecordBatch, out: &mut dyn Out) -> Result<RecordBatch> {
        for limit in &self.limits {
            let name = self.load.schema.field(limit.column).name();
            let table = &self.load.table;
            if let Some(reason) = limit.null.filter(|_| batch.column(limit.column).null_count() > 0) {
                let cells = batch.column(limit.column).clone();
                let nulls: Vec<usize> = (0..cells.len()).filter(|&row| cells.is_null(row)).collect();
                let message = format!("column `{name}` of table `{table}` must not be null");
                out.reject_rows(reason, &batch, &nulls, &|_| message.clone())?;
                batch = filter_record_batch(&batch, &arrow::compute::is_not_null(&cells)?)?;
            }
            let Some(length) = limit.length else { continue };
            let cells = batch.column(limit.column).clone();
            let texts = cells.as_string::<i32>();
            let long = |row: usize| texts.value_length(row) as usize > length;
            let zero = |row: usize| memchr::memchr(0, texts.value(row).as_bytes()).is_some();
            // Most batches have neither: two looks at the whole tell.
            let all = texts.values().as_slice();
            if all.len() <= length && memchr::memchr(0, all).is_none() {
                continue;
            }
            let bad: Vec<usize> =
                (0..texts.len()).filter(|&row| texts.is_valid(row) && (long(row) || zero(row))).collect();
            if bad.is_empty() {
                continue;
            }
            out.reject_rows("warehouse.constraint", &batch, &bad, &|row| match long(row) {
                true => {
                    let bytes = texts.value_length(row);
                    format!("column `{name}` of table `{table}` takes {length} bytes, but the text has {bytes}")
                }
                false => format!("column `{name}` of table `{table}` takes no text with a zero character"),
            })?;
            let mut keep = vec![true; texts.len()];
            bad.iter().for_each(|&row| keep[row] = false);
            batch = filter_record_batch(&batch, &keep.into())?;
        }
        Ok(batch)
    }

    fn close(&mut self) -> Result<()> {
        let Some(writer) = self.open.take() else { return Ok(()) };
        let sending = writer.into_inner().map_err(failed)?;
        self.flush.parts.push(sending.finish()?);
        self.memory.resize(0);
        Ok(())
    }
}

fn begin() -> Flushed {
    // Any number, as long as no other flush of the run has it.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Flushed { id: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX), ..Flushed::default() }
}

fn failed(e: ParquetError) -> Error {
    match e {
        ParquetError::External(e) => match e.downcast::<io::Error>() {
            Ok(e) => selvedge_connect::store::failed("staging", "rows", &e),
            Err(e) => Error::bug(format!("writing Parquet: {e}")),
        },
        e => Error::bug(format!("writing Parquet: {e}")),
    }
}

impl Writer for StageWriter {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let batch = self.fitting(batch, out)?;
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let mut columns = batch.columns().iter().map(types::stage).collect::<Result<Vec<ArrayRef>>>()?;
        columns.push(Arc::new(Int64Array::from_value(self.flush.id, rows)));
        columns.push(Arc::new(Int64Array::from_iter_values(self.row..self.row + rows as i64)));
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        let writer = match &mut self.open {
            Some(writer) => writer,
            none => {
                let name = format!("{}/{}-{}.parquet", self.folder, self.flush.id, self.flush.parts.len());
                let sending = Sending::begin(self.staging.clone(), name)?;
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                none.insert(ArrowWriter::try_new(sending, self.schema.clone(), Some(properties)).map_err(failed)?)
            }
        };
        writer.write(&batch).map_err(failed)?;
        let group = writer.memory_size();
        // Nothing is lost by smaller groups but some speed.
        if !self.memory.try_hold((group + 3 * PART) as u64) || group > GROUP {
            writer.flush().map_err(failed)?;
            self.memory.resize((writer.memory_size() + 3 * PART) as u64);
        }
        let full = writer.bytes_written() > FULL;
        self.row += rows as i64;
        self.flush.rows += rows as u64;
        if full {
            self.close()?;
        }
        out.absorb("written", rows as u64);
        Ok(())
    }

    fn flush(&mut self, _: u64, _: &mut dyn Out) -> Result<Pending> {
        self.close()?;
        let flushed = std::mem::replace(&mut self.flush, begin());
        serde_json::to_string(&flushed).map_err(|e| Error::bug(format!("listing what was flushed: {e}")))
    }
}

impl Drop for StageWriter {
    fn drop(&mut self) {
        // What no flush has handed over; a part that is open forgets itself.
        for part in &self.flush.parts {
            self.staging.forget(&part.name, &part.upload);
        }
    }
}

/// A part on its way.
struct Sending {
    name: String,
    upload: Box<dyn Upload>,
    next: Vec<u8>,
    bytes: u64,
}

impl Sending {
    fn begin(store: Arc<dyn Store>, name: String) -> Result<Sending> {
        let upload = store.upload(&name)?;
        Ok(Sending { name, upload, next: Vec::with_capacity(PART), bytes: 0 })
    }

    fn finish(mut self) -> Result<Part> {
        if !self.next.is_empty() {
            self.upload.part(self.next.into())?;
        }
        Ok(Part { name: self.name, upload: self.upload.finish()?, bytes: self.bytes })
    }
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let some = bytes.len().min(PART - self.next.len());
        self.next.extend_from_slice(&bytes[..some]);
        self.bytes += some as u64;
        if self.next.len() == PART {
            let full = std::mem::replace(&mut self.next, Vec::with_capacity(PART));
            self.upload.part(full.into()).map_err(selvedge_connect::store::through)?;
        }
        Ok(some)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
