//! Arrow schemas as the contract has them: fields depth first, types in the notation of the Arrow C data interface.

use crate::bindings::selvedge::plugin::types::FieldResult as Field;
use crate::columns::crosses;
use arrow::array::types::{Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};
use arrow::datatypes::{DataType, Field as ArrowField, Schema as ArrowSchema, validate_decimal_precision_and_scale};
use arrow::ffi::FFI_ArrowSchema;
use std::sync::Arc;

/// Types nested deeper than this are refused.
const DEPTH: usize = 32;

/// The fields of a schema. A column that cannot cross is told as null type: it may be passed on, but not read.
pub fn fields(schema: &ArrowSchema) -> Vec<Field> {
    let mut fields = vec![];
    for field in schema.fields() {
        if crosses(field.data_type()) {
            push(field, &mut fields);
        } else {
            push(&ArrowField::new(field.name(), DataType::Null, true), &mut fields);
        }
    }
    fields
}

fn push(field: &ArrowField, into: &mut Vec<Field>) {
    let children: Vec<&ArrowField> = match field.data_type() {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => vec![f],
        DataType::Struct(fields) => fields.iter().map(AsRef::as_ref).collect(),
        _ => vec![],
    };
    // Cannot fail for types that cross; an empty format would be refused by any reader.
    let format = FFI_ArrowSchema::try_from(field.data_type()).map(|s| s.format().to_string()).unwrap_or_default();
    into.push(Field {
        name: field.name().clone(),
        format,
        nullable: field.is_nullable(),
        children: children.len() as u32,
    });
    children.into_iter().for_each(|child| push(child, into));
}

/// The schema that a plugin has told, if it is one that can cross.
pub fn schema(fields: Vec<Field>) -> Result<ArrowSchema, String> {
    let mut fields = fields.into_iter();
    let mut own: Vec<ArrowField> = vec![];
    while let Some(field) = fields.next() {
        if own.iter().any(|f| *f.name() == field.name) {
            return Err(format!("two columns named `{}`", field.name));
        }
        let name = field.name.clone();
        let field = pull(field, &mut fields, DEPTH).map_err(|e| format!("column `{name}`: {e}"))?;
        if !crosses(field.data_type()) {
            return Err(format!("column `{name}`: {} cannot cross between host and plugin", field.data_type()));
        }
        own.push(field);
    }
    Ok(ArrowSchema::new(own))
}

fn pull(field: Field, rest: &mut dyn Iterator<Item = Field>, depth: usize) -> Result<ArrowField, String> {
    let Some(depth) = depth.checked_sub(1) else { return Err(format!("nested deeper than {DEPTH}")) };
    let mut children = vec![];
    for _ in 0..field.children {
        let Some(child) = rest.next() else { return Err("its children are missing".into()) };
        children.push(Arc::new(pull(child, rest, depth)?));
    }
    let ty = match (field.format.as_str(), children.as_slice()) {
        ("+s", all) => DataType::Struct(all.iter().cloned().collect()),
        ("+l", [item]) => DataType::List(item.clone()),
        ("+L", [item]) => DataType::LargeList(item.clone()),
        ("+m", [entries]) => map(entries.clone())?,
        (list, [item]) if list.starts_with("+w:") => match list[3..].parse::<u16>() {
            Ok(n) => DataType::FixedSizeList(item.clone(), n.into()),
            Err(_) => return Err(format!("`{list}` is no type: `+w:` needs a number")),
        },
        (nested, all) if nested.starts_with('+') || !all.is_empty() => {
            return Err(format!("`{nested}` with {} children is no type that can cross", all.len()));
        }
        (format, _) if format.contains('\0') => return Err("its type holds a zero byte".into()),
        (format, _) => FFI_ArrowSchema::try_new(format, vec![], None)
            .and_then(|c| DataType::try_from(&c))
            .map_err(|e| format!("`{format}` is no type: {e}"))?,
    };
    check(&ty)?;
    Ok(ArrowField::new(field.name, ty, field.nullable))
}

/// What Arrow's notation can say, but no array can be.
fn check(ty: &DataType) -> Result<(), String> {
    let checked = match ty {
        DataType::Decimal32(p, s) => validate_decimal_precision_and_scale::<Decimal32Type>(*p, *s),
        DataType::Decimal64(p, s) => validate_decimal_precision_and_scale::<Decimal64Type>(*p, *s),
        DataType::Decimal128(p, s) => validate_decimal_precision_and_scale::<Decimal128Type>(*p, *s),
        DataType::Decimal256(p, s) => validate_decimal_precision_and_scale::<Decimal256Type>(*p, *s),
        DataType::FixedSizeBinary(n) if *n < 0 => return Err(format!("values of {n} bytes")),
        _ => Ok(()),
    };
    checked.map_err(|e| e.to_string())
}

fn map(entries: Arc<ArrowField>) -> Result<DataType, String> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 && !entries.is_nullable() => Ok(DataType::Map(entries, false)),
        _ => Err("a map needs a struct of key and value that is never null".into()),
    }
}
