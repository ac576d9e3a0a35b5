//! Reads one CSV file, or one range of it, as batches. The state is a window of the text that always starts with a record:
//!
//! ```text
//!  window: [ records taken | records found | the start of a record ][ room for one block ]
//!                          ▲ next          ▲ splitter.records()     ▲ filled
//! ```
//!
//! Neighbouring good records are taken in one go (a *run*); a run ends before anything that is not a plain row.

use super::columns::{PADDING, TextColumn};
use super::splitter::Splitter;
use super::{BOM, Layout};
use crate::compression::Input;
use crate::lines::Lines;
use crate::overlong::{Overlong, RAW};
use crate::typed::{Bad, OnError, message, text_batch, typed};
use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::filter;
use selvedge_node::{Error, Next, Out, Reader, Rejection, Result, Task, rows_json};
use std::sync::Arc;

/// How much is read at once: with its ends and its values it stays in a core's own cache.
const BLOCK: usize = 256 << 10;
/// Blocks without a row to send after which `read` returns, so that a stopping run is not kept waiting.
const PATIENCE: usize = 64;

/// Which part of a file a reader has, for telling line numbers.
pub struct Part {
    pub lines: Arc<Lines>,
    pub range: usize,
}

/// Where a run of rows of the batch stood in the file.
struct Mark {
    /// The first row of the run in the batch.
    row: usize,
    /// Its line in this range, from 0, and its number among the records.
    line: u64,
    record: u64,
}

pub struct CsvReader {
    layout: Arc<Layout>,
    input: Input,
    name: String,
    /// For ranges of a file; a whole file starts at its first line.
    part: Option<Part>,
    batch_rows: usize,
    batch_bytes: usize,

    /// How much is read at once.
    pub(super) block: usize,
    window: Vec<u8>,
    filled: usize,
    splitter: Splitter,
    /// The next record to take, and the place among `splitter.odd()`.
    next: usize,
    next_odd: usize,
    at_start: bool,
    ended: bool,
    failure: Option<Error>,
    header: bool,
    overlong: Option<Overlong>,

    columns: Vec<TextColumn>,
    rows: usize,
    marks: Vec<Mark>,
    /// Lines and records before the window.
    lines: u64,
    /// Records taken so far, good or bad; not the header, not comments, not blank lines.
    taken: u64,
}

impl CsvReader {
    /// `header`: the first record is the header.
    pub fn new(
        layout: Arc<Layout>,
        input: Input,
        name: String,
        header: bool,
        part: Option<Part>,
        task: &Task,
    ) -> CsvReader {
        // A wide table fills a batch with few rows: room for many in each of 20,000 columns would be gigabytes.
        let rows = (task.batch_bytes / 16 / layout.wanted.len().max(1)).clamp(16, task.batch_rows.max(16));
        let columns = layout.wanted.iter().map(|_| TextColumn::new(&layout.values, rows)).collect();
        CsvReader {
            splitter: Splitter::new(layout.values.dialect),
            layout,
            input,
            name,
            batch_rows: task.batch_rows.max(1),
            // Offsets of text have 31 bits, and one more record may be as long as any.
            batch_bytes: task.batch_bytes.clamp(1, 512 << 20),
            block: BLOCK,
            window: vec![],
            filled: 0,
            next: 0,
            next_odd: 0,
            // Elsewhere in a file the bytes of the mark are a character.
            at_start: part.as_ref().is_none_or(|part| part.range == 0),
            ended: false,
            failure: None,
            header,
            overlong: None,
            columns,
            rows: 0,
            marks: vec![],
            lines: 0,
            taken: 0,
            part,
        }
    }

    /// Moves what is left to the front of the window and reads a block behind it.
    fn refill(&mut self, out: &mut dyn Out) -> Result<()> {
        let gone = self.splitter.start(self.splitter.records());
        let breaks = self.splitter.breaks().partition_point(|b| (*b as usize) < gone);
        self.lines += (self.splitter.records() + breaks) as u64;
        self.window.copy_within(gone..self.filled, 0);
        self.filled -= gone;
        self.splitter.forget(gone);
        (self.next, self.next_odd) = (0, 0);
        if self.splitter.scanned() > self.layout.max_record || self.overlong.is_some() {
            self.skip_overlong();
        }
        if self.window.len() < self.filled + self.block + PADDING {
            self.window.resize(self.filled + self.block + PADDING, 0);
        }
        let read = if std::mem::take(&mut self.at_start) {
            // The mark, if there is one, is not part of the first record.
            let read = self.input.read_full(&mut self.window[..BOM.len()]);
            self.filled = read.as_ref().map_or(0, |&n| if self.window[..n] == *BOM { 0 } else { n });
            read
        } else {
            let read = self.input.read(&mut self.window[self.filled..self.filled + self.block]);
            self.filled += read.as_ref().map_or(0, |n| *n);
            read
        };
        match read {
            Ok(0) => {
                self.ended = true;
                self.splitter.finish(&self.window[..self.filled]);
            }
            Ok(_) => self.splitter.scan(&self.window[..self.filled]),
            Err(e) => {
                self.failure = Some(e);
                return Ok(());
            }
        }
        self.end_overlong(out)
    }

    /// Drops what the window has of a record that is too long, all but its beginning.
    fn skip_overlong(&mut self) {
        let window = &self.window[..self.filled];
        let breaks = self.splitter.breaks().len() as u64;
        let overlong = self.overlong.get_or_insert_with(|| Overlong::new(self.lines));
        // What has not been scanned stays: less than a block.
        let scanned = self.splitter.scanned();
        overlong.take(&window[..scanned]);
        self.lines += breaks;
        self.window.copy_within(scanned..self.filled, 0);
        self.filled -= scanned;
        self.splitter.forget_all();
    }

    /// Rejects the overlong record if its end is in the window.
    fn end_overlong(&mut self, out: &mut dyn Out) -> Result<()> {
        if self.splitter.records() == 0 {
            return Ok(());
        }
        let Some(mut overlong) = self.overlong.take() else { return Ok(()) };
        let end = self.splitter.starts()[self.splitter.first_field(1)] as usize - 1;
        overlong.take(&self.window[..end]);
        self.next = 1;
        if self.is_comment(&overlong.raw) || std::mem::take(&mut self.header) {
            return Ok(());
        }
        self.taken += 1;
        out.create("read", 1);
        let open = self.splitter.unterminated() && self.splitter.records() == 1;
        self.reject_long(overlong.bytes, overlong.line, &overlong.raw, open, out)
    }

    fn reject_long(&self, bytes: u64, line: u64, raw: &[u8], open: bool, out: &mut dyn Out) -> Result<()> {
        let most = self.layout.max_record;
        let why = if open { ": a quote in it is never closed" } else { "" };
        self.reject(
            "csv.record_too_long",
            line,
            format!("a record of {bytes} bytes, where {most} are allowed{why}"),
            raw,
            out,
        )
    }

    /// Sends a broken record to `errors`; `line` counts in this range from 0.
    fn reject(&self, code: &str, line: u64, what: String, raw: &[u8], out: &mut dyn Out) -> Result<()> {
        let line = self.absolute(line)?;
        let raw = String::from_utf8_lossy(&raw[..raw.len().min(RAW)]).into_owned();
        out.reject(Rejection { code: code.to_string(), message: format!("{}:{line}: {what}", self.name), raw })
    }

    /// A line of the file, from 1, by its number in this range, from 0.
    fn absolute(&self, line: u64) -> Result<u64> {
        let before = match &self.part {
            Some(part) => part.lines.before(part.range)?,
            None => 0,
        };
        Ok(before + line + 1)
    }

    /// The line of record `r` of the window, in this range from 0.
    fn line(&self, r: usize) -> u64 {
        let start = self.splitter.start(r) as u32;
        self.lines + (r + self.splitter.breaks().partition_point(|b| *b < start)) as u64
    }

    /// Takes records of the window until it or the batch is full.
    fn take(&mut self, out: &mut dyn Out) -> Result<()> {
        let end = self.splitter.records().min(self.next + (self.batch_rows - self.rows));
        while self.next < end {
            let stop = if self.header { self.next } else { self.run_end(self.next, end) };
            if stop > self.next {
                out.create("read", (stop - self.next) as u64);
                self.append(self.next, stop);
                self.next = stop;
            } else {
                self.next += 1;
                self.take_special(self.next - 1, out)?;
            }
        }
        Ok(())
    }

    /// The records from `r` up to the result, at most `end`, are plain rows.
    fn run_end(&mut self, r: usize, end: usize) -> usize {
        let width = self.layout.width;
        let mut before = self.splitter.first_field(r);
        let mut stop = r;
        for &fields in &self.splitter.ends()[r..end] {
            if fields as usize - before != width {
                break;
            }
            before = fields as usize;
            stop += 1;
        }
        // What the number of fields does not show: comments, blank lines of one-column files, and long records.
        let peculiar =
            self.layout.values.dialect.comment.is_some() || width == 1 || self.filled > self.layout.max_record;
        if peculiar && let Some(found) = (r..stop).find(|&r| self.is_peculiar(r)) {
            stop = found;
        }
        let from = self.splitter.start(r);
        while let Some(&odd) = self.splitter.odd().get(self.next_odd) {
            let odd = odd as usize;
            if odd >= self.splitter.start(stop) {
                break;
            }
            if odd >= from && !self.is_line_end(odd) {
                stop = stop.min(self.record_at(r, stop, odd));
                break;
            }
            self.next_odd += 1;
        }
        if self.splitter.unterminated() && stop == self.splitter.records() && stop > r {
            stop -= 1;
        }
        let to = self.splitter.start(stop).min(self.filled);
        if stop > r
            && let Err(e) = std::str::from_utf8(&self.window[from..to])
        {
            stop = self.record_at(r, stop, from + e.valid_up_to());
        }
        stop
    }

    /// The record among `from..to` that holds a place of the window.
    fn record_at(&self, mut from: usize, mut to: usize, place: usize) -> usize {
        while to - from > 1 {
            let middle = from + (to - from) / 2;
            if self.splitter.start(middle) <= place { from = middle } else { to = middle }
        }
        from
    }

    fn is_line_end(&self, at: usize) -> bool {
        self.window[at] == b'\r' && (at + 1 >= self.filled || self.window[at + 1] == b'\n')
    }

    fn is_peculiar(&self, r: usize) -> bool {
        let record = self.record(r);
        record.len() > self.layout.max_record || self.is_comment(record) || self.is_blank(r, record)
    }

    /// The text of a record without its line feed.
    fn record(&self, r: usize) -> &[u8] {
        let start = self.splitter.start(r);
        let end = self.splitter.starts()[self.splitter.first_field(r + 1)] as usize - 1;
        &self.window[start..end]
    }

    fn is_comment(&self, record: &[u8]) -> bool {
        record.first().is_some_and(|b| Some(*b) == self.layout.values.dialect.comment)
    }

    fn is_blank(&self, r: usize, record: &[u8]) -> bool {
        self.splitter.first_field(r + 1) - self.splitter.first_field(r) == 1
            && record.len() <= self.layout.max_record
            && match record.strip_suffix(b"\r").unwrap_or(record) {
                [] => true,
                rest => self.layout.values.dialect.trim && rest.iter().all(|b| super::dialect::is_blank(*b)),
            }
    }

    /// A record that is no plain row: nothing, the header, or broken.
    fn take_special(&mut self, r: usize, out: &mut dyn Out) -> Result<()> {
        let record = self.record(r);
        if self.is_comment(record) || self.is_blank(r, record) {
            return Ok(());
        }
        if std::mem::take(&mut self.header) {
            return Ok(());
        }
        out.create("read", 1);
        let record = self.record(r);
        let (start, line) = (self.splitter.start(r), self.line(r));
        let fields = self.splitter.first_field(r + 1) - self.splitter.first_field(r);
        let width = self.layout.width;
        let last = r + 1 == self.splitter.records();
        let places = start as u32..(start + record.len()) as u32;
        let odd = self.splitter.odd().iter().find(|at| places.contains(at) && !self.is_line_end(**at as usize));
        if record.len() > self.layout.max_record {
            let open = last && self.splitter.unterminated();
            self.reject_long(record.len() as u64, line, record, open, out)?;
        } else if last && self.splitter.unterminated() {
            let what = "a quote is never closed: the file ends inside it";
            self.reject("csv.quote", line, what.to_string(), record, out)?;
        } else if let Some(&at) = odd {
            let what = format!(
                "text behind a closing quote, at byte {} of the record: a quote inside a quoted field must be {}",
                at as usize - start + 1,
                if self.layout.values.dialect.escape.is_some() { "escaped" } else { "doubled" },
            );
            self.reject("csv.quote", line, what, record, out)?;
        } else if let Err(e) = std::str::from_utf8(record) {
            let what = format!("not UTF-8, at byte {} of the record", e.valid_up_to() + 1);
            self.reject("csv.utf8", line, what, record, out)?;
        } else if fields < width && self.layout.fill_ragged {
            self.append_short(r, fields);
            let record = self.record(r);
            out.altered("missing fields became null", 1, &|_| vec![String::from_utf8_lossy(record).into_owned()]);
        } else {
            self.reject("csv.columns", line, format!("{fields} fields, where {width} are expected"), record, out)?;
        }
        self.taken += 1;
        Ok(())
    }

    fn mark(&mut self, r: usize) {
        if self.splitter.breaks().is_empty() {
            self.marks.push(Mark { row: self.rows, line: self.lines + r as u64, record: self.taken });
        } else {
            self.marks.push(Mark { row: self.rows, line: self.line(r), record: self.taken });
        }
    }

    /// Appends plain rows.
    fn append(&mut self, from: usize, to: usize) {
        if self.splitter.breaks().is_empty() {
            self.mark(from);
        } else if self.layout.needs_lines() {
            // Lines and records part ways where fields have line breaks.
            for r in from..to {
                self.marks.push(Mark {
                    row: self.rows + r - from,
                    line: self.line(r),
                    record: self.taken + (r - from) as u64,
                });
            }
        }
        let fields = self.splitter.first_field(from)..=self.splitter.first_field(to);
        let starts = &self.splitter.starts()[fields];
        for (column, &field) in self.columns.iter_mut().zip(&self.layout.wanted) {
            column.append(&self.layout.values, &self.window, starts, self.layout.width, field);
        }
        self.rows += to - from;
        self.taken += (to - from) as u64;
    }

    /// Appends a row that has too few fields.
    fn append_short(&mut self, r: usize, fields: usize) {
        self.mark(r);
        let starts = &self.splitter.starts()[self.splitter.first_field(r)..=self.splitter.first_field(r + 1)];
        for (column, &field) in self.columns.iter_mut().zip(&self.layout.wanted) {
            if field < fields {
                column.append(&self.layout.values, &self.window, starts, fields, field);
            } else {
                column.append_null();
            }
        }
        self.rows += 1;
    }

    /// The line (in this range) and the record number of a row of the batch.
    fn origin(&self, row: usize) -> (u64, u64) {
        let Some(mark) = self.marks[..self.marks.partition_point(|m| m.row <= row)].last() else { return (0, 0) };
        (mark.line + (row - mark.row) as u64, mark.record + (row - mark.row) as u64)
    }

    /// Sends the rows so far.
    fn send(&mut self, out: &mut dyn Out) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let text: Vec<ArrayRef> = self.columns.iter_mut().map(TextColumn::finish).collect();
        let layout = self.layout.clone();
        let typed = typed(&text, &layout.readings, layout.on_error)?;
        typed.report_nulled(&text, &layout.output.schema, out)?;
        if !typed.bad.is_empty() {
            self.reject_bad(&text, &typed.bad, out)?;
        }
        let rows = self.rows - typed.bad.len();
        let numbers = if layout.output.row_number {
            let all = Int64Array::from_iter_values((0..self.rows).map(|row| self.origin(row).1 as i64 + 1));
            Some(match &typed.kept {
                Some(kept) => filter(&all, kept)?,
                None => Arc::new(all),
            })
        } else {
            None
        };
        let batch = layout.output.batch(typed.columns, rows, &self.name, numbers)?;
        self.rows = 0;
        self.marks.clear();
        out.send(0, batch)
    }

    /// Rows with a value that its column's type cannot take.
    fn reject_bad(&self, text: &[ArrayRef], bad: &[Bad], out: &mut dyn Out) -> Result<()> {
        let schema = &self.layout.output.schema;
        let batch = text_batch(text, schema)?;
        for some in bad.chunks(256) {
            let rows: Vec<usize> = some.iter().map(|b| b.row).collect();
            for (bad, raw) in some.iter().zip(rows_json(&batch, &rows)) {
                let field = schema.field(bad.column);
                let what = message(&text[bad.column], bad.row, field.name(), field.data_type());
                let line = self.absolute(self.origin(bad.row).0)?;
                let message = format!("{}:{line}: {what}", self.name);
                if self.layout.on_error == OnError::Fail {
                    return Err(
                        Error::data(message).help("set on_error: Reject or Null, or declare the column as Utf8")
                    );
                }
                out.reject(Rejection { code: "cast".into(), message, raw })?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.columns.iter().map(TextColumn::bytes).sum()
    }

    /// Bytes that the columns have taken, used or not.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.columns.iter().map(TextColumn::room).sum()
    }
}

impl Reader for CsvReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        for _ in 0..PATIENCE {
            if self.rows >= self.batch_rows || self.bytes() >= self.batch_bytes {
                self.send(out)?;
                return Ok(Next::More);
            }
            if self.next < self.splitter.records() {
                self.take(out)?;
            } else if self.ended {
                self.send(out)?;
                if let Some(part) = &self.part {
                    part.lines
                        .note(part.range, self.lines + (self.splitter.records() + self.splitter.breaks().len()) as u64);
                }
                return Ok(Next::Done);
            } else if self.failure.is_some() {
                // What was read before the failure is good.
                self.send(out)?;
                return self.failure.take().map_or(Ok(Next::Done), Err);
            } else {
                self.refill(out)?;
            }
        }
        Ok(Next::More)
    }
}
