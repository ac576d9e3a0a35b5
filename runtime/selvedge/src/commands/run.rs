//! `selvedge run`

use super::{FAILED, WRONG};
use crate::cli::Run;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::{graphs, recording, screen};
use selvedge_exec::{Options, Report, Running, Status};
use selvedge_plan::Plan;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn run(args: &Run) -> u8 {
    let paths = match graphs::find(&args.graphs) {
        Ok(paths) => paths,
        Err(e) => {
            screen::error(&format!("error: {e}"));
            return WRONG;
        }
    };
    // All are checked before the first one runs.
    let checked: Vec<Option<Plan>> = paths.iter().map(|path| checked(path, args).or_print(false)).collect();
    let Some(plans) = checked.into_iter().collect::<Option<Vec<Plan>>>() else { return WRONG };

    // The name is what state and reports are kept under.
    for (i, plan) in plans.iter().enumerate() {
        if plans[..i].iter().any(|other| other.name == plan.name) {
            screen::error(&format!(
                "error: two of these graphs are named `{}`; run them apart or rename one",
                plan.name
            ));
            return WRONG;
        }
    }

    // Found now, not after the data is published.
    for plan in &plans {
        let Some(path) = report_path(args, &plan.name, plans.len()) else { continue };
        if let Err(e) = writable(&path) {
            screen::error(&format!("error: cannot write the report to {}: {e}", path.display()));
            return WRONG;
        }
    }

    let signals = Signals::listen();
    let graphs = plans.len();
    let mut code = 0;
    for (i, plan) in plans.into_iter().enumerate() {
        if signals.heard() {
            screen::error(&format!("`{}` was not started", plan.name));
            code = code.max(FAILED);
            continue;
        }
        let once = args.once || graphs > 1 || !args.replay.is_empty();
        if once && !args.once && plan.unbounded() && !args.quiet {
            screen::error(&format!("`{}` is read until it has caught up; run it alone to keep it running", plan.name));
        }
        let report = one(&paths[i], plan, i, once, args, &signals);
        code = code.max(report.status.exit_code());
        code = code.max(show(&report, args, graphs));
    }
    code
}

fn checked(path: &Path, args: &Run) -> graphs::Checked {
    graphs::check_changed(path, &args.source, |loaded| {
        recording::replay(loaded, &args.replay);
        recording::record(loaded, &args.record);
    })
}

/// Runs a graph and, where its file changes and the change is asked for, what it says then; the report is that of the last version.
fn one(path: &Path, plan: Plan, number: usize, once: bool, args: &Run, signals: &Signals) -> Report {
    let mut plan = Arc::new(plan);
    let mut before: Option<Arc<Plan>> = None;
    loop {
        let (report, next) = match selvedge_exec::start(plan.clone(), options(number, once, args)) {
            Ok(running) => version(running, path, &plan, args, signals),
            Err(report) => (*report, None),
        };
        let came_to_nothing = report.status == Status::Failed && report.committed.is_empty();
        match (next, before.take()) {
            // It has published nothing: what it was to take over is as it was.
            (_, Some(before)) if came_to_nothing && !signals.heard() => {
                let why = report.error.map(|e| format!("{}: {}", e.node, e.message)).unwrap_or_default();
                screen::error(&format!("`{}` goes on as it was: the new graph failed at once: {why}", plan.name));
                plan = before;
            }
            (Some(next), _) if report.status == Status::Done && !signals.heard() => {
                if !args.quiet {
                    screen::print(&screen::ledger(&report));
                }
                // Said when it is so: until its end the old one reads what comes.
                screen::error(&format!("`{}` goes on as {} says now", plan.name, path.display()));
                before = Some(std::mem::replace(&mut plan, Arc::new(next)));
            }
            _ => return report,
        }
    }
}

/// Runs one version of a graph to its end: its report, and what is to take over.
fn version(running: Running, path: &Path, plan: &Plan, args: &Run, signals: &Signals) -> (Report, Option<Plan>) {
    let stopper = running.stopper();
    signals.watch(stopper.clone());
    std::thread::scope(|scope| {
        let next = scope.spawn(|| next(path, plan, args, signals).inspect(|_| stopper.drain()));
        let progress = (!args.quiet).then(|| Progress::show(&running));
        let report = running.join();
        drop(progress);
        signals.over();
        (report, next.join().ok().flatten())
    })
}

fn options(number: usize, once: bool, args: &Run) -> Options {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    Options {
        threads: args.threads.map_or(cores, usize::from),
        memory: args.memory,
        // What was recorded is no progress of the sources.
        state: Some(args.state.clone()).filter(|_| args.replay.is_empty()),
        once,
        checkpoint_every: args.checkpoint_every,
        scratch: args.scratch.clone().unwrap_or_else(std::env::temp_dir),
        run: format!("{nanos:x}-{}-{number}", std::process::id()),
    }
}

/// Waits until the graph is to be replaced by what its file says now and can be; `None`: the run has ended before.
fn next(path: &Path, plan: &Plan, args: &Run, signals: &Signals) -> Option<Plan> {
    while signals.reload_wanted() {
        let new = checked(path, args).or_print(false);
        let new = new.ok_or_else(|| "the new graph has errors".to_string()).and_then(|new| {
            if !args.replay.is_empty() {
                return Err("a replay ends by itself".into());
            }
            let notes = selvedge_exec::succeeds(plan, &new);
            notes
                .map(|notes| (new, notes))
                .map_err(|e| e.help.map_or(e.message.clone(), |h| format!("{}; {h}", e.message)))
        });
        match new {
            Ok((new, notes)) => {
                notes.iter().for_each(|note| screen::error(note));
                return Some(new);
            }
            Err(why) => screen::error(&format!("`{}` goes on as it was: {why}", plan.name)),
        }
    }
    None
}

/// Prints and writes the report; answers with the exit code of doing so.
fn show(report: &Report, args: &Run, graphs: usize) -> u8 {
    let failed = report.status != Status::Done;
    if args.json {
        match serde_json::to_string(report) {
            Ok(text) => screen::print(&text),
            Err(e) => screen::error(&format!("error: the report cannot be written as JSON: {e}")),
        }
    } else if failed {
        screen::error(&screen::ledger(report));
    } else if !args.quiet {
        screen::print(&screen::ledger(report));
        screen::print("");
    }
    let Some(path) = report_path(args, &report.graph, graphs) else { return 0 };
    match write(report, &path) {
        Ok(()) => 0,
        Err(e) => {
            screen::error(&format!("error: cannot write the report to {}: {e}", path.display()));
            FAILED
        }
    }
}

/// Where the report of a graph goes: with several graphs, a file of its name.
fn report_path(args: &Run, graph: &str, graphs: usize) -> Option<PathBuf> {
    let path = args.report.as_ref()?;
    Some(if graphs > 1 { path.join(format!("{graph}.json")) } else { path.clone() })
}

/// Makes the folder and tries the file, which keeps what it holds.
fn writable(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path).map(drop)
}

fn write(report: &Report, path: &Path) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    std::fs::write(path, text)
}
