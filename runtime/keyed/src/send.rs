//! Sending what was kept of a batch, in batches of the size asked for.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use selvedge_node::{Out, Result, Task};

/// Sends a batch on port 0 in slices of at most `task.batch_rows`.
pub(crate) fn send(batch: RecordBatch, task: &Task, out: &mut dyn Out) -> Result<()> {
    let size = task.batch_rows.max(1);
    if batch.num_rows() <= size {
        return out.send(0, batch);
    }
    for at in (0..batch.num_rows()).step_by(size) {
        out.send(0, batch.slice(at, size.min(batch.num_rows() - at)))?;
    }
    Ok(())
}

/// Sends the rows of a batch that are `kept` and drops the others as `reason`.
pub(crate) fn send_kept(
    batch: &RecordBatch,
    kept: BooleanBuffer,
    reason: &str,
    task: &Task,
    out: &mut dyn Out,
) -> Result<()> {
    let count = kept.count_set_bits();
    if count == batch.num_rows() {
        return send(batch.clone(), task, out);
    }
    let kept = BooleanArray::new(kept, None);
    out.drop_where(reason, batch, &arrow::compute::not(&kept)?);
    if count == 0 { Ok(()) } else { send(filter_record_batch(batch, &kept)?, task, out) }
}
