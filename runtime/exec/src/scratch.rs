//! The folder for spill files of one run: `<scratch>/selvedge-RUN/`, locked while the run lives.
//!
//! A run that is killed leaves its folder behind, perhaps with many gigabytes. Nobody holds its lock any more: the next run
//! with the same `--scratch` removes it.

use selvedge_node::{Error, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const PREFIX: &str = "selvedge-";
/// Inside the folder, as not every system can lock a folder itself.
const LOCK: &str = "lock";

pub(crate) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    pub fn new(parent: &Path, run: &str) -> Result<Scratch> {
        sweep(parent);
        let folder = parent.join(format!("{PREFIX}{run}"));
        let make = || -> std::io::Result<File> {
            fs::create_dir_all(&folder)?;
            let lock = File::create(folder.join("lock.new"))?;
            lock.try_lock()?;
            // Only now is there something to sweep: a lock that is seen is held, or its run is dead.
            fs::rename(folder.join("lock.new"), folder.join(LOCK))?;
            Ok(lock)
        };
        let lock = make().map_err(|e| Error::io("making", folder.display(), &e).help("choose another --scratch"))?;
        Ok(Scratch { folder, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: what stays is swept by the next run.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of runs that were killed. Best effort: another's run must not fail because of it.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_lives_stays() {
        let dir = tempfile::tempdir().unwrap();
        let living = Scratch::new(dir.path(), "living").unwrap();
        let killed = dir.path().join("selvedge-killed");
        fs::create_dir_all(killed.join("spill")).unwrap();
        fs::write(killed.join(LOCK), "").unwrap();
        fs::write(killed.join("spill/0"), "rows").unwrap();
        let foreign = dir.path().join("selvedge-notes");
        fs::create_dir(&foreign).unwrap();

        let next = Scratch::new(dir.path(), "next").unwrap();
        assert!(!killed.exists());
        assert!(living.path().join(LOCK).exists() && next.path().exists() && foreign.exists());
        let path = next.path().to_path_buf();
        drop(next);
        assert!(!path.exists());
    }
}
