//! The sink as a run uses it: what is on disk before, during and after a commit, and after every kind of crash.

use super::publish::MANIFEST;
use super::*;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use selvedge_connect::Embedded;
use selvedge_node::{Memory, Work};
use selvedge_testkit::{Case, Recorder, show, sorted, table};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Names of all files below a folder, sorted, folders left out.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap().map(|e| e.unwrap()) {
            if entry.file_type().unwrap().is_dir() {
                walk(root, &entry.path(), names);
            } else {
                names.push(entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    let mut names = vec![];
    if folder.exists() {
        walk(folder, folder, &mut names);
    }
    names.sort();
    names
}

/// As [`tree`], without the manifest.
pub(crate) fn data(folder: &Path) -> Vec<String> {
    tree(folder).into_iter().filter(|n| !n.starts_with("_selvedge")).collect()
}

fn parquet(file: &Path) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let mut batches: Vec<_> = builder.build().unwrap().map(|b| b.unwrap()).collect();
    batches.push(RecordBatch::new_empty(schema));
    batches
}

pub(crate) fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

pub(crate) fn task(run: &str, instance: usize) -> Task {
    Task {
        run: run.into(),
        node: "node".into(),
        instance,
        instances: 2,
        memory: Memory::new(64 << 20),
        scratch: std::env::temp_dir(),
        batch_rows: 8192,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}

pub(crate) fn sink(config: &str, base: &Path, rows: &str) -> Arc<dyn Sink> {
    let built = Case::<Files<Embedded>>::new(config).base(base).input(rows).build().unwrap_or_else(|p| panic!("{p}"));
    let Work::Sink(sink) = built.work else { panic!("a sink") };
    sink
}

pub(crate) fn flush(sink: &Arc<dyn Sink>, run: &str, instance: usize, rows: &str) -> Pending {
    let mut writer = sink.open(&task(run, instance)).unwrap();
    let mut out = Recorder::default();
    writer.write(0, table(rows), &mut out).unwrap();
    writer.flush(1, &mut out).unwrap()
}

pub(crate) fn commit(run: &str) -> Commit {
    Commit { run: run.into(), epoch: 1 }
}

pub(crate) const CSV: &str = r#"(path: "out", format: Csv)"#;

#[test]
fn formats_come_back() {
    let rows = "a:Int64 | s | d:Decimal128(10, 2) | t:Timestamp(µs, \"UTC\")
                1 | x | 3.50 | 2024-03-01T10:00:00Z
                null | \"\" | null | null
                3 | \"y,z\" | -0.01 | 1969-12-31T23:59:59.999Z";
    for compression in ["Snappy", "Zstd(3)", "Gzip", "Lz4", "Brotli", "None"] {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(r#"(path: "out", format: Parquet(compression: {compression}))"#);
        let done = Case::<Files<Embedded>>::new(&config).base(dir.path()).input(rows).run();
        assert_eq!(done.absorbed["written"], 3);
        assert_eq!(data(&dir.path().join("out")), ["part-0-0.parquet"]);
        let back = parquet(&dir.path().join("out/part-0-0.parquet"));
        assert_eq!(show(&back[0]), show(&table(rows)), "{compression}");
    }
    for compression in ["None", "Lz4", "Zstd"] {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(r#"(path: "out", format: Arrow(compression: {compression}))"#);
        Case::<Files<Embedded>>::new(&config).base(dir.path()).input(rows).run();
        let file = File::open(dir.path().join("out/part-0-0.arrow")).unwrap();
        let mut reader = arrow::ipc::reader::FileReader::try_new(file, None).unwrap();
        assert_eq!(show(&reader.next().unwrap().unwrap()), show(&table(rows)), "{compression}");
    }
}

#[test]
fn compressed_text_comes_back() {
    let plain = "a,b\n1,x\n2,y\n";
    for (compression, end) in [("Gzip", "csv.gz"), ("Zstd", "csv.zst"), ("Bzip2", "csv.bz2"), ("Snappy", "csv.sz")] {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(r#"(path: "out", format: Csv, compression: {compression})"#);
        Case::<Files<Embedded>>::new(&config).base(dir.path()).input("a:Int64 | b\n1 | x\n2 | y").run();
        let file = File::open(dir.path().join(format!("out/part-0-0.{end}"))).unwrap();
        let mut text = String::new();
        match compression {
            "Gzip" => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text),
            "Zstd" => zstd::stream::read::Decoder::new(file).unwrap().read_to_string(&mut text),
            "Bzip2" => bzip2::read::MultiBzDecoder::new(file).read_to_string(&mut text),
            _ => snap::read::FrameDecoder::new(file).read_to_string(&mut text),
        }
        .unwrap();
        assert_eq!(text, plain, "{compression}");
    }
}

#[test]
fn ndjson_writes_nulls_on_request() {
    let dir = tempfile::tempdir().unwrap();
    Case::<Files<Embedded>>::new(r#"(path: "out", format: Ndjson)"#)
        .base(dir.path())
        .input("a:Int64 | b\n1 | null")
        .run();
    assert_eq!(text(&dir.path().join("out/part-0-0.ndjson")), "{\"a\":1}\n");
    Case::<Files<Embedded>>::new(r#"(path: "two", format: Ndjson(nulls: true))"#)
        .base(dir.path())
        .input("a:Int64 | b\n1 | null")
        .run();
    assert_eq!(text(&dir.path().join("two/part-0-0.ndjson")), "{\"a\":1,\"b\":null}\n");
    Case::<Files<Embedded>>::new(r#"(path: "three", format: Ndjson)"#)
        .base(dir.path())
        .input("x:Float64\nNaN\n-inf\n1")
        .run();
    assert_eq!(
        text(&dir.path().join("three/part-0-0.ndjson")),
        "{\"x\":\"NaN\"}\n{\"x\":\"-Infinity\"}\n{\"x\":1.0}\n"
    );
}

#[test]
fn no_rows_are_one_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    Case::<Files<Embedded>>::new(CSV).base(dir.path()).input("a:Int64 | b").run();
    assert_eq!(text(&dir.path().join("out/part-0-0.csv")), "a,b\n");
    Case::<Files<Embedded>>::new(r#"(path: "two")"#).base(dir.path()).input("a:Int64 | b").run();
    assert_eq!(show(&parquet(&dir.path().join("two/part-0-0.parquet"))[0]), "a:Int64 | b:Utf8");
    // An instance without rows adds nothing beside one with rows.
    let sink = sink(r#"(path: "three", format: Csv)"#, dir.path(), "a\nx");
    let pending = [flush(&sink, "r", 0, "a"), flush(&sink, "r", 1, "a\nx")];
    sink.commit(&commit("r"), &pending).unwrap();
    assert_eq!(data(&dir.path().join("three")), ["part-1-0.csv"]);
}

#[test]
fn partitions_are_by_row_and_leave_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"(path: "out", format: Csv, partition_by: ["c", "d"], max_open: 1)"#;
    let rows =
        "a:Int64 | c | d:Date32\n1 | DE | 2024-03-01\n2 | F/R | 2024-03-01\n3 | DE | 2024-03-01\n4 | null | null";
    Case::<Files<Embedded>>::new(config).base(dir.path()).input(rows).run();
    let out = dir.path().join("out");
    let default = "c=__HIVE_DEFAULT_PARTITION__/d=__HIVE_DEFAULT_PARTITION__/part-0-2.csv";
    let expected = ["c=DE/d=2024-03-01/part-0-0.csv", "c=F%2FR/d=2024-03-01/part-0-1.csv", default];
    assert_eq!(data(&out), expected);
    assert_eq!(text(&out.join(expected[0])), "a\n1\n3\n");
    assert_eq!(text(&out.join(default)), "a\n4\n");
}

#[test]
fn a_partition_that_cannot_be_a_folder_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let rows = format!("a:Int64 | c\n1 | ok\n2 | {}", "x".repeat(300));
    let done = Case::<Files<Embedded>>::new(r#"(path: "out", format: Csv, partition_by: ["c"])"#)
        .base(dir.path())
        .input(&rows)
        .run();
    assert_eq!(done.rejected.len(), 1);
    assert_eq!(done.rejected[0].code, "files.partition");
    assert_eq!(data(&dir.path().join("out")), ["c=ok/part-0-0.csv"]);
}

#[test]
fn files_roll_at_exact_rows_and_about_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "a:Int64\n1\n2\n3\n4\n5";
    Case::<Files<Embedded>>::new(r#"(path: "out", format: Csv, roll: (rows: 2))"#).base(dir.path()).input(rows).run();
    let out = dir.path().join("out");
    assert_eq!(data(&out), ["part-0-0.csv", "part-0-1.csv", "part-0-2.csv"]);
    assert_eq!(text(&out.join("part-0-1.csv")), "a\n3\n4\n");
    let big =
        RecordBatch::try_from_iter(vec![("a", Arc::new(arrow::array::Int64Array::from_iter_values(0..100_000)) as _)])
            .unwrap();
    let sink =
        sink(r#"(path: "bytes", format: Csv, roll: (bytes: 100_000), file_name: "n")"#, dir.path(), "a:Int64\n1");
    let mut writer = sink.open(&task("r", 0)).unwrap();
    for at in (0..100_000).step_by(1000) {
        writer.write(0, big.slice(at, 1000), &mut Recorder::default()).unwrap();
    }
    let pending = writer.flush(1, &mut Recorder::default()).unwrap();
    sink.commit(&commit("r"), &[pending]).unwrap();
    let names = data(&dir.path().join("bytes"));
    assert!((5..=7).contains(&names.len()) && names[0] == "n-0-0.csv", "{names:?}");
}

#[test]
fn nothing_is_visible_before_the_commit_and_a_dropped_writer_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let sink = sink(CSV, dir.path(), "a\nx");
    let mut writer = sink.open(&task("r", 0)).unwrap();
    writer.write(0, table("a\nx"), &mut Recorder::default()).unwrap();
    assert!(tree(&out).iter().all(|n| n.starts_with(".selvedge-r-")), "{:?}", tree(&out));
    drop(writer);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    let pending = flush(&sink, "r", 0, "a\nx");
    sink.abort(&[pending]);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn replace_takes_only_what_the_manifest_names() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let first = sink(r#"(path: "out", format: Csv, roll: (rows: 1))"#, dir.path(), "a\nx");
    let pending = flush(&first, "r1", 0, "a\n1\n2\n3");
    first.commit(&commit("r1"), &[pending]).unwrap();
    assert_eq!(data(&out).len(), 3);
    fs::write(out.join("_SUCCESS"), "").unwrap();
    let second = sink(CSV, dir.path(), "a\nx");
    let pending = flush(&second, "r2", 0, "a\nnew");
    second.commit(&commit("r2"), std::slice::from_ref(&pending)).unwrap();
    assert_eq!(data(&out), ["_SUCCESS", "part-0-0.csv"]);
    assert_eq!(text(&out.join("part-0-0.csv")), "a\nnew\n");
    // A late repeat of the first run's commit is known, and changes nothing.
    first.commit(&commit("r1"), &[]).unwrap();
    second.commit(&commit("r2"), &[pending]).unwrap();
    assert_eq!(text(&out.join("part-0-0.csv")), "a\nnew\n");
}

#[test]
fn foreign_files_are_refused_before_a_row_is_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("out/old")).unwrap();
    fs::write(dir.path().join("out/old/precious.csv"), "x").unwrap();
    let replace = sink(CSV, dir.path(), "a\nx");
    let error = replace.open(&task("r", 0)).err().unwrap().to_string();
    assert!(error.contains("holds `old/precious.csv`, not written by Selvedge"), "{error}");
    assert!(error.contains("mode: Append"), "{error}");
    let append = sink(r#"(path: "out", format: Csv, mode: Append)"#, dir.path(), "a\nx");
    for run in ["r1", "r2"] {
        let pending = flush(&append, run, 0, "a\nx");
        append.commit(&commit(run), &[pending]).unwrap();
    }
    assert_eq!(data(&dir.path().join("out")), ["old/precious.csv", "part-r1-0-0.csv", "part-r2-0-0.csv"]);
}

#[test]
fn empty_partition_folders_go_with_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"(path: "out", format: Csv, partition_by: ["c"])"#;
    let sink = sink(config, dir.path(), "a | c\nx | y");
    for (run, rows) in [("r1", "a | c\n1 | DE\n2 | FR"), ("r2", "a | c\n1 | FR")] {
        let pending = flush(&sink, run, 0, rows);
        sink.commit(&commit(run), &[pending]).unwrap();
    }
    assert_eq!(data(&dir.path().join("out")), ["c=FR/part-0-0.csv"]);
    assert!(!dir.path().join("out/c=DE").exists());
}

#[test]
fn later_epochs_of_a_run_add_to_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(CSV, dir.path(), "a\nx");
    let mut writer = sink.open(&task("r", 0)).unwrap();
    for epoch in 1..=3 {
        writer.write(0, table(&format!("a\n{epoch}")), &mut Recorder::default()).unwrap();
        let pending = writer.flush(epoch, &mut Recorder::default()).unwrap();
        sink.commit(&Commit { run: "r".into(), epoch }, &[pending]).unwrap();
    }
    assert_eq!(data(&dir.path().join("out")), ["part-0-0.csv", "part-e2-0-0.csv", "part-e3-0-0.csv"]);
}

#[test]
fn two_sinks_of_a_run_cannot_replace_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(CSV, dir.path(), "a\nx");
    let pending = flush(&sink, "r", 0, "a\nx");
    let out = dir.path().join("out");
    publish::commit(&out, true, "g/one", &commit("r"), &[pending]).unwrap();
    let pending = flush(&sink, "r", 0, "a\nx");
    let error = publish::commit(&out, true, "g/two", &commit("r"), &[pending]).unwrap_err();
    assert!(error.message.contains("`g/one` of this run has already replaced"), "{error}");
}

#[test]
fn the_folder_of_a_killed_run_is_swept_unless_it_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let sink = sink(CSV, dir.path(), "a\nx");
    fs::create_dir_all(out.join(".selvedge-dead-n")).unwrap();
    fs::write(out.join(".selvedge-dead-n/0-0.part"), "half").unwrap();
    let waiting = flush(&sink, "waiting", 0, "a\nold");
    let mut alive = sink.open(&task("alive", 0)).unwrap();
    alive.write(0, table("a\nx"), &mut Recorder::default()).unwrap();
    drop(sink.open(&task("next", 0)).unwrap());
    let left: Vec<_> = tree(&out).into_iter().map(|n| n.split('/').next().unwrap().to_string()).collect();
    assert_eq!(left, [".selvedge-alive-test%2Fnode", ".selvedge-waiting-test%2Fnode", ".selvedge-waiting-test%2Fnode"]);
    sink.commit(&commit("waiting"), &[waiting]).unwrap();
    assert_eq!(text(&out.join("part-0-0.csv")), "a\nold\n");
}

/// Copies a folder, hidden files and all: the state of the disk at the moment of a crash.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A commit that dies after any of its steps is finished by its repeat, or by the next run, to the same files.
#[test]
fn a_commit_dies_at_every_step_and_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let config = r#"(path: "out", format: Csv, roll: (rows: 1))"#;
    let old = sink(config, dir.path(), "a\nx");
    let pending = flush(&old, "r1", 0, "a\no1\no2\no3\no4");
    old.commit(&commit("r1"), &[pending]).unwrap();
    let pending = [flush(&old, "r2", 0, "a\nn1\nn2"), flush(&old, "r2", 1, "a\nn3")];
    let crash = dir.path().join("before");
    copy(&out, &crash);

    // The manifest as step 1 and step 3 leave it, made by hand from that of the finished commit.
    old.commit(&commit("r2"), &pending).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text(&out.join(MANIFEST))).unwrap();
    let expected: Vec<(String, String)> = data(&out).iter().map(|n| (n.clone(), text(&out.join(n)))).collect();
    assert_eq!(expected.len(), 3);
    let before: serde_json::Value = serde_json::from_str(&text(&crash.join(MANIFEST))).unwrap();
    let moves: Vec<serde_json::Value> = pending
        .iter()
        .flat_map(|p| {
            let flushed: serde_json::Value = serde_json::from_str(p).unwrap();
            let staging = flushed["staging"].as_str().unwrap().to_string();
            flushed["files"].as_array().unwrap().clone().into_iter().map(move |f| {
                serde_json::json!({"from": format!("{staging}/{}", f["staged"].as_str().unwrap()),
                    "name": f["name"], "rows": f["rows"], "bytes": f["bytes"]})
            })
        })
        .collect();
    let mut decided = before.clone();
    decided["incoming"] = serde_json::json!({"commit": whole["commits"][1], "replace": true, "moves": moves});
    let mut moved = whole.clone();
    moved["stale"] = serde_json::json!(["part-0-2.csv", "part-0-3.csv"]);

    // (the manifest at the crash, how many files were renamed, how many stale ones removed)
    let mut states = vec![(before, 0, 0)];
    states.extend((0..=3).map(|renamed| (decided.clone(), renamed, 0)));
    states.extend((0..=2).map(|removed| (moved.clone(), 3, removed)));
    states.push((whole, 3, 2));
    for (i, (manifest, renamed, removed)) in states.into_iter().enumerate() {
        for by_next_run in [false, true] {
            fs::remove_dir_all(&out).unwrap();
            copy(&crash, &out);
            fs::write(out.join(MANIFEST), manifest.to_string()).unwrap();
            for step in moves.iter().take(renamed) {
                fs::rename(out.join(step["from"].as_str().unwrap()), out.join(step["name"].as_str().unwrap())).unwrap();
            }
            for name in ["part-0-2.csv", "part-0-3.csv"].iter().take(removed) {
                fs::remove_file(out.join(name)).unwrap();
            }
            let decided = i > 0;
            if by_next_run && decided {
                let append = sink(r#"(path: "out", format: Csv, mode: Append)"#, dir.path(), "a\nx");
                let next = flush(&append, "r3", 0, "a\nadded");
                append.commit(&commit("r3"), &[next]).unwrap();
                fs::remove_file(out.join("part-r3-0-0.csv")).unwrap();
            } else {
                old.commit(&commit("r2"), &pending).unwrap();
            }
            let found: Vec<(String, String)> =
                data(&out).iter().filter(|n| !n.starts_with('.')).map(|n| (n.clone(), text(&out.join(n)))).collect();
            assert_eq!(found, expected, "state {i}, by the next run: {by_next_run}");
            // Once more changes nothing, and clears what is left in the staging folder.
            old.commit(&commit("r2"), &pending).unwrap();
            assert!(!data(&out).iter().any(|n| n.starts_with('.')), "state {i}: {:?}", data(&out));
        }
    }
}

#[test]
fn what_cannot_be_is_said_at_plan_time() {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let schema = Arc::new(Schema::new(vec![
        Field::new("tags", DataType::List(item), true),
        Field::new("raw", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
    ]));
    let check = |config: &str, expected: &[&str]| {
        let problems = Case::<Files<Embedded>>::new(config).batch(RecordBatch::new_empty(schema.clone())).problems();
        assert!(expected.iter().all(|e| problems.contains(e)) && !expected.is_empty(), "{config}: {problems}");
        assert_eq!(problems.lines().count(), expected.len(), "{config}: {problems}");
    };
    check(r#"(path: "o", format: Csv)"#, &["CSV cannot hold column `tags`", "CSV cannot hold column `raw`"]);
    check(r#"(path: "o", partition_by: ["dya", "tags"])"#, &["no column named `dya` (did you mean `day`?)"]);
    check(r#"(path: "o", partition_by: ["tags"])"#, &["cannot be the name of a folder"]);
    check(r#"(path: "o", partition_by: ["day", "day"])"#, &["named twice"]);
    check(r#"(path: "o", compression: Gzip)"#, &["compression here is for CSV and NDJSON"]);
    check(r#"(path: "o", format: Ndjson, compression: Zstd(99))"#, &["the level of Zstd is 1 to 22, but is 99"]);
    check(r#"(path: "o", format: Parquet(compression: Gzip(77)))"#, &["the level of Gzip is 1 to 9, but is 77"]);
    check(
        r#"(path: "", max_open: 0, file_name: "_x")"#,
        &["path is empty", "max_open", "files cannot be named `_x-…`"],
    );
    check(r#"(path: "o", connection: "lake")"#, &["no connection named `lake`"]);
    let problems = Case::<Files<Embedded>>::new(r#"(path: "o", connection: "db")"#)
        .connection("db", "Sqlite", r#"(path: "x.db")"#)
        .input("a\nx")
        .problems();
    assert!(problems.contains("files need a Folder connection, but `db` is Sqlite"), "{problems}");
    let built = Case::<Files<Embedded>>::new(r#"(path: "o.csv", format: Csv)"#).input("a\nx").build().unwrap();
    assert!(built.warnings[0].message.contains("`o.csv` will be a folder"));
}

#[test]
fn a_connection_says_where_the_path_starts() {
    let dir = tempfile::tempdir().unwrap();
    Case::<Files<Embedded>>::new(r#"(path: "clean/stock", connection: "lake", format: Csv)"#)
        .base(dir.path())
        .connection("lake", "Folder", r#"(path: "lake")"#)
        .input("a\nx")
        .run();
    assert_eq!(data(&dir.path().join("lake/clean/stock")), ["part-0-0.csv"]);
}

#[test]
fn what_the_disk_refuses_is_an_error_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("out"), "a file").unwrap();
    let error = sink(CSV, dir.path(), "a\nx").open(&task("r", 0)).err().unwrap().to_string();
    assert!(error.contains("is a file, but should be a folder"), "{error}");
    // `/dev/full` takes no byte: the error of a full disk comes out of each format as what it is.
    for config in
        [CSV, r#"(path: "o")"#, r#"(path: "o", format: Arrow)"#, r#"(path: "o", format: Ndjson, compression: Gzip)"#]
    {
        let config: Config = selvedge_testkit::config(config).unwrap();
        let rows = table("a\nx");
        let recipe = Recipe {
            format: config.format.value,
            compression: config.compression.map(|c| c.value),
            schema: rows.schema(),
        };
        let full = File::options().write(true).open("/dev/full").unwrap();
        let result = recipe.start(full).and_then(|mut f| {
            f.write(&rows)?;
            f.finish()
        });
        let error = result.err().unwrap().to_string();
        assert!(error.contains("No space left on device") && error.contains("free some disk space"), "{error}");
    }
}

#[test]
fn a_broken_manifest_is_not_guessed_at() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("out")).unwrap();
    fs::write(dir.path().join("out").join(MANIFEST), "{").unwrap();
    let error = sink(CSV, dir.path(), "a\nx").open(&task("r", 0)).err().unwrap().to_string();
    assert!(error.contains("is not a manifest of Selvedge"), "{error}");
}

#[test]
fn memory_stays_small_and_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(
        r#"(path: "out", format: Parquet(compression: None, dictionary: false, row_group_rows: 10_000_000))"#,
        dir.path(),
        "a:Int64\n1",
    );
    let task = task("r", 0);
    let mut writer = sink.open(&task).unwrap();
    let mut next = 0i64;
    // 64 MiB of rows that do not compress.
    for _ in 0..64 {
        let values = (0..131_072).map(|_| {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            next
        });
        let column = Arc::new(arrow::array::Int64Array::from_iter_values(values)) as ArrayRef;
        writer.write(0, RecordBatch::try_from_iter(vec![("a", column)]).unwrap(), &mut Recorder::default()).unwrap();
    }
    let pending = writer.flush(1, &mut Recorder::default()).unwrap();
    sink.commit(&commit("r"), &[pending]).unwrap();
    assert!(task.memory.peak() > 1 << 20 && task.memory.peak() <= 34 << 20, "{}", task.memory.peak());
    assert_eq!(task.memory.used(), 0);
    let file = File::open(dir.path().join("out/part-0-0.parquet")).unwrap();
    let groups = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().num_row_groups();
    assert!((2..=4).contains(&groups), "{groups} row groups");
}

#[test]
fn a_row_larger_than_the_budget_is_written_and_its_room_given_back() {
    let orc = r#"(path: "out", format: Orc(compression: None))"#;
    for config in [CSV, r#"(path: "out", format: Ndjson())"#, r#"(path: "out", format: Arrow())"#, orc] {
        let dir = tempfile::tempdir().unwrap();
        let sink = sink(config, dir.path(), "a\nx");
        let task = Task { memory: Memory::new(1 << 20), ..task("r", 0) };
        let mut writer = sink.open(&task).unwrap();
        let huge = "x".repeat(40 << 20);
        for cell in [huge.as_str(), "y"] {
            let column = Arc::new(arrow::array::StringArray::from(vec![cell])) as ArrayRef;
            writer
                .write(0, RecordBatch::try_from_iter(vec![("a", column)]).unwrap(), &mut Recorder::default())
                .unwrap();
        }
        assert!(task.memory.used() < 1 << 20, "{config}: {} bytes held", task.memory.used());
        let pending = writer.flush(1, &mut Recorder::default()).unwrap();
        sink.commit(&commit("r"), &[pending]).unwrap();
        let size = fs::read_dir(dir.path().join("out")).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).max();
        assert!(size > Some(40 << 20), "{config}: {size:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever the partitions, limits and batches: all rows are in the files, each in the folder of its own values.
    #[test]
    fn every_row_is_in_its_partition(
        rows in proptest::collection::vec((0i64..1000, proptest::option::of("[a-c/%]{0,2}")), 0..60),
        roll in 1u64..9, max_open in 1usize..4, batch in 1usize..20, memory in prop_oneof![Just(1u64), Just(64 << 20)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(r#"(path: "out", partition_by: ["c"], roll: (rows: {roll}), max_open: {max_open})"#);
        let sink = sink(&config, dir.path(), "a:Int64 | c\n1 | x");
        let (a, c): (Vec<i64>, Vec<Option<String>>) = rows.into_iter().unzip();
        let all = RecordBatch::try_from_iter_with_nullable(vec![
            ("a", Arc::new(arrow::array::Int64Array::from(a)) as ArrayRef, true),
            ("c", Arc::new(arrow::array::StringArray::from(c)) as ArrayRef, true),
        ]).unwrap();
        let mut writer = sink.open(&Task { memory: Memory::new(memory), ..task("r", 0) }).unwrap();
        let mut out = Recorder::default();
        for at in (0..all.num_rows()).step_by(batch) {
            writer.write(0, all.slice(at, batch.min(all.num_rows() - at)), &mut out).unwrap();
        }
        let pending = writer.flush(1, &mut out).unwrap();
        sink.commit(&commit("r"), &[pending]).unwrap();
        out.check_law(all.num_rows() as u64);

        let mut back = vec![];
        for name in data(&dir.path().join("out")) {
            let folder = name.split('/').next().unwrap().strip_prefix("c=").unwrap();
            let value = match folder {
                "__HIVE_DEFAULT_PARTITION__" => None,
                other => Some(other.replace("%2F", "/").replace("%25", "%")),
            };
            for part in parquet(&dir.path().join("out").join(&name)) {
                prop_assert!(part.num_rows() as u64 <= roll);
                let c = arrow::array::StringArray::from(vec![value.clone(); part.num_rows()]);
                back.push(RecordBatch::try_new(all.schema(), vec![part.column(0).clone(), Arc::new(c)]).unwrap());
            }
        }
        back.push(RecordBatch::new_empty(all.schema()));
        // The empty string and null share a folder, as in Hive.
        let c: arrow::array::StringArray = all.column(1).as_any().downcast_ref::<arrow::array::StringArray>().unwrap()
            .iter().map(|v| v.filter(|v| !v.is_empty())).collect();
        let expected = RecordBatch::try_new(all.schema(), vec![all.column(0).clone(), Arc::new(c)]).unwrap();
        prop_assert_eq!(show(&sorted(&back).unwrap()), show(&sorted(&[expected]).unwrap()));
    }
}
