//! `selvedge plugin bench`: how fast a component is, on the rows of one of its cases.

use super::case::{Case, Unread, find};
use super::test::parts;
use crate::cli::Bench;
use crate::screen;
use arrow::array::{RecordBatch, UInt64Array, make_array};
use arrow::compute::take_record_batch;
use selvedge_node::{Error, Memory, Task, Work};
use selvedge_testkit::Recorder;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// One kind of call, measured.
struct Measured {
    calls: u32,
    /// Of one call.
    median: Duration,
}

/// Runs; answers with what to print.
pub fn bench(args: &Bench) -> Result<String, String> {
    let (component, cases) = parts(&args.plugin, args.cases.as_deref())?;
    let settings = args.sandbox.settings();
    let found = selvedge_wasm::inspect(&component, &settings).map_err(|e| e.message)?;
    let base = tempfile::tempdir().map_err(|e| format!("cannot make a folder: {e}"))?;
    let read = find(&cases)?.into_iter().map(|path| {
        let case = Case::read(&path);
        Ok((case.map_err(|Unread(p, sources)| selvedge_spec::render_short(&p.0, &sources))?, path))
    });
    let read = read.collect::<Result<Vec<_>, String>>()?;
    // What ends in an error is nothing to measure.
    let runs = read.iter().find(|(case, _)| case.text.refused.is_none() && case.text.fails.is_none());
    let (case, path) = runs.ok_or_else(|| format!("no case in {} that runs", cases.display()))?;
    let node = case.node(&component, base.path(), &settings);
    let node = node.map_err(|p| selvedge_spec::render_short(&p.0, &case.sources))?;
    let (port, rows) = node.rows.iter().enumerate().next().ok_or("a source has no rows to be measured with")?;
    let batch = repeated(rows, args.batch_rows)?;
    let budget = Duration::from_secs(args.seconds);

    let mut work = work(node.built.work, base.path()).map_err(|e| e.message)?;
    let mut out = Recorder::default();
    let call = |out: &mut Recorder| work(port, batch.clone(), out);
    let plugin = measure(budget, &mut out, call).map_err(|e| e.message)?;
    let identity = measure(budget / 4, &mut out, |_| {
        black_box(copied(&batch));
        Ok(())
    });
    let identity = identity.map_err(|e| e.message)?;

    let bytes: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    let seconds = plugin.median.as_secs_f64().max(1e-9);
    let rate = batch.num_rows() as f64 / seconds;
    let lines = [
        format!("{} {}, on {}", found.name, found.version, path.display()),
        format!("loaded in {:.2} ms, an instance in {:.3} ms", ms(found.load), ms(found.start)),
        format!(
            "{} calls of {} rows ({}): median {:.3} ms",
            plugin.calls,
            screen::thousands(batch.num_rows() as u64),
            screen::size(bytes as u64),
            ms(plugin.median)
        ),
        format!(
            "{} rows a second, {} a second, on one core",
            screen::thousands(rate as u64),
            screen::size((bytes as f64 / seconds) as u64)
        ),
        format!(
            "{:.2} times a copy of the batch, which takes {:.3} ms",
            seconds / identity.median.as_secs_f64().max(1e-9),
            ms(identity.median)
        ),
        format!("memory of an instance at its start: {}", screen::size(found.memory as u64)),
        format!("memory of this process at its highest: {}", screen::size(selvedge_exec::process_peak())),
    ];
    Ok(super::printable(&lines.join("\n")))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A batch of `count` rows: those of the case, over and over.
fn repeated(rows: &RecordBatch, count: usize) -> Result<RecordBatch, String> {
    if rows.num_rows() == 0 {
        return Err("the case has no rows to be measured with".into());
    }
    let order = UInt64Array::from_iter_values((0..count).map(|i| (i % rows.num_rows()) as u64));
    take_record_batch(rows, &order).map_err(|e| e.to_string())
}

/// Every byte of a batch, once.
fn copied(batch: &RecordBatch) -> Vec<arrow::array::ArrayRef> {
    let copy = |column: &arrow::array::ArrayRef| {
        let data = column.to_data();
        let buffers = data.buffers().iter().map(|b| arrow::buffer::Buffer::from(b.as_slice())).collect();
        let built = data.clone().into_builder().buffers(buffers).build();
        make_array(built.unwrap_or(data))
    };
    batch.columns().iter().map(copy).collect()
}

type Step = Box<dyn FnMut(usize, RecordBatch, &mut Recorder) -> Result<(), Error>>;

fn work(work: Work, scratch: &std::path::Path) -> Result<Step, Error> {
    let task = Task {
        run: "bench".into(),
        node: "plugin".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(64 << 20),
        scratch: scratch.to_path_buf(),
        batch_rows: selvedge_node::BATCH_ROWS,
        batch_bytes: selvedge_node::BATCH_BYTES,
        wake: selvedge_node::Wake::default(),
    };
    Ok(match work {
        Work::Map(map) => Box::new(move |_, batch, out| map.map(batch, out)),
        Work::Transform(make) => {
            let mut node = make(&task)?;
            Box::new(move |port, batch, out| node.process(port, batch, out))
        }
        Work::Sink(sink) => {
            let mut writer = sink.open(&task)?;
            Box::new(move |port, batch, out| writer.write(port, batch, out))
        }
        Work::Source(_) => return Err(Error::graph("a source has no rows to be measured with")),
    })
}

/// Calls for about that long, and ten times at least; what comes out is thrown away.
fn measure(
    budget: Duration,
    out: &mut Recorder,
    mut call: impl FnMut(&mut Recorder) -> Result<(), Error>,
) -> Result<Measured, Error> {
    let mut times = vec![];
    let begun = Instant::now();
    while times.len() < 10 || (begun.elapsed() < budget && times.len() < 1_000_000) {
        let started = Instant::now();
        call(out)?;
        times.push(started.elapsed());
        *out = Recorder::default();
    }
    times.sort_unstable();
    Ok(Measured { calls: times.len() as u32, median: times[times.len() / 2] })
}
