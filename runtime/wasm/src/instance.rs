//! One instance of a plugin, and one call into it.

use crate::bindings::exports::selvedge::plugin::{about, sink_node, source_node, transform_node};
use crate::bindings::selvedge::plugin::{batches, types};
use crate::component::{Loaded, World};
use crate::effects::{Effect, Effects};
use crate::engine::{Plugins, TICK};
use crate::grant::Granted;
use crate::host::{Host, LogLines, Taken};
use crate::limits::Bounds;
use crate::stdio::Tail;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use selvedge_node::{BATCH_BYTES, BATCH_ROWS, Error, Fault, Task};
use std::sync::Arc;
use wasmtime::{Store, Trap, WasmBacktrace};
use wasmtime_wasi::ResourceTable;

/// Why a call came to nothing.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Stable, for counting: `plugin.trap`.
    pub code: &'static str,
    pub error: Error,
    /// The setting that is at fault, as a path in the config.
    pub at: Option<String>,
}

/// What a node's instances have in common.
pub struct Setup {
    pub plugin: Arc<Loaded>,
    /// In logs.
    pub node: Arc<str>,
    pub granted: Granted,
    pub bounds: Bounds,
    /// Schemas of the output ports.
    pub outputs: Vec<SchemaRef>,
}

enum Exports {
    Transform(transform_node::Guest),
    Source(source_node::Guest),
    Sink(sink_node::Guest),
}

pub struct Instance {
    store: Store<Host>,
    exports: Exports,
    about: about::Guest,
    /// Set by a trap: no call may enter it again.
    dead: bool,
    bounds: Bounds,
}

/// What the functions of the contract answer.
type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

impl Instance {
    pub fn new(setup: &Setup) -> Result<Instance, Trouble> {
        let plugins = Plugins::get().map_err(|error| Trouble { code: "plugin.trap", error, at: None })?;
        let stderr = Tail::default();
        let wasi = setup.granted.wasi(&stderr).map_err(|error| Trouble { code: "plugin.trap", error, at: None })?;
        let host = Host {
            wasi,
            table: ResourceTable::new(),
            stderr,
            node: setup.node.clone(),
            secrets: setup.granted.secrets.clone(),
            effects: Effects::new(setup.outputs.clone(), setup.bounds.output),
            taken: Taken::new(&setup.bounds),
            log: LogLines::new(setup.bounds.log_lines),
            // Longer than the deadline, so that who waits that long is ended when it goes on.
            wanted: batches::Size { rows: BATCH_ROWS as u32, bytes: BATCH_BYTES as u64 },
            longest_wait: u64::try_from((setup.bounds.call + 10 * TICK).as_nanos()).unwrap_or(u64::MAX),
            refused: None,
            last_error: None,
        };
        let mut store = Store::new(&plugins.engine, host);
        store.limiter(|host| &mut host.taken);
        // What crosses at once: all that one call may put out, and some for its frame.
        store.set_hostcall_fuel(setup.bounds.output.saturating_add(1 << 20));
        set_deadline(&mut store, &setup.bounds);
        let made = {
            let _ticking = plugins.tick();
            setup.plugin.pre.instantiate(&mut store).and_then(|instance| {
                let exports = match &setup.plugin.world {
                    World::Transform(i) => Exports::Transform(i.load(&mut store, &instance)?),
                    World::Source(i) => Exports::Source(i.load(&mut store, &instance)?),
                    World::Sink(i) => Exports::Sink(i.load(&mut store, &instance)?),
                };
                Ok((exports, setup.plugin.about.load(&mut store, &instance)?))
            })
        };
        match made {
            Ok((exports, about)) => Ok(Instance { store, exports, about, dead: false, bounds: setup.bounds }),
            Err(e) => Err(trap("its start", &e, store.data_mut(), &setup.bounds)),
        }
    }

    /// Bytes of memory that the instance has now.
    pub fn memory(&self) -> usize {
        self.store.data().taken.memory
    }

    /// Makes it part of a run: sizes of batches are told as the run has them, and its memory counts in the run's budget.
    pub fn join(&mut self, task: &Task) {
        let (rows, bytes) = (task.batch_rows as u32, task.batch_bytes as u64);
        let host = self.store.data_mut();
        host.wanted = batches::Size { rows, bytes };
        host.taken.book(&task.memory);
    }

    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Calls `name`. What it does to rows is in `Effects` afterwards.
    fn call<T>(
        &mut self,
        name: &str,
        batch: Option<RecordBatch>,
        call: impl FnOnce(&Exports, &about::Guest, &mut Store<Host>) -> Answer<T>,
    ) -> Result<T, Trouble> {
        if self.dead {
            return Err(Trouble {
                code: "plugin.trap",
                error: Error::bug("a call into an instance that has trapped"),
                at: None,
            });
        }
        let plugins = Plugins::get().map_err(|error| Trouble { code: "plugin.trap", error, at: None })?;
        self.store.data_mut().effects.begin(batch);
        set_deadline(&mut self.store, &self.bounds);
        let answer = {
            let _ticking = plugins.tick();
            call(&self.exports, &self.about, &mut self.store)
        };
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(name, error)),
            Err(e) => {
                self.dead = true;
                Err(trap(name, &e, self.store.data_mut(), &self.bounds))
            }
        }
    }

    /// A call into the exports of a world, which the plugin has: it was looked up when it was loaded.
    pub fn transform<T>(
        &mut self,
        name: &str,
        batch: Option<RecordBatch>,
        call: impl FnOnce(&transform_node::Guest, &mut Store<Host>) -> Answer<T>,
    ) -> Result<T, Trouble> {
        self.call(name, batch, |exports, _, store| match exports {
            Exports::Transform(guest) => call(guest, store),
            _ => Err(wasmtime::format_err!("not a transform")),
        })
    }

    pub fn source<T>(
        &mut self,
        name: &str,
        call: impl FnOnce(&source_node::Guest, &mut Store<Host>) -> Answer<T>,
    ) -> Result<T, Trouble> {
        self.call(name, None, |exports, _, store| match exports {
            Exports::Source(guest) => call(guest, store),
            _ => Err(wasmtime::format_err!("not a source")),
        })
    }

    pub fn sink<T>(
        &mut self,
        name: &str,
        batch: Option<RecordBatch>,
        call: impl FnOnce(&sink_node::Guest, &mut Store<Host>) -> Answer<T>,
    ) -> Result<T, Trouble> {
        self.call(name, batch, |exports, _, store| match exports {
            Exports::Sink(guest) => call(guest, store),
            _ => Err(wasmtime::format_err!("not a sink")),
        })
    }

    pub fn about(&mut self) -> Result<types::Info, Trouble> {
        self.call("about", None, |_, about, store| about.call_about(store).map(Ok))
    }

    /// What the last call did. With `law`, its rows must be accounted for now.
    pub fn effects(&mut self, law: bool) -> Result<Vec<Effect>, Trouble> {
        self.store.data_mut().effects.end(law).map_err(|words| Trouble {
            code: "plugin.rows",
            error: Error::bug(format!("the plugin breaks the row law: {words}"))
                .help("every row must be sent, dropped or rejected, exactly once"),
            at: None,
        })
    }
}

fn set_deadline(store: &mut Store<Host>, bounds: &Bounds) {
    let ticks = bounds.call.as_millis() / TICK.as_millis();
    store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX).max(1) + 1);
}

/// The plugin itself says that it cannot.
fn failed(name: &str, e: types::Error) -> Trouble {
    let fault = match e.fault {
        types::Fault::Graph => Fault::Graph,
        types::Fault::Data => Fault::Data,
        types::Fault::World => Fault::World,
        types::Fault::Bug => Fault::Bug,
    };
    let message = if e.message.is_empty() { format!("`{name}` failed without a word") } else { e.message };
    Trouble { code: "plugin.error", error: Error { fault, retry: e.retry, message, help: e.help }, at: e.at }
}

/// The call was ended: by the plugin's own fault or by the host.
fn trap(name: &str, e: &wasmtime::Error, host: &mut Host, bounds: &Bounds) -> Trouble {
    let said = host.last_error.take();
    let stderr = host.stderr.take();
    let trouble = |code, message: String| Trouble { code, error: Error::bug(message), at: None };
    let mut trouble = if let Some(words) = host.refused.take() {
        trouble("plugin.output", format!("`{name}` was ended: {words}"))
    } else if let Some(words) = host.taken.denied.take() {
        trouble("plugin.memory", format!("`{name}` was ended: the plugin {words}"))
    } else {
        match e.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => {
                let seconds = bounds.call.as_secs();
                trouble("plugin.timeout", format!("`{name}` was ended: it took longer than {seconds} s (call_seconds)"))
            }
            Some(Trap::UnreachableCodeReached) => {
                // The SDK logs the message; others leave it to the standard library, with a hint that does not apply.
                let lines = stderr.lines().filter(|line| !line.starts_with("note:"));
                let words = said.unwrap_or_else(|| lines.collect::<Vec<_>>().join(" "));
                let words = if words.is_empty() { words } else { format!(": {words}") };
                trouble("plugin.trap", format!("the plugin panicked in `{name}`{words}"))
            }
            Some(Trap::StackOverflow) => trouble("plugin.trap", format!("the plugin ran out of stack in `{name}`")),
            Some(trap) => {
                let words = trap.to_string();
                let words = words.strip_prefix("wasm trap: ").unwrap_or(&words);
                trouble("plugin.trap", format!("the plugin trapped in `{name}`: {words}"))
            }
            None => {
                let words = format!("{:#}", e.root_cause());
                match words.contains("fuel allocated for hostcalls") {
                    true => trouble(
                        "plugin.output",
                        format!(
                            "`{name}` was ended: one call put out more than {} MiB (output_mib)",
                            bounds.output >> 20
                        ),
                    ),
                    false => trouble("plugin.trap", format!("`{name}` was ended: {words}")),
                }
            }
        }
    };
    if let Some(frames) = e.downcast_ref::<WasmBacktrace>().map(backtrace).filter(|b| !b.is_empty()) {
        trouble.error = trouble.error.help(format!("in the plugin: {frames}"));
    }
    trouble
}

/// The innermost functions by name, the inner ones first; those of the standard library that lead to the trap are left out.
fn backtrace(trace: &WasmBacktrace) -> String {
    let named = trace.frames().iter().filter_map(|frame| {
        let place = frame.symbols().iter().find_map(|s| s.file().zip(s.line()));
        let name = format!("{:#}", rustc_demangle::demangle(frame.func_name()?));
        Some(match place {
            Some((file, line)) => format!("{name} ({file}:{line})"),
            None => name,
        })
    });
    let inner = ["std::", "core::", "__rustc", "abort"];
    let named = named.skip_while(|name| inner.iter().any(|i| name.starts_with(i)));
    named.take(8).collect::<Vec<_>>().join(" ← ")
}
