//! DataFusion's errors in our words: a problem of the graph while planning, an error of the data or the world while running.

use crate::place::Place;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};
use selvedge_node::{Error, Problem, Problems};

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
    tidy(&text)
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
        DataFusionError::IoError(io) => Error::io("reading or writing", "a spill file", io),
        DataFusionError::ArrowError(a, _) if matches!(a.as_ref(), arrow::error::ArrowError::IoError(..)) => {
            Error::world(text)
        }
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => Error::bug(text),
        _ => Error::data(text),
    }
}
