//! `selvedge plan`

use super::WRONG;
use crate::cli::{Plan, PlanFormat};
use crate::{graphs, screen};
use selvedge_plan::{Machine, print, schedule};

pub fn plan(args: &Plan) -> u8 {
    let path = match graphs::find(std::slice::from_ref(&args.graph)).as_deref() {
        Ok([path]) => path.clone(),
        Ok(several) => {
            screen::error(&format!("error: {} holds {} graphs; name one", args.graph.display(), several.len()));
            return WRONG;
        }
        Err(e) => {
            screen::error(&format!("error: {e}"));
            return WRONG;
        }
    };
    let Some(plan) = graphs::check(&path, &args.source).or_print(false) else { return WRONG };
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
