//! `Join`: against nested loops, in memory, spilled and in several goes.

use super::*;
use proptest::prelude::*;
use selvedge_testkit::Case;

const ORDERS: &str = "
    order_id:Int64 | customer_id | total:Int64
    1              | ann         | 10
    2              | bob         | 20
    3              | ann         | 30
    4              | null        | 40
    5              | eve         | 50";
const CUSTOMERS: &str = "
    customer_id | name | total:Int64
    ann         | Ann  | 1
    bob         | Bob  | 2
    bob         | Bert | 3
    null        | Nil  | 4
    zoe         | Zoe  | 5";

fn case(config: &str) -> Case<Join> {
    Case::<Join>::new(config).port("left", ORDERS).port("right", CUSTOMERS)
}

fn join(how: &str, expected: &str) -> selvedge_testkit::Done {
    for memory in [1, 64 << 20] {
        let done = case(&format!("(on: [\"customer_id\"], how: {how})")).memory(memory).run();
        done.expect(expected);
        assert_eq!(done.absorbed["build side"], 5);
    }
    case(&format!("(on: [\"customer_id\"], how: {how})")).run()
}

const HEAD: &str = "order_id:Int64 | customer_id | total:Int64 | name | total_right:Int64\n";
const PAIRS: &str = "1 | ann | 10 | Ann | 1
    3 | ann | 30 | Ann | 1
    2 | bob | 20 | Bob | 2
    2 | bob | 20 | Bert | 3\n";
const LONELY_LEFT: &str = "4 | null | 40 | null | null\n 5 | eve | 50 | null | null\n";
const LONELY_RIGHT: &str = "null | null | null | Nil | 4\n null | zoe | null | Zoe | 5\n";

#[test]
fn inner() {
    let done = join("Inner", &format!("{HEAD}{PAIRS}"));
    assert_eq!((done.dropped["no match"], done.created["multiplied"]), (2, 1));
}

#[test]
fn left() {
    let done = join("Left", &format!("{HEAD}{PAIRS}{LONELY_LEFT}"));
    assert!(done.dropped.is_empty() && done.created["multiplied"] == 1);
}

#[test]
fn right() {
    let done = join("Right", &format!("{HEAD}{PAIRS}{LONELY_RIGHT}"));
    assert_eq!((done.dropped["no match"], done.created["unmatched right"]), (2, 2));
}

#[test]
fn full() {
    let done = join("Full", &format!("{HEAD}{PAIRS}{LONELY_LEFT}{LONELY_RIGHT}"));
    assert_eq!((done.created["multiplied"], done.created["unmatched right"]), (1, 2));
}

#[test]
fn semi_and_anti() {
    let head = "order_id:Int64 | customer_id | total:Int64\n";
    let done = join("Semi", &format!("{head}1 | ann | 10\n2 | bob | 20\n3 | ann | 30"));
    assert_eq!(done.dropped["no match"], 2);
    let done = join("Anti", &format!("{head}4 | null | 40\n5 | eve | 50"));
    assert_eq!(done.dropped["matched"], 3);
}

#[test]
fn keys_of_two_names_are_both_there_and_nullability_is_right() {
    let case = Case::<Join>::new(r#"(on: [("a", "b"), "c"], how: Full, suffix: "2")"#)
        .port("left", "a:Int32 | c:Date32 | x\n 1 | 2024-01-01 | l\n 2 | 2024-01-01 | m")
        .port("right", "x | b:Int32 | c:Date32\n r | 1 | 2024-01-01\n s | 1 | 2024-01-02");
    case.run().expect(
        "a:Int32 | c:Date32   | x    | x2   | b:Int32
         1       | 2024-01-01 | l    | r    | 1
         2       | 2024-01-01 | m    | null | null
         null    | 2024-01-02 | null | s    | 1",
    );
    let nullable = |how: &str| {
        let field = |name: &str| Field::new(name, DataType::Int32, false);
        let one = |names: [&str; 2]| {
            let column = || Arc::new(arrow::array::Int32Array::from(vec![1])) as ArrayRef;
            let schema = Arc::new(Schema::new(names.map(field).to_vec()));
            RecordBatch::try_new(schema, vec![column(), column()]).unwrap()
        };
        let case =
            Case::<Join>::new(&format!("(on: [\"k\"], how: {how})")).batch(one(["k", "l"])).batch(one(["k", "r"]));
        case.run();
        let built = case.build().unwrap();
        built.outputs[0].fields().iter().map(|f| f.is_nullable()).collect::<Vec<_>>()
    };
    assert_eq!(nullable("Inner"), [false, false, false]);
    assert_eq!(nullable("Left"), [false, false, true]);
    assert_eq!(nullable("Right"), [false, true, false]);
    assert_eq!(nullable("Full"), [false, true, true]);
}

#[test]
fn problems_are_found_while_planning() {
    let found = case(r#"(on: ["custmer_id", ("order_id", "name"), ("total", "total"), "total"])"#).problems();
    for part in [
        "no column named `custmer_id` in the left input (did you mean `customer_id`?)",
        "no column named `custmer_id` in the right input",
        "key columns must be of one type, but `order_id` of left is Int64 and `name` of right is Utf8",
        "`total` is compared twice with `total`",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(case("(on: [])").problems().contains("at least one key column"));
    let clash = case(r#"(on: ["customer_id"], suffix: "")"#).problems();
    assert!(clash.contains("two columns of the output would be named `total`"), "{clash}");
    assert_eq!(case(r#"(on: ["customer_id"], how: Semi, suffix: "")"#).problems(), "");
    assert!(case(r#"(on: [("a", "b", "c")])"#).problems().contains("pair"));
}

#[test]
fn empty_sides() {
    for how in ["Inner", "Left", "Right", "Full", "Semi", "Anti"] {
        let config = format!("(on: [\"k\"], how: {how})");
        let rows = |l: &str, r: &str| {
            let case =
                Case::<Join>::new(&config).port("left", &format!("k | l{l}")).port("right", &format!("k | r{r}"));
            case.run().rows(0).num_rows()
        };
        assert_eq!(rows("", ""), 0);
        assert_eq!(rows("\na | 1", ""), usize::from(matches!(how, "Left" | "Full" | "Anti")), "{how}");
        assert_eq!(rows("", "\na | 1"), usize::from(matches!(how, "Right" | "Full")), "{how}");
        assert_eq!(
            rows("\nnull | 1", "\nnull | 2"),
            match how {
                "Full" => 2,
                "Left" | "Right" | "Anti" => 1,
                _ => 0,
            }
        );
    }
}

type Rows = Vec<(Option<u8>, u16)>;

fn side() -> impl Strategy<Value = Rows> {
    let key = prop_oneof![5 => Just(Some(3)), 4 => (0u8..30).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((key, 0u16..1000), 0..40)
}

fn text(head: &str, rows: &Rows) -> String {
    let key = |k: &Option<u8>| k.map_or("null".into(), |k| k.to_string());
    rows.iter().fold(head.to_string(), |text, (k, v)| format!("{text}\n{} | {v}", key(k)))
}

fn model(how: &str, left: &Rows, right: &Rows) -> String {
    let show = |v: Option<u64>| v.map_or("null".to_string(), |v| v.to_string());
    let matches = |l: &Option<u8>, r: &Option<u8>| l.is_some() && l == r;
    let mut lines = vec![];
    for (k, v) in left {
        let found: Vec<_> = right.iter().filter(|r| matches(k, &r.0)).collect();
        let own = format!("{} | {v}", show(k.map(u64::from)));
        match how {
            "Semi" if !found.is_empty() => lines.push(own),
            "Anti" if found.is_empty() => lines.push(own),
            "Left" | "Full" if found.is_empty() => lines.push(format!("{own} | null")),
            "Semi" | "Anti" => {}
            _ => found.iter().for_each(|r| lines.push(format!("{own} | {}", r.1))),
        }
    }
    if matches!(how, "Right" | "Full") {
        for (k, v) in right.iter().filter(|r| !left.iter().any(|l| matches(&l.0, &r.0))) {
            lines.push(format!("{} | null | {v}", show(k.map(u64::from))));
        }
    }
    let head = if matches!(how, "Semi" | "Anti") { "k:UInt8 | l:UInt16" } else { "k:UInt8 | l:UInt16 | r:UInt16" };
    lines.iter().fold(head.to_string(), |text, line| format!("{text}\n{line}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]
    #[test]
    fn any_join_is_what_nested_loops_make(
        left in side(),
        right in side(),
        memory in prop::sample::select(vec![1u64, 30_000, 64 << 20]),
    ) {
        for how in ["Inner", "Left", "Right", "Full", "Semi", "Anti"] {
            let case = Case::<Join>::new(&format!("(on: [\"k\"], how: {how})"))
                .port("left", &text("k:UInt8 | l:UInt16", &left))
                .port("right", &text("k:UInt8 | r:UInt16", &right))
                .memory(memory);
            case.run().expect(&model(how, &left, &right));
        }
    }
}

/// Ports in any order, spilling, one key with most of the rows on both sides.
#[test]
fn interleaved_ports_and_a_giant_key_on_a_small_budget() {
    use arrow::array::{AsArray, Int64Array, StringArray};
    let batch = |rows: i64, name: &str, every: i64| {
        let keys = Int64Array::from_iter_values((0..rows).map(|i| if i % every == 0 { -1 } else { i }));
        let notes = StringArray::from_iter_values((0..rows).map(|i| format!("{name} {i} {}", "x".repeat(100))));
        RecordBatch::try_from_iter([("k", Arc::new(keys) as ArrayRef), (name, Arc::new(notes))]).unwrap()
    };
    // 20 left and 10,000 right rows of key -1.
    let (left, right) = (batch(20_000, "l", 1000), batch(20_000, "r", 2));
    for how in ["Inner", "Full", "Semi", "Anti"] {
        for right_first in [true, false] {
            let case = Case::<Join>::new(&format!("(on: [\"k\"], how: {how})"))
                .batch(left.slice(0, 1))
                .batch(right.slice(0, 1));
            let Ok(Built { work: selvedge_node::Work::Transform(make), .. }) = case.build() else {
                panic!("not a transform")
            };
            let scratch = tempfile::tempdir().unwrap();
            let task = Task {
                run: "test".into(),
                node: "node".into(),
                instance: 0,
                instances: 1,
                memory: selvedge_node::Memory::new(512 << 10),
                scratch: scratch.path().into(),
                batch_rows: 1000,
                batch_bytes: 1 << 20,
                wake: Default::default(),
            };
            let mut node = make(&task).unwrap();
            let mut out = selvedge_testkit::Recorder::default();
            let ports = if right_first { [RIGHT, LEFT] } else { [LEFT, RIGHT] };
            for at in (0..20_000).step_by(500) {
                for port in ports {
                    node.process(port, [&left, &right][port].slice(at, 500), &mut out).unwrap();
                }
            }
            ports.iter().for_each(|&p| node.end(p, &mut out).unwrap());
            node.finish(&mut out).unwrap();
            drop(node);
            out.check_law(40_000);
            // Left keys: 20 times -1, else i; right: 10,000 times -1, else the odd i.
            let same = (0..20_000).filter(|i| i % 1000 != 0 && i % 2 == 1).count() as u64;
            let pairs = 20 * 10_000 + same;
            let expected = match how {
                "Inner" => pairs,
                "Full" => pairs + (20_000 - 20 - same) + (10_000 - same),
                "Semi" => 20 + same,
                _ => 20_000 - 20 - same,
            };
            assert_eq!(out.rows_sent(), expected, "{how}, right first: {right_first}");
            if how == "Inner" {
                for sent in out.sent[&0].iter().step_by(17) {
                    let (l, r) = (sent.column(1).as_string::<i32>(), sent.column(2).as_string::<i32>());
                    let number = |t: &str| t.split(' ').nth(1).and_then(|n| n.parse::<i64>().ok()).unwrap();
                    for row in 0..sent.num_rows() {
                        let (l, r) = (number(l.value(row)), number(r.value(row)));
                        assert!(l == r || (l % 1000 == 0 && r % 2 == 0), "{l} beside {r}");
                    }
                }
            }
            assert_eq!(task.memory.used(), 0);
            assert!(task.memory.peak() < 2 << 20, "{}", task.memory.peak());
            assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        }
    }
}

/// A table that ends is fit for left rows that do not; nothing else is.
#[test]
fn rows_without_end_may_only_pass_a_table() {
    let waits =
        |how: &str| case(&format!("(on: [\"customer_id\"], how: {how})")).build().unwrap().waits_for_end.is_some();
    assert!(!["Inner", "Left", "Semi", "Anti"].into_iter().any(waits));
    assert!(["Right", "Full"].into_iter().all(waits));
}

#[test]
fn a_table_for_endless_rows_has_to_fit() {
    let input = |port: &str, text: &str, unbounded| Input {
        port: port.into(),
        schema: selvedge_testkit::table(text).schema(),
        span: Default::default(),
        unbounded,
    };
    let scratch = tempfile::tempdir().unwrap();
    for memory in [1 << 20, 1] {
        let config = selvedge_testkit::config(r#"(on: ["customer_id"])"#).unwrap();
        let site = selvedge_testkit::site(scratch.path(), &crate::tests::Nothing);
        let inputs = [input("left", ORDERS, true), input("right", CUSTOMERS, false)];
        let built = Join::build(config, &site, &inputs).unwrap();
        let selvedge_node::Work::Transform(make) = built.work else { panic!("not a transform") };
        let mut node = make(&crate::tests::task(memory, 1000, scratch.path())).unwrap();
        let mut out = selvedge_testkit::Recorder::default();
        node.process(LEFT, selvedge_testkit::table(ORDERS), &mut out).unwrap();
        assert_eq!(node.watermark(5, &mut out).unwrap(), i64::MIN);
        node.process(RIGHT, selvedge_testkit::table(CUSTOMERS), &mut out).unwrap();
        let ended = node.end(RIGHT, &mut out);
        if memory == 1 {
            assert!(ended.unwrap_err().to_string().contains("--memory"));
            continue;
        }
        assert_eq!((node.watermark(5, &mut out).unwrap(), out.rows_sent()), (5, 4));
    }
}

/// Stops after each batch: what waits, and the table once it is there, comes back.
#[test]
fn a_stream_against_a_table_is_stopped_and_goes_on() {
    let (orders, customers) = (selvedge_testkit::table(ORDERS), selvedge_testkit::table(CUSTOMERS));
    for how in ["Inner", "Left", "Semi", "Anti"] {
        let config = format!("(on: [\"customer_id\"], how: {how})");
        let input = |port: &str, rows: &RecordBatch, unbounded| Input {
            port: port.into(),
            schema: rows.schema(),
            span: Default::default(),
            unbounded,
        };
        let inputs = [input("left", &orders, true), input("right", &customers, false)];
        let site = selvedge_testkit::site(std::path::Path::new("."), &crate::tests::Nothing);
        let built = Join::build(selvedge_testkit::config(&config).unwrap(), &site, &inputs).unwrap();
        assert!(built.saves && built.waits_for_end.is_none());
        let selvedge_node::Work::Transform(make) = built.work else { panic!("not a transform") };
        let scratch = tempfile::tempdir().unwrap();
        let task = crate::tests::task(64 << 20, 2, scratch.path());
        let mut out = selvedge_testkit::Recorder::default();
        let (mut work, mut saved) = (make(&task).unwrap(), selvedge_testkit::Saved::default());
        let mut ended = false;
        let steps: [(usize, std::ops::Range<usize>); 7] =
            [(LEFT, 0..2), (RIGHT, 0..2), (LEFT, 2..3), (RIGHT, 2..5), (RIGHT, 0..0), (LEFT, 3..4), (LEFT, 4..5)];
        for (port, rows) in steps {
            match (port, rows.is_empty()) {
                (RIGHT, true) => {
                    ended = true;
                    work.end(RIGHT, &mut out).unwrap();
                }
                (LEFT, _) => work.process(LEFT, orders.slice(rows.start, rows.len()), &mut out).unwrap(),
                _ => work.process(RIGHT, customers.slice(rows.start, rows.len()), &mut out).unwrap(),
            }
            // Twice: the second checkpoint keeps what the first one has.
            for _ in 0..2 {
                saved = saved.next(&mut *work).unwrap();
                assert_eq!(saved.parts.contains_key(TABLE), ended);
            }
            work = make(&task).unwrap();
            saved.load(&mut *work).unwrap();
            if ended {
                work.end(RIGHT, &mut out).unwrap();
            }
        }
        work.end(LEFT, &mut out).unwrap();
        work.finish(&mut out).unwrap();
        out.check_law(10);
        let sent = |batches: &[RecordBatch]| selvedge_testkit::sorted(batches).map(|b| selvedge_testkit::show(&b));
        assert_eq!(sent(&out.sent[&0]), sent(&[case(&config).run().rows(0)]), "{how}");
    }
}
