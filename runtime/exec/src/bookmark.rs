//! What a graph remembers between runs, to be looked at and to be forgotten.

use crate::checkpoint::{Parts, Store};
use selvedge_node::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// What the state folder has of one graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookmark {
    /// The run that left it, and its last epoch.
    pub run: String,
    pub epoch: u64,
    /// Source → split → how far it was read.
    pub positions: BTreeMap<String, BTreeMap<String, String>>,
    /// Node → what it remembers.
    pub nodes: BTreeMap<String, Kept>,
    /// Sinks that the next run has to commit first.
    pub pending: Vec<String>,
    /// The run ends by itself and was cut short: the next one goes on from there.
    pub unfinished: bool,
    /// Runs that can be gone back to before, the last one last.
    pub past: Vec<String>,
    /// Runs leave the positions as they are.
    pub paused: bool,
    /// Someone went back to before this run.
    pub rewound: Option<String>,
}

/// What a node remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Rows that came in and have not left yet.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The graphs that a state folder knows.
pub fn graphs(state: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten();
    let known = entries.filter(|e| ["checkpoint.json", "positions.json"].iter().any(|f| e.path().join(f).exists()));
    let mut names: Vec<String> = known.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What is known of a graph. Not while it runs.
pub fn show(state: &Path, graph: &str) -> Result<Bookmark> {
    let last = Store::open(state, graph)?.load()?;
    let bytes = |parts: &Parts| parts.values().map(|part| part.bytes).sum::<u64>();
    let nodes = last.nodes.into_iter().map(|(name, node)| {
        let bytes = node.instances.iter().map(bytes).sum();
        (name, Kept { rows: node.rows, bytes })
    });
    let pending = last.pending.into_iter().filter(|(_, pending)| !pending.is_empty()).map(|(name, _)| name);
    Ok(Bookmark {
        run: last.run,
        epoch: last.epoch,
        positions: last.positions,
        nodes: nodes.collect(),
        pending: pending.collect(),
        unfinished: last.unfinished.is_some(),
        past: last.bookmarks.past.into_iter().map(|(run, _)| run).collect(),
        paused: last.bookmarks.paused,
        rewound: last.bookmarks.rewound,
    })
}

/// Forgets all of it: the next run reads every source from its start and remembers nothing. Not while the graph runs.
pub fn reset(state: &Path, graph: &str) -> Result<()> {
    Store::open(state, graph)?.clear()
}

/// Goes back to where the sources stood before `run`: what it and all after it have read is read again. Where the sinks still have those rows
/// (`out` is false), the next run is refused unless all of its sinks replace rows that come again. Not while the graph runs.
pub fn rewind(state: &Path, graph: &str, run: &str, out: bool) -> Result<()> {
    let store = Store::open(state, graph)?;
    let mut last = store.load()?;
    if last.has_state() || last.unfinished.is_some() || last.pending.values().any(|pending| !pending.is_empty()) {
        return Err(Error::graph("its last run has left state or rows to publish, which are not of any earlier time")
            .help("run the graph to its end first; a stream cannot be rewound"));
    }
    let again = last.bookmarks.rewound.as_deref() == Some(run);
    let past = &mut last.bookmarks.past;
    match past.iter().position(|(known, _)| known == run) {
        Some(at) => last.positions = past.drain(at..).next().map(|(_, before)| before).unwrap_or_default(),
        None if again => {}
        None => {
            let known: Vec<&str> = past.iter().map(|(run, _)| run.as_str()).collect();
            let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            return Err(Error::graph(format!("no run `{run}` is known"))
                .help(format!("runs that have read something: {known}")));
        }
    }
    last.bookmarks.rewound = (!out).then(|| run.to_string());
    store.save(&last)
}

/// Has runs leave the positions as they are, each to read again what the one before has read, until this is undone. Not while the graph
/// runs.
pub fn pause(state: &Path, graph: &str, paused: bool) -> Result<()> {
    let store = Store::open(state, graph)?;
    let mut last = store.load()?;
    if last.has_state() {
        return Err(Error::graph("its nodes remember rows of a stream: positions cannot stay while those move on"));
    }
    last.bookmarks.paused = paused;
    store.save(&last)
}
