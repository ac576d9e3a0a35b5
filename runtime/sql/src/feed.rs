//! The rows of an input port as a table that DataFusion can scan while they still arrive.
//!
//! ```text
//! process(port, batch) ─push─► Feed: a queue, in memory while the budget lasts, then on disk ─pop─► FeedExec ─► the plan
//! ```
//!
//! Every scan of a table has a feed of its own: a query that reads a port twice gets every batch twice.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, project_schema};
use datafusion::datasource::TableType;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::Stream;
use selvedge_node::{Reservation, Task};
use selvedge_state::{Extent, SpillStore, batch_bytes};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A queue of batches between the node and one scan of its query.
pub(crate) struct Feed {
    schema: SchemaRef,
    /// The columns that the scan wants.
    columns: Option<Vec<usize>>,
    /// `None` while only planning: then nothing is ever pushed.
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    held: VecDeque<Held>,
    store: Option<Spill>,
    /// What the batches in memory take.
    reservation: Option<Reservation>,
    scratch: PathBuf,
    ended: bool,
    /// The scan has asked, found nothing and waits.
    waiting: Option<Waker>,
}

enum Held {
    Memory(RecordBatch, u64),
    Disk(Extent),
}

struct Spill(SpillStore);

impl Feed {
    pub(crate) fn new(schema: SchemaRef, columns: Option<Vec<usize>>, task: Option<&Task>) -> Arc<Feed> {
        let queue = Queue {
            reservation: task.map(|t| t.memory.reserve()),
            scratch: task.map(|t| t.scratch.clone()).unwrap_or_default(),
            ..Queue::default()
        };
        Arc::new(Feed { schema, columns, queue: Mutex::new(queue) })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a batch of the port. `true`: the scan waited for it.
    pub(crate) fn push(&self, batch: &RecordBatch) -> selvedge_node::Result<bool> {
        if batch.num_rows() == 0 {
            return Ok(false);
        }
        let batch = match &self.columns {
            Some(columns) => batch.project(columns)?,
            None => batch.clone(),
        };
        let bytes = batch_bytes(&batch);
        let batch = own(batch, bytes)?;
        let mut queue = self.queue();
        let waited = queue.waiting.take();
        let room = match &mut queue.reservation {
            // The scan takes it at once: it is a batch at work, not state.
            Some(reservation) if waited.is_some() => {
                reservation.resize(reservation.bytes() + bytes);
                true
            }
            Some(reservation) => reservation.try_resize(reservation.bytes() + bytes),
            None => true,
        };
        let held = match room {
            true => Held::Memory(batch, bytes),
            false => Held::Disk(queue.spill(&self.schema)?.append(&batch)?),
        };
        queue.held.push_back(held);
        if let Some(waker) = &waited {
            waker.wake_by_ref();
        }
        Ok(waited.is_some())
    }

    /// No more batches will come. `true`: the scan waited.
    pub(crate) fn end(&self) -> bool {
        let mut queue = self.queue();
        queue.ended = true;
        let waited = queue.waiting.take();
        if let Some(waker) = &waited {
            waker.wake_by_ref();
        }
        waited.is_some()
    }

    pub(crate) fn waits(&self) -> bool {
        self.queue().waiting.is_some()
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        let mut queue = self.queue();
        match queue.pop() {
            Some(batch) => Poll::Ready(Some(batch.map_err(|e| DataFusionError::External(Box::new(e))))),
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The batch in buffers of its own size. DataFusion counts a slice as all of the buffers that it is a slice of, and would
/// run out of memory that nobody uses.
fn own(batch: RecordBatch, bytes: u64) -> selvedge_node::Result<RecordBatch> {
    const SLACK: u64 = 64 << 10;
    if batch.get_array_memory_size() as u64 <= 2 * bytes + SLACK {
        return Ok(batch);
    }
    let rows = arrow::array::UInt32Array::from_iter_values(0..batch.num_rows() as u32);
    Ok(arrow::compute::take_record_batch(&batch, &rows)?)
}

impl Queue {
    fn spill(&mut self, schema: &SchemaRef) -> selvedge_node::Result<&mut SpillStore> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Spill(SpillStore::create(&self.scratch, schema)?),
        };
        Ok(&mut self.store.insert(store).0)
    }

    fn pop(&mut self) -> Option<selvedge_node::Result<RecordBatch>> {
        let batch = match self.held.pop_front()? {
            Held::Memory(batch, bytes) => {
                if let Some(reservation) = &mut self.reservation {
                    reservation.resize(reservation.bytes().saturating_sub(bytes));
                }
                Ok(batch)
            }
            Held::Disk(extent) => match &mut self.store {
                Some(store) => store.0.read(&extent),
                None => Err(selvedge_node::Error::bug("a spilled batch without its file")),
            },
        };
        if self.held.is_empty() {
            self.store = None;
        }
        Some(batch)
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// An input port as a table.
pub(crate) struct PortTable {
    pub(crate) port: usize,
    pub(crate) schema: SchemaRef,
    /// `None` while planning.
    pub(crate) task: Option<Task>,
}

impl std::fmt::Debug for PortTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortTable").field("port", &self.port).field("schema", &self.schema).finish()
    }
}

impl PortTable {
    fn plan(&self, columns: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = project_schema(&self.schema, columns)?;
        let feed = Feed::new(schema, columns.cloned(), self.task.as_ref());
        Ok(Arc::new(FeedExec::new(self.port, feed)))
    }
}

/// What `#[async_trait]` would make of `scan`, written out: the attribute costs nine seconds at every build of this crate.
type Scan<'x> = Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'x>>;

fn scan<'x>(table: &'x PortTable, columns: Option<&'x Vec<usize>>) -> Scan<'x> {
    Box::pin(std::future::ready(table.plan(columns)))
}

impl TableProvider for PortTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn scan<'a, 'b, 'c, 'd, 'x>(
        &'a self,
        _: &'b dyn Session,
        columns: Option<&'c Vec<usize>>,
        _: &'d [Expr],
        _: Option<usize>,
    ) -> Scan<'x>
    where
        'a: 'x,
        'b: 'x,
        'c: 'x,
        'd: 'x,
        Self: 'x,
    {
        scan(self, columns)
    }
}

/// The scan of a feed.
#[derive(Debug)]
pub(crate) struct FeedExec {
    pub(crate) port: usize,
    pub(crate) feed: Arc<Feed>,
    properties: Arc<PlanProperties>,
}

impl FeedExec {
    pub(crate) fn new(port: usize, feed: Arc<Feed>) -> FeedExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(feed.schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        // An empty queue is where it yields.
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        FeedExec { port, feed, properties }
    }
}

impl DisplayAs for FeedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "FeedExec: port={}", self.port)
    }
}

impl ExecutionPlan for FeedExec {
    fn name(&self) -> &str {
        "FeedExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }
    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(Box::pin(FeedStream(self.feed.clone())))
    }
}

struct FeedStream(Arc<Feed>);

impl Stream for FeedStream {
    type Item = Result<RecordBatch>;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(cx)
    }
}

impl RecordBatchStream for FeedStream {
    fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }
}
