//! How a run is told to stop: softly (sources end, the rest drains) or at once (the first error).

use crossbeam_channel::{Receiver, Sender, bounded};
use selvedge_node::Error;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

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
    sleepers: Mutex<()>,
    alarm: Condvar,
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
            alarm: Condvar::new(),
            wakes: Mutex::default(),
        })
    }

    pub fn wake_on_stop(&self, wake: Weak<dyn Wake>) {
        lock(&self.wakes).push(wake);
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

    fn ring(&self) {
        let _sleepers = lock(&self.sleepers);
        self.alarm.notify_all();
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

    /// Waits that long, or until the run drains or stops.
    pub fn sleep(&self, time: Duration) {
        // A reader that asks to be asked again at once still lets others run.
        let time = time.max(Duration::from_millis(1));
        let sleepers = lock(&self.sleepers);
        let waited = self.alarm.wait_timeout_while(sleepers, time, |()| !self.draining());
        drop(waited);
    }
}

/// A poisoned lock guards plain data here: what a panicking thread left is still whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
