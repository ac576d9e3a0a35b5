//! Where files are written before anybody may see them: a hidden folder inside the data set, so that publishing is a rename.
//!
//! ```text
//! inventory/                      the data set
//!   _selvedge.json                the manifest (see `publish`)
//!   part-0-0.parquet
//!   .selvedge-RUN-NODE/           a run at work; locked while a writer of it lives
//!     0-0.part                    instance 0, its first file
//!     flushed-0-1                 instance 0 has flushed epoch 1: from here on only a commit or an abort removes its files
//! ```
//!
//! A run that is killed leaves its folder behind. Once nobody holds its lock and nothing in it was flushed, no commit can
//! ever come for it, and the next run removes it.

use super::publish::Manifest;
use super::scatter::escape;
use super::target::Target;
use selvedge_node::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const PREFIX: &str = ".selvedge-";
const FLUSHED: &str = "flushed-";

/// The name of the staging folder of one node in one run.
pub fn folder_name(run: &str, node: &str) -> String {
    format!("{PREFIX}{}-{}", escape(run), escape(node))
}

/// Held while the manifest is read or written. Waits for others. `None` where the file system has no locks.
pub fn lock(folder: &Path) -> Result<Option<File>> {
    let doing = |e: &std::io::Error| Error::io("locking", folder.display(), e);
    let file = File::open(folder).map_err(|e| doing(&e))?;
    match file.lock() {
        Ok(()) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::Unsupported => Ok(None),
        Err(e) => Err(doing(&e)),
    }
}

/// Makes a file, or what names a folder holds, survive a loss of power.
pub fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| Error::io("syncing", path.display(), &e))
}

/// Above this number, one sync of the whole file system is cheaper than one for each file.
const FEW: usize = 16;

/// Makes files, or the names in folders, survive a loss of power.
pub fn sync_all<'a>(within: &Path, paths: impl ExactSizeIterator<Item = &'a Path>) -> Result<()> {
    if paths.len() > FEW && sync_file_system(within) {
        return Ok(());
    }
    for path in paths {
        sync(path)?;
    }
    Ok(())
}

/// `false` where there is no such call, or it failed: then each file has to be asked.
#[cfg(target_os = "linux")]
fn sync_file_system(within: &Path) -> bool {
    use std::os::fd::AsRawFd;
    let Ok(folder) = File::open(within) else { return false };
    // SAFETY: the descriptor is open for the whole call, which touches no memory.
    unsafe { libc::syncfs(folder.as_raw_fd()) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_: &Path) -> bool {
    false
}

/// One writer's part of the staging folder.
pub struct Staging {
    pub folder: PathBuf,
    instance: usize,
    next: usize,
    /// Files that no flush has made safe yet: removed when this is dropped.
    unflushed: Vec<PathBuf>,
    /// Shared with the other writers of this run; given back by the end of the process at the latest.
    _lock: Option<File>,
}

impl Staging {
    /// Opens the staging folder; refuses a data set that `replace` could not replace.
    pub fn open(target: &Path, name: &str, instance: usize, replace: bool) -> Result<Staging> {
        fs::create_dir_all(target).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                Error::world(format!("{} is a file, but should be a folder", target.display()))
                    .help("`path` names the folder that the files go to; the files have names of their own")
            }
            _ => Error::io("making", target.display(), &e),
        })?;
        let guard = lock(target)?;
        let data_set = Target::from(target);
        let manifest = Manifest::read(&data_set)?.unwrap_or_default();
        if replace {
            manifest.refuse_foreign(&data_set)?;
        }
        sweep(target, name, &manifest);
        let folder = target.join(name);
        fs::create_dir_all(&folder).map_err(|e| Error::io("making", folder.display(), &e))?;
        let shared = File::open(&folder).map_err(|e| Error::io("opening", folder.display(), &e))?;
        let shared = shared.lock_shared().is_ok().then_some(shared);
        drop(guard);
        Ok(Staging { folder, instance, next: 0, unflushed: vec![], _lock: shared })
    }

    /// A new file and its name in the folder.
    pub fn create(&mut self) -> Result<(File, String)> {
        let name = format!("{}-{}.part", self.instance, self.next);
        self.next += 1;
        let path = self.folder.join(&name);
        let file = File::create(&path).map_err(|e| Error::io("making", path.display(), &e))?;
        self.unflushed.push(path);
        Ok((file, name))
    }

    /// From now on the files wait for a commit, whatever becomes of this process. Gives the name of the mark.
    pub fn flushed(&mut self, epoch: u64) -> Result<String> {
        sync_all(&self.folder, self.unflushed.iter().map(PathBuf::as_path))?;
        let mark = format!("{FLUSHED}{}-{epoch}", self.instance);
        let path = self.folder.join(&mark);
        File::create(&path).map_err(|e| Error::io("making", path.display(), &e))?;
        sync(&self.folder)?;
        self.unflushed.clear();
        Ok(mark)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for file in &self.unflushed {
            // Best effort: what stays is swept by the next run.
            _ = fs::remove_file(file);
        }
        // Goes only if it is empty: other writers and flushed files keep it.
        _ = fs::remove_dir(&self.folder);
    }
}

/// Removes staging folders of runs that died before a flush. The data set is locked, so no run is just starting.
fn sweep(target: &Path, ours: &str, manifest: &Manifest) {
    let Ok(entries) = fs::read_dir(target) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with(PREFIX) || name == ours || manifest.awaits(name) {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        let dead = match folder.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        };
        if dead && !has_flushed(&entry.path()) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Unreadable counts as flushed: when in doubt, keep.
fn has_flushed(folder: &Path) -> bool {
    let Ok(mut files) = fs::read_dir(folder) else { return true };
    files.any(|f| f.map_or(true, |f| f.file_name().to_string_lossy().starts_with(FLUSHED)))
}
