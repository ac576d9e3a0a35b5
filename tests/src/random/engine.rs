//! Runs a graph with the production planner and engine, in process. What a schedule leaves open is drawn at random: where batches
//! end, which thread is slow, how much memory nodes have, when an epoch ends.

use super::dice::Dice;
use arrow::array::RecordBatch;
use selvedge_exec::{Options, Report, Running};
use selvedge_node::{
    Commit, Memory, Next, Out, Pending, Positions, Reader, Rejection, Result, Save, Sink, Source, Split, Task,
    Transform, Watermark, Work, Writer,
};
use selvedge_plan::{Catalogue, Plan};
use selvedge_spec::Os;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How a graph is run.
#[derive(Debug, Clone)]
pub struct Knobs {
    pub seed: u64,
    pub threads: usize,
    /// Of the process: from it the engine derives threads and queues.
    pub memory: u64,
    /// Of the state of all nodes.
    pub state: u64,
    /// In a batch, at most.
    pub rows: usize,
    /// Once in so many batches a thread falls asleep.
    pub sleepy: usize,
}

pub fn catalogue() -> Catalogue {
    selvedge::catalogue(Default::default())
}

pub fn plan(graph: &Path, catalogue: &Catalogue) -> std::result::Result<Plan, String> {
    let loaded = selvedge_spec::load_partly(&Os, graph, &selvedge_spec::Options::default());
    selvedge_plan::plan_loaded(&loaded, catalogue)
        .map_err(|problems| selvedge_spec::render_short(&problems.0, &loaded.sources))
}

/// Starts it; what comes of it before the first row is a report already.
pub fn start(mut plan: Plan, place: &Path, knobs: &Knobs, once: bool) -> std::result::Result<Running, Box<Report>> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let chance = Chance { knobs: knobs.clone(), memory: Memory::new(knobs.state), instances: Arc::default() };
    for node in plan.graph.node_weights_mut() {
        match &mut node.work {
            Work::Source(source) => *source = Arc::new(Chanced { inner: source.clone(), chance: chance.clone() }),
            Work::Sink(sink) => *sink = Arc::new(Chanced { inner: sink.clone(), chance: chance.clone() }),
            Work::Transform(make) => {
                let (inner, chance) = (make.clone(), chance.clone());
                *make = Arc::new(move |task: &Task| {
                    let inner = inner(&chance.task(task))?;
                    Ok(Box::new(Instance { inner, luck: chance.luck() }) as Box<dyn Transform>)
                });
            }
            Work::Map(_) => {}
        }
    }
    let options = Options {
        threads: knobs.threads,
        memory: knobs.memory,
        state: Some(place.join("state")),
        scratch: place.join("scratch"),
        once,
        // Half of the bounded runs are saved as often as it goes.
        checkpoint_every: if knobs.seed.is_multiple_of(2) { Duration::from_millis(1) } else { Duration::MAX },
        run: format!("{:x}-{}-{}", knobs.seed, std::process::id(), RUNS.fetch_add(1, Relaxed)),
    };
    selvedge_exec::start(plan, options)
}

/// What the nodes of a run share.
#[derive(Clone)]
struct Chance {
    knobs: Knobs,
    memory: Memory,
    instances: Arc<AtomicU64>,
}

/// The dice of one instance.
struct Luck {
    dice: Dice,
    knobs: Knobs,
}

impl Chance {
    fn luck(&self) -> Luck {
        let label = format!("instance {}", self.instances.fetch_add(1, Relaxed));
        Luck { dice: Dice::new(self.knobs.seed, &label), knobs: self.knobs.clone() }
    }
    fn task(&self, task: &Task) -> Task {
        Task { memory: self.memory.clone(), batch_rows: self.knobs.rows, ..task.clone() }
    }
}

impl Luck {
    fn pause(&mut self) {
        if self.dice.one_in(self.knobs.sleepy) {
            std::thread::sleep(Duration::from_micros(self.dice.below(1500) as u64));
        }
    }
}

/// A source or a sink.
struct Chanced<T> {
    inner: T,
    chance: Chance,
}

/// A part of a source, a reader, a writer or a transform.
struct Instance<T> {
    inner: T,
    luck: Luck,
}

impl Chanced<Arc<dyn Source>> {
    fn splits_of(&self, splits: Vec<Box<dyn Split>>) -> Vec<Box<dyn Split>> {
        let split = |inner| Box::new(Instance { inner, luck: self.chance.luck() }) as Box<dyn Split>;
        splits.into_iter().map(split).collect()
    }
}

impl Source for Chanced<Arc<dyn Source>> {
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        Ok(self.splits_of(self.inner.splits(from)?))
    }
    fn version(&self) -> Result<String> {
        self.inner.version()
    }
    fn discover(&self, task: &Task) -> Result<Vec<Box<dyn Split>>> {
        Ok(self.splits_of(self.inner.discover(task)?))
    }
}

impl Split for Instance<Box<dyn Split>> {
    fn name(&self) -> String {
        self.inner.name()
    }
    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        Ok(Box::new(Instance { inner: self.inner.open(task)?, luck: self.luck }))
    }
}

impl Reader for Instance<Box<dyn Reader>> {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        self.luck.pause();
        self.inner.read(&mut Pieces { out, luck: &mut self.luck })
    }
    fn position(&self) -> Option<String> {
        self.inner.position()
    }
    fn arrived(&self) -> Option<Instant> {
        self.inner.arrived()
    }
    fn watermark(&self) -> Watermark {
        self.inner.watermark()
    }
}

/// Sends batches on in pieces.
struct Pieces<'a> {
    out: &'a mut dyn Out,
    luck: &'a mut Luck,
}

impl Out for Pieces<'_> {
    fn send(&mut self, port: usize, batch: RecordBatch) -> Result<()> {
        let mut at = 0;
        while at < batch.num_rows() {
            let rows = (1 + self.luck.dice.below(self.luck.knobs.rows)).min(batch.num_rows() - at);
            self.out.send(port, batch.slice(at, rows))?;
            self.luck.pause();
            at += rows;
        }
        Ok(())
    }
    fn drop_rows(&mut self, reason: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        self.out.drop_rows(reason, count, samples);
    }
    fn altered(&mut self, what: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        self.out.altered(what, count, samples);
    }
    fn reject(&mut self, rejection: Rejection) -> Result<()> {
        self.out.reject(rejection)
    }
    fn absorb(&mut self, reason: &str, rows: u64) {
        self.out.absorb(reason, rows);
    }
    fn create(&mut self, reason: &str, rows: u64) {
        self.out.create(reason, rows);
    }
    fn count(&mut self, name: &str, value: u64) {
        self.out.count(name, value);
    }
    fn publish_soon(&mut self) {
        self.out.publish_soon();
    }
    fn stopping(&self) -> bool {
        self.out.stopping()
    }
}

impl Transform for Instance<Box<dyn Transform>> {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        self.luck.pause();
        self.inner.process(port, batch, out)
    }
    fn watermark(&mut self, time: i64, out: &mut dyn Out) -> Result<i64> {
        self.inner.watermark(time, out)
    }
    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        self.inner.save(to)
    }
    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        self.inner.load(part, batch)
    }
    fn end(&mut self, port: usize, out: &mut dyn Out) -> Result<()> {
        self.luck.pause();
        self.inner.end(port, out)
    }
    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        self.inner.finish(out)
    }
}

impl Sink for Chanced<Arc<dyn Sink>> {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Instance { inner: self.inner.open(task)?, luck: self.chance.luck() }))
    }
    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        self.inner.commit(commit, pending)
    }
    fn abort(&self, pending: &[Pending]) {
        self.inner.abort(pending);
    }
}

impl Writer for Instance<Box<dyn Writer>> {
    fn write(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        self.luck.pause();
        if self.luck.dice.one_in(20) {
            out.publish_soon();
        }
        self.inner.write(port, batch, out)
    }
    fn flush(&mut self, epoch: u64, out: &mut dyn Out) -> Result<Pending> {
        self.inner.flush(epoch, out)
    }
}
