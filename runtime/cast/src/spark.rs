//! Every row of the measured reference (Spark 4.3 with ANSI off), and laws that hold the fast roads to the slow ones.

use crate::{cast, from_text, supported};
use arrow::array::cast::AsArray;
use arrow::array::types::{Date32Type, Decimal128Type};
use arrow::array::{Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::array::{ListBuilder, StringBuilder, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimeUnit};
use proptest::prelude::*;
use std::sync::Arc;

const UTC: &str = "UTC";

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// Casts each text and prints the result again; `NULL` must be a reported failure.
fn check(to: &DataType, rows: &[(&str, &str)]) {
    let text: StringArray = rows.iter().map(|r| Some(r.0)).collect();
    let done = from_text(&text, to).unwrap();
    assert_eq!(done.values.data_type(), to);
    let printed = cast(&done.values, &DataType::Utf8).unwrap().values;
    let printed = printed.as_string::<i32>();
    for (i, (from, expected)) in rows.iter().enumerate() {
        let found = if printed.is_null(i) { "NULL" } else { printed.value(i) };
        assert_eq!(found, *expected, "{from:?} to {to}");
        let failed = done.failed.as_ref().is_some_and(|f| f.value(i));
        assert_eq!(failed, *expected == "NULL", "{from:?} to {to}: reported as failed");
    }
}

#[test]
fn text_to_int() {
    check(
        &DataType::Int32,
        &[
            ("12", "12"),
            (" 12 ", "12"),
            ("\t12\n", "12"),
            ("+5", "5"),
            ("-0", "0"),
            ("007", "7"),
            ("12.0", "12"),
            ("12.7", "12"),
            ("-12.7", "-12"),
            ("1e3", "NULL"),
            ("1,204", "NULL"),
            ("0x1F", "NULL"),
            ("1_000", "NULL"),
            ("2147483648", "NULL"),
            ("N/A", "NULL"),
            ("null", "NULL"),
            ("", "NULL"),
            ("-", "NULL"),
            ("٣", "NULL"),
            // Beyond the table.
            ("-2147483648", "-2147483648"),
            ("5.", "5"),
            (".5", "0"),
            (".", "NULL"),
            ("+-5", "NULL"),
            ("12.x", "NULL"),
            ("1 2", "NULL"),
        ],
    );
    check(
        &DataType::Int64,
        &[
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "NULL"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-9223372036854775809", "NULL"),
            ("123456789", "123456789"),
            ("12345678a", "NULL"),
            ("a23456789", "NULL"),
            ("00000000000000000000000012", "12"),
        ],
    );
    check(&DataType::Int8, &[("127", "127"), ("128", "NULL"), ("-128", "-128")]);
    check(&DataType::UInt8, &[("255", "255"), ("256", "NULL"), ("-1", "NULL"), ("-0", "0")]);
    check(&DataType::UInt64, &[("18446744073709551615", "18446744073709551615"), ("18446744073709551616", "NULL")]);
}

#[test]
fn text_to_double() {
    check(
        &DataType::Float64,
        &[
            ("3.50", "3.5"),
            (" 3.50 ", "3.5"),
            ("1e3", "1000.0"),
            ("1E+3", "1000.0"),
            (".5", "0.5"),
            ("5.", "5.0"),
            ("NaN", "NaN"),
            ("nan", "NaN"),
            ("Infinity", "Infinity"),
            ("inf", "Infinity"),
            ("-inf", "-Infinity"),
            ("1d", "1.0"),
            ("1f", "1.0"),
            ("0x1p3", "8.0"),
            ("1e400", "Infinity"),
            ("$3.50", "NULL"),
            ("1,204.5", "NULL"),
            ("N/A", "NULL"),
            ("", "NULL"),
            // Beyond the table.
            ("-0", "-0.0"),
            ("0x1.8p-1", "0.75"),
            ("0x1.fffffffffffffp1023", "1.7976931348623157E308"),
            ("0x1p-1022", "2.2250738585072014E-308"),
            ("0x1", "NULL"),
            ("1e", "NULL"),
            (".", "NULL"),
            ("1dd", "NULL"),
            ("infd", "NULL"),
            ("-nan", "NULL"),
            ("9007199254740993", "9.007199254740992E15"),
            ("123456789012345678", "1.2345678901234568E17"),
            ("0.001", "0.001"),
            ("0.0001", "1.0E-4"),
            ("9999999", "9999999.0"),
            ("10000000", "1.0E7"),
        ],
    );
    check(&DataType::Float32, &[("0.1", "0.1"), ("16777217", "1.6777216E7"), ("1e39", "Infinity"), ("x", "NULL")]);
}

#[test]
fn text_to_decimal() {
    check(
        &DataType::Decimal128(10, 2),
        &[
            ("3.5", "3.50"),
            ("3.505", "3.51"),
            ("3.515", "3.52"),
            ("-3.505", "-3.51"),
            ("3.504999", "3.50"),
            ("1e2", "100.00"),
            ("12345678.9", "12345678.90"),
            ("123456789.1", "NULL"),
            (" 7 ", "7.00"),
            ("N/A", "NULL"),
            ("", "NULL"),
            // Beyond the table.
            ("0.005", "0.01"),
            ("0.0049999999999999999999999", "0.00"),
            ("1e-400", "0.00"),
            ("1e400", "NULL"),
            ("0e400", "0.00"),
            ("1e99999999999", "NULL"),
            ("99999999.994", "99999999.99"),
            ("99999999.995", "NULL"),
            ("-99999999.995", "NULL"),
            ("+1.", "1.00"),
            (".", "NULL"),
            ("1.2.3", "NULL"),
            ("--1", "NULL"),
        ],
    );
    let nines = "9".repeat(38);
    check(
        &DataType::Decimal128(38, 0),
        &[(&nines, &nines), (&format!("{nines}.5"), "NULL"), (&"9".repeat(39), "NULL")],
    );
    check(&DataType::Decimal128(38, 38), &[("0.5", &format!("0.5{}", "0".repeat(37))), ("1", "NULL")]);
}

#[test]
fn text_to_date() {
    check(
        &DataType::Date32,
        &[
            ("2024-03-01", "2024-03-01"),
            (" 2024-03-01 ", "2024-03-01"),
            ("2024-1-5", "2024-01-05"),
            ("2024-03", "2024-03-01"),
            ("2024", "2024-01-01"),
            ("2024-02-30", "NULL"),
            ("2024-13-01", "NULL"),
            ("15/01/2024", "NULL"),
            ("2024/01/15", "NULL"),
            ("20240115", "NULL"),
            ("0000-00-00", "NULL"),
            ("2024-03-01 10:00:00", "2024-03-01"),
            ("2024-03-01T10:00:00Z", "2024-03-01"),
            ("2024-03-01x", "NULL"),
            ("+2024-03-01", "2024-03-01"),
            ("N/A", "NULL"),
            ("", "NULL"),
            // Beyond the table.
            ("2024-02-29", "2024-02-29"),
            ("2023-02-29", "NULL"),
            ("1900-02-29", "NULL"),
            ("2000-02-29", "2000-02-29"),
            ("1969-12-31", "1969-12-31"),
            ("0001-01-01", "0001-01-01"),
            ("-0001-01-01", "-0001-01-01"),
            ("12024-01-01", "+12024-01-01"),
            ("9999999-01-01", "NULL"),
            ("2024-", "NULL"),
            ("2024-1-", "NULL"),
            ("2024-01-0a", "NULL"),
            ("2024-01-00", "NULL"),
            ("2024-1T", "NULL"),
            ("-", "NULL"),
        ],
    );
}

#[test]
fn text_to_timestamp() {
    check(
        &micros(),
        &[
            ("2024-03-01 10:00:00", "2024-03-01 10:00:00"),
            ("2024-03-01T10:00:00.123Z", "2024-03-01 10:00:00.123"),
            ("2024-03-01 10:00:00.123456789", "2024-03-01 10:00:00.123456"),
            ("2024-03-01 10:00", "2024-03-01 10:00:00"),
            ("2024-03-01", "2024-03-01 00:00:00"),
            ("2024-03-01 10:00:00+02:00", "2024-03-01 08:00:00"),
            (" 2024-03-01 10:00:00 ", "2024-03-01 10:00:00"),
            ("2024-3-1 1:2:3", "2024-03-01 01:02:03"),
            // Spark would put in the day of the run: a result that depends on the clock is refused.
            ("10:00:00", "NULL"),
            ("2024-02-30 10:00:00", "NULL"),
            ("1709287200", "NULL"),
            ("N/A", "NULL"),
            ("", "NULL"),
            // Beyond the table.
            ("1969-12-31 23:59:59.9999995", "1969-12-31 23:59:59.999999"),
            ("2024-03-01 24:00:00", "NULL"),
            ("2024-03-01 10:60:00", "NULL"),
            ("2024-03-01 10:00:60", "NULL"),
            ("2024-03-01 10:00:0a", "NULL"),
            ("2024-03-01 10:00:00.", "2024-03-01 10:00:00"),
            ("2024-03-01 10:00:00.1234567890123", "2024-03-01 10:00:00.123456"),
            ("2024-03-01 10:00:00 Europe/Berlin", "2024-03-01 09:00:00"),
            ("2024-07-01 10:00:00 Europe/Berlin", "2024-07-01 08:00:00"),
            ("2024-03-31 02:30:00 Europe/Berlin", "2024-03-31 01:30:00"),
            ("2024-10-27 02:30:00 Europe/Berlin", "2024-10-27 00:30:00"),
            ("2024-03-01 10:00:00 UTC", "2024-03-01 10:00:00"),
            ("2024-03-01 10:00:00UTC+1", "2024-03-01 09:00:00"),
            ("2024-03-01 10:00:00-0530", "2024-03-01 15:30:00"),
            ("2024-03-01 10:00:00.5-5:30", "2024-03-01 15:30:00.5"),
            ("2024-03-01 10:00:00+19:00", "NULL"),
            ("2024-03-01 10:00:00 Nowhere/Land", "NULL"),
            ("2024-03-01 10:00:00x", "NULL"),
            ("2024-03-01T", "NULL"),
            ("2024", "2024-01-01 00:00:00"),
        ],
    );
    let berlin = DataType::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into()));
    check(
        &berlin,
        &[("2024-03-01 10:00:00.5", "2024-03-01 10:00:00.5"), ("2024-03-01 10:00:00Z", "2024-03-01 11:00:00")],
    );
    let local = DataType::Timestamp(TimeUnit::Nanosecond, None);
    check(
        &local,
        &[
            ("2024-03-01 10:00:00.123456789", "2024-03-01 10:00:00.123456789"),
            ("2024-03-01 10:00:00+02:00", "2024-03-01 10:00:00"),
            ("9999-12-31 00:00:00", "NULL"),
        ],
    );
}

#[test]
fn text_to_boolean() {
    check(
        &DataType::Boolean,
        &[
            ("true", "true"),
            ("TRUE", "true"),
            (" t ", "true"),
            ("1", "true"),
            ("0", "false"),
            ("yes", "true"),
            ("Y", "true"),
            ("no", "false"),
            ("on", "NULL"),
            ("off", "NULL"),
            ("2", "NULL"),
            ("N/A", "NULL"),
            ("", "NULL"),
            ("False", "false"),
        ],
    );
}

#[test]
fn nulls_are_no_failures_and_slices_are_understood() {
    let text = StringArray::from(vec![Some("x"), Some("1"), None, Some("y"), Some("4")]).slice(1, 4);
    let done = from_text(&text, &DataType::Int64).unwrap();
    assert_eq!(done.values.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(1), None, None, Some(4)]));
    assert_eq!(done.failed, Some(BooleanArray::from(vec![false, false, true, false])));
    let empty = from_text(&StringArray::from(Vec::<&str>::new()), &DataType::Date32).unwrap();
    assert_eq!((empty.values.len(), empty.failed), (0, None));
}

fn convert(from: ArrayRef, to: &DataType, expected: &[&str]) {
    let done = cast(&from, to).unwrap();
    assert_eq!(done.values.data_type(), to);
    let printed = cast(&done.values, &DataType::Utf8).unwrap().values;
    let found: Vec<_> = printed.as_string::<i32>().iter().map(|v| v.unwrap_or("NULL").to_string()).collect();
    assert_eq!(found, expected, "{} to {to}", from.data_type());
    let failed = (0..from.len()).filter(|&i| from.is_valid(i) && done.values.is_null(i)).count();
    assert_eq!(done.failed.map_or(0, |f| f.true_count()), failed);
}

#[test]
fn numbers() {
    let ints = || Arc::new(Int64Array::from(vec![Some(1), Some(300), Some(-1), None])) as ArrayRef;
    convert(ints(), &DataType::Int8, &["1", "NULL", "-1", "NULL"]);
    convert(ints(), &DataType::UInt16, &["1", "300", "NULL", "NULL"]);
    convert(ints(), &DataType::Decimal128(4, 2), &["1.00", "NULL", "-1.00", "NULL"]);
    convert(ints(), &DataType::Float32, &["1.0", "300.0", "-1.0", "NULL"]);
    convert(ints(), &DataType::Boolean, &["true", "true", "true", "NULL"]);
    let floats = || Arc::new(Float64Array::from(vec![1.005, -2.7, f64::NAN, 1e300, 0.0])) as ArrayRef;
    convert(floats(), &DataType::Int32, &["1", "-2", "NULL", "NULL", "0"]);
    convert(floats(), &DataType::Decimal128(10, 2), &["1.01", "-2.70", "NULL", "NULL", "0.00"]);
    let decimals =
        || from_text(&StringArray::from(vec!["2.555", "-2.555", "0", "123456.7"]), &DataType::Decimal128(12, 3));
    let decimals = || decimals().unwrap().values;
    convert(decimals(), &DataType::Decimal128(5, 2), &["2.56", "-2.56", "0.00", "NULL"]);
    convert(decimals(), &DataType::Int16, &["2", "-2", "0", "NULL"]);
    convert(decimals(), &DataType::Boolean, &["true", "true", "false", "true"]);
    convert(decimals(), &DataType::Float64, &["2.555", "-2.555", "0.0", "123456.7"]);
    let bools = Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef;
    convert(bools.clone(), &DataType::Decimal128(3, 1), &["1.0", "0.0"]);
    convert(bools, &DataType::Int32, &["1", "0"]);
}

#[test]
fn times() {
    let instant = from_text(&StringArray::from(vec!["2024-07-01 23:30:00.5", "1969-12-31 23:59:59.5"]), &micros())
        .unwrap()
        .values;
    let zoned = |unit, zone: &str| DataType::Timestamp(unit, Some(zone.into()));
    let local = |unit| DataType::Timestamp(unit, None);
    convert(instant.clone(), &DataType::Int64, &["1719876600", "-1"]);
    convert(instant.clone(), &DataType::Float64, &["1.7198766005E9", "-0.5"]);
    convert(instant.clone(), &DataType::Decimal128(20, 3), &["1719876600.500", "-0.500"]);
    convert(instant.clone(), &DataType::Date32, &["2024-07-01", "1969-12-31"]);
    convert(
        instant.clone(),
        &zoned(TimeUnit::Second, "Europe/Berlin"),
        &["2024-07-02 01:30:00", "1970-01-01 00:59:59"],
    );
    convert(instant.clone(), &local(TimeUnit::Millisecond), &["2024-07-01 23:30:00.5", "1969-12-31 23:59:59.5"]);
    let berlin = cast(&instant, &zoned(TimeUnit::Second, "Europe/Berlin")).unwrap().values;
    convert(berlin.clone(), &DataType::Date32, &["2024-07-02", "1970-01-01"]);
    convert(berlin.clone(), &local(TimeUnit::Nanosecond), &["2024-07-02 01:30:00", "1970-01-01 00:59:59"]);
    let wall = cast(&berlin, &local(TimeUnit::Nanosecond)).unwrap().values;
    convert(wall, &micros(), &["2024-07-02 01:30:00", "1970-01-01 00:59:59"]);
    let dates = from_text(&StringArray::from(vec!["2024-07-02", "12024-01-01"]), &DataType::Date32).unwrap().values;
    convert(dates.clone(), &micros(), &["2024-07-02 00:00:00", "+12024-01-01 00:00:00"]);
    convert(dates, &local(TimeUnit::Nanosecond), &["2024-07-02 00:00:00", "NULL"]);
    convert(Arc::new(Int64Array::from(vec![1719876600, i64::MAX])), &micros(), &["2024-07-01 23:30:00", "NULL"]);
    convert(Arc::new(Float64Array::from(vec![0.5, f64::NAN])), &micros(), &["1970-01-01 00:00:00.5", "NULL"]);
    assert!(!supported(&DataType::Int32, &DataType::Date32), "days since 1970 are not what a number means");
    assert!(!supported(&DataType::Date32, &DataType::Int32));
}

#[test]
fn printing() {
    let doubles = Float64Array::from(vec![1.0, 0.1, 1e7, 1.5e-4, -1e10, 1e100, 123456.789]);
    convert(Arc::new(doubles), &DataType::Utf8, &["1.0", "0.1", "1.0E7", "1.5E-4", "-1.0E10", "1.0E100", "123456.789"]);
    convert(Arc::new(Float32Array::from(vec![0.1, 1e8])), &DataType::LargeUtf8, &["0.1", "1.0E8"]);
    convert(Arc::new(Int32Array::from(vec![-5, 0])), &DataType::Utf8View, &["-5", "0"]);
}

#[test]
fn inside_lists_and_structs() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in [vec!["1", "2"], vec!["x"], vec![]] {
        row.iter().for_each(|v| lists.values().append_value(v));
        lists.append(true);
    }
    let lists = lists.finish();
    let done = cast(&lists, &DataType::new_list(DataType::Int64, true)).unwrap();
    assert_eq!(done.failed, Some(BooleanArray::from(vec![false, true, false])));
    assert_eq!(done.values.as_list::<i32>().value(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![1, 2]));
    let field = |ty| Arc::new(Field::new("a", ty, true));
    let text = Arc::new(StringArray::from(vec!["1.5", "y"])) as ArrayRef;
    let rows = StructArray::from(vec![(field(DataType::Utf8), text)]);
    let done = cast(&rows, &DataType::Struct(vec![field(DataType::Float64)].into())).unwrap();
    assert_eq!(done.failed, Some(BooleanArray::from(vec![false, true])));
    assert_eq!(done.values.as_struct().column(0).as_primitive::<Float64Type>().value(0), 1.5);
}

#[test]
fn supported_tells_the_truth() {
    use DataType::*;
    let types = [
        Null,
        Boolean,
        Int8,
        Int32,
        Int64,
        UInt8,
        UInt64,
        Float32,
        Float64,
        Decimal128(10, 2),
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        Date32,
        Date64,
        Time32(TimeUnit::Second),
        Time64(TimeUnit::Microsecond),
        micros(),
        Timestamp(TimeUnit::Second, None),
        Dictionary(Box::new(Int32), Box::new(Utf8)),
        DataType::new_list(Int32, true),
        DataType::new_list(Utf8, true),
        Struct(vec![Field::new("a", Int32, true)].into()),
        Struct(vec![Field::new("a", Utf8, true)].into()),
    ];
    for from in &types {
        for to in &types {
            let done = cast(&new_null_array(from, 3), to);
            assert_eq!(done.is_ok(), supported(from, to), "{from} to {to}: {done:?}");
            if let Ok(done) = done {
                assert_eq!(done.values.data_type(), to);
                assert_eq!((done.values.len(), done.failed), (3, None), "{from} to {to}");
            }
        }
    }
}

proptest! {
    #[test]
    fn whole_numbers_round_trip(numbers: Vec<Option<i64>>) {
        let text: StringArray = numbers.iter().map(|n| n.map(|n| n.to_string())).collect();
        let done = from_text(&text, &DataType::Int64).unwrap();
        prop_assert_eq!(done.values.as_primitive::<Int64Type>(), &Int64Array::from(numbers));
        prop_assert!(done.failed.is_none());
    }

    #[test]
    fn short_numbers_are_read_as_std_reads_them(text in "[-+]?[0-9]{0,18}") {
        let done = from_text(&StringArray::from(vec![text.as_str()]), &DataType::Int64).unwrap().values;
        let expected: Option<i64> = text.parse().ok();
        prop_assert_eq!(done.as_primitive::<Int64Type>(), &Int64Array::from(vec![expected]));
    }

    #[test]
    fn doubles_are_read_as_std_reads_them(text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?(e-?[0-9]{1,3})?") {
        let done = from_text(&StringArray::from(vec![text.as_str()]), &DataType::Float64).unwrap().values;
        let expected: Option<f64> = text.parse().ok();
        let found = done.is_valid(0).then(|| done.as_primitive::<Float64Type>().value(0));
        prop_assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits));
    }

    #[test]
    fn doubles_round_trip(number: f64) {
        let text = cast(&Float64Array::from(vec![number]), &DataType::Utf8).unwrap().values;
        let back = cast(&text, &DataType::Float64).unwrap().values;
        let back = back.as_primitive::<Float64Type>().value(0);
        prop_assert!(back == number || number.is_nan());
    }

    /// The short road of decimals against the long one.
    #[test]
    fn decimals_agree(text in "-?[0-9]{0,12}(\\.[0-9]{0,8})?", precision in 1u8..=38, scale in 0u8..=20) {
        let scale = scale.min(precision);
        let ty = DataType::Decimal128(precision, scale as i8);
        let short = from_text(&StringArray::from(vec![text.as_str()]), &ty).unwrap().values;
        // An exponent of nought changes nothing but the road.
        let long = from_text(&StringArray::from(vec![format!("{text}e0")]), &ty).unwrap().values;
        prop_assert_eq!(short.as_primitive::<Decimal128Type>(), long.as_primitive::<Decimal128Type>());
    }

    #[test]
    fn days_round_trip(day in -2_000_000i32..3_000_000) {
        let text = cast(&arrow::array::Date32Array::from(vec![day]), &DataType::Utf8).unwrap().values;
        let back = cast(&text, &DataType::Date32).unwrap().values;
        prop_assert_eq!(back.as_primitive::<Date32Type>().value(0), day);
    }

    /// Whatever the text, whatever the type: an answer, and a failure wherever there is none.
    #[test]
    fn nothing_panics(texts in prop::collection::vec(prop_oneof![".*", "[0-9+.:TZeE\\- ]{0,40}"], 0..20)) {
        let text = StringArray::from_iter_values(&texts);
        for ty in [DataType::Int64, DataType::UInt8, DataType::Float64, DataType::Float32, DataType::Decimal128(20, 6),
                   DataType::Date32, micros(), DataType::Timestamp(TimeUnit::Second, Some("Asia/Kolkata".into())), DataType::Boolean] {
            let done = from_text(&text, &ty).unwrap();
            let failed = done.failed.map_or(0, |f| f.true_count());
            prop_assert_eq!(failed, done.values.null_count());
        }
    }
}
