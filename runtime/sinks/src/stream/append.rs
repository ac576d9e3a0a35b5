//! Appending all or nothing, and nothing twice: what is to be appended is noted before, with the length that each shard has.

use crate::files::staging;
use selvedge_node::{Commit, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const INTENT: &str = ".selvedge-appends.json";

/// A staged file and the shard that it goes to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Append {
    pub shard: String,
    /// Below the folder of the shards.
    pub staged: PathBuf,
    pub bytes: u64,
    /// How long the shard was before: known when the intent is written.
    pub from: u64,
}

/// The last commit of a folder: done, or begun.
#[derive(Debug, Serialize, Deserialize)]
struct Intent {
    run: String,
    epoch: u64,
    appends: Vec<Append>,
}

/// Appends what was staged. The same commit may come again: then what is missing is done.
pub fn append_all(folder: &Path, commit: &Commit, mut appends: Vec<Append>) -> Result<()> {
    let _lock = staging::lock(folder)?;
    if let Some(last) = read(folder)? {
        // Of a run that was killed in between: its rows are on the way, and nobody else will bring them.
        last.appends.iter().try_for_each(|append| bring(folder, append))?;
        if last.run == commit.run && last.epoch == commit.epoch {
            return Ok(());
        }
    }
    if appends.is_empty() {
        return Ok(());
    }
    let mut lengths: HashMap<String, u64> = HashMap::new();
    for append in &mut appends {
        let length = match lengths.get(&append.shard) {
            Some(length) => *length,
            None => length(&folder.join(&append.shard))?,
        };
        append.from = length;
        lengths.insert(append.shard.clone(), length + append.bytes);
    }
    let intent = Intent { run: commit.run.clone(), epoch: commit.epoch, appends };
    write(folder, &intent)?;
    intent.appends.iter().try_for_each(|append| bring(folder, append))
}

fn length(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(about) => Ok(about.len()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Error::io("reading", path.display(), &e)),
    }
}

/// Appends what of one staged file is not there yet, and removes it.
fn bring(folder: &Path, append: &Append) -> Result<()> {
    let (from, to) = (folder.join(&append.staged), folder.join(&append.shard));
    let mut staged = match File::open(&from) {
        Ok(file) => file,
        // It has been brought: it is removed after that.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("reading", from.display(), &e)),
    };
    let there = length(&to)?;
    let missing = (append.from + append.bytes).checked_sub(there).filter(|missing| *missing <= append.bytes);
    let Some(missing) = missing else {
        return Err(Error::world(format!(
            "{} has {there} bytes, but {} to {} were expected: something else wrote to it",
            to.display(),
            append.from,
            append.from + append.bytes
        ))
        .help("one run at a time may append to a folder of shards; rows that wait for it are in the hidden files beside it"));
    };
    let mut copy = || -> std::io::Result<()> {
        staged.seek(SeekFrom::Start(append.bytes - missing))?;
        let mut shard = File::options().create(true).append(true).open(&to)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match staged.read(&mut buffer)? {
                0 => break,
                n => shard.write_all(&buffer[..n])?,
            }
        }
        shard.sync_data()
    };
    copy().map_err(|e| Error::io("appending to", to.display(), &e))?;
    fs::remove_file(&from).map_err(|e| Error::io("removing", from.display(), &e))
}

fn read(folder: &Path) -> Result<Option<Intent>> {
    let path = folder.join(INTENT);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("reading", path.display(), &e)),
    };
    let intent = serde_json::from_slice(&text);
    intent.map(Some).map_err(|e| {
        Error::data(format!("{} does not say what was appended last: {e}", path.display()))
            .help("if no run was killed while it appended, remove the file")
    })
}

fn write(folder: &Path, intent: &Intent) -> Result<()> {
    let path = folder.join(INTENT);
    let aside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec(intent)?)?;
        file.sync_all()?;
        fs::rename(&aside, &path)
    };
    write().map_err(|e| Error::io("writing", path.display(), &e))
}
