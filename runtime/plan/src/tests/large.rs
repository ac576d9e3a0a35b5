//! Graphs of thousands of nodes, of every shape: planning takes time in proportion to their size, and no deep stack.

use super::{kinds, read};
use crate::{Catalogue, Machine, Plan, plan, print, schedule};
use selvedge_spec::{Options, Spec, load};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// The graph of `shape` with about that many nodes.
fn text(shape: &str, size: usize) -> String {
    let mut nodes = String::from(r#""a": Table(schema: {"x": Int64}),"#);
    let mut before = "a".to_string();
    for i in 0..size {
        let _ = match shape {
            "chain" => write!(nodes, r#""n{i}": Keep(input: "{before}", columns: ["x"]),"#),
            "fan-out" => write!(nodes, r#""n{i}": Null(input: "a"),"#),
            "fan-in" => write!(nodes, r#""n{i}": Table(schema: {{"x": Int64}}),"#),
            // Every node feeds the next one and its errors a common sink.
            _ => write!(nodes, r#""n{i}": Dedup(input: "{before}", columns: ["x"]),"#),
        };
        before = format!("n{i}");
    }
    let all = |suffix: &str| (0..size).map(|i| format!("\"n{i}{suffix}\"")).collect::<Vec<_>>().join(",");
    let _ = match shape {
        "chain" => write!(nodes, r#""end": Null(input: "{before}")"#),
        "fan-out" => Ok(()),
        "fan-in" => write!(nodes, r#""all": Union(input: [{}]), "end": Null(input: ["a", "all"])"#, all("")),
        _ => write!(nodes, r#""end": Null(input: "{before}"), "rejects": Files(input: [{}])"#, all(".errors")),
    };
    format!("Graph(name: \"{shape}\", nodes: {{ {nodes} }})")
}

fn spec(text: String) -> Spec {
    let files = BTreeMap::from([("graph.ron".into(), text)]);
    load(&files, Path::new("graph.ron"), &Options::default()).1.expect("a graph")
}

/// Plans, schedules and prints in every way.
fn all_of_it(spec: &Spec) -> (Plan, Duration) {
    let catalogue = Catalogue::new(kinds::kinds());
    let since = Instant::now();
    let plan = plan(spec, &catalogue).unwrap_or_else(|p| panic!("{p}"));
    let schedule = schedule(&plan, Machine { threads: 4 }, &|_| None);
    eprintln!("{} plan {:?}", spec.name, since.elapsed());
    for format in [print::text, print::mermaid, print::dot, print::json, print::svg] {
        assert!(format(&plan, &schedule).len() > spec.nodes.len());
    eprintln!("{} {:?}", spec.name, since.elapsed());
    }
    (plan, since.elapsed())
}

/// Ten times the nodes may take ten times the time; a quadratic step would make it a hundred.
#[test]
fn time_is_in_proportion_to_size() {
    for shape in ["chain", "fan-out", "fan-in", "rejects"] {
        let (small, large) = (spec(text(shape, 1_000)), spec(text(shape, 10_000)));
        let once = |spec: &Spec| (0..3).map(|_| all_of_it(spec).1).min().unwrap_or_default();
        let (few, many) = (once(&small), once(&large));
        assert!(many < few * 40 + Duration::from_millis(500), "{shape}: {few:?} for 1,000 nodes, {many:?} for 10,000");
    }
}

/// As deep as a graph may be: nothing that walks it recurses.
#[test]
fn a_deep_graph_is_walked_without_a_deep_stack() {
    let spec = spec(text("chain", 90_000));
    let catalogue = Catalogue::new(kinds::kinds());
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let nodes = thread.spawn(move || {
        let plan = plan(&spec, &catalogue).unwrap_or_else(|p| panic!("{p}"));
        schedule(&plan, Machine { threads: 4 }, &|_| None).stage_of.len()
    });
    assert_eq!(nodes.expect("a thread").join().expect("no overflow"), 90_002);
}

/// As many wrong names as there are nodes.
#[test]
fn many_wrong_names_are_told_in_time() {
    let text = text("chain", 5_000).replace("input: \"n", "input: \"m");
    let since = Instant::now();
    let (_, plan) = read(&text);
    let problems = plan.err().expect("wrong names").0;
    assert!(problems.iter().filter(|p| p.message.starts_with("no node named `m")).count() == 5_000);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}
