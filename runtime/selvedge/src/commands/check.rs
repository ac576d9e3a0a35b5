//! `selvedge check`

use super::WRONG;
use crate::cli::Check;
use crate::{graphs, screen};

pub fn check(args: &Check) -> u8 {
    let paths = match graphs::find(&args.graphs) {
        Ok(paths) => paths,
        Err(e) => {
            screen::error(&format!("error: {e}"));
            return WRONG;
        }
    };
    let mut code = 0;
    for path in paths {
        match graphs::check(&path, &args.source).or_print(args.short) {
            Some(plan) => screen::print(&format!(
                "{}: `{}` is sound: {} nodes, {} edges",
                path.display(),
                plan.name,
                plan.graph.node_count(),
                plan.graph.edge_count()
            )),
            None => code = WRONG,
        }
    }
    code
}
