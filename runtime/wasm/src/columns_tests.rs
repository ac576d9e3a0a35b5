//! Arrays of every type that crosses, sliced anywhere, come back as they went.

use super::*;
use crate::bindings::selvedge::plugin::types::FieldResult;
use crate::schema;
use arrow::array::{
    BinaryArray, BooleanArray, FixedSizeListArray, Int16Array, Int64Array, LargeStringArray, ListArray, NullArray,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Fields, Int64Type, Schema};
use std::sync::Arc;

/// Ten rows of many types; every third one is null where the type can be.
fn arrays() -> Vec<(&'static str, ArrayRef)> {
    let some = |i: i64| (i % 3 != 0).then_some(i);
    let words: Vec<Option<String>> = (0..10).map(|i| some(i).map(|i| "ü".repeat(i as usize))).collect();
    let lists = (0..10).map(|i| some(i).map(|n| (0..n).map(|k| Some(k).filter(|k| k % 2 == 0)).collect::<Vec<_>>()));
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
    let pair = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Utf8, true)), Arc::new(StringArray::from(words.clone())) as ArrayRef),
        (Arc::new(Field::new("b", DataType::Boolean, false)), Arc::new(BooleanArray::from(vec![true; 10])) as ArrayRef),
    ]);
    let decimals = Decimal128Array::from((0..10).map(|i| some(i).map(i128::from)).collect::<Vec<_>>());
    let item = Arc::new(Field::new("item", DataType::Int16, true));
    let fixed = FixedSizeListArray::new(item, 2, Arc::new(Int16Array::from_iter_values(0..20)), None);
    vec![
        ("null", Arc::new(NullArray::new(10))),
        ("bool", Arc::new(BooleanArray::from((0..10).map(|i| some(i).map(|i| i % 2 == 0)).collect::<Vec<_>>()))),
        ("int", Arc::new(Int64Array::from((0..10).map(some).collect::<Vec<_>>()))),
        ("text", Arc::new(StringArray::from(words.clone()))),
        ("large", Arc::new(LargeStringArray::from(words.clone()))),
        ("bytes", Arc::new(BinaryArray::from_iter(words.iter().map(|w| w.as_ref().map(String::as_bytes))))),
        ("time", Arc::new(TimestampMicrosecondArray::from((0..10).map(some).collect::<Vec<_>>()).with_timezone("UTC"))),
        ("decimal", Arc::new(decimals.with_precision_and_scale(10, 2).unwrap())),
        ("list", Arc::new(list)),
        ("pair", Arc::new(pair)),
        ("fixed", Arc::new(fixed)),
    ]
}

fn received(nodes: Vec<Node>) -> impl Iterator<Item = NodeResult> {
    nodes.into_iter().map(|n| NodeResult {
        length: n.length,
        null_count: n.null_count,
        buffers: n.buffers.iter().map(|b| b.to_vec()).collect(),
    })
}

#[test]
fn every_slice_of_every_type_comes_back() {
    for (name, array) in arrays() {
        let field = Field::new(name, array.data_type().clone(), true);
        for from in 0..=10 {
            for length in 0..=10 - from {
                let slice = array.slice(from, length);
                let mut nodes = vec![];
                flatten(&slice, &mut nodes);
                let back = assemble(&field, length, &mut received(nodes)).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(&back, &slice, "{name} {from} {length}");
            }
        }
    }
}

#[test]
fn schemas_come_back_and_lies_are_refused() {
    let fields: Fields = arrays().into_iter().map(|(n, a)| Field::new(n, a.data_type().clone(), n != "int")).collect();
    let whole = Schema::new(fields);
    assert_eq!(schema::schema(schema::fields(&whole)).unwrap(), whole);
    let field =
        |format: &str, children| FieldResult { name: "x".into(), format: format.into(), nullable: true, children };
    for (wrong, words) in [
        (vec![field("+l", 1)], "its children are missing"),
        (vec![field("+l", 0)], "is no type that can cross"),
        (vec![field("l", 1), field("l", 0)], "is no type that can cross"),
        (vec![field("+m", 1), field("l", 0)], "a map needs a struct"),
        (vec![field("+w:x", 1), field("l", 0)], "needs a number"),
        (vec![field("vu", 0)], "cannot cross"),
        (vec![field("", 0)], "is no type"),
        (vec![field("d:99,1", 0)], "precision 99"),
        (vec![field("w:-1", 0)], "column `x`"),
        ((0..100).map(|_| field("+l", 1)).collect(), "nested deeper than 32"),
    ] {
        let error = schema::schema(wrong).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_decimal_beyond_its_precision_is_a_lie() {
    let wide = Decimal128Array::from(vec![123_456]).with_precision_and_scale(10, 0).unwrap();
    let mut nodes = vec![];
    flatten(&wide, &mut nodes);
    let narrow = Field::new("x", DataType::Decimal128(3, 0), true);
    assert!(assemble(&narrow, 1, &mut received(nodes)).unwrap_err().contains("123456 is too large"));
}

#[test]
fn bytes_of_a_range_are_those_of_its_values() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "bcd", ""]));
    assert_eq!(range_bytes(&text.to_data(), 1, 1), 3 + 4);
    assert_eq!(range_bytes(&text.slice(1, 2).to_data(), 0, 2), 3 + 8);
}
