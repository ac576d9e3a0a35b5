//! Rules, and what they find in a text.

use crate::apparel;
use crate::automaton::Automaton;
use crate::fold::fold;
use selvedge_guest::{Error, Result, Settings};

/// What speaks for an intent, and against it.
#[derive(Clone, Default)]
pub struct Rule {
    /// The intent.
    pub intent: String,
    /// As they were written.
    words: Vec<Phrase>,
    not: Vec<Phrase>,
    weight: i64,
}

/// Words to be found in this order.
#[derive(Clone)]
struct Phrase {
    written: String,
    /// As `fold` would have them: ` send back `, or ` return` for `return*`.
    folded: String,
    words: i64,
}

impl Phrase {
    /// The error says what is wrong with it.
    fn read(written: &str) -> std::result::Result<Phrase, Error> {
        let (text, begins) = match written.trim_end().strip_suffix('*') {
            Some(text) => (text, true),
            None => (written, false),
        };
        if text.contains('*') {
            return Err(Error::graph(format!("`*` may only be the last character, found `{written}`"))
                .help("write one phrase for each way to say it"));
        }
        let mut folded = String::new();
        fold(text, &mut folded);
        let words = folded.split_whitespace().count() as i64;
        if words == 0 {
            return Err(Error::graph(format!("expected a word, found `{written}`")));
        }
        if begins {
            folded.pop();
        }
        Ok(Phrase { written: written.trim().to_string(), folded, words })
    }

    /// A list of them; `at` is its place in the config.
    fn all(texts: &[String], at: &str) -> Result<Vec<Phrase>> {
        let read = |(i, text): (usize, &String)| Phrase::read(text).map_err(|e| e.at(format!("{at}.{i}")));
        texts.iter().enumerate().map(read).collect()
    }
}

impl Rule {
    /// Reads a rule of a graph's.
    pub fn read(settings: &mut Settings) -> Result<Rule> {
        let words: Vec<String> = settings.or("words", vec![])?;
        let not: Vec<String> = settings.or("not", vec![])?;
        let weight = settings.or::<u32>("weight", 1)?.into();
        let intent = settings.required("intent")?;
        let words = Phrase::all(&words, &settings.at("words"))?;
        let rule = Rule { intent, words, not: Phrase::all(&not, &settings.at("not"))?, weight };
        if rule.weight == 0 {
            return Err(Error::graph("expected a weight of 1 or more, found 0").at(settings.at("weight")));
        }
        if rule.words.is_empty() && rule.not.is_empty() {
            return Err(Error::graph("expected keywords, found none").at(settings.at("words")));
        }
        let known = |phrase: &&Phrase| rule.words.iter().any(|w| w.folded == phrase.folded);
        if let Some(both) = rule.not.iter().find(known) {
            let message = format!("`{}` is in `words` and in `not`", both.written);
            return Err(Error::graph(message).at(settings.at("not")));
        }
        Ok(rule)
    }

    /// The rules of an apparel retailer.
    pub fn apparel() -> Vec<Rule> {
        let phrases = |texts: &str| texts.split(',').filter_map(|text| Phrase::read(text).ok()).collect();
        let rule = |(intent, words, not): &(&str, &str, &str)| Rule {
            intent: intent.to_string(),
            words: phrases(words),
            not: phrases(not),
            weight: 1,
        };
        apparel::RULES.iter().map(rule).collect()
    }

    /// A graph's own rules, and those of `base` behind them. What is in both is one rule, the graph's, with the keywords of both.
    pub fn onto(mut own: Vec<Rule>, base: Vec<Rule>) -> Vec<Rule> {
        for rule in base {
            match own.iter_mut().find(|o| o.intent == rule.intent) {
                Some(known) => {
                    // What the graph says of a keyword is the last word on it.
                    let (words, not) = (known.words.clone(), known.not.clone());
                    let free = |p: &Phrase, other: &[Phrase]| other.iter().all(|o| o.folded != p.folded);
                    known.words.extend(rule.words.into_iter().filter(|p| free(p, &not)));
                    known.not.extend(rule.not.into_iter().filter(|p| free(p, &words)));
                }
                None => own.push(rule),
            }
        }
        own
    }
}

/// Which of several rules that fit counts.
#[derive(Clone, Copy, PartialEq)]
pub enum Pick {
    /// That with the highest score; of equal ones the first.
    Best,
    /// The first.
    First,
}

/// What a text has of a rule.
#[derive(Clone, Copy)]
pub struct Found {
    /// The number of the rule.
    pub rule: usize,
    /// Words in the different phrases found, times the rule's weight.
    pub score: i64,
}

/// A phrase's meaning for a rule.
struct Use {
    rule: usize,
    /// None: it speaks against it.
    score: Option<i64>,
    /// Its place in the rule's list.
    written: usize,
}

/// Rules, made to be looked for all at once.
pub struct Tagger {
    automaton: Automaton,
    /// By phrase of the automaton.
    uses: Vec<Vec<Use>>,
    rules: Vec<Rule>,
    pick: Pick,
}

/// What a tagger needs for each text, kept for the next one.
pub struct Scratch {
    words: String,
    /// The phrases found, each once, and the same as a set.
    phrases: Vec<usize>,
    seen: Vec<bool>,
    /// By rule.
    scores: Vec<Option<i64>>,
}

impl Tagger {
    /// Of these rules.
    pub fn new(rules: Vec<Rule>, pick: Pick) -> Tagger {
        let mut numbers = std::collections::BTreeMap::new();
        let mut phrases: Vec<String> = vec![];
        let mut uses: Vec<Vec<Use>> = vec![];
        for (number, rule) in rules.iter().enumerate() {
            let words = rule.words.iter().enumerate().map(|(at, p)| (at, p, Some(p.words * rule.weight)));
            for (written, phrase, score) in words.chain(rule.not.iter().map(|p| (0, p, None))) {
                let known = *numbers.entry(&phrase.folded).or_insert_with(|| {
                    phrases.push(phrase.folded.clone());
                    uses.push(vec![]);
                    phrases.len() - 1
                });
                // A phrase twice in a rule counts once.
                if uses[known].iter().all(|u| u.rule != number) {
                    uses[known].push(Use { rule: number, score, written });
                }
            }
        }
        Tagger { automaton: Automaton::new(&phrases), uses, rules, pick }
    }

    /// What `tag` needs.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            words: String::new(),
            phrases: vec![],
            seen: vec![false; self.uses.len()],
            scores: vec![None; self.rules.len()],
        }
    }

    /// The intent of a rule.
    pub fn intent(&self, found: Found) -> &str {
        &self.rules[found.rule].intent
    }

    /// The rules that fit, that which counts first.
    pub fn tag(&self, text: &str, scratch: &mut Scratch) -> Vec<Found> {
        let Scratch { words, phrases, seen, scores } = scratch;
        phrases.drain(..).for_each(|phrase| seen[phrase] = false);
        fold(text, words);
        self.automaton.find(words, |phrase| {
            if !std::mem::replace(&mut seen[phrase], true) {
                phrases.push(phrase);
            }
        });
        let mut rules = vec![];
        for used in phrases.iter().flat_map(|p| &self.uses[*p]) {
            let sum = scores[used.rule].get_or_insert_with(|| {
                rules.push(used.rule);
                0
            });
            // What speaks against a rule outweighs all that speaks for it.
            *sum = match used.score {
                Some(score) if *sum >= 0 => sum.saturating_add(score),
                _ => -1,
            };
        }
        let mut found: Vec<Found> = rules
            .iter()
            .filter_map(|rule| Some(Found { rule: *rule, score: scores[*rule].take().filter(|s| *s > 0)? }))
            .collect();
        match self.pick {
            Pick::Best => found.sort_unstable_by_key(|f| (-f.score, f.rule)),
            Pick::First => found.sort_unstable_by_key(|f| f.rule),
        }
        found
    }

    /// In words what `tag` has just found: `return_exchange: return, money back; greeting: hi`.
    pub fn told(&self, found: &[Found], scratch: &Scratch) -> String {
        let mut told = String::new();
        for Found { rule, .. } in found {
            let uses = scratch.phrases.iter().flat_map(|p| &self.uses[*p]).filter(|u| u.rule == *rule);
            for (i, used) in uses.enumerate() {
                match (i, told.is_empty()) {
                    (0, first) => {
                        told += if first { "" } else { "; " };
                        told += &self.rules[*rule].intent;
                        told += ": ";
                    }
                    _ => told += ", ",
                }
                told += &self.rules[*rule].words[used.written].written;
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(text: &str) -> String {
        let tagger = Tagger::new(Rule::apparel(), Pick::Best);
        let mut scratch = tagger.scratch();
        tagger.tag(text, &mut scratch).first().map_or("-".to_string(), |f| tagger.intent(*f).to_string())
    }

    #[test]
    fn the_rules_of_the_base_are_sound() {
        let mut phrases = 0;
        for (intent, words, not) in apparel::RULES {
            let all: Vec<&str> = words.split(", ").chain(not.split(", ").filter(|n| !n.is_empty())).collect();
            for word in &all {
                let folded = |word: &&str| Phrase::read(word).unwrap_or_else(|e| panic!("{intent}: {e}")).folded;
                assert_eq!(
                    all.iter().filter(|w| folded(w) == folded(word)).count(),
                    1,
                    "{intent}: `{word}` is there twice"
                );
            }
            phrases += all.len();
        }
        assert!(phrases > 300, "{phrases}");
    }

    #[test]
    fn what_customers_say_is_understood() {
        for (text, expected) in [
            ("Hi! Where is my order #12345?", "order_status"),
            ("hello, my package hasn’t arrived yet", "order_status"),
            ("I'd like to RETURN these jeans and get my money back", "return_exchange"),
            ("Can I exchange it for a medium?", "return_exchange"),
            ("do the track pants run true to size?", "size_fit"),
            ("Is the blue parka back in stock?", "availability"),
            ("any promo codes for black friday", "price_discount"),
            ("my credit card was declined", "payment"),
            ("do you offer free shipping to Canada", "shipping"),
            ("The zipper is broken, this is unacceptable 😡", "complaint"),
            ("let me talk to a real person", "human_agent"),
            ("please cancel it", "cancel_change"),
            ("I forgot my password", "account"),
            ("can I tumble dry the wool sweater", "product_care"),
            ("what are the store hours on Sunday", "store"),
            ("good morning", "greeting"),
            ("¿Dónde está mi pedido?", "order_status"),
            ("Où est mon colis", "order_status"),
            ("Ich möchte das Kleid zurückschicken", "return_exchange"),
            ("Ist die Jacke in GRÖSSE 42 auf Lager?", "availability"),
            ("quel est le prix de la robe", "price_discount"),
            ("purple", "-"),
            ("priceless returnable fitness", "price_discount"),
        ] {
            assert_eq!(intent(text), expected, "{text}");
        }
    }
}
