//! Keys on disk with a few numbers each: written once in order, then looked up many at a time.
//!
//! In memory stay a [`KeyFilter`] and the first key of each page: less than three bytes a key. A key that is not there costs a
//! look at the filter; the others are looked up in order, so that the file is read forwards and no page twice.

use crate::KeyFilter;
use crate::spill::Removed;
use selvedge_node::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes that are read at once, about: few, for most of what is looked up is in the page cache, and copying costs more than asking.
const PAGE: usize = 1024;

/// The order of keys in a run: by the low half first, the half that no exchange and no partition has looked at.
#[inline(always)]
pub fn run_order(key: u128) -> u128 {
    key.rotate_left(64)
}

/// A run while it is written.
pub struct KeyRunWriter<const N: usize> {
    writer: BufWriter<File>,
    run: KeyRun<N>,
}

/// Keys in [`run_order`], `N` numbers each, in a temporary file. A key may be there several times. The file is removed when the
/// run is dropped.
pub struct KeyRun<const N: usize> {
    file: File,
    path: Removed,
    filter: KeyFilter,
    /// The first key of each page, as it is ordered.
    firsts: Vec<u128>,
    len: usize,
}

impl<const N: usize> KeyRun<N> {
    const ENTRY: usize = 16 + 8 * N;
    const ENTRIES: usize = PAGE / Self::ENTRY;

    /// A new file in `dir`, which is made if need be, for about so many keys.
    pub fn create(dir: &Path, keys: usize) -> Result<KeyRunWriter<N>> {
        let (path, file) = Removed::create(dir, "keys")?;
        let writer = BufWriter::with_capacity(256 << 10, file);
        let file =
            File::open(path.path()).map_err(|e| Error::io("opening the spill file", path.path().display(), &e))?;
        let run = KeyRun {
            file,
            path,
            filter: KeyFilter::new(keys),
            firsts: Vec::with_capacity(keys.div_ceil(Self::ENTRIES)),
            len: 0,
        };
        Ok(KeyRunWriter { writer, run })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        self.filter.bytes() + self.firsts.capacity() as u64 * 16
    }

    /// Hands to `then` every entry of any of the keys, in order.
    pub fn find_all(&self, keys: &[u128], mut then: impl FnMut(u128, [i64; N])) -> Result<()> {
        let passes = |&key: &u128| self.filter.may_contain(key);
        let mut wanted: Vec<u128> = keys.iter().copied().filter(passes).map(run_order).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let (mut loaded, mut bytes) = (usize::MAX, vec![]);
        for &key in &wanted {
            // Where the first of its entries may be: not before the last page that begins with a lesser key.
            let mut page = self.firsts.partition_point(|&first| first < key).saturating_sub(1);
            while self.firsts.get(page).is_some_and(|&first| first <= key) {
                if loaded != page {
                    self.load(page, &mut bytes)?;
                    loaded = page;
                }
                let entries = bytes.chunks_exact(Self::ENTRY);
                let at = lower_bound(&bytes, Self::ENTRY, key);
                for entry in entries.skip(at).take_while(|entry| order_of(entry) == key) {
                    let value = |i: usize| word(&entry[16 + 8 * i..]) as i64;
                    then(key.rotate_left(64), std::array::from_fn(value));
                }
                page += 1;
            }
        }
        Ok(())
    }

    /// Everything, in order.
    pub fn each(&self, mut then: impl FnMut(u128, [i64; N]) -> Result<()>) -> Result<()> {
        let mut bytes = vec![];
        for page in 0..self.firsts.len() {
            self.load(page, &mut bytes)?;
            for entry in bytes.chunks_exact(Self::ENTRY) {
                then(order_of(entry).rotate_left(64), std::array::from_fn(|i| word(&entry[16 + 8 * i..]) as i64))?;
            }
        }
        Ok(())
    }

    fn load(&self, page: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let error = |e: std::io::Error| Error::io("reading the spill file", self.path.path().display(), &e);
        let first = page * Self::ENTRIES;
        bytes.resize(Self::ENTRIES.min(self.len - first) * Self::ENTRY, 0);
        (&self.file).seek(SeekFrom::Start((first * Self::ENTRY) as u64)).map_err(error)?;
        (&self.file).read_exact(bytes).map_err(error)
    }
}

/// The first entry that is not before `key`.
fn lower_bound(page: &[u8], entry: usize, key: u128) -> usize {
    let (mut low, mut high) = (0, page.len() / entry);
    while low < high {
        let middle = (low + high) / 2;
        if order_of(&page[middle * entry..]) < key { low = middle + 1 } else { high = middle }
    }
    low
}

fn word(bytes: &[u8]) -> u64 {
    bytes[..8].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn order_of(entry: &[u8]) -> u128 {
    u128::from(word(&entry[8..])) << 64 | u128::from(word(entry))
}

impl<const N: usize> KeyRunWriter<N> {
    /// Appends an entry, which must not be before the last one in [`run_order`].
    pub fn push(&mut self, key: u128, values: [i64; N]) -> Result<()> {
        let run = &mut self.run;
        if run.len.is_multiple_of(KeyRun::<N>::ENTRIES) {
            run.firsts.push(run_order(key));
        }
        run.len += 1;
        run.filter.insert(key);
        let mut write = || {
            self.writer.write_all(&run_order(key).to_le_bytes())?;
            values.iter().try_for_each(|value| self.writer.write_all(&value.to_le_bytes()))
        };
        write().map_err(|e| Error::io("writing the spill file", run.path.path().display(), &e))
    }

    pub fn finish(mut self) -> Result<KeyRun<N>> {
        self.writer.flush().map_err(|e| Error::io("writing the spill file", self.run.path.path().display(), &e))?;
        Ok(self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_knows_its_keys(
            mut entries in prop::collection::vec((0u128..600, any::<[i64; 2]>()), 0..900),
            asked in prop::collection::vec(0u128..700, 0..100),
        ) {
            // Keys that differ in their low halves, in the high ones, or are there often.
            let key = |i: u128| if i < 5 { 7 } else { (i % 200) << 30 | (i / 200) << 100 };
            entries.iter_mut().for_each(|e| e.0 = key(e.0));
            entries.sort_by_key(|e| run_order(e.0));
            let folder = tempfile::tempdir().unwrap();
            let mut writer = KeyRun::<2>::create(folder.path(), entries.len()).unwrap();
            entries.iter().for_each(|&(key, values)| writer.push(key, values).unwrap());
            let run = writer.finish().unwrap();
            let mut asked: Vec<u128> = asked.into_iter().map(key).collect();
            let mut found = vec![];
            run.find_all(&asked, |key, values| found.push((key, values))).unwrap();
            asked.sort_unstable();
            let expected: Vec<_> = entries.iter().copied().filter(|e| asked.binary_search(&e.0).is_ok()).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(run.len(), entries.len());
            drop(run);
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
