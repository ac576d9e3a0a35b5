//! Loads against real files: modes, types, refusals, crashes and company.

use crate::table::Table;
use crate::warehouse::Warehouse;
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;
use rusqlite::Connection;
use selvedge_connect::Embedded;
use selvedge_node::{Commit, Memory, Pending, Sink, Task, Work};
use selvedge_testkit::{Case, Done, Recorder, show, sorted, table};
use std::fs;
use std::path::Path;
use std::sync::Arc;

pub(super) fn warehouse(dir: &Path, config: &str) -> Case<Warehouse<Embedded>> {
    let config = format!("(connection: \"db\", table: \"t\", {config})");
    Case::new(&config).base(dir).connection("db", "Sqlite", "(path: \"w.db\")")
}

pub(super) fn stored(dir: &Path) -> Done {
    let case = Case::<Table<Embedded>>::new("(connection: \"db\", table: \"t\")").base(dir);
    case.connection("db", "Sqlite", "(path: \"w.db\")").run()
}

pub(super) fn database(dir: &Path) -> Connection {
    Connection::open(dir.join("w.db")).unwrap()
}

/// Files beside the database.
pub(super) fn litter(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|n| n != "w.db").collect();
    names.sort();
    names
}

pub(super) fn sink(case: &Case<Warehouse<Embedded>>) -> Arc<dyn Sink> {
    match case.build().unwrap_or_else(|p| panic!("{p}")).work {
        Work::Sink(sink) => sink,
        _ => panic!("a sink"),
    }
}

pub(super) fn task(run: &str) -> Task {
    Task {
        run: run.into(),
        node: "n".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(64 << 20),
        scratch: std::env::temp_dir(),
        batch_rows: 8192,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}

fn flush(sink: &Arc<dyn Sink>, run: &str, rows: &str) -> Pending {
    let mut writer = sink.open(&task(run)).unwrap();
    let mut out = Recorder::default();
    writer.write(0, table(rows), &mut out).unwrap();
    writer.flush(1, &mut out).unwrap()
}

fn commit(run: &str) -> Commit {
    Commit { run: run.into(), epoch: 1 }
}

const ROWS: &str = "sku | qty:Int64\na | 1\nb | null";

#[test]
fn a_nan_that_becomes_null_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let done = warehouse(dir.path(), "").input("x:Float64 | y:Float32\nNaN | 1\n-inf | NaN\nnull | inf").run();
    assert_eq!(done.altered, [("NaN became null: x".to_string(), 1), ("NaN became null: y".to_string(), 1)].into());
    stored(dir.path()).expect_in_order("x:Float64 | y:Float32\nnull | 1\n-inf | null\nnull | inf");
}

#[test]
fn a_table_is_made_and_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let done = warehouse(dir.path(), "").input(ROWS).run();
    assert_eq!(done.absorbed["written"], 2);
    stored(dir.path()).expect_in_order(ROWS);
    let append = warehouse(dir.path(), "mode: Append").input("sku | qty:Int64\nc | 3");
    let sink = sink(&append);
    let pending = flush(&sink, "second", "sku | qty:Int64\nc | 3");
    sink.commit(&commit("second"), &[pending]).unwrap();
    stored(dir.path()).expect("sku | qty:Int64\na | 1\nb | null\nc | 3");
    assert_eq!(litter(dir.path()), [""; 0]);
    let noted: Vec<(String, u64)> = database(dir.path())
        .prepare("SELECT run, rows FROM _selvedge_commits ORDER BY run")
        .unwrap()
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .map(|r| r.unwrap())
        .collect();
    assert_eq!(noted, [("second".to_string(), 1), ("test".to_string(), 2)]);
}

#[test]
fn replace_keeps_the_table_and_changes_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path()).execute_batch("CREATE TABLE t (sku TEXT, qty INTEGER DEFAULT 7, note TEXT); CREATE INDEX i ON t (sku); INSERT INTO t VALUES ('old', 1, 'x')").unwrap();
    warehouse(dir.path(), "mode: Replace").input(ROWS).run();
    stored(dir.path()).expect("sku | qty:Int64 | note\na | 1 | null\nb | null | null");
    assert_eq!(
        database(dir.path())
            .query_row("SELECT count(*) FROM sqlite_master WHERE name = 'i'", [], |r| r.get::<_, u64>(0))
            .unwrap(),
        1
    );
    // No rows replace all rows.
    let empty = warehouse(dir.path(), "mode: Replace").input(ROWS);
    let sink = sink(&empty);
    let pending = sink.open(&task("none")).unwrap().flush(1, &mut Recorder::default()).unwrap();
    sink.commit(&commit("none"), &[pending]).unwrap();
    stored(dir.path()).expect("sku | qty:Int64 | note");
}

#[test]
fn upserts_take_the_last_row_of_each_key() {
    let upsert = "mode: Upsert([\"sku\", \"store\"])";
    let first = "sku | store:Int64 | qty:Int64\na | 1 | 1\nb | 1 | 2\na | 1 | 3\na | 2 | 4";
    let second = "sku | store:Int64 | qty:Int64\nb | 1 | 20\nc | 1 | 5\nb | 1 | 21";
    let both = "sku | store:Int64 | qty:Int64\na | 1 | 3\na | 2 | 4\nb | 1 | 21\nc | 1 | 5";
    // A table made by the upsert, one with a key of its own, one that keeps nothing unique.
    for made in [
        "",
        "CREATE TABLE t (sku TEXT, store INTEGER, qty INTEGER, PRIMARY KEY (store, sku))",
        "CREATE TABLE t (sku TEXT, store INTEGER, qty INTEGER)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        if !made.is_empty() {
            database(dir.path()).execute_batch(made).unwrap();
        }
        let done = warehouse(dir.path(), upsert).input(first).run();
        assert_eq!(done.absorbed["written"], 4);
        stored(dir.path()).expect("sku | store:Int64 | qty:Int64\na | 1 | 3\na | 2 | 4\nb | 1 | 2");
        let sink = sink(&warehouse(dir.path(), upsert).input(first));
        let pending = flush(&sink, "second", second);
        sink.commit(&commit("second"), &[pending]).unwrap();
        stored(dir.path()).expect(both);
    }
}

#[test]
fn an_upsert_leaves_other_columns_alone_and_refuses_null_keys() {
    for unique in ["UNIQUE", ""] {
        let dir = tempfile::tempdir().unwrap();
        let sql = format!(
            "CREATE TABLE t (sku TEXT {unique}, qty INTEGER, note TEXT DEFAULT 'new'); INSERT INTO t VALUES ('a', 1, 'mine'), ('z', 9, 'mine')"
        );
        database(dir.path()).execute_batch(&sql).unwrap();
        let done =
            warehouse(dir.path(), "mode: Upsert([\"sku\"])").input("sku | qty:Int64\na | 2\nb | 3\nnull | 4").run();
        assert_eq!(done.rejected.len(), 1);
        assert_eq!(
            (done.rejected[0].code.as_str(), done.rejected[0].message.as_str()),
            ("warehouse.key", "null in the key column `sku`")
        );
        stored(dir.path()).expect("sku | qty:Int64 | note\na | 2 | mine\nb | 3 | new\nz | 9 | mine");
    }
    // Keys alone: there is nothing to update.
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&warehouse(dir.path(), "mode: Upsert([\"a\"])").input("a\nx"));
    for run in ["r1", "r2"] {
        let pending = flush(&sink, run, "a\nx\ny\nx");
        sink.commit(&commit(run), &[pending]).unwrap();
    }
    stored(dir.path()).expect("a\nx\ny");
}

#[test]
fn what_the_table_refuses_is_rejected_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path())
        .execute_batch(
            "CREATE TABLE store (id INTEGER PRIMARY KEY); INSERT INTO store VALUES (1), (2);
             CREATE TABLE \"t\" (id INTEGER PRIMARY KEY, sku TEXT NOT NULL, qty INT CHECK (qty >= 0), store INT REFERENCES store (id));
             CREATE UNIQUE INDEX skus ON t (sku); INSERT INTO t VALUES (100, 'there', 0, 1);",
        )
        .unwrap();
    let rows = "id:Int64 | sku | qty:Int64 | store:Int64
        1 | a | 1 | 1\n2 | null | 1 | 1\n3 | c | -1 | 1\n4 | a | 1 | 1\n5 | there | 1 | 1\n6 | f | 1 | 7\n100 | g | 1 | null\n7 | h | null | null";
    let done = warehouse(dir.path(), "").input(rows).run();
    let mut messages: Vec<&str> = done.rejected.iter().map(|r| r.message.as_str()).collect();
    messages.sort_unstable();
    assert_eq!(
        messages,
        [
            "CHECK constraint failed: qty >= 0",
            "FOREIGN KEY constraint failed: no such row in `store`",
            "NOT NULL constraint failed: t.sku",
            "UNIQUE constraint failed: t.id: the table already holds such a row",
            "UNIQUE constraint failed: t.sku",
            "UNIQUE constraint failed: t.sku: the table already holds such a row",
        ]
    );
    assert!(done.rejected.iter().all(|r| r.code == "warehouse.constraint"));
    let raw = &done.rejected.iter().find(|r| r.message.starts_with("FOREIGN")).unwrap().raw;
    assert_eq!(raw, r#"{"id":6,"sku":"f","qty":1,"store":7}"#);
    assert_eq!(done.absorbed["written"], 2);
    stored(dir.path())
        .expect("id:Int64 | sku | qty:Int64 | store:Int64\n1 | a | 1 | 1\n7 | h | null | null\n100 | there | 0 | 1");
    assert!(warehouse(dir.path(), "").input(rows).run_strict().is_err());
    assert_eq!(litter(dir.path()), [""; 0]);
}

#[test]
fn a_conflict_that_only_the_commit_can_see_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path()).execute_batch("CREATE TABLE t (sku TEXT UNIQUE)").unwrap();
    let sink = sink(&warehouse(dir.path(), "").input("sku\na"));
    let pending = flush(&sink, "r", "sku\na\nb");
    database(dir.path()).execute_batch("INSERT INTO t VALUES ('b')").unwrap();
    let error = sink.commit(&commit("r"), std::slice::from_ref(&pending)).unwrap_err().to_string();
    assert!(error.contains("UNIQUE constraint failed: t.sku") && error.contains("nothing was changed"), "{error}");
    stored(dir.path()).expect("sku\nb");
    sink.abort(&[pending]);
    assert_eq!(litter(dir.path()), [""; 0]);
}

#[test]
fn a_commit_repeats_without_effect_wherever_it_died() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&warehouse(dir.path(), "").input(ROWS));
    let pending = flush(&sink, "r", ROWS);
    assert_eq!(litter(dir.path()).len(), 1, "flushed rows wait beside the database");
    assert!(!dir.path().join("w.db").exists(), "nothing is to be seen before the commit");
    // Died within the transaction: SQLite has rolled it back, the staging file is there.
    let staged = dir.path().join(&litter(dir.path())[0]);
    let kept = fs::read(&staged).unwrap();
    sink.commit(&commit("r"), std::slice::from_ref(&pending)).unwrap();
    stored(dir.path()).expect(ROWS);
    // Died between the transaction and the removal of the staging file.
    fs::write(&staged, kept).unwrap();
    sink.commit(&commit("r"), std::slice::from_ref(&pending)).unwrap();
    stored(dir.path()).expect(ROWS);
    assert_eq!(litter(dir.path()), [""; 0]);
    // Died after everything.
    sink.commit(&commit("r"), &[pending]).unwrap();
    stored(dir.path()).expect(ROWS);
    // Never committed, and its rows are gone: that must not look like success.
    let lost = flush(&sink, "lost", ROWS);
    fs::remove_file(dir.path().join(&litter(dir.path())[0])).unwrap();
    let error = sink.commit(&commit("lost"), &[lost]).unwrap_err().to_string();
    assert!(error.contains("are gone, and were never committed"), "{error}");
}

#[test]
fn staged_rows_are_counted_before_they_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&warehouse(dir.path(), "").input(ROWS));
    let pending = flush(&sink, "r", ROWS);
    Connection::open(dir.path().join(&litter(dir.path())[0]))
        .unwrap()
        .execute("DELETE FROM t WHERE sku = 'a'", [])
        .unwrap();
    let error = sink.commit(&commit("r"), &[pending]).unwrap_err().to_string();
    assert!(error.contains("2 rows were flushed, but") && error.contains("holds 1"), "{error}");
    assert!(!database(dir.path()).table_exists(None, "t").unwrap());
}

#[test]
fn epochs_of_one_run_replace_once_and_then_add() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path()).execute_batch("CREATE TABLE t (sku TEXT); INSERT INTO t VALUES ('old')").unwrap();
    let sink = sink(&warehouse(dir.path(), "mode: Replace").input("sku\nx"));
    let mut writer = sink.open(&task("r")).unwrap();
    for epoch in 1..=3 {
        writer.write(0, table(&format!("sku\n{epoch}")), &mut Recorder::default()).unwrap();
        let pending = writer.flush(epoch, &mut Recorder::default()).unwrap();
        sink.commit(&Commit { run: "r".into(), epoch }, &[pending]).unwrap();
    }
    drop(writer);
    stored(dir.path()).expect("sku\n1\n2\n3");
    assert_eq!(litter(dir.path()), [""; 0]);
}

#[test]
fn dropped_aborted_and_killed_loads_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&warehouse(dir.path(), "").input(ROWS));
    let mut writer = sink.open(&task("r")).unwrap();
    writer.write(0, table(ROWS), &mut Recorder::default()).unwrap();
    assert_eq!(litter(dir.path()).iter().filter(|n| n.ends_with(".staging")).count(), 1);
    // Another run that starts leaves the living alone and sweeps the dead.
    fs::write(dir.path().join("w.db.selvedge-dead-g_n-0.staging"), "half").unwrap();
    drop(sink.open(&task("other")).unwrap());
    assert!(litter(dir.path()).iter().all(|n| n.starts_with("w.db.selvedge-r-")), "{:?}", litter(dir.path()));
    drop(writer);
    assert_eq!(litter(dir.path()), [""; 0]);
    let pending = flush(&sink, "r", ROWS);
    sink.abort(&[pending]);
    assert_eq!(litter(dir.path()), [""; 0]);
}

#[test]
fn two_loads_commit_to_one_file_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for load in 0..4 {
            let dir = dir.path();
            scope.spawn(move || {
                let config = format!("(connection: \"db\", table: \"t{}\")", load % 2);
                let case = Case::<Warehouse<Embedded>>::new(&config)
                    .base(dir)
                    .connection("db", "Sqlite", "(path: \"w.db\")")
                    .input(ROWS);
                let sink = sink(&case);
                for run in 0..5 {
                    let run = format!("{load}-{run}");
                    let pending = flush(&sink, &run, ROWS);
                    sink.commit(&commit(&run), &[pending]).unwrap();
                }
            });
        }
    });
    for t in ["t0", "t1"] {
        let count: u64 =
            database(dir.path()).query_row(&format!("SELECT count(*) FROM {t}"), [], |r| r.get(0)).unwrap();
        assert_eq!(count, 20);
    }
}

#[test]
fn a_database_that_stays_locked_is_named_and_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let case = Case::<Warehouse<Embedded>>::new("(connection: \"db\", table: \"t\")").base(dir.path());
    let case = case.connection("db", "Sqlite", "(path: \"w.db\", busy_seconds: 0)").input(ROWS);
    let sink = sink(&case);
    let pending = flush(&sink, "r", ROWS);
    let holder = database(dir.path());
    holder.execute_batch("CREATE TABLE x (a); BEGIN IMMEDIATE").unwrap();
    let error = sink.commit(&commit("r"), std::slice::from_ref(&pending)).unwrap_err();
    assert!(error.retry && error.to_string().contains("another program is writing"), "{error}");
    holder.execute_batch("COMMIT").unwrap();
    sink.commit(&commit("r"), &[pending]).unwrap();
    stored(dir.path()).expect(ROWS);
}

#[test]
fn what_does_not_fit_is_said_by_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path()).execute_batch("CREATE TABLE t (sku TEXT, qty SMALLINT, need TEXT NOT NULL, twice INT AS (qty * 2)); CREATE VIEW v AS SELECT 1").unwrap();
    let check = |config: &str, rows: &str, expected: &[&str]| {
        let case =
            Case::<Warehouse<Embedded>>::new(config).base(dir.path()).connection("db", "Sqlite", "(path: \"w.db\")");
        let problems = case.input(rows).problems();
        assert!(expected.iter().all(|e| problems.contains(e)), "{config}: {problems}");
        assert_eq!(problems.lines().count(), expected.len(), "{config}: {problems}");
    };
    let t = "(connection: \"db\", table: \"t\")";
    check(
        t,
        "skuu | qty:Int64 | twice:Int64 | need",
        &[
            "the table `t` has no column named `skuu` (did you mean `sku`?",
            "column `qty` is Int64, but Int16 in the table `t`",
            "`twice` of the table `t` is computed",
        ],
    );
    check(t, "sku | SKU", &["two columns are named `SKU`", "needs a value for `need`"]);
    check(
        "(connection: \"db\", table: \"t\", drift: AddColumns)",
        "need | extra:UInt64",
        &["column `extra` of type UInt64 cannot be stored"],
    );
    check("(connection: \"db\", table: \"v\")", "a", &["`v` is a view"]);
    check("(connection: \"db\", table: \"tt\", create: false)", "a", &["no table named `tt` (did you mean `t`"]);
    check("(connection: \"db\", table: \"sqlite_x\")", "a", &["a table cannot be named `sqlite_x`"]);
    check(
        "(connection: \"db\", table: \"n\", mode: Upsert([\"b\", \"a\", \"a\"]))",
        "a",
        &["no column named `b`", "key 3 is `a` again"],
    );
    check("(connection: \"db\", table: \"n\", mode: Upsert([]))", "a", &["an upsert needs keys"]);
    check("(connection: \"db\", table: \"n\", mode: Upsert([\"a\"]))", "a:Float64", &["cannot be a key"]);
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let nested = RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("tags", DataType::List(item), true)])));
    let problems = warehouse(dir.path(), "").batch(nested).problems();
    assert!(problems.contains("column `tags`") && problems.contains("Flatten"), "{problems}");
}

#[test]
fn more_columns_than_sqlite_has_are_said_by_the_plan() {
    let names = |columns: usize| (0..columns).map(|i| format!("c{i}"));
    let check = |made: Option<(usize, &str)>, config: &str, columns: usize, most: Option<usize>| {
        let dir = tempfile::tempdir().unwrap();
        if let Some((columns, unique)) = made {
            let columns: Vec<String> = names(columns).map(|name| format!("{name} BIGINT")).collect();
            database(dir.path()).execute_batch(&format!("CREATE TABLE t ({}{unique})", columns.join(", "))).unwrap();
        }
        let fields: Vec<Field> = names(columns).map(|name| Field::new(name, DataType::Int64, true)).collect();
        let case = warehouse(dir.path(), config).batch(RecordBatch::new_empty(Arc::new(Schema::new(fields))));
        match most {
            // What the plan lets pass can be done.
            None => assert!(case.run().rejected.is_empty()),
            Some(most) => {
                let problems = case.problems();
                let end = format!("are too many: a load into SQLite can have {most} (keep fewer with");
                assert!(problems.contains(&end) && problems.lines().count() == 1, "{made:?} {config}: {problems}");
            }
        }
    };
    check(None, "", 2000, None);
    check(None, "", 2001, Some(2000));
    check(None, "mode: Upsert([\"c0\"])", 1999, None);
    check(None, "mode: Upsert([\"c0\"])", 2000, Some(1999));
    check(Some((1999, "")), "drift: AddColumns", 2000, None);
    check(Some((1999, "")), "drift: AddColumns", 2001, Some(2000));
    check(Some((1999, " UNIQUE")), "", 1999, None);
    check(Some((2000, " UNIQUE")), "", 2000, Some(1999));
}

#[test]
fn cells_of_100_mb_go_in_and_come_out() {
    let dir = tempfile::tempdir().unwrap();
    let (text, bytes) = ("ü".repeat(50_000_000), vec![0xff; 100_000_000]);
    let columns: [(&str, ArrayRef, bool); 2] = [
        ("text", Arc::new(StringArray::from_iter_values([&text])), true),
        ("bytes", Arc::new(BinaryArray::from_iter_values([&bytes])), true),
    ];
    warehouse(dir.path(), "").batch(RecordBatch::try_from_iter_with_nullable(columns).unwrap()).run();
    let rows = stored(dir.path()).rows(0);
    assert!(rows.column(0).as_string::<i32>().value(0) == text && rows.column(1).as_binary::<i32>().value(0) == bytes);
}

#[test]
fn drift_adds_columns_on_request() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path()).execute_batch("CREATE TABLE t (sku TEXT); INSERT INTO t VALUES ('old')").unwrap();
    warehouse(dir.path(), "drift: AddColumns").input("qty:Int32 | SKU\n1 | a").run();
    stored(dir.path()).expect("sku | qty:Int32\nold | null\na | 1");
}

#[test]
fn a_column_of_nulls_fits_any_column() {
    let dir = tempfile::tempdir().unwrap();
    database(dir.path()).execute_batch("CREATE TABLE t (sku TEXT, qty INTEGER)").unwrap();
    warehouse(dir.path(), "").input("sku | qty:Null\na | null").run();
    stored(dir.path()).expect("sku | qty:Int64\na | null");
}

#[test]
fn a_target_that_changed_since_the_plan_is_refused_before_rows_come() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&warehouse(dir.path(), "").input(ROWS));
    database(dir.path()).execute_batch("CREATE TABLE t (sku TEXT)").unwrap();
    let error = sink.open(&task("r")).err().unwrap().to_string();
    assert!(error.contains("the table `t` does not fit") && error.contains("no column named `qty`"), "{error}");
}

#[test]
fn dates_beyond_four_digits_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let days = Arc::new(Date32Array::from(vec![Some(0), Some(i32::MAX), None])) as ArrayRef;
    let done = warehouse(dir.path(), "")
        .batch(RecordBatch::try_from_iter_with_nullable(vec![("d", days, true)]).unwrap())
        .run();
    assert_eq!(done.rejected.len(), 1);
    assert_eq!(done.rejected[0].code, "warehouse.range");
    stored(dir.path()).expect("d:Date32\n1970-01-01\nnull");
}

/// A column of each type that can be stored, from seeds.
fn columns(seeds: &[Option<i64>]) -> Vec<(&'static str, ArrayRef)> {
    let each = |f: &dyn Fn(i64) -> i64| seeds.iter().map(|s| s.map(f)).collect::<Vec<Option<i64>>>();
    let ints = Int64Array::from(each(&|s| s));
    let cast = |array: &dyn Array, ty: &DataType| arrow::compute::cast(array, ty).unwrap();
    let narrow = |ty: DataType, least: i64, most: i64| {
        cast(&Int64Array::from(each(&|s| least.wrapping_add(s.rem_euclid(most - least + 1)))), &ty)
    };
    let decimal = |p: u8, s: i8| {
        let limit = 10i128.pow(p.into());
        let wide = |v: i64| i128::from(v).wrapping_mul(i128::from(v)).wrapping_mul(0x9E37_79B9) % limit;
        let values: Decimal128Array = seeds.iter().map(|v| v.map(wide)).collect();
        Arc::new(values.with_precision_and_scale(p, s).unwrap()) as ArrayRef
    };
    // Within the years 0 to 9999 (and those that nanoseconds reach).
    let time = |unit: TimeUnit, zone: Option<Arc<str>>| {
        let second = match unit {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        };
        let (least, most) = if unit == TimeUnit::Nanosecond {
            (-9_000_000_000i64, 9_000_000_000i64)
        } else {
            (-62_167_219_200, 253_402_300_799)
        };
        let width = (i128::from(most) - i128::from(least)) * second;
        let values: Int64Array =
            each(&|s| (i128::from(least) * second + i128::from(s).rem_euclid(width)) as i64).into();
        cast(&values, &DataType::Timestamp(unit, zone))
    };
    let utc = || Some(Arc::from("UTC"));
    let text: StringArray = seeds.iter().map(|s| s.map(|s| format!("{s:x} ü'\"\0"))).collect();
    let bytes: BinaryArray = seeds.iter().map(|s| s.map(|s| s.to_be_bytes().to_vec())).collect();
    let reals: Float64Array =
        seeds.iter().map(|s| s.map(|s| f64::from_bits(s as u64)).map(|x| if x.is_nan() { 0.1 } else { x })).collect();
    let singles: Float32Array =
        seeds.iter().map(|s| s.map(|s| f32::from_bits(s as u32)).map(|x| if x.is_nan() { 0.1 } else { x })).collect();
    vec![
        ("boolean", cast(&Int64Array::from(each(&|s| s & 1)), &DataType::Boolean)),
        ("i8", narrow(DataType::Int8, -128, 127)),
        ("i16", narrow(DataType::Int16, -32768, 32767)),
        ("i32", narrow(DataType::Int32, i32::MIN.into(), i32::MAX.into())),
        ("i64", Arc::new(ints)),
        ("u8", narrow(DataType::UInt8, 0, 255)),
        ("u16", narrow(DataType::UInt16, 0, 65535)),
        ("u32", narrow(DataType::UInt32, 0, u32::MAX.into())),
        ("f32", Arc::new(singles)),
        ("f64", Arc::new(reals)),
        ("d1", decimal(1, 0)),
        ("d10", decimal(10, 2)),
        ("d15", decimal(15, 15)),
        ("d15i", decimal(15, 0)),
        ("d16", decimal(16, 2)),
        ("d38", decimal(38, 10)),
        ("text", Arc::new(text)),
        ("bytes", Arc::new(bytes)),
        (
            "date",
            cast(
                &Int32Array::from(
                    seeds.iter().map(|s| s.map(|s| s.rem_euclid(3_652_425) as i32 - 719_528)).collect::<Vec<_>>(),
                ),
                &DataType::Date32,
            ),
        ),
        ("ts0", time(TimeUnit::Second, None)),
        ("ts3", time(TimeUnit::Millisecond, utc())),
        ("ts6", time(TimeUnit::Microsecond, None)),
        ("ts6z", time(TimeUnit::Microsecond, utc())),
        ("ts9", time(TimeUnit::Nanosecond, utc())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// What `Warehouse` wrote, `Table` reads back: same columns, same types, same values.
    #[test]
    fn every_type_comes_back_as_it_was(seeds in proptest::collection::vec(proptest::option::weighted(0.9, any::<i64>()), 0..30), upsert in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut columns = columns(&seeds);
        columns.push(("key", Arc::new(Int64Array::from_iter_values(0..seeds.len() as i64))));
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
        let mode = if upsert { "mode: Upsert([\"key\"])" } else { "" };
        let done = warehouse(dir.path(), mode).batch(batch.clone()).run();
        prop_assert!(done.rejected.is_empty(), "{:?}", done.rejected);
        let back = stored(dir.path()).rows(0);
        prop_assert_eq!(back.schema().fields().clone(), batch.schema().fields().clone());
        prop_assert_eq!(show(&sorted(&[back]).unwrap()), show(&sorted(&[batch]).unwrap()));
    }

    /// An upsert is a map from keys to rows, however its rows are cut into runs.
    #[test]
    fn upserts_are_a_map(rows in proptest::collection::vec((0i64..12, any::<i64>()), 1..60), runs in 1usize..4, unique in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        if !unique {
            database(dir.path()).execute_batch("CREATE TABLE t (k BIGINT, v BIGINT)").unwrap();
        }
        let text = |rows: &[(i64, i64)]| {
            let lines: Vec<String> = rows.iter().map(|(k, v)| format!("{k} | {v}")).collect();
            format!("k:Int64 | v:Int64\n{}", lines.join("\n"))
        };
        let sink = sink(&warehouse(dir.path(), "mode: Upsert([\"k\"])").input(&text(&rows)));
        for (i, part) in rows.chunks(rows.len().div_ceil(runs)).enumerate() {
            let pending = flush(&sink, &i.to_string(), &text(part));
            sink.commit(&commit(&i.to_string()), &[pending]).unwrap();
        }
        let map: std::collections::BTreeMap<i64, i64> = rows.into_iter().collect();
        stored(dir.path()).expect(&text(&map.into_iter().collect::<Vec<_>>()));
    }
}
