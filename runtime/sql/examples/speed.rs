//! How fast expressions run on rows as the `pos` workload has them: rows a second of Filter's and Derive's expressions.
//! `cargo run --release -p selvedge-sql --example speed`

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray};
use selvedge_node::{Span, Spanned};
use std::sync::Arc;
use std::time::Instant;

const ROWS: usize = 32 * 1024;

fn rows() -> RecordBatch {
    // Numbers without a pattern that a branch predictor could learn (an LCG of Knuth's).
    let mut state = 7u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = |below: u64| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| next(below).to_string())))
    };
    let (sy, ge, vend, item) = (text(12), text(4), text(90_000), text(70_000));
    let f = Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| ["NONE", "A", "B", "C"][next(4) as usize])));
    let units: Int32Array = (0..ROWS).map(|_| (next(50) > 0).then(|| next(20) as i32)).collect();
    let dollars: Float64Array = (0..ROWS).map(|_| (next(50) > 0).then(|| next(10_000) as f64 / 100.0)).collect();
    let d: Int32Array = (0..ROWS).map(|_| Some(next(3) as i32)).collect();
    let date: Date32Array = (0..ROWS).map(|_| Some(19_000 + next(700) as i32)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("SY", sy, true),
        ("GE", ge, true),
        ("VEND", vend, true),
        ("ITEM", item, true),
        ("F", f as ArrayRef, true),
        ("units", Arc::new(units) as ArrayRef, true),
        ("dollars", Arc::new(dollars) as ArrayRef, true),
        ("D", Arc::new(d) as ArrayRef, true),
        ("sold_on", Arc::new(date) as ArrayRef, true),
    ])
    .expect("columns of one length")
}

fn main() {
    let batch = rows();
    let expressions = [
        "units > 0",
        "dollars is not null",
        "dollars / units between 0.01 and 1000",
        "dollars / units",
        "F <> 'NONE' or D > 0",
        "lpad(VEND, 5, '0')",
        "lpad(sy, 2, '0') || '-' || lpad(ge, 2, '0') || '-' || lpad(vend, 5, '0') || '-' || lpad(item, 5, '0')",
        "concat_ws('-', lpad(sy, 2, '0'), lpad(ge, 2, '0'), lpad(vend, 5, '0'), lpad(item, 5, '0'))",
        "concat(sy, ge)",
        "cast(date_trunc('week', sold_on) as date)",
        "date_trunc('week', sold_on)",
        "upper(trim(F))",
        "substr(VEND, 1, 2)",
        "cast(units as varchar)",
        "try_cast(VEND as int)",
        "case when units < 3 then 'few' when units < 10 then 'some' else 'many' end",
        "F in ('A', 'B')",
        "F like 'N%'",
        "regexp_like(VEND, '^[0-9]+$')",
        "coalesce(units, 0) * 2 + 1",
    ];
    for text in expressions {
        let text = Spanned::new(text.to_string(), Span::default());
        let compiled = match selvedge_sql::compile(&batch.schema(), &text) {
            Ok(compiled) => compiled,
            Err(problems) => {
                println!("            {}: {problems}", text.value);
                continue;
            }
        };
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..20 {
                std::hint::black_box(compiled.evaluate(&batch).expect("a value for each row"));
            }
            best = best.min(start.elapsed().as_secs_f64() / 20.0 / ROWS as f64);
        }
        println!("{:>8.2} ns/row  {}", best * 1e9, text.value);
    }

    let text = Spanned::new("units > 0 and dollars / units between 0.01 and 1000".to_string(), Span::default());
    let start = Instant::now();
    for _ in 0..1000 {
        std::hint::black_box(selvedge_sql::compile_conjuncts(&batch.schema(), &text).expect("a predicate"));
    }
    println!("{:>8.2} µs to plan  {}", start.elapsed().as_secs_f64() * 1e3, text.value);
}
