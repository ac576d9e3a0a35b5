//! The 128-bit hash of a row over some of its columns, column by column over whole arrays.
//!
//! Every value is written as 16-byte blocks so that no value's blocks begin another's (a null has a block of its own), and
//! the blocks of a row are chained through a keyed permutation `p` of 128 bits, as CBC-MAC does:
//!
//! ```text
//! state ← seed;   state ← p(state ⊕ block)  for every block of every column
//! ```
//!
//! For one block the hash is therefore a bijection, and a later column depends on the earlier ones. `p` is three Feistel-like
//! rounds of a widening multiplication, `(x, y) ← (y ⊕ high(x·k), low(x·k))`, the mixer of wyhash and rapidhash kept
//! invertible. It is fast and well spread, not a cipher: the seed keeps out accidents, not an adversary who sees hashes.

use arrow::array::cast::AsArray;
use arrow::array::types::*;
use arrow::array::{Array, ArrayRef, OffsetSizeTrait, PrimitiveArray, RecordBatch, downcast_dictionary_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, IntervalUnit, Schema, TimeUnit, i256};
use selvedge_node::{Error, Result};

/// The key of the hash. Equal seeds give equal hashes on every machine and in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u128);

impl Default for Seed {
    /// The first hexadecimal digits of the fraction of pi.
    fn default() -> Seed {
        Seed(0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344)
    }
}

/// Hashes rows over the same columns of many batches.
#[derive(Debug, Clone)]
pub struct RowHasher {
    columns: Vec<usize>,
    seed: Seed,
}

/// Multipliers: odd, about half of their bits set, the top one among them (primes of wyhash and rapidhash).
const K: [u64; 5] =
    [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0xd6e8_feb8_6659_fd93, 0x9e37_79b9_7f4a_7c15];

/// The block of a null: no integer (their high half is 0), no text (byte 15 is its length or `LONG`), no 128-bit decimal
/// (it has more than 38 digits) is written so.
const NULL: (u64, u64) = (0, 0x7fff_ffff_ffff_ffff);
/// Byte 15 of the first block of a text of 16 bytes or more.
const LONG: u64 = 0x40 << 56;

#[inline(always)]
fn round((x, y): (u64, u64), k: u64) -> (u64, u64) {
    let m = u128::from(x) * u128::from(k);
    (y ^ (m >> 64) as u64, m as u64)
}

#[inline(always)]
fn absorb(state: u128, (low, high): (u64, u64)) -> u128 {
    let s = (state as u64 ^ low, (state >> 64) as u64 ^ high);
    let (x, y) = round(round(round(s, K[0]), K[1]), K[2]);
    u128::from(x) | u128::from(y) << 64
}

/// Two rounds more, once a row: every output bit is to depend on all of the last block.
#[inline(always)]
fn finish(state: u128) -> u128 {
    let (x, y) = round(round((state as u64, (state >> 64) as u64), K[3]), K[4]);
    u128::from(x) | u128::from(y) << 64
}

impl RowHasher {
    /// A hasher of `columns` (indices into `schema`); refuses column types whose values have no equality.
    pub fn new(schema: &Schema, columns: &[usize]) -> Result<RowHasher> {
        for &c in columns {
            let field = schema
                .fields()
                .get(c)
                .ok_or_else(|| Error::bug(format!("column {c} of {} is to be hashed", schema.fields().len())))?;
            if !hashable(field.data_type()) {
                let (name, ty) = (field.name(), field.data_type());
                return Err(Error::graph(format!("column `{name}` of type {ty} cannot be compared for equality"))
                    .help("cast it first, or leave it out of the keys"));
            }
        }
        Ok(RowHasher { columns: columns.to_vec(), seed: Seed::default() })
    }

    /// A hasher of all columns.
    pub fn whole_row(schema: &Schema) -> Result<RowHasher> {
        RowHasher::new(schema, &(0..schema.fields().len()).collect::<Vec<_>>())
    }

    #[must_use]
    pub fn with_seed(mut self, seed: Seed) -> RowHasher {
        self.seed = seed;
        self
    }

    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Puts the hash of each row into `out`, which is cleared first. Equal rows have equal hashes however their arrays are
    /// sliced and whatever lies under their nulls; -0.0 equals 0.0, a NaN any other; Utf8, LargeUtf8 and Utf8View agree.
    pub fn hash(&self, batch: &RecordBatch, out: &mut Vec<u128>) {
        out.clear();
        out.resize(batch.num_rows(), self.seed.0);
        for &c in &self.columns {
            column(batch.column(c).as_ref(), out);
        }
        out.iter_mut().for_each(|s| *s = finish(*s));
    }

    /// Whether any of the columns is null in each row: such keys match nothing in a join. `None`: no row has one.
    pub fn null_keys(&self, batch: &RecordBatch) -> Option<NullBuffer> {
        self.columns
            .iter()
            .fold(None, |nulls, &c| NullBuffer::union(nulls.as_ref(), batch.column(c).logical_nulls().as_ref()))
    }
}

fn hashable(ty: &DataType) -> bool {
    use DataType::*;
    match ty {
        List(f) | LargeList(f) | FixedSizeList(f, _) | Map(f, _) => hashable(f.data_type()),
        Struct(fields) => fields.iter().all(|f| hashable(f.data_type())),
        Dictionary(_, values) => hashable(values),
        Union(..) | RunEndEncoded(..) | ListView(_) | LargeListView(_) => false,
        _ => true,
    }
}

/// Chains a column's values onto the rows' states.
fn column(array: &dyn Array, states: &mut [u128]) {
    use DataType::*;
    macro_rules! ints {
        ($ty:ty) => {
            primitive::<$ty>(array, states, |v| (v as i64 as u64, 0))
        };
    }
    match array.data_type() {
        Null => states.iter_mut().for_each(|s| *s = absorb(*s, NULL)),
        Boolean => {
            let values = array.as_boolean().values();
            blocks(states, array.nulls(), |i| (u64::from(values.value(i)), 0));
        }
        Int8 => ints!(Int8Type),
        Int16 => ints!(Int16Type),
        Int32 => ints!(Int32Type),
        Int64 => ints!(Int64Type),
        UInt8 => ints!(UInt8Type),
        UInt16 => ints!(UInt16Type),
        UInt32 => ints!(UInt32Type),
        UInt64 => ints!(UInt64Type),
        Date32 => ints!(Date32Type),
        Date64 => ints!(Date64Type),
        Time32(TimeUnit::Second) => ints!(Time32SecondType),
        Time32(_) => ints!(Time32MillisecondType),
        Time64(TimeUnit::Microsecond) => ints!(Time64MicrosecondType),
        Time64(_) => ints!(Time64NanosecondType),
        Timestamp(TimeUnit::Second, _) => ints!(TimestampSecondType),
        Timestamp(TimeUnit::Millisecond, _) => ints!(TimestampMillisecondType),
        Timestamp(TimeUnit::Microsecond, _) => ints!(TimestampMicrosecondType),
        Timestamp(TimeUnit::Nanosecond, _) => ints!(TimestampNanosecondType),
        Duration(TimeUnit::Second) => ints!(DurationSecondType),
        Duration(TimeUnit::Millisecond) => ints!(DurationMillisecondType),
        Duration(TimeUnit::Microsecond) => ints!(DurationMicrosecondType),
        Duration(TimeUnit::Nanosecond) => ints!(DurationNanosecondType),
        Interval(IntervalUnit::YearMonth) => ints!(IntervalYearMonthType),
        Interval(IntervalUnit::DayTime) => {
            primitive::<IntervalDayTimeType>(array, states, |v| (v.days as u64, u64::from(v.milliseconds as u32)))
        }
        Interval(IntervalUnit::MonthDayNano) => primitive::<IntervalMonthDayNanoType>(array, states, |v| {
            (v.nanoseconds as u64, u64::from(v.months as u32) << 32 | u64::from(v.days as u32))
        }),
        Decimal32(..) => ints!(Decimal32Type),
        Decimal64(..) => ints!(Decimal64Type),
        Decimal128(..) => primitive::<Decimal128Type>(array, states, |v| (v as u64, (v >> 64) as u64)),
        Decimal256(..) => decimal256(array.as_primitive(), states),
        Float16 => primitive::<Float16Type>(array, states, |v| (float(v.to_f64()), 0)),
        Float32 => primitive::<Float32Type>(array, states, |v| (float(f64::from(v)), 0)),
        Float64 => primitive::<Float64Type>(array, states, |v| (float(v), 0)),
        Utf8 => offsets(array.as_string::<i32>(), states),
        LargeUtf8 => offsets(array.as_string::<i64>(), states),
        Binary => offsets(array.as_binary::<i32>(), states),
        LargeBinary => offsets(array.as_binary::<i64>(), states),
        Utf8View => views(array.as_string_view(), states),
        BinaryView => views(array.as_binary_view(), states),
        FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            each(states, array.nulls(), |s, i| {
                let value = values.value(i);
                bytes(s, value, 0, value.len())
            });
        }
        List(_) => {
            let list = array.as_list::<i32>();
            lists(states, array.nulls(), list.values(), |i| range(list.value_offsets(), i));
        }
        LargeList(_) => {
            let list = array.as_list::<i64>();
            lists(states, array.nulls(), list.values(), |i| range(list.value_offsets(), i));
        }
        FixedSizeList(_, size) => {
            let list = array.as_fixed_size_list();
            let size = *size as usize;
            lists(states, array.nulls(), list.values(), |i| (list.value_offset(i) as usize, size));
        }
        Map(..) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            lists(states, array.nulls(), &entries, |i| range(map.value_offsets(), i));
        }
        Struct(_) => {
            let mut inner = vec![0; states.len()];
            array.as_struct().columns().iter().for_each(|c| column(c.as_ref(), &mut inner));
            blocks(states, array.nulls(), |i| halves(inner[i]));
        }
        Dictionary(..) => downcast_dictionary_array!(
            array => {
                let mut inner = vec![0; array.values().len()];
                column(array.values().as_ref(), &mut inner);
                let nulls = array.logical_nulls();
                let keys = array.keys().values();
                blocks(states, nulls.as_ref(), |i| inner.get(keys[i] as usize).map_or(NULL, |&h| halves(h)));
            },
            // Not a dictionary after all: nothing else has this type.
            _ => {}
        ),
        // Refused by `RowHasher::new`.
        Union(..) | RunEndEncoded(..) | ListView(_) | LargeListView(_) => {}
    }
}

fn halves(hash: u128) -> (u64, u64) {
    (hash as u64, (hash >> 64) as u64)
}

fn range<O: OffsetSizeTrait>(offsets: &[O], i: usize) -> (usize, usize) {
    (offsets[i].as_usize(), (offsets[i + 1] - offsets[i]).as_usize())
}

/// One value in its one form: -0.0 as 0.0, one NaN.
fn float(v: f64) -> u64 {
    if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() }
}

/// Chains one block a row; the block of a null row is not used (but is computed: it must not panic).
#[inline(always)]
fn blocks(states: &mut [u128], nulls: Option<&NullBuffer>, block: impl Fn(usize) -> (u64, u64)) {
    match nulls.filter(|n| n.null_count() > 0) {
        None => states.iter_mut().enumerate().for_each(|(i, s)| *s = absorb(*s, block(i))),
        Some(nulls) => states.iter_mut().zip(nulls).enumerate().for_each(|(i, (s, valid))| {
            let value = block(i);
            *s = absorb(*s, if valid { value } else { NULL });
        }),
    }
}

/// Chains what `chain` makes of a row; the null block where it is null.
#[inline(always)]
fn each(states: &mut [u128], nulls: Option<&NullBuffer>, chain: impl Fn(u128, usize) -> u128) {
    match nulls.filter(|n| n.null_count() > 0) {
        None => states.iter_mut().enumerate().for_each(|(i, s)| *s = chain(*s, i)),
        Some(nulls) => states
            .iter_mut()
            .zip(nulls)
            .enumerate()
            .for_each(|(i, (s, valid))| *s = if valid { chain(*s, i) } else { absorb(*s, NULL) }),
    }
}

#[inline(always)]
fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, states: &mut [u128], block: impl Fn(T::Native) -> (u64, u64)) {
    let array: &PrimitiveArray<T> = array.as_primitive();
    let values = &array.values()[..states.len()];
    match array.nulls().filter(|n| n.null_count() > 0) {
        None => states.iter_mut().zip(values).for_each(|(s, &v)| *s = absorb(*s, block(v))),
        Some(nulls) => states.iter_mut().zip(values).zip(nulls).for_each(|((s, &v), valid)| {
            let value = block(v);
            *s = absorb(*s, if valid { value } else { NULL });
        }),
    }
}

fn decimal256(array: &PrimitiveArray<Decimal256Type>, states: &mut [u128]) {
    let values: &[i256] = array.values();
    each(states, array.nulls(), |s, i| {
        let (low, high) = values[i].to_parts();
        absorb(absorb(s, halves(low)), halves(high as u128))
    });
}

fn offsets<T: ByteArrayType>(array: &arrow::array::GenericByteArray<T>, states: &mut [u128]) {
    let data = array.value_data();
    let offsets = array.value_offsets();
    each(states, array.nulls(), |s, i| {
        let (start, len) = range(offsets, i);
        bytes(s, data, start, len)
    });
}

fn views<T: ByteViewType>(array: &arrow::array::GenericByteViewArray<T>, states: &mut [u128]) {
    let (all, buffers) = (array.views(), array.data_buffers());
    each(states, array.nulls(), |s, i| {
        let view = all[i];
        let len = view as u32 as usize;
        if len <= 12 {
            // The bytes stand in the view itself, zeros after them.
            return absorb(s, short(view >> 32, len));
        }
        let (buffer, start) = ((view >> 64) as u32 as usize, (view >> 96) as usize);
        bytes(s, buffers[buffer].as_slice(), start, len)
    });
}

/// The block of a text of at most 15 bytes: the bytes, and its length in the last one.
#[inline(always)]
fn short(text: u128, len: usize) -> (u64, u64) {
    halves(text | (len as u128) << 120)
}

#[inline(always)]
fn word(data: &[u8], at: usize) -> Option<u128> {
    Some(u128::from_le_bytes(data.get(at..at + 16)?.try_into().ok()?))
}

/// Chains `len` bytes of `data` from `start`. Reads beyond them, and masks, where that saves a copy.
#[inline(always)]
fn bytes(state: u128, data: &[u8], start: usize, len: usize) -> u128 {
    if len > 15 {
        return long(state, &data[start..start + len]);
    }
    let text = match word(data, start) {
        Some(text) => text & ((1 << (8 * len)) - 1),
        None => {
            let mut text = [0; 16];
            text[..len].copy_from_slice(&data[start..start + len]);
            u128::from_le_bytes(text)
        }
    };
    absorb(state, short(text, len))
}

/// 16 bytes or more: the length and the first 8 bytes, then blocks of 16, the last one ending with the text.
fn long(state: u128, text: &[u8]) -> u128 {
    let first = text.first_chunk::<8>().map_or(0, |c| u64::from_le_bytes(*c));
    let mut state = absorb(state, (first, LONG | text.len() as u64));
    let mut at = 8;
    while let Some(block) = word(text, at) {
        state = absorb(state, halves(block));
        at += 16;
    }
    if at < text.len() {
        let last = text.last_chunk::<16>().map_or(0, |c| u128::from_le_bytes(*c));
        state = absorb(state, halves(last));
    }
    state
}

/// Chains a row's elements, each as its own hash, after their number.
fn lists(states: &mut [u128], nulls: Option<&NullBuffer>, values: &ArrayRef, range: impl Fn(usize) -> (usize, usize)) {
    // Only the elements that these rows reach: a slice of a long array is not hashed whole.
    let (mut from, mut to) = (usize::MAX, 0);
    for i in 0..states.len() {
        let (start, len) = range(i);
        (from, to) = (from.min(start), to.max(start + len));
    }
    let from = from.min(to);
    let mut inner = vec![0; to - from];
    column(values.slice(from, to - from).as_ref(), &mut inner);
    each(states, nulls, |s, i| {
        let (start, len) = range(i);
        let first = absorb(s, (len as u64, 0));
        inner[start - from..start - from + len].iter().fold(first, |s, &h| absorb(s, halves(h)))
    });
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
