//! What a node remembers, taken from one instance and given to another.

use arrow::array::RecordBatch;
use selvedge_node::{Error, Result, Save, Transform};
use std::collections::BTreeMap;

/// The state of a node in memory: parts by name.
#[derive(Debug, Default, Clone)]
pub struct Saved {
    pub parts: BTreeMap<String, Vec<RecordBatch>>,
    open: Option<String>,
    /// What the checkpoint before had.
    last: BTreeMap<String, Vec<RecordBatch>>,
}

impl Saved {
    pub fn of(work: &mut dyn Transform) -> Result<Saved> {
        Saved::default().next(work)
    }

    /// The next checkpoint of the same node, which may keep parts of this one.
    pub fn next(self, work: &mut dyn Transform) -> Result<Saved> {
        let mut saved = Saved { last: self.parts, ..Saved::default() };
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
    fn keep(&mut self, parts: &[String]) -> bool {
        let kept: Option<Vec<_>> =
            parts.iter().map(|part| Some((part.clone(), self.last.get(part)?.clone()))).collect();
        kept.map(|kept| self.parts.extend(kept)).is_some()
    }

    fn put(&mut self, part: &str, batch: &RecordBatch) -> Result<()> {
        if self.open.as_deref() != Some(part) && self.parts.contains_key(part) {
            return Err(Error::bug(format!("the part `{part}` of the state was put down twice")));
        }
        self.open = Some(part.to_string());
        let batches = self.parts.entry(part.to_string()).or_default();
        if batches.first().is_some_and(|first| first.schema() != batch.schema()) {
            return Err(Error::bug(format!("the part `{part}` of the state has batches of two schemas")));
        }
        batches.push(batch.clone());
        Ok(())
    }
}
