//! The `Files` source: CSV, NDJSON, Parquet, ORC and Arrow IPC, plain or packed, many files or large ones in parallel.
//!
//! ```text
//!  files.rs   the node: config, docs, which files        lake.rs paths.rs  folders, buckets, globs; shelf.rs small objects
//!  request.rs what it asks a format, and gets back       compression.rs  files as plain bytes
//!  csv/  ndjson/  parquet.rs  orc.rs  ipc.rs  formats      typed.rs        text to declared types
//!  crawl.rs   which objects and columns there are
//!  output.rs  what is sent                               lines.rs        line numbers of ranges
//! ```

mod bookmark;
#[cfg(test)]
mod columnar_tests;
mod compression;
mod crawl;
mod csv;
mod files;
mod ipc;
mod lake;
mod lines;
mod ndjson;
mod orc;
mod output;
mod overlong;
mod parquet;
mod paths;
mod plain;
mod request;
mod seeking;
mod shelf;
mod stream;
mod typed;
mod version;

pub use crawl::{crawl, objects};

use files::Files;
use selvedge_connect::Connectors;
use selvedge_node::{ErasedKind, erase};

/// The kinds of this crate.
pub fn kinds<C: Connectors>() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<Files<C>>(), erase::<stream::Stream>()]
}
