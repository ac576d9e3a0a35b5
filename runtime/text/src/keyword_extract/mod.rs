//! `KeywordExtract`: what a text is about, in a few of its own words.

mod corpus;
#[cfg(test)]
mod corpus_tests;
mod rake;
mod sentences;
mod similar;
mod stop_words;
#[cfg(test)]
mod tests;
mod tf_idf;
#[cfg(test)]
mod tf_idf_tests;
mod tokens;
mod vocabulary;
mod yake;

use arrow::array::{AsArray, Float64Array, Int32Array, ListArray, StringBuilder, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::Fields;
use hashbrown::HashSet;
use selvedge_node::Span;
use selvedge_node::prelude::*;
use similar::Similarity;
use std::fmt::Write;
use std::ops::RangeInclusive;

pub(crate) struct KeywordExtract;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The column to read: text.
    column: Column,
    /// How keywords are found: `Yake(n: 2)`, `Rake`, `TfIdf`, `Corpus(by: ["id"])`.
    #[serde(default)]
    algorithm: Algorithm,
    /// The most keywords of a text: 1 to 1000.
    #[serde(default = "five")]
    top: Spanned<usize>,
    /// The language whose stop words are left out, by its ISO 639-1 code; `en` if left out.
    #[serde(default)]
    language: Option<Spanned<String>>,
    /// Stop words in the place of the language's.
    #[serde(default)]
    stop_words: Option<Spanned<Vec<String>>>,
    /// What comes out of a row.
    #[serde(default)]
    output: Output,
    /// Name of the new column; `keywords` for a list, `keyword` for rows.
    #[serde(default)]
    into: Option<Column>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
enum Algorithm {
    /// Statistics of the words of one text; a low score is good.
    Yake {
        /// The most words of a keyword: 1 to 10.
        #[serde(default = "three")]
        n: Spanned<usize>,
        /// How many words before a word count as its neighbours: 1 to 100.
        #[serde(default = "one")]
        window: Spanned<usize>,
        /// A keyword that is more like a better one than this is left out: 0 to 1.
        #[serde(default = "much")]
        dedup: Spanned<f64>,
        /// How that is measured.
        #[serde(default)]
        similarity: Similarity,
    },
    /// Phrases between stop words and marks; a high score is good.
    Rake {
        /// The most words of a phrase; longer ones do not count: 1 to 100.
        #[serde(default = "three")]
        n: Spanned<usize>,
        /// What a word counts.
        #[serde(default)]
        metric: rake::Metric,
    },
    /// Words that are frequent in a text and rare in the texts before it; a high score is good.
    TfIdf {
        /// The most words of a keyword: 1 to 5.
        #[serde(default = "one")]
        n: Spanned<usize>,
        /// The most keywords whose texts are counted: 1000 to 10000000.
        #[serde(default = "hundred_thousand")]
        terms: Spanned<usize>,
    },
    /// Words that are frequent in a document and rare in all others of the input; a high score is good.
    Corpus {
        /// The columns that tell one document from another: the texts of all rows that agree in them are one.
        by: Vec<Column>,
        /// The fewest characters of a keyword: 1 to 100.
        #[serde(default = "three")]
        shortest: Spanned<usize>,
        /// Scores are rounded to so many digits behind the point before they are ranked: 0 to 15; not rounded if left out.
        #[serde(default)]
        digits: Option<Spanned<usize>>,
    },
}

impl Default for Algorithm {
    fn default() -> Algorithm {
        Algorithm::Yake { n: three(), window: one(), dedup: much(), similarity: Similarity::default() }
    }
}

/// What comes out of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum Output {
    /// The row, with a list of structs of `keyword` and `score`, the best keyword first.
    #[default]
    List,
    /// A row for each keyword, with the columns `keyword`, `score` and `rank`, from 1.
    Rows,
}

fn one() -> Spanned<usize> {
    Spanned::new(1, Span::default())
}

fn three() -> Spanned<usize> {
    Spanned::new(3, Span::default())
}

fn five() -> Spanned<usize> {
    Spanned::new(5, Span::default())
}

fn hundred_thousand() -> Spanned<usize> {
    Spanned::new(100_000, Span::default())
}

fn much() -> Spanned<f64> {
    Spanned::new(0.9, Span::default())
}

/// Rows of an output batch: a text may have many keywords, and its row be wide.
const CHUNK: usize = 16_384;

impl Kind for KeywordExtract {
    const NAME: &'static str = "KeywordExtract";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "finds the keywords of a text column, text by text";
    const DOCS: &'static str = "\
With `Yake` and `Rake` each text is looked at by itself: nothing is trained, and rows do not influence each other.

`Yake` (Campos et al., *YAKE! Keyword extraction from single documents using multiple local features*, 2020) scores words by their
case, place, frequency, spread and neighbours; **a low score is good**. Keywords are told as they are first written. The order is
that of the Python package `yake` with the same `n`, `window` and `dedup`; its measure `seqm` differs from `Sequence`, which is the ratio
of Python's `difflib`, in details that rarely matter. A word of more than 256 bytes is part of no keyword.

`Rake` (Rose et al., *Automatic keyword extraction from individual documents*, 2010) takes the phrases between stop words and marks,
in lower case; **a high score is good**, and equal scores are in the order of the alphabet. Scores are those of the Python package
`rake-nltk`, but marks beyond ASCII part phrases too, and an apostrophe inside a word is `'`.

`TfIdf` (Spärck Jones, *A statistical interpretation of term specificity*, 1972) counts in how many of the texts so far, this one included,
a keyword is: `df` of `N`. It counts `tf · (ln((1 + N) / (1 + df)) + 1)` for each time `tf` in the text, divided by the Euclidean norm of all of
the text's: the smoothed and normalised form of scikit-learn's `TfidfTransformer`. **A high score is good**, from 0 to 1; equal ones are in
the order of the alphabet. Keywords are all runs of up to `n` words without a stop word or mark between them, as for `Rake`, of two letters or more.
Scores depend on the order of the texts: one instance sees them all, in the order of the source, and all that is before it runs on one
thread. Every run begins with no texts. At most `terms` keywords are counted, and fewer where the run's memory does not suffice: then the rarest
quarter is forgotten (lossy counting; Manku and Motwani, *Approximate frequency counts over data streams*, 2002), so that `df` can be too small,
for no keyword by more than the largest one forgotten; the report counts them as `terms forgotten`. A null is no text.

`Corpus` is TF-IDF over the whole input, not smoothed: `tf · ln(N / df)` for a word that is `tf` times in its document and in `df` of the `N`
documents that have words. A document is all rows that agree in `by`, a null like any other value. Words are runs of letters and digits in
lower case, of `shortest` characters or more, without stop words. Once all rows are in, out come the columns of `by`, `keyword`, `score`,
`rank`, from 1, `tf` and `df`: a row for each of a document's best `top` words, equal scores in the order of the alphabet, documents in no
particular order. Nothing is estimated, and the order of the rows does not matter. It asks for `output: Rows`. Rows that come are absorbed as
`counted` or dropped as `null in text`, rows that go are created as `keywords`. Every different word stays in memory, with about 40 bytes
besides its letters; if they do not fit, the run stops and says so. The texts, as numbers of words, go to disk where the memory budget does
not suffice. One instance; input that never ends is refused.

Stop words are those of stopwords-iso (MIT licence), of its English ones those of the SMART system: `ar`, `bg`, `cs`, `da`, `de`, `el`, `en`, `es`,
`fi`, `fr`, `hu`, `it`, `nl`, `no`, `pl`, `pt`, `ro`, `ru`, `sv`, `tr`, `uk`. For another language give `stop_words`.

With `output: List` a null text has a null list, and a text without keywords an empty one. With `output: Rows` such rows are dropped, as
`null in text` and `no keywords in text` (for a column `text`); of n keywords, n - 1 rows count as created, `keywords`.";
    const EXAMPLE: &'static str =
        r#"KeywordExtract(input: "messages", column: "text", algorithm: Yake(n: 2), top: 5, language: "en")"#;
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let mut problems = Problems::default();
        let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let column = problems.take(column_of_type(schema, &config.column, "text", is_text)).unwrap_or_default();
        let top = within("top", &config.top, 1..=1000, &mut problems);
        let method = match &config.algorithm {
            Algorithm::Yake { n, window, dedup, similarity } => Method::Yake(yake::Settings {
                words: within("n", n, 1..=10, &mut problems),
                window: within("window", window, 1..=100, &mut problems),
                dedup: within("dedup", dedup, 0.0..=1.0, &mut problems),
                similarity: *similarity,
                top,
            }),
            Algorithm::Rake { n, metric } => {
                Method::Rake(rake::Settings { words: within("n", n, 1..=100, &mut problems), metric: *metric, top })
            }
            Algorithm::Corpus { by, shortest, digits } => {
                let settings = corpus::Settings { by, shortest, digits: digits.as_ref(), column, top };
                return corpus::build(&config, &settings, &inputs[0], problems);
            }
            Algorithm::TfIdf { n, terms } => Method::TfIdf(tf_idf::Settings {
                words: within("n", n, 1..=5, &mut problems),
                terms: within("terms", terms, 1_000..=10_000_000, &mut problems),
                top,
            }),
        };
        let stop = problems.take(stop_words(&config)).unwrap_or_default();
        let output = problems.take(output(schema, &config)).unwrap_or_else(|| schema.clone());
        let work = Texts {
            column,
            method,
            stop,
            rows: config.output == Output::Rows,
            output: output.clone(),
            null: format!("null in {}", config.column),
            none: format!("no keywords in {}", config.column),
        };
        let Method::TfIdf(settings) = work.method else { return problems.or(Built::map(output, work)) };
        let work = Arc::new(work);
        let make = move |task: &Task| {
            Ok(Running { texts: work.clone(), seen: tf_idf::Seen::new(settings, task.memory.reserve()) })
        };
        problems.or(Built::transform(output, Partitioning::InOrder, make).saves())
    }
}

/// The value, or a problem where it is out of bounds.
fn within<T: PartialOrd + Copy + std::fmt::Display>(
    name: &str,
    value: &Spanned<T>,
    bounds: RangeInclusive<T>,
    problems: &mut Problems,
) -> T {
    if !bounds.contains(&value.value) {
        let message = format!("`{name}` must be from {} to {}, but is {}", bounds.start(), bounds.end(), value.value);
        problems.push(Problem::error(value.span, message));
    }
    value.value
}

fn stop_words(config: &Config) -> std::result::Result<HashSet<String>, Problem> {
    match (&config.language, &config.stop_words) {
        (Some(_), Some(own)) => Err(Problem::error(own.span, "`stop_words` take the place of those of `language`")
            .help("leave one of the two out")),
        (None, Some(own)) => Ok(own.iter().map(|word| word.to_lowercase()).collect()),
        (None, None) => Ok(stop_words::of("en").unwrap_or_default()),
        (Some(language), None) => stop_words::of(language)
            .ok_or_else(|| Problem::unknown(language.span, "language", language, stop_words::languages())),
    }
}

fn keyword_fields() -> Fields {
    vec![Field::new("keyword", DataType::Utf8, false), Field::new("score", DataType::Float64, false)].into()
}

fn item_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(keyword_fields()), true))
}

fn output(schema: &Schema, config: &Config) -> std::result::Result<SchemaRef, Problem> {
    let into = config.into.as_ref();
    let name = |default: &str| into.map_or_else(|| default.to_string(), |name| name.value.clone());
    let new = match config.output {
        Output::List => vec![Field::new(name("keywords"), DataType::List(item_field()), true)],
        Output::Rows => vec![
            Field::new(name("keyword"), DataType::Utf8, true),
            Field::new("score", DataType::Float64, true),
            Field::new("rank", DataType::Int32, true),
        ],
    };
    let mut fields = schema.fields().to_vec();
    for field in new {
        if fields.iter().any(|f| f.name() == field.name()) {
            let span = into.map_or(config.column.span, |name| name.span);
            let message = format!("there is a column `{}` already", field.name());
            return Err(Problem::error(span, message).help("rename it, or choose another name with `into`"));
        }
        fields.push(Arc::new(field));
    }
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

enum Method {
    Yake(yake::Settings),
    Rake(rake::Settings),
    TfIdf(tf_idf::Settings),
}

struct Texts {
    column: usize,
    method: Method,
    stop: HashSet<String>,
    rows: bool,
    output: SchemaRef,
    null: String,
    none: String,
}

/// The keywords of a batch, one text after the other.
#[derive(Default)]
struct Keywords {
    keywords: StringBuilder,
    scores: Vec<f64>,
}

impl Keywords {
    fn add<'a>(&mut self, words: impl Iterator<Item = &'a str>, score: f64) {
        for (at, word) in words.enumerate() {
            let gap = if at > 0 { " " } else { "" };
            // Writing to memory does not fail.
            let _ = self.keywords.write_str(gap).and_then(|()| self.keywords.write_str(word));
        }
        self.keywords.append_value("");
        self.scores.push(score);
    }
}

impl Map for Texts {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let mut yake = yake::Text::default();
        self.extract(batch, out, &mut |text, found| match &self.method {
            Method::Yake(settings) => yake.extract(text, &self.stop, settings, found),
            Method::Rake(settings) => rake::extract(text, &self.stop, settings, found),
            // Has a state: see `Running`.
            Method::TfIdf(_) => {}
        })
    }
}

/// The one instance that knows what all texts so far have said.
struct Running {
    texts: Arc<Texts>,
    seen: tf_idf::Seen,
}

impl Transform for Running {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let before = self.seen.forgotten;
        self.texts.extract(batch, out, &mut |text, found| self.seen.extract(text, &self.texts.stop, found))?;
        if self.seen.forgotten > before {
            out.count("terms forgotten", self.seen.forgotten - before);
        }
        Ok(())
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        self.seen.save(to)
    }

    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        self.seen.load(part, &batch);
        Ok(())
    }
}

impl Texts {
    /// Sends the rows with what `find` adds for each text.
    fn extract(&self, batch: RecordBatch, out: &mut dyn Out, find: &mut dyn FnMut(&str, &mut Keywords)) -> Result<()> {
        let texts = cast(batch.column(self.column), &DataType::LargeUtf8)?;
        let texts = texts.as_string::<i64>();
        let mut found = Keywords::default();
        let mut counts = Vec::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            if row % 256 == 255 && out.stopping() {
                return Err(Error::stopped());
            }
            let before = found.scores.len();
            if let Some(text) = text {
                find(text, &mut found);
            }
            counts.push(found.scores.len() - before);
        }
        let keywords: ArrayRef = Arc::new(found.keywords.finish());
        let scores: ArrayRef = Arc::new(Float64Array::from(found.scores));
        if self.rows {
            return self.send_rows(&batch, texts, &counts, &[keywords, scores], out);
        }
        let items = StructArray::try_new(keyword_fields(), vec![keywords, scores], None)?;
        let offsets = OffsetBuffer::from_lengths(counts);
        let list = ListArray::try_new(item_field(), offsets, Arc::new(items), texts.nulls().cloned())?;
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(list));
        out.send(0, RecordBatch::try_new(self.output.clone(), columns)?)
    }

    fn send_rows(
        &self,
        batch: &RecordBatch,
        texts: &dyn Array,
        counts: &[usize],
        new: &[ArrayRef],
        out: &mut dyn Out,
    ) -> Result<()> {
        let nulls = texts.nulls();
        let is_null = |row: usize| nulls.is_some_and(|n: &NullBuffer| n.is_null(row));
        let null: BooleanArray = (0..counts.len()).map(|row| Some(is_null(row))).collect();
        let none: BooleanArray = (0..counts.len()).map(|row| Some(!is_null(row) && counts[row] == 0)).collect();
        out.drop_where(&self.null, batch, &null);
        out.drop_where(&self.none, batch, &none);
        out.create("keywords", counts.iter().map(|n| n.saturating_sub(1) as u64).sum());
        let each = || counts.iter().enumerate().flat_map(|(row, n)| (0..*n).map(move |rank| (row, rank)));
        let parents: UInt32Array = each().map(|(row, _)| Some(row as u32)).collect();
        let ranks: ArrayRef = Arc::new(Int32Array::from_iter_values(each().map(|(_, rank)| rank as i32 + 1)));
        for at in (0..parents.len()).step_by(CHUNK) {
            let length = CHUNK.min(parents.len() - at);
            let mut columns = take_record_batch(batch, &parents.slice(at, length))?.columns().to_vec();
            columns.extend(new.iter().chain([&ranks]).map(|column| column.slice(at, length)));
            out.send(0, RecordBatch::try_new(self.output.clone(), columns)?)?;
        }
        Ok(())
    }
}
