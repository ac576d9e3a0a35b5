//! A plugin as a source: an instance for each split that is open.

use crate::bindings::exports::selvedge::plugin::source_node;
use crate::bindings::selvedge::plugin::types;
use crate::effects::replay;
use crate::instance::{Instance, Setup, Trouble};
use selvedge_node::{Next, Out, Positions, Reader, Result, Source, Split, Task};
use std::sync::Arc;
use std::time::Duration;

pub struct PluginSource {
    read: Arc<Reading>,
}

/// What all splits of a source are opened with.
pub struct Reading {
    pub setup: Arc<Setup>,
    pub file: String,
    pub config: String,
    pub graph: String,
}

impl PluginSource {
    pub fn new(read: Reading) -> PluginSource {
        PluginSource { read: Arc::new(read) }
    }
}

impl Source for PluginSource {
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let known: Vec<(&str, &str)> = from.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let read = &self.read;
        let found = Instance::new(&read.setup)
            .and_then(|mut i| i.source("splits", |g, s| g.call_splits(s, &read.config, &known)))
            .map_err(|t| t.error.context(&read.file))?;
        let split = |name: String| {
            let position = from.get(&name).cloned();
            Box::new(PluginSplit { read: read.clone(), name, position }) as Box<dyn Split>
        };
        Ok(found.into_iter().map(split).collect())
    }
}

struct PluginSplit {
    read: Arc<Reading>,
    name: String,
    position: Option<String>,
}

impl Split for PluginSplit {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        let read = self.read;
        let told = types::Task {
            graph: &read.graph,
            node: &task.node,
            run: &task.run,
            instance: task.instance as u32,
            instances: task.instances as u32,
        };
        let opened = Instance::new(&read.setup).and_then(|mut instance| {
            instance.join(task);
            let position = self.position.as_deref();
            instance.source("open", |g, s| g.call_open(s, &read.config, told, &self.name, position))?;
            Ok(instance)
        });
        let instance = opened.map_err(|t| t.error.context(&read.file))?;
        Ok(Box::new(PluginReader { instance, read, position: self.position }))
    }
}

struct PluginReader {
    instance: Instance,
    read: Arc<Reading>,
    position: Option<String>,
}

impl PluginReader {
    fn next(&mut self, out: &mut dyn Out) -> std::result::Result<Result<Next>, Trouble> {
        let next = self.instance.source("read", |g, s| g.call_read(s))?;
        let effects = self.instance.effects(true)?;
        self.position = self.instance.source("position", |g, s| g.call_position(s))?;
        Ok(replay(effects, None, out).map(|()| match next {
            source_node::Next::More => Next::More,
            source_node::Next::Idle(ms) => Next::Idle(Duration::from_millis(ms)),
            source_node::Next::Done => Next::Done,
        }))
    }
}

impl Reader for PluginReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let next = self.next(out);
        next.map_err(|t| t.error.context(&self.read.file))?
    }
    fn position(&self) -> Option<String> {
        self.position.clone()
    }
}
