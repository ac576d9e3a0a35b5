//! The host's side of one instance: what its plugin may call, and what it may take.

use crate::bindings::selvedge::plugin::{batches, clock, counters, logging, rows, secrets, types};
use crate::effects::{Effect, Effects};
use crate::limits::Bounds;
use crate::stdio::Tail;
use selvedge_node::{Memory, Rejection, Reservation};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use types::Output;
use wasmtime::{ResourceLimiter, format_err};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

/// Bytes of one log line; the rest is cut off.
const LOG_LINE: usize = 2048;

/// The data of a store.
pub struct Host {
    pub wasi: WasiCtx,
    pub table: ResourceTable,
    pub stderr: Tail,
    /// As it is named in logs.
    pub node: Arc<str>,
    pub secrets: Arc<BTreeMap<String, String>>,
    pub effects: Effects,
    pub taken: Taken,
    pub log: LogLines,
    pub wanted: batches::Size,
    /// In nanoseconds.
    pub longest_wait: u64,
    /// Why the host ended the call.
    pub refused: Option<String>,
    /// The last error that the plugin logged: the message of a panic, mostly.
    pub last_error: Option<String>,
}

/// Memory and tables of an instance, and their limits.
pub struct Taken {
    pub memory: usize,
    /// What the memory takes out of the run's budget, so that nodes that can spill make room for it.
    booked: Option<Reservation>,
    table: usize,
    memory_limit: usize,
    table_limit: usize,
    /// What could not grow any more.
    pub denied: Option<String>,
}

impl Taken {
    pub fn new(bounds: &Bounds) -> Taken {
        let (memory_limit, table_limit) = (bounds.memory, bounds.table_elements);
        Taken { memory: 0, booked: None, table: 0, memory_limit, table_limit, denied: None }
    }

    /// From now on this counts in the budget.
    pub fn book(&mut self, budget: &Memory) {
        let mut booked = budget.reserve();
        booked.resize(self.memory as u64);
        self.booked = Some(booked);
    }
}

impl ResourceLimiter for Taken {
    // An error ends the call where the plugin would otherwise be told -1 and panic on its own terms.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_limit {
            let words = format!("needs more than {} MiB of memory (memory_mib)", self.memory_limit >> 20);
            self.denied = Some(words.clone());
            return Err(format_err!("{words}"));
        }
        self.memory = total;
        if let Some(booked) = &mut self.booked {
            booked.resize(total as u64);
        }
        Ok(true)
    }
    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table.saturating_add(desired.saturating_sub(current));
        if total > self.table_limit {
            let words = format!("needs tables of more than {} elements (table_elements)", self.table_limit);
            self.denied = Some(words.clone());
            return Err(format_err!("{words}"));
        }
        self.table = total;
        Ok(true)
    }
}

/// How many lines may still be logged in this second.
pub struct LogLines {
    limit: u32,
    left: u32,
    since: Instant,
    suppressed: u64,
}

impl LogLines {
    pub fn new(limit: u32) -> LogLines {
        LogLines { limit, left: limit, since: Instant::now(), suppressed: 0 }
    }

    /// Whether one more may be logged; and how many were left out before it.
    fn next(&mut self) -> Option<u64> {
        if self.since.elapsed().as_secs() >= 1 {
            self.since = Instant::now();
            self.left = self.limit;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.suppressed))
            }
            None => {
                self.suppressed += 1;
                None
            }
        }
    }
}

impl Host {
    /// Ends the call with these words.
    fn refuse<T>(&mut self, result: Result<T, String>) -> wasmtime::Result<T> {
        result.map_err(|words| {
            let error = format_err!("{words}");
            self.refused = Some(words);
            error
        })
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for Host {}

impl rows::Host for Host {
    fn send(&mut self, port: u32, rows: Output) -> wasmtime::Result<()> {
        let sent = self.effects.send(port, rows);
        self.refuse(sent)
    }

    fn drop_rows(&mut self, rows: Vec<u8>, reason: String) -> wasmtime::Result<()> {
        let done = self.effects.mask(rows).and_then(|rows| {
            let reason = self.effects.reason(reason)?;
            self.effects.push(Effect::Drop(reason, rows));
            Ok(())
        });
        self.refuse(done)
    }

    fn drop_kept(&mut self, count: u64, reason: String, samples: Vec<String>) -> wasmtime::Result<()> {
        let done = self.effects.reason(reason).and_then(|reason| {
            let samples = samples.into_iter().take(8).map(|s| self.effects.text(s)).collect::<Result<_, _>>()?;
            self.effects.push(Effect::DropKept(reason, count, samples));
            Ok(())
        });
        self.refuse(done)
    }

    fn reject_rows(&mut self, code: String, rows: Vec<(u32, String)>) -> wasmtime::Result<()> {
        let done = self.effects.reason(code).and_then(|code| {
            let checked =
                rows.into_iter().map(|(row, message)| Ok((self.effects.row(row)?, self.effects.text(message)?)));
            let rows = checked.collect::<Result<Vec<_>, String>>()?;
            self.effects.push(Effect::Reject(code, rows));
            Ok(())
        });
        self.refuse(done)
    }

    fn reject_raw(&mut self, code: String, message: String, raw: String) -> wasmtime::Result<()> {
        let done = self.effects.reason(code).and_then(|code| {
            let message = self.effects.text(message)?;
            self.effects.charge(raw.len())?;
            self.effects.push(Effect::RejectRaw(Rejection { code, message, raw }));
            Ok(())
        });
        self.refuse(done)
    }

    fn absorb(&mut self, reason: String, rows: u64) -> wasmtime::Result<()> {
        let done = self.effects.reason(reason).map(|reason| self.effects.push(Effect::Absorb(reason, rows)));
        self.refuse(done)
    }

    fn create(&mut self, reason: String, rows: u64) -> wasmtime::Result<()> {
        let done = self.effects.reason(reason).map(|reason| self.effects.push(Effect::Create(reason, rows)));
        self.refuse(done)
    }

    fn altered(&mut self, rows: Vec<u8>, what: String) -> wasmtime::Result<()> {
        let done = self.effects.mask(rows).and_then(|rows| {
            let what = self.effects.reason(what)?;
            self.effects.push(Effect::Altered(what, rows));
            Ok(())
        });
        self.refuse(done)
    }
}

impl logging::Host for Host {
    fn enabled(&mut self, level: logging::Level) -> wasmtime::Result<bool> {
        use logging::Level::*;
        Ok(match level {
            Trace => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
            Debug => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
            Info => tracing::enabled!(target: "plugin", tracing::Level::INFO),
            Warn => tracing::enabled!(target: "plugin", tracing::Level::WARN),
            Error => true,
        })
    }

    fn log(&mut self, level: logging::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        use logging::Level::*;
        let mut line = message;
        for (name, value) in fields.iter().take(16) {
            line.push_str(&format!(" {name}={value}"));
        }
        if line.len() > LOG_LINE {
            line.truncate(line.floor_char_boundary(LOG_LINE));
            line.push('…');
        }
        // A plugin's line must not pass for two lines, or move the cursor of a terminal.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if matches!(level, Error) {
            self.last_error = Some(line.clone());
        }
        let Some(suppressed) = self.log.next() else { return Ok(()) };
        let node = &*self.node;
        if suppressed > 0 {
            tracing::warn!(target: "plugin", node, "{suppressed} log lines left out (log_lines)");
        }
        match level {
            Trace => tracing::trace!(target: "plugin", node, "{line}"),
            Debug => tracing::debug!(target: "plugin", node, "{line}"),
            Info => tracing::info!(target: "plugin", node, "{line}"),
            Warn => tracing::warn!(target: "plugin", node, "{line}"),
            Error => tracing::error!(target: "plugin", node, "{line}"),
        }
        Ok(())
    }
}

impl counters::Host for Host {
    fn add(&mut self, name: String, value: u64) -> wasmtime::Result<()> {
        let done = self.effects.reason(name).map(|name| self.effects.push(Effect::Count(name, value)));
        self.refuse(done)
    }
}

impl clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64))
    }
}

impl batches::Host for Host {
    fn wanted(&mut self) -> wasmtime::Result<batches::Size> {
        Ok(self.wanted)
    }
}

impl secrets::Host for Host {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.secrets.get(&name).cloned())
    }
}
