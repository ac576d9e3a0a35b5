//! Columnar files may store text as views or dictionaries, as their writer liked. What is sent is always the plain type, so
//! that files of different writers have the same columns.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use std::sync::Arc;

/// The plain type of a column: no views, no dictionaries, no runs, no large offsets; what is nested may be null.
pub fn plain_type(ty: &DataType) -> DataType {
    let field = |f: &Arc<Field>| Arc::new(plain_field(f).with_nullable(true));
    match ty {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(field(item))
        }
        DataType::FixedSizeList(item, n) => DataType::FixedSizeList(field(item), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect::<Fields>()),
        // The entries of a map, and its keys, are never null.
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(plain_entries(entries)), *sorted),
        other => other.clone(),
    }
}

fn plain_entries(entries: &Field) -> Field {
    match entries.data_type() {
        DataType::Struct(fields) => {
            let fields: Fields = fields.iter().map(|f| plain_field(f)).collect();
            Field::new(entries.name(), DataType::Struct(fields), entries.is_nullable())
        }
        _ => entries.clone(),
    }
}

fn plain_field(field: &Field) -> Field {
    Field::new(field.name(), plain_type(field.data_type()), field.is_nullable())
}

/// A schema of plain types, without the writer's metadata.
pub fn plain_schema(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(|f| plain_field(f)).collect::<Vec<_>>())
}
