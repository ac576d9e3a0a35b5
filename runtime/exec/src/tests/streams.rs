//! Graphs that never end: epochs, watermarks, parts that come up while the run is at work.

use super::kinds::{kinds, note, seen};
use super::runs::{begin_with, options, planned};
use crate::Status;
use crate::ledger::{EdgeLedger, Ledger, NodeLedger};
use crate::watch::{STUCK, Watch};
use arrow::array::{Decimal128Array, Int64Array};
use selvedge_node::prelude::*;
use selvedge_node::{
    Commit, ErasedKind, EventTime, HASH_COLUMN, Pending, Positions, Sink, Source, Split, Watermark, erase,
};
use selvedge_state::RowHasher;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn all_kinds() -> Vec<Box<dyn ErasedKind>> {
    let own: Vec<Box<dyn ErasedKind>> = vec![erase::<Ticks>(), erase::<Ordered>(), erase::<Publish>()];
    kinds().into_iter().chain(own).collect()
}

/// The numbers below `rows`, dealt out to `parts`, each in its order; a number is its own event time. Parts beyond the first are only
/// found while the run is at work.
struct Ticks;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TicksConfig {
    rows: i64,
    parts: usize,
    /// This part says that it has nothing, and never tells a watermark.
    #[serde(default)]
    idle: Option<usize>,
    /// Half of the rows come only after this sink has published something.
    #[serde(default)]
    after: Option<String>,
    /// A run reads no further.
    #[serde(default)]
    until: Option<i64>,
}

impl Kind for Ticks {
    const NAME: &'static str = "Ticks";
    const ROLE: Role = Role::Source;
    const ABOUT: &'static str = "ticks";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Ticks(rows: 1, parts: 1)";
    type Config = TicksConfig;
    fn build(config: TicksConfig, _: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let source = TicksSource { config: Arc::new(config), found: AtomicUsize::new(1) };
        let mut built = Built::source(schema, source).time(EventTime::Tells);
        built.unbounded = true;
        Ok(built)
    }
}

struct TicksSource {
    config: Arc<TicksConfig>,
    found: AtomicUsize,
}

impl TicksSource {
    fn part(&self, part: usize) -> Box<dyn Split> {
        Box::new(Part { config: self.config.clone(), part, next: part as i64 })
    }
}

impl Source for TicksSource {
    /// All that an earlier run has found.
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        self.found.store(from.len().max(1), SeqCst);
        let parts = (0..from.len().max(1)).map(|part| {
            let next = from.get(&format!("part {part}")).map_or(part as i64, |next| next.parse().unwrap());
            Box::new(Part { config: self.config.clone(), part, next }) as Box<dyn Split>
        });
        Ok(parts.collect())
    }
    fn discover(&self, _: &Task) -> Result<Vec<Box<dyn Split>>> {
        let part = self.found.fetch_add(1, SeqCst);
        Ok(if part < self.config.parts { vec![self.part(part)] } else { vec![] })
    }
}

struct Part {
    config: Arc<TicksConfig>,
    part: usize,
    next: i64,
}

impl Split for Part {
    fn name(&self) -> String {
        format!("part {}", self.part)
    }
    fn open(self: Box<Self>, _: &Task) -> Result<Box<dyn Reader>> {
        Ok(self)
    }
}

impl Reader for Part {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let idle = self.config.idle == Some(self.part);
        if idle || self.next >= self.config.until.unwrap_or(self.config.rows) {
            return Ok(Next::Idle(Duration::from_secs(3600)));
        }
        if self.next >= self.config.rows / 2 && self.config.after.as_ref().is_some_and(|name| seen(name).commits == 0) {
            return Ok(Next::More);
        }
        let step = self.config.parts;
        let numbers: Vec<i64> = (self.next..self.config.rows).step_by(step).take(50 + 30 * self.part).collect();
        self.next = numbers.last().map_or(self.next, |last| last + step as i64);
        out.create("read", numbers.len() as u64);
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        out.send(0, RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(numbers))])?)?;
        Ok(Next::More)
    }
    fn position(&self) -> Option<String> {
        Some(self.next.to_string())
    }
    fn watermark(&self) -> Watermark {
        match self.config.idle == Some(self.part) {
            true => Watermark::Idle,
            false => Watermark::At(self.next),
        }
    }
}

/// Holds rows until the watermark has passed them, then sends them in order; a row that is older than the watermark is dropped.
struct Ordered;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OrderedConfig {
    #[serde(default)]
    keyed: bool,
    #[serde(default)]
    saves: bool,
}

impl Kind for Ordered {
    const NAME: &'static str = "Ordered";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "orders";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Ordered(input: \"a\")";
    type Config = OrderedConfig;
    fn build(config: OrderedConfig, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let partitioning = if config.keyed { Partitioning::Keys(vec![vec![0]]) } else { Partitioning::Single };
        let hasher = RowHasher::new(&inputs[0].schema, &[0]).unwrap();
        let make = move |_: &Task| Ok(OrderedWork { time: i64::MIN, held: vec![], hasher: hasher.clone() });
        let built = Built::transform(inputs[0].schema.clone(), partitioning, make).time(EventTime::Needs);
        Ok(if config.saves { built.saves() } else { built })
    }
}

struct OrderedWork {
    time: i64,
    held: Vec<i64>,
    hasher: RowHasher,
}

impl OrderedWork {
    fn send(&mut self, to: i64, out: &mut dyn Out) -> Result<()> {
        self.held.sort_unstable();
        let due = self.held.partition_point(|n| *n < to);
        let due: Vec<i64> = self.held.drain(..due).collect();
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        out.send(0, RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(due))])?)
    }
}

impl Transform for OrderedWork {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let numbers = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        let (late, due): (Vec<i64>, Vec<i64>) = numbers.values().iter().partition(|n| **n < self.time);
        out.drop_rows("late", late.len() as u64, &|_| vec![]);
        self.held.extend(due);
        Ok(())
    }
    fn watermark(&mut self, time: i64, out: &mut dyn Out) -> Result<i64> {
        assert!(time >= self.time, "the watermark went back from {} to {time}", self.time);
        self.time = time;
        // Half a thousand behind, so that what is promised is not what came.
        self.send(time - 500, out)?;
        Ok(time - 500)
    }
    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        let time: ArrayRef = Arc::new(Int64Array::from(vec![self.time]));
        to.put("time", &RecordBatch::try_from_iter([("time", time)])?)?;
        let held = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(self.held.clone())) as ArrayRef)])?;
        let mut hashes = vec![];
        self.hasher.hash(&held, &mut hashes);
        let hashes = Decimal128Array::from_iter_values(hashes.into_iter().map(|h| h as i128));
        let hashes: ArrayRef = Arc::new(hashes.with_data_type(DataType::Decimal128(38, 0)));
        to.put("rows", &RecordBatch::try_from_iter([("n", held.column(0).clone()), (HASH_COLUMN, hashes)])?)
    }
    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        let numbers = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values();
        match part {
            "time" => self.time = self.time.max(numbers[0]),
            _ => self.held.extend(numbers),
        }
        Ok(())
    }
    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        self.send(i64::MAX, out)
    }
}

/// A sink that wants to publish with every batch.
struct Publish;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PublishConfig {
    name: String,
    /// The commit of this epoch fails.
    #[serde(default)]
    fail: Option<u64>,
}

impl Kind for Publish {
    const NAME: &'static str = "Publish";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "publishes";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Publish(input: \"a\", name: \"x\")";
    type Config = PublishConfig;
    fn build(config: PublishConfig, _: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        Ok(Built::sink(Partitioning::Any, PublishSink(config)))
    }
}

struct PublishSink(PublishConfig);

impl Sink for PublishSink {
    fn open(&self, _: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(PublishWriter { rows: 0, sum: 0 }))
    }
    /// Counts what is published, and only that.
    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        if self.0.fail == Some(commit.epoch) {
            return Err(Error::world("the warehouse is on fire"));
        }
        // The same commit again does nothing.
        let id = (commit.run.clone(), commit.epoch);
        if seen(&self.0.name).done.contains(&id) {
            return Ok(());
        }
        note(&self.0.name, |s| s.done.push(id));
        for text in pending {
            let (rows, sum) = text.split_once(' ').unwrap();
            note(&self.0.name, |s| {
                s.rows += rows.parse::<u64>().unwrap();
                s.sum += sum.parse::<i64>().unwrap();
            });
        }
        note(&self.0.name, |s| s.commits += 1);
        Ok(())
    }
    fn abort(&self, pending: &[Pending]) {
        note(&self.0.name, |s| s.aborted += pending.len() as u64);
    }
}

struct PublishWriter {
    rows: u64,
    sum: i64,
}

impl Writer for PublishWriter {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let numbers = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        self.rows += batch.num_rows() as u64;
        self.sum += numbers.values().iter().sum::<i64>();
        out.absorb("written", batch.num_rows() as u64);
        out.publish_soon();
        Ok(())
    }
    fn flush(&mut self, _: u64, _: &mut dyn Out) -> Result<Pending> {
        Ok(format!("{} {}", std::mem::take(&mut self.rows), std::mem::take(&mut self.sum)))
    }
}

fn caught_up(nodes: &str, threads: usize) -> crate::Report {
    let dir = tempfile::tempdir().unwrap();
    let options = crate::Options { once: true, ..options(threads, dir.path()) };
    begin_with(all_kinds(), nodes, options).join()
}

const SUM: i64 = 20_000 * 19_999 / 2;

#[test]
fn epochs_publish_every_row_once_whatever_the_shape() {
    for threads in [1, 2, 3] {
        let name = format!("epochs{threads}");
        let nodes = format!(
            r#""a": Ticks(rows: 20000, parts: 5, after: "{name}"), "b": Pass(input: "a"), "c": Ordered(input: "b", keyed: true),
               "d": Pass(input: "c"), "e": Publish(input: ["d", "a"], name: "{name}"), "f": Publish(input: "c", name: "{name}f")"#
        );
        let report = caught_up(&nodes, threads);
        assert_eq!(report.status, Status::Done, "{report:?}");
        // Parts that come up late are late for `c`, and counted there.
        let late = report.nodes.iter().find(|n| n.name == "c").unwrap().rows_dropped();
        let s = seen(&name);
        assert_eq!((s.rows, s.aborted), (40_000 - late, 0));
        assert_eq!(seen(&format!("{name}f")).sum, s.sum - SUM);
        assert!(s.commits >= 2, "{} commits", s.commits);
        assert_eq!(report.committed, ["e", "f"]);
    }
}

/// Two nodes that hold rows, one behind the other: what the first promises holds for the second.
#[test]
fn no_row_is_older_than_a_watermark_that_went_before_it() {
    for threads in [1, 2, 3] {
        let name = format!("marks{threads}");
        // One part alone: another one that comes up later may be late, and rightly.
        let nodes = format!(
            r#""a": Ticks(rows: 20000, parts: 1), "b": Ordered(input: "a", keyed: true), "p": Pass(input: "b"),
               "c": Ordered(input: ["p", "a"]), "e": Publish(input: "c", name: "{name}")"#
        );
        let report = caught_up(&nodes, threads);
        assert_eq!(report.status, Status::Done, "{report:?}");
        let dropped: u64 = report.nodes.iter().map(|n| n.rows_dropped()).sum();
        assert_eq!((dropped, seen(&name).sum), (0, 2 * SUM));
    }
}

/// The same where what feeds the first has ended, while the second still hears of later times.
#[test]
fn what_is_held_until_the_end_is_not_late_behind_it() {
    for threads in [1, 2, 3] {
        let name = format!("ends{threads}");
        let nodes = format!(
            r#""a": Ticks(rows: 100, parts: 1, after: "{name}l"), "b": Ordered(input: "a", keyed: true),
               "later": Ticks(rows: 40000, parts: 1, after: "{name}l"), "l": Publish(input: "later", name: "{name}l"),
               "c": Ordered(input: ["b", "later"]), "e": Publish(input: "c", name: "{name}")"#
        );
        let report = caught_up(&nodes, threads);
        assert_eq!(report.status, Status::Done, "{report:?}");
        let dropped: u64 = report.nodes.iter().map(|n| n.rows_dropped()).sum();
        assert_eq!((dropped, seen(&name).rows), (0, 40_100));
    }
}

#[test]
fn a_part_that_is_idle_holds_nobody_back() {
    let nodes = r#""a": Ticks(rows: 20000, parts: 2, idle: 1), "b": Ordered(input: "a"), "e": Publish(input: "b", name: "idle")"#;
    let dir = tempfile::tempdir().unwrap();
    let running = begin_with(all_kinds(), nodes, options(2, dir.path()));
    let stopper = running.stopper();
    std::thread::scope(|scope| {
        let report = scope.spawn(|| running.join());
        // What is half a thousand behind the last row comes without an end of anything.
        while seen("idle").rows < 9_700 {
            std::thread::yield_now();
        }
        stopper.drain();
        let report = report.join().unwrap();
        assert_eq!(report.status, Status::Done, "{report:?}");
        let source = &report.nodes[0];
        assert_eq!(source.watermarks.iter().map(|w| w.part.as_str()).collect::<Vec<_>>(), ["part 0", "part 1"]);
        assert!(source.watermarks[1].time.is_none());
    });
    assert_eq!(seen("idle").rows, 10_000);
    // Where it stopped is kept.
    let positions = std::fs::read_to_string(dir.path().join("state/g/checkpoint.json")).unwrap();
    assert!(positions.contains("\"part 0\": \"20000\""), "{positions}");
}

#[test]
fn a_commit_that_fails_stops_the_stream_and_keeps_what_was_published() {
    let nodes =
        r#""a": Ticks(rows: 200000, parts: 3, after: "fails"), "e": Publish(input: "a", name: "fails", fail: 2)"#;
    let report = caught_up(nodes, 2);
    assert_eq!(report.status, Status::Failed);
    assert_eq!(report.error.unwrap().message, "the warehouse is on fire");
    assert_eq!(report.committed, ["e"]);
    let s = seen("fails");
    assert_eq!(s.commits, 1);
    assert!(s.rows < 200_000 && s.aborted > 0);
}

/// Part of a graph: what is read is held for a while by nodes that can be saved.
fn saving(name: &str, until: i64) -> String {
    format!(
        r#""a": Ticks(rows: 20000, parts: 1, until: {until}), "b": Ordered(input: "a", keyed: true, saves: true),
           "c": Ordered(input: "b", saves: true), "e": Publish(input: "c", name: "{name}")"#
    )
}

/// Runs until something was published, then has `end` end it.
fn interrupted(nodes: &str, name: &str, options: crate::Options, end: impl Fn(&crate::Stopper)) -> crate::Report {
    let before = seen(name).commits;
    let running = begin_with(all_kinds(), nodes, options);
    let stopper = running.stopper();
    std::thread::scope(|scope| {
        let report = scope.spawn(|| running.join());
        while seen(name).commits == before && !report.is_finished() {
            std::thread::yield_now();
        }
        end(&stopper);
        report.join().unwrap()
    })
}

#[test]
fn a_stream_that_is_stopped_goes_on_where_it_was_with_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = 0;
    for (round, threads) in [2, 3, 1, 2].into_iter().enumerate() {
        let nodes = saving("stopped", 4000 * (round as i64 + 1));
        let report = interrupted(&nodes, "stopped", options(threads, dir.path()), crate::Stopper::drain);
        assert_eq!(report.status, Status::Done, "{report:?}");
        let ordered = &report.nodes[1];
        let count =
            |reasons: &[crate::Counted], name: &str| reasons.iter().find(|r| r.reason == name).map_or(0, |r| r.rows);
        assert_eq!(count(&ordered.created, crate::resume::RESUMED), held);
        held = count(&ordered.absorbed, crate::resume::KEPT);
    }
    let report =
        begin_with(all_kinds(), &saving("stopped", 20_000), crate::Options { once: true, ..options(3, dir.path()) })
            .join();
    assert_eq!(report.status, Status::Done, "{report:?}");
    let s = seen("stopped");
    assert_eq!((s.rows, s.sum), (20_000, SUM));
    let left = std::fs::read_to_string(dir.path().join("state/g/checkpoint.json")).unwrap();
    assert!(left.contains(r#""pending": {}"#) && left.contains(r#""nodes": {}"#), "{left}");
    assert_eq!(std::fs::read_dir(dir.path().join("state/g/state")).unwrap().count(), 0);
}

/// Ended at once, again and again, with nothing done about it: as good as killed.
#[test]
fn a_stream_that_dies_publishes_every_row_once() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        interrupted(
            &saving("dies", 900 * (round as i64 + 1)),
            "dies",
            options(1 + round % 3, dir.path()),
            crate::Stopper::halt,
        );
    }
    let report =
        begin_with(all_kinds(), &saving("dies", 20_000), crate::Options { once: true, ..options(2, dir.path()) })
            .join();
    assert_eq!(report.status, Status::Done, "{report:?}");
    let s = seen("dies");
    assert_eq!((s.rows, s.sum), (20_000, SUM));
}

/// The second of two sinks fails: the next run publishes there what the first has, before anything else.
#[test]
fn a_commit_that_was_not_finished_is_finished_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let nodes =
        |fail: &str| format!(r#"{}, "f": Publish(input: "b", name: "half done"{fail})"#, saving("half", 20_000));
    let report = begin_with(all_kinds(), &nodes(", fail: 1"), options(2, dir.path())).join();
    assert_eq!((report.status, report.committed), (Status::Failed, vec!["e".to_string()]));
    assert_eq!((seen("half").aborted, seen("half done").rows), (0, 0));
    let report = begin_with(all_kinds(), &nodes(""), crate::Options { once: true, ..options(2, dir.path()) }).join();
    assert_eq!(report.status, Status::Done, "{report:?}");
    assert_eq!((seen("half").sum, seen("half done").sum), (SUM, SUM));
}

#[test]
fn a_graph_that_has_changed_is_told_what_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    interrupted(&saving("changes", 20_000), "changes", options(2, dir.path()), crate::Stopper::drain);
    let start = |nodes: &str| crate::start(planned(all_kinds(), nodes), options(2, dir.path()));
    let refused = |nodes: &str| start(nodes).err().unwrap().error.unwrap();
    let other =
        saving("changes", 20_000).replace(r#""b": Ordered(input: "a", keyed: true"#, r#""b": Ordered(input: "a""#);
    let error = refused(&other);
    assert_eq!(error.node, "b");
    assert!(error.message.contains("(n: Int64) by n; now Ordered of (n: Int64)"), "{}", error.message);
    let error = refused(&saving("changes", 20_000).replace(", saves: true", ""));
    assert!(error.message.contains("not all nodes of the graph can go on"), "{}", error.message);
    let renamed = saving("changes", 20_000).replace(r#""c": "#, r#""d": "#).replace(r#"input: "c""#, r#"input: "d""#);
    let running = start(&renamed).unwrap_or_else(|r| panic!("{r:?}"));
    running.stopper().drain();
    let warnings = running.join().warnings.join("\n");
    assert!(
        warnings.contains("`d` is new") && warnings.contains("`c` is gone: what it remembered is dropped"),
        "{warnings}"
    );
}

#[test]
fn a_watermark_that_stands_still_says_which_part_holds_it() {
    let plan = planned(all_kinds(), r#""a": Ticks(rows: 1, parts: 1), "e": Publish(input: "a", name: "none")"#);
    let ledger = Ledger {
        nodes: plan.graph.node_weights().map(|n| NodeLedger::new(n.inputs.len(), n.outputs.len())).collect(),
        edges: plan.graph.edge_indices().map(|_| EdgeLedger::default()).collect(),
    };
    let (mut watch, start) = (Watch::default(), Instant::now());
    let mut look = |after: Duration| watch.look(&plan, &ledger, start + after);
    let source = &ledger.nodes[0];
    source.mark("shard 1", Watermark::At(0));
    source.mark("shard 2", Watermark::At(5_000_000));
    source.mark("shard 3", Watermark::Idle);
    assert!(look(Duration::ZERO).is_empty());
    // Nothing came: nobody waits for it.
    assert!(look(STUCK).is_empty());
    source.outs[0].add(10, 80);
    let told = look(2 * STUCK);
    let words = "the watermark of `a` has stood at 1970-01-01T00:00:00.000000Z for 120 s: `shard 1` has told nothing newer \
                 (2 of its 3 parts are further), and all that waits for event time waits for it";
    assert_eq!(told, [words]);
    // Once.
    source.outs[0].add(10, 80);
    assert!(look(3 * STUCK).is_empty());
    source.mark("shard 1", Watermark::At(6_000_000));
    source.outs[0].add(10, 80);
    assert!(look(3 * STUCK).is_empty() && look(4 * STUCK).is_empty());
    source.outs[0].add(10, 80);
    assert!(look(5 * STUCK)[0].contains("`shard 2`"));
}
