//! The best row of each key, where any later row may turn out to be it: rows are set apart by key until the input ends, then
//! each partition is gone through once.
//!
//! Of a partition, the best rows so far are held in the batches that they came in. When these outgrow the share of the
//! budget, the losers are thrown out; if the winners alone take most of it, no further keys are taken in: rows of keys that
//! are not there go to partitions of the next level, which are gone through afterwards. A giant key never needs more than
//! one row, so skew costs nothing.

use super::order::{Keys, Order, hashable};
use crate::hashed::unhashed;
use crate::send::send_kept;
use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use selvedge_node::prelude::*;
use selvedge_node::{Reservation, Save};
use selvedge_state::{KeyIndex, Partition, Partitions, Piece, RowHasher, batch_bytes};
use std::cell::OnceCell;
use std::cmp::Ordering;

/// What the winners of a partition may always take.
fn floor(task: &Task) -> u64 {
    (task.memory.limit() / 64).min(256 << 10)
}

pub(crate) struct Best {
    hasher: RowHasher,
    /// What is better: `None`, the later row.
    order: Option<Order>,
    tie: RowHasher,
    task: Task,
    partitions: Option<Partitions>,
    hashes: Vec<u128>,
}

/// Rows with the best so far of some keys among them.
struct Kept {
    batch: RecordBatch,
    /// `None` where the later row is better.
    keys: Option<Keys>,
    /// Made at the first tie.
    ties: OnceCell<Vec<u128>>,
    bytes: u64,
}

struct Winners<'a> {
    node: &'a Best,
    index: KeyIndex,
    /// For each key: batch and row.
    best: Vec<(u32, u32)>,
    kept: Vec<Kept>,
    held: u64,
    /// What was held after compacting last.
    compacted: u64,
    /// No further keys are taken in.
    closed: bool,
    reservation: Reservation,
    numbers: Vec<u32>,
}

impl Best {
    pub(crate) fn new(schema: &SchemaRef, hasher: &RowHasher, order: Option<Order>, task: &Task) -> Result<Best> {
        let partitions = Some(Partitions::new(task, schema));
        let tie = RowHasher::new(schema, &hashable(schema))?;
        Ok(Best { hasher: hasher.clone(), order, tie, task: task.clone(), partitions, hashes: vec![] })
    }

    fn resolve(&self, partition: Partition, out: &mut dyn Out) -> Result<()> {
        let mut deeper = partition.deeper();
        let mut winners = Winners {
            node: self,
            index: KeyIndex::default(),
            best: vec![],
            kept: vec![],
            held: 0,
            compacted: 0,
            closed: false,
            reservation: self.task.memory.reserve(),
            numbers: vec![],
        };
        for piece in partition.read() {
            if out.stopping() {
                return Err(Error::stopped());
            }
            let piece = piece?;
            match deeper.as_mut().filter(|_| winners.closed) {
                Some(deeper) => winners.take_known(piece, deeper)?,
                None => winners.take_all(piece)?,
            }
            if winners.fits() {
                continue;
            }
            // With nowhere to go, losers alone give room: they must be enough to be worth a pass over all that is held.
            let must_hold = winners.closed || deeper.is_none();
            if !must_hold || winners.held > winners.compacted / 4 * 5 {
                winners.compact(out)?;
                winners.closed = deeper.is_some() && winners.bytes() * 4 > winners.reservation.share() * 3;
            }
        }
        drop(partition);
        winners.send(out)?;
        for partition in deeper.map(Partitions::drain).transpose()?.into_iter().flatten().filter(|p| !p.is_empty()) {
            self.resolve(partition, out)?;
        }
        Ok(())
    }
}

impl Winners<'_> {
    fn take_all(&mut self, piece: Piece) -> Result<()> {
        self.numbers.clear();
        self.index.number_all(&piece.hashes, &mut self.numbers)?;
        self.take(piece.batch)
    }

    /// Takes rows of keys that are there, and sets the others aside.
    fn take_known(&mut self, piece: Piece, aside: &mut Partitions) -> Result<()> {
        let mut numbers = vec![];
        self.index.find_all(&piece.hashes, &mut numbers);
        let known = BooleanBuffer::collect_bool(numbers.len(), |row| numbers[row] != KeyIndex::NONE);
        let hashes: Vec<u128> =
            piece.hashes.iter().zip(&numbers).filter(|(_, n)| **n == KeyIndex::NONE).map(|(&h, _)| h).collect();
        let known = BooleanArray::new(known, None);
        aside.push(&filter_record_batch(&piece.batch, &arrow::compute::not(&known)?)?, &hashes)?;
        numbers.retain(|&n| n != KeyIndex::NONE);
        if numbers.is_empty() {
            return Ok(());
        }
        self.numbers = numbers;
        self.take(filter_record_batch(&piece.batch, &known)?)
    }

    /// Lets the rows of a batch compete; their keys' numbers are in `numbers`.
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let keys = self.node.order.as_ref().map(|o| o.keys(&batch)).transpose()?;
        let bytes = batch_bytes(&batch) + keys.as_ref().map_or(0, Keys::bytes);
        self.held += bytes;
        let new = Kept { batch, keys, ties: OnceCell::new(), bytes };
        let at = self.kept.len() as u32;
        for (row, &number) in self.numbers.iter().enumerate() {
            let here = (at, row as u32);
            let Some(best) = self.best.get_mut(number as usize) else {
                self.best.push(here);
                continue;
            };
            let old = if best.0 == at { &new } else { &self.kept[best.0 as usize] };
            if better(&new, row, old, best.1 as usize, &self.node.tie) {
                *best = here;
            }
        }
        self.kept.push(new);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.held + self.index.bytes() + self.best.capacity() as u64 * 8
    }

    fn fits(&mut self) -> bool {
        let bytes = self.bytes();
        if bytes <= floor(&self.node.task) || self.reservation.try_resize(bytes) {
            return true;
        }
        self.reservation.resize(bytes);
        false
    }

    /// By batch, which of its rows are the best of their keys.
    fn masks(&self) -> Vec<BooleanBuffer> {
        let mut masks: Vec<BooleanBufferBuilder> = vec![];
        for kept in &self.kept {
            let mut mask = BooleanBufferBuilder::new(kept.batch.num_rows());
            mask.append_n(kept.batch.num_rows(), false);
            masks.push(mask);
        }
        for &(at, row) in &self.best {
            masks[at as usize].set_bit(row as usize, true);
        }
        masks.iter_mut().map(|m| m.finish()).collect()
    }

    /// Drops the rows that have lost already.
    fn compact(&mut self, out: &mut dyn Out) -> Result<()> {
        let masks = self.masks();
        // The place of each row among the winners of its batch.
        let mut places: Vec<Vec<u32>> = vec![];
        for mask in &masks {
            let place = |next: &mut u32, won: bool| {
                *next += u32::from(won);
                Some(next.wrapping_sub(1))
            };
            places.push(mask.iter().scan(0, place).collect());
        }
        self.best.iter_mut().for_each(|(at, row)| *row = places[*at as usize][*row as usize]);
        for (kept, mask) in self.kept.iter_mut().zip(masks) {
            if mask.count_set_bits() == mask.len() {
                continue;
            }
            let mask = BooleanArray::new(mask, None);
            out.drop_where("duplicate", &kept.batch, &arrow::compute::not(&mask)?);
            let batch = filter_record_batch(&kept.batch, &mask)?;
            let keys = self.node.order.as_ref().map(|o| o.keys(&batch)).transpose()?;
            let bytes = batch_bytes(&batch) + keys.as_ref().map_or(0, Keys::bytes);
            self.held = self.held - kept.bytes + bytes;
            *kept = Kept { batch, keys, ties: OnceCell::new(), bytes };
        }
        self.compacted = self.held;
        Ok(())
    }

    fn send(self, out: &mut dyn Out) -> Result<()> {
        let masks = self.masks();
        // Only the rows are needed now, and each batch of them only until it is sent.
        drop((self.index, self.best));
        for (kept, mask) in self.kept.into_iter().zip(masks) {
            send_kept(&kept.batch, mask, "duplicate", &self.node.task, out)?;
        }
        Ok(())
    }
}

/// Whether row `a` of `new` takes the place of row `b` of `old`, which came before it.
#[inline(always)]
fn better(new: &Kept, a: usize, old: &Kept, b: usize, tie: &RowHasher) -> bool {
    let (Some(new_keys), Some(old_keys)) = (&new.keys, &old.keys) else { return true };
    match new_keys.compare(a, old_keys, b) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => ties(new, tie)[a] > ties(old, tie)[b],
    }
}

#[cold]
fn ties<'k>(kept: &'k Kept, hasher: &RowHasher) -> &'k [u128] {
    kept.ties.get_or_init(|| {
        let mut hashes = vec![];
        hasher.hash(&kept.batch, &mut hashes);
        hashes
    })
}

impl Transform for Best {
    fn process(&mut self, _: usize, batch: RecordBatch, _: &mut dyn Out) -> Result<()> {
        self.hasher.hash(&batch, &mut self.hashes);
        match &mut self.partitions {
            Some(partitions) => partitions.push(&batch, &self.hashes),
            None => Err(Error::bug("rows after the end of the input")),
        }
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        self.partitions.iter_mut().try_for_each(|partitions| partitions.each(|rows| to.put("rows", rows)))
    }

    fn load(&mut self, _: &str, batch: RecordBatch) -> Result<()> {
        let (rows, hashes) = unhashed(&batch)?;
        self.partitions.iter_mut().try_for_each(|partitions| partitions.push(&rows, &hashes))
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        if let Some(partitions) = self.partitions.take() {
            for partition in partitions.drain()?.filter(|p| !p.is_empty()) {
                self.resolve(partition, out)?;
            }
        }
        Ok(())
    }
}
