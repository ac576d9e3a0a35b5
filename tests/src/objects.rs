//! The lake in a bucket: what is written there is read back, replaced as a whole, and neither lost nor doubled by a network that
//! breaks or a process that is killed between any two requests.

use crate::harness::{Place, Running, json};
use bytes::Bytes;
use selvedge_connect::store::{PART, Store};
use selvedge_node::{Connection, Span};
use selvedge_servers::{Act, OBJECTS_KEY, OBJECTS_SECRET, Proxy, objects};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// A graph in a folder, and its bucket.
struct Lake {
    place: Place,
    url: String,
    store: Arc<dyn Store>,
}

impl Lake {
    fn new() -> Lake {
        let url = objects().url();
        let body = selvedge_ron::parse(selvedge_ron::FileId(0), &settings(&url, objects().port)).unwrap();
        let base = std::path::PathBuf::new();
        let connection =
            Connection { name: "lake".into(), kind: "ObjectStore".into(), span: Span::default(), body, base };
        let store = selvedge_connect_objects::connect(&connection).unwrap().unwrap_or_else(|p| panic!("{}", p.message));
        let lake = Lake { place: Place::new(), url, store };
        lake.by(objects().port);
        lake
    }

    /// From now on the bucket is asked through this port.
    fn by(&self, port: u16) {
        let text =
            format!(r#"Connections(profiles: {{"local": {{"lake": ObjectStore{}}}}})"#, settings(&self.url, port));
        self.place.write("connections.ron", text);
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let mut upload = self.store.upload(name).unwrap();
        for part in bytes.chunks(PART) {
            upload.part(Bytes::copy_from_slice(part)).unwrap();
        }
        self.store.complete(name, &upload.finish().unwrap(), bytes.len() as u64).unwrap();
    }

    /// The visible objects below a folder.
    fn names(&self, folder: &str) -> Vec<String> {
        let names = self.store.list(folder).unwrap().into_iter().map(|o| o.name);
        names.filter(|name| !name.split('/').any(|part| part.starts_with('_'))).collect()
    }

    /// Their lines, sorted.
    fn lines(&self, folder: &str) -> Vec<String> {
        let read = |name: &String| String::from_utf8(self.store.get(name).unwrap().unwrap().0.to_vec()).unwrap();
        let mut lines: Vec<String> =
            self.names(folder).iter().flat_map(|n| read(n).lines().map(str::to_string).collect::<Vec<_>>()).collect();
        lines.sort();
        lines
    }
}

fn settings(url: &str, port: u16) -> String {
    format!(
        r#"(url: "{url}/lake", region: "us-east-1", endpoint: "http://127.0.0.1:{port}", access_key: "{OBJECTS_KEY}", secret_key: "{OBJECTS_SECRET}")"#
    )
}

fn orders(from: usize, to: usize) -> String {
    let rows: String = (from..to).map(|n| format!("{n},shop {},{}.50\n", n % 7, n % 100)).collect();
    format!("id,shop,price\n{rows}")
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

const SCHEMA: &str = r#"{ "id": Int64, "shop": Utf8, "price": Decimal(10, 2) }"#;

#[test]
fn every_format_is_written_and_read_back() {
    let lake = Lake::new();
    lake.put("raw/a.csv", orders(0, 3000).as_bytes());
    lake.put("raw/deep/er/b.csv.gz", &gzip(&orders(3000, 5000)));
    lake.put("raw/_half.csv", b"not,these\n");
    for (format, more) in [("Parquet", ""), ("Arrow", ""), ("Orc", ""), ("Ndjson", "()"), ("Csv", "()")] {
        let schema = if ["Ndjson", "Csv"].contains(&format) { format!("schema: {SCHEMA},") } else { String::new() };
        let there = format!(
            r#"Graph(name: "there", nodes: {{
            "raw": Files(connection: "lake", path: "raw/**/*.{{csv,csv.gz}}", format: Csv(), schema: {SCHEMA}),
            "out": Files(input: "raw", connection: "lake", path: "clean/{format}", format: {format}{more}, partition_by: ["shop"]),
        }})"#
        );
        // ORC has no decimals that it keeps as such; the rest of this test is about bytes.
        let there = if format == "Orc" { there.replace("Decimal(10, 2)", "Float64") } else { there };
        let back = format!(
            r#"Graph(name: "back", nodes: {{
            "clean": Files(connection: "lake", path: "clean/{format}/**", format: {format}{more}, {}file_name: "file"),
            "out": Files(input: "clean", path: "out/{format}", format: Ndjson()),
        }})"#,
            schema.replace(r#""shop": Utf8, "#, "")
        );
        lake.place.write("there.ron", there);
        lake.place.write("back.ron", back);
        lake.place.selvedge(&["run", "there.ron"]).code(0);
        lake.place.selvedge(&["run", "back.ron"]).code(0);
        let lines = lake.place.published(&format!("out/{format}"));
        assert_eq!(lines.len(), 5000, "{format}");
        let mut ids: Vec<i64> = vec![];
        for line in &lines {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = row["id"].as_i64().unwrap();
            let folder = format!("clean/{format}/shop=shop%20{}/", id % 7);
            let plain = format!("clean/{format}/shop=shop {}/", id % 7);
            let file = row["file"].as_str().unwrap();
            assert!(file.starts_with(&folder) || file.starts_with(&plain), "{line}");
            ids.push(id);
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..5000), "{format}");
    }
}

const COPY: &str = r#"Graph(name: "copy", nodes: {
    "raw": Files(connection: "lake", path: "raw/*.csv", format: Csv()),
    "out": Files(input: "raw", connection: "lake", path: "clean", format: Ndjson(), mode: MODE, roll: (rows: 500)),
})"#;

#[test]
fn a_data_set_is_replaced_as_a_whole() {
    let lake = Lake::new();
    lake.put("raw/a.csv", orders(0, 2000).as_bytes());
    lake.place.write("graph.ron", COPY.replace("MODE", "Replace"));
    lake.place.selvedge(&["run", "graph.ron"]).code(0);
    let first = lake.names("clean");
    assert_eq!(lake.lines("clean").len(), 2000);
    lake.put("raw/a.csv", orders(7, 10).as_bytes());
    lake.place.selvedge(&["run", "graph.ron"]).code(0);
    assert_eq!(lake.lines("clean").len(), 3);
    assert!(lake.names("clean").iter().all(|n| !first.contains(n)), "names are not used again");
    // What is not ours is not ours to remove.
    lake.put("clean/notes.txt", b"mine");
    let refused = lake.place.selvedge(&["run", "graph.ron"]).code(1);
    let refused = refused.says("holds `notes.txt`, not written by Selvedge");
    assert!(!refused.stderr.contains(OBJECTS_SECRET));
    assert_eq!(lake.names("clean").len(), 2);
}

#[test]
fn two_runs_at_once_add_to_one_data_set() {
    let lake = Lake::new();
    lake.put("raw/a.csv", orders(0, 3000).as_bytes());
    lake.place.write("graph.ron", COPY.replace("MODE", "Append"));
    let states = ["one", "two", "three"];
    let running: Vec<Running> = states.iter().map(|s| lake.place.start(&["run", "graph.ron", "--state", s])).collect();
    for run in running {
        run.wait().code(0);
    }
    let lines = lake.lines("clean");
    assert_eq!(lines.len(), 9000);
    let mut counts = BTreeMap::<&String, usize>::new();
    lines.iter().for_each(|l| *counts.entry(l).or_default() += 1);
    assert!(counts.values().all(|n| *n == 3));
}

#[test]
fn only_new_objects_are_read() {
    let lake = Lake::new();
    let graph = COPY.replace("MODE", "Append").replace("Csv())", "Csv(), bookmark: ())");
    lake.place.write("graph.ron", graph);
    lake.put("raw/a.csv", orders(0, 10).as_bytes());
    let run = |expected: usize| {
        lake.place.selvedge(&["run", "graph.ron", "--state", "state"]).code(0);
        assert_eq!(lake.lines("clean").len(), expected);
    };
    run(10);
    run(10);
    lake.put("raw/b.csv", orders(10, 15).as_bytes());
    run(15);
    lake.put("raw/b.csv", orders(10, 16).as_bytes());
    let changed = lake.place.selvedge(&["run", "graph.ron", "--state", "state"]).code(1);
    changed.says("`raw/b.csv` was read by an earlier run and has changed since");
}

/// Every request of a run fails once, in both ways; the client tries again, and nobody sees a difference.
#[test]
fn a_network_that_breaks_between_any_two_requests_changes_nothing() {
    for lost in [Act::Refuse, Act::Lose] {
        let mut at = 0;
        loop {
            let lake = Lake::new();
            lake.put("raw/a.csv", orders(0, 1200).as_bytes());
            lake.place.write("graph.ron", COPY.replace("MODE", "Append"));
            let proxy = Proxy::start(objects().port, move |n, _| if n == at { lost } else { Act::Pass });
            lake.by(proxy.port);
            lake.place.selvedge(&["run", "graph.ron", "--threads", "1"]).code(0);
            assert_eq!(lake.lines("clean").len(), 1200, "request {at}: {lost:?}");
            if proxy.requests() <= at {
                break;
            }
            at += 1;
        }
        assert!(at > 12, "only {at} requests: does the run still go through the proxy?");
    }
}

/// The process is killed at every request, once before the server hears of it and once after; the next run goes on.
#[test]
fn a_kill_between_any_two_requests_loses_and_doubles_nothing() {
    for act in [Act::Refuse, Act::Lose] {
        for mode in ["Append", "Replace"] {
            let mut at = 0;
            loop {
                let lake = Lake::new();
                lake.put("raw/a.csv", orders(0, 1200).as_bytes());
                lake.place.write("graph.ron", COPY.replace("MODE", mode));
                let process = Arc::new(AtomicI32::new(0));
                let target = process.clone();
                let killed = Arc::new(AtomicBool::new(false));
                let done = killed.clone();
                let proxy = Proxy::start(objects().port, move |n, _| {
                    if n < at || done.load(Ordering::SeqCst) {
                        return Act::Pass;
                    }
                    if act == Act::Refuse {
                        kill(&target);
                    }
                    act
                });
                lake.by(proxy.port);
                let words = ["run", "graph.ron", "--threads", "1", "--state", "state", "--checkpoint-every", "0s"];
                let running = lake.place.start(&words);
                process.store(running.id() as i32, Ordering::SeqCst);
                let wanted = process.clone();
                let ran = std::thread::scope(|scope| {
                    // After an answer that was lost the client would try again: it is dead by then.
                    scope.spawn(|| {
                        while act == Act::Lose && proxy.requests() <= at && wanted.load(Ordering::SeqCst) != 0 {
                            std::thread::yield_now();
                        }
                        if act == Act::Lose && proxy.requests() > at {
                            kill(&wanted);
                        }
                    });
                    let ran = running.wait();
                    process.store(0, Ordering::SeqCst);
                    ran
                });
                if ran.code == Some(0) {
                    break;
                }
                assert_eq!(ran.code, None, "request {at}: {ran}");
                killed.store(true, Ordering::SeqCst);
                lake.place.selvedge(&words).code(0);
                assert_eq!(lake.lines("clean").len(), 1200, "request {at}: {act:?} {mode}");
                at += 1;
            }
            assert!(at > 8, "only {at} requests: does the run still go through the proxy?");
        }
    }
}

/// A run that is killed while it publishes has read all there was: what is left is published first, and then the changed graph is run.
#[test]
fn what_was_to_be_published_is_published_whatever_has_changed() {
    let lake = Lake::new();
    lake.put("raw/a.csv", orders(0, 1200).as_bytes());
    lake.place.write("graph.ron", COPY.replace("MODE", "Append"));
    let process = Arc::new(AtomicI32::new(0));
    let target = process.clone();
    // Two of the three files are published by then.
    let completed = AtomicI32::new(0);
    let proxy = Proxy::start(objects().port, move |_, line| {
        let completes = line.starts_with("POST ") && line.contains("uploadId=");
        if completes && completed.fetch_add(1, Ordering::SeqCst) == 2 {
            kill(&target);
            return Act::Refuse;
        }
        Act::Pass
    });
    lake.by(proxy.port);
    let words = ["run", "graph.ron", "--threads", "1", "--state", "state"];
    let running = lake.place.start(&words);
    process.store(running.id() as i32, Ordering::SeqCst);
    assert_eq!(running.wait().code, None);
    lake.by(objects().port);
    lake.place.selvedge(&words).code(0).prints("was cut short while it published: that was finished first");
    let lines = lake.lines("clean");
    assert_eq!(lines.len(), 2400);
    assert!(lines.chunks(2).all(|pair| pair[0] == pair[1]), "each row twice, once by each run");
}

fn kill(process: &AtomicI32) {
    let id = process.swap(0, Ordering::SeqCst);
    if id > 0 {
        // SAFETY: the process is our child, and nobody has waited for it: the id is its own.
        unsafe { libc::kill(id, libc::SIGKILL) };
    }
}

#[test]
fn a_secret_is_in_no_file_and_in_no_word() {
    let lake = Lake::new();
    lake.put("raw/a.csv", orders(0, 10).as_bytes());
    lake.place.write("graph.ron", COPY.replace("MODE", "Append"));
    let words = ["run", "graph.ron", "--state", "state", "--report", "report.json"];
    let mut said = vec![lake.place.selvedge(&words).code(0)];
    said.push(lake.place.selvedge(&["plan", "graph.ron"]).code(0));
    said.push(lake.place.selvedge(&["plan", "graph.ron", "--format", "json"]).code(0));
    lake.by(selvedge_servers::NOBODY);
    said.push(lake.place.selvedge(&["check", "graph.ron"]).code(2));
    std::fs::remove_file(lake.place.path("connections.ron")).unwrap();
    assert!(json(&lake.place.path("report.json")).is_object());
    for ran in &said {
        assert!(!ran.to_string().contains(OBJECTS_SECRET), "{ran}");
    }
    for file in lake.place.files(".") {
        let bytes = std::fs::read(&file).unwrap();
        let secret = OBJECTS_SECRET.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{}", file.display());
    }
}

#[test]
fn small_objects_are_asked_for_once() {
    let lake = Lake::new();
    const OBJECTS: usize = 150;
    for n in 0..OBJECTS {
        lake.put(&format!("raw/{n:03}.csv"), orders(n * 3, n * 3 + 3).as_bytes());
    }
    lake.place.write("graph.ron", COPY.replace("MODE", "Append"));
    let proxy = Proxy::start(objects().port, |_, _| Act::Pass);
    lake.by(proxy.port);
    lake.place.selvedge(&["run", "graph.ron"]).code(0);
    assert_eq!(lake.lines("clean").len(), OBJECTS * 3);
    // Besides: a listing, and what the sink does.
    let more = proxy.requests() - OBJECTS;
    assert!((4..30).contains(&more), "{more} requests more than one for each object");
}
