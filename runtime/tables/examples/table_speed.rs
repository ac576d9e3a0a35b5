//! Measures how fast this crate's nodes move rows, without the engine: `cargo run --release -p selvedge-tables --example speed`.

use arrow::array::*;
use arrow::datatypes::*;
use selvedge_node::*;
use std::sync::Arc;
use std::time::Instant;

struct Counts(u64, u64);
impl Out for Counts {
    fn send(&mut self, _: usize, b: RecordBatch) -> Result<()> { self.0 += b.num_rows() as u64; Ok(()) }
    fn drop_rows(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn reject(&mut self, r: Rejection) -> Result<()> { panic!("{r:?}") }
    fn absorb(&mut self, _: &str, n: u64) { self.1 += n }
    fn create(&mut self, _: &str, _: u64) {}
    fn altered(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn stopping(&self) -> bool { false }
}
struct None_(Option<Connection>);
impl Connections for None_ {
    fn find(&self, _: &str) -> Option<Connection> { self.0.clone() }
    fn names(&self) -> Vec<String> { vec![] }
}
fn task(instance: usize) -> Task {
    Task { run: format!("r{}", std::process::id()), node: "n".into(), instance, instances: 1, memory: Memory::new(256 << 20), scratch: "/tmp".into(), batch_rows: 16384, batch_bytes: 8 << 20 }
}
// like inventory: 9 columns
fn batch(start: i64, n: i64) -> RecordBatch {
    let r = |i: i64, k: i64| ((i * k).wrapping_mul(6364136223846793005) >> 20).rem_euclid(1 << 40);
    let id = Int64Array::from_iter_values((start..start + n).map(|i| i + 1_000_000));
    let sku = StringArray::from_iter_values((start..start + n).map(|i| format!("SKU-{:06}", r(i, 3) % 200_000)));
    let store = Int32Array::from_iter((start..start + n).map(|i| (i % 20 != 0).then_some((r(i, 5) % 500) as i32)));
    let qty = Int32Array::from_iter((start..start + n).map(|i| (i % 21 != 0).then_some((r(i, 7) % 1000) as i32)));
    let price = Decimal128Array::from_iter((start..start + n).map(|i| (i % 19 != 0).then_some((r(i, 11) % 100_000) as i128))).with_precision_and_scale(10, 2).unwrap();
    let day = Date32Array::from_iter((start..start + n).map(|i| (i % 23 != 0).then_some(19_000 + (r(i, 13) % 900) as i32)));
    let ok = BooleanArray::from_iter((start..start + n).map(|i| (i % 17 != 0).then_some(r(i, 17) % 2 == 0)));
    let wh = StringArray::from_iter((start..start + n).map(|i| (i % 18 != 0).then(|| ["north", "south", "east", "west"][(r(i, 19) % 4) as usize])));
    let sup = StringArray::from_iter((start..start + n).map(|i| (i % 16 != 0).then(|| format!("supplier {}", r(i, 23) % 3000))));
    let ts = TimestampMicrosecondArray::from_iter_values((start..start + n).map(|i| 1_700_000_000_000_000 + r(i, 29)));
    let cols: Vec<(&str, ArrayRef, bool)> = vec![("inventory_id", Arc::new(id), true), ("sku", Arc::new(sku), true), ("store_id", Arc::new(store), true), ("quantity", Arc::new(qty), true), ("price", Arc::new(price), true), ("restocked_on", Arc::new(day), true), ("active", Arc::new(ok), true), ("warehouse", Arc::new(wh), true), ("supplier", Arc::new(sup), true), ("updated_at", Arc::new(ts), true)];
    RecordBatch::try_from_iter_with_nullable(cols).unwrap()
}
fn build(kinds: Vec<Box<dyn ErasedKind>>, name: &str, text: &str, schema: SchemaRef, c: Option<Connection>, base: &std::path::Path) -> Built {
    let kind = kinds.into_iter().find(|k| k.name() == name).unwrap();
    let value = selvedge_ron::parse(selvedge_ron::FileId(0), text).unwrap_or_else(|e| panic!("{e:?}"));
    let c = None_(c);
    let site = Site { graph: "g", node: "n", span: Span::default(), base, connections: &c };
    let inputs = vec![Input { port: "in".into(), schema, span: Span::default() }];
    kind.parse(&value).unwrap().build(&site, &inputs).unwrap_or_else(|e| panic!("{e}"))
}
fn rss() -> u64 {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap().split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
fn main() {
    let dir = std::env::temp_dir().join(format!("speed-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let connection = || Connection { name: "db".into(), kind: "Sqlite".into(), span: Span::default(), body: selvedge_ron::parse(selvedge_ron::FileId(0), "(path: \"w.db\")").unwrap(), base: dir.clone() };
    let batches: Vec<_> = (0..61).map(|i| batch(i * 16384, 16384)).collect();
    let rows = 61 * 16384u64;
    for text in ["(connection: \"db\", table: \"t\")", "(connection: \"db\", table: \"t\", mode: Replace)", "(connection: \"db\", table: \"t\")", "(connection: \"db\", table: \"u\", mode: Upsert([\"inventory_id\"]))", "(connection: \"db\", table: \"u\", mode: Upsert([\"inventory_id\"]))"] {
        let built = build(selvedge_tables::kinds(), "Warehouse", text, batches[0].schema(), Some(connection()), &dir);
        let Work::Sink(sink) = built.work else { panic!() };
        let mut out = Counts(0, 0);
        let (t, c) = (Instant::now(), cpu());
        let mut task = task(0);
        task.run = format!("{:?}", t);
        let mut w = sink.open(&task).unwrap();
        for b in &batches { w.write(0, b.clone(), &mut out).unwrap(); }
        let written = t.elapsed().as_secs_f64();
        let p = w.flush(1, &mut out).unwrap();
        let flushed = t.elapsed().as_secs_f64();
        drop(w);
        sink.commit(&Commit { run: task.run.clone(), epoch: 1 }, &[p]).unwrap();
        let total = t.elapsed().as_secs_f64();
        println!("{text:70} {:.0} krows/s wall, write alone {:.0} krows/s; write {written:.2} flush {:.2} commit {:.2}, cpu {:.2}, rss {}", rows as f64 / total / 1e3, rows as f64 / written / 1e3, flushed - written, total - flushed, cpu() - c, rss());
    }
    for text in ["(connection: \"db\", table: \"u\")", "(connection: \"db\", table: \"u\", bookmark: \"updated_at\")", "(connection: \"db\", table: \"u\", columns: [\"inventory_id\", \"quantity\"])"] {
        let built = build(selvedge_tables::kinds(), "Table", text, batches[0].schema(), Some(connection()), &dir);
        let Work::Source(source) = built.work else { panic!() };
        let mut out = Counts(0, 0);
        let (t, c) = (Instant::now(), cpu());
        for s in source.splits(&Default::default()).unwrap() {
            let mut r = s.open(&task(0)).unwrap();
            while r.read(&mut out).unwrap() != Next::Done {}
        }
        println!("{text:70} {:.0} krows/s, cpu {:.2}, rss {}", out.0 as f64 / t.elapsed().as_secs_f64() / 1e3, cpu() - c, rss());
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
