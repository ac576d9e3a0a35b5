//! `selvedge plugin test`: the component itself, in the sandbox, on the tables of its cases.

use super::case::{Case, Unread, find};
use super::language;
use crate::cli::PluginTest;
use crate::commands::compare::{contains, counts, difference, indented, lines};
use crate::screen;
use arrow::array::RecordBatch;
use selvedge_node::{Error, Problems};
use selvedge_testkit::drive;
use selvedge_wasm::Settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Batches that a case is cut into: a plugin must not depend on where a batch ends.
const BATCHES: [usize; 3] = [usize::MAX, 1, 3];
/// What a node may hold while it is tested, in bytes.
const MEMORY: u64 = 64 << 20;

/// Runs all cases; says whether they all hold.
pub fn test(args: &PluginTest) -> Result<bool, String> {
    let (component, cases) = parts(&args.plugin, args.cases.as_deref())?;
    let settings = args.sandbox.settings();
    let mut failed = 0;
    let cases = find(&cases)?;
    for path in &cases {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        match one(path, &component, &settings) {
            Ok(()) => screen::print(&format!("ok      {name}")),
            Err(why) => {
                failed += 1;
                screen::print(&format!("FAILED  {name}\n{}", indented(&why)));
            }
        }
    }
    screen::print(&format!("{} of {} cases hold", cases.len() - failed, cases.len()));
    Ok(failed == 0)
}

/// The component and the cases of a plugin, given as its folder or as the component's file.
pub fn parts(plugin: &Path, cases: Option<&Path>) -> Result<(PathBuf, PathBuf), String> {
    let component = match plugin.is_dir() {
        true => language::component(plugin)?,
        false => plugin.to_path_buf(),
    };
    let beside = component.parent().unwrap_or(Path::new(".")).join("cases");
    // A case has a folder of its own, in which a relative path would mean another file.
    let component = std::path::absolute(&component).map_err(|e| format!("{}: {e}", component.display()))?;
    Ok((component, cases.map_or(beside, Path::to_path_buf)))
}

fn one(path: &Path, component: &Path, settings: &Settings) -> Result<(), String> {
    let case =
        Case::read(path).map_err(|Unread(problems, sources)| selvedge_spec::render_short(&problems.0, &sources))?;
    for batch_rows in BATCHES {
        let base = base(path).map_err(|e| format!("cannot make a folder for the case: {e}"))?;
        run(&case, component, base.path(), settings, batch_rows).map_err(|why| match batch_rows {
            usize::MAX => why,
            rows => format!("in batches of {rows}: {why}"),
        })?;
    }
    Ok(())
}

/// A fresh folder for what the case is granted: with the files of `NAME/`, beside `NAME.ron`.
fn base(case: &Path) -> std::io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let given = case.with_extension("");
    if given.is_dir() {
        copy(&given, folder.path())?;
    }
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

fn run(case: &Case, component: &Path, base: &Path, settings: &Settings, batch_rows: usize) -> Result<(), String> {
    let said = |problems: &Problems| selvedge_spec::render_short(&problems.0, &case.sources);
    let node = match (case.node(component, base, settings), &case.text.refused) {
        (Ok(_), Some(words)) => return Err(format!("the graph must be refused with `{words}`, but it is sound")),
        (Err(problems), Some(words)) => return contains(&said(&problems), words),
        (Err(problems), None) => return Err(said(&problems)),
        (Ok(node), None) => node,
    };
    let done = match (drive(node.built, &node.rows, batch_rows, false, MEMORY), &case.text.fails) {
        (Ok(_), Some(words)) => return Err(format!("the run must fail with `{words}`, but it did not")),
        (Err(e), Some(words)) => return contains(&words_of(&e), words),
        (Err(e), None) => return Err(words_of(&e)),
        (Ok(done), None) => done,
    };
    let mut wrong = vec![];
    for (port, name) in node.outputs.iter().enumerate() {
        let found = done.rows(port);
        let none = RecordBatch::new_empty(found.schema());
        wrong.extend(difference(&format!("rows of port `{name}`"), case.outputs.get(name).unwrap_or(&none), &found));
    }
    wrong.extend(counts("dropped", &case.text.dropped, &done.dropped));
    let mut rejected = BTreeMap::new();
    done.rejected.iter().for_each(|r| *rejected.entry(r.code.clone()).or_default() += 1);
    if let Some(words) = counts("rejected", &case.text.rejected, &rejected) {
        let told = done.rejected.iter().take(10).map(|r| format!("\n  {}: {}", r.code, r.message));
        wrong.push(words + &told.collect::<String>());
    }
    wrong.extend(counts("altered", &case.text.altered, &done.altered));
    for (path, expected) in &case.text.files {
        match std::fs::read_to_string(base.join(path)) {
            Ok(found) if found == *expected => {}
            Ok(found) => wrong.push(lines(&format!("file {}", path.display()), expected, &found)),
            Err(e) => wrong.push(format!("file {}: {e}", path.display())),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn words_of(e: &Error) -> String {
    match &e.help {
        Some(help) => format!("{}\n  help: {help}", e.message),
        None => e.message.clone(),
    }
}
