//! SIGTERM and SIGINT: what is on its way arrives, the ledger is told, nothing is published. And runs that have nothing to do.

use crate::harness::{Place, json};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Prints its first rows at once, which tells the test that it runs; the rest would take years.
const ENDLESS: &str = r#"Graph(
    name: "endless",
    nodes: {
        "rows": Generate(shape: Counter, rows: 1000000000000, per_second: 2000.0, partitions: 1),
        "seen": Stdout(input: "rows", format: Ndjson),
        "kept": Files(input: "rows", path: "out/kept", format: Csv()),
    },
)"#;

fn stopped_by(signals: &[libc::c_int]) {
    let place = Place::with(ENDLESS);
    let run = place.start(&["run", "graph.ron", "--quiet", "--report", "report.json", "--threads", "2"]);
    assert!(run.line().starts_with(r#"{"n":0,"#));
    for &signal in signals {
        run.signal(signal);
    }
    let ran = run.wait().code(1);
    let report = json(&place.path("report.json"));
    assert_eq!(report["status"], "stopped", "{ran}");
    assert_eq!(report["committed"].as_array().map(Vec::len), Some(0), "{ran}");
    if signals.len() == 1 {
        // Drained: every row that was made has arrived.
        assert_eq!(report["imbalances"].as_array().map(Vec::len), Some(0), "{ran}");
        let made = report["nodes"][0]["created"][0]["rows"].as_u64().unwrap();
        assert!(made > 0);
        for edge in report["edges"].as_array().unwrap() {
            assert_eq!((&edge["rows_sent"], &edge["rows_received"]), (&made.into(), &made.into()), "{ran}");
        }
    }
    place.nothing_published();
}

#[test]
fn sigterm_drains() {
    stopped_by(&[libc::SIGTERM]);
}

#[test]
fn sigint_drains() {
    stopped_by(&[libc::SIGINT]);
}

#[test]
fn two_signals_stop_at_once() {
    stopped_by(&[libc::SIGINT, libc::SIGINT]);
}

/// Rows go to three kinds of outputs; `rows` is how many.
fn outputs(rows: &str) -> String {
    format!(
        r#"Graph(name: "killed", params: {{ "rows": {rows} }}, nodes: {{
            "rows": Generate(shape: Counter, rows: "${{rows}}"),
            "once": Dedup(input: "rows", keys: ["n"], keep: Any),
            "seen": Stdout(input: "once", format: Ndjson),
            "kept": Files(input: "rows", path: "out/kept", format: Csv(header: false), roll: (rows: 100000)),
            "loaded": Warehouse(input: "rows", connection: "db", table: "rows", mode: Replace),
            "bad": Null(input: "loaded.errors"),
        }})"#
    )
}

#[test]
fn a_killed_run_publishes_nothing_and_the_next_one_clears_up() {
    let place = Place::with(&outputs("1000000000"));
    place.write("connections.ron", r#"Connections(profiles: {"local": {"db": Sqlite(path: "out/house.db")}})"#);
    let run = place.start(&["run", "graph.ron", "--quiet", "--threads", "2", "--scratch", "scratch"]);
    for _ in 0..200_000 {
        run.line();
    }
    run.signal(libc::SIGKILL);
    assert_eq!(run.wait().code, None);
    place.nothing_published();
    assert!(!place.path("out/house.db").exists());

    place.selvedge(&["run", "graph.ron", "--quiet", "--set", "rows=1000", "--scratch", "scratch"]).code(0);
    assert_eq!(place.published("out/kept").len(), 1000);
    let db = rusqlite::Connection::open(place.path("out/house.db")).unwrap();
    assert_eq!(db.query_row("select count(*) from rows", [], |r| r.get(0)), Ok(1000));
    let mut left: Vec<String> =
        place.files("out").iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left.iter().filter(|f| !f.starts_with("part-")).collect::<Vec<_>>(), ["_selvedge.json", "house.db"]);
    assert!(place.files("scratch").is_empty(), "{:?}", place.files("scratch"));
}

/// Time that the process has spent on a processor, in ticks of 10 ms.
fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn an_idle_graph_uses_no_cpu() {
    let place = Place::with(
        r#"Graph(name: "idle", nodes: {
            "rows": Generate(shape: Counter, rows: 2, per_second: 0.001, partitions: 1),
            "once": Dedup(input: "rows", keys: ["n"]),
            "seen": Stdout(input: "once", format: Ndjson),
        })"#,
    );
    let run = place.start(&["run", "graph.ron", "--quiet", "--threads", "4"]);
    run.line();
    let before = ticks(run.id());
    let waited = run.stdout.recv_timeout(Duration::from_secs(2));
    assert_eq!(waited, Err(RecvTimeoutError::Timeout), "the second row comes after a quarter of an hour");
    let spent = ticks(run.id()) - before;
    assert!(spent <= 2, "{spent} ticks of CPU in two idle seconds");
    run.signal(libc::SIGTERM);
    run.wait().code(1);
}
