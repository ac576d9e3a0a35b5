//! Graphs of thousands of nodes, of every shape: planning takes time in proportion to their size, and no deep stack.

use super::{kinds, read};
use crate::{Catalogue, Machine, plan, print, schedule};
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

/// Seconds that this thread has been at work: time on a clock also passes while others have the processor.
fn at_work(since: Instant) -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = statistics.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanos.map_or(since.elapsed().as_secs_f64(), |n| n / 1e9)
}

/// The best of some tries, in seconds.
fn seconds(mut f: impl FnMut()) -> f64 {
    let since = Instant::now();
    let once = |_| {
        let before = at_work(since);
        f();
        at_work(since) - before
    };
    (0..3).map(once).fold(f64::INFINITY, f64::min)
}

const SHAPES: [&str; 4] = ["chain", "fan-out", "fan-in", "rejects"];

/// Ten times the nodes may take ten times the time; a quadratic step would make it a hundred.
#[track_caller]
fn in_proportion(what: &str, few: f64, many: f64) {
    assert!(many < few * 40.0 + 0.2, "{what}: {few:.3} s, and {many:.3} s for ten times the nodes");
}

#[test]
fn planning_takes_time_in_proportion_to_the_graph() {
    for shape in SHAPES {
        let [few, many] = [1_000, 10_000].map(|size| {
            let spec = spec(text(shape, size));
            let catalogue = Catalogue::new(kinds::kinds());
            seconds(|| {
                let plan = plan(&spec, &catalogue).unwrap_or_else(|p| panic!("{p}"));
                assert_eq!(schedule(&plan, Machine { threads: 4 }, &|_| None).stage_of.len(), plan.graph.node_count());
            })
        });
        in_proportion(shape, few, many);
    }
}

#[test]
fn printing_takes_time_in_proportion_to_the_graph() {
    for shape in SHAPES {
        let [few, many] = [150, 1_500].map(|size| {
            let plan =
                plan(&spec(text(shape, size)), &Catalogue::new(kinds::kinds())).unwrap_or_else(|p| panic!("{p}"));
            let schedule = schedule(&plan, Machine { threads: 4 }, &|_| None);
            [print::text, print::mermaid, print::dot, print::json, print::svg].map(|format| {
                let mut length = 0;
                let time = seconds(|| length = format(&plan, &schedule).len());
                assert!(length > size && length < 4_000 * size, "{shape}: {length} bytes for {size} nodes");
                time
            })
        });
        for (few, many) in few.into_iter().zip(many) {
            in_proportion(shape, few, many);
        }
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
