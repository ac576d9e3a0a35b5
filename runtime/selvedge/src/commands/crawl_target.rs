//! What `selvedge crawl` is to look at: the objects of a connection, or those that the sources of a graph read.

use crate::cli::Crawl;
use crate::connectors::All;
use crate::connectors::Known;
use crate::screen;
use selvedge_node::{Connections, Problem, Problems, Site, Span};
use selvedge_ron::{Field, FileId, Value, ValueKind, parse};
use selvedge_schemas::{Extent, Found};
use selvedge_spec::{Files, Loaded, NodeSpec, Os};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Objects by name, and where their schema files belong.
pub struct Target {
    /// The connection or graph, by name.
    pub from: String,
    pub out: PathBuf,
    pub objects: BTreeMap<String, Object>,
    connections: Known,
    /// Sources that are passed over, and why.
    pub notes: Vec<String>,
}

/// A source, as a graph would write it, and where its relative paths start.
pub struct Object {
    pub value: Value,
    base: PathBuf,
}

/// Connections are read along with a graph: where there is none, an empty one stands beside them.
struct Empty;

const EMPTY: &str = "a graph without nodes";

impl Files for Empty {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        if path == Path::new(EMPTY) { Ok("Graph(nodes: {})".into()) } else { Os.read(path) }
    }
}

impl Target {
    /// `None`: what is wrong has been printed.
    pub fn find(args: &Crawl) -> Option<Target> {
        let path = Path::new(&args.target);
        let is_graph = path.is_file() || path.join("graph.ron").is_file();
        let options = args.source.options();
        let Loaded { sources, spec, errors, warnings } = match is_graph {
            true => selvedge_spec::load_partly(&Os, path, &options),
            false => selvedge_spec::load_partly(&Empty, Path::new(EMPTY), &options),
        };
        let print = |problems: &[Problem]| {
            screen::error(selvedge_spec::render(problems, &sources, screen::colour()).trim_end());
        };
        let (Some(spec), true) = (spec, errors.0.is_empty()) else {
            print(&[errors.0, warnings].concat());
            return None;
        };
        let mut target = Target {
            from: if is_graph { spec.name.clone() } else { args.target.clone() },
            out: PathBuf::new(),
            objects: BTreeMap::new(),
            connections: Known(spec.connections),
            notes: vec![],
        };
        if is_graph {
            target.out = spec.path.parent().unwrap_or(Path::new("")).join("schemas");
            for node in spec.nodes.iter().filter(|node| node.inputs.is_empty()) {
                match object(node) {
                    Ok(value) => {
                        let object = Object { value, base: node.base.clone() };
                        target.objects.insert(node.name.replace('/', "-"), object);
                    }
                    Err(why) => target.notes.push(format!("`{}` is passed over: {why}", node.name)),
                }
            }
        } else if let Err(problems) = target.connection(&args.target) {
            let nowhere = |problem: Problem| Problem { span: None, ..problem };
            print(&problems.0.into_iter().map(nowhere).collect::<Vec<_>>());
            return None;
        }
        if let Some(out) = &args.out {
            target.out = out.clone();
        }
        // A `./` that nobody wrote.
        target.out = target.out.strip_prefix(".").map(Path::to_path_buf).unwrap_or(target.out);
        Some(target)
    }

    fn connection(&mut self, name: &str) -> Result<(), Problems> {
        let Some(found) = self.connections.find(name) else {
            let names = self.connections.names();
            let problem =
                Problem::unknown(Span::default(), "connection or graph", name, names.iter().map(String::as_str));
            return Err(match problem.help {
                Some(_) => problem,
                None => problem.help("there are no connections: is there a connections.ron here or in a folder above?"),
            }
            .into());
        };
        let site = self.site(Path::new("."));
        let texts = match found.kind.as_str() {
            "Folder" | selvedge_connect_objects::KIND => selvedge_sources::objects::<All>(&site, name)?,
            "Sqlite" => selvedge_tables::objects::<All>(&site, name)?,
            other => {
                let problem = Problem::nowhere(format!("`{name}` is {other}, which cannot be crawled"));
                return Err(problem.help("crawl looks at connections to files and databases").into());
            }
        };
        self.out = found.base.join("schemas").join(name);
        for (object, text) in texts {
            let value = parse(FileId(0), &text)?;
            // A table may be called anything; its file may not.
            let name = object.replace(['/', '\\'], "_");
            self.objects.insert(name, Object { value, base: PathBuf::from(".") });
        }
        Ok(())
    }

    fn site<'a>(&'a self, base: &'a Path) -> Site<'a> {
        Site { graph: &self.from, node: "crawl", span: Span::default(), base, connections: &self.connections }
    }

    /// The columns of an object; `None`: it is gone.
    pub fn look(&self, object: &Object, extent: Extent) -> Result<Option<Found>, Problems> {
        let site = self.site(&object.base);
        match kind(&object.value) {
            "Table" => selvedge_tables::crawl::<All>(&object.value, &site, extent),
            _ => selvedge_sources::crawl::<All>(&object.value, &site, extent),
        }
    }
}

fn kind(value: &Value) -> &str {
    match &value.kind {
        ValueKind::Struct { name: Some(name), .. } => name,
        _ => "",
    }
}

/// What a source reads, without what it makes of it; the error says why that cannot be crawled.
fn object(node: &NodeSpec) -> Result<Value, String> {
    let wanted: &[&str] = match node.kind.as_str() {
        "Files" => &["connection", "path", "format", "compression"],
        "Stream" => &["connection", "path"],
        "Table" if node.body.field("query").is_some() => return Err("it reads a query".into()),
        "Table" => &["connection", "table"],
        other => return Err(format!("{other} reads no table and no files")),
    };
    let mut value = node.body.clone();
    if let ValueKind::Struct { name, fields, .. } = &mut value.kind {
        fields.retain(|field| wanted.contains(&field.name.as_str()));
        if node.kind.value == "Stream" {
            *name = Some("Files".into());
            let kind = ValueKind::Tuple { name: Some("Ndjson".into()), name_span: node.span, items: vec![] };
            let format = Value { span: node.span, kind };
            fields.push(Field { name: "format".into(), name_span: node.span, value: format });
        }
    }
    Ok(value)
}
