//! Whole runs: what must hold whatever the shape of the graph and whoever misbehaves.

use super::kinds::{kinds, seen};
use crate::{Options, Report, Running, Status};
use selvedge_node::ErasedKind;
use selvedge_plan::{Catalogue, Plan, plan};
use selvedge_spec::{Options as SpecOptions, load};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub fn options(threads: usize, dir: &Path) -> Options {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = format!("t{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::SeqCst));
    Options {
        threads,
        memory: 1 << 30,
        state: Some(dir.join("state")),
        scratch: dir.to_path_buf(),
        once: false,
        checkpoint_every: std::time::Duration::MAX,
        run,
    }
}

fn begin(nodes: &str, options: Options) -> Running {
    begin_with(kinds(), nodes, options)
}

pub fn begin_with(kinds: Vec<Box<dyn ErasedKind>>, nodes: &str, options: Options) -> Running {
    crate::start(planned(kinds, nodes), options).unwrap_or_else(|report| panic!("{report:?}"))
}

pub fn planned(kinds: Vec<Box<dyn ErasedKind>>, nodes: &str) -> Plan {
    let text = format!("Graph(name: \"g\", nodes: {{ {nodes} }})");
    let files = std::collections::BTreeMap::from([("/g/graph.ron".into(), text)]);
    let (sources, spec, _) = load(&files, Path::new("/g/graph.ron"), &SpecOptions::default());
    let planned = spec.and_then(|s| plan(&s, &Catalogue::new(kinds)));
    planned.unwrap_or_else(|p| panic!("{}", selvedge_spec::render_short(&p.0, &sources)))
}

fn run(nodes: &str, threads: usize) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let report = begin(nodes, options(threads, dir.path())).join();
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().filter_map(|e| e.ok()).map(|e| e.file_name()).collect();
    assert!(left.iter().all(|f| f == "state"), "left behind: {left:?}");
    report
}

fn done(nodes: &str, threads: usize) -> Report {
    let report = run(nodes, threads);
    assert_eq!(report.status, Status::Done, "{report:?}");
    report
}

#[test]
fn rows_arrive_once_at_any_parallelism() {
    for threads in [1, 2, 4, 7] {
        let name = format!("plain{threads}");
        let nodes = format!(
            r#""a": Count(rows: 10000, splits: 5), "b": Pass(input: "a"), "c": Hold(input: "b", keyed: true),
               "d": Pass(input: "c"), "e": Remember(input: "d", name: "{name}")"#
        );
        let report = done(&nodes, threads);
        let s = seen(&name);
        assert_eq!((s.rows, s.sum, s.commits), (10_000, 49_995_000, 1));
        assert_eq!(report.committed, ["e"]);
    }
}

#[test]
fn fan_out_fan_in_and_diamonds_do_not_deadlock() {
    for threads in [1, 2, 3] {
        let name = format!("diamond{threads}");
        let nodes = format!(
            r#""a": Count(rows: 200000, splits: 3, batch: 500), "l": Pass(input: "a"), "r": Pass(input: "a"),
               "j": Both(input: {{"left": "l", "right": "r"}}), "m": Remember(input: ["j", "a"], name: "{name}")"#
        );
        done(&nodes, threads);
        assert_eq!(seen(&name).rows, 400_000);
    }
}

#[test]
fn a_thousand_nodes_run() {
    let mut nodes = String::from(r#""n0": Count(rows: 1000, splits: 2),"#);
    for i in 1..999 {
        // Every tenth one ends a chain.
        let kind = if i % 10 == 0 { "Hold(keyed: true," } else { "Pass(" };
        nodes.push_str(&format!(r#""n{i}": {kind}input: "n{}"),"#, i - 1));
    }
    nodes.push_str(r#""n999": Remember(input: "n998", name: "thousand")"#);
    let report = done(&nodes, 2);
    assert_eq!(report.nodes.len(), 1000);
    assert_eq!((seen("thousand").rows, seen("thousand").sum), (1000, 499_500));
}

#[test]
fn in_order_means_the_order_of_the_source() {
    let nodes = r#""a": Count(rows: 5000, splits: 4, batch: 7), "b": Pass(input: "a"), "c": Hold(input: "b", in_order: true),
                   "d": Remember(input: "c", name: "order", single: true)"#;
    done(nodes, 4);
    assert_eq!(seen("order").values, (0..5000).collect::<Vec<_>>());
}

#[test]
fn a_lost_row_is_found_and_nothing_is_published() {
    let report = run(
        r#""a": Count(rows: 1000), "b": Pass(input: "a", vice: Lose, at: 7), "c": Remember(input: "b", name: "lost")"#,
        2,
    );
    assert_eq!(report.status, Status::Unbalanced);
    assert_eq!(report.status.exit_code(), 3);
    assert_eq!(report.imbalances.len(), 1);
    let expected = "`b`: 1000 rows in + 0 created, but 999 sent + 0 dropped + 0 rejected + 0 absorbed";
    assert_eq!(report.imbalances[0], expected);
    assert_eq!((seen("lost").commits, seen("lost").aborted > 0), (0, true));
}

#[test]
fn a_panic_is_its_nodes_error() {
    let report = run(
        r#""a": Count(rows: 100000, splits: 4), "b": Hold(input: "a", keyed: true), "c": Pass(input: "b", vice: Panic, at: 77777),
           "d": Remember(input: "c", name: "panic")"#,
        2,
    );
    assert_eq!(report.status, Status::Failed);
    let error = report.error.unwrap();
    assert_eq!((error.node.as_str(), error.fault.as_str(), error.message.as_str()), ("c", "bug", "panicked: at 77777"));
    assert_eq!(seen("panic").commits, 0);
}

#[test]
fn the_first_error_stops_everything_soon() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = r#""a": Count(rows: 1000000000000, splits: 4), "b": Pass(input: "a", vice: Error, at: 123456),
                   "c": Hold(input: "b", keyed: true), "d": Remember(input: "c", name: "error"),
                   "x": Count(rows: 10, forever: true), "y": Remember(input: "x", name: "error2")"#;
    let running = begin(nodes, options(2, dir.path()));
    let report = running.join();
    let error = report.error.unwrap();
    assert_eq!((report.status, error.node.as_str(), error.message.as_str()), (Status::Failed, "b", "no 123456s here"));
    assert_eq!((seen("error").commits, seen("error2").commits), (0, 0));
}

#[test]
fn rejected_rows_go_to_errors_or_stop_the_run() {
    let report = done(
        r#""a": Count(rows: 1000), "b": Pass(input: "a", vice: Reject, at: 5), "c": Remember(input: "b", name: "kept"),
           "e": Remember(input: "b.errors", name: "rejects")"#,
        1,
    );
    assert_eq!((seen("kept").rows, seen("rejects").rows), (999, 1));
    let b = report.nodes.iter().find(|n| n.name == "b").unwrap();
    assert_eq!((b.rejected[0].reason.as_str(), b.rejected[0].rows), ("vice", 1));
    assert_eq!(b.rejected[0].samples, [r#"{"n":5}"#]);

    let report = run(
        r#""a": Count(rows: 1000), "b": Pass(input: "a", vice: Reject, at: 5), "c": Remember(input: "b", name: "none")"#,
        1,
    );
    let error = report.error.unwrap();
    assert_eq!((error.fault.as_str(), error.message.as_str()), ("data", r#"an unwanted row (row: {"n":5})"#));
    assert!(error.help.unwrap().contains("b.errors"));
    assert_eq!(seen("none").commits, 0);
}

#[test]
fn dropped_rows_are_counted_by_reason() {
    let report = done(
        r#""a": Count(rows: 10), "b": Pass(input: "a", vice: Drop, at: 5), "c": Remember(input: "b", name: "dropped")"#,
        1,
    );
    let b = report.nodes.iter().find(|n| n.name == "b").unwrap();
    assert_eq!((b.dropped[0].reason.as_str(), b.dropped[0].rows, b.dropped[0].samples.len()), ("vice", 1, 1));
}

#[test]
fn a_failed_commit_says_what_was_published_before() {
    let report = run(
        r#""a": Count(rows: 10), "b": Remember(input: "a", name: "first"), "c": Remember(input: "a", name: "second", fail_commit: true)"#,
        2,
    );
    assert_eq!((report.status, report.committed.as_slice()), (Status::Failed, &["b".to_string()][..]));
    assert_eq!((report.error.unwrap().node.as_str(), seen("first").aborted), ("c", 0));
    assert!(seen("second").aborted > 0);
}

#[test]
fn a_drained_run_balances_and_publishes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let nodes =
        r#""a": Count(rows: 1000, forever: true), "b": Pass(input: "a"), "c": Remember(input: "b", name: "drained")"#;
    let running = begin(nodes, options(2, dir.path()));
    let arrived = Instant::now();
    while seen("drained").rows < 1000 && arrived.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
    }
    running.stopper().drain();
    let report = running.join();
    assert_eq!(report.status, Status::Stopped);
    assert!(report.imbalances.is_empty());
    assert_eq!((seen("drained").rows, seen("drained").commits), (1000, 0));
    assert!(!dir.path().join("state/g/checkpoint.json").exists());
}

#[test]
fn positions_carry_over_to_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let nodes =
        |rows: u32| format!(r#""a": Count(rows: {rows}, position: true), "b": Remember(input: "a", name: "position")"#);
    assert_eq!(begin(&nodes(100), options(1, dir.path())).join().status, Status::Done);
    assert_eq!(begin(&nodes(150), options(1, dir.path())).join().status, Status::Done);
    assert_eq!(seen("position").values, (0..150).collect::<Vec<_>>());
}

#[test]
fn a_panic_on_the_engines_own_thread_is_its_nodes_error_too() {
    let report = run(
        r#""a": Count(rows: 10), "b": Remember(input: "a", name: "kept back"), "c": Remember(input: "a", name: "x", panic_commit: true)"#,
        1,
    );
    let error = report.error.unwrap();
    assert_eq!((error.node.as_str(), error.message.as_str()), ("c", "panicked: no commits today"));

    let dir = tempfile::tempdir().unwrap();
    let text =
        r#"Graph(name: "g", nodes: {"a": Count(rows: 1, panic_splits: true), "b": Remember(input: "a", name: "y")})"#;
    let files = std::collections::BTreeMap::from([("/g/graph.ron".into(), text.to_string())]);
    let (_, spec, _) = load(&files, Path::new("/g/graph.ron"), &SpecOptions::default());
    let planned = plan(&spec.unwrap(), &Catalogue::new(kinds())).unwrap();
    let report = crate::start(planned, options(1, dir.path())).err().unwrap();
    let error = report.error.unwrap();
    assert_eq!(
        (report.status, error.node.as_str(), error.message.as_str()),
        (Status::Failed, "a", "panicked: no splits today")
    );
}

#[test]
fn what_one_writer_flushed_is_taken_back_when_the_next_one_fails() {
    let report = run(
        r#""a": Count(rows: 10), "b": Remember(input: "a", name: "flushed first"),
           "c": Remember(input: "a", name: "z", panic_flush: true)"#,
        1,
    );
    assert_eq!((report.status, report.error.unwrap().node.as_str()), (Status::Failed, "c"));
    let first = seen("flushed first");
    assert_eq!((first.commits, first.aborted), (0, 1));
}

#[test]
fn a_node_cannot_hide_a_row_in_a_rejection_that_nobody_reads() {
    let report = run(
        r#""a": Count(rows: 10), "b": Pass(input: "a", vice: Swallow, at: 5), "c": Remember(input: "b", name: "hidden")"#,
        1,
    );
    assert_eq!(report.status, Status::Unbalanced);
    assert_eq!(report.imbalances, ["`b`: 1 rows rejected, but 0 sent on `errors`"]);
}

#[test]
fn a_slow_sink_holds_its_source_back() {
    let dir = tempfile::tempdir().unwrap();
    // 80 MB in batches of 0.8 MB, at a sink a hundred times slower than the source.
    let nodes = r#""a": Count(rows: 10000000, batch: 100000), "b": Remember(input: "a", name: "slow", single: true, slow: 300000),
                   "c": Hold(input: "a")  , "d": Remember(input: "c", name: "held")"#;
    let running = begin(nodes, Options { memory: 64 << 20, ..options(2, dir.path()) });
    let ledger = running.ledger().clone();
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        let edge = &ledger.edges[0];
        while edge.received.rows() < 10_000_000 {
            // Received first: what is sent in between only makes the figure larger.
            let received = edge.received.bytes();
            most = most.max(edge.sent.bytes().saturating_sub(received));
            std::thread::yield_now();
        }
        most
    });
    assert_eq!(running.join().status, Status::Done);
    let most = watcher.join().unwrap();
    assert!(most <= 4 << 20, "{most} bytes were on their way, of a queue of 2 MiB and a batch at either end");
}

#[test]
fn threads_that_the_memory_has_no_room_for_are_not_started_and_that_is_said() {
    let nodes = r#""a": Count(rows: 1000, splits: 16), "b": Hold(input: "a", keyed: true), "c": Remember(input: "b", name: "room")"#;
    let dir = tempfile::tempdir().unwrap();
    let instances = |memory: u64| {
        let report = begin(nodes, Options { memory, ..options(16, dir.path()) }).join();
        assert_eq!(report.status, Status::Done, "{report:?}");
        (report.nodes[1].instances, report.warnings)
    };
    assert_eq!(instances(4 << 30), (16, vec![]));
    let (fewer, warnings) = instances(512 << 20);
    assert!((3..16).contains(&fewer), "{fewer}");
    assert!(
        warnings.len() == 1 && warnings[0].contains(&format!("{fewer} threads a stage instead of 16")),
        "{warnings:?}"
    );
    let (least, warnings) = instances(16 << 20);
    assert_eq!(least, 2);
    assert!(warnings.len() == 2 && warnings[1].contains("more than the --memory of 16 MiB"), "{warnings:?}");
}
