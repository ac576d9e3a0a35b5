//! `Dedup`: against a model, in memory and spilled, with keys of every kind of awkwardness.

use super::*;
use proptest::prelude::*;
use selvedge_testkit::{Case, table};
use std::collections::HashMap;

#[test]
fn exact_copies_go_and_the_first_is_sent_at_once() {
    let done = Case::<Dedup>::new("()")
        .input(
            "a:Int64 | b
             1       | x
             2       | y
             1       | x
             null    | x
             1       | null
             null    | x
             1       | x",
        )
        .run();
    done.expect_in_order(
        "a:Int64 | b
         1       | x
         2       | y
         null    | x
         1       | null",
    );
    assert_eq!(done.dropped["duplicate"], 3);
    assert_eq!(done.samples["duplicate"][0], r#"{"a":1,"b":"x"}"#);
}

const VERSIONS: &str = "
    id:Int64 | at:Int64 | rev:Int32 | note
    1        | 5        | 1         | a
    2        | 1        | 1         | b
    1        | 9        | 1         | c
    1        | 9        | 2         | d
    2        | null     | 7         | e
    1        | 7        | 3         | f
    3        | null     | null      | g
    null     | 1        | 1         | h
    null     | 2        | 1         | i";

fn kept(keep: &str) -> String {
    let done = Case::<Dedup>::new(&format!("(keys: [\"id\"], keep: {keep})")).input(VERSIONS).run();
    assert_eq!(done.dropped["duplicate"], 5);
    let mut notes: Vec<String> =
        done.text().lines().skip(1).map(|l| l.rsplit(" | ").next().unwrap_or_default().to_string()).collect();
    notes.sort();
    notes.concat()
}

#[test]
fn keep_chooses() {
    assert_eq!(kept("First"), "abgh");
    assert_eq!(kept("Any"), "abgh");
    assert_eq!(kept("Last"), "efgi");
    assert_eq!(kept(r#"Last(by: ["at", "rev"])"#), "bdgi");
    assert_eq!(kept(r#"First(by: "at")"#), "abgh");
    // `h` and `i` are equal in `rev`: the hash decides.
    assert!(["efgh", "efgi"].contains(&kept(r#"Last(by: "rev")"#).as_str()));
    assert_eq!(kept(r#"Last(by: "note")"#), "efgi");
    assert_eq!(kept(r#"First(by: ["note", "at"])"#), "abgh");
}

#[test]
fn partitioning_follows_from_what_is_kept() {
    let of = |config: &str| Case::<Dedup>::new(config).input(VERSIONS).build().unwrap().partitioning;
    assert_eq!(of("()"), Partitioning::Keys(vec![vec![0, 1, 2, 3]]));
    assert_eq!(of("(keep: Last)"), Partitioning::Keys(vec![vec![0, 1, 2, 3]]));
    assert_eq!(of(r#"(keys: ["rev"])"#), Partitioning::InOrder);
    assert_eq!(of(r#"(keys: ["rev"], keep: Last)"#), Partitioning::InOrder);
    assert_eq!(of(r#"(keys: ["rev"], keep: Any)"#), Partitioning::Keys(vec![vec![2]]));
    assert_eq!(of(r#"(keys: ["rev", "id"], keep: Last(by: "at"))"#), Partitioning::Keys(vec![vec![2, 0]]));
}

#[test]
fn every_problem_is_named_at_once() {
    let problems = |config: &str| Case::<Dedup>::new(config).input(VERSIONS).problems();
    let found = problems(r#"(keys: ["idd", "rev", "rev"], keep: Last(by: ["att", "at", "at"]))"#);
    for part in [
        "no column named `idd` (did you mean `id`?)",
        "column `rev` is named twice",
        "no column named `att` (did you mean `at`?)",
        "column `at` is named twice",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(problems("(keys: [])").contains("expected at least one key column"));
    assert!(problems(r#"(keep: Last(by: "at"))"#).contains("there are no `keys`"));
    assert!(problems(r#"(keys: ["id"], keep: Last(by: []))"#).contains("at least one column to choose by"));
}

#[test]
fn ties_do_not_depend_on_the_order_of_arrival() {
    let rows = ["1 | 5 | a", "1 | 5 | b", "1 | 5 | c", "1 | 5 | d", "1 | 5 | d"];
    let mut results = std::collections::HashSet::new();
    for turn in 0..rows.len() {
        let mut text = "id:Int64 | at:Int64 | note\n".to_string();
        (0..rows.len()).for_each(|i| text.push_str(&format!("{}\n", rows[(i + turn) % rows.len()])));
        results.insert(Case::<Dedup>::new(r#"(keys: ["id"], keep: Last(by: "at"))"#).input(&text).run().text());
    }
    assert_eq!(results.len(), 1, "{results:?}");
}

#[test]
fn order_columns_of_many_types() {
    // The larger value comes second; the third row has none.
    for (ty, small, large) in [
        ("Float64", "-1.5", "0.25"),
        ("Float64", "inf", "NaN"),
        ("Float32", "-inf", "-3"),
        ("Date32", "1969-12-31", "2024-01-01"),
        ("Timestamp(Microsecond, None)", "1969-12-31T00:00:00", "2024-01-01T00:00:00"),
        ("Boolean", "false", "true"),
        ("UInt64", "1", "18446744073709551615"),
        ("Int8", "-128", "127"),
        ("Decimal128(38, 2)", "-5.00", "3.25"),
        ("Utf8", "abc", "abd"),
        ("LargeUtf8", "\"\"", "a"),
    ] {
        let text =
            format!("id:Int64 | by:{ty} | note\n1 | {small} | s\n1 | {large} | l\n1 | null | n\n2 | null | only");
        for (keep, note) in [("Last", "l"), ("First", "s")] {
            let case = Case::<Dedup>::new(&format!("(keys: [\"id\"], keep: {keep}(by: \"by\"))")).input(&text);
            let found = case.run().sorted_text(0);
            assert!(
                found.contains(&format!("| {note}\n")) || found.ends_with(&format!("| {note}")),
                "{ty} {keep}: {found}"
            );
            assert!(found.contains("| only"), "{ty} {keep}: {found}");
        }
    }
}

#[test]
fn no_rows_no_columns_wide_rows() {
    Case::<Dedup>::new("()").input("a | b").run().expect("a | b");
    Case::<Dedup>::new(r#"(keys: ["a"], keep: Last)"#).input("a | b").run().expect("a | b");
    let wide = |rows: &[&str]| {
        let head = (0..300).map(|c| format!("c{c}")).collect::<Vec<_>>().join(" | ");
        let lines = rows.iter().map(|r| (0..300).map(|c| format!("{r}{c}")).collect::<Vec<_>>().join(" | "));
        std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
    };
    for memory in [1, 64 << 20] {
        let done = Case::<Dedup>::new("()").input(&wide(&["x", "y", "x"])).memory(memory).run();
        done.expect(&wide(&["x", "y"]));
    }
}

/// Rows of `(key, by, note)`; one key has most of them.
fn skewed() -> impl Strategy<Value = Vec<(Option<i64>, Option<i64>, u8)>> {
    let key = prop_oneof![6 => Just(Some(7)), 3 => (0i64..40).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((key, prop::option::weighted(0.9, 0i64..5), 0u8..4), 0..120)
}

fn text(rows: &[(Option<i64>, Option<i64>, u8)]) -> String {
    let show = |v: &Option<i64>| v.map_or("null".into(), |v| v.to_string());
    let lines = rows.iter().map(|(k, b, n)| format!("\n{} | {} | note {n}", show(k), show(b)));
    std::iter::once("key:Int64 | by:Int64 | note".to_string()).chain(lines).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn memory_or_disk_the_model_holds(rows in skewed(), memory in prop::sample::select(vec![1u64, 40_000, 64 << 20])) {
        let input = text(&rows);
        let run = |config: &str| Case::<Dedup>::new(config).input(&input).memory(memory).run();

        let mut seen = std::collections::HashSet::new();
        let distinct: Vec<_> = rows.iter().filter(|r| seen.insert(**r)).copied().collect();
        run("()").expect(&text(&distinct));

        let mut seen = std::collections::HashSet::new();
        let first: Vec<_> = rows.iter().filter(|r| seen.insert(r.0)).copied().collect();
        run(r#"(keys: ["key"])"#).expect(&text(&first));

        let last: HashMap<_, _> = rows.iter().map(|r| (r.0, *r)).collect();
        run(r#"(keys: ["key"], keep: Last)"#).expect(&text(&last.into_values().collect::<Vec<_>>()));

        // Of the best rows by `by` any may stay: compare what is sure.
        let mut best: HashMap<Option<i64>, Option<i64>> = HashMap::new();
        for (key, by, _) in &rows {
            let b = best.entry(*key).or_insert(*by);
            *b = (*b).max(*by);
        }
        let done = run(r#"(keys: ["key"], keep: Last(by: "by"))"#);
        let kept = done.rows(0).project(&[0, 1]).unwrap();
        let expected: Vec<_> = best.into_iter().map(|(k, b)| (k, b, 0)).collect();
        let expected = table(&text(&expected)).project(&[0, 1]).unwrap();
        let sorted = |b: RecordBatch| selvedge_testkit::sorted(&[b]).map(|b| selvedge_testkit::show(&b));
        prop_assert_eq!(sorted(kept), sorted(expected));
    }
}

/// More keys than the set may hold: part of them sent at once, the others from disk, none twice; also where the node is stopped
/// in between and another goes on from what it has saved, with more memory than the first had.
#[test]
fn a_set_that_outgrows_its_share_goes_on_from_disk() {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    let rows = 200_000i64;
    let key = |i: i64| if i % 10 == 0 { 5 } else { i % 60_000 };
    let keys = Int64Array::from_iter_values((0..rows).map(key));
    let numbers = Int64Array::from_iter_values(0..rows);
    let batch = RecordBatch::try_from_iter([("key", Arc::new(keys) as ArrayRef), ("n", Arc::new(numbers))]).unwrap();
    let (mut first, mut last) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    for i in 0..rows {
        first.entry(key(i)).or_insert(i);
        last.insert(key(i), i);
    }
    for (config, expected, emits) in [
        (r#"(keys: ["key"])"#, &first, true),
        (r#"(keys: ["key"], keep: Last)"#, &last, false),
        (r#"(keys: ["key"], keep: Last(by: "n"))"#, &last, false),
    ] {
        for stop in [None, Some(6), Some(30)] {
            let built = Case::<Dedup>::new(config).batch(batch.slice(0, 1)).build().unwrap();
            assert!(built.saves);
            let scratch = tempfile::tempdir().unwrap();
            let small = crate::tests::task(1 << 20, 1000, scratch.path());
            let Work::Transform(make) = built.work else { panic!("not a transform") };
            let mut node = make(&small).unwrap();
            let mut out = selvedge_testkit::Recorder::default();
            let large = crate::tests::task(64 << 20, 1000, scratch.path());
            for at in (0..rows as usize).step_by(4096) {
                if stop == Some(at / 4096) {
                    let saved = selvedge_testkit::Saved::of(&mut *node).unwrap();
                    node = make(&large).unwrap();
                    saved.load(&mut *node).unwrap();
                }
                node.process(0, batch.slice(at, 4096.min(rows as usize - at)), &mut out).unwrap();
            }
            if stop.is_none() {
                assert!(std::fs::read_dir(scratch.path()).unwrap().count() > 0, "{config}: it should have spilled");
            }
            assert_eq!(out.rows_sent() > 0, emits);
            node.finish(&mut out).unwrap();
            drop(node);
            out.check_law(rows as u64);
            let column = |c: usize| {
                let of = move |b: &RecordBatch| b.column(c).as_primitive::<Int64Type>().values().to_vec();
                out.sent[&0].iter().flat_map(of)
            };
            assert_eq!(column(0).count(), expected.len(), "{config} {stop:?}");
            let sent: std::collections::BTreeMap<i64, i64> = column(0).zip(column(1)).collect();
            assert!(sent == *expected, "{config} {stop:?}");
            assert!(out.sent[&0].iter().all(|b| b.num_rows() <= 4096));
            assert_eq!((small.memory.used(), large.memory.used()), (0, 0));
            assert!(small.memory.peak() < 2 << 20, "{config}: {}", small.memory.peak());
            assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "{config}: files stay behind");
        }
    }
}

/// A key is remembered for its time and forgotten after it; keys that do not fit are an error that names the settings.
#[test]
fn within_a_time_keys_are_remembered_and_then_forgotten() {
    let config = r#"(keys: ["id"], keep: Any, within: (time: "at", for: "100us"))"#;
    let rows = |rows: &[(i64, i64)]| {
        let text = rows.iter().map(|(id, at)| format!("\n{id} | 1970-01-01T00:00:00.{at:06}")).collect::<String>();
        table(&format!("id:Int64 | at:Timestamp(Microsecond, None){text}"))
    };
    let start = |memory: u64| {
        let built = Case::<Dedup>::new(config).batch(rows(&[])).build().unwrap();
        assert_eq!((built.time, built.waits_for_end), (EventTime::Needs, None));
        let task = crate::tests::task(memory, 1000, &std::env::temp_dir());
        let Work::Transform(make) = built.work else { panic!("not a transform") };
        (make(&task).unwrap(), task)
    };
    let (mut node, task) = start(1 << 20);
    let mut out = selvedge_testkit::Recorder::default();
    node.process(0, rows(&[(1, 500), (1, 450), (2, 500), (1, 600), (1, 601)]), &mut out).unwrap();
    assert_eq!((out.rows_sent(), out.dropped["duplicate"]), (3, 2));
    let held = task.memory.used();
    assert_eq!(node.watermark(610, &mut out).unwrap(), 610);
    assert!(task.memory.used() < held, "key 2 is forgotten");
    node.process(0, rows(&[(2, 610), (1, 611)]), &mut out).unwrap();
    assert_eq!((out.rows_sent(), out.dropped["duplicate"]), (4, 3));
    node.finish(&mut out).unwrap();
    out.check_law(7);

    let (mut node, _) = start(10_000);
    let many: Vec<(i64, i64)> = (0..60_000).map(|i| (i, i)).collect();
    let error = node.process(0, rows(&many), &mut out).unwrap_err().to_string();
    assert!(error.contains("keys to remember") && error.contains("`for`"), "{error}");

    let done = Case::<Dedup>::new(config).input("id:Int64 | at:Date32\n 1 | null\n 1 | 2024-01-01").run();
    assert_eq!((done.rejected[0].code.as_str(), done.rows(0).num_rows()), ("null_time", 1));
    let case = Case::<Dedup>::new(r#"(keys: ["id"], keep: Last(by: "at"), within: (time: "at", for: "1h"))"#);
    assert!(case.batch(rows(&[])).problems().contains("with `within` the first row to arrive is kept"));
}

#[test]
fn without_a_bound_rows_without_end_are_refused() {
    for config in
        ["()", r#"(keys: ["id"])"#, r#"(keys: ["id"], keep: Last)"#, r#"(keys: ["id"], keep: Last(by: "at"))"#]
    {
        let built = Case::<Dedup>::new(config).input(VERSIONS).build().unwrap();
        assert!(built.waits_for_end.is_some_and(|help| help.contains("within")), "{config}");
    }
}

mod within {
    use super::*;
    use arrow::array::{AsArray, Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::Int64Type;
    use selvedge_node::MakeTransform;
    use selvedge_testkit::{Recorder, Saved};

    /// Key, time, number of the row.
    fn batch(rows: &[(i64, i64)], first: usize) -> RecordBatch {
        let column = |get: fn(&(i64, i64)) -> i64| rows.iter().map(get);
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values(column(|r| r.0))) as ArrayRef),
            ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(column(|r| r.1)))),
            ("row", Arc::new(Int64Array::from_iter_values((first..first + rows.len()).map(|i| i as i64)))),
        ])
        .unwrap()
    }

    fn make(config: &str) -> MakeTransform {
        let built = Case::<Dedup>::new(config).batch(batch(&[], 0)).build().unwrap();
        assert_eq!(built.waits_for_end, None);
        let Work::Transform(make) = built.work else { panic!("not a transform") };
        make
    }

    fn start(config: &str, memory: u64, scratch: &std::path::Path) -> (Box<dyn Transform>, Task) {
        let task = crate::tests::task(memory, 100_000, scratch);
        (make(config)(&task).unwrap(), task)
    }

    /// The numbers of the rows that were sent, and whether the disk was used.
    fn run(config: &str, memory: u64, rows: &[(i64, i64)], size: usize, behind: i64) -> (Vec<i64>, bool) {
        run_with(config, memory, rows, size, behind, None)
    }

    /// The node is saved after each batch, and after so many another one goes on from there.
    fn run_with(
        config: &str,
        memory: u64,
        rows: &[(i64, i64)],
        size: usize,
        behind: i64,
        stops: Option<usize>,
    ) -> (Vec<i64>, bool) {
        let mut saved = Saved::default();
        let scratch = tempfile::tempdir().unwrap();
        let (mut node, task) = start(config, memory, scratch.path());
        let mut out = Recorder::default();
        let mut spilled = false;
        let mut newest = i64::MIN;
        for (i, some) in rows.chunks(size).enumerate() {
            node.process(0, batch(some, i * size), &mut out).unwrap();
            newest = some.iter().map(|r| r.1).fold(newest, i64::max);
            node.watermark(newest - behind, &mut out).unwrap();
            if let Some(stops) = stops {
                saved = saved.next(&mut *node).unwrap();
                if i % stops == stops - 1 {
                    node = make(config)(&task).unwrap();
                    saved.load(&mut *node).unwrap();
                }
            }
            spilled |= std::fs::read_dir(scratch.path()).unwrap().count() > 0;
            assert!(task.memory.peak() <= memory.max(8 << 10), "{} of {memory}", task.memory.peak());
        }
        node.finish(&mut out).unwrap();
        out.check_law(rows.len() as u64);
        assert_eq!((task.memory.used(), std::fs::read_dir(scratch.path()).unwrap().count()), (0, 0));
        let numbers = |b: &RecordBatch| b.column(2).as_primitive::<Int64Type>().values().to_vec();
        (out.sent.get(&0).into_iter().flatten().flat_map(numbers).collect(), spilled)
    }

    /// What should be sent within a time.
    fn by_time(rows: &[(i64, i64)], size: usize, length: i64, behind: i64) -> Vec<i64> {
        let (mut sent, mut newest, mut mark) = (HashMap::<i64, i64>::new(), i64::MIN, i64::MIN);
        let mut expected = vec![];
        for (i, &(id, at)) in rows.iter().enumerate() {
            let before = sent.get(&id).copied().filter(|before| *before >= mark);
            if before.is_none_or(|before| before.abs_diff(at) > length as u64) {
                expected.push(i as i64);
                if before.is_none_or(|before| before < at) {
                    sent.insert(id, at);
                }
            }
            newest = newest.max(at);
            if i % size == size - 1 {
                mark = newest - behind - length;
            }
        }
        expected
    }

    /// What should be sent within so many rows.
    fn by_rows(rows: &[(i64, i64)], within: usize) -> Vec<i64> {
        let mut sent: Vec<(i64, i64)> = vec![];
        for (i, &(id, _)) in rows.iter().enumerate() {
            if !sent.iter().rev().take(within).any(|s| s.0 == id) {
                sent.push((id, i as i64));
            }
        }
        sent.into_iter().map(|s| s.1).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_disk_and_stops_change_nothing(
            rows in prop::collection::vec((0i64..700, 0i64..60), 0..2500),
            size in 1usize..300,
            length in 1i64..1500,
            within in 1usize..600,
            stops in prop::option::of(1usize..40),
        ) {
            // Times that go on, but for what comes up to 60 late.
            let rows: Vec<_> = rows.into_iter().enumerate().map(|(i, (id, late))| (id, i as i64 - late)).collect();
            let config = format!(r#"(keys: ["id"], keep: Any, within: (time: "at", for: "{length}us"))"#);
            let expected = by_time(&rows, size, length, 10);
            for memory in [18_000, 64 << 20] {
                prop_assert_eq!(&run_with(&config, memory, &rows, size, 10, stops).0, &expected);
            }
            let config = format!(r#"(keys: ["id"], within: (rows: {within}))"#);
            let expected = by_rows(&rows, within);
            for memory in [18_000, 64 << 20] {
                prop_assert_eq!(&run_with(&config, memory, &rows, size, 10, stops).0, &expected);
            }
        }
    }

    /// Four times as many keys at once as fit into memory, and a hundred times as many in all.
    #[test]
    fn keys_that_do_not_fit_go_by_the_disk() {
        let rows: Vec<(i64, i64)> = (0..600_000).map(|i| (if i % 10 == 0 { i - 12_345 } else { i }, i)).collect();
        for config in [
            r#"(keys: ["id"], keep: Any, within: (time: "at", for: "24000us"))"#,
            r#"(keys: ["id"], within: (rows: 24000))"#,
        ] {
            let (sent, spilled) = run(config, 256 << 10, &rows, 4096, 0);
            assert!(spilled, "{config}");
            assert_eq!(sent.len(), 540_000 + 12_345 / 10 + 1, "{config}");
        }
    }

    #[test]
    fn either_a_time_or_rows() {
        let case = |within: &str| {
            let case = Case::<Dedup>::new(&format!(r#"(keys: ["id"], keep: Any, within: {within})"#));
            case.batch(batch(&[], 0))
        };
        for wrong in ["()", r#"(time: "at")"#, r#"(for: "1h", rows: 3)"#] {
            assert!(case(wrong).problems().contains("either `time` and `for`, or `rows`"), "{wrong}");
        }
        assert!(case("(rows: 0)").problems().contains("expected from 1 to"));
        let built = case("(rows: 5)").build().unwrap();
        assert_eq!((built.partitioning, built.time), (Partitioning::InOrder, EventTime::default()));
    }
}

#[test]
fn a_time_in_nanoseconds_is_remembered_as_long_as_any_other() {
    let rows = "id:Int64 | ts:Timestamp(ns)
                1        | 2024-01-01T00:00:00.000001
                1        | 2024-01-01T00:59:59.000001
                1        | 2024-01-01T02:00:00.000001";
    let done = Case::<Dedup>::new(r#"(keys: ["id"], within: (time: "ts", for: "1h"))"#).input(rows).run();
    assert_eq!((done.rows(0).num_rows(), done.dropped["duplicate"]), (2, 1));
}
