//! One instance of the sink: lines to files of a size that one request may have.

use super::{LARGEST, Spool, reject};
use crate::files::Mode;
use crate::files::publish::{Flushed, Staged, final_name};
use crate::files::staging::{Staging, folder_name};
use arrow::array::RecordBatch;
use selvedge_node::{Error, Out, Pending, Reservation, Result, Task, Writer};
use std::fs::File;
use std::io::Write;

pub struct SpoolWriter {
    documents: super::Documents,
    size: u64,
    /// The run's name, where it is part of the files' names.
    run: Option<String>,
    instance: usize,
    open: Option<Open>,
    closed: Vec<Staged>,
    memory: Reservation,
    staging: Staging,
    staging_name: String,
}

struct Open {
    file: File,
    staged: String,
    rows: u64,
    bytes: u64,
}

impl SpoolWriter {
    pub fn open(sink: &Spool, task: &Task) -> Result<SpoolWriter> {
        let replace = sink.mode == Mode::Replace;
        let staging_name = folder_name(&task.run, &sink.node);
        let staging = Staging::open(&sink.target, &staging_name, task.instance, replace)?;
        Ok(SpoolWriter {
            documents: sink.documents.clone(),
            size: sink.size,
            run: (!replace).then(|| task.run.clone()),
            instance: task.instance,
            open: None,
            closed: vec![],
            memory: task.memory.reserve(),
            staging,
            staging_name,
        })
    }

    /// Writes whole documents, which must fit into one file.
    fn append(&mut self, text: &[u8], rows: u64) -> Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let (file, staged) = self.staging.create()?;
                none.insert(Open { file, staged, rows: 0, bytes: 0 })
            }
        };
        open.file
            .write_all(text)
            .map_err(|e| Error::io("writing", self.staging.folder.join(&open.staged).display(), &e))?;
        open.rows += rows;
        open.bytes += text.len() as u64;
        Ok(())
    }

    fn close(&mut self) {
        if let Some(Open { staged, rows, bytes, .. }) = self.open.take() {
            let name = self.closed.len().to_string();
            self.closed.push(Staged { staged, name, rows, bytes, spare: false });
        }
    }
}

impl Writer for SpoolWriter {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let lines = self.documents.lines(&batch)?;
        self.memory.resize(2 * lines.text.capacity() as u64);
        let (mut nameless, mut large) = (vec![], vec![]);
        // Documents go out in runs as long as the file has room for.
        let (mut from, mut to, mut rows, mut written) = (0, 0, 0, 0);
        for (row, line) in lines.rows.iter().enumerate() {
            let range = match line {
                Err(_) => {
                    nameless.push(row);
                    continue;
                }
                Ok(pair) if pair.range.len() as u64 > LARGEST => {
                    large.push(row);
                    continue;
                }
                Ok(pair) => pair.range.clone(),
            };
            let used = self.open.as_ref().map_or(0, |open| open.bytes);
            let is_full = used + (to - from + range.len()) as u64 > self.size && used + (to - from) as u64 > 0;
            if (is_full || range.start != to) && to > from {
                self.append(&lines.text[from..to], rows)?;
                (from, rows) = (range.start, 0);
            }
            if is_full {
                self.close();
            }
            if from == to {
                from = range.start;
            }
            to = range.end;
            rows += 1;
            written += 1;
        }
        if to > from {
            self.append(&lines.text[from..to], rows)?;
        }
        drop(lines.text);
        self.memory.resize(0);
        reject(&lines.rows, &batch, &nameless, &large, out)?;
        out.absorb("written", written);
        if !self.closed.is_empty() {
            out.publish_soon();
        }
        Ok(())
    }

    fn flush(&mut self, epoch: u64, _: &mut dyn Out) -> Result<Pending> {
        self.close();
        let mark = self.staging.flushed(epoch)?;
        let mut files = std::mem::take(&mut self.closed);
        for file in &mut files {
            file.name = final_name("bulk", self.run.as_deref(), epoch, self.instance, &file.name, "ndjson");
        }
        Flushed { staging: self.staging_name.clone(), mark, files }.pending()
    }
}
