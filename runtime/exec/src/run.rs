//! A run from plan to report: schedule, threads, join, check, commit.

use crate::ledger::{EdgeLedger, Ledger, NodeLedger};
use crate::positions::{self, AllPositions};
use crate::queue::{QueueReceiver, QueueSender, queue};
use crate::report::{self, ErrorReport, Report, Status};
use crate::stage::{self, EPOCH, Finished, Head, NodeTemplate, OutputTemplate, Target};
use crate::stop::{Failure, Stop};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::{EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;
use selvedge_node::{Commit, Error, Memory, Partitioning, Pending, Result, Sink, Split, Task, Work};
use selvedge_plan::{Delivery, Machine, Plan, Schedule, schedule};
use selvedge_state::RowHasher;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Rows and bytes that sources aim at for a batch.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;
/// What the process needs besides queues and state: for itself, and for each thread (buffers of readers and writers, batches
/// at work, what the allocator keeps). Measured on the benchmark graphs, which have 4 to 10 threads.
const PROCESS_BYTES: u64 = 112 << 20;
const THREAD_BYTES: u64 = 21 << 20;
/// A queue below this holds less than a batch of the usual kind; one above it only adds latency.
const QUEUE_BYTES: std::ops::RangeInclusive<u64> = (256 << 10)..=(8 << 20);

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    pub threads: usize,
    /// Budget of the whole process, in bytes.
    pub memory: u64,
    /// Where positions are kept between runs. `None`: every run starts from the start and nothing is remembered.
    pub state: Option<PathBuf>,
    /// Spill files go into a folder of the run below this one.
    pub scratch: PathBuf,
    /// Names the run in commits and in the report; must be unique.
    pub run: String,
}

/// 512 MiB: what a small container has, and enough for any amount of rows.
pub fn default_memory() -> u64 {
    512 << 20
}

/// A run at work.
pub struct Running {
    plan: Arc<Plan>,
    schedule: Schedule,
    options: Options,
    ledger: Arc<Ledger>,
    stop: Arc<Stop>,
    memory: Memory,
    threads: Vec<JoinHandle<Option<Finished>>>,
    sinks: Vec<(NodeIndex, Arc<dyn Sink>)>,
    positions: AllPositions,
    scratch: PathBuf,
    started: Instant,
    started_at: f64,
    _io: tokio::runtime::Runtime,
}

/// Stops a run from another thread: a signal handler, a dashboard.
#[derive(Clone)]
pub struct Stopper(Arc<Stop>);

impl Stopper {
    /// Sources end where they are; what is on its way arrives; then the report.
    pub fn drain(&self) {
        self.0.drain();
    }
    /// Everything stops at once.
    pub fn halt(&self) {
        self.0.halt();
    }
}

/// Schedules a plan and starts its threads. An error here means that nothing has run.
pub fn start(plan: Plan, options: Options) -> std::result::Result<Running, (Option<String>, Error)> {
    let nowhere = |e: Error| (None, e);
    let (started, started_at) = (Instant::now(), now());
    let positions = match &options.state {
        Some(state) => positions::load(state, &plan.name).map_err(nowhere)?,
        None => AllPositions::new(),
    };
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let io = io.map_err(|e| nowhere(Error::io("starting", "the I/O threads", &e)))?;

    let mut splits: HashMap<NodeIndex, Vec<Box<dyn Split>>> = HashMap::new();
    for n in plan.graph.node_indices() {
        let node = &plan.graph[n];
        if let Work::Source(source) = &node.work {
            let from = positions.get(&node.name).cloned().unwrap_or_default();
            let _io = io.enter();
            splits.insert(n, source.splits(&from).map_err(|e| (Some(node.name.clone()), e))?);
        }
    }
    let machine = Machine { threads: options.threads };
    let schedule = schedule(&plan, machine, &|n| splits.get(&n).map(Vec::len));

    let scratch = options.scratch.join(format!("selvedge-{}", options.run));
    std::fs::create_dir_all(&scratch).map_err(|e| nowhere(Error::io("making", scratch.display(), &e)))?;
    let budget = Budget::new(options.memory, &plan, &schedule);
    let memory = Memory::new(budget.state);
    let stop = Stop::new();
    let ledger = Arc::new(Ledger {
        nodes: plan.graph.node_weights().map(|n| NodeLedger::new(n.inputs.len(), n.outputs.len())).collect(),
        edges: plan.graph.edge_indices().map(|_| EdgeLedger::default()).collect(),
    });

    let mut running = Running {
        plan: Arc::new(plan),
        schedule,
        ledger,
        stop,
        memory,
        threads: vec![],
        sinks: vec![],
        positions,
        scratch,
        started,
        started_at,
        _io: io,
        options,
    };
    match running.spawn(splits, budget.queue) {
        Ok(()) => Ok(running),
        Err(e) => {
            // Threads that did start must not outlive a run that did not.
            running.stop.halt();
            running.threads.drain(..).for_each(|t| _ = t.join());
            let _ = std::fs::remove_dir_all(&running.scratch);
            Err(nowhere(e))
        }
    }
}

/// How the memory of a run is shared out.
struct Budget {
    /// For each queue.
    queue: u64,
    /// For the state of all nodes.
    state: u64,
}

impl Budget {
    fn new(memory: u64, plan: &Plan, schedule: &Schedule) -> Budget {
        let threads: usize = schedule.stages.iter().map(|s| s.instances).sum();
        let left = memory.saturating_sub(PROCESS_BYTES + THREAD_BYTES * threads as u64).max(memory / 4);
        let queues: usize = schedule
            .stages
            .iter()
            .filter(|s| plan.graph.edges_directed(s.nodes[0], Incoming).next().is_some())
            .map(|s| s.instances)
            .sum();
        let queue = (left / 8 / queues.max(1) as u64).clamp(*QUEUE_BYTES.start(), *QUEUE_BYTES.end());
        Budget { queue, state: left.saturating_sub(queue * queues as u64).max(left / 4) }
    }
}

impl Running {
    fn spawn(&mut self, mut splits: HashMap<NodeIndex, Vec<Box<dyn Split>>>, queue_bytes: u64) -> Result<()> {
        let plan = self.plan.clone();
        let graph = &plan.graph;
        for n in graph.node_indices() {
            if let Work::Sink(sink) = &graph[n].work {
                self.sinks.push((n, sink.clone()));
            }
        }
        // A queue for each instance where rows are exchanged by key, else one for all instances of the stage.
        let mut senders: Vec<Vec<QueueSender>> = vec![];
        let mut receivers: Vec<Vec<QueueReceiver>> = vec![];
        for stage in &self.schedule.stages {
            let keyed = matches!(graph[stage.nodes[0]].partitioning, Partitioning::Keys(_));
            let count = if keyed { stage.instances } else { 1 };
            let limit = if keyed { queue_bytes } else { queue_bytes * stage.instances as u64 };
            let (tx, rx) = (0..count).map(|_| queue(limit, &self.stop)).unzip();
            senders.push(tx);
            receivers.push(rx);
        }

        let stages = self.schedule.stages.clone();
        for (s, stage) in stages.iter().enumerate() {
            let head = stage.nodes[0];
            let shared = Arc::new(Mutex::new(VecDeque::from(splits.remove(&head).unwrap_or_default())));
            let ports = graph[head].inputs.len();
            let mut from = vec![0; ports];
            for e in graph.edges_directed(head, Incoming) {
                from[e.weight().to] += self.schedule.instances(e.source());
            }
            for instance in 0..stage.instances {
                let templates = stage
                    .nodes
                    .iter()
                    .map(|&n| self.template(n, instance, &senders))
                    .collect::<Result<Vec<NodeTemplate>>>()?;
                let head = if ports == 0 {
                    Head::Splits(shared.clone())
                } else {
                    let own = &receivers[s];
                    let receiver = own[instance.min(own.len() - 1)].clone();
                    let alone = own.len() == stage.instances;
                    Head::Queue { receiver, senders: from.clone(), alone }
                };
                let (ledger, stop, io) = (self.ledger.clone(), self.stop.clone(), self._io.handle().clone());
                let name = format!("{}-{instance}", graph[stage.nodes[0]].name);
                let span = tracing::info_span!("stage", node = %graph[stage.nodes[0]].name, instance);
                let thread = std::thread::Builder::new().name(name).spawn(move || {
                    let _io = io.enter();
                    let _span = span.entered();
                    stage::run(templates, head, ledger, stop)
                });
                self.threads.push(thread.map_err(|e| Error::io("starting", "a thread", &e))?);
            }
        }
        Ok(())
    }

    fn template(&self, n: NodeIndex, instance: usize, senders: &[Vec<QueueSender>]) -> Result<NodeTemplate> {
        let graph = &self.plan.graph;
        let node = &graph[n];
        let stage = &self.schedule.stages[self.schedule.stage_of[n.index()]];
        let mut targets: Vec<Vec<Target>> = node.outputs.iter().map(|_| vec![]).collect();
        for e in graph.edges_directed(n, Outgoing) {
            let (edge, port) = (e.id().index(), e.weight().to);
            let queues = &senders[self.schedule.stage_of[e.target().index()]];
            let target = match self.schedule.delivery(e.id()) {
                Delivery::Chained => {
                    let at = stage.nodes.iter().position(|&m| m == e.target());
                    let at = at.ok_or_else(|| Error::bug("an edge is chained to a node of another stage"))?;
                    Target::Chained { edge, at, port }
                }
                Delivery::Shared => Target::Shared { edge, port, queue: queues[0].clone() },
                Delivery::Exchange => {
                    let Partitioning::Keys(keys) = &graph[e.target()].partitioning else {
                        return Err(Error::bug("rows are exchanged with a node that has no keys"));
                    };
                    let hasher = Arc::new(RowHasher::new(&node.outputs[e.weight().from].schema, &keys[port])?);
                    Target::Exchange { edge, port, hasher, queues: queues.clone() }
                }
            };
            targets[e.weight().from].push(target);
        }
        let outputs = node.outputs.iter().zip(targets);
        let outputs = outputs.map(|(o, targets)| OutputTemplate { schema: o.schema.clone(), targets: targets.into() });
        let work = match &node.work {
            Work::Source(s) => Work::Source(s.clone()),
            Work::Map(m) => Work::Map(m.clone()),
            Work::Transform(make) => Work::Transform(make.clone()),
            Work::Sink(s) => Work::Sink(s.clone()),
        };
        let task = Task {
            run: self.options.run.clone(),
            node: node.name.clone(),
            instance,
            instances: stage.instances,
            memory: self.memory.clone(),
            scratch: self.scratch.clone(),
            batch_rows: BATCH_ROWS,
            batch_bytes: BATCH_BYTES,
        };
        Ok(NodeTemplate {
            index: n.index(),
            work,
            task,
            outputs: outputs.collect(),
            inputs: node.inputs.len(),
            schemas_in: node.inputs.iter().map(|i| i.schema.clone()).collect(),
        })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The live account.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Waits for the end, checks the ledger, commits, and reports.
    pub fn join(mut self) -> Report {
        let mut finished = vec![];
        let mut whole = true;
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(Some(f)) => finished.push(f),
                // A stage catches its own panics; what escapes it is the engine's.
                Ok(None) | Err(_) => whole = false,
            }
        }
        let mut failure = self.stop.failure();
        let mut committed = vec![];
        let mut imbalances = vec![];
        let mut pending: HashMap<usize, Vec<Pending>> = HashMap::new();
        for f in &finished {
            f.pending.iter().for_each(|(n, p)| pending.entry(*n).or_default().push(p.clone()));
        }
        let status = if failure.is_some() {
            Status::Failed
        } else if !whole || self.stop.stopping() {
            Status::Stopped
        } else {
            imbalances = self.imbalances();
            match imbalances.is_empty() {
                false => Status::Unbalanced,
                true if self.stop.draining() => Status::Stopped,
                true => match self.commit(&pending, &finished, &mut committed) {
                    Ok(()) => Status::Done,
                    Err(f) => {
                        failure = Some(f);
                        Status::Failed
                    }
                },
            }
        };
        if status != Status::Done {
            for (n, sink) in &self.sinks {
                let name = &self.plan.graph[*n].name;
                if let Some(pending) = pending.get(&n.index()).filter(|_| !committed.contains(name)) {
                    sink.abort(pending);
                }
            }
        }
        let _ = std::fs::remove_dir_all(&self.scratch);
        self.report(status, failure, imbalances, committed)
    }

    fn imbalances(&self) -> Vec<String> {
        let graph = &self.plan.graph;
        let ends = |e: usize| match graph.edge_endpoints(EdgeIndex::new(e)) {
            Some((from, to)) => (to.index(), format!("the edge from `{}` to `{}`", graph[from].name, graph[to].name)),
            None => (0, String::new()),
        };
        let found = self.ledger.imbalances(ends);
        found.into_iter().map(|(n, what)| format!("`{}`: {what}", graph[NodeIndex::new(n)].name)).collect()
    }

    /// All writers have flushed. From the first commit on the run can only go forward.
    fn commit(
        &self,
        pending: &HashMap<usize, Vec<Pending>>,
        finished: &[Finished],
        committed: &mut Vec<String>,
    ) -> std::result::Result<(), Failure> {
        let commit = Commit { run: self.options.run.clone(), epoch: EPOCH };
        let _io = self._io.enter();
        for (n, sink) in &self.sinks {
            let none = vec![];
            sink.commit(&commit, pending.get(&n.index()).unwrap_or(&none))
                .map_err(|error| Failure { node: Some(n.index()), error })?;
            committed.push(self.plan.graph[*n].name.clone());
        }
        let Some(state) = &self.options.state else { return Ok(()) };
        let mut all = self.positions.clone();
        for (n, positions) in finished.iter().flat_map(|f| &f.positions) {
            all.entry(self.plan.graph[NodeIndex::new(*n)].name.clone()).or_default().extend(positions.clone());
        }
        if all != self.positions {
            positions::save(state, &self.plan.name, &all).map_err(|error| Failure { node: None, error })?;
        }
        Ok(())
    }

    fn report(self, status: Status, failure: Option<Failure>, imbalances: Vec<String>, committed: Vec<String>) -> Report {
        let graph = &self.plan.graph;
        let nodes = self.plan.in_order().into_iter().map(|n| {
            let stage = self.schedule.stage_of[n.index()];
            report::node(&graph[n], (stage, self.schedule.stages[stage].instances), &self.ledger.nodes[n.index()])
        });
        let edges = graph.edge_references().map(|e| {
            let (from, to) = (&graph[e.source()], &graph[e.target()]);
            let (out, port) = (&from.outputs[e.weight().from].name, &to.inputs[e.weight().to].port);
            let name = |node: &str, port: &str| format!("{node}.{port}");
            let ledger = &self.ledger.edges[e.id().index()];
            report::edge(name(&from.name, out), name(&to.name, port), self.schedule.delivery(e.id()), ledger)
        });
        Report {
            report_version: 1,
            selvedge_version: env!("CARGO_PKG_VERSION").into(),
            graph: self.plan.name.clone(),
            profile: self.plan.profile.clone(),
            run: self.options.run.clone(),
            status,
            started_at: self.started_at,
            seconds: self.started.elapsed().as_secs_f64(),
            threads: self.options.threads,
            memory_bytes: self.options.memory,
            state_peak_bytes: self.memory.peak(),
            process_peak_bytes: process_peak(),
            nodes: nodes.collect(),
            edges: edges.collect(),
            error: failure.map(|f| ErrorReport {
                node: f.node.map(|n| graph[NodeIndex::new(n)].name.clone()).unwrap_or_default(),
                fault: format!("{:?}", f.error.fault).to_lowercase(),
                retry: f.error.retry,
                message: f.error.message,
                help: f.error.help,
            }),
            imbalances,
            committed,
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The high-water mark of the resident memory of this process, as Linux keeps it.
fn process_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
