//! `selvedge bookmark`: what a graph remembers between runs.

use super::{FAILED, WRONG};
use crate::cli::Bookmark;
use crate::screen;
use selvedge_exec::bookmark;
use std::path::Path;

pub fn bookmark(command: &Bookmark) -> u8 {
    let (graph, place) = match command {
        Bookmark::Show { graph, place } => (graph.as_ref(), place),
        Bookmark::Rewind { graph, place, .. }
        | Bookmark::Pause { graph, place }
        | Bookmark::Resume { graph, place }
        | Bookmark::Reset { graph, place } => (Some(graph), place),
    };
    let state = &place.state;
    let known = bookmark::graphs(state);
    let names = match graph {
        None => known,
        // A graph that has not run yet can be paused.
        Some(name) if known.contains(name) || matches!(command, Bookmark::Pause { .. }) => vec![name.clone()],
        Some(name) => {
            let all = if known.is_empty() { "none".into() } else { known.join(", ") };
            let state = state.display();
            screen::error(&format!(
                "error: {state} remembers nothing of a graph `{name}`; graphs that it knows: {all}"
            ));
            return WRONG;
        }
    };
    let mut code = 0;
    for name in names {
        let done = match command {
            Bookmark::Show { .. } => show(state, &name),
            Bookmark::Rewind { run, rows_are_out, .. } => {
                bookmark::rewind(state, &name, run, *rows_are_out).map(|()| {
                    screen::print(&format!(
                        "{name}: the next run reads again what `{run}` and those after it have read"
                    ))
                })
            }
            Bookmark::Pause { .. } => bookmark::pause(state, &name, true)
                .map(|()| screen::print(&format!("{name}: paused; what runs read stays new"))),
            Bookmark::Resume { .. } => bookmark::pause(state, &name, false)
                .map(|()| screen::print(&format!("{name}: what the next run reads is not new any more"))),
            Bookmark::Reset { .. } => bookmark::reset(state, &name)
                .map(|()| screen::print(&format!("{name}: forgotten; the next run reads every source from its start"))),
        };
        if let Err(e) = done {
            screen::error(&format!("error: {name}: {e}"));
            e.help.iter().for_each(|help| screen::error(&format!("  help: {help}")));
            code = FAILED;
        }
    }
    code
}

fn show(state: &Path, name: &str) -> selvedge_node::Result<()> {
    let found = bookmark::show(state, name)?;
    match found.run.is_empty() {
        true => screen::print(name),
        false => screen::print(&format!("{name}: run {}, epoch {}", found.run, found.epoch)),
    }
    for (source, splits) in &found.positions {
        splits.iter().for_each(|(split, position)| screen::print(&format!("  {source}: {split}: {position}")));
    }
    for (node, kept) in &found.nodes {
        screen::print(&format!("  {node}: holds {} rows, {} bytes of state", kept.rows, kept.bytes));
    }
    if found.unfinished {
        screen::print("  cut short: the next run goes on from there");
    }
    if found.paused {
        screen::print("  paused: what runs read stays new");
    }
    if let Some(run) = &found.rewound {
        screen::print(&format!("  rewound to before the run {run}"));
    }
    if !found.past.is_empty() {
        screen::print(&format!("  can be rewound to before: {}", found.past.join(", ")));
    }
    if !found.pending.is_empty() && !found.unfinished {
        screen::print(&format!("  to be published first by the next run, if it is not: {}", found.pending.join(", ")));
    }
    Ok(())
}
