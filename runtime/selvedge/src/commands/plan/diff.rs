//! `selvedge plan --diff OLD NEW`: which nodes differ, and what becomes of what those of OLD remember when NEW goes on in its place.

use crate::cli::Source;
use crate::commands::WRONG;
use crate::graphs::Checked;
use crate::{catalogue, screen};
use petgraph::graph::NodeIndex;
use selvedge_exec::shape;
use selvedge_node::{Role, Work};
use selvedge_plan::{Node, Plan};
use selvedge_ron::Spanned;
use selvedge_spec::{NodeSpec, Os, Spec};
use std::path::Path;

struct Version {
    spec: Spec,
    plan: Plan,
}

impl Version {
    fn read(path: &Path, source: &Source) -> Option<Version> {
        let loaded = selvedge_spec::load_partly(&Os, path, &source.options());
        let plan = selvedge_plan::plan_loaded(&loaded, &catalogue(source.plugins()));
        let warnings = plan.as_ref().map(|p| p.warnings.clone()).unwrap_or_default();
        let plan = Checked { plan, warnings, sources: loaded.sources }.or_print(false)?;
        Some(Version { spec: loaded.spec?, plan })
    }

    fn node(&self, name: &str) -> Option<(NodeIndex, &Node, &NodeSpec)> {
        let n = self.plan.graph.node_indices().find(|&n| self.plan.graph[n].name == name)?;
        let spec = self.spec.nodes.iter().find(|n| *n.name == name)?;
        Some((n, &self.plan.graph[n], spec))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.plan.in_order().into_iter().map(|n| self.plan.graph[n].name.as_str())
    }
}

/// Answers the exit code: 1 if NEW would be refused in the place of OLD.
pub fn diff(old: &Path, new: &Path, source: &Source) -> Result<u8, String> {
    let versions = (Version::read(old, source), Version::read(new, source));
    let (Some(old), Some(new)) = versions else { return Ok(WRONG) };
    let both: Vec<&str> = new.names().chain(old.names().filter(|name| new.node(name).is_none())).collect();

    let mut lines = vec![];
    for name in &both {
        let (sign, node, told) = match (old.node(name), new.node(name)) {
            (None, Some((_, node, _))) => ("+", node, vec!["is new".to_string()]),
            (Some((_, node, _)), None) => ("-", node, vec!["is gone".to_string()]),
            (Some(then), Some(now)) => ("~", now.1, changes(then, now, &old, &new)),
            (None, None) => continue,
        };
        if !told.is_empty() {
            lines.push(vec![format!("  {sign} {name}"), format!("{} {}", node.kind, told.join("; "))]);
        }
    }
    screen::print(if lines.is_empty() { "the nodes are the same" } else { "nodes" });
    if !lines.is_empty() {
        screen::print(&screen::columns(&lines));
    }

    let mut refused = false;
    let mut lines = vec![];
    if old.plan.name != new.plan.name {
        let told = format!(
            "the graph was `{}` and is `{}`: nothing that is remembered is found",
            old.plan.name, new.plan.name
        );
        screen::print(&told);
        return Ok(0);
    }
    for name in &both {
        let remembers = |v: &Version| v.node(name).map(|(_, node, _)| remembers(node, &v.plan));
        let told = match (remembers(&old), remembers(&new)) {
            (Some(Some(then)), Some(Some(now))) if then == now => "is gone on from".to_string(),
            (Some(Some(then)), Some(Some(now))) => {
                refused = true;
                format!("does not fit, and NEW is refused: then {then}; now {now}")
            }
            (Some(Some(_)), _) => "is dropped".to_string(),
            (_, Some(Some(_))) => "begins with nothing".to_string(),
            _ => continue,
        };
        lines.push(vec![format!("  {name}"), told]);
    }
    screen::print(if lines.is_empty() {
        "no node remembers anything"
    } else {
        "what is remembered, where NEW goes on after OLD"
    });
    if !lines.is_empty() {
        screen::print(&screen::columns(&lines));
    }
    Ok(u8::from(refused))
}

/// What must stay the same for a node to go on: of a source that it is one of the same kind.
fn remembers(node: &Node, plan: &Plan) -> Option<String> {
    match node.work {
        Work::Source(_) => Some(format!("positions of {}", node.kind)),
        _ if node.saves && plan.unbounded() && plan.resumable() => Some(shape(node)),
        _ => None,
    }
}

type Known<'a> = (NodeIndex, &'a Node, &'a NodeSpec);

fn changes(then: Known, now: Known, old: &Version, new: &Version) -> Vec<String> {
    let mut told = vec![];
    if then.1.kind != now.1.kind {
        told.push(format!("was {}", then.1.kind));
    } else if !then.2.body.same(&now.2.body) {
        told.push("other settings".into());
    }
    let text = |name: &Option<Spanned<String>>| name.as_ref().map(|name| name.value.clone());
    let from = |spec: &NodeSpec| -> Vec<_> {
        spec.inputs.iter().map(|i| (text(&i.port), i.node.value.clone(), text(&i.output))).collect()
    };
    if from(then.2) != from(now.2) {
        told.push("other inputs".into());
    }
    let columns = |node: &Node| -> Vec<String> {
        let fields = node.outputs.iter().filter(|_| node.role != Role::Sink).take(node.outputs.len() - 1);
        fields
            .flat_map(|port| port.schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())))
            .collect()
    };
    let (was, is) = (columns(&old.plan.graph[then.0]), columns(&new.plan.graph[now.0]));
    let list = |a: &[String], b: &[String]| a.iter().filter(|c| !b.contains(c)).cloned().collect::<Vec<_>>().join(", ");
    let (gone, came) = (list(&was, &is), list(&is, &was));
    told.extend((!came.is_empty()).then(|| format!("sends also {came}")));
    told.extend((!gone.is_empty()).then(|| format!("sends no more {gone}")));
    told
}
