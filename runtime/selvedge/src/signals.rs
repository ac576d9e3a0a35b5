//! SIGINT and SIGTERM: the first one drains the run, the second one stops it at once, the third ends the process.

use selvedge_exec::Stopper;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

/// Passes signals on to the run that is at work.
#[derive(Clone, Default)]
pub struct Signals {
    count: Arc<AtomicUsize>,
    current: Arc<Mutex<Option<Stopper>>>,
}

impl Signals {
    /// Starts to listen: no signal is missed after this. Without the right to do so, signals keep their usual effect.
    pub fn listen() -> Signals {
        let signals = Signals::default();
        let heard = signals.clone();
        let (ready, listens) = std::sync::mpsc::channel::<()>();
        let listener = std::thread::Builder::new().name("signals".into());
        let _ = listener.spawn(move || {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    return;
                };
                drop(ready);
                loop {
                    tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                    heard.count.fetch_add(1, SeqCst);
                    heard.pass_on();
                }
            });
        });
        // Ends when the thread drops its side: it listens, or it never will.
        let _ = listens.recv();
        signals
    }

    pub fn heard(&self) -> bool {
        self.count.load(SeqCst) > 0
    }

    /// From now on signals stop this run; one that came before does so at once.
    pub fn watch(&self, stopper: Stopper) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(stopper);
        self.pass_on();
    }

    fn pass_on(&self) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stopper) = &*current {
            match self.count.load(SeqCst) {
                0 => {}
                1 => stopper.drain(),
                _ => stopper.halt(),
            }
        }
        drop(current);
        if self.count.load(SeqCst) >= 3 {
            // Something outside does not answer: the operator wants out, whatever is left behind.
            std::process::exit(130);
        }
    }
}
