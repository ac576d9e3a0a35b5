//! One SQL aggregate function over expressions of a row: `sum(units * price) filter (where units > 0)`.
//!
//! For nodes that keep groups by themselves: they get arguments to evaluate batch by batch and accumulators to feed.

use crate::expr::{Compiled, bind, blame, df_schema, plain, plan};
use crate::parse::{Use, parse, resolve};
use crate::place::Place;
use crate::problem;
use crate::session::props;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Accumulator, Expr, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use selvedge_node::{Problem, Problems, Result, Spanned};
use std::sync::Arc;

/// An aggregate function bound to a schema.
#[derive(Debug, Clone)]
pub struct CompiledAggregate {
    text: String,
    function: Arc<AggregateFunctionExpr>,
    args: Vec<Compiled>,
    filter: Option<Compiled>,
    data_type: DataType,
}

/// Plans an aggregate over the columns of `schema`: `sum(units)`, `count(*)`, `count(distinct sku)`,
/// `max(price) filter (where units > 0)`.
pub fn compile_aggregate(
    schema: &SchemaRef,
    text: &Spanned<String>,
) -> std::result::Result<CompiledAggregate, Problems> {
    let place = Place::new(text);
    let mut ast = parse(text)?;
    let used = resolve(&mut ast, schema, place, Use::Aggregate)?;
    let df_schema = df_schema(&used, place)?;
    let expr = plan(&ast, &df_schema).map_err(|e| blame(&ast, &df_schema, place, &e))?;
    let expr = expr.unalias_nested().data;
    let Expr::AggregateFunction(AggregateFunction { params, .. }) = &expr else {
        return Err(Problem::error(place.whole(), format!("`{}` is not an aggregate function", text.value.trim()))
            .help("write one function of many rows: `sum(…)`, `count(*)`, `max(…)`; use Derive for what is made of its result")
            .into());
    };
    if !params.order_by.is_empty() {
        return Err(Problem::error(place.whole(), "`order by` in an aggregate is not supported here")
            .help("use the Sql node, which sorts the rows of each group")
            .into());
    }
    let found = |e| problem::problems(&e, place);
    let part = |part: &Expr| {
        let compiled = bind(schema, &df_schema, part, text.value.trim().to_string()).map_err(found)?;
        compiled.probe(place)?;
        Ok::<_, Problems>(compiled)
    };
    let args = params.args.iter().map(part).collect::<std::result::Result<Vec<_>, _>>()?;
    let filter = params.filter.as_deref().map(part).transpose()?;
    let planning = PhysicalPlanningContext::default();
    let lowered = LoweredAggregateBuilder::new(&expr, &df_schema, &used, props(), &planning)
        .with_name(text.value.trim())
        .build()
        .map_err(found)?;
    let data_type = plain(lowered.aggregate.field().data_type());
    Ok(CompiledAggregate { text: text.value.trim().to_string(), function: lowered.aggregate, args, filter, data_type })
}

impl CompiledAggregate {
    /// The text of the aggregate, as written.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// The type of its result.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }
    /// The DataFusion function: its name, state fields, whether it has a [`GroupsAccumulator`].
    pub fn function(&self) -> &Arc<AggregateFunctionExpr> {
        &self.function
    }
    /// The expressions that it aggregates.
    pub fn args(&self) -> &[Compiled] {
        &self.args
    }
    /// Rows where this is not true do not count.
    pub fn filter(&self) -> Option<&Compiled> {
        self.filter.as_ref()
    }

    /// The values to accumulate for the rows of a batch, and which of the rows count.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Option<BooleanArray>)> {
        use arrow::array::AsArray;
        let args = self.args.iter().map(|a| a.evaluate(batch)).collect::<Result<Vec<_>>>()?;
        let filter = self.filter.as_ref().map(|f| f.evaluate(batch)).transpose()?;
        Ok((args, filter.map(|f| f.as_boolean().clone())))
    }

    /// Keeps the state of one group.
    pub fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.function.create_accumulator().map_err(|e| problem::error(&e))
    }
    /// Keeps the state of many groups, where the function knows how: `None` for some functions.
    pub fn groups_accumulator(&self) -> Result<Option<Box<dyn GroupsAccumulator>>> {
        if !self.function.groups_accumulator_supported() {
            return Ok(None);
        }
        self.function.create_groups_accumulator().map(Some).map_err(|e| problem::error(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_node::Span;
    use selvedge_testkit::table;

    fn aggregate(text: &str) -> std::result::Result<String, String> {
        let batch = table(
            "sku | units:Int64 | price:Float64
             a   | 2           | 1.5
             b   | null        | 4
             a   | 3           | 2",
        );
        let text = Spanned::new(text.to_string(), Span::default());
        let compiled = compile_aggregate(&batch.schema(), &text).map_err(|p| p.to_string())?;
        let mut state = compiled.accumulator().unwrap();
        let (args, filter) = compiled.evaluate(&batch).unwrap();
        let args: Vec<ArrayRef> = match filter {
            Some(f) => args.iter().map(|a| arrow::compute::filter(a, &f).unwrap()).collect(),
            None => args,
        };
        state.update_batch(&args).unwrap();
        let result = state.evaluate().unwrap();
        assert_eq!(plain(&result.data_type()), *compiled.data_type());
        Ok(result.to_string())
    }

    #[test]
    fn aggregates_of_expressions() {
        assert_eq!(aggregate("sum(units)").unwrap(), "5");
        assert_eq!(aggregate("count(*)").unwrap(), "3");
        assert_eq!(aggregate("COUNT(units)").unwrap(), "2");
        assert_eq!(aggregate("count(distinct sku)").unwrap(), "2");
        assert_eq!(aggregate("max(units * price)").unwrap(), "6");
        assert_eq!(aggregate("min(PRICE) filter (where units > 2)").unwrap(), "2");
        assert_eq!(aggregate("avg(case when sku = 'a' then 1 else 0 end)").unwrap(), "0.6666666666666666");
    }

    #[test]
    fn what_is_not_one_aggregate_is_refused() {
        assert!(aggregate("units").unwrap_err().contains("`units` is not an aggregate function"));
        assert!(aggregate("sum(units) / 2").unwrap_err().contains("`sum` needs many rows"));
        assert!(aggregate("sum(unit)").unwrap_err().contains("no column named `unit` (did you mean `units`"));
        assert!(aggregate("summ(units)").unwrap_err().contains("no function named `summ` (did you mean `sum`"));
        assert!(aggregate("sum(sku)").is_err(), "text cannot be added up");
    }
}
