//! What stands where a part of a graph was cut out: a source that sends given rows, a sink that keeps what arrives.

use super::case::EventTime;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use selvedge_node::{Next, Out, Positions, Reader, Result, Sink, Source, Split, Task, Watermark, Writer};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of the ports of a node, in batches of `batch_rows`; one by one where there is event time.
#[derive(Clone)]
pub struct Given {
    pub ports: Vec<(usize, RecordBatch, Option<EventTime>)>,
    pub batch_rows: usize,
}

impl Source for Given {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        Ok(vec![Box::new(self.clone())])
    }
}

impl Split for Given {
    fn name(&self) -> String {
        "given".into()
    }
    fn open(self: Box<Self>, _: &Task) -> Result<Box<dyn Reader>> {
        Ok(Box::new(Rows { given: *self, port: 0, row: 0, latest: None }))
    }
}

struct Rows {
    given: Given,
    port: usize,
    row: usize,
    latest: Option<i64>,
}

impl Reader for Rows {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let Some((port, rows, event_time)) = self.given.ports.get(self.port) else { return Ok(Next::Done) };
        let most = if event_time.is_some() { 1 } else { self.given.batch_rows };
        let count = most.min(rows.num_rows() - self.row);
        let batch = rows.slice(self.row, count);
        self.row += count;
        if let Some(EventTime { column, lateness }) = event_time {
            let times = cast(&batch[column.as_str()], &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let times = cast(&times, &DataType::Int64)?;
            let latest = times.as_primitive::<Int64Type>().iter().flatten().max();
            self.latest = self.latest.max(latest.map(|time| time.saturating_sub(lateness.0)));
        }
        if self.row == rows.num_rows() {
            (self.port, self.row) = (self.port + 1, 0);
        }
        if count > 0 {
            out.create("read", count as u64);
            out.send(*port, batch)?;
        }
        Ok(Next::More)
    }

    fn watermark(&self) -> Watermark {
        self.latest.map_or(Watermark::None, Watermark::At)
    }
}

/// What arrived, by node and port or by sink.
#[derive(Clone, Default)]
pub struct Found(Arc<Mutex<HashMap<String, Vec<RecordBatch>>>>);

impl Found {
    pub fn of(&self, place: &str) -> Vec<RecordBatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned().unwrap_or_default()
    }
}

pub struct Keep {
    pub place: String,
    pub schema: SchemaRef,
    pub found: Found,
}

impl Keep {
    fn keep(&self, batch: RecordBatch) {
        let mut found = self.found.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.entry(self.place.clone()).or_default().push(batch);
    }
}

impl Sink for Keep {
    fn open(&self, _: &Task) -> Result<Box<dyn Writer>> {
        let keep = Keep { place: self.place.clone(), schema: self.schema.clone(), found: self.found.clone() };
        // The columns are known even if no row comes.
        keep.keep(RecordBatch::new_empty(keep.schema.clone()));
        Ok(Box::new(keep))
    }
}

impl Writer for Keep {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        out.absorb("written", batch.num_rows() as u64);
        self.keep(batch);
        Ok(())
    }
}
