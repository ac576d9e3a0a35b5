//! DataFusion's errors in our words: a problem of the graph while planning, an error of the data or the world while running.

use crate::place::Place;
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};
use selvedge_node::{Error, Problem, Problems};
use std::io::ErrorKind;
use std::path::Path;

/// The message at the bottom of an error, without DataFusion's prefixes and backtrace.
pub(crate) fn message(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::ArrowError(e, _) => e.to_string(),
        DataFusionError::SQL(e, _) => e.to_string(),
        DataFusionError::SchemaError(e, _) => match e.as_ref() {
            SchemaError::FieldNotFound { field, .. } => format!("no column named {}", field.quoted_flat_name()),
            SchemaError::AmbiguousReference { field } => {
                format!("{} may mean several columns: write the table before it", field.quoted_flat_name())
            }
            other => other.to_string(),
        },
        DataFusionError::External(e) => e.to_string(),
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::ResourcesExhausted(text)
        | DataFusionError::Configuration(text) => text.clone(),
        other => other.strip_backtrace(),
    };
    regex(&text).unwrap_or_else(|| tidy(&text))
}

/// What is wrong with a regular expression. DataFusion takes some of it for its own mistake.
fn regex(text: &str) -> Option<String> {
    let number = |from: &str| from.split(|c: char| !c.is_ascii_digit()).next().map(str::to_string);
    for limit in ["CompiledTooBig(", "ompiled regex exceeds size limit of "] {
        if let Some((_, rest)) = text.split_once(limit) {
            let limit = number(rest)?;
            return Some(format!(
                "the regular expression is too big: compiled, it takes more than {limit} bytes; repeat less in it"
            ));
        }
    }
    let (_, rest) = text.split_once("egular expression did not compile: ")?;
    let reason = rest.split("This issue was likely caused").next().unwrap_or(rest);
    Some(format!("the regular expression cannot be read: {}", tidy(reason)))
}

/// Lower case at the start, no full stop at the end, none of the categories that other people's errors begin with.
fn tidy(text: &str) -> String {
    let mut text = text.split("\n\nbacktrace:").next().unwrap_or(text).trim();
    const PREFIXES: [&str; 9] = [
        "Arrow error: ",
        "Cast error: ",
        "Compute error: ",
        "Arithmetic overflow: ",
        "Execution error: ",
        "Invalid argument error: ",
        "Parser error: ",
        "sql parser error: ",
        "Error during planning: ",
    ];
    while let Some(rest) = PREFIXES.iter().find_map(|p| text.strip_prefix(p)) {
        text = rest;
    }
    let text = text.trim_end_matches('.').split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // `UTF8 …` and other acronyms stay.
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text,
    }
}

/// What planning found wrong, at the places that DataFusion knows.
pub(crate) fn problems(error: &DataFusionError, place: Place) -> Problems {
    let mut found = Problems::default();
    collect(error, place, None, &mut found);
    found
}

fn collect(error: &DataFusionError, place: Place, at: Option<SqlSpan>, found: &mut Problems) {
    match error {
        DataFusionError::Collection(errors) => {
            for e in errors {
                collect(e, place, at, found);
            }
        }
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let location = |l: datafusion::common::Location| Location::new(l.line, l.column);
            let span = diagnostic.span.map(|s| SqlSpan::new(location(s.start), location(s.end)));
            collect(inner, place, span.or(at), found);
        }
        DataFusionError::Context(_, inner) => collect(inner, place, at, found),
        DataFusionError::Shared(inner) => collect(inner, place, at, found),
        DataFusionError::SQL(..) => found.push(crate::parse::syntax_problem(error, place)),
        DataFusionError::SchemaError(e, _) => {
            let span = at.map_or(place.whole(), |s| place.span(s));
            found.push(match e.as_ref() {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let known: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
                    let problem = Problem::unknown(span, "column", &field.name, known);
                    match &field.relation {
                        Some(table) => Problem { message: format!("{} in `{table}`", problem.message), ..problem },
                        None => problem,
                    }
                }
                _ => Problem::error(span, message(error)),
            });
        }
        _ => found.push(Problem::error(at.map_or(place.whole(), |s| place.span(s)), message(error))),
    }
}

/// What a plan met that spills to `scratch`.
pub(crate) fn running(e: &DataFusionError, scratch: &Path) -> Error {
    let io = match e.find_root() {
        DataFusionError::IoError(io) => io,
        DataFusionError::ArrowError(a, _) => match a.as_ref() {
            ArrowError::IoError(_, io) => io,
            _ => return error(e),
        },
        _ => return error(e),
    };
    let place = scratch.display();
    match io.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::world(format!("writing what does not fit into memory to {place}: {io}"))
                .help("free some disk space, or point --scratch at another disk")
        }
        _ => Error::io("spilling to", place, io),
    }
}

/// What running found wrong.
pub(crate) fn error(e: &DataFusionError) -> Error {
    // An error of ours that travelled through DataFusion comes out as it went in.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(c) = cause {
        if let Some(ours) = c.downcast_ref::<Error>() {
            return ours.clone();
        }
        cause = c.source();
    }
    let text = message(e);
    match e.find_root() {
        DataFusionError::ResourcesExhausted(_) => {
            Error::world(text).help("give the run more memory with --memory, or the query less to hold at once")
        }
        DataFusionError::IoError(_) => Error::world(text),
        DataFusionError::ArrowError(a, _) if matches!(a.as_ref(), ArrowError::IoError(..)) => Error::world(text),
        DataFusionError::Internal(bug) if regex(bug).is_some() => Error::data(text),
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => Error::bug(text),
        _ => Error::data(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_node::Fault;

    #[test]
    fn a_full_disk_names_the_place_and_the_way_out() {
        let full = || std::io::Error::from(ErrorKind::StorageFull);
        let arrow = ArrowError::IoError("writing".into(), full());
        for e in [DataFusionError::IoError(full()), DataFusionError::from(arrow).context("spilling")] {
            let e = running(&e, Path::new("/fast/run-1"));
            assert_eq!(e.fault, Fault::World);
            assert!(e.message.starts_with("writing what does not fit into memory to /fast/run-1: "), "{e}");
            assert!(e.help.as_ref().is_some_and(|h| h.contains("--scratch")), "{e}");
        }
        let denied = DataFusionError::IoError(ErrorKind::PermissionDenied.into());
        assert!(running(&denied, Path::new("/fast/run-1")).message.contains("/fast/run-1"));
    }
}
