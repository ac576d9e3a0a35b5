//! The node `Stream` as a sink: rows appended as lines of JSON to the shard files of a folder.
//!
//! ```text
//! batch ─► hash of the key ─► a hidden file for each shard and epoch ─commit─► intent written ─► appended, staged file removed
//! ```

mod append;
#[cfg(test)]
mod tests;

use crate::files::connected_folder;
use crate::files::format::json_can_hold;
use crate::files::staging::folder_name;
use append::{Append, append_all};
use arrow::array::RecordBatch;
use selvedge_node::{Commit, Pending, Period, Sink, prelude::*, write_json_lines};
use selvedge_state::{RowHasher, scatter};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

pub struct Stream;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of the kind `Folder`.
    connection: Spanned<String>,
    /// The folder of the shards below it. One run at a time may append to it.
    path: Spanned<String>,
    /// How many shards there are: `shard-0000.ndjson`, `shard-0001.ndjson`, …
    #[serde(default = "shards")]
    shards: Spanned<u32>,
    /// Rows with equal values here go to the same shard, in their order. Without it, batches go to one shard after the other.
    #[serde(default)]
    key: Vec<Column>,
    /// In a graph that never ends: append at least this often (`"1s"`).
    #[serde(default)]
    interval: Option<Period>,
}

fn shards() -> Spanned<u32> {
    Spanned::new(4, Default::default())
}

const MOST_SHARDS: u32 = 1024;

impl Kind for Stream {
    const NAME: &'static str = "Stream";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "appends rows as lines of JSON to the shard files of a folder";
    const DOCS: &'static str = r#"Appends each row as a line of JSON to a shard file, `shard-0000.ndjson` and so on, which a `Stream` source (or `tail -f`) reads as it
grows. Rows with equal values in `key` go to the same shard and keep their order, also between runs, as long as `shards` stays the same.
Nulls are written as `null`, times as ISO 8601.

**Commit.** Nothing is appended before the commit. A commit first notes in `.selvedge-appends.json` what it appends and where, then does
it: a commit that is repeated after a crash appends the rest, and nothing twice. Appends are not atomic for readers: a line may be half
there for a moment, which is why a `Stream` source waits for the line feed. In a graph that never ends, `interval: "1s"` appends at least
that often; the shortest interval of all sinks of the graph counts for all of them."#;
    const EXAMPLE: &'static str =
        r#"Stream(input: "clean", connection: "events", path: "clean", shards: 8, key: ["user_id"])"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_else(|| Arc::new(Schema::empty()));
        let folder = problems.take(connected_folder(&config.connection, "shards", site)).unwrap_or_default();
        if !(1..=MOST_SHARDS).contains(&*config.shards) {
            let what = format!("shards must be from 1 to {MOST_SHARDS}, but is {}", *config.shards);
            problems.push(Problem::error(config.shards.span, what));
        }
        let key = problems.take(columns(&schema, &config.key)).unwrap_or_default();
        for field in schema.fields().iter().filter(|field| !json_can_hold(field)) {
            let what = format!("JSON cannot hold column `{}` of type {}", field.name(), field.data_type());
            problems.push(site.error(what).help("cast it with SchemaEdit(edits: [Cast(…)]) or drop it"));
        }
        let hasher = match key.is_empty() || problems.has_errors() {
            true => None,
            false => Some(Arc::new(RowHasher::new(&schema, &key).map_err(|e| site.error(e.to_string()))?)),
        };
        let partitioning = if key.is_empty() { Partitioning::Any } else { Partitioning::Keys(vec![key]) };
        let target = folder.join(config.path.as_str());
        let place = format!("the shards in {}", target.display());
        let shards = *config.shards as usize;
        let note = format!("{shards} shards in {}", target.display());
        let node = format!("{}/{}", site.graph, site.node);
        let mut built = Built::sink(partitioning, StreamSink { target, shards, hasher, node });
        built.publish_every = config.interval.map(|interval| interval.duration());
        problems.or(built.target(place).note(note))
    }
}

struct StreamSink {
    target: PathBuf,
    shards: usize,
    /// Of the key columns.
    hasher: Option<Arc<RowHasher>>,
    /// `graph/node`: tells the sinks of one run apart.
    node: String,
}

impl Sink for StreamSink {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        fs::create_dir_all(&self.target).map_err(|e| Error::io("making", self.target.display(), &e))?;
        Ok(Box::new(StreamWriter {
            shards: self.shards,
            hasher: self.hasher.clone(),
            instance: task.instance,
            turn: task.instance,
            target: self.target.clone(),
            prefix: folder_name(&task.run, &self.node),
            open: BTreeMap::new(),
            number: 0,
            hashes: vec![],
            text: vec![],
        }))
    }

    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        let mut appends = vec![];
        for text in pending.iter().filter(|text| !text.is_empty()) {
            let of_one: Vec<Append> =
                serde_json::from_str(text).map_err(|e| Error::bug(format!("what was flushed cannot be read: {e}")))?;
            appends.extend(of_one);
        }
        append_all(&self.target, commit, appends)
    }

    fn abort(&self, pending: &[Pending]) {
        for text in pending {
            for append in serde_json::from_str::<Vec<Append>>(text).unwrap_or_default() {
                let _ = fs::remove_file(self.target.join(append.staged));
            }
        }
    }
}

struct StreamWriter {
    shards: usize,
    hasher: Option<Arc<RowHasher>>,
    instance: usize,
    /// The shard of the next batch, where there is no key.
    turn: usize,
    target: PathBuf,
    /// Of staged files.
    prefix: String,
    /// By shard: the staged file and its bytes.
    open: BTreeMap<usize, (File, PathBuf, u64)>,
    /// Files made so far.
    number: usize,
    hashes: Vec<u128>,
    text: Vec<u8>,
}

impl StreamWriter {
    fn append(&mut self, shard: usize, batch: &RecordBatch) -> Result<()> {
        self.text.clear();
        write_json_lines(batch, true, &mut self.text)?;
        if !self.open.contains_key(&shard) {
            let path = self.target.join(format!("{}-{}-{}.part", self.prefix, self.instance, self.number));
            self.number += 1;
            let file = File::create(&path).map_err(|e| Error::io("making", path.display(), &e))?;
            self.open.insert(shard, (file, path, 0));
        }
        if let Some((file, path, bytes)) = self.open.get_mut(&shard) {
            file.write_all(&self.text).map_err(|e| Error::io("writing", path.display(), &e))?;
            *bytes += self.text.len() as u64;
        }
        Ok(())
    }
}

impl Writer for StreamWriter {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let rows = batch.num_rows() as u64;
        match self.hasher.clone() {
            Some(hasher) => {
                hasher.hash(&batch, &mut self.hashes);
                for (shard, part) in scatter(&batch, &self.hashes, self.shards)?.into_iter().enumerate() {
                    if part.num_rows() > 0 {
                        self.append(shard, &part)?;
                    }
                }
            }
            None => {
                self.append(self.turn % self.shards, &batch)?;
                self.turn += 1;
            }
        }
        out.absorb("written", rows);
        Ok(())
    }

    fn flush(&mut self, _: u64, _: &mut dyn Out) -> Result<Pending> {
        let mut appends = vec![];
        for (shard, (file, path, bytes)) in std::mem::take(&mut self.open) {
            file.sync_all().map_err(|e| Error::io("syncing", path.display(), &e))?;
            let staged = PathBuf::from(path.file_name().unwrap_or_default());
            appends.push(Append { shard: format!("shard-{shard:04}.ndjson"), staged, bytes, from: 0 });
        }
        serde_json::to_string(&appends).map_err(|e| Error::bug(e.to_string()))
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        for (_, path, _) in std::mem::take(&mut self.open).into_values() {
            let _ = fs::remove_file(path);
        }
    }
}
