//! How much a function may make of a batch: `repeat('x', 2000000000)` is a few bytes of SQL and all memory of the machine.
//!
//! Nearly all functions make about as much as they take. Those that make as much as a parameter says, or that multiply their
//! arguments, are wrapped: what they would make is counted before they run, also while constants are folded.
//!
//! ```text
//! args ─► growth: bytes of every row ─┬─ a value above MAX_VALUE ─► an error of the row's data: the row can be rejected
//!                                     ├─ a batch above MAX_BATCH ─► an error of the graph: no row is to blame
//!                                     └─ else ─► the function
//! ```

mod growth;
mod pattern;
#[cfg(test)]
mod tests;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, StructFieldMapping, TryCast,
};
use datafusion::optimizer::Analyzer;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::unnest::UnnestExec;
use growth::Growth;
pub(crate) use growth::bytes;
use selvedge_node::Error;
use std::sync::Arc;

/// Most bytes that one function makes of one batch. A source sends batches of at most 8,192 rows and 4 MiB: this is 32 KiB
/// for every row, or 64 times the batch.
pub(crate) const MAX_BATCH: u64 = 256 << 20;
/// Most bytes of one value that a function makes, so that the row to blame can be told from the others.
pub(crate) const MAX_VALUE: u64 = 16 << 20;
/// Most bytes of a constant, which stands on every one of 8,192 rows.
pub(crate) const MAX_CONSTANT: u64 = MAX_BATCH / 8192;

/// Puts a bound on the functions of a session, and on those that the planner makes of syntax such as `[a, b]`.
pub(crate) fn install(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    for function in builder.scalar_functions().iter_mut().flatten() {
        if let Some(bounded) = bounded(function) {
            *function = bounded;
        }
    }
    let mut analyzer = Analyzer::new();
    analyzer.add_function_rewrite(Arc::new(Bounds));
    *builder.analyzer() = Some(analyzer);
    builder
}

/// The function with a bound, where it needs one and has none.
fn bounded(function: &Arc<ScalarUDF>) -> Option<Arc<ScalarUDF>> {
    if function.inner().is::<Bounded>() {
        return None;
    }
    let growth = Growth::of(function.name())?;
    Some(Arc::new(ScalarUDF::new_from_impl(Bounded { inner: function.clone(), growth })))
}

fn bound(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) => match bounded(&func) {
            Some(func) => Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })),
            None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
        },
        Expr::Cast(Cast { ref field, .. }) | Expr::TryCast(TryCast { ref field, .. }) => {
            check_type(field.data_type())?;
            Transformed::no(expr)
        }
        other => Transformed::no(other),
    })
}

/// Bounds what did not come out of the session's list of functions, and types that are wide by themselves.
#[derive(Debug)]
struct Bounds;

impl FunctionRewrite for Bounds {
    fn name(&self) -> &str {
        "bounds"
    }
    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        bound(expr)
    }
}

/// Refuses a type every value of which is too large: `int[1000000000]`.
fn check_type(ty: &DataType) -> Result<()> {
    match width(ty) {
        bytes if bytes > MAX_CONSTANT => plan_err!(
            "every value of the type {ty} takes {bytes} bytes, more than the {MAX_CONSTANT} that are allowed: use a list \
             without a length"
        ),
        _ => Ok(()),
    }
}

/// Bytes that a value takes even where it is null.
fn width(ty: &DataType) -> u64 {
    match ty {
        DataType::FixedSizeBinary(n) => u64::try_from(*n).unwrap_or(0),
        DataType::FixedSizeList(f, n) => u64::try_from(*n).unwrap_or(0).saturating_mul(width(f.data_type()).max(1)),
        DataType::Struct(fields) => fields.iter().fold(0, |sum, f| width(f.data_type()).saturating_add(sum)),
        DataType::List(f) | DataType::LargeList(f) | DataType::Map(f, _) => width(f.data_type()),
        DataType::Dictionary(_, values) => width(values),
        other => other.primitive_width().unwrap_or(0) as u64,
    }
}

/// Refuses an expression with a constant that would take too much memory on all rows of a batch, or with a regular expression
/// that does not compile.
pub(crate) fn check_constants(expr: &Arc<dyn PhysicalExpr>, text: &str) -> Result<()> {
    expr.apply(|e| {
        pattern::check(e)?;
        let bytes = e.downcast_ref::<Literal>().map_or(0, |literal| literal.value().size() as u64);
        match bytes > MAX_CONSTANT {
            true => plan_err!(
                "`{text}` holds a constant of {bytes} bytes, which stands on every row; it may have {MAX_CONSTANT}: make it \
                 shorter"
            ),
            false => Ok(TreeNodeRecursion::Continue),
        }
    })
    .map(|_| ())
}

/// As [`check_constants`], for a whole plan. A list that is unnested by itself stands on one row: `unnest(range(0, 100000))`.
pub(crate) fn check_plan(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    fn visit(plan: &Arc<dyn ExecutionPlan>, unnested: bool) -> Result<()> {
        let children = plan.children();
        let one_row = |c: &Arc<dyn ExecutionPlan>| c.is::<PlaceholderRowExec>() || c.is::<EmptyExec>();
        if !(unnested && children.iter().all(|c| one_row(c))) {
            plan.apply_expressions(&mut |expr| {
                check_constants(expr, "the query").map(|()| TreeNodeRecursion::Continue)
            })?;
        }
        children.into_iter().try_for_each(|child| visit(child, plan.is::<UnnestExec>()))
    }
    visit(plan, false)
}

/// A function whose output is counted before it is made.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

/// What a function may not make: by a value of a row, or by all values of a batch.
pub(crate) fn too_much(what: &str, bytes: u64, whole_batch: bool) -> Error {
    match whole_batch {
        true => Error::graph(format!(
            "`{what}` would make {bytes} bytes of one batch of rows, more than the {MAX_BATCH} that are allowed"
        ))
        .help("make the values shorter"),
        false => Error::data(format!(
            "`{what}` would make one value of {bytes} bytes, more than the {MAX_VALUE} that are allowed: make it shorter"
        )),
    }
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let refused = |e: Error| DataFusionError::External(Box::new(e));
        let grown = self.growth.bytes(&args.args, args.number_rows)?;
        // No row is to blame for what all of them make together, so that comes first: what is left after the rows that are
        // too large by themselves are rejected must fit.
        if grown.total > MAX_BATCH {
            return Err(refused(too_much(self.name(), grown.total, true)));
        }
        match grown.too_large {
            Some(bytes) => Err(refused(too_much(self.name(), bytes, false))),
            None => Ok(()),
        }
    }
}

/// Everything but the check is the function's own.
impl ScalarUDFImpl for Bounded {
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        check_type(field.data_type())?;
        Ok(field)
    }
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.inner.simplify(args, info)? {
            ExprSimplifyResult::Simplified(expr) => ExprSimplifyResult::Simplified(expr.transform_up(bound).data()?),
            original => original,
        })
    }
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }
    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.inner.return_type(args)
    }
    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }
    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::new_from_impl(Bounded { inner, growth: self.growth }))
    }
    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        self.inner.preimage(args, literal, info)
    }
    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }
    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }
    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(inputs)
    }
    fn propagate_constraints(&self, interval: &Interval, inputs: &[&Interval]) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }
    fn struct_field_mapping(&self, literals: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.inner.struct_field_mapping(literals)
    }
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }
    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }
    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.strictly_order_preserving(inputs)
    }
    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(args)
    }
    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(args)
    }
}
