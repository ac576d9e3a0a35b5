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
