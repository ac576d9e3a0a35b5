//! What a run leaves to be read: the ledger and the outcome, with stable field names (docs/report.md).

use crate::histogram::Histogram;
use crate::ledger::{EdgeLedger, Flow, NodeLedger, Reason};
use selvedge_node::Watermark;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything arrived and was committed.
    Done,
    /// An error; nothing was committed, or what `committed` names.
    Failed,
    /// Asked to stop: what was on its way arrived, nothing was committed.
    Stopped,
    /// The rows do not add up; nothing was committed.
    Unbalanced,
}

impl Status {
    /// 0 done, 1 failed or stopped, 3 the ledger does not balance. (2 is a graph that cannot run.)
    pub fn exit_code(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Failed | Status::Stopped => 1,
            Status::Unbalanced => 3,
        }
    }
}

/// One run. Version 1 of the format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub report_version: u32,
    pub selvedge_version: String,
    pub graph: String,
    pub profile: String,
    pub run: String,
    pub status: Status,
    /// Seconds since 1970, UTC.
    pub started_at: f64,
    pub seconds: f64,
    pub threads: usize,
    /// The budget asked for, and the most that node state took of it.
    pub memory_bytes: u64,
    pub state_peak_bytes: u64,
    /// The most memory that the process ever held, as the system counts it; 0 where unknown.
    pub process_peak_bytes: u64,
    pub nodes: Vec<NodeReport>,
    pub edges: Vec<EdgeReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// Where rows are unaccounted for: empty in every sound run.
    pub imbalances: Vec<String>,
    /// Sinks whose output was published, in that order.
    pub committed: Vec<String>,
    /// What was done otherwise than asked, and why: fewer threads, more memory.
    #[serde(default)]
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeReport {
    pub name: String,
    pub kind: String,
    pub role: String,
    /// Number of the group of nodes that share a thread.
    pub stage: usize,
    pub instances: usize,
    pub inputs: Vec<PortReport>,
    /// `errors` last.
    pub outputs: Vec<PortReport>,
    pub dropped: Vec<Sampled>,
    pub rejected: Vec<Sampled>,
    pub altered: Vec<Sampled>,
    pub absorbed: Vec<Counted>,
    pub created: Vec<Counted>,
    /// The node's own, outside of the equation.
    #[serde(default)]
    pub counters: Vec<Counter>,
    /// Of a source with event time: how far each of its parts had come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watermarks: Vec<PartWatermark>,
    /// Of a sink in a graph that never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Summed over instances.
    pub busy_seconds: f64,
    pub blocked_seconds: f64,
    pub idle_seconds: f64,
}

impl NodeReport {
    pub fn rows_in(&self) -> u64 {
        self.inputs.iter().map(|p| p.rows).sum()
    }
    /// Rows sent on every port but `errors`.
    pub fn rows_out(&self) -> u64 {
        self.outputs.iter().filter(|p| p.port != selvedge_node::ERRORS_PORT).map(|p| p.rows).sum()
    }
    pub fn rows_dropped(&self) -> u64 {
        self.dropped.iter().map(|r| r.rows).sum()
    }
    pub fn rows_rejected(&self) -> u64 {
        self.rejected.iter().map(|r| r.rows).sum()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PortReport {
    pub port: String,
    pub rows: u64,
    pub batches: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Counted {
    pub reason: String,
    pub rows: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Counter {
    pub name: String,
    pub value: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartWatermark {
    /// A shard, by the name under which its position is kept.
    pub part: String,
    /// As ISO 8601 in UTC; nothing while the part was idle.
    pub time: Option<String>,
}

/// From when rows could be read to when they were published. Rows that a node held back (a session that was open) count from
/// what made it let go of them. Quantiles are at most 10 % too long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Latency {
    pub rows: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Latency {
    fn of(histogram: &Histogram) -> Option<Latency> {
        (histogram.total() > 0).then(|| Latency {
            rows: histogram.total(),
            p50_ms: histogram.quantile(0.5),
            p90_ms: histogram.quantile(0.9),
            p99_ms: histogram.quantile(0.99),
            max_ms: histogram.longest(),
        })
    }
}

/// Microseconds since 1970 as people write an instant.
pub(crate) fn time_text(time: i64) -> String {
    match arrow::temporal_conversions::timestamp_us_to_datetime(time) {
        Some(time) => format!("{}Z", time.format("%Y-%m-%dT%H:%M:%S%.6f")),
        None => format!("{time} µs since 1970"),
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sampled {
    pub reason: String,
    pub rows: u64,
    /// Up to five rows, as JSON or as they stood in the file.
    pub samples: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EdgeReport {
    pub from: String,
    pub to: String,
    /// `chained`, `shared` or `exchange`.
    pub delivery: String,
    pub rows_sent: u64,
    pub rows_received: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorReport {
    /// Empty where the engine itself failed.
    pub node: String,
    /// `graph`, `data`, `world` or `bug`.
    pub fault: String,
    /// Whether the same run may succeed later.
    pub retry: bool,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

fn port(name: &str, flow: &Flow) -> PortReport {
    PortReport { port: name.into(), rows: flow.rows(), batches: flow.batches(), bytes: flow.bytes() }
}

fn sampled(reasons: &BTreeMap<String, Reason>) -> Vec<Sampled> {
    let one =
        |(reason, r): (&String, &Reason)| Sampled { reason: reason.clone(), rows: r.rows, samples: r.samples.clone() };
    reasons.iter().map(one).collect()
}

fn counted(reasons: &BTreeMap<String, Reason>) -> Vec<Counted> {
    reasons.iter().map(|(reason, r)| Counted { reason: reason.clone(), rows: r.rows }).collect()
}

pub(crate) fn node(node: &selvedge_plan::Node, (stage, instances): (usize, usize), ledger: &NodeLedger) -> NodeReport {
    let reasons = ledger.reasons();
    NodeReport {
        name: node.name.clone(),
        kind: node.kind.clone(),
        role: format!("{:?}", node.role).to_lowercase(),
        stage,
        instances,
        inputs: node.inputs.iter().zip(&ledger.ins).map(|(i, flow)| port(&i.port, flow)).collect(),
        outputs: node.outputs.iter().zip(&ledger.outs).map(|(o, flow)| port(&o.name, flow)).collect(),
        dropped: sampled(&reasons.dropped),
        rejected: sampled(&reasons.rejected),
        altered: sampled(&reasons.altered),
        absorbed: counted(&reasons.absorbed),
        created: counted(&reasons.created),
        counters: reasons.counters.iter().map(|(name, c)| Counter { name: name.clone(), value: c.rows }).collect(),
        watermarks: ledger
            .marks()
            .into_iter()
            .map(|(part, mark)| PartWatermark { part, time: mark_text(mark) })
            .collect(),
        latency: Latency::of(&ledger.latency()),
        busy_seconds: ledger.busy().as_secs_f64(),
        blocked_seconds: ledger.blocked().as_secs_f64(),
        idle_seconds: ledger.idle().as_secs_f64(),
    }
}

fn mark_text(mark: Watermark) -> Option<String> {
    match mark {
        Watermark::At(time) => Some(time_text(time)),
        Watermark::None | Watermark::Idle => None,
    }
}

pub(crate) fn edge(from: String, to: String, delivery: selvedge_plan::Delivery, ledger: &EdgeLedger) -> EdgeReport {
    EdgeReport {
        from,
        to,
        delivery: format!("{delivery:?}").to_lowercase(),
        rows_sent: ledger.sent.rows(),
        rows_received: ledger.received.rows(),
    }
}
