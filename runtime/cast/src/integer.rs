//! Text to whole numbers, as Spark's `UTF8String.toLong`: blanks trimmed, one sign, a fraction checked and cut off, no exponent.

use crate::text::{Text, digits, eight_digits, trim};

/// Up to seven digits and a sign, up to eight or sixteen digits without one: a word at once. Anything else by the slow road.
#[inline(always)]
pub(crate) fn int64(t: Text) -> Option<i64> {
    if let 2..=8 = t.len {
        // Without a branch: in a column of both signs it would be guessed wrong half of the time.
        let word = t.word(0);
        let minus = word as u8 == b'-';
        if let Some(n) = digits(word >> (8 * u32::from(minus)), t.len - usize::from(minus)) {
            let sign = -i64::from(minus);
            return Some((n as i64 ^ sign) - sign);
        }
    } else if let Some(n) = plain(t) {
        return Some(n as i64);
    }
    let (negative, n) = signed(t.bytes())?;
    if negative { 0i64.checked_sub_unsigned(n) } else { i64::try_from(n).ok() }
}

#[inline(always)]
pub(crate) fn uint64(t: Text) -> Option<u64> {
    match plain(t) {
        Some(n) => Some(n),
        None => signed(t.bytes()).filter(|(negative, n)| !negative || *n == 0).map(|(_, n)| n),
    }
}

/// One to sixteen digits and nothing else.
#[inline(always)]
fn plain(t: Text) -> Option<u64> {
    match t.len {
        1..=8 => digits(t.word(0), t.len),
        9..=16 => Some(digits(t.word(0), t.len - 8)? * 100_000_000 + eight_digits(t.word(t.len - 8))?),
        _ => None,
    }
}

/// Sign and size of a text that may have blanks around, a sign, a fraction.
#[inline(never)]
fn signed(text: &[u8]) -> Option<(bool, u64)> {
    let text = trim(text);
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let whole = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let (whole, fraction) = text.split_at(whole);
    let fraction = fraction.get(1..).unwrap_or_default();
    if (whole.is_empty() && fraction.is_empty()) || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut n = 0u64;
    for b in whole {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some((negative, n))
}
