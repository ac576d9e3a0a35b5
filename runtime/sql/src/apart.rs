//! Keeps comparisons of one column with several values apart.
//!
//! DataFusion 55 makes one list of `a in (…) and a in (…)`, and `false` of lists that share nothing, where null is right for a null
//! (apache/datafusion#24258). Columns of different names it leaves alone.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

/// Does so in whole queries.
#[derive(Debug)]
pub(crate) struct Apart;

impl AnalyzerRule for Apart {
    fn name(&self) -> &str {
        "apart"
    }
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(Transformed::yes(name.restore(apart(expr)?)))
            })
        })
        .data()
    }
}

pub(crate) fn apart(expr: Expr) -> Result<Expr> {
    let mut compared = vec![];
    let mut alternatives = true;
    expr.apply(|e| {
        compared.extend(compared_column(e).cloned());
        alternatives &= match e {
            Expr::Not(_) => false,
            Expr::InList(list) => !list.negated,
            Expr::BinaryExpr(binary) => !matches!(binary.op, Operator::And | Operator::NotEq),
            _ => true,
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    let again = |column: &Column| compared.iter().filter(|other| *other == column).count() > 1;
    if alternatives || !compared.iter().any(again) {
        return Ok(expr);
    }
    let mut names = 0;
    let mut renamed = |e: Box<Expr>| match column(&e) {
        Some(_) => {
            names += 1;
            Box::new(e.alias(format!("comparison {names}")))
        }
        None => e,
    };
    expr.transform_up(|e| {
        Ok(match e {
            Expr::InList(mut list) => {
                list.expr = renamed(list.expr);
                Transformed::yes(Expr::InList(list))
            }
            Expr::BinaryExpr(mut binary) if matches!(binary.op, Operator::Eq | Operator::NotEq) => {
                (binary.left, binary.right) = (renamed(binary.left), renamed(binary.right));
                Transformed::yes(Expr::BinaryExpr(binary))
            }
            other => Transformed::no(other),
        })
    })
    .data()
}

/// The column that is compared with values here.
fn compared_column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::InList(list) => column(&list.expr),
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::Eq | Operator::NotEq) => {
            column(&binary.left).or_else(|| column(&binary.right))
        }
        _ => None,
    }
}

/// The column that an expression is, whatever type it is brought to.
fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => column(&cast.expr),
        _ => None,
    }
}
