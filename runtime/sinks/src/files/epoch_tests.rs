//! The sink in a graph that never ends: flushed and committed again and again in one run.

use super::tests::{data, sink, task, text};
use super::*;
use selvedge_connect::Embedded;
use selvedge_testkit::{Case, Recorder, table};

/// Files that readers see.
fn visible(folder: &std::path::Path) -> Vec<String> {
    data(folder).into_iter().filter(|n| !n.starts_with('.')).collect()
}

fn write(writer: &mut Box<dyn Writer>, rows: &str) -> u64 {
    let mut out = Recorder::default();
    writer.write(0, table(rows), &mut out).unwrap();
    out.published_soon
}

fn flush(writer: &mut Box<dyn Writer>, epoch: u64) -> Vec<Pending> {
    vec![writer.flush(epoch, &mut Recorder::default()).unwrap()]
}

#[test]
fn an_epoch_is_seen_with_its_commit_while_the_next_is_written() {
    for (mode, files) in [
        ("Replace", ["part-0-0.csv", "part-e2-0-0.csv", "part-e3-0-0.csv"]),
        ("Append", ["part-r-0-0.csv", "part-r-e2-0-0.csv", "part-r-e3-0-0.csv"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let sink = sink(&format!(r#"(path: "out", format: Csv, mode: {mode})"#), dir.path(), "a\nx");
        let mut writer = sink.open(&task("r", 0)).unwrap();
        for epoch in 1..=3u64 {
            write(&mut writer, &format!("a\n{epoch}"));
            let pending = flush(&mut writer, epoch);
            // Rows of the next epoch do not wait for the commit of this one, and are not in it.
            write(&mut writer, "a\nnext");
            assert_eq!(visible(&out).len() as u64, epoch - 1);
            for _ in 0..2 {
                sink.commit(&Commit { run: "r".into(), epoch }, &pending).unwrap();
            }
            assert_eq!(visible(&out), files[..epoch as usize]);
        }
        assert_eq!(text(&out.join(files[1])), "a\nnext\n2\n");
        drop(writer);
        assert_eq!(data(&out), files, "nothing of the rows that were never flushed is left");
    }
}

#[test]
fn a_stream_replaces_once_however_many_others_commit() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let stream = sink(r#"(path: "out", format: Csv)"#, dir.path(), "a\nx");
    let mut writer = stream.open(&task("stream", 0)).unwrap();
    let mut epoch = |number: u64| {
        write(&mut writer, &format!("a\n{number}"));
        let pending = flush(&mut writer, number);
        stream.commit(&Commit { run: "stream".into(), epoch: number }, &pending).unwrap();
    };
    epoch(1);
    epoch(2);
    for number in 0..300 {
        std::fs::create_dir_all(out.join("none")).unwrap();
        std::fs::write(out.join("none/0"), "a\n").unwrap();
        let file = publish::Staged { staged: "0".into(), name: format!("x-{number}"), rows: 0, bytes: 2, spare: false };
        let flushed = publish::Flushed { staging: "none".into(), mark: "none".into(), files: vec![file] };
        let commit = Commit { run: format!("other-{}", number % 2), epoch: number + 1 };
        publish::commit(&out, false, "g/other", &commit, &[flushed.pending().unwrap()]).unwrap();
    }
    epoch(3);
    assert!(out.join("part-0-0.csv").exists() && out.join("part-e3-0-0.csv").exists() && out.join("x-0").exists());
}

#[test]
fn epochs_without_rows_leave_no_files_and_no_new_manifest() {
    for config in [r#"(path: "out", format: Csv)"#, r#"(path: "out", format: Csv, partition_by: ["b"], mode: Append)"#]
    {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let sink = sink(config, dir.path(), "a | b\nx | y");
        let mut writer = sink.open(&task("r", 0)).unwrap();
        write(&mut writer, "a | b\n1 | x");
        let mut manifests = vec![];
        for epoch in 1..=3 {
            let pending = flush(&mut writer, epoch);
            assert_eq!(pending[0].contains("staged"), epoch == 1, "{}", pending[0]);
            sink.commit(&Commit { run: "r".into(), epoch }, &pending).unwrap();
            manifests.push(text(&out.join(publish::MANIFEST)));
        }
        assert_eq!(visible(&out).len(), 1);
        assert_eq!(manifests[0], manifests[2]);
    }
}

#[test]
fn an_empty_stream_tells_its_columns_once() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(r#"(path: "out", format: Csv)"#, dir.path(), "a\nx");
    let mut writer = sink.open(&task("r", 0)).unwrap();
    for epoch in 1..=3 {
        let pending = flush(&mut writer, epoch);
        sink.commit(&Commit { run: "r".into(), epoch }, &pending).unwrap();
    }
    assert_eq!(visible(&dir.path().join("out")), ["part-0-0.csv"]);
}

#[test]
fn partitions_of_every_epoch_are_bounded_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let config = r#"(path: "out", format: Csv, partition_by: ["c"], max_open: 2, mode: Append)"#;
    let sink = sink(config, dir.path(), "a:Int64 | c\n1 | y");
    let mut writer = sink.open(&task("r", 0)).unwrap();
    for epoch in 1..=3u64 {
        for a in 0..3 {
            // Five partitions, one of them in every epoch, in more batches than files may be open.
            let rows: String = (0..5)
                .map(|c| format!("{a} | {}\n", if c == 0 { "all".into() } else { format!("{epoch}-{c}") }))
                .collect();
            write(&mut writer, &format!("a:Int64 | c\n{rows}"));
        }
        let pending = flush(&mut writer, epoch);
        sink.commit(&Commit { run: "r".into(), epoch }, &pending).unwrap();
        assert_eq!(visible(&out).iter().filter(|n| n.starts_with("c=all/")).count() as u64, epoch);
    }
    let rows: usize = visible(&out).iter().map(|n| text(&out.join(n)).lines().count() - 1).sum();
    assert_eq!(rows, 45);
}

#[test]
fn partitions_of_earlier_epochs_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let sink = sink(r#"(path: "out", format: Csv, partition_by: ["c"], max_open: 2)"#, dir.path(), "a | c\n1 | y");
    let mut writer = sink.open(&task("r", 0)).unwrap();
    let staged = || data(&out).iter().filter(|n| n.ends_with(".part")).count();
    write(&mut writer, "a | c\n1 | x\n2 | y\n3 | z");
    assert_eq!(staged(), 0, "more partitions than files may be open: rows wait");
    let pending = flush(&mut writer, 1);
    sink.commit(&Commit { run: "r".into(), epoch: 1 }, &pending).unwrap();
    write(&mut writer, "a | c\n4 | x");
    assert_eq!(staged(), 1, "one partition in this epoch: its rows are written at once");
}

#[test]
fn hints_reach_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let built = |roll: &str| {
        let config = format!(r#"(path: "out", format: Csv, roll: ({roll}))"#);
        Case::<Files<Embedded>>::new(&config).base(dir.path()).input("a\nx").build()
    };
    assert_eq!(
        built(r#"interval: "60s", size: "1MiB""#).unwrap().publish_every,
        Some(std::time::Duration::from_secs(60))
    );
    assert_eq!(built("rows: 5").unwrap().publish_every, None);
    let problem = built(r#"interval: "soon""#).err().unwrap().to_string();
    assert!(problem.contains("expected a length of time such as"), "{problem}");

    for partitions in ["", r#"partition_by: ["b"], "#] {
        let config = format!(r#"(path: "o{}", format: Csv, {partitions}roll: (size: "20KiB"))"#, partitions.len());
        let sink = sink(&config, dir.path(), "a | b\nx | y");
        let mut writer = sink.open(&task("r", 0)).unwrap();
        let rows = format!("a | b\n{}", format!("{} | y\n", "x".repeat(1000)).repeat(10));
        for epoch in 1..=2 {
            // About 10 KB a batch: the third is beyond 20 KiB, whatever waits in the file's buffer.
            let soon: Vec<u64> = (0..4).map(|_| write(&mut writer, &rows)).collect();
            assert_eq!((soon[0], soon[3]), (0, 1), "{soon:?} in epoch {epoch}");
            flush(&mut writer, epoch);
        }
    }
}

#[test]
fn what_a_commit_writes_does_not_grow_with_the_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let manifest = || std::fs::metadata(out.join(publish::MANIFEST)).unwrap().len();
    let chapters = || super::tests::tree(&out).into_iter().filter(|n| n.starts_with("_selvedge-")).count();
    let stream = sink(r#"(path: "out", format: Csv, mode: Append)"#, dir.path(), "a\nx");
    let mut writer = stream.open(&task("r", 0)).unwrap();
    let mut at_most = 0;
    for epoch in 1..=100u64 {
        write(&mut writer, &format!("a\n{epoch}"));
        let pending = flush(&mut writer, epoch);
        for _ in 0..2 {
            stream.commit(&Commit { run: "r".into(), epoch }, &pending).unwrap();
        }
        at_most = manifest().max(at_most);
        assert_eq!(chapters() as u64, epoch / 9, "eight in the manifest, the ninth turns the page");
    }
    drop(writer);
    assert_eq!(data(&out).len(), 100);
    // Of each commit its name is remembered, in some 80 bytes, of the files eight at most and the names of eleven chapters.
    assert!(at_most < 100 * 100 + 4_000, "{at_most} bytes");
    // Who replaces the data set knows all of its files, and takes away what lists them.
    let whole = sink(r#"(path: "out", format: Csv)"#, dir.path(), "a\nx");
    std::fs::write(out.join("foreign.csv"), "").unwrap();
    let replace = || {
        let mut writer = whole.open(&task("s", 0))?;
        write(&mut writer, "a\n1");
        let pending = flush(&mut writer, 1);
        whole.commit(&Commit { run: "s".into(), epoch: 1 }, &pending)
    };
    assert!(replace().unwrap_err().message.contains("foreign.csv"));
    std::fs::remove_file(out.join("foreign.csv")).unwrap();
    replace().unwrap();
    assert_eq!((data(&out), chapters()), (vec!["part-0-0.csv".to_string()], 0));
}
