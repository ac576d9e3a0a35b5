//! What a graph remembers between runs, to be looked at and to be forgotten.

use crate::checkpoint::{Parts, Store};
use selvedge_node::Result;
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
    })
}

/// Forgets all of it: the next run reads every source from its start and remembers nothing. Not while the graph runs.
pub fn reset(state: &Path, graph: &str) -> Result<()> {
    Store::open(state, graph)?.clear()
}
