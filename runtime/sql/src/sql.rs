//! `Sql`: any query over one or several inputs.

use crate::bounds::check_plan;
use crate::expr::plain;
use crate::feed::{FeedExec, PortTable};
use crate::joins::MergeJoins;
use crate::place::Place;
use crate::query::Query;
use crate::{by_key, pool, problem, session, statement};
use arrow::array::RecordBatchOptions;
use arrow::compute::cast;
use datafusion::common::{DataFusionError, TableReference, plan_err};
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use futures::executor::block_on;
use selvedge_node::prelude::*;
use selvedge_state::RowHasher;
use std::collections::BTreeMap;

/// See [`Kind::ABOUT`].
pub struct Sql;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// One query. Its tables are the input ports.
    query: Spanned<String>,
    /// How equal keys are joined.
    #[serde(default)]
    joins: Joins,
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Joins {
    /// By sorting both sides, on disk where memory does not suffice.
    #[default]
    Merge,
    /// By a hash table of the left side, which must fit into the memory budget: faster where it does.
    Hash,
}

impl Kind for Sql {
    const NAME: &'static str = "Sql";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "runs an SQL query over its inputs";
    const DOCS: &'static str = "\
The query is one `select` in DataFusion's SQL: joins, grouping, windows, subqueries, `with`, `union`. Its tables are the input \
ports, named by the graph: `input: {\"o\": \"orders\", \"c\": \"customers\"}` gives the tables `o` and `c`; in a list they have the \
names of the nodes. Names may be written in any letter case where that leaves one; double quotes make them exact.

The query is planned before the run: its columns are checked then, and each must have a name of its own (`as`). One instance sees \
everything, but for a query over one input with windows, all of whose `partition by` and `group by` have a column of the input in common, and \
no `order by` or `limit` for the whole: it runs in parallel, by the hash of those columns. Rows are taken from any port as they come; what the query cannot use yet waits in memory, then on disk. Sorts, \
grouping and joins that outgrow the memory budget spill to the run's scratch folder; with `joins: Hash` the left side of a join \
must fit.

**Absorbed rows**, reason `queried`: all that come in. **Created rows**, reason `result rows`: all that go out. A value that cannot \
be computed (a failed `cast`) stops the run: a query does not know which row it came from; use Derive before it to reject rows.

`not in`, `cross join`, `array_agg` and `string_agg` hold one side or all values in the memory budget, and fail where it does not \
suffice. The part of `with recursive` that repeats cannot read an input.

Deviations from Spark: integer arithmetic wraps around at overflow, `/` between integers divides as integers, `order by` puts nulls \
last going up, as PostgreSQL does.";
    const EXAMPLE: &'static str = "Sql(input: {\"o\": \"orders\", \"c\": \"customers\"}, query: \"select c.state, sum(o.amount) as amount \
                                   from o join c on o.customer_id = c.customer_id group by c.state\")";
    type Config = Config;

    fn ports(_: &Config) -> Ports {
        Ports { inputs: Inputs::Each, outputs: vec!["out".into()] }
    }

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let place = Place::new(&config.query);
        let statement = statement::query(&config.query, inputs)?;
        let found = |e: DataFusionError| problem::problems(&e, place);
        let tables: Vec<(String, SchemaRef)> = inputs.iter().map(|i| (i.port.clone(), i.schema.clone())).collect();
        let planner = Planner { statement, tables, joins: config.joins };
        let state = planner.state(session::config(), Default::default(), None).map_err(found)?;
        let logical = planner.logical(&state).map_err(found)?;
        check_names(&logical, place)?;
        let plan = planner.physical(&state, &logical).map_err(found)?;
        let schema = output_schema(&plan);
        let ordered = plan.properties().output_ordering().is_some();
        let notes = notes(&plan);
        let output = schema.clone();
        let make = move |task: &Task| Work::new(&planner, output.clone(), task);
        // An order that was not asked for is not worth an instance.
        let by = if sorts(&logical) { None } else { by_key::keys(&plan) };
        let by = by.filter(|by| RowHasher::new(&inputs[0].schema, by).is_ok());
        let ordered = ordered && by.is_none();
        let partitioning = by.map_or(Partitioning::Single, |by| Partitioning::Keys(vec![by]));
        let mut built = Built::transform(schema, partitioning, make);
        built.notes = notes;
        built.waits_for_end = instead(&plan).map(str::to_string);
        Ok(if ordered { built.ordered() } else { built })
    }
}

/// Whether the query has an `order by`, other than those of windows.
fn sorts(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Sort(_)) || plan.inputs().into_iter().any(sorts)
}

/// Every column of a result needs a name that no other has: after this node nothing else tells them apart.
fn check_names(plan: &LogicalPlan, place: Place) -> std::result::Result<(), Problems> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for field in plan.schema().fields() {
        *counts.entry(field.name()).or_default() += 1;
    }
    let mut problems = Problems::default();
    for (name, _) in counts.into_iter().filter(|(_, count)| *count > 1) {
        problems.push(
            Problem::error(place.whole(), format!("several columns of the result are called `{name}`"))
                .help(format!("give them names of their own: `… as {name}_2`")),
        );
    }
    problems.or(())
}

/// The rows of a port come once: what repeats would find none of them from the second time on, and end too early.
fn check_recursion(plan: &Arc<dyn ExecutionPlan>) -> std::result::Result<(), DataFusionError> {
    fn reads(plan: &Arc<dyn ExecutionPlan>) -> bool {
        plan.is::<FeedExec>() || plan.children().into_iter().any(reads)
    }
    match plan.downcast_ref::<RecursiveQueryExec>() {
        Some(query) if reads(query.recursive_term()) => plan_err!(
            "the part of `with recursive` that repeats reads an input, whose rows come only once: read inputs before \
             `union` and after the recursion, and join levels that are known one by one"
        ),
        _ => plan.children().into_iter().try_for_each(check_recursion),
    }
}

fn output_schema(plan: &Arc<dyn ExecutionPlan>) -> SchemaRef {
    let schema = plan.schema();
    let fields: Vec<Field> =
        schema.fields().iter().map(|f| Field::new(f.name(), plain(f.data_type()), f.is_nullable())).collect();
    Arc::new(Schema::new(fields))
}

/// What to use instead of this query where its inputs never end. `None`: each row goes through by itself.
fn instead(plan: &Arc<dyn ExecutionPlan>) -> Option<&'static str> {
    let here = match plan.name() {
        "FeedExec" | "ProjectionExec" | "CooperativeExec" | "UnionExec" | "CoalescePartitionsExec" => None,
        "PlaceholderRowExec" | "EmptyExec" | "DataSourceExec" => None,
        "AggregateExec" => Some(
            "use Window, which gives the groups of each span of time once it has passed: \
             Window(keys: […], time: \"…\", window: Tumbling(\"1m\"), aggregates: {…})",
        ),
        "SortExec" => Some(
            "leave `order by` out, or use GroupSort, which puts the rows of each key in the order of time: \
             GroupSort(keys: […], time: \"…\", gap: \"30m\")",
        ),
        // It holds rows back until it has a batch of them, however long that takes.
        "FilterExec" => Some("use Filter, which lets rows through at once, for `where`"),
        name if name.contains("Join") => Some(
            "use Join with `within`, which keeps rows for a span of time: Join(…, within: (time: \"…\", for: \"15m\"))",
        ),
        _ => Some("use Derive, Filter, Window, GroupSort and Join, which take rows as they come"),
    };
    here.or_else(|| plan.children().into_iter().find_map(instead))
}

/// The plan's operators, for `selvedge plan`.
fn notes(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    displayable(plan.as_ref()).indent(false).to_string().lines().map(str::to_string).collect()
}

/// Plans the query: once to know its columns, then for every run.
struct Planner {
    statement: Statement,
    tables: Vec<(String, SchemaRef)>,
    joins: Joins,
}

impl Planner {
    fn state(
        &self,
        config: SessionConfig,
        runtime: Arc<RuntimeEnv>,
        task: Option<&Task>,
    ) -> std::result::Result<SessionState, DataFusionError> {
        let mut state = session::state(config, runtime);
        if self.joins == Joins::Merge {
            state = MergeJoins::install(state);
        }
        state.mark_start_execution();
        let context = SessionContext::new_with_state(state);
        for (port, (name, schema)) in self.tables.iter().enumerate() {
            let table = PortTable { port, schema: schema.clone(), task: task.cloned() };
            context.register_table(TableReference::bare(name.as_str()), Arc::new(table))?;
        }
        Ok(context.state())
    }

    fn logical(&self, state: &SessionState) -> std::result::Result<LogicalPlan, DataFusionError> {
        block_on(state.statement_to_plan(self.statement.clone()))
    }

    fn physical(
        &self,
        state: &SessionState,
        logical: &LogicalPlan,
    ) -> std::result::Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let plan = block_on(state.create_physical_plan(logical))?;
        check_plan(&plan)?;
        check_recursion(&plan)?;
        Ok(plan)
    }
}

struct Work {
    query: Query,
    schema: SchemaRef,
}

impl Work {
    fn new(planner: &Planner, schema: SchemaRef, task: &Task) -> Result<Work> {
        let start = || {
            let state = planner
                .state(pool::config(task), pool::runtime_env(task)?, Some(task))
                .map_err(|e| problem::error(&e))?;
            let plan =
                planner.logical(&state).and_then(|l| planner.physical(&state, &l)).map_err(|e| problem::error(&e))?;
            Query::start(plan, planner.tables.len(), state.task_ctx(), task)
        };
        Ok(Work { query: start()?, schema })
    }
}

/// Sends a batch of the result in the promised types.
fn give(schema: &SchemaRef, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(column.clone()) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    out.create("result rows", batch.num_rows() as u64);
    out.send(0, batch)
}

impl Transform for Work {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        out.absorb("queried", batch.num_rows() as u64);
        let schema = &self.schema;
        self.query.push(port, &batch, out, &mut |batch, out| give(schema, batch, out))
    }
    fn end(&mut self, port: usize, out: &mut dyn Out) -> Result<()> {
        let schema = &self.schema;
        self.query.end(port, out, &mut |batch, out| give(schema, batch, out))
    }
    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        let schema = &self.schema;
        self.query.finish(out, &mut |batch, out| give(schema, batch, out))
    }
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;
