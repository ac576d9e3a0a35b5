//! `selvedge run`

use super::{FAILED, WRONG};
use crate::cli::Run;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::{graphs, recording, screen};
use selvedge_exec::{Options, Report, Status};
use selvedge_plan::Plan;
use std::path::{Path, PathBuf};
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
        let report = one(plan, i, once, args, &signals);
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

fn one(plan: Plan, number: usize, once: bool, args: &Run, signals: &Signals) -> Report {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let options = Options {
        threads: args.threads.map_or(cores, usize::from),
        memory: args.memory,
        // What was recorded is no progress of the sources.
        state: Some(args.state.clone()).filter(|_| args.replay.is_empty()),
        once,
        scratch: args.scratch.clone().unwrap_or_else(std::env::temp_dir),
        run: format!("{nanos:x}-{}-{number}", std::process::id()),
    };
    let running = match selvedge_exec::start(plan, options) {
        Ok(running) => running,
        Err(report) => return *report,
    };
    signals.watch(running.stopper());
    let progress = (!args.quiet).then(|| Progress::show(&running));
    let report = running.join();
    drop(progress);
    report
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
