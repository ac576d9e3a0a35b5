//! The plan: every node built, every edge typed.

use crate::Catalogue;
use crate::cycles::order;
use crate::merge::{Arriving, merge};
use crate::resolve::{Resolved, Shell, resolve};
use crate::{unending, unordered};
use arrow::datatypes::SchemaRef;
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use selvedge_node::{
    Built, Connection, Connections, ERRORS_PORT, Input, Partitioning, Problem, Problems, Role, Site, Span, Work,
    errors_schema,
};
use selvedge_ron::Severity;
use selvedge_spec::{ConnectionSpec, Loaded, NodeSpec, Spec};
use std::collections::HashMap;
use twox_hash::XxHash3_128;

/// A checked graph, ready to be scheduled.
pub struct Plan {
    pub name: String,
    pub about: String,
    pub profile: String,
    /// Of all that the graph says, with its parameters and connections, and of the plugins that it uses: the same where nothing has changed.
    pub fingerprint: String,
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
    /// Of a transform: what it remembers can be kept in a checkpoint.
    pub saves: bool,
    /// Of a sink: the rows of a commit have to be flushed together.
    pub flushes_once: bool,
    /// Of a sink: rows can be seen before they are committed.
    pub visible_at_once: bool,
    /// Of a sink: rows that come again take the place of those that are there.
    pub replaces: bool,
    /// Of a sink: how often its rows are to be published where the graph never ends.
    pub publish_every: Option<std::time::Duration>,
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

/// Checks a spec against the catalogue and builds every node. All problems of the graph come back at once, warnings among
/// them.
pub fn plan(spec: &Spec, catalogue: &Catalogue) -> Result<Plan, Problems> {
    plan_but(spec, catalogue, &Problems::default())
}

/// Plans a graph that was loaded. Where its text has errors, the nodes without any are checked all the same, so that those of
/// the text do not hide all others. Warnings of the load are among the problems, or among those of the plan.
pub fn plan_loaded(loaded: &Loaded, catalogue: &Catalogue) -> Result<Plan, Problems> {
    let mut found = Problems([loaded.errors.0.as_slice(), &loaded.warnings].concat());
    match &loaded.spec {
        Some(spec) if loaded.errors.0.is_empty() => match plan(spec, catalogue) {
            Ok(mut plan) => {
                plan.warnings.splice(0..0, found.0);
                return Ok(plan);
            }
            Err(problems) => found.0.extend(problems.0),
        },
        // Outside of nodes, an error leaves open what the nodes would have been.
        Some(spec) if loaded.errors.0.iter().all(|e| spec.nodes.iter().any(|n| lies_in(e, n))) => {
            found.0.extend(plan_but(spec, catalogue, &loaded.errors).err().unwrap_or_default().0);
        }
        _ => {}
    }
    Err(found)
}

/// Sinks that write where another sink of the graph writes.
fn shared_targets(shells: &[Shell], built: &[Option<(Vec<Input>, Built)>]) -> Vec<Problem> {
    let mut first: HashMap<&str, &str> = HashMap::new();
    let mut problems = vec![];
    for (shell, built) in shells.iter().zip(built) {
        let Some(target) = built.as_ref().and_then(|(_, b)| b.target.as_deref()) else { continue };
        if let Some(other) = first.get(target) {
            let message = format!("`{}` writes {target}, and so does `{other}`: one would undo the other", shell.name);
            let help = "write it once, from both inputs: `input: [\"…\", \"…\"]`";
            problems.push(Problem::error(shell.span, message).help(help));
        }
        first.entry(target).or_insert(&shell.name);
    }
    problems
}

fn lies_in(problem: &Problem, node: &NodeSpec) -> bool {
    problem.span.is_some_and(|p| p.file == node.span.file && node.span.start <= p.start && p.end <= node.span.end)
}

/// Plans a spec whose nodes are not to be looked into where `errors` lie in them.
fn plan_but(spec: &Spec, catalogue: &Catalogue, errors: &Problems) -> Result<Plan, Problems> {
    let mut problems = Problems::default();
    let broken = spec.nodes.iter().map(|n| errors.0.iter().any(|e| lies_in(e, n))).collect::<Vec<bool>>();
    let connections = Profile(&spec.connections);
    let Resolved { mut shells, ties, read, meant } = resolve(spec, catalogue, &connections, &broken, &mut problems);
    let order = order(&shells, &ties, &mut problems);

    // By node and input port.
    let mut incoming: Vec<Vec<Vec<(usize, Edge)>>> = shells.iter().map(|s| vec![vec![]; s.input_ports.len()]).collect();
    for tie in &ties {
        if let Some(port) = incoming[tie.to].get_mut(tie.edge.to) {
            port.push((tie.from, tie.edge));
        }
    }
    let mut built: Vec<Option<(Vec<Input>, Built)>> = shells.iter().map(|_| None).collect();
    let mut origins: Vec<Vec<usize>> = shells.iter().map(|_| vec![]).collect();
    let mut unchecked = vec![];
    for n in order {
        let Some(config) = shells[n].config.take() else { continue };
        let shell = &shells[n];
        // A node whose input could not be typed is not built: what is wrong with it would only repeat what is wrong above.
        let before = problems.0.len();
        let before_it = incoming[n].iter().flatten().flat_map(|(from, _)| origins[*from].clone());
        origins[n] = unending::distinct(before_it.collect());
        let Some(inputs) = inputs(shell, &incoming[n], &shells, &built, &origins, &mut problems) else {
            if problems.0.len() == before {
                unchecked.push(n);
            }
            continue;
        };
        let result = guarded(|| config.build(&site(spec, &spec.nodes[n], &connections), &inputs))
            .unwrap_or_else(|panic| Err(mistake(&shell.kind, shell.span, &panic).into()))
            .and_then(|b| is_whole(shell, &inputs, b));
        let silent = matches!(&result, Err(p) if !p.has_errors());
        if let Some(b) = problems.take(result) {
            if b.unbounded {
                origins[n] = vec![n];
            }
            let sources = origins[n].iter().filter_map(|&o| Some((shells[o].name.as_str(), built[o].as_ref()?.1.time)));
            problems.0.extend(unending::problems(shell, &b, sources));
            built[n] = Some((inputs, b));
        } else if silent {
            problems.push(mistake(&shell.kind, shell.span, "it cannot be built and does not say why"));
        }
    }

    // Who knows what a broken node was to read.
    if !broken.contains(&true) {
        unread(&shells, &read, &meant, &mut problems);
    }
    problems.0.extend(shared_targets(&shells, &built));
    if spec.nodes.is_empty() {
        problems.push(Problem::nowhere(format!("the graph `{}` has no nodes", spec.name)));
    }
    if problems.has_errors() || built.iter().any(Option::is_none) {
        problems.0.extend(built.into_iter().flatten().flat_map(|(_, b)| b.warnings));
        problems.0.extend(not_checked(&shells, unchecked));
        return Err(problems);
    }

    let mut warnings: Vec<Problem> = problems.0.into_iter().filter(|p| p.severity == Severity::Warning).collect();
    let mut graph = DiGraph::with_capacity(shells.len(), ties.len());
    for (shell, (inputs, b)) in shells.into_iter().zip(built.into_iter().flatten()) {
        warnings.extend(b.warnings);
        let names = shell.output_ports.into_iter();
        let mut outputs: Vec<PortOut> = names.zip(b.outputs).map(|(name, schema)| PortOut { name, schema }).collect();
        outputs.push(PortOut { name: ERRORS_PORT.into(), schema: errors_schema() });
        graph.add_node(Node {
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
            saves: b.saves,
            flushes_once: b.flushes_once,
            visible_at_once: b.visible_at_once,
            replaces: b.replaces,
            publish_every: b.publish_every,
            notes: b.notes,
            work: b.work,
        });
    }
    for tie in ties {
        graph.add_edge(NodeIndex::new(tie.from), NodeIndex::new(tie.to), tie.edge);
    }
    let (name, about, profile) = (spec.name.clone(), spec.about.clone(), spec.profile.clone());
    let notes = graph.node_weights().filter(|n| n.role == Role::Transform).map(|n| &n.notes).collect::<Vec<_>>();
    let said = format!("{:?}{:?}{notes:?}", spec.nodes, spec.connections);
    let fingerprint = format!("{:032x}", XxHash3_128::oneshot(said.as_bytes()));
    let mut plan = Plan { name, about, profile, fingerprint, graph, warnings };
    plan.warnings.extend(unordered::warnings(&plan));
    Ok(plan)
}

/// Where a node of the spec stands.
pub(crate) fn site<'a>(spec: &'a Spec, node: &'a NodeSpec, connections: &'a dyn Connections) -> Site<'a> {
    Site { graph: &spec.name, node: &node.name, span: node.kind.span, base: &node.base, connections }
}

/// The schema of each input port; `None` where one is not known.
fn inputs(
    shell: &Shell,
    incoming: &[Vec<(usize, Edge)>],
    shells: &[Shell],
    built: &[Option<(Vec<Input>, Built)>],
    origins: &[Vec<usize>],
    problems: &mut Problems,
) -> Option<Vec<Input>> {
    let mut inputs = Vec::with_capacity(incoming.len());
    for (port, edges) in shell.input_ports.iter().zip(incoming) {
        let arriving = edges.iter().map(|(from, edge)| {
            let (_, b) = built[*from].as_ref()?;
            let source = &shells[*from];
            let (schema, name) = match b.outputs.get(edge.from) {
                Some(schema) => (schema.clone(), port_name(source, edge.from)),
                None => (errors_schema(), format!("{}.{ERRORS_PORT}", source.name)),
            };
            Some(Arriving { schema, span: edge.span, name })
        });
        let arriving: Vec<Arriving> = arriving.collect::<Option<_>>()?;
        let span = arriving.first().map_or(shell.span, |a| a.span);
        // All ports are merged, so that all that differ are reported.
        let unbounded = edges.iter().any(|(from, _)| !origins[*from].is_empty());
        let port = port.clone();
        inputs.push(problems.take(merge(&arriving)).map(|schema| Input { port, schema, span, unbounded }));
    }
    inputs.into_iter().collect()
}

/// `node` where there is no other output, else `node.port`.
fn port_name(shell: &Shell, port: usize) -> String {
    match shell.output_ports.get(port) {
        Some(name) if shell.output_ports.len() > 1 => format!("{}.{name}", shell.name),
        _ => shell.name.clone(),
    }
}

/// What a node has become must be what it said before: a plugin is not to be trusted with that.
fn is_whole(shell: &Shell, inputs: &[Input], built: Built) -> Result<Built, Problems> {
    let (said, made) = (shell.output_ports.len(), built.outputs.len());
    if said != made {
        return Err(
            mistake(&shell.kind, shell.span, &format!("it has {said} output ports, but gives {made} schemas")).into()
        );
    }
    if let Partitioning::Keys(keys) = &built.partitioning {
        let known = keys.len() == inputs.len()
            && keys.iter().zip(inputs).all(|(keys, input)| keys.iter().all(|k| *k < input.schema.fields().len()));
        if !known {
            return Err(mistake(&shell.kind, shell.span, "its keys are not columns of its inputs").into());
        }
    }
    Ok(built)
}

/// What a kind did that no kind may do.
pub(crate) fn mistake(kind: &str, span: Span, what: &str) -> Problem {
    let problem = Problem::error(span, format!("`{kind}` does not keep the contract of a node: {what}"));
    problem.help("this is a mistake in the node, not in the graph; please report it")
}

/// A panic of a kind is its own mistake: the other nodes are still checked. `Err` says what it panicked with.
pub(crate) fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        format!("it panicked: {}", text.as_deref().unwrap_or("without a message"))
    })
}

/// Every output must be read, or thrown away by name: an output that nobody reads is where rows disappear.
fn unread(shells: &[Shell], read: &[Vec<bool>], meant: &[bool], problems: &mut Problems) {
    for (n, shell) in shells.iter().enumerate().filter(|(n, _)| !meant[*n]) {
        for port in (0..shell.output_ports.len()).filter(|port| !read[n][*port]) {
            let of = port_name(shell, port);
            let problem = Problem::error(shell.span, format!("the rows of `{of}` go nowhere"));
            let help = format!("read them with `input: \"{of}\"`, or throw them away by name: `Null(input: \"{of}\")`");
            problems.push(problem.help(help));
        }
    }
}

/// Says that more may come to light, which would otherwise be a surprise at the next try.
fn not_checked(shells: &[Shell], mut unchecked: Vec<usize>) -> Option<Problem> {
    const NAMED: usize = 5;
    unchecked.sort_unstable();
    let first = *unchecked.first()?;
    let mut names: Vec<String> = unchecked.iter().take(NAMED).map(|n| format!("`{}`", shells[*n].name)).collect();
    if unchecked.len() > NAMED {
        names.push(format!("{} more", unchecked.len() - NAMED));
    }
    let last = names.pop().unwrap_or_default();
    let names = if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) };
    let message =
        format!("{names} could not be checked: which columns come is not known before the errors are put right");
    Some(Problem::warning(shells[first].span, message))
}
