//! One shard: how far it has been read, and what to do when its file is replaced, cut off or removed.

use super::Decoding;
use super::clock::{Clock, Rules, Timed};
use super::watch::Shared;
use crate::compression::Input;
use crate::ndjson::NdjsonReader;
use selvedge_node::{Next, Reader, Split, Watermark, prelude::*};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// About so many bytes are read at once, as whole lines.
const CHUNK: usize = 1 << 20;
/// A shard without event time is looked at this often although nobody told of a change: a network file system may not.
const LOOK: Duration = Duration::from_secs(60);

/// Where a shard has been read to, as it is kept between runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Number of the file (inode).
    file: u64,
    /// Bytes of it that have been read.
    offset: u64,
    /// Lines in them.
    line: u64,
    /// The latest event among them, in microseconds since 1970.
    time: Option<i64>,
}

impl Place {
    pub fn read(text: &str) -> Option<Place> {
        serde_json::from_str(text).ok()
    }

    fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

/// A shard that was found.
pub struct Shard {
    file: Arc<File>,
    path: PathBuf,
    name: String,
    place: Place,
    /// It was longer when it was read last.
    truncated: bool,
    decoding: Decoding,
    rules: Option<Rules>,
    shared: Arc<Shared>,
}

impl Shard {
    /// `None`: somebody reads it, or it is gone already.
    pub fn open(
        path: PathBuf,
        name: String,
        decoding: Decoding,
        rules: Option<Rules>,
        shared: Arc<Shared>,
    ) -> Result<Option<Shard>> {
        let Some((file, number, bytes)) = open(&path, &name)? else { return Ok(None) };
        if !shared.take(&name, number) {
            return Ok(None);
        }
        let before = shared.place(&name).filter(|place| place.file == number);
        let truncated = before.is_some_and(|place| bytes < place.offset);
        let place = before.filter(|_| !truncated).unwrap_or(Place { file: number, ..Place::default() });
        // Events name the file by its full path.
        let path = path.canonicalize().unwrap_or(path);
        Ok(Some(Shard { file: Arc::new(file), path, name, place, truncated, decoding, rules, shared }))
    }
}

/// The file, its number and its length; `None`: there is none of that name.
fn open(path: &PathBuf, name: &str) -> Result<Option<(File, u64, u64)>> {
    let opened = File::open(path).and_then(|file| {
        let about = file.metadata()?;
        Ok((file, about.ino(), about.len()))
    });
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("opening", name, &e)),
    }
}

impl Split for Shard {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        self.shared.wake(task);
        let clock = self.rules.clone().map(|rules| Clock::new(rules, self.place.time));
        Ok(Box::new(ShardReader { shard: *self, clock, task: task.clone(), scanned: 0, buffer: vec![], since: None }))
    }
}

struct ShardReader {
    shard: Shard,
    clock: Option<Clock>,
    task: Task,
    /// Bytes behind the place that hold no line feed.
    scanned: u64,
    buffer: Vec<u8>,
    /// When what has not been read was appended, at the earliest.
    since: Option<Instant>,
}

/// What is at the end of what has been read.
enum Ahead {
    /// Whole lines, and how many bytes they are: in the buffer, or too many for it.
    Lines(u64),
    Nothing,
}

impl ShardReader {
    fn failed(&self, e: &io::Error) -> Error {
        Error::io("reading", &self.shard.name, e)
    }

    /// Looks for whole lines; at the `end` of a file the last one needs no line feed.
    fn look(&mut self, end: bool) -> Result<Ahead> {
        let from = self.shard.place.offset;
        self.buffer.resize(CHUNK, 0);
        loop {
            let n = self.shard.file.read_at(&mut self.buffer, from + self.scanned).map_err(|e| self.failed(&e))?;
            if n == 0 {
                return Ok(match end && self.scanned > 0 {
                    true => Ahead::Lines(self.scanned),
                    false => Ahead::Nothing,
                });
            }
            // Of a line longer than the buffer, the first feed ends it; else all whole lines are taken.
            let feed = match self.scanned {
                0 => memchr::memrchr(b'\n', &self.buffer[..n]),
                _ => memchr::memchr(b'\n', &self.buffer[..n]),
            };
            if let Some(feed) = feed {
                return Ok(Ahead::Lines(self.scanned + feed as u64 + 1));
            }
            self.scanned += n as u64;
        }
    }

    /// Sends so many bytes of lines.
    fn send(&mut self, bytes: u64, out: &mut dyn Out) -> Result<()> {
        let shard = &mut self.shard;
        let input: Box<dyn Read + Send> = match self.scanned {
            0 => {
                self.buffer.truncate(bytes as usize);
                Box::new(Cursor::new(std::mem::take(&mut self.buffer)))
            }
            _ => Box::new(Part { file: shard.file.clone(), at: shard.place.offset, end: shard.place.offset + bytes }),
        };
        let mut out = Timed { out, clock: self.clock.as_mut() };
        let lines = match &shard.decoding {
            Decoding::Ndjson(layout) => {
                let input = Input::of(input, &shard.name);
                let reader = NdjsonReader::new(layout.clone(), input, shard.name.clone(), None, &self.task);
                let mut reader = reader.behind(shard.place.line);
                while reader.read(&mut out)? != Next::Done {}
                reader.lines()
            }
            Decoding::Lines(plain) => plain.send(input, bytes, &shard.name, shard.place.line, &mut out)?,
        };
        shard.place.offset += bytes;
        shard.place.line += lines;
        shard.place.time = self.clock.as_ref().and_then(Clock::latest);
        self.scanned = 0;
        Ok(())
    }

    /// At the end of the file: whether there is another one to read, from its start. `None`: it is gone for good.
    fn turn(&mut self, out: &mut dyn Out) -> Result<Option<bool>> {
        let shard = &mut self.shard;
        let bytes = shard.file.metadata().map_err(|e| Error::io("reading", &shard.name, &e))?.len();
        if std::mem::take(&mut shard.truncated) || bytes < shard.place.offset {
            out.count("shards truncated", 1);
            shard.place = Place { offset: 0, line: 0, ..shard.place };
            self.scanned = 0;
            return Ok(Some(true));
        }
        let number = match std::fs::metadata(&shard.path) {
            Ok(about) => about.ino(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(Error::io("reading", &shard.name, &e)),
        };
        if number == shard.place.file {
            return Ok(Some(false));
        }
        // Its last line, and what was appended while its name was changed.
        if let Ahead::Lines(bytes) = self.look(true)? {
            self.send(bytes, out)?;
            return Ok(Some(true));
        }
        let shard = &mut self.shard;
        shard.shared.leave(&shard.name, shard.place.file);
        let Some((file, number, _)) = open(&shard.path, &shard.name)? else {
            out.count("shards removed", 1);
            return Ok(None);
        };
        if !shard.shared.take(&shard.name, number) {
            return Ok(None);
        }
        out.count("shards replaced", 1);
        shard.file = Arc::new(file);
        shard.place = Place { file: number, offset: 0, line: 0, time: shard.place.time };
        Ok(Some(true))
    }
}

impl Reader for ShardReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        if self.shard.truncated {
            self.turn(out)?;
        }
        // Forgotten before the look: what grows from here on is told of again.
        let grown = self.shard.shared.grown(&self.shard.path, true);
        self.since = self.since.or(grown);
        match self.look(false)? {
            Ahead::Lines(bytes) => {
                self.send(bytes, out)?;
                Ok(Next::More)
            }
            Ahead::Nothing => match self.turn(out)? {
                Some(true) => Ok(Next::More),
                Some(false) => {
                    self.since = None;
                    let idle = self.clock.as_mut().and_then(Clock::wait);
                    Ok(Next::Idle(idle.unwrap_or(LOOK)))
                }
                None => Ok(Next::Done),
            },
        }
    }

    fn position(&self) -> Option<String> {
        self.shard.place.text()
    }

    fn watermark(&self) -> Watermark {
        self.clock.as_ref().map_or(Watermark::None, Clock::watermark)
    }

    fn arrived(&self) -> Option<Instant> {
        self.since.or_else(|| self.shard.shared.grown(&self.shard.path, false))
    }
}

impl Drop for ShardReader {
    fn drop(&mut self) {
        let Shard { shared, name, place, .. } = &self.shard;
        if let Some(text) = place.text() {
            shared.remember(name, text);
        }
        shared.leave(name, place.file);
    }
}

/// A part of a file that others may read at the same time.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.file.read_at(&mut buffer[..left], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
