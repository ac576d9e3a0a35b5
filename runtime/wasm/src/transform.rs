//! A plugin as a transform: stateless and shared by all threads, or with state and an instance for each.

use crate::bindings::selvedge::plugin::types;
use crate::effects::{Effect, replay};
use crate::instance::{Instance, Setup, Trouble};
use crate::kind::OnError;
use crate::wire::{Arriving, pieces, sent_bytes, with_batch};
use arrow::array::{ArrayRef, AsArray, LargeBinaryArray, RecordBatch, UInt32Array};
use arrow::datatypes::UInt32Type;
use selvedge_node::{Error, Fault, Map, Out, Result, Save, Task, Transform};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What an instance is opened with.
#[derive(Clone)]
pub struct Opening {
    pub setup: Arc<Setup>,
    pub file: String,
    pub config: String,
    pub graph: String,
    pub arriving: Arc<Arriving>,
    /// By input port: the columns that are sent.
    pub reads: Arc<[Vec<usize>]>,
    pub on_error: OnError,
}

impl Opening {
    /// An error of this plugin, by its name.
    pub fn error(&self, trouble: Trouble) -> Error {
        trouble.error.context(&self.file)
    }

    /// `task` is none for an instance that all threads share.
    fn open(&self, task: Option<&Task>) -> std::result::Result<Instance, Trouble> {
        let mut made = Instance::new(&self.setup)?;
        task.inspect(|task| made.join(task));
        let task = types::Task {
            graph: &self.graph,
            node: &self.setup.node,
            run: task.map_or("", |t| &t.run),
            instance: task.map_or(0, |t| t.instance as u32),
            instances: task.map_or(1, |t| t.instances as u32),
        };
        self.arriving.with(|ports| made.transform("open", None, |g, s| g.call_open(s, &self.config, ports, task)))?;
        Ok(made)
    }

    /// One call with rows. `law`: the plugin keeps none of them.
    fn process(
        &self,
        instance: &mut Instance,
        port: usize,
        rows: &RecordBatch,
        law: bool,
    ) -> std::result::Result<Vec<Effect>, Trouble> {
        with_batch(rows, &self.reads[port], |batch| {
            instance.transform("process", Some(rows.clone()), |g, s| g.call_process(s, port as u32, batch))
        })?;
        instance.effects(law)
    }

    fn watermark(&self, instance: &mut Instance, time: i64) -> std::result::Result<Vec<Effect>, Trouble> {
        instance.transform("watermark", None, |g, s| g.call_watermark(s, time.div_euclid(1000)))?;
        instance.effects(false)
    }

    /// An instance close to its limit is given up before it traps: memory of WebAssembly never shrinks, and some guests leak.
    fn is_full(&self, instance: &Instance) -> bool {
        instance.memory() > self.setup.bounds.memory / 4 * 3
    }

    /// A row that is too large to be sent.
    fn too_large(&self, rows: &RecordBatch, port: usize) -> Option<Trouble> {
        let bytes = sent_bytes(rows, &self.reads[port]);
        let limit = self.setup.bounds.batch;
        (bytes > limit).then(|| Trouble {
            code: "plugin.batch",
            error: Error::data(format!(
                "a row of {bytes} bytes is above the {} MiB of one call (batch_mib)",
                limit >> 20
            )),
            at: None,
        })
    }
}

/// How often a plugin has failed, over all instances of a node.
#[derive(Default)]
struct Faults(AtomicU32);

impl Faults {
    /// What to do about rows that the plugin fails on: reject them, cut them up to find the guilty one, or stop.
    fn judge(&self, opening: &Opening, trouble: &Trouble, rows: usize) -> Verdict {
        let can_reject = matches!(trouble.error.fault, Fault::Data | Fault::Bug);
        if opening.on_error == OnError::Fail || !can_reject {
            return Verdict::Stop(None);
        }
        // Halves of a batch that takes too long may take as long each.
        if rows > 1 && trouble.code != "plugin.timeout" {
            return Verdict::Cut;
        }
        let limit = opening.setup.bounds.faults;
        match trouble.code == "plugin.error" || self.0.fetch_add(1, Relaxed) < limit {
            true => Verdict::Reject,
            false => Verdict::Stop(Some(format!("after {limit} faults before it (faults)"))),
        }
    }
}

enum Verdict {
    Reject,
    Cut,
    Stop(Option<String>),
}

fn reject(trouble: &Trouble, rows: &RecordBatch, out: &mut dyn Out) -> Result<()> {
    let all: Vec<usize> = (0..rows.num_rows()).collect();
    let message = match &trouble.error.help {
        Some(help) => format!("{} ({help})", trouble.error.message),
        None => trouble.error.message.clone(),
    };
    out.reject_rows(trouble.code, rows, &all, &|_| message.clone())
}

fn stop(opening: &Opening, trouble: Trouble, why: Option<String>) -> Error {
    let error = opening.error(trouble);
    match why {
        Some(why) => error.context(why),
        None => error,
    }
}

/// A stateless plugin. Threads borrow instances, so that there are as many as calls at once.
pub struct PluginMap {
    opening: Opening,
    idle: Mutex<Vec<Instance>>,
    faults: Faults,
}

impl PluginMap {
    pub fn new(opening: Opening) -> PluginMap {
        PluginMap { opening, idle: Mutex::default(), faults: Faults::default() }
    }

    fn one(&self, rows: &RecordBatch) -> std::result::Result<Vec<Effect>, Trouble> {
        if let Some(trouble) = self.opening.too_large(rows, 0) {
            return Err(trouble);
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.opening.open(None)?,
        };
        let done = self.opening.process(&mut instance, 0, rows, true);
        if !instance.is_dead() && !self.opening.is_full(&instance) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
        }
        done
    }

    fn rows(&self, rows: RecordBatch, out: &mut dyn Out) -> Result<()> {
        match self.one(&rows) {
            Ok(effects) => replay(effects, Some(&rows), out),
            Err(trouble) => match self.faults.judge(&self.opening, &trouble, rows.num_rows()) {
                Verdict::Reject => reject(&trouble, &rows, out),
                Verdict::Cut => {
                    let half = rows.num_rows() / 2;
                    self.rows(rows.slice(0, half), out)?;
                    self.rows(rows.slice(half, rows.num_rows() - half), out)
                }
                Verdict::Stop(why) => Err(stop(&self.opening, trouble, why)),
            },
        }
    }
}

impl Map for PluginMap {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        for rows in pieces(batch, &self.opening.reads[0], self.opening.setup.bounds.batch) {
            if rows.num_rows() > 0 {
                self.rows(rows, out)?;
            }
        }
        Ok(())
    }
}

/// Calls that are done again after a trap, before the state is saved anew: at most so many, and of so many bytes.
const REDONE: usize = 64;
const REDONE_BYTES: usize = 16 << 20;

/// A call that changed the state.
enum Call {
    Rows(usize, RecordBatch),
    Watermark(i64),
}

/// A plugin with state, several inputs, or keys: one instance for each parallel instance of the node.
pub struct PluginTransform {
    opening: Opening,
    task: Task,
    instance: Instance,
    stateful: bool,
    faults: Faults,
    /// With `on_error: Reject`: the state at some time, and the calls since then that ended well.
    saved: Option<Vec<u8>>,
    since: Vec<Call>,
    since_bytes: usize,
}

impl PluginTransform {
    pub fn open(opening: Opening, task: &Task, stateful: bool) -> Result<PluginTransform> {
        let instance = opening.open(Some(task)).map_err(|t| opening.error(t))?;
        let (task, faults) = (task.clone(), Faults::default());
        Ok(PluginTransform { opening, task, instance, stateful, faults, saved: None, since: vec![], since_bytes: 0 })
    }

    /// One call. The outer error is not the rows' fault: the state cannot be kept.
    fn one(&mut self, port: usize, rows: &RecordBatch) -> Result<std::result::Result<Vec<Effect>, Trouble>> {
        if let Some(trouble) = self.opening.too_large(rows, port) {
            return Ok(Err(trouble));
        }
        let done = self.opening.process(&mut self.instance, port, rows, !self.stateful);
        match &done {
            Ok(_) if self.stateful && self.opening.on_error == OnError::Reject => {
                self.remember(Call::Rows(port, rows.clone()), rows.get_array_memory_size())?;
            }
            Ok(_) => {}
            // Whatever the failed call has done to the state is undone.
            Err(_) if self.opening.on_error == OnError::Reject => self.restore()?,
            Err(_) => {}
        }
        if self.opening.is_full(&self.instance) {
            self.saved = if self.stateful { Some(self.state()?) } else { None };
            self.since.clear();
            self.since_bytes = 0;
            self.restore()?;
        }
        Ok(done)
    }

    fn remember(&mut self, call: Call, bytes: usize) -> Result<()> {
        self.since_bytes += bytes;
        self.since.push(call);
        if self.since.len() >= REDONE || self.since_bytes >= REDONE_BYTES {
            self.saved = Some(self.state()?);
            self.since.clear();
            self.since_bytes = 0;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let state = self.instance.transform("save", None, |g, s| g.call_save(s)).map_err(|t| self.opening.error(t))?;
        let limit = self.opening.setup.bounds.state;
        if state.len() > limit {
            let words = format!(
                "{}: `save` gave {} bytes of state; the limit is {} MiB (state_mib)",
                self.opening.file,
                state.len(),
                limit >> 20
            );
            return Err(Error::bug(words));
        }
        Ok(state)
    }

    /// A new instance in the state that the old one had after its last good call.
    fn restore(&mut self) -> Result<()> {
        self.instance = self.restored().map_err(|t| self.opening.error(t))?;
        Ok(())
    }

    fn restored(&self) -> std::result::Result<Instance, Trouble> {
        let mut fresh = self.opening.open(Some(&self.task))?;
        if let Some(state) = &self.saved {
            fresh.transform("load", None, |g, s| g.call_load(s, state))?;
        }
        // What it did with them then, it has done.
        for call in &self.since {
            match call {
                Call::Rows(port, rows) => _ = self.opening.process(&mut fresh, *port, rows, false)?,
                Call::Watermark(time) => _ = self.opening.watermark(&mut fresh, *time)?,
            }
        }
        Ok(fresh)
    }

    fn rows(&mut self, port: usize, rows: RecordBatch, out: &mut dyn Out) -> Result<()> {
        match self.one(port, &rows)? {
            Ok(effects) => replay(effects, Some(&rows), out),
            Err(trouble) => match self.faults.judge(&self.opening, &trouble, rows.num_rows()) {
                Verdict::Reject => reject(&trouble, &rows, out),
                Verdict::Cut => {
                    let half = rows.num_rows() / 2;
                    self.rows(port, rows.slice(0, half), out)?;
                    self.rows(port, rows.slice(half, rows.num_rows() - half), out)
                }
                Verdict::Stop(why) => Err(stop(&self.opening, trouble, why)),
            },
        }
    }
}

impl Transform for PluginTransform {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        for rows in pieces(batch, &self.opening.reads[port], self.opening.setup.bounds.batch) {
            if rows.num_rows() > 0 {
                self.rows(port, rows, out)?;
            }
        }
        Ok(())
    }

    fn watermark(&mut self, time: i64, out: &mut dyn Out) -> Result<i64> {
        if self.stateful {
            // There are no rows to blame: a fault here ends the run, as one in `finish` does.
            let done = self.opening.watermark(&mut self.instance, time);
            let effects = done.map_err(|t| self.opening.error(t))?;
            if self.opening.on_error == OnError::Reject {
                self.remember(Call::Watermark(time), 0)?;
            }
            replay(effects, None, out)?;
        }
        Ok(time)
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        if !self.stateful {
            return Ok(());
        }
        let state = self.state()?;
        let number = |n: usize| Arc::new(UInt32Array::from(vec![n as u32])) as ArrayRef;
        let columns = [
            ("instance", number(self.task.instance)),
            ("instances", number(self.task.instances)),
            ("state", Arc::new(LargeBinaryArray::from(vec![&state[..]])) as ArrayRef),
        ];
        to.put("plugin", &RecordBatch::try_from_iter(columns)?)
    }

    fn load(&mut self, _: &str, batch: RecordBatch) -> Result<()> {
        let of = batch.column(1).as_primitive::<UInt32Type>().value(0) as usize;
        if of != self.task.instances {
            let message = format!(
                "{}: what {of} instances of the plugin remember cannot be shared out among {}: only the plugin can read it",
                self.opening.file, self.task.instances
            );
            return Err(Error::graph(message).help("run the graph with as many --threads as before"));
        }
        self.saved = Some(batch.column(2).as_binary::<i64>().value(0).to_vec());
        self.restore()
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        while self.stateful {
            if out.stopping() {
                return Err(Error::stopped());
            }
            let more = self.instance.transform("finish", None, |g, s| g.call_finish(s));
            let done = more.and_then(|more| Ok((more, self.instance.effects(false)?)));
            let (more, effects) = done.map_err(|t| self.opening.error(t))?;
            replay(effects, None, out)?;
            if !more {
                break;
            }
        }
        Ok(())
    }
}
