//! The Assert node under test.

use super::*;
use proptest::prelude::*;
use selvedge_testkit::Case;

const STOCK: &str = "sku  | qty:Int32 | price:Float64 | state
                     a-1  | 5         | 2.5           | NY
                     b-2  | -1        | 3             | CA
                     c    | null      | 700           | XX
                     null | 2         | null          | null
                     a-1  | 0         | 1             | NY";

fn case(config: &str) -> Case<Assert> {
    Case::<Assert>::new(config).input(STOCK)
}

#[test]
fn rows_that_break_a_rule_are_rejected_once() {
    let done = case(
        r#"(rules: [Row(where: "qty >= 0"), NotNull(columns: ["sku", "qty"]), Between(column: "price", min: 1.5, max: 500),
            OneOf(column: "state", values: ["NY", "CA"]), Matches(column: "sku", pattern: "^[a-z]-[0-9]$")])"#,
    )
    .run();
    done.expect("sku | qty:Int32 | price:Float64 | state\na-1 | 5 | 2.5 | NY");
    let codes: Vec<_> = done.rejected.iter().map(|r| r.code.as_str()).collect();
    assert_eq!(codes, ["qty >= 0", "qty is not null", "sku is not null", "price >= 1.5 and price <= 500"]);
    assert_eq!(done.rejected[0].message, "`qty >= 0` is not true");
}

#[test]
fn warnings_let_rows_go_on() {
    let done = case(r#"(rules: [Row(where: "qty > 0", severity: Warn), Rows(min: 10, severity: Warn)])"#).run();
    assert_eq!(done.rows(0).num_rows(), 5);
    assert_eq!(done.altered["warning: qty > 0"], 2);
    assert_eq!(done.altered["warning: rows >= 10: there are 5"], 1);
}

#[test]
fn failures_say_what_broke() {
    let error = |config: &str| case(config).try_run().unwrap_err().to_string();
    let failed = error(r#"(rules: [Row(where: "qty >= 0", severity: Fail)])"#);
    assert!(failed.starts_with("rule `qty >= 0` is broken by 1 of 5 rows, such as {\"sku\":\"b-2\""), "{failed}");
    let failed = error(
        r#"(rules: [Unique(columns: ["sku"]), NullShare(column: "price", max: 0.1), Distinct(columns: ["state"], max: 3),
            Rows(max: 4), Total(of: "sum(qty)", min: 7), Total(of: "avg(price) filter (where qty > 100)", min: 0)])"#,
    );
    for part in [
        "rule `unique sku` is broken: 1 of 5 rows have a key that came before, such as {\"sku\":\"a-1\",\"qty\":0",
        "rule `share of nulls in price <= 0.1` is broken: 1 of 5 rows have none",
        "rule `distinct state <= 3` is broken: there are 4",
        "rule `rows <= 4` is broken: there are 5",
        "rule `sum(qty) >= 7` is broken: it is 6",
        "rule `avg(price) filter (where qty > 100) >= 0` is broken: it is null",
    ] {
        assert!(failed.contains(part), "{part} in {failed}");
    }
}

#[test]
fn rules_that_hold_are_silent() {
    let done = case(
        r#"(rules: [Unique(columns: ["sku", "qty"]), NullShare(column: "price", max: 0.2), Distinct(columns: ["state"], min: 4),
            Rows(min: 5, max: 5), Total(of: "max(price)", min: 0, max: 1000)])"#,
    )
    .run();
    assert_eq!(done.rows(0).num_rows(), 5);
    assert!(done.altered.is_empty() && done.rejected.is_empty());
}

#[test]
fn the_budget_bounds_rejected_rows() {
    let within = case(r#"(rules: [Row(where: "qty > 0")], max_rejects: 2, max_reject_share: 0.4)"#).run();
    assert_eq!(within.rejected.len(), 2);
    let failed = case(r#"(rules: [Row(where: "qty > 0")], max_rejects: 1)"#).try_run().unwrap_err().to_string();
    assert!(
        failed.starts_with("2 rows were rejected, more than max_rejects: 1: 2 broke `qty > 0`, such as {"),
        "{failed}"
    );
    let failed = case(r#"(rules: [Row(where: "qty > 0")], max_reject_share: 0.3)"#).try_run().unwrap_err().to_string();
    assert!(failed.starts_with("2 rows were rejected, of 5, a larger share than max_reject_share: 0.3"), "{failed}");
}

#[test]
fn a_rule_that_cannot_be_judged_is_not_kept() {
    let done = case(r#"(rules: [Row(where: "10 / qty > 1", severity: Warn)])"#).run();
    assert_eq!(done.rejected.len(), 1);
    assert_eq!(done.rejected[0].code, "expression");
}

#[test]
fn wrong_rules_are_found_while_planning() {
    let problems = |rules: &str| case(&format!("(rules: [{rules}])")).problems();
    let both = problems(r#"NotNull(columns: ["skuu"]), Row(where: "qtty > 1"), Between(column: "qty")"#);
    assert_eq!(both.lines().count(), 3, "{both}");
    assert!(problems(r#"Unique(columns: ["sku"], severity: Reject)"#).contains("use Dedup"));
    assert!(problems(r#"NullShare(column: "sku", max: 5)"#).contains("between 0 and 1"));
    assert!(
        problems(r#"Matches(column: "sku", pattern: "[")"#).contains("regex"),
        "{}",
        problems(r#"Matches(column: "sku", pattern: "[")"#)
    );
    assert!(problems(r#"Total(of: "qty", min: 1)"#).contains("not an aggregate"));
    assert!(problems(r#"Total(of: "max(sku)", min: 1)"#).contains("must be a number"));
    assert!(problems("").contains("at least one rule"));
    assert!(problems(r#"OneOf(column: "qty", values: ["many"])"#).contains("many"));
}

#[test]
fn rules_of_the_table_need_an_end() {
    let waits = |rest: &str| {
        let text = format!(r#"(rules: [NotNull(columns: ["sku"]), {rest})"#);
        case(&text).build().unwrap().waits_for_end.is_some()
    };
    assert_eq!(["]", "], max_rejects: 5"].map(waits), [false, false]);
    assert_eq!(["Rows(min: 1)]", "], max_reject_share: 0.5"].map(waits), [true, true]);
}

proptest! {
    #[test]
    fn every_row_goes_on_or_is_rejected(rows in prop::collection::vec(any::<Option<i8>>(), 0..60)) {
        let a: arrow::array::Int8Array = rows.iter().copied().collect();
        let batch = RecordBatch::try_from_iter_with_nullable([("a", Arc::new(a) as ArrayRef, true)]).unwrap();
        let done = Case::<Assert>::new(
            r#"(rules: [Row(where: "a <> 7"), Row(where: "100 / a < 50"), NotNull(columns: ["a"])], max_reject_share: 1)"#
        ).batch(batch).run();
        let kept = rows.iter().flatten().filter(|a| **a != 7 && **a != 0 && 100 / i32::from(**a) < 50).count();
        prop_assert_eq!(done.rows(0).num_rows(), kept);
        prop_assert_eq!(done.rejected.len(), rows.len() - kept);
    }
}
