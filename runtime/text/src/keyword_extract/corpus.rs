//! TF-IDF over a whole input: which words tell a document best from all others.
//!
//! ```text
//! rows ─words as numbers─► set apart by document, on disk where memory does not suffice
//!                            │ all rows have come
//!                            ├─ first pass: in how many documents each word is
//!                            └─ second pass: each document's words with their scores, the best ones go
//! ```
//!
//! Both passes count the words of one part after the other anew: numbers are quick to count, and counts would need room.

use super::vocabulary::Vocabulary;
use super::{CHUNK, Config, Output, stop_words, within};
use arrow::array::{AsArray, Float64Array, Int32Array, Int64Array, LargeBinaryBuilder, StringBuilder, UInt32Array};
use arrow::compute::{cast, concat_batches, filter_record_batch, is_not_null, is_null, take_record_batch};
use hashbrown::HashSet;
use selvedge_node::Reservation;
use selvedge_node::prelude::*;
use selvedge_state::{KeyIndex, Partition, Partitions, RowHasher, batch_bytes};
use std::cmp::Ordering;

/// The most digits of a score: `f64` has about 16.
const DIGITS: usize = 15;
/// Words that are counted together. Few in tests, so that counts are added up there too.
const FRESH: usize = if cfg!(test) { 1 << 10 } else { 1 << 18 };

/// What the `Corpus` algorithm says.
pub(super) struct Settings<'a> {
    pub by: &'a [Column],
    pub shortest: &'a Spanned<usize>,
    pub digits: Option<&'a Spanned<usize>>,
    pub column: usize,
    pub top: usize,
}

/// What does not change while rows come.
struct Plan {
    column: usize,
    by: Vec<usize>,
    hasher: RowHasher,
    /// Columns of `by`.
    keys: SchemaRef,
    /// Those, and the numbers of a text's words.
    stored: SchemaRef,
    output: SchemaRef,
    stop: HashSet<String>,
    shortest: usize,
    /// What a score is multiplied by to be rounded.
    scale: Option<f64>,
    top: usize,
    null: String,
}

pub(super) fn build(
    config: &Config,
    settings: &Settings,
    input: &Input,
    mut problems: Problems,
) -> std::result::Result<Built, Problems> {
    let schema = &input.schema;
    let by = problems.take(columns(schema, settings.by)).unwrap_or_default();
    let shortest = within("shortest", settings.shortest, 1..=100, &mut problems);
    let digits = settings.digits.map(|digits| within("digits", digits, 0..=DIGITS, &mut problems));
    let stop = problems.take(stop_words(config)).unwrap_or_default();
    if settings.by.is_empty() {
        let problem = Problem::error(config.column.span, "`Corpus` needs to know which rows are one document");
        problems.push(problem.help("name the columns that tell one document from another: `Corpus(by: [\"id\"])`"));
    }
    if config.output != Output::Rows {
        let problem =
            Problem::error(config.column.span, "`Corpus` makes rows of its own, and no lists in those that come");
        problems.push(problem.help("say `output: Rows`"));
    }
    let hasher = RowHasher::new(schema, &by).map_err(|e| {
        let span = settings.by.first().map_or(config.column.span, |c| c.span);
        Problem::error(span, e.message).help(e.help.unwrap_or_default())
    });
    let hasher = problems.take(hasher);
    let keys: SchemaRef = Arc::new(schema.project(&by).map_err(|e| Problem::nowhere(e.to_string()))?);
    let keyword = config.into.as_ref().map_or("keyword", |name| name.as_str());
    let mut fields = keys.fields().to_vec();
    for (name, data_type) in [
        (keyword, DataType::Utf8),
        ("score", DataType::Float64),
        ("rank", DataType::Int32),
        ("tf", DataType::Int64),
        ("df", DataType::Int64),
    ] {
        if fields.iter().any(|f| f.name() == name) {
            let span = config.into.as_ref().map_or(config.column.span, |name| name.span);
            problems.push(Problem::error(span, format!("there is a column `{name}` already")).help("rename it"));
        }
        fields.push(Arc::new(Field::new(name, data_type, false)));
    }
    let Some(hasher) = hasher else { return Err(problems) };
    let output: SchemaRef = Arc::new(Schema::new(fields));
    let mut stored = keys.fields().to_vec();
    stored.push(Arc::new(Field::new("\0words", DataType::LargeBinary, false)));
    let plan = Arc::new(Plan {
        column: settings.column,
        by,
        hasher,
        keys,
        stored: Arc::new(Schema::new(stored)),
        output: output.clone(),
        stop,
        shortest,
        scale: digits.map(|digits| 10f64.powi(digits as i32)),
        top: settings.top,
        null: format!("null in {}", config.column),
    });
    let built = Built::transform(output, Partitioning::Single, move |task| Ok(Work::new(plan.clone(), task)));
    problems.or(built.waits_for_end("use `TfIdf`, which scores each text by those before it"))
}

struct Work {
    plan: Arc<Plan>,
    task: Task,
    vocabulary: Vocabulary,
    /// What the vocabulary takes.
    known: Reservation,
    /// The words of each text, by document.
    texts: Option<Partitions>,
    hashes: Vec<u128>,
}

impl Work {
    fn new(plan: Arc<Plan>, task: &Task) -> Work {
        let vocabulary = Vocabulary::new(&plan.stop, plan.shortest);
        let texts = Some(Partitions::new(task, &plan.stored));
        Work { plan, task: task.clone(), vocabulary, known: task.memory.reserve(), texts, hashes: vec![] }
    }

    /// Makes room for the words that came.
    fn remember(&mut self) -> Result<()> {
        let needed = self.vocabulary.bytes();
        if needed <= self.known.bytes() || self.known.try_take(needed) {
            return Ok(());
        }
        if let Some(texts) = &mut self.texts {
            texts.spill_all()?;
        }
        if self.known.try_hold(needed) {
            return Ok(());
        }
        let words = self.vocabulary.len();
        Err(Error::world(format!("{words} different words take more than is left of the memory budget"))
            .help("give the run more memory, or use `TfIdf`, which forgets rare words"))
    }
}

impl Transform for Work {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let text = batch.column(self.plan.column);
        let batch = if text.null_count() > 0 {
            out.drop_where(&self.plan.null, &batch, &is_null(text)?);
            filter_record_batch(&batch, &is_not_null(text)?)?
        } else {
            batch
        };
        out.absorb("counted", batch.num_rows() as u64);
        let text = cast(batch.column(self.plan.column), &DataType::LargeUtf8)?;
        let mut words = LargeBinaryBuilder::with_capacity(batch.num_rows(), 0);
        let mut bytes = vec![];
        for text in text.as_string::<i64>().iter().flatten() {
            bytes.clear();
            self.vocabulary.read(text, &mut |number| write(number, &mut bytes));
            words.append_value(&bytes);
        }
        self.remember()?;
        let Some(texts) = &mut self.texts else { return Err(Error::bug("a row came after the last one")) };
        let mut columns: Vec<ArrayRef> = self.plan.by.iter().map(|&c| batch.column(c).clone()).collect();
        columns.push(Arc::new(words.finish()));
        self.plan.hasher.hash(&batch, &mut self.hashes);
        texts.push(&RecordBatch::try_new(self.plan.stored.clone(), columns)?, &self.hashes)
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        let Some(texts) = self.texts.take() else { return Ok(()) };
        let mut parts = Parts::new(&self.task);
        parts.add(texts.drain()?);
        // In how many documents each word is.
        let words = self.vocabulary.len();
        self.known.resize(self.vocabulary.bytes() + (words * (size_of::<u64>() + size_of::<f64>())) as u64);
        let mut documents = vec![0u64; words];
        let mut all = 0u64;
        let mut counted = vec![];
        while let Some(part) = parts.waiting.pop() {
            going_on(out)?;
            let Some(held) = Documents::of(&part, &self.plan, &self.task)? else {
                parts.split(part)?;
                continue;
            };
            let mut last = None;
            for &(document, word, _) in &held.counts {
                documents[word as usize] += 1;
                all += u64::from(last.replace(document) != Some(document));
            }
            counted.push(part);
        }
        let rarity: Vec<f64> = documents.iter().map(|&df| (all as f64 / df as f64).ln()).collect();
        for part in counted {
            going_on(out)?;
            // It fitted before; if others have taken the room since, it must be held all the same.
            let held = Documents::held(&part, &self.plan, &self.task)?;
            self.send(&held, &documents, &rarity, out)?;
            parts.remove(&part);
        }
        Ok(())
    }
}

fn going_on(out: &dyn Out) -> Result<()> {
    if out.stopping() { Err(Error::stopped()) } else { Ok(()) }
}

impl Work {
    /// The best words of each document.
    fn send(&self, held: &Documents, documents: &[u64], rarity: &[f64], out: &mut dyn Out) -> Result<()> {
        let mut rows = Rows::default();
        let mut best: Vec<(f64, u32, u64)> = vec![];
        for words in held.counts.chunk_by(|a, b| a.0 == b.0) {
            best.clear();
            best.extend(words.iter().map(|&(_, word, often)| {
                let score = often as f64 * rarity[word as usize];
                (self.plan.scale.map_or(score, |scale| (score * scale).round() / scale), word, often)
            }));
            let order = |a: &(f64, u32, u64), b: &(f64, u32, u64)| -> Ordering {
                let words = || self.vocabulary.word(a.1).cmp(self.vocabulary.word(b.1));
                b.0.total_cmp(&a.0).then_with(words)
            };
            if best.len() > self.plan.top {
                best.select_nth_unstable_by(self.plan.top, order);
                best.truncate(self.plan.top);
            }
            best.sort_unstable_by(order);
            for (rank, &(score, word, often)) in (1..).zip(&best) {
                rows.document.push(words[0].0);
                rows.keyword.append_value(self.vocabulary.word(word));
                rows.score.push(score);
                rows.rank.push(rank);
                rows.tf.push(often as i64);
                rows.df.push(documents[word as usize] as i64);
            }
            if rows.rank.len() >= CHUNK {
                self.give(std::mem::take(&mut rows), held, out)?;
            }
        }
        self.give(rows, held, out)
    }

    fn give(&self, mut rows: Rows, held: &Documents, out: &mut dyn Out) -> Result<()> {
        if rows.rank.is_empty() {
            return Ok(());
        }
        let made = rows.rank.len() as u64;
        let mut columns = take_record_batch(&held.keys, &UInt32Array::from(rows.document))?.columns().to_vec();
        columns.push(Arc::new(rows.keyword.finish()));
        columns.push(Arc::new(Float64Array::from(rows.score)));
        columns.push(Arc::new(Int32Array::from(rows.rank)));
        columns.push(Arc::new(Int64Array::from(rows.tf)));
        columns.push(Arc::new(Int64Array::from(rows.df)));
        out.create("keywords", made);
        out.send(0, RecordBatch::try_new(self.plan.output.clone(), columns)?)
    }
}

#[derive(Default)]
struct Rows {
    document: Vec<u32>,
    keyword: StringBuilder,
    score: Vec<f64>,
    rank: Vec<i32>,
    tf: Vec<i64>,
    df: Vec<i64>,
}

/// All parts that are still to be read, and what of them is in memory.
struct Parts {
    waiting: Vec<Partition>,
    held: u64,
    memory: Reservation,
}

impl Parts {
    fn new(task: &Task) -> Parts {
        Parts { waiting: vec![], held: 0, memory: task.memory.reserve() }
    }

    fn add(&mut self, parts: impl Iterator<Item = Partition>) {
        for part in parts.filter(|part| !part.is_empty()) {
            self.held += part.bytes() - part.on_disk();
            // Drained parts give back what they had as the next one is asked for; here all of them stay.
            self.memory.resize(self.held);
            self.waiting.push(part);
        }
    }

    fn remove(&mut self, part: &Partition) {
        self.held -= part.bytes() - part.on_disk();
        self.memory.resize(self.held);
    }

    fn split(&mut self, part: Partition) -> Result<()> {
        self.remove(&part);
        self.add(part.split()?);
        Ok(())
    }
}

/// What the documents of one part say.
struct Documents {
    /// A row for each document.
    keys: RecordBatch,
    /// Document, word, how often it is in the document: in order of document and word.
    counts: Vec<(u32, u32, u64)>,
    /// What both take, for as long as they are here.
    _memory: Reservation,
}

impl Documents {
    /// `None` where they do not fit into memory, and can be split.
    fn of(part: &Partition, plan: &Plan, task: &Task) -> Result<Option<Documents>> {
        Documents::read(part, plan, task, part.can_split())
    }

    fn held(part: &Partition, plan: &Plan, task: &Task) -> Result<Documents> {
        let held = Documents::read(part, plan, task, false)?;
        held.ok_or_else(|| Error::bug("a part that was to be held was not"))
    }

    fn read(part: &Partition, plan: &Plan, task: &Task, may_fail: bool) -> Result<Option<Documents>> {
        let mut memory = task.memory.reserve();
        let mut index = KeyIndex::default();
        let mut numbers = vec![];
        let mut keys = vec![];
        let mut keys_bytes = 0;
        let mut counts: Vec<(u32, u32, u64)> = vec![];
        let mut fresh: Vec<u64> = vec![];
        for piece in part.read() {
            let piece = piece?;
            let before = index.len();
            numbers.clear();
            index.number_all(&piece.hashes, &mut numbers)?;
            let mut next = before as u32;
            let is_first = |&(_, number): &(u32, &u32)| {
                *number == next && {
                    next += 1;
                    true
                }
            };
            let first: Vec<u32> = (0..).zip(&numbers).filter(is_first).map(|(row, _)| row).collect();
            if !first.is_empty() {
                let columns = piece.batch.columns()[..plan.by.len()].to_vec();
                let own = RecordBatch::try_new(plan.keys.clone(), columns)?;
                let own = take_record_batch(&own, &UInt32Array::from(first))?;
                keys_bytes += batch_bytes(&own);
                keys.push(own);
            }
            for (words, &document) in piece.batch.column(plan.by.len()).as_binary::<i64>().iter().zip(&numbers) {
                let mut bytes = words.unwrap_or_default();
                while let Some(word) = take(&mut bytes) {
                    fresh.push(u64::from(document) << 32 | u64::from(word));
                }
                if fresh.len() >= FRESH.max(counts.len()) {
                    count(&mut fresh, &mut counts);
                }
            }
            let lists = counts.capacity() * size_of::<(u32, u32, u64)>() * 2 + fresh.capacity() * size_of::<u64>();
            // Keys are copied once more to be one batch.
            let needed = index.bytes() + keys_bytes * 2 + lists as u64;
            if !memory.try_resize(needed) {
                if may_fail {
                    return Ok(None);
                }
                memory.resize(needed);
            }
        }
        count(&mut fresh, &mut counts);
        let keys = concat_batches(&plan.keys, &keys)?;
        Ok(Some(Documents { keys, counts, _memory: memory }))
    }
}

/// Adds words that were met to the counts.
fn count(fresh: &mut Vec<u64>, counts: &mut Vec<(u32, u32, u64)>) {
    fresh.sort_unstable();
    let new = fresh.chunk_by(|a, b| a == b).map(|same| ((same[0] >> 32) as u32, same[0] as u32, same.len() as u64));
    if counts.is_empty() {
        counts.extend(new);
    } else {
        let mut old = std::mem::take(counts).into_iter().peekable();
        for (document, word, often) in new {
            let place = (document, word);
            while let Some(before) = old.next_if(|o| (o.0, o.1) < place) {
                counts.push(before);
            }
            let before = old.next_if(|o| (o.0, o.1) == place).map_or(0, |o| o.2);
            counts.push((document, word, before + often));
        }
        counts.extend(old);
    }
    fresh.clear();
}

/// A number in groups of 7 bits, the lowest first, as LEB128 has it: frequent words come early and take a byte or two.
fn write(mut number: u32, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn take(from: &mut &[u8]) -> Option<u32> {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = from.split_first() {
        *from = rest;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
    None
}
