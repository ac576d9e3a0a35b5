//! Plugins in Python and JavaScript: `add a column`, 10,000 calls, one instance at a time; and whether their memory stays flat.
//!
//! `selvedge plugin build runtime/wasm/benches/guests/python`, the same for `js`, then
//! `cargo bench -p selvedge-wasm --bench guests`.

mod common;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use common::{resident, work};
use selvedge_node::Work;
use selvedge_testkit::Recorder;
use selvedge_wasm::Settings;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const ROWS: usize = 8192;
const CALLS: usize = 10_000;

fn main() {
    let ids = Int64Array::from_iter_values(0..ROWS as i64);
    let vals = Float64Array::from_iter_values((0..ROWS).map(|n| n as f64 / 7.0));
    let texts =
        StringArray::from_iter_values((0..ROWS).map(|n| format!("row {n} of a stream, with the usual words in it")));
    let columns: [(&str, ArrayRef); 3] = [("id", Arc::new(ids)), ("val", Arc::new(vals)), ("text", Arc::new(texts))];
    let rows = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let settings = Settings { cache: selvedge_wasm::default_cache(), ..Settings::default() };
    for (language, file) in [("Python", "python/add_python.wasm"), ("JavaScript", "js/add_js.wasm")] {
        let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/guests").join(file);
        if !component.is_file() {
            println!("{language}: {} is not built", component.display());
            continue;
        }
        let Work::Map(map) = work(&component, "()", &rows, &settings) else { panic!("not a map") };
        let (mut times, mut memory) = (vec![], vec![]);
        for call in 0..CALLS {
            let started = Instant::now();
            let mut out = Recorder::default();
            map.map(rows.clone(), &mut out).expect("a call");
            times.push(started.elapsed().as_secs_f64());
            assert_eq!(out.rows_sent(), ROWS as u64);
            if call % (CALLS / 10) == CALLS / 10 - 1 {
                memory.push(resident() >> 10);
            }
        }
        let total: f64 = times.iter().sum();
        times.sort_by(f64::total_cmp);
        let (median, longest) = (times[CALLS / 2], times[CALLS - 1]);
        println!(
            "{language}: {:.2} M rows/s in the median call, {:.2} over all with instances replaced, longest call {:.1} ms",
            ROWS as f64 / median / 1e6,
            (ROWS * CALLS) as f64 / total / 1e6,
            longest * 1e3
        );
        println!("  resident after each tenth, MiB: {memory:?}");
    }
}
