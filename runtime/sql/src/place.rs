//! From a place inside SQL text to a place in the graph file.
//!
//! SQL stands in the graph as a RON string. The SQL parser counts lines and characters of the *text*; a problem must point
//! at bytes of the *file*, where the same text has quotes around it and perhaps escapes in it.

use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};
use selvedge_node::{Span, Spanned};
use std::ops::Range;

/// Some SQL and where it stands in the graph.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    text: &'a str,
    whole: Span,
}

impl<'a> Place<'a> {
    pub(crate) fn new(text: &'a Spanned<String>) -> Place<'a> {
        Place { text: &text.value, whole: text.span }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The place of the whole text.
    pub(crate) fn whole(&self) -> Span {
        self.whole
    }

    /// Byte offset in the text of a line and column, both counted from 1, columns in characters.
    pub(crate) fn offset(&self, line: u64, column: u64) -> usize {
        let mut start = 0;
        for _ in 1..line.max(1) {
            match self.text[start..].find('\n') {
                Some(end) => start += end + 1,
                None => return self.text.len(),
            }
        }
        let chars = self.text[start..].char_indices();
        chars.map(|(at, _)| start + at).nth(column.max(1) as usize - 1).unwrap_or(self.text.len())
    }

    /// Bytes of the text that a span of the SQL parser covers. `None`: it does not know.
    pub(crate) fn range(&self, span: SqlSpan) -> Option<Range<usize>> {
        if span == SqlSpan::empty() {
            return None;
        }
        let at = |l: Location| self.offset(l.line, l.column);
        let (start, end) = (at(span.start), at(span.end));
        (start < end).then_some(start..end)
    }

    /// The place in the graph of a span of the SQL parser; the whole text where that is not known.
    pub(crate) fn span(&self, span: SqlSpan) -> Span {
        self.range(span).map_or(self.whole, |range| self.bytes(range))
    }

    /// The place in the graph of some bytes of the text.
    ///
    /// The text does not say how it was written, but its length does: the literal is longer than the text by its quotes and
    /// by one backslash for each escaped character. Where that does not add up, the whole literal is the answer.
    pub(crate) fn bytes(&self, range: Range<usize>) -> Span {
        let escaped = |text: &str| text.bytes().filter(|b| matches!(b, b'"' | b'\\')).count();
        let literal = (self.whole.end as usize).saturating_sub(self.whole.start as usize);
        let Some(extra) = literal.checked_sub(self.text.len()) else { return self.whole };
        let (open, plain) = if extra == 2 + escaped(self.text) {
            (1, true)
        } else if extra >= 3 && extra % 2 == 1 && (extra > 3) == self.text.contains('"') && !self.text.contains('\n') {
            // r#"…"#: the `r`, the quotes, and as many hashes on either side, which only quotes inside make necessary.
            (2 + (extra - 3) / 2, false)
        } else {
            return self.whole;
        };
        let start = self.whole.start as usize + open;
        let at = |offset: usize| {
            let backslashes = if plain { self.text.get(..offset).map_or(0, escaped) } else { 0 };
            start + offset + backslashes
        };
        Span::new(self.whole.file, at(range.start), at(range.end).max(at(range.start) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_node::Spanned;
    use selvedge_ron::FileId;

    /// What the place of `part` of the SQL text marks in the graph text `literal`.
    fn marked(literal: &str, sql: &str, part: &str) -> String {
        let before = "ab: ";
        let file = format!("{before}{literal},");
        let span = Span::new(FileId(0), before.len(), before.len() + literal.len());
        let text = Spanned::new(sql.to_string(), span);
        let start = sql.find(part).unwrap();
        let found = Place::new(&text).bytes(start..start + part.len());
        file[found.start as usize..found.end as usize].to_string()
    }

    #[test]
    fn places_are_found_through_quotes_and_escapes() {
        assert_eq!(marked("\"a + units\"", "a + units", "units"), "units");
        assert_eq!(marked("\"\\\"A b\\\" + units\"", "\"A b\" + units", "units"), "units");
        assert_eq!(marked("r\"a + units\"", "a + units", "units"), "units");
        assert_eq!(marked("r#\"\"A b\" + units\"#", "\"A b\" + units", "units"), "units");
        assert_eq!(marked("\"\\u{61}+units\"", "a+units", "units"), "\"\\u{61}+units\"", "not to be told: all of it");
    }

    #[test]
    fn lines_and_columns_become_offsets() {
        let text = Spanned::new("a = 'é'\n and bb".to_string(), Span::default());
        let place = Place::new(&text);
        assert_eq!(&text[place.offset(1, 5)..place.offset(1, 8)], "'é'");
        assert_eq!(&text[place.offset(2, 6)..], "bb");
        assert_eq!(place.offset(9, 9), text.len());
    }
}
