//! A batch as it arrives: typed columns, without a copy.

use crate::bindings::types::{self, Node};
use crate::schema::{Field, Schema, Type};
use crate::view::{Native, view};
use crate::{Error, Mask, Result};
use std::borrow::Cow;
use std::rc::Rc;

/// Rows that arrived at a port. Only the columns that the plan reads are there.
#[derive(Debug, Clone)]
pub struct Batch {
    rows: usize,
    schema: Rc<Schema>,
    nodes: Vec<Node>,
    /// For each column of the schema its first node, where it was sent.
    starts: Vec<Option<usize>>,
}

impl Batch {
    /// Takes a batch of the contract apart: the columns in `reads`, or all.
    pub(crate) fn new(schema: Rc<Schema>, reads: Option<&[u32]>, batch: types::Batch) -> Result<Batch> {
        let mut next = 0;
        let mut starts = Vec::with_capacity(schema.fields.len());
        for (i, field) in schema.fields.iter().enumerate() {
            let sent = reads.is_none_or(|reads| reads.contains(&(i as u32)));
            starts.push(sent.then_some(next));
            next += if sent { field.nodes() } else { 0 };
        }
        if next != batch.nodes.len() {
            return Err(Error::bug(format!("expected {next} arrays of the batch, found {}", batch.nodes.len())));
        }
        Ok(Batch { rows: batch.rows as usize, schema, nodes: batch.nodes, starts })
    }
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// The columns of the port, those that are not read included.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
    fn field(&self, column: usize) -> Result<&Field> {
        self.schema
            .fields
            .get(column)
            .ok_or_else(|| Error::bug(format!("asked for column {column}, there are {}", self.schema.fields.len())))
    }
    #[cold]
    fn wrong(&self, column: usize, what: &str) -> Error {
        match self.field(column) {
            Ok(field) => Error::bug(format!("column `{}` is {}, {what}", field.name, field.ty)),
            Err(e) => e,
        }
    }
    /// The arrays of a column, itself and all below it: for types without a view of their own.
    pub fn nodes(&self, column: usize) -> Result<&[Node]> {
        let field = self.field(column)?;
        let Some(start) = self.starts.get(column).copied().flatten() else {
            return Err(Error::bug(format!("the plan does not read column `{}`", field.name)));
        };
        self.nodes.get(start..start + field.nodes()).ok_or_else(|| self.wrong(column, "its arrays are missing"))
    }
    fn node(&self, column: usize) -> Result<&Node> {
        let node = self.nodes(column)?.first().ok_or_else(|| self.wrong(column, "its array is missing"))?;
        match node.length as usize == self.rows {
            true => Ok(node),
            false => Err(self.wrong(column, &format!("of {} rows in a batch of {}", node.length, self.rows))),
        }
    }
    fn validity<'a>(&self, column: usize, node: &'a Node) -> Result<Option<&'a [u8]>> {
        match node.buffers.first() {
            Some(bits) if bits.is_empty() => Ok(None),
            Some(bits) if bits.len() >= self.rows.div_ceil(8) => Ok(Some(bits)),
            _ => Err(self.wrong(column, "its validity buffer is too short")),
        }
    }
    /// Where a column is null: of any type.
    pub fn nulls(&self, column: usize) -> Result<Mask> {
        if self.field(column)?.ty == Type::Null {
            return Ok(Mask::from_fn(self.rows, |_| true));
        }
        let validity = self.validity(column, self.node(column)?)?;
        Ok(Mask::from_fn(self.rows, |row| validity.is_some_and(|bits| !bit(bits, row))))
    }
    /// The bytes of numbers `width` wide, and where they are null.
    // Once for all types: it is called once for a batch.
    #[inline(never)]
    fn fixed(&self, column: usize, width: usize) -> Result<(&[u8], Option<&[u8]>)> {
        let node = self.node(column)?;
        let bytes = node.buffers.get(1).and_then(|b| b.get(..self.rows * width));
        let bytes = bytes.ok_or_else(|| self.wrong(column, "its values are too short"))?;
        Ok((bytes, self.validity(column, node)?))
    }
    /// Numbers, as they stand in the column. `T` must have its width: dates are `i32`, timestamps `i64`, decimals `i128`.
    fn native<T: Native>(&self, column: usize, fits: fn(&Type) -> bool, what: &str) -> Result<Values<'_, T>> {
        if !fits(&self.field(column)?.ty) {
            return Err(self.wrong(column, &format!("not {what}")));
        }
        let (bytes, validity) = self.fixed(column, size_of::<T>())?;
        Ok(Values { values: view(bytes, self.rows).unwrap_or_default(), validity })
    }
    /// A column of type Int64.
    pub fn i64(&self, column: usize) -> Result<Values<'_, i64>> {
        self.native(column, |t| *t == Type::Int64, "Int64")
    }
    /// A column of type Int32.
    pub fn i32(&self, column: usize) -> Result<Values<'_, i32>> {
        self.native(column, |t| *t == Type::Int32, "Int32")
    }
    /// A column of type Float64.
    pub fn f64(&self, column: usize) -> Result<Values<'_, f64>> {
        self.native(column, |t| *t == Type::Float64, "Float64")
    }
    /// A column of dates, as days since 1970.
    pub fn date(&self, column: usize) -> Result<Values<'_, i32>> {
        self.native(column, |t| *t == Type::Date, "a date")
    }
    /// A column of timestamps, in the unit of its type.
    pub fn timestamp(&self, column: usize) -> Result<Values<'_, i64>> {
        self.native(column, |t| matches!(t, Type::Timestamp(..)), "a timestamp")
    }
    /// A column of decimals, as whole numbers of its scale.
    pub fn decimal(&self, column: usize) -> Result<Values<'_, i128>> {
        self.native(column, |t| matches!(t, Type::Decimal(..)), "a decimal")
    }
    /// Whole numbers of any width, as the widest. Only Int64 comes without a copy.
    pub fn integers(&self, column: usize) -> Result<Values<'_, i64>> {
        let ty = &self.field(column)?.ty;
        let (width, signed) = match ty {
            Type::Int8 => (1, true),
            Type::Int16 => (2, true),
            Type::Int32 => (4, true),
            Type::UInt8 => (1, false),
            Type::UInt16 => (2, false),
            Type::UInt32 => (4, false),
            Type::UInt64 => (8, false),
            _ => return self.native(column, |t| *t == Type::Int64, "a whole number"),
        };
        let (values, validity) = self.fixed(column, width)?;
        // One loop for all widths: seven would be a tenth of a small plugin.
        let wide = |bytes: &[u8]| {
            let number = bytes.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
            let unused = 64 - 8 * width as u32;
            match signed {
                true => (number << unused) as i64 >> unused,
                // Beyond the range of i64 the value is the largest there is.
                false => i64::try_from(number).unwrap_or(i64::MAX),
            }
        };
        Ok(Values { values: Cow::Owned(values.chunks_exact(width).map(wide).collect()), validity })
    }
    /// Numbers of any type but decimal, as floating point. Only Float64 comes without a copy.
    pub fn numbers(&self, column: usize) -> Result<Values<'_, f64>> {
        match self.field(column)?.ty {
            Type::Float32 => Ok(self.native::<f32>(column, Type::is_float, "")?.map(f64::from)),
            Type::Float64 => self.f64(column),
            _ => Ok(self.integers(column)?.map(|n| n as f64)),
        }
    }
    /// A column of type Boolean.
    pub fn bool(&self, column: usize) -> Result<Bools<'_>> {
        if self.field(column)?.ty != Type::Bool {
            return Err(self.wrong(column, "not Boolean"));
        }
        let node = self.node(column)?;
        match node.buffers.get(1) {
            Some(bits) if bits.len() >= self.rows.div_ceil(8) => {
                Ok(Bools { bits, rows: self.rows, validity: self.validity(column, node)? })
            }
            _ => Err(self.wrong(column, "its values are too short")),
        }
    }
    /// A column of text.
    pub fn utf8(&self, column: usize) -> Result<Texts<'_>> {
        let ty = &self.field(column)?.ty;
        if !ty.is_text() {
            return Err(self.wrong(column, "not text"));
        }
        let node = self.node(column)?;
        let [_, offsets, text] = node.buffers.as_slice() else { return Err(self.wrong(column, "a buffer is missing")) };
        let offsets = match (ty, self.rows) {
            // Arrow allows an array of no rows to have no offsets.
            (_, 0) => Some(Cow::Owned(vec![0])),
            // An instance has less memory than 32-bit offsets reach.
            (Type::LargeUtf8, rows) => view::<i64>(offsets, rows + 1)
                .map(|wide| Cow::Owned(wide.iter().map(|o| i32::try_from(*o).unwrap_or(-1)).collect())),
            (_, rows) => view::<i32>(offsets, rows + 1),
        };
        let offsets = offsets.ok_or_else(|| self.wrong(column, "its offsets are too short"))?;
        let text = std::str::from_utf8(text).map_err(|_| self.wrong(column, "with bytes that are no UTF-8"))?;
        let ascending = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let inside = |o: &i32| usize::try_from(*o).is_ok_and(|o| o <= text.len());
        match ascending && offsets.first().is_some_and(inside) && offsets.last().is_some_and(inside) {
            true => Ok(Texts { offsets, text, rows: self.rows, validity: self.validity(column, node)? }),
            false => Err(self.wrong(column, "with offsets outside of its text")),
        }
    }
}

fn bit(bits: &[u8], row: usize) -> bool {
    bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

fn valid(validity: Option<&[u8]>, row: usize) -> bool {
    validity.is_none_or(|bits| bit(bits, row))
}

/// A column of numbers.
#[derive(Debug, Clone)]
pub struct Values<'a, T: Native> {
    values: Cow<'a, [T]>,
    validity: Option<&'a [u8]>,
}

impl<'a, T: Native> Values<'a, T> {
    /// The number of a row; none where it is null.
    pub fn get(&self, row: usize) -> Option<T> {
        self.values.get(row).copied().filter(|_| valid(self.validity, row))
    }
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<T>> + '_ {
        (0..self.values.len()).map(|row| self.get(row))
    }
    /// All of them at once, where nothing is null.
    pub fn slice(&self) -> Option<&[T]> {
        self.validity.is_none().then_some(self.values.as_ref())
    }
    fn map<U: Native>(self, with: impl Fn(T) -> U) -> Values<'a, U> {
        Values { values: Cow::Owned(self.values.iter().map(|v| with(*v)).collect()), validity: self.validity }
    }
}

/// A column of true and false.
#[derive(Debug, Clone)]
pub struct Bools<'a> {
    bits: &'a [u8],
    rows: usize,
    validity: Option<&'a [u8]>,
}

impl Bools<'_> {
    /// The value of a row; none where it is null.
    pub fn get(&self, row: usize) -> Option<bool> {
        (row < self.rows && valid(self.validity, row)).then(|| bit(self.bits, row))
    }
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<bool>> + '_ {
        (0..self.rows).map(|row| self.get(row))
    }
}

/// A column of text.
#[derive(Debug, Clone)]
pub struct Texts<'a> {
    offsets: Cow<'a, [i32]>,
    text: &'a str,
    rows: usize,
    validity: Option<&'a [u8]>,
}

impl<'a> Texts<'a> {
    /// The text of a row; none where it is null.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        if row >= self.rows || !valid(self.validity, row) {
            return None;
        }
        let (from, to) = (*self.offsets.get(row)?, *self.offsets.get(row + 1)?);
        self.text.get(from as usize..to as usize)
    }
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> + '_ {
        (0..self.rows).map(|row| self.get(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(ty: Type, rows: u32, buffers: Vec<Vec<u8>>) -> Batch {
        let schema = Rc::new(Schema::new([Field::new("a", ty)]));
        Batch::new(schema, None, types::Batch { rows, nodes: vec![Node { length: rows, null_count: 0, buffers }] })
            .unwrap()
    }

    #[test]
    fn what_the_host_gets_wrong_is_an_error_and_no_panic() {
        let texts = |offsets: &[u8], text: &[u8]| {
            let offsets = offsets.iter().flat_map(|o| i32::from(*o as i8).to_le_bytes()).collect();
            batch(Type::Utf8, 2, vec![vec![], offsets, text.to_vec()])
                .utf8(0)
                .map(|t| t.iter().count())
                .map_err(|e| e.message)
        };
        assert_eq!(texts(&[0, 1, 2], b"ab"), Ok(2));
        assert_eq!(texts(&[0, 1], b"ab").unwrap_err(), "column `a` is Utf8, its offsets are too short");
        for wrong in [[0, 3, 2], [0, 1, 3], [255, 1, 2]] {
            assert_eq!(texts(&wrong, b"ab").unwrap_err(), "column `a` is Utf8, with offsets outside of its text");
        }
        assert_eq!(texts(&[0, 1, 2], b"\xff\xff").unwrap_err(), "column `a` is Utf8, with bytes that are no UTF-8");

        let wrong = |ty: Type, buffers| batch(ty, 9, buffers);
        let message = |e: Error| e.message;
        assert_eq!(
            wrong(Type::Int64, vec![vec![], vec![0; 71]]).i64(0).map(|_| ()).map_err(message).unwrap_err(),
            "column `a` is Int64, its values are too short"
        );
        assert_eq!(
            wrong(Type::Bool, vec![vec![0], vec![0; 2]]).bool(0).map(|_| ()).map_err(message).unwrap_err(),
            "column `a` is Boolean, its validity buffer is too short"
        );
        assert_eq!(
            wrong(Type::Int64, vec![]).utf8(0).map(|_| ()).map_err(message).unwrap_err(),
            "column `a` is Int64, not text"
        );
        assert_eq!(
            wrong(Type::Int64, vec![]).i64(7).map(|_| ()).map_err(message).unwrap_err(),
            "asked for column 7, there are 1"
        );
    }

    #[test]
    fn whole_numbers_of_all_widths() {
        let read = |ty, bytes: &[u8]| batch(ty, 1, vec![vec![], bytes.to_vec()]).integers(0).unwrap().get(0);
        assert_eq!(read(Type::Int8, &[0xff]), Some(-1));
        assert_eq!(read(Type::UInt8, &[0xff]), Some(255));
        assert_eq!(read(Type::Int16, &[0xfe, 0xff]), Some(-2));
        assert_eq!(read(Type::UInt16, &[0xfe, 0xff]), Some(65534));
        assert_eq!(read(Type::Int32, &[1, 0, 0, 0x80]), Some(-0x7fff_ffff));
        assert_eq!(read(Type::UInt32, &[1, 0, 0, 0x80]), Some(0x8000_0001));
        assert_eq!(read(Type::UInt64, &[0xff; 8]), Some(i64::MAX));
        assert_eq!(read(Type::Int64, &[0xff; 8]), Some(-1));
    }

    #[test]
    fn only_columns_of_the_plan_are_there() {
        let schema = Rc::new(Schema::new([Field::new("a", Type::Int32), Field::new("b", Type::Int32)]));
        let node = Node { length: 1, null_count: 0, buffers: vec![vec![], vec![7, 0, 0, 0]] };
        let sent = types::Batch { rows: 1, nodes: vec![node] };
        let batch = Batch::new(schema.clone(), Some(&[1]), sent.clone()).unwrap();
        assert_eq!(batch.integers(1).unwrap().slice(), Some(&[7][..]));
        assert_eq!(batch.i32(0).unwrap_err().message, "the plan does not read column `a`");
        assert_eq!(Batch::new(schema, None, sent).unwrap_err().message, "expected 2 arrays of the batch, found 1");
    }
}
