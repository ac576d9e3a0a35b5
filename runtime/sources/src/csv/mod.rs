//! CSV: from options and headers to readers of files and their ranges.

mod columns;
pub mod crawl;
mod dialect;
mod guess;
mod head;
#[cfg(test)]
mod odd_tests;
mod ranges;
mod reader;
mod splitter;
#[cfg(test)]
mod tests;

pub use dialect::Dialect;

use crate::compression::{Compression, Input};
use crate::lake::Found;
use crate::lines::Lines;
use crate::output::Output;
use crate::request::{Plan, Request};
use crate::typed::{OnError, Reading};
use arrow::datatypes::{DataType, Field, Schema};
use columns::Values;
use head::Head;
use reader::{CsvReader, Part};
use selvedge_node::{Positions, Problem, Problems, Reader, Result, Source, Split, Task};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// UTF-8's byte order mark.
const BOM: &[u8; 3] = b"\xef\xbb\xbf";

/// The options of `Csv(…)`, checked.
pub struct Options {
    pub dialect: Dialect,
    pub header: bool,
    pub nulls: Vec<String>,
    pub fill_ragged: bool,
    pub infer: bool,
    pub max_record: usize,
}

/// How the records of a file become rows.
pub struct Layout {
    values: Values,
    /// Fields of each record.
    width: usize,
    /// For each column that is read, its place among the fields.
    wanted: Vec<usize>,
    readings: Vec<Reading>,
    on_error: OnError,
    fill_ragged: bool,
    max_record: usize,
    output: Output,
}

impl Layout {
    /// Rows may have to tell where they stood.
    fn needs_lines(&self) -> bool {
        self.output.row_number || self.readings.iter().any(|r| *r != Reading::AsIs)
    }
}

/// One of all columns, before `columns` chooses.
struct Known {
    name: String,
    ty: DataType,
    reading: Reading,
}

/// Looks at the headers (and, to infer types, at some rows) and plans the reading.
pub fn plan(request: &Request, options: &Options) -> std::result::Result<Plan, Problems> {
    let mut problems = Problems::default();
    let mut warnings = vec![];
    let heads: Vec<Option<Head>> =
        request.files.iter().map(|file| problems.take(head::head(request, file, options)).flatten()).collect();
    if problems.has_errors() {
        return Err(problems);
    }
    let first = request.files.iter().zip(&heads).find_map(|(file, head)| Some((file, head.as_ref()?)));
    let known: Vec<Known> = match (request.schema, first) {
        (Some(declared), _) => {
            problems.take(check_castable(declared));
            if options.header {
                problems.take(check_declared(declared, request, &heads));
            }
            if let Some((file, head)) = first.filter(|_| options.header) {
                warnings.extend(head::doubtful(request, file, options, head, Some(declared)));
            }
            declared.0.iter().map(|(name, ty)| declared_column(name, ty.arrow(), request.exact)).collect()
        }
        (None, Some((file, head))) => {
            problems.take(check_same(request, (file, head), &heads));
            if options.header {
                warnings.extend(head::doubtful(request, file, options, head, None));
            }
            let guessed = if options.infer { guess::types(request, options, &heads, &head.names)? } else { vec![] };
            let kept = || guess::Guess::text();
            let types = guessed.into_iter().chain(std::iter::repeat_with(kept));
            head.names
                .iter()
                .zip(types)
                .map(|(name, g)| Known { name: name.clone(), ty: g.ty, reading: g.reading })
                .collect()
        }
        (None, None) => return Err(request.no_schema()),
    };
    let schema = Schema::new(known.iter().map(|k| Field::new(&k.name, k.ty.clone(), true)).collect::<Vec<_>>());
    let projected = problems.take(request.project(&schema));
    let (wanted, output) = match projected {
        Some(projected) if !problems.has_errors() => projected,
        _ => return Err(problems),
    };
    let layout = |head: Option<&Head>| {
        let named: HashMap<&str, usize> = match head.filter(|_| options.header) {
            Some(head) => head.names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect(),
            None => HashMap::new(),
        };
        let place = |k: usize| named.get(known[k].name.as_str()).copied().unwrap_or(k);
        let width = match head {
            Some(head) if options.header || request.schema.is_none() => head.names.len(),
            _ => known.len(),
        };
        Arc::new(Layout {
            values: Values::new(options.dialect, &options.nulls),
            width,
            wanted: wanted.iter().map(|&k| place(k)).collect(),
            readings: wanted.iter().map(|&k| known[k].reading.clone()).collect(),
            on_error: request.on_error,
            fill_ragged: options.fill_ragged,
            max_record: options.max_record,
            output: output.clone(),
        })
    };
    // Most files look alike: they share what describes them.
    let mut last: Option<(Option<&Vec<String>>, Arc<Layout>)> = None;
    let mut files = vec![];
    for (file, head) in request.files.iter().zip(&heads) {
        let names = head.as_ref().map(|head| &head.names);
        let shared = match &last {
            Some((known, shared)) if *known == names => shared.clone(),
            _ => layout(head.as_ref()),
        };
        last = Some((names, shared.clone()));
        files.push((file.clone(), shared));
    }
    // Row numbers are counted from the start of the file, and only a regular dialect can be entered anywhere.
    let may_split = request.row_number.is_none() && options.dialect.is_regular();
    let source = CsvSource {
        files,
        dialect: options.dialect,
        header: options.header,
        compression: request.compression,
        split_bytes: if may_split { request.split_bytes } else { u64::MAX },
    };
    Ok(Plan { output, source: Box::new(source), may_reject: true, notes: vec![], warnings })
}

fn declared_column(name: &str, ty: DataType, exact: bool) -> Known {
    let reading = match ty {
        DataType::Utf8 => Reading::AsIs,
        DataType::Int64 if exact => Reading::Whole,
        _ => Reading::Cast(ty.clone()),
    };
    Known { name: name.to_string(), ty, reading }
}

/// Text must be castable to what is declared.
fn check_castable(declared: &selvedge_node::Fields) -> std::result::Result<(), Problems> {
    let mut problems = Problems::default();
    for (name, ty) in &declared.0 {
        let to = ty.arrow();
        if !selvedge_cast::supported(&DataType::Utf8, &to) {
            problems.push(
                Problem::error(ty.span, format!("column `{name}`: text cannot be read as {to}"))
                    .help("declare it as Utf8 and take it apart afterwards"),
            );
        }
    }
    problems.or(())
}

/// Every declared column is in every header.
fn check_declared(
    declared: &selvedge_node::Fields,
    request: &Request,
    heads: &[Option<Head>],
) -> std::result::Result<(), Problems> {
    let mut problems = Problems::default();
    let mut missing = vec![true; declared.0.len()];
    let mut last: Option<&Vec<String>> = None;
    for (file, head) in request.files.iter().zip(heads) {
        let Some(head) = head.as_ref().filter(|head| last != Some(&head.names)) else { continue };
        last = Some(&head.names);
        let there: HashSet<&str> = head.names.iter().map(String::as_str).collect();
        for ((name, _), untold) in declared.0.iter().zip(&mut missing) {
            if *untold && !there.contains(name.as_str()) {
                *untold = false;
                let mut problem = Problem::unknown(name.span, "column", name, head.names.iter().map(String::as_str));
                problem.message = format!("{} in the header of {}", problem.message, file.name);
                problems.push(problem);
            }
        }
    }
    problems.or(())
}

/// All files have the columns of the first, in any order.
fn check_same(request: &Request, first: (&Found, &Head), heads: &[Option<Head>]) -> std::result::Result<(), Problems> {
    let schema = |head: &Head| {
        Schema::new(head.names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>())
    };
    let mut schemas = vec![(first.0.name.as_str(), schema(first.1))];
    for (file, head) in request.files.iter().zip(heads) {
        if let Some(head) = head.as_ref().filter(|head| head.names != first.1.names) {
            schemas.push((file.name.as_str(), schema(head)));
        }
    }
    request.merge(&schemas).map(|_| ())
}

struct CsvSource {
    files: Vec<(Found, Arc<Layout>)>,
    dialect: Dialect,
    header: bool,
    compression: Compression,
    split_bytes: u64,
}

impl Source for CsvSource {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let mut splits: Vec<Box<dyn Split>> = vec![];
        for (file, layout) in &self.files {
            // The length at plan time is a hint; the file may have grown.
            let bytes = file.bytes_now()?;
            // Of what is one split anyway it is asked when that is read: many small objects are asked once.
            let small = bytes <= self.split_bytes;
            let compression = if small { self.compression } else { self.compression.of(file)? };
            let whole =
                CsvSplit { file: file.clone(), layout: layout.clone(), compression, header: self.header, range: None };
            if small || compression != Compression::Uncompressed {
                splits.push(Box::new(whole));
                continue;
            }
            let cuts = ranges::cuts(file, self.dialect, bytes, self.split_bytes, threads)?;
            let lines = Arc::new(Lines::new(file.clone(), cuts.clone()));
            for (range, ends) in cuts.windows(2).enumerate() {
                splits.push(Box::new(CsvSplit {
                    header: self.header && range == 0,
                    range: Some((ends[0], ends[1], Part { lines: lines.clone(), range })),
                    file: file.clone(),
                    layout: layout.clone(),
                    compression,
                }));
            }
        }
        Ok(splits)
    }
}

struct CsvSplit {
    file: Found,
    layout: Arc<Layout>,
    compression: Compression,
    header: bool,
    /// From, to, and which part of the file that is.
    range: Option<(u64, u64, Part)>,
}

impl Split for CsvSplit {
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
        Ok(Box::new(CsvReader::new(self.layout, input, self.file.name, self.header, part, task)))
    }
}
