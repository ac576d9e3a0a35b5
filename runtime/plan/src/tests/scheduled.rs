//! Which nodes share a thread and how rows travel: a test for each rule, and laws over random graphs.

use super::good;
use crate::{Delivery, Machine, Plan, Schedule, schedule};
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use proptest::prelude::*;
use selvedge_node::{Partitioning, Work};
use std::collections::HashSet;

/// Stages as `a+b×2`, edges that are no call on the same thread as `b~c` (shared) or `b=c` (exchanged).
fn shown(plan: &Plan, schedule: &Schedule) -> String {
    let name = |n: NodeIndex| plan.graph[n].name.as_str();
    let stage = |s: &crate::Stage| {
        let names = s.nodes.iter().map(|n| name(*n)).collect::<Vec<_>>();
        format!("{}×{}", names.join("+"), s.instances)
    };
    let edges = plan.graph.edge_references().filter_map(|e| {
        let between = match schedule.delivery(e.id()) {
            Delivery::Chained => return None,
            Delivery::Shared => "~",
            Delivery::Exchange => "=",
        };
        Some(format!("{}{between}{}", name(e.source()), name(e.target())))
    });
    schedule.stages.iter().map(stage).chain(edges).collect::<Vec<_>>().join(" ")
}

const A: &str = r#""a": Table(schema: {"x": Int64}), "#;

#[track_caller]
fn check(nodes: &str, expected: &str) {
    let plan = good(&format!("{A}{nodes}"));
    assert_eq!(shown(&plan, &schedule(&plan, Machine { threads: 4 }, &|_| None)), expected);
}

#[test]
fn maps_and_sinks_run_on_the_thread_of_their_source() {
    check(r#""b": Keep(input: "a", columns: ["x"]), "c": Null(input: "b")"#, "a+b+c×4");
}

#[test]
fn a_fan_out_stays_on_the_thread_too() {
    check(r#""b": Keep(input: "a", columns: ["x"]), "c": Null(input: "b"), "d": Files(input: "a")"#, "a+b+c+d×4");
}

#[test]
fn a_fan_in_has_threads_of_its_own() {
    check(
        r#""b": Keep(input: "a", columns: ["x"]), "c": Null(input: ["a", "b"]), "d": Files(input: ["a.errors", "b.errors"])"#,
        "a+b×4 c×4 d×4 a~c b~c a~d b~d",
    );
}

#[test]
fn keys_meet_by_an_exchange() {
    check(
        r#""b": Dedup(input: "a", columns: ["x"]), "c": Keep(input: "b", columns: ["x"]), "d": Null(input: "c")"#,
        "a×4 b+c+d×4 a=b",
    );
    check(r#""b": Join(input: {"left": "a", "right": "a"}), "c": Null(input: "b")"#, "a×4 b+c×4 a=b a=b");
}

#[test]
fn one_thread_needs_no_exchange() {
    let plan = good(&format!(r#"{A}"b": Dedup(input: "a", columns: ["x"]), "c": Null(input: "b")"#));
    assert_eq!(shown(&plan, &schedule(&plan, Machine { threads: 1 }, &|_| None)), "a×1 b+c×1 a~b");
    assert_eq!(shown(&plan, &schedule(&plan, Machine { threads: 0 }, &|_| None)), "a×1 b+c×1 a~b", "at least one");
}

#[test]
fn a_single_node_has_one_instance_and_what_follows_again_many() {
    check(r#""b": Union(input: "a"), "c": Warehouse(input: "b", columns: ["x"])"#, "a×4 b×4 c×1 a~b b~c");
    check(
        r#""l": Limit(input: "a"), "d": Dedup(input: "l", columns: ["x"]), "c": Null(input: "d")"#,
        "a×1 l×1 d+c×4 a~l l=d",
    );
}

#[test]
fn ordered_rows_stay_in_order() {
    // Down to the sink, through maps and through a limit; a dedup ends it.
    check(r#""b": Sort(input: "a"), "c": Keep(input: "b", columns: ["x"]), "d": Files(input: "c")"#, "a×4 b+c+d×1 a~b");
    check(
        r#""b": Sort(input: "a"), "l": Limit(input: "b"), "c": Keep(input: "l", columns: ["x"]), "d": Files(input: "c")"#,
        "a×1 b×1 l+c+d×1 a~b b~l",
    );
    check(
        r#""b": Sort(input: "a"), "c": Dedup(input: "b", columns: ["x"]), "e": Union(input: "c"), "d": Files(input: "e")"#,
        "a×4 b×1 c×1 e+d×4 a~b b~c c~e",
    );
}

#[test]
fn what_leads_to_an_in_order_node_has_one_instance_but_nothing_else() {
    check(
        r#""b": Keep(input: "a", columns: ["x"]), "c": Limit(input: "b"), "d": Null(input: "c"),
           "e": Keep(input: "a", columns: ["x"]), "f": Null(input: "e")"#,
        "a+b×1 c×1 d×4 e+f×4 b~c c~d a~e",
    );
}

#[test]
fn a_source_of_few_splits_has_few_instances_and_its_followers_their_own_threads() {
    let plan = good(&format!(r#"{A}"b": Keep(input: "a", columns: ["x"]), "c": Null(input: "b")"#));
    let laid = |splits| shown(&plan, &schedule(&plan, Machine { threads: 4 }, &|_| splits));
    assert_eq!(laid(Some(1)), "a×1 b+c×4 a~b");
    assert_eq!(laid(Some(3)), "a×3 b+c×4 a~b");
    assert_eq!(laid(Some(100)), "a+b+c×4");
    assert_eq!(laid(Some(0)), "a×1 b+c×4 a~b", "a source of nothing still ends");
}

#[test]
fn a_single_sink_does_not_hold_up_the_thread_of_its_source() {
    let plan = good(&format!(r#"{A}"b": Warehouse(input: "a", columns: ["x"])"#));
    assert_eq!(shown(&plan, &schedule(&plan, Machine { threads: 1 }, &|_| None)), "a×1 b×1 a~b");
}

/// A chain is calls within calls: a very long one would overflow the stack of its thread.
#[test]
fn a_long_chain_is_cut() {
    let mut nodes = A.to_string();
    let mut before = "a".to_string();
    for i in 0..200 {
        nodes.push_str(&format!("\"n{i}\": Keep(input: \"{before}\", columns: [\"x\"]), "));
        before = format!("n{i}");
    }
    let plan = good(&format!("{nodes} \"end\": Null(input: \"{before}\")"));
    let schedule = schedule(&plan, Machine { threads: 2 }, &|_| None);
    assert_eq!(schedule.stages.iter().map(|s| s.nodes.len()).collect::<Vec<_>>(), [64, 64, 64, 10]);
    assert!(schedule.stages.iter().all(|s| s.instances == 2));
}

/// A graph of nodes of any kind, each reading one to three earlier ones.
fn graphs() -> impl Strategy<Value = String> {
    let node = (0..9u8, prop::collection::vec(any::<prop::sample::Index>(), 1..4));
    prop::collection::vec(node, 1..40).prop_map(|nodes| {
        let mut text = A.to_string();
        // What has an output port that can be read.
        let mut open = vec!["a".to_string()];
        for (i, (kind, inputs)) in nodes.iter().enumerate() {
            let name = format!("n{i}");
            let inputs: Vec<&String> = inputs.iter().map(|i| i.get(&open)).collect();
            let list = format!("{inputs:?}");
            let (body, is_open) = match kind {
                0 => ("Table(schema: {\"x\": Int64})".to_string(), true),
                1 | 2 => (format!("Keep(input: {list}, columns: [\"x\"])"), true),
                3 => (format!("Dedup(input: {list}, columns: [\"x\"])"), true),
                4 => (format!("Sort(input: {list})"), true),
                5 => (format!("Limit(input: {list})"), true),
                6 => (format!("Join(input: {{\"left\": {list}, \"right\": \"{}\"}})", inputs[0]), true),
                7 => (format!("Warehouse(input: {list}, columns: [\"x\"])"), false),
                _ => (format!("Files(input: {list})"), false),
            };
            text.push_str(&format!("\"{name}\": {body}, "));
            if is_open {
                open.push(name);
            }
        }
        text.push_str(&format!("\"end\": Null(input: {open:?})"));
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn laws_of_a_schedule(nodes in graphs(), threads in 1..5usize, splits in 0..6usize) {
        let plan = good(&nodes);
        let schedule = schedule(&plan, Machine { threads }, &|n| (n.index() % 2 == 0).then_some(splits));
        let graph = &plan.graph;

        // Every node in exactly one stage, and where it says.
        let all: Vec<NodeIndex> = schedule.stages.iter().flat_map(|s| s.nodes.clone()).collect();
        prop_assert_eq!(all.len(), graph.node_count());
        prop_assert_eq!(all.iter().collect::<HashSet<_>>().len(), graph.node_count());
        for (s, stage) in schedule.stages.iter().enumerate() {
            prop_assert!(stage.instances >= 1 && stage.instances <= threads);
            prop_assert!(stage.nodes.iter().all(|n| schedule.stage_of[n.index()] == s));
            // Only the head reads a queue: every other node has one edge in, from a node before it in the stage.
            for (at, n) in stage.nodes.iter().enumerate().skip(1) {
                let edges: Vec<_> = graph.edges_directed(*n, petgraph::Direction::Incoming).collect();
                prop_assert_eq!(edges.len(), 1);
                prop_assert_eq!(schedule.delivery(edges[0].id()), Delivery::Chained);
                prop_assert!(stage.nodes[..at].contains(&edges[0].source()));
            }
        }
        for e in graph.edge_references() {
            let (from, to) = (e.source(), e.target());
            let same = schedule.stage_of[from.index()] == schedule.stage_of[to.index()];
            prop_assert_eq!(schedule.delivery(e.id()) == Delivery::Chained, same);
            prop_assert!(!same || schedule.instances(from) == schedule.instances(to));
            let keyed = matches!(graph[to].partitioning, Partitioning::Keys(_)) && schedule.instances(to) > 1;
            prop_assert!(same || keyed == (schedule.delivery(e.id()) == Delivery::Exchange));
        }
        for n in graph.node_indices() {
            let node = &graph[n];
            if matches!(node.partitioning, Partitioning::Single | Partitioning::InOrder) {
                prop_assert_eq!(schedule.instances(n), 1);
            }
            let mut readers = graph.neighbors(n);
            if node.ordered && readers.all(|m| graph.edges_directed(m, petgraph::Direction::Incoming).count() == 1) {
                prop_assert!(graph.neighbors(n).all(|m| schedule.instances(m) == 1));
            }
            if node.partitioning == Partitioning::InOrder {
                let mut above = vec![n];
                while let Some(m) = above.pop() {
                    prop_assert_eq!(schedule.instances(m), 1);
                    // A graph of this size has few paths, but a place may be on many of them.
                    above.extend(graph.neighbors_directed(m, petgraph::Direction::Incoming));
                    above.sort_unstable();
                    above.dedup();
                }
            }
            if matches!(node.work, Work::Source(_)) && n.index() % 2 == 0 {
                prop_assert!(schedule.instances(n) <= splits.max(1));
            }
        }

        // No stage waits for itself.
        let mut stages = petgraph::graph::DiGraph::<(), ()>::new();
        schedule.stages.iter().for_each(|_| _ = stages.add_node(()));
        for e in graph.edge_references().filter(|e| schedule.delivery(e.id()) != Delivery::Chained) {
            let stage = |n: NodeIndex| NodeIndex::new(schedule.stage_of[n.index()]);
            stages.add_edge(stage(e.source()), stage(e.target()), ());
        }
        prop_assert!(petgraph::algo::toposort(&stages, None).is_ok());
    }
}
