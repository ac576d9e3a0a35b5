//! TF-IDF over a stream: words that a text says often, and the texts before it seldom.
//!
//! Spärck Jones: *A statistical interpretation of term specificity and its application in retrieval* (1972), with the smoothed
//! inverse document frequency and the Euclidean norm of scikit-learn's `TfidfTransformer`.
//!
//! What is counted stays bounded by lossy counting (Manku, Motwani: *Approximate frequency counts over data streams*, 2002),
//! whose windows end here where the table is full: the least counts are forgotten, and `floor` says how large the largest of
//! them was. A count that is kept is too small by at most the floor at the time its term came.

use super::{Keywords, rake};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::UInt64Type;
use hashbrown::{HashMap, HashSet};
use selvedge_node::{Reservation, Result, Save};
use std::sync::Arc;

/// Longer words are part of no keyword.
const LONGEST: usize = 256;
/// About what a term takes besides its text, in a table that is half full.
const ENTRY: usize = 80;

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// The most words of a keyword.
    pub words: usize,
    /// The most terms that are counted.
    pub terms: usize,
    pub top: usize,
}

/// What the texts so far have said.
pub(super) struct Seen {
    settings: Settings,
    documents: u64,
    terms: HashMap<Box<str>, Count>,
    /// The most texts that a term which is not in the table can have been in.
    floor: u64,
    /// How many terms were forgotten so far.
    pub forgotten: u64,
    /// Bytes of the terms' texts.
    bytes: usize,
    memory: Reservation,
}

struct Count {
    /// Texts that it was in since it came.
    documents: u64,
    /// The floor when it came.
    before: u64,
}

impl Seen {
    pub fn new(settings: Settings, memory: Reservation) -> Seen {
        Seen { settings, documents: 0, terms: HashMap::new(), floor: 0, forgotten: 0, bytes: 0, memory }
    }

    pub fn save(&self, to: &mut dyn Save) -> Result<()> {
        let numbers = |n: &mut dyn Iterator<Item = u64>| Arc::new(UInt64Array::from_iter_values(n)) as ArrayRef;
        let one = |n: u64| numbers(&mut std::iter::once(n));
        let all = [("documents", one(self.documents)), ("floor", one(self.floor)), ("forgotten", one(self.forgotten))];
        to.put("all", &RecordBatch::try_from_iter(all)?)?;
        // The texts of a part stay below two gigabytes.
        let terms: Vec<(&Box<str>, &Count)> = self.terms.iter().collect();
        for some in terms.chunks(1 << 16) {
            let columns = [
                ("term", Arc::new(StringArray::from_iter_values(some.iter().map(|(term, _)| term))) as ArrayRef),
                ("documents", numbers(&mut some.iter().map(|(_, c)| c.documents))),
                ("before", numbers(&mut some.iter().map(|(_, c)| c.before))),
            ];
            to.put("terms", &RecordBatch::try_from_iter(columns)?)?;
        }
        Ok(())
    }

    pub fn load(&mut self, part: &str, batch: &RecordBatch) {
        let numbers = |c: usize| batch.column(c).as_primitive::<UInt64Type>().values();
        if part == "all" {
            (self.documents, self.floor, self.forgotten) = (numbers(0)[0], numbers(1)[0], numbers(2)[0]);
            return;
        }
        let terms = batch.column(0).as_string::<i32>().iter().flatten();
        for ((term, &documents), &before) in terms.zip(numbers(1)).zip(numbers(2)) {
            self.bytes += term.len();
            self.terms.insert(term.into(), Count { documents, before });
        }
        self.stay_bounded();
    }

    /// Counts the text, and adds its keywords, the best one first.
    pub fn extract(&mut self, text: &str, stop: &HashSet<String>, to: &mut Keywords) {
        let text = rake::normal(text);
        let phrases = rake::phrases(&text, stop, usize::MAX);
        // How often each term is in this text.
        let mut often: HashMap<&[&str], f64> = HashMap::new();
        for run in phrases.iter().flat_map(|phrase| phrase.split(|word| word.len() > LONGEST)) {
            for words in (1..=self.settings.words).flat_map(|n| run.windows(n)) {
                if words.len() > 1 || words[0].chars().nth(1).is_some() {
                    *often.entry(words).or_default() += 1.0;
                }
            }
        }
        self.documents += 1;
        let all = self.documents as f64;
        let mut scored = Vec::with_capacity(often.len());
        let mut term = String::new();
        for (words, often) in often {
            term.clear();
            for (at, word) in words.iter().enumerate() {
                term.push_str(if at > 0 { " " } else { "" });
                term.push_str(word);
            }
            let documents = self.count(&term) as f64;
            scored.push((often * (((1.0 + all) / (1.0 + documents)).ln() + 1.0), words));
        }
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        // Summed in this order: that of a hash table would change the last digits from run to run.
        let norm = scored.iter().map(|(score, _)| score * score).sum::<f64>().sqrt();
        for (score, words) in scored.into_iter().take(self.settings.top) {
            to.add(words.iter().copied(), score / norm);
        }
        self.stay_bounded();
    }

    /// One more text has the term; how many have it now.
    fn count(&mut self, term: &str) -> u64 {
        if let Some(count) = self.terms.get_mut(term) {
            count.documents += 1;
            return count.documents;
        }
        self.bytes += term.len();
        self.terms.insert(term.into(), Count { documents: 1, before: self.floor });
        1
    }

    /// After a text, so that none of its own terms is gone before it is scored.
    fn stay_bounded(&mut self) {
        if self.terms.len() > self.settings.terms {
            self.forget();
        }
        while !self.memory.try_resize(self.held()) {
            if self.terms.is_empty() {
                // Not even an empty table: what a text takes for itself is not in the budget either.
                return;
            }
            self.forget();
        }
    }

    fn held(&self) -> u64 {
        (self.bytes + self.terms.capacity() * ENTRY) as u64
    }

    /// Forgets the rarest quarter of the terms, and all that are as rare as the most frequent of these.
    fn forget(&mut self) {
        let mut counts: Vec<u64> = self.terms.values().map(|c| c.documents + c.before).collect();
        let at = counts.len() / 4;
        if counts.is_empty() {
            return;
        }
        self.floor = self.floor.max(*counts.select_nth_unstable(at).1);
        let before = self.terms.len();
        self.terms.retain(|_, count| count.documents + count.before > self.floor);
        self.terms.shrink_to(self.settings.terms.min(self.terms.len() * 2));
        self.forgotten += (before - self.terms.len()) as u64;
        self.bytes = self.terms.keys().map(|term| term.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_node::Memory;

    /// Counts of words drawn by Zipf's law, against those of a table without bounds.
    fn check(terms: usize, memory: u64) -> Seen {
        let budget = Memory::new(memory);
        let mut seen = Seen::new(Settings { words: 1, terms, top: 1 }, budget.reserve());
        let mut exact: HashMap<String, u64> = HashMap::new();
        let mut state = 7u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = (state >> 11) as f64 / (1u64 << 53) as f64;
            let word = format!("word{}", (20_000f64.powf(uniform)) as u64);
            seen.extract(&word, &HashSet::new(), &mut Keywords::default());
            *exact.entry(word).or_default() += 1;
            assert!(seen.terms.len() <= terms && budget.used() <= memory);
        }
        for (word, documents) in exact {
            let kept = seen.terms.get(word.as_str());
            match kept {
                Some(c) => assert!((documents.saturating_sub(c.before)..=documents).contains(&c.documents), "{word}"),
                None => assert!(documents <= seen.floor, "{word}: {documents} of at most {}", seen.floor),
            }
        }
        seen
    }

    #[test]
    fn what_is_counted_is_bounded_and_nearly_right() {
        let seen = check(1_000, 64 << 20);
        assert!(seen.forgotten > 1_000 && seen.floor < 40, "{} forgotten, floor {}", seen.forgotten, seen.floor);
        let seen = check(1_000_000, 64 << 20);
        assert_eq!((seen.forgotten, seen.floor), (0, 0));
    }

    #[test]
    fn what_was_seen_is_carried_on() {
        let memory = Memory::new(1 << 20);
        let settings = Settings { words: 2, terms: 40, top: 5 };
        let text = |i: usize| format!("order number {} size {} returned by {}", i % 7, i % 3, i * i % 31);
        let scores = |stop: bool| {
            let mut seen = Seen::new(settings, memory.reserve());
            let mut found = Keywords::default();
            for i in 0..300 {
                seen.extract(&text(i), &HashSet::new(), &mut found);
                if stop && i % 50 == 0 {
                    let mut saved = selvedge_testkit::Saved::default();
                    seen.save(&mut saved).unwrap();
                    seen = Seen::new(settings, memory.reserve());
                    saved.parts.iter().for_each(|(part, batches)| batches.iter().for_each(|b| seen.load(part, b)));
                }
            }
            (found.scores, seen.forgotten)
        };
        assert!(scores(false).1 > 0);
        assert_eq!(scores(true), scores(false));
    }

    #[test]
    fn a_small_memory_forgets_earlier() {
        let seen = check(1_000_000, 64 << 10);
        assert!(seen.forgotten > 1_000 && seen.terms.len() > 50);
    }
}
