//! Groups in memory: their keys, numbered in order of appearance, and DataFusion's accumulators over these numbers.

use super::split::Column;
use super::{Taken, batch_of};
use crate::aggregate::CompiledAggregate;
use crate::expr::plain;
use crate::problem::error;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use selvedge_node::{Error, Out, Problem, Problems, Result};
use selvedge_state::{KeyIndex, Partitions, Piece, batch_bytes};
use std::sync::Arc;

/// The schema of partial results: keys, then the state of each aggregate.
pub(crate) fn stored(keys: &SchemaRef, aggregates: &[CompiledAggregate]) -> std::result::Result<SchemaRef, Problems> {
    let mut fields: Vec<Field> = keys.fields().iter().map(|f| (**f).clone()).collect();
    for (i, aggregate) in aggregates.iter().enumerate() {
        let states = aggregate.function().state_fields().map_err(|e| Problem::nowhere(error(&e).message))?;
        // States are known by place; their own names may be equal.
        let state = |(j, f): (usize, &Arc<Field>)| Field::new(format!("\u{0}{i}.{j}"), f.data_type().clone(), true);
        fields.extend(states.iter().enumerate().map(state));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// What finished groups become.
pub(crate) struct Results {
    /// Key columns, what is known of a group besides, then the results of the aggregates.
    pub merged: SchemaRef,
    pub columns: Vec<Column>,
    /// As `merged`, with `columns` for the aggregates.
    pub output: SchemaRef,
    /// What the ledger calls them.
    pub made: &'static str,
}

pub(crate) struct Groups {
    index: KeyIndex,
    /// Key columns of the groups in the order of their numbers.
    keys: Vec<RecordBatch>,
    keys_bytes: u64,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// State columns of each accumulator.
    states: Vec<usize>,
    numbers: Vec<u32>,
    places: Vec<usize>,
}

impl Groups {
    pub fn new(aggregates: &[CompiledAggregate]) -> Result<Groups> {
        let accumulator = |a: &CompiledAggregate| -> Result<Box<dyn GroupsAccumulator>> {
            if let Some(many) = a.groups_accumulator()? {
                return Ok(many);
            }
            let function = a.function().clone();
            Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
        };
        let states = |a: &CompiledAggregate| Ok(a.function().state_fields().map_err(|e| error(&e))?.len());
        Ok(Groups {
            index: KeyIndex::default(),
            keys: vec![],
            keys_bytes: 0,
            accumulators: aggregates.iter().map(accumulator).collect::<Result<_>>()?,
            states: aggregates.iter().map(states).collect::<Result<_>>()?,
            numbers: vec![],
            places: vec![],
        })
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The numbers of the groups that the rows taken last belong to.
    pub fn numbers(&self) -> &[usize] {
        &self.places
    }

    /// Bytes that the groups may take once `rows` more rows with these keys are in.
    pub fn bytes_with(&self, rows: usize, keys: &RecordBatch) -> u64 {
        let accumulated: usize = self.accumulators.iter().map(|a| a.size()).sum();
        let grown = self.len() + rows;
        // Accumulators grow by doubling, old and new side by side for a moment.
        let accumulated = (accumulated as u64 * 3 / 2).max(grown as u64 * 8 * self.accumulators.len() as u64);
        self.index.bytes_with(rows) + self.keys_bytes + batch_bytes(keys) + accumulated
    }

    /// Numbers the rows by their groups; keys not seen before are kept.
    fn number(&mut self, keys: &RecordBatch, hashes: &[u128]) -> Result<()> {
        let before = self.len();
        self.numbers.clear();
        self.index.number_all(hashes, &mut self.numbers)?;
        self.places.clear();
        self.places.extend(self.numbers.iter().map(|&n| n as usize));
        let new = self.len() - before;
        if new > 0 {
            let mut first = Vec::with_capacity(new);
            // Numbers go up in order of appearance: the first row of each new group is where the next number comes up.
            let mut next = before;
            for (row, &number) in self.places.iter().enumerate() {
                if number == next {
                    first.push(row as u32);
                    next += 1;
                }
            }
            let rows = match new == keys.num_rows() {
                true => keys.clone(),
                // Without keys there is one group, and nothing to take.
                false if keys.num_columns() == 0 => batch_of(keys.schema_ref(), vec![], new)?,
                false => take_record_batch(keys, &UInt32Array::from(first))?,
            };
            self.keys_bytes += batch_bytes(&rows);
            self.keys.push(rows);
        }
        Ok(())
    }

    /// Takes rows of the input.
    pub fn update(&mut self, keys: &RecordBatch, hashes: &[u128], taken: &[Taken]) -> Result<()> {
        self.number(keys, hashes)?;
        let total = self.len();
        for ((values, filter), accumulator) in taken.iter().zip(&mut self.accumulators) {
            accumulator.update_batch(values, &self.places, filter.as_ref(), total).map_err(|e| error(&e))?;
        }
        Ok(())
    }

    /// Takes partial results: the columns of the keys, then the states.
    pub fn merge(&mut self, keys: &RecordBatch, piece: &Piece) -> Result<()> {
        self.number(keys, &piece.hashes)?;
        let total = self.len();
        let mut at = keys.num_columns();
        for (accumulator, states) in self.accumulators.iter_mut().zip(&self.states) {
            let values = &piece.batch.columns()[at..at + states];
            accumulator.merge_batch(values, &self.places, total).map_err(|e| error(&e))?;
            at += states;
        }
        Ok(())
    }

    /// Whether rows become partial results cheaply without being grouped: not where that takes an accumulator for each row.
    pub fn can_convert(aggregates: &[CompiledAggregate]) -> bool {
        aggregates.iter().all(|a| a.function().groups_accumulator_supported())
    }

    /// Rows of the input as partial results, each a group of its own.
    pub fn convert(&self, stored: &SchemaRef, keys: &RecordBatch, taken: &[Taken]) -> Result<RecordBatch> {
        let mut columns = keys.columns().to_vec();
        for ((values, filter), accumulator) in taken.iter().zip(&self.accumulators) {
            columns.extend(accumulator.convert_to_state(values, filter.as_ref()).map_err(|e| error(&e))?);
        }
        batch_of(stored, columns, keys.num_rows())
    }

    /// Gives all groups away as partial results.
    pub fn drain_into(&mut self, stored: &SchemaRef, partial: &mut Partitions) -> Result<()> {
        self.drain(stored, &mut |batch, hashes| partial.push(&batch, hashes))
    }

    /// Gives all groups away as partial results, with the hashes of their keys, in the order of their numbers.
    pub fn drain(
        &mut self,
        stored: &SchemaRef,
        give: &mut dyn FnMut(RecordBatch, &[u128]) -> Result<()>,
    ) -> Result<()> {
        let total = self.len();
        if total == 0 {
            return Ok(());
        }
        let mut states: Vec<ArrayRef> = vec![];
        for accumulator in &mut self.accumulators {
            states.extend(accumulator.state(EmitTo::All).map_err(|e| error(&e))?);
        }
        check_lengths(&states, total)?;
        let mut at = 0;
        for keys in std::mem::take(&mut self.keys) {
            let rows = keys.num_rows();
            let mut columns = keys.columns().to_vec();
            columns.extend(states.iter().map(|s| s.slice(at, rows)));
            give(batch_of(stored, columns, rows)?, &self.index.keys()[at..at + rows])?;
            at += rows;
        }
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.index.clear();
        self.keys.clear();
        self.keys_bytes = 0;
    }

    /// The one group of all rows is there even if no row is.
    pub fn at_least_one(&mut self, keys: &SchemaRef, aggregates: &[CompiledAggregate]) -> Result<()> {
        if self.len() > 0 {
            return Ok(());
        }
        self.number(&batch_of(keys, vec![], 1)?, &[0])?;
        for (accumulator, aggregate) in self.accumulators.iter_mut().zip(aggregates) {
            // A row that does not count, rather than no row: accumulators note which groups they have seen a value for.
            let null: Vec<ArrayRef> = aggregate.args().iter().map(|a| new_null_array(a.data_type(), 1)).collect();
            let uncounted = BooleanArray::from(vec![false]);
            accumulator.update_batch(&null, &[0], Some(&uncounted), 1).map_err(|e| error(&e))?;
        }
        Ok(())
    }

    /// Sends the first groups and forgets them. `besides`: a column for each thing known of a group besides its key.
    pub fn send(
        &mut self,
        to: &Results,
        first: usize,
        besides: &[ArrayRef],
        batch_rows: usize,
        out: &mut dyn Out,
    ) -> Result<()> {
        if first == 0 {
            return Ok(());
        }
        let emit = if first == self.len() { EmitTo::All } else { EmitTo::First(first) };
        let mut results: Vec<ArrayRef> = vec![];
        for accumulator in &mut self.accumulators {
            let result = accumulator.evaluate(emit).map_err(|e| error(&e))?;
            let wanted = plain(result.data_type());
            results.push(if *result.data_type() == wanted { result } else { cast(&result, &wanted)? });
        }
        check_lengths(&results, first)?;
        out.create(to.made, first as u64);
        let mut keys = self.forget(first)?.into_iter().peekable();
        let mut at = 0;
        while let Some(one) = keys.next() {
            let mut some = vec![one];
            let mut rows = some[0].num_rows();
            while let Some(next) = keys.next_if(|k| rows + k.num_rows() <= batch_rows) {
                rows += next.num_rows();
                some.push(next);
            }
            let keys = if some.len() == 1 { some.remove(0) } else { concat_batches(&some[0].schema(), &some)? };
            let mut known = keys.columns().to_vec();
            known.extend(besides.iter().map(|b| b.slice(at, rows)));
            let mut columns = known.clone();
            columns.extend(results.iter().map(|r| r.slice(at, rows)));
            at += rows;
            let merged = batch_of(&to.merged, columns, rows)?;
            for column in &to.columns {
                known.push(column.value.evaluate(&merged)?);
            }
            out.send(0, batch_of(&to.output, known, rows)?)?;
        }
        Ok(())
    }

    /// Numbers the groups anew from the first that stays; the keys of those that went come back.
    fn forget(&mut self, first: usize) -> Result<Vec<RecordBatch>> {
        let stay = self.index.keys()[first..].to_vec();
        let mut keys = std::mem::take(&mut self.keys);
        self.clear();
        if stay.is_empty() {
            return Ok(keys);
        }
        self.numbers.clear();
        self.index.number_all(&stay, &mut self.numbers)?;
        let mut rest = first;
        let whole = keys
            .iter()
            .take_while(|k| {
                rest >= k.num_rows() && {
                    rest -= k.num_rows();
                    true
                }
            })
            .count();
        let mut later = keys.split_off(whole);
        if rest > 0 {
            let split = later.remove(0);
            later.insert(0, split.slice(rest, split.num_rows() - rest));
            keys.push(split.slice(0, rest));
        }
        self.keys_bytes = later.iter().map(batch_bytes).sum();
        self.keys = later;
        Ok(keys)
    }
}

/// An accumulator that gives another number of results than there are groups would put them next to the wrong keys.
fn check_lengths(columns: &[ArrayRef], groups: usize) -> Result<()> {
    match columns.iter().find(|c| c.len() != groups) {
        Some(c) => Err(Error::bug(format!("an aggregate function gave {} results for {groups} groups", c.len()))),
        None => Ok(()),
    }
}
