//! Every kind of call to the system fails, at every place in a run: a disk that is full or broken, short reads and writes,
//! interruptions. A run that cannot go on says so and fails; the next one, without a fault, publishes every row once.

use crate::harness::{Place, Ran, json, top};
use crate::{graphs, kills};
use std::cell::Cell;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A kind of call, its error, and whether all that follow fail as well, as on a full disk.
struct Fault {
    op: &'static str,
    error: i32,
    lasts: bool,
}

/// Half of the bytes are read or written.
const SHORT: i32 = -1;

const fn fault(op: &'static str, error: i32, lasts: bool) -> Fault {
    Fault { op, error, lasts }
}

const FAULTS: [Fault; 15] = [
    fault("write", libc::ENOSPC, true),
    fault("write", libc::ENOSPC, false),
    fault("write", libc::EIO, false),
    fault("write", libc::EINTR, false),
    fault("write", SHORT, true),
    fault("read", libc::EIO, false),
    fault("read", libc::EINTR, false),
    fault("read", SHORT, true),
    fault("sync", libc::EIO, false),
    fault("open", libc::EMFILE, false),
    fault("open", libc::EACCES, false),
    fault("rename", libc::EIO, false),
    fault("remove", libc::EIO, false),
    fault("mkdir", libc::ENOSPC, false),
    fault("truncate", libc::EIO, false),
];

/// What SQLite calls them.
const OF_SQLITE: [&str; 5] = ["disk I/O error", "unable to open", "full", "malformed", "readonly"];

impl Fault {
    /// Programs have to go on after these as if nothing had been.
    fn is_harmless(&self) -> bool {
        self.error == libc::EINTR || self.error == SHORT
    }

    /// What the system calls it.
    fn words(&self) -> String {
        let text = Error::from_raw_os_error(self.error).to_string();
        text.split(" (").next().unwrap_or_default().to_string()
    }
}

/// The shim as a library that can be preloaded.
fn shim() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let temporary = env!("CARGO_TARGET_TMPDIR");
        std::fs::create_dir_all(temporary).unwrap();
        let (source, built) = (top().join("tests/src/faults/shim.c"), Path::new(temporary).join("faults.so"));
        let made = tempfile::NamedTempFile::new_in(temporary).unwrap().into_temp_path();
        let arguments = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"];
        assert!(Command::new("cc").args(arguments).arg(&made).arg(source).status().unwrap().success());
        std::fs::rename(&made, &built).unwrap();
        built
    })
}

/// Runs with the `n`-th call failing; `None`: there was none.
fn run(place: &Place, fault: &Fault, n: u64, words: &[&str]) -> Option<Ran> {
    let hit = tempfile::tempdir().unwrap();
    let file = hit.path().join("hit");
    let told = format!("{} {} {n} {}", fault.op, fault.error, u32::from(!fault.lasts));
    let running = place.start_with(words, |command| {
        let shimmed = command.env("LD_PRELOAD", shim()).env("FAULT_BELOW", place.0.path());
        shimmed.env("FAULT", &told).env("FAULT_HIT", &file);
    });
    let ran = running.wait();
    let said = format!("{told}: {ran}");
    assert!(ran.code == Some(0) || !fault.is_harmless(), "{said}");
    assert!(matches!(ran.code, Some(0..=2)) && !ran.stderr.contains("panicked"), "{said}");
    file.exists().then_some(ran)
}

/// Which calls fail: the first ones, and further and further on. `SELVEDGE_FAULTS=all`: each.
fn places() -> impl Iterator<Item = u64> {
    let all = std::env::var_os("SELVEDGE_FAULTS").is_some();
    std::iter::successors(Some(1), move |n| Some(if all { n + 1 } else { n + 1 + n * 2 / 3 }))
}

/// Runs under each fault at each place. Tells how often runs met one and failed.
fn campaign(name: &str, mut run: impl FnMut(&Fault, u64) -> Option<Ran>, mut check: impl FnMut(&str)) {
    let (mut met, mut failed) = (0, 0);
    for fault in &FAULTS {
        for n in places() {
            let Some(ran) = run(fault, n) else { break };
            met += 1;
            if ran.code != Some(0) {
                failed += 1;
                let told =
                    ran.stderr.contains(&fault.words()) || OF_SQLITE.iter().any(|words| ran.stderr.contains(words));
                assert!(told, "{} {}: {ran}", fault.op, fault.words());
            }
        }
        check(&format!("{} {}", fault.op, fault.words()));
    }
    println!("{name}: {met} faults, {failed} of them ended a run");
    assert!(failed > 20, "{failed} of {met}");
}

#[test]
fn a_stream_loses_and_doubles_nothing_where_calls_fail() {
    let place = kills::place();
    let rows = Cell::new(0);
    campaign(
        "stream",
        |fault, n| {
            kills::append(&place, &kills::events(rows.get()..rows.get() + 100));
            rows.set(rows.get() + 100);
            run(&place, fault, n, &["run", "graph.ron", "--once", "--quiet"])
        },
        |after| {
            place.selvedge(&["run", "graph.ron", "--once", "--quiet"]).code(0);
            kills::arrived_once(&place, rows.get(), after);
        },
    );
}

#[test]
fn a_batch_graph_is_right_again_where_calls_fail() {
    let graph = graphs::GRAPHS.iter().find(|g| g.name == "customer").unwrap();
    let place = graphs::place();
    let words = ["run", "graphs/customer", "--quiet", "--memory", "16MiB", "--scratch", "scratch"];
    campaign(
        "customer",
        |fault, n| run(&place, fault, n, &words),
        |_| {
            place.selvedge(&["run", "graphs/customer", "--quiet", "--report", "report.json"]).code(0);
            graphs::check_output(&place, graph, &json(&place.path("report.json")));
        },
    );
}
