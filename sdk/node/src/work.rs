//! The work of nodes while rows move. All of it is synchronous: a thread belongs to an instance while it runs.

use crate::{Memory, Out, Result};
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How many rows a batch has at most, unless a run says otherwise.
pub const BATCH_ROWS: usize = 8192;
/// About how many bytes a batch has at most, unless a run says otherwise.
pub const BATCH_BYTES: usize = 4 << 20;

/// What a running instance is told about itself.
#[derive(Clone)]
pub struct Task {
    /// Unique to this run: goes into commit ids.
    pub run: String,
    pub node: String,
    /// This instance, `0..instances`.
    pub instance: usize,
    pub instances: usize,
    /// The run's memory budget. State that cannot grow spills to `scratch`.
    pub memory: Memory,
    /// A folder of this run for spill files. Removed after the run.
    pub scratch: PathBuf,
    /// Aim for batches of at most this many rows …
    pub batch_rows: usize,
    /// … and about this many bytes.
    pub batch_bytes: usize,
}

/// Where each split of a source stopped in an earlier, committed run: split name → position.
pub type Positions = BTreeMap<String, String>;

/// Where rows come from. Opened in parallel, split by split.
pub trait Source: Send + Sync {
    /// What there is to read now, given what was read before. Called once at the start of a run; does I/O.
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>>;
}

/// A part of a source that one thread reads: a file, a range of a file, a key range, a shard.
pub trait Split: Send {
    /// Stable between runs: positions are kept under it.
    fn name(&self) -> String;
    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>>;
}

/// What a reader wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    More,
    /// Nothing now: ask again after that long.
    Idle(Duration),
    Done,
}

pub trait Reader: Send {
    /// Sends about one batch, in bounded time. Counts what it reads with `out.create("read", rows)`: counted where the rows
    /// are found, not where they are sent, so that the ledger compares two independent numbers.
    fn read(&mut self, out: &mut dyn Out) -> Result<Next>;
    /// Where to resume after everything sent so far: opaque but readable. `None`: nothing to remember.
    fn position(&self) -> Option<String> {
        None
    }
}

/// A stateless node: the same rows give the same result in any instance.
pub trait Map: Send + Sync {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()>;
}

/// A node with state or several inputs. It takes batches from any port at any time (a node that waited for one port while
/// another fills up would deadlock a diamond): what it cannot use yet it keeps, spilled if need be.
pub trait Transform: Send {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()>;
    /// No more rows will come on this port.
    fn end(&mut self, port: usize, out: &mut dyn Out) -> Result<()> {
        let _ = (port, out);
        Ok(())
    }
    /// All ports have ended: send what is left.
    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        let _ = out;
        Ok(())
    }
}

/// What a writer has prepared and only a commit makes visible: opaque but readable text, kept in checkpoints.
pub type Pending = String;

/// Names a commit, so that a sink recognises one that it has done before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub run: String,
    pub epoch: u64,
}

/// Where rows go. Nothing that a writer does is visible to readers of the target before `commit`.
pub trait Sink: Send + Sync {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>>;
    /// Publishes what all writers have flushed: all or nothing. May be called again with the same arguments after a crash
    /// and must then do nothing, or the rest.
    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        let _ = (commit, pending);
        Ok(())
    }
    /// Takes back what was flushed and will never be committed. Best effort; runs after failures.
    fn abort(&self, pending: &[Pending]) {
        let _ = pending;
    }
}

pub trait Writer: Send {
    /// Takes the rows: `out.absorb("written", rows)` for those it kept, `out.reject…` for those it cannot write.
    fn write(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()>;
    /// Everything written so far is safe and only waits for `commit`. A writer dropped without a flush removes its traces.
    fn flush(&mut self, epoch: u64, out: &mut dyn Out) -> Result<Pending> {
        let _ = (epoch, out);
        Ok(Pending::new())
    }
}
