//! What instances cost: loading a compiled plugin, an idle instance, and two of them on two cores.
//!
//! `cargo bench -p selvedge-wasm --bench instances`. Needs the components in `plugins/`.

mod common;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use common::{resident, work};
use selvedge_node::{Map, Memory, Task, Work};
use selvedge_testkit::Recorder;
use selvedge_wasm::Settings;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

fn plugin(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/{name}.wasm"))
}

fn task() -> Task {
    Task {
        run: "bench".into(),
        node: "plugin".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(64 << 20),
        scratch: std::env::temp_dir(),
        batch_rows: 8192,
        batch_bytes: 4 << 20,
        wake: Default::default(),
    }
}

fn batch(rows: usize) -> RecordBatch {
    let ids = Int64Array::from_iter_values(0..rows as i64);
    let vals = Float64Array::from_iter_values((0..rows).map(|n| n as f64 / 7.0));
    let texts = StringArray::from_iter_values(
        (0..rows).map(|n| format!("row {n} of a Stream of rows with The usual words in it, Arrow and batch")),
    );
    let times = TimestampMicrosecondArray::from_iter_values(0..rows as i64);
    let columns: [(&str, ArrayRef); 4] =
        [("id", Arc::new(ids)), ("val", Arc::new(vals)), ("text", Arc::new(texts)), ("time", Arc::new(times))];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds that `threads` threads take for `calls` calls each.
fn on(threads: usize, calls: usize, map: &Arc<dyn Map>, rows: &RecordBatch) -> f64 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..calls {
                    map.map(rows.clone(), &mut Recorder::default()).expect("a call");
                }
            });
        }
    });
    started.elapsed().as_secs_f64()
}

fn main() {
    let cache = tempfile::tempdir().expect("a folder");
    let settings = Settings { cache: Some(cache.path().to_path_buf()), ..Settings::default() };
    if let Ok(cache) = std::env::var("SELVEDGE_BENCH_CACHE") {
        // A process of its own: the engine is started by the first plugin, the second is measured.
        let settings = Settings { cache: Some(cache.into()), ..Settings::default() };
        selvedge_wasm::inspect(&plugin("speed"), &settings).expect("a plugin");
        let found = selvedge_wasm::inspect(&plugin("upc_check"), &settings).expect("a plugin");
        println!("{} {}", found.load.as_secs_f64() * 1e3, found.start.as_secs_f64() * 1e3);
        return;
    }

    let compiled = selvedge_wasm::inspect(&plugin("upc_check"), &settings).expect("a plugin").load;
    selvedge_wasm::inspect(&plugin("speed"), &settings).expect("a plugin");
    let (mut loads, mut starts) = (vec![], vec![]);
    for _ in 0..21 {
        let this = std::env::current_exe().expect("a path");
        let ran =
            std::process::Command::new(this).env("SELVEDGE_BENCH_CACHE", cache.path()).output().expect("a process");
        let said = String::from_utf8(ran.stdout).expect("text");
        let mut numbers = said.split_whitespace().map(|n| n.parse::<f64>().expect("a number"));
        loads.extend(numbers.next());
        starts.extend(numbers.next());
    }
    println!("compile                   {:8.2} ms", compiled.as_secs_f64() * 1e3);
    println!("load from the cache       {:8.3} ms, a new instance {:.3} ms", median(loads), median(starts));

    let count = 500;
    let sessions = "(user: \"id\", time: \"time\", type: \"text\")";
    let Work::Transform(open) = work(&plugin("session_features"), sessions, &batch(1), &settings) else {
        panic!("no state")
    };
    let before = resident();
    let opened: Vec<_> = (0..count).map(|_| open(&task()).expect("an instance")).collect();
    println!("idle instance             {:8.1} KiB resident", (resident() - before) as f64 / count as f64);
    drop(opened);

    let rows = batch(8192);
    let Work::Map(map) = work(&plugin("speed"), "(op: \"tokens\")", &rows, &settings) else { panic!("not a map") };
    on(2, 20, &map, &rows);
    let (mut one, mut two) = (vec![], vec![]);
    for _ in 0..7 {
        one.push(on(1, 150, &map, &rows));
        two.push(on(2, 150, &map, &rows));
    }
    println!("two instances, two cores  {:8.2} times the rows of one", 2.0 * median(one) / median(two));
}
