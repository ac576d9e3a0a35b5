//! ORC as a format of `Files`: its settings, the columns it cannot hold, and a file of it.

use super::encode::{Counted, Encode, io_error};
use crate::hints::Size;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use schemars::JsonSchema;
use selvedge_node::{Problem, Problems, Result, Span};
use selvedge_orc::{Compression, Options, OrcWriter, unsupported};
use serde::Deserialize;
use std::fs::File;

/// How the chunks of ORC are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum ChunkCompression {
    /// Level 1 (fast) to 22 (small).
    Zstd {
        #[serde(default = "zstd_level")]
        level: i32,
    },
    /// Level 1 (fast) to 9 (small).
    Zlib {
        #[serde(default = "zlib_level")]
        level: u32,
    },
    Snappy,
    None,
}

impl Default for ChunkCompression {
    fn default() -> ChunkCompression {
        ChunkCompression::Zstd { level: zstd_level() }
    }
}

fn zstd_level() -> i32 {
    3
}
fn zlib_level() -> u32 {
    6
}
pub fn stripe() -> Size {
    Size(24 << 20)
}

impl ChunkCompression {
    pub fn checked(self) -> std::result::Result<(), String> {
        match self {
            ChunkCompression::Zstd { level } => super::format::in_range("Zstd", level.into(), 1, 22),
            ChunkCompression::Zlib { level } => super::format::in_range("Zlib", level.into(), 1, 9),
            ChunkCompression::Snappy | ChunkCompression::None => Ok(()),
        }
    }

    fn compression(self) -> Compression {
        match self {
            ChunkCompression::Zstd { level } => Compression::Zstd { level },
            ChunkCompression::Zlib { level } => Compression::Zlib { level },
            ChunkCompression::Snappy => Compression::Snappy,
            ChunkCompression::None => Compression::None,
        }
    }
}

/// The columns that ORC has no type for, each with its way out.
pub fn type_problems(schema: &Schema, span: Span) -> Problems {
    let problem = |found: selvedge_orc::Unsupported| {
        let text = format!("ORC cannot hold column `{}` of type {}", found.column, found.ty);
        Problem::error(span, text).help(format!("{} (SchemaEdit before it casts and drops)", found.way_out))
    };
    Problems(unsupported(schema).into_iter().map(problem).collect())
}

pub struct OrcFile(OrcWriter<Counted>);

impl OrcFile {
    pub fn new(file: Counted, schema: &SchemaRef, compression: ChunkCompression, stripe: Size) -> Result<OrcFile> {
        let stripe_bytes = usize::try_from(stripe.0).unwrap_or(usize::MAX);
        let options = Options { compression: compression.compression(), stripe_bytes };
        Ok(OrcFile(OrcWriter::new(file, schema, options)?))
    }
}

impl Encode for OrcFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch)
    }
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
    fn memory(&self) -> usize {
        self.0.memory()
    }
    fn spill(&mut self) -> Result<()> {
        self.0.flush()
    }
    fn finish(mut self: Box<Self>) -> Result<File> {
        self.0.finish()?;
        self.0.inner().file.try_clone().map_err(io_error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Files;
    use super::super::tests::data;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use selvedge_connect::Embedded;
    use selvedge_node::Memory;
    use selvedge_orc::OrcFile;
    use selvedge_testkit::{Case, Recorder, show, table};
    use std::fs::File;
    use std::path::Path;
    use std::sync::Arc;

    fn read(path: &Path) -> (Vec<RecordBatch>, usize) {
        let open = || Arc::new(File::open(path).unwrap());
        let orc = OrcFile::open(open(), "t").unwrap();
        let (schema, stripes) = (orc.schema(), orc.stripes().len());
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let mut batches = orc.read(open(), &schema, &all, 0..stripes, 8192).unwrap();
        (std::iter::from_fn(|| batches.next_batch().unwrap()).collect(), stripes)
    }

    #[test]
    fn every_compression_comes_back() {
        let rows = "a:Int64 | s | d:Decimal128(10, 2) | t:Timestamp(µs, \"UTC\")
                    1 | x | 3.50 | 2024-03-01T10:00:00Z
                    null | \"\" | null | null
                    3 | \"y,z\" | -0.01 | 1969-12-31T23:59:58.999Z";
        for settings in ["", "(compression: Zlib)", "(compression: Snappy)", "(compression: None, stripe: \"1kB\")"] {
            let dir = tempfile::tempdir().unwrap();
            let config = format!(r#"(path: "out", format: Orc{settings})"#);
            let done = Case::<Files<Embedded>>::new(&config).base(dir.path()).input(rows).run();
            assert_eq!(done.absorbed["written"], 3);
            assert_eq!(data(&dir.path().join("out")), ["part-0-0.orc"]);
            let (back, _) = read(&dir.path().join("out/part-0-0.orc"));
            assert_eq!(show(&back[0]), show(&table(rows)), "{settings}");
        }
    }

    #[test]
    fn what_orc_has_no_type_for_is_a_problem_of_the_graph() {
        let item = Arc::new(Field::new("item", DataType::UInt64, true));
        let schema = Arc::new(Schema::new(vec![
            Field::new("at", DataType::Time64(TimeUnit::Microsecond), true),
            Field::new("ids", DataType::List(item), true),
            Field::new("fine", DataType::Utf8, true),
        ]));
        let case = Case::<Files<Embedded>>::new(r#"(path: "o", format: Orc())"#).batch(RecordBatch::new_empty(schema));
        assert_eq!(
            case.problems(),
            "ORC cannot hold column `at` of type Time64(µs) (cast it to Int64 or Utf8, or make it part of a Timestamp \
             (SchemaEdit before it casts and drops))\nORC cannot hold column `ids[]` of type UInt64 (cast it to Int64, or to \
             Decimal(20, 0) where it is beyond (SchemaEdit before it casts and drops))"
        );
        let problems =
            Case::<Files<Embedded>>::new(r#"(path: "o", format: Orc(compression: Zstd(40)))"#).input("a\nx").problems();
        assert!(problems.contains("the level of Zstd is 1 to 22, but is 40"), "{problems}");
    }

    #[test]
    fn memory_stays_small_and_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let config = r#"(path: "out", format: Orc(compression: None, stripe: "1GiB"))"#;
        let sink = super::super::tests::sink(config, dir.path(), "a:Int64\n1");
        let task = selvedge_node::Task { memory: Memory::new(64 << 20), ..super::super::tests::task("r", 0) };
        let mut writer = sink.open(&task).unwrap();
        let mut next = 0i64;
        // 64 MiB of rows that do not compress.
        for _ in 0..64 {
            let values = (0..131_072).map(|_| {
                next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                next
            });
            let column = Arc::new(Int64Array::from_iter_values(values)) as ArrayRef;
            writer
                .write(0, RecordBatch::try_from_iter(vec![("a", column)]).unwrap(), &mut Recorder::default())
                .unwrap();
        }
        let pending = writer.flush(1, &mut Recorder::default()).unwrap();
        sink.commit(&super::super::tests::commit("r"), &[pending]).unwrap();
        assert!(task.memory.peak() > 1 << 20 && task.memory.peak() <= 48 << 20, "{}", task.memory.peak());
        assert_eq!(task.memory.used(), 0);
        let (back, stripes) = read(&dir.path().join("out/part-0-0.orc"));
        assert_eq!(back.iter().map(RecordBatch::num_rows).sum::<usize>(), 64 * 131_072);
        assert!((2..=5).contains(&stripes), "{stripes} stripes");
    }
}
