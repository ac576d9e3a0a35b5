//! What a node remembers, taken from one instance and given to another.

use arrow::array::RecordBatch;
use selvedge_node::{Error, Result, Save, Transform};
use std::collections::BTreeMap;

/// The state of a node in memory: parts by name.
#[derive(Debug, Default, Clone)]
pub struct Saved {
    pub parts: BTreeMap<String, Vec<RecordBatch>>,
    last: Option<String>,
}

impl Saved {
    pub fn of(work: &mut dyn Transform) -> Result<Saved> {
        let mut saved = Saved::default();
        work.save(&mut saved)?;
        Ok(saved)
    }

    /// To an instance that has had no row yet.
    pub fn load(&self, work: &mut dyn Transform) -> Result<()> {
        let batches = self.parts.iter().flat_map(|(part, batches)| batches.iter().map(move |b| (part, b)));
        batches.filter(|(_, b)| b.num_rows() > 0).try_for_each(|(part, batch)| work.load(part, batch.clone()))
    }
}

impl Save for Saved {
    fn keep(&mut self, _: &str) -> bool {
        false
    }

    fn put(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        if self.last.as_deref() != Some(part) && self.parts.contains_key(part) {
            return Err(Error::bug(format!("the part `{part}` of the state was put down twice")));
        }
        self.last = Some(part.to_string());
        let batches = self.parts.entry(part.to_string()).or_default();
        if batches.first().is_some_and(|first| first.schema() != batch.schema()) {
            return Err(Error::bug(format!("the part `{part}` of the state has batches of two schemas")));
        }
        batches.push(batch.clone());
        Ok(())
    }
}
