//! ORC files: read by orc-rust, written by our own writer, which knows decimals, lists, structs and statistics.
//!
//! ```text
//! RecordBatch ─► column.rs, text.rs ─► rle.rs ─► stream.rs ─► writer.rs: stripes, footers    file ─► reader.rs ─► RecordBatch
//!                each type's streams    runs      chunks       stats.rs: what readers skip by
//! ```
//!
//! The format is version 1 of the specification at <https://orc.apache.org/specification/ORCv1/>.

mod column;
mod reader;
mod rle;
mod stats;
mod stream;
mod tail;
#[cfg(test)]
mod tests;
mod text;
mod times;
mod types;
mod writer;

pub use reader::{Batches, OrcFile};
pub use stream::Compression;
pub use types::{Unsupported, unsupported};
pub use writer::{Options, OrcWriter};
