//! What crosses an edge, written down and fed back: both are changes of the graph's nodes before it is planned, so that it is checked
//! and run like any other.

use selvedge_ron::{Field, Problem, Span, Spanned, Value, ValueKind, parse, similar};
use selvedge_spec::{InputSpec, Loaded, NodeSpec, Spec};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Has what leaves nodes written into folders, besides going where it goes.
pub fn record(loaded: &mut Loaded, places: &[(String, String)]) {
    for (place, folder) in places {
        let text = |folder: &str| format!("Files(path: {folder:?}, format: Parquet(), mode: Append)");
        let Some((spec, body)) = prepared(loaded, "--record", folder, text) else { return };
        match found(spec, place, body.span) {
            Ok((node, output)) => {
                let name = format!("record {place}");
                let inputs = vec![InputSpec { port: None, node, output }];
                spec.nodes.push(node_of(&name, inputs, body));
            }
            Err(problem) => loaded.errors.push(problem),
        }
    }
}

/// Has nodes send what was recorded of them. What is before them and of no other use is left out, and so are ports of theirs of which
/// nothing was recorded.
pub fn replay(loaded: &mut Loaded, places: &[(String, String)]) {
    let Some(spec) = loaded.spec.as_ref().filter(|_| !places.is_empty()) else { return };
    let unread = unread(spec);
    let mut replaced = BTreeSet::new();
    for (place, folder) in places {
        let text = |folder: &str| format!("Files(path: {folder:?}, format: Parquet())");
        let Some((spec, body)) = prepared(loaded, "--replay", folder, text) else { return };
        match found(spec, place, body.span) {
            Ok((node, None))
                if !spec.nodes.iter().flat_map(|n| &n.inputs).any(|i| i.node == node && i.output.is_none()) =>
            {
                let problem = Problem::error(body.span, format!("nobody reads `{node}` without the name of a port"));
                loaded.errors.push(problem.help(format!("name the port: {node}.PORT=…")));
            }
            Ok((node, None)) => {
                for old in spec.nodes.iter_mut().filter(|n| *n.name == *node) {
                    *old = node_of(place, vec![], body.clone());
                }
                replaced.insert(place.clone());
            }
            Ok((node, Some(port))) => {
                let name = format!("replay {place}");
                let readers = spec.nodes.iter_mut().flat_map(|n| &mut n.inputs);
                for input in readers.filter(|i| i.node == node && i.output.as_ref().is_some_and(|o| **o == *port)) {
                    (input.node.value, input.output) = (name.clone(), None);
                }
                spec.nodes.push(node_of(&name, vec![], body));
            }
            Err(problem) => loaded.errors.push(problem),
        }
    }
    if let Some(spec) = loaded.spec.as_mut() {
        let missing = |i: &InputSpec| replaced.contains(i.node.as_str()) && i.output.is_some() && !rejected(i);
        let fed: BTreeSet<String> =
            spec.nodes.iter().filter(|n| !n.inputs.is_empty()).map(|n| n.name.value.clone()).collect();
        while let Some(at) =
            spec.nodes.iter().position(|n| fed.contains(n.name.as_str()) && n.inputs.iter().all(missing))
        {
            let gone = spec.nodes.remove(at);
            spec.nodes.iter_mut().for_each(|n| n.inputs.retain(|i| i.node != gone.name));
        }
        spec.nodes.iter_mut().for_each(|n| n.inputs.retain(|i| !missing(i)));
        prune(spec, unread);
    }
}

/// The nodes of which nobody reads anything but what they reject.
fn unread(spec: &Spec) -> Vec<String> {
    let inputs = spec.nodes.iter().flat_map(|n| &n.inputs).filter(|i| !rejected(i));
    let read: BTreeSet<&str> = inputs.map(|i| i.node.as_str()).collect();
    let names = spec.nodes.iter().map(|n| n.name.value.clone());
    names.filter(|name| !read.contains(name.as_str())).collect()
}

/// Has nodes send the first `rows` rows of recordings of them. Answers the names of the nodes that read the recordings.
pub fn sample(loaded: &mut Loaded, recordings: &[(String, String)], rows: u64) -> Vec<String> {
    let Some(spec) = &loaded.spec else { return vec![] };
    let unread = unread(spec);
    let readers = recordings.iter().filter_map(|(node, folder)| sample_of(loaded, node, folder, rows)).collect();
    if let Some(spec) = &mut loaded.spec {
        prune(spec, unread);
    }
    readers
}

fn sample_of(loaded: &mut Loaded, node: &str, folder: &str, rows: u64) -> Option<String> {
    let text = |folder: &str| format!("Files(path: {folder:?}, format: Parquet())");
    let (spec, body) = prepared(loaded, "--from", folder, text)?;
    let span = body.span;
    let Some(at) = spec.nodes.iter().position(|n| *n.name == node) else {
        let near = similar(node, spec.nodes.iter().map(|n| n.name.as_str()));
        let problem = Problem::unknown(span, "node", node, near);
        loaded.errors.push(problem);
        return None;
    };
    let name = format!("recording of {node}");
    let source = Spanned::new(name.clone(), span);
    let limit = Value {
        span,
        kind: ValueKind::Struct {
            name: None,
            name_span: span,
            fields: vec![Field {
                name: "rows".into(),
                name_span: span,
                value: Value { span, kind: ValueKind::Int(i128::from(rows)) },
            }],
        },
    };
    let input = InputSpec { port: None, node: source, output: None };
    spec.nodes[at] = NodeSpec { kind: Spanned::new("Limit".into(), span), ..node_of(node, vec![input], limit) };
    spec.nodes.push(node_of(&name, vec![], body));
    Some(name)
}

/// Leaves out the nodes from which no row comes to those that nobody read, but rows that they reject.
fn prune(spec: &mut Spec, mut next: Vec<String>) {
    let mut alive = BTreeSet::new();
    while let Some(name) = next.pop() {
        let node = spec.nodes.iter().find(|n| *n.name == name);
        if alive.insert(name) {
            let rows = node.iter().flat_map(|n| &n.inputs).filter(|i| !rejected(i));
            next.extend(rows.map(|i| i.node.value.clone()));
        }
    }
    spec.nodes.retain_mut(|node| {
        let before = node.inputs.len();
        node.inputs.retain(|i| alive.contains(i.node.as_str()));
        alive.contains(node.name.as_str()) && (before == 0 || !node.inputs.is_empty())
    });
}

/// Whether these are rows that a node rejects.
fn rejected(input: &InputSpec) -> bool {
    input.output.as_ref().is_some_and(|port| **port == "errors")
}

/// The graph, and the settings of a node with a folder given on the command line.
fn prepared<'a>(
    loaded: &'a mut Loaded,
    option: &str,
    folder: &str,
    text: impl FnOnce(&str) -> String,
) -> Option<(&'a mut Spec, Value)> {
    let path = std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder));
    let text = text(&path.display().to_string());
    let file = loaded.sources.add(PathBuf::from(option), text.clone());
    match (parse(file, &text), loaded.spec.as_mut()) {
        (Ok(body), Some(spec)) => Some((spec, body)),
        (Err(problems), _) => {
            loaded.errors.0.extend(problems.0);
            None
        }
        _ => None,
    }
}

fn node_of(name: &str, inputs: Vec<InputSpec>, body: Value) -> NodeSpec {
    let span = body.span;
    let spanned = |text: &str| Spanned::new(text.to_string(), span);
    NodeSpec { name: spanned(name), kind: spanned("Files"), inputs, body, span, base: PathBuf::new() }
}

/// `unique`, or `sessions.late`: a node and its port.
fn found(spec: &Spec, place: &str, span: Span) -> Result<(Spanned<String>, Option<Spanned<String>>), Problem> {
    let known = |name: &str| spec.nodes.iter().any(|n| *n.name == name);
    let spanned = |text: &str| Spanned::new(text.to_string(), span);
    if known(place) {
        return Ok((spanned(place), None));
    }
    match place.rsplit_once('.').filter(|(node, _)| known(node)) {
        Some((node, port)) => Ok((spanned(node), Some(spanned(port)))),
        None => {
            let near = similar(place, spec.nodes.iter().map(|n| n.name.as_str()));
            Err(Problem::unknown(span, "node", place, near))
        }
    }
}
