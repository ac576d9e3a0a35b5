//! The schema of a port that several edges enter.

use arrow::datatypes::{Field, Schema, SchemaRef};
use selvedge_node::{Problem, Problems, Span};
use std::collections::HashMap;
use std::sync::Arc;

/// Columns that a message names.
const NAMED: usize = 6;

/// What comes along one edge.
pub(crate) struct Arriving {
    pub schema: SchemaRef,
    /// The place of the edge in the text.
    pub span: Span,
    /// `node`, or `node.port`.
    pub name: String,
}

/// Equal names and types in the same order; a column may be null if it may be on any edge. `Err` without a problem where
/// nothing arrives: that is reported elsewhere.
pub(crate) fn merge(edges: &[Arriving]) -> Result<SchemaRef, Problems> {
    let Some((first, rest)) = edges.split_first() else { return Err(Problems::default()) };
    let mut problems = Problems::default();
    let mut fields: Vec<Field> = first.schema.fields().iter().map(|f| (**f).clone()).collect();
    for other in rest.iter().filter(|other| !Arc::ptr_eq(&other.schema, &first.schema)) {
        if let Some(detail) = difference(first, other) {
            let message = format!("rows of `{}` and `{}` come together here, but {detail}", first.name, other.name);
            let help = "make them equal with SchemaEdit, or put a Union(by: Name) in between";
            problems.push(Problem::error(other.span, message).help(help));
            continue;
        }
        for (field, other) in fields.iter_mut().zip(other.schema.fields()) {
            field.set_nullable(field.is_nullable() || other.is_nullable());
        }
    }
    problems.or(())?;
    let same = fields.iter().zip(first.schema.fields()).all(|(a, b)| a == &**b);
    Ok(if same { first.schema.clone() } else { Arc::new(Schema::new(fields)) })
}

/// How two schemas differ, in words; `None` where they do not.
fn difference(a: &Arriving, b: &Arriving) -> Option<String> {
    let (x, y) = (a.schema.fields(), b.schema.fields());
    if x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.name() == y.name() && x.data_type() == y.data_type()) {
        return None;
    }
    let types =
        |s: &Schema| s.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<HashMap<_, _>>();
    let (in_a, in_b) = (types(&a.schema), types(&b.schema));
    let only = |from: &Schema, other: &HashMap<_, _>| {
        let names = from.fields().iter().map(|f| f.name()).filter(|n| !other.contains_key(*n));
        names.map(|n| format!("`{n}`")).collect::<Vec<_>>()
    };
    let types = a.schema.fields().iter().filter_map(|f| {
        let other = in_b.get(f.name())?;
        let (name, ty) = (f.name(), f.data_type());
        (ty != other).then(|| format!("`{name}` is {ty} in `{}` and {other} in `{}`", a.name, b.name))
    });
    let mut parts: Vec<String> = vec![];
    for (columns, place) in [(only(&a.schema, &in_b), &a.name), (only(&b.schema, &in_a), &b.name)] {
        if !columns.is_empty() {
            parts.push(format!("only `{place}` has {}", some(&columns, ", ")));
        }
    }
    let types: Vec<String> = types.collect();
    if !types.is_empty() {
        parts.push(some(&types, ", "));
    }
    Some(if parts.is_empty() { "their columns stand in another order".into() } else { parts.join("; ") })
}

fn some(parts: &[String], separator: &str) -> String {
    let shown = parts.iter().take(NAMED).cloned().collect::<Vec<_>>().join(separator);
    if parts.len() > NAMED { format!("{shown} and {} more", parts.len() - NAMED) } else { shown }
}
