//! How many million values a second one core casts: `cargo run --release -p selvedge-cast --example speed`.

use arrow::array::{Array, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use std::time::Instant;

/// A small generator: the same numbers everywhere.
fn numbers() -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

fn main() {
    const ROWS: usize = 16_384;
    let column = |f: &dyn Fn(u64) -> String| StringArray::from_iter_values(numbers().take(ROWS).map(f));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let date = |n: u64| format!("{:04}-{:02}-{:02}", 1950 + n % 80, 1 + n / 80 % 12, 1 + n / 960 % 28);
    let some_dirty = |n: u64, clean: String| match n % 100 {
        0 => "N/A".to_string(),
        1 => format!(" {clean} "),
        2 => format!("{clean}.7"),
        _ => clean,
    };
    let cases: Vec<(&str, StringArray, DataType)> = vec![
        ("Int64, 1 to 6 digits", column(&|n| (n % 1_000_000 / (1 + n % 7 * 1000)).to_string()), DataType::Int64),
        ("Int64, 12 digits", column(&|n| (100_000_000_000 + n % 899_999_999_999).to_string()), DataType::Int64),
        ("Int32, 3 % dirty", column(&|n| some_dirty(n, (n % 100_000).to_string())), DataType::Int32),
        ("Int32, half negative", column(&|n| ((n % 20_000) as i64 - 10_000).to_string()), DataType::Int32),
        (
            "Decimal(10, 2), prices",
            column(&|n| format!("{}.{:02}", n % 1000, n / 1000 % 100)),
            DataType::Decimal128(10, 2),
        ),
        (
            "Decimal(10, 2), 3 % dirty",
            column(&|n| some_dirty(n, format!("{}.{:02}", n % 1000, n / 1000 % 100))),
            DataType::Decimal128(10, 2),
        ),
        ("Float64, prices", column(&|n| format!("{}.{:02}", n % 1000, n / 1000 % 100)), DataType::Float64),
        ("Float64, 17 digits", column(&|n| format!("{:?}", n as f64 / u64::MAX as f64)), DataType::Float64),
        ("Date, yyyy-mm-dd", column(&|n| date(n)), DataType::Date32),
        ("Date, 3 % dirty", column(&|n| some_dirty(n, date(n))), DataType::Date32),
        (
            "Timestamp, seconds",
            column(&|n| format!("{} {:02}:{:02}:{:02}", date(n), n % 24, n % 60, n % 59)),
            micros.clone(),
        ),
        (
            "Timestamp, T, millis, Z",
            column(&|n| format!("{}T{:02}:{:02}:{:02}.{:03}Z", date(n), n % 24, n % 60, n % 59, n % 1000)),
            micros,
        ),
        ("Boolean, true and false", column(&|n| (n % 2 == 0).to_string()), DataType::Boolean),
    ];
    for (name, text, to) in cases {
        let once = || selvedge_cast::from_text(&text, &to).expect("a cast from text").values.len();
        // The best of several: what the code can do, not what else the machine did.
        let best = (0..200).map(|_| {
            let start = Instant::now();
            std::hint::black_box(once());
            start.elapsed()
        });
        let best = best.min().unwrap_or_default();
        println!("{name:28} {:8.1} M values/s", ROWS as f64 / best.as_secs_f64() / 1e6);
    }
}
