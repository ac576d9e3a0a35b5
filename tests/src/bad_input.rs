//! What the world sends: broken rows, broken files, full disks. Always a clear error or rows on `errors`; never a panic,
//! never a hang, and nothing published that is not whole.

use crate::harness::{Place, Ran, json};
use std::io::Write;
use std::os::unix::process::CommandExt;

/// Reads `in/*`, writes the rows to `out/good` and what was wrong to `out/bad`.
fn reader(settings: &str) -> Place {
    Place::with(&format!(
        r#"Graph(name: "read", nodes: {{
            "rows": Files(path: "in/*", {settings}),
            "good": Files(input: "rows", path: "out/good", format: Ndjson()),
            "bad": Files(input: "rows.errors", path: "out/bad", format: Ndjson()),
        }})"#
    ))
}

const CSV: &str = "format: Csv(), schema: { \"a\": Utf8, \"n\": Int32 }";
const NDJSON: &str = "format: Ndjson(), schema: { \"a\": Utf8, \"n\": Int32 }";

impl Place {
    fn run(&self) -> Ran {
        self.selvedge(&["run", "graph.ron", "--report", "run.json", "--quiet"])
    }

    /// Reason and row as it stood in the file, of every rejected row.
    fn rejected(&self) -> Vec<(String, String)> {
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_string();
        let rows =
            self.published("out/bad").into_iter().map(|l| serde_json::from_str::<serde_json::Value>(&l).unwrap());
        let mut found: Vec<_> = rows.map(|v| (text(&v["errorCode"]), text(&v["rawData"]))).collect();
        found.sort();
        found
    }
}

#[track_caller]
fn rejected(place: &Place, expected: &[(&str, &str)]) {
    let found = place.rejected();
    let found: Vec<(&str, &str)> = found.iter().map(|(code, raw)| (code.as_str(), raw.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn broken_csv_rows_go_to_errors() {
    let place = reader(CSV);
    place.write("in/1.csv", "a,n\nx,1\ny\nz,3,4\n\"q\"r,5\n\"two\nlines\",6\nlast,7");
    place.run().code(0);
    assert_eq!(
        place.published("out/good"),
        [r#"{"a":"last","n":7}"#, r#"{"a":"two\nlines","n":6}"#, r#"{"a":"x","n":1}"#]
    );
    rejected(&place, &[("csv.columns", "y"), ("csv.columns", "z,3,4"), ("csv.quote", "\"q\"r,5")]);
}

#[test]
fn a_quote_that_is_never_closed_takes_no_more_than_its_record() {
    let place = reader("format: Csv(max_record: 1000), schema: { \"a\": Utf8, \"n\": Int32 }");
    place.write("in/1.csv", format!("a,n\nx,1\n\"open,2\n{}", "more,3\n".repeat(100_000)));
    let ran = place.run().code(0);
    let reasons: Vec<String> = place.rejected().into_iter().map(|(code, _)| code).collect();
    assert!(reasons.iter().any(|r| r == "csv.quote" || r == "csv.record_too_long"), "{reasons:?} {ran}");
    assert!(place.published("out/good").contains(&r#"{"a":"x","n":1}"#.to_string()));
}

#[test]
fn broken_ndjson_rows_go_to_errors() {
    let place = reader(NDJSON);
    place.write(
        "in/1.ndjson",
        "{\"a\":\"x\",\"n\":1}\n{\"a\":\n[1,2]\n{\"a\":\"y\",\"n\":\"many\"}\n\n{\"a\":\"z\"}\nnull",
    );
    place.run().code(0);
    assert_eq!(place.published("out/good"), [r#"{"a":"x","n":1}"#, r#"{"a":"z"}"#]);
    let codes: Vec<String> = place.rejected().into_iter().map(|(code, _)| code).collect();
    assert_eq!(
        codes.iter().filter(|c| *c == "ndjson.syntax").count() + codes.iter().filter(|c| *c == "ndjson.type").count(),
        4,
        "{codes:?}"
    );
}

#[test]
fn invalid_utf8_goes_to_errors() {
    let place = reader(CSV);
    place.write("in/1.csv", b"a,n\nx,1\nM\xfcller,2\nz,3\n");
    place.run().code(0);
    assert_eq!(place.published("out/good").len(), 2);
    rejected(&place, &[("csv.utf8", "M\u{fffd}ller,2")]);

    let place = reader(NDJSON);
    place.write("in/1.ndjson", b"{\"a\":\"x\",\"n\":1}\n{\"a\":\"M\xfcller\",\"n\":2}\n");
    place.run().code(0);
    assert_eq!(place.published("out/good").len(), 1);
    rejected(&place, &[("ndjson.utf8", "{\"a\":\"M\u{fffd}ller\",\"n\":2}")]);
}

#[test]
fn wrong_types_go_to_errors() {
    let place = reader(CSV);
    place.write("in/1.csv", "a,n\nx, 12 \ny,N/A\nz,12.7\nw,99999999999\n");
    place.run().code(0);
    assert_eq!(place.published("out/good"), [r#"{"a":"x","n":12}"#, r#"{"a":"z","n":12}"#]);
    rejected(&place, &[("cast", r#"{"a":"w","n":"99999999999"}"#), ("cast", r#"{"a":"y","n":"N/A"}"#)]);
}

#[test]
fn rejected_rows_that_nobody_takes_stop_the_run() {
    let place = Place::with(
        r#"Graph(name: "strict", nodes: {
            "rows": Files(path: "in/*", format: Csv(), schema: { "a": Utf8, "n": Int32 }),
            "good": Files(input: "rows", path: "out/good", format: Ndjson()),
        })"#,
    );
    place.write("in/1.csv", "a,n\nx,1\ny\n");
    place.run().code(1).says("rows.errors");
    place.nothing_published();
}

#[test]
fn empty_files_are_no_rows() {
    let place = reader(CSV);
    place.write("in/1.csv", "");
    place.write("in/2.csv", "a,n\n");
    place.write("in/3.csv", "\u{feff}a,n\r\nx,1\r\n");
    place.write("in/4.csv", "\n\n\n");
    place.run().code(0);
    assert_eq!(place.published("out/good"), [r#"{"a":"x","n":1}"#]);
    rejected(&place, &[]);
}

#[test]
fn a_folder_of_empty_files_without_schema_is_a_wrong_graph() {
    let place = reader("format: Csv()");
    place.write("in/1.csv", "");
    place.run().code(2).says("schema");
    let place = reader("format: Parquet");
    place.write("in/1.parquet", "");
    place.run().code(2).says("empty");
}

#[test]
fn a_truncated_gzip_fails_and_publishes_nothing() {
    let place = reader(CSV);
    let mut packer = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packer.write_all(b"a,n\n").unwrap();
    for n in 0..50_000u32 {
        packer.write_all(format!("{:x},{n}\n", n.wrapping_mul(2_654_435_761)).as_bytes()).unwrap();
    }
    let packed = packer.finish().unwrap();
    place.write("in/whole.csv.gz", &packed);
    place.run().code(0);
    assert_eq!(place.published("out/good").len(), 50_000);

    place.write("in/whole.csv.gz", &packed[..packed.len() / 2]);
    place.run().code(1).says("whole.csv.gz");
    assert_eq!(place.published("out/good").len(), 50_000, "the last good run is still there");

    let mut flipped = packed.clone();
    flipped[packed.len() / 2] ^= 0x55;
    place.write("in/whole.csv.gz", &flipped);
    place.run().code(1).says("whole.csv.gz");
    assert_eq!(place.published("out/good").len(), 50_000);
}

#[test]
fn a_damaged_parquet_file_fails_and_publishes_nothing() {
    let place = reader("format: Parquet");
    place.selvedge(&["gen", "orders", "--rows", "20000", "--out", "in", "--format", "parquet", "--seed", "3"]).code(0);
    let file = place.files("in").into_iter().find(|f| f.extension().is_some_and(|e| e == "parquet")).unwrap();
    let whole = std::fs::read(&file).unwrap();
    place.run().code(0);
    let rows = place.published("out/good").len();

    // Cut off: there is no footer, so already the plan fails.
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    place.run().code(2).says(".parquet");
    // A page overwritten: the footer is good, the data is not.
    let mut holed = whole.clone();
    let middle = whole.len() / 3;
    holed[middle..middle + 4096].fill(0xff);
    std::fs::write(&file, &holed).unwrap();
    place.run().code(1).says(".parquet");
    assert_eq!(place.published("out/good").len(), rows, "the last good run is still there");
}

#[test]
fn noise_is_no_data() {
    // A fixed sequence of bytes that look like nothing.
    let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (settings, code) in [
        (CSV, 0),
        (NDJSON, 0),
        ("format: Parquet", 2),
        ("format: Arrow", 2),
        ("format: Csv()", 0),
        ("format: Ndjson()", 0),
    ] {
        let place = reader(settings);
        place.write("in/noise", &noise);
        let ran = place.run();
        // What the first line of noise makes of the header is open: a graph that is wrong, or rows that are.
        assert!(ran.code == Some(code) || ran.code == Some(2), "{settings}: {ran}");
        ran.code(if place.path("run.json").exists() { 0 } else { 2 });
    }
}

/// Three records, of which the second has 100 MB without a line break.
fn one_long_line(place: &Place, name: &str, [first, open, close, last]: [&str; 4]) {
    std::fs::create_dir_all(place.path("in")).unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(place.path(name)).unwrap());
    file.write_all(first.as_bytes()).unwrap();
    file.write_all(open.as_bytes()).unwrap();
    let block = [b'x'; 1 << 16];
    for _ in 0..1600 {
        file.write_all(&block).unwrap();
    }
    file.write_all(close.as_bytes()).unwrap();
    file.write_all(last.as_bytes()).unwrap();
}

fn survives_a_long_line(settings: &str, name: &str, parts: [&str; 4], code: &str) {
    let place = reader(settings);
    one_long_line(&place, name, parts);
    let ran = place.selvedge(&["run", "graph.ron", "--report", "run.json", "--quiet", "--memory", "64MiB"]).code(0);
    assert_eq!(place.published("out/good"), [r#"{"a":"x","n":1}"#, r#"{"a":"z","n":3}"#]);
    let found = place.rejected();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, code);
    assert!(found[0].1.len() <= 65 << 10, "{} bytes of the long line are kept", found[0].1.len());
    let peak = json(&place.path("run.json"))["process_peak_bytes"].as_u64().unwrap();
    assert!(peak < 200 << 20, "{} MiB for a line that is thrown away: {ran}", peak >> 20);
}

#[test]
fn an_endless_csv_line_is_one_rejected_row() {
    survives_a_long_line(CSV, "in/1.csv", ["a,n\nx,1\n", "", ",2\n", "z,3\n"], "csv.record_too_long");
}

#[test]
fn an_endless_ndjson_line_is_one_rejected_row() {
    let parts = ["{\"a\":\"x\",\"n\":1}\n", "{\"a\":\"", "\"}\n", "{\"a\":\"z\",\"n\":3}\n"];
    survives_a_long_line(NDJSON, "in/1.ndjson", parts, "ndjson.record_too_long");
}

#[test]
fn missing_files_are_a_wrong_graph() {
    let place = reader(CSV);
    place.run().code(2).says("in/*");
    let place = Place::with(
        r#"Graph(name: "table", nodes: {
            "rows": Table(connection: "db", table: "inventry"),
            "none": Null(input: ["rows", "rows.errors"]),
        })"#,
    );
    place.write("connections.ron", r#"Connections(profiles: {"local": {"db": Sqlite(path: "shop.db")}})"#);
    place.run().code(2).says("shop.db");
    assert!(!place.path("shop.db").exists(), "reading must not make a database");
    rusqlite::Connection::open(place.path("shop.db")).unwrap().execute_batch("create table inventory (a)").unwrap();
    place.run().code(2).says("`inventory`");
    place.write("shop.db", "this is no database, but it is long enough to be taken for one ".repeat(100));
    place.run().code(2).says("shop.db");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let place = reader(CSV);
    place.write("in/1.csv", "a,n\nx,1\n");
    std::os::unix::fs::symlink("..", place.path("in/loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("in/dangling.csv")).unwrap();
    let pipe = std::ffi::CString::new(place.path("in/pipe.csv").to_str().unwrap()).unwrap();
    // SAFETY: the path is a valid C string.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    place.run().code(0);
    assert_eq!(place.published("out/good").len(), 1);

    let text = std::fs::read_to_string(place.path("graph.ron")).unwrap();
    place.write("graph.ron", text.replace("in/*", "in/pipe.csv"));
    place.run().code(2).says("neither a file nor a folder");
}

#[test]
fn nesting_without_end_is_a_rejected_row() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    for settings in [NDJSON, "format: Ndjson()"] {
        let place = reader(settings);
        place.write("in/1.ndjson", format!("{{\"a\":\"x\",\"n\":1}}\n{deep}\n{objects}\n"));
        place.run().code(0);
        assert_eq!(place.published("out/good"), [r#"{"a":"x","n":1}"#]);
        assert_eq!(place.rejected().len(), 2);
    }
}

#[test]
fn wrong_graph_files_are_2() {
    let deep = format!(
        "Graph(name: \"deep\", nodes: {{ \"a\": Null(input: {}1{}) }})",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let wide = format!("Graph(name: \"wide\", nodes: {{ {} }})", "\"a\": Null(input: \"b\"), ".repeat(2000));
    let open = format!("Graph(name: \"open\", nodes: {}", "{ \"a\": Null(".repeat(10_000));
    let cases: [&[u8]; 9] = [
        b"",
        b"\0\0\0\0",
        b"\xff\xfe\x00",
        b"Graph(name: \"x\", nodes: {",
        b"{\"name\": \"json\"}",
        b"Graph(name: \"s\", nodes: { \"a\": Null(input: \"\\u{110000}\") })",
        deep.as_bytes(),
        wide.as_bytes(),
        open.as_bytes(),
    ];
    for graph in cases {
        let place = Place::new();
        place.write("graph.ron", graph);
        let ran = place.selvedge(&["check", "--short", "graph.ron"]).code(2);
        assert!(!ran.stderr.is_empty());
        assert!(ran.took.as_secs() < 20, "{ran}");
    }
}

#[test]
fn a_file_where_a_folder_must_be() {
    let place = reader(CSV);
    place.write("in/1.csv", "a,n\nx,1\n");
    place.write("out", "I am a file");
    let ran = place.run();
    assert!(matches!(ran.code, Some(1 | 2)), "{ran}");
    assert!(ran.stderr.contains("out"), "{ran}");
    // Root may do everything, so a folder that may not be read cannot be tested here; a name that is too long can.
    let name = "x".repeat(300);
    let place = Place::with(&format!(
        r#"Graph(name: "long", nodes: {{
            "rows": Generate(shape: Counter, rows: 10), "kept": Files(input: "rows", path: "{name}", format: Csv()),
        }})"#
    ));
    place.run().code(1).says("name too long");
}

/// As on a full disk: no file of the process may grow beyond 64 KiB, writing more is an error.
fn with_small_disk(place: &Place, words: &[&str]) -> Ran {
    let run = place.start_with(words, |command| {
        // SAFETY: both calls are safe between fork and exec, and touch only the child.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                let limit = libc::rlimit { rlim_cur: 64 << 10, rlim_max: 64 << 10 };
                if libc::setrlimit(libc::RLIMIT_FSIZE, &limit) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            });
        }
    });
    run.wait()
}

#[test]
fn a_full_disk_fails_the_run_and_publishes_nothing() {
    for format in ["Csv()", "Ndjson()", "Parquet(compression: None)", "Arrow()"] {
        let place = Place::with(&format!(
            r#"Graph(name: "full", nodes: {{
                "rows": Generate(shape: Inventory, rows: 20000), "kept": Files(input: "rows", path: "out", format: {format}),
            }})"#
        ));
        with_small_disk(&place, &["run", "graph.ron", "--quiet"]).code(1).says("too large");
        place.nothing_published();
    }
}

#[test]
fn a_warehouse_on_a_full_disk_stays_as_it_was() {
    let graph = |rows: u32| {
        format!(
            r#"Graph(name: "full", nodes: {{
                "rows": Generate(shape: Inventory, rows: {rows}),
                "kept": Warehouse(input: "rows", connection: "db", table: "stock", mode: Replace),
                "bad": Files(input: "kept.errors", path: "out", format: Ndjson()),
            }})"#
        )
    };
    let place = Place::with(&graph(10));
    place.write("connections.ron", r#"Connections(profiles: {"local": {"db": Sqlite(path: "house.db")}})"#);
    place.run().code(0);
    let count = || -> i64 {
        let db = rusqlite::Connection::open(place.path("house.db")).unwrap();
        db.query_row("select count(*) from stock", [], |r| r.get(0)).unwrap()
    };
    assert_eq!(count(), 10);
    place.write("graph.ron", graph(20_000));
    with_small_disk(&place, &["run", "graph.ron", "--quiet"]).code(1).says("house.db");
    assert_eq!(count(), 10);
    place.run().code(0);
    assert_eq!(count(), 20_000);
}

#[test]
fn state_that_cannot_spill_fails_the_run() {
    let place = Place::with(
        r#"Graph(name: "spill", nodes: {
            "rows": Generate(shape: Inventory, rows: 200000, partitions: 2),
            "sorted": Sort(input: "rows", by: ["name", "updated_at"]),
            "none": Null(input: "sorted"),
        })"#,
    );
    with_small_disk(&place, &["run", "graph.ron", "--quiet", "--memory", "16MiB"]).code(1);
    place.selvedge(&["run", "graph.ron", "--quiet", "--memory", "16MiB"]).code(0);
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let place = Place::with(
        r#"Graph(name: "out", nodes: {
            "rows": Generate(shape: Counter, rows: 100000), "seen": Stdout(input: "rows", format: Ndjson),
        })"#,
    );
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = place.start_with(&["run", "graph.ron", "--quiet"], |command| {
        command.stdout(full);
    });
    run.wait().code(1);
    let run = place.start(&["run", "graph.ron", "--quiet"]);
    run.line();
    run.close_stdout().wait().code(0);
}
