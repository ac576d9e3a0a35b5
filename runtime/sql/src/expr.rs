//! SQL expressions over the columns of one input: planned once against its schema, then evaluated batch by batch.
//!
//! ```text
//! text ─parse─► syntax tree ─resolve─► (names bound) ─DataFusion─► logical ─coerce, simplify─► physical, bound to columns
//! ```
//!
//! DataFusion's SQL with three changes: arithmetic that overflows is an error and never wraps around, text comes out as
//! `Utf8`, and an error concerns only the rows that cause it.

use crate::apart::apart;
use crate::bounds::{MAX_BATCH, bytes, check_constants, too_much};
use crate::fast::faster;
use crate::parse::{Use, parse, resolve};
use crate::place::Place;
use crate::problem;
use crate::session::{planner, props};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, concat, filter_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::sql::sqlparser::ast::{Expr as Ast, ExprWithAlias, Spanned as _, Visit, Visitor};
use selvedge_node::{Error, Fault, Problem, Problems, Result, Spanned};
use std::ops::ControlFlow;
use std::sync::Arc;

/// An expression bound to a schema.
#[derive(Debug, Clone)]
pub struct Compiled {
    text: String,
    /// Bound to the whole input …
    expr: Arc<dyn PhysicalExpr>,
    /// … and to the columns it reads alone, for evaluation on few rows.
    narrow: Arc<dyn PhysicalExpr>,
    narrow_schema: SchemaRef,
    columns: Vec<usize>,
    data_type: DataType,
    nullable: bool,
}

/// The values of an expression for the rows of a batch, and the rows that have none.
#[derive(Debug, Clone)]
pub struct Values {
    /// One for each row of the batch, null where it is bad.
    pub array: ArrayRef,
    /// Rows whose evaluation failed, in order, and why.
    pub bad: Vec<(usize, String)>,
}

/// What [`Compiled::bisect`] has met so far.
#[derive(Default)]
struct Found {
    bad: Vec<(usize, String)>,
    bytes: u64,
}

/// Plans an expression over the columns of `schema`. All problems at once, each at its place inside the text.
pub fn compile(schema: &SchemaRef, text: &Spanned<String>) -> std::result::Result<Compiled, Problems> {
    let place = Place::new(text);
    let ast = parse(text)?;
    compile_ast(schema, ast, place, text.value.trim().to_string())
}

/// Plans an expression that must be true or false.
pub fn compile_predicate(schema: &SchemaRef, text: &Spanned<String>) -> std::result::Result<Compiled, Problems> {
    let compiled = compile(schema, text)?;
    check_predicate(&compiled, Place::new(text))?;
    Ok(compiled)
}

/// Plans a predicate as the parts that `and` joins at its top, in order.
pub fn compile_conjuncts(schema: &SchemaRef, text: &Spanned<String>) -> std::result::Result<Vec<Compiled>, Problems> {
    let place = Place::new(text);
    let mut problems = Problems::default();
    let mut parts = vec![];
    for (ast, part) in crate::parse::conjuncts(parse(text)?, place) {
        if let Some(compiled) = problems.take(compile_ast(schema, ast, place, part)) {
            problems.take(check_predicate(&compiled, place));
            parts.push(compiled);
        }
    }
    problems.or(parts)
}

fn check_predicate(compiled: &Compiled, place: Place) -> std::result::Result<(), Problem> {
    match &compiled.data_type {
        DataType::Boolean => Ok(()),
        other => {
            Err(Problem::error(place.whole(), format!("`{}` must be true or false, but is {other}", compiled.text))
                .help("compare it with something: `… > 0`, `… = 'x'`, `… is not null`"))
        }
    }
}

pub(crate) fn compile_ast(
    schema: &SchemaRef,
    mut ast: Ast,
    place: Place,
    text: String,
) -> std::result::Result<Compiled, Problems> {
    let used = resolve(&mut ast, schema, place, Use::Row)?;
    let df_schema = df_schema(&used, place)?;
    let expr = match plan(&ast, &df_schema) {
        Ok(expr) => expr,
        Err(e) => return Err(blame(&ast, &df_schema, place, &e)),
    };
    let compiled = bind(schema, &df_schema, &expr, text).map_err(|e| problem::problems(&e, place))?;
    compiled.probe(place)?;
    Ok(compiled)
}

pub(crate) fn df_schema(schema: &SchemaRef, place: Place) -> std::result::Result<DFSchema, Problems> {
    DFSchema::try_from(schema.clone()).map_err(|e| problem::problems(&e, place))
}

/// Syntax tree to logical expression, types coerced and constants folded.
pub(crate) fn plan(ast: &Ast, schema: &DFSchema) -> std::result::Result<Expr, DataFusionError> {
    let state = planner();
    let named = ExprWithAlias { expr: ast.clone(), alias: None };
    let expr = state.create_logical_expr_from_sql_expr(named, schema)?;
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(state.config_options().clone())
        .with_query_execution_start_time(props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let mut expr = simplifier.coerce(expr, schema)?;
    for rewrite in state.analyzer().function_rewrites() {
        expr = expr.transform_up(|e| rewrite.rewrite(e, schema, state.config_options())).data()?;
    }
    simplifier.simplify(apart(expr)?)
}

/// Logical to physical, with arithmetic that reports overflow.
pub(crate) fn physical(expr: &Expr, schema: &DFSchema) -> std::result::Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let expr = create_physical_expr(expr, schema, props(), &PhysicalPlanningContext::default())?;
    checked(expr)
}

pub(crate) fn checked(expr: Arc<dyn PhysicalExpr>) -> std::result::Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    expr.transform_up(|e| {
        let Some(binary) = e.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(e)) };
        if !matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply) {
            return Ok(Transformed::no(e));
        }
        let new =
            BinaryExpr::new(binary.left().clone(), *binary.op(), binary.right().clone()).with_fail_on_overflow(true);
        Ok(Transformed::yes(Arc::new(new) as Arc<dyn PhysicalExpr>))
    })
    .data()
}

/// Binds an expression that was planned over some of the columns of `schema` to all of them.
pub(crate) fn bind(
    schema: &SchemaRef,
    df_schema: &DFSchema,
    expr: &Expr,
    text: String,
) -> std::result::Result<Compiled, DataFusionError> {
    let slow = reassign_expr_columns(physical(expr, df_schema)?, schema)?;
    check_constants(&slow, &text)?;
    let expr = faster(slow.clone(), schema)?;
    let mut columns: Vec<usize> = collect_columns(&expr).iter().map(|c| c.index()).collect();
    columns.sort_unstable();
    let narrow_schema = Arc::new(schema.project(&columns)?);
    let narrow = faster(reassign_expr_columns(slow, &narrow_schema)?, &narrow_schema)?;
    let data_type = plain(&expr.data_type(schema)?);
    let nullable = expr.nullable(schema)?;
    Ok(Compiled { text, expr, narrow, narrow_schema, columns, data_type, nullable })
}

/// Finds the smallest parts of an expression that cannot be planned: DataFusion seldom says where an error sits.
pub(crate) fn blame(ast: &Ast, schema: &DFSchema, place: Place, error: &DataFusionError) -> Problems {
    struct Smallest<'a> {
        schema: &'a DFSchema,
        place: Place<'a>,
        /// For each expression that we are inside of: whether a part of it was blamed.
        blamed: Vec<bool>,
        found: Problems,
        /// A part of a lambda's body knows its parameter only inside of the lambda.
        lambda: bool,
    }
    impl Visitor for Smallest<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Ast) -> ControlFlow<()> {
            self.lambda |= matches!(expr, Ast::Lambda(_));
            self.blamed.push(false);
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &Ast) -> ControlFlow<()> {
            let mut blamed = self.blamed.pop().unwrap_or(false);
            if !blamed && let Err(e) = plan(expr, self.schema) {
                let span = self.place.span(expr.span());
                for problem in problem::problems(&e, self.place).0 {
                    let known = problem.span.is_some_and(|s| s != self.place.whole());
                    self.found.push(if known { problem } else { Problem { span: Some(span), ..problem } });
                }
                blamed = true;
            }
            if let Some(outer) = self.blamed.last_mut() {
                *outer |= blamed;
            }
            ControlFlow::Continue(())
        }
    }
    let mut smallest = Smallest { schema, place, blamed: vec![], found: Problems::default(), lambda: false };
    let _ = ast.visit(&mut smallest);
    if smallest.lambda || smallest.found.0.is_empty() { problem::problems(error, place) } else { smallest.found }
}

/// The type in which values of `ty` are kept between nodes: views become plain text and bytes.
pub fn plain(ty: &DataType) -> DataType {
    let inner = |f: &FieldRef| -> FieldRef {
        Arc::new(Field::new(f.name(), plain(f.data_type()), f.is_nullable()).with_metadata(f.metadata().clone()))
    };
    match ty {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(f) | DataType::ListView(f) => DataType::List(inner(f)),
        DataType::LargeList(f) | DataType::LargeListView(f) => DataType::LargeList(inner(f)),
        DataType::FixedSizeList(f, n) => DataType::FixedSizeList(inner(f), *n),
        DataType::Map(f, sorted) => DataType::Map(inner(f), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

impl Compiled {
    /// The text of the expression, as written.
    pub fn text(&self) -> &str {
        &self.text
    }
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }
    pub fn nullable(&self) -> bool {
        self.nullable
    }
    /// Indices of the columns that it reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }
    /// The DataFusion expression.
    pub fn physical(&self) -> &Arc<dyn PhysicalExpr> {
        &self.expr
    }
    /// Its value where it reads no column.
    pub fn constant(&self) -> Option<ArrayRef> {
        let constant = self.columns.is_empty() && !volatile(&self.expr);
        constant.then(|| self.evaluate_narrow(&one_row(&self.narrow_schema)?).ok()).flatten()
    }

    /// One value for each row. An error if any row has none.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.run(&self.expr, batch)
    }

    /// One value for each row; rows that have none are found and told.
    pub fn evaluate_each(&self, batch: &RecordBatch) -> Result<Values> {
        match self.evaluate(batch) {
            Ok(array) => Ok(Values { array, bad: vec![] }),
            Err(_) => {
                let narrow = self.narrowed(batch)?;
                let mut found = Found::default();
                let array = self.bisect(&narrow, 0, &mut found)?;
                Ok(Values { array, bad: found.bad })
            }
        }
    }

    /// As [`Compiled::evaluate_each`], for the rows where `chosen` is true alone: one value for each of them, in order. Bad
    /// rows are counted as in the whole batch.
    pub fn evaluate_chosen(&self, batch: &RecordBatch, chosen: &BooleanArray) -> Result<Values> {
        let narrow = filter_record_batch(&self.narrowed(batch)?, chosen)?;
        match self.evaluate_narrow(&narrow) {
            Ok(array) => Ok(Values { array, bad: vec![] }),
            Err(_) => {
                let mut found = Found::default();
                let array = self.bisect(&narrow, 0, &mut found)?;
                let rows: Vec<usize> = chosen.values().set_indices().collect();
                found.bad.iter_mut().for_each(|(row, _)| *row = rows[*row]);
                Ok(Values { array, bad: found.bad })
            }
        }
    }

    fn narrowed(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(|&c| batch.column(c).clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.narrow_schema.clone(), columns, &options)?)
    }

    fn evaluate_narrow(&self, narrow: &RecordBatch) -> Result<ArrayRef> {
        self.run(&self.narrow, narrow)
    }

    fn run(&self, expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let value = expr.evaluate(batch).and_then(|v| v.into_array(rows)).map_err(|e| problem::error(&e))?;
        if value.len() != rows {
            return Err(Error::bug(format!("`{}` gave {} values for {rows} rows", self.text, value.len())));
        }
        match value.data_type() == &self.data_type {
            true => Ok(value),
            false => Ok(cast(&value, &self.data_type)?),
        }
    }

    /// Halves the batch until only single rows fail: `bad · log rows` evaluations.
    fn bisect(&self, narrow: &RecordBatch, first: usize, found: &mut Found) -> Result<ArrayRef> {
        let rows = narrow.num_rows();
        match self.evaluate_narrow(narrow) {
            Ok(array) => {
                // Each half may make little enough and all of them too much.
                found.bytes += bytes(&array);
                match found.bytes > MAX_BATCH {
                    true => Err(too_much(&self.text, found.bytes, true)),
                    false => Ok(array),
                }
            }
            // No row is to blame.
            Err(e) if matches!(e.fault, Fault::World | Fault::Graph) => Err(e),
            Err(e) if rows <= 1 => {
                found.bad.push((first, e.message));
                Ok(new_null_array(&self.data_type, rows))
            }
            Err(_) => {
                let half = rows / 2;
                let left = self.bisect(&narrow.slice(0, half), first, found)?;
                let right = self.bisect(&narrow.slice(half, rows - half), first + half, found)?;
                Ok(concat(&[&left, &right])?)
            }
        }
    }

    /// Evaluates no rows, or one where no column is read, so that what must fail on every row fails while planning.
    pub(crate) fn probe(&self, place: Place) -> std::result::Result<(), Problem> {
        let rows = match self.columns.is_empty() {
            true => one_row(&self.narrow_schema),
            false => None,
        };
        let rows = match rows {
            Some(one) => one,
            None => RecordBatch::new_empty(self.narrow_schema.clone()),
        };
        let found = |e: Error| Problem::error(place.whole(), format!("`{}`: {}", self.text, e.message));
        self.evaluate_narrow(&rows).map(|_| ()).map_err(found)
    }
}

fn one_row(schema: &SchemaRef) -> Option<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(schema.clone(), vec![], &options).ok()
}

fn volatile(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let mut volatile = false;
    let _ = expr.apply(|e| {
        volatile |= e.is_volatile_node();
        Ok(TreeNodeRecursion::Continue)
    });
    volatile
}

#[cfg(test)]
#[path = "expr_tests.rs"]
mod tests;
