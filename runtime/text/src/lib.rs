//! Nodes that read text: logs become columns, messages get keywords.

mod keyword_extract;
mod parse_log;

use selvedge_node::{ErasedKind, erase};

/// Every kind of this crate.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<parse_log::ParseLog>(), erase::<keyword_extract::KeywordExtract>()]
}
