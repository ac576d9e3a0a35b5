//! Rows that an operation on columns could not take: rejected once each, as they came in, and the rest sent on.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::util::display::array_value_to_string;
use selvedge_node::{Out, Result};

/// The words around a bad value.
pub(crate) struct Says {
    pub before: String,
    pub after: String,
}

impl Says {
    /// ``cannot read `N/A` in column `qty` as Int32``; long values are cut.
    pub fn about(&self, source: &ArrayRef, row: usize) -> String {
        const SHOWN: usize = 80;
        let mut value = array_value_to_string(source, row).unwrap_or_else(|_| "?".into());
        if let Some((end, _)) = value.char_indices().nth(SHOWN) {
            value.truncate(end);
            value.push('…');
        }
        format!("{}`{value}`{}", self.before, self.after)
    }
}

/// What one operation could not take.
pub(crate) struct Failure<'a> {
    pub code: &'static str,
    /// The column before the operation.
    pub source: ArrayRef,
    pub rows: BooleanBuffer,
    pub says: &'a Says,
}

/// Rejects the rows of `batch` that failed anywhere, each for its first failure, and sends the others of `edited`.
pub(crate) fn send_rest(
    batch: &RecordBatch,
    edited: RecordBatch,
    failures: &[Failure],
    out: &mut dyn Out,
) -> Result<()> {
    let mut bad: Option<BooleanBuffer> = None;
    for failure in failures {
        let (new, all) = match bad {
            Some(before) => (&failure.rows & &!&before, &failure.rows | &before),
            None => (failure.rows.clone(), failure.rows.clone()),
        };
        let rows: Vec<usize> = new.set_indices().collect();
        // The row as it came in: that is what its owner knows.
        out.reject_rows(failure.code, batch, &rows, &|row| failure.says.about(&failure.source, row))?;
        bad = Some(all);
    }
    match bad {
        Some(bad) => out.send(0, filter_record_batch(&edited, &BooleanArray::new(!&bad, None))?),
        None => out.send(0, edited),
    }
}
