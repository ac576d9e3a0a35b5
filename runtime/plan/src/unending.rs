//! What a graph whose rows never end may not hold.

use crate::resolve::Shell;
use selvedge_node::{Built, EventTime, Problem};

/// Why a node cannot stand behind these unbounded sources: their names, and what they tell of event time.
pub(crate) fn problems<'a>(
    shell: &Shell,
    built: &Built,
    sources: impl Iterator<Item = (&'a str, EventTime)>,
) -> Vec<Problem> {
    let sources: Vec<(&str, EventTime)> = sources.collect();
    let Some((first, _)) = sources.first() else { return vec![] };
    let mut problems = vec![];
    if let Some(instead) = &built.waits_for_end {
        let message = format!("`{}` waits for the end of its input, but `{first}` never ends", shell.name);
        problems.push(Problem::error(shell.span, message).help(instead));
    }
    if built.time == EventTime::Needs {
        for (source, _) in sources.iter().filter(|(_, time)| *time != EventTime::Tells) {
            let message = format!("`{}` waits for event time, but `{source}` does not tell any", shell.name);
            problems.push(Problem::error(shell.span, message).help(format!(
                "name its column of time in `{source}`: `event_time: (column: \"…\", lateness: \"10s\")`"
            )));
        }
    }
    problems
}

/// Each node once.
pub(crate) fn distinct(mut nodes: Vec<usize>) -> Vec<usize> {
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}
