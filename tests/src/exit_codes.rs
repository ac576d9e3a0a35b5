//! 0 done, 1 the run failed, 2 the graph or the command line is wrong. (3, the ledger does not balance, takes a node that
//! lies: `exec` tests it with one.)

use crate::harness::{Place, json};

#[test]
fn a_run_that_is_done_is_0_and_its_report_adds_up() {
    let place = Place::with(
        r#"Graph(name: "count", nodes: {
            "rows": Generate(shape: Counter, rows: 100000),
            "none": Null(input: "rows"),
        })"#,
    );
    let ran = place.selvedge(&["run", "graph.ron", "--report", "r/run.json", "--threads", "2"]).code(0);
    assert!(ran.stdout.contains("100,000"), "{ran}");
    let report = json(&place.path("r/run.json"));
    assert_eq!(report["status"], "done");
    assert_eq!(report["nodes"][1]["absorbed"][0]["rows"], 100_000);
    let json_on_stdout = place.selvedge(&["run", "graph.ron", "--json"]).code(0);
    let line: serde_json::Value = serde_json::from_str(json_on_stdout.stdout.trim()).unwrap();
    assert_eq!(line["graph"], "count");
    assert_eq!(place.selvedge(&["run", "graph.ron", "--quiet"]).code(0).stdout, "");
}

#[test]
fn a_row_that_fails_the_run_is_1_and_nothing_is_published() {
    let place = Place::with(
        r#"Graph(name: "fails", nodes: {
            "rows": Generate(shape: Inventory, rows: 5000),
            "typed": SchemaEdit(input: "rows", edits: [Cast("qty", Int32, on_error: Fail)]),
            "kept": Files(input: "typed", path: "out/kept", format: Csv()),
        })"#,
    );
    let ran = place.selvedge(&["run", "graph.ron", "--report", "run.json"]).code(1).says("qty");
    let report = json(&place.path("run.json"));
    assert_eq!(report["status"], "failed");
    assert_eq!(report["error"]["node"], "typed", "{ran}");
    assert_eq!(report["error"]["fault"], "data", "{ran}");
    place.nothing_published();
}

#[test]
fn a_rejected_row_that_nobody_takes_is_1_and_the_message_says_what_to_do() {
    let place = Place::with(
        r#"Graph(name: "rejects", nodes: {
            "rows": Generate(shape: Inventory, rows: 5000),
            "typed": SchemaEdit(input: "rows", edits: [Cast("qty", Int32, on_error: Reject)]),
            "none": Null(input: "typed"),
        })"#,
    );
    place.selvedge(&["run", "graph.ron"]).code(1).says("typed.errors");
}

#[test]
fn all_problems_of_a_wrong_graph_come_at_once_with_their_places() {
    let place = Place::with(
        r#"Graph(
    name: "wrong",
    nodes: {
        "rows": Generate(shape: Inventry, rows: 10),
        "typed": SchemaEdit(input: "row", edits: []),
        "unique": Dedupe(input: "typed"),
        "stock": Generate(shape: Inventory, rows: 10),
        "required": DropNulls(input: "stock", columns: ["skuu", "store"]),
        "none": Null(input: ["required", "unique"], limit: 3),
    },
)"#,
    );
    for words in [&["check", "--short", "graph.ron"][..], &["run", "graph.ron"], &["plan", "graph.ron"]] {
        let ran = place.selvedge(words).code(2);
        for (line, near) in [(4, "Inventory"), (5, "rows"), (6, "Dedup"), (8, "sku"), (8, "store_id"), (9, "limit")] {
            let found = ran.stderr.contains(&format!("graph.ron:{line}:")) && ran.stderr.contains(&format!("`{near}`"));
            assert!(found, "{words:?} does not name line {line} and `{near}`: {ran}");
        }
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_wrong_graph_keeps_the_others_from_starting() {
    let place = Place::new();
    place.write(
        "a/graph.ron",
        r#"Graph(name: "a", nodes: {
            "rows": Generate(shape: Counter, rows: 10), "kept": Files(input: "rows", path: "out", format: Csv()),
        })"#,
    );
    place.write("b/graph.ron", r#"Graph(name: "b", nodes: { "rows": Generate(shape: Counter, rows: -1), })"#);
    place.selvedge(&["run", "."]).code(2).says("b/graph.ron:1:");
    assert!(!place.path("a/out").exists());
}

#[test]
fn the_command_line_is_2_when_wrong() {
    let place = Place::with("Graph(name: \"x\", nodes: {})");
    let long = ["run", "graph.ron", "--set", "since=2024-01-01"];
    for words in [
        &["run"][..],
        &["walk"],
        &["run", "graph.ron", "--memory", "lots"],
        &["run", "graph.ron", "--threads", "0"],
        &["run", "no/such/graph.ron"],
        &["run", "graph.ron", "--profile", "moon"],
        &long,
        &["nodes", "NoSuchNode"],
        &["why", "no-such-report.json"],
    ] {
        let ran = place.selvedge(words).code(2);
        assert!(!ran.stderr.trim().is_empty(), "{words:?} says nothing");
    }
}

#[test]
fn help_and_version_are_0() {
    let place = Place::new();
    assert!(place.selvedge(&["--help"]).code(0).stdout.contains("run"));
    assert!(place.selvedge(&["--version"]).code(0).stdout.contains(env!("CARGO_PKG_VERSION")));
    assert!(place.selvedge(&["completions", "bash"]).code(0).stdout.contains("selvedge"));
}

#[test]
fn why_tells_the_rows() {
    let place = Place::with(
        r#"Graph(name: "why", nodes: {
            "rows": Generate(shape: Inventory, rows: 1000),
            "required": DropNulls(input: "rows", columns: ["sku"]),
            "none": Null(input: "required"),
        })"#,
    );
    place.selvedge(&["run", "graph.ron", "--report", "run.json", "--quiet"]).code(0);
    let told = place.selvedge(&["why", "run.json", "required"]).code(0).stdout;
    assert!(told.contains("null in sku") && told.contains("\"sku\":null"), "{told}");
    place.selvedge(&["why", "run.json", "requird"]).code(2).says("required");
}

#[test]
fn gen_writes_every_shape_in_every_format() {
    let place = Place::new();
    for shape in ["counter", "inventory", "iri-pos", "numerator-receipts", "customers", "orders"] {
        let nested = shape == "numerator-receipts";
        for format in ["csv", "ndjson", "parquet", "sqlite"] {
            let out = format!("{shape}.{format}");
            let ran = place.selvedge(&["gen", shape, "--rows", "100", "--out", &out, "--format", format]);
            if nested && matches!(format, "csv" | "sqlite") {
                ran.code(2);
            } else {
                ran.code(0);
                assert!(place.path(&out).exists(), "{out}");
            }
        }
    }
    place.selvedge(&["gen", "inventroy", "--out", "x"]).code(2).says("Inventory");
}

#[test]
fn two_sinks_on_one_target_are_a_wrong_graph() {
    let place = Place::with(
        r#"Graph(name: "twice", nodes: {
            "a": Generate(shape: Counter, rows: 10),
            "b": Generate(shape: Counter, rows: 10),
            "first": Files(input: "a", path: "out/same", format: Csv()),
            "second": Files(input: "b", path: "out/same", format: Csv()),
        })"#,
    );
    place.selvedge(&["run", "graph.ron"]).code(2).says("one would undo the other").says("`second` writes");
    place.nothing_published();
}

#[test]
fn a_report_that_cannot_be_written_is_found_before_anything_runs() {
    let place = Place::with(
        r#"Graph(name: "report", nodes: {
            "rows": Generate(shape: Counter, rows: 10),
            "kept": Files(input: "rows", path: "out/kept", format: Csv()),
        })"#,
    );
    std::fs::create_dir(place.path("folder")).unwrap();
    place.selvedge(&["run", "graph.ron", "--report", "folder"]).code(2).says("cannot write the report");
    place.nothing_published();
}
