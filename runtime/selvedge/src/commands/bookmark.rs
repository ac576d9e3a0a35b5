//! `selvedge bookmark`: what a graph remembers between runs.

use super::{FAILED, WRONG};
use crate::cli::Bookmark;
use crate::screen;
use selvedge_exec::bookmark;
use std::path::Path;

pub fn bookmark(command: &Bookmark) -> u8 {
    let (Bookmark::Show { place, .. } | Bookmark::Reset { place, .. }) = command;
    let known = bookmark::graphs(&place.state);
    let names = match command {
        Bookmark::Show { graph: None, .. } => known,
        Bookmark::Show { graph: Some(name), .. } | Bookmark::Reset { graph: name, .. } if known.contains(name) => {
            vec![name.clone()]
        }
        Bookmark::Show { graph: Some(name), .. } | Bookmark::Reset { graph: name, .. } => {
            let all = if known.is_empty() { "none".into() } else { known.join(", ") };
            let state = place.state.display();
            screen::error(&format!(
                "error: {state} remembers nothing of a graph `{name}`; graphs that it knows: {all}"
            ));
            return WRONG;
        }
    };
    let mut code = 0;
    for name in names {
        let done = match command {
            Bookmark::Show { .. } => show(&place.state, &name),
            Bookmark::Reset { .. } => bookmark::reset(&place.state, &name)
                .map(|()| screen::print(&format!("{name}: forgotten; the next run reads every source from its start"))),
        };
        if let Err(e) = done {
            screen::error(&format!("error: {name}: {e}"));
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
    if !found.pending.is_empty() {
        screen::print(&format!("  to be published first by the next run, if it is not: {}", found.pending.join(", ")));
    }
    Ok(())
}
