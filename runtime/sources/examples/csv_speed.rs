//! How fast CSV is read, on one thread: `cargo run --release -p selvedge-sources --example csv_speed [FILE.csv [COLUMN …]]`.
//!
//! Without a file it makes one like the inventory workload: 10 columns, 115 bytes a row, nulls, some quotes. Prints MB/s of the file
//! for all splits one after the other (by the time on the core), and separately the time to find them (the pass over the quotes).

use selvedge_node::{Connection, Connections, Memory, Next, Out, Positions, Rejection, Result, Site, Span, Task, Work};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Counts and drops.
#[derive(Default)]
struct Count {
    rows: u64,
    rejected: u64,
}

impl Out for Count {
    fn send(&mut self, _: usize, batch: arrow::array::RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        Ok(())
    }
    fn drop_rows(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn altered(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn reject(&mut self, _: Rejection) -> Result<()> {
        self.rejected += 1;
        Ok(())
    }
    fn absorb(&mut self, _: &str, _: u64) {}
    fn create(&mut self, _: &str, _: u64) {}
    fn stopping(&self) -> bool {
        false
    }
}

struct None;

impl Connections for None {
    fn find(&self, _: &str) -> Option<Connection> {
        Option::None
    }
    fn names(&self) -> Vec<String> {
        vec![]
    }
}

/// An inventory-like file of a few hundred MB, made once.
fn sample() -> std::io::Result<PathBuf> {
    let path = std::env::temp_dir().join("selvedge_csv_speed.csv");
    if path.exists() {
        return Ok(path);
    }
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    writeln!(file, "item_id,sku,name,category,warehouse,qty,price,restock_date,active,notes")?;
    let names = [
        "Organic Apple, 3 lb",
        "Crème Brûlée Cup, 2 ct",
        "10\" Skillet \"Pro\"",
        "Dark Coffee Beans",
        "抹茶 Latte, 1 L",
    ];
    let mut seed = 1u64;
    for i in 0..3_000_000u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = |n: u64, shift: u32| (seed >> shift) % n;
        let name = names[random(5, 11) as usize];
        let name =
            if name.contains(['"', ',']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_string() };
        let qty = if random(20, 17) == 0 { String::new() } else { random(5000, 20).to_string() };
        writeln!(
            file,
            "{i},PRO-{:06},{name},BEVERAGE,WH-{:02},{qty},{}.{:02},2024-{:02}-{:02},true,stock moved from dock to aisle after count by lead",
            random(1_000_000, 23),
            random(60, 29),
            random(999, 31),
            random(100, 37),
            1 + random(12, 41),
            1 + random(28, 43),
        )?;
    }
    file.flush()?;
    Ok(path)
}

/// Seconds that this thread has had a core: what counts where others use the machine too. Wall time where Linux does not tell.
fn seconds(start: Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos: Option<f64> = stat.and_then(|s| s.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed().as_secs_f64(), |n| n / 1e9)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().map_or_else(sample, |path| Ok(path.into()))?;
    let columns: Vec<String> = arguments.collect();
    let bytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    let format = match path.extension().and_then(|e| e.to_str()) {
        Some("ndjson" | "json" | "jsonl") => "Ndjson",
        Some("parquet") => "Parquet",
        _ => "Csv",
    };
    let projection = if columns.is_empty() { String::new() } else { format!(", columns: {columns:?}") };
    let config = format!("(path: {:?}, format: {format}{projection})", path.display().to_string());
    let config = selvedge_ron::parse(selvedge_ron::FileId(0), &config)?;
    let start = Instant::now();
    for round in 1..=3 {
        let kinds = selvedge_sources::kinds::<selvedge_connect::Embedded>();
        let base = Path::new(".");
        let site = Site { graph: "speed", node: "files", span: Span::default(), base, connections: &None };
        let built = kinds[0].parse(&config)?.build(&site, &[])?;
        let Work::Source(source) = built.work else { return Err("no source".into()) };
        let started = Instant::now();
        let splits = source.splits(&Positions::new())?;
        let (found, count) = (started.elapsed().as_secs_f64(), splits.len());
        let task = Task {
            run: "speed".into(),
            node: "files".into(),
            instance: 0,
            instances: 1,
            memory: Memory::new(1 << 30),
            scratch: std::env::temp_dir(),
            batch_rows: 32 << 10,
            batch_bytes: 4 << 20,
            wake: Default::default(),
        };
        let mut out = Count::default();
        let (started, before) = (Instant::now(), seconds(start));
        for split in splits {
            let mut reader = split.open(&task)?;
            while reader.read(&mut out)? != Next::Done {}
        }
        let (wall, read) = (started.elapsed().as_secs_f64(), seconds(start) - before);
        println!(
            "round {round}: {count} splits found in {found:.3} s ({:.0} MB/s); {} rows ({} rejected) read in {read:.3} s on the core, \
             {wall:.3} s in all: {:.0} MB/s",
            bytes / found,
            out.rows,
            out.rejected,
            bytes / read,
        );
    }
    Ok(())
}
