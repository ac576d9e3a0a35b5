//! A schema file, read: where it is wrong, the file, line and column are told.

use crate::{Extent, FoundColumn};
use selvedge_node::{Column, Fields, Problem, Problems, Span, Spanned, Type};
use selvedge_ron::{FileId, Value, ValueKind, from_value, parse};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::path::Path;

/// What is known of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaFile {
    /// The connection or graph whose crawl wrote it.
    pub from: String,
    /// The source that reads the object, as a graph would write it.
    pub object: Value,
    pub crawled: Extent,
    /// The object was gone when last looked for.
    pub deprecated: bool,
    pub columns: Vec<FoundColumn>,
    /// Columns whose types were written by hand: what a crawl finds does not change them.
    pub pinned: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    from: String,
    #[serde(default)]
    crawled: Extent,
    #[serde(default)]
    deprecated: bool,
    columns: Columns,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Column")]
struct ReadColumn {
    #[serde(rename = "type")]
    ty: Spanned<Type>,
    #[serde(default = "yes")]
    nullable: bool,
    #[serde(default)]
    pinned: bool,
}

fn yes() -> bool {
    true
}

/// In the order of the text.
struct Columns(Vec<(Column, ReadColumn)>);

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Columns;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a map of columns: {\"name\": Column(type: Utf8)}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
                let mut entries = vec![];
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Columns(entries))
            }
        }
        d.deserialize_map(Entries)
    }
}

impl SchemaFile {
    /// Reads a file; `shown` is what messages call it.
    pub fn read(path: &Path, shown: &str) -> Result<SchemaFile, Problems> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let problem = Problem::nowhere(format!("cannot read the schema file {shown}: {e}"));
            match e.kind() {
                std::io::ErrorKind::NotFound => problem.help("`selvedge crawl` writes it; is the path right?"),
                _ => problem,
            }
        })?;
        SchemaFile::parse(&text, shown)
    }

    pub fn parse(text: &str, shown: &str) -> Result<SchemaFile, Problems> {
        SchemaFile::from_text(text).map_err(|problems| {
            let placed = |problem: Problem| Problem {
                message: format!("{}: {}", place(text, shown, problem.span), problem.message),
                span: None,
                ..problem
            };
            Problems(problems.0.into_iter().map(placed).collect())
        })
    }

    fn from_text(text: &str) -> Result<SchemaFile, Problems> {
        let mut value = parse(FileId(0), text)?;
        let span = value.span;
        let wrong = || Problem::error(span, "expected Schema(from: \"…\", object: …, columns: {…})");
        let ValueKind::Struct { name: Some(name), fields, .. } = &mut value.kind else { return Err(wrong().into()) };
        if name != "Schema" {
            return Err(wrong().into());
        }
        let object = fields.iter().position(|f| f.name == "object").map(|at| fields.remove(at).value);
        let read: Read = from_value(&value)?;
        let mut problems = Problems::default();
        let Some(object) = object else {
            return Err(Problem::error(span, "the field `object` is missing").into());
        };
        let declared = read.columns.0.iter().map(|(name, column)| (name.clone(), column.ty.clone())).collect();
        problems.0.extend(Fields(declared).problems().0);
        if read.columns.0.is_empty() {
            problems.push(Problem::error(span, "there is no column").help("crawl the object again"));
        }
        let pinned = read.columns.0.iter().filter(|(_, column)| column.pinned).map(|(name, _)| name.value.clone());
        let pinned = pinned.collect();
        let column = |(name, column): (Column, ReadColumn)| FoundColumn {
            name: name.value,
            ty: column.ty.value,
            nullable: column.nullable,
        };
        problems.or(SchemaFile {
            from: read.from,
            object,
            crawled: read.crawled,
            deprecated: read.deprecated,
            columns: read.columns.0.into_iter().map(column).collect(),
            pinned,
        })
    }
}

/// `file:line:column`.
fn place(text: &str, shown: &str, span: Option<Span>) -> String {
    let Some(span) = span else { return shown.to_string() };
    let before = text.get(..span.start as usize).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{shown}:{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::type_of;
    use arrow::datatypes::{DataType, TimeUnit};

    const ORDERS: &str = r#"Schema(
    from: "lake",
    object: Files(connection: "lake", path: "orders/*.ndjson", format: Ndjson()),
    crawled: Full,
    columns: {
        "sku": Column(type: Utf8, nullable: false),
        "price": Column(type: Choice([Int64, Utf8])),
        "day": Column(type: Date, nullable: false, pinned: true),
    },
)"#;

    #[test]
    fn what_is_written_reads_back() {
        let mut file = SchemaFile::parse(ORDERS, "orders.ron").unwrap();
        let wide = (0..9).map(|n| (format!("field_{n}"), DataType::new_list(DataType::Int64, true)));
        let wide: Vec<_> = wide.map(|(n, t)| arrow::datatypes::Field::new(n, t, true)).collect();
        for ty in [
            DataType::new_list(DataType::Struct(wide.into()), true),
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::FixedSizeBinary(16),
            DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into())),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::Decimal128(10, 2),
        ] {
            assert_eq!(type_of(&ty).arrow(), ty);
            file.columns.push(FoundColumn {
                name: format!("c{}", file.columns.len()),
                ty: type_of(&ty),
                nullable: true,
            });
        }
        file.deprecated = true;
        let text = file.to_string();
        assert!(text.lines().all(|l| l.len() <= 120), "{text}");
        let again = SchemaFile::parse(&text, "orders.ron").unwrap();
        assert_eq!((&again.columns, &again.pinned), (&file.columns, &["day".to_string()].into()));
        assert_eq!(again.to_string(), text);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let check = |from: &str, to: &str, expected: &str| {
            let text = ORDERS.replace(from, to);
            let told = SchemaFile::parse(&text, "s/orders.ron").unwrap_err().to_string();
            assert!(told.starts_with(expected), "{told}");
        };
        check("type: Utf8", "type: Utf9", "s/orders.ron:6:29: ");
        check("nullable: false", "nulable: false", "s/orders.ron:6:35: ");
        check("Choice([Int64, Utf8])", "Choice([Int64])", "s/orders.ron:7:31: a choice needs two types or more");
        check("\"price\"", "\"sku\"", "s/orders.ron:7:9: the key \"sku\" is here twice");
        check("    crawled: Full,\n", "    crawled: Full\n", "s/orders.ron:5:5: ");
        check("Schema(", "Graph(", "s/orders.ron:1:1: expected Schema(");
        check(
            "    object: Files(connection: \"lake\", path: \"orders/*.ndjson\", format: Ndjson()),\n",
            "",
            "s/orders.ron:1:1: the field `object` is missing",
        );
        let missing = SchemaFile::read(Path::new("no/such.ron"), "no/such.ron").unwrap_err().to_string();
        assert!(missing.contains("cannot read the schema file no/such.ron") && missing.contains("crawl"), "{missing}");
    }
}
