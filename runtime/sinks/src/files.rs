//! `Files`, the sink: rows into files of a folder, published all at once by the commit.
//!
//! ```text
//! batch ─► Scatter (partition_by) ─► Open files ─roll─► staged, synced ─flush─► Pending ─commit─► the data set
//! ```

mod encode;
#[cfg(test)]
mod epoch_tests;
pub(crate) mod format;
mod orc;
pub(crate) mod publish;
mod scatter;
pub(crate) mod staging;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod uploads;
mod writer;

use crate::hints::Size;
use encode::Recipe;
use format::{Compression, Format};
use selvedge_connect::Connectors;
use selvedge_node::prelude::*;
use selvedge_node::{Commit, Pending, Period, Sink};
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::path::PathBuf;
use target::{Prefix, Target};
use writer::{FilesWriter, Job};

pub struct Files<C>(PhantomData<C>);

/// What a commit does to the files that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum Mode {
    /// The files of this run take the place of those that Selvedge wrote before.
    #[default]
    Replace,
    /// They are added.
    Append,
}

/// When to begin the next file, at the first of `rows`, `bytes` and `seconds`; and, where the graph never ends, when to publish.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roll {
    /// Rows in a file: exactly, but for the last one.
    pub rows: Option<NonZeroU64>,
    /// Bytes of a file, as written; may go over by a batch.
    pub bytes: Option<NonZeroU64>,
    /// Age of a file, looked at when rows come. It still waits for the commit to be seen.
    pub seconds: Option<NonZeroU64>,
    /// In a graph that never ends: publish at least this often (`"60s"`).
    pub interval: Option<Period>,
    /// In a graph that never ends: publish as soon as about so many bytes wait in one instance (`"64MiB"`), as written.
    pub size: Option<Size>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A `Folder` or `ObjectStore` connection that `path` starts from. Without it, `path` starts from the folder of the graph file.
    connection: Option<Spanned<String>>,
    /// The folder that holds the data set: all files in it belong together.
    path: Spanned<String>,
    /// `Parquet` (the default), `Orc`, `Csv`, `Ndjson` or `Arrow`, each with its settings: `Parquet(compression: Zstd(3))`.
    #[serde(default)]
    format: Spanned<Format>,
    /// For CSV and NDJSON: `Gzip`, `Zstd`, `Bzip2` or `Snappy`.
    compression: Option<Spanned<Compression>>,
    /// Columns whose values become folders (`country=DE/day=2024-03-01`) and leave the files.
    #[serde(default)]
    partition_by: Vec<Column>,
    /// When to begin the next file. Without it, one file for each instance (and partition).
    #[serde(default)]
    roll: Roll,
    /// `Replace` (the default) or `Append`.
    #[serde(default)]
    mode: Mode,
    /// The start of the files' names; `part` unless told.
    file_name: Option<Spanned<String>>,
    /// Partitions with an open file, 64 unless told; beyond that, the one not used for longest is closed.
    max_open: Option<Spanned<usize>>,
}

/// The body of a `Folder` connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Folder {
    path: String,
}

impl<C: Connectors> Kind for Files<C> {
    const NAME: &'static str = "Files";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str =
        "writes rows to files of a folder or an object store, visible all at once or not at all";
    const DOCS: &'static str = r#"Writes CSV, NDJSON, Parquet, ORC or Arrow IPC files. `path` is a folder: the data set. Files are named
`part-INSTANCE-NUMBER.EXTENSION`, the same for the same run of rows on one thread.

**Atomic.** Files are written and synced in a hidden folder inside `path` and renamed when the whole run is done. A run that fails or
is killed leaves the data set as it was; a commit that is interrupted is finished by its repeat or by the next run. The manifest
`_selvedge.json` lists the files with their rows and bytes. While a commit renames, a reader that lists the folder may see old and new
files side by side, but never half a file.

**Object stores.** With a connection `ObjectStore(url: "s3://bucket/prefix")` (also `gs://`, `az://`) each file is a multipart upload, sent when the file
is whole and seen by nobody before the commit completes it; the manifest is written over the version that was read, or not at all. So a
failure leaves the data set as it was there, too, and any number of runs may commit at once. A file waits in the scratch folder until it is
whole: `roll: (bytes: …)` bounds that. Names are never used twice (`part-RUN-TIME-INSTANCE-NUMBER`). A run that is killed leaves uploads without an
object, which cost storage: have the bucket abort incomplete uploads after some days (a lifecycle rule).

**Replace** removes the files that the manifest names, and no others. A folder that holds other visible files is refused (names that
start with `.` or `_` do not count). **Append** adds files; their names carry the run's.

**Streams.** In a graph that never ends, what has come is published again and again, each time whole and at once (an epoch). `roll:
(interval: "60s", size: "64MiB")` are the buffering hints of Amazon Data Firehose: publish at the first of both. All sinks of a graph
publish together, so the shortest interval of any of them, and the first that is full, counts for all. Every epoch has files of its
own, later ones named `part-eEPOCH-…`, and none where no row came. **Replace** takes the old files away with the first epoch of a run,
and later epochs add; a stream that is to go on after a restart wants **Append**. In a graph that ends, both hints do nothing. The
manifest is written with each epoch and names all files of the data set: beyond some hundred thousand of them it takes noticeable
time, so begin another `path` now and then.

**Partitions** follow Hive: `column=value` folders, null and the empty string in `__HIVE_DEFAULT_PARTITION__`, special characters
percent-escaped. Rows are put in their folders one by one, whatever came in one batch.

**No rows** still make one empty file with the columns (CSV: the header), unless `partition_by` is set.

CSV: null is an empty field, the empty string is `""`, floats that are not finite are `NaN`, `inf` and `-inf`. CSV cannot hold nested or
binary columns: the plan says so. NDJSON has no number for such floats and holds the texts `"NaN"`, `"Infinity"` and `"-Infinity"`, as
Spark's does. `Files` reads all of them back.

ORC: `Orc(compression: Zstd(3), stripe: "24MiB")`, or `Zlib`, `Snappy` and `None`; with minima, maxima, sums and counts of nulls for
the file, each stripe and each 10,000 rows, so that readers skip. Unsigned numbers become the next wider signed ones, a timestamp with
a zone an instant in UTC, dictionaries and views plain text. UInt64, times of day, durations, decimals of more than 38 digits, Date64
and unions have no type in ORC: the plan names the column and the cast. Two things stop the run, for ORC's readers would see another
time: a timestamp in the last second of 1969 with a millisecond or more, and one beyond 64 bits of seconds.

Rejected rows: `files.partition` (a partition folder would need a name of more than 255 bytes)."#;
    const EXAMPLE: &'static str = r#"Files(
    input: "tidy", connection: "lake", path: "clean/inventory", format: Parquet(compression: Zstd(3)),
    partition_by: ["country", "day"], roll: (rows: 1_000_000, bytes: 256_000_000),
)"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_else(|| Arc::new(Schema::empty()));
        let target = problems.take(target::<C>(&config, site));
        let span = if config.format.span == Default::default() { site.span } else { config.format.span };
        let compression = config.compression.as_ref().map(|c| (c.value, c.span));
        problems.0.extend(config.format.setting_problems(span, compression).0);

        let partition_by = problems.take(columns(&schema, &config.partition_by)).unwrap_or_default();
        for (i, (name, &column)) in config.partition_by.iter().zip(&partition_by).enumerate() {
            let ty = schema.field(column).data_type();
            if config.partition_by[..i].contains(name) {
                problems.push(Problem::error(name.span, format!("column `{name}` is named twice")));
            } else if !crate::csv::can_hold(ty) {
                problems.push(
                    Problem::error(name.span, format!("column `{name}` of type {ty} cannot be the name of a folder"))
                        .help("partition by text, numbers, dates or booleans"),
                );
            }
        }
        let rest: Vec<usize> = (0..schema.fields().len()).filter(|c| !partition_by.contains(c)).collect();
        let file_schema = schema.project(&rest).map(Arc::new).unwrap_or_else(|_| schema.clone());
        problems.0.extend(config.format.type_problems(&file_schema, span).0);

        if let Some(name) = &config.file_name
            && (name.is_empty() || name.starts_with(['.', '_']) || name.contains(['/', '\\', '\0']))
        {
            problems.push(
                Problem::error(name.span, format!("files cannot be named `{name}-…`"))
                    .help("use letters and digits; readers skip names that start with `.` or `_`"),
            );
        }
        if let Some(open) = &config.max_open
            && open.value == 0
        {
            problems.push(Problem::error(open.span, "max_open must be at least 1"));
        }
        let recipe = Recipe {
            format: config.format.value.clone(),
            compression: config.compression.as_ref().map(|c| c.value),
            schema: file_schema,
        };
        let Some(target) = target else { return Err(problems) };
        let note = format!("{} to {target}", recipe.extension());
        let place = format!("the files in {target}");
        let looks_like_file = config.path.ends_with(&format!(".{}", recipe.extension()));
        let job = Job {
            target,
            recipe,
            partition_by: partition_by.clone(),
            roll: config.roll,
            mode: config.mode,
            prefix: config.file_name.map_or_else(|| "part".into(), |n| n.value),
            max_open: config.max_open.map_or(64, |m| m.value),
        };
        let replaces = job.mode == Mode::Replace;
        let sink = FilesSink { job, node: format!("{}/{}", site.graph, site.node), schema };
        let mut built = Built::sink(Partitioning::Any, sink)
            .may_reject(!partition_by.is_empty())
            .replaces(replaces)
            .target(place)
            .note(note);
        built.publish_every = config.roll.interval.map(|interval| interval.duration());
        if looks_like_file {
            let warning = Problem::warning(config.path.span, format!("`{}` will be a folder of files", config.path));
            built = built.warn(warning.help("leave the extension out: the files in it have one"));
        }
        problems.or(built)
    }
}

/// The folder of the data set.
fn target<C: Connectors>(config: &Config, site: &Site) -> std::result::Result<Target, Problem> {
    if config.path.is_empty() {
        return Err(Problem::error(config.path.span, "path is empty").help("name a folder: path: \"clean/inventory\""));
    }
    let Some(name) = &config.connection else { return Ok(Target::Folder(site.base.join(config.path.as_str()))) };
    match C::store(&site.connection(name)?) {
        Some(store) => {
            let folder = config.path.trim_matches('/').to_string();
            Ok(Target::Store(Prefix { store: store?, folder }))
        }
        None => Ok(Target::Folder(connected_folder(name, "files", site)?.join(config.path.as_str()))),
    }
}

/// The folder that a connection names; `what` is to be written there.
pub(crate) fn connected_folder(
    name: &Spanned<String>,
    what: &str,
    site: &Site,
) -> std::result::Result<PathBuf, Problem> {
    let connection = site.connection(name)?;
    if connection.kind != "Folder" {
        let text = format!("{what} need a Folder connection, but `{name}` is {}", connection.kind);
        return Err(Problem::error(name.span, text).help(format!("\"{name}\": Folder(path: \"…\") in connections.ron")));
    }
    let folder: Folder = connection.config()?;
    Ok(connection.base.join(folder.path))
}

struct FilesSink {
    job: Job,
    /// `graph/node`: tells the sinks of one run apart.
    node: String,
    schema: SchemaRef,
}

impl Sink for FilesSink {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(FilesWriter::open(&self.job, &self.node, &self.schema, task)?))
    }

    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        publish::commit(&self.job.target, self.job.mode == Mode::Replace, &self.node, commit, pending)
    }

    fn abort(&self, pending: &[Pending]) {
        publish::abort(&self.job.target, pending);
    }
}
