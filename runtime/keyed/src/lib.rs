//! Nodes that bring rows of equal keys together: `Dedup`, `GroupSort` and `Join`. Their state goes to disk beyond its share of the budget.

mod dedup;
mod group_sort;
mod hashed;
mod join;
mod send;

use selvedge_node::{ErasedKind, erase};

/// Every kind of this crate.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<dedup::Dedup>(), erase::<group_sort::GroupSort>(), erase::<join::Join>()]
}

#[cfg(test)]
mod tests;
