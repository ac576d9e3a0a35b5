//! `Search`: rows as documents for a search engine, in files that Elasticsearch's bulk API takes as they are.
//!
//! ```text
//! batch ─► ids (columns, or a hash of the document) ─► {"index":{"_index":…,"_id":…}}
//!                                                      {the row as JSON}                 ─► files, as those of `Files`
//! ```

mod documents;
#[cfg(test)]
mod tests;
mod writer;

use crate::files::publish;
use crate::files::{Mode, connected_folder};
use crate::hints::Size;
use documents::Documents;
use selvedge_node::prelude::*;
use selvedge_node::{Commit, Pending, Period, Sink, write_json_lines};
use std::path::PathBuf;
use writer::SearchWriter;

pub struct Search;

/// Elasticsearch takes requests of up to 100 MiB (`http.max_content_length`).
const LARGEST: u64 = 100 << 20;

/// When a file is full, and when to publish.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roll {
    /// Bytes of a file, `"10MiB"` unless told: at most, but for a single document that is larger. At most 100 MiB.
    size: Option<Size>,
    /// In a graph that never ends: publish at least this often (`"60s"`).
    interval: Option<Period>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A `Folder` connection; the files are in a folder of it that is named like the index.
    connection: Spanned<String>,
    /// The index that the documents belong to.
    index: Spanned<String>,
    /// Columns whose values are the document's id. Without them it is a hash of the document.
    #[serde(default)]
    id: Vec<Column>,
    /// `Append` (the default) or `Replace`: what becomes of the files that earlier runs have left in the folder.
    #[serde(default = "append")]
    mode: Mode,
    /// When to begin the next file, and when to publish.
    #[serde(default)]
    roll: Spanned<Roll>,
}

fn append() -> Mode {
    Mode::Append
}

impl Kind for Search {
    const NAME: &'static str = "Search";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "writes rows as documents for Elasticsearch's bulk API, with ids that stay the same";
    const DOCS: &'static str = r#"Writes files of two lines for each row, as the bulk API of Elasticsearch and OpenSearch takes them: what to do, and the document.

```text
{"index":{"_index":"chat-keywords","_id":"s1|m7"}}
{"session_id":"s1","message_id":"m7","keyword":"refund"}
```

A file is one request: `curl -H 'Content-Type: application/x-ndjson' --data-binary @FILE URL/_bulk`. It has at most `roll.size` bytes, 10 MiB
unless told (Elasticsearch refuses more than 100 MiB).

**Ids** are the same in every run, so that a document that is sent again takes the place of itself. **Of several rows with one id the last
wins** in Elasticsearch, in the order of the lines and files; with several threads that order is not the source's. An id is the text of
its column; several columns are joined by `|`, with `\` before a `|` or `\` of the values' own. Of an id of more than 512 bytes, which
Elasticsearch refuses, the SHA-256 is taken, in hexadecimal; so it is of the document's text where no `id` is named: then equal rows are one
document, and a renamed, added or moved column makes others of them all.

**Documents** are the rows as JSON, `id` columns included. Nulls are left out: Elasticsearch holds a field that is null and one that is not
there for the same. Times are ISO 8601 (`2024-03-01T10:00:00.250Z`; without a zone they are UTC there), binary is hexadecimal, decimals are
numbers. JSON has no number for floats that are not finite: they are the texts `"NaN"`, `"Infinity"`, `"-Infinity"`, and a numeric field of
Elasticsearch refuses such a document.

**Atomic and in streams** as `Files` is: nothing is visible before the commit, a commit that is repeated does nothing twice, and the
manifest `_selvedge.json` names the files. In a graph that never ends `roll: (interval: "60s")` publishes at least that often, and a file that is
full is published soon; the shortest interval of all sinks of the graph counts for all of them. Files of an epoch are named
`bulk-RUN-eEPOCH-INSTANCE-NUMBER.ndjson`; where no row came there is none. **Append** adds them to those that are there. **Replace** takes those
away that earlier runs have left, with the first epoch of a run; it takes no document out of the search engine.

Rejected rows: `search.id` (a null in a column of the id, or an id without a character), `search.size` (a document of more than 100 MiB)."#;
    const EXAMPLE: &'static str =
        r#"Search(input: "keywords", connection: "search", index: "chat-keywords", id: ["session_id", "message_id"])"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_else(|| Arc::new(Schema::empty()));
        let folder = problems.take(connected_folder(&config.connection, "bulk files", site)).unwrap_or_default();
        if let Some(why) = not_an_index(&config.index) {
            problems.push(
                Problem::error(config.index.span, format!("an index cannot be named `{}`: {why}", config.index))
                    .help("use lower case, digits, `-`, `_` and `.`, as in `chat-keywords`"),
            );
        }
        let id = problems.take(columns(&schema, &config.id)).unwrap_or_default();
        for (i, (name, &column)) in config.id.iter().zip(&id).enumerate() {
            let ty = schema.field(column).data_type();
            if config.id[..i].contains(name) {
                problems.push(Problem::error(name.span, format!("column `{name}` is named twice")));
            } else if ty.is_floating() || !crate::csv::can_hold(ty) {
                problems.push(
                    Problem::error(name.span, format!("column `{name}` of type {ty} cannot be part of an id"))
                        .help("use text, numbers without a fraction, decimals, dates or times"),
                );
            }
        }
        for field in schema.fields() {
            if let Some(why) = not_a_field(field) {
                problems.push(site.error(why).help("rename, cast or drop it before with SchemaEdit"));
            }
        }
        if schema.fields().is_empty() {
            problems.push(site.error("there is no column to write").help("a document needs at least one field"));
        }
        let size = config.roll.size.map_or(10 << 20, |size| size.0);
        if size > LARGEST {
            problems.push(
                Problem::error(config.roll.span, format!("files of {size} bytes are more than Elasticsearch takes"))
                    .help("roll: (size: \"10MiB\"); the most is 100MiB"),
            );
        }
        let target = folder.join(config.index.as_str());
        let note = format!("documents of index {} to {}", config.index, target.display());
        let place = format!("the files in {}", target.display());
        let sink = SearchSink {
            target,
            documents: Documents::new(&config.index, id),
            size,
            mode: config.mode,
            node: format!("{}/{}", site.graph, site.node),
        };
        let mut built = Built::sink(Partitioning::Any, sink).may_reject(true).replaces(true).target(place).note(note);
        built.publish_every = config.roll.interval.map(|interval| interval.duration());
        problems.or(built)
    }
}

/// Why Elasticsearch has no index of this name (*Create index API*, path parameters).
fn not_an_index(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("a name has at least one character"),
        "." | ".." => Some("that is a folder"),
        _ if name.len() > 255 => Some("a name has at most 255 bytes"),
        _ if name.starts_with(['-', '_', '+']) => Some("a name does not start with `-`, `_` or `+`"),
        // Those that start with a dot are the engine's own, and hidden from readers of folders.
        _ if name.starts_with('.') => Some("names that start with `.` are those of the search engine's own"),
        _ if name.contains(|c: char| c.is_uppercase()) => Some("a name has no upper case"),
        _ if name.contains(|c: char| r#"\/*?"<>|,#: "#.contains(c) || c.is_control()) => {
            Some(r#"a name has no blank and none of \ / * ? " < > | , # :"#)
        }
        _ => None,
    }
}

/// Why a column cannot be a field of a document.
fn not_a_field(field: &Field) -> Option<String> {
    const OWN: &[&str] =
        &["_id", "_index", "_source", "_routing", "_field_names", "_ignored", "_size", "_tier", "_type"];
    let name = field.name();
    if OWN.contains(&name.as_str()) {
        return Some(format!("column `{name}` cannot be a field: the name is Elasticsearch's own"));
    }
    if name.split('.').any(|part| part.trim().is_empty()) {
        return Some(format!("column `{name}` cannot be a field: a dot parts names, and one of them has no letter"));
    }
    let nullable = Arc::new(Schema::new(vec![field.clone().with_nullable(true)]));
    let null = arrow::array::new_null_array(field.data_type(), 1);
    let written = RecordBatch::try_new(nullable, vec![null]).and_then(|b| write_json_lines(&b, true, &mut vec![]));
    written.is_err().then(|| format!("JSON cannot hold column `{name}` of type {}", field.data_type()))
}

struct SearchSink {
    /// The folder of the index.
    target: PathBuf,
    documents: Documents,
    /// Bytes of a file.
    size: u64,
    mode: Mode,
    /// `graph/node`: tells the sinks of one run apart.
    node: String,
}

impl Sink for SearchSink {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(SearchWriter::open(self, task)?))
    }

    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        publish::commit(&self.target, self.mode == Mode::Replace, &self.node, commit, pending)
    }

    fn abort(&self, pending: &[Pending]) {
        publish::abort(&self.target, pending);
    }
}
