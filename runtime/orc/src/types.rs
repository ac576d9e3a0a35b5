//! Which Arrow types ORC has a type for, how each is stored, and what to do about the others.

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use orc_rust::proto::{self, r#type::Kind};
use std::sync::Arc;

/// A column that ORC cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The column; for a part of a nested one its path, `order.items.price`.
    pub column: String,
    /// What ORC has no type for.
    pub ty: DataType,
    /// What to do about it.
    pub way_out: &'static str,
}

/// The columns that cannot be written, with the way out for each.
pub fn unsupported(schema: &Schema) -> Vec<Unsupported> {
    let mut found = vec![];
    schema.fields().iter().for_each(|field| refused(field.name(), field.data_type(), &mut found));
    found
}

fn refused(path: &str, ty: &DataType, found: &mut Vec<Unsupported>) {
    match storage(ty) {
        Err(way_out) => found.push(Unsupported { column: path.to_string(), ty: ty.clone(), way_out }),
        Ok(DataType::Struct(fields)) => {
            fields.iter().for_each(|f| refused(&format!("{path}.{}", f.name()), f.data_type(), found));
        }
        Ok(DataType::List(item)) => refused(&format!("{path}[]"), item.data_type(), found),
        Ok(DataType::Map(entries, _)) => {
            if let DataType::Struct(fields) = entries.data_type() {
                fields.iter().for_each(|f| refused(&format!("{path}.{}", f.name()), f.data_type(), found));
            }
        }
        Ok(_) => {}
    }
}

/// The plainest type of the same values, which arrays are cast to before they are written; or what to do instead. What is
/// nested keeps its own children, each of which has its storage.
pub fn storage(ty: &DataType) -> Result<DataType, &'static str> {
    use DataType::*;
    let plain = match ty {
        Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Utf8 | Binary | Date32 | Timestamp(..) => {
            ty.clone()
        }
        UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => return Err("cast it to Int64, or to Decimal(20, 0) where it is beyond"),
        Float16 => Float32,
        LargeUtf8 | Utf8View => Utf8,
        LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Decimal32(precision, scale) | Decimal64(precision, scale) | Decimal128(precision, scale) => {
            if *scale < 0 {
                return Err("cast it to a Decimal whose scale is 0 or more");
            }
            Decimal128(*precision, *scale)
        }
        Decimal256(..) => return Err("cast it to a Decimal of at most 38 digits, or to Utf8"),
        Date64 => return Err("cast it to Date, or to Timestamp to keep the time of day"),
        Time32(_) | Time64(_) => return Err("cast it to Int64 or Utf8, or make it part of a Timestamp"),
        Duration(_) | Interval(_) => return Err("cast it to Int64 or Utf8"),
        Null => return Err("drop it, or cast it to the type that it should have"),
        Union(..) => return Err("make each of its variants a column of its own"),
        Dictionary(_, values) => storage(values)?,
        RunEndEncoded(_, values) => storage(values.data_type())?,
        Struct(fields) if fields.is_empty() => return Err("give it a field, or drop it"),
        Struct(_) | List(_) | Map(..) => ty.clone(),
        LargeList(item) | FixedSizeList(item, _) | ListView(item) | LargeListView(item) => List(item.clone()),
    };
    if plain == *ty || can_cast_types(ty, &plain) { Ok(plain) } else { Err("cast it to a plain type first") }
}

/// Appends ORC's types of a column and all below it, each parent before its children; answers the column's number.
pub fn describe(ty: &DataType, types: &mut Vec<proto::Type>) -> u32 {
    let at = types.len();
    let kind = match ty {
        DataType::Boolean => Kind::Boolean,
        DataType::Int8 => Kind::Byte,
        DataType::Int16 => Kind::Short,
        DataType::Int32 => Kind::Int,
        DataType::Int64 => Kind::Long,
        DataType::Float32 => Kind::Float,
        DataType::Float64 => Kind::Double,
        DataType::Utf8 => Kind::String,
        DataType::Date32 => Kind::Date,
        DataType::Timestamp(_, None) => Kind::Timestamp,
        DataType::Timestamp(_, Some(_)) => Kind::TimestampInstant,
        DataType::Decimal128(..) => Kind::Decimal,
        DataType::Struct(_) => Kind::Struct,
        DataType::List(_) => Kind::List,
        DataType::Map(..) => Kind::Map,
        _ => Kind::Binary,
    };
    types.push(proto::Type { kind: Some(kind.into()), ..Default::default() });
    if let DataType::Decimal128(precision, scale) = ty {
        types[at].precision = Some((*precision).into());
        types[at].scale = Some(*scale as u32);
    }
    let children = children(ty);
    let named = matches!(ty, DataType::Struct(_));
    for child in &children {
        let below = storage(child.data_type()).unwrap_or(DataType::Binary);
        let number = describe(&below, types);
        types[at].subtypes.push(number);
        if named {
            types[at].field_names.push(child.name().clone());
        }
    }
    at as u32
}

/// What lies below a stored type: fields of a struct, items of a list, keys and values of a map.
pub fn children(ty: &DataType) -> Fields {
    match ty {
        DataType::Struct(fields) => fields.clone(),
        DataType::List(item) => Fields::from(vec![item.clone()]),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.clone(),
            _ => Fields::empty(),
        },
        _ => Fields::empty(),
    }
}

/// How many units of time are a second.
pub fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// A schema's columns as one struct: the root of the file's types.
pub fn root(schema: &Schema) -> DataType {
    DataType::Struct(schema.fields().iter().map(|f| Arc::new(Field::clone(f))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_named_with_the_way_out() {
        let inner = Field::new("price", DataType::Decimal256(50, 2), true);
        let item = Arc::new(Field::new("item", DataType::Struct(vec![inner].into()), true));
        let schema = Schema::new(vec![
            Field::new("fine", DataType::Utf8View, true),
            Field::new("big", DataType::UInt64, true),
            Field::new("at", DataType::Time64(TimeUnit::Microsecond), true),
            Field::new("items", DataType::LargeList(item), true),
        ]);
        let found: Vec<(String, &str)> = unsupported(&schema).into_iter().map(|u| (u.column, u.way_out)).collect();
        let expected = [
            ("big", "cast it to Int64, or to Decimal(20, 0) where it is beyond"),
            ("at", "cast it to Int64 or Utf8, or make it part of a Timestamp"),
            ("items[].price", "cast it to a Decimal of at most 38 digits, or to Utf8"),
        ];
        assert_eq!(found, expected.map(|(column, help)| (column.to_string(), help)));
    }

    #[test]
    fn parents_come_before_their_children() {
        let pair = DataType::Struct(
            vec![Field::new("a", DataType::UInt8, true), Field::new("b", DataType::Utf8, true)].into(),
        );
        let schema = Schema::new(vec![Field::new_list("l", Field::new("item", pair, true), true)]);
        let mut types = vec![];
        describe(&root(&schema), &mut types);
        let kinds: Vec<Kind> = types.iter().map(|t| t.kind()).collect();
        assert_eq!(kinds, [Kind::Struct, Kind::List, Kind::Struct, Kind::Short, Kind::String]);
        assert_eq!((&types[2].subtypes, &types[2].field_names), (&vec![3, 4], &vec!["a".to_string(), "b".to_string()]));
    }
}
