//! New columns, and sets of rows.

use crate::bindings::types::Node;
use crate::view::{Native, bytes};

/// A new column, to be sent.
#[derive(Debug, Clone)]
pub struct Column {
    pub(crate) rows: usize,
    pub(crate) nodes: Vec<Node>,
}

impl Column {
    /// Numbers. The type of the output column says what they are: `i32` may be dates, `i64` timestamps, `i128` decimals.
    pub fn of<T: Native>(values: impl IntoIterator<Item = Option<T>>) -> Column {
        let mut validity = Validity::default();
        let values: Vec<T> = values.into_iter().map(|v| validity.see(v).unwrap_or_default()).collect();
        validity.column(vec![bytes(&values)])
    }
    /// Numbers without a null.
    pub fn of_all<T: Native>(values: &[T]) -> Column {
        Column { rows: values.len(), nodes: vec![node(values.len(), 0, vec![vec![], bytes(values)])] }
    }
    /// True and false.
    pub fn bool(values: impl IntoIterator<Item = Option<bool>>) -> Column {
        let mut validity = Validity::default();
        let mut bits = Mask::default();
        values.into_iter().for_each(|v| bits.push(validity.see(v).unwrap_or_default()));
        validity.column(vec![bits.bits])
    }
    /// Text.
    pub fn utf8<S: AsRef<str>>(values: impl IntoIterator<Item = Option<S>>) -> Column {
        let mut texts = Texts::default();
        values.into_iter().for_each(|v| texts.push(v.as_ref().map(AsRef::as_ref)));
        texts.finish()
    }
    /// Arrays in the format of the contract: for types without a builder of their own.
    pub fn raw(nodes: Vec<Node>) -> Column {
        Column { rows: nodes.first().map_or(0, |n| n.length as usize), nodes }
    }
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

fn node(rows: usize, nulls: usize, buffers: Vec<Vec<u8>>) -> Node {
    Node { length: rows as u32, null_count: nulls as u32, buffers }
}

#[derive(Default)]
struct Validity {
    bits: Mask,
    nulls: usize,
}

impl Validity {
    fn see<T>(&mut self, value: Option<T>) -> Option<T> {
        self.bits.push(value.is_some());
        self.nulls += usize::from(value.is_none());
        value
    }
    fn column(self, buffers: Vec<Vec<u8>>) -> Column {
        let rows = self.bits.len;
        let validity = if self.nulls == 0 { vec![] } else { self.bits.bits };
        let buffers = std::iter::once(validity).chain(buffers).collect();
        Column { rows, nodes: vec![node(rows, self.nulls, buffers)] }
    }
}

/// A column of text in the making, value by value.
pub struct Texts {
    validity: Validity,
    offsets: Vec<i32>,
    text: Vec<u8>,
}

impl Default for Texts {
    fn default() -> Texts {
        Texts { validity: Validity::default(), offsets: vec![0], text: vec![] }
    }
}

impl Texts {
    /// The next value.
    pub fn push(&mut self, value: Option<&str>) {
        if let Some(value) = self.validity.see(value) {
            self.text.extend_from_slice(value.as_bytes());
        }
        self.offsets.push(self.text.len() as i32);
    }
    /// The column.
    pub fn finish(self) -> Column {
        self.validity.column(vec![bytes(&self.offsets), self.text])
    }
}

/// A set of a batch's rows: a bit for each of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mask {
    bits: Vec<u8>,
    len: usize,
}

impl Mask {
    /// The rows for which `inside` is true.
    pub fn from_fn(rows: usize, mut inside: impl FnMut(usize) -> bool) -> Mask {
        // A byte at a time and without a branch: an eighth of the stores of setting bits one by one.
        let byte = |start: usize| {
            (start..rows.min(start + 8)).fold(0, |byte, row| byte | u8::from(inside(row)) << (row - start))
        };
        Mask { bits: (0..rows).step_by(8).map(byte).collect(), len: rows }
    }
    /// None of the rows.
    pub fn none(rows: usize) -> Mask {
        Mask { bits: vec![0; rows.div_ceil(8)], len: rows }
    }
    /// Adds a row; nothing happens where there is no such row.
    pub fn set(&mut self, row: usize) {
        if let (Some(byte), true) = (self.bits.get_mut(row / 8), row < self.len) {
            *byte |= 1 << (row % 8);
        }
    }
    /// Whether a row is in it.
    pub fn get(&self, row: usize) -> bool {
        row < self.len && self.bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }
    /// How many rows are in it.
    pub fn count(&self) -> usize {
        self.bits.iter().map(|b| b.count_ones() as usize).sum()
    }
    /// The other rows.
    #[must_use]
    pub fn not(&self) -> Mask {
        let mut bits: Vec<u8> = self.bits.iter().map(|byte| !byte).collect();
        // What is behind the last row stays 0, so that counting is counting bits.
        if let (Some(last), rest @ 1..) = (bits.last_mut(), self.len % 8) {
            *last &= (1 << rest) - 1;
        }
        Mask { bits, len: self.len }
    }
    /// The rows in it, ascending.
    pub fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).filter(|row| self.get(*row))
    }
    /// As an Arrow bitmap.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }
    pub(crate) fn len(&self) -> usize {
        self.len
    }
    fn push(&mut self, inside: bool) {
        if self.len.is_multiple_of(8) {
            self.bits.push(0);
        }
        self.len += 1;
        if inside {
            self.set(self.len - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_arrow_says() {
        let column = Column::utf8([Some("né"), None, Some("x")]);
        let offsets: Vec<u8> = [0_i32, 3, 3, 4].iter().flat_map(|o| o.to_le_bytes()).collect();
        assert_eq!(column.nodes[0].buffers, [vec![0b101], offsets, "néx".as_bytes().to_vec()]);
        assert_eq!((column.nodes[0].length, column.nodes[0].null_count, column.rows()), (3, 1, 3));

        let column = Column::bool((0..9).map(|i| Some(i % 2 == 0)));
        assert_eq!(column.nodes[0].buffers, [vec![], vec![0b0101_0101, 1]]);
        assert_eq!(Column::of([Some(1_i32), None]).nodes[0].buffers, [vec![1], vec![1, 0, 0, 0, 0, 0, 0, 0]]);
    }

    #[test]
    fn masks_know_their_rows() {
        let mut mask = Mask::from_fn(10, |row| row > 7);
        mask.set(100);
        assert_eq!((mask.count(), mask.not().count(), mask.get(100)), (2, 8, false));
        assert_eq!(mask.rows().collect::<Vec<_>>(), [8, 9]);
    }
}
