//! A choice: a column whose values are of several types, each kept as it came. At run time it is a struct with one field for
//! each type, named after it, of which at most one is set: `Choice([Int64, Utf8])` is `Struct(int64: Int64, utf8: Utf8)`.
//! The shape alone tells a choice, so that it survives every format and every node that keeps structs.

use arrow::datatypes::{DataType, Fields, TimeUnit};

/// The name of the field for values of this type: `int64`, `decimal_10_2`, `struct`.
pub fn choice_name(ty: &DataType) -> String {
    match ty {
        DataType::Decimal128(precision, scale) => format!("decimal_{precision}_{scale}"),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "zoned_timestamp".into(),
        DataType::Timestamp(_, None) => "local_timestamp".into(),
        DataType::List(_) => "list".into(),
        DataType::Struct(_) => "struct".into(),
        other => {
            let lower = other.to_string().to_lowercase();
            lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect::<Vec<_>>().join("_")
        }
    }
}

/// The fields of a choice; `None`: the type is none.
pub fn choice_fields(ty: &DataType) -> Option<&Fields> {
    match ty {
        DataType::Struct(fields)
            if fields.len() > 1 && fields.iter().all(|f| *f.name() == choice_name(f.data_type())) =>
        {
            Some(fields)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Type;

    #[test]
    fn a_choice_is_known_by_its_shape() {
        let of = |text: &str| {
            let value = selvedge_ron::parse(selvedge_ron::FileId(0), text).unwrap();
            selvedge_ron::from_value::<Type>(&value).unwrap()
        };
        let names = |ty: &DataType| choice_fields(ty).map(|f| f.iter().map(|f| f.name().clone()).collect::<Vec<_>>());
        let choice =
            of("Choice([Int64, Decimal(10, 2), Utf8, List(Int64), Struct({\"a\": Date}), Timestamp, Boolean])");
        assert_eq!(
            names(&choice.arrow()).unwrap(),
            ["int64", "decimal_10_2", "utf8", "list", "struct", "timestamp", "boolean"]
        );
        assert_eq!(names(&of("Struct({\"int64\": Int64})").arrow()), None);
        assert_eq!(names(&of("Struct({\"int64\": Int64, \"text\": Utf8})").arrow()), None);
        assert_eq!(names(&DataType::Int64), None);
        let other = of("Arrow(\"Time64(ns)\")").arrow();
        assert_eq!(other, DataType::Time64(TimeUnit::Nanosecond));
    }
}
