//! What is written is read back by orc-rust: runs of every kind, every type, nulls, slices, stripes and compressions.

use crate::rle::encode;
use crate::writer::Options;
use crate::{Compression, OrcFile, OrcWriter};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::*;
use orc_rust::proto;
use proptest::prelude::*;
use prost::Message;
use std::fs::File;
use std::sync::Arc;

const COMPRESSIONS: [Compression; 4] =
    [Compression::None, Compression::Zlib { level: 6 }, Compression::Snappy, Compression::Zstd { level: 3 }];

fn write(batches: &[RecordBatch], compression: Compression, stripe_bytes: usize) -> Vec<u8> {
    let options = Options { compression, stripe_bytes };
    let mut writer = OrcWriter::new(vec![], &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    assert_eq!(writer.bytes(), writer.inner().len() as u64);
    writer.inner().clone()
}

fn on_disk(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).unwrap();
    file
}

/// All rows, and how many stripes they were in.
fn read(bytes: &[u8], batch_rows: usize) -> Result<(RecordBatch, usize), selvedge_node::Error> {
    let file = std::sync::Arc::new(on_disk(bytes));
    let orc = OrcFile::open(file.clone(), "t.orc")?;
    let schema = orc.schema();
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let stripes = orc.stripes().len();
    let mut reader = orc.read(file, &schema, &all, 0..stripes, batch_rows)?;
    let schema = Arc::new(schema);
    let mut batches = vec![];
    while let Some(batch) = reader.next_batch()? {
        batches.push(RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).unwrap());
    }
    Ok((concat_batches(&schema, &batches).unwrap(), stripes))
}

/// What was written as reading gives it back: each column cast to the type that the file has.
#[track_caller]
fn check(batches: &[RecordBatch], compression: Compression, stripe_bytes: usize) -> usize {
    let bytes = write(batches, compression, stripe_bytes);
    let (found, stripes) = read(&bytes, 1000).unwrap();
    let whole = concat_batches(&batches[0].schema(), batches).unwrap();
    assert_eq!(found.num_rows(), whole.num_rows());
    for (found, expected) in found.columns().iter().zip(whole.columns()) {
        let expected = cast(expected, found.data_type()).unwrap();
        assert_eq!(found, &expected, "{compression:?}");
    }
    stripes
}

fn one(array: impl Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("c", Arc::new(array) as ArrayRef, true)]).unwrap()
}

/// Runs, steps, outliers and noise, as columns have them.
fn numbers() -> impl Strategy<Value = Vec<i64>> {
    let piece = prop_oneof![
        (any::<i64>(), 1..1200usize).prop_map(|(v, n)| vec![v; n]),
        (any::<i32>(), -1000..1000i64, 1..1200usize)
            .prop_map(|(v, step, n)| (0..n as i64).map(|i| i64::from(v) + step * i).collect()),
        (any::<i32>(), prop::collection::vec(0..300i64, 1..600), any::<bool>()).prop_map(|(v, steps, up)| {
            let mut at = i64::from(v);
            steps
                .iter()
                .map(|s| {
                    at += if up { *s } else { -s };
                    at
                })
                .collect()
        }),
        prop::collection::vec(any::<i64>(), 1..50),
        prop::collection::vec(0..4i64, 1..1200),
        prop::collection::vec(-100_000..100_000i64, 1..700),
        prop::collection::vec(prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(-1)], 1..20),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn numbers_come_back(values in numbers(), nulls in prop::collection::vec(any::<bool>(), 1..50)) {
        let plain = Int64Array::from(values.clone());
        let some: Int64Array = values.iter().zip(nulls.iter().cycle()).map(|(v, n)| n.then_some(*v)).collect();
        let small: Int16Array = values.iter().map(|v| Some(*v as i16)).collect();
        let bytes: Int8Array = values.iter().zip(nulls.iter().cycle()).map(|(v, n)| n.then_some((*v % 3) as i8)).collect();
        let bits: BooleanArray = values.iter().zip(nulls.iter().cycle()).map(|(v, n)| n.then_some(v % 5 == 0)).collect();
        let columns: [(&str, ArrayRef); 5] = [("a", Arc::new(plain)), ("b", Arc::new(some)), ("c", Arc::new(small)),
            ("d", Arc::new(bytes)), ("e", Arc::new(bits))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        check(&[batch], Compression::None, 1 << 20);
    }

    #[test]
    fn texts_and_lists_come_back(
        rows in prop::collection::vec(prop::option::of(prop::collection::vec(prop::option::of("[a-d]{0,2}"), 0..5)), 0..300),
    ) {
        let mut list = ListBuilder::new(StringBuilder::new());
        rows.into_iter().for_each(|row| list.append_option(row));
        let batch = one(list.finish());
        check(&[batch.clone(), batch], Compression::Snappy, 1000);
    }
}

/// The examples of the specification.
#[test]
fn runs_are_those_of_the_specification() {
    let encoded = |values: &[i64], signed: bool| {
        let mut out = vec![];
        encode(values, signed, &mut out);
        out
    };
    assert_eq!(encoded(&[10_000; 5], false), [0x0a, 0x27, 0x10]);
    let direct = [0x5e, 0x03, 0x5c, 0xa1, 0xab, 0x1e, 0xde, 0xad, 0xbe, 0xef];
    assert_eq!(encoded(&[23_713, 43_806, 57_005, 48_879], false), direct);
    let primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29];
    assert_eq!(encoded(&primes, false), [0xc6, 0x09, 0x02, 0x02, 0x22, 0x42, 0x42, 0x46]);
    let mut bytes = vec![];
    crate::rle::encode_bytes(&[0; 100], &mut bytes);
    crate::rle::encode_bytes(&[0x44, 0x45], &mut bytes);
    assert_eq!(bytes, [0x61, 0x00, 0xfe, 0x44, 0x45]);
    // A step by one is five bytes for 512 numbers.
    assert_eq!(encoded(&(0..512).collect::<Vec<_>>(), true).len(), 4);
}

/// Every type that can be written, with nulls, `from..from + rows`.
fn every_type(from: i64, rows: i64) -> RecordBatch {
    let ids = || from..from + rows;
    let some = |n: i64| n % 7 != 3;
    let decimals = ids().map(|n| some(n).then_some(i128::from(n - 500) * 10i128.pow((n % 30) as u32)));
    let times = |unit: i64| ids().map(move |n| some(n).then_some((n * 86_399 - 50_000_000) * unit)).collect::<Vec<_>>();
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    let mut lists = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
    for n in ids() {
        for i in 0..n % 4 {
            map.keys().append_value(format!("k{i}"));
            map.values().append_option((i != 2).then_some(i as i32));
            lists.values().append_value((0..i).map(|v| Some(v as i32)));
        }
        map.append(some(n)).unwrap();
        lists.append(some(n));
    }
    let struct_fields =
        Fields::from(vec![Field::new("word", DataType::Utf8, true), Field::new("number", DataType::Float64, true)]);
    let words: StringArray = ids().map(|n| (n % 3 != 0).then(|| format!("word {}", n % 9))).collect();
    let structs = StructArray::new(
        struct_fields,
        vec![Arc::new(words.clone()), Arc::new(ids().map(|n| Some(n as f64 / 8.0)).collect::<Float64Array>())],
        Some(NullBuffer::from_iter(ids().map(some))),
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("bool", Arc::new(ids().map(|n| some(n).then_some(n % 3 == 0)).collect::<BooleanArray>())),
        ("i8", Arc::new(ids().map(|n| some(n).then_some(n as i8)).collect::<Int8Array>())),
        ("i16", Arc::new(ids().map(|n| some(n).then_some(n as i16)).collect::<Int16Array>())),
        ("i32", Arc::new(ids().map(|n| some(n).then_some(n as i32 * 1000)).collect::<Int32Array>())),
        ("i64", Arc::new(ids().map(Some).collect::<Int64Array>())),
        ("u8", Arc::new(ids().map(|n| some(n).then_some(n as u8)).collect::<UInt8Array>())),
        ("u16", Arc::new(ids().map(|n| some(n).then_some(n as u16)).collect::<UInt16Array>())),
        ("u32", Arc::new(ids().map(|n| some(n).then_some(u32::MAX - n as u32)).collect::<UInt32Array>())),
        ("f32", Arc::new(ids().map(|n| some(n).then_some(n as f32 / 4.0)).collect::<Float32Array>())),
        ("f64", Arc::new(ids().map(|n| some(n).then_some(-n as f64 / 3.0)).collect::<Float64Array>())),
        ("repeated", Arc::new(words)),
        ("distinct", Arc::new(ids().map(|n| some(n).then(|| format!("row {n} ü"))).collect::<StringArray>())),
        ("large", Arc::new(ids().map(|n| some(n).then(|| "x".repeat(n as usize % 50))).collect::<LargeStringArray>())),
        ("view", Arc::new(ids().map(|n| some(n).then(|| format!("view of {n}"))).collect::<StringViewArray>())),
        (
            "category",
            Arc::new(
                ids().map(|n| ["a", "b", "c"].get(n as usize % 4).copied()).collect::<DictionaryArray<Int32Type>>(),
            ),
        ),
        ("binary", Arc::new(ids().map(|n| some(n).then(|| n.to_le_bytes())).collect::<BinaryArray>())),
        ("date", Arc::new(ids().map(|n| some(n).then_some(n as i32 - 9000)).collect::<Date32Array>())),
        ("s", Arc::new(TimestampSecondArray::from(times(1)))),
        ("ms", Arc::new(TimestampMillisecondArray::from(times(1000)))),
        ("us", Arc::new(TimestampMicrosecondArray::from(times(1_000_007)).with_timezone("UTC"))),
        ("ns", Arc::new(TimestampNanosecondArray::from(times(1_000_000_000)).with_timezone("+02:00"))),
        ("decimal", Arc::new(decimals.collect::<Decimal128Array>().with_precision_and_scale(38, 5).unwrap())),
        ("list", Arc::new(lists.finish())),
        ("map", Arc::new(map.finish())),
        ("struct", Arc::new(structs)),
    ];
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(nullable).unwrap()
}

#[test]
fn every_type_in_every_compression() {
    let parts: Vec<RecordBatch> = (0..9).map(|i| every_type(i * 3000, 3000)).collect();
    for compression in COMPRESSIONS {
        assert_eq!(check(&parts, compression, 64 << 20), 1);
        assert!(check(&parts, compression, 300_000) > 2);
    }
    check(&[every_type(0, 0)], Compression::None, 1);
    check(&[every_type(0, 1).slice(0, 1)], Compression::None, 1);
    check(&[every_type(0, 100).slice(13, 50), every_type(5, 100).slice(3, 3)], Compression::Snappy, 1 << 20);
}

#[test]
fn what_null_lists_and_structs_hide_is_not_written() {
    let items = Int32Array::from((0..10).collect::<Vec<_>>());
    let offsets = OffsetBuffer::new(vec![0, 3, 6, 6, 10].into());
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    let field = Arc::new(Field::new_list_field(DataType::Int32, true));
    let list = ListArray::new(field, offsets, Arc::new(items), Some(nulls));
    let (found, _) = read(&write(&[one(list.slice(1, 3))], Compression::None, 1 << 20), 100).unwrap();
    let found = found.column(0).as_list::<i32>().clone();
    assert!(found.is_null(0) && found.value(1).is_empty());
    assert_eq!(found.value(2).as_primitive::<Int32Type>().values(), &[6, 7, 8, 9]);
    assert_eq!(found.values().len(), 4);
}

#[test]
fn half_floats_and_fixed_sizes_become_their_wider_types() {
    let fixed = FixedSizeBinaryArray::try_from_iter([[1u8, 2], [3, 4]].into_iter()).unwrap();
    check(&[one(fixed)], Compression::None, 1 << 20);
    let lists = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None], 2);
    check(&[one(lists)], Compression::None, 1 << 20);
}

/// The message of a stream or footer of an uncompressed file.
fn footer(bytes: &[u8]) -> (proto::Footer, proto::Metadata) {
    let size = bytes[bytes.len() - 1] as usize;
    let end = bytes.len() - 1 - size;
    let postscript = proto::PostScript::decode(&bytes[end..end + size]).unwrap();
    let footer = end - postscript.footer_length() as usize;
    let metadata = footer - postscript.metadata_length() as usize;
    let decoded = proto::Footer::decode(&bytes[footer..end]).unwrap();
    (decoded, proto::Metadata::decode(&bytes[metadata..footer]).unwrap())
}

#[test]
fn statistics_of_the_file_and_of_each_stripe() {
    let parts: Vec<RecordBatch> = (0..3).map(|i| every_type(i * 10_000, 10_000)).collect();
    let bytes = write(&parts, Compression::None, 1);
    let (footer, metadata) = footer(&bytes);
    assert_eq!((footer.number_of_rows(), footer.stripes.len(), metadata.stripe_stats.len()), (30_000, 3, 3));
    assert_eq!(footer.statistics.len(), footer.types.len());
    let file = |n: usize| &footer.statistics[footer.types[0].subtypes[n] as usize];
    let present = (0..30_000).filter(|n| n % 7 != 3).count() as u64;
    assert_eq!((file(0).number_of_values(), file(0).has_null()), (present, true));
    let ids = file(4);
    assert_eq!((ids.number_of_values(), ids.has_null()), (30_000, false));
    let ids = ids.int_statistics.as_ref().unwrap();
    assert_eq!((ids.minimum(), ids.maximum(), ids.sum()), (0, 29_999, 449_985_000));
    let words = file(10).string_statistics.as_ref().unwrap();
    assert_eq!((words.minimum(), words.maximum()), ("word 1", "word 8"));
    let dates = file(16).date_statistics.as_ref().unwrap();
    assert_eq!((dates.minimum(), dates.maximum()), (-9000, 20_999));
    let lists = file(22).collection_statistics.as_ref().unwrap();
    assert_eq!((lists.min_children(), lists.max_children()), (0, 3));
    let second = &metadata.stripe_stats[1].col_stats[footer.types[0].subtypes[4] as usize];
    let second = second.int_statistics.as_ref().unwrap();
    assert_eq!((second.minimum(), second.maximum()), (10_000, 19_999));
}

#[test]
fn a_stripe_ends_by_its_bytes_and_memory_is_given_back() {
    let options = Options { compression: Compression::Zstd { level: 1 }, stripe_bytes: 1 << 20 };
    let batch = every_type(0, 8192);
    let mut writer = OrcWriter::new(vec![], &batch.schema(), options).unwrap();
    let mut most = 0;
    for _ in 0..40 {
        writer.write(&batch).unwrap();
        most = most.max(writer.memory());
    }
    assert!(writer.inner().len() > 1 << 20);
    assert!(most < 24 << 20, "{most} bytes held for stripes of 1 MiB");
    writer.flush().unwrap();
    assert!(writer.memory() < 1 << 20, "{} bytes held after a flush", writer.memory());
}

#[test]
fn a_time_that_readers_would_change_is_an_error() {
    let array = TimestampMillisecondArray::from(vec![Some(0), Some(-500)]);
    let batch = one(array);
    let options = Options { compression: Compression::None, stripe_bytes: 1 };
    let mut writer = OrcWriter::new(vec![], &batch.schema(), options).unwrap();
    let error = writer.write(&batch).unwrap_err();
    assert!(error.message.contains("column `c` has the timestamp -500"), "{}", error.message);
    let fine = TimestampMillisecondArray::from(vec![-1000, -1500, -999_999_999_999_999, 999_999_999_999_999]);
    check(&[one(fine)], Compression::None, 1);
}

/// Whatever is changed: an error, or rows. Never a panic that comes out, never a hang.
#[test]
fn damage_is_an_error() {
    let batch = every_type(0, 2000);
    for compression in [Compression::None, Compression::Zlib { level: 1 }] {
        let bytes = write(std::slice::from_ref(&batch), compression, 1 << 20);
        for cut in [0, 1, 3, 20, bytes.len() / 2, bytes.len() - 1] {
            assert!(read(&bytes[..cut], 1000).is_err(), "cut at {cut}");
        }
        let mut seed = 7u64;
        for round in 0..200 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut changed = bytes.clone();
            // Half of them near the end, where the footers are.
            let from = if round % 2 == 0 { 0 } else { bytes.len().saturating_sub(3000) };
            let at = from + (seed >> 20) as usize % (bytes.len() - from);
            changed[at] ^= 1 << (seed >> 60 & 7);
            if let Err(error) = read(&changed, 1000) {
                assert!(error.message.starts_with("t.orc"), "changed at {at}: {}", error.message);
            }
        }
    }
}
