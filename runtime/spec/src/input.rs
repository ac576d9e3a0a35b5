//! `input:` of a node: `"a"`, `["a", "b.errors"]` or `{"left": "a", "right": ["b", "c"]}`.

use crate::graph::{check_name, entries, is_name};
use crate::loader::Loader;
use selvedge_ron::{Problem, Spanned, Value, ValueKind};

/// One `node`, `node.port`, `$in` or `$in.name`, as written.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub node: Spanned<String>,
    pub output: Option<Spanned<String>>,
}

/// What a reference to the inputs of the included graph begins with.
pub(crate) const INPUT: &str = "$in";

impl Loader<'_> {
    /// The references of one `input:`, each with the port that it feeds.
    pub fn inputs(&mut self, value: &Value) -> Vec<(Option<Spanned<String>>, Reference)> {
        match &value.kind {
            ValueKind::Map(_) | ValueKind::Struct { name: None, .. } => {
                let mut inputs = vec![];
                for (port, value) in entries(value, "port", &mut self.problems) {
                    if check_name(&port, "port", &mut self.problems) {
                        inputs.extend(self.references(&value).into_iter().map(|r| (Some(port.clone()), r)));
                    }
                }
                inputs
            }
            _ => self.references(value).into_iter().map(|r| (None, r)).collect(),
        }
    }

    fn references(&mut self, value: &Value) -> Vec<Reference> {
        match &value.kind {
            ValueKind::Option(Some(inner)) => self.references(inner),
            ValueKind::List(items) if items.is_empty() => {
                let problem = Problem::error(value.span, "expected at least one input");
                self.problems.push(problem.help("a node without inputs has no `input:`"));
                vec![]
            }
            ValueKind::List(items) => items.iter().filter_map(|item| self.reference(item)).collect(),
            _ => self.reference(value).into_iter().collect(),
        }
    }

    pub fn reference(&mut self, value: &Value) -> Option<Reference> {
        let Some(text) = value.as_str() else {
            let problem =
                Problem::error(value.span, format!("expected `node` or `node.port` in quotes, found {}", value.what()));
            let shapes = "an input is \"a\", [\"a\", \"b.errors\"] or {\"left\": \"a\", \"right\": \"b\"}";
            self.problems.push(problem.help(shapes));
            return None;
        };
        let (node, output) = match text.split_once('.') {
            Some((node, output)) => (node, Some(output)),
            None => (text, None),
        };
        let known_node = node == INPUT || node.split('/').all(is_name);
        if !known_node || !output.is_none_or(is_name) {
            let problem =
                Problem::error(value.span, format!("expected `node` or `node.port`, found `{}`", text.escape_debug()));
            self.problems.push(problem.help("names have letters, digits, `_` and `-`"));
            return None;
        }
        // A literal with escapes or put together from parameters has no place for its parts.
        let literal = self.sources.slice(value.span).trim_matches('"') == text;
        let place = |start: usize, part: &str| {
            let mut span = value.span;
            if literal {
                span.start += 1 + start as u32;
                span.end = span.start + part.len() as u32;
            }
            Spanned::new(part.to_string(), span)
        };
        Some(Reference { node: place(0, node), output: output.map(|o| place(node.len() + 1, o)) })
    }
}
