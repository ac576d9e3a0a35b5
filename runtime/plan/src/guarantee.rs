//! What a graph promises its sinks about a run that is killed.

use crate::{Node, Plan};
use selvedge_node::Work;

impl Plan {
    /// One line for each promise: how often a row comes to which sinks, and why.
    pub fn guarantees(&self) -> Vec<String> {
        let sinks: Vec<&Node> = self.graph.node_weights().filter(|n| matches!(n.work, Work::Sink(_))).collect();
        let (seen, committed): (Vec<&Node>, Vec<&Node>) = sinks.into_iter().partition(|n| n.visible_at_once);
        let unsaved: Vec<String> = self.unsaved().map(|n| format!("`{}` ({})", n.name, n.kind)).collect();
        let (promise, why) = if !self.unbounded() {
            let next = if unsaved.is_empty() {
                "goes on from its last checkpoint".to_string()
            } else {
                format!("begins anew, as {} cannot go on from a checkpoint", unsaved.join(", "))
            };
            let why = "rows are published when all have arrived; a run that is killed before has published none";
            ("all or nothing", format!("{why}, and the next one {next}"))
        } else if unsaved.is_empty() {
            ("every row once", "a run that is stopped or killed goes on from its last epoch".into())
        } else {
            let who = unsaved.join(", ");
            (
                "every row at least once",
                format!(
                    "what {who} remembers is lost with a run that is killed; the next one reads again what was read since"
                ),
            )
        };
        let rows = [
            (committed, promise, why),
            (seen, "every row at least once", "rows are seen there before they are committed".to_string()),
        ];
        let told = rows.into_iter().filter(|(sinks, ..)| !sinks.is_empty());
        told.map(|(sinks, promise, why)| {
            let names = sinks.iter().map(|n| format!("`{}`", n.name)).collect::<Vec<_>>().join(", ");
            format!("{promise} at {names}: {why}")
        })
        .collect()
    }

    /// Nodes for which a run cannot be gone on from: transforms whose state cannot be kept and, of a run that publishes only at its
    /// end, sinks that cannot flush before.
    pub fn unsaved(&self) -> impl Iterator<Item = &Node> {
        let unbounded = self.unbounded();
        self.graph.node_weights().filter(move |n| match n.work {
            Work::Transform(_) => !n.saves,
            Work::Sink(_) => n.flushes_once && !unbounded,
            Work::Source(_) | Work::Map(_) => false,
        })
    }

    /// Whether a run can be resumed with all that its nodes remember.
    pub fn resumable(&self) -> bool {
        self.unsaved().next().is_none()
    }
}
