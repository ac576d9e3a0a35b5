//! A join of near rows against nested loops: in any order of arrival, with watermarks anywhere, from disk, stopped and resumed.

use crate::join::{Join, LEFT, RIGHT};
use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray, TimestampNanosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use selvedge_node::prelude::*;
use selvedge_node::{EventTime, MakeTransform};
use selvedge_testkit::{Case, Recorder, Saved};

/// Input, key, time, number.
type Row = (usize, i64, i64, i64);
/// Numbers of a left and a right row; `None` where there is none.
type Pair = (Option<i64>, Option<i64>);

const TIME: &str = r#"within: (time: "ts", before: "7us", after: "12us")"#;

fn batch(rows: &[Row]) -> RecordBatch {
    let column = |get: fn(&Row) -> i64| rows.iter().map(get);
    // A key that is 0 is null.
    let key = Int64Array::from_iter(rows.iter().map(|r| Some(r.1).filter(|&key| key > 0)));
    RecordBatch::try_from_iter_with_nullable([
        ("user", Arc::new(key) as ArrayRef, true),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(column(|r| r.2))) as ArrayRef, true),
        ("row", Arc::new(Int64Array::from_iter_values(column(|r| r.3))) as ArrayRef, true),
        ("text", Arc::new(arrow::array::StringArray::from_iter_values(rows.iter().map(|r| r.3.to_string()))), true),
    ])
    .unwrap()
}

fn matches(how: &str, rows: &[Row], near: impl Fn(&Row, &Row) -> bool) -> Vec<Pair> {
    let of = |port: usize| rows.iter().filter(move |r| r.0 == port);
    let meet = |l: &Row, r: &Row| l.1 > 0 && l.1 == r.1 && near(l, r);
    let mut found: Vec<Pair> = vec![];
    for l in of(LEFT) {
        let right: Vec<_> = of(RIGHT).filter(|r| meet(l, r)).collect();
        match how {
            "Semi" | "Anti" if right.is_empty() == (how == "Anti") => found.push((Some(l.3), None)),
            "Semi" | "Anti" => {}
            "Left" | "Full" if right.is_empty() => found.push((Some(l.3), None)),
            _ => found.extend(right.iter().map(|r| (Some(l.3), Some(r.3)))),
        }
    }
    if matches!(how, "Right" | "Full") {
        found.extend(of(RIGHT).filter(|r| !of(LEFT).any(|l| meet(l, r))).map(|r| (None, Some(r.3))));
    }
    found.sort();
    found
}

fn pairs(sent: &[RecordBatch]) -> Vec<Pair> {
    let mut found: Vec<Pair> = vec![];
    for batch in sent {
        let column = |name: &str| batch.column_by_name(name).map(|c| c.as_primitive::<Int64Type>());
        let text = |name: &str| batch.column_by_name(name).map(|c| c.as_string::<i32>());
        for i in 0..batch.num_rows() {
            let number = |name: &str, beside: &str| {
                let number = column(name).filter(|c| c.is_valid(i)).map(|c| c.value(i));
                let text = text(beside).filter(|c| c.is_valid(i)).map(|c| c.value(i).parse().unwrap());
                assert_eq!(number, text, "columns of one row");
                number
            };
            found.push((number("row", "text"), number("row_right", "text_right")));
        }
    }
    found.sort();
    found
}

fn make(config: &str) -> MakeTransform {
    let schema = batch(&[]).schema();
    let inputs = ["left", "right"].map(|port| Input {
        port: port.into(),
        schema: schema.clone(),
        span: Default::default(),
        unbounded: true,
    });
    let site = selvedge_testkit::site(std::path::Path::new("."), &crate::tests::Nothing);
    let built = Join::build(selvedge_testkit::config(config).unwrap(), &site, &inputs).unwrap();
    assert!(built.waits_for_end.is_none() && built.saves);
    let by_time = config.contains("time:");
    assert_eq!(built.time, if by_time { EventTime::Needs } else { EventTime::Passes });
    let selvedge_node::Work::Transform(make) = built.work else { panic!("not a transform") };
    make
}

/// Rows in the order of arrival, batches of at most `size`, each followed by the highest watermark that makes nothing late.
fn stream(config: &str, rows: &[Row], size: usize, memory: u64, stop_each: usize) -> Recorder {
    let scratch = tempfile::tempdir().unwrap();
    let task = crate::tests::task(memory, 16, scratch.path());
    let make = make(config);
    let mut work = make(&task).unwrap();
    let mut out = Recorder::default();
    let (mut told, mut saved, mut at, mut turn) = (i64::MIN, Saved::default(), 0, 0);
    while at < rows.len() {
        let same = rows[at..].iter().take(size).take_while(|r| r.0 == rows[at].0).count();
        work.process(rows[at].0, batch(&rows[at..at + same]), &mut out).unwrap();
        at += same;
        turn += 1;
        saved = saved.next(&mut *work).unwrap();
        if stop_each > 0 && turn % stop_each == 0 {
            work = make(&task).unwrap();
            saved.load(&mut *work).unwrap();
        }
        let Some(mark) = rows[at..].iter().map(|r| r.2).min() else { break };
        let sent = out.sent.get(&0).map_or(0, Vec::len);
        let promise = work.watermark(mark, &mut out).unwrap();
        assert!(promise <= mark);
        for batch in out.sent.get(&0).into_iter().flatten().skip(sent) {
            for name in ["ts", "ts_right"] {
                let times = batch.column_by_name(name).map(|c| c.as_primitive::<TimestampMicrosecondType>());
                assert!(times.is_none_or(|t| t.iter().flatten().all(|t| t >= told)), "a row before what was promised");
            }
        }
        told = told.max(promise);
    }
    for port in [LEFT, RIGHT] {
        work.end(port, &mut out).unwrap();
    }
    work.finish(&mut out).unwrap();
    drop(work);
    out.check_law(rows.len() as u64);
    assert_eq!(task.memory.used(), 0);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "files stay behind");
    out
}

fn sent(out: &Recorder) -> Vec<Pair> {
    pairs(out.sent.get(&0).map_or(&[], |v| v))
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![5 => Just(3i64), 6 => 0i64..12];
    prop::collection::vec((0usize..2, key, -200i64..200, 0i64..30), 0..250).prop_map(|rows| {
        // In order of time, but for what arrives up to 30 late.
        let mut rows: Vec<_> = rows.into_iter().map(|(port, key, time, late)| (time + late, port, key, time)).collect();
        rows.sort_by_key(|r| r.0);
        rows.iter().enumerate().map(|(i, r)| (r.1, r.2, r.3, i as i64)).collect()
    })
}

fn how() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["Inner", "Left", "Right", "Full", "Semi", "Anti"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn each_pair_near_in_time_comes_once(
        rows in rows(), how in how(), size in 1usize..40, small in any::<bool>(), stop_each in 0usize..4,
    ) {
        let memory = if small { 1 } else { 64 << 20 };
        let out = stream(&format!("(on: [\"user\"], how: {how}, {TIME})"), &rows, size, memory, stop_each);
        let near = |l: &Row, r: &Row| (-7..=12).contains(&(r.2 - l.2));
        prop_assert_eq!(sent(&out), matches(how, &rows, near));
    }

    #[test]
    fn each_pair_near_in_arrival_comes_once(
        rows in rows(), how in how(), size in 1usize..40, small in any::<bool>(), stop_each in 0usize..4, last in 1u64..30,
    ) {
        let memory = if small { 1 } else { 64 << 20 };
        let out = stream(&format!("(on: [\"user\"], how: {how}, within: (rows: {last}))"), &rows, size, memory, stop_each);
        // Batches of one input at a time: what has come of it before a row of the other is the same whatever their size.
        let place = |row: &Row| rows.iter().filter(|r| r.0 == row.0 && r.3 < row.3).count() as u64;
        let came = |port: usize, before: i64| rows.iter().filter(|r| r.0 == port && r.3 < before).count() as u64;
        let near = |l: &Row, r: &Row| {
            let (old, new) = if l.3 < r.3 { (l, r) } else { (r, l) };
            came(old.0, new.3) <= place(old) + last
        };
        prop_assert_eq!(sent(&out), matches(how, &rows, near));
    }
}

#[test]
fn rows_are_forgotten_when_none_can_follow() {
    let scratch = tempfile::tempdir().unwrap();
    let task = crate::tests::task(64 << 20, 4096, scratch.path());
    let mut work = make(&format!("(on: [\"user\"], how: Left, {TIME})"))(&task).unwrap();
    let mut out = Recorder::default();
    let mut most = 0;
    for turn in 0..200 {
        let rows = |port| (0..500).map(|i| (port, 1 + i % 50, turn * 10 + i % 10, i)).collect::<Vec<Row>>();
        work.process(LEFT, batch(&rows(LEFT)), &mut out).unwrap();
        work.process(RIGHT, batch(&rows(RIGHT)), &mut out).unwrap();
        work.watermark(turn * 10, &mut out).unwrap();
        out.sent.clear();
        most = most.max(task.memory.used());
    }
    assert!(most < 2 << 20, "{most} bytes for some 2,500 rows");
}

#[test]
fn a_late_row_meets_what_is_held_and_is_told_at_once_if_there_is_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let task = crate::tests::task(64 << 20, 16, scratch.path());
    let mut work = make(&format!("(on: [\"user\"], {TIME})"))(&task).unwrap();
    let mut out = Recorder::default();
    work.process(RIGHT, batch(&[(RIGHT, 1, 100, 0)]), &mut out).unwrap();
    work.watermark(104, &mut out).unwrap();
    work.process(LEFT, batch(&[(LEFT, 1, 90, 1), (LEFT, 1, 50, 2), (LEFT, 0, 104, 3)]), &mut out).unwrap();
    assert_eq!(sent(&out), [(Some(1), Some(0))]);
    assert_eq!(out.dropped["no match"], 2);
}

#[test]
fn times_of_two_names_and_units() {
    let left = RecordBatch::try_from_iter([
        ("user", Arc::new(Int64Array::from(vec![1, 1])) as ArrayRef),
        ("clicked", Arc::new(TimestampNanosecondArray::from(vec![Some(5_000), None]))),
    ]);
    let right = RecordBatch::try_from_iter([
        ("user", Arc::new(Int64Array::from(vec![1, 1, 1, 1])) as ArrayRef),
        ("ordered", Arc::new(TimestampMicrosecondArray::from(vec![4, 5, 14, 16]))),
    ]);
    let config = r#"(on: ["user"], within: (time: ("clicked", "ordered"), after: "10us"))"#;
    let done = Case::<Join>::new(config).batch(left.unwrap()).batch(right.unwrap()).run();
    assert_eq!(done.rows(0).num_rows(), 2);
    assert_eq!((done.rejected.len(), done.rejected[0].code.as_str()), (1, "null_time"));
}

#[test]
fn problems_are_found_while_planning() {
    let rows = "user:Int64 | ts:Timestamp(us) | n:Int64";
    let problems = |within: &str| {
        Case::<Join>::new(&format!("(on: [\"user\"], within: {within})"))
            .port("left", rows)
            .port("right", rows)
            .problems()
    };
    assert_eq!(problems(r#"(time: "ts", for: "1h")"#), "");
    let shape = "expected `time` with `for`, or with `before` and `after`, or `rows` alone";
    for within in [
        "()",
        r#"(time: "ts")"#,
        r#"(for: "1h")"#,
        r#"(time: "ts", for: "1h", after: "1h")"#,
        r#"(time: "ts", for: "1h", rows: 5)"#,
        r#"(rows: 5, after: "1h")"#,
    ] {
        assert!(problems(within).contains(shape), "{within}: {}", problems(within));
    }
    assert!(problems("(rows: 0)").contains("expected from 1 to"));
    let found = problems(r#"(time: ("tss", "n"), for: "1h")"#);
    assert!(found.contains("no column named `tss` in the left input"), "{found}");
    assert!(found.contains("in the right input"), "{found}");
}
