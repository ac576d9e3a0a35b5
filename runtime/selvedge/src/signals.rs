//! SIGINT and SIGTERM: the first one drains the run, the second one stops it at once, the third ends the process. SIGHUP has the
//! graph read again, unless it tells that the terminal is gone, which ends the run.

use selvedge_exec::Stopper;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Passes signals on to the run that is at work.
#[derive(Clone, Default)]
pub struct Signals {
    count: Arc<AtomicUsize>,
    current: Arc<Mutex<Option<Stopper>>>,
    reload: Arc<(Mutex<Reload>, Condvar)>,
}

#[derive(Default)]
struct Reload {
    /// Somebody wants it. Kept from one run to the next, so that none is missed in between.
    wanted: bool,
    /// The run that could be replaced has ended.
    over: bool,
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
                let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
                let [Ok(mut int), Ok(mut term), Ok(mut hangup)] = kinds.map(signal) else { return };
                let at_terminal = std::io::stderr().is_terminal();
                drop(ready);
                loop {
                    tokio::select! {
                        _ = int.recv() => {}
                        _ = term.recv() => {}
                        _ = hangup.recv() => if !at_terminal || std::io::stderr().is_terminal() {
                            heard.change_reload(|reload| reload.wanted = true);
                            continue;
                        }
                    }
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
        self.change_reload(|reload| reload.over = false);
        self.pass_on();
    }

    /// Waits until the run that is watched is to be replaced; false: it is over.
    pub fn reload_wanted(&self) -> bool {
        let (reload, changed) = &*self.reload;
        let reload = reload.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_while(reload, |reload| !reload.wanted && !reload.over);
        let mut reload = waited.unwrap_or_else(PoisonError::into_inner);
        !reload.over && std::mem::take(&mut reload.wanted)
    }

    /// The run that is watched has ended.
    pub fn over(&self) {
        self.change_reload(|reload| reload.over = true);
    }

    fn change_reload(&self, change: impl FnOnce(&mut Reload)) {
        let (reload, changed) = &*self.reload;
        change(&mut reload.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
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
