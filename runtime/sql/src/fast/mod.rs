//! Faster ways to compute some common expressions. Each is put in place of the DataFusion expression that it equals, keeps
//! that one for the cases it does not know, and a property test holds it to the same values.

mod join_text;
mod trunc_date;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

/// The expression with every part replaced that there is a faster way for.
pub(crate) fn faster(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|e| {
        if let Some(fast) = join_text::recognise(&e, schema)? {
            return Ok(Transformed::yes(fast));
        }
        if let Some(fast) = trunc_date::recognise(&e, schema)? {
            return Ok(Transformed::yes(fast));
        }
        Ok(Transformed::no(e))
    })
    .data()
}
