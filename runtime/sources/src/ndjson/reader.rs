//! Reads one NDJSON file, or a range of it, as batches. Lines are decoded many at a time by arrow's tape decoder; when that
//! fails, the bad lines are found by halving, rejected, and the others go on.

use super::late::Late;
use super::{BOM, Layout};
use crate::compression::Input;
use crate::lines::Lines;
use crate::overlong::{Overlong, RAW};
use crate::typed::{OnError, message, shorten, typed};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, filter};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use selvedge_node::{Error, Next, Out, Reader, Rejection, Result, Task};
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;

/// How much is read at once.
const BLOCK: usize = 256 << 10;
/// Blocks without a row to send after which `read` returns, so that a stopping run is not kept waiting.
const PATIENCE: usize = 64;
/// How deep values may be nested. Decoding needs no stack for it, but arrow's error messages do.
const DEPTH: usize = 512;

/// Which part of a file a reader has, for telling line numbers.
pub struct Part {
    pub lines: Arc<Lines>,
    pub range: usize,
}

/// A line of the window that is not blank.
#[derive(Clone, Copy)]
struct Line {
    from: usize,
    to: usize,
    /// Its number among the lines of this range, and among the rows, from 0.
    line: u64,
    row: u64,
}

pub struct NdjsonReader {
    layout: Arc<Layout>,
    input: Input,
    name: String,
    part: Option<Part>,
    batch_rows: usize,
    batch_bytes: usize,
    decoder: Option<Decoder>,
    /// Fields that the sample had not are passed over for the moment.
    lenient: bool,

    /// How much is read at once.
    pub(super) block: usize,
    window: Vec<u8>,
    filled: usize,
    /// Start of the line that is not complete yet, and how far it has been searched for its end.
    open: usize,
    searched: usize,
    /// Complete lines; the first `taken` are done with.
    lines: Vec<Line>,
    taken: usize,
    at_start: bool,
    /// Lines of the file before this range, where they are known.
    before: u64,
    ended: bool,
    failure: Option<Error>,
    overlong: Option<Overlong>,
    /// Lines and rows found so far.
    line: u64,
    row: u64,
}

/// Decoded lines: batches and the lines that they come from, and the lines that cannot be decoded. All in order.
#[derive(Default)]
struct Decoded {
    batches: Vec<(RecordBatch, Range<usize>)>,
    bad: Vec<usize>,
    /// Among the batches, lines of which some have fields that the sample had not.
    late: Vec<Range<usize>>,
}

impl NdjsonReader {
    pub fn new(layout: Arc<Layout>, input: Input, name: String, part: Option<Part>, task: &Task) -> NdjsonReader {
        NdjsonReader {
            layout,
            input,
            name,
            at_start: part.as_ref().is_none_or(|part| part.range == 0),
            part,
            before: 0,
            batch_rows: task.batch_rows.max(1),
            // Offsets of text have 31 bits, and one more line may be as long as any.
            batch_bytes: task.batch_bytes.clamp(1, 512 << 20),
            decoder: None,
            lenient: false,
            block: BLOCK,
            window: vec![],
            filled: 0,
            open: 0,
            searched: 0,
            lines: vec![],
            taken: 0,
            ended: false,
            failure: None,
            overlong: None,
            line: 0,
            row: 0,
        }
    }

    /// For a range in the middle of a file, behind so many lines.
    pub fn behind(self, lines: u64) -> NdjsonReader {
        NdjsonReader { at_start: self.at_start && lines == 0, before: lines, ..self }
    }

    /// Lines found so far, blank and bad ones too.
    pub fn lines(&self) -> u64 {
        self.line
    }

    /// Reads a block and finds the lines in it.
    fn refill(&mut self, out: &mut dyn Out) -> Result<()> {
        if self.taken == self.lines.len() {
            self.window.copy_within(self.open..self.filled, 0);
            self.filled -= self.open;
            self.searched -= self.open;
            self.open = 0;
            self.lines.clear();
            self.taken = 0;
        }
        if self.filled - self.open > self.layout.max_record || self.overlong.is_some() {
            self.overlong.get_or_insert_with(|| Overlong::new(self.line)).take(&self.window[self.open..self.filled]);
            self.filled = self.open;
            self.searched = self.open;
        }
        // Three bytes at least, for the mark.
        let room = self.filled + self.block.max(BOM.len());
        if self.window.len() < room {
            self.window.resize(room, 0);
        }
        let read = if std::mem::take(&mut self.at_start) {
            // The mark, if there is one, is not part of the first line.
            let read = self.input.read_full(&mut self.window[..BOM.len()]);
            self.filled = read.as_ref().map_or(0, |&n| if self.window[..n] == *BOM { 0 } else { n });
            read
        } else {
            let read = self.input.read(&mut self.window[self.filled..self.filled + self.block]);
            self.filled += read.as_ref().map_or(0, |n| *n);
            read
        };
        match read {
            Ok(n) => self.ended = n == 0,
            Err(e) => {
                self.failure = Some(e);
                return Ok(());
            }
        }
        while let Some(feed) = memchr::memchr(b'\n', &self.window[self.searched..self.filled]) {
            let feed = self.searched + feed;
            self.searched = feed + 1;
            self.end_line(feed, out)?;
        }
        self.searched = self.filled;
        if self.ended && (self.open < self.filled || self.overlong.is_some()) {
            self.end_line(self.filled, out)?;
        }
        Ok(())
    }

    /// The open line ends at `to`.
    fn end_line(&mut self, to: usize, out: &mut dyn Out) -> Result<()> {
        let from = std::mem::replace(&mut self.open, (to + 1).min(self.filled));
        let line = self.line;
        self.line += 1;
        if self.overlong.is_some() || to - from > self.layout.max_record {
            self.row += 1;
            let mut overlong = self.overlong.take().unwrap_or_else(|| Overlong::new(line));
            overlong.take(&self.window[from..to]);
            out.create("read", 1);
            let what = format!("a line of {} bytes, where {} are allowed", overlong.bytes, self.layout.max_record);
            return self.reject("ndjson.record_too_long", overlong.line, &what, &overlong.raw, out);
        }
        if !self.window[from..to].iter().all(u8::is_ascii_whitespace) {
            self.lines.push(Line { from, to, line, row: self.row });
            self.row += 1;
        }
        Ok(())
    }

    fn reject(&self, code: &str, line: u64, what: &str, raw: &[u8], out: &mut dyn Out) -> Result<()> {
        let place = self.place(line)?;
        let raw = String::from_utf8_lossy(&raw[..raw.len().min(RAW)]).into_owned();
        out.reject(Rejection { code: code.to_string(), message: format!("{place}: {what}"), raw })
    }

    /// `file:line` of a line of this range, from 0.
    fn place(&self, line: u64) -> Result<String> {
        let before = match &self.part {
            Some(part) => part.lines.before(part.range)?,
            None => self.before,
        };
        Ok(format!("{}:{}", self.name, before + line + 1))
    }

    fn text(&self, line: usize) -> &[u8] {
        &self.window[self.lines[line].from..self.lines[line].to]
    }

    /// Gives lines to the decoder, which must be empty; stops before the first that is not exactly one JSON value.
    fn feed(&mut self, lines: Range<usize>) -> Result<usize> {
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => {
                let strict = self.layout.strict || self.layout.expected.is_some() && !self.lenient;
                decoder(&self.layout.decoded, strict, self.batch_rows.max(lines.len()))?
            }
        };
        for (count, line) in lines.clone().enumerate() {
            let Line { from, to, .. } = self.lines[line];
            // With its line feed, where it has one: it ends a number.
            let text = &self.window[from..(to + 1).min(self.filled)];
            let spelled = self.layout.choices.as_ref().map(|choices| choices.spell(text)).transpose();
            let Ok(spelled) = spelled else { return Ok(line) };
            let text = spelled.as_deref().unwrap_or(text);
            let whole = !too_deep(text)
                && decoder.decode(text).is_ok_and(|read| read == text.len())
                && !decoder.has_partial_record()
                && decoder.len() == count + 1;
            if !whole {
                // The decoder is in the middle of something.
                return Ok(line);
            }
        }
        self.decoder = Some(decoder);
        Ok(lines.end)
    }

    /// Decodes lines. Good ones are looked at once, or twice if a broken one follows them, or some more times if among them
    /// is one with a wrong type.
    fn decode(&mut self, lines: Range<usize>, decoded: &mut Decoded) -> Result<()> {
        let mut from = lines.start;
        while from < lines.end {
            let to = self.feed(from..lines.end)?;
            if to < lines.end && to > from && self.feed(from..to)? < to {
                return Err(Error::bug("the same JSON was whole and then not"));
            }
            let batch = match &mut self.decoder {
                Some(decoder) if to > from => decoder.flush(),
                _ => Ok(None),
            };
            match batch {
                Ok(Some(batch)) => decoded.batches.push((batch, from..to)),
                Ok(None) => {}
                Err(_) => {
                    self.decoder = None;
                    if let Some(batch) = self.decode_leniently(from..to)? {
                        decoded.batches.push((batch, from..to));
                        decoded.late.push(from..to);
                    } else if to - from == 1 {
                        decoded.bad.push(from);
                    } else {
                        let middle = from + (to - from) / 2;
                        self.decode(from..middle, decoded)?;
                        self.decode(middle..to, decoded)?;
                    }
                }
            }
            if to < lines.end {
                decoded.bad.push(to);
            }
            from = to + 1;
        }
        Ok(())
    }

    /// Decodes whole lines, passing over fields that the sample had not. `None`: that is not what is wrong with them.
    fn decode_leniently(&mut self, lines: Range<usize>) -> Result<Option<RecordBatch>> {
        if self.layout.expected.is_none() {
            return Ok(None);
        }
        self.lenient = true;
        let fed = self.feed(lines);
        self.lenient = false;
        fed?;
        let batch = self.decoder.take().and_then(|mut decoder| decoder.flush().ok());
        Ok(batch.flatten())
    }

    /// Tells of fields that are not read because the sample had them not.
    fn tell_late(&self, ranges: &[Range<usize>], out: &mut dyn Out) {
        let Some(expected) = self.layout.expected.as_ref().filter(|_| !ranges.is_empty()) else { return };
        let mut late = Late::default();
        for line in ranges.iter().cloned().flatten() {
            late.look(expected, line, self.text(line));
        }
        for (name, lines, first) in late.found() {
            let shown = || String::from_utf8_lossy(&self.text(first)[..self.text(first).len().min(RAW)]).into_owned();
            out.altered(&format!("field not in the sample, not read: {name}"), lines, &|_| vec![shown()]);
        }
    }

    /// Decodes some of the lines found and sends them.
    fn send(&mut self, out: &mut dyn Out) -> Result<()> {
        let lines = self.taken..self.lines.len().min(self.taken + self.batch_rows);
        out.create("read", lines.len() as u64);
        self.taken = lines.end;
        let mut decoded = Decoded::default();
        self.decode(lines, &mut decoded)?;
        self.tell_late(&decoded.late, out);
        for &line in &decoded.bad {
            let (code, what) = self.explain(self.text(line));
            self.reject(code, self.lines[line].line, &what, self.text(line), out)?;
        }
        let layout = self.layout.clone();
        let batch = match &decoded.batches[..] {
            [] => return Ok(()),
            [(batch, _)] => batch.clone(),
            many => concat_batches(&layout.decoded, many.iter().map(|(batch, _)| batch))?,
        };
        let lines: Vec<usize> = decoded.batches.iter().flat_map(|(_, lines)| lines.clone()).collect();
        let text: Vec<ArrayRef> = layout.wanted.iter().map(|&column| batch.column(column).clone()).collect();
        let typed = typed(&text, &layout.readings, layout.on_error)?;
        typed.report_nulled(&text, &layout.output.schema, out)?;
        for bad in &typed.bad {
            let line = lines[bad.row];
            let field = layout.output.schema.field(bad.column);
            let what = message(&text[bad.column], bad.row, field.name(), field.data_type());
            if layout.on_error == OnError::Fail {
                return Err(Error::data(format!("{}: {what}", self.place(self.lines[line].line)?))
                    .help("set on_error: Reject or Null, or declare the column as Utf8"));
            }
            self.reject("ndjson.type", self.lines[line].line, &what, self.text(line), out)?;
        }
        let rows = batch.num_rows() - typed.bad.len();
        let numbers = if layout.output.row_number {
            let all = Int64Array::from_iter_values(lines.iter().map(|&line| self.lines[line].row as i64 + 1));
            Some(match &typed.kept {
                Some(kept) => filter(&all, kept)?,
                None => Arc::new(all),
            })
        } else {
            None
        };
        out.send(0, layout.output.batch(typed.columns, rows, &self.name, numbers)?)
    }

    /// Why a line cannot be decoded: the code and the words.
    fn explain(&self, line: &[u8]) -> (&'static str, String) {
        if let Err(e) = std::str::from_utf8(line) {
            return ("ndjson.utf8", format!("not UTF-8, at byte {} of the line", e.valid_up_to() + 1));
        }
        if too_deep(line) {
            return ("ndjson.syntax", format!("nested deeper than {DEPTH} levels"));
        }
        let spelled = match self.layout.choices.as_ref().map(|choices| choices.spell(line)).transpose() {
            Ok(spelled) => spelled,
            Err(misfit) => return ("ndjson.type", misfit),
        };
        let text = spelled.as_deref().unwrap_or(line);
        let alone = |strict| -> std::result::Result<Option<RecordBatch>, ArrowError> {
            let mut decoder = decoder(&self.layout.decoded, strict, 2)?;
            decoder.decode(text)?;
            decoder.flush()
        };
        match serde_json::from_slice::<Value>(line) {
            Ok(Value::Object(_)) => {}
            Ok(_) => {
                return (
                    "ndjson.type",
                    format!("expected an object, found {}", shorten(&String::from_utf8_lossy(line), 200)),
                );
            }
            // `… at line 1 column 7`: the line is known better.
            Err(e) => return ("ndjson.syntax", e.to_string().replace("at line 1 column", "at byte")),
        }
        match alone(self.layout.strict) {
            Err(e) if self.layout.strict && alone(false).is_ok() => ("ndjson.unknown_field", plain(&e)),
            Err(e) => ("ndjson.type", plain(&e)),
            Ok(_) => ("ndjson.syntax", "not exactly one JSON object".to_string()),
        }
    }
}

/// Arrow's words without its prefix.
fn plain(e: &ArrowError) -> String {
    let text = e.to_string();
    shorten(text.strip_prefix("Json error: ").unwrap_or(&text), 300)
}

/// A decoder for up to `rows` lines at once.
pub fn decoder(schema: &SchemaRef, strict: bool, rows: usize) -> std::result::Result<Decoder, ArrowError> {
    ReaderBuilder::new(schema.clone())
        .with_batch_size(rows)
        .with_coerce_primitive(true)
        .with_strict_mode(strict)
        .build_decoder()
}

/// Brackets and braces open at once, outside of texts: more than [`DEPTH`]?
fn too_deep(line: &[u8]) -> bool {
    let opened = |bracket| memchr::memchr_iter(bracket, line).count();
    if line.len() <= DEPTH || opened(b'[') + opened(b'{') <= DEPTH {
        return false;
    }
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0usize, 0, false, false);
    for &byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > DEPTH
}

impl Reader for NdjsonReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        for _ in 0..PATIENCE {
            let waiting = self.lines.len() - self.taken;
            let last = self.ended || self.failure.is_some();
            if waiting >= self.batch_rows || self.open >= self.batch_bytes && waiting > 0 || last && waiting > 0 {
                self.send(out)?;
                return Ok(Next::More);
            }
            if let Some(e) = self.failure.take() {
                return Err(e);
            }
            if self.ended {
                if let Some(part) = &self.part {
                    part.lines.note(part.range, self.line);
                }
                return Ok(Next::Done);
            }
            self.refill(out)?;
        }
        Ok(Next::More)
    }
}
