//! `Window` against a plain reference: as a whole, in streams, spilled.

use super::*;
use arrow::array::{AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use selvedge_node::{Memory, Transform, Work};
use selvedge_testkit::{Case, Recorder, Saved};
use std::collections::{BTreeMap, BTreeSet};

const EVENTS: &str = "user | ts:Timestamp(Second, None) | price:Float64
                      a    | 2024-05-01T10:00:05        | 1
                      b    | 2024-05-01T10:00:59        | 4
                      a    | 2024-05-01T10:01:00        | 2
                      a    | 2024-05-01T10:00:00        | null
                      null | 1969-12-31T23:59:59        | 8";

fn config(window: &str) -> String {
    format!(r#"(keys: ["user"], time: "ts", window: {window}, aggregates: {{"n": "count(*)", "s": "sum(price)"}})"#)
}

const HEAD: &str =
    "user | window_start:Timestamp(Microsecond, None) | window_end:Timestamp(Microsecond, None) | n:Int64 | s:Float64";

fn expect(window: &str, rows: &str) {
    let done = Case::<Window>::new(&config(window)).input(EVENTS).run();
    done.expect(&format!("{HEAD}\n{rows}"));
    assert_eq!(done.absorbed["grouped"], 5);
    assert_eq!(done.rows(1).num_rows(), 0, "nothing is late in a run that ends");
}

#[test]
fn tumbling_windows() {
    expect(
        r#"Tumbling("1m")"#,
        "a    | 2024-05-01T10:00:00 | 2024-05-01T10:01:00 | 2 | 1
         a    | 2024-05-01T10:01:00 | 2024-05-01T10:02:00 | 1 | 2
         b    | 2024-05-01T10:00:00 | 2024-05-01T10:01:00 | 1 | 4
         null | 1969-12-31T23:59:00 | 1970-01-01T00:00:00 | 1 | 8",
    );
}

#[test]
fn sliding_windows() {
    expect(
        r#"Sliding(size: "1m", every: "30s")"#,
        "a    | 2024-05-01T09:59:30 | 2024-05-01T10:00:30 | 2 | 1
         a    | 2024-05-01T10:00:00 | 2024-05-01T10:01:00 | 2 | 1
         a    | 2024-05-01T10:00:30 | 2024-05-01T10:01:30 | 1 | 2
         a    | 2024-05-01T10:01:00 | 2024-05-01T10:02:00 | 1 | 2
         b    | 2024-05-01T10:00:00 | 2024-05-01T10:01:00 | 1 | 4
         b    | 2024-05-01T10:00:30 | 2024-05-01T10:01:30 | 1 | 4
         null | 1969-12-31T23:59:00 | 1970-01-01T00:00:00 | 1 | 8
         null | 1969-12-31T23:59:30 | 1970-01-01T00:00:30 | 1 | 8",
    );
}

#[test]
fn sessions() {
    expect(
        r#"Session(gap: "55s")"#,
        "a    | 2024-05-01T10:00:00 | 2024-05-01T10:01:00 | 2 | 1
         a    | 2024-05-01T10:01:00 | 2024-05-01T10:01:55 | 1 | 2
         b    | 2024-05-01T10:00:59 | 2024-05-01T10:01:54 | 1 | 4
         null | 1969-12-31T23:59:59 | 1970-01-01T00:00:54 | 1 | 8",
    );
}

#[test]
fn stagger_windows_open_at_the_first_record() {
    expect(
        r#"Stagger("7s")"#,
        "a    | 2024-05-01T10:00:00 | 2024-05-01T10:00:07 | 2 | 1
         a    | 2024-05-01T10:01:00 | 2024-05-01T10:01:07 | 1 | 2
         b    | 2024-05-01T10:00:59 | 2024-05-01T10:01:06 | 1 | 4
         null | 1969-12-31T23:59:59 | 1970-01-01T00:00:06 | 1 | 8",
    );
}

#[test]
fn times_of_every_type() {
    let starts = |ty: &str, time: &str| {
        let text = r#"(time: "ts", window: Tumbling("1d"), offset: "6h", aggregates: {"n": "count(*)"})"#;
        let rows = Case::<Window>::new(text).input(&format!("ts:{ty}\n{time}")).run().rows(0);
        let start = rows.column(0).as_primitive::<TimestampMicrosecondType>();
        (start.value(0), start.timezone().map(str::to_string))
    };
    let six = 1_714_543_200_000_000;
    for unit in ["Second", "Millisecond", "Microsecond", "Nanosecond"] {
        assert_eq!(starts(&format!("Timestamp({unit}, None)"), "2024-05-01T06:00:00"), (six, None));
        let berlin = format!("Timestamp({unit}, Some(\"Europe/Berlin\"))");
        assert_eq!(starts(&berlin, "2024-05-01T08:00:00"), (six, Some("Europe/Berlin".into())));
    }
    assert_eq!(starts("Date32", "2024-05-02"), (six, None));
    assert_eq!(starts("Date64", "2024-05-02"), (six, None));
    assert_eq!(starts("Timestamp(Nanosecond, None)", "1969-12-31T23:59:59.999999999"), (-64_800_000_000, None));
}

#[test]
fn rows_without_a_usable_time_are_rejected() {
    let text = r#"(time: "ts", window: Tumbling("1d"), aggregates: {"n": "sum(cast(v as int))"})"#;
    let batch =
        selvedge_testkit::table("ts:Int64 | v\n0 | 1\nnull | 1\n9223372036854775807 | 1\n-9223372036854775 | 1\n5 | x");
    for (unit, far) in [(TimeUnit::Second, 2), (TimeUnit::Microsecond, 1)] {
        let times = arrow::compute::cast(batch.column(0), &DataType::Timestamp(unit, None)).unwrap();
        let batch = RecordBatch::try_from_iter([("ts", times), ("v", batch.column(1).clone())]).unwrap();
        let done = Case::<Window>::new(text).batch(batch).run();
        let codes = |code: &str| done.rejected.iter().filter(|r| r.code == code).count();
        assert_eq!((codes("no_time"), codes("time_out_of_range"), codes("expression")), (1, far, 1));
        assert_eq!(done.absorbed["grouped"], 3 - far as u64);
    }
}

#[test]
fn bounds_and_keys_may_be_used_in_expressions() {
    let text = r#"(keys: ["who"], time: "ts", window: Tumbling("1m"),
                   aggregates: {"x": "sum(price) / (date_part('epoch', window_end) - date_part('epoch', window_start))", "u": "upper(who)"})"#;
    let rows = Case::<Window>::new(text)
        .input("who | ts:Timestamp(Second, None) | price:Float64\na | 2024-05-01T10:00:05 | 30");
    let text = rows.run().text();
    assert!(text.ends_with("| 0.5 | A"), "{text}");
}

/// A window that takes everything gives what Aggregate gives: partial results of every function are merged rightly.
#[test]
fn every_function_is_that_of_aggregate() {
    let rows: Vec<Row> = (0..300).map(|i| (i % 3, i * 37 % 100, i * i % 41)).collect();
    let aggregates = r#"{"n": "count(*)", "s": "sum(v)", "a": "avg(v)", "lo": "min(v)", "hi": "max(v) filter (where v < 30)",
        "d": "count(distinct v)", "m": "median(v)", "dev": "round(stddev(v), 6)", "all": "bool_and(v > 0)", "x": "bit_xor(v)",
        "about": "approx_distinct(v)", "list": "array_length(array_agg(v))", "text": "max(cast(v as varchar))"}"#;
    let text = format!(r#"(by: ["k"], columns: {aggregates})"#);
    let expected = Case::<crate::grouping::Aggregate>::new(&text).batch(batch(&rows)).run().rows(0);
    for window in [r#"Sliding(size: "36525d", every: "36525d")"#, r#"Session(gap: "1h")"#, r#"Stagger("1h")"#] {
        for memory in [1, 64 << 20] {
            let text = format!(r#"(keys: ["k"], time: "ts", window: {window}, aggregates: {aggregates})"#);
            let found = Case::<Window>::new(&text).batch(batch(&rows)).memory(memory).run().rows(0);
            let columns: Vec<usize> = (0..found.num_columns()).filter(|c| ![1, 2].contains(c)).collect();
            let found = [found.project(&columns).unwrap()];
            let text = |batches: &[RecordBatch]| selvedge_testkit::sorted(batches).map(|b| selvedge_testkit::show(&b));
            assert_eq!(text(&found), text(std::slice::from_ref(&expected)), "{window} in {memory} bytes");
        }
    }
}

#[test]
fn problems_come_all_at_once() {
    let problems = |text: &str| Case::<Window>::new(text).input(EVENTS).problems();
    let found = problems(
        r#"(keys: ["usr", "price", "price"], time: "price", window: Sliding(size: "1m", every: "2m"),
            aggregates: {"window_end": "count(*)", "n": "sum(prise)", "price": "count(*)"})"#,
    );
    for expected in [
        "no column named `usr`",
        "column `price` stands in `keys` twice",
        "column `price` must be a timestamp or a date, but is Float64",
        "`every` is longer than `size`",
        "the result has `window_end` already",
        "the result has `price` already, from `keys`",
        "no column named `prise`",
    ] {
        assert!(found.contains(expected), "{expected} in\n{found}");
    }
    let with = |window: &str| problems(&format!(r#"(time: "ts", window: {window}, aggregates: {{}})"#));
    assert!(with(r#"Sliding(size: "36525d", every: "1us")"#).contains("at most 100000"));
    assert!(
        with(r#"Tumbling("1 fortnight")"#).contains("expected a length of time such as"),
        "{}",
        with(r#"Tumbling("1 fortnight")"#)
    );
    assert!(with(r#"Session(gap: "1h"), offset: "1m""#).contains("nothing to shift"));
    assert_eq!(with(r#"Tumbling("36525d")"#), "");
}

/// A row of the tests below: key, time in seconds, value.
type Row = (i64, i64, i64);
/// Key and bounds of a window; count and sum of its rows.
type Windows = BTreeMap<(i64, i64, i64), (i64, i64)>;

fn batch(rows: &[Row]) -> RecordBatch {
    let column = |each: &dyn Fn(&Row) -> i64| Int64Array::from(rows.iter().map(each).collect::<Vec<_>>());
    let times = TimestampMicrosecondArray::from(rows.iter().map(|r| r.1 * 1_000_000).collect::<Vec<_>>());
    RecordBatch::try_from_iter([
        ("k", Arc::new(column(&|r| r.0)) as ArrayRef),
        ("ts", Arc::new(times) as ArrayRef),
        ("v", Arc::new(column(&|r| r.2)) as ArrayRef),
    ])
    .unwrap()
}

#[derive(Debug, Clone, Copy)]
enum Kinds {
    Sliding(i64, i64),
    Session(i64),
    Stagger(i64),
}

impl Kinds {
    fn config(self) -> String {
        let window = match self {
            Kinds::Sliding(size, every) if size == every => format!("Tumbling(\"{size}s\")"),
            Kinds::Sliding(size, every) => format!("Sliding(size: \"{size}s\", every: \"{every}s\")"),
            Kinds::Session(gap) => format!("Session(gap: \"{gap}s\")"),
            Kinds::Stagger(size) => format!("Stagger(\"{size}s\")"),
        };
        format!(
            r#"(keys: ["k"], time: "ts", window: {window}, aggregates: {{"n": "count(*)", "s": "sum(v)", "d": "count(distinct v)"}})"#
        )
    }

    /// What must come out, in plain words.
    fn windows(self, rows: &[Row]) -> Windows {
        let mut windows = Windows::new();
        let mut add = |key: (i64, i64, i64), v: i64| {
            let (n, s) = windows.entry(key).or_default();
            (*n, *s) = (*n + 1, *s + v);
        };
        let mut rows = rows.to_vec();
        rows.sort_by_key(|r| (r.0, r.1));
        match self {
            Kinds::Sliding(size, every) => {
                for &(k, t, v) in &rows {
                    (t - size + 1..=t).filter(|s| s % every == 0).for_each(|s| add((k, s, s + size), v));
                }
            }
            Kinds::Session(gap) => {
                for some in rows.chunk_by(|a, b| a.0 == b.0 && b.1 - a.1 < gap) {
                    let bounds = (some[0].0, some[0].1, some[some.len() - 1].1 + gap);
                    some.iter().for_each(|r| add(bounds, r.2));
                }
            }
            Kinds::Stagger(size) => {
                let mut open = (i64::MIN, 0);
                for (k, t, v) in rows {
                    if open.0 != k || t >= open.1 + size {
                        open = (k, t);
                    }
                    add((k, open.1, open.1 + size), v);
                }
            }
        }
        windows
    }
}

fn found(out: &Recorder, port: usize) -> Windows {
    let mut windows = Windows::new();
    for batch in out.sent.get(&port).into_iter().flatten() {
        let number = |c: usize| batch.column(c).as_primitive::<Int64Type>();
        let time = |c: usize| batch.column(c).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let seconds = |c: usize| time(c).value(row) / 1_000_000;
            let key = (number(0).value(row), seconds(1), seconds(2));
            let value = (number(3).value(row), number(4).value(row));
            assert!(windows.insert(key, value).is_none(), "window {key:?} came twice");
        }
    }
    windows
}

struct Node {
    work: Box<dyn Transform>,
    out: Recorder,
    task: Task,
    _scratch: tempfile::TempDir,
}

fn node(kind: Kinds, memory: u64) -> Node {
    let scratch = tempfile::tempdir().unwrap();
    let task = Task {
        run: "test".into(),
        node: "node".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(memory),
        scratch: scratch.path().to_path_buf(),
        batch_rows: 8192,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    };
    Node { work: work(kind, &task), out: Recorder::default(), task, _scratch: scratch }
}

fn work(kind: Kinds, task: &Task) -> Box<dyn Transform> {
    let Work::Transform(make) = Case::<Window>::new(&kind.config()).batch(batch(&[])).build().unwrap().work else {
        panic!("a transform")
    };
    make(task).unwrap()
}

impl Node {
    /// As if the run were stopped and resumed here.
    fn resume(&mut self, kind: Kinds) {
        let saved = Saved::of(&mut *self.work).unwrap();
        self.work = work(kind, &self.task);
        saved.load(&mut *self.work).unwrap();
    }
    fn push(&mut self, rows: &[Row]) {
        self.work.process(0, batch(rows), &mut self.out).unwrap();
    }
    fn watermark(&mut self, seconds: i64) -> i64 {
        self.work.watermark(seconds * 1_000_000, &mut self.out).unwrap()
    }
    fn windows(&self) -> Windows {
        found(&self.out, 0)
    }
    fn late(&self) -> usize {
        self.out.sent.get(&1).into_iter().flatten().map(|b| b.num_rows()).sum()
    }
}

#[test]
fn a_window_goes_when_the_watermark_has_come_to_its_end() {
    for (kind, end) in
        [(Kinds::Sliding(10, 10), 20), (Kinds::Sliding(10, 5), 20), (Kinds::Session(7), 22), (Kinds::Stagger(9), 20)]
    {
        let mut node = node(kind, 64 << 20);
        node.push(&[(1, 11, 1), (1, 15, 2)]);
        let before = node.watermark(end - 1);
        assert_eq!(before, (end - 1) * 1_000_000, "{kind:?}: windows that end later have a later event time");
        assert!(!node.windows().keys().any(|w| w.2 == end), "{kind:?}");
        assert_eq!(node.watermark(end), end * 1_000_000);
        assert_eq!(node.windows().iter().rfind(|(w, _)| w.2 == end).unwrap().1, &(2, 3), "{kind:?}");
    }
}

/// As if the graph were resumed with fewer threads.
#[test]
fn instances_are_put_together_whatever_each_has_sent() {
    for kind in [Kinds::Sliding(10, 10), Kinds::Sliding(10, 5), Kinds::Session(7), Kinds::Stagger(9)] {
        // Of the first alone windows are over.
        let rows = [vec![(1, 3, 1), (1, 28, 2)], vec![(2, 28, 4)], vec![]];
        let mut all = node(kind, 64 << 20);
        let mut windows = Windows::new();
        for rows in &rows {
            let mut node = node(kind, 64 << 20);
            node.push(rows);
            node.watermark(25);
            windows.extend(node.windows());
            Saved::of(&mut *node.work).unwrap().load(&mut *all.work).unwrap();
        }
        all.work.finish(&mut all.out).unwrap();
        for (window, value) in all.windows() {
            assert!(windows.insert(window, value).is_none(), "{kind:?}: {window:?} came twice");
        }
        assert_eq!(windows, kind.windows(&rows.concat()), "{kind:?}");
    }
}

#[test]
fn rows_whose_windows_are_over_are_late() {
    let mut sliding = node(Kinds::Sliding(10, 5), 64 << 20);
    sliding.push(&[(1, 12, 1)]);
    sliding.watermark(16);
    assert_eq!(sliding.windows().len(), 1, "5 to 15");
    sliding.push(&[(1, 4, 8), (1, 6, 8), (1, 11, 2), (1, 13, 4)]);
    assert_eq!(sliding.late(), 2, "4 and 6 are in windows up to 15");
    sliding.work.finish(&mut sliding.out).unwrap();
    let windows: Windows = [((1, 5, 15), (1, 1)), ((1, 10, 20), (3, 7))].into();
    assert_eq!(sliding.windows(), windows, "11 and 13 come too late for 5 to 15");
    sliding.out.check_law(5);
}

#[test]
fn where_many_windows_are_held_a_few_wait_and_stay_as_they_are() {
    let mut node = node(Kinds::Sliding(20, 10), 256 << 20);
    let many: Vec<Row> = (0..100_000).map(|k| (k, 1_000, 1)).collect();
    node.push(&many);
    node.push(&[(-1, 0, 1)]);
    assert_eq!((node.watermark(10), node.windows().len()), (10_000_000, 1), "so many rows pay for a look");
    assert_eq!((node.watermark(20), node.windows().len()), (19_999_999, 1), "0 to 20 waits, and the answer says so");
    node.push(&[(-1, 15, 1)]);
    assert_eq!((node.late(), node.windows().len()), (0, 2), "15 is in 10 to 30, and must not come into 0 to 20");
    let sent = (30..).map(|seconds| node.watermark(seconds)).position(|answer| answer % 1_000_000 == 0);
    assert_eq!(sent, Some(3), "watermarks pay, too");
    assert_eq!((node.windows()[&(-1, 0, 20)], node.windows()[&(-1, 10, 30)]), ((1, 1), (1, 1)));
}

#[test]
fn late_rows_of_sessions_and_stagger_windows() {
    let mut session = node(Kinds::Session(10), 64 << 20);
    session.push(&[(1, 100, 1), (1, 109, 1)]);
    session.watermark(112);
    session.push(&[(1, 102, 1), (1, 103, 1), (1, 118, 1)]);
    assert_eq!(session.late(), 1, "102 and a gap is 112");
    session.watermark(128);
    assert_eq!(session.windows(), [((1, 100, 128), (4, 4))].into());

    let mut stagger = node(Kinds::Stagger(10), 64 << 20);
    stagger.push(&[(1, 100, 1)]);
    stagger.watermark(105);
    stagger.push(&[(1, 104, 1), (1, 105, 1), (1, 110, 1)]);
    assert_eq!(stagger.late(), 1, "104 is older than the watermark");
    stagger.work.finish(&mut stagger.out).unwrap();
    assert_eq!(stagger.windows(), [((1, 100, 110), (2, 2)), ((1, 110, 120), (1, 1))].into());
}

#[test]
fn one_key_with_many_rows_costs_a_pane() {
    for kind in [Kinds::Sliding(60, 60), Kinds::Session(60), Kinds::Stagger(60)] {
        let mut node = node(kind, 64 << 20);
        let rows: Vec<Row> = (0..8192).map(|i| (7, i / 2000, 1)).collect();
        for _ in 0..50 {
            node.push(&rows);
        }
        assert!(node.task.memory.peak() < 4 << 20, "{kind:?}: {}", node.task.memory.peak());
        node.work.finish(&mut node.out).unwrap();
        assert_eq!(node.windows().values().map(|w| w.0).collect::<Vec<_>>(), [409_600], "{kind:?}");
    }
}

#[test]
fn many_keys_and_windows_in_little_memory() {
    // 120,000 rows, 20,000 keys, each in several windows; in a scrambled order.
    let rows: Vec<Row> =
        (0..120_000i64).map(|i| i * 7_919 % 120_000).map(|i| (i % 20_000, i / 20_000 * 25, i)).collect();
    for kind in [Kinds::Sliding(50, 50), Kinds::Sliding(40, 20), Kinds::Session(30), Kinds::Stagger(40)] {
        let mut node = node(kind, 4 << 20);
        for some in rows.chunks(8192) {
            node.push(some);
        }
        node.work.finish(&mut node.out).unwrap();
        node.out.check_law(120_000);
        assert_eq!(node.windows(), kind.windows(&rows), "{kind:?}");
        assert!(node.task.memory.peak() < 6 << 20, "{kind:?}: {}", node.task.memory.peak());
        assert_eq!(files(&node), 0, "{kind:?}");
        drop(node.work);
        assert_eq!(node.task.memory.used(), 0);
    }
}

/// Spill files of the node's own.
fn files(node: &Node) -> usize {
    let entries = std::fs::read_dir(&node.task.scratch).unwrap();
    entries.filter(|e| e.as_ref().unwrap().path().is_file()).count()
}

#[test]
fn what_a_stream_still_needs_comes_back_from_disk() {
    let rows: Vec<Row> = (0..100_000i64).map(|i| (i * 7_919 % 50_000, i / 50_000 * 20, i)).collect();
    let more: Vec<Row> = (0..50).map(|k| (k, 30, 1)).collect();
    for kind in [Kinds::Sliding(10, 10), Kinds::Sliding(10, 5), Kinds::Session(5), Kinds::Stagger(10)] {
        let mut node = node(kind, 4 << 20);
        rows.chunks(8192).for_each(|some| node.push(some));
        node.push(&more);
        assert!(files(&node) > 0, "{kind:?}: all of it does not fit");
        assert_eq!(node.watermark(30), 30_000_000, "{kind:?}");
        assert_eq!(files(&node), 0, "{kind:?}: what is left is little");
        node.push(&more);
        node.work.finish(&mut node.out).unwrap();
        let all: Vec<Row> = [rows.as_slice(), &more, &more].concat();
        assert_eq!(node.windows(), kind.windows(&all), "{kind:?}");
        node.out.check_law(100_100);
    }
}

#[test]
fn a_row_in_many_windows_is_taken_piece_by_piece() {
    let mut node = node(Kinds::Sliding(30_000, 1), 64 << 20);
    node.push(&[(1, 0, 1), (1, 29_999, 1), (2, 5, 1)]);
    node.work.finish(&mut node.out).unwrap();
    let windows = node.windows();
    assert_eq!((windows.len(), windows.values().map(|w| w.0).sum::<i64>()), (89_999, 90_000));
}

fn kinds() -> impl Strategy<Value = Kinds> {
    prop_oneof![
        (1i64..15).prop_map(|size| Kinds::Sliding(size, size)),
        (1i64..15, 1i64..15).prop_map(|(a, b)| Kinds::Sliding(a.max(b), a.min(b))),
        (1i64..12).prop_map(Kinds::Session),
        (1i64..12).prop_map(Kinds::Stagger),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// In whatever order rows come and are cut, with watermarks not later than the least row to come, the windows are those of
    /// the whole, stops or not; no row is late; nothing goes before its time or after the watermark that was answered.
    #[test]
    fn a_stream_gives_the_windows_of_the_whole(
        kind in kinds(),
        rows in prop::collection::vec((0i64..4, -40i64..40, 0i64..9), 0..60),
        cuts in prop::collection::vec((1usize..8, any::<bool>(), 0i64..6, any::<bool>()), 60),
        small in any::<bool>(),
    ) {
        let mut node = node(kind, if small { 1 } else { 64 << 20 });
        let (mut rest, mut cuts) = (rows.as_slice(), cuts.into_iter());
        let mut promised = i64::MIN;
        while !rest.is_empty() {
            let (cut, mark, slack, stop) = cuts.next().unwrap();
            let (some, more) = rest.split_at(cut.min(rest.len()));
            let before: BTreeSet<_> = node.windows().into_keys().collect();
            node.push(some);
            if stop {
                node.resume(kind);
            }
            rest = more;
            if let (true, Some(least)) = (mark, rest.iter().map(|r| r.1).min()) {
                let answer = node.watermark(least - slack);
                prop_assert!(answer <= (least - slack) * 1_000_000);
                let new: Vec<_> = node.windows().into_keys().filter(|w| !before.contains(w)).collect();
                prop_assert!(new.iter().all(|w| w.2 * 1_000_000 > promised && w.2 <= least - slack));
                promised = promised.max(answer);
            }
        }
        node.work.finish(&mut node.out).unwrap();
        prop_assert_eq!(node.late(), 0);
        node.out.check_law(rows.len() as u64);
        prop_assert_eq!(node.windows(), kind.windows(&rows));
    }

    /// Watermarks anywhere: no row is lost, and the little budget and stops change nothing, not even which rows are late.
    #[test]
    fn late_rows_are_counted_and_memory_changes_nothing(
        kind in kinds(),
        steps in prop::collection::vec((prop::collection::vec((0i64..3, -30i64..30, 0i64..9), 1..6), -40i64..40), 1..20),
    ) {
        let run = |memory: u64, stops: bool| {
            let mut node = node(kind, memory);
            for (rows, mark) in &steps {
                node.push(rows);
                node.watermark(*mark);
                if stops {
                    node.resume(kind);
                }
            }
            node.work.finish(&mut node.out).unwrap();
            node.out.check_law(steps.iter().map(|s| s.0.len() as u64).sum());
            let mut sent: Vec<String> = node.out.sent.get(&0).into_iter().flatten().map(selvedge_testkit::show).flat_map(|t| t.lines().skip(1).map(str::to_string).collect::<Vec<_>>()).collect();
            sent.sort();
            (sent, node.late())
        };
        let whole = run(64 << 20, false);
        prop_assert_eq!(&run(1, false), &whole);
        prop_assert_eq!(&run(1, true), &whole);
        prop_assert_eq!(&run(64 << 20, true), &whole);
    }
}
