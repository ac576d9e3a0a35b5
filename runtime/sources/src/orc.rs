//! ORC: stripes in parallel, only the wanted columns.

use crate::lake::Found;
use crate::output::Output;
use crate::parquet::pick;
use crate::request::{Plan, Request};
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use selvedge_node::{Error, Next, Out, Positions, Problems, Reader, Reservation, Result, Source, Split, Task};
use selvedge_orc::{Batches, OrcFile};
use std::ops::Range;
use std::sync::Arc;

/// Reads the ends of the files and plans the reading.
pub fn plan(request: &Request) -> std::result::Result<Plan, Problems> {
    let mut problems = Problems::default();
    let mut files = vec![];
    for file in request.files.iter().filter(|file| file.bytes > 0) {
        let opened = file.open_end().and_then(|input| OrcFile::open(input, &file.name));
        if let Some(orc) = problems.take(opened.map_err(|e| request.problem(e))) {
            let schema = Arc::new(in_declared_units(orc.schema(), request));
            files.push(OneFile { file: file.clone(), orc, schema });
        }
    }
    if problems.has_errors() {
        return Err(problems);
    }
    let schemas: Vec<(&str, Schema)> =
        files.iter().map(|f| (f.file.name.as_str(), f.schema.as_ref().clone())).collect();
    let merged = request.merge(&schemas)?;
    let (wanted, output) = request.project(&merged)?;
    let names = wanted.iter().map(|&i| merged.field(i).name().clone()).collect();
    let stripes: Vec<(u64, u64)> = files.iter().flat_map(|f| f.orc.stripes()).collect();
    let rows: u64 = stripes.iter().map(|(rows, _)| rows).sum();
    let notes = vec![format!("{} stripes, {rows} rows", stripes.len())];
    let source = OrcSource { files, names: Arc::new(names), output: output.clone(), split_bytes: request.split_bytes };
    Ok(Plan { output, source: Box::new(source), may_reject: false, notes, warnings: vec![] })
}

/// Times are read in the unit that is declared for them, and in microseconds where none is: ORC has nanoseconds, of which 64
/// bits reach only to 2262.
fn in_declared_units(schema: Schema, request: &Request) -> Schema {
    let declared = |name: &str| {
        let fields = request.schema.iter().flat_map(|schema| &schema.0);
        fields.filter(|(declared, _)| declared.as_str() == name).map(|(_, ty)| ty.arrow()).next()
    };
    let fields = schema.fields().iter().map(|field| match (field.data_type(), declared(field.name())) {
        (DataType::Timestamp(_, zone), Some(DataType::Timestamp(unit, own))) if *zone == own => {
            Field::new(field.name(), DataType::Timestamp(unit, own), true)
        }
        _ => field.as_ref().clone(),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

#[derive(Clone)]
struct OneFile {
    file: Found,
    orc: OrcFile,
    /// All its columns, as they are read.
    schema: Arc<Schema>,
}

struct OrcSource {
    files: Vec<OneFile>,
    /// The wanted columns.
    names: Arc<Vec<String>>,
    output: Output,
    split_bytes: u64,
}

impl Source for OrcSource {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let mut splits: Vec<Box<dyn Split>> = vec![];
        for from in &self.files {
            let stripes = from.orc.stripes();
            let (mut start, mut first_row, mut rows, mut bytes) = (0, 0, 0, 0);
            for (at, stripe) in stripes.iter().enumerate() {
                (rows, bytes) = (rows + stripe.0, bytes + stripe.1);
                // Neighbouring stripes that come to about as many bytes together.
                if bytes >= self.split_bytes || at + 1 == stripes.len() {
                    splits.push(Box::new(OrcSplit {
                        from: from.clone(),
                        names: self.names.clone(),
                        output: self.output.clone(),
                        stripes: start..at + 1,
                        of: stripes.len(),
                        first_row,
                        rows,
                        bytes,
                    }));
                    (start, first_row, rows, bytes) = (at + 1, first_row + rows, 0, 0);
                }
            }
        }
        Ok(splits)
    }
}

struct OrcSplit {
    from: OneFile,
    names: Arc<Vec<String>>,
    output: Output,
    stripes: Range<usize>,
    /// How many the file has.
    of: usize,
    /// The number of the first row in the file, from 0; how many there should be; and in how many bytes.
    first_row: u64,
    rows: u64,
    bytes: u64,
}

impl Split for OrcSplit {
    fn name(&self) -> String {
        let Range { start, end } = self.stripes;
        match end - start < self.of {
            true => format!("{}[stripes {start}..={}]", self.from.file.name, end - 1),
            false => self.from.file.name.clone(),
        }
    }

    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        let OneFile { file, orc, schema } = &self.from;
        let row_bytes = (self.bytes / self.rows.max(1)).max(1) as usize;
        let batch_rows = (task.batch_bytes / row_bytes).clamp(1, task.batch_rows.max(1));
        let columns: Vec<usize> = self.names.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let input = file.open_end()?;
        let batches = orc.read(input.clone(), schema, &columns, self.stripes.clone(), batch_rows)?;
        let mut memory = task.memory.reserve();
        memory.resize(input.held());
        Ok(Box::new(OrcReader { split: *self, batches, sent: 0, _held: memory }))
    }
}

struct OrcReader {
    split: OrcSplit,
    batches: Batches,
    sent: u64,
    /// For what has been fetched and is not decoded yet.
    _held: Reservation,
}

impl Reader for OrcReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let OrcSplit { from, names, output, first_row, rows: promised, .. } = &self.split;
        let Some(batch) = self.batches.next_batch()? else {
            return if self.sent == *promised {
                Ok(Next::Done)
            } else {
                let name = &from.file.name;
                let told = format!("{name} promises {promised} rows in its stripes, but {} are there", self.sent);
                Err(Error::data(told).help("fetch or write the file again"))
            };
        };
        let rows = batch.num_rows();
        out.create("read", rows as u64);
        let numbers = output.row_number.then(|| {
            let first = (first_row + self.sent + 1) as i64;
            Arc::new(Int64Array::from_iter_values(first..first + rows as i64)) as ArrayRef
        });
        self.sent += rows as u64;
        let columns = pick(&batch, names, &output.schema)?;
        out.send(0, output.batch(columns, rows, &from.file.name, numbers)?)?;
        Ok(Next::More)
    }
}
