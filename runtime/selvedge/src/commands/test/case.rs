//! A test of a part of a graph. `tests/NAME.ron` beside the `graph.ron`:
//!
//! ```ron
//! (
//!     about: "an event that comes twice is there once",
//!     inputs: {
//!         "known": "
//!             event_id | user_id | ts
//!             e1       | ann     | 2026-01-01T10:00:00Z
//!             e1       | ann     | 2026-01-01T10:00:00Z
//!         ",
//!     },
//!     outputs: {
//!         "unique": "
//!             event_id | user_id
//!             e1       | ann
//!         ",
//!     },
//!     dropped: { "unique": { "duplicate": 1 } },
//! )
//! ```

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use selvedge_node::{Period, Problem, Problems, Span};
use selvedge_ron::{Spanned, from_value, parse, similar};
use selvedge_spec::{Files, Os, Sources};
use selvedge_testkit::try_table;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows by node and reason.
pub type Reasons = BTreeMap<String, BTreeMap<String, u64>>;

/// What stands in the file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(default, rename = "about")]
    _about: String,
    /// The graph, relative to this file: `../graph.ron` unless told.
    #[serde(default)]
    pub graph: Option<PathBuf>,
    /// Parameters of the graph.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// What nodes send, instead of doing their work: by node, or node and port. Columns that are left out are null.
    #[serde(default)]
    pub inputs: BTreeMap<String, Spanned<Given>>,
    /// Sources that are read as they are.
    #[serde(default)]
    pub real: Vec<Spanned<String>>,
    /// What must leave nodes, or arrive at sinks, in any order. Columns that are left out are not compared.
    #[serde(default)]
    pub outputs: BTreeMap<String, Spanned<String>>,
    /// Rows that nodes must drop: all that they do.
    #[serde(default)]
    pub dropped: Reasons,
    #[serde(default)]
    pub rejected: Reasons,
    #[serde(default)]
    pub altered: Reasons,
    /// Words of the error that the run must end with.
    #[serde(default)]
    pub fails: Option<String>,
    /// Places of which the rows are wanted, and not compared: where a test is made.
    #[serde(skip)]
    pub wanted: Vec<String>,
}

/// Rows, and how event time goes on with them.
pub struct Given {
    pub rows: String,
    pub event_time: Option<EventTime>,
}

/// Each row comes by itself, and event time has then come to the latest of them less `lateness`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTime {
    pub column: String,
    pub lateness: Period,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timed {
    rows: String,
    event_time: EventTime,
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Given, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Given;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a table, or (rows: \"…\", event_time: (column: \"ts\", lateness: \"10s\"))")
            }
            fn visit_str<E>(self, rows: &str) -> Result<Given, E> {
                Ok(Given { rows: rows.into(), event_time: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Given, A::Error> {
                let Timed { rows, event_time } = Timed::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Given { rows, event_time: Some(event_time) })
            }
        }
        d.deserialize_any(V)
    }
}

impl Case {
    /// Reads a file; what it says is kept in `sources`, for messages.
    pub fn read(path: &Path, sources: &mut Sources) -> Result<Case, Problems> {
        let text = Os.read(path).map_err(|e| Problem::nowhere(format!("cannot read {}: {e}", path.display())))?;
        let file = sources.add(path.to_path_buf(), text.clone());
        Ok(from_value(&parse(file, &text)?)?)
    }
}

/// The rows of a table as text. Its columns are some of `schema`, with their types; `what` sends or takes them.
pub fn table(text: &str, schema: &Schema, what: &str, span: Span) -> Result<RecordBatch, Problem> {
    let plain = try_table(text, &|_| Err("types are those of the graph: leave them out".into()));
    let plain = plain.map_err(|e| Problem::error(span, e))?;
    let (mut fields, mut columns) = (vec![], vec![]);
    for (field, texts) in plain.schema().fields().iter().zip(plain.columns()) {
        let Ok(known) = schema.field_with_name(field.name()) else {
            let near = similar(field.name(), schema.fields().iter().map(|f| f.name().as_str()));
            let help = match near.first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is {}", names(schema)),
            };
            return Err(Problem::error(span, format!("{what} has no column `{}`", field.name())).help(help));
        };
        let typed = typed(texts, known).map_err(|e| Problem::error(span, format!("column `{}`: {e}", field.name())))?;
        fields.push(Field::new(known.name(), typed.data_type().clone(), true));
        columns.push(typed);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(plain.num_rows()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options);
    batch.map_err(|e| Problem::error(span, e.to_string()))
}

fn names(schema: &Schema) -> String {
    schema.fields().iter().map(|f| format!("`{}`", f.name())).collect::<Vec<_>>().join(", ")
}

/// Texts as values of a column. Structs, lists and maps are written as JSON.
fn typed(texts: &ArrayRef, field: &Field) -> Result<ArrayRef, String> {
    let ty = field.data_type();
    let plain: &StringArray = texts.as_string();
    if !ty.is_nested() {
        let typed = cast(texts, ty).map_err(|e| e.to_string())?;
        let wrong = (0..typed.len()).find(|&row| typed.is_null(row) && plain.is_valid(row));
        return wrong.map_or(Ok(typed), |row| Err(format!("`{}` is no {ty}", plain.value(row))));
    }
    let texts = plain;
    let one: SchemaRef = Arc::new(Schema::new(vec![Field::new("v", ty.clone(), true)]));
    let lines: String = texts.iter().map(|text| format!("{{\"v\": {}}}\n", text.unwrap_or("null"))).collect();
    let read = || -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
        let mut decoder = ReaderBuilder::new(one).with_batch_size(texts.len().max(1)).build_decoder()?;
        decoder.decode(lines.as_bytes())?;
        decoder.flush()
    };
    let rows = read().map_err(|e| e.to_string())?;
    Ok(rows.map_or_else(|| new_null_array(ty, 0), |rows| rows.column(0).clone()))
}

/// The rows with all columns of `schema`: null where they have none.
pub fn widened(rows: &RecordBatch, schema: &SchemaRef, what: &str, span: Span) -> Result<RecordBatch, Problem> {
    let column = |field: &Arc<Field>| match rows.column_by_name(field.name()) {
        Some(column) => Ok(column.clone()),
        None if field.is_nullable() || rows.num_rows() == 0 => Ok(new_null_array(field.data_type(), rows.num_rows())),
        None => Err(Problem::error(span, format!("column `{}` of {what} is never null: give it too", field.name()))),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
    batch.map_err(|e| Problem::error(span, format!("{what}: {e}")))
}

/// Of all rows the columns that were named, in their order.
pub fn narrowed(batches: &[RecordBatch], like: &Schema) -> Result<RecordBatch, String> {
    let schema: SchemaRef = Arc::new(like.clone());
    let narrow = |batch: &RecordBatch| {
        let column =
            |f: &Arc<Field>| batch.column_by_name(f.name()).cloned().ok_or(format!("no column `{}`", f.name()));
        let columns = like.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| e.to_string())
    };
    let batches = batches.iter().map(narrow).collect::<Result<Vec<_>, _>>()?;
    arrow::compute::concat_batches(&schema, &batches).map_err(|e| e.to_string())
}

/// Whether a type is one that event time has.
pub fn is_time(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(..) | DataType::Date32)
}
