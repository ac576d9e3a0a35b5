//! Loads in a graph that never ends: flushed and committed again and again in one run.

use super::tests::{database, litter, sink, stored, task, warehouse};
use selvedge_node::Commit;
use selvedge_testkit::{Recorder, table};

/// Loads the epochs' rows in one run, every commit twice, and while rows of the next epoch are being written.
fn load(mode: &str, run: &str, epochs: &[&str], dir: &std::path::Path) -> Recorder {
    let sink = sink(&warehouse(dir, mode).input("sku | qty:Int64"));
    let mut writer = sink.open(&task(run)).unwrap();
    let mut out = Recorder::default();
    writer.write(0, table(&format!("sku | qty:Int64\n{}", epochs[0])), &mut out).unwrap();
    for epoch in 1..=epochs.len() {
        let pending = [writer.flush(epoch as u64, &mut out).unwrap()];
        if let Some(next) = epochs.get(epoch) {
            writer.write(0, table(&format!("sku | qty:Int64\n{next}")), &mut out).unwrap();
        }
        for _ in 0..2 {
            sink.commit(&Commit { run: run.into(), epoch: epoch as u64 }, &pending).unwrap();
        }
    }
    drop(writer);
    assert_eq!(litter(dir), [""; 0]);
    out
}

#[test]
fn each_mode_does_in_epochs_what_it_does_at_once() {
    for (mode, expected) in [
        ("mode: Append", "sku | qty:Int64\na | 1\na | 4\nb | 2\nc | 5\na | 1\na | 4\nb | 2\nc | 5"),
        ("mode: Replace", "sku | qty:Int64\na | 1\na | 4\nb | 2\nc | 5"),
        (r#"mode: Upsert(["sku"])"#, "sku | qty:Int64\na | 4\nb | 2\nc | 5"),
    ] {
        // Twice: into a table that the first epoch makes, and into one that is there with its rows.
        let dir = tempfile::tempdir().unwrap();
        for run in ["r1", "r2"] {
            let out = load(mode, run, &["a | 1\nb | 2", "", "a | 4", "c | 5"], dir.path());
            assert_eq!(out.absorbed["written"], 4, "{mode}");
        }
        stored(dir.path()).expect(expected);
    }
}

#[test]
fn a_first_epoch_without_rows_replaces_too() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path())
        .execute_batch("CREATE TABLE t (sku TEXT, qty BIGINT); INSERT INTO t VALUES ('old', 1)")
        .unwrap();
    load("mode: Replace", "r", &["", "new | 2"], dir.path());
    stored(dir.path()).expect("sku | qty:Int64\nnew | 2");
}

#[test]
fn a_unique_column_refuses_what_an_earlier_epoch_has_loaded() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path()).execute_batch("CREATE TABLE t (sku TEXT UNIQUE, qty BIGINT)").unwrap();
    let sink = sink(&warehouse(dir.path(), "").input("sku | qty:Int64"));
    let mut writer = sink.open(&task("r")).unwrap();
    let mut out = Recorder::default();
    for (epoch, rows) in [(1, "a | 1\nb | 2"), (2, "a | 3\nc | 4")] {
        writer.write(0, table(&format!("sku | qty:Int64\n{rows}")), &mut out).unwrap();
        let pending = [writer.flush(epoch, &mut out).unwrap()];
        sink.commit(&Commit { run: "r".into(), epoch }, &pending).unwrap();
    }
    out.check_law(4);
    assert_eq!(out.rejected.iter().map(|r| r.code.as_str()).collect::<Vec<_>>(), ["warehouse.constraint"]);
    stored(dir.path()).expect("sku | qty:Int64\na | 1\nb | 2\nc | 4");
}
