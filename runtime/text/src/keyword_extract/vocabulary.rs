//! Words and their numbers: text as small integers, so that what a document says takes a byte or two for each word.
//!
//! Stop words are the first numbers: that a word is one is then known as soon as it is found.

use hashbrown::{DefaultHashBuilder, HashSet, HashTable};
use regex::Regex;
use std::hash::BuildHasher;
use std::sync::LazyLock;

static WORDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{N}]+").expect("a regular expression of this file"));

/// About what a word takes in a table that is half full, besides its text and where that ends.
const ENTRY: usize = 10;

pub(super) struct Vocabulary {
    texts: String,
    /// Where the text of each word ends.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    stop: u32,
    /// The shortest word that counts, in characters.
    shortest: usize,
    lower: String,
}

impl Vocabulary {
    pub fn new(stop: &HashSet<String>, shortest: usize) -> Vocabulary {
        let mut all = Vocabulary {
            texts: String::new(),
            ends: vec![],
            numbers: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            stop: 0,
            shortest,
            lower: String::new(),
        };
        for word in stop {
            all.number(word);
        }
        all.stop = all.ends.len() as u32;
        all
    }

    /// How many words have a number, stop words among them.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn bytes(&self) -> u64 {
        let (texts, ends) = (self.texts.capacity(), self.ends.capacity() * size_of::<usize>());
        (texts + ends + self.numbers.capacity() * ENTRY) as u64
    }

    pub fn word(&self, number: u32) -> &str {
        word(&self.texts, &self.ends, number)
    }

    /// The numbers of the text's words in its order, but for stop words and those too short.
    pub fn read(&mut self, text: &str, each: &mut impl FnMut(u32)) {
        let mut lower = std::mem::take(&mut self.lower);
        lower.clear();
        if text.is_ascii() {
            lower.push_str(text);
            lower.make_ascii_lowercase();
            let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
            words.for_each(|word| self.tell(word, word.len(), each));
        } else {
            lower.push_str(&text.to_lowercase());
            WORDS.find_iter(&lower).for_each(|word| self.tell(word.as_str(), word.as_str().chars().count(), each));
        }
        self.lower = lower;
    }

    fn tell(&mut self, word: &str, length: usize, each: &mut impl FnMut(u32)) {
        if length >= self.shortest {
            let number = self.number(word);
            if number >= self.stop {
                each(number);
            }
        }
    }

    fn number(&mut self, text: &str) -> u32 {
        let (texts, ends, hasher) = (&mut self.texts, &mut self.ends, &self.hasher);
        let same = |&number: &u32| word(texts, ends, number) == text;
        let hash = |&number: &u32| hasher.hash_one(word(texts, ends, number));
        let entry = match self.numbers.entry(hasher.hash_one(text), same, hash) {
            hashbrown::hash_table::Entry::Occupied(known) => return *known.get(),
            hashbrown::hash_table::Entry::Vacant(free) => free,
        };
        let number = ends.len() as u32;
        entry.insert(number);
        texts.push_str(text);
        ends.push(texts.len());
        number
    }
}

fn word<'a>(texts: &'a str, ends: &[usize], number: u32) -> &'a str {
    let at = number as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &texts[start..ends[at]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> (Vec<u32>, String) {
        let stop = HashSet::from(["the".to_string()]);
        let mut all = Vocabulary::new(&stop, 2);
        let mut numbers = vec![];
        all.read(text, &mut |number| numbers.push(number));
        let texts = numbers.iter().map(|&n| all.word(n)).collect::<Vec<_>>().join(" ");
        (numbers, texts)
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(words("The cat's A-1 CAT, the4 x"), (vec![1, 1, 2], "cat cat the4".to_string()));
        assert_eq!(words("THE Größe, größe; é 東京!"), (vec![1, 1, 2], "größe größe 東京".to_string()));
        assert_eq!(words(""), (vec![], String::new()));
    }

    #[test]
    fn many_words_keep_their_numbers() {
        let mut all = Vocabulary::new(&HashSet::new(), 1);
        let text: String = (0..5_000).map(|i| format!("w{i} ")).collect();
        for _ in 0..2 {
            let mut next = 0;
            all.read(&text, &mut |number| {
                assert_eq!(number, next);
                next += 1;
            });
        }
        assert_eq!((all.len(), all.word(4_321)), (5_000, "w4321"));
        assert!(all.bytes() > text.len() as u64);
    }
}
