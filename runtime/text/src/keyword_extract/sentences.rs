//! Sentences of a text, as the Python library segtok (Florian Leitner, MIT licence) finds them: a terminal mark and a blank
//! end one, unless what stands around them looks like an abbreviation, a date, a name or the inside of brackets.

use regex::Regex;
use std::sync::LazyLock;

/// Marks that may end a sentence.
pub(super) const TERMINALS: &str =
    ".!?\u{203C}\u{203D}\u{2047}\u{2048}\u{2049}\u{3002}\u{FE52}\u{FE57}\u{FF01}\u{FF0E}\u{FF1F}\u{FF61}";

/// Inside brackets, pieces shorter than this many characters are no sentences of their own.
const SHORT: usize = 55;

/// How many bytes of a sentence tell whether it goes on.
const LOOK_BACK: usize = 2048;

const ABBREVIATIONS: &str = r"(?x) (?: \b(?: [Aa]pprox|Capt|[Cc]f|Col|Dr|[Ff]\.?e|[Ff]igs?|Gen|[Ee]\.?g|[Ii]\.?e|[Ii]\.?v|Mag|[Mm]ed
    |Mr|Mrs|Mt|[Nn]at|No|Nr|[Pp]\.e|[Pp]hil|[Pp]rof|[Rr]er|[Ss]ci|Sgt|Sr|Sra|Srta|St|[Uu]niv|[Vv]ol|[Vv]s|[Zz]\.B|Jän|Jan|Ene|Feb
    |Mär|Mar|Apr|Abr|May|Jun|Jul|Aug|Sep|Sept|Oct|Okt|Nov|Dic|Dez|Dec|E\.U|U\.K|U\.S )
    | ^\S | ^\d+ ) $";

/// Capital letters that stand for a name: `A`, `A.B`, `A.-B`.
const INITIALS: &str = r"(?:[\p{Lu}\p{Lt}]\p{Lm}?\.[\u00AD\u058A\u05BE\u0F0C\u1400\u1806\u2010-\u2012\u2e17\u30A0-]?)?[\p{Lu}\p{Lt}]\p{Lm}?$";
const TITLES: &str = r"\b(?:(?:[Bb]y|[Cc](?:aptain|ommander)|[Dd]o[ck]tor|[Gg]eneral|[Mm](?:ag)?is(?:ter|s)|[Pp]rofessor|[Ss]e\u00F1or(?:it)?a?)\s|[\[(])";

/// The patterns, compiled once.
struct Patterns {
    abbreviation: Regex,
    titled: Regex,
    after_comma: Regex,
    after_and: Regex,
    initial_before: Regex,
    lone_word: Regex,
    day: Regex,
    month: Regex,
    middle_initial: Regex,
    capitalized: Regex,
    before_lower: Regex,
    lower: Regex,
    upper_end: Regex,
    upper_start: Regex,
    continuation: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).expect("a regular expression of this file");
    let dashes = r"\u00AD\u058A\u05BE\u0F0C\u1400\u1806\u2010-\u2012\u2e17\u30A0-";
    Patterns {
        abbreviation: regex(ABBREVIATIONS),
        titled: regex(&format!("{TITLES}{INITIALS}")),
        after_comma: regex(&format!(r"(?s)^(.*)\b,(?:\sand)?\s{INITIALS}")),
        after_and: regex(&format!(r"(?s)^(.*)\b\sand\s{INITIALS}")),
        initial_before: regex(r"\b\p{Lu}\p{Lm}?$"),
        lone_word: regex(&format!(r"^\p{{Ll}}+[\p{{Ll}}\p{{Nd}}{dashes}]*$")),
        day: regex(r"\b[0123]?[0-9]$"),
        month: regex(r"^(?:J[äa]n|Ene|Feb|M[äa]r|A[pb]r|May|Jun|Jul|Aug|Sep|O[ck]t|Nov|D[ei][cz]|0?[1-9]|1[012])"),
        middle_initial: regex(r"\b\p{Lu}\p{Ll}+\W+\p{Lu}$"),
        capitalized: regex(r"^\p{Lu}\p{Ll}+\b"),
        before_lower: regex(&format!(
            r#"(?:[{TERMINALS}]"[)\]]*|[{TERMINALS}][)\]]+|\bspp\.|\b\p{{L}}\p{{Ll}}?\.)\s+$"#
        )),
        lower: regex(&format!(r"^\p{{Ll}}+[{dashes}]?\p{{Ll}}*\b")),
        upper_end: regex(r"\b[\p{Lu}\p{Lt}]\p{L}*\.\s+$"),
        upper_start: regex(r"^(?:(?:\(\d{4}\)\s)?[\p{Lu}\p{Lt}]\p{L}*|\d+)[.,:]\s+"),
        continuation: regex(
            r"^(?:a(?:nd|re)|b(?:etween|y)|from|has|i(?:nto|s)|o[fr]|t(?:han|hat|hrough)|via|w(?:as|ere|hether|ith))\b",
        ),
    }
});

/// Calls `each` with every sentence of a text without line breaks.
pub(super) fn sentences(text: &str, mut each: impl FnMut(&str)) {
    let mut open: Option<(usize, usize)> = None;
    pieces(text, |start, end| {
        open = Some(match open {
            Some((first, last)) if belong_together(&text[first..last], &text[start..end]) => (first, end),
            Some((first, last)) => {
                tell(&text[first..last], &mut each);
                (start, end)
            }
            None => (start, end),
        });
    });
    if let Some((first, last)) = open {
        tell(&text[first..last], &mut each);
    }
}

fn tell(sentence: &str, each: &mut impl FnMut(&str)) {
    let sentence = sentence.trim();
    if !sentence.is_empty() {
        each(sentence);
    }
}

/// Cuts after each terminal mark with blanks behind it, unless an abbreviation stands before it.
fn pieces(text: &str, mut each: impl FnMut(usize, usize)) {
    let (mut piece, mut span, mut at) = (0, 0, 0);
    while let Some((mark, end)) = next_mark(text, at) {
        let next = next_mark(text, end).map_or(text.len(), |(mark, _)| mark);
        if !continues(&text[span..mark], text[mark..].starts_with('.'), &text[end..next]) {
            each(piece, end);
            piece = end;
        }
        (span, at) = (end, end);
    }
    if piece < text.len() {
        each(piece, text.len());
    }
}

/// The next terminal mark with an optional quote and closing brackets, and the blanks behind: where they start and end.
fn next_mark(text: &str, from: usize) -> Option<(usize, usize)> {
    for (at, mark) in text[from..].char_indices().filter(|(_, c)| TERMINALS.contains(*c)) {
        let rest = &text[from + at + mark.len_utf8()..];
        let rest = rest.strip_prefix(['\'', '\u{2019}', '"', '\u{201D}']).unwrap_or(rest);
        let rest = rest.trim_start_matches([']', ')']);
        let blank = rest.trim_start();
        if blank.len() < rest.len() {
            return Some((from + at, text.len() - blank.len()));
        }
    }
    None
}

/// Does the sentence go on behind this mark?
fn continues(before: &str, dot: bool, after: &str) -> bool {
    let p = &*PATTERNS;
    before.ends_with(char::is_whitespace)
        || dot && (p.abbreviation.is_match(before) || initials_end(before))
        || dot
            && (p.lone_word.is_match(after)
                || p.day.is_match(before) && p.month.is_match(after)
                || p.middle_initial.is_match(before) && p.capitalized.is_match(after))
}

/// Ends in what is most likely the initial of a name: after a title, an opened bracket or in a list of authors.
fn initials_end(before: &str) -> bool {
    let p = &*PATTERNS;
    let prefix = |regex: &Regex| regex.captures(before).map(|c| c.get(1).map_or("", |m| m.as_str()).len());
    p.titled.is_match(before)
        || prefix(&p.after_comma).is_some_and(|end| !p.initial_before.is_match(&before[..end]))
        || prefix(&p.after_and)
            .is_some_and(|end| !p.initial_before.is_match(&before[..end]) && !before[..end].ends_with(','))
}

/// Are two pieces one sentence? Only the end of the first one is looked at: a text may be one long chain of pieces.
fn belong_together(last: &str, current: &str) -> bool {
    let p = &*PATTERNS;
    let last = &last[last.floor_char_boundary(last.len().saturating_sub(LOOK_BACK))..];
    let name_goes_on = || last.ends_with(" et al. ") || p.upper_end.is_match(last) && p.upper_start.is_match(current);
    let short = || last.chars().count() < SHORT || current.chars().count() < SHORT;
    let bracket =
        |open, close| is_open(last, open, close) && short() && (closes(current, open, close) || name_goes_on());
    current.starts_with(char::is_lowercase) && p.before_lower.is_match(last) && p.lower.is_match(current)
        || bracket('(', ')')
        || bracket('[', ']')
        || p.continuation.is_match(current)
}

/// From the first opening bracket on, more are opened than closed.
fn is_open(text: &str, open: char, close: char) -> bool {
    let Some(first) = text.find(open) else { return false };
    text[first..].matches(open).count() > text[first..].matches(close).count()
}

/// Up to the last closing bracket, more are closed than opened.
fn closes(text: &str, open: char, close: char) -> bool {
    let Some(last) = text.rfind(close) else { return false };
    text[..=last].matches(close).count() > text[..=last].matches(open).count()
}

#[cfg(test)]
mod tests {
    use super::sentences;

    fn cut(text: &str) -> Vec<String> {
        let mut all = vec![];
        sentences(text, |s| all.push(s.to_string()));
        all
    }

    #[test]
    fn marks_end_sentences_and_abbreviations_do_not() {
        assert_eq!(cut("Is it here? Yes!  It is."), ["Is it here?", "Yes!", "It is."]);
        assert_eq!(
            cut("Ask Dr. Who about the U.S. Army. He knows."),
            ["Ask Dr. Who about the U.S. Army.", "He knows."]
        );
        assert_eq!(cut("It came on 3. Mar. and left."), ["It came on 3. Mar. and left."]);
        assert_eq!(cut("By John F. Kennedy. The end."), ["By John F. Kennedy.", "The end."]);
        assert_eq!(cut("(He left. She stayed) for tea."), ["(He left. She stayed) for tea."]);
        assert_eq!(cut("\"Hello!\" said the man. of course"), ["\"Hello!\" said the man. of course"]);
        assert_eq!(cut(" \u{3000} "), [""; 0]);
        assert_eq!(cut("何？ はい。"), ["何？", "はい。"]);
    }
}
