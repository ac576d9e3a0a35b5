//! Random tables, and the files that sources read them from.

use super::dice::Dice;
use super::rows::{Column, Row, Table, Type, Value};
use std::path::Path;

const BASE: i64 = 1_704_067_200_000_000;
const SECOND: i64 = 1_000_000;

/// Texts that are numbers, that need quotes, and whose letters have several bytes.
const TEXTS: &[&str] =
    &["7", "-12", "12.7", "a", "A", "ß", "Ünï", "日本語", "x'y", "c,d", "q\"t", "", "two\nlines", "b", "🦀"];

const COLUMNS: &[(&str, Type)] = &[
    ("k", Type::Text),
    ("g", Type::Int),
    ("n", Type::Int),
    ("d", Type::Decimal),
    ("f", Type::Float),
    ("t", Type::Time),
    ("id", Type::Int),
    ("s", Type::Text),
];

/// A source: the rows that it sends, the files that it reads, and its node.
pub struct Source {
    pub table: Table,
    pub node: String,
    pub files: Vec<(String, Content)>,
    /// Codes of lines that it rejects.
    pub errors: Vec<String>,
    /// Its rows come in the order of the table.
    pub ordered: bool,
}

pub enum Content {
    Bytes(Vec<u8>),
    /// Rows, and how many a row group has.
    Parquet(Table, usize),
}

impl Content {
    pub fn write(&self, path: &Path) {
        match self {
            Content::Bytes(bytes) => std::fs::write(path, bytes).unwrap(),
            Content::Parquet(table, group) => table.write_parquet(&table.rows, path, *group),
        }
    }
}

fn value(dice: &mut Dice, name: &str, is: Type, n: usize) -> Value {
    if name != "id" && dice.one_in(8) {
        return Value::Null;
    }
    match (name, is) {
        ("id", _) => Value::Int(n as i64),
        ("g", _) => Value::Int(dice.between(0, 6)),
        (_, Type::Int) => Value::Int(dice.between(-20, 20)),
        (_, Type::Decimal) => Value::Decimal(dice.between(-2000, 2000)),
        (_, Type::Float) => Value::Float(*dice.pick(&[0.0, -0.0, 1.5, -2.25, 3e10, f64::NAN, f64::INFINITY])),
        // Some to the millisecond, so that few are equal, others by the minute.
        (_, Type::Time) if dice.one_in(3) => Value::Time(BASE + dice.between(0, 3_600_000) * 1000),
        (_, Type::Time) => Value::Time(BASE + dice.between(0, 60) * 60 * SECOND),
        (_, Type::Text) => Value::Text((*dice.pick(TEXTS)).into()),
    }
}

fn columns(dice: &mut Dice, must: &[&str]) -> Vec<Column> {
    let mut names = dice.some(COLUMNS, 3);
    for (name, is) in COLUMNS.iter().filter(|(name, _)| must.contains(name)) {
        if !names.iter().any(|(known, _)| known == name) {
            names.push((name, *is));
        }
    }
    names.into_iter().map(|(name, is)| Column { name: name.into(), is }).collect()
}

fn some_rows(dice: &mut Dice, columns: &[Column], most: usize) -> Vec<Row> {
    let count = [0, 1, 20, 200, 200, 1000][dice.below(6)];
    let count = dice.between(count as i64 / 2, count as i64) as usize;
    // All are drawn, so that a smaller case has the first of the same rows.
    let row = |n| columns.iter().map(|c| value(dice, &c.name, c.is, n)).collect::<Row>();
    let rows: Vec<Row> = (0..count).map(row).collect();
    rows.into_iter().take(most).collect()
}

/// `Files` of a folder of its own.
pub fn files(dice: &mut Dice, name: &str, most: usize) -> Source {
    let mut table = Table { columns: columns(dice, &[]), rows: vec![] };
    table.rows = some_rows(dice, &table.columns, most);
    let format = *dice.pick(&["Ndjson", "Csv", "Parquet"]);
    if format == "Csv" {
        // An empty field is null there.
        let empty = Value::Text(String::new());
        table.rows.iter_mut().flatten().filter(|v| **v == empty).for_each(|v| *v = Value::Null);
    }
    let pieces = 1 + dice.below(3);
    let bad = dice.one_in(5) && format != "Parquet";
    let mut errors = vec![];
    let mut left = table.rows.as_slice();
    let mut files = vec![];
    for piece in 0..pieces {
        let some = if piece + 1 == pieces { left.len() } else { dice.below(left.len() + 1) };
        let (rows, rest) = left.split_at(some);
        left = rest;
        let mut text = if format == "Csv" { table.csv_header() } else { String::new() };
        for row in rows {
            text += &if format == "Csv" { table.csv_line(row) } else { table.json_line(row) };
            if bad && dice.one_in(20) {
                text += "nonsense\n";
                errors.push(if format == "Csv" { "csv.columns" } else { "ndjson.syntax" }.to_string());
            }
        }
        let content = match format {
            "Parquet" => {
                let part = Table { columns: table.columns.clone(), rows: rows.to_vec() };
                Content::Parquet(part, 1 + dice.below(100))
            }
            _ => Content::Bytes(text.into_bytes()),
        };
        files.push((format!("in/{name}/{piece}.{}", format.to_lowercase()), content));
    }
    let split = if dice.one_in(2) { format!(", split_bytes: {}", dice.between(1, 4000)) } else { String::new() };
    let schema = if format == "Parquet" { String::new() } else { format!(", schema: {}", table.schema_ron()) };
    let node = format!("Files(path: \"in/{name}\", format: {format}(){schema}{split})");
    let node = if format == "Parquet" { node.replace("Parquet()", "Parquet") } else { node };
    let ordered = pieces == 1 && split.is_empty() && format != "Parquet";
    Source { table, node, files, errors, ordered }
}

/// `Stream` of a folder of shards, none of whose rows is late: times go on with the rows, but for a disorder that `lateness` covers.
pub fn stream(dice: &mut Dice, name: &str, most: usize) -> Source {
    let mut table = Table { columns: columns(dice, &["k", "t"]), rows: vec![] };
    table.rows = some_rows(dice, &table.columns, most);
    let time = table.find("t").unwrap();
    let (step, disorder) = (dice.between(1, 40), dice.between(0, 90));
    for (i, row) in table.rows.iter_mut().enumerate() {
        if row[time] != Value::Null {
            let at = i as i64 * step - dice.between(0, disorder);
            row[time] = Value::Time(BASE + at * SECOND);
        }
    }
    let bad = dice.one_in(4);
    let mut errors = vec![];
    let mut shards = vec![String::new(); 1 + dice.below(3)];
    for row in &table.rows {
        let shard = dice.below(shards.len());
        shards[shard] += &table.json_line(row);
        if bad && dice.one_in(20) {
            shards[shard] += "nonsense\n";
            errors.push("ndjson.syntax".to_string());
        }
    }
    let files = shards.into_iter().enumerate();
    let files = files.map(|(i, text)| (format!("in/{name}/{i}.ndjson"), Content::Bytes(text.into_bytes()))).collect();
    let lateness = format!("\"{}s\"", disorder.max(1));
    let node = format!(
        "Stream(path: \"in/{name}/*.ndjson\", schema: {}, event_time: (column: \"t\", lateness: {lateness}))",
        table.schema_ron()
    );
    Source { table, node, files, errors, ordered: false }
}
