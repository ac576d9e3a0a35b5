//! How many million rows a second one core takes through a node: `cargo run --release -p selvedge-transforms --example speed`.

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use selvedge_node::{Connection, Connections, Input, Out, Rejection, Result, Site, Span, Work};
use selvedge_ron::{FileId, parse};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

struct Nothing;

impl Connections for Nothing {
    fn find(&self, _: &str) -> Option<Connection> {
        None
    }
    fn names(&self) -> Vec<String> {
        vec![]
    }
}

impl Out for Nothing {
    fn send(&mut self, _: usize, batch: RecordBatch) -> Result<()> {
        std::hint::black_box(batch);
        Ok(())
    }
    fn drop_rows(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn altered(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn reject(&mut self, _: Rejection) -> Result<()> {
        Ok(())
    }
    fn absorb(&mut self, _: &str, _: u64) {}
    fn create(&mut self, _: &str, _: u64) {}
    fn stopping(&self) -> bool {
        false
    }
}

/// Dirty stock: a few percent nulls and unreadable cells.
fn stock(rows: usize) -> RecordBatch {
    let mix =
        |i: usize, k: u64| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(k | 1) >> 20;
    let text = |k: u64, f: &dyn Fn(u64) -> String| -> ArrayRef {
        let cell = |i| match mix(i, k) % 100 {
            0..=4 => None,
            5 => Some("N/A".to_string()),
            6 => Some(format!(" {} ", f(mix(i, k + 2)))),
            _ => Some(f(mix(i, k + 2))),
        };
        Arc::new((0..rows).map(cell).collect::<StringArray>())
    };
    let date = |n: u64| format!("{:04}-{:02}-{:02}", 2020 + n % 5, 1 + n % 12, 1 + n % 28);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", text(11, &|n| (n % 10_000_000).to_string())),
        ("sku", text(23, &|n| format!("SKU-{:06}", n % 200_000))),
        ("qty", text(37, &|n| (n % 500).to_string())),
        ("price", text(41, &|n| format!("{}.{:02}", n % 300, n % 100))),
        ("restocked", text(53, &date)),
        ("active", text(67, &|n| (n % 2 == 0).to_string())),
        ("city", text(79, &|n| ["austin", "New York", "SAN JOSE", "Boston"][n as usize % 4].to_string())),
        (
            "place",
            text(97, &|n| ["Austin, TX 78701", "New York, NY", "Boston, Massachusetts"][n as usize % 3].to_string()),
        ),
        ("phone", text(83, &|n| format!("({:03}) {:03}-{:04}", 200 + n % 700, n % 1000, n % 10_000))),
        ("age", Arc::new((0..rows).map(|i| Some(mix(i, 5) as i64 % 130)).collect::<Int64Array>())),
        ("born", Arc::new((0..rows).map(|i| Some(mix(i, 7) as i32 % 20_000)).collect::<Date32Array>())),
        ("notes", text(89, &|n| format!("note {n}"))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn main() {
    let batch = stock(16_384);
    let nodes = [
        r#"SchemaEdit(edits: [Drop(["notes"]), Rename("qty", "quantity")])"#,
        r#"SchemaEdit(edits: [Casts({"id": Int64, "qty": Int32, "price": Decimal(10, 2), "restocked": Date, "active": Boolean})])"#,
        r#"SchemaEdit(edits: [Cast("restocked", Date, format: "%Y-%m-%d")])"#,
        r#"SchemaEdit(edits: [ParseNumber("price", Decimal(10, 2))])"#,
        r#"SchemaEdit(edits: [Cast("qty", Int32, Reject)])"#,
        r#"DropNulls(columns: ["id", "sku", "qty", "restocked"])"#,
        r#"Clean(columns: {"city": [Trim]})"#,
        r#"Clean(columns: {"city": [Lower]})"#,
        r#"Clean(columns: {"city": [Title]})"#,
        r#"Clean(columns: {"city": [CollapseSpaces]})"#,
        r#"Clean(columns: {"city": [Unicode(Nfc), StripControl, EmptyToNull]})"#,
        r#"Clean(columns: {"active": [Synonyms({"true": "Y", "false": "N"}, otherwise: Null)]})"#,
        r#"Clean(columns: {"age": [Range(0, 120)]})"#,
        r#"Clean(columns: {"phone": [Phone("1", otherwise: Null)]})"#,
        r#"Clean(columns: {"sku": [Hash]})"#,
        r#"Clean(add: [Age("born", to: "years", at: "2024-06-30"), Band("years", to: "band", edges: [18, 25, 45, 65])])"#,
        r#"Clean(add: [Place("place", city: "c", state: "s", zip: "z")])"#,
        r#"Sample(fraction: 0.1, by: ["id"])"#,
    ];
    let kinds = selvedge_transforms::kinds();
    for text in nodes {
        let body = parse(FileId(0), text).expect("a node");
        let kind = kinds.iter().find(|k| text.starts_with(k.name())).expect("a kind of this crate");
        let config = kind.parse(&body).expect("a config");
        let site =
            Site { graph: "speed", node: "node", span: Span::default(), base: Path::new("."), connections: &Nothing };
        let input = Input { port: "in".into(), schema: batch.schema(), span: Span::default(), unbounded: false };
        let Work::Map(node) = config.build(&site, &[input]).expect("a node that fits").work else { continue };
        let best = (0..50).map(|_| {
            let start = Instant::now();
            node.map(batch.clone(), &mut Nothing).expect("rows");
            start.elapsed()
        });
        let best = best.min().unwrap_or_default();
        println!("{:9.1} M rows/s  {text}", batch.num_rows() as f64 / best.as_secs_f64() / 1e6);
    }
}
