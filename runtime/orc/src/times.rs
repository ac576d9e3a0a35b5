//! Looks at the fractions of a second in a stripe before orc-rust does. Arrow's writer (pyarrow) stores those of times before
//! 1970 as numbers below zero, which the specification does not know; orc-rust takes them for large ones and answers with
//! another time, without a word.

use std::io::Read;

/// A fraction is at most 999,999,999 with three bits behind it.
const MOST: i64 = 999_999_999 << 3 | 7;

/// The widths that the five bits of a header stand for.
const WIDTHS: [u8; 32] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 28, 30, 32, 40, 48, 56,
    64,
];

/// Whether all numbers of a stream of unsigned run lengths (version 2) are fractions of a second. A stream that ends too soon
/// is none of its business.
pub fn are_fractions(mut stream: impl Read) -> bool {
    let mut bytes = vec![];
    // What was read before an error is looked at; the reader meets the error again.
    let _ = stream.read_to_end(&mut bytes);
    let mut rest = &bytes[..];
    loop {
        match run(rest) {
            Some((true, behind)) => rest = behind,
            Some((false, _)) => return false,
            None => return true,
        }
    }
}

/// Whether the first run is fine, and what is behind it.
fn run(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let [first, rest @ ..] = bytes else { return None };
    let code = usize::from(first >> 1 & 31);
    let fits = |value: u64| value <= MOST as u64;
    if first >> 6 == 0 {
        let (value, rest) = rest.split_at_checked(usize::from(first >> 3 & 7) + 1)?;
        return Some((fits(value.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))), rest));
    }
    let [second, rest @ ..] = rest else { return None };
    let length = usize::from(first & 1) << 8 | usize::from(*second);
    match first >> 6 {
        1 => {
            let (values, rest) = packed(rest, WIDTHS[code], length + 1)?;
            Some((values.into_iter().all(fits), rest))
        }
        2 => {
            let [third, fourth, rest @ ..] = rest else { return None };
            let (base, rest) = rest.split_at_checked(usize::from(third >> 5) + 1)?;
            let (patch, gap) = (WIDTHS[usize::from(third & 31)], (fourth >> 5) + 1);
            let each = WIDTHS.into_iter().find(|width| *width >= patch.saturating_add(gap)).unwrap_or(64);
            let (_, rest) = packed(rest, WIDTHS[code], length + 1)?;
            let (_, rest) = packed(rest, each, usize::from(fourth & 31))?;
            // The highest bit is the sign; and what is above it must not reach beyond.
            let wide = u32::from(WIDTHS[code]) + u32::from(patch) > 40;
            let value = base.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
            Some((base[0] & 0x80 == 0 && fits(value) && !wide, rest))
        }
        _ => {
            let (base, rest) = varint(rest)?;
            let (step, rest) = varint(rest)?;
            let step = (step >> 1) as i64 ^ -((step & 1) as i64);
            let width = if code == 0 { 0 } else { WIDTHS[code] };
            let (steps, rest) = packed(rest, width, length.saturating_sub(1))?;
            let steps: i128 = match width {
                0 => i128::from(step) * length.saturating_sub(1) as i128,
                _ => steps.into_iter().map(i128::from).sum::<i128>() * i128::from(step.signum()),
            };
            // One way up or down: the ends tell.
            let last = i128::from(base) + i128::from(step) + steps;
            Some((fits(base) && (length == 0 || (0..=i128::from(MOST)).contains(&last)), rest))
        }
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let last = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let (own, rest) = bytes.split_at(last + 1);
    Some((own.iter().rev().fold(0, |n, byte| n << 7 | u64::from(byte & 0x7f)), rest))
}

/// So many numbers of so many bits, filled up to a byte.
fn packed(bytes: &[u8], width: u8, count: usize) -> Option<(Vec<u64>, &[u8])> {
    let width = usize::from(width);
    let (own, rest) = bytes.split_at_checked((width * count).div_ceil(8))?;
    let bit = |at: usize| u64::from(own[at / 8] >> (7 - at % 8) & 1);
    let number = |n: usize| (n * width..(n + 1) * width).fold(0, |value, at| value << 1 | bit(at));
    let count = if width == 0 { 0 } else { count };
    Some(((0..count).map(number).collect(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rle::encode;
    use proptest::prelude::*;

    fn looked(values: &[i64]) -> bool {
        let mut stream = vec![];
        values.chunks(512).for_each(|block| encode(block, false, &mut stream));
        are_fractions(&stream[..])
    }

    /// The specification's example of patched base, which our writer does not make.
    #[test]
    fn patched_runs_are_looked_at() {
        let mut stream = vec![
            0x8e, 0x13, 0x2b, 0x21, 0x07, 0xd0, 0x1e, 0x00, 0x14, 0x70, 0x28, 0x32, 0x3c, 0x46, 0x50, 0x5a, 0x64, 0x6e,
            0x78, 0x82, 0x8c, 0x96, 0xa0, 0xaa, 0xb4, 0xbe, 0xfc, 0xe8,
        ];
        assert!(are_fractions(&stream[..]));
        encode(&[-8], false, &mut stream);
        assert!(!are_fractions(&stream[..]), "the run behind it is found");
        stream[4] |= 0x80;
        assert!(!are_fractions(&stream[..28]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn fractions_pass_and_others_do_not(
            values in prop::collection::vec(prop_oneof![0..=MOST, 0..50i64], 1..1500), at in any::<prop::sample::Index>(),
            wrong in prop_oneof![i64::MIN..0, -50..0i64, MOST + 1..i64::MAX], steps in any::<bool>(),
        ) {
            let mut values = values;
            if steps {
                values.sort_unstable();
            }
            prop_assert!(looked(&values));
            let at = at.index(values.len());
            values[at] = wrong;
            prop_assert!(!looked(&values));
            values.sort_unstable();
            prop_assert!(!looked(&values));
        }
    }
}
