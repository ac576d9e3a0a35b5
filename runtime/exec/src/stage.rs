//! One thread of a stage: an instance of every node of the chain, driven by the head's splits or queue.

use crate::ledger::{Ledger, NodeLedger, SAMPLES, entry};
use crate::queue::{Message, QueueReceiver, QueueSender};
use crate::size::batch_bytes;
use crate::stop::{Failure, Stop, lock};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use selvedge_node::{
    ERRORS_PORT, Error, Map, Next, Out, Pending, Positions, Rejection, Result, Split, Task, Transform, Work, Writer,
    errors_schema,
};
use selvedge_state::{RowHasher, scatter};
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Rejected rows are sent in batches of at most this many.
const REJECTS: usize = 1024;

/// What a node's instance needs to start.
pub(crate) struct NodeTemplate {
    pub index: usize,
    pub work: Work,
    pub task: Task,
    /// By output port, `errors` last.
    pub outputs: Vec<OutputTemplate>,
    pub inputs: usize,
    pub schemas_in: Vec<SchemaRef>,
}

pub(crate) struct OutputTemplate {
    pub schema: SchemaRef,
    pub targets: Arc<[Target]>,
}

/// Where the rows of a port go.
pub(crate) enum Target {
    /// Place in the stage and input port of a node on the same thread.
    Chained {
        edge: usize,
        at: usize,
        port: usize,
    },
    Shared {
        edge: usize,
        port: usize,
        queue: QueueSender,
    },
    Exchange {
        edge: usize,
        port: usize,
        hasher: Arc<RowHasher>,
        queues: Vec<QueueSender>,
    },
}

/// What drives a stage.
pub(crate) enum Head {
    Splits(Arc<Mutex<VecDeque<Box<dyn Split>>>>),
    /// Number of senders for each input port, and whether this instance alone receives from the queue.
    Queue {
        receiver: QueueReceiver,
        senders: Vec<usize>,
        alone: bool,
    },
}

/// What a thread leaves behind when all went well.
#[derive(Default)]
pub(crate) struct Finished {
    /// Node index and what its writer flushed.
    pub pending: Vec<(usize, Pending)>,
    /// Node index and the position of each split read.
    pub positions: Vec<(usize, Positions)>,
}

struct Local {
    index: usize,
    /// Taken out while the node is at work.
    work: Option<LocalWork>,
    outputs: Vec<OutputTemplate>,
    inputs: usize,
    schemas_in: Vec<SchemaRef>,
    task: Task,
    rejected: Vec<Rejection>,
}

enum LocalWork {
    Source,
    Map(Arc<dyn Map>),
    Transform(Box<dyn Transform>),
    Writer(Box<dyn Writer>),
}

/// Whose time it is: every moment of a thread belongs to one node.
struct Clock {
    at: usize,
    since: Instant,
}

struct Stage {
    nodes: Vec<Local>,
    ledger: Arc<Ledger>,
    stop: Arc<Stop>,
    clock: Clock,
    /// Kept between batches for its allocation.
    hashes: Vec<u128>,
}

/// Runs one instance of a stage to its end, and tells whether it got there. Whatever goes wrong, a panic included, stops the
/// run as that node's error. What writers have flushed comes back in any case: it must be committed or taken back.
pub(crate) fn run(templates: Vec<NodeTemplate>, head: Head, ledger: Arc<Ledger>, stop: Arc<Stop>) -> (bool, Finished) {
    let first = templates.first().map_or(0, |t| t.index);
    let clock = Clock { at: 0, since: Instant::now() };
    let mut stage = Stage { nodes: vec![], ledger, stop: stop.clone(), clock, hashes: vec![] };
    let mut finished = Finished::default();
    let result = catch_unwind(AssertUnwindSafe(|| {
        stage.open(templates)?;
        match head {
            Head::Splits(splits) => stage.read(&splits, &mut finished)?,
            Head::Queue { receiver, senders, alone } => stage.receive(&receiver, senders, alone)?,
        }
        stage.finish(&mut finished)
    }));
    let node = stage.nodes.get(stage.clock.at).map_or(first, |n| n.index);
    let fail = |error| stop.fail(Failure { node: Some(node), error });
    let ended = match result {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            fail(error);
            false
        }
        Err(panic) => {
            fail(panicked(&*panic));
            false
        }
    };
    // Nodes clean up after themselves when they are dropped, and may panic there too.
    match catch_unwind(AssertUnwindSafe(|| drop(stage))) {
        Ok(()) => (ended, finished),
        Err(panic) => {
            fail(panicked(&*panic));
            (false, finished)
        }
    }
}

/// A panic as an error of whoever panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Error {
    Error::bug(format!("panicked: {}", panic_message(panic)))
        .help("this is a mistake in the node, not in the graph or the data; please report it")
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

impl Stage {
    fn open(&mut self, templates: Vec<NodeTemplate>) -> Result<()> {
        for t in templates {
            self.nodes.push(Local {
                index: t.index,
                work: None,
                outputs: t.outputs,
                inputs: t.inputs,
                schemas_in: t.schemas_in,
                task: t.task.clone(),
                rejected: vec![],
            });
            // From here on this node is to blame.
            self.clock.at = self.nodes.len() - 1;
            let work = match t.work {
                Work::Source(_) => LocalWork::Source,
                Work::Map(map) => LocalWork::Map(map),
                Work::Transform(make) => LocalWork::Transform(make(&t.task)?),
                Work::Sink(sink) => LocalWork::Writer(sink.open(&t.task)?),
            };
            self.nodes[self.clock.at].work = Some(work);
        }
        self.clock = Clock { at: 0, since: Instant::now() };
        Ok(())
    }

    fn read(&mut self, splits: &Mutex<VecDeque<Box<dyn Split>>>, finished: &mut Finished) -> Result<()> {
        let mut positions = Positions::new();
        while !self.stop.draining() {
            let Some(split) = lock(splits).pop_front() else { break };
            let name = split.name();
            let mut reader = split.open(&self.nodes[0].task)?;
            while !self.stop.draining() {
                let next = reader.read(&mut Exit { stage: self, at: 0 })?;
                self.send_rejected(0)?;
                match next {
                    Next::More => {}
                    Next::Done => break,
                    Next::Idle(time) => {
                        let since = Instant::now();
                        self.stop.sleep(time);
                        self.waited(since.elapsed(), NodeLedger::add_idle);
                    }
                }
            }
            if let Some(position) = reader.position() {
                positions.insert(name, position);
            }
        }
        if !positions.is_empty() {
            finished.positions.push((self.nodes[0].index, positions));
        }
        Ok(())
    }

    fn receive(&mut self, receiver: &QueueReceiver, mut senders: Vec<usize>, alone: bool) -> Result<()> {
        while let Some((message, waited)) = receiver.receive(&self.stop.clone())? {
            if !waited.is_zero() {
                self.waited(waited, NodeLedger::add_idle);
            }
            match message {
                Message::Data { edge, port, batch, bytes } => self.deliver(0, edge, port, batch, bytes)?,
                Message::End { port } => {
                    senders[port] = senders[port].saturating_sub(1);
                    if alone && senders[port] == 0 {
                        self.end_port(0, port)?;
                    }
                }
            }
        }
        if !alone {
            (0..self.nodes[0].inputs).try_for_each(|port| self.end_port(0, port))?;
        }
        Ok(())
    }

    /// In the order of the chain: what a node sends when it finishes still finds the nodes behind it open.
    fn finish(&mut self, finished: &mut Finished) -> Result<()> {
        for at in 0..self.nodes.len() {
            match self.nodes[at].work.take() {
                Some(LocalWork::Transform(mut transform)) => {
                    self.switch(at);
                    transform.finish(&mut Exit { stage: self, at })?;
                }
                Some(LocalWork::Writer(mut writer)) => {
                    self.switch(at);
                    let pending = writer.flush(EPOCH, &mut Exit { stage: self, at })?;
                    finished.pending.push((self.nodes[at].index, pending));
                }
                Some(LocalWork::Map(_) | LocalWork::Source) | None => {}
            }
            self.send_rejected(at)?;
            for output in &mut self.nodes[at].outputs {
                // Let go of, so that those behind can finish while the rest of this thread still does.
                for target in std::mem::take(&mut output.targets).iter() {
                    match target {
                        Target::Chained { .. } => {}
                        Target::Shared { port, queue, .. } => queue.end(*port),
                        Target::Exchange { port, queues, .. } => queues.iter().for_each(|q| q.end(*port)),
                    }
                }
            }
        }
        self.switch(0);
        Ok(())
    }

    fn end_port(&mut self, at: usize, port: usize) -> Result<()> {
        let Some(mut work) = self.nodes[at].work.take() else { return Ok(()) };
        if let LocalWork::Transform(transform) = &mut work {
            transform.end(port, &mut Exit { stage: self, at })?;
        }
        self.nodes[at].work = Some(work);
        self.send_rejected(at)
    }

    /// Hands a batch to a node of this thread.
    fn deliver(&mut self, at: usize, edge: usize, port: usize, batch: RecordBatch, bytes: u64) -> Result<()> {
        let rows = batch.num_rows() as u64;
        self.ledger.edges[edge].received.add(rows, bytes);
        let node = &mut self.nodes[at];
        self.ledger.nodes[node.index].ins[port].add(rows, bytes);
        let batch = fit(batch, &node.schemas_in[port])?;
        let Some(mut work) = node.work.take() else {
            return Err(Error::bug("a node was handed rows while it was at work"));
        };
        let caller = self.clock.at;
        self.switch(at);
        let exit = &mut Exit { stage: self, at };
        let result = match &mut work {
            LocalWork::Map(map) => map.map(batch, exit),
            LocalWork::Transform(transform) => transform.process(port, batch, exit),
            LocalWork::Writer(writer) => writer.write(port, batch, exit),
            LocalWork::Source => Err(Error::bug("a source was handed rows")),
        };
        self.nodes[at].work = Some(work);
        if let Err(error) = result {
            // Blamed here: the nodes that this goes back through are not to make it theirs, or nobody's.
            self.stop.fail(Failure { node: Some(self.nodes[at].index), error });
            return Err(Error::stopped());
        }
        self.send_rejected(at)?;
        self.switch(caller);
        Ok(())
    }

    fn send(&mut self, at: usize, port: usize, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let output = &self.nodes[at].outputs[port];
        let batch = fit(batch, &output.schema)?;
        let (rows, bytes) = (batch.num_rows() as u64, batch_bytes(&batch));
        self.ledger.nodes[self.nodes[at].index].outs[port].add(rows, bytes);
        // Held by itself, because a chained node needs the whole stage.
        let targets = output.targets.clone();
        for target in targets.iter() {
            match target {
                Target::Chained { edge, at, port } => {
                    self.ledger.edges[*edge].sent.add(rows, bytes);
                    self.deliver(*at, *edge, *port, batch.clone(), bytes)?;
                }
                Target::Shared { edge, port, queue } => {
                    self.ledger.edges[*edge].sent.add(rows, bytes);
                    let waited = queue.send(*edge, *port, batch.clone(), bytes)?;
                    self.waited(waited, NodeLedger::add_blocked);
                }
                Target::Exchange { edge, port, hasher, queues } => {
                    self.ledger.edges[*edge].sent.add(rows, bytes);
                    hasher.hash(&batch, &mut self.hashes);
                    let parts = scatter(&batch, &self.hashes, queues.len())?;
                    for (part, queue) in parts.into_iter().zip(queues).filter(|(p, _)| p.num_rows() > 0) {
                        let bytes = batch_bytes(&part);
                        let waited = queue.send(*edge, *port, part, bytes)?;
                        self.waited(waited, NodeLedger::add_blocked);
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends what a node has rejected as a batch on its `errors` port.
    fn send_rejected(&mut self, at: usize) -> Result<()> {
        while !self.nodes[at].rejected.is_empty() {
            let node = &mut self.nodes[at];
            let some: Vec<Rejection> = node.rejected.drain(..node.rejected.len().min(REJECTS)).collect();
            fn text<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
                Arc::new(StringArray::from_iter_values(values))
            }
            let columns = vec![
                text(some.iter().map(|_| node.task.node.as_str())),
                text(some.iter().map(|r| r.code.as_str())),
                text(some.iter().map(|r| r.message.as_str())),
                text(some.iter().map(|r| r.raw.as_str())),
            ];
            let port = node.outputs.len() - 1;
            let batch = RecordBatch::try_new(errors_schema(), columns)?;
            self.send(at, port, batch)?;
        }
        Ok(())
    }

    /// From now on the time is that node's.
    fn switch(&mut self, to: usize) {
        let now = Instant::now();
        if let Some(node) = self.nodes.get(self.clock.at) {
            self.ledger.nodes[node.index].add_busy(now - self.clock.since);
        }
        self.clock = Clock { at: to, since: now };
    }

    /// Time that the node at work did not work: taken out of its busy time and booked elsewhere.
    fn waited(&mut self, time: Duration, book: fn(&NodeLedger, Duration)) {
        if !time.is_zero() {
            self.clock.since += time;
            book(&self.ledger.nodes[self.nodes[self.clock.at].index], time);
        }
    }
}

/// The batch under the promised schema. Equal but for nullability or metadata is put right; anything else is the node's lie.
fn fit(batch: RecordBatch, promised: &SchemaRef) -> Result<RecordBatch> {
    let found = batch.schema_ref();
    if Arc::ptr_eq(found, promised) || found == promised {
        return Ok(batch);
    }
    let same = found.fields().len() == promised.fields().len()
        && found
            .fields()
            .iter()
            .zip(promised.fields())
            .all(|(a, b)| a.name() == b.name() && a.data_type().equals_datatype(b.data_type()));
    if !same {
        return Err(Error::bug(format!("sent rows of another schema than planned: {found} instead of {promised}")));
    }
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(promised.clone(), batch.columns().to_vec(), &rows)
        .map_err(|e| Error::bug(format!("sent rows that its planned schema forbids: {e}")))
}

/// The way out of the node at `at`.
struct Exit<'a> {
    stage: &'a mut Stage,
    at: usize,
}

impl Exit<'_> {
    fn ledger(&self) -> &NodeLedger {
        &self.stage.ledger.nodes[self.stage.nodes[self.at].index]
    }
}

impl Out for Exit<'_> {
    fn send(&mut self, port: usize, batch: RecordBatch) -> Result<()> {
        if port + 1 >= self.stage.nodes[self.at].outputs.len() {
            return Err(Error::bug(format!("sent rows to port {port}, which it does not have")));
        }
        self.stage.send(self.at, port, batch)
    }

    fn drop_rows(&mut self, reason: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        crate::ledger::count(&mut self.ledger().reasons().dropped, reason, count, samples);
    }

    fn altered(&mut self, what: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        crate::ledger::count(&mut self.ledger().reasons().altered, what, count, samples);
    }

    fn reject(&mut self, rejection: Rejection) -> Result<()> {
        {
            let mut reasons = self.ledger().reasons();
            let entry = entry(&mut reasons.rejected, &rejection.code);
            entry.rows += 1;
            if entry.samples.len() < SAMPLES {
                entry.samples.push(rejection.raw.clone());
            }
        }
        let node = &mut self.stage.nodes[self.at];
        if node.outputs.last().is_none_or(|errors| errors.targets.is_empty()) {
            let message = format!("{} (row: {})", rejection.message, cut(&rejection.raw));
            let name = &node.task.node;
            return Err(Error::data(message).help(format!(
                "to go on without such rows, read them: `Files(input: \"{name}.{ERRORS_PORT}\", …)` or `Null(input: \"{name}.{ERRORS_PORT}\")`"
            )));
        }
        node.rejected.push(rejection);
        if self.stage.nodes[self.at].rejected.len() >= REJECTS {
            self.stage.send_rejected(self.at)?;
        }
        Ok(())
    }

    fn absorb(&mut self, reason: &str, rows: u64) {
        entry(&mut self.ledger().reasons().absorbed, reason).rows += rows;
    }

    fn create(&mut self, reason: &str, rows: u64) {
        entry(&mut self.ledger().reasons().created, reason).rows += rows;
    }

    fn count(&mut self, name: &str, value: u64) {
        let mut reasons = self.ledger().reasons();
        let counter = entry(&mut reasons.counters, name);
        counter.rows = counter.rows.saturating_add(value);
    }

    fn stopping(&self) -> bool {
        // What has come so far still goes through when a run is drained; but a source need not look for more.
        let source = self.stage.nodes[self.at].inputs == 0;
        self.stage.stop.stopping() || source && self.stage.stop.draining()
    }
}

/// The first part of a text, on a character's border.
fn cut(text: &str) -> String {
    const SHOWN: usize = 300;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

/// The one epoch of a run without checkpoints.
pub(crate) const EPOCH: u64 = 1;
