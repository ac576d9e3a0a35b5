//! What a plugin did with rows during one call. Kept until the call has ended well: one that traps or fails has done nothing,
//! so its rows can still go to `errors`, or to another instance.

use crate::bindings::selvedge::plugin::types::{NodeResult, OutColumn, Output, RowsFrom};
use crate::columns::{assemble, range_bytes};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::{filter, take};
use arrow::datatypes::SchemaRef;
use selvedge_node::{Out, Rejection, Result};
use std::collections::HashSet;

/// Different reasons that an instance may give in its life; what comes above them is `other`.
const REASONS: usize = 100;
/// Bytes of one reason, message or sample; the rest is cut off.
const TEXT: usize = 4096;

pub enum Effect {
    Send(usize, RecordBatch),
    Drop(String, BooleanArray),
    DropKept(String, u64, Vec<String>),
    Reject(String, Vec<(usize, String)>),
    RejectRaw(Rejection),
    Absorb(String, u64),
    Create(String, u64),
    Altered(String, BooleanArray),
    Count(String, u64),
}

/// The effects of the call in process.
pub struct Effects {
    /// The rows that the call works on.
    batch: Option<RecordBatch>,
    /// Schemas of the output ports.
    outputs: Vec<SchemaRef>,
    list: Vec<Effect>,
    bytes: usize,
    limit: usize,
    reasons: HashSet<String>,
}

impl Effects {
    pub fn new(outputs: Vec<SchemaRef>, limit: usize) -> Effects {
        Effects { batch: None, outputs, list: vec![], bytes: 0, limit, reasons: HashSet::new() }
    }

    /// A new call begins, with these rows.
    pub fn begin(&mut self, batch: Option<RecordBatch>) {
        self.batch = batch;
        self.list.clear();
        self.bytes = 0;
    }

    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Hands over what the call did. `law`: the rows of the batch must be accounted for now, as the plugin keeps none.
    pub fn end(&mut self, law: bool) -> std::result::Result<Vec<Effect>, String> {
        let rows = self.batch.take().map_or(0, |b| b.num_rows() as u64);
        let list = std::mem::take(&mut self.list);
        if law {
            let (mut out, mut made) = (0, 0);
            for effect in &list {
                match effect {
                    Effect::Send(_, batch) => out += batch.num_rows() as u64,
                    Effect::Drop(_, rows) => out += rows.true_count() as u64,
                    Effect::Reject(_, rows) => out += rows.len() as u64,
                    Effect::DropKept(_, n, _) | Effect::Absorb(_, n) => out += n,
                    Effect::RejectRaw(_) => out += 1,
                    Effect::Create(_, n) => made += n,
                    Effect::Altered(..) | Effect::Count(..) => {}
                }
            }
            if rows + made != out {
                return Err(format!(
                    "{rows} rows went in and {made} were created, but {out} were sent, dropped, rejected or absorbed"
                ));
            }
        }
        Ok(list)
    }

    /// Counts bytes against the limit of the call.
    pub fn charge(&mut self, bytes: usize) -> std::result::Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > self.limit {
            true => Err(format!("one call put out more than {} MiB (output_mib)", self.limit >> 20)),
            false => Ok(()),
        }
    }

    /// A reason or code: cut, counted, and `other` above a number that nobody could read.
    pub fn reason(&mut self, text: String) -> std::result::Result<String, String> {
        let text = cut(text);
        self.charge(text.len())?;
        if !self.reasons.contains(&text) {
            if self.reasons.len() >= REASONS {
                return Ok("other".into());
            }
            self.reasons.insert(text.clone());
        }
        Ok(text)
    }

    /// A message or sample.
    pub fn text(&mut self, text: String) -> std::result::Result<String, String> {
        let text = cut(text);
        self.charge(text.len() + 16)?;
        Ok(text)
    }

    fn in_process(&self) -> std::result::Result<&RecordBatch, String> {
        self.batch.as_ref().ok_or_else(|| "rows of a batch are meant, but no batch is in process".to_string())
    }

    /// Checks a row number of the batch in process.
    pub fn row(&self, row: u32) -> std::result::Result<usize, String> {
        let rows = self.in_process()?.num_rows();
        match (row as usize) < rows {
            true => Ok(row as usize),
            false => Err(format!("row {row} of a batch of {rows}")),
        }
    }

    /// A bitmap over the rows of the batch in process.
    pub fn mask(&mut self, bits: Vec<u8>) -> std::result::Result<BooleanArray, String> {
        let rows = self.in_process()?.num_rows();
        if bits.len() < rows.div_ceil(8) {
            return Err(format!("a bitmap of {} bytes for {rows} rows", bits.len()));
        }
        self.charge(bits.len())?;
        Ok(BooleanArray::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows), None))
    }

    pub fn send(&mut self, port: u32, output: Output) -> std::result::Result<(), String> {
        let ports = self.outputs.len();
        let Some(schema) = self.outputs.get(port as usize).cloned() else {
            return Err(format!("rows sent on port {port}, but there are {ports}"));
        };
        let batch = self.assemble(&schema, output).map_err(|e| format!("rows sent on port {port}: {e}"))?;
        if batch.num_rows() > 0 {
            self.list.push(Effect::Send(port as usize, batch));
        }
        Ok(())
    }

    fn assemble(&mut self, schema: &SchemaRef, output: Output) -> std::result::Result<RecordBatch, String> {
        let rows = output.rows as usize;
        let from = match output.rows_from {
            RowsFrom::Same => {
                let found = self.in_process()?.num_rows();
                if rows != found {
                    return Err(format!("{rows} rows announced, but the batch has {found}"));
                }
                From::Same
            }
            RowsFrom::Filter(bits) => {
                let mask = self.mask(bits)?;
                if mask.true_count() != rows {
                    return Err(format!("{rows} rows announced, but the filter keeps {}", mask.true_count()));
                }
                From::Filter(mask)
            }
            RowsFrom::Take(bytes) => From::Take(self.rows(bytes, rows)?),
            RowsFrom::Fresh => From::Fresh,
        };
        let expected = schema.fields().len();
        if output.columns.len() != expected {
            return Err(format!("{} columns, but the schema has {expected}", output.columns.len()));
        }
        let mut columns = Vec::with_capacity(expected);
        for (field, column) in schema.fields().iter().zip(output.columns) {
            columns.push(match column {
                OutColumn::Input(i) => {
                    let batch = self.in_process()?;
                    let Some(array) = batch.columns().get(i as usize).cloned() else {
                        return Err(format!(
                            "column `{}` is to be input column {i}, but there are {}",
                            field.name(),
                            batch.num_columns()
                        ));
                    };
                    if array.data_type() != field.data_type() {
                        return Err(format!(
                            "column `{}` is to be {}, but the input column is {}",
                            field.name(),
                            field.data_type(),
                            array.data_type()
                        ));
                    }
                    let array = self.selected(&array, &from)?;
                    if !field.is_nullable() && array.null_count() > 0 {
                        return Err(format!(
                            "column `{}` has nulls, but the schema says that it has none",
                            field.name()
                        ));
                    }
                    array
                }
                OutColumn::Data(nodes) => {
                    self.charge(nodes.iter().flat_map(|n| &n.buffers).map(Vec::len).sum())?;
                    let mut nodes = nodes.into_iter();
                    let array = assemble(field, rows, &mut nodes as &mut dyn Iterator<Item = NodeResult>)?;
                    if nodes.next().is_some() {
                        return Err(format!("column `{}`: more arrays than its type has", field.name()));
                    }
                    array
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| e.to_string())
    }

    /// Row numbers, each checked.
    fn rows(&mut self, bytes: Vec<u8>, rows: usize) -> std::result::Result<UInt32Array, String> {
        let batch = self.in_process()?.num_rows();
        if Some(bytes.len()) != rows.checked_mul(4) {
            return Err(format!("{rows} rows announced, but {} bytes of row numbers", bytes.len()));
        }
        self.charge(bytes.len())?;
        let numbers = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let numbers: Vec<u32> = numbers.collect();
        if let Some(row) = numbers.iter().find(|row| **row as usize >= batch) {
            return Err(format!("row {row} of a batch of {batch}"));
        }
        Ok(UInt32Array::from(numbers))
    }

    /// The rows of an input column. What a repetition of rows would take is known before it is made.
    fn selected(&mut self, array: &ArrayRef, from: &From) -> std::result::Result<ArrayRef, String> {
        match from {
            From::Same => Ok(array.clone()),
            From::Filter(mask) => filter(array, mask).map_err(|e| e.to_string()),
            From::Take(rows) => {
                if rows.len() > array.len() {
                    let data = array.to_data();
                    let bytes: usize = rows.values().iter().map(|&row| range_bytes(&data, row as usize, 1)).sum();
                    self.charge(bytes)?;
                }
                take(array, rows, None).map_err(|e| e.to_string())
            }
            From::Fresh => Err("rows of its own cannot take over input columns".into()),
        }
    }
}

enum From {
    Same,
    Filter(BooleanArray),
    Take(UInt32Array),
    Fresh,
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push('…');
    }
    text
}

/// Does to `out` what the plugin did. `batch`: the rows that it was given, with the columns that it did not see.
pub fn replay(effects: Vec<Effect>, batch: Option<&RecordBatch>, out: &mut dyn Out) -> Result<()> {
    for effect in effects {
        match (effect, batch) {
            (Effect::Send(port, rows), _) => out.send(port, rows)?,
            (Effect::Drop(reason, rows), Some(batch)) => out.drop_where(&reason, batch, &rows),
            (Effect::Altered(what, rows), Some(batch)) => out.altered_where(&what, batch, &rows),
            (Effect::Reject(code, rows), Some(batch)) => {
                let (rows, messages): (Vec<usize>, Vec<String>) = rows.into_iter().unzip();
                let mut message = messages.into_iter();
                for row in rows {
                    let message = message.next().unwrap_or_default();
                    out.reject_rows(&code, batch, &[row], &|_| message.clone())?;
                }
            }
            (Effect::RejectRaw(rejection), _) => out.reject(rejection)?,
            (Effect::DropKept(reason, count, samples), _) => {
                let some = |wanted: usize| samples.iter().take(wanted).cloned().collect();
                out.drop_rows(&reason, count, &some);
            }
            (Effect::Absorb(reason, rows), _) => out.absorb(&reason, rows),
            (Effect::Create(reason, rows), _) => out.create(&reason, rows),
            (Effect::Count(name, value), _) => out.count(&name, value),
            // Refused when it was said: there was no batch then either.
            (Effect::Drop(..) | Effect::Altered(..) | Effect::Reject(..), None) => {}
        }
    }
    Ok(())
}
