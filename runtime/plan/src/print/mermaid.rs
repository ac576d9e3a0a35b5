//! The plan as a Mermaid flowchart: boxes are nodes, frames are stages of several nodes.

use super::lines;
use crate::{Plan, Schedule};
use std::fmt::Write;

pub fn mermaid(plan: &Plan, schedule: &Schedule) -> String {
    let mut out = String::from("flowchart LR\n");
    for (s, stage) in schedule.stages.iter().enumerate() {
        let framed = stage.nodes.len() > 1;
        if framed {
            let _ = writeln!(out, "  subgraph s{s}[\"stage {s} ×{}\"]", stage.instances);
        }
        for n in &stage.nodes {
            let node = &plan.graph[*n];
            let pad = if framed { "    " } else { "  " };
            let _ = writeln!(out, "{pad}n{}[\"{}<br/><small>{}</small>\"]", n.index(), escape(&node.name), escape(&node.kind));
        }
        if framed {
            out.push_str("  end\n");
        }
    }
    for line in lines(plan, schedule) {
        let arrow = if line.errors { "-.->" } else { "-->" };
        let words: Vec<&str> =
            [line.label.as_str(), line.how.as_str()].into_iter().filter(|w| !w.is_empty() && *w != "same thread").collect();
        let label = if words.is_empty() { String::new() } else { format!("|\"{}\"|", escape(&words.join(", "))) };
        let _ = writeln!(out, "  n{} {arrow}{label} n{}", line.from.index(), line.to.index());
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}
