//! Arrow IPC: files (also known as Feather 2), whose batches can be read in parallel, and streams.

use crate::compression::{Compression, Input};
use crate::lake::Found;
use crate::output::Output;
use crate::parquet::pick;
use crate::plain::plain_schema;
use crate::request::{Plan, Request};
use crate::seeking::Seeking;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamDecoder};
use arrow::ipc::root_as_footer;
use selvedge_connect::store::{failed, is_outside};
use selvedge_node::{Error, Next, Out, Positions, Problems, Reader, Result, Source, Split, Task};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// An IPC file starts and ends with this.
const MAGIC: &[u8; 6] = b"ARROW1";
/// How much of a stream is read at once.
const BLOCK: usize = 1 << 20;

/// How a file is laid out.
#[derive(Debug, Clone)]
enum Shape {
    /// Lengths of the record batches, in bytes.
    File(Vec<u64>),
    Stream,
}

/// Reads the schemas and plans the reading.
pub fn plan(request: &Request) -> std::result::Result<Plan, Problems> {
    let mut problems = Problems::default();
    let mut files = vec![];
    let mut schemas = vec![];
    for file in request.files.iter().filter(|file| file.bytes > 0) {
        if let Some((shape, schema)) = problems.take(look(file).map_err(|e| request.problem(e))) {
            files.push((file.clone(), shape));
            schemas.push((file.name.as_str(), plain_schema(&schema)));
        }
    }
    if problems.has_errors() {
        return Err(problems);
    }
    let merged = request.merge(&schemas)?;
    let (wanted, output) = request.project(&merged)?;
    let names = wanted.iter().map(|&i| merged.field(i).name().clone()).collect();
    // Batches do not say how many rows they have before they are read: numbers are counted from the start of the file.
    let split_bytes = if request.row_number.is_none() { request.split_bytes } else { u64::MAX };
    let source = IpcSource { files, names: Arc::new(names), output: output.clone(), split_bytes };
    Ok(Plan { output, source: Box::new(source), may_reject: false, notes: vec![], warnings: vec![] })
}

/// Runs the decoder on data that may be damaged.
fn guarded<T>(file: &Found, work: impl FnOnce() -> std::result::Result<T, ArrowError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(ArrowError::IoError(_, e))) if is_outside(&e) => Err(failed("reading", &file.name, &e)),
        Ok(Err(e)) => Err(damaged(file, &e.to_string())),
        Err(_) => Err(damaged(file, "its parts contradict each other")),
    }
}

fn damaged(file: &Found, why: &str) -> Error {
    let why = ["Ipc error: ", "Parser error: ", "Io error: "]
        .iter()
        .fold(why, |why, prefix| why.strip_prefix(prefix).unwrap_or(why));
    Error::data(format!("{} is no whole Arrow file: {why}", file.name)).help("fetch or write the file again")
}

fn seeking(file: &Found) -> Result<Seeking> {
    Seeking::new(file.open()?, 0).map_err(|e| failed("reading", &file.name, &e))
}

fn look(file: &Found) -> Result<(Shape, Schema)> {
    let io = |e: std::io::Error| failed("reading", &file.name, &e);
    let mut input = seeking(file)?;
    let mut head = vec![];
    (&mut input).take(MAGIC.len() as u64).read_to_end(&mut head).map_err(io)?;
    if head != MAGIC {
        let mut stream = StreamReader::open(file)?;
        return match stream.schema()? {
            Some(schema) => Ok((Shape::Stream, schema)),
            None => Err(damaged(file, "it ends before its schema")),
        };
    }
    let lengths = batch_lengths(file, &mut input)?;
    let schema = guarded(file, || FileReader::try_new(BufReader::new(input), None))?.schema();
    Ok((Shape::File(lengths), schema.as_ref().clone()))
}

/// Lengths of the record batches by the footer. All of its places must lie in the file: arrow would allocate whatever they say.
fn batch_lengths(file: &Found, input: &mut Seeking) -> Result<Vec<u64>> {
    let io = |e: std::io::Error| failed("reading", &file.name, &e);
    let cut_off = || damaged(file, "its end is missing");
    let bytes = input.length();
    if bytes < 16 {
        return Err(cut_off());
    }
    let mut tail = [0; 10];
    input.seek(SeekFrom::End(-10)).map_err(io)?;
    input.read_exact(&mut tail).map_err(io)?;
    let [a, b, c, d, magic @ ..] = tail;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if magic != *MAGIC || length > bytes - 10 {
        return Err(cut_off());
    }
    input.seek(SeekFrom::Start(bytes - 10 - length)).map_err(io)?;
    let mut footer = vec![0; length as usize];
    input.read_exact(&mut footer).map_err(io)?;
    guarded(file, || {
        let footer = root_as_footer(&footer).map_err(|e| ArrowError::ParseError(e.to_string()))?;
        let mut lengths = vec![];
        for (blocks, is_batch) in [(footer.recordBatches(), true), (footer.dictionaries(), false)] {
            for block in blocks.into_iter().flatten() {
                let (at, head, body) = (block.offset(), i64::from(block.metaDataLength()), block.bodyLength());
                let end = at.checked_add(head).and_then(|end| end.checked_add(body));
                if at < 0 || head < 0 || body < 0 || end.is_none_or(|end| end as u64 > bytes) {
                    return Err(ArrowError::ParseError("a batch lies outside the file".into()));
                }
                if is_batch {
                    lengths.push((head + body) as u64);
                }
            }
        }
        Ok(lengths)
    })
}

struct IpcSource {
    files: Vec<(Found, Shape)>,
    names: Arc<Vec<String>>,
    output: Output,
    split_bytes: u64,
}

impl Source for IpcSource {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let mut splits: Vec<Box<dyn Split>> = vec![];
        for (file, shape) in &self.files {
            let parts = match shape {
                Shape::File(lengths) => runs(lengths, self.split_bytes).into_iter().map(Some).collect(),
                Shape::Stream => vec![None],
            };
            let whole = parts.len() == 1;
            for batches in parts {
                let (names, output) = (self.names.clone(), self.output.clone());
                splits.push(Box::new(IpcSplit { file: file.clone(), batches, whole, names, output }));
            }
        }
        Ok(splits)
    }
}

/// Neighbouring batches that come to about `bytes` together.
fn runs(lengths: &[u64], bytes: u64) -> Vec<Range<usize>> {
    let mut runs = vec![];
    let (mut from, mut sum) = (0, 0u64);
    for (i, length) in lengths.iter().enumerate() {
        sum = sum.saturating_add(*length);
        if sum >= bytes || i + 1 == lengths.len() {
            runs.push(from..i + 1);
            (from, sum) = (i + 1, 0);
        }
    }
    runs
}

struct IpcSplit {
    file: Found,
    /// Of an IPC file; `None`: a stream.
    batches: Option<Range<usize>>,
    /// The file is read in one part.
    whole: bool,
    names: Arc<Vec<String>>,
    output: Output,
}

impl Split for IpcSplit {
    fn name(&self) -> String {
        match &self.batches {
            Some(batches) if !self.whole => format!("{}[batches {}..{}]", self.file.name, batches.start, batches.end),
            _ => self.file.name.clone(),
        }
    }

    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        let batches = match &self.batches {
            None => Batches::Stream(StreamReader::open(&self.file)?),
            Some(batches) => {
                let input = seeking(&self.file)?;
                let reader = guarded(&self.file, || {
                    let mut reader = FileReader::try_new(BufReader::new(input), None)?;
                    reader.set_index(batches.start)?;
                    Ok(reader)
                })?;
                Batches::File(reader, batches.len())
            }
        };
        Ok(Box::new(IpcReader {
            batches,
            batch_rows: task.batch_rows.max(1),
            batch_bytes: task.batch_bytes.max(1),
            rest: None,
            sent: 0,
            split: *self,
        }))
    }
}

enum Batches {
    /// And how many are still to come.
    File(FileReader<BufReader<Seeking>>, usize),
    Stream(StreamReader),
}

struct IpcReader {
    batches: Batches,
    split: IpcSplit,
    batch_rows: usize,
    batch_bytes: usize,
    /// What is left of a batch of the file that was too large to send at once.
    rest: Option<RecordBatch>,
    sent: i64,
}

impl IpcReader {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        match &mut self.batches {
            Batches::File(_, 0) => Ok(None),
            Batches::File(reader, left) => {
                *left -= 1;
                guarded(&self.split.file, || reader.next().transpose())
            }
            Batches::Stream(reader) => reader.next(),
        }
    }
}

impl Reader for IpcReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let Some(mut batch) = self.next()? else { return Ok(Next::Done) };
        let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
        let most = (self.batch_bytes / row_bytes.max(1)).clamp(1, self.batch_rows);
        if batch.num_rows() > most {
            self.rest = Some(batch.slice(most, batch.num_rows() - most));
            batch = batch.slice(0, most);
        }
        let IpcSplit { file, names, output, .. } = &self.split;
        let rows = batch.num_rows();
        out.create("read", rows as u64);
        let numbers = output
            .row_number
            .then(|| Arc::new(Int64Array::from_iter_values(self.sent + 1..self.sent + 1 + rows as i64)) as ArrayRef);
        self.sent += rows as i64;
        let columns = pick(&batch, names, &output.schema)?;
        out.send(0, output.batch(columns, rows, &file.name, numbers)?)?;
        Ok(Next::More)
    }
}

/// A stream of batches. Unlike arrow's reader it allocates for what has come, not for what a damaged length promises.
struct StreamReader {
    file: Found,
    input: Input,
    decoder: StreamDecoder,
    buffer: Buffer,
    first: Option<RecordBatch>,
    ended: bool,
}

impl StreamReader {
    fn open(file: &Found) -> Result<StreamReader> {
        let input = Input::whole(file, Compression::Uncompressed)?;
        let file = file.clone();
        Ok(StreamReader {
            file,
            input,
            decoder: StreamDecoder::new(),
            buffer: Buffer::default(),
            first: None,
            ended: false,
        })
    }

    /// The schema; the stream may have to be read as far as its first batch.
    fn schema(&mut self) -> Result<Option<Schema>> {
        while self.decoder.schema().is_none() && !self.ended && self.first.is_none() {
            self.first = self.advance()?;
        }
        Ok(self.decoder.schema().map(|s| s.as_ref().clone()))
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        while !self.ended {
            if let Some(batch) = self.advance()? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Decodes what is there, or reads more.
    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        if self.buffer.is_empty() {
            let mut block = vec![0; BLOCK];
            let n = self.input.read(&mut block)?;
            block.truncate(n);
            if n == 0 {
                self.ended = true;
                let decoder = &mut self.decoder;
                guarded(&self.file, || decoder.finish())?;
                return Ok(None);
            }
            self.buffer = Buffer::from_vec(block);
        }
        let (decoder, buffer) = (&mut self.decoder, &mut self.buffer);
        guarded(&self.file, || decoder.decode(buffer))
    }
}
