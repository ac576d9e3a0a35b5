//! Operations on what is about a person: hashes and masks, telephone numbers, synonyms, ages and bands.

use super::text::{Change, each};
use arrow::array::cast::AsArray;
use arrow::array::types::{Date32Type, Float64Type};
use arrow::array::{Array, ArrayRef, Int32Array, StringArray, StringBuilder};
use hmac::{Hmac, KeyInit, Mac};
use selvedge_cast::civil;
use selvedge_node::Result;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// SHA-256, or HMAC-SHA-256 with a key.
#[derive(Clone)]
pub(super) enum Hasher {
    Plain,
    Keyed(Box<Hmac<Sha256>>),
}

impl Hasher {
    /// An HMAC takes a key of any length but none at all: that would be no secret.
    pub fn new(key: Option<&str>) -> Option<Hasher> {
        match key {
            None => Some(Hasher::Plain),
            Some("") => None,
            Some(key) => Hmac::new_from_slice(key.as_bytes()).ok().map(|mac| Hasher::Keyed(Box::new(mac))),
        }
    }

    pub fn hash(&self, array: &StringArray) -> Result<StringArray> {
        let mut out = StringBuilder::with_capacity(array.len(), array.len() * 64);
        let mut hex = [0u8; 64];
        for value in array {
            let Some(text) = value else {
                out.append_null();
                continue;
            };
            let digest = match self {
                Hasher::Plain => Sha256::digest(text.as_bytes()),
                Hasher::Keyed(mac) => {
                    let mut mac = Hmac::<Sha256>::clone(mac);
                    mac.update(text.as_bytes());
                    mac.finalize().into_bytes()
                }
            };
            for (pair, byte) in hex.chunks_exact_mut(2).zip(digest.iter()) {
                pair[0] = HEX[usize::from(byte >> 4)];
                pair[1] = HEX[usize::from(byte & 15)];
            }
            out.append_value(std::str::from_utf8(&hex).unwrap_or_default());
        }
        Ok(out.finish())
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(super) fn mask(array: &StringArray, first: usize, last: usize, with: char) -> Result<StringArray> {
    each(array, |old, new| {
        let length = old.chars().count();
        // A text too short to hide anything is hidden whole.
        let (first, last) = if first + last < length { (first, last) } else { (0, 0) };
        new.extend(old.chars().enumerate().map(|(i, c)| if i < first || i >= length - last { c } else { with }));
        Change::New
    })
}

pub(super) fn mask_email(array: &StringArray) -> Result<StringArray> {
    each(array, |old, new| {
        match old.trim().split_once('@') {
            Some((user, domain)) if !user.is_empty() && !domain.is_empty() && !domain.contains('@') => {
                new.extend(user.chars().next());
                new.push_str("***@");
                new.push_str(domain);
            }
            _ => new.push_str("***"),
        }
        Change::New
    })
}

/// A telephone number in the form of E.164, into `out`; `None`: it is none.
pub(super) fn phone(text: &str, country: &str, digits: usize, out: &mut String) -> Option<()> {
    let text = text.trim();
    // An extension is no part of the number.
    let end = text.find(|c: char| c.is_alphabetic() || matches!(c, '#' | ';' | ',')).unwrap_or(text.len());
    let number = &text[..end];
    let fine =
        |c: char| c.is_ascii_digit() || c.is_whitespace() || matches!(c, '+' | '-' | '.' | '(' | ')' | '/' | '–');
    if !number.chars().all(fine) {
        return None;
    }
    let (abroad, number) = match number.strip_prefix('+').or_else(|| number.strip_prefix("00")) {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    out.push('+');
    let start = out.len();
    out.extend(number.chars().filter(char::is_ascii_digit));
    let count = out.len() - start;
    if abroad {
        return (8..=15).contains(&count).then_some(());
    }
    if count == digits {
        out.insert_str(start, country);
    } else if count != digits + country.len() || !out[start..].starts_with(country) {
        return None;
    }
    (out.len() - start <= 15).then_some(())
}

/// Synonyms by their lower-case text.
#[derive(Debug, Clone)]
pub(super) struct Synonyms(HashMap<String, String>);

impl Synonyms {
    pub fn new(pairs: impl Iterator<Item = (String, String)> + Clone) -> Synonyms {
        // A meaning stands for itself, in any letter case.
        let themselves = pairs.clone().map(|(_, to)| (to.to_lowercase(), to));
        Synonyms(themselves.chain(pairs.map(|(from, to)| (from.trim().to_lowercase(), to))).collect())
    }

    /// What a text means; `lower` is room to work in.
    pub fn meaning(&self, text: &str, lower: &mut String) -> Option<&str> {
        lower.clear();
        match text.is_ascii() {
            true => lower.extend(text.trim().chars().map(|c| c.to_ascii_lowercase())),
            false => lower.push_str(&text.trim().to_lowercase()),
        }
        self.0.get(lower.as_str()).map(String::as_str)
    }
}

/// Whole years from one day to another, both since 1970; `None` if the second is before the first.
fn years(birth: i32, at: i32) -> Option<i32> {
    if at < birth {
        return None;
    }
    let (birth, at) = (civil::date(birth.into()), civil::date(at.into()));
    let before = (at.1, at.2) < (birth.1, birth.2);
    i32::try_from(at.0 - birth.0 - i64::from(before)).ok()
}

/// Ages on one day (an array of one row) or on a day for each row.
pub(super) fn ages(births: &ArrayRef, at: &ArrayRef) -> ArrayRef {
    let (births, at) = (births.as_primitive::<Date32Type>(), at.as_primitive::<Date32Type>());
    let ages: Int32Array = match at.len() {
        1 => births.unary_opt(|b| at.is_valid(0).then(|| years(b, at.value(0))).flatten()),
        _ => births.iter().zip(at).map(|(b, at)| years(b?, at?)).collect(),
    };
    Arc::new(ages)
}

/// `18-24`, …, `65+`: names for bands that begin at these edges. Whole numbers if all edges are.
pub(super) fn band_names(edges: &[f64]) -> Vec<String> {
    let whole = edges.iter().all(|e| e.fract() == 0.0);
    let name = |(i, edge): (usize, &f64)| match edges.get(i + 1) {
        Some(next) if whole && next - edge == 1.0 => format!("{edge}"),
        Some(next) if whole => format!("{edge}-{}", next - 1.0),
        Some(next) => format!("{edge}-{next}"),
        None => format!("{edge}+"),
    };
    edges.iter().enumerate().map(name).collect()
}

pub(super) fn bands(numbers: &ArrayRef, edges: &[f64], names: &[String]) -> ArrayRef {
    let numbers = numbers.as_primitive::<Float64Type>();
    let band = |n: f64| {
        let band = edges.partition_point(|edge| *edge <= n).checked_sub(1).filter(|_| !n.is_nan())?;
        names.get(band).map(String::as_str)
    };
    Arc::new(numbers.iter().map(|n| band(n?)).collect::<StringArray>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_standards_say() {
        // FIPS 180-2 B.1, RFC 4231 test case 2.
        let text = StringArray::from(vec![Some("abc"), None]);
        let plain = Hasher::new(None).unwrap().hash(&text).unwrap();
        assert_eq!(plain.value(0), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(plain.is_null(1));
        let keyed =
            Hasher::new(Some("Jefe")).unwrap().hash(&StringArray::from(vec!["what do ya want for nothing?"])).unwrap();
        assert_eq!(keyed.value(0), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(Hasher::new(Some("")).is_none());
    }

    #[test]
    fn masks() {
        let text = StringArray::from(vec!["4111111111111234", "123", "äöüäöü"]);
        let masked: Vec<_> = mask(&text, 0, 4, '*').unwrap().iter().flatten().map(String::from).collect();
        assert_eq!(masked, ["************1234", "***", "**üäöü"]);
        let both: Vec<_> = mask(&text, 1, 1, '#').unwrap().iter().flatten().map(String::from).collect();
        assert_eq!(both, ["4##############4", "1#3", "ä####ü"]);
        let mail = StringArray::from(vec!["anna@example.com", "nobody", "@x.org", "a@b@c"]);
        let masked: Vec<_> = mask_email(&mail).unwrap().iter().flatten().map(String::from).collect();
        assert_eq!(masked, ["a***@example.com", "***", "***", "***"]);
    }

    #[test]
    fn telephone_numbers() {
        for (text, expected) in [
            ("(512) 555-0123", Some("+15125550123")),
            ("512.555.0123 ext 7", Some("+15125550123")),
            ("1-512-555-0123", Some("+15125550123")),
            ("+49 30 1234567", Some("+49301234567")),
            ("0049 30 1234567", Some("+49301234567")),
            ("555-0123", None),
            ("2-512-555-0123", None),
            ("call me", None),
            ("", None),
            ("512$5550123", None),
        ] {
            let mut out = String::new();
            let found = phone(text, "1", 10, &mut out).map(|()| out.as_str());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn synonyms_ignore_case_and_know_their_meanings() {
        let words = [("Male", "M"), ("männlich", "M")].map(|(a, b)| (a.to_string(), b.to_string()));
        let synonyms = Synonyms::new(words.into_iter());
        let mut room = String::new();
        for (text, expected) in [("MALE ", Some("M")), ("m", Some("M")), ("MÄNNLICH", Some("M")), ("x", None)] {
            assert_eq!(synonyms.meaning(text, &mut room), expected, "{text}");
        }
    }

    #[test]
    fn years_of_age() {
        let day = |y, m, d| civil::days(y, m, d).unwrap() as i32;
        for (birth, at, expected) in [
            ((2000, 6, 15), (2024, 6, 14), Some(23)),
            ((2000, 6, 15), (2024, 6, 15), Some(24)),
            ((2000, 2, 29), (2023, 2, 28), Some(22)),
            ((2000, 2, 29), (2023, 3, 1), Some(23)),
            ((1950, 12, 31), (1950, 12, 31), Some(0)),
            ((2025, 1, 1), (2024, 1, 1), None),
        ] {
            assert_eq!(years(day(birth.0, birth.1, birth.2), day(at.0, at.1, at.2)), expected, "{birth:?} {at:?}");
        }
    }

    #[test]
    fn names_of_bands() {
        assert_eq!(band_names(&[0.0, 1.0, 18.0, 65.0]), ["0", "1-17", "18-64", "65+"]);
        assert_eq!(band_names(&[0.0, 0.5]), ["0-0.5", "0.5+"]);
    }
}
