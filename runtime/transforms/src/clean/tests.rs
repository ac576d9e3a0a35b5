//! `Clean` from graph text to rows.

use super::*;
use selvedge_testkit::Case;

fn clean(config: &str) -> Case<Clean> {
    Case::new(&format!("({config})"))
}

#[test]
fn operations_follow_each_other() {
    clean(r#"columns: {"name": [Trim, CollapseSpaces, Title], "size": [Upper, Synonyms({"XTRA LARGE": "XL", "small": "S"})]}"#)
        .input("name | size | n:Int64\n\"  anna   o'neil \" | xtra large | 1\nnull | SMALL | 2\nBob | xl | 3\nEve | \"6½\" | 4")
        .run()
        .expect("name | size | n:Int64\nAnna O'neil | XL | 1\nnull | S | 2\nBob | XL | 3\nEve | 6½ | 4");
}

#[test]
fn unknown_words_are_kept_nulled_replaced_or_rejected() {
    let rows = "g | n:Int64\nmale | 1\n? | 2\nnull | 3\nF | 4";
    let with = |otherwise: &str| {
        clean(&format!(r#"columns: {{"g": [Synonyms({{"Male": "M", "Female": "F"}}, otherwise: {otherwise})]}}"#))
            .input(rows)
            .run()
    };
    with("Keep").expect("g | n:Int64\nM | 1\n? | 2\nnull | 3\nF | 4");
    let nulls = with("Null");
    nulls.expect("g | n:Int64\nM | 1\nnull | 2\nnull | 3\nF | 4");
    assert_eq!(nulls.altered["null by synonym: g"], 1);
    with(r#"Use("other")"#).expect("g | n:Int64\nM | 1\nother | 2\nnull | 3\nF | 4");
    let rejects = with("Reject");
    rejects.expect("g | n:Int64\nM | 1\nnull | 3\nF | 4");
    assert_eq!(rejects.rejected[0].message, "`?` in column `g` is no known synonym");
    assert_eq!(
        (rejects.rejected[0].code.as_str(), rejects.rejected[0].raw.as_str()),
        ("synonym", r#"{"g":"?","n":2}"#)
    );
}

#[test]
fn ranges() {
    let rows = "age:Int32 | x:Float64 | d:Date32\n-1 | NaN | 1899-12-31\n0 | 0.5 | 1900-01-01\n120 | 2 | 2024-01-01\n121 | null | null\nnull | -3 | 2024-01-01";
    let with = |otherwise: &str| {
        clean(&format!(
            r#"columns: {{"age": [Range(0, 120, otherwise: {otherwise})], "x": [Range(min: 0, otherwise: {otherwise})], "d": [Range(min: "1900-01-01", otherwise: {otherwise})]}}"#
        ))
        .input(rows)
        .run()
    };
    let nulls = with("Null");
    nulls.expect("age:Int32 | x:Float64 | d:Date32\nnull | null | null\n0 | 0.5 | 1900-01-01\n120 | 2 | 2024-01-01\nnull | null | null\nnull | null | 2024-01-01");
    assert_eq!(nulls.altered["null by range: age"], 2);
    let clamped = with("Clamp");
    assert_eq!(clamped.altered["clamped to range: age"], 2);
    clamped.expect("age:Int32 | x:Float64 | d:Date32\n0 | null | 1900-01-01\n0 | 0.5 | 1900-01-01\n120 | 2 | 2024-01-01\n120 | null | null\nnull | 0 | 2024-01-01");
    let rejects = with("Reject");
    rejects.expect("age:Int32 | x:Float64 | d:Date32\n0 | 0.5 | 1900-01-01\n120 | 2 | 2024-01-01");
    let messages: Vec<_> = rejects.rejected.iter().map(|r| r.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`-1` in column `age` is out of range",
            "`121` in column `age` is out of range",
            "`-3.0` in column `x` is out of range"
        ]
    );
}

#[test]
fn a_column_without_nulls_may_get_some() {
    let ages: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![5, 500]));
    let batch = RecordBatch::try_from_iter(vec![("age", ages)]).unwrap();
    assert!(!batch.schema().field(0).is_nullable());
    clean(r#"columns: {"age": [Range(0, 120)]}"#).batch(batch).run().expect("age:Int64\n5\nnull");
}

#[test]
fn personal_data_is_hidden() {
    clean(r#"columns: {"mail": [MaskEmail], "card": [Mask(keep_last: 4)], "id": [Hash], "phone": [Phone("1", otherwise: Null)]}"#)
        .input("mail | card:Int64 | id | phone\nanna@x.org | 4111111111111234 | abc | (512) 555-0123\nnull | null | null | ?")
        .run()
        .expect(
            "mail | card | id | phone
             a***@x.org | ************1234 | ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad | +15125550123
             null | null | null | null",
        );
    let keyed = |key: &str| clean(&format!(r#"columns: {{"a": [Hash(key: "{key}")]}}"#)).input("a\nx").run().text();
    assert_ne!(keyed("pepper"), keyed("salt"));
}

#[test]
fn columns_made_from_others() {
    clean(
        r#"columns: {"place": [Trim]},
           add: [Age("born", to: "age", at: "2024-06-30"), Age("born", to: "then", on: "bought"),
                 Band("age", to: "band", edges: [18, 45]), Band("age", to: "b2", edges: [0, 50], labels: ["young", "old"]),
                 Place("place", city: "city", zip: "zip")]"#,
    )
    .input(
        "born:Date32 | bought:Timestamp(µs) | place
         2000-07-01 | 2020-07-01T10:00:00 | \" Austin, TX 78701\"
         1970-01-01 | null | Oslo
         2030-01-01 | 2020-01-01T00:00:00 | null
         null | 2020-01-01T00:00:00 | null",
    )
    .run()
    .expect(
        "born:Date32 | bought:Timestamp(µs) | place | age:Int32 | then:Int32 | band | b2 | city | zip
         2000-07-01 | 2020-07-01T10:00:00 | Austin, TX 78701 | 23 | 20 | 18-44 | young | Austin | 78701
         1970-01-01 | null | Oslo | 54 | null | 45+ | old | Oslo | null
         2030-01-01 | 2020-01-01T00:00:00 | null | null | null | null | null | null | null
         null | 2020-01-01T00:00:00 | null | null | null | null | null | null | null",
    );
}

#[test]
fn all_problems_at_once() {
    let problems = clean(
        r#"columns: {"nme": [Trim], "n": [Trim, Range(), Range(0, "x"), Hash(key: "")], "name": [Range(1, 2), Replace("", "x"), Phone("x"), PadLeft(9999)]},
           add: [Age("name", to: "n", at: "2024"), Age("d", to: "a", at: "soon"), Age("d", to: "b"), Band("n", to: "c", edges: [2, 1]),
                 Band("n", to: "e", edges: [1], labels: []), Place("name")]"#,
    )
    .input("name | n:Int64 | d:Date32\na | 1 | 2024-01-01")
    .problems();
    assert_eq!(
        problems.lines().collect::<Vec<_>>(),
        [
            "no column named `nme` (did you mean `name`?)",
            "this operation is for text, but column `n` is Int64 (cast it first with SchemaEdit(edits: [Cast(…)]))",
            "a range needs a bound (give min, max or both)",
            "\"x\" is no Int64, as column `n` is",
            "an empty key is no secret (leave `key` out, or give it a secret)",
            "a range is for numbers, dates and timestamps, but column `name` is Utf8 (cast it first with SchemaEdit(edits: [Cast(…)]))",
            "an empty text cannot be replaced",
            "a country code has one to three digits, but is \"x\"",
            "a length of at most 1000 was expected, not 9999",
            "column `name` must be a date or timestamp, but is Utf8 (cast it first with SchemaEdit(edits: [Cast(…)]))",
            "there is a column `n` already",
            "\"soon\" is no date (write it as 2024-06-30, or today())",
            "an age is counted to one day (give `at` a day, or `on` a column with days)",
            "column `n` must be a number, but is Utf8 (cast it first with SchemaEdit(edits: [Cast(…)]))",
            "edges must be numbers in ascending order, at least one",
            "column `n` must be a number, but is Utf8 (cast it first with SchemaEdit(edits: [Cast(…)]))",
            "1 edges need as many labels, but there are 0 (each band begins at its edge; the last one is open)",
            "no part of the place is wanted (name columns for city, state or zip)",
        ]
    );
}
