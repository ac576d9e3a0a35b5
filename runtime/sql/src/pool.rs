//! DataFusion's memory and spill files, taken out of the run's budget and put into the run's scratch folder.

use crate::session;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;
use selvedge_node::{Error, Memory, Reservation, Task};
use std::sync::{Arc, Mutex, PoisonError};

/// All that one query holds is one holder of the run's budget: its operators share what is fair for a node.
#[derive(Debug)]
struct Pool {
    held: Mutex<Reservation>,
    memory: Memory,
}

impl Pool {
    fn held(&self) -> std::sync::MutexGuard<'_, Reservation> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "selvedge"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        let mut held = self.held();
        let bytes = held.bytes() + additional as u64;
        held.resize(bytes);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        let mut held = self.held();
        let bytes = held.bytes().saturating_sub(shrink as u64);
        held.resize(bytes);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut held = self.held();
        let bytes = held.bytes() + additional as u64;
        if held.try_resize(bytes) {
            return Ok(());
        }
        Err(DataFusionError::ResourcesExhausted(format!(
            "{} holds {} bytes and needs {additional} more, but the run's budget of {} bytes has {} in use",
            reservation.consumer().name(),
            reservation.size(),
            self.memory.limit(),
            self.memory.used(),
        )))
    }

    fn reserved(&self) -> usize {
        self.held().bytes() as usize
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.memory.limit() as usize)
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "selvedge({} of {} bytes)", self.reserved(), self.memory.limit())
    }
}

/// Where a query of this task lives.
pub(crate) fn runtime_env(task: &Task) -> selvedge_node::Result<Arc<RuntimeEnv>> {
    let pool = Pool { held: Mutex::new(task.memory.reserve()), memory: task.memory.clone() };
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
    let merge = (task.memory.limit() / 32).clamp(64 << 10, 10 << 20) as usize;
    let in_place = (task.memory.limit() / 64).clamp(64 << 10, 1 << 20) as usize;
    session::config()
        .with_batch_size(task.batch_rows.max(1))
        .with_sort_spill_reservation_bytes(merge)
        .with_sort_in_place_threshold_bytes(in_place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::memory_pool::MemoryConsumer;

    #[test]
    fn a_query_stays_within_the_budget_and_gives_it_back() {
        let memory = Memory::new(1000);
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool { held: Mutex::new(memory.reserve()), memory: memory.clone() });
        let sort = MemoryConsumer::new("sort").register(&pool);
        let join = MemoryConsumer::new("join").register(&pool);
        sort.try_grow(600).unwrap();
        join.try_grow(300).unwrap();
        let refused = join.try_grow(200).unwrap_err().to_string();
        assert!(refused.contains("join") && refused.contains("1000"), "{refused}");
        assert_eq!(memory.used(), 900);
        sort.grow(500);
        assert_eq!(memory.used(), 1400, "what must be, must be");
        drop(sort);
        drop(join);
        assert_eq!(memory.used(), 0);
    }
}
