//! Runs a node natively, on small tables, and tells what it did. A table is a line of columns (`price:Float64`; text where
//! no type is said) and a line for each row, parted by `|`; `null` is null. Types are named as in messages, or in the notation of
//! the Arrow C data interface: `at:tsu:UTC`. The row law is held in every run.

use crate::bindings::logging::Level;
use crate::bindings::types::{self, Node, OutColumn, Output, RowsFrom};
use crate::run::{self, Process, Stateless, Write};
use crate::schema::{Field, Schema, Type};
use crate::{Batch, Column, Error, Kind, Map, Next, Result, Sink, Source, Task, Transform, Writer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A small table; values as text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Its columns.
    pub schema: Schema,
    /// Its rows.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// Reads a table; panics where it is none.
    pub fn new(text: &str) -> Table {
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        let cells = |line: &str| line.split('|').map(|c| c.trim().to_string()).collect::<Vec<_>>();
        let fields = cells(lines.next().unwrap_or_default()).into_iter().map(|head| match head.split_once(':') {
            Some((name, ty)) => Field::new(name, Type::named(ty).unwrap_or_else(|| Type::from_format(ty))),
            None => Field::new(head, Type::Utf8),
        });
        let schema = Schema::new(fields);
        let rows: Vec<Vec<Option<String>>> = lines
            .map(|line| {
                let row = cells(line);
                assert_eq!(row.len(), schema.fields.len(), "cells of the row {line}");
                row.into_iter().map(|c| (c != "null").then_some(c)).collect()
            })
            .collect();
        // Through the types, so that `1.50` and `1.5` are one.
        let mut table = Table { schema, rows };
        for column in 0..table.schema.fields.len() {
            let ty = table.schema.fields[column].ty.clone();
            let values = decode(&ty, table.rows.len(), table.column(column).nodes);
            table.rows.iter_mut().zip(values).for_each(|(row, value)| row[column] = value);
        }
        table
    }
    fn column(&self, column: usize) -> Column {
        encode(&self.schema.fields[column].ty, self.rows.iter().map(|row| row[column].as_deref()))
    }
    fn batch(&self, reads: Option<&[u32]>) -> types::Batch {
        let read = |c: &usize| reads.is_none_or(|reads| reads.contains(&(*c as u32)));
        let nodes = (0..self.schema.fields.len()).filter(read).flat_map(|c| self.column(c).nodes).collect();
        types::Batch { rows: self.rows.len() as u32, nodes }
    }
    /// The values of a column, null as `null`; panics where there is no such column.
    pub fn values(&self, column: &str) -> Vec<&str> {
        let at = self.schema.position(column).unwrap_or_else(|| panic!("no column `{column}`"));
        self.rows.iter().map(|row| row[at].as_deref().unwrap_or("null")).collect()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let heads: Vec<String> = self.schema.fields.iter().map(|c| format!("{}:{}", c.name, c.ty)).collect();
        writeln!(f, "{}", heads.join(" | "))?;
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(|c| c.as_deref().unwrap_or("null")).collect();
            writeln!(f, "{}", cells.join(" | "))?;
        }
        Ok(())
    }
}

fn encode<'a>(ty: &Type, cells: impl Iterator<Item = Option<&'a str>>) -> Column {
    fn of<'a, T: crate::Native + std::str::FromStr>(cells: impl Iterator<Item = Option<&'a str>>) -> Column {
        let read = |c: &str| c.parse().unwrap_or_else(|_| panic!("`{c}` is no {}", std::any::type_name::<T>()));
        Column::of::<T>(cells.map(|c| c.map(read)))
    }
    match ty {
        Type::Utf8 => Column::utf8(cells),
        Type::Bool => Column::bool(cells.map(|c| c.map(|c| c == "true"))),
        Type::Int8 => of::<i8>(cells),
        Type::Int16 => of::<i16>(cells),
        Type::Int32 | Type::Date => of::<i32>(cells),
        Type::Int64 | Type::Timestamp(..) => of::<i64>(cells),
        Type::UInt8 => of::<u8>(cells),
        Type::UInt16 => of::<u16>(cells),
        Type::UInt32 => of::<u32>(cells),
        Type::UInt64 => of::<u64>(cells),
        Type::Float32 => of::<f32>(cells),
        Type::Float64 => of::<f64>(cells),
        Type::Decimal(..) => of::<i128>(cells),
        other => panic!("tables of tests have no columns of type {other}"),
    }
}

fn decode(ty: &Type, rows: usize, nodes: Vec<Node>) -> Vec<Option<String>> {
    fn text<T: ToString>(values: impl Iterator<Item = Option<T>>) -> Vec<Option<String>> {
        values.map(|v| v.map(|v| v.to_string())).collect()
    }
    let schema = Rc::new(Schema::new([Field::new("of the output", ty.clone())]));
    let nulls: u32 = nodes.iter().map(|n| n.null_count).sum();
    let batch = Batch::new(schema, None, types::Batch { rows: rows as u32, nodes }).expect("a whole column");
    let cells = || -> Result<_> {
        assert_eq!(batch.nulls(0)?.count(), nulls as usize, "count of nulls");
        Ok(match ty {
            Type::Utf8 => text(batch.utf8(0)?.iter()),
            Type::Bool => text(batch.bool(0)?.iter()),
            Type::Float32 | Type::Float64 => text(batch.numbers(0)?.iter()),
            Type::Date => text(batch.date(0)?.iter()),
            Type::Timestamp(..) => text(batch.timestamp(0)?.iter()),
            Type::Decimal(..) => text(batch.decimal(0)?.iter()),
            _ => text(batch.integers(0)?.iter()),
        })
    };
    cells().unwrap_or_else(|e| panic!("the plugin made a column that is none: {e}"))
}

/// A row that went to `errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, for counting.
    pub code: String,
    /// This row's own story.
    pub message: String,
    /// The row: its values parted by ` | `, or what the node gave.
    pub raw: String,
}

/// What a node did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Done {
    /// What was sent on each output port.
    pub sent: Vec<Table>,
    /// Dropped rows by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Rejected rows in their order.
    pub rejected: Vec<Rejection>,
    /// Rows by the reason they were absorbed.
    pub absorbed: BTreeMap<String, u64>,
    /// Rows by the reason they were created.
    pub created: BTreeMap<String, u64>,
    /// Rows by what was altered in them.
    pub altered: BTreeMap<String, u64>,
    /// Counters of the plugin's own.
    pub counters: BTreeMap<String, u64>,
    /// Lines of the log.
    pub log: Vec<String>,
    /// What a writer flushed.
    pub pending: Vec<String>,
    received: u64,
}

impl Done {
    /// Panics unless exactly these rows were sent on the first port.
    pub fn expect(&self, table: &str) {
        self.expect_at(0, table);
    }
    /// As `expect`, for any port.
    pub fn expect_at(&self, port: usize, table: &str) {
        let (found, expected) = (self.sent[port].to_string(), Table::new(table).to_string());
        assert!(found == expected, "expected\n{expected}\nfound\n{found}");
    }
    fn law(&self) {
        let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        let sent: u64 = self.sent.iter().map(|t| t.rows.len() as u64).sum();
        let out = sent + sum(&self.dropped) + self.rejected.len() as u64 + sum(&self.absorbed);
        let came = self.received + sum(&self.created);
        assert_eq!(came, out, "rows in + created, and rows sent + dropped + rejected + absorbed: {self:#?}");
    }
}

/// Stands in the place of the host while a call is in process.
#[derive(Default)]
struct Recorder {
    done: Done,
    batch: Table,
    secrets: BTreeMap<String, String>,
    sent: Vec<(u32, Output)>,
}

thread_local! {
    static HOST: RefCell<Recorder> = RefCell::default();
}

/// Gives a secret to the nodes that run on this thread from now on.
pub fn grant_secret(name: &str, value: &str) {
    HOST.with_borrow_mut(|h| h.secrets.insert(name.into(), value.into()));
}

/// The same functions as those of the host.
pub(crate) mod imports {
    use super::*;

    pub fn send(port: u32, rows: &Output) {
        HOST.with_borrow_mut(|h| h.sent.push((port, rows.clone())));
    }
    pub fn drop_rows(rows: &[u8], reason: &str) {
        HOST.with_borrow_mut(|h| {
            let count = h.rows_of(rows).len() as u64;
            *h.done.dropped.entry(reason.into()).or_default() += count;
        });
    }
    pub fn drop_kept(count: u64, reason: &str, _: &[String]) {
        HOST.with_borrow_mut(|h| *h.done.dropped.entry(reason.into()).or_default() += count);
    }
    pub fn reject_rows(code: &str, rows: &[(u32, String)]) {
        HOST.with_borrow_mut(|h| {
            for (row, message) in rows {
                let cells: Vec<&str> =
                    h.batch.rows[*row as usize].iter().map(|c| c.as_deref().unwrap_or("null")).collect();
                let raw = cells.join(" | ");
                h.done.rejected.push(Rejection { code: code.into(), message: message.clone(), raw });
            }
        });
    }
    pub fn reject_raw(code: &str, message: &str, raw: &str) {
        let rejection = Rejection { code: code.into(), message: message.into(), raw: raw.into() };
        HOST.with_borrow_mut(|h| h.done.rejected.push(rejection));
    }
    pub fn absorb(reason: &str, rows: u64) {
        HOST.with_borrow_mut(|h| *h.done.absorbed.entry(reason.into()).or_default() += rows);
    }
    pub fn create(reason: &str, rows: u64) {
        HOST.with_borrow_mut(|h| *h.done.created.entry(reason.into()).or_default() += rows);
    }
    pub fn altered(rows: &[u8], what: &str) {
        HOST.with_borrow_mut(|h| {
            let count = h.rows_of(rows).len() as u64;
            *h.done.altered.entry(what.into()).or_default() += count;
        });
    }
    pub fn enabled(_: Level) -> bool {
        true
    }
    pub fn log(level: Level, message: &str, fields: &[(String, String)]) {
        let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        HOST.with_borrow_mut(|h| h.done.log.push(format!("{level:?} {message}{fields}")));
    }
    pub fn add(name: &str, value: u64) {
        HOST.with_borrow_mut(|h| *h.done.counters.entry(name.into()).or_default() += value);
    }
    /// A time of its own: tests do not depend on the day.
    pub fn now() -> u64 {
        1_700_000_000_000_000_000
    }
    pub fn wanted() -> crate::host::Size {
        crate::host::Size { rows: 8192, bytes: 4 << 20 }
    }
    pub fn get(name: &str) -> Option<String> {
        HOST.with_borrow(|h| h.secrets.get(name).cloned())
    }
}

impl Recorder {
    /// The rows that a bitmap says.
    fn rows_of(&self, bits: &[u8]) -> Vec<usize> {
        let rows = self.batch.rows.len();
        assert_eq!(bits.len(), rows.div_ceil(8), "bytes of a bitmap for {rows} rows");
        (0..rows).filter(|r| bits[r / 8] >> (r % 8) & 1 == 1).collect()
    }
    /// What was sent becomes tables.
    fn settle(&mut self) {
        for (port, output) in std::mem::take(&mut self.sent) {
            let from = match &output.rows_from {
                RowsFrom::Same => (0..self.batch.rows.len()).collect(),
                RowsFrom::Filter(bits) => self.rows_of(bits),
                RowsFrom::Take(rows) => {
                    rows.chunks(4).map(|r| u32::from_le_bytes(r.try_into().expect("whole numbers")) as usize).collect()
                }
                RowsFrom::Fresh => vec![],
            };
            let table = &mut self.done.sent[port as usize];
            let mut columns = vec![];
            for (field, column) in table.schema.fields.iter().zip(output.columns) {
                columns.push(match column {
                    OutColumn::Input(i) => {
                        let came = &self.batch.schema.fields[i as usize];
                        assert_eq!(
                            came.ty, field.ty,
                            "type of column `{}`, passed on from `{}`",
                            field.name, came.name
                        );
                        from.iter().map(|row| self.batch.rows[*row][i as usize].clone()).collect()
                    }
                    OutColumn::Data(nodes) => decode(&field.ty, output.rows as usize, nodes),
                });
            }
            for row in 0..output.rows as usize {
                let cells: Vec<Option<String>> = columns.iter().map(|c: &Vec<Option<String>>| c[row].clone()).collect();
                for (cell, field) in cells.iter().zip(&table.schema.fields) {
                    assert!(cell.is_some() || field.nullable, "null in column `{}`", field.name);
                }
                table.rows.push(cells);
            }
        }
    }
}

fn begin(outputs: &[Schema]) {
    let sent = outputs.iter().map(|schema| Table { schema: schema.clone(), rows: vec![] }).collect();
    HOST.with_borrow_mut(|h| {
        let secrets = std::mem::take(&mut h.secrets);
        *h = Recorder { done: Done { sent, ..Done::default() }, secrets, ..Recorder::default() };
    });
}

/// One call of the host: what it sends counts once it has ended well.
fn call<T>(batch: Table, work: impl FnOnce() -> Result<T>) -> T {
    HOST.with_borrow_mut(|h| {
        h.done.received += batch.rows.len() as u64;
        h.batch = batch;
    });
    let value = work().unwrap_or_else(|e| panic!("{:?}: {e}", e.fault));
    HOST.with_borrow_mut(Recorder::settle);
    value
}

fn end() -> Done {
    let done = HOST.with_borrow_mut(|h| std::mem::take(&mut h.done));
    done.law();
    done
}

fn task() -> Task {
    Task { graph: "test".into(), node: "node".into(), run: "run".into(), instance: 0, instances: 1 }
}

fn wire(inputs: &[(&str, Table)]) -> Vec<types::Port> {
    inputs.iter().map(|(name, t)| types::Port { name: (*name).into(), schema: t.schema.to_wire() }).collect()
}

fn transformed<K: Kind, T: Transform>(
    config: &str,
    inputs: &[(&str, Table)],
    size: usize,
    wrap: impl Fn(K::Work) -> T,
) -> Done {
    let start = || {
        let planned = run::plan::<K>(config, wire(inputs), true).unwrap_or_else(|e| panic!("{e}"));
        let (reads, may_reject) = (planned.reads(), planned.built.may_reject);
        let schemas = planned.built.outputs.clone();
        let (wiring, work) = planned.start();
        let mut work = wrap(work);
        work.open(&task()).unwrap_or_else(|e| panic!("{e}"));
        ((wiring, work), reads, schemas, may_reject)
    };
    let (mut node, reads, schemas, may_reject) = start();
    begin(&schemas);
    for (port, (_, table)) in inputs.iter().enumerate() {
        for rows in table.rows.chunks(size) {
            let batch = Table { schema: table.schema.clone(), rows: rows.to_vec() };
            let sent = batch.batch(reads[port].as_deref());
            call(batch, || node.process(port, sent));
            // The host may replace an instance between any two batches.
            let state = node.save().unwrap_or_else(|e| panic!("{e}"));
            node = start().0;
            node.load(&state).unwrap_or_else(|e| panic!("{e}"));
        }
    }
    while call(Table::default(), || node.finish()) {}
    let done = end();
    assert!(may_reject || done.rejected.is_empty(), "rejects rows, but the plan does not say so");
    done
}

/// Runs a map on a table: whole, row by row and by threes; all must agree. Panics where it fails.
pub fn map<K: Kind<Work: Map>>(config: &str, table: &str) -> Done {
    let inputs = [("in", Table::new(table))];
    agree(|size| transformed::<K, _>(config, &inputs, size, Stateless))
}

/// Runs a transform on tables, one for each input, as [`map`] does, and with its state saved and loaded after every batch.
pub fn transform<K: Kind<Work: Transform>>(config: &str, inputs: &[(&str, &str)]) -> Done {
    let inputs: Vec<(&str, Table)> = inputs.iter().map(|(name, table)| (*name, Table::new(table))).collect();
    agree(|size| transformed::<K, _>(config, &inputs, size, std::convert::identity))
}

fn agree(run: impl Fn(usize) -> Done) -> Done {
    let whole = run(usize::MAX);
    for size in [1, 3] {
        let parts = run(size);
        assert_eq!(whole.sent, parts.sent, "sent in one batch, and in batches of {size}");
        assert_eq!(whole.dropped, parts.dropped, "dropped in one batch, and in batches of {size}");
        let sorted = |done: &Done| {
            let mut all: Vec<String> = done.rejected.iter().map(|r| format!("{r:?}")).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&whole), sorted(&parts), "rejected in one batch, and in batches of {size}");
        assert_eq!(whole.altered, parts.altered, "altered in one batch, and in batches of {size}");
    }
    whole
}

/// Reads all splits of a source to their end, and resumes at its own position after every batch. Panics where it fails.
pub fn source<K: Kind<Work: Source>>(config: &str) -> Done {
    let planned = run::plan::<K>(config, vec![], true).unwrap_or_else(|e| panic!("{e}"));
    begin(&planned.built.outputs);
    for split in planned.built.work.splits(&[]).unwrap_or_else(|e| panic!("{e}")) {
        let mut position: Option<String> = None;
        loop {
            let mut reader =
                run::open_split::<K>(config, &task(), &split, position.as_deref()).unwrap_or_else(|e| panic!("{e}"));
            let mut next = call(Table::default(), || reader.read());
            let here = reader.position().unwrap_or_else(|e| panic!("{e}"));
            while here.is_none() && next == Next::More {
                next = call(Table::default(), || reader.read());
            }
            position = here;
            // A source that only waits has nothing more for a test.
            if next != Next::More {
                break;
            }
        }
    }
    end()
}

/// Writes a table by threes, flushes, and commits twice, as after a crash. Panics where it fails.
pub fn sink<K: Sink>(config: &str, table: &str) -> Done {
    let table = Table::new(table);
    let planned = run::plan::<K>(config, wire(&[("in", table.clone())]), false).unwrap_or_else(|e| panic!("{e}"));
    let reads = planned.reads();
    let (wiring, mut writer) = planned.start();
    begin(&[]);
    writer.open(&task()).unwrap_or_else(|e| panic!("{e}"));
    let mut writer = (wiring, writer);
    for rows in table.rows.chunks(3) {
        let batch = Table { schema: table.schema.clone(), rows: rows.to_vec() };
        let sent = batch.batch(reads[0].as_deref());
        call(batch, || Write::write(&mut writer, 0, sent));
    }
    let pending = vec![call(Table::default(), || Write::flush(&mut writer, 1))];
    let commit = crate::Commit { run: "run".into(), epoch: 1 };
    for _ in 0..2 {
        let config = run::config::<K>(config).unwrap_or_else(|e| panic!("{e}"));
        call(Table::default(), || K::commit(&config, &commit, &pending));
    }
    Done { pending, ..end() }
}

/// What is wrong with a config before this table; panics where nothing is.
pub fn problem<K: Kind>(config: &str, table: &str) -> Error {
    let input = wire(&[("in", Table::new(table))]);
    let outputs = run::ports::<K>(config).map_or(true, |p| !p.outputs.is_empty());
    match run::plan::<K>(config, input, outputs) {
        Err(e) => e,
        Ok(_) => panic!("nothing is wrong with {config}"),
    }
}

/// Panics unless the example of a kind is a config of it.
pub fn example<K: Kind>() {
    run::config::<K>(K::EXAMPLE).unwrap_or_else(|e| panic!("{}: {e}", K::EXAMPLE));
}

#[cfg(test)]
#[path = "test_tests.rs"]
mod tests;
