//! The way out of a node: its rows go on, and every other end of a row is written into the ledger.

use super::{REJECTS, Stage};
use crate::ledger::{NodeLedger, SAMPLES, entry};
use arrow::array::RecordBatch;
use selvedge_node::{ERRORS_PORT, Error, Out, Rejection, Result};

/// The way out of the node at `at`.
pub(super) struct Exit<'a> {
    pub stage: &'a mut Stage,
    pub at: usize,
}

impl Exit<'_> {
    fn ledger(&self) -> &NodeLedger {
        &self.stage.run.ledger.nodes[self.stage.nodes[self.at].index]
    }
}

impl Out for Exit<'_> {
    fn send(&mut self, port: usize, batch: RecordBatch) -> Result<()> {
        if port + 1 >= self.stage.nodes[self.at].outputs.len() {
            return Err(Error::bug(format!("sent rows to port {port}, which it does not have")));
        }
        self.stage.send(self.at, port, batch)
    }

    fn drop_rows(&mut self, reason: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        crate::ledger::count(&mut self.ledger().reasons().dropped, reason, count, samples);
    }

    fn altered(&mut self, what: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        crate::ledger::count(&mut self.ledger().reasons().altered, what, count, samples);
    }

    fn reject(&mut self, rejection: Rejection) -> Result<()> {
        {
            let mut reasons = self.ledger().reasons();
            let entry = entry(&mut reasons.rejected, &rejection.code);
            entry.rows += 1;
            if entry.samples.len() < SAMPLES {
                entry.samples.push(rejection.raw.clone());
            }
        }
        let node = &mut self.stage.nodes[self.at];
        if node.outputs.last().is_none_or(|errors| errors.targets.is_empty()) {
            let message = format!("{} (row: {})", rejection.message, cut(&rejection.raw));
            let name = &node.task.node;
            return Err(Error::data(message).help(format!(
                "to go on without such rows, read them: `Files(input: \"{name}.{ERRORS_PORT}\", …)` or `Null(input: \"{name}.{ERRORS_PORT}\")`"
            )));
        }
        node.rejected.push(rejection);
        if self.stage.nodes[self.at].rejected.len() >= REJECTS {
            self.stage.send_rejected(self.at)?;
        }
        Ok(())
    }

    fn absorb(&mut self, reason: &str, rows: u64) {
        entry(&mut self.ledger().reasons().absorbed, reason).rows += rows;
    }

    fn create(&mut self, reason: &str, rows: u64) {
        entry(&mut self.ledger().reasons().created, reason).rows += rows;
    }

    fn count(&mut self, name: &str, value: u64) {
        let mut reasons = self.ledger().reasons();
        let counter = entry(&mut reasons.counters, name);
        counter.rows = counter.rows.saturating_add(value);
    }

    fn publish_soon(&mut self) {
        self.stage.run.epochs.soon();
    }

    fn stopping(&self) -> bool {
        // What has come so far still goes through when a run is drained; but a source need not look for more.
        let source = self.stage.nodes[self.at].inputs == 0;
        self.stage.run.stop.stopping() || source && self.stage.run.stop.draining()
    }
}

/// The first part of a text, on a character's border.
fn cut(text: &str) -> String {
    const SHOWN: usize = 300;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}
