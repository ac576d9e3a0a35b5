//! The right rows of a join in memory: found by the hash of their key, gathered by number.

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::buffer::{BooleanBuffer, MutableBuffer};
use arrow::compute::{concat_batches, filter_record_batch, interleave};
use arrow::datatypes::SchemaRef;
use selvedge_node::{Error, Result};
use selvedge_state::{KeyIndex, batch_bytes};

/// No row.
pub(crate) const NONE: u32 = KeyIndex::NONE;

/// Rows in a chunk: a row's number is its chunk's number above its place in the chunk.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 15;

pub(crate) struct Table {
    schema: SchemaRef,
    index: KeyIndex,
    /// Key number of each row, until `finish`.
    numbers: Vec<u32>,
    /// Rows by key: those of key `k` are `rows[starts[k]..starts[k + 1]]`. Empty where each key has one row: then a row has
    /// the number of its key.
    starts: Vec<u32>,
    rows: Vec<u32>,
    /// All of `CHUNK` rows but the last.
    chunks: Vec<RecordBatch>,
    /// Batches not yet enough for a chunk.
    loose: Vec<RecordBatch>,
    loose_rows: usize,
    held: u64,
    /// One null of each column, behind the chunks: what a gather takes for `NONE`.
    nulls: Vec<ArrayRef>,
    /// Rows that were found, where that is asked for.
    found: Option<Vec<bool>>,
}

impl Table {
    /// An empty table for about `rows` rows.
    pub(crate) fn new(schema: &SchemaRef, rows: u64) -> Table {
        Table {
            schema: schema.clone(),
            index: KeyIndex::with_capacity(rows as usize),
            numbers: Vec::with_capacity(rows as usize),
            starts: vec![],
            rows: vec![],
            chunks: vec![],
            loose: vec![],
            loose_rows: 0,
            held: 0,
            nulls: schema.fields().iter().map(|f| new_null_array(f.data_type(), 1)).collect(),
            found: None,
        }
    }

    /// Bytes that a table of so many rows may take besides the rows.
    pub(crate) fn bytes_for(rows: u64) -> u64 {
        // A hash, two slots, and of key numbers, starts, rows and the counting of them four at a time.
        rows * (16 + 16 + 16)
    }

    pub(crate) fn bytes(&self) -> u64 {
        let lists = self.numbers.capacity() + self.starts.capacity() + self.rows.capacity();
        self.held + self.index.bytes() + lists as u64 * 4 + self.found.as_ref().map_or(0, |f| f.len() as u64)
    }

    pub(crate) fn add(&mut self, batch: RecordBatch, hashes: &[u128]) -> Result<()> {
        if self.numbers.len() + hashes.len() >= NONE as usize {
            return Err(Error::world("more than 4 billion rows on the right of a join in one piece of state")
                .help("run with more --threads, or join in several steps"));
        }
        self.index.number_all(hashes, &mut self.numbers)?;
        let mut at = 0;
        while at < batch.num_rows() {
            let rows = (CHUNK - self.loose_rows).min(batch.num_rows() - at);
            self.loose.push(batch.slice(at, rows));
            self.loose_rows += rows;
            at += rows;
            if self.loose_rows == CHUNK {
                self.close_chunk()?;
            }
        }
        Ok(())
    }

    fn close_chunk(&mut self) -> Result<()> {
        let chunk = concat_batches(&self.schema, &std::mem::take(&mut self.loose))?;
        self.loose_rows = 0;
        self.held += batch_bytes(&chunk);
        self.chunks.push(chunk);
        Ok(())
    }

    /// No more rows will be added. `mark`: keep account of the rows that are found.
    pub(crate) fn finish(&mut self, mark: bool) -> Result<()> {
        if self.loose_rows > 0 {
            self.close_chunk()?;
        }
        let (keys, rows) = (self.index.len(), self.numbers.len());
        if keys < rows {
            // A counting sort of the rows by key.
            self.starts = vec![0; keys + 1];
            self.numbers.iter().for_each(|&k| self.starts[k as usize + 1] += 1);
            for k in 0..keys {
                self.starts[k + 1] += self.starts[k];
            }
            self.rows = vec![0; rows];
            let mut next = self.starts.clone();
            for (row, &k) in self.numbers.iter().enumerate() {
                self.rows[next[k as usize] as usize] = row as u32;
                next[k as usize] += 1;
            }
        }
        self.numbers = vec![];
        self.found = mark.then(|| vec![false; rows]);
        Ok(())
    }

    /// Appends the number of each key to `keys`, `NONE` where there is none.
    pub(crate) fn find(&self, hashes: &[u128], keys: &mut Vec<u32>) {
        self.index.find_all(hashes, keys);
    }

    /// How many rows a key has.
    #[inline(always)]
    pub(crate) fn count(&self, key: u32) -> usize {
        if self.starts.is_empty() { 1 } else { (self.starts[key as usize + 1] - self.starts[key as usize]) as usize }
    }

    /// The `i`th row of a key.
    #[inline(always)]
    pub(crate) fn row(&self, key: u32, i: usize) -> u32 {
        if self.starts.is_empty() { key } else { self.rows[self.starts[key as usize] as usize + i] }
    }

    /// Marks rows as found.
    pub(crate) fn mark(&mut self, rows: &[u32]) {
        if let Some(found) = &mut self.found {
            rows.iter().filter(|&&r| r != NONE).for_each(|&r| found[r as usize] = true);
        }
    }

    /// All rows in batches, with the hashes of their keys.
    pub(crate) fn each(&self, mut then: impl FnMut(&RecordBatch, &[u128]) -> Result<()>) -> Result<()> {
        let mut hashes = vec![0; self.chunks.iter().map(RecordBatch::num_rows).sum()];
        for (key, &hash) in self.index.keys().iter().enumerate() {
            (0..self.count(key as u32)).for_each(|i| hashes[self.row(key as u32, i) as usize] = hash);
        }
        let mut rest = hashes.as_slice();
        for chunk in &self.chunks {
            let (these, more) = rest.split_at(chunk.num_rows());
            then(chunk, these)?;
            rest = more;
        }
        Ok(())
    }

    /// Ready to pick these rows out of the columns.
    pub(crate) fn gather(&self, rows: &[u32]) -> Gather<'_> {
        let mask = CHUNK - 1;
        let place = |&row: &u32| match row {
            NONE => (self.chunks.len(), 0),
            row => (row as usize >> CHUNK_BITS, row as usize & mask),
        };
        Gather { table: self, places: rows.iter().map(place).collect() }
    }

    /// The rows that were never found, chunk by chunk.
    pub(crate) fn not_found(&self) -> impl Iterator<Item = Result<RecordBatch>> + '_ {
        let found = self.found.as_deref().unwrap_or_default();
        self.chunks.iter().zip(found.chunks(CHUNK)).map(|(chunk, found)| {
            let bits = MutableBuffer::collect_bool(found.len(), |i| !found[i]);
            let lonely = BooleanBuffer::new(bits.into(), 0, found.len());
            Ok(filter_record_batch(chunk, &arrow::array::BooleanArray::new(lonely, None))?)
        })
    }
}

pub(crate) struct Gather<'a> {
    table: &'a Table,
    places: Vec<(usize, usize)>,
}

impl Gather<'_> {
    pub(crate) fn column(&self, column: usize) -> Result<ArrayRef> {
        let chunks = self.table.chunks.iter().map(|c| c.column(column).as_ref() as &dyn Array);
        let arrays: Vec<&dyn Array> = chunks.chain([self.table.nulls[column].as_ref() as &dyn Array]).collect();
        Ok(interleave(&arrays, &self.places)?)
    }
}
