//! Text to exact numbers: rounded half up (away from zero), exponents understood, too large is a failure.

use crate::number::{parts, plain};
use crate::text::{Text, trim};

const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// A parser for one precision (1 to 38) and scale.
#[derive(Clone, Copy)]
pub(crate) struct Decimal {
    scale: i8,
    /// The first number that has too many digits.
    limit: i128,
}

impl Decimal {
    pub fn new(precision: u8, scale: i8) -> Decimal {
        let limit = POWERS[usize::from(precision).min(38)];
        Decimal { scale, limit }
    }

    #[inline(always)]
    pub fn parse(self, t: Text) -> Option<i128> {
        if (0..=18).contains(&self.scale)
            && let Some((negative, n, fraction)) = plain(t.bytes())
        {
            let scale = self.scale as usize;
            let n = if fraction <= scale {
                // At most 18 digits times 10^18: far from the end of i128.
                i128::from(n) * POWERS[scale - fraction]
            } else {
                let unit = POWERS[fraction - scale] as u64;
                i128::from(n / unit + u64::from(n % unit >= unit / 2))
            };
            return (n < self.limit).then_some(if negative { -n } else { n });
        }
        self.parse_any(t.bytes())
    }

    /// Any number, of any length.
    #[inline(never)]
    pub fn parse_any(self, text: &[u8]) -> Option<i128> {
        let parts = parts(trim(text))?;
        let mut digits = parts.whole.iter().chain(parts.fraction).map(|b| i128::from(b - b'0')).peekable();
        let mut left = parts.whole.len() + parts.fraction.len();
        while digits.next_if_eq(&0).is_some() {
            left -= 1;
        }
        if left == 0 {
            return Some(0);
        }
        // The value is its digits times 10^shift, in units of the scale.
        let shift = i64::from(parts.exponent) - parts.fraction.len() as i64 + i64::from(self.scale);
        let kept = left as i64 + shift.min(0);
        if kept + shift.max(0) > 38 {
            return None;
        }
        if kept < 0 {
            return Some(0);
        }
        let mut n = digits.by_ref().take(kept as usize).fold(0i128, |n, d| n * 10 + d);
        if digits.next().is_some_and(|first_cut| first_cut >= 5) {
            n += 1;
        }
        n *= POWERS[shift.max(0) as usize];
        (n < self.limit).then_some(if parts.negative { -n } else { n })
    }
}
