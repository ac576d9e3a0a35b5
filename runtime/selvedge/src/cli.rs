//! The words of the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use selvedge_wasm::Limits;
use std::path::PathBuf;
use std::time::Duration;

/// Dataflow graphs on Arrow batches, checked before they run, every row accounted for after.
#[derive(Debug, Parser)]
#[command(name = "selvedge", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// What to log to standard error, as in `warn` or `selvedge_exec=debug`
    #[arg(
        long,
        global = true,
        env = "SELVEDGE_LOG",
        default_value = "warn,aws_config=error,aws_runtime=error",
        value_name = "FILTER"
    )]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run graphs: files, folders with a graph.ron, or folders of such folders
    Run(Run),
    /// Check graphs without running them: every problem at once
    Check(Check),
    /// Try what graphs connect to, and check them: who answers, who lets us read and write, whether schemas fit
    Doctor(Check),
    /// Start servers that stand in for AWS on this machine, with the data of the example graphs
    Up {
        /// The folder of the example graphs
        #[arg(default_value = "graphs")]
        graphs: PathBuf,
    },
    /// Print what a graph will do: schemas on every edge, threads, exchanges
    Plan(Plan),
    /// List the kinds of nodes, or print the reference of one
    Nodes(Nodes),
    /// Write what tables and files hold, or what the sources of a graph read, into schema files
    Crawl(Crawl),
    /// Say why rows were dropped or rejected in a run, with samples
    Why(Why),
    /// Write sample data of a retail shape
    Gen(Gen),
    /// Look at what a graph remembers between runs, or have it forgotten
    #[command(subcommand)]
    Bookmark(Bookmark),
    /// Run parts of graphs on small tables and compare: the files in tests/ beside each graph.ron
    Test(Test),
    /// Work with plugins
    #[command(subcommand)]
    Plugin(Plugin),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Make a folder with a plugin that builds, tests and runs, to be changed
    New(New),
    /// Build the plugin of a folder into a component, and check it
    Build(Build),
    /// Check that a component is a sound plugin: contract, imports, size, start, its own example
    Check(Inspect),
    /// Run a component on the small tables of its cases and compare
    Test(PluginTest),
    /// Measure a component on the rows of its first case
    Bench(Bench),
    /// Pin the plugins of graphs, as they are now, in the plugins.lock beside each graph
    Lock(Lock),
    /// Print what a component says of itself: role, settings, what it would like to be granted
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub struct New {
    /// The folder to make; its name is the plugin's, as in size_normalizer
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The language to write it in: rust, python or js
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    pub lang: String,
}

#[derive(Debug, Args)]
pub struct Build {
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub sandbox: Sandbox,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The component, or the folder that it was built in
    #[arg(value_name = "PLUGIN", default_value = ".")]
    pub plugin: PathBuf,
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sandbox: Sandbox,
}

#[derive(Debug, Args)]
pub struct PluginTest {
    /// The component, or the folder that it was built in
    #[arg(value_name = "PLUGIN", default_value = ".")]
    pub plugin: PathBuf,
    /// A case, or a folder of cases [default: cases/ beside the component]
    #[arg(long, value_name = "PATH")]
    pub cases: Option<PathBuf>,
    #[command(flatten)]
    pub sandbox: Sandbox,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// The component, or the folder that it was built in
    #[arg(value_name = "PLUGIN", default_value = ".")]
    pub plugin: PathBuf,
    /// A case, or a folder of cases, of which the first is taken [default: cases/ beside the component]
    #[arg(long, value_name = "PATH")]
    pub cases: Option<PathBuf>,
    /// Rows of a batch: those of the case, repeated
    #[arg(long, value_name = "N", default_value_t = selvedge_node::BATCH_ROWS, value_parser = batch_rows)]
    pub batch_rows: usize,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    #[command(flatten)]
    pub sandbox: Sandbox,
}

/// What the operator says about plugins.
#[derive(Debug, Args, Clone)]
pub struct Sandbox {
    /// The most that a graph may let a plugin take, as in memory_mib=64,call_seconds=5
    #[arg(long, env = "SELVEDGE_PLUGIN_CAPS", value_name = "LIMIT=N,…")]
    pub plugin_caps: Option<Limits>,
    /// Where compiled plugins are kept [default: selvedge/plugins in the user's cache folder]
    #[arg(long, env = "SELVEDGE_PLUGIN_CACHE", value_name = "DIR")]
    pub plugin_cache: Option<PathBuf>,
}

impl Sandbox {
    pub fn settings(&self) -> selvedge_wasm::Settings {
        selvedge_wasm::Settings {
            cache: self.plugin_cache.clone().or_else(selvedge_wasm::default_cache),
            caps: self.plugin_caps.unwrap_or_default(),
            locked: false,
        }
    }
}

#[derive(Debug, Args, Clone)]
pub struct Source {
    /// Profile of connections.ron
    #[arg(long, default_value = "local")]
    pub profile: String,
    /// Value of a parameter of the graph; RON, or plain text
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_value)]
    pub set: Vec<(String, String)>,
    /// Connections file, instead of the connections.ron beside or above the graph
    #[arg(long, value_name = "FILE")]
    pub connections: Option<PathBuf>,
    /// Refuse plugins that the plugins.lock beside the graph does not pin
    #[arg(long)]
    pub locked: bool,
    #[command(flatten)]
    pub sandbox: Sandbox,
}

impl Source {
    pub fn plugins(&self) -> selvedge_wasm::Settings {
        selvedge_wasm::Settings { locked: self.locked, ..self.sandbox.settings() }
    }
    /// What reading a graph takes from the command line and the environment.
    pub fn options(&self) -> selvedge_spec::Options {
        selvedge_spec::Options {
            profile: self.profile.clone(),
            set: self.set.clone(),
            connections: self.connections.clone(),
            vault: crate::connectors::vault,
            ..selvedge_spec::Options::from_env()
        }
    }
}

#[derive(Debug, Args)]
pub struct Lock {
    #[arg(required = true, value_name = "GRAPH")]
    pub graphs: Vec<PathBuf>,
    #[command(flatten)]
    pub source: Source,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Test {
    #[command(subcommand)]
    pub command: Option<TestCommand>,
    /// Tests, or graphs whose tests are to be run
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub source: Source,
}

#[derive(Debug, Subcommand)]
pub enum TestCommand {
    /// Make a test of what was recorded of nodes and what comes of it now: to be read, and then kept
    New(NewTest),
}

#[derive(Debug, Args)]
pub struct NewTest {
    #[arg(value_name = "GRAPH")]
    pub graph: PathBuf,
    /// A recording of a node (run --record): what is given
    #[arg(long, required = true, value_name = "NODE=FOLDER", value_parser = name_value)]
    pub from: Vec<(String, String)>,
    /// A node whose rows are to be compared, as sessions or sessions.late
    #[arg(long, required = true, value_name = "NODE")]
    pub at: Vec<String>,
    /// How many rows of each recording to take
    #[arg(long, default_value_t = 10)]
    pub rows: u64,
    /// The file to write [default: tests/NODE.ron beside the graph]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    #[command(flatten)]
    pub source: Source,
}

#[derive(Debug, Args)]
pub struct Run {
    #[arg(required = true, value_name = "GRAPH")]
    pub graphs: Vec<PathBuf>,
    #[command(flatten)]
    pub source: Source,
    /// Parallel instances of each node that can have several [default: the number of cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Memory budget of the process, as in 512MiB or 2GiB
    #[arg(long, value_name = "BYTES", default_value = "512MiB", value_parser = bytes)]
    pub memory: u64,
    /// Write the ledger as JSON; with several graphs, the folder for a file each
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Where sources remember how far they have read, and the nodes of streams what they hold
    #[arg(long, value_name = "DIR", default_value = ".selvedge")]
    pub state: PathBuf,
    /// Where state that outgrows the memory spills to [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Write what leaves a node, as unique or sessions.late, into a folder as Parquet: to look at, to replay, to make a test of
    #[arg(long, value_name = "NODE=FOLDER", value_parser = name_value)]
    pub record: Vec<(String, String)>,
    /// Send what was recorded of a node, instead of what it would send; all before it is left out, and nothing is remembered
    #[arg(long, value_name = "NODE=FOLDER", value_parser = name_value)]
    pub replay: Vec<(String, String)>,
    /// How often a run that ends by itself saves how far it has come, so that another can go on should it be cut short; 0s: as often as
    /// it can
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time_or_zero)]
    pub checkpoint_every: Duration,
    /// Read sources that never end until they have caught up; so are several graphs, which run one after the other
    #[arg(long)]
    pub once: bool,
    /// Print nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
    /// Print the report as JSON, one line a graph, instead of the table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    #[arg(required = true, value_name = "GRAPH")]
    pub graphs: Vec<PathBuf>,
    #[command(flatten)]
    pub source: Source,
    /// One line a problem: file:line:column: message
    #[arg(long)]
    pub short: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PlanFormat {
    Text,
    Mermaid,
    Dot,
    Svg,
    Json,
}

#[derive(Debug, Args)]
pub struct Plan {
    #[arg(value_name = "GRAPH")]
    pub graph: PathBuf,
    #[command(flatten)]
    pub source: Source,
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlanFormat,
    /// An older version of the graph: print what differs, and what becomes of what its nodes remember
    #[arg(long, value_name = "OLD")]
    pub diff: Option<PathBuf>,
    /// Plan for this many threads [default: the number of cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[derive(Debug, Args)]
pub struct Nodes {
    /// A kind, as in DropNulls
    pub name: Option<String>,
    /// As JSON, with the schema of the configuration
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Crawl {
    /// A connection, or a graph, whose sources are then looked at
    #[arg(value_name = "CONNECTION|GRAPH")]
    pub target: String,
    #[command(flatten)]
    pub source: Source,
    /// Folder of the schema files [default: schemas beside the graph; schemas/CONNECTION beside connections.ron]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Look at the first N rows of each file or table [default: as it was crawled before, or 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: Option<u64>,
    /// Look at all rows
    #[arg(long, conflicts_with = "sample")]
    pub full: bool,
    /// Change nothing: print where schema files and data differ, and exit with 1 if they do
    #[arg(long)]
    pub check: bool,
    /// What becomes of a schema file that is no longer what the data is
    #[arg(long, value_enum, default_value = "update")]
    pub update: CrawlUpdate,
    /// What becomes of a schema file whose object is gone
    #[arg(long, value_enum, default_value = "deprecate")]
    pub deleted: CrawlDeleted,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CrawlUpdate {
    /// Columns come, go, and change their types
    Update,
    /// New columns are added, nothing else is changed
    AddColumns,
    /// The difference is only printed
    Log,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CrawlDeleted {
    /// It is removed
    Delete,
    /// It stays as it is
    Ignore,
    /// It is marked; sources that use it warn
    Deprecate,
}

#[derive(Debug, Subcommand)]
pub enum Bookmark {
    /// How far each source was read, what nodes remember, what is to be published first
    Show {
        /// The name of a graph; all of them if left out
        graph: Option<String>,
        #[command(flatten)]
        place: StatePlace,
    },
    /// Go back to before a run: the next one reads again what it and all after it have read
    Rewind {
        /// The name of a graph
        graph: String,
        /// A run, as `show` and reports name it
        run: String,
        /// The rows have been taken out of all sinks that add: otherwise the next run is refused there
        #[arg(long)]
        rows_are_out: bool,
        #[command(flatten)]
        place: StatePlace,
    },
    /// Let runs read what is new, and leave it new
    Pause {
        /// The name of a graph
        graph: String,
        #[command(flatten)]
        place: StatePlace,
    },
    /// Let runs move the bookmarks again
    Resume {
        /// The name of a graph
        graph: String,
        #[command(flatten)]
        place: StatePlace,
    },
    /// Forget it: the next run reads every source from its start
    Reset {
        /// The name of a graph
        graph: String,
        #[command(flatten)]
        place: StatePlace,
    },
}

#[derive(Debug, Args)]
pub struct StatePlace {
    /// Where graphs keep what they remember
    #[arg(long, value_name = "DIR", default_value = ".selvedge")]
    pub state: PathBuf,
}

#[derive(Debug, Args)]
pub struct Why {
    /// A report written by `run --report`
    pub report: PathBuf,
    /// A node of the graph; all of them if left out
    pub node: Option<String>,
}

#[derive(Debug, Args)]
pub struct Gen {
    /// A shape that `selvedge nodes Generate` lists; with --stream: clickstream, chat or partner
    pub shape: String,
    #[arg(long, default_value_t = 10_000)]
    pub rows: u64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder to write to (for sqlite: the database file)
    #[arg(long, value_name = "PATH", required_unless_present = "stream")]
    pub out: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "csv")]
    pub format: GenFormat,
    #[command(flatten)]
    pub events: GenEvents,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Events that come in one by one")]
pub struct GenEvents {
    /// Append events to shard-0000.ndjson and so on in this folder, until the end of --for or Ctrl-C
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["out", "rows", "format"])]
    pub stream: Option<PathBuf>,
    /// Files to spread the events over, by the user (of partners: by the shop)
    #[arg(long, default_value_t = 1, requires = "stream", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: u16,
    /// Events per second
    #[arg(long, default_value_t = 100.0, requires = "stream", value_parser = rate)]
    pub rate: f64,
    /// How long in the time of the events, as in 60s, 5m or 1h [default: until stopped]
    #[arg(long = "for", value_name = "TIME", requires = "stream", value_parser = time)]
    pub time: Option<Duration>,
    /// In real time, or as fast as the disk takes it
    #[arg(long, value_enum, default_value = "1", requires = "stream")]
    pub speed: Speed,
    /// When the first event is sent, as in 2024-03-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", requires = "stream", value_parser = instant)]
    pub start: Option<u64>,
    /// The share of events that are copies of earlier ones
    #[arg(long, default_value_t = 0.01, requires = "stream", value_name = "SHARE", value_parser = share)]
    pub duplicates: f64,
    /// The share that is up to 5 seconds out of order
    #[arg(long, default_value_t = 0.1, requires = "stream", value_name = "SHARE", value_parser = share)]
    pub out_of_order: f64,
    /// The share that comes 5 seconds to 10 minutes late
    #[arg(long, default_value_t = 0.001, requires = "stream", value_name = "SHARE", value_parser = share)]
    pub late: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Speed {
    #[value(name = "1")]
    Real,
    Max,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum GenFormat {
    Csv,
    Ndjson,
    Parquet,
    Sqlite,
}

fn name_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().to_string(), value.to_string()))
}

fn batch_rows(text: &str) -> Result<usize, String> {
    let rows = text.parse().ok().filter(|rows| (1..=10_000_000).contains(rows));
    rows.ok_or_else(|| "expected a number from 1 to 10000000".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "expected a number of events per second, from 0.001 to 10000000".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1, as in 0.01".into())
}

/// `500ms`, `60s`, `5m`, `1h`.
fn time_or_zero(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { time(text) }
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let time = number.parse().ok().and_then(|n: u64| n.checked_mul(milliseconds)).filter(|time| *time > 0);
    time.map(Duration::from_millis).ok_or_else(|| "expected a time such as 60s, 5m or 500ms".into())
}

/// Microseconds since 1970.
fn instant(text: &str) -> Result<u64, String> {
    let nanos = arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(text).ok();
    let micros = nanos.and_then(|nanos| u64::try_from(nanos / 1000).ok());
    micros.ok_or_else(|| "expected a time since 1970, as in 2024-03-01T00:00:00Z".into())
}

/// `512MiB`, `2GB`, `1048576`.
fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("`{unit}` is no unit of bytes; use KiB, MiB or GiB")),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number with a unit, as in 512MiB".to_string())?;
    let bytes = number.checked_mul(factor).ok_or("more bytes than any machine has")?;
    if bytes < 16 << 20 { Err("at least 16MiB are needed".into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn times_rates_and_shares() {
        assert_eq!((time("5m"), time("500ms")), (Ok(Duration::from_secs(300)), Ok(Duration::from_millis(500))));
        assert!(["", "5", "s", "0s", "1d", "-1s", "99999999999999999h"].iter().all(|text| time(text).is_err()));
        assert_eq!(instant("2024-03-01T08:00:00.5Z"), Ok(1_709_280_000_500_000));
        assert!(instant("soon").is_err() && instant("1950-01-01T00:00:00Z").is_err());
        assert!(rate("0").is_err() && rate("NaN").is_err() && rate("1e4") == Ok(10_000.0));
        assert!(share("1.1").is_err() && share("-0.1").is_err() && share("0.5") == Ok(0.5));
    }

    #[test]
    fn byte_sizes() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("1 gb"), Ok(1_000_000_000));
        assert!(bytes("5").is_err() && bytes("MiB").is_err() && bytes("1 parsec").is_err());
    }
}
