//! Expressions over aggregates, taken apart: which aggregates to keep for each group, and what to make of their results.
//!
//! ```text
//! sum(dollars) / sum(units)  ─►  aggregates: sum(dollars), sum(units);  result: #0 / #1
//! ```

use crate::aggregate::{CompiledAggregate, compile_aggregate};
use crate::expr::{Compiled, compile_ast};
use crate::parse::{find, parse, unknown_function};
use crate::place::Place;
use crate::session::planner;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{Expr as Ast, Ident, Spanned as _, VisitMut, VisitorMut};
use selvedge_node::{Column as Name, Problem, Problems, Spanned};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A result column.
pub(crate) struct Column {
    pub field: Field,
    /// Over the columns of `by` and the results of the aggregates.
    pub value: Compiled,
}

pub(crate) struct Planned {
    pub aggregates: Vec<CompiledAggregate>,
    /// The columns of `by`, then one for each aggregate.
    pub merged: SchemaRef,
    pub columns: Vec<Column>,
}

/// Plans all result columns. An aggregate that stands in several of them is kept once.
pub(crate) fn split(
    schema: &SchemaRef,
    keys: &SchemaRef,
    columns: &[(Name, Spanned<String>)],
) -> Result<Planned, Problems> {
    let mut problems = Problems::default();
    let mut texts: Vec<String> = vec![];
    let mut aggregates = vec![];
    let mut rests = vec![];
    for (i, (name, text)) in columns.iter().enumerate() {
        if columns[..i].iter().any(|(other, _)| other == name) {
            problems.push(Problem::error(name.span, format!("column `{name}` is defined twice")));
        }
        let Some(mut ast) = problems.take(parse(text)) else { continue };
        let mut taker =
            Taker { schema, keys, place: Place::new(text), taken: &mut texts, new: vec![], problems: &mut problems };
        let _ = VisitMut::visit(&mut ast, &mut taker);
        for aggregate in taker.new {
            aggregates.push(problems.take(compile_aggregate(schema, &aggregate)));
        }
        rests.push((name, text, ast));
    }
    problems.or(())?;
    let aggregates: Vec<CompiledAggregate> = aggregates.into_iter().flatten().collect();

    let mut problems = Problems::default();
    let mut fields: Vec<_> = keys.fields().iter().cloned().collect();
    let results = aggregates.iter().enumerate();
    fields.extend(results.map(|(i, a)| Arc::new(Field::new(result_name(i), a.data_type().clone(), true))));
    let merged: SchemaRef = Arc::new(Schema::new(fields));
    let mut planned = vec![];
    for (name, text, ast) in rests {
        let compiled = compile_ast(&merged, ast, Place::new(text), text.trim().to_string());
        if let Some(value) = problems.take(compiled) {
            let nullable = match value.columns() {
                // A count is never null, and nobody should have to think that it might be.
                [c] if value.text().to_lowercase().starts_with("count(") && *c >= keys.fields().len() => false,
                _ => true,
            };
            planned.push(Column { field: Field::new(name.value.clone(), value.data_type().clone(), nullable), value });
        }
    }
    problems.or(Planned { aggregates, merged, columns: planned })
}

/// The name of an aggregate's result among the columns: none that a user could write.
fn result_name(number: usize) -> String {
    format!("\u{0}{number}")
}

/// Takes the aggregates out of an expression and puts the names of their results in.
struct Taker<'a> {
    schema: &'a Schema,
    keys: &'a Schema,
    place: Place<'a>,
    /// SQL of all aggregates so far.
    taken: &'a mut Vec<String>,
    /// Those of this expression that were not taken before, with its place.
    new: Vec<Spanned<String>>,
    problems: &'a mut Problems,
}

impl VisitorMut for Taker<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<()> {
        match expr {
            Ast::Function(function) => {
                let [part] = function.name.0.as_slice() else { return ControlFlow::Continue(()) };
                let Some(name) = part.as_ident().map(|n| n.value.to_lowercase()) else {
                    return ControlFlow::Continue(());
                };
                let state = planner();
                if let Some(problem) = part.as_ident().and_then(|name| unknown_function(name, self.place)) {
                    self.problems.push(problem);
                    // Its arguments are nobody's mistake.
                    *expr = Ast::Identifier(Ident::with_quote('"', result_name(0)));
                    return ControlFlow::Continue(());
                }
                let scalar = state.scalar_functions().contains_key(&name);
                if scalar || !state.aggregate_functions().contains_key(&name) || function.over.is_some() {
                    return ControlFlow::Continue(());
                }
                let text = function.to_string();
                let number = self.taken.iter().position(|t| *t == text).unwrap_or_else(|| {
                    self.taken.push(text.clone());
                    self.new.push(Spanned::new(text, self.place.span(part.span())));
                    self.taken.len() - 1
                });
                *expr = Ast::Identifier(Ident::with_quote('"', result_name(number)));
            }
            Ast::Identifier(name) => {
                let quoted = name.quote_style.is_some();
                let known = |schema: &Schema| {
                    let names = schema.fields().iter().map(|f| f.name().as_str());
                    find(&name.value, quoted, names).is_ok()
                };
                if !name.value.starts_with('\u{0}') && !known(self.keys) && known(self.schema) {
                    let span = self.place.span(name.span);
                    let message = format!(
                        "`{}` has many values in a group: it is neither in `by` nor inside of an aggregate",
                        name.value
                    );
                    let help = format!("add it to `by`, or say which value is meant: `max({})`", name.value);
                    self.problems.push(Problem::error(span, message).help(help));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
