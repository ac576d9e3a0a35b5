//! A run from plan to report: schedule, threads, join, check, commit.

mod publish;

use crate::build::{self, Budget, Common, prepare};
use crate::checkpoint::{Checkpoint, Store, Unfinished};
use crate::epochs::Epochs;
use crate::ledger::{EdgeLedger, Ends, Ledger, NodeLedger};
use crate::report::{self, ErrorReport, Report, Status};
use crate::resume::{self, by_node};
use crate::scratch::Scratch;
use crate::stage::{self, panicked};
use crate::stop::{Failure, Stop};
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use publish::Published;
use selvedge_node::{BATCH_BYTES, BATCH_ROWS, Error, Memory, Result, Sink, Split, Task, Wake, Work};
use selvedge_plan::{Machine, Plan, Schedule, schedule};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    pub threads: usize,
    /// Budget of the whole process, in bytes.
    pub memory: u64,
    /// Where checkpoints are kept, by the graph's name. `None`: every run starts from the start and nothing is remembered.
    pub state: Option<PathBuf>,
    /// Spill files go into a folder of the run below this one.
    pub scratch: PathBuf,
    /// Sources that never end are read until they have caught up.
    pub once: bool,
    /// How long a run that ends by itself works at the least before its next checkpoint. Zero: it makes one whenever it can, whatever that
    /// costs.
    pub checkpoint_every: Duration,
    /// Names the run in commits and in the report; must be unique.
    pub run: String,
}

/// 512 MiB: what a small container has, and enough for any amount of rows.
pub fn default_memory() -> u64 {
    512 << 20
}

/// A run at work. Dropped without [`join`](Running::join), it is stopped.
pub struct Running {
    plan: Arc<Plan>,
    schedule: Schedule,
    options: Options,
    ledger: Arc<Ledger>,
    stop: Arc<Stop>,
    memory: Memory,
    threads: Vec<JoinHandle<bool>>,
    epochs: Arc<Epochs>,
    committed: Vec<String>,
    store: Option<Store>,
    /// The last one.
    checkpoint: Checkpoint,
    /// It was told to end, and has, with all that its nodes remember in the checkpoint.
    parked: bool,
    _scratch: Scratch,
    warnings: Vec<String>,
    started: Instant,
    started_at: f64,
    io: tokio::runtime::Runtime,
}

/// Stops a run from another thread: a signal handler, a dashboard.
#[derive(Clone)]
pub struct Stopper {
    stop: Arc<Stop>,
    /// Of a run that can be resumed.
    epochs: Option<Arc<Epochs>>,
}

impl Stopper {
    /// What is on its way arrives; then the report. A run that can be resumed ends with a checkpoint, and its nodes keep what
    /// they hold; of any other the sources end where they are, and the nodes send what they hold.
    pub fn drain(&self) {
        match &self.epochs {
            Some(epochs) => epochs.park(),
            None => self.stop.drain(),
        }
    }
    /// Everything stops at once.
    pub fn halt(&self) {
        self.stop.halt();
    }
}

/// Schedules a plan and starts its threads. An error is the report of a run that came to nothing.
pub fn start(plan: impl Into<Arc<Plan>>, options: Options) -> std::result::Result<Running, Box<Report>> {
    let (started, started_at) = (Instant::now(), now());
    let plan = plan.into();
    begin(&plan, &options, started, started_at).map_err(|failure| {
        let report = report_of(&plan, &options, Status::Failed, Some(failure), vec![], vec![]);
        Box::new(Report { started_at, seconds: started.elapsed().as_secs_f64(), ..report })
    })
}

fn begin(
    plan: &Arc<Plan>,
    options: &Options,
    started: Instant,
    started_at: f64,
) -> std::result::Result<Running, Failure> {
    let nowhere = |error: Error| Failure { node: None, error };
    let somewhere = |(node, error): (Option<usize>, Error)| Failure { node, error };
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let io = io.map_err(|e| nowhere(Error::io("starting", "the I/O threads", &e)))?;
    let store = options.state.as_ref().map(|state| Store::open(state, &plan.name)).transpose().map_err(nowhere)?;
    let mut last = store.as_ref().map_or(Ok(Checkpoint::default()), Store::load).map_err(nowhere)?;
    let mut warnings = vec![];
    // A run that ends by itself is under way from its first checkpoint until it has published.
    let unfinished = match plan.unbounded() || !plan.resumable() {
        true => None,
        false => Some(guarded_anywhere(|| resume::version(plan, options.threads)).map_err(somewhere)?),
    };
    if let (Some(store), Some(cut)) = (&store, &last.unfinished) {
        let run = last.run.clone();
        if unfinished.as_ref() == Some(&cut.of) {
            warnings.push(format!("the run `{run}` was cut short: this one goes on from its last checkpoint"));
        } else if cut.decided {
            let _io = io.enter();
            last = guarded_anywhere(|| resume::settle(plan, store, last)).map_err(somewhere)?;
            warnings.push(format!(
                "the run `{run}` was cut short while it published: that was finished first, and this one is another"
            ));
        } else {
            let _io = io.enter();
            last = guarded(|| resume::anew(plan, store, last)).map_err(nowhere)?;
            warnings.push(format!(
                "the run `{run}` was cut short, and the graph, its threads or what it reads have changed: this one begins anew"
            ));
        }
    }
    resume::may_repeat(plan, &last).map_err(nowhere)?;
    warnings.extend(resume::fits(plan, &last).map_err(somewhere)?);
    if last.unfinished.is_none() {
        let _io = io.enter();
        guarded_anywhere(|| resume::recommit(plan, &last)).map_err(somewhere)?;
    }

    let mut splits: HashMap<NodeIndex, Vec<Box<dyn Split>>> = HashMap::new();
    for n in plan.graph.node_indices() {
        let node = &plan.graph[n];
        if let Work::Source(source) = &node.work {
            let from = last.positions.get(&node.name).cloned().unwrap_or_default();
            let _io = io.enter();
            let found = guarded(|| source.splits(&from));
            let mut found = found.map_err(|error| Failure { node: Some(n.index()), error })?;
            if let Some(read) = last.read.get(&node.name) {
                let parts = found.len();
                found.retain(|split| !read.contains(&split.name()));
                if last.unfinished.is_some() && parts - found.len() != read.len() {
                    let error = Error::world("it is cut into other parts than in the run that was cut short");
                    let help = "have that run forgotten, and begin anew: `selvedge bookmark reset`";
                    return Err(Failure { node: Some(n.index()), error: error.help(help) });
                }
            }
            splits.insert(n, found);
        }
    }
    // More parts of a stream may come up at any time.
    let parts = |n: NodeIndex| splits.get(&n).filter(|_| !plan.graph[n].unbounded).map(Vec::len);
    let lay_out = |threads| schedule(plan, Machine { threads }, &parts);
    let mut schedule = lay_out(options.threads);
    if let Some(fewer) = build::affordable(options.memory, &schedule, options.threads) {
        let needed = build::fixed(&schedule) / 3 * 4;
        schedule = lay_out(fewer);
        warnings.push(format!(
            "{} threads a stage instead of {}: all of them need about {} MiB (--memory)",
            fewer,
            options.threads,
            needed >> 20
        ));
    }
    let (fixed, budget) = (build::fixed(&schedule), Budget::new(options.memory, plan, &schedule));
    if fixed > options.memory {
        warnings.push(format!(
            "the process itself needs about {} MiB, more than the --memory of {} MiB; only state and queues are held to {} MiB",
            fixed >> 20,
            options.memory >> 20,
            options.memory >> 22
        ));
    }
    let scratch = Scratch::new(&options.scratch, &options.run).map_err(nowhere)?;
    let task = Task {
        run: options.run.clone(),
        node: String::new(),
        instance: 0,
        instances: 1,
        memory: Memory::new(budget.state),
        scratch: scratch.path().to_path_buf(),
        batch_rows: BATCH_ROWS,
        batch_bytes: BATCH_BYTES,
        wake: Wake::default(),
    };
    let stop = Stop::new();
    let epochs = plan.unbounded() || store.is_some() && plan.resumable();
    let common = Common { queue: budget.queue, epochs, task: &task, stop: &stop, states: &last.nodes };
    let prepared = prepare(plan, &schedule, splits, &common)?;
    let ledger = Arc::new(Ledger {
        nodes: plan.graph.node_weights().map(|n| NodeLedger::new(n.inputs.len(), n.outputs.len())).collect(),
        edges: plan.graph.edge_indices().map(|_| EdgeLedger::default()).collect(),
    });
    resume::restore(plan, &ledger, &last);

    // What a run that goes on flushes is numbered on.
    let first = if last.unfinished.is_some() { last.epoch } else { 0 };
    let epochs = Epochs::new(prepared.len(), first, &stop);
    let run = stage::Run {
        ledger: ledger.clone(),
        stop: stop.clone(),
        epochs: epochs.clone(),
        live: plan.unbounded(),
        once: options.once,
        states: store.as_ref().filter(|_| plan.resumable()).map(|store| store.states().into()),
    };
    let mut running = Running {
        plan: plan.clone(),
        schedule,
        options: options.clone(),
        ledger,
        stop,
        memory: task.memory,
        threads: vec![],
        epochs,
        committed: vec![],
        store,
        checkpoint: begun(last, unfinished, &options.run),
        parked: false,
        _scratch: scratch,
        warnings,
        started,
        started_at,
        io,
    };
    for p in prepared {
        let (run, io) = (run.clone(), running.io.handle().clone());
        let node = &plan.graph[p.head_node].name;
        let span = tracing::info_span!("stage", node = %node, instance = p.instance);
        let thread = std::thread::Builder::new().name(format!("{node}-{}", p.instance)).spawn(move || {
            let _io = io.enter();
            let _span = span.entered();
            stage::run(p.templates, p.head, run)
        });
        // Those that have started are stopped by the drop of `running`.
        let thread = thread.map_err(|e| nowhere(Error::io("starting", "a thread", &e).help("lower --threads")))?;
        running.threads.push(thread);
    }
    Ok(running)
}

/// The checkpoint that a run begins with; `unfinished`: it ends by itself and can be gone on from.
fn begun(last: Checkpoint, unfinished: Option<String>, run: &str) -> Checkpoint {
    match unfinished {
        Some(of) if last.unfinished.is_none() => {
            let before = last.positions.clone();
            Checkpoint {
                run: run.to_string(),
                epoch: 0,
                unfinished: Some(Unfinished { of, before, decided: false }),
                pending: Default::default(),
                ..last
            }
        }
        _ => last,
    }
}

/// As [`guarded`], where the call knows which node it is about.
fn guarded_anywhere<T>(
    call: impl FnOnce() -> std::result::Result<T, (Option<usize>, Error)>,
) -> std::result::Result<T, (Option<usize>, Error)> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err((None, panicked(&*panic))))
}

/// Calls into a node on the engine's own thread: a panic there is the node's error too.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

impl Running {
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The live account.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub fn stopper(&self) -> Stopper {
        let epochs = (self.plan.unbounded() && self.resumable()).then(|| self.epochs.clone());
        Stopper { stop: self.stop.clone(), epochs }
    }

    /// Whether its checkpoints hold all that its nodes remember.
    fn resumable(&self) -> bool {
        self.store.is_some() && self.plan.resumable()
    }

    /// Waits for the end, checks the ledger, commits, and reports. Where the graph never ends, that is done again and again.
    pub fn join(mut self) -> Report {
        let lost = match self.plan.unbounded() {
            true => self.publish_epochs(),
            false if self.resumable() => self.keep_checkpoints(),
            false => None,
        };
        let mut whole = true;
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(ended) => whole &= ended,
                Err(panic) => self.stop.fail(Failure { node: None, error: panicked(&*panic) }),
            }
        }
        let all = self.epochs.rest();
        let pending = by_node(&all);
        let mut failure = self.stop.failure();
        let imbalances =
            lost.unwrap_or_else(|| if whole && failure.is_none() { self.imbalances(false) } else { vec![] });
        if self.parked {
            resume::keep(&self.plan, &self.ledger);
        }
        // A stream ends when it is told to: then what has arrived is published, as at any other time.
        let cut_short = self.stop.stopping() || self.stop.draining() && !self.plan.unbounded();
        let mut status = match () {
            () if failure.is_some() => Status::Failed,
            () if !imbalances.is_empty() => Status::Unbalanced,
            () if self.parked => Status::Done,
            () if !whole || cut_short => Status::Stopped,
            () => Status::Done,
        };
        let mut done = Published::default();
        if status == Status::Done
            && !self.parked
            && let Err(f) = match self.plan.unbounded() || !self.resumable() {
                true => self.commit(self.epochs.wanted() + 1, &all, None, &mut done),
                false => self.publish(&all, &mut done),
            }
        {
            failure = Some(f);
            status = Status::Failed;
        }
        if status != Status::Done {
            self.abort(&pending, &done);
            failure = self.leave(status).err().or(failure);
        }
        let mut committed = done.sinks;
        committed.extend(self.committed.iter().cloned());
        let committed = self.sinks().map(|(n, _)| self.plan.graph[n].name.clone()).filter(|n| committed.contains(n));
        let committed = committed.collect();
        let nodes = self.plan.in_order().into_iter().map(|n| {
            let stage = self.schedule.stage_of[n.index()];
            let place = (stage, self.schedule.stages[stage].instances);
            report::node(&self.plan.graph[n], place, &self.ledger.nodes[n.index()])
        });
        let edges = self.plan.graph.edge_references().map(|e| {
            let (from, to) = (&self.plan.graph[e.source()], &self.plan.graph[e.target()]);
            let (out, port) = (&from.outputs[e.weight().from].name, &to.inputs[e.weight().to].port);
            let name = |node: &str, port: &str| format!("{node}.{port}");
            let ledger = &self.ledger.edges[e.id().index()];
            report::edge(name(&from.name, out), name(&to.name, port), self.schedule.delivery(e.id()), ledger)
        });
        Report {
            started_at: self.started_at,
            seconds: self.started.elapsed().as_secs_f64(),
            state_peak_bytes: self.memory.peak(),
            nodes: nodes.collect(),
            edges: edges.collect(),
            warnings: self.warnings.clone(),
            ..report_of(&self.plan, &self.options, status, failure, imbalances, committed)
        }
    }

    /// What does not add up; of nodes that `may_hold` rows while a stream runs only the edges are checked.
    fn imbalances(&self, may_hold: bool) -> Vec<String> {
        let graph = &self.plan.graph;
        let ends = |e: petgraph::graph::EdgeReference<'_, selvedge_plan::Edge>| Ends {
            from: (e.source().index(), e.weight().from),
            to: (e.target().index(), e.weight().to),
        };
        let ends: Vec<Ends> = graph.edge_references().map(ends).collect();
        let holds = |n: usize| may_hold && matches!(graph[NodeIndex::new(n)].work, Work::Transform(_));
        let found = self.ledger.imbalances(&ends, holds);
        found.into_iter().map(|(n, what)| format!("`{}`: {what}", graph[NodeIndex::new(n)].name)).collect()
    }

    fn sinks(&self) -> impl Iterator<Item = (NodeIndex, &Arc<dyn Sink>)> {
        self.plan.graph.node_indices().filter_map(|n| match &self.plan.graph[n].work {
            Work::Sink(sink) => Some((n, sink)),
            _ => None,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.halt();
        self.threads.drain(..).for_each(|t| _ = t.join());
    }
}

/// A report without counts.
fn report_of(
    plan: &Plan,
    options: &Options,
    status: Status,
    failure: Option<Failure>,
    imbalances: Vec<String>,
    committed: Vec<String>,
) -> Report {
    Report {
        report_version: 1,
        selvedge_version: env!("CARGO_PKG_VERSION").into(),
        graph: plan.name.clone(),
        profile: plan.profile.clone(),
        run: options.run.clone(),
        status,
        started_at: 0.0,
        seconds: 0.0,
        threads: options.threads,
        memory_bytes: options.memory,
        state_peak_bytes: 0,
        process_peak_bytes: process_peak(),
        nodes: vec![],
        edges: vec![],
        error: failure.map(|f| ErrorReport {
            node: f.node.map(|n| plan.graph[NodeIndex::new(n)].name.clone()).unwrap_or_default(),
            fault: format!("{:?}", f.error.fault).to_lowercase(),
            retry: f.error.retry,
            message: f.error.message,
            help: f.error.help,
        }),
        imbalances,
        committed,
        warnings: vec![],
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The high-water mark of the resident memory of this process, as Linux keeps it.
pub fn process_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
