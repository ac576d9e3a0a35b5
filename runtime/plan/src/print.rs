//! A plan for people and tools: text, Mermaid, DOT, SVG, JSON. All say the same.

mod graphviz;
mod json;
mod mermaid;
mod svg;
mod text;

pub use graphviz::dot;
pub use json::json;
pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

use crate::{Delivery, Node, Plan, Schedule};
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use selvedge_node::Partitioning;

/// An edge in the words that all formats share.
struct Line {
    from: NodeIndex,
    to: NodeIndex,
    /// `errors`, or the port's name where it is not the only one.
    label: String,
    /// What the delivery means to rows.
    how: String,
    errors: bool,
}

fn lines(plan: &Plan, schedule: &Schedule) -> Vec<Line> {
    let graph = &plan.graph;
    graph
        .edge_references()
        .map(|e| {
            let (from, to) = (&graph[e.source()], &graph[e.target()]);
            let edge = e.weight();
            let out = (from.outputs.len() > 2 || edge.from == from.errors()).then(|| from.outputs[edge.from].name.clone());
            let into = (to.inputs.len() > 1).then(|| to.inputs[edge.to].port.clone());
            let label = match (out, into) {
                (None, None) => String::new(),
                (Some(out), None) => out,
                (None, Some(into)) => format!("→ {into}"),
                (Some(out), Some(into)) => format!("{out} → {into}"),
            };
            let how = match schedule.delivery(e.id()) {
                Delivery::Chained => "same thread".into(),
                Delivery::Shared => "queue".into(),
                Delivery::Exchange => format!("exchange by {}", keys(to, edge.to)),
            };
            Line { from: e.source(), to: e.target(), label, how, errors: edge.from == from.errors() }
        })
        .collect()
}

fn keys(node: &Node, port: usize) -> String {
    match &node.partitioning {
        Partitioning::Keys(keys) => {
            let schema = &node.inputs[port].schema;
            keys[port].iter().map(|&c| schema.field(c).name().as_str()).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}

/// How the rows of a node's input are spread, in words.
fn spread(node: &Node) -> String {
    match &node.partitioning {
        Partitioning::Any => "any".into(),
        Partitioning::Keys(_) => format!("keys({})", keys(node, 0)),
        Partitioning::Single => "single".into(),
        Partitioning::InOrder => "in order".into(),
    }
}
