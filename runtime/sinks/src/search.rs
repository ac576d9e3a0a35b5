//! `Search`: rows as documents of a search engine, or in files that Elasticsearch's bulk API takes as they are.
//!
//! ```text
//! batch ─► ids (columns, or a hash of the document) ─► {"index":{"_index":…,"_id":…}}   ─► send: requests to an engine
//!                                                      {the row as JSON}                 ─► spool: files, as those of `Files`
//! ```

mod documents;
mod send;
mod spool;
#[cfg(test)]
mod tests;

use crate::files::publish;
use crate::files::{Mode, connected_folder};
use crate::hints::Size;
use documents::{Documents, Pair};
use selvedge_connect::Connectors;
use selvedge_connect::search::{Engine, Index};
use selvedge_node::prelude::*;
use selvedge_node::{Commit, Pending, Period, Sink, write_json_lines};
use send::SendWriter;
use spool::SpoolWriter;
use std::marker::PhantomData;
use std::path::PathBuf;

pub struct Search<C>(PhantomData<C>);

/// Elasticsearch takes requests of up to 100 MiB (`http.max_content_length`).
const LARGEST: u64 = 100 << 20;

/// When a file is full, and when to publish.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roll {
    /// Bytes of a file or request, `"10MiB"` unless told: at most, but for a single document that is larger. At most 100 MiB.
    size: Option<Size>,
    /// In a graph that never ends: publish at least this often (`"60s"`).
    interval: Option<Period>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// An `Elasticsearch` connection, or a `Folder`: then files are in a folder of it that is named like the index.
    connection: Spanned<String>,
    /// The index (or alias, or data stream) that the documents belong to.
    index: Spanned<String>,
    /// Columns whose values are the document's id. Without them it is a hash of the document.
    #[serde(default)]
    id: Vec<Column>,
    /// `Append` (the default) or `Replace`: what becomes of the files that earlier runs have left in the folder.
    #[serde(default = "append")]
    mode: Mode,
    /// The index is a data stream: documents are made, never written over.
    #[serde(default)]
    data_stream: bool,
    /// Make the index or data stream, with the fields of the input, if there is none.
    #[serde(default = "yes")]
    create: bool,
    /// When to begin the next file, and when to publish.
    #[serde(default)]
    roll: Spanned<Roll>,
}

fn append() -> Mode {
    Mode::Append
}

fn yes() -> bool {
    true
}

impl<C: Connectors> Kind for Search<C> {
    const NAME: &'static str = "Search";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "writes rows as documents to Elasticsearch or OpenSearch, with ids that stay the same";
    const DOCS: &'static str = r#"Sends documents to Elasticsearch (7 or later) or OpenSearch, or writes them to files that the bulk API takes.

```ron
// part of connections.ron
{ "search": Elasticsearch(url: "https://search.example.com:9200", auth: ApiKey("${secret:SEARCH_KEY}")) }
```

### An engine
Documents are sent while rows come, by `_bulk`, in requests of at most `roll.size` bytes (10 MiB unless told) and `documents` of the
connection (10,000); each thread has `requests` of them on their way (4). Of several rows with one id the last wins, whatever had to be sent
again. `auth` is `Basic(user: "…", password: "…")`, `ApiKey("…")`, `Bearer("…")` or, for Amazon
OpenSearch, `Aws(region: "…", service: "es")` (`aoss` for Serverless), which signs requests with the credentials of AWS's chain or of a `profile`; `ca` is a file of certificates to trust; `gzip: true`
compresses; `timeout` is in seconds (60).

**An engine has no transactions**: documents can be searched before the run is done, and stay when it fails. Since ids are the same in every
run, what comes again takes its own place: nothing is lost, nothing is doubled. `mode: Replace` is refused.

**What is not taken**: a document that the engine had no room for (429) or failed with (5xx) is sent again, alone, with exponential back-off
and after the time that the engine asks for (`Retry-After`); a request that is too large for it (413) is sent in halves; one whose answer is
lost is sent again. When nothing is taken `retries` times (8), the run stops. A document that can never be taken is rejected, with the
engine's reason.

**The index** is made, unless it is there or `create: false`, with a field for each column: booleans `boolean`, integers `byte` to `long` and
`unsigned_long`, floats `float` and `double`, decimals `scaled_float` up to 15 digits and `double` beyond (the document itself keeps every digit), dates
and times `date`, text `text` with a `keyword` in it, columns of the id `keyword`, lists like their values, structs objects. The plan tells where an index that is there
has other fields, or takes no new ones. **`data_stream: true`** makes a data stream with an index template (`selvedge` in its `_meta`), and its
documents by `create`: one whose id is there is left as it is. It needs a column `@timestamp`, and an id that is the same within one
backing index only.

### A folder
With a `Folder` connection it writes files of two lines for each row, as the bulk API of Elasticsearch and OpenSearch takes them: what to do, and the document.

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

Rejected rows: `search.id` (a null in a column of the id, or an id without a character), `search.size` (a document of more than 100 MiB, or
too large for the engine), and what the engine calls its reason, such as `search.document_parsing_exception` (`mapper_parsing_exception` before version 8.7) or `search.strict_dynamic_mapping_exception`."#;
    const EXAMPLE: &'static str =
        r#"Search(input: "keywords", connection: "search", index: "chat-keywords", id: ["session_id", "message_id"])"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_else(|| Arc::new(Schema::empty()));
        let engine = problems.take(engine::<C>(&config.connection, site)).flatten();
        let folder = match &engine {
            None => problems.take(connected_folder(&config.connection, "documents", site)).unwrap_or_default(),
            Some(_) => PathBuf::new(),
        };
        if engine.is_some() && config.mode == Mode::Replace {
            problems.push(
                site.error("an engine has no Replace: it takes documents one by one, for all to see").help(
                    "write to an index of another name and turn an alias to it, or delete the index before the run",
                ),
            );
        }
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
        let operation = if config.data_stream { "create" } else { "index" };
        let documents = Documents::new(operation, &config.index, id.clone());
        let built = match engine {
            None => {
                let target = folder.join(config.index.as_str());
                let place = format!("the files in {}", target.display());
                let note = format!("documents of index {} to {}", config.index, target.display());
                let node = format!("{}/{}", site.graph, site.node);
                let sink = Spool { target, documents, size, mode: config.mode, node };
                Built::sink(Partitioning::Any, sink).target(place).note(note)
            }
            Some(engine) => {
                let (name, span) = (config.index.value.clone(), config.index.span);
                let rows = if id.is_empty() { Partitioning::Any } else { Partitioning::Keys(vec![id.clone()]) };
                let index = Index { name, schema, id, data_stream: config.data_stream, create: config.create, span };
                // Names that are wrong have been told; the engine is asked about others only.
                if !problems.has_errors() {
                    problems.0.extend(problems_of(engine.check(&index), &config.connection).0);
                }
                let place = format!("index {} of {}", index.name, engine.place());
                let note = format!("documents to {place}; one that comes again takes its own place");
                Built::sink(rows, Live { engine, index, documents, size }).visible_at_once().target(place).note(note)
            }
        };
        let mut built = built.may_reject(true).replaces(true);
        built.publish_every = config.roll.interval.map(|interval| interval.duration());
        problems.or(built)
    }
}

/// The engine of a connection; `None`: it is none.
fn engine<C: Connectors>(name: &Spanned<String>, site: &Site) -> std::result::Result<Option<Arc<dyn Engine>>, Problem> {
    // A name that is wrong is told where a folder is looked for.
    let Ok(connection) = site.connection(name) else { return Ok(None) };
    C::search(&connection).transpose()
}

fn problems_of(checked: Result<Problems>, connection: &Spanned<String>) -> Problems {
    checked.unwrap_or_else(|e| {
        let problem = Problem::error(connection.span, &e.message);
        let mut problems = Problems::default();
        problems.push(match e.help {
            Some(help) => problem.help(help),
            None => problem,
        });
        problems
    })
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

/// Rows that are no documents.
fn reject(
    lines: &[std::result::Result<Pair, String>],
    batch: &RecordBatch,
    nameless: &[usize],
    large: &[usize],
    out: &mut dyn Out,
) -> Result<()> {
    let why = |row: usize| lines.get(row).and_then(|r| r.as_ref().err().cloned()).unwrap_or_default();
    out.reject_rows("search.id", batch, nameless, &why)?;
    out.reject_rows("search.size", batch, large, &|row| {
        let bytes = lines.get(row).and_then(|r| r.as_ref().ok()).map_or(0, |pair| pair.range.len());
        format!("the document has {bytes} bytes, but Elasticsearch takes {LARGEST} at most")
    })
}

/// Documents to an engine, while they come.
struct Live {
    engine: Arc<dyn Engine>,
    index: Index,
    documents: Documents,
    /// Bytes of a request.
    size: u64,
}

impl Sink for Live {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(SendWriter::open(self, task)?))
    }
}

/// Documents to files.
struct Spool {
    /// The folder of the index.
    target: PathBuf,
    documents: Documents,
    /// Bytes of a file.
    size: u64,
    mode: Mode,
    /// `graph/node`: tells the sinks of one run apart.
    node: String,
}

impl Sink for Spool {
    fn open(&self, task: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(SpoolWriter::open(self, task)?))
    }

    fn commit(&self, commit: &Commit, pending: &[Pending]) -> Result<()> {
        publish::commit(&self.target, self.mode == Mode::Replace, &self.node, commit, pending)
    }

    fn abort(&self, pending: &[Pending]) {
        publish::abort(&self.target, pending);
    }
}
