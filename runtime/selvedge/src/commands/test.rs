//! `selvedge test`: parts of graphs on small tables, with the code that runs them in production.

mod case;
mod cut;
mod new;
mod stand_ins;

use super::compare::{contains, counts, difference, indented};
use super::{FAILED, WRONG};
use crate::cli::{Source, Test, TestCommand};
use crate::{catalogue, graphs, screen};
use case::{Case, narrowed};
use cut::{Part, cut};
use selvedge_exec::{NodeReport, Options, Report, Sampled, Status};
use selvedge_node::Role;
use selvedge_plan::{Catalogue, Plan};
use selvedge_ron::{Problems, ValueKind};
use selvedge_spec::{Os, Sources, Spec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Batches that rows come in: what a graph does must not depend on where one ends.
const BATCHES: [usize; 3] = [usize::MAX, 1, 3];
/// What a run may hold, in bytes.
const MEMORY: u64 = 256 << 20;

pub fn test(args: &Test) -> u8 {
    if let Some(TestCommand::New(args)) = &args.command {
        return match new::new(args) {
            Ok(path) => {
                screen::print(&format!("{}: read it, put right what it says, and keep it", path.display()));
                0
            }
            Err(why) => {
                screen::error(&why);
                WRONG
            }
        };
    }
    let cases = match find(&args.paths) {
        Ok(cases) => cases,
        Err(e) => {
            screen::error(&format!("error: {e}"));
            return WRONG;
        }
    };
    let mut failed = 0;
    for path in &cases {
        match one(path, &args.source) {
            Ok(()) => screen::print(&format!("ok      {}", path.display())),
            Err(why) => {
                failed += 1;
                screen::print(&format!("FAILED  {}\n{}", path.display(), indented(&why)));
            }
        }
    }
    screen::print(&format!("{} of {} tests hold", cases.len() - failed, cases.len()));
    if failed == 0 { 0 } else { FAILED }
}

/// The tests that the paths mean: a file, the files of a folder `tests`, or those beside graphs.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let files = |folder: &Path| -> Result<Vec<PathBuf>, String> {
        let entries = std::fs::read_dir(folder).map_err(|e| format!("cannot list {}: {e}", folder.display()))?;
        let is_test = |p: &PathBuf| p.extension().is_some_and(|e| e == "ron") && p.is_file();
        let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(is_test).collect();
        found.sort();
        Ok(found)
    };
    let mut found = vec![];
    for path in paths {
        let is_graph = path.file_name().is_some_and(|name| name == "graph.ron");
        if path.is_file() && !is_graph {
            found.push(path.clone());
        } else if path.is_dir() && path.file_name().is_some_and(|name| name == "tests") {
            found.extend(files(path)?);
        } else {
            for graph in graphs::find(std::slice::from_ref(path))? {
                let tests = graph.with_file_name("tests");
                if tests.is_dir() {
                    found.extend(files(&tests)?);
                }
            }
        }
    }
    match found.is_empty() {
        true => Err("there is no test: a test is a file tests/NAME.ron beside a graph.ron".into()),
        false => Ok(found),
    }
}

fn one(path: &Path, source: &Source) -> Result<(), String> {
    let mut sources = Sources::default();
    let said = |problems: Problems, sources: &Sources| selvedge_spec::render_short(&problems.0, sources);
    let case = Case::read(path, &mut sources).map_err(|problems| said(problems, &sources))?;
    for batch_rows in BATCHES {
        let part = part(path, &case, source, batch_rows).map_err(|(problems, loaded)| {
            // Places are in the graph's files or in the test's.
            said(problems, loaded.as_ref().unwrap_or(&sources))
        })?;
        let by_row = part.by_row;
        run(part, &case).map_err(|why| match batch_rows {
            usize::MAX => why,
            rows => format!("in batches of {rows}: {why}"),
        })?;
        if by_row {
            break;
        }
    }
    Ok(())
}

type Wrong = (Problems, Option<Sources>);

fn part(path: &Path, case: &Case, source: &Source, batch_rows: usize) -> Result<Part, Wrong> {
    let beside = path.parent().unwrap_or(Path::new("."));
    let graph = beside.join(case.graph.as_deref().unwrap_or(Path::new("../graph.ron")));
    let mut options = source.options();
    options.set.extend(case.set.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut loaded = selvedge_spec::load_partly(&Os, &graph, &options);
    let catalogue = catalogue(source.plugins());
    if let Some(spec) = &mut loaded.spec {
        without_sinks(spec, &catalogue);
    }
    let plan = selvedge_plan::plan_loaded(&loaded, &catalogue);
    let plan = plan.map_err(|problems| (problems, Some(loaded.sources)))?;
    cut(plan, case, batch_rows).map_err(|problems| (problems, None))
}

/// Whatever sinks would write to is left alone, and need not be there.
fn without_sinks(spec: &mut Spec, catalogue: &Catalogue) {
    for node in &mut spec.nodes {
        let sink =
            catalogue.find(&node.kind, !node.inputs.is_empty()).is_some_and(|(kind, _)| kind.role() == Role::Sink);
        if sink && node.inputs.iter().all(|input| input.port.is_none()) {
            node.kind.value = "Null".into();
            let (name, name_span) = (Some("Null".into()), node.body.span);
            node.body.kind = ValueKind::Struct { name, name_span, fields: vec![] };
        }
    }
}

fn report_of(plan: Plan, by_row: bool) -> Result<Report, String> {
    let scratch = tempfile::tempdir().map_err(|e| format!("cannot make a folder for the test: {e}"))?;
    let options = Options {
        // Where event time goes on row by row, no thread may still have to say that it has nothing.
        threads: if by_row { 1 } else { 2 },
        memory: MEMORY,
        state: None,
        scratch: scratch.path().to_path_buf(),
        once: true,
        checkpoint_every: Duration::MAX,
        run: "test".into(),
    };
    Ok(match selvedge_exec::start(plan, options) {
        Ok(running) => running.join(),
        Err(report) => *report,
    })
}

/// What happened to rows on the way, by verb: each with its reasons.
fn happened(node: &NodeReport) -> [(&'static str, &[Sampled]); 3] {
    [("dropped", &node.dropped), ("rejected", &node.rejected), ("altered", &node.altered)]
}

fn run(part: Part, case: &Case) -> Result<(), String> {
    let report = report_of(part.plan, part.by_row)?;
    match (&report.status, &case.fails) {
        (Status::Done, None) => {}
        (Status::Done, Some(words)) => return Err(format!("the run must fail with `{words}`, but it did not")),
        (_, Some(words)) => return contains(&screen::ledger(&report), words),
        (_, None) => return Err(screen::ledger(&report)),
    }
    let mut wrong = vec![];
    for (place, expected) in &part.expected {
        let found = narrowed(&part.found.of(place), expected.schema_ref())?;
        wrong.extend(difference(&format!("rows of `{place}`"), expected, &found));
    }
    let own = |node: &&NodeReport| part.own.contains(&node.name);
    for node in report.nodes.iter().filter(own) {
        for ((what, found), expected) in happened(node).into_iter().zip([&case.dropped, &case.rejected, &case.altered])
        {
            let counted: BTreeMap<String, u64> = found.iter().map(|r| (r.reason.clone(), r.rows)).collect();
            let none = BTreeMap::new();
            let expected = expected.get(&node.name).unwrap_or(&none);
            if let Some(words) = counts(&format!("{what} by `{}`", node.name), expected, &counted) {
                let samples = found.iter().filter(|r| expected.get(&r.reason) != Some(&r.rows));
                let told = samples.flat_map(|r| r.samples.iter().take(3)).map(|row| format!("\n  {row}"));
                wrong.push(words + &told.collect::<String>());
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
