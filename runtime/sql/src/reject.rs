//! Rows for which an expression has no value, on their way to `errors`.

use crate::expr::Compiled;
use arrow::array::RecordBatch;
use selvedge_node::{Out, Result};

/// The code of such rows.
pub(crate) const CODE: &str = "expression";

/// Rejects the bad rows of `batch`, each with the expression and what went wrong.
pub(crate) fn reject_bad(out: &mut dyn Out, batch: &RecordBatch, by: &Compiled, bad: &[(usize, String)]) -> Result<()> {
    let rows: Vec<usize> = bad.iter().map(|(row, _)| *row).collect();
    let message = |row: usize| {
        let why = bad.binary_search_by_key(&row, |(r, _)| *r).map_or("", |at| bad[at].1.as_str());
        format!("`{}`: {why}", by.text())
    };
    out.reject_rows(CODE, batch, &rows, &message)
}
