//! Fields of many records become the values of one column: copied once, unquoted on the way.

use super::dialect::{Dialect, is_blank};
use arrow::array::{ArrayRef, BooleanBufferBuilder, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use std::sync::Arc;

/// A window must be readable this far behind any field, so that short fields are copied in one move of fixed size.
pub const PADDING: usize = 32;

/// How fields become values.
#[derive(Debug, Clone)]
pub struct Values {
    pub dialect: Dialect,
    /// The texts that mean null.
    nulls: Vec<Vec<u8>>,
    /// An empty text means null, so that nulls need no place of their own: whatever is empty is null.
    empty_is_null: bool,
}

impl Values {
    pub fn new(dialect: Dialect, nulls: &[String]) -> Values {
        let empty_is_null = nulls.iter().any(String::is_empty);
        let nulls = nulls.iter().filter(|n| !n.is_empty()).map(|n| n.clone().into_bytes()).collect();
        Values { dialect, nulls, empty_is_null }
    }
}

/// Text values under construction.
pub struct TextColumn {
    /// Where each value starts; one more than there are values.
    offsets: Vec<i32>,
    /// The values, and behind `end` room for more.
    bytes: Vec<u8>,
    end: usize,
    /// Only where an empty text is not null.
    valid: Option<BooleanBufferBuilder>,
    /// Sizes of the last finished array: what to expect of the next.
    expected: (usize, usize),
}

impl TextColumn {
    /// `rows`: how many to make room for at first.
    pub fn new(values: &Values, rows: usize) -> TextColumn {
        let valid = (!values.empty_is_null).then(|| BooleanBufferBuilder::new(0));
        TextColumn { offsets: start_offsets(rows), bytes: vec![], end: 0, valid, expected: (rows, 0) }
    }

    /// Bytes of the values so far, and of where they start.
    pub fn bytes(&self) -> usize {
        self.end + self.offsets.len() * size_of::<i32>()
    }

    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.bytes.capacity() + self.offsets.capacity() * size_of::<i32>()
    }

    /// Appends field number `field` of each of some neighbouring records that have `width` fields each. `starts` has the
    /// starts of all their fields, and the start of what follows. Their text must be valid UTF-8.
    pub fn append(&mut self, values: &Values, window: &[u8], starts: &[u32], width: usize, field: usize) {
        match (field + 1 == width, values.dialect.trim) {
            (_, true) => self.append_as::<true, true>(values, window, starts, width, field),
            (true, false) => self.append_as::<true, false>(values, window, starts, width, field),
            (false, false) => self.append_as::<false, false>(values, window, starts, width, field),
        }
    }

    /// `LAST`: the field ends with the line, so a carriage return there is not part of it.
    fn append_as<const LAST: bool, const TRIM: bool>(
        &mut self,
        values: &Values,
        window: &[u8],
        starts: &[u32],
        width: usize,
        field: usize,
    ) {
        let (Some(from), Some(to)) = (starts.get(field..), starts.get(field + 1..)) else { return };
        let fields = || from.iter().step_by(width).zip(to.iter().step_by(width));
        let most: usize = fields().map(|(start, next)| (next - start) as usize).sum();
        self.make_room(most);
        let mut end = self.end;
        let quote = values.dialect.quote;
        for (&start, &next) in fields() {
            let (mut start, mut stop) = (start as usize, next as usize - 1);
            if LAST && stop > start && window[stop - 1] == b'\r' {
                stop -= 1;
            }
            if TRIM {
                (start, stop) = trimmed(window, start, stop);
            }
            let len = stop - start;
            let before = end;
            if len == 0 {
            } else if Some(window[start]) == quote {
                end += unquote(&values.dialect, &window[start..stop], &mut self.bytes[end..]);
            } else {
                // Sizes known to the compiler: a move or two instead of a call.
                if len <= 16 {
                    self.bytes[end..end + 16].copy_from_slice(&window[start..start + 16]);
                } else if len <= 32 {
                    self.bytes[end..end + 32].copy_from_slice(&window[start..start + 32]);
                } else {
                    self.bytes[end..end + len].copy_from_slice(&window[start..stop]);
                }
                end += len;
            }
            if !values.nulls.is_empty() || self.valid.is_some() {
                let null = is_null(values, &self.bytes[before..end]);
                if null {
                    end = before;
                }
                if let Some(valid) = &mut self.valid {
                    valid.append(!null);
                }
            }
            self.offsets.push(end as i32);
        }
        self.end = end;
    }

    /// A field that the record does not have.
    pub fn append_null(&mut self) {
        self.offsets.push(self.end as i32);
        if let Some(valid) = &mut self.valid {
            valid.append(false);
        }
    }

    fn make_room(&mut self, bytes: usize) {
        let needed = self.end + bytes + PADDING;
        if self.bytes.len() < needed {
            if self.bytes.is_empty() {
                self.bytes.reserve(self.expected.1.max(needed));
            }
            self.bytes.resize(needed, 0);
        }
    }

    /// The values so far as an array; starts anew.
    pub fn finish(&mut self) -> ArrayRef {
        let rows = self.offsets.len() - 1;
        self.expected = (rows, self.end + self.end / 16 + PADDING);
        let offsets = std::mem::replace(&mut self.offsets, start_offsets(rows));
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(std::mem::take(&mut self.end));
        if bytes.capacity() / 4 > bytes.len() / 3 + 4096 {
            bytes.shrink_to_fit();
        }
        let valid = match &mut self.valid {
            Some(valid) => valid.finish(),
            None => BooleanBuffer::collect_bool(rows, |row| offsets[row] != offsets[row + 1]),
        };
        let nulls = Some(NullBuffer::new(valid)).filter(|n| n.null_count() > 0);
        let bytes = Buffer::from_vec(bytes);
        // SAFETY: they start at 0 and never fall: each is the end of the bytes at its time, and those only grow.
        let offsets = unsafe { OffsetBuffer::new_unchecked(ScalarBuffer::from(offsets)) };
        if cfg!(debug_assertions) {
            return Arc::new(StringArray::new(offsets, bytes, nulls));
        }
        // SAFETY: a value is a part of a valid UTF-8 text (the caller of `append` has checked it) between ASCII bytes, less
        // some ASCII bytes (quotes, escapes, blanks): valid UTF-8 by itself. The offsets are in bounds as said above.
        Arc::new(unsafe { StringArray::new_unchecked(offsets, bytes, nulls) })
    }
}

fn start_offsets(rows: usize) -> Vec<i32> {
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    offsets
}

fn is_null(values: &Values, text: &[u8]) -> bool {
    (text.is_empty() && values.empty_is_null) || values.nulls.iter().any(|null| null == text)
}

fn trimmed(window: &[u8], mut start: usize, mut stop: usize) -> (usize, usize) {
    while stop > start && is_blank(window[stop - 1]) {
        stop -= 1;
    }
    while start < stop && is_blank(window[start]) {
        start += 1;
    }
    (start, stop)
}

/// Writes what a quoted field (quotes included) means to the front of `to`, which is at least as long; returns the length.
pub fn unquote(dialect: &Dialect, field: &[u8], to: &mut [u8]) -> usize {
    let Some(quote) = dialect.quote else { return 0 };
    let inner = field.strip_prefix(&[quote]).unwrap_or(field);
    let mut rest = inner.strip_suffix(&[quote]).unwrap_or(inner);
    let mut end = 0;
    let mut put = |bytes: &[u8]| {
        to[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    };
    loop {
        let special = match dialect.escape {
            None => memchr::memchr(quote, rest),
            Some(escape) => memchr::memchr2(quote, escape, rest),
        };
        let Some(at) = special else {
            put(rest);
            return end;
        };
        let next = rest.get(at + 1).copied();
        if rest[at] == quote {
            // The first of two quotes stands for both.
            put(&rest[..=at]);
            rest = &rest[(at + 1 + usize::from(next == Some(quote))).min(rest.len())..];
        } else {
            // The escape goes where it escapes a quote or itself; before anything else it is a letter.
            let escapes = next.is_some_and(|n| n == quote || Some(n) == dialect.escape);
            put(if escapes { &rest[..at] } else { &rest[..=at] });
            put(&rest[at + 1..(at + 2).min(rest.len())]);
            rest = &rest[(at + 2).min(rest.len())..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unquoted(dialect: &Dialect, field: &str) -> String {
        let mut to = vec![0; field.len()];
        let len = unquote(dialect, field.as_bytes(), &mut to);
        String::from_utf8(to[..len].to_vec()).unwrap()
    }

    #[test]
    fn quotes_double_and_escapes_vanish() {
        let doubled = Dialect::default();
        assert_eq!(unquoted(&doubled, r#""a""b""#), r#"a"b"#);
        assert_eq!(unquoted(&doubled, r#""""""#), r#"""#);
        assert_eq!(unquoted(&doubled, r#""""#), "");
        let escaped = Dialect { escape: Some(b'\\'), ..doubled };
        assert_eq!(unquoted(&escaped, r#""a\"b""#), r#"a"b"#);
        assert_eq!(unquoted(&escaped, r#""a\\""#), r"a\");
        assert_eq!(unquoted(&escaped, r#""C:\new ""x""""#), r#"C:\new "x""#);
    }

    #[test]
    fn nulls_are_what_the_graph_says() {
        let column = |nulls: &[&str], text: &str| {
            let nulls: Vec<String> = nulls.iter().map(|n| n.to_string()).collect();
            let values = Values::new(Dialect::default(), &nulls);
            let mut window = text.as_bytes().to_vec();
            let mut starts = vec![0];
            starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
            window.resize(window.len() + PADDING, 0);
            let mut column = TextColumn::new(&values, 0);
            column.append(&values, &window, &starts, 1, 0);
            format!("{:?}", column.finish().as_any().downcast_ref::<StringArray>().unwrap().iter().collect::<Vec<_>>())
        };
        assert_eq!(column(&[""], "a\n\n\"\"\nNA\r\n"), r#"[Some("a"), None, None, Some("NA")]"#);
        assert_eq!(column(&["NA"], "a\n\n\"\"\n\"NA\"\n"), r#"[Some("a"), Some(""), Some(""), None]"#);
        assert_eq!(column(&["NA", ""], "a\n\nNA\n"), r#"[Some("a"), None, None]"#);
        assert_eq!(column(&[], "\nNA\n"), r#"[Some(""), Some("NA")]"#);
    }
}
