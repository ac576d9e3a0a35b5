//! A graph file, with its includes and connections, as a [`Spec`]: who feeds whom and with what settings. Knows no node
//! kind; all problems of all files come out at once, each with its place.
//!
//! ```text
//! graph.ron ─parse─► tree ─params, env, secrets─► tree ─includes─► Spec
//! ```

mod connections;
mod graph;
mod include;
mod input;
mod loader;
mod render;
mod resolve;
mod sources;

pub use render::{render, render_short};
pub use sources::{Files, Os, Sources};

use selvedge_ron::{Problem, Problems, Span, Spanned, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One graph, with its includes spliced in and every `${…}` replaced.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: String,
    pub about: String,
    /// The graph's file.
    pub path: PathBuf,
    pub params: Vec<Param>,
    /// In the order of the text; an included graph's nodes stand where it is included.
    pub nodes: Vec<NodeSpec>,
    /// Of the chosen profile.
    pub connections: Vec<ConnectionSpec>,
    pub profile: String,
}

#[derive(Debug, Clone)]
pub struct Param {
    pub name: String,
    pub value: Value,
}

/// One node as written: its kind is only a name, its settings only a tree.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// `unique`, or `clean/unique` for a node of the graph that `clean` includes.
    pub name: Spanned<String>,
    pub kind: Spanned<String>,
    pub inputs: Vec<InputSpec>,
    /// The struct of the kind, without `input`.
    pub body: Value,
    /// All of `Kind(…)`.
    pub span: Span,
    /// Relative paths in the node start here: the folder of its file.
    pub base: PathBuf,
}

/// One edge into a node. Whether the node and its ports exist is not checked here.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// The port of the node itself, if named.
    pub port: Option<Spanned<String>>,
    pub node: Spanned<String>,
    /// The port of `node`, if named.
    pub output: Option<Spanned<String>>,
}

#[derive(Debug, Clone)]
pub struct ConnectionSpec {
    pub name: Spanned<String>,
    pub kind: Spanned<String>,
    pub body: Value,
    /// Relative paths in the connection start here: the folder of the connections' file.
    pub base: PathBuf,
}

/// What comes from outside of the files.
#[derive(Debug, Clone)]
pub struct Options {
    pub profile: String,
    /// `--set name=value`: the value is RON, else plain text.
    pub set: Vec<(String, String)>,
    /// What `${env:NAME}` sees. Secrets are `SELVEDGE_SECRET_NAME`, or a file `NAME` in the folder `SELVEDGE_SECRETS_DIR`.
    pub env: BTreeMap<String, String>,
    /// Instead of looking for `connections.ron` beside and above the graph.
    pub connections: Option<PathBuf>,
    /// Where `${secret:SERVICE:NAME}` is looked for.
    pub vault: Vault,
}

/// Looks a secret up by `SERVICE:NAME`, with the environment. `None`: there is no such service. An error is a message and a way out.
pub type Vault = fn(&str, &BTreeMap<String, String>) -> Option<Result<String, (String, Option<String>)>>;

impl Default for Options {
    fn default() -> Options {
        Options { profile: "local".into(), set: vec![], env: BTreeMap::new(), connections: None, vault: |_, _| None }
    }
}

impl Options {
    /// The defaults, with the environment of this process.
    pub fn from_env() -> Options {
        let env =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Options { env: env.collect(), ..Options::default() }
    }
}

/// Reads the graph at `path` (a file, or a folder with a `graph.ron`), what it includes, and its connections.
///
/// Gives the files that were read, for [`render`]; the graph or all that is wrong with it; and warnings in either case.
pub fn load(files: &dyn Files, path: &Path, options: &Options) -> (Sources, Result<Spec, Problems>, Vec<Problem>) {
    let Loaded { sources, spec, errors, warnings } = load_partly(files, path, options);
    let result = match spec {
        Some(spec) if errors.0.is_empty() => Ok(spec),
        _ => Err(errors),
    };
    (sources, result, warnings)
}

/// Like [`load`], but with what could be read of a graph that has errors, so that more of it can be checked.
pub fn load_partly(files: &dyn Files, path: &Path, options: &Options) -> Loaded {
    loader::Loader::new(files, options).load(path)
}

/// What became of a graph file.
#[derive(Debug)]
pub struct Loaded {
    pub sources: Sources,
    /// The graph. Where there are errors, nodes that they lie in are incomplete, and what lies outside of any node may be missing.
    pub spec: Option<Spec>,
    pub errors: Problems,
    pub warnings: Vec<Problem>,
}

#[cfg(test)]
mod tests;
