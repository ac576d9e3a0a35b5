//! `IntentTagger`: what a customer wants, by keywords in the text of a chat.
#![deny(unsafe_code)]

mod apparel;
mod automaton;
mod fold;
mod rules;

use rules::{Pick, Rule, Tagger};
use selvedge_guest::prelude::*;

/// The kind.
pub struct IntentTagger;

/// The settings.
pub struct Config {
    column: String,
    output: String,
    score: Option<String>,
    matches: Option<String>,
    on_none: Option<String>,
    pick: Pick,
    rules: Vec<Rule>,
}

/// The work.
pub struct Work {
    column: usize,
    tagger: Tagger,
    output: String,
    score: Option<String>,
    matches: Option<String>,
    on_none: Option<String>,
}

impl Kind for IntentTagger {
    const NAME: &'static str = "IntentTagger";
    const ABOUT: &'static str = "tags texts of a chat with what the customer wants, by keywords";
    const DOCS: &'static str = "\
Settings: `column` (text), `output` (`intent`), `score` and `matches` (names of two more columns: how much speaks for the intent, and all that \
was found: `return_exchange: return, money back; greeting: hi`), `on_none` (the intent of a text without any keyword; null unless it is named), \
`pick` (`best`, `first`), `rules`, `base` (`apparel`, `none`).

A rule: `intent`, `words`, `not` (one of these, and the rule does not fit), `weight` (1). A keyword is a word, a phrase (`send back`), or the \
beginning of a word (`return*`, `gift card*`). Case, accents of Latin letters, punctuation and apostrophes do not count. Emoji and the characters of \
scripts without spaces are words by themselves.

`best`: the rule with the highest score, its weight for each word of its keywords found, each keyword once; of equal ones the first. `first`: the \
first rule that fits. The rules of the graph stand before those of `base`; one for the same intent adds to it.

The base: `human_agent`, `complaint`, `cancel_change`, `return_exchange`, `order_status`, `size_fit`, `availability`, `price_discount`, `payment`, \
`shipping`, `account`, `product_care`, `store`, `greeting`. A null text has no intent.";
    const EXAMPLE: &'static str = r#"{"column": "message", "score": "intent_score", "on_none": "other",
 "rules": [{"intent": "loyalty", "words": ["club card*", "join the club"], "not": ["golf club"], "weight": 2}]}"#;
    type Config = Config;
    type Work = Work;

    fn config(settings: &mut Settings) -> Result<Config> {
        let base = settings.choice("base", &[("apparel", true), ("none", false)])?.unwrap_or(true);
        let mut config = Config {
            column: settings.required("column")?,
            output: settings.or("output", "intent".to_string())?,
            score: settings.optional("score")?,
            matches: settings.optional("matches")?,
            on_none: settings.optional("on_none")?,
            pick: settings.choice("pick", &[("best", Pick::Best), ("first", Pick::First)])?.unwrap_or(Pick::Best),
            rules: settings.parts("rules", Rule::read)?,
        };
        for (i, rule) in config.rules.iter().enumerate() {
            if config.rules[..i].iter().any(|r| r.intent == rule.intent) {
                let message = format!("there is another rule for `{}`", rule.intent);
                return Err(Error::graph(message).help("put their words into one").at(format!("rules.{i}.intent")));
            }
        }
        match base {
            true => config.rules = Rule::onto(config.rules, Rule::apparel()),
            false if config.rules.is_empty() => {
                return Err(Error::graph("needs `rules`, as there is no base").at(settings.at("rules")));
            }
            false => {}
        }
        Ok(config)
    }

    fn build(config: Config, inputs: &[Input]) -> Result<Built<Work>> {
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_default();
        let column = schema.column_of_type(&config.column, "column", "text", Type::is_text)?;
        let Config { output, score, matches, on_none, pick, rules, .. } = config;
        let mut names = vec![&output];
        let mut schema = schema.with(Field::new(&output, Type::Utf8));
        for (name, at, ty) in [(&score, "score", Type::Int64), (&matches, "matches", Type::Utf8)] {
            let Some(name) = name else { continue };
            if names.contains(&name) {
                return Err(Error::graph(format!("`{name}` is already the name of another output")).at(at));
            }
            names.push(name);
            schema = schema.with(Field::new(name, ty));
        }
        let work = Work { column, tagger: Tagger::new(rules, pick), output, score, matches, on_none };
        Ok(Built::map(schema, work).reads([column]))
    }
}

impl Map for Work {
    fn map(&self, batch: &Batch, out: &mut Out) -> Result<()> {
        let mut scratch = self.tagger.scratch();
        let (mut intents, mut scores, mut matches) = (vec![], vec![], vec![]);
        let texts = batch.utf8(self.column)?;
        for text in texts.iter() {
            let found = text.map(|text| self.tagger.tag(text, &mut scratch));
            let best = found.iter().flatten().next();
            intents.push(match (text, best) {
                (Some(_), None) => self.on_none.as_deref(),
                (_, best) => best.map(|best| self.tagger.intent(*best)),
            });
            scores.push(text.map(|_| best.map_or(0, |best| best.score)));
            if self.matches.is_some() {
                let told = |found: &Vec<_>| (!found.is_empty()).then(|| self.tagger.told(found, &scratch));
                matches.push(found.as_ref().and_then(told));
            }
        }
        let mut rows = Rows::all(batch).with(&self.output, Column::utf8(intents));
        if let Some(name) = &self.score {
            rows = rows.with(name, Column::of(scores));
        }
        if let Some(name) = &self.matches {
            rows = rows.with(name, Column::utf8(matches));
        }
        out.send(0, rows)
    }
}

selvedge_guest::export_map!(IntentTagger);

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_guest::test;

    const CHAT: &str = "id | text
        1 | Hi, where is my ORDER?
        2 | I want my money back, return it!
        3 | null
        4 | 😡
        5 | returning customer here
        6 | zzz
        7 | Größe?";

    #[test]
    fn intents_scores_and_matches() {
        let config = r#"{"column": "text", "score": "score", "matches": "matches", "on_none": "other"}"#;
        let done = test::map::<IntentTagger>(config, CHAT);
        done.expect(
            "id | text                             | intent          | score:Int64 | matches
             1  | Hi, where is my ORDER?           | order_status    | 6 | order_status: where is my order, my order; greeting: hi
             2  | I want my money back, return it! | return_exchange | 3 | return_exchange: money back, return
             3  | null                             | null            | null | null
             4  | 😡                               | complaint       | 1 | complaint: 😡
             5  | returning customer here          | other           | 0 | null
             6  | zzz                              | other           | 0 | null
             7  | Größe?                           | size_fit        | 1 | size_fit: größe",
        );
    }

    const OWN: &str = r#""base": "none", "rules": [
        {"intent": "loud", "words": ["wow*", "wow wow"]},
        {"intent": "club", "words": ["Club card*", "CLÚB"], "not": ["golf club", "*"], "weight": 5},
        {"intent": "japan", "words": ["返品", "golf"]}]"#;

    #[test]
    fn a_graph_has_rules_of_its_own() {
        let own = OWN.replace(r#", "*""#, "");
        let texts = "text\n wow club\n golf club\n wow wow wow\n clubcards club cards\n 今日返品したい\n 品返\n blub\n where is my order";
        let run = |more: &str| test::map::<IntentTagger>(&format!(r#"{{"column": "text", {more}{own}}}"#), texts);
        let done = run(r#""score": "score", "#);
        assert_eq!(done.sent[0].values("intent"), ["club", "japan", "loud", "club", "japan", "null", "null", "null"]);
        assert_eq!(done.sent[0].values("score"), ["5", "1", "3", "15", "2", "0", "0", "0"]);
        // `first`: in the order of the rules.
        assert_eq!(run(r#""pick": "first", "#).sent[0].values("intent")[..2], ["loud", "japan"]);
        // In place of the text.
        assert_eq!(run(r#""output": "text", "#).sent[0].values("text")[0], "club");
    }

    #[test]
    fn a_graph_adds_to_the_base() {
        let config = |rules: &str| format!(r#"{{"column": "text", "rules": [{rules}]}}"#);
        let tag = |rules: &str, text: &str| {
            let done = test::map::<IntentTagger>(&config(rules), &format!("text\n {text}"));
            done.sent[0].values("intent")[0].to_string()
        };
        assert_eq!(tag(r#"{"intent": "gift", "words": ["gift"]}"#, "gift"), "gift");
        assert_eq!(tag(r#"{"intent": "shipping", "words": ["drone"]}"#, "by drone"), "shipping");
        assert_eq!(tag(r#"{"intent": "shipping", "words": ["drone"]}"#, "by courier"), "shipping");
        // What the graph takes out of a base rule is out, what it puts in is in.
        assert_eq!(tag(r#"{"intent": "shipping", "not": ["courier"]}"#, "a courier with express"), "null");
        assert_eq!(
            tag(r#"{"intent": "return_exchange", "words": ["returning customer"]}"#, "returning customer"),
            "return_exchange"
        );
    }

    #[test]
    fn a_huge_text_is_read_once() {
        let config = r#"{"column": "text", "score": "score"}"#;
        let text = "return ".repeat(300_000) + &"é́x".repeat(100_000) + " money back";
        let done = test::map::<IntentTagger>(config, &format!("text\n {text}\n "));
        assert_eq!(done.sent[0].values("intent"), ["return_exchange"]);
        assert_eq!(done.sent[0].values("score"), ["3"]);
    }

    #[test]
    fn settings_are_checked() {
        test::example::<IntentTagger>();
        let rule =
            |rule: &str| format!(r#"{{"column": "text", "rules": [{{"intent": "a", "words": ["b"]}}, {rule}]}}"#);
        for (config, at, message) in [
            (r#"{"column": "txt"}"#.to_string(), "column", "no column named `txt` (did you mean `text`?)"),
            (r#"{"column": "id"}"#.to_string(), "column", "expected `id` to be text, found Int64"),
            (r#"{"column": "text", "base": "none"}"#.to_string(), "rules", "needs `rules`, as there is no base"),
            (
                r#"{"column": "text", "score": "intent"}"#.to_string(),
                "score",
                "`intent` is already the name of another output",
            ),
            (rule(r#"{"words": ["x"]}"#), "rules.1.intent", "needs `intent`: a text"),
            (rule(r#"{"intent": "x"}"#), "rules.1.words", "expected keywords, found none"),
            (rule(r#"{"intent": "x", "words": ["ok", "!?"]}"#), "rules.1.words.1", "expected a word, found `!?`"),
            (rule(r#"{"intent": "x", "words": ["*"]}"#), "rules.1.words.0", "expected a word, found `*`"),
            (
                rule(r#"{"intent": "x", "words": ["re*urn"]}"#),
                "rules.1.words.0",
                "`*` may only be the last character, found `re*urn` (write one phrase for each way to say it)",
            ),
            (
                rule(r#"{"intent": "x", "words": ["Café"], "not": ["cafe"]}"#),
                "rules.1.not",
                "`cafe` is in `words` and in `not`",
            ),
            (
                rule(r#"{"intent": "x", "words": ["y"], "weight": 0}"#),
                "rules.1.weight",
                "expected a weight of 1 or more, found 0",
            ),
            (
                rule(r#"{"intent": "a", "words": ["y"]}"#),
                "rules.1.intent",
                "there is another rule for `a` (put their words into one)",
            ),
            (format!(r#"{{"column": "text", {OWN}}}"#), "rules.1.not.1", "expected a word, found `*`"),
        ] {
            let error = test::problem::<IntentTagger>(&config, "id:Int64 | text\n 1 | x");
            assert_eq!((error.at.as_deref(), error.to_string().as_str()), (Some(at), message), "{config}");
        }
    }
}
