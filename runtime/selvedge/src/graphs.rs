//! From paths on the command line to checked plans.

use crate::catalogue;
use crate::cli::Source;
use crate::screen;
use selvedge_plan::Plan;
use selvedge_ron::{Problem, Problems};
use selvedge_spec::{Loaded, Os, Sources};
use std::path::{Path, PathBuf};

/// The graph files that the paths mean: a file, the `graph.ron` of a folder, or those of the folders in it.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![];
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
        } else if path.join("graph.ron").is_file() {
            found.push(path.join("graph.ron"));
        } else {
            let entries = std::fs::read_dir(path).map_err(|e| format!("cannot list {}: {e}", path.display()))?;
            let mut inside: Vec<PathBuf> =
                entries.filter_map(|e| Some(e.ok()?.path().join("graph.ron"))).filter(|p| p.is_file()).collect();
            inside.sort();
            if inside.is_empty() {
                return Err(format!("no graph.ron in {} or in a folder of it", path.display()));
            }
            found.extend(inside);
        }
    }
    Ok(found)
}

/// A plan, or all that is wrong with the graph; warnings either way.
pub struct Checked {
    pub plan: Result<Plan, Problems>,
    pub warnings: Vec<Problem>,
    pub sources: Sources,
}

impl Checked {
    /// Prints warnings and problems; `None` if there were errors.
    pub fn or_print(self, short: bool) -> Option<Plan> {
        let (plan, mut problems) = match self.plan {
            Ok(plan) => (Some(plan), vec![]),
            Err(problems) => (None, problems.0),
        };
        problems.extend(self.warnings);
        if !problems.is_empty() {
            let text = if short {
                selvedge_spec::render_short(&problems, &self.sources)
            } else {
                selvedge_spec::render(&problems, &self.sources, screen::colour())
            };
            screen::error(text.trim_end());
        }
        plan
    }
}

pub fn check(path: &Path, source: &Source) -> Checked {
    check_changed(path, source, |_| {})
}

/// Checks a graph to which something is added, or of which something is taken, that its text does not say.
pub fn check_changed(path: &Path, source: &Source, change: impl FnOnce(&mut Loaded)) -> Checked {
    let mut loaded = selvedge_spec::load_partly(&Os, path, &source.options());
    change(&mut loaded);
    let plan = selvedge_plan::plan_loaded(&loaded, &catalogue(source.plugins()));
    let warnings = plan.as_ref().map(|p| p.warnings.clone()).unwrap_or_default();
    Checked { plan, warnings, sources: loaded.sources }
}
