//! Declared column types of SQLite and column types of Arrow, both ways.
//!
//! SQLite itself reads a declared type only for its *affinity* (which storage class it prefers), so there is room to say
//! more. What `Warehouse` declares, `Table` reads back as the same type with the same values:
//!
//! | Arrow | declared | stored as |
//! |---|---|---|
//! | Boolean | `BOOLEAN` | 0, 1 |
//! | Int8, Int16, Int32, Int64 | `TINYINT`, `SMALLINT`, `INT4`, `BIGINT` | integer |
//! | UInt8, UInt16, UInt32 | `UTINYINT`, `USMALLINT`, `UINTEGER` (DuckDB's names) | integer |
//! | Float32, Float64 | `FLOAT4`, `DOUBLE` | real; NaN is null, as SQLite has none |
//! | Decimal(p ≤ 15, s) | `DECIMAL(p,s)` | real or integer: 15 digits survive, and SQL compares and sums them as numbers |
//! | Decimal(p > 15, s) | `DECIMAL_TEXT(p,s)` | text: a number would lose digits; compares as text |
//! | Utf8 | `TEXT` | text |
//! | Binary | `BLOB` | blob |
//! | Date | `DATE` | `2024-03-01` |
//! | Timestamp | `TIMESTAMP(d)`, d = digits of the fraction, 6 if left out | `2024-03-01 10:00:00.000000`; all have the same width, so text order is time order |
//! | Timestamp with a zone | `TIMESTAMPTZ(d)` | the same in UTC with a `Z`; the zone itself is not kept |

use arrow::datatypes::{DataType, TimeUnit};

/// Digits that survive in a double.
const EXACT_DIGITS: u8 = 15;

/// What a column of this type is declared as; `None` if it cannot be stored.
pub fn declare(ty: &DataType) -> Option<String> {
    let fixed = match ty {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT4",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "UTINYINT",
        DataType::UInt16 => "USMALLINT",
        DataType::UInt32 => "UINTEGER",
        DataType::Float32 => "FLOAT4",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 => "TEXT",
        DataType::Binary => "BLOB",
        DataType::Date32 => "DATE",
        DataType::Decimal128(p, s) if stored_as_number(*p) => return Some(format!("DECIMAL({p},{s})")),
        DataType::Decimal128(p, s) => return Some(format!("DECIMAL_TEXT({p},{s})")),
        DataType::Timestamp(unit, zone) => {
            let zoned = if zone.is_some() { "TZ" } else { "" };
            return Some(match fraction_digits(unit) {
                6 => format!("TIMESTAMP{zoned}"),
                digits => format!("TIMESTAMP{zoned}({digits})"),
            });
        }
        _ => return None,
    };
    Some(fixed.to_string())
}

/// The plain form of a type that SQLite stores the same way; `None` if it has none.
pub fn plain(ty: &DataType) -> Option<DataType> {
    Some(match ty {
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::Dictionary(_, values) => return plain(values),
        // A negative scale (hundreds, thousands) has no declaration.
        DataType::Decimal128(_, s) if *s < 0 => return None,
        other if declare(other).is_some() => other.clone(),
        _ => return None,
    })
}

/// Whether decimals of this precision are stored as numbers; others are text.
pub fn stored_as_number(precision: u8) -> bool {
    precision <= EXACT_DIGITS
}

/// Digits after the point of a second.
pub fn fraction_digits(unit: &TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The type that a declaration means; `None` where it says nothing, and only the values can tell.
pub fn meaning(declared: &str) -> Option<DataType> {
    let upper = declared.to_ascii_uppercase();
    let (base, arguments) = match upper.split_once('(') {
        // `TIMESTAMP(3) WITH TIME ZONE`
        Some((base, rest)) => {
            let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
            (format!("{base} {after}"), inside)
        }
        None => (upper.clone(), ""),
    };
    let base = base.split_whitespace().collect::<Vec<_>>().join(" ");
    let numbers: Vec<u8> = arguments.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let unit = match numbers.first() {
        Some(0) => TimeUnit::Second,
        Some(1..=3) => TimeUnit::Millisecond,
        Some(7..) => TimeUnit::Nanosecond,
        _ => TimeUnit::Microsecond,
    };
    Some(match base.as_str() {
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "TINYINT" => DataType::Int8,
        "SMALLINT" | "INT2" => DataType::Int16,
        "INT4" | "MEDIUMINT" => DataType::Int32,
        "UTINYINT" => DataType::UInt8,
        "USMALLINT" => DataType::UInt16,
        "UINTEGER" => DataType::UInt32,
        "FLOAT4" => DataType::Float32,
        "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" | "DECIMAL_TEXT" => match numbers[..] {
            [p] if (1..=38).contains(&p) => DataType::Decimal128(p, 0),
            [p, s] if (1..=38).contains(&p) && s <= p => DataType::Decimal128(p, s as i8),
            _ => DataType::Float64,
        },
        "STRING" | "UUID" | "JSON" | "ENUM" => DataType::Utf8,
        "BINARY" | "VARBINARY" | "BYTEA" => DataType::Binary,
        "DATE" => DataType::Date32,
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => DataType::Timestamp(unit, None),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => DataType::Timestamp(unit, Some("UTC".into())),
        // The rules by which SQLite itself finds the affinity, in their order (datatype3.html, 3.1).
        other if other.contains("INT") => DataType::Int64,
        other if ["CHAR", "CLOB", "TEXT"].iter().any(|w| other.contains(w)) => DataType::Utf8,
        other if other.contains("BLOB") => DataType::Binary,
        other if ["REAL", "FLOA", "DOUB"].iter().any(|w| other.contains(w)) => DataType::Float64,
        _ => return None,
    })
}

/// Whether every value of `from` is a value of `to`, so that a load may cast.
pub fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let integer = |ty: &DataType| match ty {
        Int8 => Some((7, true)),
        Int16 => Some((15, true)),
        Int32 => Some((31, true)),
        Int64 => Some((63, true)),
        UInt8 => Some((8, false)),
        UInt16 => Some((16, false)),
        UInt32 => Some((32, false)),
        _ => None,
    };
    if let (Some((a, negative)), Some((b, signed))) = (integer(from), integer(to)) {
        return a <= b && (signed || !negative);
    }
    match (from, to) {
        (Float32, Float64) => true,
        (Decimal128(p, s), Decimal128(q, t)) => {
            s <= t && i16::from(*p) - i16::from(*s) <= i16::from(*q) - i16::from(*t)
        }
        (Timestamp(a, zone), Timestamp(b, other)) => {
            fraction_digits(a) <= fraction_digits(b) && zone.is_some() == other.is_some()
        }
        _ => from == to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_understood() {
        use DataType::*;
        let zone = Some("UTC".into());
        for ty in [
            Boolean,
            Int8,
            Int16,
            Int32,
            Int64,
            UInt8,
            UInt16,
            UInt32,
            Float32,
            Float64,
            Utf8,
            Binary,
            Date32,
            Decimal128(10, 2),
            Decimal128(38, 10),
            Decimal128(15, 15),
            Decimal128(16, 0),
            Timestamp(TimeUnit::Second, None),
            Timestamp(TimeUnit::Millisecond, zone.clone()),
            Timestamp(TimeUnit::Microsecond, zone.clone()),
            Timestamp(TimeUnit::Nanosecond, None),
        ] {
            assert_eq!(meaning(&declare(&ty).unwrap()), Some(ty.clone()), "{ty}");
            assert!(widens(&ty, &ty));
        }
    }

    #[test]
    fn the_fields_usual_declarations() {
        let check = |declared: &str, ty: Option<DataType>| assert_eq!(meaning(declared), ty, "{declared}");
        check("INTEGER", Some(DataType::Int64));
        check("int", Some(DataType::Int64));
        check("unsigned big int", Some(DataType::Int64));
        check("VARCHAR(255)", Some(DataType::Utf8));
        check("NATIVE CHARACTER(70)", Some(DataType::Utf8));
        check("double precision", Some(DataType::Float64));
        check("NUMERIC", Some(DataType::Float64));
        check("numeric(10, 2)", Some(DataType::Decimal128(10, 2)));
        check("DECIMAL(99,2)", Some(DataType::Float64));
        check("datetime", Some(DataType::Timestamp(TimeUnit::Microsecond, None)));
        check("timestamp(3) with time zone", Some(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))));
        check("", None);
        check("GEOMETRY", None);
    }

    #[test]
    fn only_lossless_casts_widen() {
        use DataType::*;
        let check = |from: DataType, to: DataType, ok: bool| assert_eq!(widens(&from, &to), ok, "{from} to {to}");
        check(Int32, Int64, true);
        check(Int64, Int32, false);
        check(UInt32, Int64, true);
        check(UInt32, Int32, false);
        check(Int8, UInt16, false);
        check(Decimal128(10, 2), Decimal128(12, 4), true);
        check(Decimal128(10, 2), Decimal128(10, 4), false);
        check(Utf8, Int64, false);
        check(Timestamp(TimeUnit::Second, None), Timestamp(TimeUnit::Microsecond, None), true);
        check(Timestamp(TimeUnit::Second, None), Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false);
    }
}
