//! Nodes that depend on the order of their rows (`Limit`, the first of several) behind a place where rows meet in no order.

use crate::Plan;
use petgraph::Direction::Incoming;
use petgraph::graph::NodeIndex;
use selvedge_node::{Partitioning, Problem};

/// A warning for each such node. A node whose output is ordered (a sort) makes good whatever lies before it.
pub(crate) fn warnings(plan: &Plan) -> Vec<Problem> {
    let graph = &plan.graph;
    // By node: the nearest place above it, itself included, where the order of its rows was lost.
    let mut met: Vec<Option<NodeIndex>> = vec![None; graph.node_count()];
    let mut warnings = vec![];
    for n in plan.in_order() {
        let node = &graph[n];
        let mut before = graph.neighbors_directed(n, Incoming);
        let lost = match (before.next(), before.next()) {
            (Some(_), Some(_)) => Some(n),
            (Some(one), None) => met[one.index()],
            _ => None,
        };
        met[n.index()] = lost.filter(|_| !node.ordered);
        let (Partitioning::InOrder, Some(place)) = (&node.partitioning, lost) else { continue };
        let place = match place == n {
            true => "several inputs meet in it".to_string(),
            false => format!("several inputs meet in `{}` before it", graph[place].name),
        };
        let message = format!(
            "which rows `{}` takes depends on their order, but {place}, and which of them comes first is left to chance",
            node.name
        );
        warnings.push(Problem::warning(node.span, message).help("put a Sort(by: […]) in between, or read one input"));
    }
    warnings
}
