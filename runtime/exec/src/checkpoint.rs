//! What a graph has to remember from one run to the next, in its state folder.
//!
//! ```text
//! <state>/<graph>/checkpoint.json              how far sources have come, what sinks have flushed, where the state of nodes is
//! <state>/<graph>/state/RUN-EPOCH-NODE-I.ipc   the state of instance I: parts, each an Arrow IPC stream
//! <state>/<graph>/lock                         held while the graph runs
//! ```
//!
//! A checkpoint is made when an epoch is closed and nothing is on its way. The files of state are synced first, then the list
//! replaces the old one by a rename, then the sinks commit. Whatever ends the process, the list on disk is whole: if it is the new
//! one, the next run commits what the sinks had flushed, which does nothing where it was done before; if it is the old one, the
//! rows since then are read again, and what was made of them was never published.

mod parts;

pub(crate) use parts::{Part, Saving, batches};

use selvedge_node::{Error, Pending, Positions, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Rises when an older release could not read what this one writes.
const VERSION: u32 = 2;

/// Node name → split name → position.
pub(crate) type AllPositions = BTreeMap<String, Positions>;

/// The state of one instance: its parts by name.
pub(crate) type Parts = BTreeMap<String, Part>;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub version: u32,
    /// The commit that this checkpoint goes with.
    pub run: String,
    pub epoch: u64,
    pub positions: AllPositions,
    /// Parts of bounded sources that have been read to their end, by node.
    #[serde(default)]
    pub read: BTreeMap<String, Vec<String>>,
    /// What the sinks have flushed for the commit, by node. Empty: all of it is published.
    #[serde(default)]
    pub pending: BTreeMap<String, Vec<Pending>>,
    #[serde(default)]
    pub nodes: BTreeMap<String, NodeState>,
    /// Of a run that ends by itself, and has not published yet: what sinks have flushed goes with the rest, at its end.
    #[serde(default)]
    pub unfinished: Option<Unfinished>,
    #[serde(default)]
    pub bookmarks: Bookmarks,
}

/// What is kept of the runs of a graph that ends by itself, besides how far they have come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bookmarks {
    /// Runs that have read something new, the last one last, each with where the sources stood before it.
    pub past: Vec<(String, AllPositions)>,
    /// Runs read what is new, and the next one reads it again.
    pub paused: bool,
    /// Someone went back to before this run, whose rows the sinks still have.
    pub rewound: Option<String>,
}

/// A run under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    /// All that must be the same for another run to go on.
    pub of: String,
    /// Where the sources stood before it, for a run that begins anew.
    pub before: AllPositions,
    /// All rows have arrived, and sinks may have begun to commit: what is pending will be published, whatever has changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decided: bool,
}

/// What one node remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeState {
    /// What must not have changed for the state to fit: the kind, its keys and the columns that come in.
    pub shape: String,
    /// Rows that it holds.
    pub rows: u64,
    pub instances: Vec<Parts>,
}

impl Checkpoint {
    pub fn has_state(&self) -> bool {
        !self.nodes.is_empty()
    }
    /// Whether the next run would miss it.
    pub fn remembers(&self) -> bool {
        self.has_state()
            || !self.positions.is_empty()
            || !self.pending.is_empty()
            || self.unfinished.is_some()
            || self.bookmarks != Bookmarks::default()
    }
}

/// The folder of a graph, locked: two runs at once would read the same rows.
pub(crate) struct Store {
    folder: PathBuf,
    _lock: File,
}

impl Store {
    /// Takes the state of a graph for one run.
    pub fn open(state: &Path, graph: &str) -> Result<Store> {
        let folder = state.join(graph);
        let path = folder.join("lock");
        let open = || -> std::io::Result<File> {
            fs::create_dir_all(&folder)?;
            File::options().create(true).truncate(false).write(true).open(&path)
        };
        let file = open().map_err(|e| Error::io("opening", path.display(), &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Store { folder, _lock: file }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(Error::world(format!("another run of the graph `{graph}` is at work on {}", state.display()))
                    .help("wait for it, or give this run a --state of its own")
                    .retryable())
            }
            Err(fs::TryLockError::Error(e)) => Err(Error::io("locking", path.display(), &e)),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("checkpoint.json")
    }

    /// Where the files of state are.
    pub fn states(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// What the last run left; nothing before the first.
    pub fn load(&self) -> Result<Checkpoint> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return self.load_positions(),
            Err(e) => return Err(Error::io("reading", path.display(), &e)),
        };
        let damaged = |what: String| {
            Error::data(format!("{} is no checkpoint that can be read: {what}", path.display()))
                .help("restore it from a backup, or have it forgotten: `selvedge bookmark reset`")
        };
        let found: Checkpoint = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        if found.version > VERSION {
            return Err(damaged(format!(
                "it was written by a later release (version {}, known: {VERSION})",
                found.version
            )));
        }
        Ok(found)
    }

    /// What releases before the first checkpoint kept: positions and nothing else.
    fn load_positions(&self) -> Result<Checkpoint> {
        let path = self.folder.join("positions.json");
        match fs::read(&path) {
            Ok(text) => {
                let positions = serde_json::from_slice(&text).map_err(|e| {
                    Error::data(format!("{} does not hold positions: {e}", path.display()))
                        .help("restore it from a backup, or remove it to read every source from its start")
                })?;
                Ok(Checkpoint { positions, ..Default::default() })
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Checkpoint::default()),
            Err(e) => Err(Error::io("reading", path.display(), &e)),
        }
    }

    /// Replaces the checkpoint as a whole: the files of state are safe first, then the list is written aside, synced, renamed.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let checkpoint = Checkpoint { version: VERSION, ..checkpoint.clone() };
        let path = self.path();
        let files = files(&checkpoint);
        for file in &files {
            let path = self.states().join(file);
            File::open(&path).and_then(|f| f.sync_all()).map_err(|e| Error::io("syncing", path.display(), &e))?;
        }
        let aside = path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            if !files.is_empty() {
                File::open(self.states())?.sync_all()?;
            }
            let mut file = File::create(&aside)?;
            file.write_all(&serde_json::to_vec_pretty(&checkpoint)?)?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            // The new name must be on disk too, or a crash brings the old checkpoint back.
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|e| Error::io("writing", path.display(), &e))
    }

    /// Forgets everything.
    pub fn clear(&self) -> Result<()> {
        for file in ["checkpoint.json", "positions.json"] {
            let path = self.folder.join(file);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io("removing", path.display(), &e)),
                _ => {}
            }
        }
        self.sweep(&Checkpoint::default());
        Ok(())
    }

    /// Removes the files of state that the checkpoint has no use for. Best effort: what stays takes room, no more.
    pub fn sweep(&self, checkpoint: &Checkpoint) {
        let wanted = files(checkpoint);
        let Ok(entries) = fs::read_dir(self.states()) else { return };
        for entry in entries.flatten() {
            if !wanted.contains(&*entry.file_name().to_string_lossy()) {
                _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The files that hold the state of a checkpoint.
fn files(checkpoint: &Checkpoint) -> HashSet<&str> {
    let parts = checkpoint.nodes.values().flat_map(|n| &n.instances).flat_map(Parts::values);
    parts.map(|part| part.file.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path(), "g").unwrap();
        assert!(Store::open(dir.path(), "g").err().unwrap().to_string().contains("another run of the graph `g`"));
        assert!(Store::open(dir.path(), "h").is_ok());
        drop(first);
        assert!(Store::open(dir.path(), "g").is_ok());
    }

    #[test]
    fn saved_is_loaded_and_garbage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "g").unwrap();
        assert_eq!(store.load().unwrap(), Checkpoint::default());
        let positions = AllPositions::from([("stock".into(), Positions::from([("all".into(), "42".into())]))]);
        let checkpoint = Checkpoint { run: "r".into(), epoch: 3, positions, ..Default::default() };
        store.save(&checkpoint).unwrap();
        assert_eq!(store.load().unwrap(), Checkpoint { version: VERSION, ..checkpoint });
        fs::write(store.path(), "{").unwrap();
        assert!(store.load().unwrap_err().to_string().contains("no checkpoint that can be read"));
        fs::write(store.path(), r#"{"version": 99, "run": "r", "epoch": 1, "positions": {}}"#).unwrap();
        assert!(store.load().unwrap_err().to_string().contains("later release (version 99"));
    }

    #[test]
    fn positions_of_an_older_release_are_gone_on_from() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "g").unwrap();
        let old = store.folder.join("positions.json");
        fs::write(&old, r#"{"stock": {"all": "42"}}"#).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.positions["stock"]["all"], "42");
        store.save(&Checkpoint { run: "new".into(), ..loaded }).unwrap();
        assert_eq!(store.load().unwrap().run, "new", "the checkpoint counts, once there is one");
        fs::remove_file(store.path()).unwrap();
        fs::write(&old, "{").unwrap();
        assert!(store.load().unwrap_err().to_string().contains("does not hold positions"));
    }

    #[test]
    fn files_nobody_wants_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "g").unwrap();
        fs::create_dir_all(store.states()).unwrap();
        for name in ["a", "b"] {
            fs::write(store.states().join(name), "x").unwrap();
        }
        let part = Part { file: "a".into(), ..Default::default() };
        let node = NodeState { instances: vec![Parts::from([("p".into(), part)])], ..Default::default() };
        store.sweep(&Checkpoint { nodes: [("n".into(), node)].into(), ..Default::default() });
        let left: Vec<_> = fs::read_dir(store.states()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["a"]);
        store.clear().unwrap();
        assert_eq!(fs::read_dir(store.states()).unwrap().count(), 0);
    }
}
