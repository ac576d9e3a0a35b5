//! Grok: regular expressions made of named ones. `%{IP:client}` becomes a group around the pattern `IP`.

use super::standard::PATTERNS;
use arrow::datatypes::DataType;
use selvedge_node::{Problem, Problems, Span, Spanned};
use std::collections::BTreeMap;

/// How long a pattern may become. Patterns made of patterns grow fast.
const LONGEST: usize = 256 << 10;

/// How deep patterns may stand in patterns.
const DEPTH: usize = 100;

/// What names of groups start with that stand for fields: a group can have no name twice, nor any name.
const GROUP: &str = "grok__";

#[derive(Debug, Default)]
pub(super) struct Grok {
    /// The regular expression; its group `grok__3` is the field with index 3.
    pub text: String,
    /// Name and, where the pattern tells, type of each.
    pub fields: Vec<(String, Option<DataType>)>,
}

impl Grok {
    /// The field that a group of the expression stands for.
    pub fn field(&self, group: &str) -> Option<&(String, Option<DataType>)> {
        self.fields.get(group.strip_prefix(GROUP)?.parse::<usize>().ok()?)
    }
}

/// Puts patterns in for names. `own` patterns go before the standard ones.
pub(super) fn expand(pattern: &Spanned<String>, own: &BTreeMap<String, Spanned<String>>) -> Result<Grok, Problems> {
    let mut problems = Problems::default();
    for text in own.values().chain([pattern]) {
        for part in parts(text) {
            let Part::Reference(reference) = part else { continue };
            if find(own, reference.name, text.span).is_none() {
                let known = own.keys().map(String::as_str).chain(PATTERNS.iter().map(|(name, _)| *name));
                problems.push(Problem::unknown(text.span, "grok pattern", reference.name, known));
            }
            problems.take(reference.ty().map_err(|what| {
                Problem::error(text.span, what).help("write int, long, float, double, boolean or string")
            }));
        }
    }
    problems.or(())?;
    let mut expansion = Expansion { own, grok: Grok::default(), inside: vec![] };
    expansion.text(pattern, pattern.span)?;
    Ok(expansion.grok)
}

fn find<'a>(own: &'a BTreeMap<String, Spanned<String>>, name: &str, span: Span) -> Option<(&'a str, Span)> {
    if let Some(text) = own.get(name) {
        return Some((text.as_str(), text.span));
    }
    PATTERNS.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text, span))
}

/// `%{NAME:field:type}`.
struct Reference<'a> {
    name: &'a str,
    field: Option<&'a str>,
    ty: Option<&'a str>,
}

impl Reference<'_> {
    fn ty(&self) -> Result<Option<DataType>, String> {
        Ok(Some(match self.ty {
            None => return Ok(None),
            Some("int" | "long") => DataType::Int64,
            Some("float" | "double") => DataType::Float64,
            Some("boolean" | "bool") => DataType::Boolean,
            Some("string") => DataType::Utf8,
            Some(other) => return Err(format!("no grok type named `{other}`")),
        }))
    }
}

enum Part<'a> {
    Text(&'a str),
    Reference(Reference<'a>),
}

/// The parts of a pattern. What only looks like a reference is text, and left to the regular expression.
fn parts(mut text: &str) -> Vec<Part<'_>> {
    let mut parts = vec![];
    while let Some((before, rest)) = text.split_once("%{") {
        let Some((inside, after)) = rest.split_once('}') else { break };
        let mut words = inside.splitn(3, ':');
        let name = words.next().unwrap_or_default().trim();
        parts.push(Part::Text(before));
        parts.push(Part::Reference(Reference { name, field: words.next(), ty: words.next() }));
        text = after;
    }
    parts.push(Part::Text(text));
    parts
}

struct Expansion<'a> {
    own: &'a BTreeMap<String, Spanned<String>>,
    grok: Grok,
    /// The patterns that the current one stands in.
    inside: Vec<&'a str>,
}

impl<'a> Expansion<'a> {
    fn text(&mut self, text: &'a str, span: Span) -> Result<(), Problem> {
        for part in parts(text) {
            match part {
                Part::Text(text) => self.grok.text.push_str(text),
                Part::Reference(reference) => self.reference(reference, span)?,
            }
            if self.grok.text.len() > LONGEST || self.inside.len() > DEPTH {
                let message =
                    format!("the pattern becomes longer than {} KiB, or deeper than {DEPTH} levels", LONGEST >> 10);
                return Err(Problem::error(span, message).help("use fewer patterns inside patterns"));
            }
        }
        Ok(())
    }

    fn reference(&mut self, reference: Reference<'a>, span: Span) -> Result<(), Problem> {
        let Reference { name, field, .. } = reference;
        // Names have been checked.
        let Some((text, place)) = find(self.own, name, span) else { return Ok(()) };
        if let Some(first) = self.inside.iter().position(|n| *n == name) {
            let way: Vec<&str> = self.inside[first..].iter().copied().chain([name]).collect();
            return Err(Problem::error(span, format!("the pattern `{name}` is made of itself: {}", way.join(" → ")))
                .help("a pattern cannot hold itself: repeat a part with `*` or `+`"));
        }
        match field {
            Some(field) => {
                // `[http][request]` as newer patterns write it is `http.request`.
                let field = field.trim().trim_start_matches('[').trim_end_matches(']').replace("][", ".");
                let group = format!("(?P<{GROUP}{}>", self.grok.fields.len());
                self.grok.text.push_str(&group);
                self.grok.fields.push((field, reference.ty().ok().flatten()));
            }
            None => self.grok.text.push_str("(?:"),
        }
        self.inside.push(name);
        self.text(text, place)?;
        self.inside.pop();
        self.grok.text.push(')');
        Ok(())
    }
}
