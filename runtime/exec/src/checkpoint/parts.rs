//! The state of one instance, part by part, written to a file and read back.

use super::Parts;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use selvedge_node::{Error, HASH_COLUMN, Result, Save};
use selvedge_state::instance_of;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_64;

/// Bytes of a file that may stay for little.
const SMALL: u64 = 64 << 10;

/// Batches of one schema: a stretch of a file that holds one Arrow IPC stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub file: String,
    /// Where it begins, and how long it is, in bytes.
    pub at: u64,
    pub bytes: u64,
    pub rows: u64,
    /// XXH3 of its bytes, in hexadecimal digits.
    pub checksum: String,
}

/// Counts and hashes what goes through.
struct Counted<W> {
    inner: W,
    bytes: u64,
    hash: XxHash3_64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Counted<W> {
        Counted { inner, bytes: 0, hash: XxHash3_64::default() }
    }
    fn checksum(&self) -> String {
        format!("{:016x}", self.hash.finish())
    }
    fn count(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.write(bytes);
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count(&bytes[..written]);
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.count(&into[..read]);
        Ok(read)
    }
}

/// The state of one instance, on its way into a checkpoint.
pub(crate) struct Saving<'a> {
    folder: &'a Path,
    name: String,
    /// What the checkpoint before has, and how much of each file that is.
    last: &'a Parts,
    used: BTreeMap<&'a str, u64>,
    parts: Parts,
    open: Option<Open>,
    file: Option<BufWriter<File>>,
    end: u64,
}

/// The part that is being written.
struct Open {
    part: String,
    rows: u64,
    writer: StreamWriter<Counted<BufWriter<File>>>,
}

impl<'a> Saving<'a> {
    pub fn new(folder: &'a Path, name: String, last: &'a Parts) -> Saving<'a> {
        let mut used = BTreeMap::new();
        last.values().for_each(|part| *used.entry(part.file.as_str()).or_default() += part.bytes);
        Saving { folder, name, last, used, parts: Parts::new(), open: None, file: None, end: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
    fn failed(&self, e: &io::Error) -> Error {
        Error::io("writing the checkpoint", self.path().display(), e)
    }

    fn begin(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        self.end_part()?;
        if self.parts.contains_key(part) {
            return Err(Error::bug(format!("the part `{part}` of the state was put down twice")));
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let made = fs::create_dir_all(self.folder).and_then(|()| File::create(self.path()));
                BufWriter::with_capacity(256 << 10, made.map_err(|e| self.failed(&e))?)
            }
        };
        let writer = StreamWriter::try_new(Counted::new(file), &batch.schema())?;
        self.open = Some(Open { part: part.to_string(), rows: 0, writer });
        Ok(())
    }

    fn end_part(&mut self) -> Result<()> {
        let Some(Open { part, rows, mut writer }) = self.open.take() else { return Ok(()) };
        writer.finish()?;
        let counted = writer.into_inner()?;
        let (bytes, checksum) = (counted.bytes, counted.checksum());
        let entry = Part { file: self.name.clone(), at: self.end, bytes, rows, checksum };
        self.parts.insert(part, entry);
        self.end += bytes;
        self.file = Some(counted.inner);
        Ok(())
    }

    /// Everything has been put down. It is safe once the files are synced.
    pub fn finish(mut self) -> Result<Parts> {
        self.end_part()?;
        if let Some(mut file) = self.file.take() {
            file.flush().map_err(|e| self.failed(&e))?;
        }
        Ok(self.parts)
    }
}

impl Save for Saving<'_> {
    fn keep(&mut self, parts: &[String]) -> bool {
        let old: Option<Vec<_>> = parts.iter().map(|part| Some((part.clone(), self.last.get(part)?.clone()))).collect();
        // A file of which less than half is used goes: what is left of it is written again. Not worth it where it is small.
        let full = |part: &Part| {
            let used = self.used.get(part.file.as_str()).copied().unwrap_or(0);
            let size = fs::metadata(self.folder.join(&part.file)).map_or(u64::MAX, |m| m.len());
            used >= size / 2 || size <= SMALL
        };
        let kept = old.filter(|old| old.iter().all(|(_, part)| full(part)));
        kept.map(|kept| self.parts.extend(kept)).is_some()
    }

    fn put(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        if self.open.as_ref().is_none_or(|open| open.part != part) {
            self.begin(part, batch)?;
        }
        let Some(open) = &mut self.open else { return Err(Error::bug("the part just begun is gone")) };
        open.writer.write(batch)?;
        open.rows += batch.num_rows() as u64;
        Ok(())
    }
}

/// Hands over the batches of a part. `share`: only the rows whose hash belongs to that one of so many instances.
pub(crate) fn batches(
    folder: &Path,
    name: &str,
    part: &Part,
    share: Option<(usize, usize)>,
    take: &mut dyn FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let path = folder.join(&part.file);
    let failed = |e: io::Error| Error::io("reading the checkpoint", path.display(), &e);
    let damaged = |what: &str| {
        Error::data(format!("the checkpoint is damaged: part `{name}` in {}: {what}", path.display()))
            .help("restore the state folder from a backup, or remove it to read every source from its start")
    };
    let mut file = File::open(&path).map_err(failed)?;
    file.seek(SeekFrom::Start(part.at)).map_err(failed)?;
    let mut counted = Counted::new(BufReader::with_capacity(256 << 10, file).take(part.bytes));
    // Checked before anything is believed: it is read twice, the second time from the page cache.
    io::copy(&mut counted, &mut io::sink()).map_err(failed)?;
    if counted.bytes != part.bytes || counted.checksum() != part.checksum {
        return Err(damaged("its checksum does not match"));
    }
    let mut file = counted.inner.into_inner();
    file.seek(SeekFrom::Start(part.at)).map_err(failed)?;
    let mut rows = 0;
    for batch in StreamReader::try_new(file.take(part.bytes), None)? {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        let batch = match share {
            Some(share) => own(&batch, share)?,
            None => batch,
        };
        if batch.num_rows() > 0 {
            take(batch)?;
        }
    }
    if rows == part.rows { Ok(()) } else { Err(damaged(&format!("it has {rows} rows instead of {}", part.rows))) }
}

/// The rows of a batch of state that belong to one of `n` instances; all where they have no hash.
fn own(batch: &RecordBatch, (instance, n): (usize, usize)) -> Result<RecordBatch> {
    let hashes = batch.column_by_name(HASH_COLUMN).filter(|c| matches!(c.data_type(), DataType::Decimal128(..)));
    let Some(hashes) = hashes else { return Ok(batch.clone()) };
    let hashes = hashes.as_primitive::<Decimal128Type>();
    let mine: BooleanArray = hashes.values().iter().map(|&h| Some(instance_of(h as u128, n) == instance)).collect();
    Ok(filter_record_batch(batch, &mine)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Int64Array};
    use std::sync::Arc;

    fn batch(range: std::ops::Range<i64>) -> RecordBatch {
        let hashes = Decimal128Array::from_iter_values(range.clone().map(|i| i128::from(i) << 120))
            .with_data_type(DataType::Decimal128(38, 0));
        let values = Int64Array::from_iter_values(range);
        RecordBatch::try_from_iter([(HASH_COLUMN, Arc::new(hashes) as _), ("v", Arc::new(values) as _)]).unwrap()
    }

    fn read(folder: &Path, parts: &Parts, name: &str, share: Option<(usize, usize)>) -> Vec<i64> {
        let mut all = vec![];
        batches(folder, name, &parts[name], share, &mut |b| {
            all.extend(b.column(1).as_primitive::<arrow::datatypes::Int64Type>().values());
            Ok(())
        })
        .unwrap();
        all
    }

    #[test]
    fn parts_come_back_whole_or_by_instance() {
        let dir = tempfile::tempdir().unwrap();
        let none = Parts::new();
        let mut saving = Saving::new(dir.path(), "one".into(), &none);
        saving.put("a", &batch(0..50)).unwrap();
        saving.put("a", &batch(50..100)).unwrap();
        saving.put("b", &batch(7..8)).unwrap();
        assert!(saving.put("a", &batch(0..1)).unwrap_err().to_string().contains("put down twice"));
        let parts = saving.finish().unwrap();
        assert_eq!(read(dir.path(), &parts, "a", None), (0..100).collect::<Vec<_>>());
        assert_eq!(read(dir.path(), &parts, "b", None), [7]);
        let mut shares: Vec<i64> = (0..3).flat_map(|i| read(dir.path(), &parts, "a", Some((i, 3)))).collect();
        shares.sort_unstable();
        assert_eq!(shares, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_has_not_changed_is_kept_until_little_of_its_file_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let none = Parts::new();
        let mut first = Saving::new(dir.path(), "one".into(), &none);
        assert!(!first.keep(&["a".into()]));
        first.put("a", &batch(0..1000)).unwrap();
        first.put("b", &batch(0..10_000)).unwrap();
        let first = first.finish().unwrap();
        let mut second = Saving::new(dir.path(), "two".into(), &first);
        assert!(second.keep(&["a".into()]));
        let second = second.finish().unwrap();
        assert_eq!(second["a"], first["a"]);
        let mut third = Saving::new(dir.path(), "three".into(), &second);
        assert!(!third.keep(&["a".into()]), "a tenth of its file");
        assert_eq!(third.finish().unwrap(), Parts::new());
        let mut other = Saving::new(dir.path(), "four".into(), &first);
        assert!(!other.keep(&["b".into(), "c".into()]), "all or none");
        assert_eq!(other.finish().unwrap(), Parts::new());
    }

    #[test]
    fn damage_is_found_before_anything_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let none = Parts::new();
        let mut saving = Saving::new(dir.path(), "one".into(), &none);
        saving.put("a", &batch(0..100)).unwrap();
        let parts = saving.finish().unwrap();
        let path = dir.path().join("one");
        let whole = fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let error = batches(dir.path(), "a", &parts["a"], None, &mut |_| panic!("a row was believed"));
            assert!(error.unwrap_err().to_string().contains("checksum"));
        }
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        assert!(batches(dir.path(), "a", &parts["a"], None, &mut |_| Ok(())).is_err());
    }
}
