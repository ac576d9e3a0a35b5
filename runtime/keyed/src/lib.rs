//! Nodes that bring rows of equal keys together: `Dedup`, `GroupSort` and `Join`. Their state goes to disk beyond its share of the budget.

mod dedup;
mod group_sort;
mod join;
mod send;

use selvedge_node::{ErasedKind, erase};

/// What cannot be spilled may take so many bytes in each instance, whatever the budget says: a few thousand keys are no state to
/// speak of.
const LEAST: u64 = 4 << 20;

/// Every kind of this crate.
pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<dedup::Dedup>(), erase::<group_sort::GroupSort>(), erase::<join::Join>()]
}

#[cfg(test)]
mod tests;
