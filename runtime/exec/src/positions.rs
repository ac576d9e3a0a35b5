//! Where sources stopped, kept between runs in the state folder: `<state>/<graph>/positions.json`.

use selvedge_node::{Error, Positions, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Node name → split name → position.
pub(crate) type AllPositions = BTreeMap<String, Positions>;

fn path(state: &Path, graph: &str) -> PathBuf {
    state.join(graph).join("positions.json")
}

/// Held while a graph runs: two runs at once would read the same rows.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file is what unlocks it")] File);

/// Takes the state of a graph for one run.
pub(crate) fn lock(state: &Path, graph: &str) -> Result<Lock> {
    let folder = state.join(graph);
    let path = folder.join("lock");
    let open = || -> std::io::Result<File> {
        fs::create_dir_all(&folder)?;
        File::options().create(true).truncate(false).write(true).open(&path)
    };
    let file = open().map_err(|e| Error::io("opening", path.display(), &e))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(fs::TryLockError::WouldBlock) => {
            Err(Error::world(format!("another run of the graph `{graph}` is at work on {}", state.display()))
                .help("wait for it, or give this run a --state of its own")
                .retryable())
        }
        Err(fs::TryLockError::Error(e)) => Err(Error::io("locking", path.display(), &e)),
    }
}

/// The positions of the last committed run; none before the first.
pub(crate) fn load(state: &Path, graph: &str) -> Result<AllPositions> {
    let path = path(state, graph);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(AllPositions::new()),
        Err(e) => return Err(Error::io("reading", path.display(), &e)),
    };
    serde_json::from_slice(&text).map_err(|e| {
        Error::data(format!("{} does not hold positions: {e}", path.display()))
            .help("restore it from a backup, or remove it to read every source from its start")
    })
}

/// Replaces the file as a whole: written aside, synced, renamed.
pub(crate) fn save(state: &Path, graph: &str, positions: &AllPositions) -> Result<()> {
    let path = path(state, graph);
    let aside = path.with_extension("json.new");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(state.join(graph))?;
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(positions)?)?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        // The new name must be on disk too, or a crash brings the old positions back.
        File::open(state.join(graph))?.sync_all()
    };
    write().map_err(|e| Error::io("writing", path.display(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path(), "g").unwrap();
        assert!(lock(dir.path(), "g").err().unwrap().to_string().contains("another run of the graph `g`"));
        assert!(lock(dir.path(), "h").is_ok());
        drop(first);
        assert!(lock(dir.path(), "g").is_ok());
    }

    #[test]
    fn saved_is_loaded_and_garbage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), "g").unwrap().is_empty());
        let positions = AllPositions::from([("stock".into(), Positions::from([("all".into(), "42".into())]))]);
        save(dir.path(), "g", &positions).unwrap();
        assert_eq!(load(dir.path(), "g").unwrap(), positions);
        fs::write(path(dir.path(), "g"), "{").unwrap();
        assert!(load(dir.path(), "g").unwrap_err().to_string().contains("does not hold positions"));
    }
}
