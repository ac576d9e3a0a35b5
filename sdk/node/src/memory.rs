//! One byte budget for the state of a whole run, shared fairly among those that hold something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The budget. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    /// Reservations that hold something now.
    holders: AtomicU64,
}

impl Memory {
    pub fn new(limit: u64) -> Memory {
        Memory(Arc::new(Budget { limit, used: 0.into(), peak: 0.into(), holders: 0.into() }))
    }
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }
    /// The most that was ever used, in bytes.
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Relaxed)
    }
    /// An empty reservation; give it back by dropping it.
    pub fn reserve(&self) -> Reservation {
        Reservation { memory: self.clone(), bytes: 0 }
    }
}

/// Bytes that one holder has taken out of the budget.
#[derive(Debug)]
pub struct Reservation {
    memory: Memory,
    bytes: u64,
}

impl Reservation {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What this holder may have if all that hold something get the same, in bytes.
    pub fn share(&self) -> u64 {
        let budget = &self.memory.0;
        let holders = budget.holders.load(Relaxed) + u64::from(self.bytes == 0);
        budget.limit / holders.max(1)
    }

    /// Sets the size to `bytes`, if the budget has room and this stays within a fair share: the budget divided by the number
    /// of holders. `false` means: nothing was changed, spill.
    #[must_use]
    pub fn try_resize(&mut self, bytes: u64) -> bool {
        if bytes > self.bytes {
            let budget = &self.memory.0;
            let grown = budget.used.load(Relaxed) + (bytes - self.bytes);
            if grown > budget.limit || bytes > self.share() {
                return false;
            }
        }
        self.resize(bytes);
        true
    }

    /// As [`try_resize`](Reservation::try_resize), but beyond a fair share too where the budget has room.
    #[must_use]
    pub fn try_take(&mut self, bytes: u64) -> bool {
        let budget = &self.memory.0;
        if bytes > self.bytes && budget.used.load(Relaxed) + (bytes - self.bytes) > budget.limit {
            return false;
        }
        self.resize(bytes);
        true
    }

    /// As [`try_take`](Reservation::try_take), and within a fair share whoever has taken it: they spill as soon as they want more.
    /// For what cannot be spilled, where `false` ends the run.
    #[must_use]
    pub fn try_hold(&mut self, bytes: u64) -> bool {
        if bytes <= self.share() {
            self.resize(bytes);
            return true;
        }
        self.try_take(bytes)
    }

    /// Sets the size whatever the budget says: for what must be held to go on at all (a batch at work, a spill buffer).
    pub fn resize(&mut self, bytes: u64) {
        let budget = &self.memory.0;
        match (self.bytes == 0, bytes == 0) {
            (true, false) => _ = budget.holders.fetch_add(1, Relaxed),
            (false, true) => _ = budget.holders.fetch_sub(1, Relaxed),
            _ => {}
        }
        if bytes >= self.bytes {
            let used = budget.used.fetch_add(bytes - self.bytes, Relaxed) + (bytes - self.bytes);
            budget.peak.fetch_max(used, Relaxed);
        } else {
            budget.used.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_spilled_takes_what_is_free() {
        let memory = Memory::new(100);
        let (mut a, mut b) = (memory.reserve(), memory.reserve());
        assert!(a.try_resize(20) && b.try_take(70));
        assert!(!b.try_resize(75) && !b.try_take(81) && b.try_take(80));
        assert_eq!(memory.used(), 100);
    }

    #[test]
    fn shares_are_fair_and_given_back() {
        let memory = Memory::new(100);
        let mut a = memory.reserve();
        assert!(a.try_resize(80), "alone, it may take most of the budget");
        let mut b = memory.reserve();
        assert!(!b.try_resize(30), "the budget is full");
        assert!(b.try_hold(30), "within its half, although the other has taken more");
        assert!(!b.try_hold(51) && !a.try_resize(81), "beyond, there has to be room");
        b.resize(0);
        assert!(b.try_resize(20));
        assert!(!a.try_resize(81), "beyond its half");
        assert!(a.try_resize(50));
        drop(b);
        assert_eq!(memory.used(), 50);
        assert!(a.try_resize(100));
        assert_eq!(memory.peak(), 110);
    }
}
