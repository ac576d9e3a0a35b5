//! The plan: every node built, every edge typed.

use crate::Catalogue;
use crate::resolve::{Resolved, resolve};
use arrow::datatypes::{Field, Schema, SchemaRef};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use selvedge_node::{
    Built, Connection, Connections, ERRORS_PORT, Input, Partitioning, Problem, Problems, Role, Site, Span, Work,
    errors_schema,
};
use selvedge_spec::{ConnectionSpec, Spec};
use std::sync::Arc;

/// A checked graph, ready to be scheduled.
pub struct Plan {
    pub name: String,
    pub about: String,
    pub profile: String,
    pub graph: DiGraph<Node, Edge>,
    /// Suspicious places that do not keep the graph from running.
    pub warnings: Vec<Problem>,
}

pub struct Node {
    pub name: String,
    pub kind: String,
    pub role: Role,
    /// The place of `Kind(…)` in the text.
    pub span: Span,
    /// Name and schema of each input port.
    pub inputs: Vec<Input>,
    /// Output ports; the last one is always `errors`.
    pub outputs: Vec<PortOut>,
    pub partitioning: Partitioning,
    pub ordered: bool,
    pub may_reject: bool,
    pub unbounded: bool,
    pub notes: Vec<String>,
    pub work: Work,
}

impl Node {
    /// Index of the `errors` port.
    pub fn errors(&self) -> usize {
        self.outputs.len() - 1
    }
}

pub struct PortOut {
    pub name: String,
    pub schema: SchemaRef,
}

#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// Output port of the node it leaves.
    pub from: usize,
    /// Input port of the node it enters.
    pub to: usize,
    pub span: Span,
}

impl Plan {
    /// Sources first; ties in the order of the text.
    pub fn in_order(&self) -> Vec<NodeIndex> {
        let mut left: Vec<usize> =
            self.graph.node_indices().map(|n| self.graph.edges_directed(n, Incoming).count()).collect();
        let mut ready: std::collections::BTreeSet<NodeIndex> =
            self.graph.node_indices().filter(|n| left[n.index()] == 0).collect();
        let mut order = Vec::with_capacity(left.len());
        while let Some(n) = ready.pop_first() {
            order.push(n);
            for e in self.graph.edges_directed(n, Outgoing) {
                let to = e.target();
                left[to.index()] -= 1;
                if left[to.index()] == 0 {
                    ready.insert(to);
                }
            }
        }
        order
    }

    /// Whether any edge leaves this port.
    pub fn is_read(&self, node: NodeIndex, port: usize) -> bool {
        self.graph.edges_directed(node, Outgoing).any(|e| e.weight().from == port)
    }

    /// Whether rows may keep coming for ever.
    pub fn unbounded(&self) -> bool {
        self.graph.node_weights().any(|n| n.unbounded)
    }
}

/// The connections of the spec's profile.
struct Profile<'a>(&'a [ConnectionSpec]);

impl Connections for Profile<'_> {
    fn find(&self, name: &str) -> Option<Connection> {
        self.0.iter().find(|c| *c.name == name).map(|c| Connection {
            name: c.name.value.clone(),
            kind: c.kind.value.clone(),
            span: c.kind.span,
            body: c.body.clone(),
            base: c.base.clone(),
        })
    }
    fn names(&self) -> Vec<String> {
        self.0.iter().map(|c| c.name.value.clone()).collect()
    }
}

/// Checks a spec against the catalogue and builds every node. All problems of the graph come back at once.
pub fn plan(spec: &Spec, catalogue: &Catalogue) -> Result<Plan, Problems> {
    let mut problems = Problems::default();
    let Resolved { graph, order } = resolve(spec, catalogue, &mut problems);
    let connections = Profile(&spec.connections);

    let mut built: Vec<Option<(Vec<Input>, Built)>> = graph.node_indices().map(|_| None).collect();
    let mut configs: Vec<_> = graph.node_indices().map(|_| None).collect();
    let (mut shells, edges) = (vec![], graph.raw_edges().iter().map(|e| (e.source(), e.target(), e.weight)));
    let edges: Vec<_> = edges.collect();
    let incoming: Vec<Vec<(NodeIndex, Edge)>> = {
        let mut all = vec![vec![]; graph.node_count()];
        edges.iter().for_each(|(from, to, edge)| all[to.index()].push((*from, *edge)));
        all
    };
    for (i, shell) in graph.into_nodes_edges().0.into_iter().enumerate() {
        let mut shell = shell.weight;
        configs[i] = shell.config.take();
        shells.push(shell);
    }

    for n in order {
        let (shell, Some(config)) = (&shells[n.index()], configs[n.index()].take()) else { continue };
        // A node whose input could not be typed is not built: what is wrong with it would only repeat what is wrong above.
        let Some(inputs) = shell
            .input_ports
            .iter()
            .enumerate()
            .map(|(port, name)| {
                let edges: Vec<_> = incoming[n.index()].iter().filter(|(_, e)| e.to == port).collect();
                let schemas: Option<Vec<_>> = edges
                    .iter()
                    .map(|(from, e)| Some((output_schema(&built, *from, e.from)?, e.span, &shells[from.index()].name)))
                    .collect();
                let schema = problems.take(merge(&schemas?))?;
                Some(Input { port: name.clone(), schema, span: edges.first().map_or(shell.span, |(_, e)| e.span) })
            })
            .collect::<Option<Vec<Input>>>()
        else {
            continue;
        };
        let site = Site {
            graph: &spec.name,
            node: &shell.name,
            span: shell.span,
            base: &spec.nodes[n.index()].base,
            connections: &connections,
        };
        if let Some(b) = problems.take(config.build(&site, &inputs)) {
            built[n.index()] = Some((inputs, b));
        }
    }

    // Every output must be read, or thrown away by name: an output that nobody reads is where rows disappear.
    for (i, shell) in shells.iter().enumerate() {
        for (port, name) in shell.output_ports.iter().enumerate() {
            if !edges.iter().any(|(from, _, e)| from.index() == i && e.from == port) {
                let of = if port == 0 { shell.name.clone() } else { format!("{}.{name}", shell.name) };
                problems.push(
                    Problem::error(shell.span, format!("the rows of `{of}` go nowhere"))
                        .help(format!("read them with `input: \"{of}\"`, or throw them away by name: `Null(input: \"{of}\")`")),
                );
            }
        }
    }
    if spec.nodes.is_empty() {
        problems.push(Problem::nowhere(format!("the graph `{}` has no nodes", spec.name)));
    }

    let warnings = problems.0.iter().filter(|p| p.severity == selvedge_ron::Severity::Warning).cloned();
    let mut warnings: Vec<Problem> = warnings.collect();
    if problems.has_errors() || built.iter().any(Option::is_none) {
        return Err(problems);
    }
    let mut plan = DiGraph::with_capacity(shells.len(), edges.len());
    for (shell, built) in shells.into_iter().zip(built.into_iter().flatten()) {
        let (inputs, b) = built;
        warnings.extend(b.warnings);
        let names = shell.output_ports.into_iter();
        let mut outputs: Vec<PortOut> = names.zip(b.outputs).map(|(name, schema)| PortOut { name, schema }).collect();
        outputs.push(PortOut { name: ERRORS_PORT.into(), schema: errors_schema() });
        plan.add_node(Node {
            name: shell.name,
            kind: shell.kind,
            role: shell.role,
            span: shell.span,
            inputs,
            outputs,
            partitioning: b.partitioning,
            ordered: b.ordered,
            may_reject: b.may_reject,
            unbounded: b.unbounded,
            notes: b.notes,
            work: b.work,
        });
    }
    for (from, to, edge) in edges {
        plan.add_edge(from, to, edge);
    }
    Ok(Plan {
        name: spec.name.clone(),
        about: spec.about.clone(),
        profile: spec.profile.clone(),
        graph: plan,
        warnings,
    })
}

fn output_schema(built: &[Option<(Vec<Input>, Built)>], node: NodeIndex, port: usize) -> Option<SchemaRef> {
    let (_, b) = built[node.index()].as_ref()?;
    Some(b.outputs.get(port).cloned().unwrap_or_else(errors_schema))
}

/// The schema of a port that several edges enter: equal names and types; a column may be null if it may be on any edge.
fn merge(schemas: &[(SchemaRef, Span, &String)]) -> Result<SchemaRef, Problems> {
    let Some(((first, _, first_name), rest)) = schemas.split_first() else {
        return Err(Problems::default());
    };
    let mut problems = Problems::default();
    let mut fields: Vec<Field> = first.fields().iter().map(|f| (**f).clone()).collect();
    for (schema, span, name) in rest {
        let shape = |s: &Schema| s.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect::<Vec<_>>();
        let (a, b) = (shape(first), shape(schema));
        if a != b {
            let only = |x: &[String], y: &[String]| {
                x.iter().filter(|f| !y.contains(f)).cloned().collect::<Vec<_>>().join(", ")
            };
            let (only_a, only_b) = (only(&a, &b), only(&b, &a));
            let detail = if only_a.is_empty() && only_b.is_empty() {
                "the same columns in another order".to_string()
            } else {
                format!("only in `{first_name}`: {}; only in `{name}`: {}", or_none(&only_a), or_none(&only_b))
            };
            problems.push(
                Problem::error(*span, format!("`{first_name}` and `{name}` enter one port but differ: {detail}"))
                    .help("put a Union(by: Name) in between, or make them equal with SchemaEdit"),
            );
            continue;
        }
        for (field, other) in fields.iter_mut().zip(schema.fields()) {
            field.set_nullable(field.is_nullable() || other.is_nullable());
        }
    }
    problems.or(())?;
    let same = rest.is_empty() || fields.iter().zip(first.fields()).all(|(a, b)| a == &**b);
    Ok(if same { first.clone() } else { Arc::new(Schema::new(fields)) })
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

