//! Sinks: files in a folder or an object store, documents for a search engine, the standard output, and nowhere.

mod csv;
mod files;
mod hints;
mod null;
mod search;
mod stdout;
mod stream;

use files::Files;
use null::Null;
use search::Search;
use selvedge_connect::Connectors;
use selvedge_node::{ErasedKind, erase};
use stdout::Stdout;

/// The kinds of this crate.
pub fn kinds<C: Connectors>() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<Files<C>>(), erase::<Stdout>(), erase::<Null>(), erase::<Search<C>>(), erase::<stream::Stream>()]
}
