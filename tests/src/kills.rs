//! A stream that is killed at every step that changes a disk, one step after the other, and resumed: every row arrives once, at
//! every kind of sink.

use crate::graphs;
use crate::harness::{Place, Running, json};
use serde_json::Value;
use std::io::Write;

/// What comes in goes to each kind of sink, and what is counted by minute to another.
const GRAPH: &str = r#"Graph(
    name: "killed",
    nodes: {
        "events": Stream(
            path: "in/*.ndjson",
            schema: { "user": Utf8, "at": Timestamp, "n": Int64 },
            event_time: (column: "at", lateness: "1h"),
        ),
        "minutes": Window(
            input: "events", keys: ["user"], time: "at", window: Tumbling("1m"), aggregates: { "n": "sum(n)", "rows": "count(*)" },
        ),
        "counted": Files(input: "minutes", path: "counted", format: Ndjson(), mode: Append),
        "late": Files(input: "minutes.late", path: "late", format: Ndjson(), mode: Append),
        "files": Files(input: "events", path: "files", format: Ndjson(), mode: Append, roll: (interval: "100ms")),
        "table": Warehouse(input: "events", connection: "db", table: "events", mode: Append),
        "search": Search(input: "events", connection: "here", index: "events", id: ["n"]),
        "shards": Stream(input: "events", connection: "here", path: "shards", shards: 2, key: ["user"]),
        "bad": Files(input: ["events.errors", "minutes.errors", "table.errors"], path: "bad", format: Ndjson(), mode: Append),
    },
)"#;

/// Everything that a disk could be caught in the middle of.
const STEPS: &str = "rename,renameat,renameat2,fsync,fdatasync,unlink,unlinkat,ftruncate,pwrite64";

/// A minute has twenty events, of five users.
pub fn events(numbers: std::ops::Range<u64>) -> String {
    let event = |n: u64| {
        let (hour, minute, second) = (n / 1200 % 24, n / 20 % 60, n % 20);
        format!("{{\"user\":\"u{}\",\"at\":\"2026-01-01T{hour:02}:{minute:02}:{second:02}Z\",\"n\":{n}}}\n", n % 5)
    };
    numbers.map(event).collect()
}

pub fn append(place: &Place, text: &str) {
    let path = place.path("in/a.ndjson");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn numbers(lines: &[String]) -> Vec<u64> {
    let number = |line: &String| serde_json::from_str::<Value>(line).ok()?["n"].as_u64();
    let mut numbers: Vec<u64> = lines.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Killed by the tracer when one of its threads takes that step for the `n`-th time.
pub fn doomed(place: &Place, steps: &str, n: u64, words: &[&str]) -> Running {
    let inject = format!("inject={steps}:signal=KILL:when={n}");
    let trace = format!("trace={steps}");
    let tracer = ["strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    place.start_under(&tracer, words)
}

/// Runs until it dies, or, having got past that step, until it has `done` everything. True: it died.
fn to_the_end(place: &Place, mut running: Running, done: impl Fn() -> bool) -> bool {
    let (stderr, ended) = (running.take_stderr(), place.path("ended"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let said: Vec<String> = stderr.into_iter().collect();
            std::fs::write(&ended, said.concat()).unwrap();
        });
        place.until("the rows or the end of it", || ended.exists() || running.has_begun() && done());
        if !ended.exists() {
            running.signal(libc::SIGTERM);
        }
    });
    let said = std::fs::read_to_string(&ended).unwrap();
    std::fs::remove_file(&ended).unwrap();
    let ran = running.wait();
    assert!(ran.code.is_none() || ran.code == Some(0), "{:?}: {said}", ran.code);
    ran.code.is_none()
}

/// The graph, and where its connections lead to.
pub fn place() -> Place {
    let place = Place::with(GRAPH);
    place.write(
        "connections.ron",
        r#"Connections(profiles: {"local": {"db": Sqlite(path: "house.db"), "here": Folder(path: ".")}})"#,
    );
    place
}

/// Fails the test unless each of so many rows is at each sink, once.
pub fn arrived_once(place: &Place, rows: u64, after: &str) {
    let all: Vec<u64> = (0..rows).collect();
    assert_eq!(numbers(&place.published("files")), all, "files, {after}");
    assert_eq!(numbers(&place.published("events")), all, "search, {after}");
    assert_eq!(numbers(&place.published("shards")), all, "shards, {after}");
    let db = rusqlite::Connection::open(place.path("house.db")).unwrap();
    let table = "select count(*), count(distinct n), coalesce(max(n), 0) from events";
    let found: (u64, u64, u64) = db.query_row(table, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
    assert_eq!(found, (rows, rows, rows - 1), "table, {after}");
    let counted = place.published("counted");
    let sum = |field: &str| {
        let values = counted.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()[field].as_u64().unwrap());
        values.sum::<u64>()
    };
    assert_eq!((sum("rows"), sum("n")), (rows, rows * (rows - 1) / 2), "windows, {after}");
    assert_eq!(counted.len() as u64, rows / 4, "four rows of a user in a minute are one window, {after}");
    assert_eq!((place.published("late").len(), place.published("bad").len()), (0, 0), "{after}");
}

#[test]
fn killed_at_every_step_a_stream_publishes_every_row_once() {
    selvedge_servers::debian(&["strace"], "/usr/bin/strace");
    let place = place();
    let (mut rows, mut deaths) = (0, 0);
    for steps in ["rename,renameat,renameat2", "fsync,fdatasync", "unlink,unlinkat", "pwrite64,ftruncate", STEPS] {
        let mut survived = 0;
        // Beyond the last step that a thread takes in a few epochs nothing is learnt.
        for n in 1.. {
            append(&place, &events(rows..rows + 100));
            rows += 100;
            match to_the_end(&place, doomed(&place, steps, n, &["run", "graph.ron", "--quiet"]), || {
                numbers(&place.published("files")).last() == Some(&(rows - 1))
            }) {
                true => deaths += 1,
                false => survived += 1,
            }
            if survived == 2 || n == 40 {
                break;
            }
        }
    }
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert!(deaths > 40, "killed {deaths} times only");

    arrived_once(&place, rows, &format!("after {deaths} kills"));
}

/// Rows of the data sets in the lake, as their manifests tell, by folder.
fn lake(place: &Place) -> Vec<(String, u64)> {
    let manifests = place.files("graphs/out/lake").into_iter().filter(|f| f.ends_with("_selvedge.json"));
    let rows = |path: &std::path::PathBuf| {
        let files = json(path)["files"].as_array().unwrap().iter().map(|f| f["rows"].as_u64().unwrap()).sum();
        (path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned(), files)
    };
    manifests.map(|path| rows(&path)).collect()
}

/// How often each of the retailer's graphs is killed. `SELVEDGE_KILLS=200` makes the table of docs/guarantees.md.
fn kills() -> usize {
    std::env::var("SELVEDGE_KILLS").map_or(12, |kills| kills.parse().unwrap())
}

/// What a process is killed at, and up to which of it that a thread does.
const FAMILIES: [(&str, &str, usize); 6] = [
    ("rename", "rename,renameat,renameat2", 8),
    ("sync", "fsync,fdatasync", 30),
    ("remove", "unlink,unlinkat", 20),
    ("write in place", "pwrite64,ftruncate", 300),
    ("any of these", STEPS, 60),
    ("anywhere", "read,write,openat,close,lseek,futex,mmap,munmap", 900),
];

/// Kills runs, each at another step, until it has done so often enough; `run` runs once under a family of steps and says whether it
/// died. Tells how often at which.
fn campaign(name: &str, mut run: impl FnMut(usize, &str, u64) -> bool) {
    selvedge_servers::debian(&["strace"], "/usr/bin/strace");
    let (kills, mut deaths, mut by_family) = (kills(), 0, [0; FAMILIES.len()]);
    for round in 0.. {
        assert!(round < 10 * kills, "`{name}` was killed {deaths} times only");
        let (_, steps, most) = FAMILIES[round % FAMILIES.len()];
        // All over the range, the same in each campaign.
        let n = 1 + (round / FAMILIES.len() * 37 + round) % most;
        if run(round, steps, n as u64) {
            deaths += 1;
            by_family[round % FAMILIES.len()] += 1;
        }
        if deaths == kills {
            break;
        }
    }
    let told = FAMILIES.iter().zip(by_family).map(|((family, ..), n)| format!("{family} {n}"));
    println!("killed {name} {deaths} times: {}", told.collect::<Vec<_>>().join(", "));
}

/// The retailer's graph, whose data come in bit by bit, killed and resumed with each bit: what it publishes is what it is meant to.
fn stream(name: &str) {
    let graph = graphs::GRAPHS.iter().find(|g| g.name == name).unwrap();
    let path = format!("graphs/{name}");
    let caught_up = |place: &Place| {
        place.selvedge(&["run", &path, "--once", "--quiet", "--report", "report.json"]).code(0);
        json(&place.path("report.json"))
    };
    let whole = graphs::place();
    caught_up(&whole);

    let place = graphs::place();
    let shards = place.files(&format!("{path}/data"));
    let texts: Vec<Vec<u8>> = shards.iter().map(|shard| std::fs::read(shard).unwrap()).collect();
    shards.iter().for_each(|shard| std::fs::write(shard, "").unwrap());
    // The last part comes when all is over.
    let parts = kills() + 1;
    let feed = |part: usize| {
        for (shard, text) in shards.iter().zip(&texts) {
            let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
            let (from, to) = (lines.len() * part / parts, lines.len() * (part + 1) / parts);
            let mut file = std::fs::File::options().append(true).open(shard).unwrap();
            file.write_all(&lines[from..to].concat()).unwrap();
        }
    };
    let read = || {
        let kept =
            std::fs::read_to_string(place.path(&format!(".selvedge/{name}/checkpoint.json"))).unwrap_or_default();
        let bytes = |shard: &std::path::PathBuf| std::fs::metadata(shard).unwrap().len();
        shards.iter().map(bytes).all(|bytes| bytes == 0 || kept.contains(&format!("\\\"offset\\\":{bytes},")))
    };
    let mut fed = 0;
    campaign(name, |round, steps, n| {
        if fed < parts - 1 {
            feed(fed);
            fed += 1;
        }
        let words = ["run", &path, "--quiet", "--set", "publish=100ms", "--threads", ["1", "2", "3"][round % 3]];
        // A plugin's state comes back to as many instances as it came from.
        let words = if name == "mobile_events" { &words[..5] } else { &words };
        to_the_end(&place, doomed(&place, steps, n, words), read)
    });
    (fed..parts).for_each(feed);
    let report = caught_up(&place);
    graphs::check_output(&place, graph, &report);
    assert_eq!(lake(&place), lake(&whole));
}

/// The retailer's graph, killed and begun again: what it publishes in the end is what it is meant to.
fn batch(name: &str) {
    let graph = graphs::GRAPHS.iter().find(|g| g.name == name).unwrap();
    let path = format!("graphs/{name}");
    let place = graphs::place();
    let check = || {
        place.selvedge(&["run", &path, "--quiet", "--report", "report.json"]).code(0);
        graphs::check_output(&place, graph, &json(&place.path("report.json")));
    };
    campaign(name, |round, steps, n| {
        let memory = ["512MiB", "16MiB"][round / FAMILIES.len() % 2];
        let words = ["run", &path, "--quiet", "--threads", ["1", "2", "4"][round % 3], "--memory", memory];
        let died = to_the_end(&place, doomed(&place, steps, n, &words), || false);
        if round % 10 == 9 {
            check();
        }
        died
    });
    check();
}

#[test]
fn inventory_killed_and_begun_again() {
    batch("inventory");
}

#[test]
fn market_iri_killed_and_begun_again() {
    batch("market_iri");
}

#[test]
fn market_numerator_killed_and_begun_again() {
    batch("market_numerator");
}

#[test]
fn customer_killed_and_begun_again() {
    batch("customer");
}

#[test]
fn mobile_events_killed_and_resumed() {
    stream("mobile_events");
}

#[test]
fn website_chat_killed_and_resumed() {
    stream("website_chat");
}

#[test]
fn partner_feed_killed_and_resumed() {
    stream("partner_feed");
}
