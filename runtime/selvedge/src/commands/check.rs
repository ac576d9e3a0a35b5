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
            Some(plan) => {
                screen::print(&format!(
                    "{}: `{}` is sound: {} nodes, {} edges",
                    path.display(),
                    plan.name,
                    plan.graph.node_count(),
                    plan.graph.edge_count()
                ));
                // Whose code it runs, and what that code may reach.
                let plugins = plan.graph.node_weights().filter(|node| node.kind == "Plugin");
                plugins.for_each(|node| screen::print(&format!("  {}: {}", node.name, node.notes.join("; "))));
                plan.guarantees().iter().for_each(|promise| screen::print(&format!("  {promise}")));
            }
            None => code = WRONG,
        }
    }
    code
}
