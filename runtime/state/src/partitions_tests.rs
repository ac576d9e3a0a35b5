//! Partitions: every row comes back once, in order within its key, whatever the budget; keys never straddle parts.

use super::*;
use crate::RowHasher;
use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

fn task(limit: u64, scratch: &std::path::Path) -> Task {
    Task {
        run: "test".into(),
        node: "node".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(limit),
        scratch: scratch.into(),
        batch_rows: 8192,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}

fn batch(keys: &[i64], from: i64) -> RecordBatch {
    let numbers = Int64Array::from_iter_values(from..from + keys.len() as i64);
    let texts = StringArray::from_iter(keys.iter().map(|k| (k % 5 != 0).then(|| format!("text of key {k}"))));
    RecordBatch::try_from_iter_with_nullable([
        ("key", Arc::new(Int64Array::from(keys.to_vec())) as ArrayRef, true),
        ("number", Arc::new(numbers), true),
        ("text", Arc::new(texts), true),
    ])
    .unwrap()
}

fn push(parts: &mut Partitions, keys: &[i64], from: i64) {
    let batch = batch(keys, from);
    let mut hashes = vec![];
    RowHasher::new(&batch.schema(), &[0]).unwrap().hash(&batch, &mut hashes);
    parts.push(&batch, &hashes).unwrap();
}

/// Row numbers by key, and the part each key came in.
fn collect(parts: impl Iterator<Item = Partition>, found: &mut BTreeMap<i64, Vec<i64>>) -> HashMap<i64, usize> {
    let mut part_of = HashMap::new();
    for (p, part) in parts.enumerate() {
        let mut rows = 0;
        for piece in part.read() {
            let Piece { batch, hashes } = piece.unwrap();
            let mut again = vec![];
            RowHasher::new(&batch.schema(), &[0]).unwrap().hash(&batch, &mut again);
            assert_eq!(again, hashes);
            rows += batch.num_rows() as u64;
            let (keys, numbers) =
                (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
            for (&k, &n) in keys.values().iter().zip(numbers.values()) {
                found.entry(k).or_default().push(n);
                assert_eq!(*part_of.entry(k).or_insert(p), p, "key {k} in two parts");
            }
        }
        assert_eq!(rows, part.rows());
    }
    part_of
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_row_comes_back_once_and_in_order(
        batches in prop::collection::vec(prop::collection::vec(0i64..300, 0..400), 1..20),
        limit in prop::sample::select(vec![20_000u64, 60_000, 1 << 26]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let task = task(limit, dir.path());
        let mut parts = Partitions::new(&task, &batch(&[], 0).schema());
        let mut expected: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut number = 0;
        for keys in &batches {
            push(&mut parts, keys, number);
            for k in keys {
                expected.entry(*k).or_default().push(number);
                number += 1;
            }
        }
        prop_assert_eq!(parts.rows(), number as u64);
        let mut found = BTreeMap::new();
        collect(parts.drain().unwrap(), &mut found);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(task.memory.used(), 0);
        prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_budget_is_kept_and_parts_split() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(200_000, dir.path());
    let mut parts = Partitions::new(&task, &batch(&[], 0).schema());
    for b in 0..100 {
        push(&mut parts, &(0..1000).map(|i| (b * 1000 + i) % 7000).collect::<Vec<_>>(), b * 1000);
    }
    assert!(parts.spilled() > 2_000_000 && parts.held() < 200_000);
    assert!(task.memory.peak() <= 200_000, "{}", task.memory.peak());
    let mut found = BTreeMap::new();
    let mut deep = HashMap::new();
    for (p, part) in parts.drain().unwrap().enumerate() {
        assert!(part.can_split() && part.bytes() < 2_000_000, "{}", part.bytes());
        for (key, inner) in collect(part.split().unwrap(), &mut found) {
            assert!(deep.insert(key, (p, inner)).is_none(), "key {key} in two parts of the first level");
        }
    }
    let used: std::collections::HashSet<_> = deep.values().collect();
    assert!(used.len() > 3000, "the second level uses other bits: {} small parts for 7000 keys", used.len());
    assert!(found.values().all(|rows| rows.len() >= 14 && rows.is_sorted()));
    assert_eq!(found.values().map(Vec::len).sum::<usize>(), 100_000);
}

#[test]
fn one_giant_key_goes_to_the_deepest_level_and_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(100_000, dir.path());
    let mut parts = Partitions::new(&task, &batch(&[], 0).schema());
    for b in 0..20 {
        push(&mut parts, &[42; 500], b * 500);
    }
    let mut part = parts.drain().unwrap().find(|p| !p.is_empty()).unwrap();
    for _ in 0..MAX_LEVEL {
        part = part.split().unwrap().find(|p| !p.is_empty()).unwrap();
    }
    assert!(!part.can_split());
    assert_eq!(part.rows(), 10_000);
    let numbers: Vec<i64> =
        part.read().flat_map(|p| p.unwrap().batch.column(1).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert!(numbers.iter().copied().eq(0..10_000));
    assert!(part.split().is_err());
}

#[test]
fn everything_may_be_put_on_disk_and_rows_without_columns_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(1 << 20, dir.path());
    let mut parts = Partitions::new(&task, &batch(&[], 0).schema());
    push(&mut parts, &[1, 2, 3], 0);
    parts.spill_all().unwrap();
    assert_eq!((parts.held(), task.memory.used()), (0, 0));
    push(&mut parts, &[1], 3);
    let mut found = BTreeMap::new();
    collect(parts.drain().unwrap(), &mut found);
    assert_eq!(found[&1], [0, 3]);

    let none = Arc::new(Schema::empty());
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(2));
    let mut parts = Partitions::new(&task, &none);
    parts.push(&RecordBatch::try_new_with_options(none, vec![], &rows).unwrap(), &[7, 7]).unwrap();
    let read: Vec<Piece> =
        parts.drain().unwrap().flat_map(|p| p.read().map(|p| p.unwrap()).collect::<Vec<_>>()).collect();
    assert_eq!(read[0].batch.num_rows(), 2);
}
