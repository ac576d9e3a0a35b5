//! The columns of a stripe in the making: each turns arrays into its streams, and notes statistics and where groups begin.

use crate::rle::{Bits, Bytes, Ints, varint};
use crate::stats::{Stats, Values, add, widen, widen_bytes};
use crate::stream::{Codec, Stream};
use crate::text::{Plain, Text};
use crate::types::{children, per_second, storage};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, filter, take};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use orc_rust::proto::column_encoding::Kind as Encoding;
use orc_rust::proto::stream::Kind;
use orc_rust::proto::{ColumnEncoding, RowIndex, RowIndexEntry};
use prost::Message;
use selvedge_node::{Error, Result};
use std::sync::Arc;

/// Seconds from 1970 to 2015, where ORC's timestamps start.
const EPOCH: i64 = 1_420_070_400;

/// A column and what lies below it.
pub struct Column {
    /// As an error names it.
    name: String,
    storage: DataType,
    present: Bits,
    data: Data,
    /// Of the group of rows that is open, and of the stripe.
    group: Stats,
    stripe: Stats,
    /// For each group of the stripe: where it begins among the bits of `present` and in `data`, and its statistics.
    index: Vec<Group>,
}

#[derive(Default)]
struct Group {
    present: Vec<u64>,
    data: Vec<u64>,
    stats: Stats,
}

enum Data {
    Bools(Bits),
    Bytes(Bytes),
    Ints(Ints),
    Floats(Stream),
    Text(Box<Text>),
    Binary(Box<Plain>),
    Decimal {
        digits: Stream,
        scales: Ints,
        scale: i64,
    },
    Time {
        seconds: Ints,
        nanos: Ints,
        unit: TimeUnit,
    },
    Struct(Vec<Column>),
    /// The children of each row: the items of a list, or the keys and the values of a map.
    Repeated {
        lengths: Ints,
        children: Vec<Column>,
    },
}

/// What a stripe holds of all columns, in the order of their numbers.
#[derive(Default)]
pub struct Parts {
    pub index: Vec<(u32, Vec<u8>)>,
    pub data: Vec<(u32, Kind, Vec<u8>)>,
    pub encodings: Vec<ColumnEncoding>,
    pub stats: Vec<Stats>,
}

impl Column {
    /// A column of a type that `unsupported` lets through.
    pub fn new(name: &str, ty: &DataType) -> Result<Column> {
        let refused = |help: &str| Error::bug(format!("column `{name}` of type {ty} in an ORC file: {help}"));
        let storage = storage(ty).map_err(refused)?;
        let below = || {
            let column = |f: &Arc<arrow::datatypes::Field>| {
                // The root has no name of its own.
                let path = if name.is_empty() { f.name().clone() } else { format!("{name}.{}", f.name()) };
                Column::new(&path, f.data_type())
            };
            children(&storage).iter().map(column).collect::<Result<Vec<_>>>()
        };
        let (data, values) = match &storage {
            DataType::Boolean => (Data::Bools(Bits::default()), Values::Bools { set: 0 }),
            DataType::Int8 => (Data::Bytes(Bytes::default()), Values::Ints(None, Some(0))),
            DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                (Data::Ints(Ints::new(true)), Values::Ints(None, Some(0)))
            }
            DataType::Date32 => (Data::Ints(Ints::new(true)), Values::Dates(None)),
            DataType::Float32 | DataType::Float64 => {
                (Data::Floats(Stream::default()), Values::Floats { range: None, sum: 0.0, nan: false })
            }
            DataType::Utf8 => (Data::Text(Box::default()), Values::Texts { range: None, bytes: 0 }),
            DataType::Binary => (Data::Binary(Box::default()), Values::Binary { bytes: 0 }),
            DataType::Decimal128(_, scale) => (
                Data::Decimal { digits: Stream::default(), scales: Ints::new(true), scale: (*scale).into() },
                Values::Decimals { range: None, sum: Some(0), scale: scale.unsigned_abs() },
            ),
            DataType::Timestamp(unit, _) => {
                (Data::Time { seconds: Ints::new(true), nanos: Ints::new(false), unit: *unit }, Values::Times(None))
            }
            DataType::Struct(_) => (Data::Struct(below()?), Values::None),
            DataType::List(_) | DataType::Map(..) => {
                let data = Data::Repeated { lengths: Ints::new(false), children: below()? };
                (data, Values::Children(None, Some(0)))
            }
            _ => return Err(refused("no storage")),
        };
        let stats = Stats::of(values);
        Ok(Column {
            name: name.to_string(),
            storage,
            present: Bits::default(),
            data,
            group: stats.clone(),
            stripe: stats,
            index: vec![],
        })
    }

    /// A group of rows begins, here and below.
    pub fn begin(&mut self, codec: &Codec) {
        let mut group = Group::default();
        self.present.position(codec, &mut group.present);
        let to = &mut group.data;
        match &mut self.data {
            Data::Bools(bits) => bits.position(codec, to),
            Data::Bytes(bytes) => bytes.position(codec, to),
            Data::Ints(ints) => ints.position(codec, to),
            Data::Floats(stream) => stream.position(codec, to),
            Data::Text(text) => text.begin(codec, to),
            Data::Binary(plain) => plain.position(codec, to),
            Data::Decimal { digits, scales, .. } => {
                digits.position(codec, to);
                scales.position(codec, to);
            }
            Data::Time { seconds, nanos, .. } => {
                seconds.position(codec, to);
                nanos.position(codec, to);
            }
            Data::Struct(children) => children.iter_mut().for_each(|c| c.begin(codec)),
            Data::Repeated { lengths, children } => {
                lengths.position(codec, to);
                children.iter_mut().for_each(|c| c.begin(codec));
            }
        }
        self.index.push(group);
    }

    /// The group that is open ends, here and below: nothing waits any more.
    pub fn end(&mut self, codec: &mut Codec) -> Result<()> {
        self.present.flush(codec)?;
        match &mut self.data {
            Data::Bools(bits) => bits.flush(codec)?,
            Data::Bytes(bytes) => bytes.flush(codec)?,
            Data::Ints(ints) => ints.flush(codec)?,
            Data::Floats(_) => {}
            Data::Text(text) => {
                if let Some(starts) = text.end(codec)? {
                    set_starts(&mut self.index, starts);
                }
            }
            Data::Binary(plain) => plain.flush(codec)?,
            Data::Decimal { scales, .. } => scales.flush(codec)?,
            Data::Time { seconds, nanos, .. } => {
                seconds.flush(codec)?;
                nanos.flush(codec)?;
            }
            Data::Struct(children) => children.iter_mut().try_for_each(|c| c.end(codec))?,
            Data::Repeated { lengths, children } => {
                lengths.flush(codec)?;
                children.iter_mut().try_for_each(|c| c.end(codec))?;
            }
        }
        let stats = self.group.take();
        self.stripe.merge(&stats);
        if let Some(group) = self.index.last_mut() {
            group.stats = stats;
        }
        Ok(())
    }

    /// Ends the stripe, after its last group, and adds what it holds of this column and those below.
    pub fn take(&mut self, codec: &mut Codec, parts: &mut Parts) -> Result<()> {
        let number = parts.stats.len() as u32;
        let (mut encoding, mut dictionary_size) = (Encoding::DirectV2, None);
        let mut streams = vec![];
        let present = self.present.take(codec)?;
        if self.stripe.nulls {
            streams.push((Kind::Present, present));
        }
        match &mut self.data {
            Data::Bools(bits) => {
                encoding = Encoding::Direct;
                streams.push((Kind::Data, bits.take(codec)?));
            }
            Data::Bytes(bytes) => {
                encoding = Encoding::Direct;
                streams.push((Kind::Data, bytes.take(codec)?));
            }
            Data::Ints(ints) => streams.push((Kind::Data, ints.take(codec)?)),
            Data::Floats(stream) => {
                encoding = Encoding::Direct;
                streams.push((Kind::Data, stream.take(codec)?));
            }
            Data::Text(text) => {
                let done = text.take(codec)?;
                if let Some(starts) = done.starts {
                    set_starts(&mut self.index, starts);
                }
                (encoding, dictionary_size) = (done.encoding, done.dictionary_size);
                streams.extend(done.streams);
            }
            Data::Binary(plain) => streams.extend(plain.take(codec)?),
            Data::Decimal { digits, scales, .. } => {
                streams.push((Kind::Data, digits.take(codec)?));
                streams.push((Kind::Secondary, scales.take(codec)?));
            }
            Data::Time { seconds, nanos, .. } => {
                streams.push((Kind::Data, seconds.take(codec)?));
                streams.push((Kind::Secondary, nanos.take(codec)?));
            }
            Data::Struct(_) => encoding = Encoding::Direct,
            Data::Repeated { lengths, .. } => streams.push((Kind::Length, lengths.take(codec)?)),
        }
        let entries = std::mem::take(&mut self.index).into_iter().map(|group| {
            // Without nulls there is no stream of bits to be found.
            let mut positions = if self.stripe.nulls { group.present } else { vec![] };
            positions.extend(group.data);
            RowIndexEntry { positions, statistics: Some(group.stats.proto()) }
        });
        let index = RowIndex { entry: entries.collect() };
        parts.index.push((number, codec.message(index.encode_to_vec())?));
        parts.encodings.push(ColumnEncoding { kind: Some(encoding.into()), dictionary_size, ..Default::default() });
        let mut stats = self.stripe.take();
        stats.bytes = streams.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        parts.stats.push(stats);
        parts.data.extend(streams.into_iter().map(|(kind, bytes)| (number, kind, bytes)));
        match &mut self.data {
            Data::Struct(children) | Data::Repeated { children, .. } => {
                children.iter_mut().try_for_each(|c| c.take(codec, parts))
            }
            _ => Ok(()),
        }
    }

    /// Statistics of no rows, of this column and those below.
    pub fn fresh(&self, to: &mut Vec<Stats>) {
        to.push(Stats::of(self.stripe.values.fresh()));
        if let Data::Struct(children) | Data::Repeated { children, .. } = &self.data {
            children.iter().for_each(|c| c.fresh(to));
        }
    }

    /// Bytes that the stripe would have now, about, and bytes of memory held.
    pub fn sizes(&self) -> (usize, usize) {
        let present = if self.stripe.nulls || self.group.nulls { self.present.len() } else { 0 };
        let (len, memory) = match &self.data {
            Data::Bools(bits) => (bits.len(), bits.memory()),
            Data::Bytes(bytes) => (bytes.len(), bytes.memory()),
            Data::Ints(ints) => (ints.len(), ints.memory()),
            Data::Floats(stream) => (stream.len(), stream.memory()),
            Data::Text(text) => (text.len(), text.memory()),
            Data::Binary(plain) => (plain.len(), plain.memory()),
            Data::Decimal { digits, scales, .. } => (digits.len() + scales.len(), digits.memory() + scales.memory()),
            Data::Time { seconds, nanos, .. } => (seconds.len() + nanos.len(), seconds.memory() + nanos.memory()),
            Data::Struct(children) => sum(children),
            Data::Repeated { lengths, children } => {
                let (len, memory) = sum(children);
                (lengths.len() + len, lengths.memory() + memory)
            }
        };
        (present + len, self.present.memory() + memory)
    }

    /// Rows that exist: where the parent is null, the child has none.
    pub fn append(&mut self, array: &ArrayRef, codec: &mut Codec) -> Result<()> {
        let array = if stored(array.data_type(), &self.storage) { array.clone() } else { cast(array, &self.storage)? };
        let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
        match &nulls {
            None => self.present.ones(array.len(), codec)?,
            Some(nulls) => {
                self.present.append(nulls.iter(), codec)?;
                self.group.nulls = true;
            }
        }
        self.group.count += (array.len() - nulls.as_ref().map_or(0, NullBuffer::null_count)) as u64;
        self.append_values(&array, nulls.as_ref(), codec)
    }

    fn append_values(&mut self, array: &ArrayRef, nulls: Option<&NullBuffer>, codec: &mut Codec) -> Result<()> {
        match (&mut self.data, &mut self.group.values) {
            (Data::Bools(bits), Values::Bools { set }) => {
                let array = array.as_boolean();
                *set += array.true_count() as u64;
                bits.append(array.iter().flatten(), codec)
            }
            (Data::Bytes(bytes), Values::Ints(range, total)) => {
                let values = values::<Int8Type, i64>(array, |v| v.into());
                note_ints(&values, range, total);
                bytes.append(&values.iter().map(|v| *v as u8).collect::<Vec<u8>>(), codec)
            }
            (Data::Ints(ints), Values::Ints(range, total)) => {
                let values = match &self.storage {
                    DataType::Int16 => values::<Int16Type, i64>(array, |v| v.into()),
                    DataType::Int32 => values::<Int32Type, i64>(array, |v| v.into()),
                    _ => values::<Int64Type, i64>(array, |v| v),
                };
                note_ints(&values, range, total);
                ints.append(&values, codec)
            }
            (Data::Ints(ints), Values::Dates(range)) => {
                let values = values::<Date32Type, i64>(array, |v| v.into());
                if let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) {
                    widen(range, *least as i32, *most as i32);
                }
                ints.append(&values, codec)
            }
            (Data::Floats(stream), Values::Floats { range, sum, nan }) => {
                let values = if self.storage == DataType::Float32 {
                    let values = values::<Float32Type, f32>(array, |v| v);
                    values.iter().for_each(|v| stream.chunk.extend_from_slice(&v.to_le_bytes()));
                    values.into_iter().map(f64::from).collect()
                } else {
                    let values = values::<Float64Type, f64>(array, |v| v);
                    values.iter().for_each(|v| stream.chunk.extend_from_slice(&v.to_le_bytes()));
                    values
                };
                for value in values {
                    *sum += value;
                    if value.is_nan() { *nan = true } else { widen(range, value, value) }
                }
                stream.settle(codec)
            }
            (Data::Text(text), Values::Texts { range, bytes }) => {
                let array = array.as_string::<i32>();
                for value in array.iter().flatten() {
                    widen_bytes(range, value.as_bytes());
                    *bytes += value.len() as i64;
                }
                text.append(array, codec)
            }
            (Data::Binary(plain), Values::Binary { bytes }) => {
                let array = array.as_binary::<i32>();
                *bytes += array.iter().flatten().map(|v| v.len() as i64).sum::<i64>();
                plain.append(array.iter().flatten(), codec)
            }
            (Data::Decimal { digits, scales, scale }, Values::Decimals { range, sum, .. }) => {
                let values = values::<Decimal128Type, i128>(array, |v| v);
                for value in &values {
                    widen(range, *value, *value);
                    add(sum, Some(*value), i128::checked_add);
                    long_varint(*value, &mut digits.chunk);
                }
                digits.settle(codec)?;
                scales.append(&vec![*scale; values.len()], codec)
            }
            (Data::Time { seconds, nanos, unit }, Values::Times(range)) => {
                let values = match unit {
                    TimeUnit::Second => values::<TimestampSecondType, i64>(array, |v| v),
                    TimeUnit::Millisecond => values::<TimestampMillisecondType, i64>(array, |v| v),
                    TimeUnit::Microsecond => values::<TimestampMicrosecondType, i64>(array, |v| v),
                    TimeUnit::Nanosecond => values::<TimestampNanosecondType, i64>(array, |v| v),
                };
                let per_second = per_second(*unit);
                let mut both = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
                for value in &values {
                    let (second, nano) =
                        time(*value, per_second).ok_or_else(|| unsayable(&self.name, *value, *unit))?;
                    both.0.push(second);
                    both.1.push(nano);
                }
                if let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) {
                    let scale = i128::from(1_000_000_000 / per_second);
                    widen(range, i128::from(*least) * scale, i128::from(*most) * scale);
                }
                seconds.append(&both.0, codec)?;
                nanos.append(&both.1, codec)
            }
            (Data::Struct(children), _) => {
                let keep = nulls.map(|n| BooleanArray::new(n.inner().clone(), None));
                for (column, child) in children.iter_mut().zip(array.as_struct().columns()) {
                    match &keep {
                        None => column.append(child, codec)?,
                        Some(keep) => column.append(&filter(child, keep)?, codec)?,
                    }
                }
                Ok(())
            }
            (Data::Repeated { lengths, children }, Values::Children(range, total)) => {
                let (offsets, below) = match array.as_list_opt::<i32>() {
                    Some(list) => (list.offsets(), vec![list.values().clone()]),
                    None => {
                        let map = array.as_map();
                        (map.offsets(), vec![map.keys().clone(), map.values().clone()])
                    }
                };
                let valid = |row: usize| nulls.is_none_or(|n| n.is_valid(row));
                let mut long: Vec<i64> = offsets.windows(2).map(|w| i64::from(w[1] - w[0])).collect();
                let mut row = 0;
                long.retain(|_| {
                    row += 1;
                    valid(row - 1)
                });
                note_ints(&long, range, total);
                lengths.append(&long, codec)?;
                for (column, child) in children.iter_mut().zip(below) {
                    column.append(&elements(&child, offsets, long.iter().sum(), valid)?, codec)?;
                }
                Ok(())
            }
            _ => Err(Error::bug(format!("column `{}` of an ORC file has no streams of its type", self.name))),
        }
    }
}

/// What is nested is stored as it is, each of its children as its own storage says.
fn stored(ty: &DataType, storage: &DataType) -> bool {
    use DataType::{List, Map, Struct};
    matches!((ty, storage), (Struct(_), Struct(_)) | (List(_), List(_)) | (Map(..), Map(..))) || ty == storage
}

fn set_starts(index: &mut [Group], starts: Vec<Vec<u64>>) {
    index.iter_mut().zip(starts).for_each(|(group, start)| group.data = start);
}

fn sum(columns: &[Column]) -> (usize, usize) {
    columns.iter().map(Column::sizes).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
}

/// The values that are not null.
fn values<T: ArrowPrimitiveType, V>(array: &ArrayRef, to: impl Fn(T::Native) -> V) -> Vec<V> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    match array.nulls().filter(|n| n.null_count() > 0) {
        None => array.values().iter().map(|v| to(*v)).collect(),
        Some(nulls) => nulls.valid_indices().map(|row| to(array.values()[row])).collect(),
    }
}

fn note_ints(values: &[i64], range: &mut Option<(i64, i64)>, total: &mut Option<i64>) {
    if let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) {
        widen(range, *least, *most);
        let sum: i128 = values.iter().map(|v| i128::from(*v)).sum();
        add(total, i64::try_from(sum).ok(), i64::checked_add);
    }
}

/// Zigzag and seven bits a byte, as long as it takes.
fn long_varint(value: i128, out: &mut Vec<u8>) {
    let mut zigzag = ((value << 1) ^ (value >> 127)) as u128;
    while zigzag > u64::MAX.into() {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    varint(zigzag as u64, out);
}

/// Seconds since 2015, and nanoseconds with the number of their zeros; nothing, where readers would see another time.
fn time(value: i64, per_second: i64) -> Option<(i64, i64)> {
    let mut seconds = value.div_euclid(per_second);
    let mut nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    // Readers take a second off, before 1970, from all times with a millisecond or more (ORC-763).
    if seconds < 0 && nanos > 999_999 {
        seconds += 1;
        if seconds == 0 {
            return None;
        }
    }
    let seconds = seconds.checked_sub(EPOCH)?;
    if nanos == 0 || nanos % 100 != 0 {
        return Some((seconds, nanos << 3));
    }
    nanos /= 100;
    let mut zeros = 1;
    while nanos % 10 == 0 && zeros < 7 {
        nanos /= 10;
        zeros += 1;
    }
    Some((seconds, nanos << 3 | zeros))
}

fn unsayable(name: &str, value: i64, unit: TimeUnit) -> Error {
    let text = format!(
        "column `{name}` has the timestamp {value} ({unit:?}s since 1970), which ORC's readers would read as another time"
    );
    Error::data(text).help("ORC cannot hold the last second before 1970 with its milliseconds, nor times beyond 64 bits of seconds: change or drop such rows, or write Parquet")
}

/// The elements of the lists that are there, one behind the other. `count`: how many.
fn elements(
    child: &ArrayRef,
    offsets: &OffsetBuffer<i32>,
    count: i64,
    valid: impl Fn(usize) -> bool,
) -> Result<ArrayRef> {
    let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
    if count as usize == last - first {
        return Ok(child.slice(first, last - first));
    }
    // A list that is null may have elements all the same.
    let rows = offsets.windows(2).enumerate().filter(|(row, _)| valid(*row));
    let indices = UInt64Array::from_iter_values(rows.flat_map(|(_, w)| w[0] as u64..w[1] as u64));
    Ok(take(child, &indices, None)?)
}
