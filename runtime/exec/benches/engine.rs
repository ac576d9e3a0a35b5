//! What the engine itself costs: a hop between threads, planning a large graph, the way to the first row.
//!
//! `cargo bench -p selvedge-exec` prints medians of several runs. Wall time: run it on a quiet machine.

use arrow::array::Int64Array;
use selvedge_exec::{Options, default_memory, start};
use selvedge_node::prelude::*;
use selvedge_node::{Positions, Sink, Source, Split, erase};
use selvedge_plan::{Catalogue, Plan, plan};
use selvedge_spec::load;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

const BATCHES: u32 = 200_000;
const RUNS: usize = 7;

/// When the sink got its first batch.
static FIRST: Mutex<Option<Instant>> = Mutex::new(None);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

struct Repeat;
#[derive(Deserialize, JsonSchema)]
struct Times {
    batches: u32,
}
impl Kind for Repeat {
    const NAME: &'static str = "Repeat";
    const ROLE: Role = Role::Source;
    const ABOUT: &'static str = "one batch, again and again";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Repeat(batches: 1)";
    type Config = Times;
    fn build(config: Times, _: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        Ok(Built::source(schema(), config))
    }
}
impl Source for Times {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..8192));
        Ok(vec![Box::new(Repeating(self.batches, RecordBatch::try_new(schema(), vec![column])?))])
    }
}
struct Repeating(u32, RecordBatch);
impl Split for Repeating {
    fn name(&self) -> String {
        "all".into()
    }
    fn open(self: Box<Self>, _: &Task) -> Result<Box<dyn Reader>> {
        Ok(self)
    }
}
impl Reader for Repeating {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let Some(left) = self.0.checked_sub(1) else { return Ok(Next::Done) };
        self.0 = left;
        out.create("read", self.1.num_rows() as u64);
        out.send(0, self.1.clone())?;
        Ok(Next::More)
    }
}

#[derive(Deserialize, JsonSchema)]
struct Empty {}

/// A hop: a stage of its own, which passes batches on.
struct Hop;
impl Kind for Hop {
    const NAME: &'static str = "Hop";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "passes batches on, on a thread of its own";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Hop(input: \"a\")";
    type Config = Empty;
    fn build(_: Empty, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        Ok(Built::transform(inputs[0].schema.clone(), Partitioning::Single, |_| Ok(Empty {})))
    }
}
impl Transform for Empty {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        out.send(0, batch)
    }
}

struct Link;
impl Kind for Link {
    const NAME: &'static str = "Link";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "passes batches on, on the thread of its input";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Link(input: \"a\")";
    type Config = Empty;
    fn build(config: Empty, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        Ok(Built::map(inputs[0].schema.clone(), config))
    }
}
impl Map for Empty {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        out.send(0, batch)
    }
}

struct End;
impl Kind for End {
    const NAME: &'static str = "End";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "counts";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "End(input: \"a\")";
    type Config = Empty;
    fn build(config: Empty, _: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        Ok(Built::sink(Partitioning::Any, config))
    }
}
impl Sink for Empty {
    fn open(&self, _: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Counting))
    }
}
struct Counting;
impl Writer for Counting {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        if let Ok(mut first) = FIRST.lock() {
            first.get_or_insert_with(Instant::now);
        }
        out.absorb("counted", batch.num_rows() as u64);
        Ok(())
    }
}

fn planned(nodes: &str) -> Plan {
    let text = format!("Graph(name: \"bench\", nodes: {{ {nodes} }})");
    let files = BTreeMap::from([("/bench/graph.ron".into(), text)]);
    let (sources, spec, _) = load(&files, Path::new("/bench/graph.ron"), &selvedge_spec::Options::default());
    let kinds = vec![erase::<Repeat>(), erase::<Hop>(), erase::<Link>(), erase::<End>()];
    let plan = spec.and_then(|s| plan(&s, &Catalogue::new(kinds)));
    plan.unwrap_or_else(|p| panic!("{}", selvedge_spec::render_short(&p.0, &sources)))
}

/// A source, `between` chained one after the other, a sink.
fn chain(batches: u32, between: &[&str]) -> String {
    let mut nodes = format!("\"n0\": Repeat(batches: {batches}),");
    for (i, kind) in between.iter().enumerate() {
        nodes.push_str(&format!("\"n{}\": {kind}(input: \"n{i}\"),", i + 1));
    }
    nodes + &format!("\"end\": End(input: \"n{}\")", between.len())
}

fn run(plan: Plan) -> f64 {
    let options = Options {
        threads: 1,
        memory: default_memory(),
        state: None,
        once: false,
        checkpoint_every: std::time::Duration::MAX,
        scratch: std::env::temp_dir(),
        run: format!("bench-{}", std::process::id()),
    };
    let since = Instant::now();
    let running = start(plan, options).unwrap_or_else(|report| panic!("{report:?}"));
    let report = running.join();
    assert_eq!(report.status.exit_code(), 0, "{report:?}");
    since.elapsed().as_secs_f64()
}

fn median(measure: impl Fn() -> f64) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS).map(|_| measure()).collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

fn main() {
    let per_batch = |between: &[&str]| 1e6 * median(|| run(planned(&chain(BATCHES, between)))) / f64::from(BATCHES);
    println!("a batch through a source and a sink, one thread   {:.3} µs", per_batch(&[]));
    println!("  with a chained node in between                  {:.3} µs", per_batch(&["Link"]));
    println!("  with one hop to another thread and back to none {:.3} µs", per_batch(&["Hop"]));
    println!("  with two hops                                   {:.3} µs", per_batch(&["Hop", "Hop"]));

    let large = chain(1, &vec!["Link"; 998]);
    println!(
        "reading and planning 1,000 nodes                  {:.2} ms",
        1e3 * median(|| {
            let since = Instant::now();
            std::hint::black_box(planned(&large));
            since.elapsed().as_secs_f64()
        })
    );
    println!(
        "from the text of a graph to its first row         {:.2} ms",
        1e3 * median(|| {
            if let Ok(mut first) = FIRST.lock() {
                first.take();
            }
            let since = Instant::now();
            run(planned(&chain(10, &["Link", "Hop"])));
            let first = FIRST.lock().ok().and_then(|f| *f).unwrap_or(since);
            (first - since).as_secs_f64()
        })
    );
}
