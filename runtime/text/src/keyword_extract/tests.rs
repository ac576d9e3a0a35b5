//! Keywords against those of the reference implementations, and the node itself.

use super::*;
use selvedge_testkit::{Case, table};

/// Chat messages of the benchmark's sample (product names and sentences of chatterbot-corpus), with the first five keywords of the
/// Python packages `yake` 0.7.3 (n = 2) and, where the text is ASCII and no mark is doubled, `rake-nltk` 1.0.6 (at most three words).
const MESSAGES: &str = include_str!("testdata/messages.ndjson");

#[derive(Deserialize)]
struct Message {
    text: String,
    yake: Vec<(String, f64)>,
    rake: Option<Vec<(String, f64)>>,
}

fn messages() -> Vec<Message> {
    MESSAGES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The keywords of each text.
fn keywords(config: &str, texts: Vec<&str>) -> Vec<Vec<(String, f64)>> {
    let texts: ArrayRef = Arc::new(arrow::array::StringArray::from(texts));
    let done = Case::<KeywordExtract>::new(config).batch(RecordBatch::try_from_iter([("text", texts)]).unwrap()).run();
    let rows = done.rows(0);
    let items = |row| {
        let items = rows.column(1).as_list::<i32>().value(row);
        let items = items.as_struct();
        let scores = items.column(1).as_primitive::<arrow::datatypes::Float64Type>().values().to_vec();
        items.column(0).as_string::<i32>().iter().map(|k| k.unwrap().to_string()).zip(scores).collect()
    };
    (0..rows.num_rows()).map(items).collect()
}

fn alike(found: &[(String, f64)], expected: &[(String, f64)]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.0 == e.0 && (f.1 - e.1).abs() < 1e-9)
}

#[test]
fn yake_agrees_with_its_reference() {
    let messages = messages();
    let found = keywords(r#"(column: "text", algorithm: Yake(n: 2))"#, messages.iter().map(|m| &*m.text).collect());
    let other: Vec<_> =
        messages.iter().zip(&found).filter(|(m, f)| !alike(f, &m.yake)).map(|(m, f)| (&m.text, f)).collect();
    assert!(messages.len() == 300 && other.is_empty(), "{other:#?}");
}

#[test]
fn rake_agrees_with_its_reference() {
    let messages: Vec<_> = messages().into_iter().filter_map(|m| Some((m.text, m.rake?))).collect();
    let found = keywords(r#"(column: "text", algorithm: Rake)"#, messages.iter().map(|m| &*m.0).collect());
    let other: Vec<_> = messages.iter().zip(&found).filter(|(m, f)| !alike(f, &m.1)).collect();
    assert!(messages.len() > 200 && other.is_empty(), "{other:#?}");
}

#[test]
fn rake_counts_how_often_words_are_in_phrases() {
    let config = r#"(column: "text", algorithm: Rake(metric: Frequency))"#;
    let found = keywords(config, vec!["red pot, blue pot and the garden"]);
    let expected = [("blue pot", 3.0), ("red pot", 3.0), ("garden", 1.0)];
    assert_eq!(found[0], expected.map(|(k, score)| (k.to_string(), score)));
}

#[test]
fn a_row_for_each_keyword() {
    let case =
        r#"(column: "text", output: Rows, algorithm: Rake(metric: Degree), top: 2, language: "de", into: "word")"#;
    let done = Case::<KeywordExtract>::new(case).input(
        "id | text
         a  | Die rote Gießkanne, die blaue Gießkanne und der Garten
         b  | null
         c  | und der die das",
    );
    let done = done.run();
    done.expect_in_order(
        "id | text | word | score:Float64 | rank:Int32
         a | Die rote Gießkanne, die blaue Gießkanne und der Garten | blaue gießkanne | 6 | 1
         a | Die rote Gießkanne, die blaue Gießkanne und der Garten | rote gießkanne | 6 | 2",
    );
    assert_eq!(
        (done.dropped["null in text"], done.dropped["no keywords in text"], done.created["keywords"]),
        (1, 1, 1)
    );
}

#[test]
fn lists_keep_every_row() {
    let done = Case::<KeywordExtract>::new(r#"(column: "text", top: 1)"#)
        .input("text\nnull\n\"\"\n\" \\n\\t \"\n\"...\"\nthe of and\nMachine learning helps")
        .run();
    let lists = done.rows(0).column(1).as_list::<i32>().clone();
    assert_eq!(
        (0..6).map(|row| lists.is_valid(row).then(|| lists.value(row).len())).collect::<Vec<_>>(),
        [None, Some(0), Some(0), Some(0), Some(0), Some(1)]
    );
}

#[test]
fn settings_change_what_is_found() {
    let text = "Machine learning helps. Machine learnings help. Deep learning of machines helps machine learning.";
    let of = |settings: &str| {
        let config = format!(r#"(column: "text", algorithm: Yake({settings}), top: 20)"#);
        keywords(&config, vec![text]).remove(0)
    };
    let names = |found: Vec<(String, f64)>| found.into_iter().map(|(k, _)| k.to_lowercase()).collect::<Vec<_>>();
    assert!(names(of("n: 1")).iter().all(|k| !k.contains(' ')));
    assert!(names(of("n: 3")).iter().any(|k| k.matches(' ').count() == 2));
    assert_ne!(of("n: 2, window: 1"), of("n: 2, window: 3"));
    let all = names(of("n: 2, dedup: 1.0"));
    assert!(all.contains(&"machine learnings".into()));
    for similarity in ["Sequence", "Levenshtein", "Jaro"] {
        let fewer = names(of(&format!("n: 2, dedup: 0.9, similarity: {similarity}")));
        assert!(fewer.len() < all.len() && !fewer.contains(&"machine learnings".into()), "{similarity}: {fewer:?}");
    }
    let own = keywords(r#"(column: "text", stop_words: ["Machine"], top: 20)"#, vec![text]).remove(0);
    assert!(names(own).iter().all(|k| !k.starts_with("machine")));
}

#[test]
fn any_text_is_read() {
    let long = "x".repeat(100_000);
    let chain = "a) b. (c! d.) ".repeat(2_000);
    let dots = ".!?)]'\"@://&".repeat(2_000);
    let texts = vec![
        &*long,
        &*chain,
        &*dots,
        "\u{0}\u{1b}[31m\u{202e}abc\u{202c}",
        "İstanbul'da ǅ ß ﬀ",
        "👩‍👩‍👧 is family",
        "’’ ' '' ’s n't",
    ];
    for algorithm in ["Yake(n: 10, window: 100)", "Rake(n: 100)"] {
        let config = format!(r#"(column: "text", algorithm: {algorithm}, top: 1000)"#);
        let found = keywords(&config, texts.clone());
        assert!(found.iter().flatten().all(|(keyword, score)| !keyword.is_empty() && score.is_finite()), "{found:?}");
    }
}

#[test]
fn what_is_too_long_for_a_word_is_no_keyword() {
    let of = |bytes: usize| {
        keywords(r#"(column: "text")"#, vec![&format!("Invoice {} arrived", "x".repeat(bytes))]).remove(0)
    };
    assert!(of(256).iter().any(|(keyword, _)| keyword.contains("xxx")));
    assert!(of(257).iter().all(|(keyword, _)| !keyword.contains("xxx")));
}

#[test]
fn the_docs_name_every_language() {
    for language in stop_words::languages() {
        assert!(KeywordExtract::DOCS.contains(&format!("`{language}`")), "{language}");
    }
}

#[test]
fn every_type_of_text_will_do() {
    let rows = table("text\nMachine learning helps\nnull");
    let expected = Case::<KeywordExtract>::new(r#"(column: "text")"#).batch(rows.clone()).run().rows(0);
    for ty in [DataType::LargeUtf8, DataType::Utf8View] {
        let text = cast(rows.column(0), &ty).unwrap();
        let batch = RecordBatch::try_from_iter([("text", text)]).unwrap();
        let found = Case::<KeywordExtract>::new(r#"(column: "text")"#).batch(batch).run().rows(0);
        assert_eq!(found.column(1), expected.column(1));
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = |config: &str| Case::<KeywordExtract>::new(config).input("text | score:Int32").problems();
    assert_eq!(
        problems(
            r#"(column: "txt", algorithm: Yake(n: 0, window: 101, dedup: 1.5), top: 0, language: "eng", output: Rows)"#
        ),
        "no column named `txt` (did you mean `text`?)\n`top` must be from 1 to 1000, but is 0\n`n` must be from 1 to 10, but is 0\n\
         `window` must be from 1 to 100, but is 101\n`dedup` must be from 0 to 1, but is 1.5\n\
         no language named `eng` (did you mean `en`?)\n\
         there is a column `score` already (rename it, or choose another name with `into`)"
    );
    assert_eq!(
        problems(r#"(column: "score", language: "de", stop_words: [], into: "text")"#),
        "column `score` must be text, but is Int32 (cast it first with SchemaEdit(edits: [Cast(…)]))\n\
         `stop_words` take the place of those of `language` (leave one of the two out)\n\
         there is a column `text` already (rename it, or choose another name with `into`)"
    );
}

#[test]
fn own_stop_words_take_any_case_and_apostrophe() {
    let config = r#"(column: "text", algorithm: Rake, stop_words: ["ÜBER", "don't"])"#;
    let found = keywords(config, vec!["Lyrik über ‘Berge’ don’t rhyme"]).remove(0);
    let names: Vec<_> = found.iter().map(|(keyword, _)| keyword.as_str()).collect();
    assert_eq!(names, ["berge", "lyrik", "rhyme"]);
}
