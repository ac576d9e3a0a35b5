//! How alike two keywords are, from 0 to 1: three well-known measures on characters.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub(super) enum Similarity {
    /// Twice the matched characters over all (Ratcliff and Obershelp; `ratio` of Python's `difflib`).
    #[default]
    Sequence,
    /// 1 - edits over the length of the longer one (Levenshtein).
    Levenshtein,
    /// Characters in common and nearly in place (Jaro).
    Jaro,
}

impl Similarity {
    /// Are they more alike than `limit`? Lengths that are far apart answer without a look at the characters.
    pub(super) fn exceeds(self, a: &[char], b: &[char], limit: f64) -> bool {
        let (short, long) = (a.len().min(b.len()) as f64, a.len().max(b.len()) as f64);
        let most = match self {
            Similarity::Sequence => 2.0 * short / (short + long),
            Similarity::Levenshtein => short / long,
            Similarity::Jaro => (2.0 + short / long) / 3.0,
        };
        most > limit && self.of(a, b) > limit
    }

    fn of(self, a: &[char], b: &[char]) -> f64 {
        match self {
            _ if a.is_empty() || b.is_empty() => f64::from(u8::from(a.len() == b.len())),
            Similarity::Sequence => 2.0 * matched(a, b) as f64 / (a.len() + b.len()) as f64,
            Similarity::Levenshtein => 1.0 - edits(a, b) as f64 / a.len().max(b.len()) as f64,
            Similarity::Jaro => jaro(a, b),
        }
    }
}

/// Characters in the longest common run (the first of equals), and, again, in what is left and right of it.
fn matched(a: &[char], b: &[char]) -> usize {
    let (mut length, mut at, mut there) = (0, 0, 0);
    let mut runs = vec![0; b.len() + 1];
    for (i, x) in a.iter().enumerate() {
        // From the right, so that the cell to the left is still that of the row before.
        for j in (0..b.len()).rev() {
            runs[j + 1] = if *x == b[j] { runs[j] + 1 } else { 0 };
        }
        for (j, run) in runs.iter().enumerate() {
            if *run > length {
                (length, at, there) = (*run, i + 1 - run, j - run);
            }
        }
    }
    if length == 0 {
        return 0;
    }
    length + matched(&a[..at], &b[..there]) + matched(&a[at + length..], &b[there + length..])
}

fn edits(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn jaro(a: &[char], b: &[char]) -> f64 {
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut common = vec![];
    for (i, x) in a.iter().enumerate() {
        let window = i.saturating_sub(reach)..(i + reach + 1).min(b.len());
        if let Some(j) = window.into_iter().find(|&j| !taken[j] && b[j] == *x) {
            taken[j] = true;
            common.push(*x);
        }
    }
    if common.is_empty() {
        return 0.0;
    }
    let there = b.iter().zip(&taken).filter_map(|(c, taken)| taken.then_some(c));
    let moved = common.iter().zip(there).filter(|(x, y)| x != y).count() / 2;
    let m = common.len() as f64;
    (m / a.len() as f64 + m / b.len() as f64 + (m - moved as f64) / m) / 3.0
}

#[cfg(test)]
mod tests {
    use super::Similarity::{self, *};

    fn of(how: Similarity, a: &str, b: &str) -> f64 {
        let chars = |t: &str| t.chars().collect::<Vec<_>>();
        (how.of(&chars(a), &chars(b)) * 1000.0).round() / 1000.0
    }

    #[test]
    fn lengths_never_hide_what_is_alike() {
        let words: Vec<Vec<char>> =
            ["a", "ab", "abc", "abcdefghij", "abcdefghijk", "ba"].map(|w| w.chars().collect()).into();
        for how in [Sequence, Levenshtein, Jaro] {
            for (a, b) in words.iter().flat_map(|a| words.iter().map(move |b| (a, b))) {
                let alike = how.of(a, b);
                assert!(how.exceeds(a, b, alike - 1e-9) && !how.exceeds(a, b, alike), "{how:?} {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn known_values() {
        // difflib.SequenceMatcher(None, a, b).ratio()
        assert_eq!(of(Sequence, "private thread", "private volatile thread"), 0.757);
        assert_eq!(of(Sequence, "tide", "diet"), 0.25);
        assert_eq!(of(Levenshtein, "kitten", "sitting"), 0.571);
        assert_eq!(of(Jaro, "martha", "marhta"), 0.944);
        assert_eq!(of(Jaro, "dixon", "dicksonx"), 0.767);
        for how in [Sequence, Levenshtein, Jaro] {
            assert_eq!((of(how, "günther", "günther"), of(how, "ab", "cd"), of(how, "", "a")), (1.0, 0.0, 0.0));
        }
    }
}
