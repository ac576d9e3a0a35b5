//! `selvedge why`: which rows a node dropped, rejected or altered, how many, for what reason, and what some of them looked like.

use super::WRONG;
use crate::cli::Why;
use crate::screen;
use selvedge_exec::{NodeReport, Report, Sampled};

pub fn why(args: &Why) -> u8 {
    let report: Report = match std::fs::read(&args.report).map_err(|e| e.to_string()).and_then(|text| {
        serde_json::from_slice(&text).map_err(|e| format!("not a report of `selvedge run --report`: {e}"))
    }) {
        Ok(report) => report,
        Err(e) => {
            screen::error(&format!("error: cannot read {}: {e}", args.report.display()));
            return WRONG;
        }
    };
    let nodes: Vec<&NodeReport> =
        report.nodes.iter().filter(|n| args.node.as_ref().is_none_or(|name| n.name == *name)).collect();
    if let (Some(name), true) = (&args.node, nodes.is_empty()) {
        let near = selvedge_ron::similar(name, report.nodes.iter().map(|n| n.name.as_str()));
        let help = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
        screen::error(&format!("error: no node named `{name}` in the graph `{}`{help}", report.graph));
        return WRONG;
    }
    let mut told = false;
    for node in nodes {
        let all = [("dropped", &node.dropped), ("rejected", &node.rejected), ("altered", &node.altered)];
        let reasons = all.into_iter().flat_map(|(verb, reasons)| reasons.iter().map(move |r| (verb, r)));
        for (verb, reason) in reasons {
            screen::print(&tell(node, verb, reason));
            told = true;
        }
    }
    if !told {
        let whom = args.node.as_deref().map_or("no node".to_string(), |n| format!("`{n}`"));
        let verb = if args.node.is_some() {
            "dropped, rejected and altered nothing"
        } else {
            "dropped, rejected or altered anything"
        };
        screen::print(&format!("{whom} {verb}"));
    }
    0
}

fn tell(node: &NodeReport, verb: &str, reason: &Sampled) -> String {
    let share = match node.rows_in() {
        0 => String::new(),
        rows => format!(", {:.2} % of {}", 100.0 * reason.rows as f64 / rows as f64, screen::thousands(rows)),
    };
    let mut text = format!("`{}` {verb} {} rows{share}: {}", node.name, screen::thousands(reason.rows), reason.reason);
    for sample in &reason.samples {
        text.push_str("\n    ");
        text.push_str(sample);
    }
    text
}
