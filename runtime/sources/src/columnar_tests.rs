//! Parquet, ORC and Arrow IPC through the node: written by arrow here, whole, cut off and damaged.

use crate::files::Files;
use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use selvedge_connect::Embedded;
use selvedge_orc::{Compression, Options, OrcWriter};
use selvedge_testkit::Case;
use std::path::Path;
use std::sync::Arc;

/// Rows `from..from + rows` of two columns: a number, and text stored in one of several ways.
fn batch(from: i64, rows: i64, text: &str) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let names: Vec<String> = (from..from + rows).map(|n| format!("name {}", n % 10)).collect();
    let names: ArrayRef = match text {
        "plain" => Arc::new(StringArray::from(names)),
        "large" => Arc::new(LargeStringArray::from(names)),
        "view" => Arc::new(StringViewArray::from_iter_values(names)),
        _ => Arc::new(names.iter().map(String::as_str).collect::<DictionaryArray<Int32Type>>()),
    };
    let fields = vec![Field::new("n", DataType::Int64, false), Field::new("t", names.data_type().clone(), true)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![numbers, names]).unwrap()
}

fn parquet(path: &Path, batches: &[RecordBatch], group: usize) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.close().unwrap();
}

fn orc(path: &Path, batches: &[RecordBatch], compression: Compression) {
    // A stripe for each batch.
    let options = Options { compression, stripe_bytes: 1 };
    let mut writer = OrcWriter::new(std::fs::File::create(path).unwrap(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.finish().unwrap();
}

fn ipc_file(path: &Path, batches: &[RecordBatch]) {
    let mut writer = FileWriter::try_new(std::fs::File::create(path).unwrap(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.finish().unwrap();
}

fn ipc_stream(path: &Path, batches: &[RecordBatch]) {
    let mut writer = StreamWriter::try_new(std::fs::File::create(path).unwrap(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.finish().unwrap();
}

fn case(folder: &tempfile::TempDir, config: &str) -> Case<Files<Embedded>> {
    Case::new(config).base(folder.path())
}

#[test]
fn parquet_of_any_writer_is_plain_columns() {
    let lake = tempfile::tempdir().unwrap();
    for text in ["plain", "large", "view", "dictionary"] {
        parquet(&lake.path().join(format!("{text}.parquet")), &[batch(0, 1000, text)], 300);
    }
    let done =
        case(&lake, r#"(path: "*.parquet", format: Parquet, columns: ["t"], file_name: "file", row_number: "nr")"#)
            .run();
    let rows = done.rows(0);
    assert_eq!(rows.num_rows(), 4000);
    let text = done.text();
    assert!(
        text.starts_with(
            "t:Utf8 | file:Utf8 | nr:Int64\nname 0 | dictionary.parquet | 1\nname 1 | dictionary.parquet | 2\n"
        ),
        "{}",
        &text[..200]
    );
    assert!(text.ends_with("name 9 | view.parquet | 1000"));
    // By row groups, with the same numbers.
    let parts = case(
        &lake,
        r#"(path: "*.parquet", format: Parquet, columns: ["t"], file_name: "file", row_number: "nr", split_bytes: 1)"#,
    );
    let selvedge_node::Work::Source(source) = parts.build().unwrap().work else { panic!("a source") };
    let names: Vec<String> = source.splits(&Default::default()).unwrap().iter().map(|s| s.name()).collect();
    assert_eq!(names.len(), 16);
    assert_eq!(names[1], "dictionary.parquet[row groups 1..=1]");
    assert_eq!(parts.run().text(), text);
}

#[test]
fn orc_by_stripes() {
    let lake = tempfile::tempdir().unwrap();
    let batches: Vec<RecordBatch> = (0..4).map(|i| batch(i * 250, 250, "plain")).collect();
    orc(&lake.path().join("a.orc"), &batches, Compression::Snappy);
    orc(&lake.path().join("b.orc"), &batches[..1], Compression::Zlib { level: 6 });
    std::fs::write(lake.path().join("c.orc"), b"").unwrap();
    let config = r#"(path: "*.orc", format: Orc, columns: ["t"], file_name: "file", row_number: "nr", split_bytes: 1)"#;
    let parts = case(&lake, config);
    let selvedge_node::Work::Source(source) = parts.build().unwrap().work else { panic!("a source") };
    let names: Vec<String> = source.splits(&Default::default()).unwrap().iter().map(|s| s.name()).collect();
    assert_eq!(names.len(), 5);
    assert_eq!((names[1].as_str(), names[4].as_str()), ("a.orc[stripes 1..=1]", "b.orc"));
    let done = parts.run();
    assert_eq!(done.rows(0).num_rows(), 1250);
    let text = done.text();
    assert!(text.starts_with("t:Utf8 | file:Utf8 | nr:Int64\nname 0 | a.orc | 1\nname 1 | a.orc | 2\n"), "{text}");
    assert!(text.ends_with("name 9 | b.orc | 250"));
    // No column is read where none is wanted; those that are come in the order asked for.
    let rows = case(&lake, r#"(path: "*.orc", format: Orc, columns: [], row_number: "nr")"#).run();
    assert_eq!(rows.rows(0).num_rows(), 1250);
    let both = case(&lake, r#"(path: "b.orc", format: Orc, columns: ["t", "n"])"#).run();
    assert!(both.text().starts_with("t:Utf8 | n:Int64\nname 0 | 0\n"));
    let wrong = case(&lake, r#"(path: "a.orc", format: Orc, schema: { "n": Int32 })"#).problems();
    assert!(wrong.contains("column `n` is declared as Int32, but is Int64 in a.orc"), "{wrong}");
}

#[test]
fn times_of_orc_are_read_in_the_unit_declared_for_them() {
    let lake = tempfile::tempdir().unwrap();
    let times = TimestampNanosecondArray::from(vec![1_000, 1_700_000_000_123_456_789]);
    let rows = RecordBatch::try_from_iter([("at", Arc::new(times) as ArrayRef)]).unwrap();
    orc(&lake.path().join("a.orc"), &[rows], Compression::None);
    let error = case(&lake, r#"(path: "a.orc", format: Orc)"#).try_run().unwrap_err();
    assert!(error.message.contains("which Microseconds cannot hold"), "{}", error.message);
    assert!(error.help.as_ref().unwrap().contains("LocalTimestamp(Nanosecond)"), "{error:?}");
    let declared = r#"(path: "a.orc", format: Orc, schema: { "at": LocalTimestamp(Nanosecond) })"#;
    assert!(case(&lake, declared).run().text().ends_with("2023-11-14T22:13:20.123456789"));
}

#[test]
fn arrow_files_and_streams_are_read() {
    let lake = tempfile::tempdir().unwrap();
    let batches: Vec<RecordBatch> = (0..5).map(|i| batch(i * 100, 100, "view")).collect();
    ipc_file(&lake.path().join("a.arrow"), &batches);
    ipc_stream(&lake.path().join("b.arrows"), &batches);
    ipc_file(&lake.path().join("c.arrow"), &[batch(0, 500, "dictionary")]);
    ipc_stream(&lake.path().join("d.arrows"), &[batch(0, 500, "large")]);
    std::fs::write(lake.path().join("e.arrow"), b"").unwrap();
    let done = case(&lake, r#"(path: "*", format: Arrow, file_name: "file", row_number: "nr")"#).run();
    assert_eq!(done.rows(0).num_rows(), 2000);
    assert!(done.text().ends_with("499 | name 9 | d.arrows | 500"));
    let parts = case(&lake, r#"(path: "a.arrow", format: Arrow, columns: ["n"], split_bytes: 1)"#);
    let selvedge_node::Work::Source(source) = parts.build().unwrap().work else { panic!("a source") };
    assert_eq!(source.splits(&Default::default()).unwrap()[4].name(), "a.arrow[batches 4..5]");
    assert_eq!(parts.run().rows(0).num_rows(), 500);
}

#[test]
fn files_of_different_columns_are_problems() {
    let lake = tempfile::tempdir().unwrap();
    parquet(&lake.path().join("a.parquet"), &[batch(0, 10, "plain")], 100);
    let other = RecordBatch::try_from_iter([("t", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    parquet(&lake.path().join("b.parquet"), &[other], 100);
    let text = case(&lake, r#"(path: "*.parquet", format: Parquet)"#).problems();
    assert!(text.contains("b.parquet has no column `n`, but a.parquet has"), "{text}");
    assert!(text.contains("column `t` is Int64 in b.parquet, but Utf8 in a.parquet"), "{text}");
    let text = case(&lake, r#"(path: "a.parquet", format: Parquet, schema: { "n": Int32, "x": Utf8 })"#).problems();
    assert!(text.contains("column `n` is declared as Int32, but is Int64 in a.parquet"), "{text}");
    assert!(text.contains("no column named `x` in a.parquet"), "{text}");
    let text = case(&lake, r#"(path: "a.parquet", format: Parquet, compression: Gzip)"#).problems();
    assert!(text.contains("cannot be read through a compression"), "{text}");
    let declared = case(&lake, r#"(path: "a.parquet", format: Parquet, schema: { "t": Utf8 }, columns: ["t"])"#).run();
    assert!(declared.text().starts_with("t:Utf8\nname 0\n"));
}

/// Whatever is cut off or changed: an error that names the file, or rows; never a panic that comes out, never a hang.
#[test]
fn damage_is_an_error() {
    let lake = tempfile::tempdir().unwrap();
    let whole = lake.path().join("whole");
    type Make = fn(&Path, &[RecordBatch]);
    let formats: [(&str, Make); 5] = [
        ("Parquet", |path, batches| parquet(path, batches, 500)),
        ("Arrow", ipc_file),
        ("Arrow", ipc_stream),
        ("Orc", |path, batches| orc(path, batches, Compression::None)),
        ("Orc", |path, batches| orc(path, batches, Compression::Zstd { level: 1 })),
    ];
    for (format, make) in formats {
        make(&whole, &[batch(0, 1000, "plain"), batch(1000, 1000, "plain")]);
        let bytes = std::fs::read(&whole).unwrap();
        std::fs::remove_file(&whole).unwrap();
        let path = lake.path().join("t.bin");
        let try_bytes = |bytes: &[u8]| -> Result<usize, String> {
            std::fs::write(&path, bytes).unwrap();
            let case = case(&lake, &format!(r#"(path: "t.bin", format: {format})"#));
            match case.build() {
                Err(problems) => Err(problems.to_string()),
                Ok(_) => case.try_run().map(|done| done.rows(0).num_rows()).map_err(|e| e.to_string()),
            }
        };
        assert_eq!(try_bytes(&bytes), Ok(2000));
        for cut in [1, 3, 8, 20, bytes.len() / 2, bytes.len() - 12] {
            let error = try_bytes(&bytes[..cut]).expect_err("a file that is cut off");
            assert!(error.contains("t.bin is no whole"), "{format} cut at {cut}: {error}");
        }
        let mut seed = 7u64;
        for _ in 0..60 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut changed = bytes.clone();
            let at = (seed >> 20) as usize % changed.len();
            changed[at] ^= 1 << (seed >> 60 & 7);
            if let Err(error) = try_bytes(&changed) {
                assert!(error.contains("t.bin"), "{format} changed at {at}: {error}");
            }
        }
    }
}
