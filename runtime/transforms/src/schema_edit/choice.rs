//! Choices become one type, or several columns: wherever they are, in structs and in the items of lists.

use super::edits::OnError;
use crate::failures::Says;
use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, ListArray, StructArray, new_empty_array, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, nullif};
use arrow::datatypes::{DataType, Field};
use selvedge_cast::cast;
use selvedge_node::{Error, Result, choice_fields};
use std::sync::Arc;

/// One step into a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The field of a struct.
    Field(usize),
    /// The items of a list.
    Item,
}

/// What becomes of a choice.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Cast(DataType),
    Columns,
}

/// A choice in a column, and what becomes of it.
pub(super) struct Resolver {
    pub steps: Vec<Step>,
    pub action: Action,
    pub on_error: OnError,
    pub says: Says,
    pub altered: String,
}

/// What a value becomes: each part with what is added to its name; and where a value could not be cast.
type Parts = (Vec<(String, ArrayRef)>, Option<BooleanBuffer>);

impl Resolver {
    /// `path`: how people call the choice.
    pub fn new(path: &str, steps: Vec<Step>, action: Action, on_error: OnError) -> Resolver {
        let what = match &action {
            Action::Cast(ty) => ty.to_string(),
            Action::Columns => String::new(),
        };
        let says = Says { before: "cannot read ".into(), after: format!(" in column `{path}` as {what}") };
        Resolver { steps, action, on_error, says, altered: format!("null by cast: {path}") }
    }

    /// What a column of this type becomes.
    pub fn types(&self, from: &DataType) -> Result<Vec<(String, DataType)>> {
        let (parts, _) = self.run(&new_empty_array(from))?;
        Ok(parts.into_iter().map(|(suffix, array)| (suffix, array.data_type().clone())).collect())
    }

    pub fn run(&self, array: &ArrayRef) -> Result<Parts> {
        go(array, &self.steps, &self.action)
    }

    /// The column for messages: its text rather than that of the struct that it is.
    pub fn source(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let text = Action::Cast(DataType::Utf8);
        if !self.steps.is_empty() || castable(array.data_type(), &DataType::Utf8).is_some() {
            return Ok(array.clone());
        }
        let (mut parts, _) = go(array, &[], &text)?;
        Ok(parts.pop().map_or_else(|| array.clone(), |(_, text)| text))
    }
}

/// A type of the choice that cannot be cast.
pub(super) fn castable(choice: &DataType, to: &DataType) -> Option<DataType> {
    let types = choice_fields(choice)?.iter().map(|f| f.data_type());
    types.filter(|ty| *ty != to && !selvedge_cast::supported(ty, to)).map(Clone::clone).next()
}

fn go(array: &ArrayRef, steps: &[Step], action: &Action) -> Result<Parts> {
    let [step, rest @ ..] = steps else { return resolve(array.as_struct(), action) };
    match step {
        Step::Field(at) => {
            let whole = array.as_struct();
            let (parts, failed) = go(&child(whole, *at)?, rest, action)?;
            let (mut fields, mut columns) = (vec![], vec![]);
            for (i, (field, column)) in whole.fields().iter().zip(whole.columns()).enumerate() {
                if i != *at {
                    fields.push(field.clone());
                    columns.push(column.clone());
                    continue;
                }
                for (suffix, part) in &parts {
                    fields.push(Arc::new(Field::new(
                        format!("{}{suffix}", field.name()),
                        part.data_type().clone(),
                        true,
                    )));
                    columns.push(part.clone());
                }
            }
            let whole = StructArray::try_new_with_length(fields.into(), columns, whole.nulls().cloned(), whole.len())?;
            Ok((vec![(String::new(), Arc::new(whole))], failed))
        }
        Step::Item => {
            let list = array.as_list::<i32>();
            let (mut parts, failed) = go(list.values(), rest, action)?;
            let Some((_, items)) = parts.pop().filter(|_| parts.is_empty()) else {
                return Err(Error::bug("the items of a list cannot become several columns"));
            };
            let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
            let failed = failed.map(|failed| {
                let mut rows = BooleanBufferBuilder::new(list.len());
                for (row, ends) in list.offsets().windows(2).enumerate() {
                    let (from, to) = (ends[0] as usize, ends[1] as usize);
                    rows.append(list.is_valid(row) && failed.slice(from, to - from).count_set_bits() > 0);
                }
                rows.finish()
            });
            let list = ListArray::try_new(item, list.offsets().clone(), items, list.nulls().cloned())?;
            Ok((vec![(String::new(), Arc::new(list))], failed))
        }
    }
}

fn resolve(choice: &StructArray, action: &Action) -> Result<Parts> {
    let types = (0..choice.num_columns()).map(|at| child(choice, at)).collect::<Result<Vec<_>>>()?;
    match action {
        Action::Columns => {
            let suffix = |field: &Arc<Field>| format!("_{}", field.name());
            Ok((choice.fields().iter().map(suffix).zip(types).collect(), None))
        }
        Action::Cast(to) => {
            let mut whole = new_null_array(to, choice.len());
            let mut failed: Option<BooleanBuffer> = None;
            for values in types.iter().filter(|values| values.null_count() < values.len()) {
                let done = cast(values, to).map_err(|e| Error::bug(e.to_string()))?;
                whole = zip(&is_not_null(values)?, &done.values, &whole)?;
                if let Some(new) = done.failed {
                    failed = Some(failed.map_or(new.values().clone(), |before| &before | new.values()));
                }
            }
            Ok((vec![(String::new(), whole)], failed))
        }
    }
}

/// A field of a struct, null wherever the struct is.
fn child(whole: &StructArray, at: usize) -> Result<ArrayRef> {
    match whole.nulls() {
        Some(nulls) if nulls.null_count() > 0 => {
            Ok(nullif(whole.column(at), &BooleanArray::new(!nulls.inner(), None))?)
        }
        _ => Ok(whole.column(at).clone()),
    }
}

/// All choices in a type, outermost first. What is inside of a choice waits until that is resolved.
pub(super) fn choices(ty: &DataType) -> Vec<Vec<Step>> {
    if choice_fields(ty).is_some() {
        return vec![vec![]];
    }
    let within = |step: Step, ty: &DataType| {
        choices(ty).into_iter().map(move |mut steps| {
            steps.insert(0, step);
            steps
        })
    };
    match ty {
        DataType::Struct(fields) => {
            fields.iter().enumerate().flat_map(|(at, f)| within(Step::Field(at), f.data_type())).collect()
        }
        DataType::List(item) => within(Step::Item, item.data_type()).collect(),
        _ => vec![],
    }
}

/// The type at the end of a path.
pub(super) fn at<'a>(ty: &'a DataType, steps: &[Step]) -> Option<&'a DataType> {
    let [step, rest @ ..] = steps else { return Some(ty) };
    match (step, ty) {
        (Step::Field(i), DataType::Struct(fields)) => at(fields.get(*i)?.data_type(), rest),
        (Step::Item, DataType::List(item)) => at(item.data_type(), rest),
        _ => None,
    }
}

/// The path in words: `items[].price`.
pub(super) fn path(column: &str, mut ty: &DataType, steps: &[Step]) -> String {
    let mut path = column.to_string();
    for step in steps {
        match (step, ty) {
            (Step::Field(i), DataType::Struct(fields)) => {
                path.push('.');
                path.push_str(fields[*i].name());
                ty = fields[*i].data_type();
            }
            (Step::Item, DataType::List(item)) => {
                path.push_str("[]");
                ty = item.data_type();
            }
            _ => {}
        }
    }
    path
}
