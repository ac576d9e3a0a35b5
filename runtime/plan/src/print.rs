//! A plan for people and tools: text, Mermaid, DOT, SVG, JSON. All say the same.

mod graphviz;
mod json;
mod layout;
mod mermaid;
mod svg;
mod text;

pub use graphviz::dot;
pub use json::json;
pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

use crate::{Delivery, Edge, Node, Plan, Schedule};
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use selvedge_node::Partitioning;

/// An edge in the words that all formats share. In the order of the plan's edges.
struct Line {
    from: NodeIndex,
    to: NodeIndex,
    edge: Edge,
    delivery: Delivery,
    /// The output port, where it is not the only one or `errors`.
    output: Option<String>,
    /// The input port, where it is not the only one.
    input: Option<String>,
    /// Both of them: `errors → left`.
    label: String,
    /// What the delivery means to rows.
    how: String,
    errors: bool,
}

fn lines(plan: &Plan, schedule: &Schedule) -> Vec<Line> {
    let graph = &plan.graph;
    let line = |e: petgraph::graph::EdgeReference<'_, Edge>| {
        let (from, to) = (&graph[e.source()], &graph[e.target()]);
        let edge = *e.weight();
        let errors = edge.from == from.errors();
        let output = (from.outputs.len() > 2 || errors).then(|| from.outputs[edge.from].name.clone());
        let input = (to.inputs.len() > 1).then(|| to.inputs[edge.to].port.clone());
        let label = match (&output, &input) {
            (None, None) => String::new(),
            (Some(out), None) => out.clone(),
            (None, Some(into)) => format!("→ {into}"),
            (Some(out), Some(into)) => format!("{out} → {into}"),
        };
        let delivery = schedule.delivery(e.id());
        let how = match delivery {
            Delivery::Chained => "same thread".into(),
            Delivery::Shared => "queue".into(),
            Delivery::Exchange => format!("exchange by {}", keys(to, edge.to)),
        };
        Line { from: e.source(), to: e.target(), edge, delivery, output, input, label, how, errors }
    };
    graph.edge_references().map(line).collect()
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
