//! Plans of graphs from memory, over small kinds that hold no rows: what is said about wrong ones, how right ones are laid out.

mod kinds;
mod large;
mod printed;
mod promised;
mod scheduled;
mod wrong;

use crate::{Catalogue, Plan, plan_loaded};
use selvedge_node::Problems;
use selvedge_spec::{Options, Sources, load_partly};
use std::collections::BTreeMap;
use std::path::Path;

/// The plan of a graph file's text, or all that is wrong with it.
fn read(text: &str) -> (Sources, Result<Plan, Problems>) {
    let files = BTreeMap::from([("graph.ron".into(), text.to_string())]);
    let loaded = load_partly(&files, Path::new("graph.ron"), &Options::default());
    let plan = plan_loaded(&loaded, &Catalogue::new(kinds::kinds()));
    (loaded.sources, plan)
}

/// The plan of a graph with these nodes.
#[track_caller]
fn good(nodes: &str) -> Plan {
    let (sources, plan) = read(&format!("Graph(name: \"g\", nodes: {{ {nodes} }})"));
    plan.unwrap_or_else(|p| panic!("{}", selvedge_spec::render_short(&p.0, &sources)))
}

/// Holds `found` to `golden/NAME`; `UPDATE_GOLDEN=1 cargo test -p selvedge-plan` writes that anew.
#[track_caller]
fn golden(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, found).expect("written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{name} has changed; found:\n{found}");
}
