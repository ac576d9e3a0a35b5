//! Names to indices: kinds are looked up, configs typed, inputs tied to the ports they mean. No schema is known yet.

use crate::plan::{guarded, mistake, site};
use crate::{Catalogue, Edge};
use selvedge_node::{Connections, ERRORS_PORT, ErasedConfig, Inputs, Ports, Problem, Problems, Role, Span};
use selvedge_ron::similar;
use selvedge_spec::{InputSpec, NodeSpec, Spec};
use std::collections::{HashMap, HashSet};

/// After so many names that nobody has, the nearest ones are no longer sought: each search looks at all names.
const SEARCHES: usize = 100;

/// A node before it is built.
pub(crate) struct Shell {
    pub name: String,
    pub kind: String,
    pub role: Role,
    pub span: Span,
    pub input_ports: Vec<String>,
    /// Without `errors`.
    pub output_ports: Vec<String>,
    /// Whether the ports are known: not where the kind is unknown or the config does not fit it.
    pub shaped: bool,
    /// `None` where the node cannot be built, for a reason that is reported.
    pub config: Option<Box<dyn ErasedConfig>>,
}

/// One edge between the nodes of the spec, by their indices there.
pub(crate) struct Tie {
    pub from: usize,
    pub to: usize,
    pub edge: Edge,
}

pub(crate) struct Resolved {
    /// In the order of `Spec::nodes`.
    pub shells: Vec<Shell>,
    pub ties: Vec<Tie>,
    /// By node and output port (`errors` last): whether somebody reads it.
    pub read: Vec<Vec<bool>>,
    /// Nodes that somebody may have meant to read: a name that is nearly theirs, a port that they do not have.
    pub meant: Vec<bool>,
}

/// The port of an edge whose end is not known; such a graph is never run.
const SOMEWHERE: usize = usize::MAX;

/// Nodes that are `broken` are there to be named, but nothing is known of them.
pub(crate) fn resolve(
    spec: &Spec,
    catalogue: &Catalogue,
    connections: &dyn Connections,
    broken: &[bool],
    problems: &mut Problems,
) -> Resolved {
    let mut shells = Vec::with_capacity(spec.nodes.len());
    let mut wanted = Vec::with_capacity(spec.nodes.len());
    for (node, broken) in spec.nodes.iter().zip(broken) {
        let catalogue = (!broken).then_some(catalogue);
        let (shell, inputs) = shell(spec, node, catalogue, connections, problems);
        shells.push(shell);
        wanted.push(inputs);
    }
    let by_name = spec.nodes.iter().enumerate().map(|(i, n)| (n.name.as_str(), i)).collect();
    let mut ends = Ends {
        by_name,
        ties: Vec::with_capacity(spec.nodes.len()),
        read: shells.iter().map(|s| vec![false; s.output_ports.len() + 1]).collect(),
        meant: vec![false; shells.len()],
        searches: 0,
    };

    for (i, node) in spec.nodes.iter().enumerate() {
        let mut entered = vec![SOMEWHERE; node.inputs.len()];
        match wanted[i].as_ref().map(|inputs| tie(node, inputs, problems)) {
            Some(Some((ports, edges))) => {
                shells[i].input_ports = ports;
                entered = edges;
            }
            Some(None) => shells[i].config = None,
            None => {}
        }
        for (input, to) in node.inputs.iter().zip(entered) {
            let found = ends.find(input, spec, &shells);
            // What a source must not read needs no name.
            if shells[i].role == Role::Source && shells[i].shaped {
                continue;
            }
            if let Some((from, port)) = problems.take(found) {
                let edge = Edge { from: port, to, span: input.node.span };
                ends.ties.push(Tie { from, to: i, edge });
            }
        }
    }
    Resolved { shells, ties: ends.ties, read: ends.read, meant: ends.meant }
}

/// A node's kind and config, and the inputs that it wants, where they are to be looked at. Without a catalogue only its name.
fn shell(
    spec: &Spec,
    node: &NodeSpec,
    catalogue: Option<&Catalogue>,
    connections: &dyn Connections,
    problems: &mut Problems,
) -> (Shell, Option<Inputs>) {
    let has_input = !node.inputs.is_empty();
    let mut shell = Shell {
        name: node.name.value.clone(),
        kind: node.kind.value.clone(),
        role: if has_input { Role::Transform } else { Role::Source },
        span: node.kind.span,
        input_ports: vec![],
        output_ports: vec![],
        shaped: false,
        config: None,
    };
    let Some(catalogue) = catalogue else { return (shell, None) };
    let Some((kind, fits)) = catalogue.find(&node.kind, has_input) else {
        problems.push(catalogue.unknown(&node.kind, node.kind.span));
        return (shell, None);
    };
    shell.role = kind.role();
    let parsed = guarded(|| {
        let config = kind.parse(&node.body)?;
        let ports = config.ports(&site(spec, node, connections))?;
        Ok::<_, Problems>((ports, config))
    });
    let parsed = parsed.unwrap_or_else(|panic| Err(mistake(&node.kind, node.kind.span, &panic).into()));
    let (ports, config) = problems.take(parsed).unzip();
    if let (false, Some(input)) = (fits, node.inputs.first()) {
        let problem = Problem::error(input.node.span, format!("`{}` is a source and takes no input", node.kind));
        problems.push(problem.help("remove `input`"));
    } else if !fits {
        let example = match ports.as_ref().map(|p| &p.inputs) {
            Some(Inputs::Named(names)) => named(names),
            _ => "input: \"name of a node\"".into(),
        };
        let problem = Problem::error(node.kind.span, format!("`{}` needs an input", node.kind));
        problems.push(problem.help(format!("add `{example}`")));
    }
    let (Some(config), Some(Ports { inputs, outputs })) = (config, ports) else { return (shell, None) };
    if shell.role == Role::Transform && outputs.is_empty() {
        shell.role = Role::Sink;
    }
    shell.output_ports = outputs;
    shell.shaped = true;
    // A source with an input it must not have is still built: what follows it can then be checked as well.
    let is_source = kind.role() == Role::Source;
    shell.config = (fits || is_source).then_some(config);
    (shell, (fits && !is_source).then_some(inputs))
}

/// `input: {"left": "…", "right": "…"}`
fn named(ports: &[String]) -> String {
    let ports = ports.iter().map(|p| format!("\"{p}\": \"…\"")).collect::<Vec<_>>();
    format!("input: {{{}}}", ports.join(", "))
}

/// The input ports of a node, and for each of its inputs the port it enters.
fn tie(node: &NodeSpec, inputs: &Inputs, problems: &mut Problems) -> Option<(Vec<String>, Vec<usize>)> {
    let before = problems.0.len();
    let tied = match inputs {
        Inputs::None => (vec![], vec![]),
        Inputs::One => {
            for port in node.inputs.iter().filter_map(|i| i.port.as_ref()).filter(|p| p.value != "in") {
                let problem =
                    Problem::error(port.span, format!("`{}` has one input port and needs no name for it", node.kind));
                problems.push(problem.help("write `input: \"node\"` or `input: [\"one\", \"two\"]`"));
            }
            (vec!["in".into()], vec![0; node.inputs.len()])
        }
        Inputs::Named(ports) => (ports.clone(), tie_named(node, ports, problems)),
        Inputs::Each => {
            let mut ports: Vec<String> = vec![];
            let mut known = HashSet::new();
            for input in &node.inputs {
                let (name, span) = match (&input.port, &input.output) {
                    (Some(port), _) => (port.value.clone(), port.span),
                    (None, Some(output)) => (format!("{}_{}", input.node.value, output.value), input.node.span),
                    (None, None) => (input.node.value.clone(), input.node.span),
                };
                if !known.insert(name.clone()) {
                    let problem = Problem::error(span, format!("two inputs of `{}` are named `{name}`", node.name));
                    problems.push(problem.help("give each its own name: `input: {\"a\": \"…\", \"b\": \"…\"}`"));
                }
                ports.push(name);
            }
            let entered = (0..ports.len()).collect();
            (ports, entered)
        }
    };
    (problems.0.len() == before).then_some(tied)
}

/// The port of each input. A port that nothing enters is reported, but for one that a wrong name probably meant.
fn tie_named(node: &NodeSpec, ports: &[String], problems: &mut Problems) -> Vec<usize> {
    let mut entered = Vec::with_capacity(node.inputs.len());
    let mut meant: HashSet<&str> = HashSet::new();
    for input in &node.inputs {
        let Some(port) = &input.port else {
            // One is enough said: the way out names all ports.
            let problem = Problem::error(
                input.node.span,
                format!("`{}` has several input ports: which one this enters is not said", node.kind),
            );
            problems.push(problem.help(format!("write `{}`", named(ports))));
            return vec![];
        };
        match ports.iter().position(|known| *known == port.value) {
            Some(index) => entered.push(index),
            None => {
                let known = || ports.iter().map(String::as_str);
                let near = similar(port, known());
                // A name like no other may have meant any port.
                if near.is_empty() {
                    meant.extend(known())
                } else {
                    meant.extend(near)
                }
                problems.push(Problem::unknown(port.span, "input port", port, known()));
            }
        }
    }
    for (index, port) in ports.iter().enumerate() {
        if !entered.contains(&index) && !meant.contains(port.as_str()) {
            let problem =
                Problem::error(node.kind.span, format!("nothing enters the port `{port}` of `{}`", node.name));
            problems.push(problem.help(format!("write `{}`", named(ports))));
        }
    }
    entered
}

/// Who is read by whom, while inputs are looked up.
struct Ends<'a> {
    by_name: HashMap<&'a str, usize>,
    ties: Vec<Tie>,
    read: Vec<Vec<bool>>,
    meant: Vec<bool>,
    searches: usize,
}

impl Ends<'_> {
    /// The node and output port that an input names, which is read from now on.
    fn find(&mut self, input: &InputSpec, spec: &Spec, shells: &[Shell]) -> Result<(usize, usize), Problem> {
        let Some(&from) = self.by_name.get(input.node.as_str()) else { return Err(self.unknown(input, spec)) };
        let shell = &shells[from];
        let port = match &input.output {
            Some(port) if port.value == ERRORS_PORT => shell.output_ports.len(),
            Some(port) => match shell.output_ports.iter().position(|p| *p == port.value) {
                Some(index) => index,
                None if !shell.shaped => SOMEWHERE,
                None => {
                    self.meant[from] = true;
                    let known = shell.output_ports.iter().map(String::as_str).chain([ERRORS_PORT]);
                    return Err(Problem::unknown(port.span, &format!("output port of `{}`", shell.name), port, known));
                }
            },
            None if shell.shaped && shell.output_ports.is_empty() => {
                let problem =
                    Problem::error(input.node.span, format!("`{}` is a sink: only its errors can be read", shell.name));
                return Err(problem.help(format!("did you mean `{}.errors`?", shell.name)));
            }
            None => 0,
        };
        if let Some(read) = self.read[from].get_mut(port) {
            *read = true;
        }
        Ok((from, port))
    }

    /// No node has that name. Those that have nearly the same one are probably meant, and so not unread.
    fn unknown(&mut self, input: &InputSpec, spec: &Spec) -> Problem {
        self.searches += 1;
        if self.searches > SEARCHES {
            return Problem::error(input.node.span, format!("no node named `{}`", input.node));
        }
        let names = || spec.nodes.iter().map(|n| n.name.as_str());
        for name in similar(&input.node, names()) {
            if let Some(&near) = self.by_name.get(name) {
                self.meant[near] = true;
            }
        }
        Problem::unknown(input.node.span, "node", &input.node, names())
    }
}
