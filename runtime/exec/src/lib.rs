//! Runs a plan: threads, queues bounded in bytes, the ledger, commit. The only crate with threads and clocks.
//!
//! ```text
//!            ┌ stage 0 ×2 ────────────┐   queue per instance    ┌ stage 1 ×2 ──────────────┐
//!  splits ──►│ source ► map ► map ────┼─── hash of the keys ───►│ transform ► map ► writer ├──► pending
//!            └────────────────────────┘   bounded in bytes      └──────────────────────────┘      │
//!                     every hop counted in the ledger                 all ended, ledger balanced ─┴─► commit
//! ```
//!
//! A thread owns one instance of every node of its stage. Sending to a full queue blocks: that is all of back-pressure.
//! Every node takes batches from every port at any time, so a diamond cannot deadlock. The first error wins: it stops the
//! run, wakes everyone who waits, all threads are joined and nothing is committed.

pub mod bookmark;
mod build;
mod checkpoint;
mod epochs;
mod histogram;
mod ledger;
mod queue;
mod report;
mod resume;
mod run;
mod scratch;
mod size;
mod stage;
mod stop;
mod watch;

pub use ledger::{Flow, Ledger, NodeLedger};
pub use report::{
    Counted, EdgeReport, ErrorReport, Latency, NodeReport, PartWatermark, PortReport, Report, Sampled, Status,
};
pub use resume::{shape, succeeds};
pub use run::{Options, Running, Stopper, default_memory, process_peak, start};

#[cfg(test)]
mod tests;
