//! Plugins with state and keys in real runs: the same rows whatever the number of threads, and whatever happens to an instance.

use crate::harness::{Place, json, top};
use serde_json::Value;
use std::collections::BTreeMap;

const GRAPH: &str = r#"Graph(name: "sessions", nodes: {
    "events": Files(path: "in.csv", format: Csv(), schema: { "user": Utf8, "at": Timestamp, "event": Utf8, "sku": Utf8 }),
    "sessions": Plugin(
        input: "events",
        path: "session_features.wasm",
        config: (user: "user", time: "at", type: "event", item: "sku", counts: {"views": ["view"], "buys": ["buy"]}),
        on_error: Reject,
        limits: (memory_mib: 12),
    ),
    "out": Files(input: "sessions", path: "out", format: Csv()),
    "bad": Files(input: "sessions.errors", path: "bad", format: Ndjson()),
})"#;

fn place(graph: &str, plugin: &str, rows: &str) -> Place {
    let place = Place::with(graph);
    place.write("in.csv", rows);
    let file = format!("{plugin}.wasm");
    std::fs::copy(top().join("plugins").join(&file), place.path(&file)).unwrap();
    place
}

fn run(place: &Place, threads: &str) -> Value {
    let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/plugins");
    let words = ["run", "graph.ron", "--report", "run.json", "--quiet", "--threads", threads];
    place.start_with(&words, |c| _ = c.env("SELVEDGE_PLUGIN_CACHE", cache)).wait().code(0);
    json(&place.path("run.json"))
}

/// Seconds of 1 March 2024 as a time of the input, or of an id.
fn clock(seconds: u32) -> (String, String) {
    let (day, hour, minute, second) = (seconds / 86_400 + 1, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    (
        format!("2024-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z"),
        format!("202403{day:02}T{hour:02}{minute:02}{second:02}"),
    )
}

/// Events of 97 users through a day, up to half an hour out of order; some of them too late, some of nobody, and `more` in their middle.
/// Besides, by id, how many events each session must have.
fn events(more: &str) -> (String, BTreeMap<String, u64>) {
    let mut text = "user,at,event,sku\n".to_string();
    let mut kept: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for i in 0..6000u32 {
        let mixed = i.wrapping_mul(2_654_435_761);
        let random = (mixed ^ mixed >> 15).wrapping_mul(2_246_822_519) >> 8;
        let user = random % 97;
        let now = 7200 + i * 10;
        let time = now - random / 97 % 1800;
        text +=
            &format!("user{user},{},{},sku{}\n", clock(time).0, ["view", "buy", "other"][i as usize % 3], random % 7);
        kept.entry(user).or_default().push(time);
        if i == 3000 {
            text += more;
        }
        if i >= 5950 {
            text += &format!("user{user},{},view,late\n,{},view,nobody\n", clock(time - 7200).0, clock(time).0);
        }
    }
    let mut sessions = BTreeMap::new();
    for (user, mut times) in kept {
        times.sort_unstable();
        for session in times.chunk_by(|a, b| b - a <= 1800) {
            sessions.insert(format!("user{user}-{}", clock(session[0]).1), session.len() as u64);
        }
    }
    (text, sessions)
}

/// Rows by id: how many events.
fn found(rows: &[String]) -> BTreeMap<String, u64> {
    let rows = rows.iter().map(|row| row.split(',').collect::<Vec<_>>());
    rows.map(|cells| (cells[1].to_string(), cells[5].parse().unwrap())).collect()
}

fn codes(place: &Place) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for line in place.published("bad") {
        let row: Value = serde_json::from_str(&line).unwrap();
        *codes.entry(row["errorCode"].as_str().unwrap().to_string()).or_default() += 1;
    }
    codes
}

#[test]
fn sessions_are_the_same_with_any_number_of_threads_and_after_a_trap() {
    let (rows, expected) = events("");
    // More than the plugin's memory has room for: its instance is replaced, and what it knew must be there again.
    let (with_trap, _) = events(&format!("{},2024-03-02T00:00:00Z,view,sku\n", "x".repeat(6 << 20)));
    let mut first = None;
    for (rows, traps) in [(&rows, 0), (&with_trap, 1)] {
        for threads in ["1", "2", "4"] {
            let place = place(GRAPH, "session_features", rows);
            let report = run(&place, threads);
            // Each file has its heads.
            let published: Vec<_> =
                place.published("out").into_iter().filter(|row| !row.starts_with("user,")).collect();
            assert!(found(&published) == expected, "{threads} threads, {traps} traps");
            // All columns, and not only the counts.
            assert!(first.get_or_insert(published.clone()) == &published, "{threads} threads, {traps} traps");
            let mut codes = codes(&place);
            assert_eq!(codes.remove("plugin.memory").unwrap_or_default(), traps);
            assert_eq!(codes, BTreeMap::from([("session.late".into(), 50), ("session.user".into(), 50)]));
            assert!(report["state_peak_bytes"].as_u64() > Some(1 << 20), "an instance counts in the budget");
            let nodes = report["nodes"].as_array().unwrap();
            let node = nodes.iter().find(|n| n["name"] == "sessions").unwrap();
            assert_eq!(node["absorbed"], serde_json::json!([{"reason": "grouped", "rows": 6000}]));
            assert_eq!(node["created"][0]["rows"], expected.len());
        }
    }
}

#[test]
fn chats_are_tagged() {
    let graph = r#"Graph(name: "chats", nodes: {
        "chats": Files(path: "in.csv", format: Csv(), schema: { "id": Int64, "text": Utf8 }),
        "tagged": Plugin(
            input: "chats",
            path: "intent_tagger.wasm",
            config: (column: "text", on_none: "other", rules: [(intent: "loyalty", words: ["club card*"])]),
        ),
        "out": Files(input: "tagged", path: "out", format: Csv()),
    })"#;
    let rows = "id,text\n1,Where’s my ORDER?\n2,Two club cards please\n3,\"¿Talla, por favor?\"\n4,zzz\n5,\n";
    let place = place(graph, "intent_tagger", rows);
    run(&place, "2");
    let tags = |line: &String| format!("{} {}", &line[..1], line.rsplit(',').next().unwrap_or_default());
    let found: Vec<String> = place.published("out").iter().map(tags).collect();
    assert_eq!(found, ["1 order_status", "2 loyalty", "3 size_fit", "4 other", "5 ", "i intent"]);
}
