//! The schedule: which nodes share a thread, how many instances there are, and how rows go from one to the next.

use crate::{Node, Plan};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::{EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;
use selvedge_node::{Partitioning, Role, Work};

/// What there is to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Parallel instances of a node that can have several.
    pub threads: usize,
}

/// How many nodes may stand behind one another on a thread. Each hands its rows on by a call, so that a chain is as deep as
/// the thread's stack must be: one of some thousand nodes would overflow it.
const CHAIN: usize = 64;

/// How rows travel along an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// A call on the same thread.
    Chained,
    /// Through a queue that all instances of the receiver share.
    Shared,
    /// Through a queue for each instance, chosen by the hash of the key columns.
    Exchange,
}

/// Nodes that run on one thread together: a head, which reads splits or a queue, and what is chained behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The head first; every other one after the node it is chained to.
    pub nodes: Vec<NodeIndex>,
    /// Threads, each with an instance of every node of the stage.
    pub instances: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub stages: Vec<Stage>,
    /// By node index.
    pub stage_of: Vec<usize>,
    /// By edge index.
    pub deliveries: Vec<Delivery>,
}

impl Schedule {
    pub fn delivery(&self, edge: EdgeIndex) -> Delivery {
        self.deliveries[edge.index()]
    }

    pub fn instances(&self, node: NodeIndex) -> usize {
        self.stages[self.stage_of[node.index()]].instances
    }
}

/// Lays a plan out on a machine. `splits` tells how many parts a source has, where that is known: a source of one part
/// cannot feed a chain on several threads, so what follows it gets threads of its own.
pub fn schedule(plan: &Plan, machine: Machine, splits: &dyn Fn(NodeIndex) -> Option<usize>) -> Schedule {
    let threads = machine.threads.max(1);
    let graph = &plan.graph;
    let order = plan.in_order();
    let before_in_order = ancestors_of_in_order(plan);

    let mut stages: Vec<Stage> = vec![];
    let mut stage_of = vec![usize::MAX; graph.node_count()];
    // Place of a node in its chain.
    let mut depth = vec![1; graph.node_count()];
    // Whether the rows that leave a node come in an order that must be kept.
    let mut ordered = vec![false; graph.node_count()];

    for &n in &order {
        let node = &graph[n];
        let mut incoming = graph.edges_directed(n, Incoming);
        let (first, only) = (incoming.next(), incoming.next().is_none());
        let input_ordered = only && first.is_some_and(|e| ordered[e.source().index()]);
        let serial = before_in_order[n.index()] || input_ordered;
        let instances = match (&node.partitioning, node.role) {
            (Partitioning::Single | Partitioning::InOrder, _) => 1,
            _ if serial => 1,
            (_, Role::Source) => splits(n).unwrap_or(threads).clamp(1, threads),
            _ => threads,
        };
        // What takes rows one by one, or in their order, also sends them on in it.
        let keeps = matches!(node.work, Work::Map(_)) || node.partitioning == Partitioning::InOrder;
        ordered[n.index()] = node.ordered || (input_ordered && keeps);

        let chain = first.map(|e| e.source().index()).filter(|before| only && chains(node) && depth[*before] < CHAIN);
        match chain.filter(|before| stages[stage_of[*before]].instances == instances) {
            Some(before) => {
                stages[stage_of[before]].nodes.push(n);
                stage_of[n.index()] = stage_of[before];
                depth[n.index()] = depth[before] + 1;
            }
            None => {
                stage_of[n.index()] = stages.len();
                stages.push(Stage { nodes: vec![n], instances });
            }
        }
    }

    let deliveries = graph
        .edge_references()
        .map(|e| {
            let (from, to) = (stage_of[e.source().index()], stage_of[e.target().index()]);
            let keyed = matches!(graph[e.target()].partitioning, Partitioning::Keys(_));
            match keyed && stages[to].instances > 1 {
                _ if from == to => Delivery::Chained,
                true => Delivery::Exchange,
                false => Delivery::Shared,
            }
        })
        .collect();
    Schedule { stages, stage_of, deliveries }
}

/// Whether a node may run on the thread of the node before it.
fn chains(node: &Node) -> bool {
    match node.work {
        Work::Map(_) => true,
        // A sink that takes any row from anyone writes on the thread that made the row.
        Work::Sink(_) => node.partitioning == Partitioning::Any,
        Work::Source(_) | Work::Transform(_) => false,
    }
}

/// Nodes whose rows must keep their order because a node further on depends on it.
fn ancestors_of_in_order(plan: &Plan) -> Vec<bool> {
    let graph = &plan.graph;
    let mut marked = vec![false; graph.node_count()];
    for &n in plan.in_order().iter().rev() {
        let needs = graph[n].partitioning == Partitioning::InOrder;
        marked[n.index()] = needs || graph.neighbors_directed(n, Outgoing).any(|next| marked[next.index()]);
    }
    marked
}
