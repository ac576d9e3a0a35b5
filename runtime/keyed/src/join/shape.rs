//! What a join sends: where each output column comes from, and batches made of rows of both sides.

use super::How;
use super::table::Table;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use selvedge_node::{Problem, Problems, Result, Span};
use std::sync::Arc;

/// Where an output column comes from.
#[derive(Debug, Clone, Copy)]
enum From {
    Left(usize),
    Right(usize),
    /// A key of one name: the left row's, or the right row's where there is no left row.
    Key(usize, usize),
}

/// The inputs and the output of a join.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub how: How,
    pub left: SchemaRef,
    /// Of the right rows as they are held: only the columns that the output has.
    pub right: SchemaRef,
    /// Where these stand in the input.
    pub held: Vec<usize>,
    pub output: SchemaRef,
    from: Vec<From>,
}

/// Lays out the columns; a problem if two would have one name.
pub(crate) fn shape(
    how: How,
    left: &SchemaRef,
    right: &SchemaRef,
    keys: &[(usize, usize)],
    suffix: &str,
    span: Span,
) -> std::result::Result<Shape, Problems> {
    let shape = |output: SchemaRef, from, held: Vec<usize>| {
        let fields: Vec<_> = held.iter().map(|&r| right.field(r).clone()).collect();
        Shape { how, left: left.clone(), right: Arc::new(Schema::new(fields)), held, output, from }
    };
    if how.left_only() {
        return Ok(shape(left.clone(), (0..left.fields().len()).map(From::Left).collect(), vec![]));
    }
    let shared = |l: usize, r: usize| left.field(l).name() == right.field(r).name();
    let mut problems = Problems::default();
    let mut fields: Vec<Field> = vec![];
    let (mut from, mut held) = (vec![], vec![]);
    for (l, field) in left.fields().iter().enumerate() {
        let key = keys.iter().find(|&&(k, r)| k == l && shared(l, r));
        let nullable = match key {
            Some(&(_, r)) => field.is_nullable() || (how.unmatched_right() && right.field(r).is_nullable()),
            None => field.is_nullable() || how.unmatched_right(),
        };
        fields.push(field.as_ref().clone().with_nullable(nullable));
        match key.filter(|_| how.unmatched_right()) {
            None => from.push(From::Left(l)),
            Some(&(_, r)) => {
                from.push(From::Key(l, held.len()));
                held.push(r);
            }
        }
    }
    for (r, field) in right.fields().iter().enumerate() {
        if keys.iter().any(|&(l, k)| k == r && shared(l, r)) {
            continue;
        }
        let mut name = field.name().clone();
        if left.index_of(&name).is_ok() {
            name.push_str(suffix);
        }
        if fields.iter().any(|f| f.name() == &name) {
            let problem = Problem::error(span, format!("two columns of the output would be named `{name}`"));
            problems.push(problem.help("choose another `suffix`, or rename a column before the join"));
        }
        let nullable = field.is_nullable() || how.unmatched_left();
        fields.push(field.as_ref().clone().with_name(name).with_nullable(nullable));
        from.push(From::Right(held.len()));
        held.push(r);
    }
    let output = Arc::new(Schema::new_with_metadata(fields, left.metadata().clone()));
    problems.or(shape(output, from, held))
}

/// Rows of a batch: all of them as they are, or some by index.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    All,
    Some(&'a UInt32Array),
}

impl Shape {
    fn batch(&self, rows: usize, column: impl Fn(From) -> Result<ArrayRef>) -> Result<RecordBatch> {
        let columns = self.from.iter().map(|&f| column(f)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.output.clone(), columns, &options)?)
    }

    /// Left rows beside rows of the table, `NONE` for nothing.
    pub(crate) fn pairs(&self, left: &RecordBatch, rows: Rows, table: &Table, beside: &[u32]) -> Result<RecordBatch> {
        let gather = table.gather(beside);
        self.beside(beside.len(), |l| pick(left, l, rows), |r| gather.column(r))
    }

    /// Left rows beside right rows, given column by column.
    pub(crate) fn beside(
        &self,
        rows: usize,
        left: impl Fn(usize) -> Result<ArrayRef>,
        right: impl Fn(usize) -> Result<ArrayRef>,
    ) -> Result<RecordBatch> {
        self.batch(rows, |from| match from {
            From::Left(l) | From::Key(l, _) => left(l),
            From::Right(r) => right(r),
        })
    }

    /// Left rows beside nothing.
    pub(crate) fn left(&self, left: &RecordBatch) -> Result<RecordBatch> {
        let rows = left.num_rows();
        self.batch(rows, |from| match from {
            From::Left(l) | From::Key(l, _) => Ok(left.column(l).clone()),
            From::Right(r) => Ok(new_null_array(self.right.field(r).data_type(), rows)),
        })
    }

    /// Right rows beside nothing.
    pub(crate) fn right(&self, right: &RecordBatch) -> Result<RecordBatch> {
        let rows = right.num_rows();
        self.batch(rows, |from| match from {
            From::Left(l) => Ok(new_null_array(self.left.field(l).data_type(), rows)),
            From::Right(r) | From::Key(_, r) => Ok(right.column(r).clone()),
        })
    }
}

fn pick(batch: &RecordBatch, column: usize, rows: Rows) -> Result<ArrayRef> {
    match rows {
        Rows::All => Ok(batch.column(column).clone()),
        Rows::Some(indices) => Ok(take(batch.column(column), indices, None)?),
    }
}
