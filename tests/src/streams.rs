//! Graphs that never end: shards that grow, are replaced, cut off and removed while they are read.

use crate::harness::{Place, Running};
use serde_json::Value;
use std::io::{BufRead, Write};

/// Reads `in/*.ndjson` into `out`, line by line, and what cannot be read into `bad`.
const COPY: &str = r#"Graph(
    name: "copy",
    nodes: {
        "events": Stream(
            path: "in/*.ndjson",
            schema: { "user": Utf8, "at": Timestamp, "n": Int64 },
            event_time: (column: "at", lateness: "10s"),
        ),
        "out": Files(input: "events", path: "out", format: Ndjson(), mode: Append, roll: (interval: "200ms")),
        "bad": Files(input: "events.errors", path: "bad", format: Ndjson(), mode: Append),
    },
)"#;

fn event(n: usize) -> String {
    format!("{{\"user\":\"u{}\",\"at\":\"2026-01-01T00:00:{:02}Z\",\"n\":{n}}}\n", n % 7, n % 60)
}

fn events(numbers: std::ops::Range<usize>) -> String {
    numbers.map(event).collect()
}

fn append(place: &Place, shard: &str, text: &str) {
    let path = place.path(shard);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The numbers of all published rows, sorted.
fn numbers(place: &Place) -> Vec<u64> {
    let number = |line: &String| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap();
    let mut numbers: Vec<u64> = place.published("out").iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// A running copy that has published the first row, so that it is known to be at work.
fn started(place: &Place) -> Running {
    append(place, "in/a.ndjson", &event(0));
    let running = place.start(&["run", "graph.ron", "--quiet"]);
    place.until("the first row", || numbers(place) == [0]);
    running
}

fn ended(running: Running) {
    running.signal(libc::SIGTERM);
    running.wait().code(0);
}

#[test]
fn a_stream_is_caught_up_with_and_gone_on_from_there() {
    let place = Place::with(COPY);
    append(&place, "in/a.ndjson", &events(0..1000));
    append(&place, "in/b.ndjson", &(events(1000..1500) + "{\"user\":\"half"));
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(numbers(&place), (0..1500).collect::<Vec<_>>());
    // Nothing new.
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(numbers(&place).len(), 1500);
    append(&place, "in/b.ndjson", &format!("\",\"n\":1500}}\n{}", events(1501..1510)));
    append(&place, "in/c.ndjson", &events(1510..1600));
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(numbers(&place), (0..1600).collect::<Vec<_>>());
}

#[test]
fn rows_are_published_while_the_stream_goes_on() {
    let place = Place::with(COPY);
    let running = started(&place);
    append(&place, "in/a.ndjson", &events(1..100));
    append(&place, "in/new.ndjson", &events(100..200));
    place.until("two hundred rows", || numbers(&place).len() == 200);
    append(&place, "in/new.ndjson", "{\"n\": \"no number\"}\nno json\n");
    append(&place, "in/a.ndjson", &events(200..300));
    place.until("three hundred rows", || numbers(&place).len() == 300);
    place.until("the bad lines", || place.published("bad").len() == 2);
    ended(running);
    assert_eq!(numbers(&place), (0..300).collect::<Vec<_>>());
    assert!(place.published("bad").iter().any(|line| line.contains("in/new.ndjson:102: ")), "lines have numbers");
}

#[test]
fn what_comes_before_the_end_is_published_at_the_end() {
    let place = Place::with(&COPY.replace("200ms", "1h"));
    append(&place, "in/a.ndjson", &events(0..100));
    let running = place.start(&["run", "graph.ron", "--quiet", "--report", "report.json"]);
    place.until("rows on the way", || {
        let staged = place.files("out");
        staged.iter().any(|f| f.extension().is_some_and(|e| e == "part") && std::fs::metadata(f).is_ok())
    });
    ended(running);
    assert_eq!(numbers(&place), (0..100).collect::<Vec<_>>());
    let report: Value = serde_json::from_slice(&std::fs::read(place.path("report.json")).unwrap()).unwrap();
    assert_eq!(report["status"], "done");
    let node = |name: &str| report["nodes"].as_array().unwrap().iter().find(|n| n["name"] == name).unwrap().clone();
    assert_eq!(node("events")["watermarks"][0]["part"], "in/a.ndjson");
    assert_eq!(node("events")["watermarks"][0]["time"], "2026-01-01T00:00:49.000000Z");
    assert_eq!(node("out")["latency"]["rows"], 100);
}

#[test]
fn a_shard_that_is_rotated_is_read_to_its_end_and_the_new_one_from_its_start() {
    let place = Place::with(COPY);
    let running = started(&place);
    append(&place, "in/a.ndjson", &events(1..50));
    std::fs::rename(place.path("in/a.ndjson"), place.path("in/a.ndjson.1")).unwrap();
    // A writer that has not heard of it yet, and whose last line has no end.
    append(&place, "in/a.ndjson.1", &(events(50..60) + event(60).trim_end()));
    append(&place, "in/a.ndjson", &events(61..100));
    place.until("one hundred rows", || numbers(&place).len() == 100);
    ended(running);
    assert_eq!(numbers(&place), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_shard_that_is_cut_off_is_read_from_its_start() {
    let place = Place::with(COPY);
    append(&place, "in/a.ndjson", &events(0..1000));
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    std::fs::write(place.path("in/a.ndjson"), events(1000..1010)).unwrap();
    place.selvedge(&["run", "graph.ron", "--once", "--report", "report.json"]).code(0);
    assert_eq!(numbers(&place), (0..1010).collect::<Vec<_>>());
    let report = std::fs::read_to_string(place.path("report.json")).unwrap();
    assert!(report.contains("shards truncated"), "{report}");
}

#[test]
fn a_shard_that_is_removed_is_read_to_its_end_and_may_come_back() {
    let place = Place::with(COPY);
    let running = started(&place);
    append(&place, "in/gone.ndjson", &events(1..20));
    place.until("twenty rows", || numbers(&place).len() == 20);
    std::fs::remove_file(place.path("in/gone.ndjson")).unwrap();
    append(&place, "in/a.ndjson", &events(20..30));
    place.until("thirty rows", || numbers(&place).len() == 30);
    append(&place, "in/gone.ndjson", &events(30..40));
    place.until("forty rows", || numbers(&place).len() == 40);
    ended(running);
    assert_eq!(numbers(&place), (0..40).collect::<Vec<_>>());
}

#[test]
fn a_long_line_comes_in_pieces_and_a_too_long_one_is_an_error() {
    let place = Place::with(&COPY.replace("event_time:", "max_record: 3000000, event_time:"));
    let long = |n: usize, bytes: usize| format!("{{\"user\":\"{}\",\"n\":{n}}}\n", "x".repeat(bytes));
    append(&place, "in/a.ndjson", &(events(0..10) + &long(10, 2_500_000) + &long(99, 4_000_000) + &events(11..20)));
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(numbers(&place), (0..20).collect::<Vec<_>>());
    let bad = place.published("bad");
    assert_eq!(bad.len(), 1);
    assert!(
        bad[0].contains("in/a.ndjson:12: a line of 4000018 bytes, where 3000000 are allowed"),
        "{}",
        &bad[0][..300]
    );
}

#[test]
fn an_event_from_the_future_is_an_error_and_moves_no_watermark() {
    let place = Place::with(COPY);
    append(
        &place,
        "in/a.ndjson",
        "{\"n\":0,\"at\":\"2026-01-01T00:00:00Z\"}\n{\"n\":1,\"at\":\"2999-01-01T00:00:00Z\"}\n{\"n\":2}\n",
    );
    place.selvedge(&["run", "graph.ron", "--once", "--report", "report.json"]).code(0);
    assert_eq!(numbers(&place), [0, 2]);
    let bad = place.published("bad");
    assert!(bad[0].contains("time.future") && bad[0].contains("s ahead of the clock of this machine"), "{bad:?}");
    let report = std::fs::read_to_string(place.path("report.json")).unwrap();
    assert!(report.contains("2025-12-31T23:59:50.000000Z"), "{report}");
}

#[test]
fn what_waits_for_the_end_of_a_stream_is_refused() {
    let graph = COPY
        .replace("input: \"events\",", "input: \"sorted\",")
        .replace("\"out\":", "\"sorted\": Sort(input: \"events\", by: [\"n\"]),\n        \"out\":");
    let place = Place::with(&graph);
    let ran = place.selvedge(&["check", "graph.ron"]).code(2);
    let ran = ran.says("`sorted` waits for the end of its input, but `events` never ends");
    ran.says("GroupSort");
}

#[test]
fn what_one_graph_appends_another_reads() {
    let place = Place::new();
    place.write("connections.ron", r#"Connections(profiles: { "local": { "here": Folder(path: ".") } })"#);
    let first = COPY.replace("name: \"copy\"", "name: \"first\"").replace(
        r#"Files(input: "events", path: "out", format: Ndjson(), mode: Append, roll: (interval: "200ms"))"#,
        r#"Stream(input: "events", connection: "here", path: "between", shards: 3, key: ["user"], interval: "200ms")"#,
    );
    place.write("first.ron", first);
    place.write("second.ron", COPY.replace("in/*.ndjson", "between/*.ndjson").replace("\"bad\"", "\"worse\""));
    std::fs::create_dir_all(place.path("between")).unwrap();
    append(&place, "in/a.ndjson", &events(0..500));
    let first = place.start(&["run", "first.ron", "--quiet", "--state", "one"]);
    let second = place.start(&["run", "second.ron", "--quiet", "--state", "two"]);
    place.until("all that was there", || numbers(&place).len() == 500);
    append(&place, "in/b.ndjson", &events(500..1000));
    place.until("what came then", || numbers(&place).len() == 1000);
    ended(first);
    ended(second);
    assert_eq!(numbers(&place), (0..1000).collect::<Vec<_>>());
    // All rows of a user are in one shard.
    let mut shards = std::collections::BTreeMap::new();
    for file in place.files("between").iter().filter(|f| f.extension().is_some_and(|e| e == "ndjson")) {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let user = serde_json::from_str::<Value>(line).unwrap()["user"].to_string();
            assert_eq!(shards.entry(user).or_insert_with(|| file.clone()), file);
        }
    }
    assert_eq!(shards.len(), 7);
}

#[test]
fn lines_of_text_are_rows() {
    let graph = r#"Graph(
        name: "logs",
        nodes: {
            "log": Stream(path: "in/*.log", format: Lines(), max_record: 1500000, shard: "file"),
            "out": Files(input: "log", path: "out", format: Ndjson(), mode: Append),
            "bad": Files(input: "log.errors", path: "bad", format: Ndjson(), mode: Append),
        },
    )"#;
    let place = Place::with(graph);
    let long = "x".repeat(1_400_000);
    let text = format!("first\r\n\n  \n\u{5e9}\u{5dc}\u{5d5}\u{5dd} e\u{301}\n{long}\n{long}{long}\nlast\nhalf a line");
    append(&place, "in/a.log", &text);
    let mut file = std::fs::File::create(place.path("in/b.log")).unwrap();
    file.write_all(b"good\nb\xffd\n").unwrap();
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    let mut lines: Vec<(String, String)> = vec![];
    for line in place.published("out") {
        let row: Value = serde_json::from_str(&line).unwrap();
        lines.push((row["file"].as_str().unwrap().into(), row["line"].as_str().unwrap().into()));
    }
    lines.sort();
    let expected = ["first", "last", &long, "\u{5e9}\u{5dc}\u{5d5}\u{5dd} e\u{301}"];
    let mut expected: Vec<_> = expected.iter().map(|line| ("in/a.log".to_string(), line.to_string())).collect();
    expected.push(("in/b.log".into(), "good".into()));
    expected.sort();
    assert_eq!(lines, expected);
    let bad = place.published("bad").join("\n");
    assert!(bad.contains("in/a.log:6: a line of 2800000 bytes, where 1500000 are allowed"), "{}", &bad[..400]);
    assert!(bad.contains("in/b.log:2: not UTF-8, at byte 2 of the line"), "{}", &bad[..400]);
}

/// Rows of one minute counted as event time passes, and those that come after that.
#[test]
fn a_window_is_sent_when_its_time_has_passed_and_late_rows_leave_by_their_port() {
    let graph = r#"Graph(
        name: "windows",
        nodes: {
            "events": Stream(
                path: "in/*.ndjson",
                schema: { "user": Utf8, "at": Timestamp, "n": Int64 },
                event_time: (column: "at", lateness: "10s"),
            ),
            "minutes": Window(
                input: "events", keys: ["user"], time: "at", window: Tumbling("1m"), aggregates: { "n": "sum(n)" },
            ),
            "out": Files(input: "minutes", path: "out", format: Ndjson(), mode: Append, roll: (interval: "200ms")),
            "late": Files(input: "minutes.late", path: "late", format: Ndjson(), mode: Append),
            "bad": Files(input: ["events.errors", "minutes.errors"], path: "bad", format: Ndjson(), mode: Append),
        },
    )"#;
    let place = Place::with(graph);
    let at = |time: &str, n: u64| format!("{{\"user\":\"ann\",\"at\":\"2026-01-01T00:{time}Z\",\"n\":{n}}}\n");
    append(&place, "in/a.ndjson", &(at("00:01", 1) + &at("00:59", 2) + &at("01:05", 4)));
    let running = place.start(&["run", "graph.ron", "--quiet", "--report", "report.json"]);
    // The watermark is ten seconds behind: the first minute is not over yet.
    append(&place, "in/a.ndjson", &(at("00:30", 8) + &at("01:10", 16)));
    place.until("the first minute", || numbers(&place) == [11]);
    append(&place, "in/a.ndjson", &(at("00:45", 32) + &at("01:20", 64)));
    place.until("the late row", || place.published("late").len() == 1);
    assert_eq!(numbers(&place), [11]);
    // The second minute waits for the next run, and is over when that has come to the end.
    ended(running);
    assert_eq!(numbers(&place), [11]);
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(numbers(&place), [11, 84]);
    assert!(place.published("late")[0].contains("\"n\":32"));
}

/// No node of the graph has state, so positions are kept with each epoch.
#[test]
fn a_killed_stream_goes_on_behind_what_it_published() {
    let place = Place::with(COPY);
    let running = started(&place);
    append(&place, "in/a.ndjson", &events(1..1000));
    let bytes = std::fs::metadata(place.path("in/a.ndjson")).unwrap().len();
    let kept = || std::fs::read_to_string(place.path(".selvedge/copy/checkpoint.json")).unwrap_or_default();
    place.until("positions", || kept().contains(&format!("\\\"offset\\\":{bytes},")));
    running.signal(libc::SIGKILL);
    assert_eq!(running.wait().code, None);
    append(&place, "in/a.ndjson", &events(1000..1500));
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(numbers(&place), (0..1500).collect::<Vec<_>>());
    // What is remembered can be looked at, and forgotten.
    let bytes = std::fs::metadata(place.path("in/a.ndjson")).unwrap().len();
    let shown = place.selvedge(&["bookmark", "show"]).code(0).stdout;
    assert!(shown.starts_with("copy: run ") && shown.contains(&format!("\"offset\":{bytes},")), "{shown}");
    place
        .selvedge(&["bookmark", "reset", "coyp"])
        .code(2)
        .says("remembers nothing of a graph `coyp`; graphs that it knows: copy");
    place.selvedge(&["bookmark", "reset", "copy"]).code(0);
    assert_eq!(place.selvedge(&["bookmark", "show"]).code(0).stdout, "");
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(numbers(&place).len(), 3000);
}

#[test]
fn a_disk_that_is_full_ends_the_stream_and_nothing_is_lost() {
    let place = Place::with(COPY);
    append(&place, "in/a.ndjson", &events(0..20_000));
    let limit = |command: &mut std::process::Command| {
        use std::os::unix::process::CommandExt;
        // SAFETY: between fork and exec only these two calls are made, which may be made there.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                let limit = libc::rlimit { rlim_cur: 100_000, rlim_max: 100_000 };
                libc::setrlimit(libc::RLIMIT_FSIZE, &limit);
                Ok(())
            });
        }
    };
    let ran = place.start_with(&["run", "graph.ron", "--once"], limit).wait().code(1);
    assert!(ran.stderr.contains("writing ") && ran.stderr.contains("in `out`"), "{ran}");
    assert_eq!(numbers(&place), [0u64; 0]);
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(numbers(&place), (0..20_000).collect::<Vec<_>>());
}

/// Reads the folder again and again while the stream publishes into it, and stops when all rows are there.
const POLL: &str = r#"
import glob, sys
import pyarrow.parquet as pq
seen = 0
polls = 0
print("ready", flush=True)
while seen < int(sys.argv[1]):
    rows = sum(pq.read_table(path).num_rows for path in glob.glob("out/**/*.parquet", recursive=True))
    assert rows >= seen, f"{rows} rows after {seen}"
    seen, polls = rows, polls + 1
print("polls", polls)
"#;

#[test]
fn another_program_that_reads_the_folder_meanwhile_never_sees_half_a_file() {
    let graph = COPY.replace(
        "format: Ndjson(), mode: Append, roll: (interval: \"200ms\")",
        "format: Parquet(), mode: Append, partition_by: [\"user\"], roll: (interval: \"100ms\")",
    );
    let place = Place::with(&graph);
    place.write("poll.py", POLL);
    let mut python = std::process::Command::new("python3");
    python.arg("poll.py").arg("6000").current_dir(place.path(""));
    python.env("PYTHONPATH", selvedge_servers::python(&crate::orc::PACKAGES));
    let mut python = python.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(python.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    std::fs::create_dir_all(place.path("in")).unwrap();
    let running = place.start(&["run", "graph.ron", "--quiet"]);
    let files = || place.files("out").iter().filter(|f| f.extension().is_some_and(|e| e == "parquet")).count();
    for part in 0..6 {
        append(&place, "in/a.ndjson", &events(part * 1000..(part + 1) * 1000));
        place.until("the next epoch", || files() >= (part + 1) * 7);
    }
    let status = python.wait().unwrap();
    assert!(status.success(), "{status}");
    ended(running);
}

const JOINED: &str = r#"Graph(name: "joined", nodes: {
    "clicks": Stream(path: "clicks/*.ndjson", schema: {"user": Utf8, "ts": Timestamp, "n": Int64}, event_time: (column: "ts", lateness: "1s")),
    "orders": Stream(path: "orders/*.ndjson", schema: {"user": Utf8, "ts": Timestamp, "n": Int64}, event_time: (column: "ts", lateness: "1s")),
    "people": Files(path: "people.csv", format: Csv()),
    "near": Join(input: {"left": "orders", "right": "clicks"}, on: ["user"], how: Left, within: (time: "ts", before: "10s"), suffix: "_click"),
    "named": Join(input: {"left": "near", "right": "people"}, on: ["user"]),
    "out": Files(input: "named", path: "out", format: Ndjson(), mode: Append, roll: (interval: "200ms")),
    "bad": Files(input: ["clicks.errors", "orders.errors", "near.errors"], path: "bad", format: Ndjson(), mode: Append),
})"#;

/// Orders meet the clicks of the ten seconds before them, and a table. Killed and stopped on the way, with other numbers of threads.
#[test]
fn two_streams_and_a_table_are_joined_across_kills() {
    let place = Place::with(JOINED);
    std::fs::write(place.path("people.csv"), "user,name\nu0,Ann\nu1,Bob\nu2,Cid\n").unwrap();
    for folder in ["clicks", "orders"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    // A second each; users in turn, of whom the last has no name. A click in the seconds that 4 divides.
    let line = |n: usize| {
        format!(
            "{{\"user\":\"u{}\",\"ts\":\"2026-01-01T{:02}:{:02}:{:02}Z\",\"n\":{n}}}\n",
            n % 4,
            n / 3600,
            n / 60 % 60,
            n % 60
        )
    };
    let put = |from: usize, to: usize| {
        append(&place, "orders/a.ndjson", &(from..to).map(line).collect::<String>());
        append(&place, "clicks/a.ndjson", &(from..to).filter(|n| n % 3 > 0).map(line).collect::<String>());
    };
    let expected: Vec<(u64, Option<u64>)> = (0..3000u64)
        .filter(|n| n % 4 < 3)
        .flat_map(|n| {
            let clicks: Vec<_> = (n.saturating_sub(10)..=n).filter(|c| c % 4 == n % 4 && c % 3 > 0).collect();
            let none = clicks.is_empty().then_some((n, None));
            clicks.into_iter().map(move |c| (n, Some(c))).chain(none).collect::<Vec<_>>()
        })
        .collect();
    let found = || {
        let rows = place.published("out").into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let mut rows: Vec<_> = rows.map(|row| (row["n"].as_u64().unwrap(), row["n_click"].as_u64())).collect();
        rows.sort_unstable();
        rows
    };
    put(0, 500);
    for (round, threads) in ["1", "4", "2", "4", "2"].into_iter().enumerate() {
        let running = place.start(&["run", "graph.ron", "--quiet", "--threads", threads]);
        let before = place.published("out").len();
        put(500 + 500 * round, 1000 + 500 * round);
        place.until("rows of this round", || place.published("out").len() > before + 100);
        if round % 2 == 0 {
            running.signal(libc::SIGKILL);
            assert_eq!(running.wait().code, None);
        } else {
            ended(running);
        }
        let rows = found();
        assert!(rows.windows(2).all(|w| w[0] < w[1]), "a row comes twice in round {round}");
    }
    place.selvedge(&["run", "graph.ron", "--once"]).code(0);
    assert_eq!(found(), expected);
}

/// What becomes of what nodes remember when a graph is changed is told beforehand.
#[test]
fn two_versions_of_a_graph_are_compared() {
    let place = Place::with(COPY);
    let old = COPY.replace(
        "\"out\": Files(input: \"events\",",
        "\"once\": Dedup(input: \"events\", keys: [\"user\", \"n\"], keep: Any, within: (time: \"at\", for: \"1h\")),
        \"twice\": Dedup(input: \"once\", keys: [\"n\"], keep: Any, within: (time: \"at\", for: \"1h\")),
        \"out\": Files(input: \"twice\",",
    );
    let old = old
        .replace("[\"events.errors\"]", "\"events.errors\"")
        .replace("input: \"events.errors\"", "input: [\"events.errors\", \"once.errors\", \"twice.errors\"]");
    place.write("old.ron", &old);
    let told = place.selvedge(&["plan", "--diff", "old.ron", "old.ron"]).code(0).stdout;
    assert_eq!(
        told,
        "the nodes are the same\nwhat is remembered, where NEW goes on after OLD\n  events  is gone on from\n  once    is gone on from\n  twice   is gone on from\n"
    );
    // Other settings go on with what there is; other keys do not fit; what is gone is dropped.
    place.write("longer.ron", old.replacen("1h", "2h", 1));
    place
        .selvedge(&["plan", "--diff", "old.ron", "longer.ron"])
        .code(0)
        .prints("~ once  Dedup other settings")
        .prints("once    is gone on from");
    place.write("keys.ron", old.replace("[\"user\", \"n\"]", "[\"user\"]"));
    let told = place.selvedge(&["plan", "--diff", "old.ron", "keys.ron"]).code(1).stdout;
    assert!(
        told.contains("once    does not fit, and NEW is refused: then Dedup of (user: Utf8,")
            && told.contains(" by user, n; now Dedup of"),
        "{told}"
    );
    let told = place.selvedge(&["plan", "--diff", "old.ron", "graph.ron"]).code(0).stdout;
    assert!(
        told.contains("- once   Dedup is gone")
            && told.contains("twice   is dropped")
            && told.contains("~ out    Files other inputs"),
        "{told}"
    );
    let told = place.selvedge(&["plan", "--diff", "graph.ron", "old.ron"]).code(0).stdout;
    assert!(told.contains("+ once   Dedup is new") && told.contains("twice   begins with nothing"), "{told}");
    let wider = old.replace("\"n\": Int64 }", "\"n\": Int64, \"extra\": Utf8 }");
    place.write("wider.ron", wider);
    place.selvedge(&["plan", "--diff", "old.ron", "wider.ron"]).code(1).prints("sends also extra: Utf8");
    place.write("named.ron", old.replace("\"copy\"", "\"other\""));
    place
        .selvedge(&["plan", "--diff", "old.ron", "named.ron"])
        .code(0)
        .prints("the graph was `copy` and is `other`: nothing that is remembered is found");
}
