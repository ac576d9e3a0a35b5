//! DataFusion's memory and spill files, taken out of the run's budget and put into the run's scratch folder.

use crate::session;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;
use selvedge_node::{Error, Memory, Reservation, Task};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that one query holds is one holder of the run's budget. Inside, operators that can spill get equal parts of three
/// quarters of it (as in DataFusion's `FairSpillPool`): one that took it all would starve the next, and what was spilled
/// must still be merged by somebody who cannot spill.
#[derive(Debug)]
struct Pool {
    state: Mutex<State>,
    memory: Memory,
    /// What a query gets even where others have taken the whole budget: without it, it could not go on at all.
    floor: u64,
}

#[derive(Debug)]
struct State {
    held: Reservation,
    /// Of `held`, what operators hold that cannot spill.
    fixed: u64,
    /// Operators that can spill.
    spillers: u64,
}

impl Pool {
    fn new(memory: &Memory) -> Pool {
        let state = State { held: memory.reserve(), fixed: 0, spillers: 0 };
        let floor = (memory.limit() / 32).clamp(512 << 10, 16 << 20);
        Pool { state: Mutex::new(state), memory: memory.clone(), floor }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "selvedge"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.state().spillers += u64::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.state().spillers -= u64::from(consumer.can_spill());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut state = self.state();
        let bytes = state.held.bytes() + additional as u64;
        state.resize(bytes, reservation, additional as i64);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut state = self.state();
        let bytes = state.held.bytes().saturating_sub(shrink as u64);
        state.resize(bytes, reservation, -(shrink as i64));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.state();
        let bytes = state.held.bytes() + additional as u64;
        let share = state.held.share().max(self.floor);
        let part = (share / 4 * 3).saturating_sub(state.fixed) / state.spillers.max(1);
        let wanted = (reservation.size() + additional) as u64;
        // The first batch must find room: who holds nothing has nothing to spill.
        let first = reservation.size() == 0 && wanted <= self.floor;
        let fair = first || !reservation.consumer().can_spill() || wanted <= part;
        if fair && (bytes <= self.floor || state.held.try_resize(bytes)) {
            state.resize(bytes, reservation, additional as i64);
            return Ok(());
        }
        Err(DataFusionError::ResourcesExhausted(format!(
            "{} holds {} bytes and needs {additional} more, but this query may hold {share} of the run's {} bytes and has {}",
            reservation.consumer().name(),
            reservation.size(),
            self.memory.limit(),
            state.held.bytes(),
        )))
    }

    fn reserved(&self) -> usize {
        self.state().held.bytes() as usize
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.memory.limit() as usize)
    }
}

impl State {
    fn resize(&mut self, bytes: u64, by: &MemoryReservation, change: i64) {
        self.held.resize(bytes);
        if !by.consumer().can_spill() {
            self.fixed = self.fixed.saturating_add_signed(change);
        }
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "selvedge({} of {} bytes)", self.reserved(), self.memory.limit())
    }
}

/// Where a query of this task lives.
pub(crate) fn runtime_env(task: &Task) -> selvedge_node::Result<Arc<RuntimeEnv>> {
    let pool = Pool::new(&task.memory);
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![task.scratch.clone()]))
        // The disk is the limit, not a default of 100 GB.
        .with_max_temp_directory_size(u64::MAX);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|e| Error::world(crate::problem::message(&e)).context("making a place for spill files"))
}

/// How a query of this task runs: one partition, batches as the task wants them, sorts that leave room for their merge.
pub(crate) fn config(task: &Task) -> SessionConfig {
    let merge = (task.memory.limit() / 128).clamp(32 << 10, 4 << 20) as usize;
    let in_place = (task.memory.limit() / 64).clamp(64 << 10, 1 << 20) as usize;
    // A merge holds a batch of every run that it merges.
    let rows = (task.memory.limit() / 4096).clamp(256, 1 << 20) as usize;
    session::config()
        .with_batch_size(task.batch_rows.clamp(1, rows))
        .with_sort_spill_reservation_bytes(merge)
        .with_sort_in_place_threshold_bytes(in_place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_stays_within_the_budget_and_gives_it_back() {
        let memory = Memory::new(64 << 20);
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(&memory));
        let sort = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        let group = MemoryConsumer::new("group").with_can_spill(true).register(&pool);
        let join = MemoryConsumer::new("join").register(&pool);
        sort.try_grow(24 << 20).unwrap();
        assert!(sort.try_grow(1).is_err(), "half of three quarters is all that one of two gets");
        group.try_grow(24 << 20).unwrap();
        join.try_grow(16 << 20).unwrap();
        let refused = join.try_grow(1).unwrap_err().to_string();
        assert!(refused.contains("join holds 16777216 bytes and needs 1 more"), "{refused}");
        assert_eq!(memory.used(), 64 << 20);
        sort.grow(1 << 20);
        assert_eq!(memory.used(), 65 << 20, "what must be, must be");
        drop((sort, group, join));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_little_is_there_when_others_have_everything() {
        let memory = Memory::new(64 << 20);
        let mut greedy = memory.reserve();
        assert!(greedy.try_resize(64 << 20));
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(&memory));
        let merge = MemoryConsumer::new("merge").register(&pool);
        merge.try_grow(2 << 20).unwrap();
        assert!(merge.try_grow(1).is_err());
    }
}
