//! TF-IDF over a whole input, against numbers by hand and against a simple count of words.

use super::*;
use selvedge_testkit::{Case, table};
use std::collections::BTreeMap;

const CHAT: &str = "
    chat:Int64 | text
    1          | Refund the REFUND, refund; order
    2          | order a gift
    1          | an Order
    2          | null
    null       | gift Größe größe
    3          | of the";

#[test]
fn words_of_a_document_that_others_lack() {
    let done = Case::<KeywordExtract>::new(r#"(column: "text", algorithm: Corpus(by: ["chat"]), output: Rows)"#)
        .batch(table(CHAT))
        .run();
    // Three documents have words: ln(3 / 1) and ln(3 / 2).
    done.expect(
        "chat:Int64 | keyword | score:Float64       | rank:Int32 | tf:Int64 | df:Int64
         1          | refund  | 3.295836866004329   | 1 | 3 | 1
         1          | order   | 0.8109302162163288  | 2 | 2 | 2
         2          | gift    | 0.4054651081081644  | 1 | 1 | 2
         2          | order   | 0.4054651081081644  | 2 | 1 | 2
         null       | größe   | 2.1972245773362196  | 1 | 2 | 1
         null       | gift    | 0.4054651081081644  | 2 | 1 | 2",
    );
    assert_eq!((done.dropped["null in text"], done.absorbed["counted"], done.created["keywords"]), (1, 5, 6));
}

#[test]
fn rounded_scores_are_ranked_by_what_they_are_rounded_to() {
    let case = r#"(column: "text", algorithm: Corpus(by: ["chat"], shortest: 4, digits: 0), top: 1, stop_words: ["refund"],
        output: Rows, into: "word")"#;
    let done = Case::<KeywordExtract>::new(case).batch(table(CHAT)).run();
    done.expect(
        "chat:Int64 | word  | score:Float64 | rank:Int32 | tf:Int64 | df:Int64
         1          | order | 1 | 1 | 2 | 2
         2          | gift  | 0 | 1 | 1 | 2
         null       | größe | 2 | 1 | 2 | 1",
    );
}

/// Documents of few and many words, scattered over rows.
fn many(documents: u64, rows: u64, words: u64) -> Vec<(i64, String)> {
    let mut state = 7u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(state) * u128::from(below)) >> 64) as u64
    };
    let mut row = || {
        let document = draw(documents) as i64;
        let words: Vec<String> = (0..draw(20)).map(|_| format!("w{:03}", draw(words) * draw(words))).collect();
        (document, words.join(" "))
    };
    (0..rows).map(|_| row()).collect()
}

/// The best word of each document, and its score.
fn by_counting(rows: &[(i64, String)]) -> Vec<(i64, String, f64)> {
    let mut counts: BTreeMap<i64, BTreeMap<&str, u64>> = BTreeMap::new();
    for (document, text) in rows {
        for word in text.split_whitespace() {
            *counts.entry(*document).or_default().entry(word).or_default() += 1;
        }
    }
    let mut df: BTreeMap<&str, u64> = BTreeMap::new();
    counts.values().flat_map(|c| c.keys()).for_each(|word| *df.entry(word).or_default() += 1);
    let all = counts.len() as f64;
    let score = |(word, often): (&&str, &u64)| (*often as f64 * (all / df[word] as f64).ln(), word.to_string());
    let best = |(document, words): (&i64, &BTreeMap<&str, u64>)| {
        let found: Vec<_> = words.iter().map(score).collect();
        let best = found.into_iter().reduce(|a, b| if b.0 > a.0 { b } else { a }).unwrap();
        (*document, best.1, best.0)
    };
    counts.iter().map(best).collect()
}

fn check(rows: &[(i64, String)], memory: u64) {
    let chat: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(rows.iter().map(|r| r.0)));
    let text: ArrayRef = Arc::new(arrow::array::StringArray::from_iter_values(rows.iter().map(|r| &r.1)));
    let batch = RecordBatch::try_from_iter([("chat", chat), ("text", text)]).unwrap();
    let batches = (0..batch.num_rows()).step_by(1000).map(|at| batch.slice(at, 1000.min(batch.num_rows() - at)));
    let mut case = Case::<KeywordExtract>::new(
        r#"(column: "text", algorithm: Corpus(by: ["chat"]), top: 1, stop_words: [], output: Rows)"#,
    )
    .memory(memory);
    for batch in batches {
        case = case.batch(batch);
    }
    let done = case.run();
    let rows_out = done.rows(0);
    let chats = rows_out.column(0).as_primitive::<arrow::datatypes::Int64Type>();
    let words = rows_out.column(1).as_string::<i32>();
    let scores = rows_out.column(2).as_primitive::<arrow::datatypes::Float64Type>();
    let mut found: Vec<(i64, String, f64)> = (0..rows_out.num_rows())
        .map(|row| (chats.value(row), words.value(row).to_string(), scores.value(row)))
        .collect();
    found.sort_by_key(|row| row.0);
    assert_eq!(found, by_counting(rows));
}

#[test]
fn what_does_not_fit_into_memory_is_counted_from_disk() {
    let rows = many(500, 5_000, 30);
    check(&rows, 256 << 20);
    check(&rows, 256 << 10);
    // So little that parts have to be split.
    check(&many(500, 5_000, 6), 16 << 10);
}

#[test]
fn a_document_of_many_rows_is_counted_in_parts() {
    check(&many(2, 2_000, 30), 1 << 20);
}

#[test]
fn too_many_words_stop_the_run() {
    let text: String = (0..20_000).map(|i| format!("word{i} ")).collect();
    let text: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
    let failed = Case::<KeywordExtract>::new(r#"(column: "text", algorithm: Corpus(by: ["text"]), output: Rows)"#)
        .batch(RecordBatch::try_from_iter([("text", text)]).unwrap())
        .memory(64 << 10)
        .run_strict();
    let said = failed.err().unwrap().to_string();
    assert!(said.contains("different words take more than is left of the memory budget"), "{said}");
}

#[test]
fn what_a_corpus_cannot_be() {
    let problems = |config: &str| Case::<KeywordExtract>::new(config).batch(table(CHAT)).problems();
    assert_eq!(
        problems(r#"(column: "text", algorithm: Corpus(by: [], shortest: 0, digits: 16))"#),
        "`shortest` must be from 1 to 100, but is 0\n`digits` must be from 0 to 15, but is 16\n\
         `Corpus` needs to know which rows are one document (name the columns that tell one document from another: \
         `Corpus(by: [\"id\"])`)\n\
         `Corpus` makes rows of its own, and no lists in those that come (say `output: Rows`)"
    );
    assert_eq!(
        problems(r#"(column: "text", algorithm: Corpus(by: ["chats"]), output: Rows, into: "df")"#),
        "no column named `chats` (did you mean `chat`?)\nthere is a column `df` already (rename it)"
    );
}
