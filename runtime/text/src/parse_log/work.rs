//! A batch of lines becomes columns: texts are found line by line, then cast a whole column at a time.

use super::cell::{Bad, Cell, Names};
use super::json::Tree;
use super::pattern::Pattern;
use super::{OnError, logfmt};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions, StringArray,
    StringBuilder,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use selvedge_cast::{cast, from_text};
use selvedge_node::{Error, Map, Out, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug)]
pub(super) enum Reader {
    Json(Tree),
    Logfmt(Names),
    Pattern(Pattern),
}

#[derive(Debug)]
pub(super) struct Lines {
    /// The index of the column with the lines.
    pub column: usize,
    pub keep: bool,
    pub reader: Reader,
    /// Name and type of the columns that come out of the lines.
    pub parts: Vec<(String, DataType)>,
    pub output: SchemaRef,
    pub on_error: OnError,
    pub max_line: usize,
}

/// What was read: the columns as text, and the lines that could not be read, in order.
struct Found {
    columns: Vec<StringArray>,
    bad: Vec<(usize, Bad)>,
}

/// Rows that go no further.
struct Trouble<'a> {
    code: &'static str,
    /// Stable words for counting.
    reason: String,
    rows: BooleanBuffer,
    message: &'a dyn Fn(usize) -> String,
}

impl Lines {
    fn find(&self, lines: &StringArray) -> Found {
        match &self.reader {
            Reader::Json(tree) => self.each(lines, |line, cells| some(line).and_then(|line| tree.read(line, cells))),
            Reader::Logfmt(names) => self.each(lines, |line, cells| {
                let wrong = |what| Bad { code: "logfmt.syntax", what };
                some(line).and_then(|line| logfmt::read(names, line, cells).map_err(wrong))
            }),
            Reader::Pattern(pattern) => {
                let mut places = pattern.places();
                self.each(lines, |line, cells| pattern.read(line, &mut places, cells))
            }
        }
    }

    /// Reads all lines. Of a missing one all columns are null.
    fn each<'a>(
        &self,
        lines: &'a StringArray,
        mut read: impl FnMut(&'a str, &mut [Cell<'a>]) -> std::result::Result<(), Bad>,
    ) -> Found {
        // Of a slice, its own bytes: the buffer may be much larger.
        let bytes = match lines.value_offsets() {
            [first, .., last] => (last - first) as usize / self.parts.len().max(1),
            _ => 0,
        };
        let mut builders: Vec<StringBuilder> =
            self.parts.iter().map(|_| StringBuilder::with_capacity(lines.len(), bytes)).collect();
        let mut cells = vec![Cell::Null; self.parts.len()];
        let mut bad = vec![];
        for (row, line) in lines.iter().enumerate() {
            cells.fill(Cell::Null);
            let done = match line {
                Some(line) if line.len() > self.max_line => {
                    let what = format!("a line of {} bytes, where {} are allowed", line.len(), self.max_line);
                    Err(Bad { code: "log.too_long", what })
                }
                Some(line) => read(line, &mut cells),
                None => Ok(()),
            };
            if let Err(what) = done {
                // Nothing of a line that turns out bad in the middle.
                cells.fill(Cell::Null);
                bad.push((row, what));
            }
            for (cell, builder) in cells.iter().zip(&mut builders) {
                cell.append(builder);
            }
        }
        Found { columns: builders.iter_mut().map(StringBuilder::finish).collect(), bad }
    }

    /// Tells of rows in trouble; those that do not go on are added to `gone`.
    fn tell(
        &self,
        trouble: &Trouble,
        batch: &RecordBatch,
        gone: &mut Option<BooleanBuffer>,
        out: &mut dyn Out,
    ) -> Result<()> {
        // A row is told once, for the first thing that is wrong with it.
        let new = match gone {
            Some(gone) => &trouble.rows & &!&*gone,
            None => trouble.rows.clone(),
        };
        match self.on_error {
            OnError::Null => {
                out.altered_where(&format!("null: {}", trouble.reason), batch, &BooleanArray::new(new, None));
                return Ok(());
            }
            OnError::Drop => out.drop_where(&trouble.reason, batch, &BooleanArray::new(new.clone(), None)),
            OnError::Reject => {
                let rows: Vec<usize> = new.set_indices().collect();
                out.reject_rows(trouble.code, batch, &rows, trouble.message)?;
            }
            OnError::Fail => {
                if let Some(row) = new.set_indices().next() {
                    return Err(Error::data((trouble.message)(row)).help(
                        "on_error: Reject sends such rows to `errors`, Drop counts them, Null makes nulls of them",
                    ));
                }
            }
        }
        *gone = Some(match gone {
            Some(gone) => &*gone | &new,
            None => new,
        });
        Ok(())
    }
}

/// A line with something in it.
fn some(line: &str) -> std::result::Result<&str, Bad> {
    if line.trim_ascii().is_empty() {
        return Err(Bad { code: "log.empty", what: "the line is empty".into() });
    }
    Ok(line)
}

/// At most 200 bytes of a text, cut between characters.
fn short(text: &str) -> String {
    const SHOWN: usize = 200;
    if text.len() <= SHOWN { text.to_string() } else { format!("{}…", &text[..text.floor_char_boundary(SHOWN)]) }
}

impl Map for Lines {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let bug = |e: selvedge_cast::Unsupported| Error::bug(e.to_string());
        let lines = cast(batch.column(self.column), &DataType::Utf8).map_err(bug)?.values;
        let lines = lines.as_string::<i32>();
        let Found { columns, bad } = self.find(lines);

        let mut gone = None;
        let codes: BTreeSet<&str> = bad.iter().map(|(_, bad)| bad.code).collect();
        for code in codes {
            let mut rows = BooleanBufferBuilder::new(batch.num_rows());
            rows.append_n(batch.num_rows(), false);
            bad.iter().filter(|(_, bad)| bad.code == code).for_each(|(row, _)| rows.set_bit(*row, true));
            let rows = rows.finish();
            let message = |row: usize| {
                let at = bad.binary_search_by_key(&row, |(row, _)| *row);
                let what = at.map_or("", |at| bad[at].1.what.as_str());
                format!("{what}: `{}`", short(lines.value(row)))
            };
            let reason = format!("unreadable line, {code}");
            self.tell(&Trouble { code, reason, rows, message: &message }, &batch, &mut gone, out)?;
        }

        let mut all = batch.columns().to_vec();
        if !self.keep {
            all.remove(self.column);
        }
        for (text, (name, ty)) in columns.into_iter().zip(&self.parts) {
            if *ty == DataType::Utf8 {
                all.push(Arc::new(text) as ArrayRef);
                continue;
            }
            let typed = from_text(&text, ty).map_err(bug)?;
            all.push(typed.values);
            let Some(failed) = typed.failed else { continue };
            let message = |row: usize| format!("cannot read `{}` in column `{name}` as {ty}", short(text.value(row)));
            let reason = format!("unreadable value in {name}");
            let rows = failed.values().clone();
            self.tell(&Trouble { code: "cast", reason, rows, message: &message }, &batch, &mut gone, out)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let done = RecordBatch::try_new_with_options(self.output.clone(), all, &options)?;
        match gone {
            Some(gone) => out.send(0, filter_record_batch(&done, &BooleanArray::new(!&gone, None))?),
            None => out.send(0, done),
        }
    }
}
