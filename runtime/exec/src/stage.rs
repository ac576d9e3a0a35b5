//! One thread of a stage: an instance of every node of the chain, driven by the head's splits or queue.

mod drive;
mod exit;

use crate::checkpoint::{self, Parts, Saving};
use crate::epochs::{Births, Epochs, Gathered};
use crate::ledger::{Ledger, NodeLedger};
use crate::queue::{Message, QueueReceiver, QueueSender};
use crate::size::batch_bytes;
use crate::stop::{Failure, Stop};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use exit::Exit;
use selvedge_node::{
    Error, Map, Positions, Rejection, Result, Source, Split, Task, Transform, Watermark, Work, Writer, errors_schema,
};
use selvedge_state::{RowHasher, scatter};
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
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
    pub remembered: Vec<Remembered>,
}

/// What an instance of an earlier run has left for this one.
pub(crate) struct Remembered {
    pub parts: Parts,
    /// Only the rows whose hash belongs to that one of so many instances.
    pub share: Option<(usize, usize)>,
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
    /// One queue for all receivers; where rows never end, one for each, taken in turn.
    Shared {
        edge: usize,
        port: usize,
        channel: usize,
        queues: Vec<QueueSender>,
        turn: AtomicUsize,
    },
    Exchange {
        edge: usize,
        port: usize,
        channel: usize,
        hasher: Arc<RowHasher>,
        queues: Vec<QueueSender>,
    },
}

impl Target {
    /// Tells all receivers on other threads what is not rows.
    fn tell(&self, message: impl Fn(usize, usize) -> Message) {
        match self {
            Target::Chained { .. } => {}
            Target::Shared { port, channel, queues, .. } | Target::Exchange { port, channel, queues, .. } => {
                queues.iter().for_each(|queue| queue.tell(message(*port, *channel)));
            }
        }
    }
}

/// What drives a stage.
pub(crate) enum Head {
    /// The parts of a bounded source: each instance takes the next one.
    Splits(Arc<Mutex<VecDeque<Box<dyn Split>>>>),
    /// Of an unbounded one: all that this instance begins with are read in turn.
    Stream(Arc<dyn Source>, Vec<Box<dyn Split>>),
    /// Number of senders for each input port, and whether this instance alone receives from the queue.
    Queue { receiver: QueueReceiver, senders: Vec<usize>, alone: bool },
}

/// What all threads of a run share.
#[derive(Clone)]
pub(crate) struct Run {
    pub ledger: Arc<Ledger>,
    pub stop: Arc<Stop>,
    pub epochs: Arc<Epochs>,
    /// Some source never ends: there are epochs and watermarks.
    pub live: bool,
    /// Such sources end where they have caught up.
    pub once: bool,
    /// Where the state of nodes is kept, if there are checkpoints; it was loaded from there too.
    pub states: Option<Arc<Path>>,
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
    /// Of a sink: what it took in this epoch.
    births: Births,
    /// Its state in the last checkpoint.
    saved: Parts,
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
    run: Run,
    clock: Clock,
    /// The epoch closed last.
    epoch: u64,
    /// When the rows at work were read.
    born: Instant,
    /// How far event time has come for what arrives here, and for what is sent; what was told to those behind.
    heard: i64,
    promised: i64,
    told: Watermark,
    /// What has been read and closed: split name → position.
    positions: Positions,
    /// Splits of a bounded source that have been read, and have no position to go on from.
    read: Vec<String>,
    /// Kept between batches for its allocation.
    hashes: Vec<u128>,
}

/// Runs one instance of a stage to its end, and tells whether it got there. Whatever goes wrong, a panic included, stops the
/// run as that node's error. What writers have flushed is handed over in any case: it must be committed or taken back.
pub(crate) fn run(templates: Vec<NodeTemplate>, head: Head, run: Run) -> bool {
    let mut finished = Gathered::default();
    let ended = run_to(&mut finished, templates, head, run.clone());
    run.epochs.leave(finished);
    ended
}

fn run_to(finished: &mut Gathered, templates: Vec<NodeTemplate>, head: Head, run: Run) -> bool {
    let first = templates.first().map_or(0, |t| t.index);
    let stop = run.stop.clone();
    let mut stage = Stage {
        nodes: vec![],
        epoch: run.epochs.first,
        run,
        clock: Clock { at: 0, since: Instant::now() },
        born: Instant::now(),
        heard: i64::MIN,
        promised: i64::MIN,
        told: Watermark::None,
        positions: Positions::new(),
        read: vec![],
        hashes: vec![],
    };
    let result = catch_unwind(AssertUnwindSafe(|| {
        stage.open(templates)?;
        match head {
            Head::Splits(splits) => stage.read(&splits)?,
            Head::Stream(source, splits) => stage.stream(&*source, splits)?,
            Head::Queue { receiver, senders, alone } => stage.receive(&receiver, senders, alone)?,
        }
        stage.finish(finished)
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
        Ok(()) => ended,
        Err(panic) => {
            fail(panicked(&*panic));
            false
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
                births: vec![],
                saved: Parts::new(),
            });
            // From here on this node is to blame.
            self.clock.at = self.nodes.len() - 1;
            let work = match t.work {
                Work::Source(_) => LocalWork::Source,
                Work::Map(map) => LocalWork::Map(map),
                Work::Transform(make) => {
                    let mut transform = make(&t.task)?;
                    self.load(&mut *transform, &t.remembered)?;
                    LocalWork::Transform(transform)
                }
                Work::Sink(sink) => LocalWork::Writer(sink.open(&t.task)?),
            };
            self.nodes[self.clock.at].work = Some(work);
        }
        self.clock = Clock { at: 0, since: Instant::now() };
        Ok(())
    }

    fn load(&self, transform: &mut dyn Transform, remembered: &[Remembered]) -> Result<()> {
        let Some(folder) = &self.run.states else { return Ok(()) };
        for Remembered { parts, share } in remembered {
            for (name, part) in parts {
                checkpoint::batches(folder, name, part, *share, &mut |batch| transform.load(name, batch))?;
            }
        }
        Ok(())
    }

    /// Has the transform at `at` put down what it remembers, where that is kept.
    fn save(&mut self, at: usize, epoch: u64, gathered: &mut Gathered) -> Result<()> {
        let Some(folder) = self.run.states.clone() else { return Ok(()) };
        let Some(LocalWork::Transform(mut transform)) = self.nodes[at].work.take() else {
            return Err(Error::bug("a node without state was asked to save it"));
        };
        self.switch(at);
        let node = &mut self.nodes[at];
        let name = format!("{}-{epoch}-{}-{}.ipc", node.task.run, node.index, node.task.instance);
        let mut saving = Saving::new(&folder, name, &node.saved);
        transform.save(&mut saving)?;
        node.saved = saving.finish()?;
        gathered.states.push((node.index, node.task.instance, node.saved.clone()));
        node.work = Some(LocalWork::Transform(transform));
        Ok(())
    }

    /// In the order of the chain: what a node sends when it finishes still finds the nodes behind it open.
    fn finish(&mut self, finished: &mut Gathered) -> Result<()> {
        // It is the end that lets go of what is still held.
        self.born = Instant::now();
        for at in 0..self.nodes.len() {
            match self.nodes[at].work.take() {
                Some(LocalWork::Transform(mut transform)) => {
                    self.switch(at);
                    transform.finish(&mut Exit { stage: self, at })?;
                }
                Some(LocalWork::Writer(writer)) => {
                    self.nodes[at].work = Some(LocalWork::Writer(writer));
                    self.flush(at, self.epoch + 1, finished)?;
                    self.nodes[at].work = None;
                }
                Some(LocalWork::Map(_) | LocalWork::Source) | None => {}
            }
            self.send_rejected(at)?;
            for output in &mut self.nodes[at].outputs {
                // Let go of, so that those behind can finish while the rest of this thread still does.
                for target in std::mem::take(&mut output.targets).iter() {
                    target.tell(|port, channel| Message::End { port, channel });
                }
            }
        }
        finished.positions.push((self.nodes[0].index, std::mem::take(&mut self.positions)));
        finished.read.push((self.nodes[0].index, std::mem::take(&mut self.read)));
        self.switch(0);
        Ok(())
    }

    /// Has the writer at `at` make safe what it took since it was last asked.
    fn flush(&mut self, at: usize, epoch: u64, gathered: &mut Gathered) -> Result<()> {
        let Some(LocalWork::Writer(mut writer)) = self.nodes[at].work.take() else {
            return Err(Error::bug("a node that is no sink was asked to flush"));
        };
        self.switch(at);
        let pending = writer.flush(epoch, &mut Exit { stage: self, at })?;
        let node = &mut self.nodes[at];
        node.work = Some(LocalWork::Writer(writer));
        gathered.pending.push((node.index, pending));
        if !node.births.is_empty() {
            gathered.births.push((node.index, std::mem::take(&mut node.births)));
        }
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
        self.run.ledger.edges[edge].received.add(rows, bytes);
        let node = &mut self.nodes[at];
        self.run.ledger.nodes[node.index].ins[port].add(rows, bytes);
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
        if self.run.live && matches!(work, LocalWork::Writer(_)) {
            let births = &mut self.nodes[at].births;
            match births.last_mut().filter(|(born, _)| *born == self.born) {
                Some((_, count)) => *count += rows,
                None => births.push((self.born, rows)),
            }
        }
        self.nodes[at].work = Some(work);
        if let Err(error) = result {
            // Blamed here: the nodes that this goes back through are not to make it theirs, or nobody's.
            self.run.stop.fail(Failure { node: Some(self.nodes[at].index), error });
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
        self.run.ledger.nodes[self.nodes[at].index].outs[port].add(rows, bytes);
        // Held by itself, because a chained node needs the whole stage.
        let targets = output.targets.clone();
        for target in targets.iter() {
            match target {
                Target::Chained { edge, at, port } => {
                    self.run.ledger.edges[*edge].sent.add(rows, bytes);
                    self.deliver(*at, *edge, *port, batch.clone(), bytes)?;
                }
                Target::Shared { edge, port, queues, turn, .. } => {
                    self.run.ledger.edges[*edge].sent.add(rows, bytes);
                    let queue = &queues[turn.fetch_add(1, Relaxed) % queues.len()];
                    let waited = queue.send(*edge, *port, batch.clone(), bytes, self.born)?;
                    self.waited(waited, NodeLedger::add_blocked);
                }
                Target::Exchange { edge, port, hasher, queues, .. } => {
                    self.run.ledger.edges[*edge].sent.add(rows, bytes);
                    hasher.hash(&batch, &mut self.hashes);
                    let parts = scatter(&batch, &self.hashes, queues.len())?;
                    for (part, queue) in parts.into_iter().zip(queues).filter(|(p, _)| p.num_rows() > 0) {
                        let bytes = batch_bytes(&part);
                        let waited = queue.send(*edge, *port, part, bytes, self.born)?;
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
            self.run.ledger.nodes[node.index].add_busy(now - self.clock.since);
        }
        self.clock = Clock { at: to, since: now };
    }

    /// Time that the node at work did not work: taken out of its busy time and booked elsewhere.
    fn waited(&mut self, time: Duration, book: fn(&NodeLedger, Duration)) {
        if !time.is_zero() {
            self.clock.since += time;
            book(&self.run.ledger.nodes[self.nodes[self.clock.at].index], time);
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
