//! ORC's run lengths: integers (version 2), bytes and bits.
//!
//! Integers are encoded in blocks of at most 512. Only the widths that the specification does not deprecate are written, and
//! no patched base: an outlier widens its block, and the compression takes that back.

use crate::stream::{Codec, Stream};
use selvedge_node::Result;

/// The longest run or list of literals.
const BLOCK: usize = 512;
/// A repetition this long interrupts a list of literals: shorter ones cost less inside it.
const WORTH: usize = 8;

/// A stream of whole numbers.
pub struct Ints {
    stream: Stream,
    waiting: Vec<i64>,
    /// Values may be below zero: they are zigzag encoded.
    signed: bool,
}

impl Ints {
    pub fn new(signed: bool) -> Ints {
        Ints { stream: Stream::default(), waiting: vec![], signed }
    }

    pub fn append(&mut self, mut values: &[i64], codec: &mut Codec) -> Result<()> {
        if !self.waiting.is_empty() {
            let (first, rest) = values.split_at(values.len().min(BLOCK - self.waiting.len()));
            self.waiting.extend_from_slice(first);
            values = rest;
            if self.waiting.len() == BLOCK {
                self.flush(codec)?;
            }
        }
        let (blocks, rest) = values.as_chunks::<BLOCK>();
        for block in blocks {
            encode(block, self.signed, &mut self.stream.chunk);
            self.stream.settle(codec)?;
        }
        self.waiting.extend_from_slice(rest);
        Ok(())
    }

    /// Encodes what waits: the next value begins a run, so that an index can point at it.
    pub fn flush(&mut self, codec: &mut Codec) -> Result<()> {
        encode(&self.waiting, self.signed, &mut self.stream.chunk);
        self.waiting.clear();
        self.stream.settle(codec)
    }

    /// Where the next run begins. Nothing may wait.
    pub fn position(&self, codec: &Codec, to: &mut Vec<u64>) {
        self.stream.position(codec, to);
        to.push(0);
    }

    pub fn take(&mut self, codec: &mut Codec) -> Result<Vec<u8>> {
        self.flush(codec)?;
        self.stream.take(codec)
    }

    pub fn len(&self) -> usize {
        self.stream.len() + self.waiting.len()
    }

    pub fn memory(&self) -> usize {
        self.stream.memory() + self.waiting.capacity() * size_of::<i64>()
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn raw(value: i64, signed: bool) -> u64 {
    if signed { zigzag(value) } else { value as u64 }
}

/// The shortest width that is not deprecated.
fn width(largest: u64) -> u32 {
    match 64 - largest.leading_zeros() {
        0 | 1 => 1,
        2 => 2,
        3 | 4 => 4,
        bits => bits.next_multiple_of(8),
    }
}

/// A width as the five bits of a header.
fn width_code(width: u32) -> u8 {
    match width {
        1..=24 => width as u8 - 1,
        _ => (width / 8 - 4) as u8 + 27,
    }
}

pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Encodes at most 512 values.
pub fn encode(block: &[i64], signed: bool, out: &mut Vec<u8>) {
    let mut from = 0;
    while from < block.len() {
        let rest = &block[from..];
        let equal = rest.iter().take_while(|v| **v == rest[0]).count();
        if equal >= WORTH || (equal >= 3 && equal == rest.len()) {
            repeat(rest[0], equal, signed, out);
            from += equal;
            continue;
        }
        // Literals up to the next repetition that is worth its header.
        let (mut to, mut same) = (rest.len(), 1);
        for (at, pair) in rest.windows(2).enumerate() {
            same = if pair[0] == pair[1] { same + 1 } else { 1 };
            if same == WORTH {
                to = at + 2 - WORTH;
                break;
            }
        }
        literals(&rest[..to], signed, out);
        from += to;
    }
}

fn header(kind: u8, width_code: u8, length: usize, out: &mut Vec<u8>) {
    let length = length - 1;
    out.extend_from_slice(&[kind << 6 | width_code << 1 | (length >> 8) as u8, length as u8]);
}

fn repeat(value: i64, count: usize, signed: bool, out: &mut Vec<u8>) {
    let value = raw(value, signed);
    if count <= 10 {
        let bytes = (64 - value.leading_zeros()).div_ceil(8).max(1) as usize;
        out.push(((bytes - 1) << 3 | (count - 3)) as u8);
        out.extend_from_slice(&value.to_be_bytes()[8 - bytes..]);
    } else {
        // A step of zero.
        header(3, 0, count, out);
        varint(value, out);
        out.push(0);
    }
}

fn literals(values: &[i64], signed: bool, out: &mut Vec<u8>) {
    let wide = width(values.iter().fold(0, |bits, v| bits | raw(*v, signed)));
    // Differences of such values cannot overflow.
    let [first, second, ..] = values else { return direct(values, wide, signed, out) };
    let step = second.wrapping_sub(*first);
    if wide > 56 || step == 0 || values.len() < 3 {
        return direct(values, wide, signed, out);
    }
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    for pair in values[1..].windows(2) {
        let step = pair[1] - pair[0];
        (least, most) = (least.min(step), most.max(step));
    }
    let begin = |width_code: u8, out: &mut Vec<u8>| {
        header(3, width_code, values.len(), out);
        varint(raw(*first, signed), out);
        varint(zigzag(step), out);
    };
    if least == step && most == step {
        return begin(0, out);
    }
    let one_way = if step > 0 { least >= 0 } else { most <= 0 };
    // The code of one bit means none here.
    let narrow = width(most.unsigned_abs().max(least.unsigned_abs())).max(2);
    if !one_way || narrow >= wide {
        return direct(values, wide, signed, out);
    }
    begin(width_code(narrow), out);
    pack(values[1..].windows(2).map(|pair| (pair[1] - pair[0]).unsigned_abs()), narrow, out);
}

fn direct(values: &[i64], width: u32, signed: bool, out: &mut Vec<u8>) {
    header(1, width_code(width), values.len(), out);
    if signed {
        pack(values.iter().map(|v| zigzag(*v)), width, out);
    } else {
        pack(values.iter().map(|v| *v as u64), width, out);
    }
}

/// Numbers of so many bits each, the highest bit first; the last byte is filled up.
fn pack(values: impl ExactSizeIterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    out.reserve((values.len() * width as usize).div_ceil(8));
    match width {
        8 => out.extend(values.map(|v| v as u8)),
        16 => values.for_each(|v| out.extend_from_slice(&(v as u16).to_be_bytes())),
        32 => values.for_each(|v| out.extend_from_slice(&(v as u32).to_be_bytes())),
        64 => values.for_each(|v| out.extend_from_slice(&v.to_be_bytes())),
        9.. => {
            let skip = 8 - width as usize / 8;
            values.for_each(|v| out.extend_from_slice(&v.to_be_bytes()[skip..]));
        }
        _ => {
            let (mut byte, mut free) = (0u8, 8);
            for value in values {
                free -= width;
                byte |= (value as u8) << free;
                if free == 0 {
                    out.push(byte);
                    (byte, free) = (0, 8);
                }
            }
            if free < 8 {
                out.push(byte);
            }
        }
    }
}

/// A stream of bytes: runs of 3 to 130, literals of 1 to 128.
#[derive(Default)]
pub struct Bytes {
    stream: Stream,
    waiting: Vec<u8>,
}

/// So many bytes wait until their runs are looked for.
const WAITING: usize = 4096;

impl Bytes {
    pub fn append(&mut self, mut bytes: &[u8], codec: &mut Codec) -> Result<()> {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(WAITING - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            bytes = rest;
            if self.waiting.len() == WAITING {
                self.flush(codec)?;
            }
        }
        Ok(())
    }

    pub fn flush(&mut self, codec: &mut Codec) -> Result<()> {
        encode_bytes(&self.waiting, &mut self.stream.chunk);
        self.waiting.clear();
        self.stream.settle(codec)
    }

    /// Where the next run begins. Nothing may wait.
    pub fn position(&self, codec: &Codec, to: &mut Vec<u64>) {
        self.stream.position(codec, to);
        to.push(0);
    }

    pub fn take(&mut self, codec: &mut Codec) -> Result<Vec<u8>> {
        self.flush(codec)?;
        self.stream.take(codec)
    }

    pub fn len(&self) -> usize {
        self.stream.len() + self.waiting.len()
    }

    pub fn memory(&self) -> usize {
        self.stream.memory() + self.waiting.capacity()
    }
}

pub fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let [first, ..] = rest {
        let equal = rest.iter().take(130).take_while(|b| *b == first).count();
        let used = if equal >= 3 {
            out.extend_from_slice(&[equal as u8 - 3, *first]);
            equal
        } else {
            let run = rest.windows(3).take(128).position(|w| w[0] == w[1] && w[1] == w[2]);
            let length = run.unwrap_or(rest.len().min(128));
            out.push((length as u8).wrapping_neg());
            out.extend_from_slice(&rest[..length]);
            length
        };
        rest = &rest[used..];
    }
}

/// A stream of bits, the first one highest.
#[derive(Default)]
pub struct Bits {
    bytes: Bytes,
    /// The byte that is not full yet, and how many bits are in it.
    partial: u8,
    bits: u32,
    scratch: Vec<u8>,
}

impl Bits {
    pub fn append(&mut self, bits: impl Iterator<Item = bool>, codec: &mut Codec) -> Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        for bit in bits {
            self.partial |= u8::from(bit) << (7 - self.bits);
            self.bits += 1;
            if self.bits == 8 {
                scratch.push(self.partial);
                (self.partial, self.bits) = (0, 0);
            }
        }
        let done = self.bytes.append(&scratch, codec);
        scratch.clear();
        self.scratch = scratch;
        done
    }

    /// `count` bits that are set.
    pub fn ones(&mut self, mut count: usize, codec: &mut Codec) -> Result<()> {
        let first = count.min((8 - self.bits as usize) % 8);
        self.append(std::iter::repeat_n(true, first), codec)?;
        count -= first;
        for _ in 0..count / 8 / WAITING {
            self.bytes.append(&[0xff; WAITING], codec)?;
        }
        self.bytes.append(&[0xff; WAITING][..count / 8 % WAITING], codec)?;
        self.append(std::iter::repeat_n(true, count % 8), codec)
    }

    pub fn flush(&mut self, codec: &mut Codec) -> Result<()> {
        self.bytes.flush(codec)
    }

    /// Where the next bit is: in the first byte of a run. Nothing but the byte that is not full may wait.
    pub fn position(&self, codec: &Codec, to: &mut Vec<u64>) {
        self.bytes.position(codec, to);
        to.push(self.bits.into());
    }

    pub fn take(&mut self, codec: &mut Codec) -> Result<Vec<u8>> {
        if self.bits > 0 {
            self.bytes.append(&[self.partial], codec)?;
            (self.partial, self.bits) = (0, 0);
        }
        self.bytes.take(codec)
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn memory(&self) -> usize {
        self.bytes.memory() + self.scratch.capacity()
    }
}
