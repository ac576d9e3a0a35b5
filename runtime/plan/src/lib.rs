//! From a spec and a catalogue of kinds to a plan: a typed graph, checked as a whole, and the schedule that it runs by.
//!
//! ```text
//! Spec ──plan(catalogue)──► Plan ──schedule(machine)──► Schedule
//!        schemas on every edge,      what shares a thread, what is exchanged,
//!        all problems at once        how many instances
//! ```
//!
//! Nothing here has threads or clocks. The only I/O is a source's own look at its data, inside `Kind::build`.

mod catalogue;
mod cycles;
mod guarantee;
mod merge;
mod plan;
pub mod print;
mod resolve;
mod schedule;
mod unending;
mod unordered;

pub use catalogue::Catalogue;
pub use plan::{Edge, Node, Plan, PortOut, plan, plan_loaded};
pub use schedule::{Delivery, Machine, Schedule, Stage, schedule};

#[cfg(test)]
mod tests;
