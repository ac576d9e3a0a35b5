//! The common shape of decimals and doubles, `-12.50`, read in one go; and their long form with an exponent, taken apart.

/// `[-]digits[.digits]` with at most 18 digits in all: `(negative, all digits as one number, digits after the point)`.
/// `None`: not of that shape, which does not mean that it is no number.
#[inline(always)]
pub(crate) fn plain(text: &[u8]) -> Option<(bool, u64, usize)> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if text.len() > 19 {
        return None;
    }
    let mut n = 0u64;
    let mut at = 0;
    while let Some(digit) = text.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        n = n * 10 + u64::from(digit);
        at += 1;
    }
    if at == text.len() {
        return (1..=18).contains(&at).then_some((negative, n, 0));
    }
    if text[at] != b'.' {
        return None;
    }
    let whole = at;
    at += 1;
    while let Some(digit) = text.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        n = n * 10 + u64::from(digit);
        at += 1;
    }
    // With the point, 19 bytes hold 18 digits at most: `n` has not overflowed.
    let fraction = at - whole - 1;
    (at == text.len() && whole + fraction > 0).then_some((negative, n, fraction))
}

/// The parts of `[+-]digits[.digits][(e|E)[+-]digits]`.
pub(crate) struct Parts<'a> {
    pub negative: bool,
    pub whole: &'a [u8],
    pub fraction: &'a [u8],
    pub exponent: i32,
}

/// Takes a trimmed number apart; `None` if it is not one, or its exponent is beyond 32 bits.
pub(crate) fn parts(text: &[u8]) -> Option<Parts<'_>> {
    let (negative, text) = sign(text);
    let (whole, rest) = leading_digits(text);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => leading_digits(rest),
        _ => (&[][..], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', rest @ ..] => {
            let (minus, rest) = sign(rest);
            let (digits, []) = leading_digits(rest) else { return None };
            if digits.is_empty() {
                return None;
            }
            let size = digits.iter().try_fold(0i32, |n, b| n.checked_mul(10)?.checked_add(i32::from(b - b'0')))?;
            if minus { -size } else { size }
        }
        _ => return None,
    };
    Some(Parts { negative, whole, fraction, exponent })
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

fn leading_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}
