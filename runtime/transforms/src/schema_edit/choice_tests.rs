//! `ResolveChoice` in all its forms.

use super::*;
use arrow::json::ReaderBuilder;
use selvedge_node::Type;
use selvedge_testkit::Case;

/// Rows as JSON lines, with choices spelled out, in the columns of a declared schema.
fn rows(schema: &str, lines: &str) -> RecordBatch {
    let value = selvedge_ron::parse(selvedge_ron::FileId(0), &format!("Struct({{{schema}}})")).unwrap();
    let ty: Type = selvedge_ron::from_value(&value).unwrap();
    let DataType::Struct(fields) = ty.arrow() else { panic!("{schema}") };
    let mut reader = ReaderBuilder::new(Arc::new(Schema::new(fields))).build(lines.as_bytes()).unwrap();
    reader.next().unwrap().unwrap()
}

fn prices() -> RecordBatch {
    rows(
        r#""id": Int64, "price": Choice([Int64, Utf8])"#,
        r#"{"id":1,"price":{"int64":12}}
           {"id":2,"price":{"utf8":"1.5"}}
           {"id":3,"price":{"utf8":"N/A"}}
           {"id":4,"price":null}"#,
    )
}

fn edit(edits: &str, rows: RecordBatch) -> Case<SchemaEdit> {
    Case::new(&format!("(edits: [{edits}])")).batch(rows)
}

#[test]
fn a_choice_is_cast() {
    let done = edit(r#"ResolveChoice("price", Cast(Float64))"#, prices()).run();
    done.expect("id:Int64 | price:Float64\n1 | 12\n2 | 1.5\n3 | null\n4 | null");
    assert_eq!(done.altered["null by cast: price"], 1);
    let done = edit(r#"ResolveChoice("price", Cast(Decimal(5, 2)), on_error: Reject)"#, prices()).run();
    done.expect("id:Int64 | price:Decimal128(5, 2)\n1 | 12.00\n2 | 1.50\n4 | null");
    assert_eq!(done.rejected[0].message, "cannot read `N/A` in column `price` as Decimal128(5, 2)");
    assert_eq!(done.rejected[0].raw, r#"{"id":3,"price":{"int64":null,"utf8":"N/A"}}"#);
    let error = edit(r#"ResolveChoice("price", Cast(Int64), on_error: Fail)"#, prices()).try_run().unwrap_err();
    assert!(error.message.contains("N/A"), "{error}");
}

#[test]
fn a_choice_is_projected_to_one_of_its_types() {
    edit(r#"ResolveChoice("price", Project(Utf8))"#, prices())
        .run()
        .expect("id:Int64 | price\n1 | 12\n2 | 1.5\n3 | N/A\n4 | null");
    let problems = edit(r#"ResolveChoice("price", Project(Float64))"#, prices()).problems();
    assert_eq!(problems, "Float64 is none of the types of `price`: Int64, Utf8 (project to one of them, or use Cast)");
}

#[test]
fn a_choice_becomes_columns_or_stays_a_struct() {
    edit(r#"ResolveChoice("price", MakeCols)"#, prices()).run().expect(
        "id:Int64 | price_int64:Int64 | price_utf8\n1 | 12 | null\n2 | null | 1.5\n3 | null | N/A\n4 | null | null",
    );
    let done = edit(r#"ResolveChoice("price", MakeStruct)"#, prices()).run();
    assert_eq!(done.rows(0), prices());
    let problems = edit(r#"Rename("id", "price_utf8"), ResolveChoice("price", MakeCols)"#, prices()).problems();
    assert!(problems.contains("there is a column `price_utf8` already"), "{problems}");
}

fn orders() -> RecordBatch {
    rows(
        r#""id": Int64, "items": List(Struct({"price": Choice([Int64, Utf8]), "n": Int64})), "tags": List(Choice([Int64, Utf8]))"#,
        r#"{"id":1,"items":[{"price":{"int64":1},"n":1},{"price":{"utf8":"x"},"n":2}],"tags":[{"int64":1},{"utf8":"2"}]}
           {"id":2,"items":null,"tags":null}
           {"id":3,"items":[],"tags":[null]}
           {"id":4,"items":[null,{"price":{"utf8":"7"}}],"tags":[{"utf8":"y"}]}"#,
    )
}

fn json(case: Case<SchemaEdit>) -> Vec<String> {
    let batch = case.run().rows(0);
    selvedge_node::rows_json(&batch, &(0..batch.num_rows()).collect::<Vec<_>>())
}

#[test]
fn paths_go_into_lists_and_structs() {
    let done = edit(r#"Drop(["tags"]), ResolveChoice("items[].price", Cast(Int64), on_error: Reject)"#, orders()).run();
    let found = selvedge_node::rows_json(&done.rows(0), &[0, 1, 2]);
    assert_eq!(
        found,
        [r#"{"id":2,"items":null}"#, r#"{"id":3,"items":[]}"#, r#"{"id":4,"items":[null,{"price":7,"n":null}]}"#]
    );
    assert!(done.rejected[0].message.contains("in column `items[].price` as Int64"), "{:?}", done.rejected);
    let found = json(edit(r#"Drop(["tags"]), ResolveChoice("items[].price", MakeCols)"#, orders()));
    assert_eq!(
        found[0],
        r#"{"id":1,"items":[{"price_int64":1,"price_utf8":null,"n":1},{"price_int64":null,"price_utf8":"x","n":2}]}"#
    );
    let found = json(edit(r#"Keep(["tags"]), ResolveChoice("tags[]", Cast(Int64))"#, orders()));
    assert_eq!(found, [r#"{"tags":[1,2]}"#, r#"{"tags":null}"#, r#"{"tags":[null]}"#, r#"{"tags":[null]}"#]);
    let found = json(edit("ResolveChoices(Cast(Utf8))", orders()));
    assert_eq!(found[0], r#"{"id":1,"items":[{"price":"1","n":1},{"price":"x","n":2}],"tags":["1","2"]}"#);
}

#[test]
fn the_catalog_says_what_a_choice_is_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = r#"Schema(from: "lake", object: Files(path: "x"), columns: {
        "price": Column(type: Decimal(6, 1)),
        "items": Column(type: List(Struct({"n": Int64, "price": Utf8}))),
        "tags": Column(type: List(Choice([Int64, Utf8]))),
    })"#;
    std::fs::write(folder.path().join("orders.ron"), file).unwrap();
    let by_file = |edits: &str, rows| edit(edits, rows).base(folder.path());
    by_file(r#"ResolveChoice("price", MatchCatalog("orders.ron"))"#, prices())
        .run()
        .expect("id:Int64 | price:Decimal128(6, 1)\n1 | 12.0\n2 | 1.5\n3 | null\n4 | null");
    let found = json(by_file(r#"ResolveChoices(MatchCatalog("orders.ron"))"#, orders()));
    assert_eq!(
        found[0],
        r#"{"id":1,"items":[{"price":"1","n":1},{"price":"x","n":2}],"tags":[{"int64":1,"utf8":null},{"int64":null,"utf8":"2"}]}"#
    );
    let problems =
        by_file(r#"Rename("price", "cost"), ResolveChoices(MatchCatalog("orders.ron"))"#, prices()).problems();
    assert!(problems.starts_with("orders.ron does not say what `cost` is"), "{problems}");
    let problems = by_file(r#"ResolveChoice("price", MatchCatalog("other.ron"))"#, prices()).problems();
    assert!(problems.contains("cannot read the schema file other.ron"), "{problems}");
}

#[test]
fn wrong_paths_and_what_is_no_choice() {
    let check = |edits: &str, expected: &str| {
        let problems = edit(edits, orders()).problems();
        assert!(problems.contains(expected), "{edits}: {problems}");
    };
    check(r#"ResolveChoice("id", Cast(Utf8))"#, "`id` must be a choice, but is Int64");
    check(r#"ResolveChoice("item[].price", MakeCols)"#, "no column named `item` (did you mean `items`?)");
    check(r#"ResolveChoice("items.price", MakeCols)"#, "`[]` goes into the items of a list");
    check(
        r#"ResolveChoice("items[].prize", MakeCols)"#,
        "no field of `items[].prize` named `prize` (did you mean `price`?)",
    );
    check(r#"ResolveChoice("id[].x", MakeCols)"#, "stands behind Int64, which is no list");
    check(r#"ResolveChoice("tags[]", MakeCols)"#, "the items `tags[]` of a list cannot become several columns");
    check(
        r#"Cast("items", Utf8), Cast("id", Utf8), ResolveChoice("tags[]", Cast(Date))"#,
        "cannot be cast to Date32: some of its values are Int64",
    );
}

#[test]
fn sliced_batches_and_rows_of_any_kind() {
    for rows in [orders(), orders().slice(1, 3), orders().slice(3, 1), orders().slice(0, 0)] {
        for how in ["Cast(Int64)", "Cast(Utf8)", "MakeStruct"] {
            for on_error in ["Null", "Reject"] {
                edit(&format!("ResolveChoices({how}, on_error: {on_error})"), rows.clone()).run();
            }
        }
    }
}
