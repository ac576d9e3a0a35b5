//! The plan in Graphviz's DOT.

use super::lines;
use super::text::columns;
use crate::{Plan, Schedule};
use std::fmt::Write;

pub fn dot(plan: &Plan, schedule: &Schedule) -> String {
    let mut out =
        format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n", quote(&plan.name));
    for (s, stage) in schedule.stages.iter().enumerate() {
        let _ = writeln!(
            out,
            "  subgraph cluster_{s} {{\n    label={};",
            quote(&format!("stage {s} ×{}", stage.instances))
        );
        for n in &stage.nodes {
            let node = &plan.graph[*n];
            let tip = node.outputs[..node.errors()].first().map(|o| columns(&o.schema)).unwrap_or_default();
            let label = quote(&format!("{}\n{}", node.name, node.kind));
            let _ = writeln!(out, "    n{} [label={label}, tooltip={}];", n.index(), quote(&tip));
        }
        out.push_str("  }\n");
    }
    for line in lines(plan, schedule) {
        let style = if line.errors { ", style=dashed" } else { "" };
        let words = if line.label.is_empty() { line.how } else { format!("{}\n{}", line.label, line.how) };
        let _ = writeln!(out, "  n{} -> n{} [label={}{style}];", line.from.index(), line.to.index(), quote(&words));
    }
    out.push_str("}\n");
    out
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
