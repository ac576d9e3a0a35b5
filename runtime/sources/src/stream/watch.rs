//! The folder of a stream: which shards there are, who is to be woken when one grows, and where each was read to.

use super::Decoding;
use super::clock::Rules;
use super::shard::{Place, Shard};
use crate::lake::{At, Found, Root, find};
use crate::paths::Paths;
use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use selvedge_node::{Positions, Problems, Source, Spanned, Split, Wake, prelude::*};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A stream of a graph.
pub struct Folder {
    root: PathBuf,
    path: Spanned<Paths>,
    decoding: Decoding,
    rules: Option<Rules>,
    shared: Arc<Shared>,
    /// Kept for as long as the stream is read.
    watcher: Mutex<Option<RecommendedWatcher>>,
}

/// What the readers of all shards and the watcher know together.
#[derive(Default)]
pub struct Shared {
    /// A file may have come up.
    changed: AtomicBool,
    /// By instance.
    wakes: Mutex<HashMap<usize, Wake>>,
    /// When each file grew first since its reader last looked.
    grown: Mutex<HashMap<PathBuf, Instant>>,
    /// Files that are being read: name and number. One that was renamed is not another one.
    open: Mutex<HashSet<(String, u64)>>,
    /// Where earlier runs, and readers of this one, have come to.
    places: Mutex<Positions>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The system tells of a change.
    fn heard(&self, event: &notify::Event) {
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => {}
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                self.changed.store(true, SeqCst);
            }
            // Reading is an event too.
            _ => return,
        }
        let now = Instant::now();
        let mut grown = lock(&self.grown);
        event.paths.iter().for_each(|path| _ = grown.entry(path.clone()).or_insert(now));
        drop(grown);
        lock(&self.wakes).values().for_each(Wake::wake);
    }

    pub fn wake(&self, task: &Task) {
        lock(&self.wakes).entry(task.instance).or_insert_with(|| task.wake.clone());
    }

    /// When a file grew first since this was asked with `forget`.
    pub fn grown(&self, path: &Path, forget: bool) -> Option<Instant> {
        match forget {
            true => lock(&self.grown).remove(path),
            false => lock(&self.grown).get(path).copied(),
        }
    }

    /// A reader goes over to a file; `None`: somebody has it.
    pub fn take(&self, name: &str, number: u64) -> bool {
        lock(&self.open).insert((name.to_string(), number))
    }

    pub fn leave(&self, name: &str, number: u64) {
        lock(&self.open).remove(&(name.to_string(), number));
        // It may have come back meanwhile.
        self.changed.store(true, SeqCst);
    }

    pub fn place(&self, name: &str) -> Option<Place> {
        Place::read(lock(&self.places).get(name)?)
    }

    pub fn remember(&self, name: &str, place: String) {
        lock(&self.places).insert(name.to_string(), place);
    }
}

impl Folder {
    pub fn new(root: PathBuf, path: Spanned<Paths>, decoding: Decoding, rules: Option<Rules>) -> Folder {
        Folder { root, path, decoding, rules, shared: Arc::default(), watcher: Mutex::default() }
    }

    /// The folder that the pattern starts in, and whether it reaches below.
    fn watched(&self) -> (PathBuf, RecursiveMode) {
        let pattern = self.path.value.0.first().map_or("", |p| p.as_str());
        let glob = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
        let fixed = match glob < pattern.len() {
            true => &pattern[..pattern[..glob].rfind('/').map_or(0, |slash| slash + 1)],
            false => pattern,
        };
        let start = self.root.join(fixed);
        let below = glob == pattern.len() || pattern[glob..].contains('/');
        let mode = if below { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        match start.is_file() {
            true => (start.parent().unwrap_or(&start).to_path_buf(), RecursiveMode::NonRecursive),
            false => (start, mode),
        }
    }

    fn watch(&self) -> Result<RecommendedWatcher> {
        let (folder, mode) = self.watched();
        let shared = self.shared.clone();
        let failed = |e: notify::Error| {
            let error = Error::world(format!("watching {}: {e}", folder.display()));
            match e.kind {
                notify::ErrorKind::MaxFilesWatch => error.help(
                    "the system allows no more watches: raise fs.inotify.max_user_watches and fs.inotify.max_user_instances",
                ),
                _ => error.help("the folder of a stream must be there, even if it is empty"),
            }
        };
        let heard = move |event: notify::Result<notify::Event>| match event {
            Ok(event) => shared.heard(&event),
            // Some events may be lost: whatever there is to see is looked at.
            Err(_) => shared.heard(&notify::Event::new(EventKind::Create(notify::event::CreateKind::Any))),
        };
        let mut watcher = notify::recommended_watcher(heard).map_err(failed)?;
        watcher.watch(&folder, mode).map_err(failed)?;
        Ok(watcher)
    }

    /// Shards that nobody reads.
    fn fresh(&self) -> Result<Vec<Box<dyn Split>>> {
        let files = find(&Root::Folder(self.root.clone()), &self.path, true).map_err(|Problems(problems)| {
            Error::world(problems.into_iter().next().map_or_else(String::new, |problem| problem.message))
        })?;
        let mut splits: Vec<Box<dyn Split>> = vec![];
        for Found { at, name, .. } in files {
            let At::Path(path) = at else { continue };
            let shard = Shard::open(path, name, self.decoding.clone(), self.rules.clone(), self.shared.clone())?;
            splits.extend(shard.map(|shard| Box::new(shard) as Box<dyn Split>));
        }
        Ok(splits)
    }
}

impl Source for Folder {
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        *lock(&self.shared.places) = from.clone();
        // Before the first look, so that nothing comes up in between.
        *lock(&self.watcher) = Some(self.watch()?);
        self.fresh()
    }

    fn discover(&self, task: &Task) -> Result<Vec<Box<dyn Split>>> {
        self.shared.wake(task);
        match self.shared.changed.swap(false, SeqCst) {
            true => self.fresh(),
            false => Ok(vec![]),
        }
    }
}
