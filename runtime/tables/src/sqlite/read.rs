//! Rows of a SELECT into batches. SQLite is typed by the cell, Arrow by the column: a cell that does not fit its column
//! sends its row to `errors`.

use super::cursor::{Cell, Cursor};
use super::describe::{Origin, range_condition};
use super::position::{Position, Progress};
use super::{Sqlite, quoted, raw};
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, BooleanBufferBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Float64Builder, Int64Builder, RecordBatch, RecordBatchOptions, StringBuilder, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cast_utils::{Parser, parse_decimal, string_to_datetime};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, FieldRef, SchemaRef, TimeUnit};
use chrono::Utc;
use rusqlite::ErrorCode;
use selvedge_connect::database::{Relation, Select};
use selvedge_node::{Error, Next, Out, Reader, Rejection, Result, Task, choice_fields};
use std::fmt::Write;
use std::sync::Arc;

pub struct TableReader {
    database: Sqlite,
    cursor: Cursor,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Of an incremental read.
    progress: Option<Progress>,
    /// Its column; behind the others where it is none of them.
    mark: usize,
    /// Rows of the position's own bookmark value that were read before.
    skip: u64,
    batch_rows: usize,
    batch_bytes: usize,
    /// The run stopped in the middle of a step: the statement would start anew.
    interrupted: bool,
}

impl TableReader {
    pub fn open(database: &Sqlite, select: &Select, task: &Task) -> Result<TableReader> {
        let connection = database.reader()?;
        let position = match select.bookmark.as_ref().and_then(|b| b.from.as_deref()) {
            Some(text) => Some(Position::parse(text)?),
            None => None,
        };
        let failed = |e| database.error("reading", &e);
        let sql = statement(&connection, select, position.as_ref()).map_err(failed)?;
        let mut cursor = Cursor::new(connection, &sql).map_err(failed)?;
        if let Some(position) = &position {
            cursor.bind(1, position.mark().cell()).map_err(failed)?;
        }
        Ok(TableReader {
            database: database.clone(),
            cursor,
            schema: select.schema.clone(),
            columns: select.schema.fields().iter().map(|f| Column::of(f.data_type())).collect::<Result<_>>()?,
            skip: match &position {
                Some(Position::At { rows, .. }) => *rows,
                _ => 0,
            },
            mark: select.mark().unwrap_or(select.schema.fields().len()),
            progress: select.bookmark.as_ref().map(|_| Progress::resume(position)),
            batch_rows: task.batch_rows.max(1),
            batch_bytes: task.batch_bytes.max(1),
            interrupted: false,
        })
    }

    fn misfit(&self, column: usize) -> Rejection {
        let (name, ty) = (self.schema.field(column).name(), self.schema.field(column).data_type());
        let found = match self.cursor.cell(column) {
            Cell::Null => "null".into(),
            Cell::Int(v) => format!("the integer {v}"),
            Cell::Real(v) => format!("the real {v}"),
            Cell::Text(t) => format!("the text `{}`", raw::start(t, 80)),
            Cell::Blob(b) => format!("a blob of {} bytes", b.len()),
        };
        let message = format!("column `{name}` is {ty}, but holds {found}");
        let cells = self.schema.fields().iter().enumerate().map(|(i, f)| (f.name().as_str(), self.cursor.cell(i)));
        Rejection { code: "table.type".into(), message, raw: raw::json(cells) }
    }
}

/// `SELECT columns[, bookmark] FROM … WHERE … ORDER BY bookmark, rowid`
fn statement(
    connection: &rusqlite::Connection,
    select: &Select,
    position: Option<&Position>,
) -> rusqlite::Result<String> {
    let from = Origin::new(connection, &select.relation)?;
    let mut columns: Vec<String> = select.schema.fields().iter().map(|f| from.column(f.name())).collect();
    let mut conditions: Vec<String> = select.range.iter().map(|r| range_condition(r, &from)).collect();
    let mut order = String::new();
    if let Some(bookmark) = &select.bookmark {
        let bookmark = from.column(&bookmark.column);
        match position {
            Some(Position::After { .. }) => conditions.push(format!("{bookmark} > ?1")),
            Some(Position::At { .. }) => conditions.push(format!("{bookmark} >= ?1")),
            None => {}
        }
        order = format!(" ORDER BY {bookmark}");
        // Rows with equal bookmarks need an order of their own, or skipping some of them later would mean others.
        if let Relation::Table(table) = &select.relation
            && connection.prepare(&format!("SELECT rowid FROM {}", quoted(table))).is_ok()
        {
            order.push_str(", rowid");
        }
        if select.mark().is_none() {
            columns.push(bookmark);
        }
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    // No column at all still counts rows.
    let columns = if columns.is_empty() { "NULL".to_string() } else { columns.join(", ") };
    Ok(from.select(&columns, &format!("{conditions}{order}")))
}

impl Reader for TableReader {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        if self.interrupted {
            return Err(Error::stopped());
        }
        // Cells are added to their columns one by one; a row with a misfit is filtered out in the end.
        let mut misfits: Vec<usize> = vec![];
        let (mut rows, mut bytes, mut next) = (0, 0, Next::More);
        while rows < self.batch_rows && bytes < self.batch_bytes {
            match self.cursor.step_unless(&mut || out.stopping()) {
                Ok(true) => {}
                Ok(false) => {
                    if let Some(progress) = &mut self.progress {
                        progress.finish();
                    }
                    next = Next::Done;
                    break;
                }
                // The rows so far have been read and are accounted for.
                Err(e) if e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                    self.interrupted = true;
                    break;
                }
                Err(e) => return Err(self.database.error("reading", &e)),
            }
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            let mut misfit = None;
            for (i, column) in self.columns.iter_mut().enumerate() {
                match column.add(self.cursor.cell(i)) {
                    Some(size) => bytes += size,
                    None => misfit = misfit.or(Some(i)),
                }
            }
            if let Some(progress) = &mut self.progress {
                progress.see(self.cursor.cell(self.mark))?;
            }
            if let Some(column) = misfit {
                misfits.push(rows);
                let rejection = self.misfit(column);
                bytes += rejection.raw.len();
                out.reject(rejection)?;
            }
            rows += 1;
        }
        out.create("read", rows as u64);
        let columns = self.columns.iter_mut().zip(self.schema.fields());
        let columns = columns.map(|(c, f)| c.finish(f.data_type())).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let mut batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        if !misfits.is_empty() {
            let mut keep = vec![true; rows];
            for row in misfits {
                if let Some(keep) = keep.get_mut(row) {
                    *keep = false;
                }
            }
            batch = filter_record_batch(&batch, &BooleanArray::from(keep))?;
        }
        out.send(0, batch)?;
        Ok(next)
    }

    fn position(&self) -> Option<String> {
        self.progress.as_ref()?.position()
    }
}

/// A column being built. Integers and timestamps of all widths are built as 64 bits and narrowed by a kernel.
enum Column {
    Boolean(BooleanBuilder),
    Integer {
        values: Int64Builder,
        least: i64,
        most: i64,
    },
    Float(Float64Builder),
    Decimal {
        values: Decimal128Builder,
        precision: u8,
        scale: i8,
    },
    Text(StringBuilder, String),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time {
        values: Int64Builder,
        unit: TimeUnit,
    },
    /// One column for each type; each cell is in the first that takes cells of its class, and null in the others.
    Choice {
        types: Vec<(FieldRef, Column)>,
        valid: BooleanBufferBuilder,
    },
}

impl Column {
    fn of(ty: &DataType) -> Result<Column> {
        let integer = |least, most| Column::Integer { values: Int64Builder::new(), least, most };
        Ok(match ty {
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Int8 => integer(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => integer(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => integer(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => integer(i64::MIN, i64::MAX),
            DataType::UInt8 => integer(0, u8::MAX.into()),
            DataType::UInt16 => integer(0, u16::MAX.into()),
            DataType::UInt32 => integer(0, u32::MAX.into()),
            DataType::UInt64 => integer(0, i64::MAX),
            DataType::Float32 | DataType::Float64 => Column::Float(Float64Builder::new()),
            DataType::Decimal128(precision, scale) => Column::Decimal {
                values: Decimal128Builder::new().with_precision_and_scale(*precision, *scale)?,
                precision: *precision,
                scale: *scale,
            },
            DataType::Utf8 => Column::Text(StringBuilder::new(), String::new()),
            DataType::Binary => Column::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Column::Date(Date32Builder::new()),
            DataType::Timestamp(unit, _) => Column::Time { values: Int64Builder::new(), unit: *unit },
            other if let Some(fields) = choice_fields(other) => {
                let types =
                    fields.iter().map(|f| Ok((f.clone(), Column::of(f.data_type())?))).collect::<Result<_>>()?;
                Column::Choice { types, valid: BooleanBufferBuilder::new(0) }
            }
            other => return Err(Error::bug(format!("a table column cannot be read as {other}"))),
        })
    }

    /// Adds a cell and tells its size in bytes. One that does not fit is added as null and told as `None`.
    fn add(&mut self, cell: Cell) -> Option<usize> {
        match self {
            Column::Boolean(values) => {
                let value = match cell {
                    Cell::Int(0) => Some(false),
                    Cell::Int(1) => Some(true),
                    Cell::Text(t) if t.eq_ignore_ascii_case(b"true") => Some(true),
                    Cell::Text(t) if t.eq_ignore_ascii_case(b"false") => Some(false),
                    _ => None,
                };
                values.append_option(value);
                fits(cell, value.is_some(), 1)
            }
            Column::Integer { values, least, most } => {
                let value = match cell {
                    Cell::Int(i) => Some(i),
                    // SQLite keeps a whole number in a column without INTEGER affinity as it came.
                    Cell::Real(x) if x.fract() == 0.0 && x.abs() < 9.0e15 => Some(x as i64),
                    Cell::Text(t) => text(t).and_then(|t| t.trim().parse().ok()),
                    _ => None,
                };
                let value = value.filter(|v| (*least..=*most).contains(v));
                values.append_option(value);
                fits(cell, value.is_some(), 8)
            }
            Column::Float(values) => {
                let value = match cell {
                    Cell::Int(i) => Some(i as f64),
                    Cell::Real(x) => Some(x),
                    Cell::Text(t) => text(t).and_then(|t| t.trim().parse().ok()),
                    _ => None,
                };
                values.append_option(value);
                fits(cell, value.is_some(), 8)
            }
            Column::Decimal { values, precision, scale } => {
                let value = decimal(cell, *precision, *scale);
                values.append_option(value);
                fits(cell, value.is_some(), 16)
            }
            Column::Text(values, number) => {
                let value = match cell {
                    Cell::Text(t) => text(t),
                    // A column without TEXT affinity keeps numbers as they came.
                    Cell::Int(_) | Cell::Real(_) => {
                        number.clear();
                        _ = match cell {
                            Cell::Int(i) => write!(number, "{i}"),
                            Cell::Real(x) => write!(number, "{x:?}"),
                            _ => Ok(()),
                        };
                        Some(number.as_str())
                    }
                    _ => None,
                };
                let size = value.map_or(4, |v| v.len() + 4);
                values.append_option(value);
                fits(cell, value.is_some(), size)
            }
            Column::Bytes(values) => {
                let value = match cell {
                    Cell::Blob(b) | Cell::Text(b) => Some(b),
                    _ => None,
                };
                values.append_option(value);
                fits(cell, value.is_some(), value.map_or(4, |v| v.len() + 4))
            }
            Column::Date(values) => {
                let value = match cell {
                    Cell::Text(t) => text(t).and_then(|t| Date32Type::parse(t.trim())),
                    _ => None,
                };
                values.append_option(value);
                fits(cell, value.is_some(), 4)
            }
            Column::Time { values, unit } => {
                let value = timestamp(cell, *unit);
                values.append_option(value);
                fits(cell, value.is_some(), 8)
            }
            Column::Choice { types, valid } => {
                let mut size = None;
                for (_, column) in types.iter_mut() {
                    let taken = size.is_none() && column.takes(cell);
                    let added = column.add(if taken { cell } else { Cell::Null });
                    if taken {
                        size = added;
                    }
                }
                valid.append(size.is_some());
                fits(cell, size.is_some(), size.unwrap_or(1))
            }
        }
    }

    /// Whether cells of this class are what the column is for.
    fn takes(&self, cell: Cell) -> bool {
        match cell {
            Cell::Null => false,
            Cell::Int(_) => matches!(self, Column::Boolean(_) | Column::Integer { .. } | Column::Decimal { .. }),
            Cell::Real(_) => matches!(self, Column::Float(_) | Column::Decimal { .. }),
            Cell::Text(_) => matches!(self, Column::Text(..) | Column::Date(_) | Column::Time { .. }),
            Cell::Blob(_) => matches!(self, Column::Bytes(_)),
        }
    }

    fn finish(&mut self, ty: &DataType) -> Result<ArrayRef> {
        let array: ArrayRef = match self {
            Column::Boolean(values) => Arc::new(values.finish()),
            Column::Integer { values, .. } | Column::Time { values, .. } => Arc::new(values.finish()),
            Column::Float(values) => Arc::new(values.finish()),
            Column::Decimal { values, .. } => Arc::new(values.finish()),
            Column::Text(values, _) => Arc::new(values.finish()),
            Column::Bytes(values) => Arc::new(values.finish()),
            Column::Date(values) => Arc::new(values.finish()),
            Column::Choice { types, valid } => {
                let columns = types.iter_mut().map(|(f, c)| c.finish(f.data_type())).collect::<Result<Vec<_>>>()?;
                let fields = types.iter().map(|(f, _)| f.clone()).collect();
                Arc::new(StructArray::try_new(fields, columns, Some(NullBuffer::new(valid.finish())))?)
            }
        };
        if array.data_type() == ty { Ok(array) } else { Ok(cast(&array, ty)?) }
    }
}

/// A null fits any column.
fn fits(cell: Cell, value: bool, size: usize) -> Option<usize> {
    (value || cell == Cell::Null).then_some(size)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// 10^38 is the largest that fits.
fn power_of_ten(exponent: i8) -> Option<i128> {
    10i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// The unscaled value. Reals are rounded to the scale, half away from zero, as Spark does.
fn decimal(cell: Cell, precision: u8, scale: i8) -> Option<i128> {
    let limit = power_of_ten(precision as i8);
    let value = match cell {
        Cell::Int(i) => i128::from(i).checked_mul(power_of_ten(scale)?),
        Cell::Real(x) => {
            let scaled = x * 10f64.powi(scale.into());
            // Beyond 2^53 the product itself is inexact: go by the digits.
            if scaled.abs() < 9.0e15 {
                Some(scaled.round() as i128)
            } else if x.is_finite() {
                parse_decimal::<Decimal128Type>(&format!("{x}"), precision, scale).ok()
            } else {
                None
            }
        }
        Cell::Text(t) => text(t).and_then(|t| parse_decimal::<Decimal128Type>(t.trim(), precision, scale).ok()),
        _ => None,
    };
    value.filter(|v| limit.is_none_or(|limit| v.abs() < limit))
}

/// ISO 8601 text, with or without a zone (then UTC); or an integer: seconds since 1970, as SQLite's own functions have it.
fn timestamp(cell: Cell, unit: TimeUnit) -> Option<i64> {
    match cell {
        Cell::Int(seconds) => seconds.checked_mul(match unit {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        }),
        Cell::Text(t) => {
            let instant = string_to_datetime(&Utc, text(t)?.trim()).ok()?;
            Some(match unit {
                TimeUnit::Second => instant.timestamp(),
                TimeUnit::Millisecond => instant.timestamp_millis(),
                TimeUnit::Microsecond => instant.timestamp_micros(),
                TimeUnit::Nanosecond => instant.timestamp_nanos_opt()?,
            })
        }
        _ => None,
    }
}
