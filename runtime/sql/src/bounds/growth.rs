//! What the functions that grow make of their arguments, in bytes: exactly where that is cheap, else an upper bound.

use super::MAX_VALUE;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use selvedge_node::Error;

/// How a function grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// `repeat(text, n)`
    Repeat,
    /// `lpad(text, n, fill)`
    Pad,
    /// `array_repeat(element, n)`
    ArrayRepeat,
    /// `array_resize(list, n, element)`
    ArrayResize,
    /// `range(start, stop, step)`
    Range,
    /// `replace(text, from, to)`
    Replace,
    /// `regexp_replace(text, pattern, to, flags)`
    RegexpReplace,
    /// `array_replace(list, from, to)`
    ArrayReplace,
    /// `array_to_string(list, separator, null)`
    ArrayToString,
    /// `concat_ws(separator, …)`
    JoinWith,
    /// All arguments side by side, constants on every row: `concat`, `make_array`.
    Join,
    /// Nothing to count when it runs, but its type may be wide: `arrow_cast(x, 'FixedSizeBinary(1000000000)')`.
    Type,
}

/// What a function would make of a batch.
#[derive(Default)]
pub(super) struct Grown {
    /// Bytes of all values but those that are too large.
    pub total: u64,
    /// Bytes of the first value that is too large.
    pub too_large: Option<u64>,
}

impl Growth {
    pub(super) fn of(function: &str) -> Option<Growth> {
        Some(match function {
            "repeat" => Growth::Repeat,
            "lpad" | "rpad" => Growth::Pad,
            "array_repeat" => Growth::ArrayRepeat,
            "array_resize" => Growth::ArrayResize,
            "range" | "generate_series" => Growth::Range,
            "replace" => Growth::Replace,
            "regexp_replace" => Growth::RegexpReplace,
            "array_replace" | "array_replace_n" | "array_replace_all" => Growth::ArrayReplace,
            "array_to_string" => Growth::ArrayToString,
            "concat_ws" => Growth::JoinWith,
            "concat" | "make_array" | "struct" | "named_struct" | "map" | "array_append" | "array_prepend"
            | "array_concat" | "overlay" => Growth::Join,
            "arrow_cast" | "arrow_try_cast" | "cast_to_type" | "try_cast_to_type" => Growth::Type,
            _ => return None,
        })
    }

    pub(super) fn bytes(self, args: &[ColumnarValue], rows: usize) -> Result<Grown> {
        let all_scalar = args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        // Constants alone give one constant.
        let rows = if all_scalar { 1 } else { rows };
        let args = args.iter().map(|a| Column::new(a, rows)).collect::<Result<Vec<_>>>()?;
        match (self, args.as_slice()) {
            (Growth::Repeat, [text, count]) => {
                let count = count.ints()?;
                // Nearly always every value is small, and so is all of them together.
                if text.total().saturating_mul(count.most()) <= MAX_VALUE {
                    return Ok(Grown::default());
                }
                each(rows, |row| Ok(times(text.len(row), count.at(row))))
            }
            (Growth::Pad, [text, length, fill @ ..]) => {
                let length = length.ints()?;
                let quick = length.most().saturating_mul(4 * rows as u64).saturating_add(text.total());
                if quick <= MAX_VALUE {
                    return Ok(Grown::default());
                }
                // A character of the filling has up to four bytes.
                let wide = |row| fill.first().is_some_and(|f| !f.text(row).unwrap_or("").is_ascii());
                each(rows, |row| {
                    let fill = times(if wide(row) { 4 } else { 1 }, length.at(row));
                    Ok(text.len(row).saturating_add(fill))
                })
            }
            (Growth::ArrayRepeat, [element, count]) => {
                let count = count.ints()?;
                each(rows, |row| Ok(times(element.element(row), count.at(row))))
            }
            (Growth::ArrayResize, [list, size, default @ ..]) => {
                let size = size.ints()?;
                each(rows, |row| {
                    let n = size.at(row).unwrap_or(0);
                    if n < 0 {
                        let negative = Error::data(format!("a list cannot have {n} elements: expected 0 or more"));
                        return Err(DataFusionError::External(Box::new(negative)));
                    }
                    let default = default.first().map_or(INDEX, |d| d.element(row));
                    Ok(list.len(row).saturating_add(times(default, Some(n))))
                })
            }
            (Growth::Range, args) => range(args, rows),
            (Growth::Replace, [text, from, to]) => {
                if multiplied(text, to, rows) <= MAX_VALUE {
                    return Ok(Grown::default());
                }
                each(rows, |row| {
                    let (Some(text), Some(from), Some(to)) = (text.text(row), from.text(row), to.text(row)) else {
                        return Ok(0);
                    };
                    let found = text.matches(from).count() as u64;
                    Ok((text.len() as u64).saturating_add(found.saturating_mul(to.len() as u64)))
                })
            }
            (Growth::RegexpReplace, [text, _, to, flags @ ..]) => {
                if multiplied(text, to, rows).saturating_mul(2) <= MAX_VALUE {
                    return Ok(Grown::default());
                }
                let mut total = 0u64;
                for row in 0..rows {
                    let (length, to) = (text.len(row), to.text(row).unwrap_or(""));
                    let all = flags.first().is_some_and(|f| f.text(row).unwrap_or("").contains('g'));
                    let matches = if all { length + 1 } else { 1 };
                    // What the groups of all matches hold is no more than the text, each time that one is named.
                    let groups = to.matches(['\\', '$']).count() as u64 + 1;
                    let value = groups.saturating_mul(length).saturating_add(matches.saturating_mul(to.len() as u64));
                    total = total.saturating_add(value);
                }
                Ok(Grown { total, too_large: None })
            }
            (Growth::ArrayReplace, [list, _, to, ..]) => {
                // What a row would take if all of its elements were replaced.
                if list.total().saturating_add(rows as u64).saturating_mul(to.most()) <= MAX_VALUE {
                    return Ok(Grown::default());
                }
                sum(rows, |row| list.len(row).saturating_add(list.leaves(row).saturating_mul(to.element(row))))
            }
            (Growth::ArrayToString, [list, separator, null @ ..]) => sum(rows, |row| {
                let between = separator.len(row).saturating_add(null.first().map_or(0, |n| n.len(row)));
                list.len(row).saturating_add(list.leaves(row).saturating_mul(between.saturating_add(NUMBER)))
            }),
            (Growth::JoinWith, [separator, parts @ ..]) => {
                let parts_total = parts.iter().fold(0u64, |sum, p| sum.saturating_add(p.total()));
                let separators = separator.total().saturating_mul(parts.len() as u64);
                Ok(Grown { total: parts_total.saturating_add(separators), too_large: None })
            }
            (Growth::Join, parts) => {
                let total = parts.iter().fold(0u64, |sum, p| sum.saturating_add(p.total()));
                Ok(Grown { total, too_large: None })
            }
            // Arguments that the function itself refuses.
            _ => Ok(Grown::default()),
        }
    }
}

/// What a list keeps for an element beside its bytes: an offset, or the index that it is taken by.
const INDEX: u64 = 8;
/// A number as text.
const NUMBER: u64 = 32;

fn times(bytes: u64, n: Option<i64>) -> u64 {
    bytes.saturating_mul(u64::try_from(n.unwrap_or(0)).unwrap_or(0))
}

/// At most what replacing in all texts gives, by their lengths alone.
fn multiplied(text: &Column, to: &Column, rows: usize) -> u64 {
    let places = text.total().saturating_add(rows as u64);
    text.total().saturating_add(places.saturating_mul(to.most()))
}

fn each(rows: usize, bytes: impl Fn(usize) -> Result<u64>) -> Result<Grown> {
    let mut grown = Grown::default();
    for row in 0..rows {
        match bytes(row)? {
            large if large > MAX_VALUE => grown.too_large = grown.too_large.or(Some(large)),
            fits => grown.total = grown.total.saturating_add(fits),
        }
    }
    Ok(grown)
}

/// As [`each`], for upper bounds: no single value is refused for what it might have become.
fn sum(rows: usize, bytes: impl Fn(usize) -> u64) -> Result<Grown> {
    let total = (0..rows).fold(0u64, |sum, row| sum.saturating_add(bytes(row)));
    Ok(Grown { total, too_large: None })
}

fn range(args: &[Column], rows: usize) -> Result<Grown> {
    let value = |count: u128, bytes: u64| u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(bytes);
    match args {
        [Column { array, .. }, ..] if *array.data_type() == DataType::Int64 => {
            let ints = args.iter().map(Column::ints).collect::<Result<Vec<_>>>()?;
            let (start, stop, step) = match ints.as_slice() {
                [stop] => (None, stop, None),
                [start, stop] => (Some(start), stop, None),
                [start, stop, step, ..] => (Some(start), stop, Some(step)),
                [] => return Ok(Grown::default()),
            };
            each(rows, |row| {
                let part = |c: Option<&Ints>, or: i64| c.map_or(Some(or), |c| c.at(row));
                let (Some(start), Some(stop), Some(step)) = (part(start, 0), stop.at(row), part(step, 1)) else {
                    return Ok(0);
                };
                Ok(value(steps(start.into(), stop.into(), step.into()), 8))
            })
        }
        [start, stop, step] => {
            let date = matches!(start.array.data_type(), DataType::Date32 | DataType::Date64);
            let (start, stop) = (start.instants(date)?, stop.instants(date)?);
            let intervals = cast(&step.array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
            each(rows, |row| {
                let (Some(start), Some(stop)) = (start.at(row), stop.at(row)) else { return Ok(0) };
                let at = step.at(row);
                if intervals.is_null(at) {
                    return Ok(0);
                }
                let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(intervals.value(at));
                let parts = [i64::from(months), i64::from(days), nanos];
                if parts.iter().any(|p| *p > 0) && parts.iter().any(|p| *p < 0) {
                    let mixed = "expected a step whose parts all go the same way: nobody can tell where this one ends";
                    return Err(DataFusionError::External(Box::new(Error::data(mixed))));
                }
                // The least that a step moves: the shortest month, less the hour that a clock may be put back.
                let days = i128::from(months) * 27 + i128::from(days);
                Ok(match date {
                    true => value(steps(start.into(), stop.into(), days), 4),
                    false => {
                        let step = days * (23 * 3_600_000_000_000) + i128::from(nanos);
                        value(steps(start.into(), stop.into(), step), 8)
                    }
                })
            })
        }
        _ => Ok(Grown::default()),
    }
}

/// At most how many values there are from `start` to `stop`. A step of nothing is the function's to refuse.
fn steps(start: i128, stop: i128, step: i128) -> u128 {
    if step == 0 || (step > 0) != (stop >= start) && start != stop {
        return 0;
    }
    start.abs_diff(stop) / step.unsigned_abs() + 1
}

/// An argument: one value for every row, or a constant.
struct Column {
    array: ArrayRef,
    constant: bool,
    rows: usize,
}

impl Column {
    fn new(value: &ColumnarValue, rows: usize) -> Result<Column> {
        Ok(match value {
            ColumnarValue::Array(array) => Column { array: array.clone(), constant: false, rows },
            ColumnarValue::Scalar(value) => Column { array: value.to_array()?, constant: true, rows },
        })
    }

    fn at(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    fn text(&self, row: usize) -> Option<&str> {
        let at = self.at(row);
        if self.array.is_null(at) {
            return None;
        }
        match self.array.data_type() {
            DataType::Utf8 => Some(self.array.as_string::<i32>().value(at)),
            DataType::LargeUtf8 => Some(self.array.as_string::<i64>().value(at)),
            DataType::Utf8View => Some(self.array.as_string_view().value(at)),
            _ => None,
        }
    }

    /// Bytes of the value in a row.
    fn len(&self, row: usize) -> u64 {
        match self.array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => self.text(row).map_or(0, |t| t.len() as u64),
            other => match other.primitive_width() {
                Some(width) => width as u64,
                None => bytes(&self.array.slice(self.at(row), 1)),
            },
        }
    }

    /// Bytes of the value in a row as one more element of a list.
    fn element(&self, row: usize) -> u64 {
        let nested = if self.array.data_type().is_nested() { INDEX.saturating_mul(self.leaves(row)) } else { 0 };
        (2 * INDEX).saturating_add(self.len(row)).saturating_add(nested)
    }

    /// How many values are in the list of a row, and in the lists in it.
    fn leaves(&self, row: usize) -> u64 {
        leaves(&self.array.slice(self.at(row), 1))
    }

    /// Bytes of the values of all rows.
    fn total(&self) -> u64 {
        bytes(&self.array).saturating_mul(if self.constant { self.rows as u64 } else { 1 })
    }

    /// Bytes that no value has more of.
    fn most(&self) -> u64 {
        bytes(&self.array)
    }

    fn ints(&self) -> Result<Ints> {
        Ok(Ints { array: cast(&self.array, &DataType::Int64)?, constant: self.constant })
    }

    /// Dates as days, timestamps as nanoseconds.
    fn instants(&self, dates: bool) -> Result<Ints> {
        let array = match (dates, self.array.data_type()) {
            (true, _) => cast(&cast(&self.array, &DataType::Date32)?, &DataType::Int32)?,
            (false, DataType::Timestamp(_, zone)) => {
                cast(&self.array, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?
            }
            (false, _) => self.array.clone(),
        };
        Ok(Ints { array: cast(&array, &DataType::Int64)?, constant: self.constant })
    }
}

/// The values of all lists of an array, as far as it reaches them.
fn inside(array: &ArrayRef) -> Option<ArrayRef> {
    let within = |values: &ArrayRef, first: usize, last: usize| Some(values.slice(first, last - first));
    match array.data_type() {
        DataType::List(_) => {
            let (list, n) = (array.as_list::<i32>(), array.len());
            within(list.values(), list.value_offsets()[0] as usize, list.value_offsets()[n] as usize)
        }
        DataType::LargeList(_) => {
            let (list, n) = (array.as_list::<i64>(), array.len());
            within(list.values(), list.value_offsets()[0] as usize, list.value_offsets()[n] as usize)
        }
        DataType::FixedSizeList(..) => Some(array.as_fixed_size_list().values().clone()),
        _ => None,
    }
}

fn leaves(array: &ArrayRef) -> u64 {
    inside(array).map_or(array.len() as u64, |values| leaves(&values))
}

/// Bytes of the values of an array, without those of the buffers that it does not reach.
pub(crate) fn bytes(array: &ArrayRef) -> u64 {
    if let Some(values) = inside(array) {
        return bytes(&values).saturating_add(INDEX.saturating_mul(array.len() as u64));
    }
    let size = match array.data_type() {
        DataType::Utf8View => array.as_string_view().total_buffer_bytes_used() + array.len() * 16,
        DataType::BinaryView => array.as_binary_view().total_buffer_bytes_used() + array.len() * 16,
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    };
    size as u64
}

struct Ints {
    array: ArrayRef,
    constant: bool,
}

impl Ints {
    fn at(&self, row: usize) -> Option<i64> {
        let at = if self.constant { 0 } else { row };
        let ints = self.array.as_primitive::<Int64Type>();
        ints.is_valid(at).then(|| ints.value(at))
    }

    /// The largest of all, at least 0.
    fn most(&self) -> u64 {
        let most = arrow::compute::max(self.array.as_primitive::<Int64Type>());
        u64::try_from(most.unwrap_or(0)).unwrap_or(0)
    }
}
