//! Rows per second of hashing, exchanging, tables of keys and spilling partitions, on one core, and the peak memory.
//! `cargo run --release -p selvedge-state --example state_speed [million rows] [partitions budgets in MB …]`

#![expect(clippy::unwrap_used, reason = "a measuring program: a panic is its error message")]

use arrow::array::*;
use selvedge_node::{Memory, Task};
use selvedge_state::{Inserted, KeyIndex, KeySet, Partitions, RowHasher, scatter};
use std::sync::Arc;

const BATCH: usize = 8192;

fn mix(i: u64) -> u64 {
    let m = u128::from(i.wrapping_add(0x9e37_79b9_7f4a_7c15)) * 0xd6e8_feb8_6659_fd93_a076_1d64_78bd_642f_u128;
    (m >> 64) as u64 ^ m as u64
}

/// A batch like the rows that the `pos` workload groups: week, store, upc, units, dollars, promo, price.
fn pos(batch: u64) -> RecordBatch {
    let r = |c: u64| (0..BATCH as u64).map(move |i| mix((batch * BATCH as u64 + i) * 8 + c));
    RecordBatch::try_from_iter([
        ("week", Arc::new(Date32Array::from_iter_values(r(0).map(|v| 19000 + (v % 104) as i32 * 7))) as ArrayRef),
        ("store", Arc::new(Int32Array::from_iter_values(r(1).map(|v| (v % 400) as i32 + 200_000)))),
        ("upc", Arc::new(StringArray::from_iter_values(r(2).map(|v| format!("00-01-{:05}-{:05}", v % 97, v % 4_100))))),
        ("units", Arc::new(Int32Array::from_iter_values(r(3).map(|v| (v % 9) as i32)))),
        ("dollars", Arc::new(Float64Array::from_iter_values(r(4).map(|v| (v % 10_000) as f64 / 100.0)))),
        ("promo", Arc::new(Int64Array::from_iter_values(r(5).map(|v| (v % 2) as i64)))),
        ("price", Arc::new(Float64Array::from_iter_values(r(6).map(|v| (v % 1000) as f64 / 100.0)))),
    ])
    .unwrap()
}

/// Seconds that this thread was on a core: other programs do not count.
fn on_core() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn report(what: &str, rows: usize, start: f64) {
    let seconds = on_core() - start;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("?").trim().to_string();
    let (rate, each) = (rows as f64 / seconds / 1e6, seconds * 1e9 / rows as f64);
    println!("{what:44} {rate:8.1} M rows/s  {each:6.1} ns/row  peak {peak}");
}

fn main() {
    let millions: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(8);
    let budgets: Vec<u64> = std::env::args().skip(2).filter_map(|a| a.parse().ok()).map(|mb: u64| mb << 20).collect();
    let limits = if budgets.is_empty() { vec![64 << 20, 512 << 20, 16 << 30] } else { budgets.clone() };
    let batches: Vec<RecordBatch> = (0..64).map(pos).collect();
    let rounds = millions * 1_000_000 / (64 * BATCH);
    let rows = rounds * 64 * BATCH;
    let schema = batches[0].schema();
    if budgets.is_empty() {
        hashing(&batches, rounds);
        tables(rows);
    }
    let keys = RowHasher::new(&schema, &[0, 1, 2]).unwrap();
    let all: Vec<Vec<u128>> = batches
        .iter()
        .map(|b| {
            let mut out = vec![];
            keys.hash(b, &mut out);
            out
        })
        .collect();
    let start = on_core();
    for _ in 0..rounds {
        for (batch, hashes) in batches.iter().zip(&all) {
            scatter(batch, hashes, 2).unwrap();
        }
    }
    report("scatter to 2", rows, start);

    for limit in limits {
        let scratch = std::env::temp_dir().join(format!("state_speed-{}", std::process::id()));
        let task = Task {
            run: "speed".into(),
            node: "speed".into(),
            instance: 0,
            instances: 1,
            memory: Memory::new(limit),
            scratch: scratch.clone(),
            batch_rows: BATCH,
            batch_bytes: 1 << 20,
            wake: Default::default(),
        };
        let mut parts = Partitions::new(&task, &schema);
        let start = on_core();
        for _ in 0..rounds {
            for (batch, hashes) in batches.iter().zip(&all) {
                parts.push(batch, hashes).unwrap();
            }
        }
        report(&format!("Partitions push, budget {} MB", limit >> 20), rows, start);
        let (held, spilled) = (parts.held() >> 20, parts.spilled() >> 20);
        let start = on_core();
        let mut back = 0;
        for part in parts.drain().unwrap() {
            for piece in part.read() {
                back += piece.unwrap().batch.num_rows();
            }
        }
        assert_eq!(back, rows);
        report(&format!("Partitions read, {held} MB held, {spilled} MB spilled"), rows, start);
        _ = std::fs::remove_dir_all(&scratch);
    }
}

fn hashing(batches: &[RecordBatch], rounds: usize) {
    let rows = rounds * batches.len() * BATCH;
    let schema = batches[0].schema();
    let mut hashes = vec![];
    for (what, columns) in [
        ("hash Int32", vec![1]),
        ("hash Utf8 of 17", vec![2]),
        ("hash week store upc", vec![0, 1, 2]),
        ("hash all 7", (0..7).collect()),
    ] {
        let hasher = RowHasher::new(&schema, &columns).unwrap();
        let start = on_core();
        for _ in 0..rounds {
            batches.iter().for_each(|b| hasher.hash(b, &mut hashes));
        }
        report(what, rows, start);
    }
    let short = StringArray::from_iter_values((0..BATCH).map(|i| format!("sku-{i:05}")));
    let short = RecordBatch::try_from_iter([("sku", Arc::new(short) as ArrayRef)]).unwrap();
    let hasher = RowHasher::whole_row(&short.schema()).unwrap();
    let start = on_core();
    (0..rounds * 64).for_each(|_| hasher.hash(&short, &mut hashes));
    report("hash Utf8 of 9", rows, start);
}

fn tables(rows: usize) {
    let mut hashes = vec![];
    let mut numbers: Vec<u128> = Vec::with_capacity(rows);
    for i in (0..rows as i64).step_by(BATCH) {
        let ids = Int64Array::from_iter_values(i..i + BATCH as i64);
        let ids = RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).unwrap();
        RowHasher::whole_row(&ids.schema()).unwrap().hash(&ids, &mut hashes);
        numbers.extend(&hashes);
    }
    let mut set = KeySet::default();
    let mut new = 0;
    let start = on_core();
    for keys in numbers.chunks(BATCH) {
        set.insert_all(keys, |_| true, |_, what| new += usize::from(what == Inserted::New));
    }
    report(&format!("KeySet insert, {new} new, {} MB", set.bytes() >> 20), rows, start);
    let start = on_core();
    for keys in numbers.chunks(BATCH) {
        set.insert_all(keys, |_| true, |_, what| new -= usize::from(what == Inserted::Seen));
    }
    report(&format!("KeySet insert, all but {new} seen"), rows, start);
    let start = on_core();
    let mut seen = 0;
    for keys in numbers.chunks(BATCH) {
        set.contains_all(keys, |_, is| seen += usize::from(is));
    }
    report(&format!("KeySet contains, {seen} seen"), rows, start);
    let others: Vec<u128> = numbers.iter().map(|k| k.rotate_left(17)).collect();
    let start = on_core();
    for keys in others.chunks(BATCH) {
        set.contains_all(keys, |_, is| seen += usize::from(is));
    }
    report("KeySet contains, others not there", rows, start);
    drop(others);
    drop(set);

    let mut index = KeyIndex::default();
    let mut out = vec![];
    let start = on_core();
    for keys in numbers.chunks(BATCH) {
        out.clear();
        index.number_all(keys, &mut out).unwrap();
    }
    report(&format!("KeyIndex number, all new, {} MB", index.bytes() >> 20), rows, start);
    let start = on_core();
    for keys in numbers.chunks(BATCH) {
        out.clear();
        index.find_all(keys, &mut out);
    }
    report("KeyIndex find, all there", rows, start);
    drop((index, numbers));
}
