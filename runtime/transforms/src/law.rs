//! The row law, for every node of this crate and random tables: rows in + created = sent + dropped + rejected + absorbed.
//! The testkit checks it, and that whole, single-row and three-row batches give the same rows.

use crate::clean::Clean;
use crate::drop_nulls::DropNulls;
use crate::explode::Explode;
use crate::limit::Limit;
use crate::sample::Sample;
use crate::schema_edit::SchemaEdit;
use crate::union::Union;
use arrow::array::{ArrayRef, Float64Array, Int32Builder, Int64Array, ListBuilder, RecordBatch, StringArray};
use proptest::prelude::*;
use selvedge_node::Kind;
use selvedge_testkit::Case;
use std::sync::Arc;

type Row = (Option<String>, Option<i64>, Option<f64>, Option<Vec<Option<i32>>>);

fn a_row() -> impl Strategy<Value = Row> {
    let text = prop_oneof![
        "[ a-zé0-9/:.,-]{0,8}",
        (1900i32..2100, 1u32..14, 1u32..33).prop_map(|(y, m, d)| format!("{y}-{m}-{d}")),
        any::<i32>().prop_map(|n| n.to_string()),
        Just("yes".to_string()),
    ];
    let list = prop::collection::vec(any::<Option<i32>>(), 0..4);
    (prop::option::of(text), any::<Option<i64>>(), any::<Option<f64>>(), prop::option::of(list))
}

fn a_table() -> impl Strategy<Value = RecordBatch> {
    prop::collection::vec(a_row(), 0..12).prop_map(|rows| {
        let text: StringArray = rows.iter().map(|r| r.0.as_deref()).collect();
        let ints: Int64Array = rows.iter().map(|r| r.1).collect();
        let floats: Float64Array = rows.iter().map(|r| r.2).collect();
        let mut lists = ListBuilder::new(Int32Builder::new());
        rows.iter().for_each(|r| lists.append_option(r.3.clone()));
        RecordBatch::try_from_iter_with_nullable([
            ("text", Arc::new(text) as ArrayRef, true),
            ("int", Arc::new(ints), true),
            ("float", Arc::new(floats), true),
            ("list", Arc::new(lists.finish()), true),
        ])
        .unwrap()
    })
}

fn holds<K: Kind>(config: &str, table: &RecordBatch) {
    Case::<K>::new(config).batch(table.clone()).run();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_row_law_holds(table in a_table(), other in a_table(), n in 0u64..10) {
        for ty in ["Int32", "Float64", "Decimal(8, 2)", "Date", "Timestamp", "Boolean", "UInt8"] {
            for on_error in ["Null", "Reject"] {
                holds::<SchemaEdit>(&format!(
                    r#"(on_error: {on_error}, edits: [Cast("text", {ty}), Cast("int", Int16), Cast("float", Int64), Rename("text", "t")])"#
                ), &table);
            }
        }
        holds::<SchemaEdit>(
            r#"(edits: [Default("int", 7), Add("x", "y"), ParseNumber("text", on_error: Reject), Drop(["list"])])"#, &table);
        holds::<SchemaEdit>(r#"(edits: [ParseDate("text", ["%Y-%m-%d", "%d/%m/%y"], to: Timestamp, on_error: Reject)])"#, &table);
        for how in ["Any", "All"] {
            holds::<DropNulls>(&format!(r#"(columns: ["text", "int", "list"], how: {how})"#), &table);
        }
        holds::<DropNulls>(r#"(mode: NullColumns, columns: ["text"])"#, &table);
        for outer in [true, false] {
            holds::<Explode>(&format!(r#"(column: "list", outer: {outer}, position: "at")"#), &table);
        }
        for otherwise in ["Null", "Reject", "Clamp"] {
            holds::<Clean>(&format!(r#"(columns: {{"int": [Range(-5, 5, otherwise: {otherwise})], "float": [Range(max: 0, otherwise: {otherwise})]}})"#), &table);
        }
        for otherwise in ["Null", "Reject", "Keep", "Use(\"?\")"] {
            holds::<Clean>(&format!(
                r#"(columns: {{"text": [Trim, Lower, Title, CollapseSpaces, EmptyToNull, Synonyms({{"yes": "Y"}}, otherwise: {otherwise}), Mask(keep_last: 1), Hash(key: "k")]}},
                    add: [Place("text", city: "city"), Band("float", to: "band", edges: [0, 10])])"#), &table);
        }
        holds::<Limit>(&format!("(rows: {n}, offset: 2)"), &table);
        holds::<Sample>(&format!("(fraction: 0.{n}, seed: {n})"), &table);
        Case::<Union>::new(r#"(tag: "which")"#).port("a", "text | more:Int32\nx | 1").batch(table.clone()).batch(other).run();
    }
}

#[test]
fn every_example_parses() {
    for kind in crate::kinds() {
        let example = selvedge_ron::parse(selvedge_ron::FileId(0), kind.example()).unwrap();
        let selvedge_ron::ValueKind::Struct { fields, .. } = &example.kind else { panic!("{}", kind.name()) };
        assert!(fields.iter().any(|f| f.name == "input"), "{}", kind.name());
        let mut body = example.clone();
        if let selvedge_ron::ValueKind::Struct { fields, .. } = &mut body.kind {
            fields.retain(|f| f.name != "input");
        }
        if let Err(problem) = kind.parse(&body) {
            panic!("{}: {problem}", kind.name());
        }
        assert!(!kind.docs().is_empty() && kind.schema().is_object());
    }
}
