//! Nodes out of graphs. `"clean": Include(path: "clean.ron", input: "stock")` puts the nodes of another graph in its place, as
//! `clean/…`; then every reference through an include is followed to the real node behind it.
//!
//! ```text
//! stock ─► clean (inputs: ["in"], outputs: {"out": "unique"}) ─► load
//! stock ─► clean/typed ─► clean/unique ─────────────────────────► load
//! ```

use crate::graph::{Graph, body, check_name, entries, kind_of};
use crate::input::{INPUT, Reference};
use crate::loader::{Loader, folder, join, normal};
use crate::resolve::Scope;
use crate::{InputSpec, NodeSpec};
use selvedge_ron::{Field, Problem, Span, Spanned};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

/// How deep graphs may include one another.
const MAX_DEPTH: usize = 16;
/// More nodes, or more references to follow, are a mistake (includes multiply).
const MAX_NODES: usize = 100_000;
const MAX_STEPS: usize = 1_000_000;

/// A node whose inputs are not followed yet.
pub(crate) struct Draft {
    node: NodeSpec,
    inputs: Vec<(Option<Spanned<String>>, Target)>,
}

/// What a reference means.
#[derive(Clone)]
pub(crate) enum Target {
    /// A node by its full name, or an include.
    Node(Reference),
    /// An input of the include of that full name.
    Input { include: String, name: Spanned<String> },
}

/// One include: what its parent gives it, and what it shows.
pub(crate) struct Instance {
    inputs: HashMap<String, Vec<Target>>,
    outputs: Vec<(String, Target)>,
}

/// The fields of an `Include(…)`.
#[derive(Default)]
struct Include {
    path: Option<Spanned<String>>,
    params: Vec<(Spanned<String>, selvedge_ron::Value)>,
    inputs: Vec<(Option<Spanned<String>>, Reference)>,
}

impl Loader<'_> {
    /// Drafts the nodes of `graph`; their names begin with `prefix`.
    pub fn expand(&mut self, graph: &Graph, prefix: &str, base: &Path, scope: &mut Scope) {
        let mut used = HashSet::new();
        for (name, value) in &graph.nodes {
            let Some((kind, mut fields)) = kind_of(value, "node", &mut self.problems) else { continue };
            if self.drafts.len() == MAX_NODES {
                self.problems.push(Problem::error(name.span, format!("more than {MAX_NODES} nodes")));
                return;
            }
            let span = value.span;
            for field in &mut fields {
                field.value = self.resolve(scope, field.value.clone(), 1);
            }
            let full = Spanned::new(format!("{prefix}{}", name.value), name.span);
            if kind.value == "Include" {
                self.include(&full, &kind, fields, prefix, base, graph, &mut used);
                continue;
            }
            let at = fields.iter().position(|f| f.name == "input");
            let inputs = match at.map(|at| fields.remove(at).value) {
                Some(value) => self.inputs(&value),
                None => vec![],
            };
            let inputs = self.targets(inputs, prefix, graph, &mut used);
            let body = body(&kind, fields, span);
            self.drafts.push(Draft {
                node: NodeSpec { name: full, kind, inputs: vec![], body, span, base: base.into() },
                inputs,
            });
        }
        let outputs: Vec<(String, Target)> = graph
            .outputs
            .iter()
            .filter_map(|(name, value)| {
                let value = self.resolve(scope, value.clone(), 1);
                let reference = self.reference(&value)?;
                Some((name.value.clone(), self.target(reference, prefix, graph, &mut used)?))
            })
            .collect();
        if let Some(instance) = self.instances.get_mut(prefix.trim_end_matches('/')) {
            instance.outputs = outputs;
        }
        for input in graph.inputs.iter().filter(|i| !used.contains(&i.value) && !prefix.is_empty()) {
            let problem = Problem::error(input.span, format!("the input `{}` is never used", input.value));
            self.problems
                .push(problem.help(format!("read it with `input: \"{INPUT}.{}\"`, or remove it", input.value)));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of the parent graph, which a struct would only rename")]
    fn include(
        &mut self,
        name: &Spanned<String>,
        kind: &Spanned<String>,
        fields: Vec<Field>,
        prefix: &str,
        base: &Path,
        parent: &Graph,
        used: &mut HashSet<String>,
    ) {
        let include = self.read_include(kind, fields);
        let Some(path) = include.path else { return };
        let Some((graph, file)) = self.included(&path, base) else { return };

        let mut scope = Scope::new(&graph.params);
        for (param, value) in include.params {
            if graph.params.iter().any(|(p, _)| *p == param) {
                scope.bind(&param, value);
            } else {
                let known = graph.params.iter().map(|(p, _)| p.as_str());
                self.problems.push(Problem::unknown(param.span, "parameter", &param, known));
            }
        }

        let mut inputs: HashMap<String, Vec<Target>> = HashMap::new();
        for (port, reference) in include.inputs {
            let Some(input) = self.input_of(&graph, port.as_ref(), reference.node.span) else { continue };
            if let Some(target) = self.target(reference, prefix, parent, used) {
                inputs.entry(input).or_default().push(target);
            }
        }
        for input in graph.inputs.iter().filter(|i| !inputs.contains_key(&i.value)) {
            let problem =
                Problem::error(name.span, format!("`{}` is given nothing for its input `{}`", name.value, input.value));
            self.problems.push(problem.help(format!("add `input: {{\"{}\": \"node\"}}`", input.value)));
        }

        self.instances.insert(name.value.clone(), Instance { inputs, outputs: vec![] });
        self.stack.push(normal(&file));
        self.expand(&graph, &format!("{}/", name.value), &folder(&file), &mut scope);
        self.stack.pop();
        self.finish(&graph, &mut scope);
    }

    fn read_include(&mut self, kind: &Spanned<String>, fields: Vec<Field>) -> Include {
        let mut include = Include::default();
        for field in fields {
            match field.name.as_str() {
                "path" => match field.value.as_str() {
                    Some(path) => include.path = Some(Spanned::new(path.into(), field.value.span)),
                    None => {
                        let message = format!("expected the path of a graph in quotes, found {}", field.value.what());
                        self.problems.push(Problem::error(field.value.span, message));
                        return Include::default();
                    }
                },
                "params" => {
                    include.params = entries(&field.value, "parameter", &mut self.problems);
                    include.params.retain(|(name, _)| check_name(name, "parameter", &mut self.problems));
                }
                "input" => include.inputs = self.inputs(&field.value),
                name => {
                    self.problems.push(Problem::unknown(field.name_span, "field", name, ["path", "params", "input"]))
                }
            }
        }
        if include.path.is_none() {
            self.problems
                .push(Problem::error(kind.span, "`Include` has no field `path`").help("add `path: \"graph.ron\"`"));
        }
        include
    }

    /// The graph that an include names, and its file.
    fn included(&mut self, path: &Spanned<String>, base: &Path) -> Option<(Rc<Graph>, std::path::PathBuf)> {
        let file = join(base, &path.value);
        let known = normal(&file);
        if let Some(from) = self.stack.iter().position(|p| *p == known) {
            let mut way: Vec<String> = self.stack[from..].iter().map(|p| p.display().to_string()).collect();
            way.push(known.display().to_string());
            self.problems.push(Problem::error(path.span, "this graph includes itself").help(way.join(" → ")));
            return None;
        }
        if self.stack.len() > MAX_DEPTH {
            self.problems
                .push(Problem::error(path.span, format!("graphs include one another deeper than {MAX_DEPTH} levels")));
            return None;
        }
        if self.instances.len() >= MAX_NODES {
            self.problems.push(Problem::error(path.span, format!("more than {MAX_NODES} includes")));
            return None;
        }
        if let Some(graph) = self.graphs.get(&known) {
            return graph.clone().map(|g| (g, file));
        }
        let graph = match self.files.read(&file) {
            Ok(text) => {
                let id = self.sources.add(file.clone(), text);
                let value = self.parse(id);
                value.and_then(|v| Graph::read(&v, &mut self.problems)).map(Rc::new)
            }
            Err(error) => {
                let problem = Problem::error(path.span, format!("cannot read the graph {}: {error}", file.display()));
                self.problems.push(problem.help("the path starts from the folder of the file that it is written in"));
                None
            }
        };
        self.graphs.insert(known, graph.clone());
        graph.map(|g| (g, file))
    }

    /// The declared input that a port of an `Include` means: without a name the only one, or `in`.
    fn input_of(&mut self, graph: &Graph, port: Option<&Spanned<String>>, span: Span) -> Option<String> {
        let found = match (port, graph.inputs.as_slice()) {
            (Some(port), inputs) => inputs.iter().find(|i| *i == port),
            (None, [one]) => Some(one),
            (None, inputs) => inputs.iter().find(|i| i.value == "in"),
        };
        if found.is_none() {
            let known = graph.inputs.iter().map(|i| i.as_str());
            let problem = match port {
                Some(port) => Problem::unknown(port.span, "input", port, known),
                None if graph.inputs.is_empty() => Problem::error(span, "the included graph has no inputs")
                    .help("declare them there: inputs: [\"in\"]"),
                None => Problem::error(span, "the included graph has several inputs")
                    .help("name them: input: {\"name\": \"node\"}"),
            };
            self.problems.push(problem);
        }
        found.map(|i| i.value.clone())
    }

    fn targets(
        &mut self,
        inputs: Vec<(Option<Spanned<String>>, Reference)>,
        prefix: &str,
        graph: &Graph,
        used: &mut HashSet<String>,
    ) -> Vec<(Option<Spanned<String>>, Target)> {
        inputs.into_iter().filter_map(|(port, r)| Some((port, self.target(r, prefix, graph, used)?))).collect()
    }

    /// What a reference in `graph` means; notes the inputs that are used.
    fn target(
        &mut self,
        reference: Reference,
        prefix: &str,
        graph: &Graph,
        used: &mut HashSet<String>,
    ) -> Option<Target> {
        if reference.node.value != INPUT {
            let node = Spanned::new(format!("{prefix}{}", reference.node.value), reference.node.span);
            return Some(Target::Node(Reference { node, ..reference }));
        }
        let declared = match &reference.output {
            Some(name) => graph.inputs.iter().find(|i| *i == name),
            None => graph.inputs.iter().find(|i| i.value == "in").or(match graph.inputs.as_slice() {
                [one] => Some(one),
                _ => None,
            }),
        };
        let Some(input) = declared else {
            let (span, name) = reference.output.as_ref().map_or((reference.node.span, "in"), |o| (o.span, o.as_str()));
            let known = graph.inputs.iter().map(|i| i.as_str());
            let problem = Problem::unknown(span, "input", name, known);
            self.problems.push(match problem.help {
                Some(_) => problem,
                None => problem.help(format!("declare it: inputs: [\"{name}\"]")),
            });
            return None;
        };
        used.insert(input.value.clone());
        let name = Spanned::new(input.value.clone(), reference.node.span);
        // At the top there is nobody to give an input; that is reported where it is declared.
        (!prefix.is_empty()).then(|| Target::Input { include: prefix.trim_end_matches('/').into(), name })
    }

    /// Follows every input through the includes to the node behind it.
    pub fn connect(&mut self) -> Vec<NodeSpec> {
        let mut steps = MAX_STEPS;
        let mut nodes = vec![];
        for mut draft in std::mem::take(&mut self.drafts) {
            for (port, target) in draft.inputs {
                let mut found = vec![];
                self.follow(&target, 0, &mut steps, &mut found);
                let input = |r: Reference| InputSpec { port: port.clone(), node: r.node, output: r.output };
                draft.node.inputs.extend(found.into_iter().map(input));
            }
            nodes.push(draft.node);
        }
        nodes
    }

    /// Gathers the nodes behind a target. Their places are where their names are written: at the consumer, in an include's
    /// `input:`, or in an included graph's `outputs:`.
    fn follow(&mut self, target: &Target, depth: usize, steps: &mut usize, found: &mut Vec<Reference>) {
        if depth > 4 * MAX_DEPTH || *steps == 0 {
            let span = match target {
                Target::Node(reference) => reference.node.span,
                Target::Input { name, .. } => name.span,
            };
            self.problems.push(Problem::error(span, "this leads through includes back to itself"));
            return;
        }
        *steps -= 1;
        let next = match target {
            Target::Input { include, name } => {
                self.instances.get(include).and_then(|i| i.inputs.get(&name.value)).cloned().unwrap_or_default()
            }
            Target::Node(reference) => match self.instances.get(&reference.node.value) {
                Some(instance) => match output_of(instance, reference) {
                    Ok(target) => vec![target.clone()],
                    Err(problem) => {
                        self.problems.push(problem);
                        return;
                    }
                },
                None => {
                    found.push(reference.clone());
                    return;
                }
            },
        };
        for target in next {
            self.follow(&target, depth + 1, steps, found);
        }
    }
}

/// The output of an include that a reference means: without a name the only one, or `out`.
fn output_of<'i>(instance: &'i Instance, reference: &Reference) -> Result<&'i Target, Problem> {
    if let (None, [(_, only)]) = (&reference.output, instance.outputs.as_slice()) {
        return Ok(only);
    }
    let (name, span) = reference.output.as_ref().map_or(("out", reference.node.span), |o| (o.as_str(), o.span));
    instance.outputs.iter().find(|(n, _)| n == name).map(|(_, target)| target).ok_or_else(|| {
        let problem = Problem::unknown(span, "output", name, instance.outputs.iter().map(|(n, _)| n.as_str()));
        match problem.help {
            Some(_) => problem,
            None => problem.help(format!("declare it in the included graph: outputs: {{\"{name}\": \"node\"}}")),
        }
    })
}
