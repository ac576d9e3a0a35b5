//! `selvedge plugin`: what has to do with plugins outside of a graph.

mod build;
mod new;

use super::{FAILED, WRONG};
use crate::cli::{Build, Plugin, Sandbox};
use crate::screen;
use selvedge_wasm::Inspection;
use std::path::Path;

pub fn plugin(command: &Plugin) -> u8 {
    match command {
        Plugin::New(args) => said(new::new(args), WRONG),
        Plugin::Build(args) => build(args),
        Plugin::Inspect(args) => inspect(&args.file, args.json, &args.sandbox),
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
    match build::build(args) {
        Ok(made) => {
            screen::print(&format!("made {}\n", made.display()));
            inspect(&made, false, &args.sandbox)
        }
        Err(e) => said(Err(e), FAILED),
    }
}

fn inspect(file: &Path, json: bool, sandbox: &Sandbox) -> u8 {
    match selvedge_wasm::inspect(file, &sandbox.settings()) {
        Ok(found) if json => said(serde_json::to_string_pretty(&found).map_err(|e| e.to_string()), FAILED),
        Ok(found) => said(Ok(text(&found)), FAILED),
        Err(e) => {
            let help = e.help.map(|h| format!("\n  help: {h}")).unwrap_or_default();
            said(Err(format!("{}{help}", e.message)), WRONG)
        }
    }
}

fn text(found: &Inspection) -> String {
    let mut lines = vec![
        format!("{} {}, a {}: {}", found.name, found.version, found.role, found.about),
        format!("{} KiB, sha256 {}, contract {}", found.bytes.div_ceil(1024), found.sha256, found.contract),
    ];
    for wish in &found.wishes {
        let needed = if wish.needed { "needs" } else { "would like" };
        lines.push(format!("{needed} {}: {}", wish.capability, wish.reason));
    }
    if found.wishes.is_empty() {
        lines.push("asks for nothing beside its rows".into());
    }
    lines.push(format!("\n{}\n\nexample of `config`, as JSON: {}", found.docs.trim(), found.example));
    // What a stranger wrote must not move the cursor.
    lines.join("\n").chars().filter(|c| !c.is_control() || *c == '\n').collect()
}
