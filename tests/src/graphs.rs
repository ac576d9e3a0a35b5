//! The retailer's graphs, each against the result that was worked out by other means: tables of the warehouse, rejected rows
//! and the ledger, whatever the number of threads and however small the memory.

use crate::harness::{Place, copy_folder, golden, json, top};
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use std::path::Path;

pub struct Graph {
    pub name: &'static str,
    /// What it loads into the warehouse.
    pub tables: &'static [&'static str],
    /// It never ends: it is read until it is caught up with, and goes on from there.
    pub stream: bool,
}

pub const GRAPHS: &[Graph] = &[
    Graph { name: "inventory", tables: &["inventory"], stream: false },
    Graph { name: "market_iri", tables: &["market_iri"], stream: false },
    Graph { name: "market_numerator", tables: &["market_numerator"], stream: false },
    Graph { name: "customer", tables: &["customers", "training"], stream: false },
    Graph { name: "mobile_events", tables: &["mobile_events", "mobile_sessions"], stream: true },
    Graph { name: "website_chat", tables: &["chat_messages"], stream: true },
    Graph { name: "partner_feed", tables: &["partner_sales"], stream: true },
];

/// A copy of `graphs/`, without what earlier runs have put out.
pub fn place() -> Place {
    let place = Place::new();
    copy_folder(&top().join("graphs"), &place.path("graphs"));
    std::fs::create_dir(place.path("plugins")).unwrap();
    for entry in std::fs::read_dir(top().join("plugins")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "wasm") {
            std::fs::copy(&path, place.path("plugins").join(path.file_name().unwrap())).unwrap();
        }
    }
    place
}

/// A table of a SQLite database as CSV, its rows in the order of their text. Null is empty, the empty text is `""`.
fn table(database: &Path, name: &str) -> String {
    let db = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut query = db.prepare(&format!("select * from \"{name}\"")).unwrap();
    let columns = query.column_names().join(",");
    let count = query.column_count();
    let mut found = query.query([]).unwrap();
    let mut rows = vec![];
    while let Some(row) = found.next().unwrap() {
        let cells = (0..count).map(|c| match row.get_ref(c).unwrap() {
            ValueRef::Null => String::new(),
            ValueRef::Integer(n) => n.to_string(),
            ValueRef::Real(x) => x.to_string(),
            ValueRef::Text(text) => quoted(std::str::from_utf8(text).unwrap()),
            ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
        });
        rows.push(cells.collect::<Vec<_>>().join(","));
    }
    rows.sort();
    format!("{columns}\n{}\n", rows.join("\n"))
}

fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && !text.contains([',', '"', '\n', '\r']);
    if plain { text.to_string() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// What was rejected: node, reason and the row, in the order of the text. Messages may be reworded; what is in them is not
/// counted on.
fn rejects(place: &Place, graph: &str) -> String {
    let mut lines: Vec<String> = place
        .files(&format!("graphs/out/lake/rejects/{graph}"))
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "ndjson"))
        .flat_map(|f| std::fs::read_to_string(f).unwrap().lines().map(str::to_string).collect::<Vec<_>>())
        .map(|line| {
            let row: Value = serde_json::from_str(&line).unwrap();
            assert!(row["errorMessage"].as_str().is_some_and(|m| !m.is_empty()), "{line}");
            json!({"node": row["node"], "errorCode": row["errorCode"], "rawData": row["rawData"]}).to_string() + "\n"
        })
        .collect();
    lines.sort();
    lines.concat()
}

/// The ledger, a line a fact: `required: 91 dropped, null in sku`.
fn ledger(report: &Value) -> String {
    let mut text = String::new();
    for node in report["nodes"].as_array().unwrap() {
        let name = node["name"].as_str().unwrap();
        let mut line = |rows: &Value, what: &str| text += &format!("{name}: {rows} {what}\n");
        let sum = |ports: &Value| ports.as_array().unwrap().iter().map(|p| p["rows"].as_u64().unwrap()).sum::<u64>();
        if !node["inputs"].as_array().unwrap().is_empty() {
            line(&sum(&node["inputs"]).into(), "in");
        }
        for port in node["outputs"].as_array().unwrap().iter().filter(|p| p["port"] != "errors") {
            line(&port["rows"], "out");
        }
        for verb in ["created", "dropped", "rejected", "absorbed", "altered"] {
            for reason in node[verb].as_array().unwrap() {
                line(&reason["rows"], &format!("{verb}, {}", reason["reason"].as_str().unwrap()));
            }
        }
    }
    text
}

/// Rows in + created = sent + dropped + rejected + absorbed, for every node; and what was sent on an edge was received.
fn balanced(report: &Value) {
    assert_eq!(report["status"], "done");
    assert_eq!(report["imbalances"], json!([]));
    let rows = |list: &Value, but: &str| -> u64 {
        let list = list.as_array().unwrap().iter().filter(|p| p["port"] != but);
        list.map(|p| p["rows"].as_u64().unwrap()).sum()
    };
    for node in report["nodes"].as_array().unwrap() {
        let came = rows(&node["inputs"], "") + rows(&node["created"], "");
        let left = rows(&node["outputs"], "errors")
            + rows(&node["dropped"], "")
            + rows(&node["rejected"], "")
            + rows(&node["absorbed"], "");
        assert_eq!(came, left, "{node}");
        assert_eq!(
            rows(&node["outputs"], "") - rows(&node["outputs"], "errors"),
            rows(&node["rejected"], ""),
            "{node}"
        );
    }
    for edge in report["edges"].as_array().unwrap() {
        assert_eq!(edge["rows_sent"], edge["rows_received"], "{edge}");
    }
}

pub fn check(place: &Place, graph: &Graph, report: &Value) {
    golden(&expected(graph).join("ledger.txt"), &ledger(report));
    check_output(place, graph, report);
}

fn expected(graph: &Graph) -> std::path::PathBuf {
    top().join("graphs").join(graph.name).join("expected")
}

pub fn check_output(place: &Place, graph: &Graph, report: &Value) {
    let expected = expected(graph);
    balanced(report);
    for name in graph.tables {
        golden(&expected.join(format!("{name}.csv")), &table(&place.path("graphs/out/warehouse.db"), name));
    }
    golden(&expected.join("rejects.ndjson"), &rejects(place, graph.name));
}

fn graph(name: &str) {
    let graph = GRAPHS.iter().find(|g| g.name == name).unwrap();
    for words in [
        ["--threads", "1", "--memory", "512MiB"],
        ["--threads", "2", "--memory", "512MiB"],
        ["--threads", "4", "--memory", "1GiB"],
        ["--threads", "4", "--memory", "16MiB"],
    ] {
        let place = place();
        let path = format!("graphs/{name}");
        let run = || {
            let once: &[&str] = if graph.stream { &["--once"] } else { &[] };
            let common = ["run", path.as_str(), "--report", "report.json", "--quiet"];
            place.selvedge(&[&common[..], once, &words[..]].concat()).code(0);
            json(&place.path("report.json"))
        };
        check(&place, graph, &run());
        // A second run finds what the first one loaded, or of a stream nothing new, and changes nothing.
        match graph.stream {
            true => check_output(&place, graph, &run()),
            false => check(&place, graph, &run()),
        }
    }
}

#[test]
fn inventory() {
    graph("inventory");
}

#[test]
fn market_iri() {
    graph("market_iri");
}

#[test]
fn market_numerator() {
    graph("market_numerator");
}

#[test]
fn customer() {
    graph("customer");
}

#[test]
fn mobile_events() {
    graph("mobile_events");
}

#[test]
fn website_chat() {
    graph("website_chat");
}

#[test]
fn partner_feed() {
    graph("partner_feed");
}

#[test]
fn all_graphs_run_from_one_command() {
    let place = place();
    let ran = place.selvedge(&["run", "graphs", "--report", "reports"]).code(0);
    for graph in GRAPHS {
        assert!(ran.stdout.contains(graph.name), "{ran}");
        check(&place, graph, &json(&place.path(&format!("reports/{}.json", graph.name))));
    }
}

#[test]
fn graphs_check_without_warnings() {
    let place = place();
    let ran = place.selvedge(&["check", "graphs"]).code(0);
    assert!(!ran.stderr.contains("warning"), "{ran}");
    assert!(!place.path("graphs/out").exists(), "a check writes nothing");
}

#[test]
fn plans_print_in_every_format() {
    let place = place();
    for graph in GRAPHS {
        let path = format!("graphs/{}", graph.name);
        for (format, sign) in
            [("text", "load"), ("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg"), ("json", "{")]
        {
            let ran = place.selvedge(&["plan", &path, "--format", format]).code(0);
            assert!(ran.stdout.contains(sign), "{format} of {}: {ran}", graph.name);
        }
    }
}
