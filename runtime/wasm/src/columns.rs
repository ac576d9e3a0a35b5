//! Arrow arrays as the contract has them: for each array, and then its children, a node of raw buffers that start at row 0.

use crate::bindings::selvedge::plugin::types::NodeResult;
use arrow::array::{Array, ArrayData, ArrayDataBuilder, ArrayRef, Decimal128Array, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Field};

/// One array on its way to a plugin. Buffers are shared with the array, but for bitmaps that do not start at a byte and
/// offsets that do not start at 0.
pub struct Node {
    pub length: u32,
    pub null_count: u32,
    pub buffers: Vec<Buffer>,
}

/// Whether a column of this type can cross the boundary.
pub fn crosses(ty: &DataType) -> bool {
    match ty {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            crosses(f.data_type())
        }
        DataType::Struct(fields) => fields.iter().all(|f| crosses(f.data_type())),
        DataType::Null
        | DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::FixedSizeBinary(_) => true,
        other => other.primitive_width().is_some(),
    }
}

/// The nodes of an array, depth first. The type must cross.
pub fn flatten(array: &dyn Array, into: &mut Vec<Node>) {
    let data = array.to_data();
    flatten_range(&data, 0, data.len(), into);
}

fn flatten_range(data: &ArrayData, from: usize, length: usize, into: &mut Vec<Node>) {
    let at = data.offset() + from;
    let nulls = data.nulls().map(|n| n.slice(from, length)).filter(|n| n.null_count() > 0);
    let validity = nulls.as_ref().map_or_else(empty, |n| n.inner().sliced());
    let null_count = match data.data_type() {
        DataType::Null => length,
        _ => nulls.as_ref().map_or(0, NullBuffer::null_count),
    };
    let node = |buffers| Node { length: length as u32, null_count: null_count as u32, buffers };
    let fixed = |width: usize| data.buffers()[0].slice_with_length(at * width, length * width);
    match data.data_type() {
        DataType::Null => into.push(node(vec![])),
        DataType::Boolean => {
            let bits = BooleanBuffer::new(data.buffers()[0].clone(), at, length).sliced();
            into.push(node(vec![validity, bits]));
        }
        DataType::Utf8 | DataType::Binary => {
            let (offsets, first, size) = offsets::<i32>(data, at, length);
            into.push(node(vec![validity, offsets, data.buffers()[1].slice_with_length(first, size)]));
        }
        DataType::LargeUtf8 | DataType::LargeBinary => {
            let (offsets, first, size) = offsets::<i64>(data, at, length);
            into.push(node(vec![validity, offsets, data.buffers()[1].slice_with_length(first, size)]));
        }
        DataType::List(_) | DataType::Map(_, _) => {
            let (offsets, first, size) = offsets::<i32>(data, at, length);
            into.push(node(vec![validity, offsets]));
            flatten_range(&data.child_data()[0], first, size, into);
        }
        DataType::LargeList(_) => {
            let (offsets, first, size) = offsets::<i64>(data, at, length);
            into.push(node(vec![validity, offsets]));
            flatten_range(&data.child_data()[0], first, size, into);
        }
        DataType::FixedSizeList(_, n) => {
            let n = *n as usize;
            into.push(node(vec![validity]));
            flatten_range(&data.child_data()[0], at * n, length * n, into);
        }
        DataType::Struct(_) => {
            into.push(node(vec![validity]));
            data.child_data().iter().for_each(|child| flatten_range(child, at, length, into));
        }
        DataType::FixedSizeBinary(n) => into.push(node(vec![validity, fixed(*n as usize)])),
        other => into.push(node(vec![validity, fixed(other.primitive_width().unwrap_or(0))])),
    }
}

fn empty() -> Buffer {
    Buffer::from(&[][..])
}

/// Offsets that start at 0, and where their values start and how many there are.
fn offsets<O: ArrowNativeType + std::ops::Sub<Output = O>>(
    data: &ArrayData,
    at: usize,
    length: usize,
) -> (Buffer, usize, usize) {
    let width = size_of::<O>();
    let all = &data.buffers()[0];
    // An array of no rows may have no offsets at all.
    if all.len() < (at + length + 1) * width {
        return (Buffer::from_vec(vec![O::default()]), 0, 0);
    }
    let own = all.slice_with_length(at * width, (length + 1) * width);
    let typed = own.typed_data::<O>();
    let (first, last) = (typed[0].as_usize(), typed[length].as_usize());
    let own = match first {
        0 => own,
        _ => Buffer::from_vec(typed.iter().map(|o| *o - typed[0]).collect::<Vec<O>>()),
    };
    (own, first, last - first)
}

/// Bytes that some rows of an array take, validity left aside.
pub fn range_bytes(data: &ArrayData, from: usize, length: usize) -> usize {
    let at = data.offset() + from;
    let span32 = |data: &ArrayData| {
        let offsets = data.buffers()[0].typed_data::<i32>();
        (offsets[at] as usize, (offsets[at + length] - offsets[at]) as usize)
    };
    let span64 = |data: &ArrayData| {
        let offsets = data.buffers()[0].typed_data::<i64>();
        (offsets[at] as usize, (offsets[at + length] - offsets[at]) as usize)
    };
    match data.data_type() {
        _ if length == 0 => 0,
        DataType::Null => 0,
        DataType::Boolean => length.div_ceil(8),
        DataType::Utf8 | DataType::Binary => span32(data).1 + 4 * length,
        DataType::LargeUtf8 | DataType::LargeBinary => span64(data).1 + 8 * length,
        DataType::List(_) | DataType::Map(_, _) => {
            let (first, size) = span32(data);
            range_bytes(&data.child_data()[0], first, size) + 4 * length
        }
        DataType::LargeList(_) => {
            let (first, size) = span64(data);
            range_bytes(&data.child_data()[0], first, size) + 8 * length
        }
        DataType::FixedSizeList(_, n) => range_bytes(&data.child_data()[0], at * *n as usize, length * *n as usize),
        DataType::Struct(_) => data.child_data().iter().map(|child| range_bytes(child, at, length)).sum(),
        DataType::FixedSizeBinary(n) => length * *n as usize,
        // A type that cannot cross can still be passed on: what its rows take on the average.
        other => match other.primitive_width() {
            Some(width) => length * width,
            None => data.get_array_memory_size() * length / data.len().max(1),
        },
    }
}

/// Makes a column of `rows` rows out of its nodes, trusting nothing: lengths, offsets, UTF-8, null counts and the precision
/// of decimals are checked. The message says what is wrong with which part.
pub fn assemble(field: &Field, rows: usize, nodes: &mut dyn Iterator<Item = NodeResult>) -> Result<ArrayRef, String> {
    let data = build(field, Some(rows), nodes)?;
    let data = data.align_buffers(true).build().map_err(|e| format!("column `{}`: {e}", field.name()))?;
    let array = make_array(data);
    check_decimals(&array).map_err(|e| format!("column `{}`: {e}", field.name()))?;
    Ok(array)
}

fn check_decimals(array: &ArrayRef) -> Result<(), String> {
    if let (DataType::Decimal128(precision, _), Some(decimals)) =
        (array.data_type(), array.as_any().downcast_ref::<Decimal128Array>())
    {
        decimals.validate_decimal_precision(*precision).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// `rows`: how long it must be, where the parent says so.
fn build(
    field: &Field,
    rows: Option<usize>,
    nodes: &mut dyn Iterator<Item = NodeResult>,
) -> Result<ArrayDataBuilder, String> {
    let wrong = |what: String| format!("column `{}`: {what}", field.name());
    let Some(node) = nodes.next() else { return Err(wrong("its array is missing".into())) };
    let length = node.length as usize;
    if let Some(rows) = rows.filter(|rows| *rows != length) {
        return Err(wrong(format!("{length} values where {rows} were announced")));
    }
    let expected = buffer_count(field.data_type());
    if node.buffers.len() != expected {
        return Err(wrong(format!("{} buffers, but {} has {expected}", node.buffers.len(), field.data_type())));
    }
    let mut buffers = node.buffers.into_iter().map(Buffer::from_vec);
    let mut builder = ArrayDataBuilder::new(field.data_type().clone()).len(length);
    if *field.data_type() == DataType::Null {
        return Ok(builder);
    }
    let nulls = match buffers.next() {
        Some(bits) if !bits.is_empty() => {
            if bits.len() < length.div_ceil(8) {
                return Err(wrong(format!("a validity bitmap of {} bytes for {length} values", bits.len())));
            }
            Some(NullBuffer::new(BooleanBuffer::new(bits, 0, length)))
        }
        _ => None,
    };
    let found = nulls.as_ref().map_or(0, NullBuffer::null_count);
    if found != node.null_count as usize {
        return Err(wrong(format!("{found} nulls where {} were announced", node.null_count)));
    }
    if found > 0 && !field.is_nullable() {
        return Err(wrong(format!("{found} nulls in a column that the schema says has none")));
    }
    builder = builder.nulls(nulls).buffers(buffers.collect());
    let children: Vec<(&Field, Option<usize>)> = match field.data_type() {
        DataType::List(f) | DataType::LargeList(f) | DataType::Map(f, _) => vec![(f, None)],
        DataType::FixedSizeList(f, n) => vec![(f, length.checked_mul(*n as usize))],
        DataType::Struct(fields) => fields.iter().map(|f| (f.as_ref(), Some(length))).collect(),
        _ => vec![],
    };
    for (child, rows) in children {
        let child = build(child, rows, nodes)?.align_buffers(true);
        let child = child.build().map_err(|e| wrong(e.to_string()))?;
        check_decimals(&make_array(child.clone())).map_err(wrong)?;
        builder = builder.add_child_data(child);
    }
    Ok(builder)
}

/// Validity included.
fn buffer_count(ty: &DataType) -> usize {
    match ty {
        DataType::Null => 0,
        DataType::Struct(_) | DataType::FixedSizeList(_, _) => 1,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => 3,
        _ => 2,
    }
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
