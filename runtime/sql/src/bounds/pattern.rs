//! Regular expressions that stand in the graph, compiled while it is planned: DataFusion does it at the first row.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use std::sync::Arc;

/// Tries a match with a constant pattern on an empty text.
pub(super) fn check(expr: &Arc<dyn PhysicalExpr>) -> Result<()> {
    use Operator::{RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch};
    let operator = expr
        .downcast_ref::<BinaryExpr>()
        .is_some_and(|b| matches!(b.op(), RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch));
    let function = expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| call.name().starts_with("regexp_"));
    let children = expr.children();
    let [_, rest @ ..] = children.as_slice() else { return Ok(()) };
    let constant = rest.iter().all(|c| c.is::<Literal>());
    let Some(pattern) = rest.first().and_then(|c| c.downcast_ref::<Literal>()) else { return Ok(()) };
    if !(operator || function) || !constant {
        return Ok(());
    }
    let empty = lit(ScalarValue::from("").cast_to(&pattern.value().data_type())?);
    let tried = std::iter::once(empty).chain(rest.iter().map(|c| Arc::clone(c)));
    let tried = expr.clone().with_new_children(tried.collect())?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    tried.evaluate(&RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?).map(|_| ())
}
