//! Sinks without heavy clients: files in a folder, the standard output, and nowhere.

mod csv;
mod files;
mod null;
mod stdout;

use files::Files;
use null::Null;
use selvedge_node::{ErasedKind, erase};
use stdout::Stdout;

/// The kinds of this crate.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<Files>(), erase::<Stdout>(), erase::<Null>()]
}
