//! The same Rust code natively and as a plugin, in one run: thread CPU time, medians, results asserted equal.
//!
//! `cargo bench -p selvedge-wasm`. Needs `plugins/speed.wasm` (`plugins/build speed`). What is measured is all of the way that
//! a batch goes in a run: buffers in, the call, output checked, columns that passed by put back.

mod bare;
mod common;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Float64Type, Int64Type};
use selvedge_node::{Error, Map, Out, Rejection, Result, Work};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keeps what it is sent.
#[derive(Default)]
struct Keep(Vec<RecordBatch>);

impl Out for Keep {
    fn send(&mut self, _: usize, batch: RecordBatch) -> Result<()> {
        self.0.push(batch);
        Ok(())
    }
    fn drop_rows(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn altered(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn reject(&mut self, rejection: Rejection) -> Result<()> {
        Err(Error::data(rejection.message))
    }
    fn absorb(&mut self, _: &str, _: u64) {}
    fn create(&mut self, _: &str, _: u64) {}
    fn stopping(&self) -> bool {
        false
    }
}

/// Rows of about 98 bytes: an id, a number, ten words; one row in twenty is not ASCII.
fn batch(rows: usize) -> RecordBatch {
    let words =
        ["stream", "Batch", "the", "Pipeline", "of", "rows", "VALUE", "column", "arrow", "naïve", "Über", "window"];
    let mut x = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let ids = Int64Array::from_iter_values((0..rows).map(|_| (random() >> 20) as i64));
    let vals = Float64Array::from_iter_values((0..rows).map(|_| (random() % 100_000) as f64 / 7.0));
    let texts = (0..rows).map(|_| {
        let ascii = random() % 20 != 0;
        let mut text = String::new();
        while text.len() < 76 {
            let word = (random() % 12) as usize;
            text.push_str(words[if ascii && (word == 9 || word == 10) { 0 } else { word }]);
            text.push(' ');
        }
        text
    });
    let texts = StringArray::from_iter_values(texts);
    let columns: [(&str, ArrayRef); 3] = [("id", Arc::new(ids)), ("val", Arc::new(vals)), ("text", Arc::new(texts))];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn native(op: &str, rows: &RecordBatch) -> Option<RecordBatch> {
    let with = |rows: RecordBatch, name: &str, column: ArrayRef| {
        let columns = rows
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .zip(rows.columns().iter().cloned())
            .collect::<Vec<_>>();
        RecordBatch::try_from_iter(columns.into_iter().chain([(name.to_string(), column)]))
            .expect("columns of one length")
    };
    match op {
        "filter" => {
            let (ids, vals) =
                (rows.column(0).as_primitive::<Int64Type>(), rows.column(1).as_primitive::<Float64Type>());
            let (keep, extra) = speed::work::filter(ids.values(), vals.values());
            let kept = filter_record_batch(rows, &BooleanArray::from(keep)).expect("a mask of all rows");
            Some(with(kept, "extra", Arc::new(Float64Array::from(extra))))
        }
        "tokens" => {
            let texts = rows.column(2).as_string::<i32>();
            let (lower, words) = speed::work::tokens((0..texts.len()).map(|row| texts.value(row)));
            let mut columns = rows.columns().to_vec();
            columns[2] = Arc::new(StringArray::from(lower));
            let rows = RecordBatch::try_new(rows.schema(), columns).expect("the same schema");
            Some(with(rows, "words", Arc::new(Int64Array::from(words))))
        }
        "copy" => {
            // Plain memory copies of every buffer.
            let copy = |array: &ArrayRef| {
                let data = array.to_data();
                let buffers = data.buffers().iter().map(|b| arrow::buffer::Buffer::from(b.as_slice())).collect();
                arrow::array::make_array(data.into_builder().buffers(buffers).build().expect("the same buffers"))
            };
            Some(
                RecordBatch::try_new(rows.schema(), rows.columns().iter().map(copy).collect())
                    .expect("the same schema"),
            )
        }
        _ => None,
    }
}

fn speed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/speed.wasm")
}

fn plugin(op: &str, rows: &RecordBatch) -> Arc<dyn Map> {
    match common::work(&speed(), &format!("(op: \"{op}\")"), rows, &Default::default()) {
        Work::Map(map) => map,
        _ => panic!("a stateless transform is a map"),
    }
}

/// CPU time of this thread, in seconds.
fn cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Median of some hundred calls, in microseconds.
fn median(mut call: impl FnMut()) -> f64 {
    for _ in 0..3 {
        call();
    }
    let began = cpu();
    let mut times = vec![];
    while times.len() < 15 || (cpu() - began < 0.7 && times.len() < 20_000) {
        let before = cpu();
        call();
        times.push((cpu() - before) * 1e6);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    // `cargo test` runs benches too, to see that they start.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    println!("| work | rows | native µs | A/A | plugin µs | × native |");
    println!("|---|---|---|---|---|---|");
    for rows in [8_192, 65_536] {
        let rows = batch(rows);
        for op in ["filter", "tokens", "copy"] {
            let map = plugin(op, &rows);
            let mut out = Keep::default();
            map.map(rows.clone(), &mut out).unwrap_or_else(|e| panic!("{e}"));
            let found = arrow::compute::concat_batches(&out.0[0].schema(), &out.0).expect("one schema");
            let expected = native(op, &rows).expect("a native way");
            assert_eq!(found.columns(), expected.columns(), "{op}");

            let own = median(|| drop(std::hint::black_box(native(op, &rows))));
            let theirs = median(|| {
                let mut out = Keep::default();
                map.map(rows.clone(), &mut out).unwrap_or_else(|e| panic!("{e}"));
                std::hint::black_box(out);
            });
            let again = median(|| drop(std::hint::black_box(native(op, &rows))));
            println!("| {op} | {} | {own:.0} | {again:.0} | {theirs:.0} | {:.2} |", rows.num_rows(), theirs / own);
        }
    }
    let one = batch(1);
    let map = plugin("nothing", &one);
    let call = median(|| map.map(one.clone(), &mut Keep::default()).unwrap_or_else(|e| panic!("{e}")));
    println!("\na call that does nothing: {call:.2} µs");
    // Too short for a clock: a thousand of them each time.
    let mut finish = bare::finish(&speed());
    let bare = median(|| (0..1_000).for_each(|_| finish()));
    println!("of that the bare call, without a batch and its account: {:.2} µs", bare / 1e3);
}
