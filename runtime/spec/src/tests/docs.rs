//! What the documentation shows is true: every block of RON in `docs/` parses, and its whole graphs load.

use super::{Memory, options};
use crate::{load, render_short};
use selvedge_ron::{FileId, Problems, parse};
use std::path::{Path, PathBuf};

/// Place and text of every block of RON in a page.
fn blocks(page: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(page).expect("a page");
    let mut found = vec![];
    let mut block: Option<(String, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut block, line.trim()) {
            (None, "```ron") => block = Some((format!("{}:{}", page.display(), number + 2), String::new())),
            (Some(_), "```") => found.extend(block.take()),
            (Some((_, text)), _) => text.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    assert!(block.is_none(), "{}: a block never ends", page.display());
    found
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("docs").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            pages(&entry, found);
        } else if entry.extension().is_some_and(|e| e == "md") {
            found.push(entry);
        }
    }
}

fn all() -> Vec<(String, String)> {
    let mut found = vec![];
    pages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs"), &mut found);
    found.iter().flat_map(|page| blocks(page)).collect()
}

#[test]
fn every_block_of_ron_parses() {
    let all = all();
    assert!(all.len() >= 5, "only {} blocks: does this test still look where they are?", all.len());
    for (place, text) in all {
        if let Err(problems) = parse(FileId(0), &text) {
            panic!("{place}: {problems}");
        }
    }
}

/// Blocks that begin with `// file: path` are the files of one small world.
#[test]
fn every_whole_graph_loads() {
    let world: String = all().into_iter().map(|(_, text)| text).filter(|t| t.starts_with("// file: ")).collect();
    let world = Memory::new(&world);
    let graphs: Vec<&PathBuf> = world.0.keys().filter(|p| p.ends_with("graph.ron")).collect();
    assert!(graphs.len() >= 3);
    for profile in ["local", "test"] {
        for graph in &graphs {
            let (sources, spec, warnings) = load(&world, graph, &options(profile, &[], &[("HOME", "/home")]));
            let problems = [spec.err().unwrap_or(Problems::default()).0, warnings].concat();
            assert!(problems.is_empty(), "{}", render_short(&problems, &sources));
        }
    }
}
