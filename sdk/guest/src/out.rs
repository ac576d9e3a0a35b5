//! The ways out of a node. Whatever a node does with a row, it says it here.

use crate::bindings::types::{OutColumn, Output, RowsFrom};
use crate::imports;
use crate::schema::Schema;
use crate::view::bytes;
use crate::{Batch, Column, Error, Mask, Result};
use std::fmt;
use std::rc::Rc;

/// An output port, and which of its columns each input has by the same name.
#[derive(Debug)]
pub(crate) struct Port {
    pub schema: Schema,
    passes: Vec<Vec<Option<u32>>>,
}

impl Port {
    pub fn new(schema: Schema, inputs: &[Rc<Schema>]) -> Port {
        let position = |input: &Schema, name: &str| input.position(name).map(|i| i as u32);
        let passes =
            inputs.iter().map(|input| schema.fields.iter().map(|f| position(input, &f.name)).collect()).collect();
        Port { schema, passes }
    }
}

/// Rows to be sent: which rows of the batch they are, and which of their columns are new. Every other column of the output is
/// the column of the same name as it came; the host puts it there.
#[derive(Debug, Clone)]
pub struct Rows {
    from: RowsFrom,
    /// Rows of the batch that `from` was made for.
    of: Option<usize>,
    count: usize,
    columns: Vec<(Which, OutColumn, usize)>,
}

/// A column of an output port, by name or number.
#[derive(Debug, Clone, PartialEq)]
pub enum Which {
    /// By number.
    Number(usize),
    /// By name.
    Name(String),
}
impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Number(number) => write!(f, "{number}"),
            Which::Name(name) => write!(f, "`{name}`"),
        }
    }
}
impl From<usize> for Which {
    fn from(number: usize) -> Which {
        Which::Number(number)
    }
}
impl From<&str> for Which {
    fn from(name: &str) -> Which {
        Which::Name(name.to_string())
    }
}
impl From<&String> for Which {
    fn from(name: &String) -> Which {
        Which::Name(name.clone())
    }
}

impl Rows {
    /// All rows of the batch in their order.
    pub fn all(batch: &Batch) -> Rows {
        Rows { from: RowsFrom::Same, of: Some(batch.rows()), count: batch.rows(), columns: vec![] }
    }
    /// The rows in the mask.
    pub fn filter(mask: &Mask) -> Rows {
        let from = RowsFrom::Filter(mask.bits().to_vec());
        Rows { from, of: Some(mask.len()), count: mask.count(), columns: vec![] }
    }
    /// Rows by number: to filter, reorder or repeat.
    pub fn take(batch: &Batch, rows: &[u32]) -> Result<Rows> {
        match rows.iter().find(|row| **row as usize >= batch.rows()) {
            Some(row) => Err(Error::bug(format!("takes row {row} of a batch of {}", batch.rows()))),
            None => {
                let from = RowsFrom::Take(bytes(rows));
                Ok(Rows { from, of: Some(batch.rows()), count: rows.len(), columns: vec![] })
            }
        }
    }
    /// Rows of their own: every column is new.
    pub fn fresh(count: usize) -> Rows {
        Rows { from: RowsFrom::Fresh, of: None, count, columns: vec![] }
    }
    /// How many rows they are.
    pub fn count(&self) -> usize {
        self.count
    }
    /// Sets a column of the output.
    #[must_use]
    pub fn with(mut self, column: impl Into<Which>, data: Column) -> Rows {
        self.columns.push((column.into(), OutColumn::Data(data.nodes), data.rows));
        self
    }
    /// Sets a column of the output to one of the batch that has another name.
    #[must_use]
    pub fn pass(mut self, column: impl Into<Which>, from: usize) -> Rows {
        self.columns.push((column.into(), OutColumn::Input(from as u32), self.count));
        self
    }

    fn output(self, port: &Port, input: Option<(usize, usize)>) -> Result<Output> {
        if self.of.is_some() && self.of != input.map(|(_, rows)| rows) {
            let found = input.map_or("there is no batch".to_string(), |(_, rows)| format!("the batch has {rows}"));
            return Err(Error::bug(format!("sends rows of a batch of {}, {found}", self.of.unwrap_or_default())));
        }
        let mut columns: Vec<Option<OutColumn>> = vec![None; port.schema.fields.len()];
        let count = self.count;
        for (which, data, rows) in self.columns {
            let at = match &which {
                Which::Number(number) => Some(*number),
                Which::Name(name) => port.schema.position(name),
            };
            let Some(place) = at.and_then(|at| columns.get_mut(at)) else {
                return Err(Error::bug(format!("the output has no column {which}")));
            };
            if rows != count {
                return Err(Error::bug(format!("sends {rows} values in column {which} with {count} rows")));
            }
            *place = Some(data);
        }
        let passes = input.filter(|_| self.of.is_some()).and_then(|(input, _)| port.passes.get(input));
        let fill = |(i, column): (usize, Option<OutColumn>)| {
            let passed = || passes.and_then(|p| p.get(i).copied().flatten()).map(OutColumn::Input);
            column.or_else(passed).ok_or_else(|| {
                let name = port.schema.fields.get(i).map_or("", |f| f.name.as_str());
                Error::bug(format!("sends nothing in column `{name}`, which no input has"))
            })
        };
        let columns = columns.into_iter().enumerate().map(fill).collect::<Result<_>>()?;
        Ok(Output { rows: count as u32, rows_from: self.from, columns })
    }
}

/// Where a node's rows go. Ports are numbers of the output ports; row numbers count in the batch in process.
pub struct Out<'a> {
    ports: &'a [Port],
    /// The input port of the batch in process, and its rows.
    input: Option<(usize, usize)>,
}

impl<'a> Out<'a> {
    pub(crate) fn new(ports: &'a [Port], input: Option<(usize, usize)>) -> Out<'a> {
        Out { ports, input }
    }
    /// Sends rows on, once the call in process has ended well. No rows are not sent.
    pub fn send(&mut self, port: usize, rows: Rows) -> Result<()> {
        let Some(schema) = self.ports.get(port) else {
            return Err(Error::bug(format!("sends to port {port}, there are {}", self.ports.len())));
        };
        let output = rows.output(schema, self.input)?;
        if output.rows > 0 {
            imports::send(port as u32, &output);
        }
        Ok(())
    }
    /// The rows in the mask end here. Reasons are few and stable: `null in sku`.
    pub fn drop_rows(&mut self, reason: &str, rows: &Mask) {
        if rows.count() > 0 {
            imports::drop_rows(rows.bits(), reason);
        }
    }
    /// Rows of earlier batches end here, some of them as JSON.
    pub fn drop_kept(&mut self, reason: &str, count: u64, samples: &[String]) {
        if count > 0 {
            imports::drop_kept(count, reason, samples);
        }
    }
    /// These rows go to `errors`, each with its own story. Codes are few and stable: `upc.check_digit`.
    pub fn reject_rows(&mut self, code: &str, rows: &[(u32, String)]) {
        if !rows.is_empty() {
            imports::reject_rows(code, rows);
        }
    }
    /// A row of an earlier batch, or what never became a row, goes to `errors`: as JSON, or as it stood in its source.
    pub fn reject_raw(&mut self, code: &str, message: &str, raw: &str) {
        imports::reject_raw(code, message, raw);
    }
    /// Rows that became part of something else: `grouped`, `written`.
    pub fn absorb(&mut self, reason: &str, rows: u64) {
        if rows > 0 {
            imports::absorb(reason, rows);
        }
    }
    /// Rows that did not come in but go out: `groups`, `read`.
    pub fn create(&mut self, reason: &str, rows: u64) {
        if rows > 0 {
            imports::create(reason, rows);
        }
    }
    /// Rows that go on, but not as they came: a value that could not be read became null.
    pub fn altered(&mut self, what: &str, rows: &Mask) {
        if rows.count() > 0 {
            imports::altered(rows.bits(), what);
        }
    }
}
