//! Looks after the watermarks of a run: one that stands still while rows come says which part of a source holds it.

use crate::ledger::Ledger;
use crate::report::time_text;
use selvedge_node::Watermark;
use selvedge_plan::Plan;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A watermark that has not moved for so long, while rows came, is told of.
pub(crate) const STUCK: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Watch {
    sources: HashMap<usize, Stand>,
}

/// Where a source stands, and since when.
struct Stand {
    mark: i64,
    since: Instant,
    rows: u64,
    told: bool,
}

impl Watch {
    /// What is to be told now.
    pub fn look(&mut self, plan: &Plan, ledger: &Ledger, now: Instant) -> Vec<String> {
        let mut warnings = vec![];
        for n in plan.graph.node_indices().filter(|n| plan.graph[*n].unbounded) {
            let node = &ledger.nodes[n.index()];
            let marks = node.marks();
            let Some((part, mark)) = marks
                .iter()
                .filter_map(|(part, mark)| match mark {
                    Watermark::At(time) => Some((part, *time)),
                    _ => None,
                })
                .min_by_key(|(_, time)| *time)
            else {
                self.sources.remove(&n.index());
                continue;
            };
            let rows = node.rows_out();
            let fresh = Stand { mark, since: now, rows, told: false };
            let stand = self.sources.entry(n.index()).or_insert(fresh);
            if stand.mark != mark {
                *stand = Stand { mark, since: now, rows, told: false };
            } else if !stand.told && rows > stand.rows && now - stand.since >= STUCK {
                stand.told = true;
                let ahead = marks.iter().filter(|(_, m)| **m > Watermark::At(mark)).count();
                warnings.push(format!(
                    "the watermark of `{}` has stood at {} for {} s: `{part}` has told nothing newer ({ahead} of its {} \
                     parts are further), and all that waits for event time waits for it",
                    plan.graph[n].name,
                    time_text(mark),
                    (now - stand.since).as_secs(),
                    marks.len(),
                ));
            }
        }
        warnings
    }
}
