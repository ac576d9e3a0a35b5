//! Random graphs over random rows, run by random schedules with random stops: each sink holds the rows that an interpreter, which
//! knows no batches, threads, budgets or stops, says it must.
//!
//! A failure prints a seed: `SELVEDGE_SEED=n cargo test -p selvedge-tests random` runs it again. `SELVEDGE_CASES=n` runs so many,
//! `SELVEDGE_KEEP=1` leaves the files of what fails where they are.

mod data;
mod dice;
mod engine;
mod graph;
mod naive;
mod ops;
mod rows;

use data::Content;
use dice::Dice;
use engine::{Knobs, catalogue, plan, start};
use graph::{Case, Sink, Size, case};
use rows::show;
use selvedge_exec::{Report, Running, Status, Stopper};
use selvedge_plan::Catalogue;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const CASES: u64 = 100;
const WHOLE: Size = Size { rows: usize::MAX, ops: usize::MAX };
/// How long a run may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);
/// As many differences as one wants to read.
const TOLD: usize = 8;

#[test]
fn random_graphs_give_what_a_naive_interpreter_gives() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let seeds = match number("SELVEDGE_SEED") {
        Some(seed) => seed..seed + number("SELVEDGE_CASES").unwrap_or(1),
        None => 0..number("SELVEDGE_CASES").unwrap_or(CASES),
    };
    let catalogue = catalogue();
    let mut failed = vec![];
    for seed in seeds {
        if let Err(why) = check(seed, WHOLE, &catalogue) {
            eprintln!("{}", smallest(seed, why, &catalogue));
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "these seeds fail, as told above: {failed:?}");
}

/// The same failure, or another one of the seed, with fewer nodes and rows.
fn smallest(seed: u64, why: String, catalogue: &Catalogue) -> String {
    let (mut size, mut told) = (WHOLE, why);
    let ops = (0..8).map(|ops| Size { ops, ..WHOLE });
    let rows = [1, 2, 4, 8, 16, 32, 64, 128, 256];
    if let Some((small, why)) = ops.into_iter().find_map(|s| Some((s, check(seed, s, catalogue).err()?))) {
        (size, told) = (small, why);
    }
    let found = rows.into_iter().find_map(|rows| {
        let small = Size { rows, ..size };
        Some((small, check(seed, small, catalogue).err()?))
    });
    if let Some((small, why)) = found {
        (size, told) = (small, why);
    }
    format!("SELVEDGE_SEED={seed} fails, here with {size:?}:\n{told}")
}

/// Runs a case; an error is the story of how it failed.
fn check(seed: u64, size: Size, catalogue: &Catalogue) -> Result<(), String> {
    let case = case(seed, size);
    let place = tempfile::tempdir().unwrap();
    let mut story = vec![];
    let run = Run {
        case: &case,
        place: place.path(),
        dice: Dice::new(seed, "run"),
        story: &mut story,
        catalogue,
        plenty: false,
    };
    let all = || if case.live { run.live() } else { run.bounded() }.and_then(|()| compare(&case, place.path()));
    // A file that cannot be read is told of like one with the wrong rows.
    let result = catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|_| Err("a panic, told above".into()));
    result.map_err(|why| {
        if std::env::var_os("SELVEDGE_KEEP").is_some() {
            story.push(format!("everything is in {}", place.keep().display()));
        }
        format!("{}{}\n{why}\n", case.graph, story.join("\n"))
    })
}

struct Run<'a> {
    case: &'a Case,
    place: &'a Path,
    dice: Dice,
    /// What was done, for whoever has to find out what went wrong.
    story: &'a mut Vec<String>,
    catalogue: &'a Catalogue,
    /// From now on its nodes have all the memory that they want.
    plenty: bool,
}

impl Run<'_> {
    fn knobs(&mut self) -> Knobs {
        let dice = &mut self.dice;
        let knobs = Knobs {
            seed: dice.next(),
            // A run that ends by itself is gone on from by one with as many threads.
            threads: if self.case.live || dice.one_in(4) { 1 + dice.below(4) } else { 2 },
            memory: *dice.pick(&[1 << 20, 256 << 20, 2 << 30]),
            state: match self.case.live {
                _ if self.plenty => 64 << 20,
                true => *dice.pick(&[96 << 10, 1 << 20, 64 << 20]),
                false => *dice.pick(&[4 << 10, 32 << 10, 1 << 20]),
            },
            rows: *dice.pick(&[1, 7, 50, 8192]),
            sleepy: *dice.pick(&[5, 100, 1_000_000]),
        };
        self.story.push(format!("{knobs:?}"));
        knobs
    }

    fn write(&self, name: &str) -> PathBuf {
        let path = self.place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Runs it until it ends, by itself or by what is done `meanwhile`.
    fn run(&mut self, once: bool, meanwhile: impl FnOnce(&mut Self, &Stopper)) -> Result<Report, String> {
        let knobs = self.knobs();
        let plan = plan(&self.place.join("graph.ron"), self.catalogue)?;
        match start(plan, self.place, &knobs, once) {
            Ok(running) => {
                meanwhile(self, &running.stopper());
                join(running)
            }
            Err(report) => Ok(*report),
        }
    }

    fn stop(&mut self, stopper: &Stopper, drains: bool) {
        if drains {
            stopper.drain()
        } else {
            stopper.halt()
        }
        self.story.push(if drains { "drained" } else { "halted" }.into());
    }

    /// Writes everything but what streams grow by.
    fn set_up(&self) {
        std::fs::write(self.write("graph.ron"), &self.case.graph).unwrap();
        let here = "Connections(profiles: { \"local\": { \"here\": Folder(path: \".\") } })";
        std::fs::write(self.write("connections.ron"), here).unwrap();
        for (name, content) in &self.case.files {
            content.write(&self.write(name));
        }
    }

    /// Runs it to its end; before that, it may be stopped on its way, which must leave nothing behind.
    fn bounded(mut self) -> Result<(), String> {
        self.set_up();
        let mut published = false;
        while self.dice.one_in(3) {
            let report = self.run(false, |run, stopper| {
                std::thread::sleep(Duration::from_micros(run.dice.below(20_000) as u64));
                let drains = run.dice.one_in(2);
                run.stop(stopper, drains);
            })?;
            match report.status {
                Status::Done => published = true,
                Status::Stopped if report.imbalances.is_empty() => {}
                _ if lacks_memory(&report) => {}
                _ => return Err(told(&report)),
            }
            let found = files(&self.place.join("out"));
            if !published && !found.is_empty() {
                return Err(format!("a run that was stopped has published {found:?}"));
            }
        }
        self.finish(false)
    }

    /// Runs it again and again, while its shards grow, and in the end until it has caught up.
    fn live(mut self) -> Result<(), String> {
        self.set_up();
        let mut shards = vec![];
        for (name, content) in &self.case.files {
            let Content::Bytes(bytes) = content else { continue };
            if self.case.graph.contains(&format!("Stream(path: \"{}", name.rsplit_once('/').unwrap().0)) {
                std::fs::write(self.place.join(name), "").unwrap();
                shards.push((self.place.join(name), bytes.as_slice()));
            }
        }
        for _ in 0..self.dice.below(4) {
            self.grow(&mut shards);
            let drains = !self.dice.one_in(3);
            let report = self.run(false, |run, stopper| {
                for _ in 0..run.dice.below(5) {
                    std::thread::sleep(Duration::from_millis(run.dice.below(40) as u64));
                    run.grow(&mut shards);
                }
                std::thread::sleep(Duration::from_millis(run.dice.below(60) as u64));
                run.stop(stopper, drains);
            })?;
            match report.status {
                _ if lacks_memory(&report) => self.story.push(told(&report)),
                Status::Stopped if !drains && report.imbalances.is_empty() => {}
                _ => done(&report)?,
            }
        }
        for (path, rest) in &mut shards {
            append(path, std::mem::take(rest));
        }
        self.finish(true)
    }

    /// A run that is not stopped; another one if the first lacked memory.
    fn finish(mut self, once: bool) -> Result<(), String> {
        loop {
            let report = self.run(once, |_, _| {})?;
            if !lacks_memory(&report) || self.plenty {
                return done(&report);
            }
            self.story.push(told(&report));
            self.plenty = true;
        }
    }

    /// Appends to some shards, also half a line.
    fn grow(&mut self, shards: &mut [(PathBuf, &[u8])]) {
        for (path, rest) in shards {
            if self.dice.one_in(2) {
                let (some, others) = rest.split_at(self.dice.below(rest.len().min(8000) + 1));
                append(path, some);
                *rest = others;
            }
        }
    }
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Waits for the end, and stops what does not come to it.
fn join(running: Running) -> Result<Report, String> {
    let stopper = running.stopper();
    let (ended, wait) = channel::<()>();
    let started = Instant::now();
    let watch = std::thread::spawn(move || {
        let late = wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        if late {
            stopper.halt();
        }
        late
    });
    let report = running.join();
    drop(ended);
    match watch.join().unwrap() {
        true => Err(format!("no end after {:?}\n{}", started.elapsed(), told(&report))),
        false => Ok(report),
    }
}

/// What is remembered of a stream, or for a `within`, has to fit, or the run stops; the next one goes on from the last epoch.
fn lacks_memory(report: &Report) -> bool {
    let message = report.error.as_ref().map_or("", |e| e.message.as_str());
    report.status == Status::Failed && message.contains("memory budget")
}

fn done(report: &Report) -> Result<(), String> {
    match report.status == Status::Done && report.imbalances.is_empty() {
        true => Ok(()),
        false => Err(told(report)),
    }
}

fn told(report: &Report) -> String {
    let error = report.error.as_ref().map(|e| format!(", {}: {}: {}", e.node, e.fault, e.message));
    format!("the run is {:?}{} {:?}", report.status, error.unwrap_or_default(), report.imbalances)
}

/// The files of a data set.
fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![below.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().to_string_lossy().starts_with(['.', '_']);
            match path.is_dir() {
                _ if hidden => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

fn compare(case: &Case, place: &Path) -> Result<(), String> {
    let wrong: Vec<String> = case.sinks.iter().filter_map(|sink| difference(sink, place)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn difference(sink: &Sink, place: &Path) -> Option<String> {
    let files = files(&place.join("out").join(&sink.name));
    let rows = files.iter().flat_map(|file| rows::read(file, &sink.columns));
    let found: Vec<String> = rows.map(|row| show(&row)).collect();
    let expected: Vec<String> = sink.rows.iter().map(|row| show(row)).collect();
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    expected.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    found.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    let mut told: Vec<String> =
        counts.iter().filter(|(_, n)| **n > 0).map(|(row, n)| format!("  - {row}   ×{n}")).take(TOLD).collect();
    told.extend(counts.iter().filter(|(_, n)| **n < 0).map(|(row, n)| format!("  + {row}   ×{}", -n)).take(TOLD));
    if told.is_empty() && sink.ordered && found != expected {
        let at = found.iter().zip(&expected).position(|(f, e)| f != e)?;
        told.push(format!("  the order differs from row {at} on: {} instead of {}", found[at], expected[at]));
    }
    let names = sink.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(" | ");
    let head = format!("`{}` holds {} rows instead of {} ({names}):", sink.name, found.len(), expected.len());
    (!told.is_empty()).then(|| format!("{head}\n{}", told.join("\n")))
}
