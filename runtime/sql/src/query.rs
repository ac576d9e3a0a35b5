//! Drives a DataFusion plan from a node that is pushed: the plan pulls, the node cannot wait.
//!
//! A node gets a batch of some port and must return before it gets the next one, perhaps of another port. So the plan runs
//! until it can go no further without rows that are not there yet, and then rests until they come:
//!
//! ```text
//! push ─► Feed            step(): poll the plan ──► a batch      → send it, step again
//!                                               ├─► the end      → what still comes is not needed
//!                                               └─► it waits ──┬─► a feed is empty     → Hungry: return to the engine
//!                                                              └─► something else runs → wait for it
//! ```
//!
//! Every query has a small runtime of its own with the calling thread as its only worker. "It waits" is then exact: the
//! runtime is about to park its thread, so nothing in the plan can run. (Reads and writes of spill files may still be under
//! way in the background; returning early is never wrong, as every later step goes on from there.) On a shared runtime
//! nobody could tell a plan that waits for rows from one whose tasks have not had their turn yet.

use crate::feed::{Feed, FeedExec};
use crate::problem;
use arrow::array::RecordBatch;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use selvedge_node::{Error, Out, Result, Task};
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use tokio::runtime::{Builder, Runtime};

/// A running plan and its feeds.
pub(crate) struct Query {
    /// `None` once it has ended. Before the runtime, as the tasks of a stream end with it.
    stream: Option<SendableRecordBatchStream>,
    /// The feeds of each port: one for each scan of it.
    ports: Vec<Vec<Arc<Feed>>>,
    runtime: Runtime,
    idle: Arc<Idle>,
    /// Where the plan spills.
    scratch: PathBuf,
    started: bool,
}

/// Tells the driver that the runtime has nothing to do.
struct Idle {
    feeds: Vec<Arc<Feed>>,
    parked: AtomicBool,
    driver: Mutex<Option<Waker>>,
}

impl Idle {
    fn hungry(&self) -> bool {
        self.feeds.iter().any(|f| f.waits())
    }

    fn driver(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread is about to sleep. If that is for want of rows, the driver must know; if it is for the disk, sleep is right.
    fn parks(&self) {
        if self.hungry()
            && let Some(driver) = self.driver().take()
        {
            self.parked.store(true, Relaxed);
            driver.wake();
        }
    }
}

enum Step {
    Batch(RecordBatch),
    Hungry,
    Done,
}

impl Query {
    /// Starts a plan whose leaves are the feeds of `ports` ports.
    pub(crate) fn start(
        plan: Arc<dyn ExecutionPlan>,
        ports: usize,
        context: Arc<TaskContext>,
        task: &Task,
    ) -> Result<Query> {
        let mut feeds = vec![vec![]; ports];
        collect_feeds(&plan, &mut feeds);
        let idle = Arc::new(Idle {
            feeds: feeds.iter().flatten().cloned().collect(),
            parked: AtomicBool::new(false),
            driver: Mutex::new(None),
        });
        let parks = idle.clone();
        let runtime = Builder::new_current_thread()
            .on_thread_park(move || parks.parks())
            .build()
            .map_err(|e| Error::io("starting", "a runtime for the query", &e))?;
        let guard = runtime.enter();
        let stream = execute_stream(plan, context).map_err(|e| problem::running(&e, &task.scratch))?;
        drop(guard);
        let scratch = task.scratch.clone();
        Ok(Query { stream: Some(stream), ports: feeds, runtime, idle, scratch, started: false })
    }

    /// Takes a batch of a port and runs the plan as far as it gets; `give` gets what comes out.
    pub(crate) fn push(
        &mut self,
        port: usize,
        batch: &RecordBatch,
        out: &mut dyn Out,
        give: &mut dyn FnMut(RecordBatch, &mut dyn Out) -> Result<()>,
    ) -> Result<()> {
        if self.stream.is_none() {
            return Ok(());
        }
        let mut awaited = false;
        for feed in &self.ports[port] {
            awaited |= feed.push(batch)?;
        }
        self.run_if(awaited, out, give)
    }

    pub(crate) fn end(
        &mut self,
        port: usize,
        out: &mut dyn Out,
        give: &mut dyn FnMut(RecordBatch, &mut dyn Out) -> Result<()>,
    ) -> Result<()> {
        let mut awaited = false;
        for feed in &self.ports[port] {
            awaited |= feed.end();
        }
        self.run_if(awaited, out, give)
    }

    /// Runs the plan to its end: all ports have ended.
    pub(crate) fn finish(
        &mut self,
        out: &mut dyn Out,
        give: &mut dyn FnMut(RecordBatch, &mut dyn Out) -> Result<()>,
    ) -> Result<()> {
        self.run_if(true, out, give)
    }

    fn run_if(
        &mut self,
        awaited: bool,
        out: &mut dyn Out,
        give: &mut dyn FnMut(RecordBatch, &mut dyn Out) -> Result<()>,
    ) -> Result<()> {
        // A plan that does not wait for this port has no use for its rows now. At the very start it waits for nothing yet.
        if self.started && !awaited {
            return Ok(());
        }
        self.started = true;
        loop {
            match self.step(out)? {
                Step::Batch(batch) => give(batch, out)?,
                Step::Hungry => return Ok(()),
                Step::Done => {
                    // Everything that the plan holds goes: a limit may be reached long before the input ends.
                    self.stream = None;
                    self.ports.iter_mut().for_each(Vec::clear);
                    return Ok(());
                }
            }
        }
    }

    fn step(&mut self, out: &dyn Out) -> Result<Step> {
        let (Some(stream), idle) = (&mut self.stream, &self.idle) else { return Ok(Step::Done) };
        let metrics = self.runtime.metrics();
        idle.parked.store(false, Relaxed);
        let scratch = &self.scratch;
        self.runtime.block_on(poll_fn(|cx| {
            // A plan that counts an endless series yields now and then, but never gives a batch.
            if out.stopping() {
                return Poll::Ready(Err(Error::stopped()));
            }
            match stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(batch))) => Poll::Ready(Ok(Step::Batch(batch))),
                Poll::Ready(Some(Err(e))) => Poll::Ready(Err(problem::running(&e, scratch))),
                Poll::Ready(None) => Poll::Ready(Ok(Step::Done)),
                // Without tasks beside the plan's own, its own word is enough.
                Poll::Pending
                    if idle.hungry() && (metrics.num_alive_tasks() == 0 || idle.parked.swap(false, Relaxed)) =>
                {
                    Poll::Ready(Ok(Step::Hungry))
                }
                Poll::Pending => {
                    *idle.driver() = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        // Tasks of the stream may hold what the stream holds: they end while the runtime is still there.
        let _guard = self.runtime.enter();
        self.stream = None;
    }
}

fn collect_feeds(plan: &Arc<dyn ExecutionPlan>, feeds: &mut [Vec<Arc<Feed>>]) {
    if let Some(scan) = plan.downcast_ref::<FeedExec>()
        && let Some(port) = feeds.get_mut(scan.port)
    {
        port.push(scan.feed.clone());
    }
    for child in plan.children() {
        collect_feeds(child, feeds);
    }
}
