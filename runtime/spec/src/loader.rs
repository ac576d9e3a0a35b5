//! The state of one load, and its first and last steps: which file, which parameters, which nodes.

use crate::graph::Graph;
use crate::include::{Draft, Instance};
use crate::resolve::Scope;
use crate::{Files, Loaded, Options, Param, Sources, Spec};
use selvedge_ron::{FileId, Problem, Problems, Severity, Span, Value, ValueKind, parse};
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

pub(crate) struct Loader<'a> {
    pub files: &'a dyn Files,
    pub options: &'a Options,
    pub sources: Sources,
    pub problems: Problems,
    /// Bytes that `${…}` may still put in.
    pub budget: usize,
    pub drafts: Vec<Draft>,
    /// The includes met so far, by the full name of their node.
    pub instances: HashMap<String, Instance>,
    /// Graph files that are read already; `None` for one that could not be.
    pub graphs: HashMap<PathBuf, Option<Rc<Graph>>>,
    /// The files that include one another down to here.
    pub stack: Vec<PathBuf>,
}

impl<'a> Loader<'a> {
    pub fn new(files: &'a dyn Files, options: &'a Options) -> Loader<'a> {
        Loader {
            files,
            options,
            sources: Sources::default(),
            problems: Problems::default(),
            budget: crate::resolve::BUDGET,
            drafts: vec![],
            instances: HashMap::new(),
            graphs: HashMap::new(),
            stack: vec![],
        }
    }

    pub fn load(mut self, path: &Path) -> Loaded {
        let spec = self.spec(path);
        let mut all = self.problems.0;
        // A graph that is included twice says everything twice.
        all.sort_by(|a, b| (a.span, &a.message).cmp(&(b.span, &b.message)));
        all.dedup();
        let (warnings, errors): (Vec<Problem>, Vec<Problem>) =
            all.into_iter().partition(|p| p.severity == Severity::Warning);
        Loaded { sources: self.sources, spec, errors: Problems(errors), warnings }
    }

    fn spec(&mut self, path: &Path) -> Option<Spec> {
        let (path, text) = match self.read_graph(path) {
            Ok(found) => found,
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        let connections = self.connections(&path);
        let file = self.sources.add(path.clone(), text);
        let graph = Rc::new(Graph::read(&self.parse(file)?, &mut self.problems)?);
        if let Some(span) = graph.inputs.first().map(|i| i.span) {
            let problem = Problem::error(span, "only a graph that another one includes has inputs");
            self.problems.push(problem.help("run the graph that includes this one"));
        }

        let mut scope = Scope::new(&graph.params);
        self.set(&graph, &mut scope);
        let name = match &graph.name {
            Some(name) => self.name(&mut scope, name).unwrap_or_default(),
            None => default_name(&path),
        };
        let about = match &graph.about {
            Some(about) => self.string(&mut scope, about, "the graph's description").unwrap_or_default(),
            None => String::new(),
        };
        self.stack.push(normal(&path));
        self.expand(&graph, "", &folder(&path), &mut scope);
        let params = self.finish(&graph, &mut scope);
        let nodes = self.connect();
        Some(Spec { name, about, path, params, nodes, connections, profile: self.options.profile.clone() })
    }

    /// The graph's file and text; for a folder those of its `graph.ron`.
    fn read_graph(&self, path: &Path) -> Result<(PathBuf, String), Problem> {
        let first = match self.files.read(path) {
            Ok(text) => return Ok((path.into(), text)),
            Err(error) => error,
        };
        let inner = path.join("graph.ron");
        match self.files.read(&inner) {
            Ok(text) => Ok((inner, text)),
            Err(_) if first.kind() != std::io::ErrorKind::IsADirectory => {
                Err(Problem::nowhere(format!("cannot read the graph {}: {first}", path.display())))
            }
            Err(error) => Err(Problem::nowhere(format!("cannot read {}: {error}", inner.display()))
                .help("a folder that is run has a graph.ron in it")),
        }
    }

    pub fn parse(&mut self, file: FileId) -> Option<Value> {
        let parsed = parse(file, self.sources.text(file));
        self.problems.take(parsed)
    }

    /// Puts the values of `--set` in place of the defaults.
    fn set(&mut self, graph: &Graph, scope: &mut Scope) {
        for (name, text) in &self.options.set {
            let Some((_, default)) = graph.params.iter().find(|(n, _)| n.value == *name) else {
                let known = graph.params.iter().map(|(n, _)| n.as_str());
                let problem = Problem { span: None, ..Problem::unknown(Span::default(), "parameter", name, known) };
                self.problems.push(match problem.help {
                    Some(_) => problem,
                    None => problem.help("the graph has no parameters"),
                });
                continue;
            };
            let file = self.sources.add(PathBuf::from(format!("--set {name}")), text.clone());
            let plain = || Value { span: Span::new(file, 0, text.len()), kind: ValueKind::Str(text.clone()) };
            let value = match parse(file, text) {
                // Where the graph has a string, a shell's words are one too: `--set store=12`.
                Ok(value) if default.as_str().is_some() && value.as_str().is_none() => plain(),
                // So is a bare word anywhere: enums take it as well.
                Ok(Value { kind: ValueKind::Unit { name: Some(_) }, .. }) | Err(_) => plain(),
                Ok(value) => value,
            };
            scope.put(name, value);
        }
    }

    /// After everything was read: the parameters' values, and those that nobody asked for.
    pub fn finish(&mut self, graph: &Graph, scope: &mut Scope) -> Vec<Param> {
        for (name, _) in &graph.params {
            if !scope.is_used(name) {
                let problem = Problem::warning(name.span, format!("the parameter `{}` is never used", name.value));
                self.problems
                    .push(problem.help(format!("write \"${{{}}}\" where it belongs, or remove it", name.value)));
            }
        }
        graph
            .params
            .iter()
            .filter_map(|(name, _)| {
                Some(Param { name: name.value.clone(), value: self.param(scope, name, name.span, 0)? })
            })
            .collect()
    }

    /// The graph's name. Reports and what sources remember are kept in files of that name.
    fn name(&mut self, scope: &mut Scope, value: &Value) -> Option<String> {
        let name = self.string(scope, value, "the graph's name")?;
        let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
        if name.is_empty() || name.starts_with('.') || name.contains(bad) || name.len() > 200 {
            let message = format!("`{}` is no name of a graph", name.escape_debug());
            let help = "files are named after it: no `/`, `\\` or line end, no dot in front, at most 200 bytes";
            self.problems.push(Problem::error(value.span, message).help(help));
        }
        Some(name)
    }

    fn string(&mut self, scope: &mut Scope, value: &Value, what: &str) -> Option<String> {
        let value = self.resolve(scope, value.clone(), 0);
        if value.as_str().is_none() {
            self.problems
                .push(Problem::error(value.span, format!("expected {what} in quotes, found {}", value.what())));
        }
        value.as_str().map(str::to_string)
    }
}

/// The folder's name for a `graph.ron`, else the file's.
fn default_name(path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    match path.parent().and_then(Path::file_name) {
        Some(folder) if stem == "graph" => folder.to_string_lossy().into_owned(),
        _ if stem.starts_with('.') => "graph".into(),
        _ => stem,
    }
}

/// The folder that a file is in, as a path that can be joined and opened.
pub(crate) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.into(),
        _ => PathBuf::from("."),
    }
}

/// `path` as it reads in a file of `folder`, without a `./` that nobody wrote.
pub(crate) fn join(folder: &Path, path: impl AsRef<Path>) -> PathBuf {
    if folder == Path::new(".") { path.as_ref().into() } else { folder.join(path) }
}

/// The path without `.` and `..`, by its text alone, so that the same file is known again.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}
