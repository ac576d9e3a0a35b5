//! The node `Stream` as a source: a folder of NDJSON shard files, read as they grow.
//!
//! ```text
//!  mod.rs    the node: config, docs            watch.rs   which shards there are, and who is told when one grows
//!  shard.rs  one shard: where it is read to    clock.rs   event time: the watermark, and rows from the future
//!  lines.rs  plain text
//! ```

mod clock;
mod lines;
mod shard;
#[cfg(test)]
mod tests;
mod watch;

use crate::compression::Compression;
use crate::files::UnknownFields;
use crate::lake::{Root, find, folder};
use crate::ndjson;
use crate::paths::Paths;
use crate::request::Request;
use crate::typed::OnError;
use clock::{Rules, Setting};
use lines::Plain;
use selvedge_node::{EventTime, Span, prelude::*};
use selvedge_schemas::{Declared, Known};
use watch::Folder;

pub struct Stream;

/// What `Stream` is told, as a source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of the kind `Folder(path: "…")`, where relative paths start. Without one they start at the graph's folder.
    #[serde(default)]
    connection: Option<Spanned<String>>,
    /// The shards: a glob (`mobile/*.ndjson`) or a folder. Names that start with `_` or `.` are passed over.
    path: Spanned<String>,
    /// What a line is.
    #[serde(default)]
    format: Spanned<Format>,
    /// The columns and their types, all of which may be null: `{ "user": Utf8, "at": Timestamp }`; or the path of a schema file
    /// that `selvedge crawl` wrote, relative to the graph. Without it, they come from the first lines of what is there.
    #[serde(default)]
    schema: Option<Spanned<Declared>>,
    /// Where event time is to be read.
    #[serde(default)]
    event_time: Option<Setting>,
    /// What happens to a row with a text that its column's type cannot take.
    #[serde(default)]
    on_error: OnError,
    /// What happens to a row with a field that is no column.
    #[serde(default)]
    unknown_fields: UnknownFields,
    /// The longest line allowed, in bytes.
    #[serde(default = "max_record")]
    max_record: Spanned<u64>,
    /// A column to add: the shard that the row came from.
    #[serde(default)]
    shard: Option<Column>,
}

/// What a line is.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
enum Format {
    /// A JSON object.
    #[default]
    Ndjson,
    /// Text, which becomes a column of this name. `ParseLog` takes it apart.
    Lines {
        #[serde(default = "line")]
        column: Column,
    },
}

fn line() -> Column {
    Column::new("line".into(), Span::default())
}

/// How the lines of a stream become rows.
#[derive(Clone)]
enum Decoding {
    Ndjson(Arc<ndjson::Layout>),
    Lines(Arc<Plain>),
}

fn max_record() -> Spanned<u64> {
    Spanned::new(16 << 20, Span::default())
}

/// Longer lines would not fit the 31-bit offsets of a batch of text.
const LARGEST_RECORD: u64 = 1 << 30;

impl Kind for Stream {
    const NAME: &'static str = "Stream";
    const ROLE: Role = Role::Source;
    const ABOUT: &'static str = "reads a folder of shard files, NDJSON or plain lines, as they grow, without end";
    const DOCS: &'static str = r#"Reads shard files, one JSON object a line (or one line of text: `format: Lines`), and goes on reading as lines are appended, without end. The system tells of every
change, so nothing is polled and an idle stream costs nothing. `run --once` ends where each shard has been caught up with; so do several
graphs that are run with one command. SIGTERM ends a stream as well: what has been read arrives, is published, and the exit code is 0.

Rows of one shard keep their order; shards are read side by side. Lines and types are read as by `Files(format: Ndjson)`, with the same
reasons of rejected rows (`lines.utf8` and `lines.record_too_long` of plain text; `ndjson.syntax`, `ndjson.utf8`, `ndjson.type`, `ndjson.unknown_field`, `ndjson.record_too_long`).

### Shards
- A line without its line feed is not read before the line feed comes. (The last one of a shard that was replaced or removed is
  read without it.)
- New shards are found as they come up, also in folders below where the pattern has `**`.
- **Rotation**: where another file takes the name of a shard, the old one is read to its end first, then the new one from its start.
- **Truncation**: a shard that is shorter than what was read of it is read from its start. Counter `shards truncated`.
- **Removal**: what was there is read to its end. A file that comes back under the name is a new one.
- Where a shard has been read to is kept in the state folder (`--state`) by its name: the file's number (inode), the offset in bytes, and
  the line. It is part of each checkpoint, so that what is published and what has been read always go together.

### Event time
`event_time: (column: "at", lateness: "10s", idle: "30s", future: "1h")`

- The watermark of a shard is its latest event time less `lateness`; that of the stream is the least of its shards. Nodes such as `GroupSort`
  and `Window` send what the watermark has passed; rows that come later than that leave by their port `late`.
- A shard without new rows for `idle` no longer holds the others back, until rows come again.
- A row whose event time is further than `future` ahead of this machine's clock is rejected as `time.future`: one device with a wrong clock
  would make all others late. Rows without event time (null) go on, and move nothing.
- A watermark that stands still while rows come is told as a warning, with the shard that holds it; the report lists the watermark of each
  shard, and each sink's latency from the moment that a row could be read until it was published.
"#;
    const EXAMPLE: &'static str = r#"Stream(
    connection: "events",
    path: "mobile/*.ndjson",
    schema: { "event_id": Utf8, "user_id": Utf8, "at": Timestamp, "screen": Utf8 },
    event_time: (column: "at", lateness: "10s"),
)"#;
    type Config = Config;

    fn build(config: Config, site: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let known = config.schema.as_ref().and_then(|schema| problems.take(schema.known(schema.span, site)));
        let root = problems.take(folder(Self::NAME, config.connection.as_ref(), site));
        if !(1..=LARGEST_RECORD).contains(&*config.max_record) {
            let what = format!("max_record must be from 1 to {LARGEST_RECORD} bytes, but is {}", *config.max_record);
            problems.push(Problem::error(config.max_record.span, what));
        }
        let paths = Spanned::new(Paths(vec![config.path.clone()]), config.path.span);
        let files = root.clone().and_then(|root| problems.take(find(&Root::Folder(root), &paths, true)));
        let (Some(root), Some(files), false) = (root, files, problems.has_errors()) else { return Err(problems) };
        let request = Request {
            files: &files,
            path_at: config.path.span,
            compression: Compression::Uncompressed,
            schema: known.as_ref().map(|known| &known.fields),
            exact: known.as_ref().is_some_and(|known| known.from_file),
            columns: None,
            file_name: config.shard.as_ref(),
            row_number: None,
            on_error: config.on_error,
            split_bytes: u64::MAX,
        };
        let sample = ndjson::Options {
            sample: 1000,
            unknown_fields: config.unknown_fields,
            max_record: *config.max_record as usize,
        };
        let (decoding, schema, notes) = match &*config.format {
            Format::Ndjson => {
                let (layout, notes) = ndjson::layout(&request, &sample)?;
                let schema = layout.output.schema.clone();
                (Decoding::Ndjson(layout), schema, notes)
            }
            Format::Lines { column } => {
                if let Some(schema) = &config.schema {
                    let problem = Problem::error(schema.span, "lines of text have no schema: they are one column");
                    return Err(problem.help("leave `schema` out, and give it to ParseLog").into());
                }
                let plain = Plain::new(column, config.shard.as_ref(), sample.max_record)?;
                let schema = plain.output.schema.clone();
                (Decoding::Lines(Arc::new(plain)), schema, vec![])
            }
        };
        let rules = config.event_time.map(|setting| Rules::new(&setting, &schema)).transpose()?;
        let time = if rules.is_some() { EventTime::Tells } else { EventTime::Passes };
        let Known { guard, warnings, .. } = known.unwrap_or_default();
        let source = guard.watch(Box::new(Folder::new(root, paths, decoding, rules)), &schema);
        let mut built = Built::new(vec![schema], Work::Source(Arc::from(source))).may_reject(true).time(time);
        built.unbounded = true;
        built.notes.push(match files.len() {
            1 => "1 shard now".into(),
            n => format!("{n} shards now"),
        });
        built.notes.extend(notes);
        built.warnings = warnings;
        Ok(built)
    }
}
