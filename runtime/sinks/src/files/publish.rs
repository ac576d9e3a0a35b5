//! Publishing: staged files become the data set, all of them, once, whatever crashes in between.
//!
//! The manifest `_selvedge.json` is the log. Each line below is one atomic change of it or of the folder; a commit that comes
//! again, or the next commit of any run, goes on from where the last one stopped:
//!
//! ```text
//! 1  manifest: incoming = [staged → final, …]     decided: from here on it will be finished
//! 2  rename each staged file to its final name
//! 3  manifest: files = the new ones, stale = the replaced ones, commits += this one
//! 4  remove the stale files
//! 5  manifest: stale = []
//! ```
//!
//! Only files that a manifest names are ever removed or written over.
//!
//! A stream adds files for years and writes its manifest with each epoch: what the manifest says of older files goes into
//! chapters beside it, `_selvedge-RUN-NODE-EPOCH.json`, which are written once, before the manifest names them.

use super::scatter::escape;
use super::staging::{lock, sync, sync_all};
use selvedge_node::{Commit, Error, Pending, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The manifest's name. Readers of data sets skip names that start with `_` or `.`.
pub const MANIFEST: &str = "_selvedge.json";
/// Commits remembered, so that a late repeat is known for what it is.
const COMMITS: usize = 256;

/// Files that the manifest itself names, at most; few in tests, so that there are chapters.
const CHAPTER: usize = if cfg!(test) { 8 } else { 1024 };
/// What is written: 2 where there are chapters, of which older programs know nothing.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;

/// What `Writer::flush` hands over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Flushed {
    /// The staging folder's name.
    pub staging: String,
    /// The mark to remove with the commit.
    pub mark: String,
    pub files: Vec<Staged>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Staged {
    /// The name in the staging folder.
    pub staged: String,
    /// The final name, relative to the data set.
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    /// Holds no row: wanted only if the data set would have no file at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spare: bool,
}

impl Flushed {
    /// As a commit reads it back.
    pub fn pending(&self) -> Result<Pending> {
        serde_json::to_string(self).map_err(|e| Error::bug(format!("listing what was flushed: {e}")))
    }
}

/// `country=DE/7` → `country=DE/part-0-7.parquet`. A run that adds has its name in it, and so has a later epoch:
/// no two commits may want the same name.
pub fn final_name(prefix: &str, run: Option<&str>, epoch: u64, instance: usize, name: &str, extension: &str) -> String {
    let (folder, number) = name.rsplit_once('/').map_or(("", name), |(f, n)| (f, n));
    let run = run.map(|run| format!("{}-", escape(run))).unwrap_or_default();
    let epoch = if epoch > 1 { format!("e{epoch}-") } else { String::new() };
    let file = format!("{prefix}-{run}{epoch}{instance}-{number}.{extension}");
    if folder.is_empty() { file } else { format!("{folder}/{file}") }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: String,
    rows: u64,
    bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    run: String,
    node: String,
    epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Incoming {
    commit: Id,
    replace: bool,
    moves: Vec<Move>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Move {
    /// The staged file, relative to the data set.
    from: String,
    #[serde(flatten)]
    to: Entry,
}

/// `_selvedge.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    version: u32,
    /// The newest files.
    files: Vec<Entry>,
    /// Chapters, which list all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chapters: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stale: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incoming: Option<Incoming>,
    commits: Vec<Id>,
}

impl Manifest {
    pub fn read(target: &Path) -> Result<Option<Manifest>> {
        let path = target.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("reading", path.display(), &e)),
        };
        let manifest: Manifest = serde_json::from_str(&text).map_err(|e| {
            Error::world(format!("{} is not a manifest of Selvedge: {e}", path.display()))
                .help("it says which files may be replaced; if none may, move it away")
        })?;
        if manifest.version > *VERSIONS.end() {
            return Err(Error::world(format!("{} was written by a newer Selvedge", path.display())));
        }
        Ok(Some(manifest))
    }

    fn write(&mut self, target: &Path) -> Result<()> {
        self.version = if self.chapters.is_empty() { *VERSIONS.start() } else { *VERSIONS.end() };
        write(target, MANIFEST, self)
    }

    /// Moves what is said of the files into a chapter, if that is much.
    fn turn(&mut self, target: &Path, commit: &Id) -> Result<()> {
        if self.files.len() <= CHAPTER {
            return Ok(());
        }
        let name = format!("_selvedge-{}-{}-{}.json", escape(&commit.run), escape(&commit.node), commit.epoch);
        write(target, &name, &self.files)?;
        self.files.clear();
        self.chapters.push(name);
        Ok(())
    }

    /// The names of all files, those in chapters among them.
    fn names(&self, target: &Path) -> Result<BTreeSet<String>> {
        let mut names: BTreeSet<String> = self.files.iter().map(|f| f.name.clone()).collect();
        for chapter in &self.chapters {
            let path = target.join(chapter);
            let text = fs::read(&path).map_err(|e| Error::io("reading", path.display(), &e))?;
            let files: Vec<Entry> = serde_json::from_slice(&text).map_err(|e| {
                Error::world(format!("{} is not a chapter of a manifest: {e}", path.display()))
                    .help("restore it, or move the data set away")
            })?;
            names.extend(files.into_iter().map(|f| f.name));
        }
        Ok(names)
    }

    /// Whether a commit that was begun still needs this staging folder.
    pub fn awaits(&self, staging: &str) -> bool {
        self.incoming.iter().flat_map(|i| &i.moves).any(|m| m.from.split('/').next() == Some(staging))
    }

    /// Refuses a folder with files that are not ours: replacing would mix them with the new ones or lose them.
    pub fn refuse_foreign(&self, target: &Path) -> Result<()> {
        let mut ours = self.names(target)?;
        ours.extend(self.stale.iter().cloned());
        ours.extend(self.incoming.iter().flat_map(|i| &i.moves).map(|m| m.to.name.clone()));
        let mut foreign = vec![];
        find_foreign(target, "", &ours, &mut foreign)?;
        let Some(first) = foreign.first() else { return Ok(()) };
        let more = if foreign.len() > 1 { " and others".to_string() } else { String::new() };
        Err(Error::world(format!("{} holds `{first}`{more}, not written by Selvedge", target.display()))
            .help("move them away, choose another `path`, or write beside them with mode: Append"))
    }
}

/// Written beside and renamed: there is always a whole one.
fn write(target: &Path, name: &str, what: &impl Serialize) -> Result<()> {
    let new = target.join(format!("{name}.new"));
    let text = serde_json::to_vec_pretty(what).map_err(|e| Error::bug(format!("writing the manifest: {e}")))?;
    let written = File::create(&new).and_then(|mut f| {
        f.write_all(&text)?;
        f.sync_all()
    });
    written.and_then(|()| fs::rename(&new, target.join(name))).map_err(|e| Error::io("writing", new.display(), &e))?;
    sync(target)
}

/// Visible files below `folder` that are not ours, two at most.
fn find_foreign(target: &Path, within: &str, ours: &BTreeSet<String>, found: &mut Vec<String>) -> Result<()> {
    let folder = target.join(within);
    let failed = |e: &std::io::Error| Error::io("listing", folder.display(), e);
    for entry in fs::read_dir(&folder).map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if found.len() > 1 || (name.starts_with('.') || name.starts_with('_')) && !name.contains('=') {
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

/// Makes what was flushed the data set (`replace`) or a part of it.
pub fn commit(target: &Path, replace: bool, node: &str, commit: &Commit, pending: &[Pending]) -> Result<()> {
    let flushed = pending.iter().map(|p| parse(p)).collect::<Result<Vec<_>>>()?;
    let id = Id { run: commit.run.clone(), node: node.to_string(), epoch: commit.epoch };
    let _guard = lock(target)?;
    let mut manifest = Manifest::read(target)?.unwrap_or_default();
    finish(target, &mut manifest)?;
    if !manifest.commits.contains(&id) {
        let incoming = decide(target, &manifest, replace, id, &flushed)?;
        // A stream in which nothing happens does not write its manifest again and again.
        if incoming.replace || !incoming.moves.is_empty() {
            manifest.incoming = Some(incoming);
            manifest.write(target)?;
            finish(target, &mut manifest)?;
        }
    }
    clear(target, &flushed);
    Ok(())
}

/// Removes what was flushed, unless its commit has begun.
pub fn abort(target: &Path, pending: &[Pending]) {
    let flushed: Vec<Flushed> = pending.iter().filter_map(|p| parse(p).ok()).collect();
    let Ok(_guard) = lock(target) else { return };
    match Manifest::read(target) {
        Ok(Some(manifest)) if flushed.iter().any(|f| manifest.awaits(&f.staging)) => {}
        Ok(_) => clear(target, &flushed),
        Err(_) => {}
    }
}

fn parse(pending: &str) -> Result<Flushed> {
    serde_json::from_str(pending).map_err(|e| Error::bug(format!("what was flushed cannot be read back: {e}")))
}

/// Step 1: which file goes where.
fn decide(target: &Path, manifest: &Manifest, replace: bool, commit: Id, flushed: &[Flushed]) -> Result<Incoming> {
    // A later epoch of the run adds to what its first one has put in place of the old.
    let first = !manifest.commits.iter().any(|c| c.run == commit.run && c.node == commit.node);
    let replace = replace && first;
    if replace {
        if let Some(other) = manifest.commits.iter().find(|c| c.run == commit.run) {
            return Err(Error::graph(format!(
                "`{}` of this run has already replaced {}",
                other.node,
                target.display()
            ))
            .help("give the two sinks different paths, or mode: Append"));
        }
        manifest.refuse_foreign(target)?;
    }
    let all = || flushed.iter().flat_map(|f| f.files.iter().map(move |file| (f, file)));
    let none =
        all().all(|(_, file)| file.spare) && (replace || manifest.files.is_empty() && manifest.chapters.is_empty());
    let mut spares = usize::from(none);
    let mut moves = vec![];
    for (from, file) in all() {
        if file.spare {
            if spares == 0 {
                continue;
            }
            spares -= 1;
        }
        if !replace && target.join(&file.name).exists() {
            return Err(Error::world(format!("{} exists already", target.join(&file.name).display()))
                .help("files are only added; set file_name to another prefix"));
        }
        let to = Entry { name: file.name.clone(), rows: file.rows, bytes: file.bytes };
        moves.push(Move { from: format!("{}/{}", from.staging, file.staged), to });
    }
    Ok(Incoming { commit, replace, moves })
}

/// Steps 2 to 5, from wherever they stopped.
fn finish(target: &Path, manifest: &mut Manifest) -> Result<()> {
    if let Some(incoming) = &manifest.incoming {
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for step in &incoming.moves {
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
        sync_all(target, folders.iter().map(PathBuf::as_path))?;
    }
    if let Some(incoming) = manifest.incoming.take() {
        let new: Vec<Entry> = incoming.moves.into_iter().map(|m| m.to).collect();
        if incoming.replace {
            let names: BTreeSet<&str> = new.iter().map(|e| e.name.as_str()).collect();
            let old = manifest.names(target)?;
            manifest.stale.extend(old.into_iter().filter(|name| !names.contains(name.as_str())));
            manifest.stale.append(&mut manifest.chapters);
            manifest.files.clear();
        }
        manifest.files.extend(new);
        manifest.turn(target, &incoming.commit)?;
        manifest.commits.push(incoming.commit);
        forget_commits(&mut manifest.commits);
        manifest.write(target)?;
    }
    if !manifest.stale.is_empty() {
        for name in &manifest.stale {
            let path = target.join(name);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("removing the old", path.display(), &e));
                }
                _ => {}
            }
            // Partitions that have no file any more; stops at the first folder that is not empty.
            for folder in path.ancestors().skip(1).take_while(|a| *a != target && a.starts_with(target)) {
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
        manifest.stale.clear();
        manifest.write(target)?;
    }
    Ok(())
}

/// Keeps what is remembered of commits small. The last one of a run and node goes last: it tells that a stream that replaces has
/// done so, however often others have committed since.
fn forget_commits(commits: &mut Vec<Id>) {
    while commits.len() > COMMITS {
        let again =
            |at: usize| commits[at + 1..].iter().any(|c| c.run == commits[at].run && c.node == commits[at].node);
        let oldest = (0..commits.len()).find(|&at| again(at)).unwrap_or(0);
        commits.remove(oldest);
    }
}

/// Removes staged files that nobody needs any more, and the folder if that was all. Best effort.
fn clear(target: &Path, flushed: &[Flushed]) {
    for from in flushed {
        let folder = target.join(&from.staging);
        for file in &from.files {
            _ = fs::remove_file(folder.join(&file.staged));
        }
        _ = fs::remove_file(folder.join(&from.mark));
        // A writer that lives still wants it, and will remove it.
        if File::open(&folder).is_ok_and(|f| f.try_lock().is_ok()) {
            _ = fs::remove_dir(folder);
        }
    }
}
