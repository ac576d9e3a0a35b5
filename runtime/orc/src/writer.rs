//! Writes an ORC file: rows gather in columns, a stripe is written when they are enough, and the end says where all is.

use crate::column::{Column, Parts};
use crate::stats::Stats;
use crate::stream::{CHUNK, Codec, Compression};
use crate::types::{describe, root};
use arrow::array::{ArrayRef, RecordBatch, StructArray};
use arrow::datatypes::{DataType, SchemaRef};
use orc_rust::proto::stream::Kind;
use orc_rust::proto::{Footer, Metadata, PostScript, Stream, StripeFooter, StripeInformation, StripeStatistics};
use prost::Message;
use selvedge_node::{Error, Result};
use std::io::Write;
use std::sync::Arc;

/// Rows for which there is one entry in the index of each column.
const GROUP: usize = 10_000;
const MAGIC: &[u8] = b"ORC";
/// Readers know the layouts of some writers by number, and refuse others or distrust their statistics; ours is that of ORC's
/// C++ library, in its first version.
const LAYOUT: (u32, u32) = (1, 6);

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub compression: Compression,
    /// A stripe is written when it would have about this many bytes.
    pub stripe_bytes: usize,
}

/// A file in the making. What is dropped before `finish` is no ORC file.
pub struct OrcWriter<W> {
    to: W,
    /// Bytes written.
    at: u64,
    options: Options,
    codec: Codec,
    root_type: DataType,
    root: Column,
    rows: u64,
    stripe_rows: usize,
    stripes: Vec<StripeInformation>,
    stripe_stats: Vec<StripeStatistics>,
    stats: Vec<Stats>,
}

fn io_error(e: std::io::Error) -> Error {
    Error::io("writing", "the output", &e)
}

impl<W: Write> OrcWriter<W> {
    /// A file of columns that `unsupported` lets through.
    pub fn new(to: W, schema: &SchemaRef, options: Options) -> Result<OrcWriter<W>> {
        let root_type = root(schema);
        let root = Column::new("", &root_type)?;
        let mut stats = vec![];
        root.fresh(&mut stats);
        let mut writer = OrcWriter {
            to,
            at: 0,
            options,
            codec: Codec::new(options.compression),
            root_type,
            root,
            rows: 0,
            stripe_rows: 0,
            stripes: vec![],
            stripe_stats: vec![],
            stats,
        };
        writer.put(MAGIC)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(io_error)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let mut from = 0;
        while from < rows {
            if self.stripe_rows.is_multiple_of(GROUP) {
                self.root.begin(&self.codec);
            }
            let now = (GROUP - self.stripe_rows % GROUP).min(rows - from);
            let part: ArrayRef = Arc::new(StructArray::from(batch.slice(from, now)));
            self.root.append(&part, &mut self.codec)?;
            from += now;
            self.stripe_rows += now;
            if self.stripe_rows.is_multiple_of(GROUP) {
                self.root.end(&mut self.codec)?;
            }
            if self.root.sizes().0 >= self.options.stripe_bytes {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the stripe: all rows so far are written, and no memory is held for them.
    pub fn flush(&mut self) -> Result<()> {
        if self.stripe_rows == 0 {
            return Ok(());
        }
        if !self.stripe_rows.is_multiple_of(GROUP) {
            self.root.end(&mut self.codec)?;
        }
        let mut parts = Parts::default();
        self.root.take(&mut self.codec, &mut parts)?;
        let offset = self.at;
        let mut footer = StripeFooter {
            columns: parts.encodings,
            // Times without a zone are what a clock in UTC shows: each reader shows the same.
            writer_timezone: Some("UTC".into()),
            ..Default::default()
        };
        let mut stream = |kind: Kind, column: u32, bytes: &[u8]| {
            let length = Some(bytes.len() as u64);
            footer.streams.push(Stream { kind: Some(kind.into()), column: Some(column), length });
        };
        for (column, bytes) in &parts.index {
            stream(Kind::RowIndex, *column, bytes);
        }
        for (column, kind, bytes) in &parts.data {
            stream(*kind, *column, bytes);
        }
        let mut index_length = 0;
        for (_, bytes) in parts.index {
            index_length += bytes.len() as u64;
            self.put(&bytes)?;
        }
        for (_, _, bytes) in parts.data {
            self.put(&bytes)?;
        }
        let data_length = self.at - offset - index_length;
        let footer = self.codec.message(footer.encode_to_vec())?;
        self.put(&footer)?;
        self.stripes.push(StripeInformation {
            offset: Some(offset),
            index_length: Some(index_length),
            data_length: Some(data_length),
            footer_length: Some(footer.len() as u64),
            number_of_rows: Some(self.stripe_rows as u64),
            ..Default::default()
        });
        self.stats.iter_mut().zip(&parts.stats).for_each(|(file, stripe)| file.merge(stripe));
        self.stripe_stats.push(StripeStatistics { col_stats: parts.stats.iter().map(Stats::proto).collect() });
        self.rows += self.stripe_rows as u64;
        self.stripe_rows = 0;
        self.codec.rest();
        Ok(())
    }

    /// Writes what waits and the end of the file. There is nothing more to write afterwards.
    pub fn finish(&mut self) -> Result<()> {
        self.flush()?;
        let content = self.at;
        let metadata = Metadata { stripe_stats: std::mem::take(&mut self.stripe_stats) };
        let metadata = self.codec.message(metadata.encode_to_vec())?;
        let mut types = vec![];
        describe(&self.root_type, &mut types);
        let footer = Footer {
            header_length: Some(MAGIC.len() as u64),
            content_length: Some(content),
            stripes: std::mem::take(&mut self.stripes),
            types,
            number_of_rows: Some(self.rows),
            statistics: self.stats.iter().map(Stats::proto).collect(),
            row_index_stride: Some(GROUP as u32),
            writer: Some(LAYOUT.0),
            software_version: Some(concat!("selvedge ", env!("CARGO_PKG_VERSION")).into()),
            ..Default::default()
        };
        let footer = self.codec.message(footer.encode_to_vec())?;
        let postscript = PostScript {
            footer_length: Some(footer.len() as u64),
            compression: Some(self.options.compression.kind().into()),
            compression_block_size: Some(CHUNK as u64),
            version: vec![0, 12],
            metadata_length: Some(metadata.len() as u64),
            writer_version: Some(LAYOUT.1),
            magic: Some("ORC".into()),
            ..Default::default()
        }
        .encode_to_vec();
        self.put(&metadata)?;
        self.put(&footer)?;
        self.put(&postscript)?;
        self.put(&[postscript.len() as u8])?;
        self.to.flush().map_err(io_error)
    }

    /// Bytes written so far, and those that wait in memory as they will be written, about.
    pub fn bytes(&self) -> u64 {
        self.at + self.root.sizes().0 as u64
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.root.sizes().1 + self.codec.memory()
    }

    /// Where the file is written to.
    pub fn inner(&self) -> &W {
        &self.to
    }
}
