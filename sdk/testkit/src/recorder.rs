//! An `Out` that keeps everything, for tests.

use arrow::array::RecordBatch;
use selvedge_node::{Error, Out, Rejection, Result};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Recorder {
    /// Batches by output port.
    pub sent: BTreeMap<usize, Vec<RecordBatch>>,
    pub dropped: BTreeMap<String, u64>,
    pub samples: BTreeMap<String, Vec<String>>,
    pub altered: BTreeMap<String, u64>,
    pub rejected: Vec<Rejection>,
    pub absorbed: BTreeMap<String, u64>,
    pub created: BTreeMap<String, u64>,
    /// How often the node wished to be published soon.
    pub published_soon: u64,
    /// As if `errors` were not connected: the first rejection is an error.
    pub strict: bool,
}

impl Recorder {
    pub fn rows_sent(&self) -> u64 {
        self.sent.values().flatten().map(|b| b.num_rows() as u64).sum()
    }

    /// Panics unless the row law holds.
    pub fn check_law(&self, rows_in: u64) {
        self.law(rows_in).unwrap_or_else(|e| panic!("{e}: {self:?}"));
    }

    /// The row law: `rows in + created = sent + dropped + rejected + absorbed`.
    pub fn law(&self, rows_in: u64) -> std::result::Result<(), String> {
        let sum = |m: &BTreeMap<String, u64>| m.values().sum::<u64>();
        let came = rows_in + sum(&self.created);
        let left = self.rows_sent() + sum(&self.dropped) + self.rejected.len() as u64 + sum(&self.absorbed);
        match came == left {
            true => Ok(()),
            false => Err(format!("the row law is broken: {came} rows came in or were created, {left} left")),
        }
    }
}

impl Out for Recorder {
    fn send(&mut self, port: usize, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() > 0 {
            self.sent.entry(port).or_default().push(batch);
        }
        Ok(())
    }
    fn drop_rows(&mut self, reason: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        *self.dropped.entry(reason.to_string()).or_default() += count;
        let kept = self.samples.entry(reason.to_string()).or_default();
        if kept.len() < 5 {
            kept.extend(samples(5 - kept.len()));
        }
    }
    fn altered(&mut self, what: &str, count: u64, _: &dyn Fn(usize) -> Vec<String>) {
        *self.altered.entry(what.to_string()).or_default() += count;
    }
    fn reject(&mut self, rejection: Rejection) -> Result<()> {
        if self.strict {
            return Err(Error::data(rejection.message));
        }
        self.rejected.push(rejection);
        Ok(())
    }
    fn absorb(&mut self, reason: &str, rows: u64) {
        *self.absorbed.entry(reason.to_string()).or_default() += rows;
    }
    fn create(&mut self, reason: &str, rows: u64) {
        *self.created.entry(reason.to_string()).or_default() += rows;
    }
    fn publish_soon(&mut self) {
        self.published_soon += 1;
    }
    fn stopping(&self) -> bool {
        false
    }
}
