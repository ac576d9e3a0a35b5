//! How far a run is: bars on a terminal, a plain line now and then elsewhere.

use crate::screen::{error, size, thousands};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use selvedge_exec::{Flow, Ledger, Running};
use selvedge_node::Role;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const REDRAW: Duration = Duration::from_millis(120);
const PLAIN: Duration = Duration::from_secs(10);
/// With more nodes than this, only sources and sinks get a line.
const NODES: usize = 24;

/// Shows the progress of a run until it is dropped.
pub struct Progress {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Line {
    node: usize,
    bar: ProgressBar,
}

impl Progress {
    pub fn show(running: &Running) -> Progress {
        let plan = running.plan();
        let many = plan.graph.node_count() > NODES;
        let names: Vec<(usize, String)> = plan
            .in_order()
            .into_iter()
            .filter(|n| !many || plan.graph[*n].role != Role::Transform)
            .map(|n| (n.index(), plan.graph[n].name.clone()))
            .collect();
        let (ledger, graph) = (running.ledger().clone(), plan.name.clone());
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || {
            let wait = |time| ended.recv_timeout(time) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if std::io::stderr().is_terminal() {
                bars(&names, &ledger, wait);
            } else {
                lines(&graph, &ledger, wait);
            }
        });
        // A run without a progress display is still a run.
        Progress { end: Some(end), thread: thread.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bars(names: &[(usize, String)], ledger: &Arc<Ledger>, wait: impl Fn(Duration) -> bool) {
    let all = MultiProgress::new();
    let style =
        ProgressStyle::with_template("{spinner} {prefix}  {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let width = names.iter().map(|(_, n)| n.chars().count()).max().unwrap_or(0);
    let lines: Vec<Line> = names
        .iter()
        .map(|(node, name)| {
            let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()));
            bar.set_prefix(format!("{name:<width$}"));
            Line { node: *node, bar }
        })
        .collect();
    let since = Instant::now();
    while wait(REDRAW) {
        let seconds = since.elapsed().as_secs_f64();
        for line in &lines {
            let node = &ledger.nodes[line.node];
            let rows = node.rows_in().max(node.rows_out());
            let bytes = node.ins.iter().chain(&node.outs).map(Flow::bytes).max().unwrap_or(0);
            line.bar.set_message(format!(
                "{:>15} rows  {:>12}/s  {:>10}",
                thousands(rows),
                thousands((rows as f64 / seconds) as u64),
                size(bytes)
            ));
            line.bar.tick();
        }
    }
    lines.iter().for_each(|l| l.bar.finish_and_clear());
}

fn lines(graph: &str, ledger: &Arc<Ledger>, wait: impl Fn(Duration) -> bool) {
    let since = Instant::now();
    while wait(PLAIN) {
        // Sources are the nodes without input ports, sinks those whose only output is `errors`.
        let read: u64 = ledger.nodes.iter().filter(|n| n.ins.is_empty()).map(|n| n.rows_out()).sum();
        let written: u64 = ledger.nodes.iter().filter(|n| n.outs.len() == 1).map(|n| n.rows_in()).sum();
        let rate = read as f64 / since.elapsed().as_secs_f64();
        error(&format!(
            "{graph}: {} s, {} rows read ({}/s), {} at the sinks",
            since.elapsed().as_secs(),
            thousands(read),
            thousands(rate as u64),
            thousands(written)
        ));
    }
}
