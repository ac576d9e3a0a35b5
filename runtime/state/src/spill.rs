//! Rows on disk while a run needs them: batches appended to one temporary file, each read back from its place.
//!
//! A batch is stored as one Arrow IPC message, uncompressed: it goes to the page cache faster than a codec could shrink
//! it, and is read back without a copy. One file serves any number of partitions or runs: a file each would meet the
//! limit of open files long before that of the disk.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::writer::StreamEncoder;
use arrow::ipc::{Block, MetadataVersion};
use selvedge_node::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Small pieces of a message are gathered up to this size; larger ones go straight to the file.
const BUFFER: usize = 256 << 10;

/// A batch in a [`SpillStore`].
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    at: u64,
    /// Bytes in the file.
    pub bytes: u64,
    pub rows: u64,
}

/// An append-only temporary file of batches. It is removed when dropped.
pub struct SpillStore {
    path: Arc<Removed>,
    writer: BufWriter<File>,
    encoder: StreamEncoder,
    schema: SchemaRef,
    /// What the file holds: dictionaries as their values.
    flat: SchemaRef,
    end: u64,
}

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Removed(PathBuf);

impl Removed {
    /// A new file in `dir`, which is made if need be.
    pub(crate) fn create(dir: &Path, ending: &str) -> Result<(Removed, File)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        std::fs::create_dir_all(dir).map_err(|e| Error::io("making the spill folder", dir.display(), &e))?;
        let path = dir.join(format!("{}-{}.{ending}", std::process::id(), NUMBER.fetch_add(1, Relaxed)));
        // Appending: reads move the position of the file, and writes must not follow it.
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(&path);
        let file = file.map_err(|e| Error::io("making the spill file", path.display(), &e))?;
        Ok((Removed(path), file))
    }
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        // The run's scratch folder goes anyway: a file that cannot be removed now is removed then.
        _ = std::fs::remove_file(&self.0);
    }
}

impl SpillStore {
    /// A new file in `dir`, which is made if need be.
    pub fn create(dir: &Path, schema: &SchemaRef) -> Result<SpillStore> {
        let (path, file) = Removed::create(dir, "spill")?;
        let flat = flat_schema(schema);
        let mut encoder = StreamEncoder::try_new(&flat)?;
        // The schema's own message, which would come before the first batch, is not needed.
        encoder.encode(&RecordBatch::new_empty(flat.clone()))?;
        let writer = BufWriter::with_capacity(BUFFER, file);
        Ok(SpillStore { path: Arc::new(path), writer, encoder, schema: schema.clone(), flat, end: 0 })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    pub fn append(&mut self, batch: &RecordBatch) -> Result<Extent> {
        let batch = recast(&compact_views(batch)?, &self.flat)?;
        let at = self.end;
        for part in self.encoder.encode(&batch)? {
            self.writer.write_all(&part).map_err(|e| self.error("writing the spill file", &e))?;
            self.end += part.len() as u64;
        }
        Ok(Extent { at, bytes: self.end - at, rows: batch.num_rows() as u64 })
    }

    pub fn read(&mut self, extent: &Extent) -> Result<RecordBatch> {
        // Nothing to flush, and then nothing done, once writing is over.
        self.writer.flush().map_err(|e| self.error("writing the spill file", &e))?;
        read(self.writer.get_ref(), &self.path.0, extent, &self.flat, &self.schema)
    }

    fn error(&self, doing: &str, e: &std::io::Error) -> Error {
        Error::io(doing, self.path.0.display(), e)
    }
}

impl std::fmt::Debug for SpillStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpillStore").field("path", &self.path.0).field("bytes", &self.end).finish()
    }
}

fn read(mut file: &File, path: &Path, extent: &Extent, flat: &SchemaRef, schema: &SchemaRef) -> Result<RecordBatch> {
    let error = |e: std::io::Error| Error::io("reading the spill file", path.display(), &e);
    file.seek(SeekFrom::Start(extent.at)).map_err(error)?;
    let mut message = Vec::with_capacity(extent.bytes as usize);
    let read = file.take(extent.bytes).read_to_end(&mut message).map_err(error)?;
    if read as u64 != extent.bytes {
        return Err(error(std::io::ErrorKind::UnexpectedEof.into()));
    }
    recast(&decode(message, flat)?, schema)
}

/// One message: a continuation mark, the length of the head, the head, the body.
fn decode(message: Vec<u8>, schema: &SchemaRef) -> Result<RecordBatch> {
    let damaged = || Error::world("a spill file was changed while the run needed it");
    let length = message.get(4..8).and_then(|b| b.try_into().ok()).map(i32::from_le_bytes).ok_or_else(damaged)?;
    let head = length.checked_add(8).filter(|&h| h > 8 && h as usize <= message.len()).ok_or_else(damaged)?;
    let block = Block::new(0, head, (message.len() - head as usize) as i64);
    let decoder = FileDecoder::new(schema.clone(), MetadataVersion::V5);
    decoder.read_record_batch(&block, &Buffer::from_vec(message))?.ok_or_else(damaged)
}

/// A run of batches on disk, to be read in order.
pub struct SpillWriter {
    store: SpillStore,
    extents: Vec<Extent>,
}

impl SpillWriter {
    pub fn create(dir: &Path, schema: &SchemaRef) -> Result<SpillWriter> {
        Ok(SpillWriter { store: SpillStore::create(dir, schema)?, extents: vec![] })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() > 0 {
            self.extents.push(self.store.append(batch)?);
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<SpillFile> {
        self.store.writer.flush().map_err(|e| self.store.error("writing the spill file", &e))?;
        // Nothing more is written, so that the buffer is not needed.
        let file = self.store.writer.get_ref().try_clone();
        let file = file.map_err(|e| self.store.error("opening the spill file", &e))?;
        self.store.writer = BufWriter::with_capacity(0, file);
        Ok(SpillFile { store: self.store, extents: self.extents })
    }
}

/// A finished run. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct SpillFile {
    store: SpillStore,
    extents: Vec<Extent>,
}

impl SpillFile {
    pub fn rows(&self) -> u64 {
        self.extents.iter().map(|e| e.rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    pub fn schema(&self) -> &SchemaRef {
        self.store.schema()
    }

    /// The batch that was written as number `at`.
    pub fn batch(&self, at: usize) -> Result<RecordBatch> {
        let extent =
            self.extents.get(at).ok_or_else(|| Error::bug("a spill file has fewer batches than were asked for"))?;
        read(self.store.writer.get_ref(), &self.store.path.0, extent, &self.store.flat, &self.store.schema)
    }

    /// The batches in the order written. The file stays until this and all its readers are dropped.
    pub fn read(&self) -> Result<SpillReader> {
        let file = File::open(&self.store.path.0).map_err(|e| self.store.error("opening the spill file", &e))?;
        let (path, flat, schema) = (self.store.path.clone(), self.store.flat.clone(), self.store.schema.clone());
        Ok(SpillReader { file, path, flat, schema, extents: self.extents.clone().into_iter() })
    }
}

pub struct SpillReader {
    file: File,
    path: Arc<Removed>,
    flat: SchemaRef,
    schema: SchemaRef,
    extents: std::vec::IntoIter<Extent>,
}

impl SpillReader {
    /// Another reader of what this one has still to read.
    pub fn again(&self) -> Result<SpillReader> {
        let opened = File::open(&self.path.0);
        let file = opened.map_err(|e| Error::io("opening the spill file", self.path.0.display(), &e))?;
        let (path, flat, schema) = (self.path.clone(), self.flat.clone(), self.schema.clone());
        Ok(SpillReader { file, path, flat, schema, extents: self.extents.clone() })
    }
}

impl Iterator for SpillReader {
    type Item = Result<RecordBatch>;
    fn next(&mut self) -> Option<Self::Item> {
        let extent = self.extents.next()?;
        Some(read(&self.file, &self.path.0, &extent, &self.flat, &self.schema))
    }
}

/// The schema with dictionaries replaced by their values: a dictionary would have to be stored with every batch.
fn flat_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(flat_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn flat_field(field: &FieldRef) -> FieldRef {
    let flat = flat_type(field.data_type());
    if &flat == field.data_type() {
        return field.clone();
    }
    Arc::new(Field::new(field.name(), flat, field.is_nullable()).with_metadata(field.metadata().clone()))
}

fn flat_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Dictionary(_, values) => flat_type(values),
        DataType::List(f) => DataType::List(flat_field(f)),
        DataType::LargeList(f) => DataType::LargeList(flat_field(f)),
        DataType::FixedSizeList(f, n) => DataType::FixedSizeList(flat_field(f), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(flat_field).collect()),
        other => other.clone(),
    }
}

/// The batch with its columns in the types of `schema`.
fn recast(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(column.clone()) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// View columns with only the text that their rows use: a slice of a view array holds on to all of the array's text.
pub fn compact_views(batch: &RecordBatch) -> Result<RecordBatch> {
    let is_view = |c: &ArrayRef| matches!(c.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !batch.columns().iter().any(is_view) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(|c| match c.data_type() {
        DataType::Utf8View => Arc::new(c.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(c.as_binary_view().gc()) as ArrayRef,
        _ => c.clone(),
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}

#[cfg(test)]
#[path = "spill_tests.rs"]
mod tests;
