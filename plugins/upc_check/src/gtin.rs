//! One code: reading it, its check digit, its range.

/// What is wrong with a code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Problem {
    /// The last digit does not fit the others.
    CheckDigit,
    /// Too many digits or too few.
    Length,
    /// Not digits.
    Characters,
    /// A spreadsheet made it into a rounded number.
    Scientific,
}

impl Problem {
    /// In the order of their numbers.
    pub const ALL: [Problem; 4] = [Problem::CheckDigit, Problem::Length, Problem::Characters, Problem::Scientific];

    /// The code of a rejected row.
    pub fn code(self) -> &'static str {
        match self {
            Problem::CheckDigit => "upc.check_digit",
            Problem::Length => "upc.length",
            Problem::Characters => "upc.characters",
            Problem::Scientific => "upc.scientific",
        }
    }
}

/// A code with a right check digit: 14 digits, with leading zeros.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gtin([u8; 14]);

type Wrong = (Problem, String);

impl Gtin {
    /// Reads a code as it stands in a table; it must not be blank.
    pub fn read(text: &str) -> Result<Gtin, Wrong> {
        let clean: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '\u{a0}')).collect();
        let clean = clean.strip_prefix('\'').unwrap_or(&clean);
        // Its zeros say that the point is a number's.
        let whole = match clean.split_once('.') {
            Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole,
            _ => clean,
        };
        if is_scientific(clean) {
            let message = format!("expected a code, found the rounded number `{text}`: its last digits are lost");
            return Err((Problem::Scientific, message));
        }
        // A minus would have gone with the hyphens.
        if whole.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) || text.starts_with('-') {
            return Err((Problem::Characters, format!("expected digits, found `{text}`")));
        }
        let Some(padded) = pad(whole) else {
            return Err((
                Problem::Length,
                format!("expected 8, 12, 13 or 14 digits, found {} in `{text}`", whole.len()),
            ));
        };
        let plain = || match check_digit(&padded) {
            right if right == padded[13] => Ok(Gtin(padded)),
            right => {
                let message = format!("expected check digit {right} in `{text}`, found {}", padded[13]);
                Err((Problem::CheckDigit, message))
            }
        };
        match whole.len() {
            // A UPC-E that lost its zero.
            7 => expand(&padded).filter(Gtin::fits).map_or_else(plain, Ok),
            // GTIN-8 from 0 are for use inside of a shop: a UPC-E is likelier.
            8 if whole.starts_with('0') => expand(&padded).filter(Gtin::fits).map_or_else(plain, Ok),
            8 if whole.starts_with('1') => plain().or_else(|e| expand(&padded).filter(Gtin::fits).ok_or(e)),
            // Zeros were lost.
            8..=14 => plain(),
            found => Err((Problem::Length, format!("expected 8, 12, 13 or 14 digits, found {found} in `{text}`"))),
        }
    }

    fn fits(&self) -> bool {
        check_digit(&self.0) == self.0[13]
    }

    /// The code with that many digits; wrong where it is longer.
    pub fn text(&self, length: usize) -> Result<String, Wrong> {
        let (zeros, code) = self.0.split_at(14 - length.min(14));
        match zeros.iter().all(|d| *d == 0) {
            true => Ok(code.iter().map(|d| char::from(b'0' + d)).collect()),
            false => {
                let digits = self.0.iter().skip_while(|d| **d == 0).count();
                Err((Problem::Length, format!("expected a code that fits {length} digits, found one of {digits}")))
            }
        }
    }

    /// What it is for, where it is no ordinary article: by GS1 prefix, the first three digits of a GTIN-13.
    pub fn range(&self) -> Option<&'static str> {
        let digits = &self.0[1..];
        // A GTIN-8 has prefixes of its own: those from 0 and 2 are for use inside of a shop.
        if digits[..5].iter().all(|d| *d == 0) {
            return matches!(digits[5], 0 | 2).then_some("restricted");
        }
        match digits[..3].iter().fold(0, |n, d| n * 10 + u32::from(*d)) {
            20..=29 | 40..=49 | 200..=299 => Some("restricted"),
            50..=59 | 981..=984 | 990..=999 => Some("coupon"),
            980 => Some("refund"),
            977 => Some("periodical"),
            978 | 979 => Some("book"),
            _ => None,
        }
    }
}

/// `8.12345E+11`
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    digits(exponent) && digits(&mantissa.replacen('.', "", 1))
}

/// Zeros before it, up to 14 digits.
fn pad(digits: &str) -> Option<[u8; 14]> {
    let mut padded = [0; 14];
    let place = padded.get_mut(14_usize.checked_sub(digits.len())?..)?;
    place.iter_mut().zip(digits.bytes()).for_each(|(d, b)| *d = b - b'0');
    Some(padded)
}

/// GS1: from the right, digits weigh 3 and 1 by turns; the check digit makes the sum a multiple of ten.
fn check_digit(code: &[u8; 14]) -> u8 {
    let sum: u32 = code[..13].iter().enumerate().map(|(i, d)| u32::from(*d) * if i % 2 == 0 { 3 } else { 1 }).sum();
    ((10 - sum % 10) % 10) as u8
}

/// UPC-E to UPC-A: the sixth digit tells which zeros were left out.
fn expand(code: &[u8; 14]) -> Option<Gtin> {
    let [.., system, a, b, c, d, e, last, check] = *code;
    let (maker, item) = match last {
        0..=2 => ([a, b, last, 0, 0], [0, 0, c, d, e]),
        3 => ([a, b, c, 0, 0], [0, 0, 0, d, e]),
        4 => ([a, b, c, d, 0], [0, 0, 0, 0, e]),
        _ => ([a, b, c, d, e], [0, 0, 0, 0, last]),
    };
    let mut gtin = [0; 14];
    gtin[2] = system;
    gtin[3..8].copy_from_slice(&maker);
    gtin[8..13].copy_from_slice(&item);
    gtin[13] = check;
    (system < 2).then_some(Gtin(gtin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match Gtin::read(text).and_then(|g| g.text(14)) {
            Ok(code) => code,
            Err((problem, _)) => problem.code().to_string(),
        }
    }

    #[test]
    fn codes_of_all_lengths() {
        for (text, expected) in [
            ("036000291452", "00036000291452"),
            ("0 36000 29145 2", "00036000291452"),
            ("'036000291452", "00036000291452"),
            ("36000291452", "00036000291452"),
            ("036000291452.00", "00036000291452"),
            ("4006381333931", "04006381333931"),
            ("10036000291459", "10036000291459"),
            ("96385074", "00000096385074"),
            // UPC-E of each pattern.
            ("01234505", "00012000003455"),
            ("04252614", "00042100005264"),
            ("4252614", "00042100005264"),
            ("1234567890123", "upc.check_digit"),
            ("123456", "upc.length"),
            ("123456789012345", "upc.length"),
            ("8.12345E+11", "upc.scientific"),
            ("8e11", "upc.scientific"),
            ("8.5", "upc.characters"),
            ("03600029145X", "upc.characters"),
            ("-36000291452", "upc.characters"),
            ("é", "upc.characters"),
            ("-", "upc.characters"),
            (".0", "upc.characters"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn ranges() {
        let range = |text: &str| Gtin::read(text).unwrap().range();
        assert_eq!(range("9780306406157"), Some("book"));
        assert_eq!(range("9771234567003"), Some("periodical"));
        assert_eq!(range("036000291452"), None);
        assert_eq!(range("96385074"), None);
    }

    #[test]
    fn a_code_may_be_too_long_for_the_length() {
        let (problem, message) = Gtin::read("4006381333931").unwrap().text(12).unwrap_err();
        assert_eq!(problem, Problem::Length);
        assert_eq!(message, "expected a code that fits 12 digits, found one of 13");
    }
}
