//! The words of the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use selvedge_wasm::Limits;
use std::path::PathBuf;

/// Dataflow graphs on Arrow batches, checked before they run, every row accounted for after.
#[derive(Debug, Parser)]
#[command(name = "selvedge", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// What to log to standard error, as in `warn` or `selvedge_exec=debug`
    #[arg(long, global = true, env = "SELVEDGE_LOG", default_value = "warn", value_name = "FILTER")]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run graphs: files, folders with a graph.ron, or folders of such folders
    Run(Run),
    /// Check graphs without running them: every problem at once
    Check(Check),
    /// Print what a graph will do: schemas on every edge, threads, exchanges
    Plan(Plan),
    /// List the kinds of nodes, or print the reference of one
    Nodes(Nodes),
    /// Say why rows were dropped or rejected in a run, with samples
    Why(Why),
    /// Write sample data of a retail shape
    Gen(Gen),
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
    Test(Test),
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
pub struct Test {
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
    /// Where sources remember how far they have read
    #[arg(long, value_name = "DIR", default_value = ".selvedge")]
    pub state: PathBuf,
    /// Where state that outgrows the memory spills to [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
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
pub struct Why {
    /// A report written by `run --report`
    pub report: PathBuf,
    /// A node of the graph; all of them if left out
    pub node: Option<String>,
}

#[derive(Debug, Args)]
pub struct Gen {
    /// A shape that `selvedge nodes Generate` lists
    pub shape: String,
    #[arg(long, default_value_t = 10_000)]
    pub rows: u64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder to write to (for sqlite: the database file)
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    #[arg(long, value_enum, default_value = "csv")]
    pub format: GenFormat,
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
    fn byte_sizes() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("1 gb"), Ok(1_000_000_000));
        assert!(bytes("5").is_err() && bytes("MiB").is_err() && bytes("1 parsec").is_err());
    }
}
