//! The ways out of a node. Whatever a node does with a row, it says it here.

use crate::{Result, rows_json};
use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::{Arc, LazyLock};

/// The port that every node has for rows it cannot take.
pub const ERRORS_PORT: &str = "errors";

/// The schema of every `errors` port: `node`, `errorCode`, `errorMessage`, `rawData` (all text; the row as JSON, or the raw
/// line where it never became a row). The names are those of Amazon Data Firehose's error records.
pub fn errors_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name| Field::new(name, DataType::Utf8, false);
        Arc::new(Schema::new(vec![text("node"), text("errorCode"), text("errorMessage"), text("rawData")]))
    });
    SCHEMA.clone()
}

/// A row that a node cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, few in number and stable, for counting: `cast`, `csv.columns`.
    pub code: String,
    /// This row's own story: ``cannot read `N/A` in column `qty` as Int32``.
    pub message: String,
    /// The row as JSON, or as it stood in the file.
    pub raw: String,
}

/// Where a node's rows go. Ports are indices into `Built::outputs`.
pub trait Out {
    /// Sends rows on; blocks while the edge is full. An empty batch is dropped silently.
    fn send(&mut self, port: usize, batch: RecordBatch) -> Result<()>;

    /// `count` rows end here for `reason` (few and stable: `null in sku`). `samples` may give some of them as JSON; it is
    /// called only while samples of this reason are still wanted, with how many.
    fn drop_rows(&mut self, reason: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>);

    /// `count` rows go on, but not as they came: a value became null because it could not be read, a number was clamped.
    /// Outside of the row law; kept so that no change of data is silent. `samples` as in `drop_rows`.
    fn altered(&mut self, what: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>);

    /// A row goes to `errors`. An error comes back where that port is not connected: then the run stops.
    fn reject(&mut self, rejection: Rejection) -> Result<()>;

    /// Rows that became part of something else: `grouped`, `written`.
    fn absorb(&mut self, reason: &str, rows: u64);

    /// Rows that did not come in but go out: `groups`, `exploded`, `read`.
    fn create(&mut self, reason: &str, rows: u64);

    /// Adds to a counter of the node's own, shown in the report: `cache hits`, `retries`. Names are few and stable. Where nobody
    /// reports, nothing is counted.
    fn count(&mut self, name: &str, value: u64) {
        let _ = (name, value);
    }

    /// A sink has gathered enough: flush and commit all sinks soon, where the graph is unbounded.
    fn publish_soon(&mut self) {}

    /// Long loops that neither send nor return ask now and then, and leave with `Error::stopped`; a source sends what it has
    /// and returns as if there were more.
    fn stopping(&self) -> bool;
}

impl dyn Out + '_ {
    /// Drops the rows where `rows` is true (null counts as false).
    pub fn drop_where(&mut self, reason: &str, batch: &RecordBatch, rows: &BooleanArray) {
        let count = rows.true_count();
        if count > 0 {
            let some = |wanted: usize| rows_json(batch, &first_true(rows, wanted));
            self.drop_rows(reason, count as u64, &some);
        }
    }

    /// Tells of rows that were altered, where `rows` is true; `batch` is how they came.
    pub fn altered_where(&mut self, what: &str, batch: &RecordBatch, rows: &BooleanArray) {
        let count = rows.true_count();
        if count > 0 {
            let some = |wanted: usize| rows_json(batch, &first_true(rows, wanted));
            self.altered(what, count as u64, &some);
        }
    }

    /// Drops a whole batch.
    pub fn drop_all(&mut self, reason: &str, batch: &RecordBatch) {
        if batch.num_rows() > 0 {
            let some = |wanted: usize| rows_json(batch, &(0..wanted.min(batch.num_rows())).collect::<Vec<_>>());
            self.drop_rows(reason, batch.num_rows() as u64, &some);
        }
    }

    /// Rejects the given rows, each with its own message.
    pub fn reject_rows(
        &mut self,
        code: &str,
        batch: &RecordBatch,
        rows: &[usize],
        message: &dyn Fn(usize) -> String,
    ) -> Result<()> {
        // In slices: the JSON of a whole bad batch at once could be larger than the batch.
        for some in rows.chunks(256) {
            for (&row, raw) in some.iter().zip(rows_json(batch, some)) {
                self.reject(Rejection { code: code.to_string(), message: message(row), raw })?;
            }
        }
        Ok(())
    }
}

/// Indices of the first `wanted` true values.
fn first_true(rows: &BooleanArray, wanted: usize) -> Vec<usize> {
    (0..rows.len()).filter(|&i| rows.is_valid(i) && rows.value(i)).take(wanted).collect()
}
