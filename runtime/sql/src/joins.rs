//! Joins that spill: DataFusion's hash join holds one side in memory or fails, its sort-merge join sorts on disk.

use arrow::compute::SortOptions;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use std::sync::Arc;

/// Turns hash joins into sort-merge joins. DataFusion has a setting for it that works with several partitions only.
#[derive(Debug)]
pub(crate) struct MergeJoins;

impl MergeJoins {
    /// Puts the rule first: later ones add the sorts that a merge needs.
    pub(crate) fn install(state: SessionState) -> SessionState {
        let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(MergeJoins)];
        rules.extend(state.physical_optimizers().iter().cloned());
        SessionStateBuilder::new_from_existing(state).with_physical_optimizer_rules(rules).build()
    }
}

impl PhysicalOptimizerRule for MergeJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(plan)) };
            // `not in` over nulls has a meaning that only the hash join knows. A projection comes with later rules alone.
            if join.null_aware || join.projection.is_some() {
                return Ok(Transformed::no(plan));
            }
            let merge = SortMergeJoinExec::try_new(
                join.left().clone(),
                join.right().clone(),
                join.on().to_vec(),
                join.filter().cloned(),
                *join.join_type(),
                vec![SortOptions::default(); join.on().len()],
                join.null_equality(),
            )?;
            Ok(Transformed::yes(Arc::new(merge) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }
    fn name(&self) -> &str {
        "merge_joins"
    }
    fn schema_check(&self) -> bool {
        true
    }
}
