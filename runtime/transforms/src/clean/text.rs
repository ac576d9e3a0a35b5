//! Operations on text columns. Each goes over a whole column; an array that needs no change is handed back as it is, and one
//! of ASCII only is changed in bulk.

use super::ops::Form;
use arrow::array::{Array, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use selvedge_node::{Error, Result};
use std::borrow::Cow;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{
    IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

/// What becomes of one text.
pub(super) enum Change {
    Same,
    Null,
    /// It is in the buffer that was handed in.
    New,
}

/// Changes a column text by text. Nothing is copied up to the first change, and nothing is allocated for a row.
pub(super) fn each(array: &StringArray, mut change: impl FnMut(&str, &mut String) -> Change) -> Result<StringArray> {
    let mut made: Option<Column> = None;
    let mut new = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            if let Some(made) = &mut made {
                made.push_null();
            }
            continue;
        }
        let old = array.value(row);
        new.clear();
        match (change(old, &mut new), &mut made) {
            (Change::Same, None) => {}
            (Change::Same, Some(made)) => made.push(old),
            (Change::Null, made) => made.get_or_insert_with(|| Column::begun(array, row)).push_null(),
            (Change::New, made) => made.get_or_insert_with(|| Column::begun(array, row)).push(&new),
        }
    }
    match made {
        Some(made) => made.finish(),
        None => Ok(array.clone()),
    }
}

/// As [`each`], where a text only loses something at its ends.
fn shorter(array: &StringArray, part: impl Fn(&str) -> &str) -> Result<StringArray> {
    each(array, |old, new| {
        let kept = part(old);
        if kept.len() == old.len() {
            return Change::Same;
        }
        new.push_str(kept);
        Change::New
    })
}

/// A text column in the making.
struct Column {
    values: Vec<u8>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl Column {
    /// With the first `rows` rows of an array, copied at once.
    fn begun(array: &StringArray, rows: usize) -> Column {
        let offsets = array.value_offsets();
        let (start, end) = (offsets.first().copied().unwrap_or(0), offsets.get(rows).copied().unwrap_or(0));
        let mut values = Vec::with_capacity(array.value_data().len() + 64);
        values.extend_from_slice(&array.value_data()[start as usize..end as usize]);
        let mut all = Vec::with_capacity(array.len() + 1);
        all.extend(offsets[..=rows].iter().map(|o| o - start));
        let mut valid = Vec::with_capacity(array.len());
        valid.extend((0..rows).map(|r| array.is_valid(r)));
        Column { values, offsets: all, valid }
    }

    fn push(&mut self, text: &str) {
        self.values.extend_from_slice(text.as_bytes());
        self.end(true);
    }

    fn push_null(&mut self) {
        self.end(false);
    }

    fn end(&mut self, valid: bool) {
        // Beyond 2 GiB it is refused in the end.
        self.offsets.push(self.values.len() as i32);
        self.valid.push(valid);
    }

    fn finish(self) -> Result<StringArray> {
        if self.values.len() > i32::MAX as usize {
            return Err(Error::data("the texts of one batch grew beyond 2 GiB"));
        }
        let nulls = NullBuffer::from(self.valid);
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        Ok(StringArray::new(OffsetBuffer::new(ScalarBuffer::from(self.offsets)), Buffer::from_vec(self.values), nulls))
    }
}

/// The bytes of a column's own rows.
fn bytes(array: &StringArray) -> &[u8] {
    match array.value_offsets() {
        [first, .., last] => &array.value_data()[*first as usize..*last as usize],
        _ => &[],
    }
}

/// The column with its bytes replaced one for one by ASCII bytes of the same number.
fn bytewise(array: &StringArray, change: impl Fn(&mut [u8])) -> StringArray {
    let start = array.value_offsets().first().copied().unwrap_or(0);
    let mut values = bytes(array).to_vec();
    change(&mut values);
    let offsets: Vec<i32> = array.value_offsets().iter().map(|o| o - start).collect();
    StringArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(values), array.nulls().cloned())
}

pub(super) fn trim(array: &StringArray) -> Result<StringArray> {
    shorter(array, str::trim)
}

pub(super) fn lower(array: &StringArray) -> Result<StringArray> {
    let all = bytes(array);
    if !all.is_ascii() {
        return mapped(array, |old| {
            if old.is_ascii() { Cow::Owned(old.to_ascii_lowercase()) } else { Cow::Owned(old.to_lowercase()) }
        });
    }
    if !all.iter().any(u8::is_ascii_uppercase) {
        Ok(array.clone())
    } else {
        Ok(bytewise(array, <[u8]>::make_ascii_lowercase))
    }
}

pub(super) fn upper(array: &StringArray) -> Result<StringArray> {
    let all = bytes(array);
    if !all.is_ascii() {
        return mapped(array, |old| {
            if old.is_ascii() { Cow::Owned(old.to_ascii_uppercase()) } else { Cow::Owned(old.to_uppercase()) }
        });
    }
    if !all.iter().any(u8::is_ascii_lowercase) {
        Ok(array.clone())
    } else {
        Ok(bytewise(array, <[u8]>::make_ascii_uppercase))
    }
}

/// For texts that need more than ASCII.
fn mapped(array: &StringArray, f: impl Fn(&str) -> Cow<'_, str>) -> Result<StringArray> {
    each(array, |old, new| {
        let mapped = f(old);
        if mapped == old {
            return Change::Same;
        }
        new.push_str(&mapped);
        Change::New
    })
}

pub(super) fn title(array: &StringArray) -> Result<StringArray> {
    if bytes(array).is_ascii() {
        return Ok(ascii_title(array));
    }
    each(array, |old, new| {
        let mut begins = true;
        for c in old.chars() {
            match begins {
                true => new.extend(c.to_uppercase()),
                false => new.extend(c.to_lowercase()),
            }
            // An apostrophe is within a word: `Men's`, not `Men'S`.
            if c != '\'' && c != '’' {
                begins = !c.is_alphanumeric() && !is_combining_mark(c);
            }
        }
        if new == old { Change::Same } else { Change::New }
    })
}

fn ascii_title(array: &StringArray) -> StringArray {
    let offsets = array.value_offsets();
    let start = offsets.first().copied().unwrap_or(0);
    bytewise(array, |all| {
        for ends in offsets.windows(2) {
            let mut begins = true;
            for b in &mut all[(ends[0] - start) as usize..(ends[1] - start) as usize] {
                match begins {
                    true => b.make_ascii_uppercase(),
                    false => b.make_ascii_lowercase(),
                }
                if *b != b'\'' {
                    begins = !b.is_ascii_alphanumeric();
                }
            }
        }
    })
}

pub(super) fn collapse_spaces(array: &StringArray) -> Result<StringArray> {
    each(array, |old, new| {
        let mut before = false;
        for c in old.chars() {
            let blank = c.is_whitespace();
            if !blank {
                new.push(c);
            } else if !before {
                new.push(' ');
            }
            before = blank;
        }
        if new == old { Change::Same } else { Change::New }
    })
}

pub(super) fn unicode(array: &StringArray, form: Form) -> Result<StringArray> {
    if bytes(array).is_ascii() {
        return Ok(array.clone());
    }
    each(array, |old, new| {
        if old.is_ascii() {
            return Change::Same;
        }
        let chars = old.chars();
        let normal = match form {
            Form::Nfc => is_nfc_quick(chars),
            Form::Nfd => is_nfd_quick(chars),
            Form::Nfkc => is_nfkc_quick(chars),
            Form::Nfkd => is_nfkd_quick(chars),
        };
        if normal == IsNormalized::Yes {
            return Change::Same;
        }
        match form {
            Form::Nfc => new.extend(old.nfc()),
            Form::Nfd => new.extend(old.nfd()),
            Form::Nfkc => new.extend(old.nfkc()),
            Form::Nfkd => new.extend(old.nfkd()),
        }
        if new == old { Change::Same } else { Change::New }
    })
}

pub(super) fn strip_accents(array: &StringArray) -> Result<StringArray> {
    if bytes(array).is_ascii() {
        return Ok(array.clone());
    }
    each(array, |old, new| {
        if old.is_ascii() {
            return Change::Same;
        }
        // Taken apart, without the marks, and put together again: Hangul and the like must not stay apart.
        new.extend(old.nfd().filter(|c| !is_combining_mark(*c)).nfc());
        if new == old { Change::Same } else { Change::New }
    })
}

pub(super) fn strip_control(array: &StringArray) -> Result<StringArray> {
    let invisible = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}')
    };
    each(array, |old, new| {
        if !old.contains(invisible) {
            return Change::Same;
        }
        for c in old.chars() {
            match c {
                '\t' | '\n' | '\r' => new.push(' '),
                c if invisible(c) => {}
                c => new.push(c),
            }
        }
        Change::New
    })
}

pub(super) fn empty_to_null(array: &StringArray) -> Result<StringArray> {
    each(array, |old, _| if old.trim().is_empty() { Change::Null } else { Change::Same })
}

pub(super) fn null_if(array: &StringArray, values: &[String]) -> Result<StringArray> {
    each(array, |old, _| {
        let old = old.trim();
        let known = values
            .iter()
            .any(|v| if old.is_ascii() { v.eq_ignore_ascii_case(old) } else { v.to_lowercase() == old.to_lowercase() });
        if known { Change::Null } else { Change::Same }
    })
}

pub(super) fn replace(array: &StringArray, from: &str, to: &str) -> Result<StringArray> {
    each(array, |old, new| {
        if !old.contains(from) {
            return Change::Same;
        }
        let mut parts = old.split(from);
        new.push_str(parts.next().unwrap_or_default());
        parts.for_each(|part| {
            new.push_str(to);
            new.push_str(part);
        });
        Change::New
    })
}

pub(super) fn digits(array: &StringArray) -> Result<StringArray> {
    each(array, |old, new| {
        new.extend(old.chars().filter(char::is_ascii_digit));
        match new.len() {
            0 => Change::Null,
            n if n == old.len() => Change::Same,
            _ => Change::New,
        }
    })
}

pub(super) fn pad_left(array: &StringArray, length: usize, with: char) -> Result<StringArray> {
    each(array, |old, new| {
        let missing = length.saturating_sub(old.chars().count());
        if missing == 0 {
            return Change::Same;
        }
        new.extend(std::iter::repeat_n(with, missing));
        new.push_str(old);
        Change::New
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(f: impl Fn(&StringArray) -> Result<StringArray>, rows: &[(&str, &str)]) {
        let old: StringArray = [None, Some("cut off")].into_iter().chain(rows.iter().map(|r| Some(r.0))).collect();
        let found = f(&old.slice(2, rows.len())).unwrap();
        let found: Vec<_> = found.iter().map(|v| v.unwrap_or("NULL")).collect();
        assert_eq!(found, rows.iter().map(|r| r.1).collect::<Vec<_>>());
    }

    #[test]
    fn letters() {
        check(lower, &[("AbC", "abc"), ("x", "x")]);
        check(lower, &[("ÄB", "äb"), ("XY", "xy")]);
        check(upper, &[("AbC", "ABC"), ("x", "X")]);
        check(upper, &[("straße", "STRASSE"), ("é", "É")]);
        check(title, &[("o'neil-SMITH (x)", "O'neil-Smith (X)"), ("'tis 2nd", "'Tis 2nd"), ("Fine", "Fine")]);
        check(title, &[("o'neil-SMITH", "O'neil-Smith"), ("ÉCOLE du nord", "École Du Nord"), ("Fine", "Fine")]);
    }

    #[test]
    fn blanks() {
        check(trim, &[(" a ", "a"), ("\u{a0}b\u{3000}", "b"), ("c", "c"), ("  ", "")]);
        check(collapse_spaces, &[("a  b", "a b"), ("\ta\n\nb ", " a b "), ("a b", "a b"), ("a\u{a0}b", "a b")]);
        check(empty_to_null, &[("", "NULL"), (" \t", "NULL"), ("a", "a")]);
        check(strip_control, &[("a\u{0}b\u{200b}c", "abc"), ("a\nb", "a b"), ("é", "é")]);
    }

    #[test]
    fn unicode_forms() {
        check(|a| unicode(a, Form::Nfc), &[("e\u{301}", "é"), ("é", "é"), ("ﬁ", "ﬁ"), ("a", "a")]);
        check(|a| unicode(a, Form::Nfkc), &[("ﬁ", "fi"), ("１２", "12")]);
        check(|a| unicode(a, Form::Nfd), &[("é", "e\u{301}")]);
        check(|a| unicode(a, Form::Nfkd), &[("ﬁé", "fie\u{301}")]);
        check(strip_accents, &[("Café Zoë", "Cafe Zoe"), ("ø", "ø"), ("한", "한"), ("plain", "plain")]);
    }

    #[test]
    fn words() {
        let nothing = ["N/A".to_string(), "Não".to_string()];
        check(|a| null_if(a, &nothing), &[("n/a", "NULL"), (" N/A ", "NULL"), ("não", "NULL"), ("NA", "NA")]);
        check(|a| replace(a, "-", "+-"), &[("a-b-", "a+-b+-"), ("ab", "ab")]);
        check(digits, &[("(512) 555", "512555"), ("12", "12"), ("none", "NULL")]);
        check(|a| pad_left(a, 5, '0'), &[("501", "00501"), ("78701", "78701"), ("é", "0000é")]);
    }

    #[test]
    fn what_needs_no_change_is_not_copied() {
        let clean = StringArray::from(vec![Some("abc def"), None, Some("é")]);
        for f in [trim, lower, normalise, collapse_spaces, strip_control, empty_to_null] {
            let same = f(&clean).unwrap();
            assert!(std::ptr::eq(same.value_data(), clean.value_data()));
        }
    }

    fn normalise(array: &StringArray) -> Result<StringArray> {
        unicode(array, Form::Nfc)
    }

    proptest! {
        #[test]
        fn column_operations_are_row_operations(rows in prop::collection::vec(prop::option::of("[ a-zA-ZéÄß\u{301}\t0-9]{0,6}"), 0..12)) {
            let array: StringArray = rows.iter().map(|r| r.as_deref()).collect();
            let by_row = |f: &dyn Fn(&str) -> String| rows.iter().map(|r| r.as_deref().map(f)).collect::<StringArray>();
            prop_assert_eq!(trim(&array).unwrap(), by_row(&|t| t.trim().to_string()));
            prop_assert_eq!(lower(&array).unwrap(), by_row(&|t| t.to_lowercase()));
            prop_assert_eq!(upper(&array).unwrap(), by_row(&|t| t.to_uppercase()));
            prop_assert_eq!(unicode(&array, Form::Nfc).unwrap(), by_row(&|t| t.nfc().collect()));
            prop_assert_eq!(replace(&array, "a", "bb").unwrap(), by_row(&|t| t.replace('a', "bb")));
        }
    }
}
