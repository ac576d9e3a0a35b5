//! NDJSON: a JSON object on each line. Lines can be found anywhere in a file, so a large one is cut where lines start.

mod choice;
pub mod crawl;
mod guess;
mod late;
mod reader;
#[cfg(test)]
mod tests;

use crate::compression::{Compression, Input};
use crate::files::UnknownFields;
use crate::lake::Found;
use crate::lines::Lines;
use crate::output::Output;
use crate::request::{Plan, Request};
use crate::typed::{OnError, Reading};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use choice::Choices;
use late::Names;
pub use reader::NdjsonReader;
use reader::Part;
use selvedge_node::{Positions, Problem, Problems, Reader, Result, Source, Split, Task};
use std::collections::HashSet;
use std::sync::Arc;

const BOM: &[u8; 3] = b"\xef\xbb\xbf";

/// The options of `Ndjson(…)`.
pub struct Options {
    /// Lines of each file that are looked at to find the columns.
    pub sample: usize,
    pub unknown_fields: UnknownFields,
    pub max_record: usize,
}

/// How lines become rows.
pub struct Layout {
    /// What is decoded: scalars as text, nested values as they are.
    decoded: SchemaRef,
    /// Which of the decoded columns are sent, and how they are read.
    wanted: Vec<usize>,
    readings: Vec<Reading>,
    on_error: OnError,
    /// A field that is no column makes the line a bad one.
    strict: bool,
    /// The fields of the sample, where it alone made the schema: others are reported.
    expected: Option<Names>,
    /// Where values of several types are told apart.
    choices: Option<Choices>,
    pub max_record: usize,
    pub output: Output,
}

/// Finds the columns and plans the reading.
pub fn plan(request: &Request, options: &Options) -> std::result::Result<Plan, Problems> {
    let (layout, notes) = layout(request, options)?;
    let output = layout.output.clone();
    let source = NdjsonSource {
        files: request.files.to_vec(),
        layout,
        compression: request.compression,
        // Row numbers are counted from the start of the file.
        split_bytes: if request.row_number.is_none() { request.split_bytes } else { u64::MAX },
    };
    Ok(Plan { output, source: Box::new(source), may_reject: true, notes, warnings: vec![] })
}

/// Finds the columns: how lines become rows, and what is worth a note.
pub fn layout(request: &Request, options: &Options) -> std::result::Result<(Arc<Layout>, Vec<String>), Problems> {
    let mut problems = Problems::default();
    let sample = guess::sample(request, options).map_err(|e| request.problem(e))?;
    let mut notes = vec![];
    // Name, type, how the text is read.
    let known: Vec<(String, DataType, Reading)> = match request.schema {
        Some(declared) => {
            let named: HashSet<&str> = declared.0.iter().map(|(name, _)| name.as_str()).collect();
            let others: Vec<&str> = sample.names().into_iter().filter(|name| !named.contains(name)).collect();
            if !others.is_empty() {
                notes.push(format!("fields that are no column: {}", others.join(", ")));
            }
            for (name, ty) in &declared.0 {
                problems.take(check_readable(name, &ty.arrow()).map_err(|what| {
                    Problem::error(ty.span, what).help("declare it as Utf8 and take it apart afterwards")
                }));
            }
            let read_as =
                |ty: &DataType| if request.exact && *ty == DataType::Int64 { Reading::Whole } else { reading(ty) };
            let column = |name: &str, ty: DataType| (name.to_string(), ty.clone(), read_as(&ty));
            declared.0.iter().map(|(name, ty)| column(name, ty.arrow())).collect()
        }
        None => {
            let columns = sample.columns().map_err(|what| {
                Problem::error(request.path_at, what)
                    .help("declare the schema; rows with values that do not fit then go to errors")
            })?;
            if columns.is_empty() {
                return Err(match sample.nothing() {
                    Some((what, help)) => Problem::error(request.path_at, what).help(help).into(),
                    None => request.no_schema(),
                });
            }
            columns
                .into_iter()
                .map(|(name, ty)| {
                    let reading = if ty == DataType::Int64 { Reading::Whole } else { reading(&ty) };
                    (name, ty, reading)
                })
                .collect()
        }
    };
    let schema = Schema::new(known.iter().map(|(name, ty, _)| Field::new(name, ty.clone(), true)).collect::<Vec<_>>());
    let projected = problems.take(request.project(&schema));
    let (wanted, output) = match projected {
        Some(projected) if !problems.has_errors() => projected,
        _ => return Err(problems),
    };
    let strict = options.unknown_fields == UnknownFields::Reject;
    // To tell an unknown field, all known ones must be decoded.
    let decoded: Vec<usize> = if strict { (0..known.len()).collect() } else { wanted.clone() };
    let field = |&k: &usize| {
        let (name, ty, reading) = &known[k];
        Field::new(name, if *reading == Reading::AsIs { ty.clone() } else { DataType::Utf8 }, true)
    };
    let decoded = Schema::new(decoded.iter().map(field).collect::<Vec<_>>());
    let layout = Arc::new(Layout {
        choices: Choices::of(decoded.fields()),
        decoded: Arc::new(decoded),
        readings: wanted.iter().map(|&k| known[k].2.clone()).collect(),
        wanted: if strict { wanted } else { (0..wanted.len()).collect() },
        on_error: request.on_error,
        strict,
        // A field that comes up behind the sample, and that nobody has decided about, must not vanish without a word.
        expected: (request.schema.is_none() && request.columns.is_none() && !strict)
            .then(|| Names::of(schema.fields())),
        max_record: options.max_record,
        output,
    });
    Ok((layout, notes))
}

/// Scalars are cast from their text, so that all casts are the same everywhere; nested values are decoded as they are.
fn reading(ty: &DataType) -> Reading {
    match ty {
        DataType::Utf8 | DataType::List(_) | DataType::Struct(_) => Reading::AsIs,
        _ => Reading::Cast(ty.clone()),
    }
}

fn check_readable(name: &str, ty: &DataType) -> std::result::Result<(), String> {
    choice::readable(ty).map_err(|one| format!("column `{name}`: JSON has no {one} to choose"))?;
    let readable = match reading(ty) {
        Reading::AsIs => {
            reader::decoder(&Arc::new(Schema::new(vec![Field::new(name, ty.clone(), true)])), false, 1).is_ok()
        }
        _ => selvedge_cast::supported(&DataType::Utf8, ty),
    };
    if readable { Ok(()) } else { Err(format!("column `{name}`: JSON cannot be read as {ty}")) }
}

struct NdjsonSource {
    files: Vec<Found>,
    layout: Arc<Layout>,
    compression: Compression,
    split_bytes: u64,
}

impl Source for NdjsonSource {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let mut splits: Vec<Box<dyn Split>> = vec![];
        for file in &self.files {
            let bytes = file.bytes_now()?;
            // Of what is one split anyway it is asked when that is read: many small objects are asked once.
            let small = bytes <= self.split_bytes;
            let compression = if small { self.compression } else { self.compression.of(file)? };
            let split =
                |range| Box::new(NdjsonSplit { file: file.clone(), layout: self.layout.clone(), compression, range });
            if small || compression != Compression::Uncompressed {
                splits.push(split(None));
                continue;
            }
            let cuts = cuts(file, bytes, self.split_bytes)?;
            let lines = Arc::new(Lines::new(file.clone(), cuts.clone()));
            for (range, ends) in cuts.windows(2).enumerate() {
                splits.push(split(Some((ends[0], ends[1], Part { lines: lines.clone(), range }))));
            }
        }
        Ok(splits)
    }
}

/// Starts of lines about `distance` bytes apart, from 0 to the end of the file.
fn cuts(file: &Found, bytes: u64, distance: u64) -> Result<Vec<u64>> {
    let mut cuts = vec![0];
    let mut buffer = vec![0; 64 << 10];
    let mut at = distance;
    while at < bytes {
        // From the byte before: if that ends a line, one starts right here.
        let mut from = at - 1;
        let mut input = Input::part(file, from, bytes)?;
        let cut = loop {
            let n = input.read(&mut buffer)?;
            match memchr::memchr(b'\n', &buffer[..n]) {
                Some(feed) => break from + feed as u64 + 1,
                None if n == 0 => break bytes,
                None => from += n as u64,
            }
        };
        if cut < bytes {
            cuts.push(cut);
        }
        // A line that reaches over whole distances has no start in them.
        at = cut.max(at) / distance * distance + distance;
    }
    cuts.push(bytes);
    Ok(cuts)
}

struct NdjsonSplit {
    file: Found,
    layout: Arc<Layout>,
    compression: Compression,
    range: Option<(u64, u64, Part)>,
}

impl Split for NdjsonSplit {
    fn name(&self) -> String {
        match &self.range {
            Some((from, to, _)) => format!("{}[{from}..{to}]", self.file.name),
            None => self.file.name.clone(),
        }
    }

    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        let (input, part) = match self.range {
            Some((from, to, part)) => (Input::part(&self.file, from, to)?, Some(part)),
            None => (Input::whole(&self.file, self.compression)?, None),
        };
        Ok(Box::new(NdjsonReader::new(self.layout, input, self.file.name, part, task)))
    }
}
