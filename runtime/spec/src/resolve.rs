//! `${name}`, `${env:NAME}`, `${env:NAME:-default}` and `${secret:NAME}` in the strings of a parsed tree. They are values, not
//! text: a parameter can neither break the syntax around it nor hide what it is.

use crate::loader::Loader;
use selvedge_ron::{Problem, Secret, Span, Spanned, Value, ValueKind};
use std::collections::HashMap;

/// How much all `${…}` of a load may put in, in bytes of memory, about: parameters that double one another end here.
pub(crate) const BUDGET: usize = 64 << 20;

/// As deep as the parser lets a document be.
const MAX_DEPTH: usize = 128;

/// How many parameters may refer to one another in a row.
const MAX_CHAIN: usize = 32;

/// The parameters that a graph sees.
pub(crate) struct Scope {
    slots: HashMap<String, Slot>,
    /// Those being resolved, outermost first.
    busy: Vec<String>,
}

struct Slot {
    state: State,
    used: bool,
}

enum State {
    Raw(Value),
    Busy,
    /// `None` if it could not be resolved; that is reported.
    Done(Option<Value>),
}

impl Scope {
    pub fn new(params: &[(Spanned<String>, Value)]) -> Scope {
        let slots = params
            .iter()
            .map(|(name, value)| (name.value.clone(), Slot { state: State::Raw(value.clone()), used: false }));
        Scope { slots: slots.collect(), busy: vec![] }
    }

    /// Gives a parameter another value, which may have `${…}` of its own.
    pub fn put(&mut self, name: &str, value: Value) {
        self.slots.insert(name.into(), Slot { state: State::Raw(value), used: false });
    }

    /// Gives a parameter a value from another scope, to be taken as it is.
    pub fn bind(&mut self, name: &str, value: Value) {
        self.slots.insert(name.into(), Slot { state: State::Done(Some(value)), used: false });
    }

    pub fn is_used(&self, name: &str) -> bool {
        self.slots.get(name).is_none_or(|s| s.used)
    }
}

impl Loader<'_> {
    /// The value with every `${…}` replaced. What cannot be is reported and left out. `depth` is how deep the value stands.
    pub fn resolve(&mut self, scope: &mut Scope, mut value: Value, depth: usize) -> Value {
        match &mut value.kind {
            ValueKind::Str(text) if text.contains("${") => {
                let text = std::mem::take(text);
                value.kind = self.text(scope, &text, value.span, depth);
            }
            ValueKind::Option(Some(inner)) => self.resolve_in_place(scope, inner, depth + 1),
            ValueKind::List(items) | ValueKind::Tuple { items, .. } => {
                items.iter_mut().for_each(|item| self.resolve_in_place(scope, item, depth + 1));
            }
            ValueKind::Map(entries) => entries.iter_mut().for_each(|(_, v)| self.resolve_in_place(scope, v, depth + 1)),
            ValueKind::Struct { fields, .. } => {
                fields.iter_mut().for_each(|f| self.resolve_in_place(scope, &mut f.value, depth + 1))
            }
            _ => {}
        }
        value
    }

    fn resolve_in_place(&mut self, scope: &mut Scope, value: &mut Value, depth: usize) {
        let taken = std::mem::replace(value, Value { span: value.span, kind: ValueKind::Unit { name: None } });
        *value = self.resolve(scope, taken, depth);
    }

    fn text(&mut self, scope: &mut Scope, text: &str, span: Span, depth: usize) -> ValueKind {
        let mut out = String::new();
        let mut secret = false;
        let mut at = 0;
        while let Some(found) = text[at..].find("${") {
            let start = at + found;
            if text[at..start].ends_with('$') {
                out.push_str(&text[at..start - 1]);
                out.push_str("${");
                at = start + 2;
                continue;
            }
            out.push_str(&text[at..start]);
            let Some(length) = text[start..].find('}') else {
                let place = self.place(span, text, start, "${");
                let problem = Problem::error(place, "this `${` is never closed");
                self.problems.push(problem.help("close it with `}`, or write `$${` for the two characters themselves"));
                return ValueKind::Str(out);
            };
            let whole = &text[start..start + length + 1];
            let place = self.place(span, text, start, whole);
            at = start + whole.len();
            let Some(value) = self.lookup(scope, &whole[2..whole.len() - 1], place, depth) else { continue };
            if whole.len() == text.len() {
                return value.kind;
            }
            match &value.kind {
                ValueKind::Str(s) => out.push_str(s),
                ValueKind::Secret(s) => {
                    secret = true;
                    out.push_str(s.expose());
                }
                ValueKind::Char(c) => out.push(*c),
                ValueKind::Bool(_) | ValueKind::Int(_) | ValueKind::Float(_) => out.push_str(&value.to_string()),
                _ => {
                    let problem = Problem::error(
                        place,
                        format!("expected text or a number inside a string, found {}", value.what()),
                    );
                    self.problems
                        .push(problem.help(format!("let \"{whole}\" be the whole string to put the value in")));
                }
            }
        }
        out.push_str(&text[at..]);
        if secret { ValueKind::Secret(Secret::new(out)) } else { ValueKind::Str(out) }
    }

    /// Where in the file `part` stands, which is at `start` in the string that the literal at `span` spells.
    fn place(&self, span: Span, text: &str, start: usize, part: &str) -> Span {
        self.sources.within(span, part, text[..start].matches(part).count())
    }

    fn lookup(&mut self, scope: &mut Scope, name: &str, place: Span, depth: usize) -> Option<Value> {
        let string = |text: String| Value { span: place, kind: ValueKind::Str(text) };
        if let Some(name) = name.strip_prefix("env:") {
            self.environment(name, place).map(string)
        } else if let Some(name) = name.strip_prefix("secret:") {
            let text = self.secret(name, place)?;
            Some(Value { span: place, kind: ValueKind::Secret(Secret::new(text)) })
        } else {
            self.param(scope, name, place, depth)
        }
    }

    /// The value of a parameter, resolved when first asked for.
    pub fn param(&mut self, scope: &mut Scope, name: &str, place: Span, depth: usize) -> Option<Value> {
        let Some(slot) = scope.slots.get_mut(name) else {
            let mut known: Vec<&str> = scope.slots.keys().map(String::as_str).collect();
            known.sort_unstable();
            let problem = Problem::unknown(place, "parameter", name, known);
            self.problems.push(match problem.help {
                Some(_) => problem,
                None => problem.help(format!(
                    "declare it: params: {{\"{name}\": …}}; `$${{` writes the two characters themselves"
                )),
            });
            return None;
        };
        slot.used = true;
        let state = std::mem::replace(&mut slot.state, State::Busy);
        let value = match state {
            State::Done(value) => value,
            State::Busy => {
                let from = scope.busy.iter().position(|b| b == name).unwrap_or(0);
                let way: Vec<String> = scope.busy[from..].iter().map(|n| format!("`{n}`")).collect();
                let problem = Problem::error(place, format!("the parameter `{name}` refers to itself"));
                self.problems.push(problem.help(format!("{} → `{name}`", way.join(" → "))));
                return None;
            }
            State::Raw(_) if scope.busy.len() == MAX_CHAIN => {
                self.problems.push(Problem::error(
                    place,
                    format!("more than {MAX_CHAIN} parameters refer to one another in a row"),
                ));
                None
            }
            State::Raw(value) => {
                scope.busy.push(name.into());
                let value = self.resolve(scope, value, 0);
                scope.busy.pop();
                Some(value)
            }
        };
        if let Some(slot) = scope.slots.get_mut(name) {
            slot.state = State::Done(value.clone());
        }
        let value = value?;
        let (size, levels) = measure(&value);
        if depth + levels > MAX_DEPTH {
            self.problems.push(Problem::error(place, format!("nested deeper than {MAX_DEPTH} levels")));
            return None;
        }
        let Some(left) = self.budget.checked_sub(size) else {
            self.problems
                .push(Problem::error(place, format!("the parameters' values grow beyond {} MiB", BUDGET >> 20)));
            return None;
        };
        self.budget = left;
        Some(value)
    }

    fn environment(&mut self, name: &str, place: Span) -> Option<String> {
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        match (self.options.env.get(name), default) {
            // As in a shell, `:-` also stands in for an empty variable.
            (Some(value), Some(default)) if value.is_empty() => Some(default.into()),
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(default.into()),
            (None, None) => {
                let near = selvedge_ron::nearest(name, self.options.env.keys().map(String::as_str));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`? Else set it, or write `${{env:{name}:-default}}`"),
                    None => format!("set it, or write `${{env:{name}:-default}}`"),
                };
                self.problems.push(Problem::error(place, format!("no environment variable named `{name}`")).help(help));
                None
            }
        }
    }

    fn secret(&mut self, name: &str, place: Span) -> Option<String> {
        match (self.options.vault)(name, &self.options.env) {
            None => {}
            Some(Ok(text)) => return Some(text),
            Some(Err((why, help))) => {
                let problem = Problem::error(place, format!("cannot read the secret `{name}`: {why}"));
                self.problems.push(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                return None;
            }
        }
        let plain =
            name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) && !name.starts_with('.');
        if name.is_empty() || !plain {
            let problem = Problem::error(place, format!("`{name}` is no name of a secret"));
            self.problems.push(problem.help("allowed are letters, digits, `_`, `-` and `.`"));
            return None;
        }
        if let Some(text) = self.options.env.get(&format!("SELVEDGE_SECRET_{name}")) {
            return Some(text.clone());
        }
        let Some(folder) = self.options.env.get("SELVEDGE_SECRETS_DIR") else {
            let problem = Problem::error(place, format!("no secret named `{name}`"));
            self.problems.push(
                problem.help(format!(
                    "set SELVEDGE_SECRET_{name}, or SELVEDGE_SECRETS_DIR to a folder with a file {name}"
                )),
            );
            return None;
        };
        let path = std::path::Path::new(folder).join(name);
        match self.files.read(&path) {
            Ok(text) => {
                Some(text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t)).into())
            }
            Err(error) => {
                let problem =
                    Problem::error(place, format!("cannot read the secret `{name}`: {}: {error}", path.display()));
                self.problems.push(problem.help(format!("set SELVEDGE_SECRET_{name}, or write the file")));
                None
            }
        }
    }
}

/// Bytes and levels of a value, about.
fn measure(value: &Value) -> (usize, usize) {
    let own = size_of::<Value>();
    let all = |parts: &mut dyn Iterator<Item = &Value>| {
        parts.map(measure).fold((own, 1), |(size, levels), (s, l)| (size + s, levels.max(l + 1)))
    };
    match &value.kind {
        ValueKind::Str(s) => (own + s.len(), 0),
        ValueKind::Secret(s) => (own + s.expose().len(), 0),
        ValueKind::Bytes(b) => (own + b.len(), 0),
        ValueKind::Option(Some(v)) => all(&mut std::iter::once(&**v)),
        ValueKind::List(items) | ValueKind::Tuple { items, .. } => all(&mut items.iter()),
        ValueKind::Map(entries) => all(&mut entries.iter().flat_map(|(k, v)| [k, v])),
        ValueKind::Struct { fields, .. } => all(&mut fields.iter().map(|f| &f.value)),
        _ => (own, 0),
    }
}
