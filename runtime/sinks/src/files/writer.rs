//! One instance of the sink: rows to open files, one for each partition, closed when they are full, old or too many.

use super::encode::{Encode, Recipe};
use super::publish::{Flushed, Staged, final_name};
use super::scatter::{Piece, Scatter, Split};
use super::staging::{Staging, folder_name};
use super::target::Target;
use super::uploads::Uploads;
use super::{Mode, Roll};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use hashbrown::HashMap;
use selvedge_node::{Error, Out, Pending, Reservation, Result, Task, Writer};
use std::time::{Duration, Instant};

/// Bytes that the open files of one writer may hold in memory, and as many may wait for them.
const HELD: usize = 32 << 20;
/// No row group is ended below this size to save memory: it would not help, and readers would suffer.
const LEAST: usize = 1 << 20;

/// What all writers of a node do.
#[derive(Debug, Clone)]
pub struct Job {
    pub target: Target,
    pub recipe: Recipe,
    /// Indices of the partition columns in the input.
    pub partition_by: Vec<usize>,
    pub roll: Roll,
    pub mode: Mode,
    pub prefix: String,
    pub max_open: usize,
}

pub struct FilesWriter {
    job: Job,
    run: String,
    instance: usize,
    scatter: Option<Scatter>,
    /// Open files by partition; partition 0 where there are none.
    open: HashMap<usize, Open>,
    /// Rows that wait while there are more partitions than files may be open.
    waiting: Waiting,
    closed: Vec<Staged>,
    /// Bytes of the closed files.
    closed_bytes: u64,
    /// The file that tells the columns where no row came was made, or was not needed.
    spared: bool,
    clock: u64,
    memory: Reservation,
    stage: Stage,
    staging_name: String,
}

/// Where files wait for the commit.
enum Stage {
    Folder(Staging),
    Store(Uploads),
}

/// Pieces of many partitions. Written as they come, each would close another partition's file to open its own; collected,
/// each partition gets some thousand rows at a time.
#[derive(Default)]
struct Waiting {
    pieces: Vec<Piece>,
    /// Of the batches that the pieces are cut from.
    bytes: usize,
    /// Every other time the partitions are gone through backwards, so that the files left open are used first.
    backwards: bool,
}

struct Open {
    file: Box<dyn Encode>,
    staged: String,
    folder: String,
    /// Number of the file within this flush: part of its name.
    number: usize,
    rows: u64,
    since: Instant,
    used: u64,
}

impl FilesWriter {
    pub fn open(job: &Job, node: &str, schema: &arrow::datatypes::Schema, task: &Task) -> Result<FilesWriter> {
        let staging_name = folder_name(&task.run, node);
        let replace = job.mode == Mode::Replace;
        let stage = match &job.target {
            Target::Folder(folder) => Stage::Folder(Staging::open(folder, &staging_name, task.instance, replace)?),
            Target::Store(prefix) => Stage::Store(Uploads::open(prefix, task, replace)?),
        };
        let scatter = if job.partition_by.is_empty() { None } else { Some(Scatter::new(schema, &job.partition_by)?) };
        Ok(FilesWriter {
            job: job.clone(),
            run: task.run.clone(),
            instance: task.instance,
            scatter,
            open: HashMap::new(),
            waiting: Waiting::default(),
            closed: vec![],
            closed_bytes: 0,
            spared: false,
            clock: 0,
            memory: task.memory.reserve(),
            stage,
            staging_name,
        })
    }

    /// Writes to the open file of a partition, over as many files as it takes.
    fn append(&mut self, partition: usize, mut batch: RecordBatch) -> Result<()> {
        while batch.num_rows() > 0 {
            self.make_open(partition)?;
            self.clock += 1;
            let Some(open) = self.open.get_mut(&partition) else {
                return Err(Error::bug("the file just opened is gone"));
            };
            open.used = self.clock;
            let room = self.job.roll.rows.map_or(u64::MAX, |rows| rows.get().saturating_sub(open.rows));
            let now = batch.slice(0, usize::try_from(room).unwrap_or(usize::MAX).min(batch.num_rows()));
            open.file.write(&now)?;
            open.rows += now.num_rows() as u64;
            let full = self.job.roll.rows.is_some_and(|rows| open.rows >= rows.get())
                || self.job.roll.bytes.is_some_and(|bytes| open.file.bytes() >= bytes.get())
                || self.job.roll.seconds.is_some_and(|s| open.since.elapsed() >= Duration::from_secs(s.get()));
            if full {
                self.close(partition)?;
            }
            batch = batch.slice(now.num_rows(), batch.num_rows() - now.num_rows());
        }
        Ok(())
    }

    /// Writes the rows that wait, partition by partition.
    fn write_waiting(&mut self) -> Result<()> {
        let Waiting { mut pieces, backwards, .. } = std::mem::take(&mut self.waiting);
        self.waiting.backwards = !backwards;
        // Stable: the rows of a partition keep their order.
        pieces.sort_by_key(|p| p.partition);
        let mut groups: Vec<&[Piece]> = pieces.chunk_by(|a, b| a.partition == b.partition).collect();
        if backwards {
            groups.reverse();
        }
        for group in groups {
            let Some(first) = group.first() else { continue };
            let rows = concat_batches(first.rows.schema_ref(), group.iter().map(|p| &p.rows))?;
            self.append(first.partition, rows)?;
            self.bound_memory()?;
        }
        Ok(())
    }

    fn make_open(&mut self, partition: usize) -> Result<()> {
        if self.open.contains_key(&partition) {
            return Ok(());
        }
        while self.open.len() >= self.job.max_open {
            let Some(oldest) = self.open.iter().min_by_key(|(_, o)| o.used).map(|(&p, _)| p) else { break };
            self.close(oldest)?;
        }
        let folder = self.scatter.as_ref().map(|s| s.folder(partition).to_string()).unwrap_or_default();
        let (file, staged) = match &mut self.stage {
            Stage::Folder(staging) => staging.create()?,
            Stage::Store(uploads) => uploads.create()?,
        };
        let number = self.closed.len() + self.open.len();
        let file = self.job.recipe.start(file)?;
        self.open.insert(partition, Open { file, staged, folder, number, rows: 0, since: Instant::now(), used: 0 });
        Ok(())
    }

    fn close(&mut self, partition: usize) -> Result<()> {
        let Some(open) = self.open.remove(&partition) else { return Ok(()) };
        let file = open.file.finish()?;
        let bytes = file.metadata().map_err(|e| Error::io("writing", &open.staged, &e))?.len();
        let Open { staged, folder, number, .. } = open;
        let (name, staged) = match &mut self.stage {
            Stage::Folder(_) if folder.is_empty() => (format!("{number}"), staged),
            Stage::Folder(_) => (format!("{folder}/{number}"), staged),
            Stage::Store(uploads) => {
                uploads.send(file, &staged, &folder, &self.job.prefix, &self.job.recipe.extension())?
            }
        };
        self.closed_bytes += bytes;
        self.closed.push(Staged { staged, name, rows: open.rows, bytes, spare: false });
        Ok(())
    }

    /// Keeps what the open files hold within the writer's share, by ending the largest row groups.
    fn bound_memory(&mut self) -> Result<()> {
        loop {
            let held: usize = self.open.values().map(|o| o.file.memory()).sum();
            if held <= HELD && self.memory.try_resize((held + self.waiting.bytes) as u64) {
                return Ok(());
            }
            let largest = self.open.values_mut().max_by_key(|o| o.file.memory());
            match largest {
                Some(open) if open.file.memory() >= LEAST => open.file.spill()?,
                _ => {
                    self.memory.resize((held + self.waiting.bytes) as u64);
                    return Ok(());
                }
            }
        }
    }

    /// Whether as many bytes wait for a commit as should wait at most.
    fn is_full(&self) -> bool {
        let open = || self.open.values().map(|o| o.file.bytes()).sum::<u64>();
        let waiting = || self.closed_bytes + open() + self.waiting.bytes as u64;
        self.job.roll.size.is_some_and(|size| waiting() >= size.0)
    }
}

impl Writer for FilesWriter {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let mut rows = batch.num_rows();
        match &mut self.scatter {
            None => self.append(0, batch)?,
            Some(scatter) => {
                let Split { pieces, nameless } = scatter.split(&batch)?;
                rows -= nameless.len();
                let indices: Vec<usize> = nameless.iter().map(|(row, _)| *row).collect();
                out.reject_rows("files.partition", &batch, &indices, &|row| {
                    let name = nameless.iter().find(|(r, _)| *r == row).map_or("", |(_, name)| name);
                    format!(
                        "a folder cannot have a name of {} bytes: `{}…`",
                        name.len(),
                        name.chars().take(40).collect::<String>()
                    )
                })?;
                let many = scatter.partitions() > self.job.max_open;
                if many || !self.waiting.pieces.is_empty() {
                    self.waiting.bytes += batch.get_array_memory_size();
                    self.waiting.pieces.extend(pieces);
                    if self.waiting.bytes >= HELD
                        || !self.memory.try_resize(self.memory.bytes().max(self.waiting.bytes as u64))
                    {
                        self.write_waiting()?;
                    }
                } else {
                    for piece in pieces {
                        self.append(piece.partition, piece.rows)?;
                    }
                }
            }
        }
        self.bound_memory()?;
        out.absorb("written", rows as u64);
        if self.is_full() {
            out.publish_soon();
        }
        Ok(())
    }

    fn flush(&mut self, epoch: u64, _: &mut dyn Out) -> Result<Pending> {
        self.write_waiting()?;
        let mut partitions: Vec<(usize, usize)> = self.open.iter().map(|(&p, o)| (o.number, p)).collect();
        partitions.sort_unstable();
        for (_, partition) in partitions {
            self.close(partition)?;
        }
        // Partitions of an hour that has passed do not come again: without this, a stream would know ever more of them.
        if let Some(scatter) = &mut self.scatter {
            scatter.forget();
        }
        // No row came here. If that is so everywhere, readers still want a file that tells the columns.
        if self.closed.is_empty() && self.instance == 0 && self.scatter.is_none() && !self.spared {
            self.make_open(0)?;
            self.close(0)?;
            if let Some(spare) = self.closed.last_mut() {
                spare.spare = true;
            }
        }
        self.spared = true;
        self.memory.resize(0);
        self.closed_bytes = 0;
        let mut files = std::mem::take(&mut self.closed);
        let mark = match &mut self.stage {
            Stage::Folder(staging) => {
                // A run that adds has its name in the files' names.
                let run = (self.job.mode == Mode::Append).then_some(self.run.as_str());
                let (prefix, extension) = (&self.job.prefix, self.job.recipe.extension());
                for file in &mut files {
                    file.name = final_name(prefix, run, epoch, self.instance, &file.name, &extension);
                }
                staging.flushed(epoch)?
            }
            Stage::Store(uploads) => {
                uploads.flushed();
                String::new()
            }
        };
        Flushed { staging: self.staging_name.clone(), mark, files }.pending()
    }
}
