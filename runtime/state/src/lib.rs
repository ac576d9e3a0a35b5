//! What every node with state is made of: row hashes, tables of keys, hash exchanges, spill files and spilling partitions.
//!
//! One 128-bit hash identifies a key (`docs/decisions/0002-hash-is-identity.md`). Its bits are shared out, so that what one
//! layer has made equal does not clump in the next:
//!
//! ```text
//! 127          96 95                        64 63                      0
//! ├── exchange ──┼── partitions, 6 a level ──┼── buckets of hash tables ─┤
//! ```

mod exchange;
mod filter;
mod hash;
mod key_index;
mod key_map;
mod key_run;
mod key_set;
mod partitions;
mod spill;

pub use exchange::{instance_of, scatter};
pub use filter::KeyFilter;
pub use hash::{RowHasher, Seed};
pub use key_index::KeyIndex;
pub use key_map::KeyMap;
pub use key_run::{KeyRun, KeyRunWriter, run_order};
pub use key_set::{Inserted, KeySet};
pub use partitions::{Drained, MAX_LEVEL, PARTITIONS, Partition, Partitions, Piece};
pub use spill::{Extent, SpillFile, SpillReader, SpillStore, SpillWriter, compact_views};

use arrow::array::{Array, RecordBatch};

/// Bytes that the rows of a batch take, whatever larger buffers they are slices of.
pub fn batch_bytes(batch: &RecordBatch) -> u64 {
    let sliced = |c: &dyn Array| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size());
    batch.columns().iter().map(|c| sliced(c) as u64).sum()
}
