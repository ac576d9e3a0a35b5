//! `ResolveChoice` and `ResolveChoices`: from what a graph writes to work on a column.

use super::choice::{Action, Resolver, Step, at, castable, choices, path};
use super::edits::{OnError, Resolve};
use super::plan::Planner;
use super::work::Op;
use arrow::datatypes::{DataType, Field};
use selvedge_node::{Column, Problem, Spanned, choice_fields};
use selvedge_schemas::SchemaFile;
use std::collections::HashSet;
use std::sync::Arc;

impl Planner<'_> {
    pub fn resolve_one(&mut self, wanted: &Column, how: &Spanned<Resolve>, on_error: Option<OnError>) {
        let Some((column, steps)) = self.find_path(wanted) else { return };
        let ty = self.fields[column].data_type().clone();
        match at(&ty, &steps) {
            Some(found) if choice_fields(found).is_none() => {
                let message = format!("`{wanted}` must be a choice, but is {found}");
                let help = "a choice comes from a schema file: Choice([Int64, Utf8]); use Cast for other columns";
                self.problems.push(Problem::error(wanted.span, message).help(help));
            }
            _ => {
                let catalog = self.catalog(how);
                self.resolve(column, steps, how, catalog.as_ref(), on_error);
            }
        }
    }

    /// All choices of all columns, the last first: what one becomes moves none of those before it.
    pub fn resolve_all(&mut self, how: &Spanned<Resolve>, on_error: Option<OnError>) {
        let catalog = self.catalog(how);
        for column in (0..self.fields.len()).rev() {
            let ty = self.fields[column].data_type().clone();
            for steps in choices(&ty).into_iter().rev() {
                self.resolve(column, steps, how, catalog.as_ref(), on_error);
            }
        }
    }

    fn catalog(&mut self, how: &Spanned<Resolve>) -> Option<SchemaFile> {
        let Resolve::MatchCatalog(file) = &how.value else { return None };
        let read = SchemaFile::read(&self.base.join(file), file);
        let at_path = |problem: Problem| Problem { span: Some(how.span), ..problem };
        let read = read.map_err(|p| selvedge_node::Problems(p.0.into_iter().map(at_path).collect()));
        self.problems.take(read)
    }

    fn resolve(
        &mut self,
        column: usize,
        steps: Vec<Step>,
        how: &Spanned<Resolve>,
        catalog: Option<&SchemaFile>,
        on_error: Option<OnError>,
    ) {
        let field = self.fields[column].clone();
        let path = path(field.name(), field.data_type(), &steps);
        let Some(choice) = at(field.data_type(), &steps).cloned() else { return };
        let wrong = |message: String| Problem::error(how.span, message);
        let action = match &how.value {
            // A struct is what a choice is.
            Resolve::MakeStruct => return,
            Resolve::MakeCols if steps.last() == Some(&Step::Item) => {
                let problem = wrong(format!("the items `{path}` of a list cannot become several columns"));
                return self.problems.push(problem.help("use Cast or MakeStruct"));
            }
            Resolve::MakeCols => Action::Columns,
            Resolve::Cast(to) | Resolve::Project(to) => match self.ty(&Spanned::new(to.clone(), how.span)) {
                Some(ty) => Action::Cast(ty),
                None => return,
            },
            Resolve::MatchCatalog(file) => {
                let Some(catalog) = catalog else { return };
                let known = catalog.columns.iter().find(|c| c.name == *field.name()).map(|c| c.ty.arrow());
                match known.as_ref().and_then(|known| matching(field.data_type(), known, &steps)) {
                    Some(same) if choice_fields(same).is_some() => return,
                    Some(ty) => Action::Cast(ty.clone()),
                    None => {
                        let problem = wrong(format!("{file} does not say what `{path}` is"));
                        return self.problems.push(problem.help("add it there, or resolve it by Cast"));
                    }
                }
            }
        };
        if let (Resolve::Project(_), Action::Cast(ty)) = (&how.value, &action)
            && choice_fields(&choice).is_some_and(|types| types.iter().all(|f| f.data_type() != ty))
        {
            let types: Vec<String> =
                choice_fields(&choice).into_iter().flatten().map(|f| f.data_type().to_string()).collect();
            let problem = wrong(format!("{ty} is none of the types of `{path}`: {}", types.join(", ")));
            return self.problems.push(problem.help("project to one of them, or use Cast"));
        }
        if let Action::Cast(ty) = &action
            && let Some(bad) = castable(&choice, ty)
        {
            let problem = wrong(format!("`{path}` cannot be cast to {ty}: some of its values are {bad}"));
            return self.problems.push(problem.help("use MakeCols or MakeStruct, and take the parts you want"));
        }
        let resolver = Resolver::new(&path, steps, action, on_error.unwrap_or(self.on_error));
        let parts = match resolver.types(field.data_type()) {
            Ok(parts) => parts,
            Err(e) => return self.problems.push(wrong(e.message)),
        };
        let made: Vec<_> = parts
            .into_iter()
            .map(|(suffix, ty)| Arc::new(Field::new(format!("{}{suffix}", field.name()), ty, true)))
            .collect();
        for new in &made {
            if self.fields.place(new.name()).is_some_and(|other| other != column) {
                let problem = wrong(format!("there is a column `{}` already", new.name()));
                self.problems.push(problem.help("rename the other one first"));
            }
            if let Some(twice) = named_twice(new.data_type()) {
                let problem = wrong(format!("there is a field `{twice}` already in `{}`", new.name()));
                self.problems.push(problem.help("use Cast or MakeStruct"));
            }
        }
        self.fields.splice(column, made);
        self.ops.push(Op::Resolve(column, resolver));
    }

    /// `items[].price`: a column, and the way into it. The name of a column may have dots: then it is meant.
    fn find_path(&mut self, wanted: &Column) -> Option<(usize, Vec<Step>)> {
        if let Some(column) = self.fields.place(wanted) {
            return Some((column, vec![]));
        }
        let mut words = vec![];
        for word in wanted.split('.') {
            let name = word.trim_end_matches("[]");
            words.push(Some(name));
            words.extend(std::iter::repeat_n(None, (word.len() - name.len()) / 2));
        }
        let first = words.first().copied().flatten().unwrap_or_default();
        let column = self.find(&Spanned::new(first.to_string(), wanted.span))?;
        let mut ty = self.fields[column].data_type();
        let mut steps = vec![];
        for word in &words[1..] {
            let problem = match (word, ty) {
                (Some(name), DataType::Struct(fields)) => match fields.iter().position(|f| f.name() == name) {
                    Some(at) => {
                        steps.push(Step::Field(at));
                        ty = fields[at].data_type();
                        continue;
                    }
                    None => {
                        let known = fields.iter().map(|f| f.name().as_str());
                        Problem::unknown(wanted.span, &format!("field of `{wanted}`"), name, known)
                    }
                },
                (None, DataType::List(item)) => {
                    steps.push(Step::Item);
                    ty = item.data_type();
                    continue;
                }
                (Some(name), other) => {
                    let list = matches!(other, DataType::List(_));
                    let problem =
                        Problem::error(wanted.span, format!("`{name}` is sought in {other}, which has no fields"));
                    if list { problem.help("`[]` goes into the items of a list: items[].price") } else { problem }
                }
                (None, other) => {
                    Problem::error(wanted.span, format!("`[]` in `{wanted}` stands behind {other}, which is no list"))
                }
            };
            self.problems.push(problem);
            return None;
        }
        Some((column, steps))
    }
}

/// The type in `known` at the place that the steps lead to in `ty`, by the names of fields.
fn matching<'a>(ty: &DataType, known: &'a DataType, steps: &[Step]) -> Option<&'a DataType> {
    let [step, rest @ ..] = steps else { return Some(known) };
    match (step, ty, known) {
        (Step::Field(i), DataType::Struct(fields), DataType::Struct(others)) => {
            let (_, other) = others.find(fields.get(*i)?.name())?;
            matching(fields[*i].data_type(), other.data_type(), rest)
        }
        (Step::Item, DataType::List(item), DataType::List(other)) => {
            matching(item.data_type(), other.data_type(), rest)
        }
        _ => None,
    }
}

/// A name that two fields of one struct have, wherever it is.
fn named_twice(ty: &DataType) -> Option<&str> {
    match ty {
        DataType::Struct(fields) => {
            let mut seen = HashSet::new();
            let twice = fields.iter().find(|f| !seen.insert(f.name())).map(|f| f.name().as_str());
            twice.or_else(|| fields.iter().find_map(|f| named_twice(f.data_type())))
        }
        DataType::List(item) => named_twice(item.data_type()),
        _ => None,
    }
}
