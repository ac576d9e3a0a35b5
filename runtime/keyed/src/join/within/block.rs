//! Rows of one input, sorted by key and then by time: all in memory, or on disk but for what is looked at most.
//!
//! A log-structured merge tree (O'Neil et al. 1996) holds an input: what arrives is a small block, blocks of like size are merged
//! into a larger one, and a block that is too much for memory goes to disk page by page. Of a row on disk its time, whether it has
//! had a match and a share of a filter stay in memory.

use crate::hashed::{hash_column, hash_field, hashes};
use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, interleave, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use selvedge_node::{Error, Result, Task};
use selvedge_state::{KeyFilter, SpillFile, SpillWriter, batch_bytes};
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes in memory for a row besides its batch: its time, and whether it has had a match.
const BESIDE: u64 = 9;

/// Bytes of a page, about: what is read for one row that may match.
const PAGE_BYTES: u64 = 32 << 10;

/// The columns of rows as they are held: those that a join needs, when the row arrived, the hash of its key.
pub(super) fn stored(schema: &Schema) -> SchemaRef {
    let own = schema.fields().iter().cloned();
    let more = [Field::new("\0arrival", DataType::Int64, false), hash_field()];
    Arc::new(Schema::new(own.chain(more.map(Arc::new)).collect::<Vec<_>>()))
}

/// When stored rows arrived: the how manieth of their input they are.
pub(super) fn arrivals(batch: &RecordBatch) -> &[i64] {
    batch.column(batch.num_columns() - 2).as_primitive::<Int64Type>().values()
}

enum Rows {
    Memory(RecordBatch),
    /// A batch for each page.
    Disk(Box<SpillFile>),
}

/// Rows that are read at once.
struct Page {
    /// Its keys: from the first to the last.
    keys: (u128, u128),
    rows: Range<usize>,
}

pub(super) struct Block {
    rows: Rows,
    pages: Vec<Page>,
    /// Of what is on disk.
    filter: Option<KeyFilter>,
    pub times: Vec<i64>,
    pub met: Vec<Cell<bool>>,
    pub earliest: i64,
    pub latest: i64,
    /// Rows before this are settled …
    pub settled: i64,
    /// … the earliest of the others is here, `i64::MAX` if there is none …
    pub next: i64,
    /// … and so many are alive.
    pub living: usize,
    /// All rows arrived before this.
    pub until: i64,
    /// How often its rows have been merged.
    pub merged: u32,
}

impl Block {
    /// Rows with their times and hashes, the first of which arrived as number `first`.
    pub(super) fn new(
        schema: &SchemaRef,
        batch: &RecordBatch,
        times: &[i64],
        keys: &[u128],
        first: i64,
    ) -> Result<Block> {
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(Int64Array::from_iter_values(first..first + batch.num_rows() as i64)));
        columns.push(hash_column(keys.iter().map(|&key| key as i128)));
        Block::of(RecordBatch::try_new(schema.clone(), columns)?, times, &vec![false; times.len()])
    }

    /// Stored rows in any order.
    pub(super) fn of(batch: RecordBatch, times: &[i64], met: &[bool]) -> Result<Block> {
        let keys = hashes(&batch);
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        order.sort_unstable_by_key(|&row| (keys[row as usize] as u128, times[row as usize], row));
        let times = order.iter().map(|&row| times[row as usize]).collect();
        let met = order.iter().map(|&row| Cell::new(met[row as usize])).collect();
        Ok(Block::sorted(take_record_batch(&batch, &UInt32Array::from(order))?, times, met, 0))
    }

    fn sorted(batch: RecordBatch, times: Vec<i64>, met: Vec<Cell<bool>>, merged: u32) -> Block {
        let pages = page_of(&batch, 0).into_iter().collect();
        let until = arrivals(&batch).iter().max().map_or(0, |last| last + 1);
        Block::over(Rows::Memory(batch), pages, None, times, met, until, merged)
    }

    fn over(
        rows: Rows,
        pages: Vec<Page>,
        filter: Option<KeyFilter>,
        times: Vec<i64>,
        met: Vec<Cell<bool>>,
        until: i64,
        merged: u32,
    ) -> Block {
        let (earliest, latest) = times.iter().fold((i64::MAX, i64::MIN), |(low, high), &t| (low.min(t), high.max(t)));
        let (settled, next, living) = (i64::MIN, earliest, times.len());
        Block { rows, pages, filter, times, met, earliest, latest, settled, next, living, until, merged }
    }

    /// Those rows of a block in memory, which has the order of its rows' arrival in `keep`.
    pub(super) fn only(self, keep: &BooleanArray) -> Result<Block> {
        let rows = self.here()?;
        let first = arrivals(rows).iter().min().copied().unwrap_or(0);
        let keep: Vec<bool> = arrivals(rows).iter().map(|arrival| keep.value((arrival - first) as usize)).collect();
        let rows = filter_record_batch(rows, &BooleanArray::from(keep.clone()))?;
        let kept = |row: &usize| keep[*row];
        let times = (0..self.len()).filter(kept).map(|row| self.times[row]).collect();
        let met = (0..self.len()).filter(kept).map(|row| self.met[row].clone()).collect();
        Ok(Block::sorted(rows, times, met, self.merged))
    }

    /// The rows of a block in memory.
    pub(super) fn here(&self) -> Result<&RecordBatch> {
        match &self.rows {
            Rows::Memory(batch) => Ok(batch),
            Rows::Disk(_) => Err(Error::bug("rows on disk look for a match")),
        }
    }

    /// Takes note that rows before `horizon` are settled.
    pub(super) fn settle(&mut self, horizon: i64, alive: impl Fn(i64, bool) -> bool) {
        (self.settled, self.next, self.living) = (horizon, i64::MAX, 0);
        for (&time, met) in self.times.iter().zip(&self.met) {
            if alive(time, met.get()) {
                self.living += 1;
                self.next = self.next.min(time);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// About how many bytes a row has, wherever it is.
    fn row_bytes(&self) -> u64 {
        let bytes = match &self.rows {
            Rows::Memory(batch) => batch_bytes(batch),
            Rows::Disk(file) => file.bytes(),
        };
        (bytes / self.len().max(1) as u64).max(1)
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> u64 {
        let rows = match &self.rows {
            Rows::Memory(batch) => batch_bytes(batch),
            Rows::Disk(_) => self.pages.len() as u64 * (size_of::<Page>() as u64 + 24),
        };
        rows + self.filter.as_ref().map_or(0, KeyFilter::bytes) + self.len() as u64 * BESIDE
    }

    /// The rows page by page, and where each page begins.
    pub(super) fn pages(&self) -> impl Iterator<Item = (usize, Result<RecordBatch>)> + '_ {
        self.pages.iter().enumerate().map(|(at, page)| (page.rows.start, self.page(at)))
    }

    fn page(&self, at: usize) -> Result<RecordBatch> {
        match &self.rows {
            Rows::Memory(batch) => Ok(batch.clone()),
            Rows::Disk(file) => file.batch(at),
        }
    }

    /// Picks rows, whose numbers rise: page by page, only those that have any.
    pub(super) fn pick(&self, rows: &[u32], mut then: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let mut rest = rows;
        for (at, page) in self.pages.iter().enumerate() {
            let here = rest.partition_point(|&row| (row as usize) < page.rows.end);
            let (these, later) = rest.split_at(here);
            rest = later;
            if !these.is_empty() {
                let numbers = UInt32Array::from_iter_values(these.iter().map(|row| row - page.rows.start as u32));
                then(take_record_batch(&self.page(at)?, &numbers)?)?;
            }
        }
        Ok(())
    }

    /// Finds for each row of `mine`, which is in memory, the rows here that have its key and lie near: `near` says for its time from
    /// when to when. They come as a page, the number of its first row, the row of `mine`, and those of the page.
    pub(super) fn meet(
        &self,
        mine: &Block,
        near: impl Fn(i64) -> (i64, i64),
        mut then: impl FnMut(&RecordBatch, usize, usize, Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let keys = hashes(mine.here()?);
        for (at, page) in self.pages.iter().enumerate() {
            let first = keys.partition_point(|&key| (key as u128) < page.keys.0);
            let end = keys.partition_point(|&key| key as u128 <= page.keys.1);
            let passes = |&key: &i128| self.filter.as_ref().is_none_or(|f| f.may_contain(key as u128));
            if !keys[first..end].iter().any(passes) {
                continue;
            }
            let rows = self.page(at)?;
            let (theirs, times) = (hashes(&rows), &self.times[page.rows.clone()]);
            let mut from = 0;
            for (row, &key) in keys.iter().enumerate().take(end).skip(first) {
                from = lower_bound(theirs.len(), from, |i| (theirs[i] as u128) < key as u128);
                let (low, high) = near(mine.times[row]);
                let start = lower_bound(theirs.len(), from, |i| theirs[i] == key && times[i] < low);
                let stop = lower_bound(theirs.len(), start, |i| theirs[i] == key && times[i] <= high);
                if start < stop {
                    then(&rows, page.rows.start, row, start..stop)?;
                }
            }
        }
        Ok(())
    }
}

fn page_of(batch: &RecordBatch, start: usize) -> Option<Page> {
    let keys = hashes(batch);
    let (first, last) = (*keys.first()?, *keys.last()?);
    Some(Page { keys: (first as u128, last as u128), rows: start..start + keys.len() })
}

/// The first of `from..len` for which `before` does not hold, which holds for none behind it. In steps that double: it is near.
fn lower_bound(len: usize, from: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (from, 1);
    while low + step <= len && before(low + step - 1) {
        low += step;
        step *= 2;
    }
    let mut high = len.min(low + step - 1);
    while low < high {
        let middle = (low + high) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Where a merge stands in a block.
struct Cursor<'a> {
    block: &'a Block,
    /// The page at work, and where it stands in the pool.
    page: usize,
    at: usize,
    /// The next row of the block.
    row: usize,
}

/// Merges blocks; rows that are not `alive` stay behind. Pages of at most `size` rows, with their times and whether they have met.
fn merge(
    schema: &SchemaRef,
    blocks: &[Block],
    alive: impl Fn(i64, bool) -> bool,
    size: usize,
    mut then: impl FnMut(RecordBatch, &[i64], &[Cell<bool>]) -> Result<()>,
) -> Result<()> {
    let key = |pool: &[RecordBatch], c: &Cursor, which: usize| {
        let hash = hashes(&pool[c.at])[c.row - c.block.pages[c.page].rows.start];
        Reverse((hash as u128, c.block.times[c.row], which))
    };
    let (mut pool, mut heap, mut cursors) = (vec![], BinaryHeap::new(), vec![]);
    for block in blocks.iter().filter(|b| b.len() > 0) {
        cursors.push(Cursor { block, page: 0, at: pool.len(), row: 0 });
        pool.push(block.page(0)?);
        heap.push(key(&pool, &cursors[cursors.len() - 1], cursors.len() - 1));
    }
    let (mut order, mut times, mut met) = (vec![], vec![], vec![]);
    loop {
        let next = heap.pop();
        if order.len() == size || (next.is_none() && !order.is_empty()) {
            let column = |c: usize| {
                let parts: Vec<&dyn Array> = pool.iter().map(|b: &RecordBatch| b.column(c).as_ref()).collect();
                interleave(&parts, &order)
            };
            let columns = (0..schema.fields().len()).map(column).collect::<std::result::Result<Vec<_>, _>>()?;
            then(RecordBatch::try_new(schema.clone(), columns)?, &times, &met)?;
            (order, times, met) = (vec![], vec![], vec![]);
            // Only the pages at work stay.
            pool = cursors.iter().map(|c| pool[c.at].clone()).collect();
            cursors.iter_mut().enumerate().for_each(|(i, c)| c.at = i);
        }
        let Some(Reverse((.., which))) = next else { return Ok(()) };
        let c: &mut Cursor = &mut cursors[which];
        let (time, had) = (c.block.times[c.row], c.block.met[c.row].get());
        if alive(time, had) {
            order.push((c.at, c.row - c.block.pages[c.page].rows.start));
            times.push(time);
            met.push(Cell::new(had));
        }
        c.row += 1;
        if c.row == c.block.len() {
            continue;
        }
        if c.row == c.block.pages[c.page].rows.end {
            c.page += 1;
            c.at = pool.len();
            pool.push(c.block.page(c.page)?);
        }
        heap.push(key(&pool, c, which));
    }
}

/// One block in memory of those that are alive; none if none is.
pub(super) fn merge_here(
    schema: &SchemaRef,
    blocks: &[Block],
    alive: impl Fn(i64, bool) -> bool,
) -> Result<Option<Block>> {
    let merged = blocks.iter().map(|b| b.merged).max().unwrap_or(0) + 1;
    let mut all = None;
    merge(schema, blocks, alive, usize::MAX, |batch, times, met| {
        all = Some(Block::sorted(batch, times.to_vec(), met.to_vec(), merged));
        Ok(())
    })?;
    Ok(all)
}

/// One block on disk of those that are alive; none if none is.
pub(super) fn merge_to_disk(
    schema: &SchemaRef,
    blocks: &[Block],
    alive: impl Fn(i64, bool) -> bool,
    task: &Task,
) -> Result<Option<Block>> {
    let rows = blocks.iter().map(Block::len).sum();
    let row_bytes = blocks.iter().map(Block::row_bytes).max().unwrap_or(1);
    let size = ((PAGE_BYTES / row_bytes) as usize).clamp(16, task.batch_rows.max(16));
    let mut file = SpillWriter::create(&task.scratch, schema)?;
    let mut filter = KeyFilter::new(rows);
    let (mut pages, mut all_times, mut all_met): (Vec<Page>, _, _) =
        (vec![], Vec::with_capacity(rows), Vec::with_capacity(rows));
    merge(schema, blocks, alive, size, |batch, times, met| {
        hashes(&batch).iter().for_each(|&key| filter.insert(key as u128));
        pages.extend(page_of(&batch, all_times.len()));
        all_times.extend_from_slice(times);
        all_met.extend_from_slice(met);
        file.write(&batch)
    })?;
    if all_times.is_empty() {
        return Ok(None);
    }
    let until = blocks.iter().map(|b| b.until).max().unwrap_or(0);
    let merged = blocks.iter().filter(|b| b.filter.is_some()).map(|b| b.merged + 1).max().unwrap_or(0);
    Ok(Some(Block::over(Rows::Disk(Box::new(file.finish()?)), pages, Some(filter), all_times, all_met, until, merged)))
}
