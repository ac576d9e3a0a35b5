//! What reads and seeks, for decoders that want a file, over bytes that may be anywhere.

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use selvedge_connect::store::ReadAt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

/// A place in the bytes.
pub struct Seeking {
    bytes: Arc<dyn ReadAt>,
    length: u64,
    at: u64,
}

impl Seeking {
    pub fn new(bytes: Arc<dyn ReadAt>, at: u64) -> io::Result<Seeking> {
        Ok(Seeking { length: bytes.length()?, bytes, at })
    }

    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Read for Seeking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Seeking {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The bytes, as the decoder of Parquet wants them.
pub struct Chunks {
    bytes: Arc<dyn ReadAt>,
    length: u64,
}

impl Chunks {
    pub fn new(bytes: Arc<dyn ReadAt>) -> io::Result<Chunks> {
        Ok(Chunks { length: bytes.length()?, bytes })
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<Seeking>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Seeking { bytes: self.bytes.clone(), length: self.length, at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.saturating_add(length as u64);
        if end > self.length {
            return Err(ParquetError::EOF(format!("bytes {start} to {end} of {} are asked for", self.length)));
        }
        Ok(self.bytes.range(start..end)?)
    }
}
