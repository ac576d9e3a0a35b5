//! How a run is told to stop: softly (sources end, the rest drains) or at once (the first error).

use crossbeam_channel::{Receiver, Sender, bounded};
use selvedge_node::Error;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

const RUNNING: u8 = 0;
const DRAINING: u8 = 1;
const STOPPED: u8 = 2;

/// The first error of a run and the node it came from.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Index in the plan; `None`: the engine itself.
    pub node: Option<usize>,
    pub error: Error,
}

/// Somebody who waits on a condition of its own and must be woken when the run stops.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self);
}

/// Shared by all threads of a run.
pub(crate) struct Stop {
    state: AtomicU8,
    failure: Mutex<Option<Failure>>,
    /// Dropped to disconnect `stopped`, which wakes every receiver.
    closer: Mutex<Option<Sender<Infallible>>>,
    pub stopped: Receiver<Infallible>,
    /// Instances of sources that may be asleep.
    sleepers: Mutex<Vec<selvedge_node::Wake>>,
    wakes: Mutex<Vec<Weak<dyn Wake>>>,
}

impl Stop {
    pub fn new() -> Arc<Stop> {
        let (closer, stopped) = bounded(0);
        Arc::new(Stop {
            state: AtomicU8::new(RUNNING),
            failure: Mutex::default(),
            closer: Mutex::new(Some(closer)),
            stopped,
            sleepers: Mutex::default(),
            wakes: Mutex::default(),
        })
    }

    pub fn wake_on_stop(&self, wake: Weak<dyn Wake>) {
        lock(&self.wakes).push(wake);
    }

    pub fn may_sleep(&self, wake: selvedge_node::Wake) {
        lock(&self.sleepers).push(wake);
    }

    /// Sources end where they are; everything on its way still arrives.
    pub fn drain(&self) {
        let _ = self.state.compare_exchange(RUNNING, DRAINING, SeqCst, SeqCst);
        self.ring();
    }

    /// Stops at once. The first failure is kept; what goes wrong after the run was stopped is only what stopping does.
    pub fn fail(&self, failure: Failure) {
        if !failure.error.is_stopped() && !self.stopping() {
            lock(&self.failure).get_or_insert(failure);
        }
        self.halt();
    }

    /// Stops at once without a failure: the operator wants out.
    pub fn halt(&self) {
        self.state.store(STOPPED, SeqCst);
        lock(&self.closer).take();
        for wake in lock(&self.wakes).iter().filter_map(Weak::upgrade) {
            wake.wake();
        }
        self.ring();
    }

    /// Wakes the sources: there is something to do besides reading.
    pub fn ring(&self) {
        lock(&self.sleepers).iter().for_each(selvedge_node::Wake::wake);
    }

    pub fn draining(&self) -> bool {
        self.state.load(SeqCst) != RUNNING
    }

    pub fn stopping(&self) -> bool {
        self.state.load(SeqCst) == STOPPED
    }

    pub fn failure(&self) -> Option<Failure> {
        lock(&self.failure).clone()
    }
}

/// A poisoned lock guards plain data here: what a panicking thread left is still whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
