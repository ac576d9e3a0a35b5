//! Tables as the naive interpreter has them, and their text in graphs, SQL and files.

use arrow::array::{Array, RecordBatch};
use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::temporal_conversions::timestamp_us_to_datetime;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use std::cmp::Ordering;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Int,
    Float,
    /// Ten digits, two of them behind the point.
    Decimal,
    /// In UTC.
    Time,
    Text,
}

impl Type {
    pub fn ron(self) -> &'static str {
        match self {
            Type::Int => "Int64",
            Type::Float => "Float64",
            Type::Decimal => "Decimal(10, 2)",
            Type::Time => "Timestamp",
            Type::Text => "Utf8",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Float(f64),
    /// In hundredths.
    Decimal(i64),
    /// Microseconds since 1970.
    Time(i64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub is: Type,
}

pub type Row = Vec<Value>;

#[derive(Debug, Clone)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

pub fn hundredths(d: i64) -> String {
    format!("{}{}.{:02}", if d < 0 { "-" } else { "" }, d.abs() / 100, d.abs() % 100)
}

pub fn iso(time: i64) -> String {
    let time = timestamp_us_to_datetime(time).map(|t| t.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
    time.unwrap_or_else(|| "no time".into())
}

impl Value {
    /// The same for values that a key does not tell apart.
    pub fn show(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Int(n) => n.to_string(),
            Value::Float(f) => format!("{:?}f", f + 0.0),
            Value::Decimal(d) => hundredths(*d),
            Value::Time(t) => iso(*t),
            Value::Text(t) => format!("{t:?}"),
        }
    }

    /// The order within a column; nulls come first, NaN last.
    pub fn order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Int(a), Value::Int(b))
            | (Value::Decimal(a), Value::Decimal(b))
            | (Value::Time(a), Value::Time(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
            (a, b) => (*b == Value::Null).cmp(&(*a == Value::Null)),
        }
    }

    pub fn sql(&self) -> String {
        match self {
            Value::Null | Value::Float(_) => "null".into(),
            Value::Int(n) => n.to_string(),
            Value::Decimal(d) => format!("cast('{}' as decimal(10,2))", hundredths(*d)),
            Value::Time(t) => format!("timestamp '{}'", iso(*t)),
            Value::Text(t) => format!("'{}'", t.replace('\'', "''")),
        }
    }

    /// As a literal of RON.
    pub fn ron(&self) -> String {
        match self {
            Value::Text(t) => format!("{t:?}"),
            other => other.show(),
        }
    }

    fn json(&self) -> String {
        match self {
            Value::Text(t) => serde_json::Value::from(t.as_str()).to_string(),
            Value::Time(t) => format!("\"{}\"", iso(*t)),
            Value::Float(f) if f.is_nan() => "\"NaN\"".into(),
            Value::Float(f) if f.is_infinite() => format!("\"{}Infinity\"", if *f < 0.0 { "-" } else { "" }),
            Value::Float(f) => format!("{f:?}"),
            other => other.show(),
        }
    }

    fn csv(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Text(t) if t.contains([',', '"', '\n', '\r']) => format!("\"{}\"", t.replace('"', "\"\"")),
            Value::Text(t) => t.clone(),
            Value::Float(f) => format!("{f:?}"),
            other => other.show(),
        }
    }

    fn of_text(text: &str, is: Type) -> Value {
        match is {
            Type::Int => Value::Int(text.parse().unwrap()),
            Type::Float => Value::Float(text.replace("Infinity", "inf").parse().unwrap()),
            Type::Decimal => Value::Decimal((text.parse::<f64>().unwrap() * 100.0).round() as i64),
            Type::Time => Value::Time(string_to_timestamp_nanos(text).unwrap() / 1000),
            Type::Text => Value::Text(text.into()),
        }
    }
}

pub fn show(row: &[Value]) -> String {
    row.iter().map(Value::show).collect::<Vec<_>>().join(" | ")
}

/// The values of some columns, as text that is equal for equal keys.
pub fn key(row: &[Value], columns: &[usize]) -> String {
    columns.iter().map(|&c| row[c].show()).collect::<Vec<_>>().join(" | ")
}

impl Table {
    pub fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// The columns of one of these types.
    pub fn of(&self, types: &[Type]) -> Vec<usize> {
        (0..self.columns.len()).filter(|&c| types.contains(&self.columns[c].is)).collect()
    }

    pub fn schema_ron(&self) -> String {
        let columns = self.columns.iter().map(|c| format!("{:?}: {}", c.name, c.is.ron()));
        format!("{{ {} }}", columns.collect::<Vec<_>>().join(", "))
    }

    pub fn json_line(&self, row: &[Value]) -> String {
        let fields = self.columns.iter().zip(row).map(|(c, v)| format!("{:?}:{}", c.name, v.json()));
        format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","))
    }

    pub fn csv_header(&self) -> String {
        self.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(",") + "\n"
    }

    pub fn csv_line(&self, row: &[Value]) -> String {
        row.iter().map(Value::csv).collect::<Vec<_>>().join(",") + "\n"
    }

    pub fn write_parquet(&self, rows: &[Row], path: &Path, group: usize) {
        let columns = self.columns.iter().enumerate().map(|(c, column)| {
            let ints = rows.iter().map(|row| match row[c] {
                Value::Int(n) | Value::Decimal(n) | Value::Time(n) => Some(n),
                _ => None,
            });
            let array: ArrayRef = match column.is {
                Type::Int => Arc::new(ints.collect::<Int64Array>()),
                Type::Time => Arc::new(ints.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
                Type::Decimal => {
                    let array = ints.map(|n| n.map(i128::from)).collect::<Decimal128Array>();
                    Arc::new(array.with_precision_and_scale(10, 2).unwrap())
                }
                Type::Float => Arc::new(Float64Array::from_iter(rows.iter().map(|row| match row[c] {
                    Value::Float(f) => Some(f),
                    _ => None,
                }))),
                Type::Text => Arc::new(StringArray::from_iter(rows.iter().map(|row| match &row[c] {
                    Value::Text(t) => Some(t.as_str()),
                    _ => None,
                }))),
            };
            (column.name.as_str(), array, true)
        });
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}

/// The rows of a file that a sink has written.
pub fn read(path: &Path, columns: &[Column]) -> Vec<Row> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("parquet") => read_parquet(path, columns),
        Some("csv") => read_csv(&std::fs::read_to_string(path).unwrap(), columns),
        _ => std::fs::read_to_string(path).unwrap().lines().map(|line| read_json(line, columns)).collect(),
    }
}

fn read_json(line: &str, columns: &[Column]) -> Row {
    let object: serde_json::Value = serde_json::from_str(line).unwrap();
    let value = |c: &Column| match &object[&c.name] {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::String(text) => Value::of_text(text, c.is),
        other => Value::of_text(&other.to_string(), c.is),
    };
    columns.iter().map(value).collect()
}

fn read_csv(text: &str, columns: &[Column]) -> Vec<Row> {
    let (mut rows, mut row, mut field) = (vec![], vec![], String::new());
    let (mut inside, mut quoted) = (false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if inside && letters.peek() == Some(&'"') => field.push(letters.next().unwrap()),
            '"' => (inside, quoted) = (!inside, true),
            ',' | '\n' if !inside => {
                row.push((std::mem::take(&mut field), std::mem::take(&mut quoted)));
                if letter == '\n' {
                    rows.push(std::mem::take(&mut row));
                }
            }
            _ => field.push(letter),
        }
    }
    let value = |((text, quoted), column): (&(String, bool), &Column)| match text.is_empty() && !quoted {
        true => Value::Null,
        false => Value::of_text(text, column.is),
    };
    rows.iter().skip(1).map(|row| row.iter().zip(columns).map(value).collect()).collect()
}

fn read_parquet(path: &Path, columns: &[Column]) -> Vec<Row> {
    let batches = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let mut rows = vec![];
    for batch in batches {
        let batch = batch.unwrap();
        assert_eq!(batch.num_columns(), columns.len(), "{}: {:?}", path.display(), batch.schema());
        let value = |row: usize, (array, column): (&ArrayRef, &Column)| {
            if array.is_null(row) {
                return Value::Null;
            }
            match column.is {
                Type::Int => Value::Int(array.as_primitive::<Int64Type>().value(row)),
                Type::Float => Value::Float(array.as_primitive::<Float64Type>().value(row)),
                Type::Decimal => Value::Decimal(array.as_primitive::<Decimal128Type>().value(row) as i64),
                Type::Time => Value::Time(array.as_primitive::<TimestampMicrosecondType>().value(row)),
                Type::Text => Value::Text(array.as_string::<i32>().value(row).into()),
            }
        };
        for row in 0..batch.num_rows() {
            rows.push(batch.columns().iter().zip(columns).map(|pair| value(row, pair)).collect());
        }
    }
    rows
}
