//! A case: what a plugin must make of a small table. `cases/NAME.ron` in the plugin's folder:
//!
//! ```ron
//! (
//!     config: (column: "price", from: 0.01, to: 1000),
//!     input: "
//!         sku  | price:Float64
//!         pen  | 1.50
//!         free | 0.00
//!         lost | null
//!     ",
//!     output: "
//!         sku | price:Float64
//!         pen | 1.50
//!     ",
//!     dropped: {"out of bounds": 1},
//!     rejected: {"no_number": 1},
//! )
//! ```

use selvedge_node::Type;
use selvedge_node::{Built, Input, Inputs, Problem, Problems, Role, Site, Span};
use selvedge_ron::{Field, Spanned, Value, ValueKind, from_value, parse};
use selvedge_spec::{Files, Os, Sources};
use selvedge_testkit::{NoConnections, try_table};
use selvedge_wasm::Settings;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

/// What stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The plugin's settings, and how the node runs: as in a graph.
    #[serde(default, rename = "config")]
    _config: serde::de::IgnoredAny,
    #[serde(default, rename = "grant")]
    _grant: serde::de::IgnoredAny,
    #[serde(default, rename = "limits")]
    _limits: serde::de::IgnoredAny,
    #[serde(default, rename = "on_error")]
    _on_error: serde::de::IgnoredAny,
    /// The rows that arrive, or those of each port.
    input: Option<Spanned<String>>,
    #[serde(default)]
    inputs: BTreeMap<String, Spanned<String>>,
    /// The rows that must come out, or those of each port, in any order.
    output: Option<Spanned<String>>,
    #[serde(default)]
    outputs: BTreeMap<String, Spanned<String>>,
    /// By reason.
    #[serde(default)]
    pub dropped: BTreeMap<String, u64>,
    /// By code.
    #[serde(default)]
    pub rejected: BTreeMap<String, u64>,
    /// By what was done.
    #[serde(default)]
    pub altered: BTreeMap<String, u64>,
    /// What a sink must have written, by path.
    #[serde(default)]
    pub files: BTreeMap<PathBuf, String>,
    /// Words of the problem that planning must find.
    pub refused: Option<String>,
    /// Words of the error that the run must end with.
    pub fails: Option<String>,
}

/// A case that was read.
pub struct Case {
    pub sources: Sources,
    pub text: Text,
    value: Value,
    /// By port, in the order of the text.
    pub inputs: Vec<(String, RecordBatch)>,
    pub outputs: BTreeMap<String, RecordBatch>,
}

/// A plugin as a node, as a case has it.
pub struct Node<'a> {
    pub built: Built,
    /// By input port.
    pub rows: Vec<&'a RecordBatch>,
    /// The names of the output ports.
    pub outputs: Vec<String>,
}

/// A case that could not be read, and its text.
pub struct Unread(pub Problems, pub Sources);

impl Case {
    pub fn read(path: &Path) -> Result<Case, Unread> {
        let mut sources = Sources::default();
        let text = Os.read(path);
        let problem = text.as_ref().err().map(|e| format!("cannot read {}: {e}", path.display()));
        let text = text.unwrap_or_default();
        let file = sources.add(path.to_path_buf(), text.clone());
        if let Some(problem) = problem {
            return Err(Unread(Problem::error(Span::default(), problem).into(), sources));
        }
        let read = || -> Result<_, Problems> {
            let value = parse(file, &text)?;
            let text: Text = from_value(&value)?;
            let mut problems = Problems::default();
            let mut tables = |one: &Option<Spanned<String>>, name: &str, more: &BTreeMap<String, Spanned<String>>| {
                let one = one.iter().map(|t| (name.to_string(), t));
                let all = one.chain(more.iter().map(|(port, t)| (port.clone(), t)));
                let read = all.filter_map(|(port, t)| Some((port, problems.take(table(t))?)));
                read.collect::<Vec<_>>()
            };
            let inputs = tables(&text.input, "in", &text.inputs);
            let outputs = tables(&text.output, "out", &text.outputs).into_iter().collect();
            problems.or((value, text, inputs, outputs))
        };
        match read() {
            Ok((value, text, inputs, outputs)) => Ok(Case { sources, text, value, inputs, outputs }),
            Err(problems) => Err(Unread(problems, sources)),
        }
    }

    /// The node that this case makes of a component, with paths of grants in `base`.
    pub fn node(&self, component: &Path, base: &Path, settings: &Settings) -> Result<Node<'_>, Problems> {
        let span = self.value.span;
        let field = |name: &str, value: Value| Field { name: name.into(), name_span: value.span, value };
        let path = Value { span, kind: ValueKind::Str(component.display().to_string()) };
        let taken = ["config", "grant", "limits", "on_error"];
        let own = taken.iter().filter_map(|name| Some(field(name, self.value.field(name)?.clone())));
        let fields = std::iter::once(field("path", path)).chain(own).collect();
        let kind = ValueKind::Struct { name: Some("Plugin".into()), name_span: span, fields };
        let body = Value { span, kind };

        let role = if self.inputs.is_empty() { Role::Source } else { Role::Transform };
        let kinds = selvedge_wasm::kinds(settings.clone());
        let Some(kind) = kinds.iter().find(|k| k.role() == role) else {
            return Err(Problem::error(span, "there is no node for plugins").into());
        };
        let config = kind.parse(&body)?;
        let connections = NoConnections::default();
        let site = Site { graph: "case", node: "plugin", span, base, connections: &connections };
        let ports = config.ports(&site)?;
        let names = match ports.inputs {
            Inputs::None => vec![],
            Inputs::One => vec!["in".to_string()],
            Inputs::Named(names) => names,
            Inputs::Each => self.inputs.iter().map(|(port, _)| port.clone()).collect(),
        };
        let mut problems = Problems::default();
        let expected = self.outputs.keys().filter(|port| !ports.outputs.contains(port)).map(|p| ("output", p));
        let given = self.inputs.iter().map(|(port, _)| port).filter(|port| !names.contains(port)).map(|p| ("input", p));
        for (side, port) in given.chain(expected) {
            problems.push(Problem::error(span, format!("the plugin has no {side} port named `{port}`")));
        }
        let rows = names.iter().map(|name| {
            let found = self.inputs.iter().find(|(port, _)| port == name).map(|(_, rows)| rows);
            found.ok_or_else(|| Problem::error(span, format!("no rows for the input port `{name}`")))
        });
        let rows: Vec<&RecordBatch> = rows.filter_map(|r| problems.take(r)).collect();
        problems.or(())?;
        let inputs: Vec<Input> = names
            .iter()
            .zip(&rows)
            .map(|(port, rows)| Input { port: port.clone(), schema: rows.schema(), span, unbounded: false })
            .collect();
        Ok(Node { built: config.build(&site, &inputs)?, rows, outputs: ports.outputs })
    }
}

/// The types of a graph, as a graph names them.
fn named(name: &str) -> Result<arrow::datatypes::DataType, String> {
    let value = parse(selvedge_ron::FileId(0), name).map_err(|p| p.to_string())?;
    from_value::<Type>(&value).map(|ty| ty.arrow()).map_err(|p| p.message)
}

fn table(text: &Spanned<String>) -> Result<RecordBatch, Problem> {
    try_table(text, &named).map_err(|e| Problem::error(text.span, e))
}

/// The cases of a folder, by name; or the one file.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| format!("cannot list {}: {e}", path.display()))?;
    let is_case = |p: &PathBuf| p.extension().is_some_and(|e| e == "ron") && p.is_file();
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(is_case).collect();
    found.sort();
    match found.is_empty() {
        true => Err(format!("no case in {}: a case is a file NAME.ron", path.display())),
        false => Ok(found),
    }
}
