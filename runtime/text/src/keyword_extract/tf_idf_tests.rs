//! TF-IDF against an independent calculation, and the node that keeps its state.

use super::*;
use selvedge_testkit::{Case, table};

/// For each of the benchmark's chat messages the first five keywords of up to two words and their scores, by a script in Python that
/// follows scikit-learn's formula text by text: `idf = ln((1 + N) / (1 + df)) + 1`, with N and df of the texts so far, norm `l2`.
const EXPECTED: &str = include_str!("testdata/tf_idf.ndjson");
const MESSAGES: &str = include_str!("testdata/messages.ndjson");

#[test]
fn scores_agree_with_those_of_another_language() {
    let message =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_string();
    let texts: Vec<String> = MESSAGES.lines().map(message).collect();
    let rows: ArrayRef = Arc::new(arrow::array::StringArray::from(texts.clone()));
    let case = r#"(column: "text", algorithm: TfIdf(n: 2))"#;
    // As with every node: whole, row by row and by threes, all equal.
    let done = Case::<KeywordExtract>::new(case).batch(RecordBatch::try_from_iter([("text", rows)]).unwrap()).run();
    let rows = done.rows(0);
    let lists = rows.column(1).as_list::<i32>();
    assert_eq!((lists.len(), EXPECTED.lines().count()), (300, 300));
    for (row, line) in EXPECTED.lines().enumerate() {
        let expected: Vec<(String, f64)> = serde_json::from_str(line).unwrap();
        let items = lists.value(row);
        let items = items.as_struct();
        let scores = items.column(1).as_primitive::<arrow::datatypes::Float64Type>().values();
        let found: Vec<(&str, f64)> =
            items.column(0).as_string::<i32>().iter().map(|k| k.unwrap()).zip(scores.iter().copied()).collect();
        let alike = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(f, e)| f.0 == e.0 && (f.1 - e.1).abs() < 1e-12);
        assert!(alike, "{}: {found:?}, expected {expected:?}", texts[row]);
    }
}

#[test]
fn frequent_words_count_ever_less() {
    let done = Case::<KeywordExtract>::new(r#"(column: "text", algorithm: TfIdf, output: Rows, top: 1)"#)
        .input("text\norder refund\nnull\norder refund\norder coupon\nof the\norder order gift")
        .run();
    done.expect_in_order(
        "text | keyword | score:Float64 | rank:Int32
         order refund | order | 0.7071067811865475 | 1
         order refund | order | 0.7071067811865475 | 1
         order coupon | coupon | 0.8610369959439764 | 1
         order order gift | order | 0.7479262344512992 | 1",
    );
    assert_eq!((done.dropped["null in text"], done.dropped["no keywords in text"]), (1, 1));
}

#[test]
fn one_instance_sees_the_texts_in_order() {
    let built = Case::<KeywordExtract>::new(r#"(column: "text", algorithm: TfIdf)"#).input("text\nx").build().unwrap();
    assert_eq!(built.partitioning, Partitioning::InOrder);
}

#[test]
fn any_text_is_counted_and_settings_are_checked() {
    let long = "x".repeat(100_000);
    let texts = vec![&*long, "", "’’ ' '' ’s n't a b", "Straße STRASSE", "مرحبا بكم", "👩‍👩‍👧 is family", "हिन्दी भाषा"];
    let rows: ArrayRef = Arc::new(arrow::array::StringArray::from(texts));
    let rows = RecordBatch::try_from_iter([("text", rows)]).unwrap();
    let done = Case::<KeywordExtract>::new(r#"(column: "text", algorithm: TfIdf(n: 5), top: 1000)"#).batch(rows).run();
    let lists = done.rows(0).column(1).as_list::<i32>().clone();
    let counts: Vec<usize> = (0..lists.len()).map(|row| lists.value(row).len()).collect();
    assert_eq!((counts[0], counts[1], counts[3]), (0, 0, 3));
    assert!(counts[4..].iter().all(|n| *n > 0), "{counts:?}");
    assert_eq!(
        Case::<KeywordExtract>::new(r#"(column: "text", algorithm: TfIdf(n: 6, terms: 10))"#)
            .batch(table("text\nx"))
            .problems(),
        "`n` must be from 1 to 5, but is 6\n`terms` must be from 1000 to 10000000, but is 10"
    );
}
