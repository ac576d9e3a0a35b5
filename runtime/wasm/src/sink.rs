//! A plugin as a sink: an instance for each writer, and a fresh one to commit or abort.

use crate::bindings::selvedge::plugin::types;
use crate::effects::replay;
use crate::instance::{Instance, Trouble};
use crate::transform::Opening;
use crate::wire::{pieces, with_batch};
use arrow::array::RecordBatch;
use selvedge_node::{Commit, Out, Pending, Result, Sink, Task, Writer};

pub struct PluginSink {
    opening: Opening,
}

impl PluginSink {
    pub fn new(opening: Opening) -> PluginSink {
        PluginSink { opening }
    }

    fn fresh(&self) -> std::result::Result<Instance, Trouble> {
        Instance::new(&self.opening.setup)
    }
}

impl Sink for PluginSink {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        let told = types::Task {
            graph: &self.opening.graph,
            node: &task.node,
            run: &task.run,
            instance: task.instance as u32,
            instances: task.instances as u32,
        };
        let config = &self.opening.config;
        let opened = self.fresh().and_then(|mut instance| {
            instance.join(task);
            self.opening
                .arriving
                .with(|ports| instance.sink("open", None, |g, s| g.call_open(s, config, ports, told)))?;
            Ok(instance)
        });
        let instance = opened.map_err(|t| self.opening.error(t))?;
        Ok(Box::new(PluginWriter { opening: self.opening.clone(), instance }))
    }

    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        let pending: Vec<&str> = pending.iter().map(String::as_str).collect();
        let done = self.fresh().and_then(|mut i| {
            i.sink("commit", None, |g, s| g.call_commit(s, &self.opening.config, &commit.run, commit.epoch, &pending))
        });
        done.map_err(|t| self.opening.error(t))
    }

    fn abort(&self, pending: &[Pending]) {
        let pending: Vec<&str> = pending.iter().map(String::as_str).collect();
        let done = self
            .fresh()
            .and_then(|mut i| i.sink("abort", None, |g, s| g.call_abort(s, &self.opening.config, &pending)));
        if let Err(trouble) = done {
            let node = &*self.opening.setup.node;
            tracing::error!(node, "could not take back what was flushed: {}", self.opening.error(trouble));
        }
    }
}

struct PluginWriter {
    opening: Opening,
    instance: Instance,
}

impl Writer for PluginWriter {
    fn write(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        for rows in pieces(batch, &self.opening.reads[port], self.opening.setup.bounds.batch) {
            let instance = &mut self.instance;
            let written = with_batch(&rows, &self.opening.reads[port], |batch| {
                instance.sink("write", Some(rows.clone()), |g, s| g.call_write(s, port as u32, batch))
            });
            let effects = written.and_then(|()| self.instance.effects(true)).map_err(|t| self.opening.error(t))?;
            replay(effects, Some(&rows), out)?;
        }
        Ok(())
    }

    fn flush(&mut self, epoch: u64, out: &mut dyn Out) -> Result<Pending> {
        let pending = self.instance.sink("flush", None, |g, s| g.call_flush(s, epoch));
        let done = pending.and_then(|pending| Ok((pending, self.instance.effects(false)?)));
        let (pending, effects) = done.map_err(|t| self.opening.error(t))?;
        replay(effects, None, out)?;
        Ok(pending)
    }
}
