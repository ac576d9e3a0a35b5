//! Which queries may run side by side, each instance on the rows of its keys.
//!
//! A query over one input whose windows and groups all have some column of it in common gives the same rows whether it sees all rows
//! at once or the rows of each value of that column for themselves: no operator ever looks at rows of two values together.

use crate::feed::FeedExec;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use std::sync::Arc;

/// What is known of a part of a plan.
struct Part {
    /// The column of the input that each column is, if it is one.
    columns: Vec<Option<usize>>,
    /// The columns of the input that all windows and groups so far have in common; `None` before the first.
    keys: Option<Vec<usize>>,
    windows: bool,
}

impl Part {
    fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
        self.columns.get(expr.downcast_ref::<Column>()?.index()).copied()?
    }

    /// Rows are looked at together if they agree in these.
    fn together<'a>(&mut self, by: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>) {
        let by: Vec<usize> = by.filter_map(|expr| self.column(expr)).collect();
        match &mut self.keys {
            None => self.keys = Some(by),
            Some(keys) => keys.retain(|key| by.contains(key)),
        }
    }
}

/// The columns of the only input by which rows can be dealt out. `None`: one instance has to see everything, or nothing is sorted
/// for windows, and dealing rows out would cost more than it gains.
pub(crate) fn keys(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<usize>> {
    let part = part(plan)?;
    part.keys.filter(|keys| part.windows && !keys.is_empty())
}

fn part(plan: &Arc<dyn ExecutionPlan>) -> Option<Part> {
    if let Some(feed) = plan.downcast_ref::<FeedExec>() {
        let columns = (0..feed.schema().fields().len()).map(Some).collect();
        return Some(Part { columns, keys: None, windows: false });
    }
    let children = plan.children();
    let [child] = children[..] else { return None };
    let mut part = part(child)?;
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        if filter.fetch().is_some() {
            return None;
        }
        if let Some(kept) = filter.projection() {
            part.columns = kept.iter().map(|&column| part.columns[column]).collect();
        }
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        part.columns = projection.expr().iter().map(|e| part.column(&e.expr)).collect();
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
        if sort.fetch().is_some() {
            return None;
        }
    } else if let Some(keys) = window(plan) {
        part.together(keys.iter());
        part.columns.resize(plan.schema().fields().len(), None);
        part.windows = true;
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let groups = aggregate.group_expr();
        if !groups.is_single() || groups.is_empty() || aggregate.limit_options().is_some() {
            return None;
        }
        part.together(groups.expr().iter().map(|(expr, _)| expr));
        let mut columns: Vec<_> = groups.expr().iter().map(|(expr, _)| part.column(expr)).collect();
        columns.resize(plan.schema().fields().len(), None);
        part.columns = columns;
    } else if plan.name() != "CooperativeExec" {
        return None;
    }
    Some(part)
}

fn window(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<Arc<dyn PhysicalExpr>>> {
    // Several windows of one operator have their keys in common: it sorts once for all.
    let keys = |exprs: &[Arc<dyn datafusion::physical_plan::WindowExpr>]| {
        let mut common: Option<Vec<Arc<dyn PhysicalExpr>>> = None;
        for window in exprs {
            match &mut common {
                None => common = Some(window.partition_by().to_vec()),
                Some(common) => common.retain(|key| window.partition_by().iter().any(|other| other.eq(key))),
            }
        }
        common.unwrap_or_default()
    };
    let bounded = plan.downcast_ref::<BoundedWindowAggExec>().map(|w| keys(w.window_expr()));
    bounded.or_else(|| plan.downcast_ref::<WindowAggExec>().map(|w| keys(w.window_expr())))
}
