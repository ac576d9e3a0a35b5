//! Serde's errors with a place, the way to it, and words that a graph's author knows.

use crate::print::{quote, shorten};
use crate::{Problem, Span, Value, ValueKind};
use serde::de::{Expected, Unexpected, Visitor};
use std::fmt::{Display, Formatter};

/// One step from a value to a part of it.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Field(String),
    Index(usize),
}

#[derive(Debug)]
pub(super) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    span: Option<Span>,
    message: String,
    help: Option<String>,
    /// Innermost step first.
    path: Vec<Step>,
    /// A field is missing: the place is the struct's name, not all of its text.
    missing: bool,
}

impl Error {
    fn new(message: String, help: Option<String>) -> Error {
        Error(Box::new(Inner { span: None, message, help, path: vec![], missing: false }))
    }

    pub fn expected(expected: &str, found: &str) -> Error {
        Error::new(format!("expected {expected}, found {found}"), None)
    }

    pub fn help(mut self, help: Option<String>) -> Error {
        self.0.help = help;
        self
    }

    /// The place, unless a closer one is known.
    pub fn at(mut self, value: &Value) -> Error {
        self.0.span.get_or_insert(value.span);
        self
    }

    pub fn at_span(mut self, span: Span) -> Error {
        self.0.span.get_or_insert(span);
        self
    }

    /// Like [`Error::at`], for what is wrong with the struct as a whole.
    pub fn at_struct(self, value: &Value) -> Error {
        match &value.kind {
            ValueKind::Struct { name: Some(name), name_span, .. }
            | ValueKind::Tuple { name: Some(name), name_span, .. }
                if self.0.missing && self.0.span.is_none() =>
            {
                let mut error = self.at_span(*name_span);
                error.0.message = format!("`{name}` has {}", error.0.message.replacen("missing", "no", 1));
                error
            }
            _ => self.at(value),
        }
    }

    pub fn within(mut self, step: Step) -> Error {
        self.0.path.push(step);
        self
    }

    pub fn into_problem(self, fallback: Span) -> Problem {
        let Inner { span, mut message, help, path, .. } = *self.0;
        let mut way = String::new();
        for step in path.iter().rev() {
            match step {
                Step::Field(name) if way.is_empty() => way.push_str(name),
                Step::Field(name) => way.push_str(&format!(".{name}")),
                Step::Index(i) => way.push_str(&format!("[{i}]")),
            }
        }
        if !way.is_empty() {
            message.push_str(&format!(" in field `{way}`"));
        }
        Problem { help, ..Problem::error(span.unwrap_or(fallback), message) }
    }
}

/// A type's own message may quote the text that it refused: no secret of `value` stays in it.
pub(super) fn masked(mut problem: Problem, value: &Value) -> Problem {
    let mut secrets = vec![];
    collect(value, &mut secrets);
    for secret in secrets.into_iter().filter(|s| !s.is_empty()) {
        let quoted = quote(secret);
        for form in [secret, &quoted[1..quoted.len() - 1]] {
            problem.message = problem.message.replace(form, "***");
            problem.help = problem.help.map(|h| h.replace(form, "***"));
        }
    }
    problem
}

fn collect<'a>(value: &'a Value, secrets: &mut Vec<&'a str>) {
    match &value.kind {
        ValueKind::Secret(s) => secrets.push(s.expose()),
        ValueKind::Option(Some(v)) => collect(v, secrets),
        ValueKind::List(items) | ValueKind::Tuple { items, .. } => items.iter().for_each(|v| collect(v, secrets)),
        ValueKind::Struct { fields, .. } => fields.iter().for_each(|f| collect(&f.value, secrets)),
        ValueKind::Map(entries) => entries.iter().for_each(|(k, v)| {
            collect(k, secrets);
            collect(v, secrets);
        }),
        _ => {}
    }
}

/// The value for a message: short ones in full.
pub(super) fn describe(value: &Value) -> String {
    match &value.kind {
        ValueKind::Str(s) => format!("the string {}", quote(&shorten(s))),
        ValueKind::Int(_) => format!("the integer {value}"),
        ValueKind::Float(_) => format!("the float {value}"),
        ValueKind::Bool(_) => format!("{value}"),
        ValueKind::Char(_) => format!("the character {value}"),
        _ => value.what(),
    }
}

/// What a type wants, without the words of Rust.
pub(super) fn expecting<'de, V: Visitor<'de>>(visitor: &V) -> String {
    struct Wanted<'a, V>(&'a V);
    impl<'de, V: Visitor<'de>> Display for Wanted<'_, V> {
        fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
            self.0.expecting(f)
        }
    }
    plain(&Wanted(visitor).to_string())
}

fn plain(wanted: &str) -> String {
    let first = wanted.split(' ').next().unwrap_or_default();
    match wanted {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => {
            "an integer".into()
        }
        "f32" | "f64" => "a number".into(),
        "a sequence" | "sequence" => "a list".into(),
        "unit" => "()".into(),
        "option" => "a value or None".into(),
        _ if wanted.starts_with("a tuple of size") => count(wanted),
        _ if first == "struct" && wanted.ends_with(" elements") => count(wanted),
        _ if first == "struct" => "named fields".into(),
        _ if first == "tuple" => count(wanted),
        _ => wanted.into(),
    }
}

/// `tuple variant Edit::Rename with 2 elements` is `2 values`.
fn count(wanted: &str) -> String {
    match wanted.rsplit_once("with ").and_then(|(_, n)| n.split(' ').next()?.parse::<usize>().ok()) {
        Some(1) => "1 value".into(),
        Some(n) => format!("{n} values"),
        None => match wanted.rsplit_once("size ") {
            Some((_, n)) => format!("{n} values"),
            None => "values in brackets".into(),
        },
    }
}

pub(super) fn one_of(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
    match names.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

fn found(unexpected: Unexpected) -> String {
    match unexpected {
        Unexpected::Bool(b) => b.to_string(),
        Unexpected::Unsigned(n) => format!("the integer {n}"),
        Unexpected::Signed(n) => format!("the integer {n}"),
        Unexpected::Float(x) => format!("the float {x:?}"),
        Unexpected::Char(c) => format!("the character {c:?}"),
        Unexpected::Str(s) => format!("the string {}", quote(&shorten(s))),
        Unexpected::Bytes(_) => "a byte string".into(),
        Unexpected::Unit => "()".into(),
        Unexpected::Option => "an optional value".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a map".into(),
        Unexpected::NewtypeVariant | Unexpected::TupleVariant => "values in brackets".into(),
        Unexpected::StructVariant => "named fields".into(),
        Unexpected::UnitVariant => "a bare name".into(),
        other => other.to_string(),
    }
}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Error {
        Error::new(message.to_string(), None)
    }

    fn invalid_type(unexpected: Unexpected, expected: &dyn Expected) -> Error {
        Error::expected(&plain(&expected.to_string()), &found(unexpected))
    }

    fn invalid_value(unexpected: Unexpected, expected: &dyn Expected) -> Error {
        Error::expected(&plain(&expected.to_string()), &found(unexpected))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Error {
        Error::expected(&plain(&expected.to_string()), &length.to_string())
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Error {
        unknown("variant", variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Error {
        unknown("field", field, expected)
    }

    fn missing_field(field: &'static str) -> Error {
        let mut error = Error::new(format!("missing field `{field}`"), Some(format!("add `{field}: …`")));
        error.0.missing = true;
        error
    }

    fn duplicate_field(field: &'static str) -> Error {
        Error::new(format!("the field `{field}` is here twice"), Some("remove one of the two".into()))
    }
}

fn unknown(what: &str, name: &str, known: &'static [&'static str]) -> Error {
    let Problem { message, help, .. } = Problem::unknown(Span::default(), what, &shorten(name), known.iter().copied());
    Error::new(message, help)
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}
