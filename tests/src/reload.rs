//! SIGHUP: a graph is changed while it runs. What it remembers goes on, no row is lost and none comes twice, and what cannot take over
//! is refused while the old one runs on.

use crate::harness::{Place, Running};
use serde_json::Value;
use std::io::Write;

/// Counts by user and minute; `more` are other nodes.
fn graph(keys: &str, more: &str) -> String {
    format!(
        r#"Graph(name: "clicks", nodes: {{
            "events": Stream(
                path: "in/*.ndjson",
                schema: {{ "user": Utf8, "at": Timestamp, "n": Int64 }},
                event_time: (column: "at", lateness: "1h"),
            ),
            "minutes": Window(
                input: "events", keys: ["{keys}"], time: "at", window: Tumbling("1m"), aggregates: {{ "rows": "count(*)" }},
            ),
            "counted": Files(input: "minutes", path: "counted", format: Ndjson(), mode: Append),
            "late": Files(input: "minutes.late", path: "late", format: Ndjson(), mode: Append),
            "bad": Files(input: ["events.errors", "minutes.errors"], path: "bad", format: Ndjson(), mode: Append),
            {more}
        }})"#
    )
}

const ALL: &str =
    r#""all": Files(input: "events", path: "all", format: Ndjson(), mode: Append, roll: (interval: "100ms")),"#;

fn append(place: &Place, numbers: std::ops::Range<u64>) {
    let path = place.path("in/a.ndjson");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text: String = numbers
        .map(|n| format!("{{\"user\":\"u{}\",\"at\":\"2026-01-01T00:{:02}:00Z\",\"n\":{n}}}\n", n % 3, n / 60))
        .collect();
    std::fs::File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn numbers(place: &Place, folder: &str) -> Vec<u64> {
    let number = |line: &String| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap();
    let mut numbers: Vec<u64> = place.published(folder).iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Has the graph read again, and waits for the word of it.
fn reload(place: &Place, run: &Running, graph: &str) -> String {
    place.write("graph.ron", graph);
    run.signal(libc::SIGHUP);
    let mut said = String::new();
    while !said.contains("goes on as") {
        said += &run.stderr.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        said.push('\n');
    }
    said
}

#[test]
fn a_changed_graph_takes_over_where_the_old_one_was() {
    let place = Place::with(&graph("user", ALL));
    append(&place, 0..100);
    let run = place.start(&["run", "graph.ron", "--quiet"]);
    place.until("the first rows", || numbers(&place, "all").len() == 100);

    // Another sink comes, and the windows remember what they have counted.
    let odd = r#""odd": Filter(input: "events", where: "n % 2 = 1"),
        "some": Files(input: "odd", path: "odd", format: Ndjson(), mode: Append, roll: (interval: "100ms")),"#;
    let both = format!("{ALL}{odd}");
    let said = reload(&place, &run, &graph("user", &both));
    assert!(said.contains("`clicks` goes on as graph.ron says now"), "{said}");
    append(&place, 100..200);
    place.until("rows of the new sink", || numbers(&place, "odd").len() == 50 && numbers(&place, "all").len() == 200);

    // What cannot take over is refused: a typing error, keys that what is remembered does not fit, another name.
    let said = reload(&place, &run, &graph("user", &both).replace("Filter(", "Fitler("));
    assert!(
        said.contains("goes on as it was: the new graph has errors") && said.contains("did you mean `Filter`"),
        "{said}"
    );
    let said = reload(&place, &run, &graph("n", &both));
    assert!(said.contains("remembers for `minutes` what does not fit it any more"), "{said}");
    let said = reload(&place, &run, &graph("user", &both).replace("\"clicks\"", "\"other\""));
    assert!(said.contains("was named `clicks` and is `other` now"), "{said}");

    // One that fails as soon as it reads a row gives its place back.
    let sorry = format!(
        r#"{ALL} "none": Assert(input: "events", rules: [Row(where: "n < 0", severity: Fail)]),
        "some": Files(input: "none", path: "odd", format: Ndjson(), mode: Append, roll: (interval: "100ms")),"#
    );
    place.write("graph.ron", graph("user", &sorry));
    append(&place, 200..300);
    place.until("all of the old one", || numbers(&place, "all").len() == 300);
    let said = reload(&place, &run, &graph("user", &sorry));
    assert!(said.contains("goes on as graph.ron says now"), "{said}");
    append(&place, 300..400);
    place.until("what the old one makes of it", || numbers(&place, "odd").len() == 150);

    // A sink goes.
    reload(&place, &run, &graph("user", odd));
    append(&place, 400..500);
    place.until("what is left", || numbers(&place, "odd").len() == 200);
    run.signal(libc::SIGTERM);
    run.wait().code(0);
    place.selvedge(&["run", "graph.ron", "--once", "--quiet"]).code(0);

    assert_eq!(numbers(&place, "all"), (0..400).collect::<Vec<u64>>());
    assert_eq!(numbers(&place, "odd"), (0..500).filter(|n| n % 2 == 1).skip(50).collect::<Vec<u64>>());
    let counted: Vec<Value> = place.published("counted").iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(counted.len(), 3 * 9, "no window is there twice");
    assert_eq!(counted.iter().map(|w| w["rows"].as_u64().unwrap()).sum::<u64>(), 500);
    assert_eq!((place.published("late").len(), place.published("bad").len()), (0, 0));
}

#[test]
fn a_graph_that_ends_by_itself_is_not_reloaded() {
    let graph = r#"Graph(name: "endless", nodes: {
        "rows": Generate(shape: Counter, rows: 1000000000000, per_second: 2000.0, partitions: 1),
        "seen": Stdout(input: "rows", format: Ndjson),
    })"#;
    let place = Place::with(graph);
    let run = place.start(&["run", "graph.ron", "--quiet"]);
    run.line();
    let said = reload(&place, &run, graph);
    assert!(said.contains("goes on as it was: the graph that runs ends by itself"), "{said}");
    run.signal(libc::SIGTERM);
    run.wait().code(1);
}
