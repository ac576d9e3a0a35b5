//! The work of nodes while rows move. All of it is synchronous: a thread belongs to an instance while it runs.

use crate::{Error, Memory, Out, Result};
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    /// Ends this instance's sleep after [`Next::Idle`]: for whoever hears of new rows first.
    pub wake: Wake,
}

/// Wakes a sleeping instance of a source, from any thread. A call that comes while it is awake counts for its next sleep.
#[derive(Clone, Default)]
pub struct Wake(Arc<(Mutex<bool>, Condvar)>);

impl Wake {
    pub fn wake(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }
    /// Waits until somebody calls [`wake`](Wake::wake), at most that long.
    pub fn sleep(&self, time: Duration) {
        let called = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(called, time, |called| !*called);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// How far rows have come in event time, in microseconds since 1970: no earlier row is expected. The lesser of two is that of
/// both together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Watermark {
    /// Unknown: there is no event time, or no row has come yet.
    #[default]
    None,
    At(i64),
    /// Nothing comes from here: wait for the others only.
    Idle,
}

/// Where each split of a source stopped in an earlier, committed run: split name → position.
pub type Positions = BTreeMap<String, String>;

/// Where rows come from. Opened in parallel, split by split.
pub trait Source: Send + Sync {
    /// What there is to read now, given what was read before. Called once at the start of a run; does I/O.
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>>;
    /// What is read, told apart from what it might become: a run that was cut short goes on only where this is the same. Files tell
    /// their sizes and times. Does I/O.
    fn version(&self) -> Result<String> {
        Ok(String::new())
    }
    /// Of an unbounded source: the parts that have come up since `splits` and since it was last asked. Each instance asks
    /// before its first sleep and after each one; `task.wake` is to be called when it should ask again.
    fn discover(&self, task: &Task) -> Result<Vec<Box<dyn Split>>> {
        let _ = task;
        Ok(vec![])
    }
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
    /// Nothing now: ask again after that long, or when `Task::wake` was called. A run that only wants to catch up ends here.
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
    /// When the row that is read next could be read for the first time, where that is known: what the latency of a stream is
    /// measured from.
    fn arrived(&self) -> Option<Instant> {
        None
    }
    /// How far the rows sent so far have come in event time. Never goes back but from `Idle`.
    fn watermark(&self) -> Watermark {
        Watermark::None
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
    /// Event time has come to `time` (microseconds since 1970) on all ports. Answers how far it has come for what this node
    /// sends: not beyond the earliest row that it still holds and will send.
    fn watermark(&mut self, time: i64, out: &mut dyn Out) -> Result<i64> {
        let _ = out;
        Ok(time)
    }
    /// Puts down everything that the rows to come depend on, and goes on. Between batches, while nothing is on its way; only of
    /// a node that was built with [`Built::saves`](crate::Built::saves).
    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        let _ = to;
        Err(Error::bug("the node says that it can be saved, but does not do it"))
    }
    /// Before any row: what `save` gave, the parts in order of their names, their batches as they were put. Where the number of instances has changed it comes from
    /// several of them, one after another: of parts with a column [`HASH_COLUMN`] the rows whose hash belongs to this instance,
    /// all of any other part.
    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        let _ = batch;
        Err(Error::bug(format!("the node does not know the part `{part}` of its state")))
    }
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

/// In the state of a node that is partitioned by keys: the hash of each row's key, as `Decimal128(38, 0)`.
pub const HASH_COLUMN: &str = "\0hash";

/// What a node remembers, on its way into a checkpoint: batches in parts, each part under a name of the node's and of one schema.
pub trait Save {
    /// Leaves these parts as the last checkpoint has them, all or none. `false`: one is not there, or not worth keeping; put what
    /// they say again.
    fn keep(&mut self, parts: &[String]) -> bool;
    /// Appends a batch to a part. The batches of a part come one after another.
    fn put(&mut self, part: &str, batch: &RecordBatch) -> Result<()>;
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
    /// Everything written since the last flush is safe and only waits for `commit`. In an unbounded graph this comes again and
    /// again, with rising epochs; else once, at the end. A writer dropped without a flush removes its traces.
    fn flush(&mut self, epoch: u64, out: &mut dyn Out) -> Result<Pending> {
        let _ = (epoch, out);
        Ok(Pending::new())
    }
}
