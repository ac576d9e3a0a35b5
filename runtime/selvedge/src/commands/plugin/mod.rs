//! `selvedge plugin`: what has to do with plugins outside of a graph.

mod bench;
mod case;
mod check;
mod js;
mod language;
mod lock;
mod new;
mod python;
mod rust;
mod test;

use super::{FAILED, WRONG};
use crate::cli::{Build, Inspect, Plugin};
use crate::screen;
use selvedge_wasm::Inspection;

pub fn plugin(command: &Plugin) -> u8 {
    match command {
        Plugin::New(args) => said(new::new(args), WRONG),
        Plugin::Build(args) => build(args),
        Plugin::Lock(args) => said(lock::lock(args), WRONG),
        Plugin::Inspect(args) => inspected(args, |found| {
            screen::print(&if args.json { json(found) } else { text(found) });
            true
        }),
        Plugin::Check(args) => inspected(args, |found| check::check(args, found)),
        Plugin::Test(args) => match test::test(args) {
            Ok(true) => 0,
            Ok(false) => FAILED,
            Err(e) => said(Err(e), WRONG),
        },
        Plugin::Bench(args) => said(bench::bench(args), WRONG),
    }
}

fn said(done: Result<String, String>, code: u8) -> u8 {
    match done {
        Ok(text) => {
            screen::print(&text);
            0
        }
        Err(e) => {
            screen::error(&format!("error: {e}"));
            code
        }
    }
}

/// What was built must be a plugin.
fn build(args: &Build) -> u8 {
    match language::of(&args.folder).and_then(|language| (language.build)(&args.folder)) {
        Ok(made) => {
            screen::print(&format!("made {}", made.display()));
            let args = Inspect { plugin: made, json: false, sandbox: args.sandbox.clone() };
            inspected(&args, |found| check::check(&args, found))
        }
        Err(e) => said(Err(e), FAILED),
    }
}

/// Looks at a component, and says whether `sound` finds it so.
fn inspected(args: &Inspect, sound: impl FnOnce(&Inspection) -> bool) -> u8 {
    let file = match args.plugin.is_dir() {
        true => language::component(&args.plugin),
        false => Ok(args.plugin.clone()),
    };
    let found = file.and_then(|file| {
        selvedge_wasm::inspect(&file, &args.sandbox.settings()).map_err(|e| {
            let help = e.help.map(|h| format!("\n  help: {h}")).unwrap_or_default();
            format!("{}{help}", e.message)
        })
    });
    match found {
        Ok(found) => {
            if sound(&found) {
                0
            } else {
                FAILED
            }
        }
        Err(e) => said(Err(e), WRONG),
    }
}

fn json(found: &Inspection) -> String {
    serde_json::to_string_pretty(found).unwrap_or_else(|e| e.to_string())
}

fn text(found: &Inspection) -> String {
    let mut lines = vec![
        format!("{} {}, a {}: {}", found.name, found.version, found.role, found.about),
        format!("{} KiB, sha256 {}, contract {}", found.bytes.div_ceil(1024), found.sha256, found.contract),
    ];
    lines.extend(wishes(found));
    lines.push(format!("\n{}\n\nexample of `config`, as JSON: {}", found.docs.trim(), found.example));
    printable(&lines.join("\n"))
}

/// What it would like to be granted, a line each.
fn wishes(found: &Inspection) -> Vec<String> {
    let wish = |wish: &selvedge_wasm::Wish| {
        let needed = if wish.needed { "needs" } else { "would like" };
        format!("{needed} {}: {}", wish.capability, wish.reason)
    };
    match found.wishes.is_empty() {
        true => vec!["asks for nothing beside its rows".into()],
        false => found.wishes.iter().map(wish).collect(),
    }
}

/// What a stranger wrote must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
}
