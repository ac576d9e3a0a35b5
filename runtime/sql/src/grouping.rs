//! `Aggregate`: one row for each group of rows.

pub(crate) mod groups;
pub(crate) mod split;

use crate::aggregate::CompiledAggregate;
use crate::expr::Values;
use crate::filter::rows_but;
use crate::named::Named;
use crate::reject::reject_bad;
use arrow::array::{AsArray, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use groups::{Groups, Results};
use selvedge_node::Reservation;
use selvedge_node::prelude::*;
use selvedge_state::{Drained, Partition, Partitions, RowHasher};
use split::split;

/// See [`Kind::ABOUT`].
pub struct Aggregate;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns whose values make a group; null is a value like any other. Without any, all rows are one group, and an empty
    /// input still gives one row.
    #[serde(default)]
    by: Vec<Column>,
    /// Result columns by name: SQL expressions over aggregates, such as `sum(dollars) / sum(units)`, `count(distinct sku)`,
    /// `max(price) filter (where units > 0)`. Columns of `by` may be used besides.
    columns: Named,
}

impl Kind for Aggregate {
    const NAME: &'static str = "Aggregate";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "makes one row of each group of rows: sums, counts, extremes, means";
    const DOCS: &'static str = "\
The output has the columns of `by`, then those of `columns`, in no particular order of rows. Aggregate functions are those of \
DataFusion, with SQL's rules for null. Groups are kept in memory while the budget has room; beyond that their partial results go \
to disk and are merged at the end, part by part. Sums of floats depend in their last digits on the order of the rows.

**Ledger**: rows that came are absorbed as `grouped`, rows that go are created as `groups`.

**Rejected rows**, code `expression`: an argument could not be computed (an overflow, a failed `cast`). No row is dropped.

Deviation from Spark: a sum of integers that outgrows 64 bits wraps around in both, but here `sum` of a decimal that outgrows its 38 \
digits is an error.";
    const EXAMPLE: &'static str = "\
Aggregate(input: \"sales\", by: [\"store\", \"week\"], columns: {\"units\": \"sum(units)\", \"price\": \"sum(dollars) / sum(units)\"})";
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let schema = &inputs[0].schema;
        let by = problems.take(columns(schema, &config.by)).unwrap_or_default();
        for (_, name) in config.by.iter().enumerate().filter(|(i, name)| config.by[..*i].contains(name)) {
            problems.push(Problem::error(name.span, format!("column `{name}` stands in `by` twice")));
        }
        if config.by.is_empty() && config.columns.0.is_empty() {
            problems.push(Problem::error(inputs[0].span, "there is nothing to group by and nothing to compute"));
        }
        let hasher = match RowHasher::new(schema, &by) {
            Ok(hasher) => Some(hasher),
            Err(e) => {
                let span = config.by.first().map_or(inputs[0].span, |c| c.span);
                problems.push(Problem::error(span, e.message).help(e.help.unwrap_or_default()));
                None
            }
        };
        let keys: SchemaRef = Arc::new(schema.project(&by).map_err(|e| Problem::nowhere(e.to_string()))?);
        let planned = problems.take(split(schema, &keys, &config.columns.0));
        for (name, _) in &config.columns.0 {
            if config.by.contains(name) {
                problems.push(
                    Problem::error(name.span, format!("the result has `{name}` already, from `by`"))
                        .help("give it another name"),
                );
            }
        }
        let (Some(hasher), Some(planned)) = (hasher, planned) else { return Err(problems) };
        problems.or(())?;

        let mut fields: Vec<_> = keys.fields().iter().cloned().collect();
        fields.extend(planned.columns.iter().map(|c| Arc::new(c.field.clone())));
        let output: SchemaRef = Arc::new(Schema::new(fields));
        let single = by.is_empty();
        let partitioning = if single { Partitioning::Single } else { Partitioning::Keys(vec![by.clone()]) };
        let plan = Arc::new(Plan {
            by,
            hasher,
            stored: groups::stored(&keys, &planned.aggregates)?,
            keys,
            aggregates: planned.aggregates,
            results: Results {
                merged: planned.merged,
                columns: planned.columns,
                output: output.clone(),
                made: "groups",
            },
        });
        let built = Built::transform(output, partitioning, move |task| Work::new(plan.clone(), task));
        Ok(built.may_reject(true).waits_for_end(
            "use Window, which gives the groups of each span of time once it has passed: \
             Window(keys: […], time: \"…\", window: Tumbling(\"1m\"), aggregates: {…})",
        ))
    }
}

/// What all instances share.
struct Plan {
    by: Vec<usize>,
    hasher: RowHasher,
    /// Columns of `by`.
    keys: SchemaRef,
    aggregates: Vec<CompiledAggregate>,
    /// Columns of `by`, then the states of `aggregates`.
    stored: SchemaRef,
    results: Results,
}

struct Work {
    plan: Arc<Plan>,
    task: Task,
    groups: Groups,
    reservation: Reservation,
    /// Partial results that did not fit into memory.
    partial: Option<Partitions>,
    /// Groups seldom meet again before they go to disk: rows go there at once, each as a group of its own.
    direct: bool,
    rows: u64,
    hashes: Vec<u128>,
}

impl Work {
    fn new(plan: Arc<Plan>, task: &Task) -> Result<Work> {
        let groups = Groups::new(&plan.aggregates)?;
        let reservation = task.memory.reserve();
        let task = task.clone();
        Ok(Work { plan, task, groups, reservation, partial: None, direct: false, rows: 0, hashes: vec![] })
    }

    /// Moves all groups to disk and starts afresh.
    fn spill(&mut self) -> Result<()> {
        let partial = match &mut self.partial {
            Some(partial) => partial,
            none => none.insert(Partitions::new(&self.task, &self.plan.stored)),
        };
        // Two rows to a group or fewer: keeping groups costs more than it saves.
        self.direct = self.groups.len() as u64 * 2 > self.rows && Groups::can_convert(&self.plan.aggregates);
        self.rows = 0;
        self.groups.drain_into(&self.plan.stored, partial)?;
        self.reservation.resize(0);
        Ok(())
    }
}

impl Transform for Work {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let (batch, taken) = evaluate(&self.plan.aggregates, batch, out)?;
        out.absorb("grouped", batch.num_rows() as u64);
        let keys = self.plan.by.iter().map(|&c| batch.column(c).clone()).collect();
        let keys = batch_of(&self.plan.keys, keys, batch.num_rows())?;
        self.plan.hasher.hash(&batch, &mut self.hashes);
        if let (true, Some(partial)) = (self.direct, &mut self.partial) {
            let rows = self.groups.convert(&self.plan.stored, &keys, &taken)?;
            return partial.push(&rows, &self.hashes);
        }
        let needed = self.groups.bytes_with(batch.num_rows(), &keys);
        if !self.reservation.try_resize(needed) {
            if self.groups.len() > 0 {
                self.spill()?;
            }
            self.reservation.resize(self.groups.bytes_with(batch.num_rows(), &keys));
        }
        self.rows += batch.num_rows() as u64;
        self.groups.update(&keys, &self.hashes, &taken)
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        let Some(mut partial) = self.partial.take() else {
            if self.plan.by.is_empty() {
                self.groups.at_least_one(&self.plan.keys, &self.plan.aggregates)?;
            }
            return self.send(out);
        };
        self.groups.drain_into(&self.plan.stored, &mut partial)?;
        self.reservation.resize(0);
        self.merge(partial.drain()?, out)
    }
}

impl Work {
    fn send(&mut self, out: &mut dyn Out) -> Result<()> {
        self.groups.send(&self.plan.results, self.groups.len(), &[], self.task.batch_rows, out)
    }

    /// Merges partial results, part by part; a part with too many groups is set apart further.
    fn merge(&mut self, parts: Drained, out: &mut dyn Out) -> Result<()> {
        for part in parts {
            if out.stopping() {
                return Err(Error::stopped());
            }
            if let Some(deeper) = self.merge_part(&part)? {
                drop(part);
                self.merge(deeper.drain()?, out)?;
            } else {
                self.send(out)?;
            }
            self.reservation.resize(0);
        }
        Ok(())
    }

    /// The groups of one part in memory, or, where they do not fit, all of it set apart by more bits of the hash. What decides
    /// is the number of groups, not of rows: a part full of one giant group is merged as it comes.
    fn merge_part(&mut self, part: &Partition) -> Result<Option<Partitions>> {
        let mut deeper: Option<Partitions> = None;
        for piece in part.read() {
            let piece = piece?;
            let keys = piece.batch.columns()[..self.plan.by.len()].to_vec();
            let keys = batch_of(&self.plan.keys, keys, piece.batch.num_rows())?;
            let needed = self.groups.bytes_with(piece.batch.num_rows(), &keys);
            if !self.reservation.try_resize(needed) {
                if self.groups.len() > 0
                    && let Some(mut parts) = deeper.take().or_else(|| part.deeper())
                {
                    self.groups.drain_into(&self.plan.stored, &mut parts)?;
                    deeper = Some(parts);
                }
                // At the deepest level there is nothing left to tell keys apart by: it must be held.
                self.reservation.resize(self.groups.bytes_with(piece.batch.num_rows(), &keys));
            }
            self.groups.merge(&keys, &piece)?;
        }
        if let Some(parts) = &mut deeper {
            self.groups.drain_into(&self.plan.stored, parts)?;
        }
        Ok(deeper)
    }
}

/// What one aggregate takes of a batch: its arguments, and which rows count.
pub(crate) type Taken = (Vec<ArrayRef>, Option<BooleanArray>);

/// Evaluates arguments and filters; rows for which one has no value are rejected, and the batch comes back without them.
pub(crate) fn evaluate(
    aggregates: &[CompiledAggregate],
    mut batch: RecordBatch,
    out: &mut dyn Out,
) -> Result<(RecordBatch, Vec<Taken>)> {
    'again: loop {
        let mut all = vec![];
        for aggregate in aggregates {
            let mut arrays = vec![];
            for expression in aggregate.args().iter().chain(aggregate.filter()) {
                let Values { array, bad } = expression.evaluate_each(&batch)?;
                if !bad.is_empty() {
                    reject_bad(out, &batch, expression, &bad)?;
                    let good = BooleanArray::new(rows_but(batch.num_rows(), &bad), None);
                    batch = filter_record_batch(&batch, &good)?;
                    continue 'again;
                }
                arrays.push(array);
            }
            let filter = match aggregate.filter() {
                Some(_) => arrays.pop().map(|f| f.as_boolean().clone()),
                None => None,
            };
            all.push((arrays, filter));
        }
        return Ok((batch, all));
    }
}

/// A batch of no columns still has rows.
pub(crate) fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

#[cfg(test)]
mod tests;
