//! Epochs of a graph that never ends: now and then all sources pause until what they have sent has arrived and every sink has
//! flushed; then that is published, while the sources go on.
//!
//! Nothing follows a barrier until its epoch is closed, so nobody ever has to hold rows of one input back for another.

use crate::checkpoint::Parts;
use crate::stop::{Stop, Wake, lock};
use selvedge_node::{Error, Pending, Positions, Result};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When rows were read, and how many.
pub(crate) type Births = Vec<(Instant, u64)>;

/// What threads hand over when they close an epoch, and when they end.
#[derive(Default)]
pub(crate) struct Gathered {
    /// Node index and what its writer flushed.
    pub pending: Vec<(usize, Pending)>,
    /// Node index and the position of each split read.
    pub positions: Vec<(usize, Positions)>,
    /// Node index of a bounded source and the splits that were read to their end.
    pub read: Vec<(usize, Vec<String>)>,
    /// Node index, instance, and what it remembers.
    pub states: Vec<(usize, usize, Parts)>,
    /// Node index of a sink and the rows that it took.
    pub births: Vec<(usize, Births)>,
}

impl Gathered {
    fn add(&mut self, other: Gathered) {
        self.pending.extend(other.pending);
        self.positions.extend(other.positions);
        self.read.extend(other.read);
        self.states.extend(other.states);
        self.births.extend(other.births);
    }
}

pub(crate) struct Epochs {
    threads: usize,
    /// The epoch that was closed last when the run began.
    pub first: u64,
    /// The epoch that is being closed, or was closed last.
    wanted: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The epoch that was closed last.
    closed: u64,
    /// Threads that have done with the epoch that is being closed …
    arrived: usize,
    /// … and those that have ended.
    left: usize,
    /// A sink has gathered enough.
    soon: bool,
    /// The run is to end after one more epoch.
    park: bool,
    gathered: Gathered,
}

/// Why the wait for an epoch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// The time is up, or a sink has gathered enough.
    Epoch,
    /// The same, and the run ends with it.
    Last,
    /// The threads have ended, or the run is stopping.
    End,
}

impl Wake for Epochs {
    fn wake(&self) {
        let _state = lock(&self.state);
        self.changed.notify_all();
    }
}

impl Epochs {
    /// Epochs after `first`.
    pub fn new(threads: usize, first: u64, stop: &Stop) -> Arc<Epochs> {
        let state = Mutex::new(State { closed: first, ..State::default() });
        let epochs = Arc::new(Epochs { threads, first, wanted: AtomicU64::new(first), state, changed: Condvar::new() });
        let wake: Arc<dyn Wake> = epochs.clone();
        stop.wake_on_stop(Arc::downgrade(&wake));
        epochs
    }

    /// A source compares this with the epoch that it closed last.
    pub fn wanted(&self) -> u64 {
        self.wanted.load(SeqCst)
    }

    /// A thread has sent and flushed everything of the epoch that is being closed.
    pub fn arrive(&self, gathered: Gathered) {
        self.change(|state| {
            state.arrived += 1;
            state.gathered.add(gathered);
        });
    }

    /// A thread has ended, well or not.
    pub fn leave(&self, gathered: Gathered) {
        self.change(|state| {
            state.left += 1;
            state.gathered.add(gathered);
        });
    }

    /// A sink has gathered enough.
    pub fn soon(&self) {
        self.change(|state| state.soon = true);
    }

    /// One more epoch is to be closed, and then the run is to end where it is.
    pub fn park(&self) {
        self.change(|state| state.park = true);
    }

    /// A source waits here until the epoch is closed.
    pub fn wait(&self, epoch: u64, stop: &Stop) -> Result<()> {
        let state = self.until(None, |state| state.closed >= epoch || stop.stopping());
        match state.closed >= epoch {
            true => Ok(()),
            false => Err(Error::stopped()),
        }
    }

    /// Waits until an epoch is due; `None`: not within that time.
    pub fn due(&self, time: Duration, stop: &Stop) -> Option<Due> {
        let ended = |state: &State| state.left == self.threads || stop.stopping();
        let state = self.until(Some(time), |state| state.soon || state.park || ended(state));
        match () {
            () if ended(&state) => Some(Due::End),
            () if state.park => Some(Due::Last),
            () => state.soon.then_some(Due::Epoch),
        }
    }

    /// Waits for that long; whether the threads have ended by then, or the run is stopping.
    pub fn ended_within(&self, time: Duration, stop: &Stop) -> bool {
        let ended = |state: &State| state.left == self.threads || stop.stopping();
        ended(&self.until(Some(time), ended))
    }

    /// Has all sources pause, and waits until everything sent has arrived. `None`: the run ended meanwhile.
    pub fn begin(&self, stop: &Stop) -> Option<u64> {
        self.change(|state| state.soon = false);
        let epoch = self.wanted.fetch_add(1, SeqCst) + 1;
        stop.ring();
        let state = self.until(None, |state| state.arrived + state.left >= self.threads || stop.stopping());
        (state.left < self.threads && !stop.stopping()).then_some(epoch)
    }

    /// Lets the sources go on.
    pub fn close(&self, epoch: u64) -> Gathered {
        let mut gathered = Gathered::default();
        self.change(|state| {
            state.closed = epoch;
            state.arrived = 0;
            gathered = std::mem::take(&mut state.gathered);
        });
        gathered
    }

    /// What is left when all threads have ended.
    pub fn rest(&self) -> Gathered {
        std::mem::take(&mut lock(&self.state).gathered)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }

    fn until(&self, time: Option<Duration>, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        let since = Instant::now();
        while !done(&state) {
            state = match time.map(|t| t.saturating_sub(since.elapsed())) {
                Some(Duration::ZERO) => break,
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state
    }
}
