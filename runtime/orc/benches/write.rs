//! Rows a second into ORC and into Parquet: ten retail columns in memory, each compression, one thread.
//!
//! `cargo bench -p selvedge-orc --bench write`

use arrow::array::*;
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::properties::WriterProperties;
use selvedge_orc::{Compression, OrcFile, OrcWriter};
use std::sync::Arc;
use std::time::Instant;

const ROWS: usize = 8192;
const BATCHES: usize = 250;

/// Rows as a till writes them: numbers that grow, a few words, free text, prices and missing values.
fn batch(number: usize) -> RecordBatch {
    let first = (number * ROWS) as u64;
    let ids = || (first..first + ROWS as u64).map(|n| (n, n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20));
    let stores: StringArray = ids().map(|(_, r)| Some(format!("store {:03}", r % 400))).collect();
    let products: StringArray = ids().map(|(_, r)| Some(format!("{:013}", r % 50_000 * 7919))).collect();
    let payment: StringArray = ids().map(|(_, r)| ["card", "cash", "voucher"].get(r as usize % 4).copied()).collect();
    let notes: StringArray =
        ids().map(|(n, r)| (r % 3 == 0).then(|| format!("till {} of row {n}: {r}", r % 12))).collect();
    let prices: Decimal128Array = ids().map(|(_, r)| Some(i128::from(r % 20_000) + 49)).collect();
    let prices = prices.with_precision_and_scale(10, 2).expect("it fits");
    let times: PrimitiveArray<TimestampMicrosecondType> =
        ids().map(|(n, r)| Some(1_700_000_000_000_000 + n as i64 * 700_000 + (r % 1000) as i64)).collect();
    let days: PrimitiveArray<Date32Type> = ids().map(|(n, _)| Some(19_000 + (n / 100_000) as i32)).collect();
    let columns: [(&str, ArrayRef); 10] = [
        ("id", Arc::new(ids().map(|(n, _)| Some(n as i64)).collect::<Int64Array>())),
        ("store", Arc::new(stores)),
        ("product", Arc::new(products)),
        ("payment", Arc::new(payment)),
        ("note", Arc::new(notes)),
        ("quantity", Arc::new(ids().map(|(_, r)| (r % 9 != 0).then_some((r % 12) as i32)).collect::<Int32Array>())),
        ("price", Arc::new(prices)),
        ("weight", Arc::new(ids().map(|(_, r)| Some(r as f64 / 1000.0)).collect::<Float64Array>())),
        ("at", Arc::new(times)),
        ("day", Arc::new(days)),
    ];
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(nullable).expect("columns of one length")
}

fn parquet(batches: &[RecordBatch], codec: Codec) -> Vec<u8> {
    // As the sink `Files` has them.
    let properties = WriterProperties::builder()
        .set_compression(codec)
        .set_max_row_group_bytes(Some(24 << 20))
        .set_dictionary_page_size_limit(256 << 10);
    let writer = ArrowWriter::try_new(vec![], batches[0].schema(), Some(properties.build()));
    let mut writer = writer.expect("a schema that Parquet has");
    batches.iter().for_each(|batch| writer.write(batch).expect("a batch"));
    writer.into_inner().expect("a file")
}

fn orc(batches: &[RecordBatch], compression: Compression) -> Vec<u8> {
    let options = selvedge_orc::Options { compression, stripe_bytes: 24 << 20 };
    let mut writer = OrcWriter::new(vec![], &batches[0].schema(), options).expect("a schema that ORC has");
    batches.iter().for_each(|batch| writer.write(batch).expect("a batch"));
    writer.finish().expect("a file");
    writer.inner().clone()
}

/// The median of five, in million rows a second.
fn rate(work: impl Fn() -> usize) -> (f64, usize) {
    let mut bytes = 0;
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let started = Instant::now();
            bytes = work();
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    ((ROWS * BATCHES) as f64 / times[2] / 1e6, bytes)
}

fn main() {
    let batches: Vec<RecordBatch> = (0..BATCHES).map(batch).collect();
    let zstd = Codec::ZSTD(ZstdLevel::try_new(3).expect("a level"));
    let pairs = [
        ("none", Codec::UNCOMPRESSED, Compression::None),
        ("snappy", Codec::SNAPPY, Compression::Snappy),
        ("zstd 3", zstd, Compression::Zstd { level: 3 }),
    ];
    for (name, codec, compression) in pairs {
        let (parquet, large) = rate(|| parquet(&batches, codec).len());
        let (orc, small) = rate(|| orc(&batches, compression).len());
        println!(
            "{name:8} Parquet {parquet:5.2} M rows/s, {:4} MB   ORC {orc:5.2} M rows/s, {:4} MB   ORC/Parquet {:.2}",
            large / 1_000_000,
            small / 1_000_000,
            orc / parquet
        );
    }
    for (at, field) in batches[0].schema().fields().iter().enumerate() {
        let one: Vec<RecordBatch> = batches.iter().map(|b| b.project(&[at]).expect("a column")).collect();
        let (parquet, _) = rate(|| parquet(&one, Codec::UNCOMPRESSED).len());
        let (orc, _) = rate(|| orc(&one, Compression::None).len());
        println!("  {:9} Parquet {parquet:6.1}, ORC {orc:6.1} M values/s, uncompressed", field.name());
    }
    read(&batches);
}

/// How fast the whole file is read back.
fn read(batches: &[RecordBatch]) {
    let path = std::env::temp_dir().join(format!("selvedge-bench-{}.orc", std::process::id()));
    std::fs::write(&path, orc(batches, Compression::Zstd { level: 3 })).expect("room for a file");
    let open = || std::sync::Arc::new(std::fs::File::open(&path).expect("the file"));
    let (rate, _) = rate(|| {
        let file = OrcFile::open(open(), "bench").expect("an ORC file");
        let schema = file.schema();
        assert!(schema.field(8).data_type().is_temporal() && *schema.field(0).data_type() == DataType::Int64);
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let mut rows = file.read(open(), &schema, &all, 0..file.stripes().len(), ROWS).expect("stripes");
        std::iter::from_fn(|| rows.next_batch().expect("a batch")).map(|b| b.num_rows()).sum()
    });
    println!("read     ORC {rate:5.2} M rows/s");
    let _ = std::fs::remove_file(&path);
}
