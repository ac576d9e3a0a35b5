//! `selvedge test`: parts of graphs on small tables.

use crate::harness::{Place, top};

const GRAPH: &str = r#"Graph(name: "sales", nodes: {
    "read": Files(path: "nowhere/*.csv", format: Csv(), schema: {"id": Int64, "amount": Decimal(10, 2), "day": Date}, on_missing: Empty),
    "known": DropNulls(input: "read", columns: ["id"]),
    "once": Dedup(input: "known", keys: ["id"]),
    "more": Derive(input: "once", columns: {"double": "amount * 2"}),
    "write": Files(input: "more", path: "out", format: Parquet()),
    "bad": Files(input: ["read.errors", "more.errors"], path: "bad", format: Ndjson()),
})"#;

const TEST: &str = r#"(
    inputs: { "read": "
        id   | amount
        1    | 1.50
        1    | 1.50
        null | 3.00
    " },
    outputs: { "write": "
        id | double
        1  | 3.00
    " },
    dropped: { "known": { "null in id": 1 }, "once": { "duplicate": 1 } },
)"#;

fn place(test: &str) -> Place {
    let place = Place::with(GRAPH);
    place.write("tests/sales.ron", test);
    place
}

#[test]
fn the_tests_of_the_shipped_graphs_hold() {
    let graphs = top().join("graphs");
    let ran = Place::new().selvedge(&["test", graphs.to_str().unwrap()]).code(0);
    assert!(ran.stdout.contains("8 of 8 tests hold"), "{ran}");
}

#[test]
fn a_test_that_holds_writes_nothing() {
    let place = place(TEST);
    for path in ["graph.ron", ".", "tests", "tests/sales.ron"] {
        let ran = place.selvedge(&["test", path]).code(0);
        assert!(ran.stdout.ends_with("1 of 1 tests hold\n"), "{ran}");
    }
    assert!(!place.path("out").exists() && !place.path(".selvedge").exists());
    Place::with(GRAPH).selvedge(&["test", "."]).code(2).says("a test is a file tests/NAME.ron beside a graph.ron");
}

#[test]
fn each_difference_is_told() {
    for (from, to, words) in [
        ("1  | 3.00", "1  | 3.01", "- 1 | 3.01\n          + 1 | 3.00"),
        ("{ \"duplicate\": 1 }", "{}", "dropped by `once`: expected none, found 1 as `duplicate`"),
        ("\"null in id\": 1", "\"null in id\": 2", "expected 2 as `null in id`, found 1 as `null in id`"),
        ("null | 3.00", "null | 3,x", "tests/sales.ron:2:23: error: column `amount`: `3,x` is no Decimal128(10, 2)"),
        ("id   | amount", "id   | amuont", "what `read` sends has no column `amuont` (did you mean `amount`?)"),
        ("\"read\":", "\"raed\":", "no node named `raed` (did you mean `read`, `bad`?)"),
        ("\"write\":", "\"read.out2\":", "`read` has no port `out2` (there is `out`, `errors`)"),
        ("inputs: { \"read\":", "inputs: { \"write\":", "`write` is a sink: nothing leaves it"),
        ("inputs: { \"read\":", "inputs: {}, fails: \"\", outputs: { \"read\":", "the field `outputs` is here twice"),
        ("outputs:", "fails: \"division\", outputs:", "the run must fail with `division`, but it did not"),
        ("dropped:", "set: {\"as_of\": \"1\"}, dropped:", "no parameter named `as_of`"),
    ] {
        let ran = place(&TEST.replacen(from, to, 1)).selvedge(&["test", "."]).code(1);
        assert!(ran.stdout.contains(words) && ran.stdout.contains("0 of 1 tests hold"), "{from} → {to}: {ran}");
    }
}

#[test]
fn what_is_not_given_is_asked_for() {
    let test = r#"(outputs: { "known": "id" })"#;
    place(test).selvedge(&["test", "."]).code(1).prints("`read` reads from outside: it has to be given");
    let test = r#"(outputs: { "known": "id" }, real: ["read"])"#;
    place(test).selvedge(&["test", "."]).code(0);
    let test = r#"(inputs: { "once": "id\n 1" }, outputs: { "known": "id" }, real: ["read"])"#;
    place(test)
        .selvedge(&["test", "."])
        .code(1)
        .prints("`once` is given, but what the test looks at does not come from it");
    place("()").selvedge(&["test", "."]).code(1).prints("the test looks at nothing");
    // A run that fails is told whole.
    let test =
        r#"(inputs: { "once": "id | amount\n 1 | 99999999.99" }, outputs: { "more": "id" }, fails: "no such words")"#;
    place(test).selvedge(&["test", "."]).code(1).prints("no such words");
}
