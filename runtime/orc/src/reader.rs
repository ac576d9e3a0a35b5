//! Reads ORC files with orc-rust, which is kept from panics, circles and lengths that a broken file may lead it to.

use crate::tail::{self, Wrong};
use crate::times::are_fractions;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use bytes::Bytes;
use orc_rust::error::OrcError;
use orc_rust::projection::ProjectionMask;
use orc_rust::proto::column_encoding::Kind as Encoding;
use orc_rust::proto::stream::Kind;
use orc_rust::reader::ChunkReader;
use orc_rust::reader::metadata::{FileMetadata, read_metadata};
use orc_rust::schema::DataType;
use orc_rust::stripe::Stripe;
use orc_rust::{ArrowReader, ArrowReaderBuilder, ArrowSchemaOptions, TimestampPrecision};
use selvedge_connect::store::{ReadAt, failed, is_outside};
use selvedge_node::{Error, Result};
use std::collections::HashMap;
use std::io::{self, Cursor, ErrorKind};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What the end of a file tells: its columns and its stripes.
#[derive(Clone)]
pub struct OrcFile {
    /// As errors name the file.
    name: String,
    metadata: Arc<FileMetadata>,
}

impl OrcFile {
    pub fn open(file: Arc<dyn ReadAt>, name: &str) -> Result<OrcFile> {
        let mut bytes = InBounds::new(file).map_err(|e| failed("reading", name, &e))?;
        match tail::check(bytes.length, |at, length| bytes.part(at, length)) {
            Ok(()) => {}
            Err(Wrong::World(e)) => return Err(read_error(name, &e)),
            Err(Wrong::Broken(why)) => return Err(damaged(name, &why)),
        }
        let metadata = guarded(name, || read_metadata(&mut bytes))?;
        Ok(OrcFile { name: name.to_string(), metadata: Arc::new(metadata) })
    }

    /// All columns, each of which may be null. Times are in microseconds.
    pub fn schema(&self) -> Schema {
        let options = ArrowSchemaOptions::new().with_timestamp_precision(TimestampPrecision::Microsecond);
        self.metadata.root_data_type().create_arrow_schema_with_options(&HashMap::new(), options)
    }

    /// Rows and bytes of each stripe.
    pub fn stripes(&self) -> Vec<(u64, u64)> {
        let sizes = self.metadata.stripe_metadatas().iter();
        sizes.map(|s| (s.number_of_rows(), s.data_length().saturating_add(s.index_length()))).collect()
    }

    /// The rows of some neighbouring stripes. `schema` is that of the file, in which times may have another unit; `columns`
    /// are places in it, and come in its order.
    pub fn read(
        &self,
        file: Arc<dyn ReadAt>,
        schema: &Schema,
        columns: &[usize],
        stripes: Range<usize>,
        batch_rows: usize,
    ) -> Result<Batches> {
        let name = &self.name;
        let mut bytes = InBounds::new(file).map_err(|e| failed("reading", name, &e))?;
        let root = self.metadata.root_data_type();
        let places = || (0..schema.fields().len()).filter(|at| columns.contains(at));
        let fields: Vec<Field> = places().map(|at| schema.field(at).clone()).collect();
        let roots = places().filter_map(|at| root.children().get(at)).map(|c| c.data_type().column_index());
        let mask = ProjectionMask::roots(root, roots);
        self.check_times(&mut bytes, columns, stripes.clone())?;
        let offset = |at: usize| self.metadata.stripe_metadatas().get(at).map_or(usize::MAX, |s| s.offset() as usize);
        let range = offset(stripes.start)..offset(stripes.end);
        let wanted = range.start as u64..range.end as u64;
        bytes.file.want(std::slice::from_ref(&wanted)).map_err(|e| failed("reading", name, &e))?;
        let reader = guarded(name, || {
            let builder = ArrowReaderBuilder::try_new(bytes)?
                .with_projection(mask)
                .with_schema(Arc::new(Schema::new(fields)))
                .with_file_byte_range(range)
                .with_batch_size(batch_rows);
            Ok(builder.build())
        })?;
        Ok(Batches { name: name.clone(), reader })
    }
}

impl OrcFile {
    /// Refuses stripes with times that would be read as others.
    fn check_times(&self, bytes: &mut InBounds, columns: &[usize], stripes: Range<usize>) -> Result<()> {
        let name = &self.name;
        let root = self.metadata.root_data_type();
        let timed =
            root.children().iter().enumerate().filter(|(at, c)| columns.contains(at) && has_times(c.data_type()));
        let roots: Vec<usize> = timed.map(|(_, column)| column.data_type().column_index()).collect();
        if roots.is_empty() {
            return Ok(());
        }
        let timed = root.project(&ProjectionMask::roots(root, roots));
        for info in self.metadata.stripe_metadatas().get(stripes).into_iter().flatten() {
            let wrong = guarded(name, || {
                let stripe = Stripe::new(bytes, &self.metadata, &timed, info)?;
                Ok(without_fractions(&stripe))
            })?;
            if let Some(column) = wrong {
                let text = format!(
                    "{name}: column `{column}` has times before 1970 with fractions of a second below zero, which ORC does not \
                     know"
                );
                let help = "pyarrow writes such files: write it again with the column as text or as a whole number, or as Parquet";
                return Err(Error::data(text).help(help));
            }
        }
        Ok(())
    }
}

fn has_times(ty: &DataType) -> bool {
    match ty {
        DataType::Timestamp { .. } | DataType::TimestampWithLocalTimezone { .. } => true,
        DataType::Struct { children, .. } => children.iter().any(|c| has_times(c.data_type())),
        DataType::List { child, .. } => has_times(child),
        DataType::Map { key, value, .. } => has_times(key) || has_times(value),
        DataType::Union { variants, .. } => variants.iter().any(has_times),
        _ => false,
    }
}

/// A column of the stripe whose times have fractions of a second that are none.
fn without_fractions(stripe: &Stripe) -> Option<String> {
    let mut waiting: Vec<_> =
        stripe.columns().iter().map(|column| (column.name().to_string(), column.clone())).collect();
    while let Some((name, column)) = waiting.pop() {
        let ty = column.data_type();
        let times = matches!(ty, DataType::Timestamp { .. } | DataType::TimestampWithLocalTimezone { .. });
        // Files of the first version are older than the writer that errs.
        let own = times && column.encoding().kind() == Encoding::DirectV2;
        let stream = own.then(|| stripe.stream_map().get_opt(&column, Kind::Secondary)).flatten();
        if stream.is_some_and(|stream| !are_fractions(stream)) {
            return Some(name);
        }
        waiting.extend(column.children().into_iter().map(|child| (name.clone(), child)));
    }
    None
}

/// Batches of rows, as they come.
pub struct Batches {
    name: String,
    reader: ArrowReader<InBounds>,
}

impl Batches {
    /// The next batch; nothing at the end. After an error, there is nothing to be had.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Batches { name, reader } = self;
        let next = guarded(name, || Ok(reader.next().transpose()))?;
        next.map_err(|e| match e {
            ArrowError::ExternalError(e) => match e.downcast::<OrcError>() {
                Ok(own) => orc_error(name, *own),
                Err(e) => damaged(name, &e.to_string()),
            },
            e => damaged(name, &e.to_string()),
        })
    }
}

/// Runs the decoder on data that may be damaged. It panics on some (lengths that contradict each other, unknown time zones),
/// and nothing of it is used afterwards.
fn guarded<T>(name: &str, work: impl FnOnce() -> orc_rust::error::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(orc_error(name, e)),
        Err(_) => Err(damaged(name, "its parts contradict each other")),
    }
}

fn orc_error(name: &str, e: OrcError) -> Error {
    match e {
        OrcError::IoError { source, .. } => read_error(name, &source),
        OrcError::DecodeTimestamp { seconds, nanoseconds, to_time_unit, .. } => {
            let unit = if to_time_unit == TimeUnit::Nanosecond { "Microsecond" } else { "Nanosecond" };
            let time = format!("{seconds} seconds and {nanoseconds} nanoseconds since 1970");
            Error::data(format!("{name} has a timestamp of {time}, which {to_time_unit:?}s cannot hold")).help(format!(
                "declare its column in `schema` as LocalTimestamp({unit}), or ZonedTimestamp({unit}, \"UTC\") where it has a zone"
            ))
        }
        e => damaged(name, &e.to_string()),
    }
}

/// The world's fault where the system says so, and otherwise the file's.
fn read_error(name: &str, e: &io::Error) -> Error {
    if is_outside(e) { failed("reading", name, e) } else { damaged(name, &e.to_string()) }
}

fn damaged(name: &str, why: &str) -> Error {
    Error::data(format!("{name} is no whole ORC file: {why}")).help("fetch or write the file again")
}

/// A file of which nothing beyond its end is asked for, whatever lengths are written in it.
struct InBounds {
    file: Arc<dyn ReadAt>,
    length: u64,
}

impl InBounds {
    fn new(file: Arc<dyn ReadAt>) -> io::Result<InBounds> {
        Ok(InBounds { length: file.length()?, file })
    }

    fn part(&self, at: u64, length: u64) -> io::Result<Bytes> {
        match at.checked_add(length) {
            Some(end) if end <= self.length => self.file.range(at..end),
            _ => Err(io::Error::new(ErrorKind::UnexpectedEof, "a part of it lies beyond its end")),
        }
    }
}

impl ChunkReader for InBounds {
    type T = Cursor<Bytes>;

    fn len(&self) -> u64 {
        self.length
    }

    fn get_read(&self, at: u64) -> io::Result<Cursor<Bytes>> {
        Ok(Cursor::new(self.part(at, self.length.saturating_sub(at))?))
    }

    fn get_bytes(&self, at: u64, length: u64) -> io::Result<Bytes> {
        self.part(at, length)
    }
}
