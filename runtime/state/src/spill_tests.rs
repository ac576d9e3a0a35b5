//! Spill files: what is written comes back, and nothing stays behind.

use super::*;
use arrow::array::{
    BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray, StringArray, StringViewArray, StructArray,
};
use arrow::datatypes::Int32Type;

fn batch() -> RecordBatch {
    let names = ["pear", "a text of more than twelve bytes", "", "pear", "quince"];
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(4)]),
        Some(vec![Some(5), Some(6)]),
    ]);
    let flags = BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]);
    let pair = StructArray::try_from(vec![("flag", Arc::new(flags) as ArrayRef)]).unwrap();
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4), Some(5)])) as ArrayRef, true),
        ("name", Arc::new(StringArray::from_iter_values(names)), true),
        ("view", Arc::new(StringViewArray::from_iter_values(names)), true),
        ("dict", Arc::new(names.into_iter().map(Some).collect::<DictionaryArray<Int32Type>>()), true),
        ("list", Arc::new(lists), true),
        ("pair", Arc::new(pair), true),
    ])
    .unwrap()
}

#[test]
fn batches_and_slices_come_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let all = batch();
    let mut writer = SpillWriter::create(dir.path(), &all.schema()).unwrap();
    let slices = [all.clone(), all.slice(1, 3), all.slice(0, 0), all.slice(4, 1)];
    slices.iter().for_each(|b| writer.write(b).unwrap());
    let file = writer.finish().unwrap();
    assert_eq!(file.rows(), 9);
    assert_eq!(std::fs::metadata(&file.store.path.0).unwrap().len(), file.bytes());
    for _ in 0..2 {
        let back: Vec<RecordBatch> = file.read().unwrap().map(|b| b.unwrap()).collect();
        assert_eq!(back, [all.clone(), all.slice(1, 3), all.slice(4, 1)]);
    }
    let reader = file.read().unwrap();
    drop(file);
    assert_eq!(reader.count(), 3, "the reader keeps the file");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_store_reads_any_batch_while_others_are_still_written() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
    let of = |n: i32| {
        let numbers = Int32Array::from_iter_values(n..n + 1 + n * 1000);
        RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)]).unwrap()
    };
    let mut store = SpillStore::create(dir.path(), &schema).unwrap();
    let mut extents = vec![];
    for n in 0..40 {
        extents.push(store.append(&of(n)).unwrap());
        let back = (n * 7 % (n + 1)) as usize;
        assert_eq!(store.read(&extents[back]).unwrap(), of(back as i32));
    }
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::empty());
    let rows = RecordBatchOptions::new().with_row_count(Some(7));
    let none = RecordBatch::try_new_with_options(schema.clone(), vec![], &rows).unwrap();
    let mut store = SpillStore::create(dir.path(), &schema).unwrap();
    let extent = store.append(&none).unwrap();
    assert_eq!(store.read(&extent).unwrap().num_rows(), 7);
}

#[test]
fn what_cannot_be_written_or_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let schema = batch().schema();
    let error = SpillStore::create(&file, &schema).unwrap_err();
    assert!(error.message.starts_with("making the spill folder"), "{error}");

    let mut store = SpillStore::create(dir.path(), &schema).unwrap();
    let extent = store.append(&batch()).unwrap();
    store.read(&extent).unwrap();
    OpenOptions::new().write(true).open(&store.path.0).unwrap().set_len(extent.bytes / 2).unwrap();
    let error = store.read(&extent).unwrap_err();
    assert!(error.message.starts_with("reading the spill file"), "{error}");
    assert!(decode(vec![0; 20], &schema).is_err());
    assert!(decode(vec![], &schema).is_err());
}

/// A disk that is full: the device that always is.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_says_so() {
    let full = OpenOptions::new().read(true).append(true).open("/dev/full").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut store = SpillStore::create(dir.path(), &batch().schema()).unwrap();
    store.writer = BufWriter::with_capacity(16, full);
    let error = store.append(&batch()).unwrap_err();
    assert!(error.message.starts_with("writing the spill file"), "{error}");
    assert!(error.help.unwrap().contains("free some disk space"));
}
