//! Kinds for the engine's own tests: a source, nodes that lose rows, panic or hold everything back, a sink that remembers.

use arrow::array::{Int64Array, UInt32Array};
use arrow::compute::take_record_batch;
use selvedge_node::prelude::*;
use selvedge_node::{Commit, ErasedKind, Pending, Positions, Sink, Source, Split, erase};
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![erase::<Count>(), erase::<Pass>(), erase::<Hold>(), erase::<Both>(), erase::<Remember>()]
}

/// What sinks did, by their `as` name.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub rows: u64,
    pub sum: i64,
    pub commits: u64,
    pub aborted: u64,
    /// Run and epoch of each.
    pub done: Vec<(String, u64)>,
    /// Values by instance, in the order written.
    pub values: Vec<i64>,
}

static SEEN: LazyLock<Mutex<BTreeMap<String, Seen>>> = LazyLock::new(Mutex::default);

pub fn seen(name: &str) -> Seen {
    SEEN.lock().unwrap().get(name).cloned().unwrap_or_default()
}

pub fn note(name: &str, f: impl FnOnce(&mut Seen)) {
    f(SEEN.lock().unwrap().entry(name.to_string()).or_default());
}

fn numbers() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

/// `0..rows` in `splits` parts.
pub struct Count;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountConfig {
    rows: i64,
    #[serde(default = "one")]
    splits: i64,
    #[serde(default = "hundred")]
    batch: i64,
    /// After its rows, wait for the end of the run instead of ending.
    #[serde(default)]
    forever: bool,
    #[serde(default)]
    position: bool,
    #[serde(default)]
    panic_splits: bool,
}

fn one() -> i64 {
    1
}

fn hundred() -> i64 {
    100
}

impl Kind for Count {
    const NAME: &'static str = "Count";
    const ROLE: Role = Role::Source;
    const ABOUT: &'static str = "counts";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Count(rows: 3)";
    type Config = CountConfig;
    fn build(config: CountConfig, _: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        Ok(Built::source(numbers(), CountSource(Arc::new(config))))
    }
}

struct CountSource(Arc<CountConfig>);

impl Source for CountSource {
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        assert!(!self.0.panic_splits, "no splits today");
        let share = (self.0.rows + self.0.splits - 1) / self.0.splits;
        Ok((0..self.0.splits)
            .map(|s| {
                let at = from.get(&s.to_string()).map_or(s * share, |p| p.parse().unwrap());
                let end = ((s + 1) * share).min(self.0.rows);
                Box::new(CountSplit { config: self.0.clone(), split: s, at, end }) as Box<dyn Split>
            })
            .collect())
    }
}

struct CountSplit {
    config: Arc<CountConfig>,
    split: i64,
    at: i64,
    end: i64,
}

impl Split for CountSplit {
    fn name(&self) -> String {
        self.split.to_string()
    }
    fn open(self: Box<Self>, _: &Task) -> Result<Box<dyn Reader>> {
        Ok(self)
    }
}

impl Reader for CountSplit {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let to = (self.at + self.config.batch).min(self.end);
        if to <= self.at {
            return Ok(if self.config.forever { Next::Idle(Duration::from_secs(3600)) } else { Next::Done });
        }
        out.create("read", (to - self.at) as u64);
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(self.at..to));
        self.at = to;
        out.send(0, RecordBatch::try_new(numbers(), vec![rows])?)?;
        Ok(Next::More)
    }
    fn position(&self) -> Option<String> {
        self.config.position.then(|| self.at.to_string())
    }
}

/// Passes rows on, or does something worse at the row `at`.
pub struct Pass;

#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq)]
pub enum Vice {
    None,
    Panic,
    Error,
    /// Loses the row without a word.
    Lose,
    /// Rejects the row and takes no notice of the answer.
    Swallow,
    Reject,
    Drop,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassConfig {
    #[serde(default = "good")]
    vice: Vice,
    #[serde(default)]
    at: i64,
}

fn good() -> Vice {
    Vice::None
}

impl Kind for Pass {
    const NAME: &'static str = "Pass";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "passes";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Pass(input: \"a\")";
    type Config = PassConfig;
    fn build(config: PassConfig, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        Ok(Built::map(inputs[0].schema.clone(), config).may_reject(true))
    }
}

impl Map for PassConfig {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let values = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        let Some(row) = values.values().iter().position(|v| *v == self.at) else { return out.send(0, batch) };
        let rest = UInt32Array::from_iter_values((0..batch.num_rows() as u32).filter(|r| *r as usize != row));
        let rest = take_record_batch(&batch, &rest)?;
        match self.vice {
            Vice::None => return out.send(0, batch),
            Vice::Panic => panic!("at {}", self.at),
            Vice::Error => return Err(Error::data(format!("no {}s here", self.at))),
            Vice::Lose => {}
            Vice::Swallow => {
                let _ = out.reject_rows("vice", &batch, &[row], &|_| "an unwanted row".into());
            }
            Vice::Reject => out.reject_rows("vice", &batch, &[row], &|_| "an unwanted row".into())?,
            Vice::Drop => out.drop_rows("vice", 1, &|_| vec!["{}".into()]),
        }
        out.send(0, rest)
    }
}

/// Keeps everything until its input ends.
pub struct Hold;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {
    /// Several instances, by the number.
    #[serde(default)]
    keyed: bool,
    #[serde(default)]
    in_order: bool,
}

impl Kind for Hold {
    const NAME: &'static str = "Hold";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "holds";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Hold(input: \"a\")";
    type Config = Nothing;
    fn build(config: Nothing, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let partitioning = match (config.keyed, config.in_order) {
            (true, _) => Partitioning::Keys(vec![vec![0]]),
            (_, true) => Partitioning::InOrder,
            _ => Partitioning::Single,
        };
        Ok(Built::transform(inputs[0].schema.clone(), partitioning, |_| Ok(Held(vec![]))))
    }
}

struct Held(Vec<RecordBatch>);

impl Transform for Held {
    fn process(&mut self, _: usize, batch: RecordBatch, _: &mut dyn Out) -> Result<()> {
        self.0.push(batch);
        Ok(())
    }
    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        self.0.drain(..).try_for_each(|b| out.send(0, b))
    }
}

/// Two ports; sends the left rows only after the right port has ended, as a join does.
pub struct Both;

impl Kind for Both {
    const NAME: &'static str = "Both";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "two ports";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Both(input: {\"left\": \"a\", \"right\": \"b\"})";
    type Config = Nothing;
    fn ports(_: &Nothing) -> Ports {
        Ports { inputs: Inputs::Named(vec!["left".into(), "right".into()]), outputs: vec!["out".into()] }
    }
    fn build(_: Nothing, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let keys = Partitioning::Keys(vec![vec![0], vec![0]]);
        Ok(Built::transform(inputs[0].schema.clone(), keys, |_| Ok(Waiting { left: vec![], ended: false })))
    }
}

struct Waiting {
    left: Vec<RecordBatch>,
    ended: bool,
}

impl Transform for Waiting {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        match port {
            0 if self.ended => out.send(0, batch)?,
            0 => self.left.push(batch),
            _ => out.absorb("right", batch.num_rows() as u64),
        }
        Ok(())
    }
    fn end(&mut self, port: usize, out: &mut dyn Out) -> Result<()> {
        if port == 1 {
            self.ended = true;
            self.left.drain(..).try_for_each(|b| out.send(0, b))?;
        }
        Ok(())
    }
}

/// Remembers what it was given.
pub struct Remember;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RememberConfig {
    name: String,
    #[serde(default)]
    single: bool,
    #[serde(default)]
    fail_commit: bool,
    #[serde(default)]
    panic_commit: bool,
    #[serde(default)]
    panic_flush: bool,
    /// Rounds of useless work for each batch.
    #[serde(default)]
    slow: u64,
}

impl Kind for Remember {
    const NAME: &'static str = "Remember";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "remembers";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "Remember(input: \"a\", name: \"x\")";
    type Config = RememberConfig;
    fn build(config: RememberConfig, _: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        let partitioning = if config.single { Partitioning::Single } else { Partitioning::Any };
        Ok(Built::sink(partitioning, RememberSink(Arc::new(config))))
    }
}

struct RememberSink(Arc<RememberConfig>);

impl Sink for RememberSink {
    fn open(&self, _: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(RememberWriter(self.0.clone())))
    }
    fn commit(&self, _: &Commit, pending: &[Pending]) -> Result<()> {
        assert!(!self.0.panic_commit, "no commits today");
        if self.0.fail_commit {
            return Err(Error::world("the warehouse is on fire"));
        }
        assert!(pending.iter().all(|p| p == "flushed"));
        note(&self.0.name, |s| s.commits += 1);
        Ok(())
    }
    fn abort(&self, pending: &[Pending]) {
        note(&self.0.name, |s| s.aborted += pending.len() as u64);
    }
}

struct RememberWriter(Arc<RememberConfig>);

impl Writer for RememberWriter {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        (0..self.0.slow).for_each(|i| _ = std::hint::black_box(i));
        let values: Vec<i64> = match batch.column(0).as_any().downcast_ref::<Int64Array>() {
            Some(values) => values.values().to_vec(),
            None => vec![0; batch.num_rows()],
        };
        note(&self.0.name, |s| {
            s.rows += values.len() as u64;
            s.sum += values.iter().sum::<i64>();
            s.values.extend(&values);
        });
        out.absorb("written", batch.num_rows() as u64);
        Ok(())
    }
    fn flush(&mut self, _: u64, _: &mut dyn Out) -> Result<Pending> {
        assert!(!self.0.panic_flush, "no flushes today");
        Ok("flushed".into())
    }
}
