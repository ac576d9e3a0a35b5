//! Runs the binary in a folder of its own, with a time limit, and reads what it left behind.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The top of the checkout.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A folder for one test, with graph files in it.
pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    /// A folder with this graph file as `graph.ron`.
    pub fn with(graph: &str) -> Place {
        let place = Place::new();
        place.write("graph.ron", graph);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// All files below a folder, sorted. No folder: no files.
    pub fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut found = vec![];
        let mut folders = vec![self.path(below)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }

    /// The lines of the data published below a folder, sorted; manifests and hidden files are no data.
    pub fn published(&self, below: &str) -> Vec<String> {
        let hidden = |part: &std::ffi::OsStr| part.to_string_lossy().starts_with(['_', '.']);
        let data = |f: &&PathBuf| !f.strip_prefix(self.0.path()).unwrap().iter().any(hidden);
        let mut lines = vec![];
        for file in self.files(below).iter().filter(data) {
            lines.extend(std::fs::read_to_string(file).unwrap().lines().map(str::to_string));
        }
        lines.sort();
        lines
    }

    /// Waits until `done`, which is asked whenever something changes in this folder, and now and then: what changes in a folder that
    /// has just been made may go before its watch.
    #[track_caller]
    pub fn until(&self, what: &str, done: impl Fn() -> bool) {
        let (send, changes) = channel();
        let mut watcher = notify::recommended_watcher(move |_| _ = send.send(())).unwrap();
        notify::Watcher::watch(&mut watcher, self.0.path(), notify::RecursiveMode::Recursive).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "no {what} after {PATIENCE:?}");
            if changes.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
                changes.try_iter().for_each(drop);
            }
        }
    }

    #[track_caller]
    pub fn nothing_published(&self) {
        let found = self.published("out");
        assert!(found.is_empty(), "{} lines are published, such as {}", found.len(), found[0]);
    }

    /// `selvedge` with these words, run here.
    pub fn selvedge(&self, words: &[&str]) -> Ran {
        self.start(words).wait()
    }

    pub fn start(&self, words: &[&str]) -> Running {
        self.start_with(words, |_| {})
    }

    /// As [`start`](Place::start), with a last word on the command.
    pub fn start_with(&self, words: &[&str], change: impl FnOnce(&mut Command)) -> Running {
        self.spawn(Command::new(env!("CARGO_BIN_EXE_selvedge-under-test")), words, change)
    }

    /// As [`start`](Place::start), by another program, which must leave the process that it starts its own id.
    pub fn start_under(&self, program: &[&str], words: &[&str]) -> Running {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_selvedge-under-test"));
        self.spawn(command, words, |_| {})
    }

    fn spawn(&self, mut command: Command, words: &[&str], change: impl FnOnce(&mut Command)) -> Running {
        command.args(words).current_dir(self.0.path()).env_remove("RUST_LOG").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        Running { stdout: lines(child.stdout.take()), stderr: lines(child.stderr.take()), child, started }
    }
}

/// The lines of a pipe as they come. No pipe: no lines.
fn lines(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in pipe.map(BufReader::new).into_iter().flat_map(|p| p.split(b'\n')) {
            let Ok(line) = line else { return };
            if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receive
}

/// How long a run may take before it counts as hung. The tests share two cores with a compiler now and then.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Running {
    child: Child,
    started: Instant,
    pub stdout: Receiver<String>,
    pub stderr: Receiver<String>,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ran {
    /// `None`: it was killed by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the program runs by now, and not what it was started under: that would die of a signal meant for the program.
    pub fn has_begun(&self) -> bool {
        let program = std::fs::read_link(format!("/proc/{}/exe", self.id()));
        program.is_ok_and(|program| program == Path::new(env!("CARGO_BIN_EXE_selvedge-under-test")))
    }

    /// What it says on standard error, to whoever takes it; that ends when the process does.
    pub fn take_stderr(&mut self) -> Receiver<String> {
        std::mem::replace(&mut self.stderr, channel().1)
    }

    /// The next line on standard output.
    pub fn line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("no line on standard output: {e}"))
    }

    /// Reads no more of standard output, as `head` does.
    pub fn close_stdout(mut self) -> Running {
        // The reading thread ends, and closes the pipe, when nobody takes its next line.
        self.stdout = channel().1;
        self
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: `kill` has no memory to violate; the process is our child and not yet waited for, so the id is its own.
        assert_eq!(unsafe { libc::kill(self.id() as libc::pid_t, signal) }, 0, "kill");
    }

    /// Waits for the end; fails the test if it does not come.
    pub fn wait(mut self) -> Ran {
        // Both pipes close when the process ends, and not before: the wait is there, where it can have a limit.
        let (mut late, deadline) = (false, Instant::now() + PATIENCE);
        let mut rest = |pipe: &Receiver<String>| {
            let mut text = String::new();
            loop {
                match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(line) => text.extend([line.as_str(), "\n"]),
                    Err(RecvTimeoutError::Disconnected) => return text,
                    Err(RecvTimeoutError::Timeout) => {
                        late = true;
                        return text;
                    }
                }
            }
        };
        let (stdout, stderr) = (rest(&self.stdout), rest(&self.stderr));
        if late {
            self.child.kill().unwrap();
        }
        let status = self.child.wait().unwrap();
        assert!(!late, "no end after {PATIENCE:?}\nstdout: {stdout}\nstderr: {stderr}");
        Ran { code: status.code(), stdout, stderr, took: self.started.elapsed() }
    }
}

impl Ran {
    /// Fails the test unless the run ended with this exit code, without a panic.
    #[track_caller]
    pub fn code(self, expected: i32) -> Ran {
        assert!(self.code == Some(expected), "expected exit code {expected}: {self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self
    }

    /// Fails the test unless standard output has this text.
    #[track_caller]
    pub fn prints(self, text: &str) -> Ran {
        assert!(self.stdout.contains(text), "expected `{text}`: {self}");
        self
    }

    /// Fails the test unless standard error has this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        assert!(self.stderr.contains(text), "expected `{text}`: {self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit code {:?} after {:?}", self.code, self.took)?;
        write!(f, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }
}

/// A JSON file.
pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}\n{text}", path.display()))
}

/// Fails the test unless `found` is what the file holds. With `UPDATE_EXPECT=1` the file is written instead.
#[track_caller]
pub fn golden(path: &Path, found: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|e| panic!("{}: {e}; UPDATE_EXPECT=1 cargo test writes it", path.display()));
    if expected != found {
        let (mut line, mut old, mut new) = (1, "(no more lines)", "(no more lines)");
        let (mut a, mut b) = (expected.lines(), found.lines());
        loop {
            match (a.next(), b.next()) {
                (Some(x), Some(y)) if x == y => line += 1,
                (x, y) => {
                    old = x.unwrap_or(old);
                    new = y.unwrap_or(new);
                    break;
                }
            }
        }
        panic!(
            "{}:{line} differs\nexpected: {old}\nfound:    {new}\n{} lines expected, {} found; UPDATE_EXPECT=1 cargo test accepts it",
            path.display(),
            expected.lines().count(),
            found.lines().count()
        );
    }
}

/// Copies a folder, without the folders named `out`.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if !path.is_dir() {
            std::fs::copy(&path, &target).unwrap();
        } else if path.file_name().unwrap() != "out" {
            copy_folder(&path, &target);
        }
    }
}
