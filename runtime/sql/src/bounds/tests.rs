//! What grows is refused before it is made: in expressions, in queries, while planning; what people write goes on.

use super::*;
use crate::derive::Derive;
use crate::expr::compile;
use crate::filter::Filter;
use crate::grouping::Aggregate;
use crate::sql::Sql;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use selvedge_node::{Fault, Span, Spanned};
use selvedge_testkit::Case;

fn rows(n: usize, count: i64) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(Int64Array::from(vec![count; n])) as ArrayRef, true),
        ("name", Arc::new(StringArray::from(vec!["kale"; n])) as ArrayRef, true),
    ])
    .unwrap()
}

fn text(sql: &str) -> Spanned<String> {
    Spanned::new(sql.to_string(), Span::default())
}

/// Every way to a lot of memory that a function has, by a number `n` or a constant of a thousand million.
const GROWING: [&str; 22] = [
    "repeat('x', n)",
    "repeat(name, n)",
    "lpad(name, n)",
    "rpad(name, n, 'é')",
    "array_repeat(1, n)",
    "array_repeat(name, n)",
    "array_repeat([1, 2, 3], n)",
    "array_repeat(array_repeat(1, 1000), n)",
    "list_repeat(true, n)",
    "range(n)",
    "generate_series(1, n)",
    "generate_series(n, 1, -1)",
    "generate_series(-9223372036854775807, 9223372036854775807)",
    "range(timestamp '1970-01-01', timestamp '2200-01-01', interval '1 second')",
    "range(timestamp '2200-01-01', timestamp '1970-01-01', interval '-1 microsecond')",
    "range(date '0001-01-01', date '9000-12-31', interval '1 month -30 days')",
    "array_resize([n], n)",
    "array_resize(['a'], n, name)",
    "array_resize([[1]], n, [1, 2])",
    "replace(repeat(name, 3000000), 'a', repeat('b', 3000))",
    "concat(repeat(name, n), name)",
    "array_to_string(array_repeat(name, 1000000), repeat(name, 3000))",
];

#[test]
fn a_row_that_makes_too_much_is_rejected_alone() {
    for sql in GROWING {
        let schema = rows(0, 0).schema();
        let message = match compile(&schema, &text(sql)) {
            Err(problems) => problems.to_string(),
            Ok(compiled) => {
                let values = compiled.evaluate_each(&rows(3, 1_000_000_000));
                values.map_or_else(|e| e.to_string(), |v| format!("{} {}", v.bad.len(), v.bad[0].1))
            }
        };
        let refused = message.contains("that are allowed") || message.contains("nobody can tell");
        assert!(refused, "{sql}: {message}");
    }
    let compiled = compile(&rows(0, 0).schema(), &text("repeat(name, n)")).unwrap();
    let mut counts = vec![3; 100];
    counts[42] = 2_000_000_000;
    let batch = RecordBatch::try_new(
        rows(0, 0).schema(),
        vec![Arc::new(Int64Array::from(counts)), Arc::new(StringArray::from(vec!["kale"; 100]))],
    );
    let values = compiled.evaluate_each(&batch.unwrap()).unwrap();
    let why =
        "`repeat` would make one value of 8000000000 bytes, more than the 16777216 that are allowed: make it shorter";
    assert_eq!(values.bad, [(42, why.to_string())]);
    assert_eq!(values.array.null_count(), 1);
}

#[test]
fn a_batch_that_makes_too_much_has_no_row_to_blame() {
    let compiled = compile(&rows(0, 0).schema(), &text("repeat(name, n)")).unwrap();
    let e = compiled.evaluate_each(&rows(8192, 10_000)).unwrap_err();
    assert_eq!(e.fault, Fault::Graph);
    assert!(e.message.contains("`repeat` would make 327680000 bytes of one batch"), "{e}");
    // Half of the rows fail for their own reason, and what is left still makes too much.
    let compiled = compile(&rows(0, 0).schema(), &text("repeat(name, 10000 / n)")).unwrap();
    let n: Int64Array = (0..16_384).map(|i| Some(i % 2)).collect();
    let batch = RecordBatch::try_new(rows(0, 0).schema(), vec![Arc::new(n), rows(16_384, 0).column(1).clone()]);
    let found = compiled.evaluate_each(&batch.unwrap()).map(|v| v.bad.len());
    assert_eq!(found.unwrap_err().fault, Fault::Graph);
}

#[test]
fn a_constant_that_makes_too_much_is_found_while_planning() {
    let problem = |sql: &str| compile(&rows(0, 0).schema(), &text(sql)).unwrap_err().to_string();
    for sql in ["repeat('x', 2000000000)", "array_repeat(1, 1000000000)", "repeat('x', 2000000000) || name"] {
        assert!(problem(sql).contains("would make one value of"), "{}", problem(sql));
    }
    assert!(
        problem("repeat('x', 100000) || name").contains("holds a constant of 1"),
        "{}",
        problem("repeat('x', 100000)")
    );
    assert!(problem("case when n > 1 then lpad('x', 100000) else name end").contains("holds a constant"));
    assert!(problem("array_resize([1], -1)").contains("expected 0 or more"), "{}", problem("array_resize([1], -1)"));
    for wide in
        ["cast([1] as bigint[1000000000])", "arrow_cast(arrow_cast(name, 'Binary'), 'FixedSizeBinary(1000000000)')"]
    {
        assert!(problem(wide).contains("every value of the type"), "{}", problem(wide));
    }
}

#[test]
fn what_people_write_goes_on() {
    let batch = rows(8192, 30);
    for sql in [
        "repeat(name, 20)",
        "lpad(name, 40, '0')",
        "rpad(name, n, 'ab')",
        "array_repeat(name, n)",
        "range(n)",
        "generate_series(date '2024-01-01', date '2024-12-31', interval '1 day')",
        "array_resize([n], 10, n)",
        "replace(name, 'a', 'aaaaaaaaaaaaaaaaaaaaaa')",
        "regexp_replace(name, '(a)(l)', '\\2\\1', 'g')",
        "array_to_string([n, n, n], ', ')",
        "concat_ws('-', name, n, name)",
        "[n, n + 1]",
        "array_has(range(0, 1000), n)",
        "length(repeat('x', 1000000))",
        "arrow_cast(name, 'LargeUtf8')",
    ] {
        let compiled = compile(&batch.schema(), &text(sql)).unwrap_or_else(|p| panic!("{sql}: {p}"));
        assert_eq!(compiled.evaluate(&batch).unwrap().len(), 8192, "{sql}");
    }
}

#[test]
fn nodes_refuse_it_at_their_place() {
    const INPUT: &str = "n:Int64    | name
                         1000000000 | a
                         2          | b";
    let done = Case::<Derive>::new(r#"(columns: {"x": "length(repeat(name, n))"})"#).input(INPUT).run();
    assert!(done.rejected[0].message.contains("`repeat` would make one value"), "{:?}", done.rejected);
    done.expect("n:Int64 | name | x:Int32\n2 | b | 2");
    let done = Case::<Filter>::new(r#"(where: "cardinality(range(n)) = 2")"#).input(INPUT).run();
    assert_eq!((done.rejected.len(), done.rows(0).num_rows()), (1, 1));
    let aggregate = r#"(by: [], columns: {"x": "max(repeat('x', 2000000000))"})"#;
    let problems = Case::<Aggregate>::new(aggregate).input(INPUT).problems();
    assert!(problems.contains("would make one value of 2000000000 bytes"), "{problems}");
    let problem = |query: &str| Case::<Sql>::new(&format!("(query: {query:?})")).port("t", INPUT).problems();
    assert!(problem("select repeat('x', 1000000) || name as x from t").contains("the query` holds a constant"));
    let folded = problem("select value from generate_series(1, length(repeat('x', 2000000000)))");
    assert!(!folded.is_empty());
    let query = r#"(query: "select repeat(name, n) as x, repeat('x', 2000000000) as y from t")"#;
    let refused = Case::<Sql>::new(query).port("t", INPUT).try_run().unwrap_err();
    assert!(refused.message.contains("`repeat` would make one value of"), "{refused}");
}

#[test]
fn steps_that_double_are_stopped() {
    let mut columns = vec![r#""c0": "repeat(name, 100)""#.to_string()];
    columns.extend((1..40).map(|i| format!(r#""c{i}": "c{} || c{}""#, i - 1, i - 1)));
    let case = Case::<Derive>::new(&format!("(columns: {{{}}})", columns.join(", "))).batch(rows(100, 1));
    let refused = case.try_run().unwrap_err();
    assert_eq!(refused.fault, Fault::Graph, "{refused}");
}
