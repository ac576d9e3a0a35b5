//! The row hash: equal rows agree in any representation, different rows do not, and every bit is as good as another.

use super::*;
use arrow::array::*;
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

fn hash(batch: &RecordBatch) -> Vec<u128> {
    let mut out = vec![1, 2, 3];
    RowHasher::whole_row(&batch.schema()).unwrap().hash(batch, &mut out);
    out
}

fn one(array: impl Array + 'static) -> Vec<u128> {
    let schema = Schema::new(vec![Field::new("c", array.data_type().clone(), true)]);
    hash(&RecordBatch::try_new(Arc::new(schema), vec![Arc::new(array)]).unwrap())
}

type Row = (Option<i64>, Option<String>, Option<bool>, Option<Vec<Option<i32>>>, Option<i128>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof!["[a-c]{0,3}", "[ab]{14,18}", "[ab]{30,34}"];
    let row = (
        prop::option::of(-3i64..3),
        prop::option::of(text),
        prop::option::of(any::<bool>()),
        prop::option::of(prop::collection::vec(prop::option::of(0i32..3), 0..3)),
        prop::option::of(prop::sample::select(vec![0i128, 1, -1, 1 << 64, i128::from(u64::MAX)])),
    );
    prop::collection::vec(row, 0..80)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|r| r.3.clone()));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("i", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.0))), true),
        ("t", Arc::new(StringArray::from_iter(rows.iter().map(|r| r.1.as_deref()))), true),
        ("b", Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.2))), true),
        ("l", Arc::new(lists), true),
        ("d", Arc::new(Decimal128Array::from_iter(rows.iter().map(|r| r.4))), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

proptest! {
    #[test]
    fn equal_rows_and_only_they_have_equal_hashes(rows in rows()) {
        let hashes = hash(&batch(&rows));
        let mut of_row = HashMap::new();
        let mut of_hash = HashMap::new();
        for (row, h) in rows.iter().zip(&hashes) {
            prop_assert_eq!(of_row.entry(row).or_insert(h), &h);
            prop_assert_eq!(of_hash.entry(h).or_insert(row), &row);
        }
    }

    #[test]
    fn representation_does_not_matter(rows in rows(), at in 0usize..80, len in 0usize..80) {
        let all = batch(&rows);
        let at = at.min(rows.len());
        let len = len.min(rows.len() - at);
        // A slice, a copy of the slice, a slice of it amid other rows, other layouts of text.
        let expected = &hash(&all)[at..at + len];
        let slice = all.slice(at, len);
        prop_assert_eq!(&hash(&slice)[..], expected);
        prop_assert_eq!(&hash(&batch(&rows[at..at + len]))[..], expected);
        let amid = concat_batches(&all.schema(), [&all, &slice, &all]).unwrap();
        prop_assert_eq!(&hash(&amid)[rows.len()..rows.len() + len], expected);
        for ty in [DataType::LargeUtf8, DataType::Utf8View] {
            let text = cast(slice.column(1), &ty).unwrap();
            let mut columns = slice.columns().to_vec();
            columns[1] = text;
            let named = all.schema().fields().iter().zip(columns).map(|(f, c)| (f.name().clone(), c, true)).collect::<Vec<_>>();
            prop_assert_eq!(&hash(&RecordBatch::try_from_iter_with_nullable(named).unwrap())[..], expected);
        }
    }
}

#[test]
fn what_lies_under_a_null_does_not_count() {
    let nulls = || Some(NullBuffer::from(vec![true, false, false]));
    let h = one(Int32Array::new(ScalarBuffer::from(vec![1, 2, 3]), nulls()));
    assert_eq!(h[1], h[2]);
    let texts = StringArray::new(OffsetBuffer::from_lengths([1, 2, 20]), Buffer::from([b'x'; 23]), nulls());
    assert_eq!(one(texts), one(StringArray::from(vec![Some("x"), None, None])));
    let under = Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef;
    let field = Arc::new(Field::new("v", DataType::Int32, true));
    let pairs = StructArray::new(vec![field.clone()].into(), vec![under.clone()], nulls());
    let h = one(pairs);
    assert!(h[1] == h[2] && h[0] != h[1]);
    let lists = ListArray::new(
        Arc::new(Field::new_list_field(DataType::Int32, true)),
        OffsetBuffer::from_lengths([1, 0, 2]),
        under,
        nulls(),
    );
    let h = one(lists);
    assert!(h[1] == h[2] && h[0] != h[1]);
}

#[test]
fn floats_are_equal_as_numbers_are() {
    let h = one(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::from_bits(0x7ff8_0000_0000_0001), 1.0]));
    assert!(h[0] == h[1] && h[2] == h[3] && h[3] == h[4] && h[0] != h[2] && h[0] != h[5]);
    let h = one(Float32Array::from(vec![0.0, -0.0, f32::NAN, -f32::NAN]));
    assert!(h[0] == h[1] && h[2] == h[3]);
}

#[test]
fn texts_of_all_lengths_differ_from_their_neighbours() {
    // Every prefix of zeros and of letters, and each with one byte changed: padding and overlapping reads must not show.
    let mut texts: Vec<Vec<u8>> = vec![];
    for len in 0..70 {
        for fill in [0u8, b'a'] {
            texts.push(vec![fill; len]);
            for at in 0..len {
                let mut changed = vec![fill; len];
                changed[at] ^= 1;
                texts.push(changed);
            }
        }
    }
    texts.sort();
    texts.dedup();
    let plain = one(BinaryArray::from_iter_values(&texts));
    let mut distinct = plain.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), texts.len());
    assert_eq!(plain, one(BinaryViewArray::from_iter_values(&texts)));
    for (i, text) in texts.iter().enumerate() {
        // Alone, the bytes after a text are not there to be read.
        assert_eq!(one(BinaryArray::from_iter_values([text])), plain[i..=i]);
    }
}

#[test]
fn columns_do_not_change_places_or_run_together() {
    let pair = |a: Option<&str>, b: Option<&str>| {
        let columns: Vec<(&str, ArrayRef, bool)> =
            vec![("a", Arc::new(StringArray::from(vec![a])), true), ("b", Arc::new(StringArray::from(vec![b])), true)];
        hash(&RecordBatch::try_from_iter_with_nullable(columns).unwrap())[0]
    };
    let all = [
        pair(Some("ab"), Some("c")),
        pair(Some("a"), Some("bc")),
        pair(Some("c"), Some("ab")),
        pair(None, Some("ab")),
        pair(Some("ab"), None),
        pair(Some("ab"), Some("")),
        pair(Some(""), Some("ab")),
        pair(None, None),
    ];
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
}

#[test]
fn dictionaries_compare_by_value_and_every_type_hashes() {
    let a: DictionaryArray<Int32Type> = ["x", "y", "x"].into_iter().collect();
    let b: DictionaryArray<Int32Type> = ["y", "x"].into_iter().collect();
    let (a, b) = (one(a), one(b));
    assert!(a[0] == a[2] && a[0] == b[1] && a[1] == b[0] && a[0] != a[1]);
    use DataType::*;
    let zoned = |unit| Timestamp(unit, Some("UTC".into()));
    for ty in [
        Null,
        Int8,
        UInt16,
        Date32,
        Date64,
        Float16,
        Decimal32(5, 2),
        Decimal64(5, 2),
        Decimal256(40, 2),
        Time32(TimeUnit::Second),
        Time64(TimeUnit::Nanosecond),
        Duration(TimeUnit::Millisecond),
        zoned(TimeUnit::Second),
        zoned(TimeUnit::Nanosecond),
        Interval(IntervalUnit::DayTime),
        Interval(IntervalUnit::MonthDayNano),
        Interval(IntervalUnit::YearMonth),
        FixedSizeBinary(3),
        FixedSizeList(Arc::new(Field::new_list_field(Int8, true)), 2),
    ] {
        let h = one(arrow::array::make_array(new_null_array(&ty, 2).to_data()));
        assert_eq!(h[0], h[1], "{ty}");
        assert_eq!(h[0], one(Int64Array::from(vec![None]))[0], "{ty}: there is one null");
    }
    let d = one(Decimal256Array::from(vec![i256::from_i128(1), i256::from_parts(1, 1), i256::MINUS_ONE]));
    assert!(d[0] != d[1] && d[1] != d[2]);
}

#[test]
fn what_has_no_equality_is_refused() {
    let field = Field::new(
        "u",
        DataType::Union(arrow::datatypes::UnionFields::empty(), arrow::datatypes::UnionMode::Sparse),
        true,
    );
    let error = RowHasher::whole_row(&Schema::new(vec![field])).unwrap_err();
    assert!(error.message.starts_with("column `u` of type"), "{error}");
    assert!(RowHasher::new(&Schema::empty(), &[3]).is_err());
}

#[test]
fn seeds_and_versions() {
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]).unwrap();
    let plain = RowHasher::whole_row(&batch.schema()).unwrap();
    let (mut a, mut b) = (vec![], vec![]);
    plain.hash(&batch, &mut a);
    plain.clone().with_seed(Seed(9)).hash(&batch, &mut b);
    assert_ne!(a, b);
    // Hashes stand in checkpoints: this value must never change.
    assert_eq!(format!("{:032x}", a[0]), "27880b0143930263b821e2cc92e1cf28");
}

/// Collisions in every 32-bit window of the hashes of keys as alike as they get, against what chance would give.
#[test]
fn every_window_of_the_hash_is_random() {
    let n = 40_000i64;
    let columns = |a: Vec<i64>, b: Vec<i64>| {
        let column = |v: Vec<i64>| Arc::new(Int64Array::from(v)) as ArrayRef;
        RecordBatch::try_from_iter([("a", column(a)), ("b", column(b))]).unwrap()
    };
    let text = |of: &dyn Fn(i64) -> String| {
        RecordBatch::try_from_iter([("t", Arc::new(StringArray::from_iter_values((0..n).map(of))) as ArrayRef)])
            .unwrap()
    };
    let keys = [
        ("counter", columns((0..n).collect(), vec![0; n as usize])),
        ("last column counts", columns(vec![0; n as usize], (0..n).collect())),
        ("high bits", columns((0..n).map(|i| i << 40).collect(), vec![1; n as usize])),
        ("grid", columns((0..n).map(|i| i / 200).collect(), (0..n).map(|i| i % 200).collect())),
        (
            "mirrored grid",
            columns((0..n).map(|i| (i / 200) << 32).collect(), (0..n).map(|i| (i % 200) << 48).collect()),
        ),
        ("ids", text(&|i| format!("C{i:08}"))),
        ("long ids", text(&|i| format!("00-01-{:05}-{:05}", i / 300, i % 300))),
        ("far ends", text(&|i| format!("{:03}{}{:03}", i / 200, "-".repeat(40), i % 200))),
    ];
    for (what, batch) in keys {
        let hashes = hash(&batch);
        for shift in (0..=96).step_by(8) {
            let mut window: Vec<u32> = hashes.iter().map(|h| (h >> shift) as u32).collect();
            window.sort_unstable();
            let equal = window.windows(2).filter(|w| w[0] == w[1]).count();
            // Chance gives n²/2³³ = 0.19 on average: six is one in ten million.
            assert!(equal < 6, "{what}: {equal} of {n} keys agree in bits {shift}..{}", shift + 32);
            let mut counts = [0i32; 256];
            hashes.iter().for_each(|h| counts[(h >> shift) as u8 as usize] += 1);
            let (mean, chi) = (n as f64 / 256.0, counts.iter().map(|&c| f64::from(c)));
            let chi: f64 = chi.map(|c| (c - mean).powi(2) / mean).sum();
            // 255 degrees of freedom: mean 255, deviation 23.
            assert!((130.0..400.0).contains(&chi), "{what}: bits {shift}..{} are uneven, chi² {chi}", shift + 8);
        }
    }
}
