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

/// A stream of which an edge is recorded, and replayed without it.
#[test]
fn what_was_recorded_of_a_node_takes_its_place() {
    let place = Place::with(
        r#"Graph(name: "clicks", nodes: {
            "clicks": Stream(path: "in/*.ndjson", schema: {"user": Utf8, "n": Int64}),
            "known": DropNulls(input: "clicks", columns: ["user"]),
            "twice": Derive(input: "known", columns: {"m": "n * 2"}),
            "kinds": Route(input: "twice", routes: {"even": "n % 2 = 0"}, otherwise: Port("odd")),
            "even": Files(input: "kinds.even", path: "even", format: Ndjson(), mode: Append),
            "odd": Files(input: "kinds.odd", path: "odd", format: Ndjson(), mode: Append),
            "bad": Files(input: ["clicks.errors", "twice.errors", "kinds.errors"], path: "bad", format: Ndjson(), mode: Append),
        })"#,
    );
    let lines: String = (0..100).map(|n| format!("{{\"user\":\"u\",\"n\":{n}}}\n")).collect();
    place.write("in/a.ndjson", lines + "{\"n\": 100}\n{\n");
    place.selvedge(&["run", ".", "--once", "--record", "known=rec/known", "--record", "kinds.odd=rec/odd"]).code(0);
    assert_eq!(
        (place.published("even").len(), place.published("odd").len(), place.published("bad").len()),
        (50, 50, 1)
    );

    let kept = std::fs::read(place.path(".selvedge/clicks/checkpoint.json")).unwrap();
    let ran = place.selvedge(&["run", ".", "--replay", "known=rec/known"]).code(0);
    assert!(!ran.stdout.contains("clicks  ") && ran.stdout.contains("clicks: 100 rows read"), "{ran}");
    assert_eq!(
        (place.published("even").len(), place.published("odd").len(), place.published("bad").len()),
        (100, 100, 1)
    );
    assert_eq!(std::fs::read(place.path(".selvedge/clicks/checkpoint.json")).unwrap(), kept, "a replay is no progress");
    // Of a node with several ports, each by itself.
    place.selvedge(&["run", ".", "--replay", "kinds.even=rec/odd", "--replay", "kinds.odd=rec/odd"]).code(0);
    assert_eq!((place.published("even").len(), place.published("odd").len()), (150, 150));
    place.selvedge(&["run", ".", "--replay", "kinds=rec/odd"]).code(2).says("name the port: kinds.PORT=…");

    // A recording becomes a test, which holds; and does not once the graph does something else.
    let new = ["test", "new", ".", "--from", "known=rec/known", "--at", "twice", "--at", "kinds.odd", "--rows", "3"];
    place.selvedge(&new).code(0).prints("./tests/twice.ron: read it");
    place.selvedge(&new).code(2).says("twice.ron is there already");
    place.selvedge(&["test", "."]).code(0).prints("1 of 1 tests hold");
    let graph = std::fs::read_to_string(place.path("graph.ron")).unwrap();
    place.write("graph.ron", graph.replace("n * 2", "n * 3"));
    place.selvedge(&["test", "."]).code(1).prints("rows of `twice`: expected (-), found (+)");

    place.selvedge(&["run", ".", "--record", "knwon=rec"]).code(2).says("did you mean `known`?");
    place.selvedge(&["run", ".", "--replay", "known=rec/none"]).code(2).says("there is no file or folder");
}
