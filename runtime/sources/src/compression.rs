//! Files as streams of plain bytes, whatever packed them: gzip, zstd, bzip2, snappy (framed, and in Hadoop's blocks).

use crate::lake::Found;
use schemars::JsonSchema;
use selvedge_connect::store::{failed, is_outside};
use selvedge_node::{Error, Result};
use serde::Deserialize;
use std::io::{self, BufReader, Read};

/// How files are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum Compression {
    /// By each file's first bytes, then by its name: `.gz`, `.zst`, `.bz2`, `.sz`, `.snappy`.
    #[default]
    Auto,
    /// Not at all, whatever the name says.
    Uncompressed,
    Gzip,
    Zstd,
    Bzip2,
    /// The framed format (`.sz`) or Hadoop's blocks (`.snappy` as Spark writes it): the first bytes tell.
    Snappy,
}

impl Compression {
    /// The endings that files of this compression have.
    fn by_name(name: &str) -> Compression {
        let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        match ending.as_str() {
            "gz" | "gzip" => Compression::Gzip,
            "zst" | "zstd" => Compression::Zstd,
            "bz2" => Compression::Bzip2,
            "sz" | "snappy" => Compression::Snappy,
            _ => Compression::Uncompressed,
        }
    }

    fn by_magic(head: &[u8]) -> Option<Compression> {
        let bzip2 = head.starts_with(b"BZh") && head.get(4..10) == Some(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59]);
        match head {
            [0x1f, 0x8b, 0x08, ..] => Some(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
            _ if bzip2 => Some(Compression::Bzip2),
            _ if head.starts_with(SNAPPY_FRAMED) => Some(Compression::Snappy),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Compression::Auto | Compression::Uncompressed => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Snappy => "snappy",
        }
    }

    /// What this is for one file: never `Auto`.
    pub fn of(self, file: &Found) -> Result<Compression> {
        if self != Compression::Auto {
            return Ok(self);
        }
        let name = &file.name;
        let mut head = vec![];
        file.open()?.stream(0..10).read_to_end(&mut head).map_err(|e| failed("reading", name, &e))?;
        let named = Compression::by_name(name);
        match Compression::by_magic(&head) {
            Some(found) => Ok(found),
            // An empty file has no rows, packed or not, and Hadoop's snappy has no magic bytes.
            None if head.is_empty() || named == Compression::Snappy => Ok(named),
            None if named != Compression::Uncompressed => {
                Err(Error::data(format!("{name} is not {} data, although its name says so", named.word()))
                    .help("if it is not packed at all, set compression: Uncompressed"))
            }
            None => Ok(Compression::Uncompressed),
        }
    }
}

const SNAPPY_FRAMED: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The plain bytes of a file, or of a part of one.
pub struct Input {
    reader: Box<dyn Read + Send>,
    name: String,
    compression: Compression,
    /// Bytes that must still come, of what is not packed: a file that is cut off while it is read has no other mark of it.
    due: u64,
}

impl Input {
    /// The whole file, unpacked.
    pub fn whole(file: &Found, compression: Compression) -> Result<Input> {
        let (compression, name) = (compression.of(file)?, &file.name);
        let file = file.open()?;
        let bytes = file.length().map_err(|e| failed("opening", name, &e))?;
        let plain = matches!(compression, Compression::Auto | Compression::Uncompressed);
        let file = file.stream(0..bytes);
        let reader: Box<dyn Read + Send> = match compression {
            Compression::Auto | Compression::Uncompressed => file,
            _ if bytes == 0 => Box::new(io::empty()),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(file))),
            Compression::Zstd => Box::new(
                zstd::stream::read::Decoder::with_buffer(buffered(file)).map_err(|e| failed("unpacking", name, &e))?,
            ),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered(file))),
            Compression::Snappy => snappy(file).map_err(|e| failed("reading", name, &e))?,
        };
        Ok(Input { reader, name: name.to_string(), compression, due: if plain { bytes } else { 0 } })
    }

    /// Bytes `from..to` of a file that is not packed.
    pub fn part(file: &Found, from: u64, to: u64) -> Result<Input> {
        Ok(Input {
            reader: file.open()?.stream(from..to),
            name: file.name.clone(),
            compression: Compression::Uncompressed,
            due: to.saturating_sub(from),
        })
    }

    /// Bytes that are at hand, or come from a reader of the caller's.
    pub fn of(reader: impl Read + Send + 'static, name: &str) -> Input {
        Input { reader: Box::new(reader), name: name.to_string(), compression: Compression::Uncompressed, due: 0 }
    }

    /// Fills a part of `buffer`, from the front; 0: the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) if self.due > 0 && !buffer.is_empty() => {
                    let what = format!("{} became shorter while it was read: {} bytes are gone", self.name, self.due);
                    return Err(Error::world(what)
                        .help("let files be written under another name, or in another folder, and renamed when they are whole"));
                }
                Ok(n) => {
                    self.due = self.due.saturating_sub(n as u64);
                    return Ok(n);
                }
                Err(e) => return Err(self.explain(&e)),
            }
        }
    }

    /// Fills all of `buffer` unless the end comes first.
    pub fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        Ok(filled)
    }

    /// The disk's fault or the data's: the operating system's errors have a number.
    fn explain(&self, e: &io::Error) -> Error {
        let (name, packed) = (&self.name, self.compression.word());
        if self.compression == Compression::Uncompressed || is_outside(e) {
            failed("reading", name, e)
        } else if e.kind() == io::ErrorKind::UnexpectedEof {
            Error::data(format!("the {packed} data of {name} is cut off: its end is missing"))
                .help("fetch or write the file again")
        } else {
            Error::data(format!("the {packed} data of {name} is damaged: {e}")).help("fetch or write the file again")
        }
    }
}

fn buffered(file: Box<dyn Read + Send>) -> BufReader<Box<dyn Read + Send>> {
    BufReader::with_capacity(256 << 10, file)
}

fn snappy(file: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut reader = buffered(file);
    let framed = io::BufRead::fill_buf(&mut reader)?.starts_with(SNAPPY_FRAMED);
    Ok(if framed { Box::new(snap::read::FrameDecoder::new(reader)) } else { Box::new(HadoopSnappy::new(reader)) })
}

/// The blocks of Hadoop's SnappyCodec: a block's plain length, then chunks, each its packed length and a raw snappy text,
/// until the plain length is reached. Lengths are 32 bits, big-endian.
struct HadoopSnappy<R> {
    reader: R,
    /// Plain bytes of the block that are still to come.
    left: usize,
    chunk: Vec<u8>,
    taken: usize,
}

/// Far more than any writer's block: a length beyond it is damage.
const LARGEST_CHUNK: usize = 256 << 20;

impl<R: Read> HadoopSnappy<R> {
    fn new(reader: R) -> HadoopSnappy<R> {
        HadoopSnappy { reader, left: 0, chunk: vec![], taken: 0 }
    }

    /// A length; `None` at a clean end.
    fn length(&mut self, may_end: bool) -> io::Result<Option<usize>> {
        let mut bytes = [0; 4];
        let mut have = 0;
        while have < 4 {
            match self.reader.read(&mut bytes[have..]) {
                Ok(0) if have == 0 && may_end => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        match u32::from_be_bytes(bytes) as usize {
            n if n <= LARGEST_CHUNK => Ok(Some(n)),
            n => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a block of {n} bytes"))),
        }
    }

    fn next_chunk(&mut self) -> io::Result<bool> {
        while self.left == 0 {
            match self.length(true)? {
                None => return Ok(false),
                Some(n) => self.left = n,
            }
        }
        let packed = self.length(false)?.unwrap_or_default();
        let mut bytes = vec![];
        if (&mut self.reader).take(packed as u64).read_to_end(&mut bytes)? < packed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let plain = snap::raw::decompress_len(&bytes).map_err(|e| damaged(e.to_string()))?;
        if plain == 0 || plain > self.left {
            return Err(damaged(format!("a chunk of {plain} bytes in a block that has {} left", self.left)));
        }
        self.chunk = snap::raw::Decoder::new().decompress_vec(&bytes).map_err(|e| damaged(e.to_string()))?;
        self.taken = 0;
        self.left -= plain;
        Ok(true)
    }
}

impl<R: Read> Read for HadoopSnappy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || (self.taken == self.chunk.len() && !self.next_chunk()?) {
            return Ok(0);
        }
        let n = buffer.len().min(self.chunk.len() - self.taken);
        buffer[..n].copy_from_slice(&self.chunk[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write;

    /// `text` packed, under the name ending that says so.
    pub fn packed(compression: Compression, text: &[u8]) -> (&'static str, Vec<u8>) {
        match compression {
            Compression::Auto | Compression::Uncompressed => ("", text.to_vec()),
            Compression::Gzip => {
                let mut out = flate2::write::GzEncoder::new(vec![], Default::default());
                out.write_all(text).unwrap();
                (".gz", out.finish().unwrap())
            }
            Compression::Zstd => (".zst", zstd::encode_all(text, 0).unwrap()),
            Compression::Bzip2 => {
                let mut out = bzip2::write::BzEncoder::new(vec![], Default::default());
                out.write_all(text).unwrap();
                (".bz2", out.finish().unwrap())
            }
            Compression::Snappy => {
                let mut out = snap::write::FrameEncoder::new(vec![]);
                out.write_all(text).unwrap();
                (".sz", out.into_inner().unwrap())
            }
        }
    }

    fn read_all(path: &std::path::Path) -> Result<Vec<u8>> {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut input = Input::whole(&Found::local(path, name), Compression::Auto)?;
        let mut all = vec![];
        let mut buffer = [0; 1000];
        loop {
            match input.read(&mut buffer)? {
                0 => return Ok(all),
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
    }

    const ALL: [Compression; 4] = [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Snappy];

    #[test]
    fn a_file_that_is_cut_off_meanwhile_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut buffer = [0; 1000];
        for part in [false, true] {
            std::fs::write(&path, "x".repeat(5000)).unwrap();
            let open = || match part {
                true => Input::part(&Found::local(&path, "a.csv"), 1000, 5000),
                false => Input::whole(&Found::local(&path, "a.csv"), Compression::Auto),
            };
            let mut input = open().unwrap();
            assert_eq!(input.read(&mut buffer).unwrap(), 1000);
            std::fs::write(&path, "x".repeat(2000)).unwrap();
            while input.read(&mut buffer).is_ok_and(|n| n > 0) {}
            let error = input.read(&mut buffer).unwrap_err();
            assert!(error.message.starts_with("a.csv became shorter while it was read"), "{error}");
            // What is appended meanwhile is no harm.
            let mut input = open().unwrap();
            std::fs::write(&path, "x".repeat(9000)).unwrap();
            while input.read(&mut buffer).unwrap() > 0 {}
        }
    }

    #[test]
    fn each_compression_is_recognised_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = "sku,qty\nä,1\n".repeat(20_000).into_bytes();
        for compression in ALL {
            let (ending, bytes) = packed(compression, &text);
            for name in [format!("a.csv{ending}"), "no_ending".to_string()] {
                let path = folder.path().join(name);
                // Two members after one another are one file: what `cat a.gz b.gz` makes.
                std::fs::write(&path, [bytes.clone(), bytes.clone()].concat()).unwrap();
                assert!(read_all(&path).unwrap() == [text.clone(), text.clone()].concat(), "{}", path.display());
            }
        }
    }

    #[test]
    fn a_missing_end_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..200_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        for compression in ALL {
            let (ending, bytes) = packed(compression, &text);
            let path = folder.path().join(format!("a.csv{ending}"));
            for cut in [bytes.len() / 2, bytes.len() - 1] {
                std::fs::write(&path, &bytes[..cut]).unwrap();
                let error = read_all(&path).unwrap_err();
                assert_eq!(error.fault, selvedge_node::Fault::Data, "{error}");
                assert!(error.message.contains("a.csv"), "{error}");
            }
        }
    }

    #[test]
    fn hadoop_snappy_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-0000.csv.snappy");
        let mut bytes = vec![];
        for block in ["sku,qty\n", "a,1\nb,2\n"] {
            bytes.extend((block.len() as u32).to_be_bytes());
            for chunk in block.as_bytes().chunks(5) {
                let chunk = snap::raw::Encoder::new().compress_vec(chunk).unwrap();
                bytes.extend((chunk.len() as u32).to_be_bytes());
                bytes.extend(chunk);
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_all(&path).unwrap(), b"sku,qty\na,1\nb,2\n");
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert!(read_all(&path).unwrap_err().message.contains("cut off"));
        std::fs::write(&path, b"sku,qty\nthis is no snappy").unwrap();
        assert!(read_all(&path).unwrap_err().message.contains("damaged"));
    }

    #[test]
    fn a_wrong_name_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        std::fs::write(&path, "a,b\n").unwrap();
        assert_eq!(
            read_all(&path).unwrap_err().to_string(),
            "a.csv.gz is not gzip data, although its name says so (if it is not packed at all, set compression: Uncompressed)"
        );
        std::fs::write(&path, "").unwrap();
        assert!(read_all(&path).unwrap().is_empty());
    }
}
