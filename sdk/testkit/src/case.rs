//! One node, its config and its input; run, checked, and laid open.

use crate::{Recorder, sorted, table};
use arrow::array::RecordBatch;
use selvedge_node::{
    Built, Commit, Connection, Connections, Error, Input, Kind, Memory, Next, Positions, Problems, Site, Span, Task,
    Work,
};
use selvedge_ron::{FileId, from_value, parse};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Connections by name, as RON text: none unless a test adds some.
#[derive(Default)]
pub struct NoConnections(pub BTreeMap<String, Connection>);

impl Connections for NoConnections {
    fn find(&self, name: &str) -> Option<Connection> {
        self.0.get(name).cloned()
    }
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// A node under test.
pub struct Case<K: Kind> {
    config: String,
    inputs: Vec<(String, RecordBatch)>,
    connections: NoConnections,
    base: PathBuf,
    memory: u64,
    kind: PhantomData<K>,
}

/// What a node did.
#[derive(Debug)]
pub struct Done {
    /// Rows by output port, in the order they were sent.
    pub sent: BTreeMap<usize, Vec<RecordBatch>>,
    pub dropped: BTreeMap<String, u64>,
    pub samples: BTreeMap<String, Vec<String>>,
    pub altered: BTreeMap<String, u64>,
    pub rejected: Vec<selvedge_node::Rejection>,
    pub absorbed: BTreeMap<String, u64>,
    pub created: BTreeMap<String, u64>,
    /// The schema of each output port.
    pub schemas: Vec<selvedge_node::prelude::SchemaRef>,
}

impl Done {
    /// All rows of one port as one batch.
    pub fn rows(&self, port: usize) -> RecordBatch {
        let none = vec![];
        let batches = self.sent.get(&port).unwrap_or(&none);
        arrow::compute::concat_batches(&self.schemas[port], batches).expect("sent batches have the promised schema")
    }

    /// The rows of the first port as text, in the order sent.
    pub fn text(&self) -> String {
        crate::show(&self.rows(0))
    }

    /// The rows of a port as text, in the order of their text.
    pub fn sorted_text(&self, port: usize) -> String {
        sorted(&[self.rows(port)]).map(|b| crate::show(&b)).unwrap_or_default()
    }

    /// Panics unless the first port's rows are those of `expected`, in any order. `expected` is a [`table`] text.
    pub fn expect(&self, expected: &str) {
        let expected = sorted(&[table(expected)]).map(|b| crate::show(&b)).unwrap_or_default();
        pretty_eq(&self.sorted_text(0), &expected);
    }

    /// Panics unless the first port's rows are those of `expected`, in this order.
    pub fn expect_in_order(&self, expected: &str) {
        pretty_eq(&self.text(), &crate::show(&table(expected)));
    }
}

fn pretty_eq(found: &str, expected: &str) {
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}

/// Reads a config text such as `(keys: ["sku"])` or `Dedup(keys: ["sku"])`.
pub fn config<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problems> {
    let value = parse(FileId(0), text)?;
    Ok(from_value(&value)?)
}

/// A site with nothing around it.
pub fn site<'a>(base: &'a Path, connections: &'a dyn Connections) -> Site<'a> {
    Site { graph: "test", node: "node", span: Span::default(), base, connections }
}

impl<K: Kind> Case<K> {
    pub fn new(config: &str) -> Case<K> {
        Case {
            config: config.to_string(),
            inputs: vec![],
            connections: NoConnections::default(),
            base: PathBuf::from("."),
            memory: 64 << 20,
            kind: PhantomData,
        }
    }

    /// Rows for the next input port (`in`, or `in0`, `in1`, … in the order given), as a [`table`] text.
    #[must_use]
    pub fn input(self, rows: &str) -> Case<K> {
        self.batch(table(rows))
    }

    #[must_use]
    pub fn batch(mut self, rows: RecordBatch) -> Case<K> {
        let port = if self.inputs.is_empty() { "in".into() } else { format!("in{}", self.inputs.len()) };
        self.inputs.push((port, rows));
        self
    }

    /// Rows for a named port.
    #[must_use]
    pub fn port(mut self, port: &str, rows: &str) -> Case<K> {
        self.inputs.push((port.into(), table(rows)));
        self
    }

    /// The folder that relative paths start from.
    #[must_use]
    pub fn base(mut self, base: &Path) -> Case<K> {
        self.base = base.to_path_buf();
        self
    }

    /// A connection `name` of `kind` with a body such as `(path: "x.db")`.
    #[must_use]
    pub fn connection(mut self, name: &str, kind: &str, body: &str) -> Case<K> {
        let body = parse(FileId(0), body).expect("a connection body in RON");
        let connection =
            Connection { name: name.into(), kind: kind.into(), span: Span::default(), body, base: self.base.clone() };
        self.connections.0.insert(name.into(), connection);
        self
    }

    /// The memory budget in bytes; 64 MiB unless told. A small one makes state spill.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Case<K> {
        self.memory = bytes;
        self
    }

    /// What planning makes of the config.
    pub fn build(&self) -> Result<Built, Problems> {
        let config = config::<K::Config>(&self.config)?;
        let inputs: Vec<Input> = self
            .inputs
            .iter()
            .map(|(port, b)| Input { port: port.clone(), schema: b.schema(), span: Span::default(), unbounded: false })
            .collect();
        K::build(config, &site(&self.base, &self.connections), &inputs)
    }

    /// The problems that planning finds, as text, one a line.
    pub fn problems(&self) -> String {
        match self.build() {
            Ok(_) => String::new(),
            Err(p) => p.0.iter().map(|p| p.to_string()).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Runs the node and checks the row law. Panics on an error.
    pub fn run(&self) -> Done {
        self.try_run().unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs the node as if its `errors` port were not connected: a rejected row is an error.
    pub fn run_strict(&self) -> Result<Done, Error> {
        self.once(usize::MAX, true)
    }

    /// Runs the node with whole, single-row and three-row batches and checks that all agree.
    pub fn try_run(&self) -> Result<Done, Error> {
        let whole = self.once(usize::MAX, false)?;
        if matches!(self.build().map(|b| b.work), Ok(Work::Map(_) | Work::Transform(_))) {
            for size in [1, 3] {
                let again = self.once(size, false)?;
                for port in 0..whole.schemas.len() {
                    pretty_eq(&again.sorted_text(port), &whole.sorted_text(port));
                }
                assert_eq!(again.dropped, whole.dropped, "dropped, with batches of {size}");
                assert_eq!(again.altered, whole.altered, "altered, with batches of {size}");
                assert_eq!(again.rejected.len(), whole.rejected.len(), "rejected, with batches of {size}");
            }
        }
        Ok(whole)
    }

    fn once(&self, batch_rows: usize, strict: bool) -> Result<Done, Error> {
        let built = self.build().map_err(|p| Error::graph(p.to_string()))?;
        let inputs: Vec<&RecordBatch> = self.inputs.iter().map(|(_, rows)| rows).collect();
        drive(built, &inputs, batch_rows, strict, self.memory)
    }
}

/// Runs a node: its inputs one after the other in batches of at most `batch_rows`, then its end; a sink's commit twice.
/// `strict`: as if `errors` were not connected. `memory` is its budget in bytes. That the row law holds is part of it.
pub fn drive(
    built: Built,
    inputs: &[&RecordBatch],
    batch_rows: usize,
    strict: bool,
    memory: u64,
) -> Result<Done, Error> {
    let scratch = tempfile::tempdir().map_err(|e| Error::io("making", "a scratch folder", &e))?;
    let task = Task {
        run: "test".into(),
        node: "node".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(memory),
        scratch: scratch.path().to_path_buf(),
        batch_rows: batch_rows.min(8192),
        batch_bytes: 1 << 20,
        wake: Default::default(),
    };
    let mut out = Recorder { strict, ..Default::default() };
    let rows_in: u64 = inputs.iter().map(|b| b.num_rows() as u64).sum();
    let batches = |port: usize| pieces(inputs[port], batch_rows);
    match built.work {
        Work::Source(source) => {
            for split in source.splits(&Positions::new())? {
                let mut reader = split.open(&task)?;
                while reader.read(&mut out)? != Next::Done {}
            }
        }
        Work::Map(map) => {
            for batch in batches(0) {
                map.map(batch, &mut out)?;
            }
        }
        Work::Transform(make) => {
            let mut node = make(&task)?;
            for port in 0..inputs.len() {
                for batch in batches(port) {
                    node.process(port, batch, &mut out)?;
                }
                node.end(port, &mut out)?;
            }
            node.finish(&mut out)?;
        }
        Work::Sink(sink) => {
            let mut writer = sink.open(&task)?;
            for port in 0..inputs.len() {
                for batch in batches(port) {
                    writer.write(port, batch, &mut out)?;
                }
            }
            let pending = writer.flush(1, &mut out)?;
            drop(writer);
            let commit = Commit { run: "test".into(), epoch: 1 };
            sink.commit(&commit, std::slice::from_ref(&pending))?;
            // A crash between commit and its record: the same commit comes again and must change nothing.
            sink.commit(&commit, &[pending])?;
        }
    }
    out.law(rows_in).map_err(Error::bug)?;
    for (port, batches) in &out.sent {
        for batch in batches {
            if batch.schema().fields() != built.outputs[*port].fields() {
                let (found, told) = (batch.schema(), &built.outputs[*port]);
                return Err(Error::bug(format!("port {port} was promised as {told:?}, but {found:?} was sent")));
            }
        }
    }
    let Recorder { sent, dropped, samples, altered, rejected, absorbed, created, .. } = out;
    Ok(Done { sent, dropped, samples, altered, rejected, absorbed, created, schemas: built.outputs })
}

fn pieces(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    let rows = rows.max(1);
    (0..batch.num_rows())
        .step_by(rows.min(batch.num_rows().max(1)))
        .map(|at| batch.slice(at, rows.min(batch.num_rows() - at)))
        .collect()
}
