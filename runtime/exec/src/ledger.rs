//! The row ledger, live: what came in, what left and by which way, for every node and edge.

use crate::histogram::Histogram;
use selvedge_node::Watermark;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Sample rows kept for each reason.
pub(crate) const SAMPLES: usize = 5;
/// A reason is meant to be one of a few: beyond this many the rest is counted together, so that a node that puts data
/// into its reasons cannot eat the memory.
const REASONS: usize = 256;
const OTHER_REASONS: &str = "(other reasons)";

/// Rows, batches and bytes that passed one place.
#[derive(Debug, Default)]
pub struct Flow {
    rows: AtomicU64,
    batches: AtomicU64,
    bytes: AtomicU64,
}

impl Flow {
    pub(crate) fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

/// Rows of one reason and some of them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reason {
    pub rows: u64,
    pub samples: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Reasons {
    pub dropped: BTreeMap<String, Reason>,
    pub altered: BTreeMap<String, Reason>,
    pub rejected: BTreeMap<String, Reason>,
    pub absorbed: BTreeMap<String, Reason>,
    pub created: BTreeMap<String, Reason>,
    /// Counters of the node's own: values, not rows.
    pub counters: BTreeMap<String, Reason>,
}

/// Counts rows of a reason and asks for samples while some are wanted.
pub(crate) fn count(
    reasons: &mut BTreeMap<String, Reason>,
    reason: &str,
    rows: u64,
    samples: &dyn Fn(usize) -> Vec<String>,
) {
    let entry = entry(reasons, reason);
    entry.rows += rows;
    let wanted = SAMPLES.saturating_sub(entry.samples.len());
    if wanted > 0 {
        entry.samples.extend(samples(wanted).into_iter().take(wanted));
    }
}

/// The entry of a reason. Looks before it allocates: reasons come with every batch.
pub(crate) fn entry<'a>(reasons: &'a mut BTreeMap<String, Reason>, reason: &str) -> &'a mut Reason {
    let key = if reasons.contains_key(reason) || reasons.len() < REASONS { reason } else { OTHER_REASONS };
    if !reasons.contains_key(key) {
        reasons.insert(key.to_string(), Reason::default());
    }
    reasons.get_mut(key).unwrap_or_else(|| unreachable!("just inserted"))
}

/// One node's account, shared by its instances.
#[derive(Debug, Default)]
pub struct NodeLedger {
    /// By input port.
    pub ins: Vec<Flow>,
    /// By output port, `errors` last.
    pub outs: Vec<Flow>,
    busy: AtomicU64,
    blocked: AtomicU64,
    idle: AtomicU64,
    reasons: Mutex<Reasons>,
    /// Of a source: how far each of its parts has come in event time.
    marks: Mutex<BTreeMap<String, Watermark>>,
    /// Of a sink in a graph that never ends: from when a row could be read to when it was published.
    latency: Mutex<Histogram>,
}

impl NodeLedger {
    pub(crate) fn new(inputs: usize, outputs: usize) -> NodeLedger {
        NodeLedger {
            ins: (0..inputs).map(|_| Flow::default()).collect(),
            outs: (0..outputs).map(|_| Flow::default()).collect(),
            ..Default::default()
        }
    }
    pub(crate) fn reasons(&self) -> MutexGuard<'_, Reasons> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn mark(&self, part: &str, mark: Watermark) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        match marks.get_mut(part) {
            Some(old) => *old = mark,
            None if mark != Watermark::None => _ = marks.insert(part.to_string(), mark),
            None => {}
        }
    }
    /// How far each part of a source has come in event time.
    pub fn marks(&self) -> BTreeMap<String, Watermark> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(crate) fn latency(&self) -> MutexGuard<'_, Histogram> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn add_busy(&self, time: Duration) {
        self.busy.fetch_add(time.as_nanos() as u64, Relaxed);
    }
    pub(crate) fn add_blocked(&self, time: Duration) {
        self.blocked.fetch_add(time.as_nanos() as u64, Relaxed);
    }
    pub(crate) fn add_idle(&self, time: Duration) {
        self.idle.fetch_add(time.as_nanos() as u64, Relaxed);
    }
    /// Time at work, summed over instances.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Relaxed))
    }
    /// Time spent waiting for room in a queue.
    pub fn blocked(&self) -> Duration {
        Duration::from_nanos(self.blocked.load(Relaxed))
    }
    /// Time spent waiting for rows.
    pub fn idle(&self) -> Duration {
        Duration::from_nanos(self.idle.load(Relaxed))
    }
    pub fn rows_in(&self) -> u64 {
        self.ins.iter().map(Flow::rows).sum()
    }
    /// Rows sent on every port but `errors`.
    pub fn rows_out(&self) -> u64 {
        let ports = self.outs.len().saturating_sub(1);
        self.outs.iter().take(ports).map(Flow::rows).sum()
    }
    pub fn rows_dropped(&self) -> u64 {
        sum(&self.reasons().dropped)
    }
    pub fn rows_rejected(&self) -> u64 {
        sum(&self.reasons().rejected)
    }

    /// Rows that came in and have not left by any way yet.
    pub(crate) fn held(&self) -> u64 {
        let reasons = self.reasons();
        let [created, dropped, rejected, absorbed] =
            [&reasons.created, &reasons.dropped, &reasons.rejected, &reasons.absorbed].map(sum);
        (self.rows_in() + created).saturating_sub(self.rows_out() + dropped + rejected + absorbed)
    }
    /// Books rows of an earlier run that the node begins with …
    pub(crate) fn resumed(&self, reason: &str, rows: u64) {
        entry(&mut self.reasons().created, reason).rows += rows;
    }
    /// … and those that it leaves to a later one.
    pub(crate) fn kept(&self, reason: &str, rows: u64) {
        entry(&mut self.reasons().absorbed, reason).rows += rows;
    }

    /// `Err` with the whole account where `in + created = sent + dropped + rejected + absorbed` does not hold.
    fn check(&self) -> Result<(), String> {
        let reasons = self.reasons();
        let (rows_in, sent) = (self.rows_in(), self.rows_out());
        let [created, dropped, rejected, absorbed] =
            [&reasons.created, &reasons.dropped, &reasons.rejected, &reasons.absorbed].map(sum);
        let errors = self.outs.last().map_or(0, Flow::rows);
        if errors != rejected {
            Err(format!("{rejected} rows rejected, but {errors} sent on `errors`"))
        } else if rows_in + created == sent + dropped + rejected + absorbed {
            Ok(())
        } else {
            Err(format!(
                "{rows_in} rows in + {created} created, but {sent} sent + {dropped} dropped + {rejected} rejected + \
                 {absorbed} absorbed"
            ))
        }
    }
}

fn sum(reasons: &BTreeMap<String, Reason>) -> u64 {
    reasons.values().map(|r| r.rows).sum()
}

/// Both ends of an edge.
#[derive(Debug, Default)]
pub struct EdgeLedger {
    pub sent: Flow,
    pub received: Flow,
}

/// Where an edge begins and ends: node and port at either end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub from: (usize, usize),
    pub to: (usize, usize),
}

/// The account of a whole run. Node and edge indices are the plan's.
#[derive(Debug)]
pub struct Ledger {
    pub nodes: Vec<NodeLedger>,
    pub edges: Vec<EdgeLedger>,
}

impl Ledger {
    /// Rows that came in or went out anywhere: changes when anything moves.
    pub(crate) fn rows_moved(&self) -> u64 {
        let moved = |node: &NodeLedger| node.rows_in() + node.outs.iter().map(Flow::rows).sum::<u64>();
        self.nodes.iter().map(moved).sum()
    }

    /// Every place where rows are unaccounted for, as (index of the node, what does not add up). Empty: nothing was lost.
    /// Of nodes that may still `hold` rows only the edges are checked.
    pub(crate) fn imbalances(&self, ends: &[Ends], holds: impl Fn(usize) -> bool) -> Vec<(usize, String)> {
        let nodes = self.nodes.iter().enumerate().filter(|(n, _)| !holds(*n));
        let mut found: Vec<(usize, String)> = nodes.filter_map(|(n, node)| Some((n, node.check().err()?))).collect();
        // What a port counted against what its edges did: counted in different places of the engine.
        let mut received: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for (edge, ends) in self.edges.iter().zip(ends) {
            let (node, port) = ends.from;
            let (out, sent, got) = (self.nodes[node].outs[port].rows(), edge.sent.rows(), edge.received.rows());
            if out != sent || sent != got {
                let message =
                    format!("{out} rows left port {port}, {sent} were sent on an edge from it, {got} received");
                found.push((node, message));
            }
            *received.entry(ends.to).or_default() += got;
        }
        for ((node, port), got) in received {
            let rows_in = self.nodes[node].ins[port].rows();
            if rows_in != got {
                found.push((node, format!("{got} rows received on the edges into port {port}, but {rows_in} came in")));
            }
        }
        found
    }
}
