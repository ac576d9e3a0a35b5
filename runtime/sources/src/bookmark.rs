//! Files that no earlier run has read: what a run remembers of a file is what the file looked like when it was read.

use crate::lake::Found;
use crate::version::stamp;
use schemars::JsonSchema;
use selvedge_node::{Error, Next, Out, Positions, Reader, Result, Source, Split, Task, Watermark};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;

/// Which files are new.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bookmark {
    /// What to do with a file that was read and has changed since.
    #[serde(default)]
    changed: Changed,
}

/// What to do with a file that was read and has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
enum Changed {
    /// The run stops before it reads anything.
    #[default]
    Fail,
    /// It is read again, whole.
    Read,
    /// It is passed over.
    Skip,
}

/// What a file looked like, and in how many parts it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u64,
    parts: usize,
}

impl Stamp {
    fn of(file: &Found, parts: usize) -> Result<Stamp> {
        let (bytes, modified) = stamp(file)?;
        Ok(Stamp { bytes, modified, parts })
    }

    fn same_file(&self, other: &Stamp) -> bool {
        (self.bytes, self.modified) == (other.bytes, other.modified)
    }
}

/// A file and its splits.
type Parts<'a> = (&'a Found, Vec<Box<dyn Split>>);

/// A source of files that leaves out those that were read.
pub struct OnlyNew {
    pub source: Box<dyn Source>,
    pub files: Vec<Found>,
    pub bookmark: Bookmark,
}

impl OnlyNew {
    /// The file that a split is of: splits are named by their file, and by the part of it in brackets.
    fn file_of(&self, split: &str) -> Option<&Found> {
        let of =
            |file: &&Found| split.strip_prefix(&file.name).is_some_and(|part| part.is_empty() || part.starts_with('['));
        self.files.iter().filter(of).max_by_key(|file| file.name.len())
    }

    /// Of the parts of a file those that are to be read.
    fn new_parts(&self, file: &Found, parts: Vec<Box<dyn Split>>, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let now = Stamp::of(file, parts.len())?;
        let mut known = BTreeMap::new();
        for (split, position) in from {
            if self.file_of(split).is_some_and(|of| of.name == file.name) {
                let stamp: Stamp = serde_json::from_str(position).map_err(|e| {
                    Error::world(format!("the position `{position}` of `{split}` cannot be read: {e}"))
                        .help("have what was read forgotten: `selvedge bookmark reset`")
                })?;
                known.insert(split.as_str(), stamp);
            }
        }
        let seen = !known.is_empty();
        known.retain(|_, stamp| stamp.same_file(&now));
        let new = |parts: Vec<Box<dyn Split>>| {
            let new = |split| Box::new(NewSplit { split, stamp: now.clone() }) as Box<dyn Split>;
            parts.into_iter().map(new).collect()
        };
        let Some(stamp) = known.values().next() else {
            return match self.bookmark.changed {
                Changed::Fail if seen => {
                    Err(Error::world(format!("`{}` was read by an earlier run and has changed since", file.name)).help(
                        "say what to do: bookmark: (changed: Read) reads such a file again, whole, (changed: Skip) passes it over",
                    ))
                }
                Changed::Skip if seen => Ok(vec![]),
                _ => Ok(new(parts)),
            };
        };
        if known.len() == stamp.parts {
            return Ok(vec![]);
        }
        // A run that was killed has read some parts of it.
        if stamp.parts != parts.len() || known.keys().any(|name| parts.iter().all(|part| part.name() != *name)) {
            let message =
                format!("`{}` was read in part by a run that was killed, cut into other parts than now", file.name);
            return Err(Error::world(message).help("set `split_bytes` as it was, for one run"));
        }
        Ok(new(parts.into_iter().filter(|part| !known.contains_key(part.name().as_str())).collect()))
    }
}

impl Source for OnlyNew {
    fn version(&self) -> Result<String> {
        self.source.version()
    }
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let mut parts: BTreeMap<&str, Parts> = BTreeMap::new();
        for split in self.source.splits(&Positions::new())? {
            let name = split.name();
            let file = self.file_of(&name).ok_or_else(|| Error::bug(format!("a split `{name}` of no file")))?;
            parts.entry(&file.name).or_insert((file, vec![])).1.push(split);
        }
        let mut new = vec![];
        for (file, parts) in parts.into_values() {
            new.extend(self.new_parts(file, parts, from)?);
        }
        Ok(new)
    }
}

struct NewSplit {
    split: Box<dyn Split>,
    stamp: Stamp,
}

impl Split for NewSplit {
    fn name(&self) -> String {
        self.split.name()
    }
    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        Ok(Box::new(NewReader { reader: self.split.open(task)?, stamp: self.stamp, done: false }))
    }
}

struct NewReader {
    reader: Box<dyn Reader>,
    stamp: Stamp,
    done: bool,
}

impl Reader for NewReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let next = self.reader.read(out)?;
        self.done = next == Next::Done;
        Ok(next)
    }
    /// Not before the part has been read whole.
    fn position(&self) -> Option<String> {
        serde_json::to_string(&self.stamp).ok().filter(|_| self.done)
    }
    fn arrived(&self) -> Option<Instant> {
        self.reader.arrived()
    }
    fn watermark(&self) -> Watermark {
        self.reader.watermark()
    }
}
