//! Words that are no keywords, by language: stopwords-iso (Gene Diaz, MIT licence), of its English words those of SMART's list.

use hashbrown::HashSet;

/// A line for each language: its code, then its words.
const LISTS: &str = include_str!("stop_words.txt");

/// The words of a language by its ISO 639-1 code.
pub(super) fn of(language: &str) -> Option<HashSet<String>> {
    let line = LISTS.lines().find(|line| line.split(' ').next() == Some(language))?;
    Some(line.split(' ').skip(1).map(String::from).collect())
}

/// The codes of all languages.
pub(super) fn languages() -> impl Iterator<Item = &'static str> {
    LISTS.lines().filter_map(|line| line.split(' ').next())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_language_has_words_in_lower_case() {
        assert!(super::languages().count() >= 20);
        for language in super::languages() {
            let words = super::of(language).unwrap();
            assert!(words.len() > 50 && words.iter().all(|w| *w == w.to_lowercase()), "{language}");
        }
        assert!(super::of("en").unwrap().contains("the") && super::of("xx").is_none());
    }
}
