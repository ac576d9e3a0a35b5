//! A kind of node: its name, docs, config, and how a config becomes work. The words are those of built-in nodes.

use crate::bindings::types;
use crate::schema::{Input, Schema};
use crate::{Batch, Out, Result, Settings};

pub use crate::bindings::Next;
pub use crate::bindings::types::{Inputs, Partitioning, Ports, Task};

/// What a plugin would like to be granted. The graph decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// What.
    pub capability: Capability,
    /// Why, for the one who decides.
    pub reason: &'static str,
    /// Whether the plugin is useless without.
    pub needed: bool,
}

/// What may be granted to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// A folder, by the name under which the plugin sees it: `/models`.
    Files(&'static str),
    /// `host:port`
    Network(&'static str),
    /// The name of an environment variable.
    Environment(&'static str),
    /// The name of a secret.
    Secret(&'static str),
}

impl From<&Wish> for types::Wish {
    fn from(wish: &Wish) -> types::Wish {
        let capability = match wish.capability {
            Capability::Files(name) => types::Capability::Files(name.into()),
            Capability::Network(name) => types::Capability::Network(name.into()),
            Capability::Environment(name) => types::Capability::Environment(name.into()),
            Capability::Secret(name) => types::Capability::Secret(name.into()),
        };
        types::Wish { capability, reason: wish.reason.into(), needed: wish.needed }
    }
}

/// A kind of node. Its work is a [`Map`], a [`Transform`] or a [`Source`]; a sink implements [`Sink`] besides.
pub trait Kind: Sized + 'static {
    /// As a graph would name it: `SizeNormalizer`.
    const NAME: &'static str;
    /// One line: what it does to rows.
    const ABOUT: &'static str;
    /// Markdown: settings, ports, reasons of dropped and rejected rows.
    const DOCS: &'static str;
    /// A config as JSON.
    const EXAMPLE: &'static str;
    /// What it would like to be granted.
    const WISHES: &'static [Wish] = &[];
    /// The settings, typed.
    type Config;
    /// What is done with rows.
    type Work: 'static;

    /// Reads the settings. Those that are not asked for are unknown: an error.
    fn config(settings: &mut Settings) -> Result<Self::Config>;

    /// The ports with this config. A source has no inputs, a sink no outputs, whatever is said here.
    fn ports(config: &Self::Config) -> Ports {
        let _ = config;
        Ports { inputs: Inputs::One, outputs: vec!["out".into()] }
    }

    /// Checks the config against the inputs' schemas and makes the work. Pure: it is also called while planning.
    fn build(config: Self::Config, inputs: &[Input]) -> Result<Built<Self::Work>>;
}

/// What a config has become: all that the plan needs to know, and the work.
#[derive(Debug)]
pub struct Built<W> {
    pub(crate) outputs: Vec<Schema>,
    pub(crate) reads: Vec<(usize, Vec<usize>)>,
    pub(crate) partitioning: Partitioning,
    pub(crate) may_reject: bool,
    pub(crate) unbounded: bool,
    pub(crate) target: Option<String>,
    pub(crate) work: W,
}

impl<W> Built<W> {
    fn new(outputs: Vec<Schema>, partitioning: Partitioning, work: W) -> Built<W> {
        Built { outputs, reads: vec![], partitioning, may_reject: false, unbounded: false, target: None, work }
    }
    /// A node that needs nothing but the batch.
    pub fn map(output: Schema, work: W) -> Built<W> {
        Built::new(vec![output], Partitioning::Any, work)
    }
    /// A node with state or several inputs.
    pub fn transform(output: Schema, partitioning: Partitioning, work: W) -> Built<W> {
        Built::new(vec![output], partitioning, work)
    }
    /// A source.
    pub fn source(output: Schema, work: W) -> Built<W> {
        Built::new(vec![output], Partitioning::Any, work)
    }
    /// A sink.
    pub fn sink(partitioning: Partitioning, work: W) -> Built<W> {
        Built::new(vec![], partitioning, work)
    }
    /// Several output ports instead of one.
    #[must_use]
    pub fn outputs(mut self, outputs: Vec<Schema>) -> Built<W> {
        self.outputs = outputs;
        self
    }
    /// The columns that the work looks at, of the only input. The others are not sent to the plugin, but may be sent on.
    #[must_use]
    pub fn reads(self, columns: impl IntoIterator<Item = usize>) -> Built<W> {
        self.reads_of(0, columns)
    }
    /// As `reads`, of one of several inputs.
    #[must_use]
    pub fn reads_of(mut self, input: usize, columns: impl IntoIterator<Item = usize>) -> Built<W> {
        let mut columns: Vec<usize> = columns.into_iter().collect();
        columns.sort_unstable();
        columns.dedup();
        self.reads.push((input, columns));
        self
    }
    /// Whether rows may leave by `errors`.
    #[must_use]
    pub fn may_reject(mut self, may: bool) -> Built<W> {
        self.may_reject = may;
        self
    }
    /// A source that never ends by itself.
    #[must_use]
    pub fn unbounded(mut self) -> Built<W> {
        self.unbounded = true;
        self
    }
    /// What a sink writes, in words: no two sinks of a graph may write the same.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Built<W> {
        self.target = Some(target.into());
        self
    }
    pub(crate) fn reads_for(&self, input: usize) -> Option<Vec<u32>> {
        let reads = self.reads.iter().rev().find(|(i, _)| *i == input)?;
        Some(reads.1.iter().map(|c| *c as u32).collect())
    }
}

/// Work that needs nothing but the batch.
pub trait Map: 'static {
    /// Takes a batch; every row of it goes to `out`.
    fn map(&self, batch: &Batch, out: &mut Out) -> Result<()>;
}

/// Work with state or several inputs. It takes batches of any port at any time.
pub trait Transform: 'static {
    /// What this instance is told about itself, before anything else.
    fn open(&mut self, task: &Task) -> Result<()> {
        let _ = task;
        Ok(())
    }
    /// Takes a batch of an input port.
    fn process(&mut self, port: usize, batch: &Batch, out: &mut Out) -> Result<()>;
    /// No row with an event time before this one, in milliseconds since 1970, will come any more.
    fn watermark(&mut self, time: i64, out: &mut Out) -> Result<()> {
        let _ = (time, out);
        Ok(())
    }
    /// All inputs have ended: send some of what is left. True: there is more, call again.
    fn finish(&mut self, out: &mut Out) -> Result<bool> {
        let _ = out;
        Ok(false)
    }
    /// Everything that the following batches depend on.
    fn save(&self) -> Result<Vec<u8>>;
    /// Takes back what `save` gave.
    fn load(&mut self, state: &[u8]) -> Result<()>;
}

/// Where each split of a source stopped in an earlier run: split and position.
pub type Positions = [(String, String)];

/// Work of a source.
pub trait Source: 'static {
    /// What reads a split.
    type Reader: Reader;
    /// The parts that may be read in parallel, by names that are stable between runs.
    fn splits(&self, from: &Positions) -> Result<Vec<String>>;
    /// Starts to read a split, where an earlier run stopped.
    fn open(&self, task: &Task, split: &str, position: Option<&str>) -> Result<Self::Reader>;
}

/// Reads a split of a source.
pub trait Reader: 'static {
    /// Sends about one batch, in bounded time, and counts it where it is found: `out.create("read", …)`.
    fn read(&mut self, out: &mut Out) -> Result<Next>;
    /// Where to resume after everything sent so far.
    fn position(&self) -> Result<Option<String>> {
        Ok(None)
    }
}

/// A kind whose work writes rows somewhere. Nothing is visible before `commit`.
pub trait Sink: Kind<Work: Writer> {
    /// Publishes what all writers have flushed: all or nothing. May be called again with the same arguments; then it does
    /// nothing, or the rest.
    fn commit(config: &Self::Config, commit: &Commit, pending: &[String]) -> Result<()> {
        let _ = (config, commit, pending);
        Ok(())
    }
    /// Takes back what was flushed and will never be committed.
    fn abort(config: &Self::Config, pending: &[String]) -> Result<()> {
        let _ = (config, pending);
        Ok(())
    }
}

/// Names a commit, so that a sink recognises one that it has done before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The run.
    pub run: String,
    /// Counts the commits of a run.
    pub epoch: u64,
}

/// Writes the rows of one instance.
pub trait Writer: 'static {
    /// What this instance is told about itself, before anything else.
    fn open(&mut self, task: &Task) -> Result<()> {
        let _ = task;
        Ok(())
    }
    /// Takes the rows: `out.absorb("written", …)` for those it kept.
    fn write(&mut self, port: usize, batch: &Batch, out: &mut Out) -> Result<()>;
    /// Everything written so far is safe and waits for `commit`; the answer must be enough for that, even after a crash.
    fn flush(&mut self, epoch: u64) -> Result<String> {
        let _ = epoch;
        Ok(String::new())
    }
}
