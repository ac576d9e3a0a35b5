//! How many different keys there are, exactly, in bounded memory.
//!
//! Keys are known by their 128-bit hash. While the budget lasts they are in one set. From then on that set stays as it is:
//! a key that is not in it is put aside on disk, in one of 64 parts by the top bits of its hash, and counted at the end,
//! part by part.

use arrow::array::{AsArray, Decimal128Array, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema, SchemaRef};
use selvedge_node::{Error, Reservation, Result, Task};
use selvedge_state::{Extent, Inserted, KeySet, RowHasher, SpillStore};
use std::path::PathBuf;
use std::sync::Arc;

const PARTS: usize = 64;
/// Keys put aside in memory before they are written.
const PENDING: usize = 64 << 10;

pub(crate) struct Distinct {
    hasher: RowHasher,
    hashes: Vec<u128>,
    set: KeySet,
    reservation: Reservation,
    aside: Vec<Aside>,
    pending: usize,
    store: Option<SpillStore>,
    scratch: PathBuf,
}

#[derive(Default)]
struct Aside {
    pending: Vec<u128>,
    written: Vec<Extent>,
}

impl Distinct {
    pub(crate) fn new(schema: &Schema, columns: &[usize], task: &Task) -> Result<Distinct> {
        Ok(Distinct {
            hasher: RowHasher::new(schema, columns)?,
            hashes: vec![],
            set: KeySet::default(),
            reservation: task.memory.reserve(),
            aside: (0..PARTS).map(|_| Aside::default()).collect(),
            pending: 0,
            store: None,
            scratch: task.scratch.clone(),
        })
    }

    /// Adds the keys of a batch; up to `wanted` rows whose key came before are given back, as far as memory remembers.
    pub(crate) fn add(&mut self, batch: &RecordBatch, wanted: usize) -> Result<Vec<usize>> {
        self.hasher.hash(batch, &mut self.hashes);
        let (mut seen, mut refused) = (vec![], vec![]);
        let reservation = &mut self.reservation;
        // Once anything was put aside the set stays: a key may not be counted in both.
        let frozen = self.store.is_some() || self.pending > 0;
        let mut full = frozen;
        self.set.insert_all(
            &self.hashes,
            |bytes| {
                full = full || !reservation.try_resize(bytes);
                !full
            },
            |row, inserted| match inserted {
                Inserted::New => {}
                Inserted::Seen if seen.len() < wanted => seen.push(row),
                Inserted::Seen => {}
                Inserted::Refused => refused.push(row),
            },
        );
        for row in refused {
            let hash = self.hashes[row];
            self.aside[(hash >> 122) as usize % PARTS].pending.push(hash);
            self.pending += 1;
        }
        if self.pending >= PENDING {
            self.write()?;
        }
        Ok(seen)
    }

    fn write(&mut self) -> Result<()> {
        let schema = schema();
        let store = match self.store.take() {
            Some(store) => store,
            None => SpillStore::create(&self.scratch, &schema)?,
        };
        let store = self.store.insert(store);
        for part in self.aside.iter_mut().filter(|p| !p.pending.is_empty()) {
            let hashes: Vec<i128> = part.pending.drain(..).map(|h| h as i128).collect();
            let column = Decimal128Array::from(hashes).with_precision_and_scale(38, 0)?;
            part.written.push(store.append(&RecordBatch::try_new(schema.clone(), vec![Arc::new(column)])?)?);
        }
        self.pending = 0;
        Ok(())
    }

    /// The number of different keys.
    pub(crate) fn finish(&mut self) -> Result<u64> {
        let mut count = self.set.len() as u64;
        self.set = KeySet::default();
        self.reservation.resize(0);
        for part in &mut self.aside {
            let mut set = KeySet::default();
            let reservation = &mut self.reservation;
            let mut add = |hashes: &[u128]| {
                set.insert_all(
                    hashes,
                    |bytes| {
                        reservation.resize(bytes);
                        true
                    },
                    |_, _| {},
                )
            };
            for extent in &part.written {
                let store = self.store.as_mut().ok_or_else(|| Error::bug("spilled keys without their file"))?;
                let batch = store.read(extent)?;
                let hashes: Vec<u128> =
                    batch.column(0).as_primitive::<Decimal128Type>().values().iter().map(|h| *h as u128).collect();
                add(&hashes);
            }
            add(&part.pending);
            count += set.len() as u64;
        }
        self.reservation.resize(0);
        Ok(count)
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("hash", DataType::Decimal128(38, 0), false)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};

    fn count(memory: u64) -> (u64, bool) {
        let scratch = tempfile::tempdir().unwrap();
        let task = Task {
            run: "test".into(),
            node: "node".into(),
            instance: 0,
            instances: 1,
            memory: selvedge_node::Memory::new(memory),
            scratch: scratch.path().to_path_buf(),
            batch_rows: 8192,
            batch_bytes: 1 << 20,
            wake: Default::default(),
        };
        // 0, 1, 2, …, 299,999, then the even ones again.
        let keys = (0..300_000i64).chain((0..150_000).map(|i| 2 * i));
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
        let batch = RecordBatch::try_from_iter([("k", keys)]).unwrap();
        let mut distinct = Distinct::new(&batch.schema(), &[0], &task).unwrap();
        for at in (0..450_000).step_by(9000) {
            distinct.add(&batch.slice(at, 9000), 3).unwrap();
        }
        let spilled = distinct.store.is_some();
        let count = distinct.finish().unwrap();
        drop(distinct);
        assert_eq!(task.memory.used(), 0);
        (count, spilled)
    }

    #[test]
    fn the_count_is_exact_in_memory_and_on_disk() {
        assert_eq!(count(64 << 20), (300_000, false));
        assert_eq!(count(1 << 20), (300_000, true));
    }
}
