//! `Aggregate` against what SQL says, in memory and spilled.

use super::*;
use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use selvedge_testkit::Case;
use std::collections::BTreeMap;

const SALES: &str = "store | week:Int32 | units:Int32 | dollars:Float64
                     a     | 1          | 2           | 5
                     b     | 1          | 1           | 3
                     a     | 1          | 3           | 5
                     a     | 2          | null        | 7
                     null  | 2          | 4           | null
                     null  | 2          | 1           | 1";

#[test]
fn groups_with_expressions_over_aggregates() {
    let config = r#"(by: ["store", "week"], columns: {"units": "sum(units)", "n": "count(*)", "price": "sum(dollars) / sum(units)"})"#;
    let done = Case::<Aggregate>::new(config).input(SALES).run();
    done.expect(
        "store | week:Int32 | units:Int64 | n:Int64 | price:Float64
         a     | 1          | 5           | 2       | 2
         b     | 1          | 1           | 1       | 3
         a     | 2          | null        | 1       | null
         null  | 2          | 5           | 2       | 0.2",
    );
    assert_eq!((done.absorbed["grouped"], done.created["groups"]), (6, 4));
}

#[test]
fn keys_may_be_used_in_expressions_and_functions_may_be_distinct_or_filtered() {
    let config = r#"(by: ["store"], columns: {"s": "coalesce(store, 'none') || '-' || cast(max(week) as varchar)",
                     "d": "count(distinct week)", "f": "sum(units) filter (where week = 1)"})"#;
    Case::<Aggregate>::new(config).input(SALES).run().expect(
        "store | s      | d:Int64 | f:Int64
         a     | a-2    | 2       | 5
         b     | b-1    | 1       | 1
         null  | none-2 | 1       | null",
    );
}

#[test]
fn without_keys_there_is_one_row_even_of_nothing() {
    let config = r#"(columns: {"n": "count(*)", "s": "sum(units)"})"#;
    Case::<Aggregate>::new(config).input(SALES).run().expect("n:Int64 | s:Int64\n6 | 11");
    Case::<Aggregate>::new(config).input("units:Int32").run().expect("n:Int64 | s:Int64\n0 | null");
    Case::<Aggregate>::new(r#"(by: ["units"], columns: {"n": "count(*)"})"#)
        .input("units:Int32")
        .run()
        .expect("units:Int32 | n:Int64");
}

#[test]
fn without_columns_it_is_the_distinct_keys() {
    Case::<Aggregate>::new(r#"(by: ["store"], columns: {})"#).input(SALES).run().expect("store\na\nb\nnull");
}

#[test]
fn problems_come_all_at_once() {
    let problems = |config| Case::<Aggregate>::new(config).input(SALES).problems();
    let found = problems(
        r#"(by: ["stor", "week", "week"], columns: {"a": "sum(unit)", "b": "dollars", "week": "max(week)", "c": "summ(units)"})"#,
    );
    for expected in [
        "no column named `stor` (did you mean `store`?)",
        "column `week` stands in `by` twice",
        "no column named `unit` (did you mean `units`?)",
        "`dollars` has many values in a group",
        "the result has `week` already",
    ] {
        assert!(found.contains(expected), "{expected} in\n{found}");
    }
    assert!(problems(r#"(by: ["store"], columns: {"c": "summ(units)"})"#).contains("no function named `summ`"));
}

#[test]
fn a_row_whose_argument_cannot_be_computed_is_rejected() {
    let done = Case::<Aggregate>::new(r#"(by: ["k"], columns: {"s": "sum(cast(v as int))"})"#)
        .input("k | v\na | 1\na | x\nb | 2")
        .run();
    done.expect("k | s:Int64\na | 1\nb | 2");
    assert_eq!(done.rejected[0].raw, r#"{"k":"a","v":"x"}"#);
}

#[test]
fn in_a_graph_that_never_ends_windows_are_the_way() {
    let built = Case::<Aggregate>::new(r#"(by: ["store"], columns: {})"#).input(SALES).build().unwrap();
    assert!(built.waits_for_end.unwrap().starts_with("use Window"));
}

/// Many groups of few rows each, and one giant.
fn many(groups: i64, giant: i64) -> RecordBatch {
    let keys = (0..giant).map(|_| 0).chain((0..groups * 3).map(|i| i % groups));
    let names: StringArray = keys.clone().map(|k| Some(format!("key number {k}"))).collect();
    let values: Int64Array = (0..giant + groups * 3).map(Some).collect();
    RecordBatch::try_from_iter([("k", Arc::new(names) as ArrayRef), ("v", Arc::new(values) as ArrayRef)]).unwrap()
}

#[test]
fn spilled_groups_are_the_same_groups() {
    let rows = many(20_000, 50_000);
    let case = |memory| {
        let config = r#"(by: ["k"], columns: {"n": "count(*)", "s": "sum(v)", "lo": "min(v)", "a": "avg(v)", "d": "count(distinct v)"})"#;
        Case::<Aggregate>::new(config).batch(rows.clone()).memory(memory)
    };
    let spilled = case(1 << 20).run_strict().unwrap();
    let held = case(1 << 30).run_strict().unwrap();
    assert_eq!(held.created["groups"], 20_000);
    assert_eq!(spilled.sorted_text(0), held.sorted_text(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn sums_agree_with_a_map(rows in prop::collection::vec((0i64..20, prop::option::of(-50i64..50)), 0..200), small in any::<bool>()) {
        let keys: Int64Array = rows.iter().map(|(k, _)| Some(*k)).collect();
        let values: Int64Array = rows.iter().map(|(_, v)| *v).collect();
        let batch = RecordBatch::try_from_iter_with_nullable([("k", Arc::new(keys) as ArrayRef, true), ("v", Arc::new(values) as ArrayRef, true)]).unwrap();
        let done = Case::<Aggregate>::new(r#"(by: ["k"], columns: {"s": "sum(v)", "n": "count(v)"})"#)
            .batch(batch).memory(if small { 1 } else { 1 << 30 }).run();
        let found = done.rows(0);
        let column = |c: usize| found.column(c).as_primitive::<Int64Type>();
        let mut expected: BTreeMap<i64, (Option<i64>, i64)> = BTreeMap::new();
        for (k, v) in rows {
            let (sum, n) = expected.entry(k).or_default();
            if let Some(v) = v { *sum = Some(sum.unwrap_or(0) + v); *n += 1; }
        }
        prop_assert_eq!(found.num_rows(), expected.len());
        for row in 0..found.num_rows() {
            let sum = column(1).is_valid(row).then(|| column(1).value(row));
            prop_assert_eq!((sum, column(2).value(row)), expected[&column(0).value(row)]);
        }
    }
}
