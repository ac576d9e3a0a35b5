//! Names to indices: kinds are looked up, configs typed, inputs tied to the ports they mean. No schema is known yet.

use crate::{Catalogue, Edge};
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use selvedge_node::{ERRORS_PORT, ErasedConfig, Inputs, Ports, Problem, Problems, Role, Span};
use selvedge_spec::{InputSpec, NodeSpec, Spec};
use std::collections::HashMap;

/// A node before it is built.
pub(crate) struct Shell {
    pub name: String,
    pub kind: String,
    pub role: Role,
    pub span: Span,
    pub input_ports: Vec<String>,
    /// Without `errors`.
    pub output_ports: Vec<String>,
    /// `None` where the kind is unknown or the config does not fit it.
    pub config: Option<Box<dyn ErasedConfig>>,
}

pub(crate) struct Resolved {
    /// Node indices are those of `Spec::nodes`.
    pub graph: DiGraph<Shell, Edge>,
    /// Every node after those it reads; nodes on a cycle are left out.
    pub order: Vec<NodeIndex>,
}

pub(crate) fn resolve(spec: &Spec, catalogue: &Catalogue, problems: &mut Problems) -> Resolved {
    let mut graph = DiGraph::with_capacity(spec.nodes.len(), spec.nodes.len());
    let mut wanted = vec![];
    for node in &spec.nodes {
        let (shell, inputs) = shell(node, catalogue, problems);
        wanted.push(inputs);
        graph.add_node(shell);
    }
    let by_name: HashMap<&str, NodeIndex> =
        spec.nodes.iter().enumerate().map(|(i, n)| (n.name.as_str(), NodeIndex::new(i))).collect();

    for (i, node) in spec.nodes.iter().enumerate() {
        let ports = wanted[i].as_ref().and_then(|inputs| tie(node, inputs, problems));
        // A node of unknown shape still says what it reads, so that names are checked and nothing seems unread.
        let ports = ports.unwrap_or_else(|| (vec![], vec![usize::MAX; node.inputs.len()]));
        for (input, to) in node.inputs.iter().zip(ports.1) {
            if let Some((from, port)) = problems.take(source_port(input, &by_name, &graph)) {
                let span = input.node.span;
                graph.add_edge(from, NodeIndex::new(i), Edge { from: port, to, span });
            }
        }
        graph[NodeIndex::new(i)].input_ports = ports.0;
    }

    let order = order(&graph, problems);
    Resolved { graph, order }
}

fn shell(node: &NodeSpec, catalogue: &Catalogue, problems: &mut Problems) -> (Shell, Option<Inputs>) {
    let has_input = !node.inputs.is_empty();
    let mut shell = Shell {
        name: node.name.value.clone(),
        kind: node.kind.value.clone(),
        role: if has_input { Role::Transform } else { Role::Source },
        span: node.kind.span,
        input_ports: vec![],
        output_ports: vec![],
        config: None,
    };
    let Some(kind) = problems.take(catalogue.find(&node.kind, node.kind.span, has_input)) else {
        return (shell, None);
    };
    shell.role = kind.role();
    let Some(config) = problems.take(kind.parse(&node.body)) else {
        return (shell, None);
    };
    let Ports { inputs, outputs } = config.ports();
    shell.output_ports = outputs;
    shell.config = Some(config);
    (shell, Some(inputs))
}

/// The input ports of a node, and for each of its inputs the port it enters.
fn tie(node: &NodeSpec, inputs: &Inputs, problems: &mut Problems) -> Option<(Vec<String>, Vec<usize>)> {
    let before = problems.0.len();
    let tied = match inputs {
        Inputs::None => (vec![], vec![]),
        Inputs::One => {
            for port in node.inputs.iter().filter_map(|i| i.port.as_ref()).filter(|p| p.value != "in") {
                problems.push(Problem::unknown(port.span, "input port", port, ["in"]));
            }
            (vec!["in".into()], vec![0; node.inputs.len()])
        }
        Inputs::Named(ports) => {
            let mut entered = vec![];
            for input in &node.inputs {
                let port = input.port.as_ref();
                match port.and_then(|p| ports.iter().position(|known| *known == p.value)) {
                    Some(index) => entered.push(index),
                    None => {
                        let names = ports.iter().map(|p| format!("\"{p}\": \"…\"")).collect::<Vec<_>>().join(", ");
                        problems.push(match port {
                            Some(p) => Problem::unknown(p.span, "input port", p, ports.iter().map(String::as_str)),
                            None => Problem::error(input.node.span, "which port this enters is not said")
                                .help(format!("write `input: {{{names}}}`")),
                        });
                    }
                }
            }
            if problems.0.len() == before {
                for (_, port) in ports.iter().enumerate().filter(|(i, _)| !entered.contains(i)) {
                    problems.push(Problem::error(node.kind.span, format!("nothing enters the port `{port}`")));
                }
            }
            (ports.clone(), entered)
        }
        Inputs::Each => {
            let mut ports: Vec<String> = vec![];
            for input in &node.inputs {
                let (name, span) = match (&input.port, &input.output) {
                    (Some(port), _) => (port.value.clone(), port.span),
                    (None, Some(output)) => (format!("{}_{}", input.node.value, output.value), input.node.span),
                    (None, None) => (input.node.value.clone(), input.node.span),
                };
                if ports.contains(&name) {
                    problems.push(
                        Problem::error(span, format!("two inputs are named `{name}`"))
                            .help("name them apart: `input: {\"a\": \"…\", \"b\": \"…\"}`"),
                    );
                }
                ports.push(name);
            }
            let entered = (0..ports.len()).collect();
            (ports, entered)
        }
    };
    (problems.0.len() == before).then_some(tied)
}

/// The node and output port that an input names.
fn source_port(
    input: &InputSpec,
    by_name: &HashMap<&str, NodeIndex>,
    graph: &DiGraph<Shell, Edge>,
) -> Result<(NodeIndex, usize), Problem> {
    let Some(&from) = by_name.get(input.node.as_str()) else {
        return Err(Problem::unknown(input.node.span, "node", &input.node, by_name.keys().copied()));
    };
    let shell = &graph[from];
    let unknown_shape = shell.config.is_none();
    match &input.output {
        Some(port) if port.value == ERRORS_PORT => Ok((from, shell.output_ports.len())),
        Some(port) => match shell.output_ports.iter().position(|p| *p == port.value) {
            Some(index) => Ok((from, index)),
            None if unknown_shape => Ok((from, usize::MAX)),
            None => Err(Problem::unknown(
                port.span,
                &format!("output port of `{}`", shell.name),
                port,
                shell.output_ports.iter().map(String::as_str).chain([ERRORS_PORT]),
            )),
        },
        None if shell.output_ports.is_empty() && !unknown_shape => Err(Problem::error(
            input.node.span,
            format!("`{}` is a sink: only its errors can be read", shell.name),
        )
        .help(format!("did you mean `{}.errors`?", shell.name))),
        None => Ok((from, 0)),
    }
}

/// Topological order; each cycle becomes one problem that names its nodes.
fn order(graph: &DiGraph<Shell, Edge>, problems: &mut Problems) -> Vec<NodeIndex> {
    let mut order = vec![];
    for mut component in tarjan_scc(graph).into_iter().rev() {
        let first = component[0];
        let cyclic = component.len() > 1 || graph.edges(first).any(|e| e.target() == first);
        if !cyclic {
            order.push(first);
            continue;
        }
        component.sort();
        let names = component.iter().map(|n| format!("`{}`", graph[*n].name)).collect::<Vec<_>>().join(", ");
        let inside = graph.edge_references().find(|e| component.contains(&e.source()) && component.contains(&e.target()));
        let span = inside.map_or(graph[first].span, |e| e.weight().span);
        problems.push(
            Problem::error(span, format!("rows go round in a cycle: {names}"))
                .help("a graph must run from sources to sinks; cut the cycle at one of these inputs"),
        );
    }
    order
}
