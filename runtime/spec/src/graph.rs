//! The shape of one graph file: `Graph(name:, about:, params:, nodes:)`, and `inputs:` and `outputs:` if others include it.

use selvedge_ron::{Field, Problem, Problems, Span, Spanned, Value, ValueKind};

const FIELDS: [&str; 6] = ["name", "about", "params", "nodes", "inputs", "outputs"];

/// One file, its `${…}` still in it.
#[derive(Debug)]
pub(crate) struct Graph {
    pub name: Option<Value>,
    pub about: Option<Value>,
    pub params: Vec<(Spanned<String>, Value)>,
    pub nodes: Vec<(Spanned<String>, Value)>,
    pub inputs: Vec<Spanned<String>>,
    /// Name, and the `node` or `node.port` that it stands for.
    pub outputs: Vec<(Spanned<String>, Value)>,
}

impl Graph {
    pub fn read(value: &Value, problems: &mut Problems) -> Option<Graph> {
        let fields = named(value, "Graph", "Graph(name: …, nodes: {…})", problems)?;
        let mut graph =
            Graph { name: None, about: None, params: vec![], nodes: vec![], inputs: vec![], outputs: vec![] };
        for field in fields {
            let value = &field.value;
            match field.name.as_str() {
                "name" => graph.name = Some(value.clone()),
                "about" => graph.about = Some(value.clone()),
                "params" => graph.params = names(value, "parameter", problems),
                "nodes" => graph.nodes = names(value, "node", problems),
                "outputs" => graph.outputs = names(value, "output", problems),
                "inputs" => graph.inputs = list(value, problems),
                name => problems.push(Problem::unknown(field.name_span, "field", name, FIELDS)),
            }
        }
        if !fields.iter().any(|f| f.name == "nodes") {
            let span = match &value.kind {
                ValueKind::Struct { name_span, .. } => *name_span,
                _ => value.span,
            };
            problems.push(Problem::error(span, "the graph has no nodes").help("add `nodes: {\"name\": Kind(…)}`"));
        }
        Some(graph)
    }
}

/// The fields of the struct `name` that a file is to hold.
pub(crate) fn named<'v>(value: &'v Value, name: &str, shape: &str, problems: &mut Problems) -> Option<&'v [Field]> {
    match &value.kind {
        ValueKind::Struct { name: Some(found), fields, .. } if found == name => return Some(fields),
        ValueKind::Tuple { name: Some(found), items, .. } if found == name && items.is_empty() => return Some(&[]),
        ValueKind::Struct { name: Some(found), name_span, .. }
        | ValueKind::Tuple { name: Some(found), name_span, .. }
            if found != name =>
        {
            problems.push(
                Problem::error(*name_span, format!("expected `{name}(…)`, found `{found}(…)`"))
                    .help(format!("the file reads {shape}")),
            );
        }
        _ => {
            let problem = Problem::error(value.span, format!("expected `{name}(…)`, found {}", value.what()));
            problems.push(problem.help(format!("the file reads {shape}")));
        }
    }
    None
}

/// `{"name": value}` or `(name: value)`. Names that are none are reported and left out.
pub(crate) fn names(value: &Value, what: &str, problems: &mut Problems) -> Vec<(Spanned<String>, Value)> {
    entries(value, what, problems).into_iter().filter(|(name, _)| check_name(name, what, problems)).collect()
}

/// Like [`names`], with any text for a name.
pub(crate) fn entries(value: &Value, what: &str, problems: &mut Problems) -> Vec<(Spanned<String>, Value)> {
    let mut found = vec![];
    match &value.kind {
        ValueKind::Map(entries) => {
            for (key, value) in entries {
                match key.as_str() {
                    Some(name) => found.push((Spanned::new(name.to_string(), key.span), value.clone())),
                    None => problems.push(Problem::error(
                        key.span,
                        format!("expected the name of a {what} in quotes, found {}", key.what()),
                    )),
                }
            }
        }
        ValueKind::Struct { name: None, fields, .. } => {
            found.extend(fields.iter().map(|f| (Spanned::new(f.name.clone(), f.name_span), f.value.clone())));
        }
        ValueKind::Unit { name: None } => {}
        _ => {
            let problem = Problem::error(value.span, format!("expected a map of {what}s, found {}", value.what()));
            problems.push(problem.help("a map is {\"name\": value, …}"));
        }
    }
    found
}

fn list(value: &Value, problems: &mut Problems) -> Vec<Spanned<String>> {
    let ValueKind::List(items) = &value.kind else {
        let problem =
            Problem::error(value.span, format!("expected a list of the inputs' names, found {}", value.what()));
        problems.push(problem.help("write inputs: [\"in\"]"));
        return vec![];
    };
    let mut names: Vec<Spanned<String>> = vec![];
    for item in items {
        match item.as_str() {
            Some(name) => {
                let name = Spanned::new(name.to_string(), item.span);
                if names.contains(&name) {
                    problems.push(
                        Problem::error(name.span, format!("the input `{}` is here twice", name.value))
                            .help("remove one of the two"),
                    );
                } else if check_name(&name, "input", problems) {
                    names.push(name);
                }
            }
            None => problems
                .push(Problem::error(item.span, format!("expected an input's name in quotes, found {}", item.what()))),
        }
    }
    names
}

/// Letters, digits, `_` and `-`; `/` is what includes put between names, `.` stands before a port.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

pub(crate) fn check_name(name: &Spanned<String>, what: &str, problems: &mut Problems) -> bool {
    let good = is_name(name);
    if !good {
        let problem = Problem::error(name.span, format!("`{}` is no name of a {what}", name.value.escape_debug()));
        problems.push(problem.help("allowed are letters, digits, `_` and `-`"));
    }
    good
}

/// `Kind(fields)`: the name and the struct, or a problem.
pub(crate) fn kind_of(value: &Value, what: &str, problems: &mut Problems) -> Option<(Spanned<String>, Vec<Field>)> {
    let (span, help) = match &value.kind {
        ValueKind::Struct { name: Some(name), name_span, fields } => {
            return Some((Spanned::new(name.clone(), *name_span), fields.clone()));
        }
        ValueKind::Tuple { name: Some(name), name_span, items } if items.is_empty() => {
            return Some((Spanned::new(name.clone(), *name_span), vec![]));
        }
        ValueKind::Unit { name: Some(name) } => (value.span, format!("write {name}()")),
        ValueKind::Tuple { name: Some(name), items, .. } => {
            (items.first().map_or(value.span, |i| i.span), format!("name the values: {name}(field: value, …)"))
        }
        _ => (value.span, "write Kind(field: value, …)".into()),
    };
    problems.push(Problem::error(span, format!("expected a {what} as `Kind(…)`, found {}", value.what())).help(help));
    None
}

/// A kind's struct from its parts.
pub(crate) fn body(kind: &Spanned<String>, fields: Vec<Field>, span: Span) -> Value {
    Value { span, kind: ValueKind::Struct { name: Some(kind.value.clone()), name_span: kind.span, fields } }
}
