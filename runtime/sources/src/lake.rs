//! Where files are: in a folder of this machine, or in an object store.

use crate::paths::{Paths, find_one, glob, is_hidden, missing, split_glob};
use crate::shelf::{Edge, Shelf};
use selvedge_connect::store::{Object, ReadAt, Store};
use selvedge_connect::{Connectors, Embedded};
use selvedge_node::{Error, Problem, Problems, Result, Site, Span, Spanned};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Where relative paths start.
pub enum Root {
    Folder(PathBuf),
    Store(Arc<dyn Store>),
}

/// A file to read.
#[derive(Clone)]
pub struct Found {
    pub at: At,
    /// Relative to the connection or the graph, with `/` between the parts: as messages and split names show it.
    pub name: String,
    pub bytes: u64,
}

/// Where a file's bytes are.
#[derive(Clone)]
pub enum At {
    Path(PathBuf),
    Object(Arc<Stored>),
}

/// An object among those that were found with it.
pub struct Stored {
    pub object: Object,
    shelf: Arc<Shelf>,
    at: usize,
}

impl Found {
    #[cfg(test)]
    pub fn local(path: &std::path::Path, name: &str) -> Found {
        let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
        Found { at: At::Path(path.to_path_buf()), name: name.into(), bytes }
    }

    pub fn open(&self) -> Result<Arc<dyn ReadAt>> {
        match &self.at {
            At::Path(path) => match File::open(path) {
                Ok(file) => Ok(Arc::new(file)),
                Err(e) => Err(Error::io("opening", &self.name, &e)),
            },
            At::Object(stored) => stored.shelf.open(stored.at, Edge::Start),
        }
    }

    /// As [`open`](Found::open), for formats that are read from their end.
    pub fn open_end(&self) -> Result<Arc<dyn ReadAt>> {
        match &self.at {
            At::Object(stored) => stored.shelf.open(stored.at, Edge::End),
            At::Path(_) => self.open(),
        }
    }

    /// Its length now: a file may have grown since it was found, an object cannot.
    pub fn bytes_now(&self) -> Result<u64> {
        match &self.at {
            At::Path(path) => Ok(std::fs::metadata(path).map_err(|e| Error::io("reading", &self.name, &e))?.len()),
            At::Object(_) => Ok(self.bytes),
        }
    }
}

/// The settings of a connection of the kind `Folder`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Folder {
    path: String,
}

/// A folder of this machine, for what cannot be had from elsewhere.
pub fn folder(kind: &str, connection: Option<&Spanned<String>>, site: &Site) -> std::result::Result<PathBuf, Problem> {
    match (root::<Embedded>(kind, connection, site)?, connection) {
        (Root::Folder(path), _) => Ok(path),
        (Root::Store(_), name) => Err(Problem::error(
            name.map_or(site.span, |n| n.span),
            format!("{kind} needs a connection of the kind Folder"),
        )),
    }
}

/// Where the paths of a node start: at its connection, or without one at the graph's folder.
pub fn root<C: Connectors>(
    kind: &str,
    connection: Option<&Spanned<String>>,
    site: &Site,
) -> std::result::Result<Root, Problem> {
    let Some(name) = connection else { return Ok(Root::Folder(site.base.to_path_buf())) };
    let connection = site.connection(name)?;
    if connection.kind == "Folder" {
        let folder: Folder = connection.config()?;
        return Ok(Root::Folder(connection.base.join(folder.path)));
    }
    C::store(&connection)
        .unwrap_or_else(|| {
            let text = format!("{kind} needs a connection to files, but `{name}` is {}", connection.kind);
            Err(Problem::error(name.span, text).help("Folder(path: \"…\") or ObjectStore(url: \"s3://bucket/prefix\")"))
        })
        .map(Root::Store)
}

impl Root {
    /// That a folder is there: it may be on a disk that is not mounted. A bucket answers when it is asked.
    pub fn there(&self) -> std::result::Result<(), Problem> {
        match self {
            Root::Folder(path) if !path.is_dir() => {
                Err(Problem::nowhere(format!("there is no folder {}", path.display()))
                    .help("check the path of the connection, or choose another --profile"))
            }
            _ => Ok(()),
        }
    }
}

/// The files that the paths name, each once, in the order of their names. `missing_is_fine`: a path without a file is none.
pub fn find(root: &Root, paths: &Spanned<Paths>, missing_is_fine: bool) -> std::result::Result<Vec<Found>, Problems> {
    let mut problems = Problems::default();
    let mut found = BTreeMap::new();
    for path in &paths.value.0 {
        // A single path has no place of its own.
        let at = if path.span == Span::default() { paths.span } else { path.span };
        let files = match root {
            Root::Folder(folder) => find_one(folder, path, at),
            Root::Store(store) => stored(store, path, at),
        };
        match files {
            Ok(files) if files.is_empty() && !missing_is_fine => problems.push(match root {
                Root::Folder(folder) => missing(folder, path, at),
                Root::Store(store) => Problem::error(at, format!("no object is `{path}` in {}", store.place("")))
                    .help("check the path, and the prefix of the connection"),
            }),
            Ok(files) => found.extend(files.into_iter().map(|f| (f.name.clone(), f))),
            Err(problem) => problems.push(problem),
        }
    }
    if paths.value.0.is_empty() {
        problems.push(
            Problem::error(paths.span, "no path is given").help("name a file, a folder or a glob such as `raw/*.csv`"),
        );
    }
    problems.or(found.into_values().collect())
}

/// The objects that one path names: one, those below a folder, or those that a glob matches.
fn stored(store: &Arc<dyn Store>, path: &str, at: Span) -> std::result::Result<Vec<Found>, Problem> {
    let failed = |e: Error| {
        let problem = Problem::error(at, e.message);
        if let Some(help) = e.help { problem.help(help) } else { problem }
    };
    let path = path.strip_prefix("./").unwrap_or(path);
    let (folder, pattern) = split_glob(path);
    let (glob, hidden) = match pattern {
        None => (None, false),
        Some(pattern) => (Some(glob(path, pattern, at)?), pattern.rsplit('/').next().is_some_and(is_hidden)),
    };
    if glob.is_none()
        && !folder.is_empty()
        && !folder.ends_with('/')
        && let Some(object) = store.find(folder).map_err(failed)?
    {
        return Ok(shelved(store, vec![object]));
    }
    let folder = folder.trim_matches('/');
    let below = |object: &Object| match folder {
        "" => Some(object.name.clone()),
        _ => Some(object.name.strip_prefix(folder)?.strip_prefix('/')?.to_string()),
    };
    let wanted = |object: &Object| {
        below(object).is_some_and(|name| {
            (hidden || !name.split('/').any(is_hidden)) && glob.as_ref().is_none_or(|glob| glob.is_match(&name))
        })
    };
    let objects = store.list(folder).map_err(failed)?;
    Ok(shelved(store, objects.into_iter().filter(wanted).collect()))
}

fn shelved(store: &Arc<dyn Store>, objects: Vec<Object>) -> Vec<Found> {
    let shelf = Arc::new(Shelf::new(store.clone(), objects.clone()));
    let found = objects.into_iter().enumerate().map(|(at, object)| {
        let (name, bytes) = (object.name.clone(), object.bytes);
        Found { at: At::Object(Arc::new(Stored { object, shelf: shelf.clone(), at })), name, bytes }
    });
    found.collect()
}
