//! RAKE: phrases between stop words and marks, by how much company their words keep.
//!
//! Rose, Engel, Cramer, Cowley: *Automatic keyword extraction from individual documents* (2010). Scores are those of the Python
//! package rake-nltk. A high score is a good keyword.

use super::Keywords;
use hashbrown::{HashMap, HashSet};
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::LazyLock;

/// What a word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub(super) enum Metric {
    /// Degree over frequency: words of long phrases.
    #[default]
    Ratio,
    /// Words in all phrases that it is in, itself included.
    Degree,
    /// How often it is in a phrase.
    Frequency,
}

pub(super) struct Settings {
    pub words: usize,
    pub metric: Metric,
    pub top: usize,
}

/// As phones write it: `don’t` is the stop word `don't`.
static INNER_APOSTROPHE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b’\b").expect("a regular expression of this file"));

/// Adds the keywords of `text`, the best one first.
pub(super) fn extract(text: &str, stop: &HashSet<String>, settings: &Settings, to: &mut Keywords) {
    let text = normal(text);
    let phrases = phrases(&text, stop, settings.words);
    // Frequency and degree of each word.
    let mut words: HashMap<&str, (f64, f64)> = HashMap::new();
    for phrase in &phrases {
        for word in phrase {
            let counts = words.entry(word).or_default();
            *counts = (counts.0 + 1.0, counts.1 + phrase.len() as f64);
        }
    }
    let score = |word: &&str| {
        let (frequency, degree) = words[word];
        match settings.metric {
            Metric::Ratio => degree / frequency,
            Metric::Degree => degree,
            Metric::Frequency => frequency,
        }
    };
    let mut ranked: Vec<(f64, &[&str])> =
        phrases.iter().map(|p| (p.iter().map(score).sum::<f64>(), p.as_slice())).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    ranked.dedup_by(|a, b| a.1 == b.1);
    for (score, phrase) in ranked.into_iter().take(settings.top) {
        to.add(phrase.iter().copied(), score);
    }
}

/// In lower case, with one kind of apostrophe.
pub(super) fn normal(text: &str) -> String {
    INNER_APOSTROPHE.replace_all(&text.to_lowercase(), "'").into_owned()
}

/// Runs of words without a stop word or mark between them, of at most `longest` words.
pub(super) fn phrases<'a>(text: &'a str, stop: &HashSet<String>, longest: usize) -> Vec<Vec<&'a str>> {
    let (mut all, mut phrase) = (vec![], vec![]);
    let mut end = |phrase: &mut Vec<&'a str>| {
        let phrase = std::mem::take(phrase);
        if (1..=longest).contains(&phrase.len()) {
            all.push(phrase);
        }
    };
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '\'' | '-');
    for piece in text.split_inclusive(|c: char| !is_inner(c)) {
        let word = piece.trim_end_matches(|c: char| !is_inner(c));
        if word.chars().any(char::is_alphanumeric) && !stop.contains(word) {
            phrase.push(word);
        } else if !word.is_empty() {
            end(&mut phrase);
        }
        if piece[word.len()..].chars().any(|c| !c.is_whitespace()) {
            end(&mut phrase);
        }
    }
    end(&mut phrase);
    all
}
