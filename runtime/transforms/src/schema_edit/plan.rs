//! Edits become operations on column indices, while a schema is carried along. Every problem is found; what depends on a name
//! that only a wrong edit would have made is left in peace.

use super::columns::Columns;
use super::dates::DateParser;
use super::edits::{Config, Edit, OnError};
use super::numbers::NumberParser;
use super::work::{Convert, Op, Parse};
use crate::fill::Fill;
use crate::literal::Literal;
use crate::one_or_many::OneOrMany;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use selvedge_node::{Column, Fields, Problem, Problems, Span, Spanned, Type};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

pub(super) struct Planner<'a> {
    /// Where relative paths start.
    pub base: &'a Path,
    /// The columns as the edits so far have left them.
    pub fields: Columns,
    pub ops: Vec<Op>,
    pub problems: Problems,
    /// Names that would be there if the edits before were right.
    ghosts: HashSet<String>,
    pub on_error: OnError,
}

impl Planner<'_> {
    pub fn plan<'a>(schema: &Schema, config: Config, base: &'a Path) -> Planner<'a> {
        let mut planner = Planner {
            base,
            fields: Columns::new(schema.fields().to_vec()),
            ops: vec![],
            problems: Problems::default(),
            ghosts: HashSet::new(),
            on_error: config.on_error,
        };
        for edit in config.edits {
            planner.edit(edit);
        }
        planner
    }

    fn edit(&mut self, edit: Spanned<Edit>) {
        let span = edit.span;
        match edit.value {
            Edit::Drop { columns } => {
                let dropped = self.find_all(&columns);
                let kept = self.fields.others(&dropped);
                if kept.is_empty() {
                    self.problems.push(Problem::error(span, "this drops the last column"));
                } else {
                    self.pick(kept);
                }
            }
            Edit::Keep { columns } => {
                if let Some(mut kept) = self.only(&columns, span) {
                    kept.sort();
                    self.pick(kept);
                }
            }
            Edit::Select { columns } => {
                if let Some(kept) = self.only(&columns, span) {
                    self.pick(kept);
                }
            }
            Edit::Reorder { columns } => {
                let mut order = self.find_all(&columns);
                order.extend(self.fields.others(&order));
                self.pick(order);
            }
            Edit::Rename { column, to } => self.rename(vec![(column, to)]),
            Edit::Renames { columns } => {
                self.problems.0.extend(columns.problems("column").0);
                self.rename(columns.0);
            }
            Edit::Cast { column, to, on_error, format: None } => self.cast(&column, &to, on_error),
            Edit::Cast { column, to, on_error, format: Some(format) } => {
                self.parse_date(&column, &format, Some(to), on_error)
            }
            Edit::Casts { columns, on_error } => {
                self.problems.0.extend(columns.problems("column").0);
                for (column, to) in columns.0 {
                    self.cast(&column, &to, on_error);
                }
            }
            Edit::ResolveChoice { column, how, on_error } => self.resolve_one(&column, &how, on_error),
            Edit::ResolveChoices { how, on_error } => self.resolve_all(&how, on_error),
            Edit::Add { column, value, to } => self.add(column, value, to),
            Edit::Default { column, value } => self.default(&column, &value),
            Edit::Flatten { column, separator, prefix } => self.flatten(&column, &separator, prefix),
            Edit::ParseDate { column, format, to, on_error } => self.parse_date(&column, &format, to, on_error),
            Edit::ParseNumber { column, to, decimal, thousands, currency, percent, on_error } => {
                if decimal == thousands {
                    let message = format!("`{thousands}` cannot part both thousands and decimals");
                    self.problems.push(
                        Problem::error(thousands.span, message).help("give both: decimal: \",\", thousands: \".\""),
                    );
                }
                let parser = NumberParser::new(decimal.value, thousands.value, currency, percent);
                let to = to.unwrap_or_else(|| Spanned::new(Type::Float64, span));
                let ty = self.ty(&to).unwrap_or(DataType::Float64);
                if !(ty.is_numeric()) {
                    self.problems.push(Problem::error(to.span, format!("ParseNumber reads numbers, not {ty}")));
                } else if percent && ty.is_integer() {
                    self.problems
                        .push(Problem::error(to.span, format!("a percentage has a fraction, but {ty} holds none")));
                }
                self.parse(&column, ty, Parse::Number(parser), on_error);
            }
        }
    }

    /// Index of a column; a wrong name is reported, unless an earlier problem is to blame.
    pub fn find(&mut self, name: &Column) -> Option<usize> {
        match self.fields.find(name) {
            Err(_) if self.ghosts.contains(&name.value) => None,
            found => self.problems.take(found),
        }
    }

    fn find_all(&mut self, names: &[Column]) -> Vec<usize> {
        let mut all: Vec<usize> = vec![];
        let mut seen = HashSet::new();
        for name in names {
            let Some(index) = self.find(name) else { continue };
            if seen.insert(index) {
                all.push(index);
            } else {
                self.problems.push(Problem::error(name.span, format!("column `{name}` is named twice")));
            }
        }
        all
    }

    /// The columns that alone are to stay. `None` if some were not found: one wrong name must not make all later edits look
    /// wrong.
    fn only(&mut self, columns: &[Column], span: Span) -> Option<Vec<usize>> {
        let kept = self.find_all(columns);
        if columns.is_empty() {
            self.problems.push(Problem::error(span, "this drops the last column"));
        }
        (kept.len() == columns.len() && !kept.is_empty()).then_some(kept)
    }

    fn pick(&mut self, indices: Vec<usize>) {
        self.fields.pick(&indices);
        self.ops.push(Op::Pick(indices));
    }

    /// The type, unless it cannot be.
    pub fn ty(&mut self, ty: &Spanned<Type>) -> Option<DataType> {
        let checked = Fields(vec![(Spanned::default(), ty.clone())]).problems();
        self.problems.take(checked.or(ty.arrow()))
    }

    /// Whether a column of that name may be made.
    fn is_free(&mut self, name: &str, span: Span) -> bool {
        let taken = self.fields.place(name).is_some();
        if taken {
            let problem = Problem::error(span, format!("there is a column `{name}` already"));
            self.problems.push(problem.help("drop or rename the other one first"));
        }
        !taken
    }

    fn rename(&mut self, names: Vec<(Column, Column)>) {
        let old: Vec<Option<usize>> = names.iter().map(|(old, _)| self.find(old)).collect();
        let leaving: HashSet<usize> = old.iter().flatten().copied().collect();
        let mut renamed = self.fields.to_vec();
        let mut taken: HashSet<&str> = HashSet::new();
        for (old, (_, new)) in old.iter().zip(&names) {
            let kept = self.fields.place(new).is_some_and(|at| !leaving.contains(&at));
            if !taken.insert(new) || kept {
                let problem = Problem::error(new.span, format!("there is a column `{new}` already"));
                self.problems.push(problem.help("drop or rename the other one first"));
            } else if let Some(at) = old {
                renamed[*at] = Arc::new(renamed[*at].as_ref().clone().with_name(new.value.clone()));
            } else {
                self.ghosts.insert(new.value.clone());
            }
        }
        self.fields = Columns::new(renamed);
    }

    fn cast(&mut self, column: &Column, to: &Spanned<Type>, on_error: Option<OnError>) {
        let (found, ty) = (self.find(column), self.ty(to));
        let (Some(at), Some(ty)) = (found, ty) else { return };
        let from = self.fields[at].data_type();
        if *from == ty {
            return;
        }
        if !selvedge_cast::supported(from, &ty) {
            let problem = Problem::error(to.span, format!("column `{column}` cannot be cast from {from} to {ty}"));
            let help = match from {
                choice if selvedge_node::choice_fields(choice).is_some() => "it is a choice: ResolveChoice(…)",
                DataType::Struct(_) => "take it apart first: Flatten(…)",
                t if t.is_nested() => "take it apart first with Explode",
                t if t.is_numeric() && matches!(ty, DataType::Date32) => {
                    "cast it to Utf8 and read it by its format: ParseDate(…, \"%Y%m%d\")"
                }
                _ => "cast it to Utf8 in between, if its text is what you want",
            };
            self.problems.push(problem.help(help));
            return;
        }
        self.convert(at, ty, None, on_error);
    }

    fn convert(&mut self, at: usize, ty: DataType, parse: Option<Parse>, on_error: Option<OnError>) {
        let on_error = on_error.unwrap_or(self.on_error);
        let name = self.fields[at].name().clone();
        self.ops.push(Op::Convert(at, Convert::new(&name, ty.clone(), parse, on_error)));
        self.fields.retype(at, ty);
    }

    /// As `convert`, of a text column.
    fn parse(&mut self, column: &Column, ty: DataType, parse: Parse, on_error: Option<OnError>) {
        let Some(at) = self.find(column) else { return };
        let from = self.fields[at].data_type();
        let text =
            |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
        if !(text(from) || matches!(from, DataType::Dictionary(_, v) if text(v))) {
            let problem = Problem::error(column.span, format!("column `{column}` must be text, but is {from}"));
            self.problems.push(problem.help(format!("use Cast(\"{column}\", …), or cast it to Utf8 first")));
            return;
        }
        self.convert(at, ty, Some(parse), on_error);
    }

    fn parse_date(
        &mut self,
        column: &Column,
        formats: &Spanned<OneOrMany>,
        to: Option<Spanned<Type>>,
        on_error: Option<OnError>,
    ) {
        let to = to.unwrap_or_else(|| Spanned::new(Type::Date, formats.span));
        let ty = self.ty(&to).unwrap_or(DataType::Date32);
        if !matches!(ty, DataType::Date32 | DataType::Timestamp(..)) {
            let problem = Problem::error(to.span, format!("a format reads dates and timestamps, not {ty}"));
            self.problems.push(problem.help("write Date, Timestamp or LocalTimestamp(…)"));
        }
        match DateParser::new(&formats.0) {
            Ok(parser) => self.parse(column, ty, Parse::Date(parser), on_error),
            Err(message) => {
                self.problems
                    .push(Problem::error(formats.span, message).help("for example `%d/%m/%Y` or `dd/MM/yyyy`"));
                if let Some(at) = self.find(column) {
                    self.fields.retype(at, ty);
                }
            }
        }
    }

    fn add(&mut self, column: Column, value: Spanned<Literal>, to: Option<Spanned<Type>>) {
        let free = self.is_free(&column, column.span);
        let ty = match &to {
            Some(to) => self.ty(to),
            None => Some(match &value.value {
                Literal::Text(t) if t == "now()" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                Literal::Text(t) if t == "today()" => DataType::Date32,
                other => other.natural(),
            }),
        };
        let fill = ty.clone().and_then(|ty| {
            let fill = Fill::new(&value, &ty);
            if fill.is_none() {
                let span = to.as_ref().map_or(value.span, |t| t.span);
                self.problems.push(Problem::error(span, format!("{value} is no {ty}")));
            }
            fill
        });
        match (fill, ty) {
            (Some(fill), Some(ty)) if free => {
                self.fields.push(Arc::new(Field::new(column.value, ty, true)));
                self.ops.push(Op::Add(fill));
            }
            _ => _ = self.ghosts.insert(column.value),
        }
    }

    fn default(&mut self, column: &Column, value: &Spanned<Literal>) {
        let Some(at) = self.find(column) else { return };
        let ty = self.fields[at].data_type().clone();
        match Fill::new(value, &ty) {
            Some(_) if value.value == Literal::Null => {
                self.problems.push(Problem::error(value.span, "a default must be a value, but is None"));
            }
            Some(fill) => self.ops.push(Op::Default(at, fill)),
            None => {
                let problem = Problem::error(value.span, format!("{value} is no {ty}, as column `{column}` is"));
                self.problems.push(problem.help("cast the column first, or give a value of its type"));
            }
        }
    }

    fn flatten(&mut self, column: &Column, separator: &str, prefix: Option<String>) {
        let Some(at) = self.find(column) else { return };
        let field = self.fields[at].clone();
        if !matches!(field.data_type(), DataType::Struct(_)) {
            let problem = Problem::error(
                column.span,
                format!("column `{column}` must be a struct, but is {}", field.data_type()),
            );
            self.problems.push(problem.help("only a struct has fields to take out"));
            return;
        }
        let prefix = prefix.unwrap_or_else(|| format!("{}{separator}", field.name()));
        let mut paths = vec![];
        let mut fields = vec![];
        leaves(&field, &prefix, separator, &mut vec![], &mut paths, &mut fields);
        let mut made: HashSet<&str> = HashSet::new();
        for field in &fields {
            if self.fields.place(field.name()).is_some_and(|other| other != at) || !made.insert(field.name()) {
                let problem = Problem::error(column.span, format!("there is a column `{}` already", field.name()));
                self.problems.push(problem.help("choose another separator or prefix, or rename the other one first"));
            }
        }
        self.fields.splice(at, fields);
        self.ops.push(Op::Flatten(at, paths));
    }
}

/// Paths of field indices to all that is no struct, with the names and types found there.
fn leaves(
    field: &FieldRef,
    prefix: &str,
    separator: &str,
    path: &mut Vec<usize>,
    paths: &mut Vec<Vec<usize>>,
    fields: &mut Vec<FieldRef>,
) {
    let DataType::Struct(children) = field.data_type() else { return };
    for (i, child) in children.iter().enumerate() {
        path.push(i);
        let name = format!("{prefix}{}", child.name());
        if matches!(child.data_type(), DataType::Struct(_)) {
            leaves(child, &format!("{name}{separator}"), separator, path, paths, fields);
        } else {
            paths.push(path.clone());
            fields.push(Arc::new(child.as_ref().clone().with_name(name).with_nullable(true)));
        }
        path.pop();
    }
}
