//! Finds many phrases in one pass over a text, however many there are (Aho and Corasick, "Efficient string matching", 1975), as a table
//! of states: for each byte one look into it.

/// Where no phrase ends.
const NONE: u32 = u32::MAX;

/// The table. State 0 is the start, and nothing leads back to it but that nothing fits.
pub struct Automaton {
    /// Bytes that stand in no phrase are all alike: 0.
    classes: [u8; 256],
    width: usize,
    /// For each state and class the next state.
    next: Vec<u32>,
    /// For each state the phrase that ends there.
    ends: Vec<u32>,
    /// For each state the one of the next shorter phrase that ends there as well; 0 where there is none.
    shorter: Vec<u32>,
}

impl Automaton {
    /// Of phrases that all differ.
    pub fn new(phrases: &[String]) -> Automaton {
        let mut classes = [0; 256];
        let mut width = 1;
        for byte in phrases.iter().flat_map(|p| p.bytes()) {
            let class = &mut classes[usize::from(byte)];
            if *class == 0 {
                // UTF-8 has no more than 243 different bytes.
                *class = width as u8;
                width += 1;
            }
        }
        let mut made = Automaton { classes, width, next: vec![0; width], ends: vec![NONE], shorter: vec![] };
        phrases.iter().enumerate().for_each(|(number, phrase)| made.add(number, phrase));
        made.link();
        made
    }

    fn add(&mut self, number: usize, phrase: &str) {
        let mut state = 0;
        for byte in phrase.bytes() {
            let at = state * self.width + usize::from(self.classes[usize::from(byte)]);
            if self.next[at] == 0 {
                self.next[at] = self.ends.len() as u32;
                self.ends.push(NONE);
                self.next.resize(self.next.len() + self.width, 0);
            }
            state = self.next[at] as usize;
        }
        self.ends[state] = number as u32;
    }

    /// Where a byte does not fit, what fits is the longest end of the text so far that some phrase begins with: that state's row is
    /// complete before, as it is nearer to the start.
    fn link(&mut self) {
        let states = self.ends.len();
        self.shorter = vec![0; states];
        let mut back = vec![0; states];
        let mut queue = std::collections::VecDeque::from([0]);
        while let Some(state) = queue.pop_front() {
            for class in 0..self.width {
                let at = state * self.width + class;
                let otherwise = if state == 0 { 0 } else { self.next[back[state] * self.width + class] };
                let child = self.next[at] as usize;
                if child == 0 {
                    self.next[at] = otherwise;
                    continue;
                }
                back[child] = otherwise as usize;
                self.shorter[child] = match self.ends[back[child]] {
                    NONE => self.shorter[back[child]],
                    _ => otherwise,
                };
                queue.push_back(child);
            }
        }
    }

    /// Tells the number of each phrase in the text, as often as it is there.
    pub fn find(&self, text: &str, mut found: impl FnMut(usize)) {
        let mut state = 0;
        for byte in text.bytes() {
            state = self.next[state * self.width + usize::from(self.classes[usize::from(byte)])] as usize;
            let mut end = state;
            while end != 0 {
                if self.ends[end] != NONE {
                    found(self.ends[end] as usize);
                }
                end = self.shorter[end] as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(phrases: &[&str], text: &str) -> Vec<usize> {
        let phrases: Vec<String> = phrases.iter().map(|p| p.to_string()).collect();
        let mut found = vec![];
        Automaton::new(&phrases).find(text, |phrase| found.push(phrase));
        found
    }

    #[test]
    fn overlapping_phrases_are_all_found() {
        assert_eq!(found(&["he", "she", "his", "hers"], "ushers"), [1, 0, 3]);
        assert_eq!(found(&[" a ", " a b ", " b ", " b c "], " a b c "), [0, 1, 2, 3]);
        assert_eq!(found(&["aa", "a"], "aaa"), [1, 0, 1, 0, 1]);
        assert_eq!(found(&[], "abc"), [0; 0]);
    }

    #[test]
    fn it_finds_what_a_search_for_each_phrase_finds() {
        // All texts and phrases of two letters up to some length.
        let words = |longest: u32| {
            (1..=longest)
                .flat_map(|n| (0..1u32 << n).map(move |bits| (n, bits)))
                .map(|(n, bits)| (0..n).map(|i| if bits >> i & 1 == 1 { 'b' } else { 'é' }).collect::<String>())
        };
        let phrases: Vec<String> = words(4).step_by(3).collect();
        let automaton = Automaton::new(&phrases);
        for text in words(8) {
            let mut counts = vec![0; phrases.len()];
            automaton.find(&text, |phrase| counts[phrase] += 1);
            for (phrase, count) in phrases.iter().zip(counts) {
                let places = text.char_indices().filter(|(at, _)| text[*at..].starts_with(phrase.as_str())).count();
                assert_eq!(count, places, "{phrase} in {text}");
            }
        }
    }
}
