//! `Generate`: seeded synthetic rows, from a plain counter to the retailer's own dirty tables.
//!
//! A row is a pure function of (shape, rows, seed, its number): any thread can make any part of the table, in any order,
//! and the parts always fit. Values are made column by column, straight into Arrow buffers. `stream` makes lines instead: events for
//! `selvedge gen --stream`.

mod generate;
mod prng;
mod shapes;
pub mod stream;
mod text;
mod words;

pub use generate::Generate;
pub use shapes::Shape;

use selvedge_node::{ErasedKind, erase};

/// The kinds of this crate.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<Generate>()]
}
