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
//! In an object store a staged file is an upload that nobody has completed, step 2 completes it, and each change of the manifest is a
//! conditional write: whoever finds that another has written it reads it again and begins anew.
//!
//! A stream adds files for years and writes its manifest with each epoch: what the manifest says of older files goes into
//! chapters beside it, `_selvedge-RUN-NODE-EPOCH.json`, which are written once, before the manifest names them.

use super::scatter::escape;
use super::target::Target;
use bytes::Bytes;
use selvedge_connect::store::Over;
use selvedge_node::{Commit, Error, Pending, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};

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
pub struct Entry {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
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
pub struct Move {
    /// The staging folder, `/`, and the file in it; in an object store, the upload.
    pub from: String,
    #[serde(flatten)]
    pub to: Entry,
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
    /// What it is written over.
    #[serde(skip)]
    over: Over,
}

/// Why a step was not done.
enum Stop {
    /// Another has written the manifest since it was read.
    Overtaken,
    Failed(Error),
}

type Step = std::result::Result<(), Stop>;

impl From<Error> for Stop {
    fn from(e: Error) -> Stop {
        Stop::Failed(e)
    }
}

impl Manifest {
    pub fn read(target: &Target) -> Result<Option<Manifest>> {
        let Some((text, over)) = target.read(MANIFEST)? else { return Ok(None) };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| {
            Error::world(format!("{target}/{MANIFEST} is not a manifest of Selvedge: {e}"))
                .help("it says which files may be replaced; if none may, move it away")
        })?;
        if manifest.version > *VERSIONS.end() {
            return Err(Error::world(format!("{target}/{MANIFEST} was written by a newer Selvedge")));
        }
        Ok(Some(Manifest { over, ..manifest }))
    }

    fn write(&mut self, target: &Target) -> Step {
        self.version = if self.chapters.is_empty() { *VERSIONS.start() } else { *VERSIONS.end() };
        self.over = target.write(MANIFEST, text(self)?, &self.over)?.ok_or(Stop::Overtaken)?;
        Ok(())
    }

    /// Moves what is said of the files into a chapter, if that is much.
    fn turn(&mut self, target: &Target, commit: &Id) -> Result<()> {
        if self.files.len() <= CHAPTER {
            return Ok(());
        }
        let name = format!("_selvedge-{}-{}-{}.json", escape(&commit.run), escape(&commit.node), commit.epoch);
        if target.write(&name, text(&self.files)?, &Over::Nothing)?.is_none() {
            return Err(Error::world(format!("{target}/{name} is there already, and says something else")));
        }
        self.files.clear();
        self.chapters.push(name);
        Ok(())
    }

    /// The names of all files, those in chapters among them.
    fn names(&self, target: &Target) -> Result<BTreeSet<String>> {
        let mut names: BTreeSet<String> = self.files.iter().map(|f| f.name.clone()).collect();
        for chapter in &self.chapters {
            let broken = |why: String| {
                Error::world(format!("{target}/{chapter} is not a chapter of a manifest: {why}"))
                    .help("restore it, or move the data set away")
            };
            let (text, _) = target.read(chapter)?.ok_or_else(|| broken("it is gone".into()))?;
            let files: Vec<Entry> = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
            names.extend(files.into_iter().map(|f| f.name));
        }
        Ok(names)
    }

    /// Whether a commit that was begun still needs this staging folder.
    pub fn awaits(&self, staging: &str) -> bool {
        self.incoming.iter().flat_map(|i| &i.moves).any(|m| m.from.split('/').next() == Some(staging))
    }

    /// Refuses a folder with files that are not ours: replacing would mix them with the new ones or lose them.
    pub fn refuse_foreign(&self, target: &Target) -> Result<()> {
        let mut ours = self.names(target)?;
        ours.extend(self.stale.iter().cloned());
        ours.extend(self.incoming.iter().flat_map(|i| &i.moves).map(|m| m.to.name.clone()));
        let foreign = target.foreign(&ours)?;
        let Some(first) = foreign.first() else { return Ok(()) };
        let more = if foreign.len() > 1 { " and others".to_string() } else { String::new() };
        Err(Error::world(format!("{target} holds `{first}`{more}, not written by Selvedge"))
            .help("move them away, choose another `path`, or write beside them with mode: Append"))
    }
}

fn text(what: &impl Serialize) -> Result<Bytes> {
    let text = serde_json::to_vec_pretty(what).map_err(|e| Error::bug(format!("writing the manifest: {e}")))?;
    Ok(text.into())
}

/// How often a commit begins anew because others commit to the same data set.
const OVERTAKEN: usize = 64;

/// Makes what was flushed the data set (`replace`) or a part of it.
pub fn commit(
    target: impl Into<Target>,
    replace: bool,
    node: &str,
    commit: &Commit,
    pending: &[Pending],
) -> Result<()> {
    let target = &target.into();
    let flushed = pending.iter().map(|p| parse(p)).collect::<Result<Vec<_>>>()?;
    let id = Id { run: commit.run.clone(), node: node.to_string(), epoch: commit.epoch };
    let _guard = target.lock()?;
    for _ in 0..OVERTAKEN {
        match try_commit(target, replace, &id, &flushed) {
            Ok(()) => {
                clear(target, &flushed, true);
                return Ok(());
            }
            Err(Stop::Overtaken) => {}
            Err(Stop::Failed(e)) => return Err(e),
        }
    }
    Err(Error::world(format!("others commit to {target} all the time")).help("run again later").retryable())
}

fn try_commit(target: &Target, replace: bool, id: &Id, flushed: &[Flushed]) -> Step {
    let mut manifest = Manifest::read(target)?.unwrap_or_default();
    finish(target, &mut manifest)?;
    if !manifest.commits.contains(id) {
        let incoming = decide(target, &manifest, replace, id.clone(), flushed)?;
        // A stream in which nothing happens does not write its manifest again and again.
        if incoming.replace || !incoming.moves.is_empty() {
            manifest.incoming = Some(incoming);
            manifest.write(target)?;
            finish(target, &mut manifest)?;
        }
    }
    Ok(())
}

/// Removes what was flushed, unless its commit has begun.
pub fn abort(target: impl Into<Target>, pending: &[Pending]) {
    let target = &target.into();
    let flushed: Vec<Flushed> = pending.iter().filter_map(|p| parse(p).ok()).collect();
    let Ok(_guard) = target.lock() else { return };
    match Manifest::read(target) {
        Ok(Some(manifest)) if flushed.iter().any(|f| manifest.awaits(&f.staging)) => {}
        Ok(_) => clear(target, &flushed, false),
        Err(_) => {}
    }
}

fn parse(pending: &str) -> Result<Flushed> {
    serde_json::from_str(pending).map_err(|e| Error::bug(format!("what was flushed cannot be read back: {e}")))
}

/// Step 1: which file goes where.
fn decide(target: &Target, manifest: &Manifest, replace: bool, commit: Id, flushed: &[Flushed]) -> Result<Incoming> {
    // A later epoch of the run adds to what its first one has put in place of the old.
    let first = !manifest.commits.iter().any(|c| c.run == commit.run && c.node == commit.node);
    let replace = replace && first;
    if replace {
        if let Some(other) = manifest.commits.iter().find(|c| c.run == commit.run) {
            return Err(Error::graph(format!("`{}` of this run has already replaced {target}", other.node))
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
        if !replace && target.holds(&file.name) {
            return Err(Error::world(format!("{target}/{} exists already", file.name))
                .help("files are only added; set file_name to another prefix"));
        }
        let to = Entry { name: file.name.clone(), rows: file.rows, bytes: file.bytes };
        moves.push(Move { from: format!("{}/{}", from.staging, file.staged), to });
    }
    Ok(Incoming { commit, replace, moves })
}

/// Steps 2 to 5, from wherever they stopped.
fn finish(target: &Target, manifest: &mut Manifest) -> Step {
    if let Some(incoming) = &manifest.incoming {
        target.publish(&incoming.moves)?;
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
        target.remove(&manifest.stale)?;
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
fn clear(target: &Target, flushed: &[Flushed], committed: bool) {
    for from in flushed {
        match target {
            Target::Folder(target) => {
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
            // To give up an upload that was completed does nothing.
            Target::Store(prefix) => {
                for file in from.files.iter().filter(|file| file.spare || !committed) {
                    prefix.store.forget(&prefix.name(&file.name), &file.staged);
                }
            }
        }
    }
}
