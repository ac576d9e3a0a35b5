//! One instance of the sink that sends to a search engine.
//!
//! ```text
//! documents ─► lanes, by the hash of the id ─► one request of each lane on its way ─► stored, or refused to `errors`
//! ```
//!
//! Documents of one id stay in one lane and thus in their order, while several requests are on their way.

use super::{LARGEST, Live, reject};
use arrow::array::RecordBatch;
use selvedge_connect::search::{Answer, Engine, Item, Request};
use selvedge_connect::wait;
use selvedge_node::{Error, Out, Pending, Rejection, Reservation, Result, Task, Writer};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long to wait for an answer before asking whether the run stops.
const PATIENCE: Duration = Duration::from_millis(200);

pub struct SendWriter {
    engine: Arc<dyn Engine>,
    documents: super::Documents,
    /// Bytes of a request.
    size: u64,
    lanes: Vec<Lane>,
    memory: Reservation,
}

#[derive(Default)]
struct Lane {
    next: Request,
    sent: Option<Sent>,
}

struct Sent {
    answer: JoinHandle<Result<Answer>>,
    bytes: usize,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

impl Lane {
    fn bytes(&self) -> u64 {
        let items = self.next.items.capacity() * size_of::<Item>();
        (self.next.text.capacity() + items + self.sent.as_ref().map_or(0, |sent| sent.bytes)) as u64
    }
}

impl SendWriter {
    pub fn open(sink: &Live, task: &Task) -> Result<SendWriter> {
        sink.engine.make(&sink.index)?;
        Ok(SendWriter {
            documents: sink.documents.clone(),
            size: sink.size,
            lanes: (0..sink.engine.requests()).map(|_| Lane::default()).collect(),
            engine: sink.engine.clone(),
            memory: task.memory.reserve(),
        })
    }

    /// Sends what a lane has gathered, after what it has on its way.
    fn send(&mut self, lane: usize, out: &mut dyn Out) -> Result<()> {
        self.settle(lane, out)?;
        let lane = &mut self.lanes[lane];
        let request = std::mem::take(&mut lane.next);
        if !request.items.is_empty() {
            let bytes = request.text.capacity() + request.items.capacity() * size_of::<Item>();
            lane.sent = Some(Sent { answer: self.engine.send(request)?, bytes });
        }
        Ok(())
    }

    /// Waits until a lane has nothing on its way.
    fn settle(&mut self, lane: usize, out: &mut dyn Out) -> Result<()> {
        let Some(mut sent) = self.lanes[lane].sent.take() else { return Ok(()) };
        let answer = loop {
            // An engine may take its time; whoever stops the run must not.
            match wait(async { tokio::time::timeout(PATIENCE, &mut sent.answer).await })? {
                Ok(done) => break done.map_err(|e| Error::bug(format!("a request broke off: {e}")))??,
                Err(_) if out.stopping() => return Err(Error::stopped()),
                Err(_) => {}
            }
        };
        if answer.stored > 0 {
            out.absorb("written", answer.stored);
        }
        if answer.retries > 0 {
            out.count("retries", answer.retries);
        }
        for refusal in answer.refused {
            let code = format!("search.{}", refusal.code);
            out.reject(Rejection { code, message: refusal.message, raw: refusal.document })?;
        }
        Ok(())
    }

    fn hold(&mut self, more: u64, out: &mut dyn Out) -> Result<()> {
        let held: u64 = self.lanes.iter().map(Lane::bytes).sum();
        if !self.memory.try_hold(held + more) {
            // Nothing is lost by smaller requests but some speed.
            self.send_all(out)?;
            self.memory.resize(more);
        }
        Ok(())
    }

    fn send_all(&mut self, out: &mut dyn Out) -> Result<()> {
        (0..self.lanes.len()).try_for_each(|lane| self.send(lane, out))?;
        (0..self.lanes.len()).try_for_each(|lane| self.settle(lane, out))
    }
}

impl Writer for SendWriter {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let lines = self.documents.lines(&batch)?;
        self.hold(2 * lines.text.capacity() as u64, out)?;
        let (mut nameless, mut large) = (vec![], vec![]);
        for (row, line) in lines.rows.iter().enumerate() {
            let pair = match line {
                Err(_) => {
                    nameless.push(row);
                    continue;
                }
                Ok(pair) if pair.range.len() as u64 > LARGEST => {
                    large.push(row);
                    continue;
                }
                Ok(pair) => pair,
            };
            let at = (pair.hash % self.lanes.len() as u64) as usize;
            let next = &self.lanes[at].next;
            let full =
                (next.text.len() + pair.range.len()) as u64 > self.size || next.items.len() >= self.engine.documents();
            if full && !next.items.is_empty() {
                self.send(at, out)?;
            }
            let next = &mut self.lanes[at].next;
            let document = next.text.len() + pair.document - pair.range.start;
            next.text.extend_from_slice(&lines.text[pair.range.clone()]);
            next.items.push(Item { end: next.text.len(), document, hash: pair.hash });
        }
        reject(&lines.rows, &batch, &nameless, &large, out)?;
        drop(lines);
        self.hold(0, out)
    }

    fn flush(&mut self, _: u64, out: &mut dyn Out) -> Result<Pending> {
        self.send_all(out)?;
        self.memory.resize(0);
        Ok(Pending::new())
    }
}
