//! `GroupSort` against a plain sort: in memory, from disk, and as a stream in any order with watermarks anywhere.

use super::*;
use arrow::array::{AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use selvedge_node::MakeTransform;
use selvedge_testkit::{Case, Recorder, Saved};
use std::collections::BTreeMap;

const CONFIG: &str = r#"(keys: ["user"], time: "ts", gap: "10us", session: "s", position: "n")"#;
const CAPPED: &str = r#"(keys: ["user"], time: "ts", gap: "10us", max_session: "25us", session: "s", position: "n")"#;

/// User, time, number of the row.
type Row = (i64, i64, i64);
/// A session: its user and the numbers of its rows.
type Sessions = Vec<(i64, Vec<(i64, i64)>)>;

fn batch(rows: &[Row]) -> RecordBatch {
    let column = |get: fn(&Row) -> i64| rows.iter().map(get);
    RecordBatch::try_from_iter_with_nullable([
        ("user", Arc::new(Int64Array::from_iter_values(column(|r| r.0))) as ArrayRef, true),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(column(|r| r.1))) as ArrayRef, true),
        ("row", Arc::new(Int64Array::from_iter_values(column(|r| r.2))) as ArrayRef, true),
    ])
    .unwrap()
}

/// What a plain sort makes of rows; those of equal time by their numbers.
fn model(rows: &[Row], max: Option<i64>) -> Sessions {
    let mut keys: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    rows.iter().for_each(|r| keys.entry(r.0).or_default().push((r.1, r.2)));
    let mut sessions: Sessions = vec![];
    for (key, mut rows) in keys {
        rows.sort();
        let mut last = None;
        for row in rows {
            match sessions
                .last_mut()
                .filter(|s| last.is_some_and(|last| row.0 - last <= 10) && max.is_none_or(|max| row.0 - s.1[0].0 < max))
            {
                Some(session) => session.1.push(row),
                None => sessions.push((key, vec![row])),
            }
            last = Some(row.0);
        }
    }
    sessions.sort();
    sessions
}

/// The sessions that were sent, each whole and in order; and the ids, which tell them apart.
fn sessions(sent: &[RecordBatch]) -> Sessions {
    let mut found: Sessions = vec![];
    let mut ids = std::collections::HashSet::new();
    for batch in sent {
        let (user, row) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(2).as_primitive::<Int64Type>());
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        let (id, position) = (batch.column(3).as_string::<i32>(), batch.column(4).as_primitive::<Int64Type>());
        for i in 0..batch.num_rows() {
            if position.value(i) == 1 {
                assert!(ids.insert(id.value(i).to_string()), "a session comes twice");
                found.push((user.value(i), vec![]));
            }
            let session = found.last_mut().unwrap();
            session.1.push((times.value(i), row.value(i)));
            assert_eq!((session.0, session.1.len() as i64), (user.value(i), position.value(i)));
            assert!(ids.contains(id.value(i)));
        }
    }
    found.sort();
    found
}

fn make(config: &str, unbounded: bool) -> MakeTransform {
    let schema = batch(&[]).schema();
    let input = Input { port: "in".into(), schema, span: Default::default(), unbounded };
    let site = selvedge_testkit::site(std::path::Path::new("."), &crate::tests::Nothing);
    let built = GroupSort::build(selvedge_testkit::config(config).unwrap(), &site, &[input]).unwrap();
    assert_eq!(built.time, EventTime::Needs);
    let selvedge_node::Work::Transform(make) = built.work else { panic!("not a transform") };
    make
}

fn work(config: &str, memory: u64, unbounded: bool) -> (Box<dyn Transform>, Task, tempfile::TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    let task = crate::tests::task(memory, 64, scratch.path());
    (make(config, unbounded)(&task).unwrap(), task, scratch)
}

/// Rows in the order of arrival, each batch of `size` followed by the highest watermark that makes nothing late. `stops`: after each
/// batch, and after each watermark, the node is saved and another one goes on.
fn stream(config: &str, rows: &[Row], size: usize, memory: u64, stops: bool) -> Recorder {
    let (mut work, task, scratch) = work(config, memory, true);
    let make = make(config, true);
    let resume = |work: &mut Box<dyn Transform>| {
        if stops {
            let saved = Saved::of(&mut **work).unwrap();
            *work = make(&task).unwrap();
            saved.load(&mut **work).unwrap();
        }
    };
    let mut out = Recorder::default();
    let mut told = i64::MIN;
    for at in (0..rows.len()).step_by(size) {
        let end = (at + size).min(rows.len());
        work.process(0, batch(&rows[at..end]), &mut out).unwrap();
        resume(&mut work);
        let Some(mark) = rows[end..].iter().map(|r| r.1).min() else { break };
        let sent = out.sent.get(&0).map_or(0, Vec::len);
        let promise = work.watermark(mark, &mut out).unwrap();
        assert!(promise <= mark);
        for batch in out.sent.get(&0).into_iter().flatten().skip(sent) {
            let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
            assert!(times.values().iter().all(|t| *t >= told), "a row before what was promised");
        }
        told = told.max(promise);
        resume(&mut work);
    }
    work.end(0, &mut out).unwrap();
    work.finish(&mut out).unwrap();
    drop(work);
    out.check_law(rows.len() as u64);
    assert_eq!(task.memory.used(), 0);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "files stay behind");
    out
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![5 => Just(3i64), 4 => 0i64..12];
    prop::collection::vec((key, -200i64..200, 0i64..30), 0..300).prop_map(|rows| {
        // In order of time, but for what arrives up to 30 late.
        let mut rows: Vec<_> = rows.into_iter().map(|(key, time, late)| (time + late, key, time)).collect();
        rows.sort_by_key(|r| r.0);
        rows.iter().enumerate().map(|(i, r)| (r.1, r.2, i as i64)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_stream_makes_the_sessions_of_a_plain_sort(
        rows in rows(),
        size in 1usize..50,
        stops in any::<bool>(),
        memory in prop::sample::select(vec![20_000u64, 64 << 20]),
    ) {
        for (config, max) in [(CONFIG, None), (CAPPED, Some(25))] {
            let expected = model(&rows, max);
            let out = stream(config, &rows, size, memory, stops);
            prop_assert!(!out.sent.contains_key(&1), "nothing is late");
            let found = out.sent.get(&0).map(|b| sessions(b)).unwrap_or_default();
            prop_assert_eq!(&found, &expected);
            for memory in [1, memory] {
                let done = Case::<GroupSort>::new(config).batch(batch(&rows)).memory(memory).run();
                prop_assert_eq!(&sessions(&[done.rows(0)]), &expected);
            }
        }
    }
}

#[test]
fn sessions_leave_as_soon_as_they_are_over_and_late_rows_by_their_port() {
    let (mut work, _, _scratch) = work(CAPPED, 64 << 20, true);
    let mut out = Recorder::default();
    work.process(0, batch(&[(1, 5, 0), (1, 0, 1), (2, 100, 2)]), &mut out).unwrap();
    assert_eq!(work.watermark(15, &mut out).unwrap(), 0, "a row at 15 would still belong to the first session");
    assert!(out.sent.is_empty());
    // Before the watermark, but of a session that is open.
    work.process(0, batch(&[(1, 3, 3)]), &mut out).unwrap();
    assert_eq!(work.watermark(16, &mut out).unwrap(), 16);
    assert_eq!(sessions(&out.sent[&0]), [(1, vec![(0, 1), (3, 3), (5, 0)])]);
    work.process(0, batch(&[(1, 4, 4), (3, 15, 5), (1, 16, 6)]), &mut out).unwrap();
    assert_eq!(out.sent[&1].iter().map(|b| b.num_rows()).sum::<usize>(), 2);
    assert_eq!(out.sent[&1][0].schema(), batch(&[]).schema());
    work.finish(&mut out).unwrap();
    assert_eq!(sessions(&out.sent[&0]).len(), 3);
    out.check_law(7);
}

/// Which rows are late, and what they could still join, is remembered too.
#[test]
fn a_stop_makes_nobody_late() {
    // In a crowd of sessions that are due sooner, the one that is looked at waits on disk.
    for (stops, crowd) in [(false, 0), (true, 0), (false, 1_200), (true, 1_200)] {
        let memory = if crowd > 0 { 256 << 10 } else { 64 << 20 };
        let (mut work, task, scratch) = work(CAPPED, memory, true);
        let mut out = Recorder::default();
        let mut saved = Saved::default();
        let mut step = |rows: &[Row], mark: i64| {
            work.process(0, batch(rows), &mut out).unwrap();
            // The first checkpoint seals what is put: what becomes of it later is put beside it.
            let crowd = if mark == 29 { crowd.min(20) } else { crowd };
            if mark < 90 {
                let crowd: Vec<Row> = (0..crowd).map(|i| (mark * 1_000 + i, 30, 9 + i)).collect();
                crowd.chunks(100).for_each(|some| work.process(0, batch(some), &mut out).unwrap());
                assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count() > 0, crowd.len() > 20);
            }
            work.watermark(mark, &mut out).unwrap();
            saved = std::mem::take(&mut saved).next(&mut *work).unwrap();
            if stops && mark > 29 {
                work = make(CAPPED, true)(&task).unwrap();
                saved.load(&mut *work).unwrap();
            }
        };
        // A session of 30 is cut at 25 when time has come there; what is left of it takes no row from before the cut.
        step(&[(1, 0, 0), (1, 10, 1), (1, 20, 2), (1, 30, 3)], 29);
        let (some, rest) = ([(1, 24, 4), (2, 28, 7)], [(1, 26, 5), (1, 33, 6)]);
        step(&some, 30);
        step(&[(1, 31, 8), (1, 24, -24), rest[0], rest[1]], 90);
        work.finish(&mut out).unwrap();
        let late: Vec<i64> =
            out.sent[&1].iter().flat_map(|b| b.column(2).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(late, [4, 7, -24], "stops: {stops}, crowd: {crowd}");
        assert_eq!(
            sessions(&out.sent[&0])[..2],
            [(1, vec![(0, 0), (10, 1), (20, 2)]), (1, vec![(26, 5), (30, 3), (31, 8), (33, 6)])]
        );
        out.check_law(10 + (crowd + crowd.min(20)) as u64);
    }
}

#[test]
fn a_row_between_two_sessions_makes_one_of_them() {
    let rows = [(1, 0, 0), (1, 20, 1), (1, 40, 2), (1, 10, 3), (1, 30, 4)];
    for config in [CONFIG, CAPPED] {
        let max = (config == CAPPED).then_some(25);
        assert_eq!(sessions(&stream(config, &rows, 5, 1 << 20, false).sent[&0]), model(&rows, max));
    }
    assert_eq!(model(&rows, None).len(), 1);
    assert_eq!(model(&rows, Some(25)).len(), 2);
}

/// One key with more rows than fit, in a run and in a stream that is cut by `max_session`.
#[test]
fn a_giant_key_goes_by_the_disk() {
    let count = 40_000i64;
    let rows: Vec<Row> = (0..count).map(|i| (if i % 50 == 0 { i % 7 } else { 3 }, (i ^ 5) / 2, i)).collect();
    let done = |unbounded: bool| {
        let (mut work, task, scratch) = work(CAPPED, 256 << 10, unbounded);
        let mut out = Recorder::default();
        let mut most = 0;
        for (i, some) in rows.chunks(500).enumerate() {
            work.process(0, batch(some), &mut out).unwrap();
            most = most.max(std::fs::read_dir(scratch.path()).unwrap().count());
            // A watermark far behind, so that more is held than fits.
            if unbounded && i % 20 == 19 {
                work.watermark(some[0].1 - 2_500, &mut out).unwrap();
            }
        }
        work.finish(&mut out).unwrap();
        drop(work);
        assert!(most > 0, "it should have spilled");
        assert!(task.memory.peak() < 512 << 10, "{}", task.memory.peak());
        assert!(out.sent[&0].iter().all(|b| b.num_rows() <= 64));
        assert_eq!((task.memory.used(), std::fs::read_dir(scratch.path()).unwrap().count()), (0, 0));
        out.check_law(count as u64);
        sessions(&out.sent[&0])
    };
    let expected = model(&rows, Some(25));
    assert!(done(false) == expected && done(true) == expected);
}

#[test]
fn rows_without_a_key_or_a_time_are_rejected() {
    let done = Case::<GroupSort>::new(r#"(keys: ["k"], time: "t", gap: "1h", position: "n")"#)
        .input("k | t:Date32\n a | 2024-01-02\n a | 1969-12-31\n null | 2024-01-01\n a | null\n null | null")
        .run();
    done.expect_in_order("k | t:Date32 | n:Int64\n a | 1969-12-31 | 1\n a | 2024-01-02 | 1");
    let mut codes: Vec<&str> = done.rejected.iter().map(|r| r.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["null_key", "null_key", "null_time"]);
}

#[test]
fn nanoseconds_order_rows_too() {
    let done = Case::<GroupSort>::new(r#"(keys: ["k"], time: "t", gap: "1us")"#)
        .input(
            "k | t:Timestamp(Nanosecond, None)
             a | 2024-01-01T00:00:00.000000900
             a | 2024-01-01T00:00:00.000000100",
        )
        .run();
    done.expect_in_order(
        "k | t:Timestamp(Nanosecond, None)
         a | 2024-01-01T00:00:00.000000100
         a | 2024-01-01T00:00:00.000000900",
    );
}

#[test]
fn more_sessions_than_fit_are_an_error_that_names_the_settings() {
    let (mut work, _, _scratch) = work(CONFIG, 64 << 10, true);
    let rows: Vec<Row> = (0..40_000).map(|i| (i, 0, i)).collect();
    let error = work.process(0, batch(&rows), &mut Recorder::default()).unwrap_err().to_string();
    assert!(error.contains("open sessions take") && error.contains("--memory"), "{error}");
}

#[test]
fn every_problem_is_named_at_once() {
    let case = |config: &str| Case::<GroupSort>::new(config).batch(batch(&[])).problems();
    let found = case(r#"(keys: ["usr", "user", "user"], time: "row", gap: "1m", session: "ts", position: "row")"#);
    for part in [
        "no column named `usr` (did you mean `user`?)",
        "column `user` is named twice",
        "column `row` must be a timestamp or a date, but is Int64",
        "there is a column `ts` already",
        "there is a column `row` already",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(case(r#"(keys: [], time: "ts", gap: "1m")"#).contains("at least one key column"));
}

/// A stream with watermarks that come too early for some rows: its sessions, and the rows that were late. `stops`: after each
/// batch the node is saved, and after so many batches another one goes on.
fn hasty(
    config: &str,
    rows: &[Row],
    size: usize,
    memory: u64,
    behind: i64,
    stops: Option<usize>,
) -> (Sessions, Vec<i64>, u64) {
    let (mut work, task, scratch) = work(config, memory, true);
    let make = make(config, true);
    let mut saved = Saved::default();
    let mut out = Recorder::default();
    let (mut newest, mut spilled) = (i64::MIN, 0);
    for (i, some) in rows.chunks(size).enumerate() {
        if let Some(stops) = stops {
            saved = saved.next(&mut *work).unwrap();
            if i % stops == stops - 1 {
                drop(work);
                work = make(&task).unwrap();
                saved.load(&mut *work).unwrap();
            }
        }
        work.process(0, batch(some), &mut out).unwrap();
        newest = some.iter().map(|r| r.1).fold(newest, i64::max);
        work.watermark(newest - behind, &mut out).unwrap();
        spilled = spilled.max(std::fs::read_dir(scratch.path()).unwrap().count() as u64);
    }
    work.finish(&mut out).unwrap();
    drop(work);
    out.check_law(rows.len() as u64);
    assert!(task.memory.peak() <= memory, "{} of {memory}", task.memory.peak());
    assert_eq!((task.memory.used(), std::fs::read_dir(scratch.path()).unwrap().count()), (0, 0));
    let numbers = |b: &RecordBatch| b.column(2).as_primitive::<Int64Type>().values().to_vec();
    let mut late: Vec<i64> = out.sent.get(&1).into_iter().flatten().flat_map(numbers).collect();
    late.sort_unstable();
    (out.sent.get(&0).map(|b| sessions(b)).unwrap_or_default(), late, spilled)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_disk_changes_nothing(
        rows in prop::collection::vec((0i64..1500, 0i64..150), 3000..6000),
        size in 20usize..400,
        behind in 0i64..100,
        step in 1i64..4,
    ) {
        // In order of time, but for what arrives up to 150 late.
        let rows: Vec<Row> =
            rows.into_iter().enumerate().map(|(i, (key, late))| (key, i as i64 / step - late, i as i64)).collect();
        let fields = r#"keys: ["user"], time: "ts", session: "s", position: "n""#;
        for rules in [r#"gap: "700us""#, r#"gap: "300us", max_session: "900us""#, r#"gap: "400us", max_session: "60us""#] {
            let config = format!("({fields}, {rules})");
            let (expected, late, _) = hasty(&config, &rows, size, 64 << 20, behind, None);
            for (memory, stops) in [(300_000, None), (64 << 20, Some(5)), (300_000, Some(3))] {
                let found = hasty(&config, &rows, size, memory, behind, stops);
                prop_assert_eq!(&found.1, &late, "{}, {} bytes, stops {:?}", rules, memory, stops);
                prop_assert!(found.0 == expected, "{}, {} bytes, stops {:?}", rules, memory, stops);
            }
        }
    }
}

/// A hundred times the budget flows, and eight times the budget is open at once.
#[test]
fn what_is_open_does_not_have_to_fit() {
    let count = 200_000i64;
    let rows: Vec<Row> = (0..count).map(|i| ((i * 7919) % 40_009 / 4, i - i * 31 % 50, i)).collect();
    let config = r#"(keys: ["user"], time: "ts", gap: "4ms", max_session: "10ms", session: "s", position: "n")"#;
    let budget = 256 << 10;
    let (found, late, files) = hasty(config, &rows, 1000, budget, 60, None);
    assert!(late.is_empty() && files > 0);
    let (expected, ..) = hasty(config, &rows, 1000, 1 << 30, 60, None);
    assert!(found == expected);
}

/// What is open is saved once: a checkpoint writes what has come and gone since the one before.
#[test]
fn a_checkpoint_costs_what_has_changed() {
    let (mut work, ..) = work(r#"(keys: ["user"], time: "ts", gap: "1s")"#, 64 << 20, true);
    let mut out = Recorder::default();
    let (mut saved, mut written, mut largest) = (Saved::default(), 0, 0);
    for step in 0..200i64 {
        // A hundred rows, of which each closes its session 20 steps later.
        let rows: Vec<Row> = (0..100).map(|i| (step * 100 + i, step * 100_000 + i, i)).collect();
        work.process(0, batch(&rows), &mut out).unwrap();
        work.watermark(step * 100_000 - 1_000_000, &mut out).unwrap();
        let before = saved.parts.clone();
        saved = saved.next(&mut *work).unwrap();
        let new = saved.parts.iter().filter(|(part, batches)| before.get(*part) != Some(batches));
        written += new.flat_map(|(_, batches)| batches).map(RecordBatch::num_rows).sum::<usize>();
        largest = largest.max(saved.parts.len());
    }
    // 20,000 rows came, of which 2,000 were open at any time: each was written, its leaving was, and a few more than once.
    assert!((20_000..80_000).contains(&written), "{written} rows written");
    assert!(largest <= 2 * 2 * 32 + 3, "{largest} parts");
}
