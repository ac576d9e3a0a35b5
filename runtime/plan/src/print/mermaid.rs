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
            let _ = writeln!(
                out,
                "{pad}n{}[\"{}<br/><small>{}</small>\"]",
                n.index(),
                escape(&node.name),
                escape(&node.kind)
            );
        }
        if framed {
            out.push_str("  end\n");
        }
    }
    for line in lines(plan, schedule) {
        let arrow = if line.errors { "-.->" } else { "-->" };
        let words: Vec<&str> = [line.label.as_str(), line.how.as_str()]
            .into_iter()
            .filter(|w| !w.is_empty() && *w != "same thread")
            .collect();
        let label = if words.is_empty() { String::new() } else { format!("|\"{}\"|", escape(&words.join(", "))) };
        let _ = writeln!(out, "  n{} {arrow}{label} n{}", line.from.index(), line.to.index());
    }
    out
}

/// Mermaid's own entities (`#quot;`): those of HTML would be read as part of its syntax.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '#' => out.push_str("#35;"),
            '&' => out.push_str("#amp;"),
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            // A label in backticks is Markdown.
            '`' => out.push_str("#96;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
