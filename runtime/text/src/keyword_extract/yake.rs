//! YAKE: keywords by statistics of one text alone, without training.
//!
//! Campos, Mangaravite, Pasquali, Jorge, Nunes, Jatowt: *YAKE! Keyword extraction from single documents using multiple local
//! features*, Information Sciences 509 (2020). A low score is a good keyword.
//!
//! ```text
//! score of a word   S = place * relatedness / (case + frequency / relatedness + spread / relatedness)
//! score of a phrase     product of S / (frequency * (1 + sum of S))
//! ```

use super::Keywords;
use super::sentences::sentences;
use super::similar::Similarity;
use super::tokens::tokens;
use hashbrown::{HashMap, HashSet};

/// The settings of an extraction.
pub(super) struct Settings {
    pub words: usize,
    pub window: usize,
    pub dedup: f64,
    pub similarity: Similarity,
    pub top: usize,
}

/// What a word of a text looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// A number, or a mix of letters, digits and marks: never part of a keyword.
    Odd,
    /// All capitals.
    Acronym,
    /// A capital first, and not at the start of a sentence.
    Name,
    Plain,
}

/// A term and what was counted of it.
#[derive(Default)]
struct Term {
    stop: bool,
    count: f64,
    acronyms: f64,
    names: f64,
    /// Sentences that it is in, in their order.
    sentences: Vec<usize>,
    /// Different neighbours, and how often, on the left and on the right.
    left: (f64, f64),
    right: (f64, f64),
    score: f64,
}

struct Word {
    /// Where it stands in `Text::text`.
    start: usize,
    end: usize,
    term: usize,
    look: Look,
}

/// A phrase: `words` from `start` on, where it was first seen.
struct Candidate {
    start: usize,
    length: usize,
    count: f64,
    fits: bool,
}

/// Counts of one text; kept between texts for its allocations.
#[derive(Default)]
pub(super) struct Text {
    text: String,
    lower: String,
    words: Vec<Word>,
    /// Words in lower case, and their terms: without a plural's `s`.
    spellings: HashMap<String, (usize, usize)>,
    stems: HashMap<String, usize>,
    terms: Vec<Term>,
    /// How often one term follows another.
    pairs: HashMap<(usize, usize), f64>,
    candidates: Vec<Candidate>,
    /// A phrase is the one without its last word, and that word.
    longer: HashMap<(usize, usize), usize>,
}

/// A word of more bytes is no word but data, and comparing such keywords would take long.
const LONGEST: usize = 256;

/// The phrase without any word.
const NOTHING: usize = usize::MAX;

impl Text {
    fn clear(&mut self) {
        self.text.clear();
        self.words.clear();
        self.spellings.clear();
        self.stems.clear();
        self.terms.clear();
        self.pairs.clear();
        self.candidates.clear();
        self.longer.clear();
    }

    /// Adds the keywords of `text`, the best one first.
    pub(super) fn extract(&mut self, text: &str, stop: &HashSet<String>, settings: &Settings, to: &mut Keywords) {
        self.clear();
        let lines = text.replace(['\n', '\t'], " ");
        let mut number = 0;
        // The blank keeps a text of one letter or number from being taken for an abbreviation; a capital starts afresh.
        let starts = lines.trim_start().starts_with(|c: char| c.is_ascii_uppercase());
        let lines = if starts { lines } else { format!(" {lines}") };
        sentences(&lines, |sentence| {
            self.sentence(sentence, number, stop, settings);
            number += 1;
        });
        if self.score_terms(number as f64) {
            self.choose(settings, to);
        }
    }

    fn sentence(&mut self, sentence: &str, number: usize, stop: &HashSet<String>, settings: &Settings) {
        // Words since the last mark: pairs and phrases do not cross marks.
        let mut block = self.words.len();
        // The phrases that end before this word, the shortest one last.
        let mut open: Vec<usize> = vec![];
        let mut place = 0;
        tokens(sentence, &mut |token| {
            if token.chars().all(|c| c.is_ascii_punctuation()) {
                block = self.words.len();
                open.clear();
            } else {
                self.word(token, (number, place), block, stop, settings, &mut open);
            }
            place += 1;
        });
    }

    fn word(
        &mut self,
        token: &str,
        (sentence, place): (usize, usize),
        block: usize,
        stop: &HashSet<String>,
        settings: &Settings,
        open: &mut Vec<usize>,
    ) {
        let look = look(token, place);
        let (spelling, term) = self.find(token, stop);
        let known = &mut self.terms[term];
        known.count += 1.0;
        known.acronyms += f64::from(u8::from(look == Look::Acronym));
        known.names += f64::from(u8::from(look == Look::Name));
        if known.sentences.last() != Some(&sentence) {
            known.sentences.push(sentence);
        }
        if look != Look::Odd {
            for before in block.max(self.words.len().saturating_sub(settings.window))..self.words.len() {
                let Word { term: before, look, .. } = self.words[before];
                if look != Look::Odd {
                    self.follows(before, term);
                }
            }
        }
        let start = self.text.len();
        self.text.push_str(token);
        self.words.push(Word { start, end: self.text.len(), term, look });
        if open.len() == settings.words {
            open.remove(0);
        }
        open.push(NOTHING);
        for (length, phrase) in open.iter_mut().rev().enumerate() {
            *phrase = self.phrase(*phrase, spelling, length + 1);
        }
    }

    /// The numbers of a word's spelling and of its term.
    fn find(&mut self, token: &str, stop: &HashSet<String>) -> (usize, usize) {
        self.lower.clear();
        if token.is_ascii() {
            self.lower.push_str(token);
            self.lower.make_ascii_lowercase();
        } else {
            self.lower.push_str(&token.to_lowercase());
        }
        if let Some(known) = self.spellings.get(&self.lower) {
            return *known;
        }
        let is_long = self.lower.chars().nth(3).is_some();
        let stem = self.lower.strip_suffix('s').filter(|_| is_long).unwrap_or(&self.lower);
        let term = self.stems.get(stem).copied().unwrap_or_else(|| {
            let letters = stem.chars().filter(|c| !c.is_ascii_punctuation()).count();
            let is_stop = stop.contains(&self.lower) || stop.contains(stem) || letters < 3;
            self.stems.insert(stem.to_string(), self.terms.len());
            self.terms.push(Term { stop: is_stop, ..Term::default() });
            self.terms.len() - 1
        });
        let known = (self.spellings.len(), term);
        self.spellings.insert(self.lower.clone(), known);
        known
    }

    fn follows(&mut self, before: usize, term: usize) {
        let count = self.pairs.entry((before, term)).or_default();
        let new = f64::from(u8::from(*count == 0.0));
        *count += 1.0;
        let right = &mut self.terms[before].right;
        *right = (right.0 + new, right.1 + 1.0);
        let left = &mut self.terms[term].left;
        *left = (left.0 + new, left.1 + 1.0);
    }

    /// Counts a phrase that ends with the last word.
    fn phrase(&mut self, shorter: usize, spelling: usize, length: usize) -> usize {
        let start = self.words.len() - length;
        let fits = self.words[start..].iter().all(|w| w.look != Look::Odd);
        let next = self.candidates.len();
        let at = *self.longer.entry((shorter, spelling)).or_insert(next);
        if at == next {
            self.candidates.push(Candidate { start, length, count: 0.0, fits: false });
        }
        let candidate = &mut self.candidates[at];
        candidate.count += 1.0;
        candidate.fits |= fits;
        at
    }

    /// Scores every term; false where there are stop words only.
    fn score_terms(&mut self, sentences: f64) -> bool {
        let counts = || self.terms.iter().filter(|t| !t.stop).map(|t| t.count);
        let number = counts().count() as f64;
        if number == 0.0 {
            return false;
        }
        let mean = counts().sum::<f64>() / number;
        let deviation = (counts().map(|c| (c - mean) * (c - mean)).sum::<f64>() / number).sqrt();
        let most = self.terms.iter().map(|t| t.count).fold(0.0, f64::max);
        for term in &mut self.terms {
            let share = |(different, all): (f64, f64)| if all == 0.0 { 0.0 } else { different / all };
            let often = term.count / most;
            let related = (0.5 + share(term.left) * often) + (0.5 + share(term.right) * often);
            let frequency = term.count / (mean + deviation);
            let spread = term.sentences.len() as f64 / sentences;
            let case = term.acronyms.max(term.names) / (1.0 + term.count.ln());
            let place = (3.0 + median(&term.sentences)).ln().ln();
            term.score = place * related / (case + frequency / related + spread / related);
        }
        true
    }

    fn score(&self, candidate: &Candidate) -> f64 {
        let words = &self.words[candidate.start..][..candidate.length];
        let (mut sum, mut product) = (0.0, 1.0);
        for (at, word) in words.iter().enumerate() {
            let term = &self.terms[word.term];
            if !term.stop {
                sum += term.score;
                product *= term.score;
                continue;
            }
            // A stop word inside a phrase costs the less, the more its neighbours belong to it.
            let pair = |a: usize, b: usize| self.pairs.get(&(a, b)).copied().unwrap_or_default();
            let (before, after) = (words[at - 1].term, words[at + 1].term);
            let joined =
                pair(before, word.term) / self.terms[before].count * pair(word.term, after) / self.terms[after].count;
            sum -= 1.0 - joined;
            product *= 2.0 - joined;
        }
        product / ((sum + 1.0) * candidate.count)
    }

    /// The best candidates that are not too much like a better one.
    fn choose(&self, settings: &Settings, to: &mut Keywords) {
        let ends = |c: &Candidate| [c.start, c.start + c.length - 1].map(|w| self.words[w].term);
        let fits = |c: &&Candidate| c.fits && ends(c).iter().all(|t| !self.terms[*t].stop);
        let mut all: Vec<(f64, &Candidate)> = self.candidates.iter().filter(fits).map(|c| (self.score(c), c)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut chosen: Vec<Vec<char>> = vec![];
        for (score, candidate) in all {
            let words = self.words[candidate.start..][..candidate.length].iter().map(|w| &self.text[w.start..w.end]);
            let mut letters = vec![];
            for (at, word) in words.clone().enumerate() {
                letters.extend((at > 0).then_some(' '));
                letters.extend(word.chars().flat_map(char::to_lowercase));
            }
            if chosen.iter().any(|better| settings.similarity.exceeds(&letters, better, settings.dedup)) {
                continue;
            }
            to.add(words, score);
            chosen.push(letters);
            if chosen.len() == settings.top {
                return;
            }
        }
    }
}

fn look(word: &str, place: usize) -> Look {
    let is_digit = |c: char| c.is_numeric();
    let is_mark = |c: char| c.is_ascii_punctuation();
    let count = |is: &dyn Fn(char) -> bool| word.chars().filter(|c| is(*c)).count();
    let (digits, letters) = (count(&is_digit), count(&char::is_alphabetic));
    let (upper, lower) = (count(&char::is_uppercase), count(&char::is_lowercase));
    let marks = count(&is_mark);
    // A time such as 12:30 is a word: its mark is none of a number's.
    let is_number = letters == 0 && (marks == 0 || count(&|c| c == ',' || c == '.') == marks);
    if is_number || digits > 0 && letters > 0 || digits + letters == 0 || marks > 1 || word.len() > LONGEST {
        Look::Odd
    } else if upper > 0 && lower == 0 {
        Look::Acronym
    } else if place > 0 && upper == 1 && word.starts_with(char::is_uppercase) && word.chars().nth(1).is_some() {
        Look::Name
    } else {
        Look::Plain
    }
}

fn median(sorted: &[usize]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle] as f64,
        _ => (sorted[middle - 1] + sorted[middle]) as f64 / 2.0,
    }
}
