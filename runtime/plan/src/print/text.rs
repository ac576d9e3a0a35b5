//! The plan as text: a block a node, sources first.

use super::{Line, lines, spread};
use crate::{Plan, Schedule};
use arrow::datatypes::Schema;
use std::fmt::Write;

/// Every node with its threads, its edges with how rows travel, and the schema of each output.
pub fn text(plan: &Plan, schedule: &Schedule) -> String {
    let bound = if plan.unbounded() { "unbounded" } else { "bounded" };
    let threads: usize = schedule.stages.iter().map(|s| s.instances).sum();
    let mut out = format!(
        "graph {} (profile {}, {bound}): {} nodes, {} edges, {} stages on {threads} threads\n",
        tame(&plan.name),
        tame(&plan.profile),
        plan.graph.node_count(),
        plan.graph.edge_count(),
        schedule.stages.len()
    );
    let mut entering: Vec<Vec<Line>> = plan.graph.node_indices().map(|_| vec![]).collect();
    lines(plan, schedule).into_iter().for_each(|l| entering[l.to.index()].push(l));
    for n in plan.in_order() {
        let node = &plan.graph[n];
        let stage = schedule.stage_of[n.index()];
        let instances = schedule.instances(n);
        let _ = write!(out, "\n{}: {}  [stage {stage} ×{instances}", node.name, node.kind);
        if !node.inputs.is_empty() {
            let _ = write!(out, ", {}", tame(&spread(node)));
        }
        if node.ordered {
            out.push_str(", ordered");
        }
        out.push_str("]\n");
        for note in &node.notes {
            let _ = writeln!(out, "    {}", tame(note));
        }
        for line in &entering[n.index()] {
            let label = if line.label.is_empty() { String::new() } else { format!(" ({})", tame(&line.label)) };
            let _ = writeln!(out, "    ◄ {}{label}, {}", plan.graph[line.from].name, tame(&line.how));
        }
        for port in &node.outputs[..node.errors()] {
            let _ = writeln!(out, "    ► {}: {}", tame(&port.name), columns(&port.schema));
        }
        let errors = match (node.may_reject, plan.is_read(n, node.errors())) {
            (false, _) => continue,
            (true, true) => "read",
            (true, false) => "not read: a rejected row stops the run",
        };
        let _ = writeln!(out, "    ► errors: {errors}");
    }
    out
}

/// `sku Utf8, quantity Int32 not null`
pub(super) fn columns(schema: &Schema) -> String {
    let column = |f: &arrow::datatypes::FieldRef| {
        let null = if f.is_nullable() { "" } else { " not null" };
        tame(&format!("{} {}{null}", f.name(), f.data_type()))
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Names of columns come out of files: they must not move a terminal's cursor or begin a line of their own.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
