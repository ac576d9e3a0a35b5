//! Queues between stages, bounded in bytes.
//!
//! The queue itself is an unbounded channel; a sender first takes as many bytes of credit as its batch has, and the receiver
//! gives them back when it takes the batch out. A batch larger than the whole credit passes when the queue is empty.

use crate::stop::{Stop, Wake, lock};
use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, TryRecvError, select, unbounded};
use selvedge_node::{Error, Result, Watermark};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub(crate) enum Message {
    Data {
        edge: usize,
        port: usize,
        batch: RecordBatch,
        bytes: u64,
        /// When the oldest of its rows was read.
        born: Instant,
    },
    /// Event time has moved for what one sender sends.
    Watermark { channel: usize, mark: Watermark, born: Instant },
    /// One sender has sent all rows of the epoch that is being closed.
    Barrier { epoch: u64 },
    /// One sender of this port has ended.
    End { port: usize, channel: usize },
}

struct Credit {
    limit: u64,
    account: Mutex<Account>,
    room: Condvar,
    stop: Arc<Stop>,
}

/// Senders are served in the order they came: else many small batches could keep a large one waiting for ever.
#[derive(Default)]
struct Account {
    used: u64,
    /// The number that the next sender gets …
    next: u64,
    /// … and the one whose turn it is.
    turn: u64,
}

impl Wake for Credit {
    fn wake(&self) {
        let _account = lock(&self.account);
        self.room.notify_all();
    }
}

impl Credit {
    /// Waits for room; returns how long that took.
    fn take(&self, bytes: u64) -> Result<Duration> {
        let mut account = lock(&self.account);
        let number = account.next;
        account.next += 1;
        let full = |a: &Account| a.turn != number || (a.used > 0 && a.used + bytes > self.limit);
        let mut waited = Duration::ZERO;
        if full(&account) {
            let since = Instant::now();
            while full(&account) && !self.stop.stopping() {
                account = self.room.wait(account).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            waited = since.elapsed();
        }
        if self.stop.stopping() {
            return Err(Error::stopped());
        }
        account.used += bytes;
        account.turn += 1;
        if account.turn != account.next {
            self.room.notify_all();
        }
        Ok(waited)
    }

    fn give(&self, bytes: u64) {
        let mut account = lock(&self.account);
        account.used -= bytes;
        if account.turn != account.next {
            self.room.notify_all();
        }
    }
}

/// The sending end. The queue ends when all its senders are dropped.
#[derive(Clone)]
pub(crate) struct QueueSender {
    channel: Sender<Message>,
    credit: Arc<Credit>,
}

/// The receiving end; several instances may share one.
#[derive(Clone)]
pub(crate) struct QueueReceiver {
    channel: Receiver<Message>,
    credit: Arc<Credit>,
}

/// A queue that holds `limit` bytes.
pub(crate) fn queue(limit: u64, stop: &Arc<Stop>) -> (QueueSender, QueueReceiver) {
    let (sender, receiver) = unbounded();
    let credit = Arc::new(Credit { limit, account: Mutex::default(), room: Condvar::new(), stop: stop.clone() });
    let wake: Arc<dyn Wake> = credit.clone();
    stop.wake_on_stop(Arc::downgrade(&wake));
    (QueueSender { channel: sender, credit: credit.clone() }, QueueReceiver { channel: receiver, credit })
}

impl QueueSender {
    /// Returns how long it had to wait for room.
    pub fn send(&self, edge: usize, port: usize, batch: RecordBatch, bytes: u64, born: Instant) -> Result<Duration> {
        let waited = self.credit.take(bytes)?;
        // Receivers go away only when the run stops.
        self.channel.send(Message::Data { edge, port, batch, bytes, born }).map_err(|_| Error::stopped())?;
        Ok(waited)
    }

    /// Sends what takes no room: all but rows. A receiver that is gone needs none of it.
    pub fn tell(&self, message: Message) {
        let _ = self.channel.send(message);
    }
}

impl QueueReceiver {
    /// The next message, and how long it took to come. `None`: all senders have ended.
    pub fn receive(&self, stop: &Stop) -> Result<Option<(Message, Duration)>> {
        let mut waited = Duration::ZERO;
        let message = match self.channel.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                let since = Instant::now();
                let received = select! {
                    recv(self.channel) -> message => message.ok(),
                    recv(stop.stopped) -> _ => return Err(Error::stopped()),
                };
                waited = since.elapsed();
                received
            }
        };
        // Senders also go away when they fail: an end is only an end while the run goes on.
        if stop.stopping() {
            return Err(Error::stopped());
        }
        if let Some(Message::Data { bytes, .. }) = &message {
            self.credit.give(*bytes);
        }
        Ok(message.map(|m| (m, waited)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};

    fn batch() -> RecordBatch {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        RecordBatch::try_from_iter([("a", a)]).unwrap()
    }

    #[test]
    fn a_full_queue_blocks_until_something_is_taken() {
        let stop = Stop::new();
        let (tx, rx) = queue(100, &stop);
        tx.send(0, 0, batch(), 80, Instant::now()).unwrap();
        std::thread::scope(|s| {
            let sender = s.spawn(|| tx.send(0, 0, batch(), 80, Instant::now()).unwrap());
            while !matches!(rx.receive(&stop).unwrap(), Some((Message::Data { .. }, _))) {}
            sender.join().unwrap();
        });
        assert_eq!(lock(&tx.credit.account).used, 80);
    }

    #[test]
    fn a_batch_larger_than_the_queue_passes_alone() {
        let stop = Stop::new();
        let (tx, rx) = queue(10, &stop);
        tx.send(0, 0, batch(), 1000, Instant::now()).unwrap();
        assert!(rx.receive(&stop).unwrap().is_some());
        drop(tx);
        assert!(rx.receive(&stop).unwrap().is_none());
    }

    #[test]
    fn stopping_wakes_both_ends() {
        let stop = Stop::new();
        let (tx, rx) = queue(10, &stop);
        let (full, _keep) = queue(10, &stop);
        full.send(0, 0, batch(), 10, Instant::now()).unwrap();
        std::thread::scope(|s| {
            let receiver = s.spawn(|| rx.receive(&stop).is_err());
            let sender = s.spawn(|| full.send(0, 0, batch(), 10, Instant::now()).is_err());
            stop.halt();
            assert!(receiver.join().unwrap() && sender.join().unwrap());
        });
        drop(tx);
    }
}
