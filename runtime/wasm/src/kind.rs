//! `Plugin`: a component as a node. It is a source where it has no input, else what the component is.

use crate::Settings;
use crate::bindings::exports::selvedge::plugin::{sink_node, source_node, transform_node};
use crate::bindings::selvedge::plugin::types;
use crate::columns::crosses;
use crate::component::{Loaded, World, load};
use crate::grant::Grant;
use crate::instance::{Instance, Setup, Trouble};
use crate::limits::{Bounds, Limits};
use crate::lock::{LOCK_FILE, Lock};
use crate::origin::Origin;
use crate::sink::PluginSink;
use crate::source::{PluginSource, Reading};
use crate::transform::{Opening, PluginMap, PluginTransform};
use crate::wire::{Arriving, schema_of};
use schemars::JsonSchema;
use selvedge_node::prelude::SchemaRef;
use selvedge_node::{
    Built, ErasedConfig, ErasedKind, Error, Input, Inputs, Partitioning, Ports, Problem, Problems, Role, Site, Span,
    Spanned, Work,
};
use selvedge_ron::{Value, ValueKind};
use serde::Deserialize;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Plugin {
    role: Role,
    settings: Arc<Settings>,
}

impl Plugin {
    pub fn new(role: Role, settings: Arc<Settings>) -> Plugin {
        Plugin { role, settings }
    }
}

/// What becomes of rows that a transform fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum OnError {
    /// The run stops.
    #[default]
    Fail,
    /// They go to `errors`: those alone that it fails on. Costs a few calls more for each such row.
    Reject,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The component's file, relative to the graph: `plugins/upc_check.wasm`.
    path: Option<Spanned<String>>,
    /// Or its URL, `https://…`: downloaded once and kept by its hash.
    url: Option<Spanned<String>>,
    /// The file's SHA-256 in hex. Any other file is refused. A URL needs one.
    sha256: Option<Spanned<String>>,
    /// The plugin's own settings: `(column: "upc")`. `selvedge plugin inspect FILE` tells which there are.
    #[serde(default)]
    config: serde_json::Value,
    /// What the plugin may reach outside of its rows: nothing, unless it is named here.
    #[serde(default)]
    grant: Grant,
    /// What it may take.
    #[serde(default)]
    limits: Limits,
    /// What becomes of rows that the plugin fails on.
    #[serde(default)]
    on_error: OnError,
}

/// A parsed node, before its component is looked at.
struct Parsed {
    config: Config,
    /// `config: …` in the text.
    own: Option<Value>,
    settings: Arc<Settings>,
    /// Read and checked once, for the ports and for the work.
    ready: OnceCell<Ready>,
}

impl ErasedKind for Plugin {
    fn name(&self) -> &str {
        "Plugin"
    }
    fn role(&self) -> Role {
        self.role
    }
    fn about(&self) -> &str {
        match self.role {
            Role::Source => "reads rows with a WebAssembly component",
            _ => "does to rows what a WebAssembly component does: a transform or a sink",
        }
    }
    fn docs(&self) -> &str {
        DOCS
    }
    fn example(&self) -> &str {
        match self.role {
            Role::Source => {
                r#"Plugin(path: "plugins/weather.wasm", config: (stations: ["LHR"]), grant: (network: ["10.0.0.7:80"]))"#
            }
            _ => r#"Plugin(input: "typed", path: "plugins/upc_check.wasm", config: (column: "upc"), on_error: Reject)"#,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn parse(&self, body: &Value) -> Result<Box<dyn ErasedConfig>, Problem> {
        let config = selvedge_ron::from_value(body)?;
        Ok(Box::new(Parsed {
            config,
            own: body.field("config").cloned(),
            settings: self.settings.clone(),
            ready: OnceCell::new(),
        }))
    }
}

const DOCS: &str = "A plugin is a WebAssembly component that exports a world of `selvedge:plugin`: a transform, a source or a sink, written in
Rust, Python or JavaScript (`selvedge plugin new`). It is compiled once and kept in the user's cache folder.

It runs in a sandbox: it sees its rows and its settings, and nothing else that `grant` does not name. It cannot hurt the run: a
trap, a call that takes too long, too much memory or output, or rows that do not add up are errors of this node, and what a
failed call did is as if it never happened. With `on_error: Reject` the rows that it fails on go to `errors`, those alone, and an
instance that trapped is replaced; after `limits: (faults: …)` of them the run fails all the same.

Columns that a plugin does not read are not sent to it, and those that it does not change never leave the host.

Rejected rows: the plugin's own codes, and `plugin.error` (it says that it cannot), `plugin.trap`, `plugin.timeout`,
`plugin.memory`, `plugin.output` (too much, or no sound Arrow), `plugin.rows` (rows unaccounted for), `plugin.batch` (one row
above `batch_mib`).";

/// A component with what the graph says of it.
struct Ready {
    plugin: Arc<Loaded>,
    warnings: Vec<Problem>,
    /// The file's name.
    file: String,
    config: String,
    own: Option<Value>,
    grant: Grant,
    bounds: Bounds,
    on_error: OnError,
    path: Span,
    base: PathBuf,
    node: String,
}

impl Parsed {
    fn ready(&self, site: &Site) -> Result<&Ready, Problems> {
        match self.ready.get() {
            Some(ready) => Ok(ready),
            None => {
                let ready = self.load(site)?;
                Ok(self.ready.get_or_init(|| ready))
            }
        }
    }

    fn load(&self, site: &Site) -> Result<Ready, Problems> {
        let mut problems = Problems::default();
        let config = &self.config;
        let origin = problems.take(config.origin(site.base, site.span));
        let plugin = origin.as_ref().and_then(|origin| problems.take(self.component(origin, site.base)));
        let bounds = config.limits.within(&self.settings.caps).map_err(|e| Problem::error(site.span, e));
        let bounds = problems.take(bounds);
        let (Some(origin), Some((plugin, warnings)), Some(bounds)) = (origin, plugin, bounds) else {
            return Err(problems);
        };
        problems.or(Ready {
            plugin,
            warnings,
            file: origin.file(),
            // The form in which plugins of all languages read them.
            config: if config.config.is_null() { "{}".into() } else { config.config.to_string() },
            own: self.own.clone(),
            grant: config.grant.clone(),
            bounds,
            on_error: config.on_error,
            path: origin.span,
            base: site.base.to_path_buf(),
            node: site.node.to_string(),
        })
    }

    /// The component, and a warning if the lock file has another one.
    fn component(&self, origin: &Origin, base: &Path) -> Result<(Arc<Loaded>, Vec<Problem>), Problem> {
        let cache = self.settings.cache.as_deref();
        let failed = |e: Error| said(Problem::error(origin.span, e.message), e.help);
        let (bytes, hash) = origin.bytes(cache).map_err(failed)?;
        if let Some(wanted) = &self.config.sha256
            && !hash.eq_ignore_ascii_case(wanted)
        {
            let words = format!("`{}` is another file: its SHA-256 is {hash}", origin.name);
            return Err(Problem::error(wanted.span, words)
                .help("check where the file came from; if it is the right one, write this hash"));
        }
        const RELOCK: &str = "if this is the plugin that you want: `selvedge plugin lock GRAPH`";
        let warnings = match (unpinned(origin, &hash, base, self.settings.locked), self.settings.locked) {
            // Known before it is compiled: what is locked out is not even looked at.
            (Some(words), true) => return Err(Problem::error(origin.span, words).help(RELOCK)),
            (Some(words), false) => vec![Problem::warning(origin.span, words).help(RELOCK)],
            (None, _) => vec![],
        };
        Ok((load(&bytes, &hash, &origin.name, cache).map_err(failed)?, warnings))
    }
}

impl Config {
    fn origin(&self, base: &Path, node: Span) -> Result<Origin, Problem> {
        Origin::new(self.path.as_ref(), self.url.as_ref(), self.sha256.as_ref(), base, node)
    }
}

/// What is wrong with the plugin by the lock file in `base`. Where it `must` be locked, a missing file is wrong too.
fn unpinned(origin: &Origin, hash: &str, base: &Path, must: bool) -> Option<String> {
    let lock = match Lock::read(base) {
        Ok(Some(lock)) => lock,
        Ok(None) => return must.then(|| format!("there is no {LOCK_FILE} in {}", base.display())),
        Err(e) => return Some(e),
    };
    match lock.0.get(&origin.name) {
        Some(pinned) if pinned == hash => None,
        Some(pinned) => Some(format!("`{}` is not what {LOCK_FILE} pins: {pinned} there, {hash} here", origin.name)),
        None => Some(format!("`{}` is not in {LOCK_FILE}", origin.name)),
    }
}

/// A node's plugin, for a lock file: what it is named in the graph, and its SHA-256. `body` is the node's struct, `base` what its
/// paths start from. Nothing is compiled.
pub fn locked(body: &Value, base: &Path, settings: &Settings) -> Result<(String, String), Problem> {
    let config: Config = selvedge_ron::from_value(body)?;
    let origin = config.origin(base, body.span)?;
    let found = origin.bytes(settings.cache.as_deref());
    let (_, hash) = found.map_err(|e| said(Problem::error(origin.span, e.message), e.help))?;
    Ok((origin.name, hash))
}

fn said(problem: Problem, help: Option<String>) -> Problem {
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

impl Ready {
    /// An instance that is asked once, without any grant: planning must not reach the world.
    fn asked<T>(&self, ask: impl FnOnce(&mut Instance) -> Result<T, Trouble>) -> Result<T, Problem> {
        let setup = Setup {
            plugin: self.plugin.clone(),
            node: self.node.as_str().into(),
            granted: Default::default(),
            bounds: self.bounds,
            outputs: vec![],
        };
        let answer = Instance::new(&setup).and_then(|mut instance| ask(&mut instance));
        answer.map_err(|trouble| self.problem(trouble))
    }

    /// Trouble at the place of the setting that is to blame, if it is known.
    fn problem(&self, trouble: Trouble) -> Problem {
        let own = self.own.as_ref();
        let place = trouble.at.as_deref().zip(own).map(|(at, own)| follow(own, at));
        let span = place.or(own.map(|v| v.span)).unwrap_or(self.path);
        let words = format!("{}: {}", self.file, trouble.error.message);
        said(Problem::error(span, words), trouble.error.help)
    }

    fn setup(&self, outputs: Vec<SchemaRef>) -> Arc<Setup> {
        Arc::new(Setup {
            plugin: self.plugin.clone(),
            node: self.node.as_str().into(),
            granted: self.grant.granted(&self.base),
            bounds: self.bounds,
            outputs,
        })
    }

    fn opening(&self, site: &Site, arriving: Arriving, reads: Vec<Vec<usize>>, outputs: Vec<SchemaRef>) -> Opening {
        Opening {
            setup: self.setup(outputs),
            file: self.file.clone(),
            config: self.config.clone(),
            graph: site.graph.to_string(),
            arriving: Arc::new(arriving),
            reads: reads.into(),
            on_error: self.on_error,
        }
    }

    fn ports(&self) -> Result<Ports, Problem> {
        match self.plugin.world {
            World::Transform(_) => {
                let ports = self.asked(|i| i.transform("describe", None, |g, s| g.call_describe(s, &self.config)))?;
                if ports.outputs.is_empty() {
                    return Err(self.lie("it names no output port".into()));
                }
                Ok(Ports { inputs: inputs(ports.inputs), outputs: ports.outputs })
            }
            World::Sink(_) => {
                let found = self.asked(|i| i.sink("describe", None, |g, s| g.call_describe(s, &self.config)))?;
                Ok(Ports { inputs: inputs(found), outputs: vec![] })
            }
            World::Source(_) => {
                let plan = self.source_plan()?;
                if plan.outputs.is_empty() {
                    return Err(self.lie("it names no output port".into()));
                }
                Ok(Ports { inputs: Inputs::None, outputs: plan.outputs.into_iter().map(|(name, _)| name).collect() })
            }
        }
    }

    fn source_plan(&self) -> Result<source_node::Plan, Problem> {
        self.asked(|i| i.source("output-schema", |g, s| g.call_output_schema(s, &self.config)))
    }

    fn cannot_reject(&self, why: &str) -> Result<(), Problem> {
        match self.on_error {
            OnError::Fail => Ok(()),
            OnError::Reject => Err(Problem::error(self.path, format!("`on_error: Reject` is for transforms: {why}"))
                .help("leave it out: rows that the plugin itself rejects go to `errors` all the same")),
        }
    }

    fn lie(&self, what: String) -> Problem {
        Problem::error(self.path, format!("{}: {what}", self.file))
            .help("this is a mistake in the plugin, not in the graph")
    }

    fn schemas(&self, told: Vec<types::SchemaResult>) -> Result<Vec<SchemaRef>, Problem> {
        let told =
            told.into_iter().map(|s| schema_of(s).map_err(|e| self.lie(format!("its output schema is wrong: {e}"))));
        told.collect()
    }

    /// The columns of each port that are sent.
    fn reads(&self, told: Vec<Option<Vec<u32>>>, inputs: &[Input]) -> Result<Vec<Vec<usize>>, Problem> {
        if told.len() != inputs.len() {
            return Err(self.lie(format!(
                "it says for {} of {} inputs which columns it reads",
                told.len(),
                inputs.len()
            )));
        }
        let mut all = vec![];
        for (told, input) in told.into_iter().zip(inputs) {
            let count = input.schema.fields().len();
            let Some(columns) = told else {
                all.push((0..count).collect());
                continue;
            };
            let columns: Vec<usize> = columns.into_iter().map(|c| c as usize).collect();
            if columns.iter().any(|c| *c >= count) || !columns.is_sorted_by(|a, b| a < b) {
                return Err(
                    self.lie("the columns that it reads are not columns of its input, in ascending order".into())
                );
            }
            if let Some(field) = columns.iter().map(|c| input.schema.field(*c)).find(|f| !crosses(f.data_type())) {
                return Err(Problem::error(
                    input.span,
                    format!("column `{}` of type {} cannot be sent to a plugin", field.name(), field.data_type()),
                )
                .help("cast it first with SchemaEdit(edits: [Cast(…)])"));
            }
            all.push(columns);
        }
        Ok(all)
    }

    /// What the plan shows of the plugin.
    fn note(&self, built: Built) -> Built {
        let grants = self.grant.names();
        let grants = if grants.is_empty() { "nothing".into() } else { grants.join(", ") };
        let short = self.plugin.hash.get(..12).unwrap_or_default();
        built.note(format!(
            "{} {}, {} KiB, sha256 {short}…; granted: {grants}",
            self.plugin.role(),
            self.file,
            self.plugin.bytes.div_ceil(1024)
        ))
    }

    /// Wishes that are not granted: an error where the plugin is useless without, else said.
    fn wishes(&self) -> Result<Vec<Problem>, Problems> {
        let info = self.asked(Instance::about)?;
        let (mut problems, mut warnings) = (Problems::default(), self.warnings.clone());
        for wish in info.wishes {
            let (granted, what, how) = match &wish.capability {
                types::Capability::Files(name) => (
                    self.grant.files.contains_key(name),
                    format!("the folder {name}"),
                    format!("files: {{\"{name}\": Read(\"…\")}}"),
                ),
                types::Capability::Network(address) => (
                    self.grant.network.contains(address),
                    format!("the network address {address}"),
                    format!("network: [\"{address}\"]"),
                ),
                types::Capability::Environment(name) => (
                    self.grant.environment.contains_key(name),
                    format!("the environment variable {name}"),
                    format!("environment: {{\"{name}\": \"${{env:{name}}}\"}}"),
                ),
                types::Capability::Secret(name) => (
                    self.grant.secrets.contains_key(name),
                    format!("the secret {name}"),
                    format!("secrets: {{\"{name}\": \"${{secret:…}}\"}}"),
                ),
            };
            if granted {
                continue;
            }
            let words = format!("{} asks for {what}, which is not granted: {}", self.file, wish.reason);
            match wish.needed {
                true => problems.push(
                    Problem::error(self.path, words).help(format!("if you trust it with that: `grant: ({how})`")),
                ),
                false => warnings.push(
                    Problem::warning(self.path, words).help(format!("it works without; to allow it: `grant: ({how})`")),
                ),
            }
        }
        problems.or(warnings)
    }
}

fn inputs(told: types::Inputs) -> Inputs {
    match told {
        types::Inputs::One => Inputs::One,
        types::Inputs::Named(names) => Inputs::Named(names),
        types::Inputs::Each => Inputs::Each,
    }
}

/// That the keys are columns is checked by the plan, for nodes of every kind.
fn partitioning(told: types::Partitioning) -> Partitioning {
    let columns = |keys: Vec<u32>| keys.into_iter().map(|c| c as usize).collect();
    match told {
        types::Partitioning::Any => Partitioning::Any,
        types::Partitioning::Single => Partitioning::Single,
        types::Partitioning::InOrder => Partitioning::InOrder,
        types::Partitioning::Keys(keys) => Partitioning::Keys(keys.into_iter().map(columns).collect()),
    }
}

/// The place of a part of the settings, as far as it can be followed: `sizes.0.from`.
fn follow(value: &Value, path: &str) -> Span {
    let mut at = value;
    for step in path.split('.') {
        let next = match &at.kind {
            ValueKind::List(items) | ValueKind::Tuple { items, .. } => {
                step.parse::<usize>().ok().and_then(|i| items.get(i))
            }
            ValueKind::Map(entries) => entries.iter().find(|(k, _)| k.as_str() == Some(step)).map(|(_, v)| v),
            ValueKind::Option(Some(inner)) => inner.field(step),
            _ => at.field(step),
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    at.span
}

impl ErasedConfig for Parsed {
    fn ports(&self, site: &Site) -> Result<Ports, Problems> {
        Ok(self.ready(site)?.ports()?)
    }

    fn build(self: Box<Self>, site: &Site, inputs: &[Input]) -> Result<Built, Problems> {
        let ready = self.ready(site)?;
        let warnings = ready.wishes()?;
        let built = match ready.plugin.world {
            World::Transform(_) => transform(ready, site, inputs)?,
            World::Source(_) => source(ready, site)?,
            World::Sink(_) => sink(ready, site, inputs)?,
        };
        Ok(warnings.into_iter().fold(ready.note(built), Built::warn))
    }
}

fn transform(ready: &Ready, site: &Site, inputs: &[Input]) -> Result<Built, Problem> {
    let arriving = Arriving::new(inputs);
    let plan: transform_node::Plan = ready.asked(|i| {
        arriving.with(|ports| i.transform("output-schema", None, |g, s| g.call_output_schema(s, &ready.config, ports)))
    })?;
    let outputs = ready.schemas(plan.outputs)?;
    let reads = ready.reads(plan.reads, inputs)?;
    let partitioning = partitioning(plan.partitioning);
    let may_reject = plan.may_reject || ready.on_error == OnError::Reject;
    let opening = ready.opening(site, arriving, reads, outputs.clone());
    let work = match !plan.stateful && inputs.len() == 1 && partitioning == Partitioning::Any {
        true => Work::Map(Arc::new(PluginMap::new(opening))),
        false => {
            let stateful = plan.stateful;
            Work::transform(move |task| PluginTransform::open(opening.clone(), task, stateful))
        }
    };
    Ok(Built { partitioning, ..Built::new(outputs, work) }.may_reject(may_reject).saves())
}

fn source(ready: &Ready, site: &Site) -> Result<Built, Problem> {
    ready.cannot_reject("what a source has half read cannot be read again")?;
    let plan = ready.source_plan()?;
    let outputs = ready.schemas(plan.outputs.into_iter().map(|(_, schema)| schema).collect())?;
    let source = PluginSource::new(Reading {
        setup: ready.setup(outputs.clone()),
        file: ready.file.clone(),
        config: ready.config.clone(),
        graph: site.graph.to_string(),
    });
    let built = Built { unbounded: plan.unbounded, ..Built::new(outputs, Work::Source(Arc::new(source))) };
    Ok(built.may_reject(plan.may_reject))
}

fn sink(ready: &Ready, site: &Site, inputs: &[Input]) -> Result<Built, Problem> {
    ready.cannot_reject("what a sink has half written cannot be taken back")?;
    let arriving = Arriving::new(inputs);
    let plan: sink_node::Plan =
        ready.asked(|i| arriving.with(|ports| i.sink("check", None, |g, s| g.call_check(s, &ready.config, ports))))?;
    let reads = ready.reads(plan.reads, inputs)?;
    let partitioning = partitioning(plan.partitioning);
    let sink = PluginSink::new(ready.opening(site, arriving, reads, vec![]));
    let mut built = Built::sink(partitioning, sink).may_reject(plan.may_reject).flushes_once(true);
    built.target = plan.target;
    Ok(built)
}
