//! The seam to object stores: where files are that are no files of this machine.

use bytes::Bytes;
use selvedge_node::{Error, Result};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// An object, as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Below the connection's prefix, with `/` between its parts.
    pub name: String,
    pub bytes: u64,
    /// Another text where the content is another: its ETag.
    pub version: String,
}

/// What a small object is written over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Over {
    /// There is none.
    #[default]
    Nothing,
    /// It is the one of this version.
    Version(String),
}

/// A bucket, or a part of one. All names are below the connection's prefix.
pub trait Store: Send + Sync {
    /// `s3://bucket/prefix/name`, for people.
    fn place(&self, name: &str) -> String;
    /// The objects in a folder and in all that are below it, in the order of their names; `""`: all.
    fn list(&self, folder: &str) -> Result<Vec<Object>>;
    fn find(&self, name: &str) -> Result<Option<Object>>;
    /// A range of each of these objects, many at a time.
    fn ranges(&self, of: &[(Object, Range<u64>)]) -> Result<Vec<Bytes>>;
    /// For reading: what is read is this version, or an error.
    fn open(&self, object: &Object) -> Arc<dyn ReadAt>;
    /// A small object, whole, and its version.
    fn get(&self, name: &str) -> Result<Option<(Bytes, String)>>;
    /// Writes a small object, whole, over what is known to be there; its version, or `None`: there is something else.
    fn put(&self, name: &str, bytes: Bytes, over: &Over) -> Result<Option<String>>;
    /// Begins an object that nobody sees before it is [`complete`](Store::complete)d.
    fn upload(&self, name: &str) -> Result<Box<dyn Upload>>;
    /// Makes an uploaded object visible. May come again; `bytes` tells whether it was there already.
    fn complete(&self, name: &str, uploaded: &str, bytes: u64) -> Result<()>;
    /// Forgets what was uploaded. Best effort.
    fn forget(&self, name: &str, uploaded: &str);
    /// Those that are not there are no error.
    fn remove(&self, names: &[String]) -> Result<()>;
}

/// An object on its way.
pub trait Upload: Send {
    /// The next bytes: [`PART`] of them, fewer at the end only.
    fn part(&mut self, bytes: Bytes) -> Result<()>;
    /// All parts have arrived. What [`Store::complete`] wants to know: readable text, kept in checkpoints.
    fn finish(self: Box<Self>) -> Result<String>;
}

/// Bytes of a part of an upload. S3 takes 10,000 of at least 5 MiB: 80 GiB at most.
pub const PART: usize = 8 << 20;

/// Bytes that can be read at any place: a file, or an object of a [`Store`].
pub trait ReadAt: Send + Sync {
    fn length(&self) -> io::Result<u64>;
    /// Fills a part of `buffer` from the front; 0: the end.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Exactly these bytes.
    fn range(&self, range: Range<u64>) -> io::Result<Bytes>;
    /// These bytes in their order, read ahead where that helps. Ends early where the bytes do.
    fn stream(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read + Send>;
    /// These ranges are read soon, and may be fetched together and kept.
    fn want(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        let _ = ranges;
        Ok(())
    }
    /// What is kept of them, in bytes.
    fn held(&self) -> u64 {
        0
    }
}

impl ReadAt for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }
    fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        // A length out of a damaged file may be anything.
        if range.end > self.length()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        self.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
    fn stream(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read + Send> {
        Box::new(Part { file: self, range })
    }
}

/// A part of a file, read without moving the place that others read at.
struct Part {
    file: Arc<File>,
    range: Range<u64>,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.end.saturating_sub(self.range.start)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = FileExt::read_at(&*self.file, &mut buffer[..most], self.range.start)?;
        self.range.start += read as u64;
        Ok(read)
    }
}

/// An error of the network on its way through a decoder that knows errors of the system only.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Outside(Error);

/// As an error of the system, out of which [`failed`] takes it again.
pub fn through(e: Error) -> io::Error {
    io::Error::other(Outside(e))
}

/// Whether the system or the network failed, and not the data.
pub fn is_outside(e: &io::Error) -> bool {
    e.raw_os_error().is_some() || e.get_ref().is_some_and(|e| e.is::<Outside>())
}

/// What failed, as a node says it.
pub fn failed(doing: &str, what: &str, e: &io::Error) -> Error {
    match e.get_ref().and_then(|e| e.downcast_ref::<Outside>()) {
        Some(Outside(e)) => e.clone(),
        None => Error::io(doing, what, e),
    }
}
