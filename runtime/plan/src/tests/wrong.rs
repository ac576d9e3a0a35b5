//! What is said about wrong graphs: `golden/NAME.ron` and all that is found in it, in `golden/NAME.txt`.

use super::{golden, good, read};
use selvedge_spec::{render, render_short};
use std::path::Path;

#[track_caller]
fn check(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/tests/golden/{name}.ron"));
    let (sources, plan) = read(&std::fs::read_to_string(file).expect("the graph of the test"));
    let problems = match plan {
        Ok(plan) => plan.warnings,
        Err(problems) => problems.0,
    };
    golden(
        &format!("{name}.txt"),
        &format!("{}\n{}", render_short(&problems, &sources), render(&problems, &sources, false)),
    );
}

/// Kinds that nobody has, sources with inputs and transforms without one.
#[test]
fn kinds() {
    check("kinds");
}

/// Nodes and ports that nobody has, each said once: a name that is nearly another's does not make that one unread.
#[test]
fn names() {
    check("names");
}

#[test]
fn ports() {
    check("ports");
}

#[test]
fn cycles() {
    check("cycles");
}

/// Rows that go nowhere, but none whose reader is only wrong in another way.
#[test]
fn unread() {
    check("unread");
}

/// Rows of different schemas that come together.
#[test]
fn schemas() {
    check("schemas");
}

/// Configs and columns in several nodes at once, as far as their inputs are known.
#[test]
fn configs() {
    check("configs");
}

/// Some of everything in one file.
#[test]
fn everything() {
    check("everything");
}

/// Errors of the text in some nodes do not hide those of others.
#[test]
fn text() {
    check("text");
}

/// But what stands outside of nodes may be about all of them.
#[test]
fn outside() {
    check("outside");
}

/// Limits behind places where the order is lost.
#[test]
fn order() {
    check("order");
}

/// Nodes that do not do what they said.
#[test]
fn liars() {
    check("liars");
}

#[test]
fn nothing_at_all() {
    let (_, plan) = read("Graph(name: \"empty\", nodes: {})");
    let problems = plan.err().expect("refused");
    assert_eq!(problems.to_string(), "the graph `empty` has no nodes");
}

#[test]
fn warnings_of_nodes_come_with_the_plan() {
    let plan = good(r#""a": Table(schema: {"x": Int64}), "b": Warehouse(input: "a", columns: ["x"])"#);
    assert_eq!(plan.warnings.iter().map(|w| w.to_string()).collect::<Vec<_>>(), ["this table has no index (add one)"]);
}
