//! `selvedge plan`

mod diff;

use super::WRONG;
use crate::cli::{Plan, PlanFormat};
use crate::{graphs, screen};
use selvedge_plan::{Machine, print, schedule};
use std::path::{Path, PathBuf};

pub fn plan(args: &Plan) -> u8 {
    let done = found(&args.graph).and_then(|path| match &args.diff {
        None => Ok(one(&path, args)),
        Some(old) => diff::diff(&found(old)?, &path, &args.source),
    });
    done.unwrap_or_else(|e| {
        screen::error(&e);
        WRONG
    })
}

fn found(path: &Path) -> Result<PathBuf, String> {
    match graphs::find(&[path.to_path_buf()]).as_deref() {
        Ok([path]) => Ok(path.clone()),
        Ok(several) => Err(format!("error: {} holds {} graphs; name one", path.display(), several.len())),
        Err(e) => Err(format!("error: {e}")),
    }
}

fn one(path: &Path, args: &Plan) -> u8 {
    let Some(plan) = graphs::check(path, &args.source).or_print(false) else { return WRONG };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let machine = Machine { threads: args.threads.map_or(cores, usize::from) };
    let schedule = schedule(&plan, machine, &|_| None);
    let text = match args.format {
        PlanFormat::Text => print::text(&plan, &schedule),
        PlanFormat::Mermaid => print::mermaid(&plan, &schedule),
        PlanFormat::Dot => print::dot(&plan, &schedule),
        PlanFormat::Svg => print::svg(&plan, &schedule),
        PlanFormat::Json => print::json(&plan, &schedule),
    };
    screen::print(text.trim_end());
    0
}
