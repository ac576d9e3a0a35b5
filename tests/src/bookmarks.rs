//! Files that each run reads once, over all runs of a graph.

use crate::harness::Place;

const GRAPH: &str = r#"Graph(name: "days", params: {"changed": Fail, "part": 100, "where": "true"}, nodes: {
    "read": Files(
        path: "in/*.csv", format: Csv(), schema: {"n": Int64}, bookmark: (changed: "${changed}"), split_bytes: "${part}", on_missing: Empty,
    ),
    "some": Assert(input: "read", rules: [Row(where: "${where}")], max_rejects: 0),
    "out": Files(input: "some", path: "out", format: Ndjson(), mode: Append),
    "bad": Files(input: ["read.errors"], path: "bad", format: Ndjson(), mode: Append),
})"#;

fn day(place: &Place, name: &str, numbers: std::ops::Range<u64>) {
    let rows: String = numbers.map(|n| format!("{n}\n")).collect();
    place.write(&format!("in/{name}.csv"), format!("n\n{rows}"));
}

fn numbers(place: &Place) -> Vec<u64> {
    let number = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap()["n"].as_u64().unwrap();
    let mut found: Vec<u64> = place.published("out").into_iter().map(number).collect();
    found.sort_unstable();
    found
}

fn run(place: &Place, set: &[&str], code: i32) -> crate::harness::Ran {
    let mut args = vec!["run", "graph.ron", "--quiet"];
    set.iter().for_each(|value| args.extend(["--set", value]));
    place.selvedge(&args).code(code)
}

#[test]
fn a_file_is_read_once() {
    let place = Place::with(GRAPH);
    day(&place, "monday", 0..100);
    day(&place, "tuesday", 100..400);
    run(&place, &[], 0);
    assert_eq!(numbers(&place), (0..400).collect::<Vec<_>>());
    // Nothing new; also where a file would now be cut into other parts.
    run(&place, &[], 0);
    run(&place, &["part=1000000"], 0);
    assert_eq!(numbers(&place).len(), 400);
    day(&place, "wednesday", 400..500);
    // What a run that failed has read is not remembered.
    run(&place, &["where=n < 450"], 1);
    assert_eq!(numbers(&place).len(), 400);
    run(&place, &[], 0);
    assert_eq!(numbers(&place), (0..500).collect::<Vec<_>>());
    let shown = place.selvedge(&["bookmark", "show"]).code(0).stdout;
    assert!(shown.contains("read: in/wednesday.csv[0.."), "{shown}");
    place.selvedge(&["bookmark", "reset", "days"]).code(0);
    run(&place, &[], 0);
    assert_eq!(numbers(&place).len(), 1000);
}

#[test]
fn a_file_that_has_changed_is_what_the_graph_says() {
    let place = Place::with(GRAPH);
    day(&place, "monday", 0..100);
    run(&place, &[], 0);
    day(&place, "monday", 0..101);
    day(&place, "tuesday", 200..210);
    run(&place, &[], 1).says("`in/monday.csv` was read by an earlier run and has changed since");
    assert_eq!(numbers(&place).len(), 100);
    run(&place, &["changed=Skip"], 0);
    assert_eq!(numbers(&place).len(), 110);
    run(&place, &["changed=Read"], 0);
    assert_eq!(numbers(&place).len(), 211);
    run(&place, &[], 0);
    assert_eq!(numbers(&place).len(), 211);
}

/// What is read goes to a table by its number, and to files that are added.
const TWO_SINKS: &str = r#"Graph(name: "days", params: {"files": Append}, nodes: {
    "read": Files(path: "in/*.csv", format: Csv(), schema: {"n": Int64}, bookmark: ()),
    "table": Warehouse(input: "read", connection: "db", table: "numbers", mode: Upsert(["n"])),
    "out": Files(input: "read", path: "out", format: Ndjson(), mode: "${files}"),
    "bad": Files(input: ["read.errors", "table.errors"], path: "bad", format: Ndjson()),
})"#;

fn two_sinks() -> Place {
    let place = Place::with(TWO_SINKS);
    place.write("connections.ron", r#"Connections(profiles: {"local": {"db": Sqlite(path: "house.db")}})"#);
    for (day, numbers) in [("monday", 0..100), ("tuesday", 100..200), ("wednesday", 200..300)] {
        self::day(&place, day, numbers);
        run(&place, &[], 0);
    }
    assert_eq!(numbers(&place).len(), 300);
    place
}

/// The runs that can be rewound to before.
fn past(place: &Place) -> Vec<String> {
    let shown = place.selvedge(&["bookmark", "show", "days"]).code(0).stdout;
    let line = shown.lines().find_map(|line| line.trim().strip_prefix("can be rewound to before: "));
    line.unwrap_or_default().split(", ").filter(|run| !run.is_empty()).map(str::to_string).collect()
}

#[test]
fn a_rewind_doubles_nothing() {
    let place = two_sinks();
    let runs = past(&place);
    assert_eq!(runs.len(), 3);
    place.selvedge(&["bookmark", "rewind", "days", "other"]).code(1).says("no run `other` is known");
    place.selvedge(&["bookmark", "rewind", "days", &runs[1]]).code(0);
    run(&place, &[], 1).says("`out` would have its rows twice").says("--rows-are-out");
    // Replaced, or taken out by hand.
    run(&place, &["files=Replace"], 0);
    assert_eq!(numbers(&place), (100..300).collect::<Vec<_>>());
    assert_eq!(past(&place).len(), 2, "the run before, and this one");
    let again = past(&place).pop().unwrap();
    place.selvedge(&["bookmark", "rewind", "days", &again, "--rows-are-out"]).code(0);
    std::fs::remove_dir_all(place.path("out")).unwrap();
    run(&place, &[], 0);
    assert_eq!(numbers(&place), (100..300).collect::<Vec<_>>());
    run(&place, &[], 0);
    assert_eq!(numbers(&place).len(), 200, "nothing is new");
    let table = rusqlite::Connection::open(place.path("house.db")).unwrap();
    let count: u64 = table.query_row("select count(*) from numbers", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 300);
}

#[test]
fn what_is_read_while_bookmarks_are_paused_stays_new() {
    let place = two_sinks();
    place.selvedge(&["bookmark", "pause", "days"]).code(0);
    day(&place, "thursday", 300..400);
    for _ in 0..2 {
        run(&place, &["files=Replace"], 0);
        assert_eq!(numbers(&place), (300..400).collect::<Vec<_>>());
    }
    place.selvedge(&["bookmark", "show"]).code(0).prints("paused");
    place.selvedge(&["bookmark", "resume", "days"]).code(0);
    for expected in [100, 0] {
        run(&place, &["files=Replace"], 0);
        assert_eq!(numbers(&place).len(), expected);
    }
    assert_eq!(past(&place).len(), 4);
}
