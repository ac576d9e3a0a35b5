//! Words and marks of a sentence, as the Python library segtok (Florian Leitner, MIT licence) finds them: addresses stay
//! whole, contractions are cut in two, dots and hyphens inside words belong to them.

use super::sentences::TERMINALS;
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Apostrophes but for the one of ASCII.
const APOSTROPHES: [char; 5] = ['\u{B4}', '\u{2B9}', '\u{2BC}', '\u{2019}', '\u{2032}'];

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let uri = r#"[A-z]+://(?:[^@\s]+@)?(?:[\w-]+\.)+\w+(?::\d+)?(?:/[^?\#\s'">)\]}]*)?(?:\?[^\#\s'">)\]}]+)?(?:\#[^\s'">)\]}]+)?"#;
    let mail = r"[\w.\#$%&'*+/=!?^`{|}~-]+@(?:[\w-]+\.)+\w+";
    Regex::new(&format!(r#"(?:^|[\s<"'(\[{{])({uri}|{mail})(?:[\s>"')\]}}]|$)"#))
        .expect("a regular expression of this file")
});

/// Calls `each` with every token of a sentence, in its order. Contracted ends such as `'s` are left out.
pub(super) fn tokens(sentence: &str, each: &mut impl FnMut(&str)) {
    let sentence = unescape(sentence);
    let mut from = 0;
    // Only these can be part of an address.
    while sentence[from..].contains('@') || sentence[from..].contains("://") {
        let Some(address) = ADDRESS.captures_at(&sentence, from).and_then(|c| c.get(1)) else { break };
        plain(&sentence[from..address.start()], each);
        tell(address.as_str(), each);
        from = address.end();
    }
    plain(&sentence[from..], each);
}

/// The few entities of HTML that chats and logs contain.
fn unescape(text: &str) -> Cow<'_, str> {
    const ENTITIES: [(&str, &str); 6] =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", "\u{A0}"), ("&amp;", "&")];
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut text = text.to_string();
    for (entity, meaning) in ENTITIES {
        text = text.replace(entity, meaning);
    }
    Cow::Owned(text)
}

/// Tokens of text without addresses.
fn plain(text: &str, each: &mut impl FnMut(&str)) {
    let mut all: Vec<&str> = vec![];
    for span in text.split_whitespace() {
        let (mut from, mut at) = (0, 0);
        while at < span.len() {
            match word(span, at) {
                0 => at += first(&span[at..]).map_or(1, char::len_utf8),
                length => {
                    all.extend((from < at).then(|| &span[from..at]));
                    all.push(&span[at..at + length]);
                    at += length;
                    from = at;
                }
            }
        }
        all.extend((from < at).then(|| &span[from..at]));
    }
    cut_terminal(&mut all);
    for token in all {
        let rest = token.trim_end_matches([',', ';', ':']);
        // A token of such marks only keeps the first one.
        let end = rest.len().max(first(token).map_or(0, char::len_utf8));
        contraction(&token[..end], each);
        for mark in token[end..].split_inclusive([',', ';', ':']) {
            each(mark);
        }
    }
}

/// Cuts the mark that ends the sentence off its word; it is looked for in the last three tokens.
fn cut_terminal(all: &mut Vec<&str>) {
    for at in (all.len().saturating_sub(3)..all.len()).rev() {
        let token = all[at];
        let is_word = word(token, 0) > 0 && !token.starts_with(APOSTROPHES);
        if !is_word && !token.contains(|c| TERMINALS.contains(c)) {
            continue;
        }
        let last = token.chars().next_back().filter(|c| TERMINALS.contains(*c)).map_or(0, char::len_utf8);
        let first = first(token).filter(|c| TERMINALS.contains(*c)).map_or(0, char::len_utf8);
        let cut = if last > 0 { token.len() - last } else { first };
        if cut > 0 && token != "..." {
            all[at] = &token[..cut];
            all.insert(at + 1, &token[cut..]);
        }
        return;
    }
}

/// `don't` is `do` and `n't`; of `Ann's` only `Ann` is left.
fn contraction(token: &str, each: &mut impl FnMut(&str)) {
    let apostrophe = token.rfind(|c| c == '\'' || APOSTROPHES.contains(&c));
    let Some(at) = apostrophe.filter(|at| *at > 0) else { return tell(token, each) };
    let end = token[at..].trim_start_matches(|c| c == '\'' || APOSTROPHES.contains(&c));
    let is_word = |part: &str| !part.is_empty() && part.chars().all(char::is_alphanumeric);
    if !["d", "ll", "m", "re", "s", "t", "ve"].contains(&end) || !token[..at].split(is_hyphen).all(is_word) {
        return tell(token, each);
    }
    let at = if end == "t" && token[..at].ends_with('n') { at - 1 } else { at };
    tell(&token[..at], each);
    tell(&token[at..], each);
}

/// What starts with a quote is the end of a contraction.
fn tell(token: &str, each: &mut impl FnMut(&str)) {
    if token.len() == 1 || !token.starts_with('\'') {
        each(token);
    }
}

fn first(text: &str) -> Option<char> {
    text.chars().next()
}

fn is_hyphen(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{AD}' | '\u{58A}' | '\u{5BE}' | '\u{F0C}' | '\u{1400}' | '\u{1806}' | '\u{2010}'
            ..='\u{2012}' | '\u{2E17}' | '\u{30A0}'
    )
}

/// How many bytes from `at` on are one word; 0 where none starts.
fn word(text: &str, at: usize) -> usize {
    let mut end = at;
    while let length @ 1.. = part(text, end) {
        end += length;
    }
    end - at
}

/// A letter or digit with the mark that it takes along, or an apostrophe.
fn part(text: &str, at: usize) -> usize {
    let mut rest = text[at..].chars();
    let Some(c) = rest.next() else { return 0 };
    let joins = |rest: &str| first(rest).is_some_and(char::is_alphanumeric);
    if APOSTROPHES.contains(&c) {
        return if first(rest.as_str()).is_some_and(|c| APOSTROPHES.contains(&c)) { 0 } else { c.len_utf8() };
    }
    if !c.is_alphanumeric() {
        return 0;
    }
    let own = c.len_utf8();
    let after = rest.as_str();
    let Some(mark) = rest.next() else { return own };
    let behind = rest.as_str();
    let takes = match mark {
        '.' => !behind.starts_with(".."),
        ',' => joins(behind),
        ':' => c.is_numeric() && first(behind).is_some_and(char::is_numeric),
        '\'' => joins(behind) || c == 's' && behind.is_empty(),
        // An apostrophe before a hyphen belongs to the word, as in 5′-ACGT.
        m if APOSTROPHES.contains(&m) => {
            let mut behind = behind.chars();
            if behind.next().is_some_and(is_hyphen) && joins(behind.as_str()) {
                return own + (after.len() - behind.as_str().len());
            }
            false
        }
        m => is_hyphen(m) && joins(behind),
    };
    if takes { own + mark.len_utf8() } else { own }
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn cut(text: &str) -> String {
        let mut all = vec![];
        tokens(text, &mut |t| all.push(t.to_string()));
        all.join("|")
    }

    #[test]
    fn words_keep_what_is_inside_them() {
        assert_eq!(cut("I don't know, Ann's e-mail isn’t."), "I|do|n't|know|,|Ann|e-mail|is|n’t|.");
        assert_eq!(cut("At 12:30, 1,000.5 of 'em (maybe)..."), "At|12:30|,|1,000.5|of|'|em|(|maybe|)..|.");
        assert_eq!(cut("see http://a.com/x?y=1&z#q, or me@b.org."), "see|http://a.com/x?y=1&z#q,|or|me|@|b.org|.");
        assert_eq!(cut("see http://a.com/x?y=1#q or (me@b.org)"), "see|http://a.com/x?y=1#q|or|(|me@b.org|)");
        assert_eq!(cut("5′-ACGT ('me@b.org') a... x,"), "5′-ACGT|(|a|...|x|,");
        assert_eq!(cut("A &lt; B &amp; C"), "A|<|B|&|C");
        assert_eq!(cut("שלום, عالم! 東京;"), "שלום|,|عالم|!|東京|;");
        assert_eq!(cut(",,; '' ' ’’"), ",|,|;|'|’|’");
    }
}
