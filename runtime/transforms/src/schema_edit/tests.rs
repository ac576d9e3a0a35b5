//! `SchemaEdit` from graph text to rows.

use super::*;
use arrow::array::{Int64Array, StringArray, StructArray};
use selvedge_testkit::Case;

fn edit(edits: &str) -> Case<SchemaEdit> {
    Case::new(&format!("(edits: [{edits}])"))
}

const ROWS: &str = "sku | qty | price | on | note\n a | 12 | 3.505 | 2024-1-5 | x\n b | N/A | 1 | 15/01/2024 | null\n null | 7 | x | null | z";

#[test]
fn the_design_s_example() {
    let done = edit(
        r#"Drop(["note"]), Rename("qty", "quantity"), Cast("quantity", Int32, on_error: Null),
           Casts({"price": Decimal(10, 2), "on": Date}), Default("quantity", 0), Add("feed", "iri"), Reorder(["feed", "quantity"])"#,
    )
    .input(ROWS)
    .run();
    done.expect_in_order(
        "feed | quantity:Int32 | sku | price:Decimal128(10, 2) | on:Date32
         iri | 12 | a | 3.51 | 2024-01-05
         iri | 0 | b | 1.00 | null
         iri | 7 | null | null | null",
    );
    assert!(done.rejected.is_empty());
    assert_eq!(
        done.altered,
        [
            ("null by cast: on".to_string(), 1),
            ("null by cast: price".to_string(), 1),
            ("null by cast: quantity".to_string(), 1)
        ]
        .into()
    );
}

#[test]
fn rejects_each_bad_row_once_as_it_came() {
    let done = edit(
        r#"Cast("qty", Int32, Reject), Cast(column: "price", to: Float64, on_error: Reject), Drop(["on", "note"])"#,
    )
    .input(&format!("{ROWS}\n d | ? | ? | null | null"))
    .run();
    done.expect("sku | qty:Int32 | price:Float64\na | 12 | 3.505");
    let messages: Vec<_> = done.rejected.iter().map(|r| r.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "cannot read `N/A` in column `qty` as Int32",
            "cannot read `?` in column `qty` as Int32",
            "cannot read `x` in column `price` as Float64",
        ]
    );
    assert!(done.rejected.iter().all(|r| r.code == "cast"));
    assert_eq!(done.rejected[0].raw, r#"{"sku":"b","qty":"N/A","price":"1","on":"15/01/2024","note":null}"#);
    let built = edit(r#"Cast("qty", Int32, Reject)"#).input(ROWS).build().unwrap();
    assert!(built.may_reject);
}

#[test]
fn fails_at_the_first_bad_value() {
    let case: Case<SchemaEdit> = Case::new(r#"(on_error: Fail, edits: [Cast("qty", Int32)])"#).input(ROWS);
    let error = case.try_run().unwrap_err();
    assert_eq!(error.message, "cannot read `N/A` in column `qty` as Int32");
    assert!(error.help.unwrap().contains("on_error: Reject"));
}

#[test]
fn long_values_are_shortened_in_messages() {
    let long = "é".repeat(200);
    let done = edit(r#"Cast("a", Int32, Reject)"#).input(&format!("a\n{long}")).run();
    assert_eq!(done.rejected[0].message, format!("cannot read `{}…` in column `a` as Int32", "é".repeat(80)));
}

#[test]
fn keeps_and_swaps() {
    edit(r#"Keep(["b", "a"]), Renames({"a": "b", "b": "a"})"#)
        .input("a:Int64 | b | c\n1 | x | 2")
        .run()
        .expect("b:Int64 | a\n1 | x");
}

#[test]
fn selects_exactly_these_in_this_order() {
    edit(r#"Select(["c", "a"]), Rename("c", "z")"#)
        .input("a:Int64 | b | c\n1 | x | 2\n3 | y | null")
        .run()
        .expect_in_order("z | a:Int64\n2 | 1\nnull | 3");
    let problems =
        edit(r#"Select(["c", "aa", "c"]), Cast("a", Int32), Select([])"#).input("a | b | c\n1 | x | 2").problems();
    assert_eq!(
        problems.lines().collect::<Vec<_>>(),
        ["no column named `aa` (did you mean `a`?)", "column `c` is named twice", "this drops the last column"]
    );
}

#[test]
fn a_wide_table_is_planned_in_no_time() {
    let names: Vec<String> = (0..20_000).map(|n| format!("column_{n}")).collect();
    let rows = selvedge_testkit::table(&names.join(" | "));
    let list = names.iter().rev().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    let map = |value: &dyn Fn(&str) -> String| {
        names.iter().map(|n| format!("\"{n}\": {}", value(n))).collect::<Vec<_>>().join(", ")
    };
    let (casts, renames) = (map(&|_| "Int32".into()), map(&|n| format!("\"{n}_\"")));
    let case = edit(&format!(
        "Reorder([{list}]), Keep([{list}]), Select([{list}]), Casts({{{casts}}}), Renames({{{renames}}})"
    ))
    .batch(rows);
    let start = std::time::Instant::now();
    assert_eq!(case.build().unwrap().outputs[0].field(0).name(), "column_19999_");
    // Some 0.2 s without optimisation; comparing each name with each takes minutes.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn dates_and_numbers_by_format() {
    edit(
        r#"ParseDate("d", ["%d/%m/%Y", "yyyy-MM-dd"]), ParseDate("t", "%d.%m.%Y %H:%M", to: Timestamp),
           ParseNumber("n", Decimal(10, 2), decimal: ",", thousands: "."), Cast("u", Date, format: "MMM d yyyy"),
           ParseNumber("p", percent: true)"#,
    )
    .input("d | t | n | u | p\n15/01/2024 | 1.2.2024 10:30 | 1.234,50 € | Jan 5 2024 | 12 %\n2024-01-15 | x | 1,005 | ? | $1,000.5\nnull | null | null | null | null")
    .run()
    .expect(
        "d:Date32 | t:Timestamp(µs, \"UTC\") | n:Decimal128(10, 2) | u:Date32 | p:Float64
         2024-01-15 | 2024-02-01T10:30:00Z | 1234.50 | 2024-01-05 | 0.12
         2024-01-15 | null | 1.01 | null | 1000.5
         null | null | null | null | null",
    );
}

#[test]
fn a_wall_clock_belongs_to_the_zone_of_its_column() {
    edit(r#"ParseDate("t", "%F %R", to: ZonedTimestamp(Second, "Europe/Berlin"))"#)
        .input("t\n2024-07-01 10:00")
        .run()
        .expect("t:Timestamp(s, \"Europe/Berlin\")\n2024-07-01T10:00:00");
}

#[test]
fn flattens_to_the_last_level() {
    let field = |name: &str, ty| Arc::new(Field::new(name, ty, true));
    let city: ArrayRef = Arc::new(StringArray::from(vec!["Rome", "Oslo", "hidden"]));
    let address = StructArray::try_new(
        vec![field("city", DataType::Utf8)].into(),
        vec![city],
        Some(vec![true, false, true].into()),
    )
    .unwrap();
    let address_type = address.data_type().clone();
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let user = StructArray::try_new(
        vec![field("id", DataType::Int64), field("address", address_type)].into(),
        vec![id, Arc::new(address)],
        Some(vec![true, true, false].into()),
    )
    .unwrap();
    let n: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, 9]));
    let batch = RecordBatch::try_from_iter(vec![("user", Arc::new(user) as ArrayRef), ("n", n)]).unwrap();
    edit(r#"Flatten("user")"#)
        .batch(batch.clone())
        .run()
        .expect("user_id:Int64 | user_address_city | n:Int64\n1 | Rome | 7\n2 | null | 8\nnull | null | 9");
    edit(r#"Flatten("user", separator: ".", prefix: "")"#)
        .batch(batch.clone())
        .run()
        .expect("id:Int64 | address.city | n:Int64\n1 | Rome | 7\n2 | null | 8\nnull | null | 9");
    let clash = edit(r#"Rename("n", "user_id"), Flatten("user")"#).batch(batch).problems();
    assert_eq!(
        clash,
        "there is a column `user_id` already (choose another separator or prefix, or rename the other one first)"
    );
}

#[test]
fn adds_typed_values_and_the_clock() {
    let done = edit(r#"Add("i", 7), Add("d", "2024-01-05", Date), Add("r", 1.5, Decimal(4, 2)), Add("n", None, Utf8), Add("b", true)"#)
        .input("a\nx\ny")
        .run();
    done.expect_in_order(
        "a | i:Int64 | d:Date32 | r:Decimal128(4, 2) | n | b:Boolean\nx | 7 | 2024-01-05 | 1.50 | null | true\ny | 7 | 2024-01-05 | 1.50 | null | true",
    );
    let built = edit(r#"Add("at", "now()"), Add("day", "today()")"#).input("a\nx\ny").build().unwrap();
    let types: Vec<_> = built.outputs[0].fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Utf8", "Timestamp(µs, \"UTC\")", "Date32"]);
}

#[test]
fn untouched_columns_are_shared() {
    let rows = selvedge_testkit::table(ROWS);
    let done = edit(r#"Cast("qty", Int32), Drop(["note"])"#).batch(rows.clone()).run();
    let bytes = |batch: &RecordBatch| batch.column(0).to_data().buffers()[1].as_ptr();
    assert_eq!(bytes(&done.sent[&0][0]), bytes(&rows));
}

#[test]
fn all_problems_at_once() {
    let problems = edit(
        r#"Drop(["notes"]), Rename("qtyy", "quantity"), Cast("quantity", Int32), Cast("price", List(Int32)),
           Rename("sku", "price"), Add("on", 1), Add("x", "y", Int32), Cast("x", Int64), Default("qty", 5.5),
           Flatten("sku"), ParseDate("on", "%d/%m"), ParseNumber("qty", Date, decimal: ","), Cast("qty", Decimal(40, 2)),
           Keep(["sku", "sku"])"#,
    )
    .input("sku | qty:Int32 | price | on | note\na | 1 | 2 | 3 | 4")
    .problems();
    assert_eq!(
        problems.lines().collect::<Vec<_>>(),
        [
            "no column named `notes` (did you mean `note`?)",
            "no column named `qtyy` (did you mean `qty`?)",
            "column `price` cannot be cast from Utf8 to List(Int32) (cast it to Utf8 in between, if its text is what you want)",
            "there is a column `price` already (drop or rename the other one first)",
            "there is a column `on` already (drop or rename the other one first)",
            "\"y\" is no Int32",
            "5.5 is no Int32, as column `qty` is (cast the column first, or give a value of its type)",
            "column `sku` must be a struct, but is Utf8 (only a struct has fields to take out)",
            "format `%d/%m` has no year (for example `%d/%m/%Y` or `dd/MM/yyyy`)",
            "`,` cannot part both thousands and decimals (give both: decimal: \",\", thousands: \".\")",
            "ParseNumber reads numbers, not Date32",
            "column `qty` must be text, but is Int32 (use Cast(\"qty\", …), or cast it to Utf8 first)",
            "Decimal(40, 2) cannot be: precision is 1 to 38 and scale 0 to the precision",
            "column `sku` is named twice",
        ]
    );
}

#[test]
fn problems_know_their_places() {
    let text = r#"(edits: [Rename("qty", "quantity"), Cast("quantity", Int33)])"#;
    let problems = Case::<SchemaEdit>::new(text).input(ROWS).build().err().unwrap();
    let span = problems.0[0].span.unwrap();
    assert_eq!(&text[span.start as usize..span.end as usize], "Int33");
    let text = r#"(edits: [Rename("qty", "quantity"), Cast("qty", Int32)])"#;
    let problems = Case::<SchemaEdit>::new(text).input(ROWS).build().err().unwrap();
    let span = problems.0[0].span.unwrap();
    assert_eq!((&text[span.start as usize..span.end as usize], span.start), ("\"qty\"", 41));
}
