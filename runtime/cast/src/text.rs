//! Runs a parser of one value over all texts of a column: values and validity are built in bulk, nothing is allocated for a
//! row. A parser sees its text *and* what follows it in the buffer, so that it may load eight bytes at once.

use crate::Cast;
use arrow::array::{Array, ArrowPrimitiveType, BooleanArray, BooleanBufferBuilder, PrimitiveArray, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// One text within the values buffer of its column.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    /// From the start of the text to the end of the buffer.
    pub tail: &'a [u8],
    /// Bytes that belong to the text.
    pub len: usize,
}

impl<'a> Text<'a> {
    #[inline(always)]
    pub fn bytes(self) -> &'a [u8] {
        &self.tail[..self.len]
    }

    /// Eight bytes from `at` on as a little-endian word; what is beyond the buffer reads as zero.
    #[inline(always)]
    pub fn word(self, at: usize) -> u64 {
        let rest = self.tail.get(at..).unwrap_or_default();
        match rest.first_chunk::<8>() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => short_word(rest),
        }
    }
}

/// The last texts of a buffer: fewer than eight bytes are left.
#[cold]
fn short_word(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b))
}

/// What Spark trims: ASCII blanks and control characters.
#[inline]
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && blank(*last)
    {
        text = rest;
    }
    text
}

#[inline(always)]
pub(crate) fn blank(b: u8) -> bool {
    b <= b' ' || b == 127
}

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The number that eight ASCII digits spell, first digit in the lowest byte; `None` if one is no digit.
///
/// Three multiplications for eight digits, after Daniel Lemire and Johnny Lee, as in `fast_float`.
#[inline(always)]
pub(crate) fn eight_digits(word: u64) -> Option<u64> {
    let digits = word.wrapping_sub(ZEROS);
    if (word.wrapping_add(0x4646_4646_4646_4646) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (digits * 10).wrapping_add(digits >> 8);
    const MASK: u64 = 0x0000_00FF_0000_00FF;
    let low = (pairs & MASK).wrapping_mul(0x000F_4240_0000_0064);
    let high = (pairs >> 16 & MASK).wrapping_mul(0x0000_2710_0000_0001);
    Some(low.wrapping_add(high) >> 32)
}

/// As [`eight_digits`], of the first `len` bytes of the word (1 to 8).
#[inline(always)]
pub(crate) fn digits(word: u64, len: usize) -> Option<u64> {
    let bits = 8 * len as u32;
    eight_digits(word.unbounded_shl(64 - bits) | ZEROS.unbounded_shr(bits))
}

/// Parses a column into numbers.
#[inline(always)]
pub(crate) fn primitive<T: ArrowPrimitiveType>(
    text: &StringArray,
    ty: &DataType,
    parse: impl Fn(Text) -> Option<T::Native>,
) -> Cast {
    let mut values: Vec<T::Native> = Vec::with_capacity(text.len());
    let good = each(text, |t| {
        let value = parse(t);
        values.push(value.unwrap_or_default());
        value.is_some()
    });
    let (nulls, failed) = nulls(text, good);
    let values = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls).with_data_type(ty.clone());
    Cast { values: Arc::new(values), failed }
}

/// Parses a column into booleans.
pub(crate) fn boolean(text: &StringArray, parse: impl Fn(Text) -> Option<bool>) -> Cast {
    let mut values = BooleanBufferBuilder::new(text.len());
    let good = each(text, |t| {
        let value = parse(t);
        values.append(value.unwrap_or_default());
        value.is_some()
    });
    let (nulls, failed) = nulls(text, good);
    Cast { values: Arc::new(BooleanArray::new(values.finish(), nulls)), failed }
}

/// Calls `f` for every row, null or not, and collects its answers.
#[inline(always)]
fn each<'a>(text: &'a StringArray, mut f: impl FnMut(Text<'a>) -> bool) -> BooleanBuffer {
    let bytes = text.value_data();
    let (mut start, ends) = match text.value_offsets() {
        [first, ends @ ..] => (*first as usize, ends),
        [] => (0, &[][..]),
    };
    let mut words: Vec<u64> = Vec::with_capacity(ends.len().div_ceil(64));
    for block in ends.chunks(64) {
        let mut word = 0;
        for (bit, &end) in block.iter().enumerate() {
            let end = end as usize;
            word |= u64::from(f(Text { tail: &bytes[start..], len: end - start })) << bit;
            start = end;
        }
        words.push(word);
    }
    BooleanBuffer::new(Buffer::from_vec(words), 0, ends.len())
}

/// Validity of the result, and which rows failed, from which texts could be read.
fn nulls(text: &StringArray, good: BooleanBuffer) -> (Option<NullBuffer>, Option<BooleanArray>) {
    if good.count_set_bits() == good.len() {
        return (text.nulls().cloned(), None);
    }
    let failed = match text.nulls() {
        Some(valid) => valid.inner() & &!&good,
        None => !&good,
    };
    let nulls = NullBuffer::union(text.nulls(), Some(&NullBuffer::new(good)));
    (nulls, (failed.count_set_bits() > 0).then(|| BooleanArray::new(failed, None)))
}
