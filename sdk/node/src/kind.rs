//! A kind of node: its name, docs, typed config, and how a config becomes work.

use crate::{Map, Problem, Problems, Result, Sink, Source, Span, Spanned, Task, Transform};
use arrow::datatypes::SchemaRef;
use schemars::JsonSchema;
use selvedge_ron::Value;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a kind may stand in a graph. A name may be a source and a sink at once (`Files`): the presence of `input` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Source,
    Transform,
    Sink,
}

/// The input ports of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    None,
    /// One port, `in`. Several edges into it are merged; their schemas must be equal.
    One,
    /// Fixed ports by name, all of them needed: `input: {"left": "orders", "right": "customers"}`.
    Named(Vec<String>),
    /// A port for every edge, named by the graph (`input: {"o": "orders"}`) or, in a list, after the node it comes from.
    Each,
}

/// The ports of a node with this config. `errors` is always there besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    pub inputs: Inputs,
    /// The first one is what `input: "node"` means.
    pub outputs: Vec<String>,
}

impl Ports {
    pub fn source() -> Ports {
        Ports { inputs: Inputs::None, outputs: vec!["out".into()] }
    }
    pub fn transform() -> Ports {
        Ports { inputs: Inputs::One, outputs: vec!["out".into()] }
    }
    pub fn sink() -> Ports {
        Ports { inputs: Inputs::One, outputs: vec![] }
    }
}

/// What arrives at one input port.
#[derive(Debug, Clone)]
pub struct Input {
    pub port: String,
    pub schema: SchemaRef,
    /// The place of the edge in the graph text.
    pub span: Span,
    /// Its rows never end.
    pub unbounded: bool,
}

/// How the rows of a node's inputs must be spread over its parallel instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitioning {
    /// Any row to any instance.
    Any,
    /// Rows with equal values in these columns (indices, for each input port) meet in one instance.
    Keys(Vec<Vec<usize>>),
    /// One instance sees everything.
    Single,
    /// One instance sees everything, in the order of the source: everything before it runs on one thread.
    InOrder,
}

/// What a node has to do with event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventTime {
    /// It passes watermarks on.
    #[default]
    Passes,
    /// A source whose readers tell watermarks.
    Tells,
    /// It sends nothing before a watermark comes, or the end of a bounded input.
    Needs,
}

/// Makes the transform of one parallel instance.
pub type MakeTransform = Arc<dyn Fn(&Task) -> Result<Box<dyn Transform>> + Send + Sync>;

/// A node's work, ready to run.
pub enum Work {
    Source(Arc<dyn Source>),
    /// Stateless: shared by all threads.
    Map(Arc<dyn Map>),
    /// Stateful: a new one for each parallel instance.
    Transform(MakeTransform),
    Sink(Arc<dyn Sink>),
}

impl Work {
    pub fn transform<T: Transform + 'static>(make: impl Fn(&Task) -> Result<T> + Send + Sync + 'static) -> Work {
        Work::Transform(Arc::new(move |task| Ok(Box::new(make(task)?) as Box<dyn Transform>)))
    }
}

/// What a config has become: all that the plan needs to know, and the work.
pub struct Built {
    /// One schema for each output port.
    pub outputs: Vec<SchemaRef>,
    pub partitioning: Partitioning,
    /// The output comes in a meaningful order (after a sort); what follows keeps it by staying on one thread.
    pub ordered: bool,
    /// Rows may leave by `errors`. Where that port is not connected, the first such row stops the run.
    pub may_reject: bool,
    /// A source that never ends by itself.
    pub unbounded: bool,
    /// A node that sends nothing, or holds ever more, until its input ends: what to use instead in a graph that never ends.
    pub waits_for_end: Option<String>,
    /// A transform that implements `save` and `load`.
    pub saves: bool,
    /// A sink that has to flush all rows of a commit together: a run that ends by itself is not saved in between.
    pub flushes_once: bool,
    /// A sink whose rows can be seen before they are committed: after a failure they may come again.
    pub visible_at_once: bool,
    /// A sink where rows that come again take the place of those that are there.
    pub replaces: bool,
    pub time: EventTime,
    /// A sink that wants its rows published at least this often in an unbounded graph.
    pub publish_every: Option<std::time::Duration>,
    /// What a sink writes, in words: `table stock of out/warehouse.db`. Two sinks of one graph may not have the same: the one
    /// that commits last could undo what the other has written, and both would call it a success.
    pub target: Option<String>,
    pub work: Work,
    /// Lines for `selvedge plan`: `24 files, 1.2 GB`.
    pub notes: Vec<String>,
    /// Suspicious but not wrong.
    pub warnings: Vec<Problem>,
}

impl Built {
    /// For work whose role is only known here, as a plugin's is.
    pub fn new(outputs: Vec<SchemaRef>, work: Work) -> Built {
        Built {
            outputs,
            partitioning: Partitioning::Any,
            ordered: false,
            may_reject: false,
            unbounded: false,
            waits_for_end: None,
            saves: false,
            flushes_once: false,
            visible_at_once: false,
            replaces: false,
            time: EventTime::Passes,
            publish_every: None,
            target: None,
            work,
            notes: vec![],
            warnings: vec![],
        }
    }
    pub fn source(output: SchemaRef, source: impl Source + 'static) -> Built {
        Built::new(vec![output], Work::Source(Arc::new(source)))
    }
    pub fn map(output: SchemaRef, map: impl Map + 'static) -> Built {
        Built::new(vec![output], Work::Map(Arc::new(map)))
    }
    pub fn transform<T: Transform + 'static>(
        output: SchemaRef,
        partitioning: Partitioning,
        make: impl Fn(&Task) -> Result<T> + Send + Sync + 'static,
    ) -> Built {
        Built { partitioning, ..Built::new(vec![output], Work::transform(make)) }
    }
    pub fn sink(partitioning: Partitioning, sink: impl Sink + 'static) -> Built {
        Built { partitioning, ..Built::new(vec![], Work::Sink(Arc::new(sink))) }
    }
    /// Several output ports instead of one.
    #[must_use]
    pub fn outputs(mut self, outputs: Vec<SchemaRef>) -> Built {
        self.outputs = outputs;
        self
    }
    #[must_use]
    pub fn may_reject(mut self, may: bool) -> Built {
        self.may_reject = may;
        self
    }
    #[must_use]
    pub fn ordered(mut self) -> Built {
        self.ordered = true;
        self
    }
    /// Refused behind an unbounded source, with what to use instead.
    #[must_use]
    pub fn waits_for_end(mut self, instead: impl Into<String>) -> Built {
        self.waits_for_end = Some(instead.into());
        self
    }
    /// The transform implements `save` and `load`: a stream can be stopped and resumed with what it remembers.
    #[must_use]
    pub fn saves(mut self) -> Built {
        self.saves = true;
        self
    }
    #[must_use]
    pub fn flushes_once(mut self, once: bool) -> Built {
        self.flushes_once = once;
        self
    }
    /// The sink's rows can be seen before they are committed.
    #[must_use]
    pub fn visible_at_once(mut self) -> Built {
        self.visible_at_once = true;
        self
    }
    #[must_use]
    pub fn replaces(mut self, replaces: bool) -> Built {
        self.replaces = replaces;
        self
    }
    #[must_use]
    pub fn time(mut self, time: EventTime) -> Built {
        self.time = time;
        self
    }
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Built {
        self.target = Some(target.into());
        self
    }
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Built {
        self.notes.push(note.into());
        self
    }
    #[must_use]
    pub fn warn(mut self, problem: Problem) -> Built {
        self.warnings.push(problem);
        self
    }
}

/// A connection of the chosen profile: `Sqlite(path: "retail.db")`.
#[derive(Debug, Clone)]
pub struct Connection {
    pub name: String,
    /// `Sqlite`, `Folder`, …
    pub kind: String,
    pub span: Span,
    pub body: Value,
    /// Relative paths in the connection start here.
    pub base: PathBuf,
}

impl Connection {
    /// The connection's settings, typed.
    pub fn config<T: DeserializeOwned>(&self) -> std::result::Result<T, Problem> {
        selvedge_ron::from_value(&self.body)
    }
}

/// The connections that a graph's profile offers.
pub trait Connections {
    fn find(&self, name: &str) -> Option<Connection>;
    fn names(&self) -> Vec<String>;
}

/// Where a node stands: what it may ask while it is built.
pub struct Site<'a> {
    pub graph: &'a str,
    pub node: &'a str,
    /// The place of the node's `Kind(…)` in the text.
    pub span: Span,
    /// Relative paths of the node start here: the folder of its graph file.
    pub base: &'a Path,
    pub connections: &'a dyn Connections,
}

impl Site<'_> {
    /// An error at the node itself, for a problem that no single value is to blame for.
    pub fn error(&self, message: impl Into<String>) -> Problem {
        Problem::error(self.span, message)
    }

    pub fn connection(&self, name: &Spanned<String>) -> std::result::Result<Connection, Problem> {
        self.connections.find(name).ok_or_else(|| {
            let names = self.connections.names();
            let problem = Problem::unknown(name.span, "connection", name, names.iter().map(String::as_str));
            match names.is_empty() {
                true => problem.help("there are none: put a connections.ron beside the graph or in a folder above it"),
                false => problem,
            }
        })
    }
}

/// One kind of node: implement this in the node's own file and add the type to its crate's list.
pub trait Kind: 'static {
    /// As written in a graph, in the field's usual word: `DropNulls`.
    const NAME: &'static str;
    const ROLE: Role;
    /// One line: what it does to rows.
    const ABOUT: &'static str;
    /// Markdown: behaviour, ports, reasons of dropped and rejected rows, deviations from Spark.
    const DOCS: &'static str;
    /// The node as a graph would write it, `input` included. A test parses it.
    const EXAMPLE: &'static str;
    /// The fields of `Kind(…)` without `input`. Doc comments become the reference that `selvedge nodes` prints.
    /// Put `#[serde(deny_unknown_fields)]` on it.
    type Config: DeserializeOwned + JsonSchema + Send + 'static;

    fn ports(config: &Self::Config) -> Ports {
        let _ = config;
        match Self::ROLE {
            Role::Source => Ports::source(),
            Role::Transform => Ports::transform(),
            Role::Sink => Ports::sink(),
        }
    }

    /// Checks the config against the inputs' schemas and makes the work. All problems at once.
    fn build(config: Self::Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems>;
}

/// A [`Kind`] without its types, as the catalogue holds it. A plugin implements this by itself.
pub trait ErasedKind: Send + Sync {
    fn name(&self) -> &str;
    fn role(&self) -> Role;
    fn about(&self) -> &str;
    fn docs(&self) -> &str;
    fn example(&self) -> &str;
    /// JSON schema of the config.
    fn schema(&self) -> serde_json::Value;
    /// Types the body of `Kind(…)`.
    fn parse(&self, body: &Value) -> std::result::Result<Box<dyn ErasedConfig>, Problem>;
}

/// A typed config that has forgotten its type.
pub trait ErasedConfig: Send {
    /// A plugin has to be found and asked; it tells its role by its ports.
    fn ports(&self, site: &Site) -> std::result::Result<Ports, Problems>;
    fn build(self: Box<Self>, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems>;
}

struct Erased<K>(PhantomData<fn() -> K>);
struct Config<K: Kind>(K::Config);

/// The catalogue entry of a kind.
pub fn erase<K: Kind>() -> Box<dyn ErasedKind> {
    Box::new(Erased::<K>(PhantomData))
}

impl<K: Kind> ErasedKind for Erased<K> {
    fn name(&self) -> &str {
        K::NAME
    }
    fn role(&self) -> Role {
        K::ROLE
    }
    fn about(&self) -> &str {
        K::ABOUT
    }
    fn docs(&self) -> &str {
        K::DOCS
    }
    fn example(&self) -> &str {
        K::EXAMPLE
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(K::Config).to_value()
    }
    fn parse(&self, body: &Value) -> std::result::Result<Box<dyn ErasedConfig>, Problem> {
        let config: K::Config = selvedge_ron::from_value(body)?;
        Ok(Box::new(Config::<K>(config)) as Box<dyn ErasedConfig>)
    }
}

impl<K: Kind> ErasedConfig for Config<K> {
    fn ports(&self, _: &Site) -> std::result::Result<Ports, Problems> {
        Ok(K::ports(&self.0))
    }
    fn build(self: Box<Self>, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        K::build(self.0, site, inputs)
    }
}
