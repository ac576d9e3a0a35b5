//! Rows set apart by key: collected in memory while the budget has room, on disk beyond that, taken back one part at a time.
//!
//! ```text
//! push ─► pending rows ─scatter by 6 bits of the hash─► 64 parts: pieces in memory, extents on disk
//!                                                          │ drain
//!                                                          ▼
//!                            one Partition after the other: small enough for memory, or split again by the next 6 bits
//! ```
//!
//! Grace hashing (Kitsuregawa et al., 1983), with the largest parts going to disk first. Rows keep their order within a
//! part. A part that one giant key fills cannot be split; it comes as it is, and is read piece by piece, so its reader must
//! not hold all its rows at once.

use crate::spill::compact_views;
use crate::{Extent, SpillStore, batch_bytes};
use arrow::array::{Array, ArrayRef, Decimal128Array, RecordBatch};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use selvedge_node::{Error, Memory, Reservation, Result, Task};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// Parts at each level.
pub const PARTITIONS: usize = 1 << BITS;
const BITS: u32 = 6;
/// The deepest level of splitting: 30 bits of the hash are then used up.
pub const MAX_LEVEL: u32 = 4;

/// Rows that are written together, unless one piece has more.
const EXTENT_ROWS: usize = 8192;

/// The hash travels with its row in a last column of this type: the one of 16 bytes that every kernel is fast for.
const HASH: DataType = DataType::Decimal128(38, 0);

/// Rows being set apart.
pub struct Partitions {
    schema: SchemaRef,
    /// `schema` and the hash.
    stored: SchemaRef,
    level: u32,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: u64,
    /// Pending rows are scattered when they take so many bytes.
    chunk_bytes: u64,
    parts: Vec<Part>,
    /// Bytes of all pieces in memory.
    held: u64,
    rows: u64,
    reservation: Reservation,
    memory: Memory,
    scratch: PathBuf,
    store: Option<SpillStore>,
}

#[derive(Default)]
struct Part {
    pieces: Vec<RecordBatch>,
    held: u64,
    /// Written before any of `pieces` came.
    extents: Vec<Extent>,
}

/// Some rows of a partition.
#[derive(Debug, Clone)]
pub struct Piece {
    pub batch: RecordBatch,
    pub hashes: Vec<u128>,
}

impl Partitions {
    /// Rows of `schema`, at the first level.
    pub fn new(task: &Task, schema: &SchemaRef) -> Partitions {
        Partitions::at_level(0, schema, &task.memory, task.scratch.clone())
    }

    fn at_level(level: u32, schema: &SchemaRef, memory: &Memory, scratch: PathBuf) -> Partitions {
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("\0hash", HASH, false)));
        Partitions {
            schema: schema.clone(),
            stored: Arc::new(Schema::new(fields)),
            level,
            pending: vec![],
            pending_rows: 0,
            pending_bytes: 0,
            chunk_bytes: (memory.limit() / 64).clamp(16 << 10, 8 << 20),
            parts: std::iter::repeat_with(Part::default).take(PARTITIONS).collect(),
            held: 0,
            rows: 0,
            reservation: memory.reserve(),
            memory: memory.clone(),
            scratch,
            store: None,
        }
    }

    /// Rows pushed so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes in memory.
    pub fn held(&self) -> u64 {
        self.held + self.pending_bytes
    }

    /// Bytes on disk.
    pub fn spilled(&self) -> u64 {
        self.store.as_ref().map_or(0, |s| s.bytes())
    }

    /// Takes rows with their hashes.
    pub fn push(&mut self, batch: &RecordBatch, hashes: &[u128]) -> Result<()> {
        if hashes.len() != batch.num_rows() {
            return Err(Error::bug(format!("{} hashes for {} rows", hashes.len(), batch.num_rows())));
        }
        if hashes.is_empty() {
            return Ok(());
        }
        let hashes = Decimal128Array::from_iter_values(hashes.iter().map(|&h| h as i128)).with_data_type(HASH);
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(hashes));
        let stored = RecordBatch::try_new(self.stored.clone(), columns)?;
        self.rows += stored.num_rows() as u64;
        self.pending_rows += stored.num_rows();
        self.pending_bytes += batch_bytes(&stored);
        self.pending.push(stored);
        if self.pending_bytes >= self.chunk_bytes {
            self.scatter()?;
        }
        Ok(())
    }

    /// Moves the pending rows to their parts, and parts to disk until the budget is kept.
    fn scatter(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let (rows, _) = (std::mem::take(&mut self.pending_rows), std::mem::take(&mut self.pending_bytes));
        // A counting sort of (batch, row) by part.
        let shift = 64 + BITS * self.level;
        let part_of = |hash: i128| (hash as u128 >> shift) as usize % PARTITIONS;
        let mut ends = [0usize; PARTITIONS];
        for batch in &pending {
            hashes_of(batch)?.values().iter().for_each(|&h| ends[part_of(h)] += 1);
        }
        let mut end = 0;
        for e in &mut ends {
            end += std::mem::replace(e, end);
        }
        let mut order = vec![(0, 0); rows];
        for (b, batch) in pending.iter().enumerate() {
            for (row, &h) in hashes_of(batch)?.values().iter().enumerate() {
                let next = &mut ends[part_of(h)];
                order[*next] = (b, row);
                *next += 1;
            }
        }
        let columns: Vec<Vec<&dyn Array>> =
            (0..self.stored.fields().len()).map(|c| pending.iter().map(|b| b.column(c).as_ref()).collect()).collect();
        let mut start = 0;
        for (part, end) in ends.into_iter().enumerate() {
            if start < end {
                let gathered = columns.iter().map(|c| interleave(c, &order[start..end]));
                let gathered = gathered.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
                let piece = compact_views(&RecordBatch::try_new(self.stored.clone(), gathered)?)?;
                // What the allocator rounds up and the arrays' own heads: an eighth, as measured.
                let bytes = batch_bytes(&piece) / 8 * 9;
                let part = &mut self.parts[part];
                part.pieces.push(piece);
                part.held += bytes;
                self.held += bytes;
            }
            start = end;
        }
        drop(pending);
        self.fit()
    }

    /// Writes the largest parts to disk until what is left may stay in memory.
    fn fit(&mut self) -> Result<()> {
        if self.reservation.try_resize(self.held + self.chunk_bytes) {
            return Ok(());
        }
        // Down to three quarters of what there may be: not to be back here after the next chunk.
        let mut target = self.reservation.bytes().saturating_sub(self.chunk_bytes) / 4 * 3;
        loop {
            while self.held > target {
                self.spill_largest()?;
            }
            if target == 0 || self.reservation.try_resize(self.held + self.chunk_bytes) {
                break;
            }
            target /= 2;
        }
        // Others may have the whole budget: the chunk at work is held all the same.
        self.reservation.resize(self.held + self.chunk_bytes);
        Ok(())
    }

    fn spill_largest(&mut self) -> Result<()> {
        let Some(part) = self.parts.iter_mut().max_by_key(|p| p.held) else { return Ok(()) };
        let store = match &mut self.store {
            Some(store) => store,
            none => none.insert(SpillStore::create(&self.scratch, &self.stored)?),
        };
        // Pieces as the scatter made them are small: batches of a decent size are cheaper to write, to read and to work on.
        let mut rest = part.pieces.as_slice();
        while let Some(first) = rest.first() {
            let mut rows = 0;
            let fits = |p: &&RecordBatch| {
                rows += p.num_rows();
                rows <= EXTENT_ROWS
            };
            let (some, more) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            let extent =
                if some.len() == 1 { store.append(first) } else { store.append(&concat_batches(&self.stored, some)?) };
            part.extents.push(extent?);
            rest = more;
        }
        part.pieces.clear();
        self.held -= std::mem::take(&mut part.held);
        Ok(())
    }

    /// All rows so far, with their hashes as the last column; they stay. Those of a key come in the order in which they came.
    pub fn each(&mut self, mut then: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        for extent in self.parts.iter().flat_map(|part| &part.extents) {
            let store = self.store.as_mut().ok_or_else(|| Error::bug("a partition without its spill file"))?;
            then(&store.read(extent)?)?;
        }
        let held = self.parts.iter().flat_map(|part| &part.pieces).chain(&self.pending);
        held.into_iter().try_for_each(then)
    }

    /// Puts everything on disk, to leave the memory to others for a while.
    pub fn spill_all(&mut self) -> Result<()> {
        self.scatter()?;
        while self.held > 0 {
            self.spill_largest()?;
        }
        self.reservation.resize(0);
        Ok(())
    }

    /// All rows, part by part.
    pub fn drain(mut self) -> Result<Drained> {
        if self.pending_rows > 0 {
            self.scatter()?;
        }
        self.reservation.resize(self.held);
        Ok(Drained {
            schema: self.schema,
            level: self.level,
            parts: self.parts.into_iter(),
            held: self.held,
            lent: 0,
            reservation: self.reservation,
            memory: self.memory,
            scratch: self.scratch,
            store: self.store.map(|s| Rc::new(RefCell::new(s))),
        })
    }
}

fn hashes_of(stored: &RecordBatch) -> Result<&Decimal128Array> {
    let last = stored.columns().last().and_then(|c| c.as_any().downcast_ref());
    last.ok_or_else(|| Error::bug("stored rows have lost their hashes"))
}

/// The parts, always all [`PARTITIONS`] of them and in order, so that two drained inputs of a join go in step.
pub struct Drained {
    schema: SchemaRef,
    level: u32,
    parts: std::vec::IntoIter<Part>,
    held: u64,
    /// Bytes of the partition handed out last: given back when the next one is asked for.
    lent: u64,
    reservation: Reservation,
    memory: Memory,
    scratch: PathBuf,
    store: Option<Rc<RefCell<SpillStore>>>,
}

impl Iterator for Drained {
    type Item = Partition;
    fn next(&mut self) -> Option<Partition> {
        let part = self.parts.next()?;
        self.held -= std::mem::replace(&mut self.lent, part.held);
        self.reservation.resize(self.held);
        Some(Partition {
            schema: self.schema.clone(),
            level: self.level,
            part,
            memory: self.memory.clone(),
            scratch: self.scratch.clone(),
            store: self.store.clone(),
        })
    }
}

/// One part: all rows whose hashes agree in some bits, hence all rows of any key that it has.
pub struct Partition {
    schema: SchemaRef,
    level: u32,
    part: Part,
    memory: Memory,
    scratch: PathBuf,
    store: Option<Rc<RefCell<SpillStore>>>,
}

impl Partition {
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn rows(&self) -> u64 {
        let held: usize = self.part.pieces.iter().map(|p| p.num_rows()).sum();
        held as u64 + self.part.extents.iter().map(|e| e.rows).sum::<u64>()
    }

    /// Bytes that all its rows take in memory, hashes included.
    pub fn bytes(&self) -> u64 {
        self.part.held + self.on_disk()
    }

    /// Bytes of it that are on disk.
    pub fn on_disk(&self) -> u64 {
        self.part.extents.iter().map(|e| e.bytes).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.part.pieces.is_empty() && self.part.extents.is_empty()
    }

    /// Whether there are hash bits left to split it by.
    pub fn can_split(&self) -> bool {
        self.level < MAX_LEVEL
    }

    /// Empty partitions of its schema at the next level: for a reader that sets rows aside. `None` at the deepest level.
    pub fn deeper(&self) -> Option<Partitions> {
        let level = self.level + 1;
        self.can_split().then(|| Partitions::at_level(level, &self.schema, &self.memory, self.scratch.clone()))
    }

    /// Its rows in the order pushed, read from disk as they are asked for. May be read again.
    pub fn read(&self) -> impl Iterator<Item = Result<Piece>> + '_ {
        let read = |extent: &Extent| match &self.store {
            Some(store) => store.borrow_mut().read(extent),
            None => Err(Error::bug("a partition without its spill file")),
        };
        let on_disk = self.part.extents.iter().map(read);
        let held = self.part.pieces.iter().map(|p| Ok(p.clone()));
        on_disk.chain(held).map(|stored| self.piece(&stored?))
    }

    fn piece(&self, stored: &RecordBatch) -> Result<Piece> {
        let hashes = hashes_of(stored)?.values().iter().map(|&h| h as u128).collect();
        let columns = stored.columns()[..self.schema.fields().len()].to_vec();
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(stored.num_rows()));
        Ok(Piece { batch: RecordBatch::try_new_with_options(self.schema.clone(), columns, &rows)?, hashes })
    }

    /// The same rows in smaller parts, by the next bits of their hashes.
    pub fn split(self) -> Result<Drained> {
        let mut parts = self.deeper().ok_or_else(|| Error::bug("a partition of the deepest level was to be split"))?;
        for piece in self.read() {
            let piece = piece?;
            parts.push(&piece.batch, &piece.hashes)?;
        }
        drop(self);
        parts.drain()
    }
}

#[cfg(test)]
#[path = "partitions_tests.rs"]
mod tests;
