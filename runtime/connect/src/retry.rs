//! Trying again: exponential back-off with full jitter (Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015).

use selvedge_node::Result;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// How often to try, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Tries in all, the first one among them.
    pub tries: u32,
    /// The longest wait before the second try; it doubles with each.
    pub first: Duration,
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { tries: 6, first: Duration::from_millis(200), most: Duration::from_secs(20) }
    }
}

impl Backoff {
    /// How long to wait after so many tries that failed, from 1; `None`: no more.
    pub fn after(&self, failed: u32) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let longest = self.first.saturating_mul(1 << failed.saturating_sub(1).min(20)).min(self.most);
        // Each `RandomState` has other keys: that is randomness enough to part clients that failed together.
        let random = RandomState::new().hash_one(failed) as f64 / u64::MAX as f64;
        Some(longest.mul_f64(random))
    }

    /// Does it until it succeeds, fails in a way that another try does not mend, or has been tried often enough.
    pub fn retry<T>(&self, mut what: impl FnMut() -> Result<T>) -> Result<T> {
        let mut failed = 0;
        loop {
            let e = match what() {
                Err(e) if e.retry => e,
                done => return done,
            };
            failed += 1;
            match self.after(failed) {
                Some(wait) => std::thread::sleep(wait),
                None => return Err(e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_node::Error;

    #[test]
    fn waits_grow_and_end() {
        let backoff = Backoff { tries: 4, first: Duration::from_millis(100), most: Duration::from_millis(150) };
        for (failed, longest) in [(1, 100), (2, 150), (3, 150)] {
            assert!(backoff.after(failed).unwrap() <= Duration::from_millis(longest));
        }
        assert_eq!(backoff.after(4), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let backoff = Backoff { tries: 3, first: Duration::ZERO, most: Duration::ZERO };
        let count = |e: fn() -> Error, fails: u32| {
            let mut tries = 0;
            let done = backoff.retry(|| {
                tries += 1;
                if tries <= fails { Err(e()) } else { Ok(()) }
            });
            (tries, done.is_ok())
        };
        assert_eq!(count(|| Error::world("busy").retryable(), 2), (3, true));
        assert_eq!(count(|| Error::world("busy").retryable(), 9), (3, false));
        assert_eq!(count(|| Error::world("no such table"), 1), (1, false));
    }
}
