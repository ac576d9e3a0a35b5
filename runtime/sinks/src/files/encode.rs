//! One file being written: rows go in, bytes of the format come out.

use super::format::{Compression, Format, IpcCompression, parquet_properties};
use super::orc::OrcFile;
use crate::csv::Style;
use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use selvedge_node::{Error, Result, write_json_lines};
use snap::write::FrameEncoder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A file that takes rows.
pub trait Encode: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Bytes written so far, and those that wait in memory as they will be written.
    fn bytes(&self) -> u64;
    /// Bytes of memory held now.
    fn memory(&self) -> usize {
        0
    }
    /// Writes what waits in memory, and holds none afterwards.
    fn spill(&mut self) -> Result<()>;
    /// Ends the file and hands it back, all bytes written but not yet synced.
    fn finish(self: Box<Self>) -> Result<File>;
}

/// What all files of a node have in common.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub format: Format,
    pub compression: Option<Compression>,
    /// The columns in the files.
    pub schema: SchemaRef,
}

impl Recipe {
    pub fn extension(&self) -> String {
        self.format.extension(self.compression)
    }

    pub fn start(&self, file: File) -> Result<Box<dyn Encode>> {
        let file = Counted::new(file);
        Ok(match &self.format {
            Format::Csv { delimiter, quote, header, null, quote_all } => {
                let style = Style {
                    delimiter: u8::try_from(*delimiter).unwrap_or(b','),
                    quote: u8::try_from(*quote).unwrap_or(b'"'),
                    null: null.clone(),
                    quote_all: *quote_all,
                };
                let mut text = TextFile::new(file, self.compression, Text::Csv(style))?;
                if *header && let Text::Csv(style) = &text.text {
                    style.header(&self.schema, &mut text.buffer);
                    text.write_buffer()?;
                }
                Box::new(text)
            }
            Format::Ndjson { nulls } => {
                Box::new(TextFile::new(file, self.compression, Text::Ndjson { nulls: *nulls })?)
            }
            Format::Parquet { compression, row_group_rows, row_group_bytes, dictionary, statistics } => {
                let codec = compression.codec().map_err(parquet_error)?;
                let properties = parquet_properties(codec, *row_group_rows, *row_group_bytes, *dictionary, *statistics);
                let writer =
                    ArrowWriter::try_new(file, self.schema.clone(), Some(properties)).map_err(parquet_error)?;
                Box::new(ParquetFile(writer))
            }
            Format::Orc { compression, stripe } => Box::new(OrcFile::new(file, &self.schema, *compression, *stripe)?),
            Format::Arrow { compression } => {
                let compression = match compression {
                    IpcCompression::None => None,
                    IpcCompression::Lz4 => Some(arrow::ipc::CompressionType::LZ4_FRAME),
                    IpcCompression::Zstd => Some(arrow::ipc::CompressionType::ZSTD),
                };
                let options = IpcWriteOptions::default().try_with_compression(compression)?;
                let count = file.count.clone();
                let writer = FileWriter::try_new_with_options(BufWriter::new(file), &self.schema, options)
                    .map_err(arrow_error)?;
                let waiting = BatchCoalescer::new(self.schema.clone(), IPC_ROWS);
                Box::new(ArrowFile { writer, waiting, count })
            }
        })
    }
}

/// A file that knows how much has been written to it.
pub struct Counted {
    pub file: File,
    count: Arc<AtomicU64>,
}

impl Counted {
    fn new(file: File) -> Counted {
        Counted { file, count: Arc::default() }
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.count.fetch_add(written as u64, Relaxed);
        Ok(written)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

pub fn io_error(e: std::io::Error) -> Error {
    Error::io("writing", "the output", &e)
}

/// The I/O error inside, if there is one: a full disk must not read like a bug of the writer.
fn parquet_error(e: ParquetError) -> Error {
    match e {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => io_error(*io),
            Err(other) => Error::bug(format!("writing Parquet: {other}")),
        },
        other => Error::bug(format!("writing Parquet: {other}")),
    }
}

fn arrow_error(e: ArrowError) -> Error {
    match e {
        ArrowError::IoError(_, io) => io_error(io),
        other => Error::from(other),
    }
}

struct ParquetFile(ArrowWriter<Counted>);

impl Encode for ParquetFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch).map_err(parquet_error)
    }
    fn bytes(&self) -> u64 {
        (self.0.bytes_written() + self.0.in_progress_size()) as u64
    }
    fn memory(&self) -> usize {
        self.0.memory_size()
    }
    fn spill(&mut self) -> Result<()> {
        self.0.flush().map_err(parquet_error)
    }
    fn finish(mut self: Box<Self>) -> Result<File> {
        self.0.finish().map_err(parquet_error)?;
        self.0.inner().file.try_clone().map_err(io_error)
    }
}

/// Rows in one batch of an IPC file: the pieces that partitions get may be very small.
const IPC_ROWS: usize = 8192;

struct ArrowFile {
    writer: FileWriter<BufWriter<Counted>>,
    waiting: BatchCoalescer,
    count: Arc<AtomicU64>,
}

impl ArrowFile {
    fn write_ready(&mut self) -> Result<()> {
        while let Some(batch) = self.waiting.next_completed_batch() {
            self.writer.write(&batch).map_err(arrow_error)?;
        }
        Ok(())
    }
}

impl Encode for ArrowFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() >= IPC_ROWS {
            self.waiting.finish_buffered_batch().map_err(arrow_error)?;
            self.write_ready()?;
            return self.writer.write(batch).map_err(arrow_error);
        }
        self.waiting.push_batch(batch.clone()).map_err(arrow_error)?;
        self.write_ready()
    }
    fn bytes(&self) -> u64 {
        self.count.load(Relaxed)
    }
    fn spill(&mut self) -> Result<()> {
        self.waiting.finish_buffered_batch().map_err(arrow_error)?;
        self.write_ready()
    }
    fn finish(mut self: Box<Self>) -> Result<File> {
        self.spill()?;
        self.writer.finish().map_err(arrow_error)?;
        let buffer = self.writer.into_inner().map_err(arrow_error)?;
        Ok(buffer.into_inner().map_err(|e| io_error(e.into_error()))?.file)
    }
}

enum Text {
    Csv(Style),
    Ndjson { nulls: bool },
}

/// A text format behind a compression. Each batch becomes text in `buffer` and goes out in one piece.
struct TextFile {
    text: Text,
    buffer: Vec<u8>,
    to: Compressed,
    count: Arc<AtomicU64>,
}

enum Compressed {
    No(BufWriter<Counted>),
    Gzip(GzEncoder<BufWriter<Counted>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Counted>>),
    Bzip2(BzEncoder<BufWriter<Counted>>),
    Snappy(Box<FrameEncoder<BufWriter<Counted>>>),
}

impl TextFile {
    fn new(file: Counted, compression: Option<Compression>, text: Text) -> Result<TextFile> {
        let count = file.count.clone();
        let file = BufWriter::new(file);
        let to = match compression {
            None => Compressed::No(file),
            Some(Compression::Gzip { level }) => {
                Compressed::Gzip(GzEncoder::new(file, flate2::Compression::new(level)))
            }
            Some(Compression::Zstd { level }) => {
                Compressed::Zstd(zstd::stream::write::Encoder::new(file, level).map_err(io_error)?)
            }
            Some(Compression::Bzip2 { level }) => {
                Compressed::Bzip2(BzEncoder::new(file, bzip2::Compression::new(level)))
            }
            Some(Compression::Snappy) => Compressed::Snappy(Box::new(FrameEncoder::new(file))),
        };
        Ok(TextFile { text, buffer: vec![], to, count })
    }

    fn write_buffer(&mut self) -> Result<()> {
        let written = match &mut self.to {
            Compressed::No(to) => to.write_all(&self.buffer),
            Compressed::Gzip(to) => to.write_all(&self.buffer),
            Compressed::Zstd(to) => to.write_all(&self.buffer),
            Compressed::Bzip2(to) => to.write_all(&self.buffer),
            Compressed::Snappy(to) => to.write_all(&self.buffer),
        };
        self.buffer.clear();
        written.map_err(io_error)
    }
}

impl Encode for TextFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &self.text {
            Text::Csv(style) => style.rows(batch, &mut self.buffer)?,
            Text::Ndjson { nulls } => write_json_lines(batch, *nulls, &mut self.buffer)?,
        }
        self.write_buffer()
    }
    fn bytes(&self) -> u64 {
        self.count.load(Relaxed)
    }
    fn memory(&self) -> usize {
        self.buffer.capacity()
    }
    /// Every batch is written at once: what is left is room, which one huge row has made too large.
    fn spill(&mut self) -> Result<()> {
        self.buffer = vec![];
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<File> {
        let buffer = match self.to {
            Compressed::No(to) => Ok(to),
            Compressed::Gzip(to) => to.finish(),
            Compressed::Zstd(to) => to.finish(),
            Compressed::Bzip2(to) => to.finish(),
            Compressed::Snappy(to) => to.into_inner().map_err(|e| e.into_error()),
        };
        let file = buffer.map_err(io_error)?.into_inner().map_err(|e| io_error(e.into_error()))?;
        Ok(file.file)
    }
}
