//! What becomes of what the writers have flushed: published epoch by epoch, or at the end of a run that ends by itself, which saves now
//! and then how far it has come.

use super::{Running, guarded};
use crate::checkpoint::Checkpoint;
use crate::epochs::{Due, Gathered};
use crate::report::Status;
use crate::resume::{self, by_node};
use crate::stop::Failure;
use crate::watch::Watch;
use petgraph::graph::NodeIndex;
use selvedge_node::{Commit, Pending};
use std::collections::HashMap;
use std::time::{Duration, Instant};

type Done = std::result::Result<(), Failure>;

/// How often a graph that never ends publishes, where no sink of it says so.
const PUBLISH_EVERY: Duration = Duration::from_secs(10);
/// … and no sink may ask for more, as the sources pause each time.
const PUBLISH_AT_MOST: Duration = Duration::from_millis(100);
/// How often the watermarks of such a graph are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// How far a commit has come.
#[derive(Default)]
pub(super) struct Published {
    /// The sinks that have committed.
    pub sinks: Vec<String>,
    /// A checkpoint has what the others are to commit.
    kept: bool,
}

impl Running {
    /// Publishes epoch after epoch until the threads end or something goes wrong; then the rows that are unaccounted for.
    pub(super) fn publish_epochs(&mut self) -> Option<Vec<String>> {
        let every = self.plan.graph.node_weights().filter_map(|n| n.publish_every).min().unwrap_or(PUBLISH_EVERY);
        let every = every.max(PUBLISH_AT_MOST);
        let mut watch = Watch::default();
        let (mut last, mut moved) = (Instant::now(), 0);
        loop {
            let rest = every.saturating_sub(last.elapsed());
            let due = self.epochs.due(rest.min(WATCH_EVERY), &self.stop);
            for warning in watch.look(&self.plan, &self.ledger, Instant::now()) {
                tracing::warn!("{warning}");
                self.warnings.push(warning);
            }
            match due {
                Some(Due::End) => return None,
                None if last.elapsed() < every => continue,
                Some(Due::Epoch | Due::Last) | None => last = Instant::now(),
            }
            let now = self.ledger.rows_moved();
            if due.is_none() && now == moved {
                continue;
            }
            let epoch = self.epochs.begin(&self.stop)?;
            moved = self.ledger.rows_moved();
            let imbalances = self.imbalances(true);
            let held = resume::held(&self.plan, &self.ledger);
            let gathered = if due == Some(Due::Last) { self.epochs.rest() } else { self.epochs.close(epoch) };
            let mut done = Published::default();
            let result = match imbalances.is_empty() {
                true => self.commit(epoch, &gathered, Some(&held), &mut done),
                false => Ok(()),
            };
            let failed = result.is_err();
            if let Err(failure) = result {
                self.stop.fail(failure);
            }
            if failed || !imbalances.is_empty() {
                self.stop.halt();
                self.abort(&by_node(&gathered), &done);
                self.committed.extend(done.sinks);
                return (!failed).then_some(imbalances);
            }
            self.committed = done.sinks;
            if due == Some(Due::Last) {
                self.parked = true;
                self.stop.halt();
                if let Err(failure) = self.settle() {
                    self.stop.fail(failure);
                }
                return None;
            }
        }
    }

    /// Saves how far a run that ends by itself has come, now and then, until its threads end; then the rows that are unaccounted for. Each
    /// checkpoint waits until the work since the last one has taken 20 times as long as that took, unless all that can be are wanted.
    pub(super) fn keep_checkpoints(&mut self) -> Option<Vec<String>> {
        let mut wait = self.options.checkpoint_every;
        while !self.epochs.ended_within(wait, &self.stop) {
            let since = Instant::now();
            let epoch = self.epochs.begin(&self.stop)?;
            let imbalances = self.imbalances(true);
            let held = resume::held(&self.plan, &self.ledger);
            // Sources that are told to end do so in the middle of a part.
            let draining = self.stop.draining();
            let gathered = self.epochs.close(epoch);
            if draining {
                self.abort(&by_node(&gathered), &Published::default());
                return None;
            }
            let saved = match imbalances.is_empty() {
                true => self.save(epoch, &gathered, &held),
                false => Ok(()),
            };
            if saved.is_err() || !imbalances.is_empty() {
                saved.unwrap_or_else(|failure| self.stop.fail(failure));
                self.stop.halt();
                self.abort(&by_node(&gathered), &Published::default());
                return Some(imbalances).filter(|lost| !lost.is_empty());
            }
            if !wait.is_zero() {
                wait = self.options.checkpoint_every.max(since.elapsed() * 20);
            }
        }
        None
    }

    /// A checkpoint of a run that ends by itself.
    fn save(&mut self, epoch: u64, gathered: &Gathered, held: &HashMap<String, u64>) -> Done {
        let Some(store) = &self.store else { return Ok(()) };
        let commit = Commit { run: self.checkpoint.run.clone(), epoch };
        let next = resume::next(&self.plan, &self.schedule, &self.checkpoint, gathered, &commit, Some(held));
        store.save(&next).map_err(|error| Failure { node: None, error })?;
        store.sweep(&next);
        self.checkpoint = next;
        Ok(())
    }

    /// A run that ends by itself has: a last checkpoint, from which another run only has to publish, should this one be killed; then the
    /// sinks commit. Of what was remembered, positions are left.
    pub(super) fn publish(&mut self, all: &Gathered, done: &mut Published) -> Done {
        if let Some(unfinished) = &mut self.checkpoint.unfinished {
            unfinished.decided = true;
        }
        self.save(self.epochs.wanted() + 1, all, &HashMap::new())?;
        // The same whichever run gets to it.
        let commit = Commit { run: self.checkpoint.run.clone(), epoch: 1 };
        let mut pending = self.checkpoint.pending.clone();
        let plan = self.plan.clone();
        let committed = self.commit_sinks(&commit, |n| pending.remove(&plan.graph[n].name), done);
        let Some(store) = &self.store else { return committed };
        let mut last = std::mem::take(&mut self.checkpoint);
        let nowhere = |error| Failure { node: None, error };
        if committed.is_err() {
            let _io = self.io.enter();
            last.pending.retain(|sink, _| !done.sinks.contains(sink));
            resume::anew(&self.plan, store, last).map_err(nowhere)?;
            return committed;
        }
        let before = last.unfinished.take().unwrap_or_default().before;
        let left = resume::over(last, &before);
        if left.remembers() { store.save(&left) } else { store.clear() }.map_err(nowhere)?;
        store.sweep(&left);
        self.checkpoint = left;
        Ok(())
    }

    /// What remains of a run that ends by itself and did not: its last checkpoint, unless that is wrong.
    pub(super) fn leave(&mut self, status: Status) -> Done {
        let Some(store) =
            self.store.as_ref().filter(|_| self.checkpoint.unfinished.is_some() && self.checkpoint.epoch > 0)
        else {
            return Ok(());
        };
        if status == Status::Unbalanced {
            let _io = self.io.enter();
            let last = std::mem::take(&mut self.checkpoint);
            return resume::anew(&self.plan, store, last).map(drop).map_err(|error| Failure { node: None, error });
        }
        self.warnings.push(format!(
            "the next run goes on from the last checkpoint, unless it is forgotten: `selvedge bookmark reset {}`",
            self.plan.name
        ));
        Ok(())
    }

    /// All writers have flushed. What is remembered goes into a checkpoint first: at the end of a run, when no node has held
    /// anything back, and in between where all nodes that have state can save it. From then on, and from the first commit on, the run can only go forward.
    pub(super) fn commit(
        &mut self,
        epoch: u64,
        gathered: &Gathered,
        held: Option<&HashMap<String, u64>>,
        done: &mut Published,
    ) -> Done {
        let nowhere = |error| Failure { node: None, error };
        let commit = Commit { run: self.options.run.clone(), epoch };
        let mut next = None;
        if let Some(store) = self.store.as_ref().filter(|_| held.is_none() || self.resumable()) {
            let made = resume::next(&self.plan, &self.schedule, &self.checkpoint, gathered, &commit, held);
            let made = match self.plan.unbounded() {
                true => made,
                // Nothing was saved in between: the last checkpoint is that of the run before.
                false => Checkpoint { pending: made.pending.clone(), ..resume::over(made, &self.checkpoint.positions) },
            };
            if made.remembers() || self.checkpoint.remembers() {
                store.save(&made).map_err(nowhere)?;
                done.kept = !made.pending.is_empty();
                next = Some(made);
            }
        }
        let mut pending = by_node(gathered);
        self.commit_sinks(&commit, |n| pending.remove(&n.index()), done)?;
        for (n, births) in &gathered.births {
            let mut latency = self.ledger.nodes[*n].latency();
            births.iter().for_each(|(born, rows)| latency.add(born.elapsed(), *rows));
        }
        let (Some(store), Some(next)) = (&self.store, next) else { return Ok(()) };
        store.sweep(&next);
        self.checkpoint = next;
        if held.is_none() { self.settle() } else { Ok(()) }
    }

    /// The run has published all: the next one has nothing to finish, and may be of a graph without one of the sinks.
    fn settle(&mut self) -> Done {
        let Some(store) = self.store.as_ref().filter(|_| !self.checkpoint.pending.is_empty()) else { return Ok(()) };
        self.checkpoint.pending.clear();
        store.save(&self.checkpoint).map_err(|error| Failure { node: None, error })
    }

    fn commit_sinks(
        &self,
        commit: &Commit,
        mut pending: impl FnMut(NodeIndex) -> Option<Vec<Pending>>,
        done: &mut Published,
    ) -> Done {
        let _io = self.io.enter();
        for (n, sink) in self.sinks() {
            let pending = pending(n).unwrap_or_default();
            guarded(|| sink.commit(commit, &pending)).map_err(|error| Failure { node: Some(n.index()), error })?;
            done.sinks.push(self.plan.graph[n].name.clone());
        }
        Ok(())
    }

    /// Takes back what was flushed and not committed, unless a checkpoint has it for the next run to commit.
    pub(super) fn abort(&self, pending: &HashMap<usize, Vec<Pending>>, done: &Published) {
        let _io = self.io.enter();
        if done.kept {
            return;
        }
        for (n, sink) in self.sinks().filter(|(n, _)| !done.sinks.contains(&self.plan.graph[*n].name)) {
            let Some(pending) = pending.get(&n.index()) else { continue };
            let aborted = guarded(|| {
                sink.abort(pending);
                Ok(())
            });
            if let Err(e) = aborted {
                tracing::error!(node = self.plan.graph[n].name, "could not take back what was flushed: {e}");
            }
        }
    }
}
