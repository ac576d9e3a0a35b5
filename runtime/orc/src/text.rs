//! A column of texts: a dictionary for each stripe while it pays, and the texts one behind the other otherwise.

use crate::rle::Ints;
use crate::stream::{Codec, Stream};
use arrow::array::StringArray;
use hashbrown::{DefaultHashBuilder, HashTable};
use orc_rust::proto::column_encoding::Kind as Encoding;
use orc_rust::proto::stream::Kind;
use selvedge_node::Result;
use std::hash::BuildHasher;

/// A dictionary of more bytes is given up: looking into it takes longer than writing the texts.
const LARGEST: usize = 4 << 20;

/// Texts or bytes one behind the other, and their lengths.
pub struct Plain {
    data: Stream,
    lengths: Ints,
}

impl Default for Plain {
    fn default() -> Plain {
        Plain { data: Stream::default(), lengths: Ints::new(false) }
    }
}

impl Plain {
    pub fn append<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>, codec: &mut Codec) -> Result<()> {
        let mut lengths = Vec::with_capacity(values.size_hint().0);
        for value in values {
            lengths.push(value.len() as i64);
            self.data.chunk.extend_from_slice(value);
            self.data.settle(codec)?;
        }
        self.lengths.append(&lengths, codec)
    }

    pub fn flush(&mut self, codec: &mut Codec) -> Result<()> {
        self.lengths.flush(codec)
    }

    pub fn position(&self, codec: &Codec, to: &mut Vec<u64>) {
        self.data.position(codec, to);
        self.lengths.position(codec, to);
    }

    pub fn take(&mut self, codec: &mut Codec) -> Result<Vec<(Kind, Vec<u8>)>> {
        Ok(vec![(Kind::Data, self.data.take(codec)?), (Kind::Length, self.lengths.take(codec)?)])
    }

    pub fn len(&self) -> usize {
        self.data.len() + self.lengths.len()
    }

    pub fn memory(&self) -> usize {
        self.data.memory() + self.lengths.memory()
    }
}

/// The texts of a stripe so far.
pub struct Text {
    plain: Plain,
    dictionary: Option<Dictionary>,
}

impl Default for Text {
    fn default() -> Text {
        Text { plain: Plain::default(), dictionary: Some(Dictionary::default()) }
    }
}

/// Each text once, in the order of its first row, and for each row its number.
#[derive(Default)]
struct Dictionary {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    rows: Vec<u32>,
    /// How many rows there were where each group began.
    groups: Vec<usize>,
}

impl Dictionary {
    fn text(bytes: &[u8], ends: &[usize], at: u32) -> std::ops::Range<usize> {
        let at = at as usize;
        let from = if at == 0 { 0 } else { ends[at - 1] };
        debug_assert!(ends[at] <= bytes.len());
        from..ends[at]
    }

    fn get(&self, at: u32) -> &[u8] {
        &self.bytes[Dictionary::text(&self.bytes, &self.ends, at)]
    }

    fn add(&mut self, value: &[u8]) {
        let Dictionary { hasher, table, bytes, ends, rows, .. } = self;
        let hash = hasher.hash_one(value);
        let found = table.find(hash, |at| &bytes[Dictionary::text(bytes, ends, *at)] == value);
        let at = match found {
            Some(at) => *at,
            None => {
                let at = ends.len() as u32;
                bytes.extend_from_slice(value);
                ends.push(bytes.len());
                table.insert_unique(hash, at, |at| hasher.hash_one(&bytes[Dictionary::text(bytes, ends, *at)]));
                at
            }
        };
        rows.push(at);
    }

    /// Every text at least twice, and not too many of them.
    fn pays(&self) -> bool {
        self.ends.len() * 2 <= self.rows.len() && self.bytes.len() <= LARGEST
    }

    /// The numbers in the order of their texts, which readers may rely on, and the dictionary in that order.
    fn sorted(&self) -> (Vec<u32>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.get(*a).cmp(self.get(*b)));
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old as usize] = new as u32;
        }
        (order, place)
    }
}

/// A text column's streams, how they are encoded, and, where only the end of the stripe tells, where each group begins.
pub struct Finished {
    pub streams: Vec<(Kind, Vec<u8>)>,
    pub encoding: Encoding,
    pub dictionary_size: Option<u32>,
    pub starts: Option<Vec<Vec<u64>>>,
}

impl Text {
    pub fn append(&mut self, texts: &StringArray, codec: &mut Codec) -> Result<()> {
        match &mut self.dictionary {
            Some(dictionary) => {
                texts.iter().flatten().for_each(|text| dictionary.add(text.as_bytes()));
                Ok(())
            }
            None => self.plain.append(texts.iter().flatten().map(str::as_bytes), codec),
        }
    }

    /// A group of rows begins. Where it does is told here, or at the end.
    pub fn begin(&mut self, codec: &Codec, to: &mut Vec<u64>) {
        match &mut self.dictionary {
            Some(dictionary) => dictionary.groups.push(dictionary.rows.len()),
            None => self.plain.position(codec, to),
        }
    }

    /// A group ends: the time to look whether the dictionary pays. Where it does not, answers where all groups so far begin.
    pub fn end(&mut self, codec: &mut Codec) -> Result<Option<Vec<Vec<u64>>>> {
        match self.dictionary.take_if(|d| !d.pays()) {
            Some(dictionary) => self.write_out(&dictionary, codec).map(Some),
            None => {
                self.plain.flush(codec)?;
                Ok(None)
            }
        }
    }

    fn write_out(&mut self, dictionary: &Dictionary, codec: &mut Codec) -> Result<Vec<Vec<u64>>> {
        let mut starts = vec![];
        let ends = dictionary.groups.iter().skip(1).copied().chain([dictionary.rows.len()]);
        for (from, to) in dictionary.groups.iter().zip(ends) {
            let mut start = vec![];
            self.plain.position(codec, &mut start);
            starts.push(start);
            self.plain.append(dictionary.rows[*from..to].iter().map(|at| dictionary.get(*at)), codec)?;
            self.plain.flush(codec)?;
        }
        Ok(starts)
    }

    /// Ends the stripe, whose last group has ended. The next one begins with a dictionary again.
    pub fn take(&mut self, codec: &mut Codec) -> Result<Finished> {
        let Some(dictionary) = self.dictionary.replace(Dictionary::default()) else {
            let streams = self.plain.take(codec)?;
            return Ok(Finished { streams, encoding: Encoding::DirectV2, dictionary_size: None, starts: None });
        };
        let (order, place) = dictionary.sorted();
        let (mut rows, mut texts) = (Ints::new(false), Plain::default());
        texts.append(order.iter().map(|at| dictionary.get(*at)), codec)?;
        let mut starts = vec![];
        let ends = dictionary.groups.iter().skip(1).copied().chain([dictionary.rows.len()]);
        let mut places = vec![];
        for (from, to) in dictionary.groups.iter().zip(ends) {
            let mut start = vec![];
            rows.position(codec, &mut start);
            starts.push(start);
            places.clear();
            places.extend(dictionary.rows[*from..to].iter().map(|at| i64::from(place[*at as usize])));
            rows.append(&places, codec)?;
            rows.flush(codec)?;
        }
        let mut streams = vec![(Kind::Data, rows.take(codec)?)];
        for (kind, bytes) in texts.take(codec)? {
            streams.push((if kind == Kind::Data { Kind::DictionaryData } else { kind }, bytes));
        }
        let size = dictionary.ends.len() as u32;
        Ok(Finished { streams, encoding: Encoding::DictionaryV2, dictionary_size: Some(size), starts: Some(starts) })
    }

    /// About as many bytes as will be written.
    pub fn len(&self) -> usize {
        let dictionary = self.dictionary.as_ref().map_or(0, |d| {
            let wide = 32 - (d.ends.len() as u32).leading_zeros() as usize;
            d.bytes.len() + d.rows.len() * wide / 8
        });
        self.plain.len() + dictionary
    }

    pub fn memory(&self) -> usize {
        let dictionary = self.dictionary.as_ref().map_or(0, |d| {
            d.bytes.capacity()
                + (d.ends.capacity() + d.groups.capacity()) * size_of::<usize>()
                + (d.rows.capacity() + d.table.capacity() * 2) * size_of::<u32>()
        });
        self.plain.memory() + dictionary
    }
}
