//! Columns that a schema file says are never null: rows that are otherwise go to `errors`, as soon as they are read.

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use selvedge_node::{Next, Out, Positions, Reader, Rejection, Result, Source, Split, Task, Watermark};
use std::sync::Arc;
use std::time::Instant;

/// Which columns are never null, and which file says so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Guard {
    pub file: String,
    pub never_null: Vec<String>,
}

impl Guard {
    /// The guarded columns among those that are sent.
    pub fn columns(&self, sent: &Schema) -> Vec<usize> {
        self.never_null.iter().filter_map(|name| sent.index_of(name).ok()).collect()
    }

    /// The source, with an eye on what it sends.
    pub fn watch(&self, source: Box<dyn Source>, sent: &Schema) -> Watched {
        Watched { source, columns: Arc::new(self.columns(sent)), file: Arc::from(self.file.as_str()) }
    }
}

/// A source of whose columns some are never null.
pub struct Watched {
    source: Box<dyn Source>,
    columns: Arc<Vec<usize>>,
    file: Arc<str>,
}

impl Watched {
    fn over(&self, splits: Vec<Box<dyn Split>>) -> Vec<Box<dyn Split>> {
        if self.columns.is_empty() {
            return splits;
        }
        let over = |split| WatchedSplit { split, columns: self.columns.clone(), file: self.file.clone() };
        splits.into_iter().map(|split| Box::new(over(split)) as Box<dyn Split>).collect()
    }
}

impl Source for Watched {
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        Ok(self.over(self.source.splits(from)?))
    }
    fn version(&self) -> Result<String> {
        self.source.version()
    }
    fn discover(&self, task: &Task) -> Result<Vec<Box<dyn Split>>> {
        Ok(self.over(self.source.discover(task)?))
    }
}

struct WatchedSplit {
    split: Box<dyn Split>,
    columns: Arc<Vec<usize>>,
    file: Arc<str>,
}

impl Split for WatchedSplit {
    fn name(&self) -> String {
        self.split.name()
    }
    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        Ok(Box::new(WatchedReader { reader: self.split.open(task)?, columns: self.columns, file: self.file }))
    }
}

struct WatchedReader {
    reader: Box<dyn Reader>,
    columns: Arc<Vec<usize>>,
    file: Arc<str>,
}

impl Reader for WatchedReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        self.reader.read(&mut Eye { out, columns: &self.columns, file: &self.file })
    }
    fn position(&self) -> Option<String> {
        self.reader.position()
    }
    fn arrived(&self) -> Option<Instant> {
        self.reader.arrived()
    }
    fn watermark(&self) -> Watermark {
        self.reader.watermark()
    }
}

/// Passes everything on but rows with a null where none may be.
struct Eye<'a> {
    out: &'a mut dyn Out,
    columns: &'a [usize],
    file: &'a str,
}

impl Out for Eye<'_> {
    fn send(&mut self, port: usize, batch: RecordBatch) -> Result<()> {
        let mut bad: Option<BooleanBuffer> = None;
        for column in self.columns {
            let Some(nulls) = batch.column(*column).logical_nulls().filter(|n| n.null_count() > 0) else { continue };
            let null = !nulls.inner();
            let new = bad.as_ref().map_or(null.clone(), |bad| &null & &!bad);
            let rows: Vec<usize> = new.set_indices().collect();
            let name = batch.schema_ref().field(*column).name().clone();
            let what = format!("null in column `{name}`, which {} says is never null", self.file);
            self.out.reject_rows("null", &batch, &rows, &|_| what.clone())?;
            bad = Some(bad.map_or(null.clone(), |bad| &bad | &null));
        }
        match bad {
            Some(bad) => self.out.send(port, filter_record_batch(&batch, &BooleanArray::new(!&bad, None))?),
            None => self.out.send(port, batch),
        }
    }
    fn drop_rows(&mut self, reason: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        self.out.drop_rows(reason, count, samples);
    }
    fn altered(&mut self, what: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        self.out.altered(what, count, samples);
    }
    fn reject(&mut self, rejection: Rejection) -> Result<()> {
        self.out.reject(rejection)
    }
    fn absorb(&mut self, reason: &str, rows: u64) {
        self.out.absorb(reason, rows);
    }
    fn create(&mut self, reason: &str, rows: u64) {
        self.out.create(reason, rows);
    }
    fn count(&mut self, name: &str, value: u64) {
        self.out.count(name, value);
    }
    fn publish_soon(&mut self) {
        self.out.publish_soon();
    }
    fn stopping(&self) -> bool {
        self.out.stopping()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::{Recorder, table};

    #[test]
    fn a_row_with_a_null_is_rejected_once_and_the_others_go_on() {
        let rows = table("a | b:Int64 | c\nx | 1 | null\nnull | 2 | y\nnull | null | z\nw | null | v");
        let mut recorder = Recorder::default();
        let guard = Guard { file: "s.ron".into(), never_null: vec!["b".into(), "a".into(), "gone".into()] };
        let columns = guard.columns(&rows.schema());
        assert_eq!(columns, [1, 0]);
        let mut eye = Eye { out: &mut recorder, columns: &columns, file: &guard.file };
        eye.create("read", 4);
        eye.send(0, rows).unwrap();
        assert_eq!(recorder.sent[&0].iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        let told: Vec<_> = recorder.rejected.iter().map(|r| (r.code.as_str(), r.message.as_str())).collect();
        let null = |name: &str| format!("null in column `{name}`, which s.ron says is never null");
        assert_eq!(told, [("null", &*null("b")), ("null", &*null("b")), ("null", &*null("a"))]);
    }
}
