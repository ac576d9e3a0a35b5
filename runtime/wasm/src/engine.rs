//! The one engine of the process: how plugins are compiled, and the clock that ends calls which take too long.

use selvedge_node::{Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use wasmtime::{Config, Engine};

/// How often running calls are looked at. A time-out is late by at most two of these.
pub const TICK: Duration = Duration::from_millis(10);
/// Stack of a call in a plugin, in bytes. Threads of the run have 2 MiB.
const STACK: usize = 512 << 10;

/// The engine and its clock.
pub struct Plugins {
    pub engine: Engine,
    clock: Arc<Clock>,
    ticker: Thread,
}

#[derive(Default)]
struct Clock {
    /// Calls in process. While there are none, nothing ticks and no processor time is used.
    calls: AtomicUsize,
}

/// Held during a call into a plugin.
pub struct Ticking<'a>(&'a Clock);

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, SeqCst);
    }
}

impl Plugins {
    /// The engine of this process, made at the first use.
    pub fn get() -> Result<&'static Plugins> {
        static PLUGINS: LazyLock<std::result::Result<Plugins, String>> = LazyLock::new(Plugins::new);
        PLUGINS.as_ref().map_err(|e| Error::bug(format!("the plugin engine does not start: {e}")))
    }

    fn new() -> std::result::Result<Plugins, String> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.max_wasm_stack(STACK);
        config.concurrency_support(false);
        let engine = Engine::new(&config).map_err(|e| format!("{e:#}"))?;
        let clock = Arc::new(Clock::default());
        let (of_thread, ticking) = (engine.clone(), clock.clone());
        let ticker = thread::Builder::new().name("plugin-clock".into()).spawn(move || {
            loop {
                let started = Instant::now();
                let mut ticks = 0;
                while ticking.calls.load(SeqCst) > 0 {
                    thread::sleep(TICK);
                    // By the clock: on a busy machine a sleep takes longer.
                    let due = started.elapsed().as_nanos() / TICK.as_nanos();
                    (ticks..due).for_each(|_| of_thread.increment_epoch());
                    ticks = due;
                }
                thread::park();
            }
        });
        let ticker = ticker.map_err(|e| e.to_string())?.thread().clone();
        Ok(Plugins { engine, clock, ticker })
    }

    /// Lets the clock tick until what is given back is dropped.
    pub fn tick(&self) -> Ticking<'_> {
        if self.clock.calls.fetch_add(1, SeqCst) == 0 {
            self.ticker.unpark();
        }
        Ticking(&self.clock)
    }
}
