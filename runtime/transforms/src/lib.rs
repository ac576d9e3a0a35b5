//! The built-in nodes that change rows one batch at a time: no clients, no keyed state.

mod clean;
mod drop_nulls;
mod explode;
mod failures;
mod fill;
mod limit;
mod literal;
mod one_or_many;
mod ordered;
mod sample;
mod schema_edit;
mod union;

#[cfg(test)]
mod law;

use selvedge_node::{ErasedKind, erase};

/// The kinds of this crate, for the catalogue.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![
        erase::<schema_edit::SchemaEdit>(),
        erase::<drop_nulls::DropNulls>(),
        erase::<clean::Clean>(),
        erase::<explode::Explode>(),
        erase::<limit::Limit>(),
        erase::<sample::Sample>(),
        erase::<union::Union>(),
    ]
}
