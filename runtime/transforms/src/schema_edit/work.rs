//! The edits at work on a batch: columns that no edit touches are shared, not copied.

use super::choice::Resolver;
use super::dates::DateParser;
use super::edits::OnError;
use super::numbers::NumberParser;
use crate::failures::{Failure, Says, send_rest};
use crate::fill::Fill;
use crate::literal::repeat;
use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, Scalar};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_null, nullif};
use arrow::datatypes::{DataType, SchemaRef};
use selvedge_cast::{Cast, cast};
use selvedge_node::{Error, Map, Out, Result};

/// One step on the columns of a batch; the plan has checked every index.
pub(super) enum Op {
    /// The columns with these indices, in this order.
    Pick(Vec<usize>),
    Convert(usize, Convert),
    /// A choice, in the column or within it, becomes one type or several columns.
    Resolve(usize, Resolver),
    /// A new last column.
    Add(Fill),
    /// A value where a column is null.
    Default(usize, Fill),
    /// A struct gives way to what is at these paths in it.
    Flatten(usize, Vec<Vec<usize>>),
}

/// How text is read before, or instead of, a plain cast.
pub(super) enum Parse {
    Date(DateParser),
    Number(NumberParser),
}

pub(super) struct Convert {
    to: DataType,
    parse: Option<Parse>,
    pub on_error: OnError,
    /// What is said about a value that cannot be read, and under which name such values are reported.
    says: Says,
    altered: String,
}

impl Convert {
    /// `name`: what the column is called when its turn comes.
    pub fn new(name: &str, to: DataType, parse: Option<Parse>, on_error: OnError) -> Convert {
        let says = Says { before: "cannot read ".into(), after: format!(" in column `{name}` as {to}") };
        Convert { to, parse, on_error, says, altered: format!("null by cast: {name}") }
    }

    fn run(&self, array: &ArrayRef) -> Result<Cast> {
        let cast = |array: &dyn Array, to: &DataType| cast(array, to).map_err(|e| Error::bug(e.to_string()));
        let Some(parse) = &self.parse else { return cast(array, &self.to) };
        let text = cast(array, &DataType::Utf8)?.values;
        let text = text.as_string::<i32>();
        let values = match parse {
            Parse::Number(parser) => return cast(&parser.plain(text), &self.to),
            Parse::Date(parser) if self.to == DataType::Date32 => parser.dates(text),
            Parse::Date(parser) => cast(&parser.times(text), &self.to)?.values,
        };
        let failed = (values.null_count() > text.null_count())
            .then(|| BooleanArray::new((0..text.len()).map(|i| text.is_valid(i) && values.is_null(i)).collect(), None));
        Ok(Cast { values, failed })
    }
}

/// Values that could not be read.
struct Bad<'a> {
    rows: BooleanBuffer,
    /// The column before.
    source: ArrayRef,
    says: &'a Says,
    altered: &'a str,
}

impl<'a> Bad<'a> {
    /// They are null now: told, or a failure of their rows, or of the run.
    fn told(self, on_error: OnError, batch: &RecordBatch, out: &mut dyn Out) -> Result<Option<Failure<'a>>> {
        let Bad { rows, source, says, altered } = self;
        match on_error {
            OnError::Null => {
                out.altered_where(altered, batch, &BooleanArray::new(rows, None));
                Ok(None)
            }
            OnError::Reject => Ok(Some(Failure { code: "cast", source, rows, says })),
            OnError::Fail => {
                let first = rows.set_indices().next().unwrap_or_default();
                Err(Error::data(says.about(&source, first))
                    .help("on_error: Reject sends such rows to `errors`, on_error: Null makes the value null"))
            }
        }
    }
}

pub(super) struct Edits {
    pub ops: Vec<Op>,
    pub output: SchemaRef,
}

impl Map for Edits {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let rows = batch.num_rows();
        let mut columns = batch.columns().to_vec();
        let mut failures: Vec<Failure> = vec![];
        for op in &self.ops {
            match op {
                Op::Pick(indices) => columns = indices.iter().map(|i| columns[*i].clone()).collect(),
                Op::Convert(at, convert) => {
                    let Cast { values, failed } = convert.run(&columns[*at])?;
                    let source = std::mem::replace(&mut columns[*at], values);
                    let Some(failed) = failed else { continue };
                    let bad =
                        Bad { rows: failed.values().clone(), source, says: &convert.says, altered: &convert.altered };
                    failures.extend(bad.told(convert.on_error, &batch, out)?);
                }
                Op::Resolve(at, resolver) => {
                    let source = columns[*at].clone();
                    let (parts, failed) = resolver.run(&source)?;
                    columns.splice(*at..=*at, parts.into_iter().map(|(_, part)| part));
                    let Some(rows) = failed else { continue };
                    let source = resolver.source(&source)?;
                    let bad = Bad { rows, source, says: &resolver.says, altered: &resolver.altered };
                    failures.extend(bad.told(resolver.on_error, &batch, out)?);
                }
                Op::Add(fill) => columns.push(repeat(&fill.one()?, rows)?),
                Op::Default(at, fill) => {
                    let column = &columns[*at];
                    if column.logical_null_count() > 0 {
                        columns[*at] = zip(&is_null(column)?, &Scalar::new(fill.one()?), column)?;
                    }
                }
                Op::Flatten(at, paths) => {
                    let whole = columns[*at].clone();
                    let parts = paths.iter().map(|path| part(&whole, path)).collect::<Result<Vec<_>>>()?;
                    columns.splice(*at..=*at, parts);
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let edited = RecordBatch::try_new_with_options(self.output.clone(), columns, &options)?;
        send_rest(&batch, edited, &failures, out)
    }
}

/// What is at a path in a struct, null wherever something on the way is.
fn part(whole: &ArrayRef, path: &[usize]) -> Result<ArrayRef> {
    let [first, rest @ ..] = path else { return Ok(whole.clone()) };
    let parent = whole.as_struct();
    let child = parent.column(*first);
    let child = match parent.nulls() {
        Some(nulls) if nulls.null_count() > 0 => nullif(child, &BooleanArray::new(!nulls.inner(), None))?,
        _ => child.clone(),
    };
    part(&child, rest)
}
