//! Reading an object: ranges as they are asked for, those that are wanted soon together, and streams with chunks read ahead.

use crate::bucket::Bucket;
use crate::error::error;
use bytes::{Buf, Bytes};
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange};
use selvedge_connect::store::{Object, ReadAt, Store, through};
use selvedge_connect::{spawn, wait};
use selvedge_node::Result;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{Receiver, channel};

/// What one request of a stream asks for, and how many are on their way.
const CHUNK: u64 = 4 << 20;
const AHEAD: usize = 2;
/// Ranges that are wanted soon and nearer to each other than this are one request.
const GAP: u64 = 256 << 10;
/// How many requests for them are on their way at a time.
const TOGETHER: usize = 8;

pub struct Remote {
    bucket: Bucket,
    object: Object,
    /// What was wanted, in the order of its places.
    kept: Mutex<Vec<(u64, Bytes)>>,
}

impl Remote {
    pub fn new(bucket: Bucket, object: Object) -> Remote {
        Remote { bucket, object, kept: Mutex::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Bytes)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One ranged request. Another version than the listed one is refused by the store.
pub async fn fetch(bucket: Bucket, object: Object, range: Range<u64>) -> Result<Bytes> {
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let wanted = range.end - range.start;
    let options = GetOptions {
        range: Some(GetRange::Bounded(range)),
        // Versions of stores without ETags are times, and begin with a digit.
        if_match: object.version.starts_with(['"', 'W']).then(|| object.version.clone()),
        ..Default::default()
    };
    let place = bucket.place(&object.name);
    let path = bucket.path(&object.name)?;
    let got = async { bucket.client.read().get_opts(&path, options).await?.bytes().await };
    match got.await {
        Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
        Ok(_) => Err(changed(&place)),
        Err(object_store::Error::Precondition { .. }) => Err(changed(&place)),
        Err(e) => Err(error("reading", &place, &e)),
    }
}

fn changed(place: &str) -> selvedge_node::Error {
    selvedge_node::Error::world(format!("{place} was written anew while it was read"))
        .help("let objects be written under new names, not over old ones")
}

impl ReadAt for Remote {
    fn length(&self) -> io::Result<u64> {
        Ok(self.object.bytes)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let end = at.saturating_add(buffer.len() as u64).min(self.object.bytes);
        if at >= end {
            return Ok(0);
        }
        // Of what is kept as much as there is: the rest is another request's.
        let kept = self.kept().iter().find(|(from, bytes)| (*from..from + bytes.len() as u64).contains(&at)).cloned();
        let bytes = match kept {
            Some((from, bytes)) => {
                let start = (at - from) as usize;
                bytes.slice(start..bytes.len().min(start + (end - at) as usize))
            }
            None => self.range(at..end)?,
        };
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        // A length out of a damaged file may be anything.
        if range.end > self.object.bytes || range.start > range.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let inside = |(at, bytes): &&(u64, Bytes)| *at <= range.start && range.end <= at + bytes.len() as u64;
        if let Some((at, bytes)) = self.kept().iter().find(inside) {
            return Ok(bytes.slice((range.start - at) as usize..(range.end - at) as usize));
        }
        wait(fetch(self.bucket.clone(), self.object.clone(), range)).and_then(|got| got).map_err(through)
    }

    fn stream(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read + Send> {
        let range = range.start..range.end.min(self.object.bytes);
        let chunks = (range.start..range.end).step_by(CHUNK as usize).map(move |at| at..(at + CHUNK).min(range.end));
        let (to, chunks_here) = channel(1);
        let started = spawn(async move {
            let (bucket, object) = (&self.bucket, &self.object);
            let fetched = chunks.map(|range| fetch(bucket.clone(), object.clone(), range));
            let mut fetched = futures::stream::iter(fetched).buffered(AHEAD);
            while let Some(chunk) = fetched.next().await {
                let end = chunk.is_err();
                if to.send(chunk).await.is_err() || end {
                    return;
                }
            }
        });
        Box::new(Chunks { chunks: chunks_here, now: Bytes::new(), failed: started.err().map(through) })
    }

    fn want(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        let mut ranges = ranges.to_vec();
        ranges.sort_unstable_by_key(|r| r.start);
        let mut joined: Vec<Range<u64>> = vec![];
        for range in ranges {
            let range = range.start..range.end.min(self.object.bytes);
            match joined.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        let fetched = joined.into_iter().map(|range| async {
            let at = range.start;
            Ok((at, fetch(self.bucket.clone(), self.object.clone(), range).await?))
        });
        let fetched = futures::stream::iter(fetched).buffered(TOGETHER).try_collect::<Vec<_>>();
        *self.kept() = wait(fetched).and_then(|got| got).map_err(through)?;
        Ok(())
    }

    fn held(&self) -> u64 {
        self.kept().iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

struct Chunks {
    chunks: Receiver<Result<Bytes>>,
    now: Bytes,
    failed: Option<io::Error>,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        while self.now.is_empty() {
            match wait(self.chunks.recv()).map_err(through)? {
                Some(chunk) => self.now = chunk.map_err(through)?,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.now.len());
        self.now.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}
