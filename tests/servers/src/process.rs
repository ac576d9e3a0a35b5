//! A server as a process of this test program.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to be ready on a machine that does much else.
const READY: Duration = Duration::from_secs(120);

/// A running server. Dropped, it is stopped; if the test program dies, the kernel kills it.
pub struct Process {
    child: Child,
    pub name: &'static str,
    log: PathBuf,
}

impl Process {
    /// Starts a server that writes what it says to `log`.
    pub fn start(name: &'static str, mut command: Command, log: &Path) -> Process {
        let file = std::fs::File::create(log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let errors = file.try_clone().unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        // SAFETY: prctl is safe between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        };
        Process { child: spawn(command), name, log: log.to_path_buf() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` answers, then checks where the server listens.
    pub fn ready(&mut self, port: u16, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended at its start: {status}\n{}", self.name, self.said());
            }
            assert!(start.elapsed() < READY, "{} is not ready after {READY:?}\n{}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(30));
        }
        let open = listeners(port);
        assert!(!open.is_empty(), "{} does not listen on {port}", self.name);
        assert!(open.iter().all(|a| a == "0100007F"), "{} listens on more than loopback: {open:?}", self.name);
    }

    /// As a crash of the machine: no good-bye.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops a server in its orderly way.
    pub fn stop(&mut self, signal: i32) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // SAFETY: the child has not been waited for: the id is its own.
            unsafe { libc::kill(self.child.id() as i32, signal) };
        }
        let _ = self.child.wait();
    }

    /// The end of its log.
    fn said(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// The kernel kills a child when the *thread* that made it ends, and tests' threads end: one that does not makes them all.
fn spawn(command: Command) -> Child {
    static KEEPER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in taken {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let told = format!("{command:?}");
    let (answer, child) = channel();
    keeper.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer)).unwrap_or_else(|e| panic!("{e}"));
    match child.recv() {
        Ok(Ok(child)) => child,
        Ok(Err(e)) => panic!("{told}: {e}"),
        Err(e) => panic!("{told}: {e}"),
    }
}

/// The addresses, as the kernel prints them, at which somebody listens on this port.
fn listeners(port: u16) -> Vec<String> {
    let end = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|t| std::fs::read_to_string(t).unwrap_or_default());
    let lines = tables.iter().flat_map(|t| t.lines());
    lines
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
            (state == "0A" && local.ends_with(&end)).then(|| local[..local.len() - end.len()].to_string())
        })
        .collect()
}

/// A port at which nobody listens, whatever else is started meanwhile: tcpmux.
pub const NOBODY: u16 = 1;

/// A port that nobody uses at this moment.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr());
    socket.unwrap_or_else(|e| panic!("no free port: {e}")).port()
}

/// Asks again and again; panics when it has been too long.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < READY, "{what}: not after {READY:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn own() -> PathBuf {
    std::env::temp_dir().join(format!("{FOLDERS}{}", std::process::id()))
}

/// Removes the folders of this program, when its servers are gone.
pub fn leave() {
    let _ = std::fs::remove_dir_all(own());
}

const FOLDERS: &str = "selvedge-servers-";

/// A folder of this test program that any user of the machine may pass through. Those of programs that are gone are removed first.
pub fn folder(name: &str) -> PathBuf {
    static ONCE: OnceLock<()> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let all = std::env::temp_dir();
    ONCE.get_or_init(|| {
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(id) = name.strip_prefix(FOLDERS) else { continue };
            if !Path::new("/proc").join(id).exists() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    });
    let own = own();
    let folder = own.join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    folder
}
