//! What a person sees: messages, logs, and the ledger as a table.

use selvedge_exec::{NodeReport, Report, Status};
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Logs go to standard error; as JSON where nobody watches.
pub fn logging(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call in one process (tests) keeps the first logger.
    let _ = if std::io::stderr().is_terminal() { builder.compact().try_init() } else { builder.json().try_init() };
}

/// Whether standard error takes colours.
pub fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A closed pipe at the other end is not our failure.
pub fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12345678` as `11.8 MiB`.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Columns padded to their widest cell; the first two to the left, numbers to the right.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(c, text)| {
            let width = widths[c];
            if c < 2 { format!("{text:<width$}") } else { format!("{text:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The ledger of a run: a line a node, then why rows left, then the outcome.
pub fn ledger(report: &Report) -> String {
    let head = ["node", "kind", "in", "out", "dropped", "rejected", "bytes out", "busy s", "blocked s", "threads"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(report.nodes.iter().map(|n| {
        let bytes = n.outputs.iter().map(|p| p.bytes).sum::<u64>();
        vec![
            n.name.clone(),
            n.kind.clone(),
            thousands(n.rows_in()),
            thousands(n.rows_out()),
            thousands(n.rows_dropped()),
            thousands(n.rows_rejected()),
            size(bytes),
            format!("{:.2}", n.busy_seconds),
            format!("{:.2}", n.blocked_seconds),
            n.instances.to_string(),
        ]
    }));
    let mut text = columns(&rows);
    let reasons = report.nodes.iter().flat_map(reasons).collect::<Vec<_>>();
    if !reasons.is_empty() {
        text.push_str("\n\n");
        text.push_str(&columns(&reasons));
    }
    text.push_str("\n\n");
    text.push_str(&outcome(report));
    text
}

fn reasons(node: &NodeReport) -> Vec<Vec<String>> {
    let line =
        |verb: &str, reason: &str, rows: u64| vec![node.name.clone(), format!("{verb}: {reason}"), thousands(rows)];
    let dropped = node.dropped.iter().map(|r| line("dropped", &r.reason, r.rows));
    let rejected = node.rejected.iter().map(|r| line("rejected", &r.reason, r.rows));
    let altered = node.altered.iter().map(|r| line("altered", &r.reason, r.rows));
    dropped.chain(rejected).chain(altered).collect()
}

fn outcome(report: &Report) -> String {
    let read: u64 = report.nodes.iter().filter(|n| n.role == "source").map(NodeReport::rows_out).sum();
    let rate = read as f64 / report.seconds.max(1e-9);
    let end = match report.status {
        Status::Done => "done: every row accounted for".to_string(),
        Status::Stopped => "stopped: what was on its way arrived, nothing was published".to_string(),
        Status::Unbalanced => format!("UNBALANCED: nothing was published\n  {}", report.imbalances.join("\n  ")),
        Status::Failed => match &report.error {
            Some(e) => {
                let place = if e.node.is_empty() { String::new() } else { format!(" in `{}`", e.node) };
                let help = e.help.as_ref().map(|h| format!("\n  help: {h}")).unwrap_or_default();
                let fate = match report.committed.as_slice() {
                    [] => "nothing was published".to_string(),
                    some => format!("published before that: {}", some.join(", ")),
                };
                format!("FAILED{place}: {} ({}'s fault; {fate}){help}", e.message, e.fault)
            }
            None => "FAILED".to_string(),
        },
    };
    let warnings: String = report.warnings.iter().map(|w| format!("\nwarning: {w}")).collect();
    format!(
        "{}: {} rows read in {:.2} s ({}/s), peak memory {} of {}{warnings}\n{end}",
        report.graph,
        thousands(read),
        report.seconds,
        thousands(rate as u64),
        size(report.process_peak_bytes),
        size(report.memory_bytes),
    )
}
