//! Where a data set is: a folder of this machine, or a folder of an object store. What publishing needs of either.

use super::publish::{Entry, Move};
use super::staging::{sync, sync_all};
use bytes::Bytes;
use selvedge_connect::store::{Over, Store};
use selvedge_node::{Error, Result};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone)]
pub enum Target {
    Folder(PathBuf),
    Store(Prefix),
}

/// A folder of an object store.
#[derive(Clone)]
pub struct Prefix {
    pub store: Arc<dyn Store>,
    /// Without a `/` at its end.
    pub folder: String,
}

/// Uploads completed at a time.
const TOGETHER: usize = 16;

impl From<&Target> for Target {
    fn from(target: &Target) -> Target {
        target.clone()
    }
}

impl From<&PathBuf> for Target {
    fn from(folder: &PathBuf) -> Target {
        Target::Folder(folder.clone())
    }
}

impl From<&Path> for Target {
    fn from(folder: &Path) -> Target {
        Target::Folder(folder.to_path_buf())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Target::Folder(path) => write!(f, "{}", path.display()),
            Target::Store(prefix) => f.write_str(&prefix.store.place(&prefix.folder)),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Prefix {
    pub fn name(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_string() } else { format!("{}/{name}", self.folder) }
    }
}

impl Target {
    /// Held while the manifest is read or written. An object store has no locks: there a manifest is written over the one that was
    /// read, or not at all.
    pub fn lock(&self) -> Result<Option<File>> {
        match self {
            Target::Folder(path) => super::staging::lock(path),
            Target::Store(_) => Ok(None),
        }
    }

    /// A small file, and what it takes to write over it.
    pub fn read(&self, name: &str) -> Result<Option<(Bytes, Over)>> {
        match self {
            Target::Folder(folder) => match fs::read(folder.join(name)) {
                Ok(bytes) => Ok(Some((bytes.into(), Over::Nothing))),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(Error::io("reading", folder.join(name).display(), &e)),
            },
            Target::Store(prefix) => {
                let got = prefix.store.get(&prefix.name(name))?;
                Ok(got.map(|(bytes, version)| (bytes, Over::Version(version))))
            }
        }
    }

    /// Writes a small file whole. `None`: somebody else has written it since it was read.
    pub fn write(&self, name: &str, bytes: Bytes, over: &Over) -> Result<Option<Over>> {
        match self {
            Target::Folder(folder) => write(folder, name, &bytes).map(|()| Some(Over::Nothing)),
            Target::Store(prefix) => Ok(prefix.store.put(&prefix.name(name), bytes, over)?.map(Over::Version)),
        }
    }

    /// Whether a name that is to be given is taken. In an object store no two writers want the same.
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Target::Folder(folder) => folder.join(name).exists(),
            Target::Store(_) => false,
        }
    }

    /// Gives staged files their final names. What an earlier try has done is done.
    pub fn publish(&self, moves: &[Move]) -> Result<()> {
        match self {
            Target::Folder(folder) => rename(folder, moves),
            Target::Store(prefix) => complete(prefix, moves),
        }
    }

    pub fn remove(&self, names: &[String]) -> Result<()> {
        match self {
            Target::Folder(folder) => names.iter().try_for_each(|name| remove(folder, name)),
            Target::Store(prefix) => {
                prefix.store.remove(&names.iter().map(|name| prefix.name(name)).collect::<Vec<_>>())
            }
        }
    }

    /// Visible files that are not ours, two at most.
    pub fn foreign(&self, ours: &BTreeSet<String>) -> Result<Vec<String>> {
        let mut found = vec![];
        match self {
            Target::Folder(folder) => find_foreign(folder, "", ours, &mut found)?,
            Target::Store(prefix) => {
                let below = |name: String| match prefix.folder.as_str() {
                    "" => Some(name),
                    folder => Some(name.strip_prefix(folder)?.strip_prefix('/')?.to_string()),
                };
                let names = prefix.store.list(&prefix.folder)?.into_iter().filter_map(|o| below(o.name));
                let visible = names.filter(|name| !name.split('/').any(is_hidden));
                found = visible.filter(|name| !ours.contains(name)).take(2).collect();
            }
        }
        Ok(found)
    }
}

/// Names of partitions are never hidden.
fn is_hidden(name: &str) -> bool {
    (name.starts_with('.') || name.starts_with('_')) && !name.contains('=')
}

/// Written beside and renamed: there is always a whole one.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let new = folder.join(format!("{name}.new"));
    let written = File::create(&new).and_then(|mut f| {
        f.write_all(bytes)?;
        f.sync_all()
    });
    written.and_then(|()| fs::rename(&new, folder.join(name))).map_err(|e| Error::io("writing", new.display(), &e))?;
    sync(folder)
}

fn rename(target: &Path, moves: &[Move]) -> Result<()> {
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for step in moves {
        let (from, to) = (target.join(&step.from), target.join(&step.to.name));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|e| Error::io("making", parent.display(), &e))?;
            // The names of new folders have to last as well.
            folders.extend(parent.ancestors().take_while(|a| a.starts_with(target)).map(Path::to_path_buf));
        }
        match fs::rename(&from, &to) {
            Ok(()) => {}
            // An earlier try got this far.
            Err(e) if e.kind() == ErrorKind::NotFound && to.exists() => {}
            Err(e) => return Err(Error::io("publishing", to.display(), &e)),
        }
    }
    sync_all(target, folders.iter().map(PathBuf::as_path))
}

/// Each makes one object visible; they are independent.
fn complete(prefix: &Prefix, moves: &[Move]) -> Result<()> {
    let one = |step: &Move| {
        let Move { from, to: Entry { name, bytes, .. } } = step;
        let (_, uploaded) = from.split_once('/').ok_or_else(|| Error::bug(format!("`{from}` is no upload")))?;
        prefix.store.complete(&prefix.name(name), uploaded, *bytes)
    };
    std::thread::scope(|scope| {
        let each = moves.len().div_ceil(TOGETHER).max(1);
        let some = |steps| scope.spawn(move || <[Move]>::iter(steps).try_for_each(one));
        let threads: Vec<_> = moves.chunks(each).map(some).collect();
        let lost = || Err(Error::bug("a thread that published panicked"));
        threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|_| lost()))
    })
}

fn remove(target: &Path, name: &str) -> Result<()> {
    let path = target.join(name);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io("removing the old", path.display(), &e)),
        _ => {}
    }
    // Partitions that have no file any more; stops at the first folder that is not empty.
    for folder in path.ancestors().skip(1).take_while(|a| *a != target && a.starts_with(target)) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

fn find_foreign(target: &Path, within: &str, ours: &BTreeSet<String>, found: &mut Vec<String>) -> Result<()> {
    let folder = target.join(within);
    let failed = |e: &std::io::Error| Error::io("listing", folder.display(), e);
    for entry in fs::read_dir(&folder).map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if found.len() > 1 || is_hidden(&name) {
            continue;
        }
        let path = if within.is_empty() { name } else { format!("{within}/{name}") };
        if entry.file_type().map_err(|e| failed(&e))?.is_dir() {
            find_foreign(target, &path, ours, found)?;
        } else if !ours.contains(path.as_str()) {
            found.push(path);
        }
    }
    Ok(())
}
