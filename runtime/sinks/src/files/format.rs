//! What the files look like: formats and compressions as a graph writes them, and which column types each can hold.

use super::orc::{self, ChunkCompression};
use crate::csv;
use crate::hints::Size;
use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{BrotliLevel, Compression as Codec, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use schemars::JsonSchema;
use selvedge_node::{Problem, Problems, Span, write_json_lines};
use serde::Deserialize;
use std::sync::Arc;

/// The format of the files.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Format {
    /// Text; null is an empty field and the empty string is `""`.
    Csv {
        /// Between fields.
        #[serde(default = "comma")]
        delimiter: char,
        /// Around fields that hold a delimiter, a quote or a line break; doubled inside.
        #[serde(default = "double_quote")]
        quote: char,
        /// A first line with the names of the columns.
        #[serde(default = "yes")]
        header: bool,
        /// What stands for null.
        #[serde(default)]
        null: String,
        /// Quotes around every field that is not null.
        #[serde(default)]
        quote_all: bool,
    },
    /// One JSON object a line.
    Ndjson {
        /// Write `"column":null`; otherwise columns that are null are left out.
        #[serde(default)]
        nulls: bool,
    },
    Parquet {
        #[serde(default)]
        compression: PageCompression,
        /// At most this many rows in a row group.
        #[serde(default = "row_group_rows")]
        row_group_rows: usize,
        /// At most about this many bytes in a row group, as written. It is built in memory.
        #[serde(default = "row_group_bytes")]
        row_group_bytes: usize,
        /// Try a dictionary for every column; one that grows beyond a page is given up.
        #[serde(default = "yes")]
        dictionary: bool,
        #[serde(default)]
        statistics: Statistics,
    },
    Orc {
        #[serde(default)]
        compression: ChunkCompression,
        /// A stripe is written when it has about so many bytes: `"24MiB"`. It is built in memory, and ends earlier where
        /// the writer's memory does.
        #[serde(default = "orc::stripe")]
        stripe: Size,
    },
    /// Arrow IPC, the file format (also known as Feather 2).
    Arrow {
        #[serde(default)]
        compression: IpcCompression,
    },
}

fn comma() -> char {
    ','
}
fn double_quote() -> char {
    '"'
}
fn yes() -> bool {
    true
}
fn row_group_rows() -> usize {
    1 << 20
}
fn row_group_bytes() -> usize {
    24 << 20
}

impl Default for Format {
    fn default() -> Format {
        Format::Parquet {
            compression: PageCompression::default(),
            row_group_rows: row_group_rows(),
            row_group_bytes: row_group_bytes(),
            dictionary: true,
            statistics: Statistics::default(),
        }
    }
}

/// How the pages of Parquet are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum PageCompression {
    #[default]
    Snappy,
    /// Level 1 (fast) to 22 (small).
    Zstd {
        #[serde(default = "zstd_level")]
        level: i32,
    },
    /// Level 1 (fast) to 9 (small).
    Gzip {
        #[serde(default = "gzip_level")]
        level: u32,
    },
    Lz4,
    /// Level 0 (fast) to 11 (small).
    Brotli {
        #[serde(default = "brotli_level")]
        level: u32,
    },
    None,
}

/// How the buffers of Arrow IPC are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum IpcCompression {
    #[default]
    None,
    Lz4,
    Zstd,
}

/// Which minima, maxima and null counts Parquet files carry, for readers that skip what they do not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum Statistics {
    None,
    /// For each column of a row group.
    #[default]
    Chunk,
    /// For each page too: smaller reads of a few rows, slower writing.
    Page,
}

/// How CSV and NDJSON files are compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Compression {
    /// Level 1 (fast) to 9 (small).
    Gzip {
        #[serde(default = "gzip_level")]
        level: u32,
    },
    /// Level 1 (fast) to 22 (small).
    Zstd {
        #[serde(default = "zstd_level")]
        level: i32,
    },
    /// Level 1 to 9: the size of the block in 100 kB.
    Bzip2 {
        #[serde(default = "bzip2_level")]
        level: u32,
    },
    /// The framing format of Snappy.
    Snappy,
}

fn zstd_level() -> i32 {
    3
}
fn gzip_level() -> u32 {
    6
}
fn bzip2_level() -> u32 {
    9
}
fn brotli_level() -> u32 {
    1
}

impl Format {
    /// The end of the files' names: `csv.gz`, `parquet`.
    pub fn extension(&self, compression: Option<Compression>) -> String {
        let format = match self {
            Format::Csv { .. } => "csv",
            Format::Ndjson { .. } => "ndjson",
            Format::Parquet { .. } => "parquet",
            Format::Orc { .. } => "orc",
            Format::Arrow { .. } => "arrow",
        };
        match compression {
            None => format.to_string(),
            Some(Compression::Gzip { .. }) => format!("{format}.gz"),
            Some(Compression::Zstd { .. }) => format!("{format}.zst"),
            Some(Compression::Bzip2 { .. }) => format!("{format}.bz2"),
            Some(Compression::Snappy) => format!("{format}.sz"),
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Format::Csv { .. } | Format::Ndjson { .. })
    }

    /// What is wrong with the settings themselves.
    pub fn setting_problems(&self, span: Span, compression: Option<(Compression, Span)>) -> Problems {
        let mut problems = Problems::default();
        match self {
            Format::Csv { delimiter, quote, .. } => {
                for (what, c) in [("delimiter", delimiter), ("quote", quote)] {
                    if !c.is_ascii() || matches!(c, '\n' | '\r') {
                        let text = format!("{what} must be one ASCII character other than a line break, but is {c:?}");
                        problems.push(Problem::error(span, text));
                    }
                }
                if delimiter == quote {
                    problems.push(Problem::error(span, format!("delimiter and quote are both {quote:?}")));
                }
            }
            Format::Ndjson { .. } | Format::Arrow { .. } => {}
            Format::Orc { compression, .. } => {
                problems.take(compression.checked().map_err(|e| Problem::error(span, e)));
            }
            Format::Parquet { compression, row_group_rows, row_group_bytes, .. } => {
                problems.take(compression.checked().map_err(|e| Problem::error(span, e)));
                if *row_group_rows == 0 || *row_group_bytes == 0 {
                    problems.push(Problem::error(span, "a row group needs room for at least one row and one byte"));
                }
            }
        }
        if let Some((compression, span)) = compression {
            if !self.is_text() {
                problems.push(
                    Problem::error(
                        span,
                        "compression here is for CSV and NDJSON: this format compresses its own parts",
                    )
                    .help("write format: Parquet(compression: Zstd(3)), Orc(compression: Zstd(3)) or Arrow(compression: Lz4)"),
                );
            }
            problems.take(compression.checked().map_err(|e| Problem::error(span, e)));
        }
        problems
    }

    /// The columns that files of this format cannot hold.
    pub fn type_problems(&self, schema: &Schema, span: Span) -> Problems {
        let mut problems = Problems::default();
        for field in schema.fields() {
            let refused = |name: &str, help: &str| {
                let text = format!("{name} cannot hold column `{}` of type {}", field.name(), field.data_type());
                Problem::error(span, text).help(help)
            };
            match self {
                Format::Csv { .. } if !csv::can_hold(field.data_type()) => problems.push(refused(
                    "CSV",
                    "use format: Ndjson or Parquet, or SchemaEdit before it: Flatten for nested columns, Drop for others",
                )),
                Format::Ndjson { .. } if !json_can_hold(field) => {
                    problems.push(refused("NDJSON", "cast it with SchemaEdit(edits: [Cast(…)]) or drop it"));
                }
                Format::Parquet { .. } if !parquet_can_hold(field) => {
                    problems.push(refused("Parquet", "cast it with SchemaEdit(edits: [Cast(…)]) or drop it"));
                }
                _ => {}
            }
        }
        if let Format::Orc { .. } = self {
            problems.0.extend(orc::type_problems(schema, span).0);
        }
        if schema.fields().is_empty() {
            problems.push(
                Problem::error(span, "there is no column to write")
                    .help("partition_by takes its columns out of the files: leave at least one that is not in it"),
            );
        }
        problems
    }
}

/// Asks the writer itself, with one null.
pub fn json_can_hold(field: &Arc<Field>) -> bool {
    let nullable = Arc::new(Schema::new(vec![field.as_ref().clone().with_nullable(true)]));
    RecordBatch::try_new(nullable, vec![new_null_array(field.data_type(), 1)])
        .and_then(|batch| write_json_lines(&batch, true, &mut vec![]))
        .is_ok()
}

fn parquet_can_hold(field: &Arc<Field>) -> bool {
    ArrowSchemaConverter::new().convert(&Schema::new(vec![field.clone()])).is_ok()
}

/// A level outside of what the compression knows.
pub fn in_range(name: &str, level: i64, least: i64, most: i64) -> Result<(), String> {
    if (least..=most).contains(&level) {
        Ok(())
    } else {
        Err(format!("the level of {name} is {least} to {most}, but is {level}"))
    }
}

impl Compression {
    fn checked(self) -> Result<(), String> {
        match self {
            Compression::Gzip { level } => in_range("Gzip", level.into(), 1, 9),
            Compression::Zstd { level } => in_range("Zstd", level.into(), 1, 22),
            Compression::Bzip2 { level } => in_range("Bzip2", level.into(), 1, 9),
            Compression::Snappy => Ok(()),
        }
    }
}

impl PageCompression {
    fn checked(self) -> Result<(), String> {
        match self {
            PageCompression::Zstd { level } => in_range("Zstd", level.into(), 1, 22),
            PageCompression::Gzip { level } => in_range("Gzip", level.into(), 1, 9),
            PageCompression::Brotli { level } => in_range("Brotli", level.into(), 0, 11),
            PageCompression::Snappy | PageCompression::Lz4 | PageCompression::None => Ok(()),
        }
    }

    pub fn codec(self) -> parquet::errors::Result<Codec> {
        Ok(match self {
            PageCompression::Snappy => Codec::SNAPPY,
            PageCompression::Zstd { level } => Codec::ZSTD(ZstdLevel::try_new(level)?),
            PageCompression::Gzip { level } => Codec::GZIP(GzipLevel::try_new(level)?),
            PageCompression::Brotli { level } => Codec::BROTLI(BrotliLevel::try_new(level)?),
            PageCompression::Lz4 => Codec::LZ4_RAW,
            PageCompression::None => Codec::UNCOMPRESSED,
        })
    }
}

/// Where a column's dictionary is given up, in bytes. A quarter of the parquet crate's limit: columns of many values are found
/// out sooner (a fifth more rows a second on ten retail columns, for files 6 % larger); repeated values fit all the same.
const DICTIONARY: usize = 256 << 10;

/// Parquet's writer, tuned: a row group is bounded in bytes as well as rows, so that memory does not depend on the data.
pub fn parquet_properties(
    codec: Codec,
    rows: usize,
    bytes: usize,
    dictionary: bool,
    statistics: Statistics,
) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(codec)
        .set_max_row_group_row_count(Some(rows))
        .set_max_row_group_bytes(Some(bytes))
        .set_dictionary_enabled(dictionary)
        .set_dictionary_page_size_limit(DICTIONARY)
        .set_statistics_enabled(match statistics {
            Statistics::None => EnabledStatistics::None,
            Statistics::Chunk => EnabledStatistics::Chunk,
            Statistics::Page => EnabledStatistics::Page,
        })
        .set_created_by(concat!("selvedge ", env!("CARGO_PKG_VERSION")).to_string())
        .build()
}
