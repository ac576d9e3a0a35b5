//! Streams: the bytes of one kind of one column in a stripe, compressed chunk by chunk as they come.

use flate2::{Compress, FlushCompress, Status};
use orc_rust::proto::CompressionKind;
use selvedge_node::{Error, Result};

/// A chunk before its compression: what the specification takes where nothing else is said.
pub const CHUNK: usize = 256 << 10;
/// A chunk's header has 23 bits for its length.
pub const LARGEST_CHUNK: u64 = 1 << 23;

/// How the chunks of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    /// Deflate, level 1 (fast) to 9 (small).
    Zlib {
        level: u32,
    },
    Snappy,
    /// Level 1 (fast) to 22 (small).
    Zstd {
        level: i32,
    },
}

impl Compression {
    pub fn kind(self) -> CompressionKind {
        match self {
            Compression::None => CompressionKind::None,
            Compression::Zlib { .. } => CompressionKind::Zlib,
            Compression::Snappy => CompressionKind::Snappy,
            Compression::Zstd { .. } => CompressionKind::Zstd,
        }
    }
}

enum Method {
    Zlib(Compress),
    Snappy(Box<snap::raw::Encoder>),
    Zstd(zstd::bulk::Compressor<'static>),
}

/// One compressor for all streams of a file: its tables are made once a stripe, with the first chunk.
pub struct Codec {
    compression: Compression,
    method: Option<Method>,
    /// Bytes of the compressor's tables.
    tables: usize,
    packed: Vec<u8>,
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::bug(format!("compressing ORC: {e}"))
}

impl Codec {
    pub fn new(compression: Compression) -> Codec {
        Codec { compression, method: None, tables: 0, packed: vec![] }
    }

    fn is_none(&self) -> bool {
        self.compression == Compression::None
    }

    /// Bytes held for the next chunk.
    pub fn memory(&self) -> usize {
        self.packed.capacity() + self.tables
    }

    /// Gives back what is held: of many open files, few compress at a time.
    pub fn rest(&mut self) {
        *self = Codec::new(self.compression);
    }

    /// Compresses into `packed`; answers whether that is to be used.
    fn pack(&mut self, chunk: &[u8]) -> Result<bool> {
        let Codec { method, packed, tables, .. } = self;
        packed.clear();
        let method = match (method, self.compression) {
            (_, Compression::None) => return Ok(false),
            (Some(method), _) => method,
            (none, Compression::Zlib { level }) => {
                // What zlib's own documentation counts.
                *tables = 268 << 10;
                none.insert(Method::Zlib(Compress::new(flate2::Compression::new(level), false)))
            }
            (none, Compression::Snappy) => {
                *tables = size_of::<snap::raw::Encoder>();
                none.insert(Method::Snappy(Box::new(snap::raw::Encoder::new())))
            }
            (none, Compression::Zstd { level }) => {
                none.insert(Method::Zstd(zstd::bulk::Compressor::new(level).map_err(failed)?))
            }
        };
        match method {
            Method::Zlib(deflate) => {
                // Where the room is too small, the chunk is kept as it is.
                packed.reserve(chunk.len());
                deflate.reset();
                let status = deflate.compress_vec(chunk, packed, FlushCompress::Finish).map_err(failed)?;
                return Ok(status == Status::StreamEnd && packed.len() < chunk.len());
            }
            Method::Snappy(snappy) => {
                packed.resize(snap::raw::max_compress_len(chunk.len()), 0);
                let length = snappy.compress(chunk, packed).map_err(failed)?;
                packed.truncate(length);
            }
            Method::Zstd(zstd) => {
                packed.reserve(zstd::zstd_safe::compress_bound(chunk.len()));
                zstd.compress_to_buffer(chunk, packed).map_err(failed)?;
                *tables = zstd.context_mut().sizeof();
            }
        }
        Ok(packed.len() < chunk.len())
    }

    /// Appends `chunk` with its header: compressed, or as it is where that is not longer.
    fn chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (bytes, original) = if self.pack(chunk)? { (&self.packed[..], 0) } else { (chunk, 1) };
        out.extend_from_slice(&((bytes.len() << 1 | original) as u32).to_le_bytes()[..3]);
        out.extend_from_slice(bytes);
        Ok(())
    }

    /// A whole message (a footer, an index) as a stream of its own.
    pub fn message(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let mut stream = Stream { chunk: bytes, ..Stream::default() };
        stream.take(self)
    }
}

/// A stream that grows: chunks that are done, and bytes that wait for their chunk to be full.
#[derive(Default)]
pub struct Stream {
    done: Vec<u8>,
    /// Without compression, all there is.
    pub chunk: Vec<u8>,
}

impl Stream {
    /// To be called after bytes were added to `chunk`.
    pub fn settle(&mut self, codec: &mut Codec) -> Result<()> {
        if self.chunk.len() < CHUNK || codec.is_none() {
            return Ok(());
        }
        let whole = self.chunk.len() / CHUNK * CHUNK;
        for chunk in self.chunk[..whole].chunks(CHUNK) {
            codec.chunk(chunk, &mut self.done)?;
        }
        self.chunk.drain(..whole);
        // One long value must not hold its room for ever.
        self.chunk.shrink_to(2 * CHUNK);
        Ok(())
    }

    /// Where the next byte will be, as a row index says it.
    pub fn position(&self, codec: &Codec, to: &mut Vec<u64>) {
        if !codec.is_none() {
            to.push(self.done.len() as u64);
        }
        to.push(self.chunk.len() as u64);
    }

    /// The finished stream; the next one starts empty.
    pub fn take(&mut self, codec: &mut Codec) -> Result<Vec<u8>> {
        if codec.is_none() {
            return Ok(std::mem::take(&mut self.chunk));
        }
        for chunk in self.chunk.chunks(CHUNK) {
            codec.chunk(chunk, &mut self.done)?;
        }
        self.chunk = vec![];
        Ok(std::mem::take(&mut self.done))
    }

    pub fn len(&self) -> usize {
        self.done.len() + self.chunk.len()
    }

    pub fn memory(&self) -> usize {
        self.done.capacity() + self.chunk.capacity()
    }
}
