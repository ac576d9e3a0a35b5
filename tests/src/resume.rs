//! A run that ends by itself and is killed: the next one goes on from its last checkpoint, reads nothing twice, and what is published is
//! what a run in one go publishes.

use crate::harness::{Place, json};
use rusqlite::types::Value as Cell;
use serde_json::Value;
use std::collections::BTreeMap;

/// Orders in many files, most of them twice, beside their customers: each kind of state and each kind of sink.
const GRAPH: &str = r#"Graph(
    name: "orders",
    nodes: {
        "orders": Files(path: "in/*.csv", format: Csv(), schema: { "id": Int64, "customer": Int64, "version": Int64 }),
        "customers": Files(path: "customers.csv", format: Csv(), schema: { "customer": Int64, "name": Utf8 }),
        "latest": Dedup(input: "orders", keys: ["id"], keep: Last(by: "version")),
        "first": Dedup(input: "orders", keys: ["id"], keep: Any),
        "named": Join(input: {"left": "latest", "right": "customers"}, on: ["customer"], how: Left),
        "files": Files(input: "named", path: "out/files", format: Ndjson(), mode: Append),
        "replaced": Files(input: "first", path: "out/replaced", format: Ndjson()),
        "all": Warehouse(input: "orders", connection: "db", table: "all_orders", mode: Append),
        "table": Warehouse(input: "orders", connection: "db", table: "orders", mode: Upsert(["id"])),
        "search": Search(input: "first", connection: "here", index: "orders", id: ["id"]),
    },
)"#;

const FILES: u64 = 60;
/// Rows of a file; each id comes in two files.
const ROWS: u64 = 500;

fn place() -> Place {
    let place = Place::with(GRAPH);
    place.write(
        "connections.ron",
        r#"Connections(profiles: {"local": {"db": Sqlite(path: "house.db"), "here": Folder(path: "out")}})"#,
    );
    for file in 0..FILES {
        let row = |row: u64| {
            let n = file * ROWS + row;
            let id = n % (FILES * ROWS / 2);
            format!("{id},{},{n}\n", id % 50)
        };
        let rows: String = (0..ROWS).map(row).collect();
        place.write(&format!("in/{file:03}.csv"), format!("id,customer,version\n{rows}"));
    }
    let customers: String = (0..40).map(|c| format!("{c},name {c}\n")).collect();
    place.write("customers.csv", format!("customer,name\n{customers}"));
    place
}

fn rows(place: &Place, folder: &str) -> Vec<Value> {
    let mut rows: Vec<Value> = place.published(folder).iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    rows.sort_by_key(|row| row["id"].as_u64());
    rows
}

fn table(place: &Place, sql: &str) -> Vec<i64> {
    let db = rusqlite::Connection::open(place.path("house.db")).unwrap();
    let mut query = db.prepare(sql).unwrap();
    let count = query.column_count();
    let number = |cell: Cell| if let Cell::Integer(n) = cell { n } else { panic!("{cell:?}") };
    query.query_row([], |row| (0..count).map(|i| row.get(i).map(number)).collect()).unwrap()
}

/// Fails the test unless all is there, once.
fn check(place: &Place, after: &str) {
    let ids = FILES * ROWS / 2;
    let files = rows(place, "out/files");
    assert_eq!(files.len() as u64, ids, "{after}");
    for (id, row) in files.iter().enumerate() {
        let id = id as u64;
        let name = if id % 50 < 40 { Value::from(format!("name {}", id % 50)) } else { Value::Null };
        assert_eq!((&row["id"], &row["version"], &row["name"]), (&id.into(), &(id + ids).into(), &name), "{after}");
    }
    for folder in ["out/replaced", "out/orders"] {
        let found = rows(place, folder);
        let found: Vec<u64> = found.iter().filter_map(|row| row["id"].as_u64()).collect();
        assert!(found == (0..ids).collect::<Vec<u64>>(), "{folder} has {} rows, {after}", found.len());
    }
    let (ids, all) = (ids as i64, (FILES * ROWS) as i64);
    let latest = "select count(*), count(distinct id), min(version - id), max(version - id) from orders";
    assert_eq!(table(place, latest), [ids, ids, ids, ids], "{after}");
    let every = "select count(*), count(distinct version) from all_orders";
    assert_eq!(table(place, every), [all, all], "{after}");
}

fn run<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let words =
        ["run", "graph.ron", "--quiet", "--report", "report.json", "--checkpoint-every", "0s", "--threads", "2"];
    [&words, more].concat()
}

/// How many rows the last run has read of the orders.
fn read(place: &Place) -> u64 {
    let report = json(&place.path("report.json"));
    assert_eq!(report["imbalances"], Value::Array(vec![]));
    let nodes = report["nodes"].as_array().unwrap();
    let orders = nodes.iter().find(|n| n["name"] == "orders").unwrap();
    orders["created"].as_array().unwrap().iter().map(|c| c["rows"].as_u64().unwrap()).sum()
}

/// Removes what was published.
fn forget(place: &Place) {
    std::fs::remove_dir_all(place.path("out")).unwrap();
    std::fs::remove_file(place.path("house.db")).unwrap();
}

/// Killed when it has made so many checkpoints.
fn killed(place: &Place, checkpoints: u64) {
    let words = run(&[]);
    let running = place.start_under(
        &[
            "strace",
            "-D",
            "-f",
            "-qqq",
            "-o",
            "/dev/null",
            "-e",
            "trace=rename",
            "-e",
            &format!("inject=rename:signal=KILL:when={checkpoints}"),
        ],
        &words,
    );
    assert_eq!(running.wait().code, None, "killed");
}

#[test]
fn a_run_that_was_killed_is_gone_on_from() {
    selvedge_servers::debian(&["strace"], "/usr/bin/strace");
    let place = place();
    place.selvedge(&["check", "graph.ron"]).code(0).prints("goes on from its last checkpoint");
    killed(&place, 4);
    place.nothing_published();
    // Again, and this time the next one has less to do.
    killed(&place, 3);
    place.nothing_published();
    let ran = place.selvedge(&run(&[])).code(0);
    assert!(read(&place) < FILES * ROWS, "{} rows read: {ran}", read(&place));
    let warnings = json(&place.path("report.json"))["warnings"].to_string();
    assert!(warnings.contains("was cut short: this one goes on"), "{warnings}");
    check(&place, "two kills");
    // It is over: another run does all of it.
    assert!(place.files(".selvedge/orders").iter().all(|file| file.ends_with("lock")));
    forget(&place);
    place.selvedge(&run(&[])).code(0);
    assert_eq!(read(&place), FILES * ROWS);
    check(&place, "a run in one go");
}

#[test]
fn wherever_it_is_killed_every_row_arrives_once() {
    selvedge_servers::debian(&["strace"], "/usr/bin/strace");
    let (mut deaths, mut resumed) = (0, 0);
    for (i, step) in ["rename", "fsync", "unlink", "pwrite64"].into_iter().cycle().take(16).enumerate() {
        let place = place();
        let mut killed = BTreeMap::new();
        for n in [5 + 4 * i, 3 + 3 * i, 2 + 2 * i] {
            let inject = format!("inject={step}:signal=KILL:when={n}");
            let trace = format!("trace={step}");
            let tracer = ["strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let died = place.start_under(&tracer, &run(&[])).wait().code.is_none();
            killed.insert(n, died);
            if !died {
                break;
            }
            deaths += 1;
        }
        if killed.values().all(|died| *died) {
            place.selvedge(&run(&[])).code(0);
        }
        resumed += u64::from(read(&place) < FILES * ROWS);
        check(&place, &format!("{step} {killed:?}"));
    }
    assert!(deaths > 16 && resumed > 4, "{deaths} deaths, {resumed} gone on from");
}

#[test]
fn what_has_changed_since_is_begun_anew() {
    selvedge_servers::debian(&["strace"], "/usr/bin/strace");
    let place = place();
    let anew = |what: &str| {
        killed(&place, 4);
        match what {
            "a file" => place.write("customers.csv", "customer,name\n1,other\n"),
            "the graph" => place.write("graph.ron", GRAPH.replace("keep: Any", "keep: First")),
            _ => {}
        }
        place.selvedge(&run(if what == "threads" { &["--threads", "3"] } else { &[] })).code(0);
        assert_eq!(read(&place), FILES * ROWS, "{what}");
        let warnings = json(&place.path("report.json"))["warnings"].to_string();
        assert!(warnings.contains("this one begins anew"), "{what}: {warnings}");
        let left = place
            .files("out")
            .into_iter()
            .filter(|f| f.to_string_lossy().contains("staging") || f.to_string_lossy().ends_with(".flushed"));
        assert_eq!(left.count(), 0, "{what}");
        let sql = "select count(*) from all_orders";
        assert_eq!(table(&place, sql), [(FILES * ROWS) as i64], "{what}");
        forget(&place);
    };
    anew("a file");
    anew("the graph");
}
