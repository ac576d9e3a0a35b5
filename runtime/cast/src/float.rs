//! Text to binary floating point, correctly rounded. As in Java: a `d` or `f` may follow the digits, `0x1p3` is a number; as
//! in Spark besides: `inf`, `infinity` and `nan` in any letter case.

use crate::number::plain;
use crate::text::{Text, trim};

/// Both widths.
pub(crate) trait Float: Copy {
    /// A number of at most 18 digits divided by a power of ten, where that is exact but for one rounding (Clinger 1990):
    /// both fit the mantissa.
    fn exact(n: u64, fraction: usize) -> Option<Self>;
    fn slow(text: &str) -> Option<Self>;
    fn narrow(value: f64) -> Self;
    fn negate(self) -> Self;
}

const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

impl Float for f64 {
    #[inline(always)]
    fn exact(n: u64, fraction: usize) -> Option<f64> {
        (n <= 1 << 53).then(|| n as f64 / TENS[fraction])
    }
    fn slow(text: &str) -> Option<f64> {
        text.parse().ok()
    }
    fn narrow(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn negate(self) -> f64 {
        -self
    }
}

impl Float for f32 {
    #[inline(always)]
    fn exact(n: u64, fraction: usize) -> Option<f32> {
        (n <= 1 << 24 && fraction <= 10).then(|| n as f32 / TENS[fraction] as f32)
    }
    fn slow(text: &str) -> Option<f32> {
        text.parse().ok()
    }
    fn narrow(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn negate(self) -> f32 {
        -self
    }
}

#[inline(always)]
pub(crate) fn float<F: Float>(t: Text) -> Option<F> {
    if let Some((negative, n, fraction)) = plain(t.bytes())
        && let Some(value) = F::exact(n, fraction)
    {
        return Some(if negative { value.negate() } else { value });
    }
    any(t.bytes())
}

#[inline(never)]
fn any<F: Float>(text: &[u8]) -> Option<F> {
    let text = std::str::from_utf8(trim(text)).ok()?;
    let (negative, size) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let signed = |v: F| if negative { v.negate() } else { v };
    match size.as_bytes().first()? {
        b'0'..=b'9' | b'.' => {
            if let Some(hex) = size.strip_prefix("0x").or_else(|| size.strip_prefix("0X")) {
                return hexadecimal(hex).map(F::narrow).map(signed);
            }
            let plain = size.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(size);
            F::slow(plain).map(signed)
        }
        _ if size.eq_ignore_ascii_case("inf") || size.eq_ignore_ascii_case("infinity") => {
            Some(signed(F::narrow(f64::INFINITY)))
        }
        // Java knows a signed `NaN`, Spark's own `nan` has no sign.
        _ if size == "NaN" || text.eq_ignore_ascii_case("nan") => Some(F::narrow(f64::NAN)),
        _ => None,
    }
}

/// `1.8p3`, without its `0x`: hexadecimal digits times a power of two; the exponent must be there, as in Java.
fn hexadecimal(text: &str) -> Option<f64> {
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).filter(|t| t.contains(['p', 'P'])).unwrap_or(text);
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // Sixteen digits hold more than a mantissa; more than that is written by nobody.
    if !(1..=16).contains(&(whole.len() + fraction.len())) {
        return None;
    }
    let mut n = 0u64;
    for c in whole.chars().chain(fraction.chars()) {
        n = n << 4 | u64::from(c.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let power = exponent.clamp(-5000, 5000) - 4 * fraction.len() as i32;
    // In two steps, so that a subnormal is rounded once and 2^power itself need not exist.
    let (first, second) = (power / 2, power - power / 2);
    Some(n as f64 * 2f64.powi(first) * 2f64.powi(second))
}
