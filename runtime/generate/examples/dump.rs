//! Temporary.
use selvedge_generate::Shape;
use std::io::Write;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let shape = Shape::find(&a[1]).unwrap();
    let rows: u64 = a[2].parse().unwrap();
    let b = shape.batch(a[3].parse().unwrap(), rows, 0..rows).unwrap();
    let mut o = std::io::BufWriter::new(std::io::stdout().lock());
    if a[4] == "bench" {
        let t = std::time::Instant::now();
        let mut n = 0;
        while n < 5_000_000 { let r = shape.batch(1, 5_000_000, n..n + 8192).unwrap(); n += r.num_rows() as u64; }
        writeln!(o, "{shape:?} {:.2} M rows/s", n as f64 / t.elapsed().as_secs_f64() / 1e6).unwrap();
    } else if a[4] == "ndjson" {
        let mut w = arrow::json::LineDelimitedWriter::new(&mut o);
        w.write(&b).unwrap(); w.finish().unwrap();
    } else {
        let mut w = arrow::csv::WriterBuilder::new().with_delimiter(a[4].as_bytes()[0]).build(&mut o);
        w.write(&b).unwrap();
    }
}
