//! `selvedge plugin lock`: the plugins of graphs, pinned as they are now.

use crate::cli;
use crate::{graphs, screen};
use selvedge_ron::Problems;
use selvedge_spec::Os;
use selvedge_wasm::{LOCK_FILE, Lock};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Writes a lock file for each folder that a graph is made of; answers with what it wrote.
pub fn lock(args: &cli::Lock) -> Result<String, String> {
    let settings = args.source.plugins();
    let mut locks: BTreeMap<PathBuf, Lock> = BTreeMap::new();
    for path in graphs::find(&args.graphs)? {
        let (sources, spec, _) = selvedge_spec::load(&Os, &path, &args.source.options());
        let shown = |problems: Problems| {
            screen::error(selvedge_spec::render(&problems.0, &sources, screen::colour()).trim_end());
            format!("{} cannot be locked", path.display())
        };
        let spec = spec.map_err(shown)?;
        let mut problems = Problems::default();
        for node in spec.nodes.iter().filter(|node| node.kind.as_str() == "Plugin") {
            let found = problems.take(selvedge_wasm::locked(&node.body, &node.base, &settings));
            if let Some((name, hash)) = found {
                // What graphs pin that are not named now stays.
                let lock = match locks.get_mut(&node.base) {
                    Some(lock) => lock,
                    None => {
                        let known = Lock::read(&node.base)?.unwrap_or_default();
                        locks.entry(node.base.clone()).or_insert(known)
                    }
                };
                lock.0.insert(name, hash);
            }
        }
        problems.or(()).map_err(shown)?;
    }
    let written = locks.iter().map(|(folder, lock)| {
        let path = folder.join(LOCK_FILE);
        std::fs::write(&path, lock.text()).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        Ok(format!("{}: {} plugins", path.display(), lock.0.len()))
    });
    let written = written.collect::<Result<Vec<_>, String>>()?;
    Ok(if written.is_empty() { "no plugin in these graphs".into() } else { written.join("\n") })
}
