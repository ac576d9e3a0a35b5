//! From a schedule to what each thread is started with: instances of nodes, tied to each other by queues.

use crate::checkpoint::NodeState;
use crate::queue::{QueueReceiver, QueueSender, queue};
use crate::stage::{Head, NodeTemplate, OutputTemplate, Remembered, Target};
use crate::stop::{Failure, Stop};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use selvedge_node::{Error, Partitioning, Result, Split, Task, Wake, Work};
use selvedge_plan::{Delivery, Plan, Schedule};
use selvedge_state::RowHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

/// What the process needs besides queues and state: for itself, and for each thread (buffers of readers and writers, batches
/// at work, what the allocator keeps). Measured on the benchmark graphs, which have 4 to 10 threads.
const PROCESS_BYTES: u64 = 112 << 20;
const THREAD_BYTES: u64 = 21 << 20;
/// A queue above this only adds latency; one below holds less than any batch, so that sender and receiver take turns.
const QUEUE_BYTES: std::ops::RangeInclusive<u64> = (16 << 10)..=(8 << 20);

/// How the memory of a run is shared out, in bytes.
pub(crate) struct Budget {
    /// For each queue.
    pub queue: u64,
    /// For the state of all nodes.
    pub state: u64,
}

impl Budget {
    pub fn new(memory: u64, plan: &Plan, schedule: &Schedule) -> Budget {
        let left = memory.saturating_sub(fixed(schedule)).max(memory / 4);
        let fed = |n: NodeIndex| plan.graph.edges_directed(n, Incoming).next().is_some();
        let queues: usize = schedule.stages.iter().filter(|s| fed(s.nodes[0])).map(|s| s.instances).sum();
        let queue = (left / 8 / queues.max(1) as u64).clamp(*QUEUE_BYTES.start(), *QUEUE_BYTES.end());
        Budget { queue, state: left.saturating_sub(queue * queues as u64).max(left / 4) }
    }
}

/// What the process takes before any queue or state, in bytes.
pub(crate) fn fixed(schedule: &Schedule) -> u64 {
    let threads: usize = schedule.stages.iter().map(|s| s.instances).sum();
    PROCESS_BYTES + THREAD_BYTES * threads as u64
}

/// How many instances of each parallel stage the memory has room for, if not for the `wanted` ones. State keeps a quarter.
/// Two are always left: below that, source and sink of one thread would wait for each other's disk.
pub(crate) fn affordable(memory: u64, schedule: &Schedule, wanted: usize) -> Option<usize> {
    let room = (memory - memory / 4).saturating_sub(PROCESS_BYTES) / THREAD_BYTES;
    let parallel = schedule.stages.iter().filter(|s| s.instances == wanted).count().max(1);
    let others: usize = schedule.stages.iter().map(|s| s.instances).filter(|n| *n != wanted).sum();
    let instances = (room as usize).saturating_sub(others) / parallel;
    (instances < wanted).then(|| instances.max(2)).filter(|n| *n < wanted)
}

/// One thread to be.
pub(crate) struct Prepared {
    /// Node at the head of the stage.
    pub head_node: NodeIndex,
    pub instance: usize,
    pub templates: Vec<NodeTemplate>,
    pub head: Head,
}

/// What all threads are given alike.
pub(crate) struct Common<'a> {
    /// Bytes for each queue.
    pub queue: u64,
    /// There are barriers.
    pub epochs: bool,
    pub task: &'a Task,
    pub stop: &'a Arc<Stop>,
    /// What the nodes remember of an earlier run.
    pub states: &'a BTreeMap<String, NodeState>,
}

/// Prepares every thread of a schedule; nothing is started.
pub(crate) fn prepare(
    plan: &Plan,
    schedule: &Schedule,
    mut splits: HashMap<NodeIndex, Vec<Box<dyn Split>>>,
    common: &Common,
) -> std::result::Result<Vec<Prepared>, Failure> {
    let Common { queue: queue_bytes, epochs, task, stop, states } = *common;
    let graph = &plan.graph;
    // A queue for each instance where rows are exchanged by key, else one for all instances of the stage.
    let mut senders: Vec<Vec<QueueSender>> = vec![];
    let mut receivers: Vec<Vec<QueueReceiver>> = vec![];
    for stage in &schedule.stages {
        let keyed = matches!(graph[stage.nodes[0]].partitioning, Partitioning::Keys(_));
        // Barriers and watermarks must come to each instance in its own order.
        let own = keyed || epochs;
        let count = if own { stage.instances } else { 1 };
        let limit = if own { queue_bytes } else { queue_bytes * stage.instances as u64 };
        let (tx, rx) = (0..count).map(|_| queue(limit, stop)).unzip();
        senders.push(tx);
        receivers.push(rx);
    }

    let channels = channels(plan, schedule);
    let mut prepared = vec![];
    for (stage, own) in schedule.stages.iter().zip(receivers) {
        let head_node = stage.nodes[0];
        let own_splits = splits.remove(&head_node).unwrap_or_default();
        let mut streams: Vec<Vec<Box<dyn Split>>> = (0..stage.instances).map(|_| vec![]).collect();
        let mut shared = VecDeque::new();
        for (i, split) in own_splits.into_iter().enumerate() {
            match graph[head_node].unbounded {
                true => streams[i % stage.instances].push(split),
                false => shared.push_back(split),
            }
        }
        let shared = Arc::new(Mutex::new(shared));
        let mut from = vec![0; graph[head_node].inputs.len()];
        for e in graph.edges_directed(head_node, Incoming) {
            from[e.weight().to] += schedule.instances(e.source());
        }
        for (instance, stream) in streams.into_iter().enumerate() {
            let wake = Wake::default();
            let template = |&n: &NodeIndex| {
                let (node, wake) = (graph[n].name.clone(), wake.clone());
                let task = Task { node, instance, instances: stage.instances, wake, ..task.clone() };
                template(plan, schedule, n, task, &senders, &channels, states)
                    .map_err(|error| Failure { node: Some(n.index()), error })
            };
            let templates = stage.nodes.iter().map(template).collect::<std::result::Result<_, _>>()?;
            let head = if let Work::Source(source) = &graph[head_node].work {
                stop.may_sleep(wake);
                match graph[head_node].unbounded {
                    true => Head::Stream(source.clone(), stream),
                    false => Head::Splits(shared.clone()),
                }
            } else {
                let receiver = own[instance.min(own.len() - 1)].clone();
                Head::Queue { receiver, senders: from.clone(), alone: own.len() == stage.instances }
            };
            prepared.push(Prepared { head_node, instance, templates, head });
        }
    }
    Ok(prepared)
}

/// By edge: the number that its first sender has among all senders of the stage that it enters.
fn channels(plan: &Plan, schedule: &Schedule) -> Vec<usize> {
    let mut first = vec![0; plan.graph.edge_count()];
    for stage in &schedule.stages {
        let mut next = 0;
        for e in plan.graph.edges_directed(stage.nodes[0], Incoming) {
            first[e.id().index()] = next;
            next += schedule.instances(e.source());
        }
    }
    first
}

/// What instances of an earlier run have left for this one.
fn remembered(state: &NodeState, task: &Task) -> Vec<Remembered> {
    let all = state.instances.iter().cloned();
    match (state.instances.len(), task.instances) {
        (before, now) if before == now => {
            all.skip(task.instance).take(1).map(|parts| Remembered { parts, share: None }).collect()
        }
        (_, 1) => all.map(|parts| Remembered { parts, share: None }).collect(),
        (_, now) => all.map(|parts| Remembered { parts, share: Some((task.instance, now)) }).collect(),
    }
}

fn template(
    plan: &Plan,
    schedule: &Schedule,
    n: NodeIndex,
    task: Task,
    senders: &[Vec<QueueSender>],
    channels: &[usize],
    states: &BTreeMap<String, NodeState>,
) -> Result<NodeTemplate> {
    let graph = &plan.graph;
    let node = &graph[n];
    let stage = &schedule.stages[schedule.stage_of[n.index()]];
    let mut targets: Vec<Vec<Target>> = node.outputs.iter().map(|_| vec![]).collect();
    for e in graph.edges_directed(n, Outgoing) {
        let (edge, port) = (e.id().index(), e.weight().to);
        let queues = senders[schedule.stage_of[e.target().index()]].clone();
        let channel = channels[edge] + task.instance;
        let target = match schedule.delivery(e.id()) {
            Delivery::Chained => {
                let at = stage.nodes.iter().position(|&m| m == e.target());
                let at = at.ok_or_else(|| Error::bug("an edge is chained to a node of another stage"))?;
                Target::Chained { edge, at, port }
            }
            // Not all instances begin with the same receiver.
            Delivery::Shared => Target::Shared { edge, port, channel, queues, turn: AtomicUsize::new(task.instance) },
            Delivery::Exchange => {
                let Partitioning::Keys(keys) = &graph[e.target()].partitioning else {
                    return Err(Error::bug("rows are exchanged with a node that has no keys"));
                };
                let hasher = Arc::new(RowHasher::new(&node.outputs[e.weight().from].schema, &keys[port])?);
                Target::Exchange { edge, port, channel, hasher, queues }
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
    Ok(NodeTemplate {
        index: n.index(),
        remembered: states.get(&node.name).map_or(vec![], |state| remembered(state, &task)),
        work,
        task,
        outputs: outputs.collect(),
        inputs: node.inputs.len(),
        schemas_in: node.inputs.iter().map(|i| i.schema.clone()).collect(),
    })
}
