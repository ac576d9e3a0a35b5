//! Rows per second of `Dedup`, `GroupSort` and `Join`, one instance on one core, and the peak memory of the process, for rows
//! like those of the `inventory` and `customer` workloads. Each budget is a run of its own:
//! `cargo run --release -p selvedge-keyed --example keyed_speed -- distinct|latest|join MILLION_ROWS BUDGET_MB`
//!
//! `recent` and `sessions` are streams of 200,000 rows a second of event time, the last argument is `for` or `gap` in seconds:
//! `… -- recent|sessions MILLION_ROWS BUDGET_MB SECONDS`

#![expect(clippy::unwrap_used, reason = "a measuring program: a panic is its error message")]

use arrow::array::*;
use selvedge_node::{Connections, ErasedKind, Input, Memory, Out, Rejection, Result, Site, Span, Task, Work};
use std::sync::Arc;

const BATCH: usize = 8192;

struct NoConnections;

impl Connections for NoConnections {
    fn find(&self, _: &str) -> Option<selvedge_node::Connection> {
        None
    }
    fn names(&self) -> Vec<String> {
        vec![]
    }
}

/// Counts what comes.
#[derive(Default)]
struct Sink {
    sent: u64,
    other: u64,
}

impl Out for Sink {
    fn send(&mut self, _: usize, batch: RecordBatch) -> Result<()> {
        self.sent += batch.num_rows() as u64;
        Ok(())
    }
    fn drop_rows(&mut self, _: &str, count: u64, _: &dyn Fn(usize) -> Vec<String>) {
        self.other += count;
    }
    fn altered(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn reject(&mut self, _: Rejection) -> Result<()> {
        Ok(())
    }
    fn absorb(&mut self, _: &str, rows: u64) {
        self.other += rows;
    }
    fn create(&mut self, _: &str, _: u64) {}
    fn stopping(&self) -> bool {
        false
    }
}

fn mix(i: u64) -> u64 {
    let m = u128::from(i ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
    let m = ((m >> 64) as u64 ^ m as u64) as u128 * 0xa076_1d64_78bd_642f_u128;
    (m >> 64) as u64 ^ m as u64
}

/// `id` and eight more columns, 110 bytes a row; the ids are put in batch by batch.
fn rows(batch: u64) -> RecordBatch {
    let r = |c: u64| (0..BATCH as u64).map(move |i| mix((batch * BATCH as u64 + i) * 16 + c));
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from_iter_values(r(0).map(|v| v as i64))) as ArrayRef, true),
        ("sku", Arc::new(StringArray::from_iter_values(r(1).map(|v| format!("PRO-{:06}", v % 1_000_000)))), true),
        (
            "name",
            Arc::new(StringArray::from_iter(
                r(2).map(|v| (v % 20 > 0).then(|| format!("Organic thing {}, 12 oz", v % 4000))),
            )),
            true,
        ),
        (
            "category",
            Arc::new(StringArray::from_iter(r(3).map(|v| (v % 20 > 0).then(|| format!("CATEGORY{}", v % 20))))),
            true,
        ),
        (
            "warehouse",
            Arc::new(StringArray::from_iter(r(4).map(|v| (v % 20 > 0).then(|| format!("WH-{:02}", v % 60))))),
            true,
        ),
        ("quantity", Arc::new(Int32Array::from_iter(r(5).map(|v| (v % 20 > 0).then_some((v % 5000) as i32)))), true),
        (
            "price",
            Arc::new(Float64Array::from_iter(r(6).map(|v| (v % 20 > 0).then_some((v % 100_000) as f64 / 100.0)))),
            true,
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(r(7).map(|v| (v % 1_000_000_000_000) as i64))),
            true,
        ),
        ("active", Arc::new(BooleanArray::from_iter(r(8).map(|v| Some(v % 2 == 0)))), true),
    ])
    .unwrap()
}

/// The rows with the ids of `of`.
fn with_ids(batch: &RecordBatch, first: u64, of: impl Fn(u64) -> i64) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(Int64Array::from_iter_values((first..first + BATCH as u64).map(of)));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// The rows of a stream: ids and times, up to half a second out of order.
fn with_times(batch: &RecordBatch, first: u64, of: impl Fn(u64) -> i64) -> RecordBatch {
    let batch = with_ids(batch, first, of);
    let mut columns = batch.columns().to_vec();
    let at = |i: u64| (i * 5 + mix(i) % 500_000) as i64;
    columns[7] = Arc::new(TimestampMicrosecondArray::from_iter_values((first..first + BATCH as u64).map(at)));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

fn on_core() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn report(what: &str, rows: u64, start: f64) {
    let seconds = on_core() - start;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("?").trim().to_string();
    let (rate, each) = (rows as f64 / seconds.max(1e-9) / 1e6, seconds * 1e9 / rows as f64);
    println!("{what:40} {seconds:6.2} s  {rate:7.1} M rows/s  {each:6.1} ns/row  peak {peak}");
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, or: u64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(or);
    let what = args.first().map_or("distinct", String::as_str);
    let (millions, budget) = (number(1, 10), number(2, 512));
    let seconds = number(3, 30);
    let (name, config) = match what {
        "distinct" => ("Dedup", "()".to_string()),
        "latest" => ("Dedup", r#"(keys: ["id"], keep: Last(by: "at"))"#.to_string()),
        "recent" => ("Dedup", format!(r#"(keys: ["id"], keep: Any, within: (time: "at", for: "{seconds}s"))"#)),
        "sessions" => {
            ("GroupSort", format!(r#"(keys: ["id"], time: "at", gap: "{seconds}s", max_session: "1h", session: "s")"#))
        }
        _ => ("Join", r#"(on: ["id"])"#.to_string()),
    };
    let stream = ["recent", "sessions"].contains(&what);
    let batches: Vec<RecordBatch> = (0..32).map(rows).collect();
    let schema = batches[0].schema();
    let kinds: Vec<Box<dyn ErasedKind>> = selvedge_keyed::kinds();
    let kind = kinds.iter().find(|k| k.name() == name).unwrap();
    let config = kind.parse(&selvedge_ron::parse(selvedge_ron::FileId(0), &config).unwrap()).unwrap();
    let input =
        |port: &str| Input { port: port.into(), schema: schema.clone(), span: Span::default(), unbounded: stream };
    let inputs = if name == "Join" { vec![input("left"), input("right")] } else { vec![input("in")] };
    let here = std::path::Path::new(".");
    let site = Site { graph: "speed", node: "speed", span: Span::default(), base: here, connections: &NoConnections };
    let Ok(built) = config.build(&site, &inputs) else { panic!("the config is wrong") };
    let Work::Transform(make) = built.work else { panic!("not a transform") };
    let scratch = std::env::temp_dir().join(format!("keyed_speed-{}", std::process::id()));
    let task = Task {
        run: "speed".into(),
        node: "speed".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(budget << 20),
        scratch: scratch.clone(),
        batch_rows: BATCH,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    };
    let mut node = make(&task).unwrap();
    let mut out = Sink::default();
    let rows = millions * 1_000_000 / BATCH as u64 * BATCH as u64;
    if name == "Join" {
        let start = on_core();
        for first in (0..rows / 8).step_by(BATCH) {
            node.process(1, with_ids(&batches[first as usize / BATCH % 32], first, |i| i as i64), &mut out).unwrap();
        }
        node.end(1, &mut out).unwrap();
        report("build side", rows / 8, start);
    }
    let start = on_core();
    let (mut slowest, mut last) = (0.0f64, start);
    for first in (0..rows).step_by(BATCH) {
        let batch = &batches[first as usize / BATCH % 32];
        // One in ten rows repeats; a join meets one of the right rows.
        let id = |i: u64| {
            if name == "Join" {
                (mix(i) % (rows / 8)) as i64
            } else if name == "GroupSort" {
                // A million users in 21 seconds, about four rows each, then others.
                (((i >> 22) << 32) | (mix(i) % 1_000_000)) as i64
            } else {
                (i - u64::from(i.is_multiple_of(10)) * (i % 262_144 / 2) / 32 * 32) as i64
            }
        };
        if !stream {
            node.process(0, with_ids(batch, first, id), &mut out).unwrap();
            continue;
        }
        node.process(0, with_times(batch, first, id), &mut out).unwrap();
        node.watermark((first + BATCH as u64) as i64 * 5 - 500_000, &mut out).unwrap();
        let now = on_core();
        slowest = slowest.max(now - std::mem::replace(&mut last, now));
    }
    if stream {
        println!("the slowest batch took {slowest:.2} s");
    }
    report(&format!("{what}, while rows come"), rows, start);
    let spilled: u64 =
        std::fs::read_dir(&scratch).map_or(0, |d| d.flatten().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum());
    let start = on_core();
    if name != "Join" {
        node.end(0, &mut out).unwrap();
    }
    node.finish(&mut out).unwrap();
    drop(node);
    report(&format!("{what}, at the end; {} MB spilled", spilled >> 20), rows, start);
    println!("{} rows in, {} sent; budget {budget} MB, its peak {} MB", rows, out.sent, task.memory.peak() >> 20);
    _ = std::fs::remove_dir_all(&scratch);
}
