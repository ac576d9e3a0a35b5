//! The node `Files` as a source: its config, its docs, and which files it reads.

use crate::bookmark::{Bookmark, OnlyNew};
use crate::compression::Compression;
use crate::csv::{self, Dialect};
use crate::lake::{Found, Root, find, root};
use crate::paths::Paths;
use crate::request::Request;
use crate::typed::OnError;
use crate::version::Versioned;
use crate::{ipc, ndjson, orc, parquet};
use selvedge_connect::Connectors;
use selvedge_node::{Positions, Source, Span, Split, prelude::*};
use selvedge_schemas::{Declared, Known};
use std::marker::PhantomData;

pub struct Files<C>(PhantomData<C>);

/// What `Files` is told, as a source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of the kind `Folder(path: "…")` or `ObjectStore(url: "s3://…")`, where relative paths start. Without one they start
    /// at the graph's folder.
    #[serde(default)]
    connection: Option<Spanned<String>>,
    /// A file, a folder (all files below it), a glob (`raw/*.csv`, `raw/**/*.json.gz`, `{a,b}.csv`), or a list of them.
    /// Names that start with `_` or `.` are passed over, as Spark does.
    path: Spanned<Paths>,
    /// What is in the files.
    format: Spanned<Format>,
    /// How CSV and NDJSON files are packed. By default each file's first bytes and its name tell.
    #[serde(default)]
    compression: Compression,
    /// The columns and their types, all of which may be null: `{ "sku": Utf8, "qty": Int32 }`; or the path of a schema file
    /// that `selvedge crawl` wrote, relative to the graph: `"schemas/orders.ron"`. Without it, they come from the header (CSV,
    /// all text), from the first lines (NDJSON), or from the files' metadata.
    #[serde(default)]
    schema: Option<Spanned<Declared>>,
    /// What happens to a row of CSV or NDJSON with a text that its column's type cannot take.
    #[serde(default)]
    on_error: OnError,
    /// Read only these columns, in this order.
    #[serde(default)]
    columns: Option<Vec<Column>>,
    /// A column to add: the file that the row came from, relative to the connection or the graph.
    #[serde(default)]
    file_name: Option<Column>,
    /// A column to add: the number of the row in its file, from 1. Rejected rows count. One large file of CSV or NDJSON is
    /// then read by one thread.
    #[serde(default)]
    row_number: Option<Column>,
    /// What to do when a path names no file.
    #[serde(default)]
    on_missing: OnMissing,
    /// Read only files that no earlier run of the graph has read: `()`. AWS Glue has its job bookmarks for that.
    #[serde(default)]
    bookmark: Option<Bookmark>,
    /// One large CSV or NDJSON file is read in parallel parts of about this many bytes; Parquet, ORC and Arrow files by row
    /// groups, stripes and batches that come to about as many.
    #[serde(default = "split_bytes")]
    split_bytes: Spanned<u64>,
}

fn split_bytes() -> Spanned<u64> {
    Spanned::new(32 << 20, Span::default())
}

/// What to do when a path names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
enum OnMissing {
    /// The graph is wrong.
    #[default]
    Fail,
    /// There are no rows. Where no file is found at all, `schema` must say what the columns are.
    Empty,
}

/// What is in the files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
enum Format {
    /// Comma-separated values (RFC 4180), UTF-8.
    Csv {
        /// Between fields: one ASCII character.
        #[serde(default = "comma")]
        delimiter: char,
        /// Around fields with special characters in them. `None`: there are no quotes.
        #[serde(default = "quote")]
        quote: Option<char>,
        /// What takes the special meaning from a quote inside quotes, besides doubling it: `'\\'`.
        #[serde(default)]
        escape: Option<char>,
        /// The first record of each file has the names of the columns.
        #[serde(default = "yes")]
        header: bool,
        /// Lines that start with this character are passed over.
        #[serde(default)]
        comment: Option<char>,
        /// The texts that mean null, quoted or not.
        #[serde(default = "empty")]
        nulls: Vec<String>,
        /// Cut blanks and tabs around fields.
        #[serde(default)]
        trim: bool,
        /// What happens to a record with too few fields. One with too many is always rejected.
        #[serde(default)]
        ragged: Ragged,
        /// Guess the types of the columns from the first 1000 rows of up to 100 files, where no schema is declared.
        #[serde(default)]
        infer: bool,
        /// The longest record allowed, in bytes.
        #[serde(default = "max_record")]
        max_record: u64,
    },
    /// A JSON object on each line.
    Ndjson {
        /// How many lines of each file are looked at to find the columns, where no schema is declared.
        #[serde(default = "sample")]
        sample: u64,
        /// What happens to a row with a field that is no column.
        #[serde(default)]
        unknown_fields: UnknownFields,
        /// The longest line allowed, in bytes.
        #[serde(default = "max_record")]
        max_record: u64,
    },
    Parquet,
    Orc,
    /// Arrow IPC, as a file (Feather 2) or a stream.
    Arrow,
}

/// What happens to a record with too few fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
enum Ragged {
    /// It goes to `errors`.
    #[default]
    Reject,
    /// The missing values are null, and the row is reported as altered.
    Null,
}

/// What happens to a row of NDJSON with a field that is no column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum UnknownFields {
    /// The field is not read.
    #[default]
    Ignore,
    /// The row goes to `errors`.
    Reject,
}

fn comma() -> char {
    ','
}
fn quote() -> Option<char> {
    Some('"')
}
fn yes() -> bool {
    true
}
fn empty() -> Vec<String> {
    vec![String::new()]
}
fn sample() -> u64 {
    1000
}
fn max_record() -> u64 {
    16 << 20
}

/// Longer records would not fit the 31-bit offsets of a batch of text.
const LARGEST_RECORD: u64 = 1 << 30;

impl<C: Connectors> Kind for Files<C> {
    const NAME: &'static str = "Files";
    const ROLE: Role = Role::Source;
    const ABOUT: &'static str = "reads CSV, NDJSON, Parquet, ORC and Arrow files from a folder or an object store";
    const DOCS: &'static str = r#"Reads files from a folder, many in parallel, and one large CSV or NDJSON file in parallel parts. Rows of one file keep their
order within a part; parts and files are read side by side.

### Object stores
A connection `ObjectStore(url: "s3://bucket/prefix")` reads from S3 (also `gs://`, `az://`, and single files by `https://`) with the same paths
and globs. Credentials come from the connection (`access_key`, `secret_key: "${secret:…}"`) or, as for the AWS tools, from the environment,
a profile (`profile: "…"`, `AWS_PROFILE`), SSO, a web identity or the machine's role; `endpoint` names another server that speaks S3. Text is fetched in chunks of 4 MiB ahead of its reader;
of Parquet and ORC only the wanted columns and stripes, a split at a time, several requests together. An object that is written
anew while it is read stops the run: no mixture is read. The change of an object is told by its ETag.

### CSV
RFC 4180 in UTF-8 (a byte order mark is skipped), lines ended by LF or CRLF. Blank lines are no rows. All columns are text unless
`schema` or `infer` says otherwise.

- Columns are found by their names in the header, so files may have them in different orders. A declared `schema` picks columns:
  others are not read. Without a schema all files must have the same columns. With `header: false` a schema names the
  fields by position; without one they are `column_1`, `column_2`, ….
- An empty field is null, quoted or not, as in Spark. `nulls: ["", "NA"]` adds to that, `nulls: []` keeps empty texts.
- A quote opens a field only as its first character; anywhere else in an unquoted field it is a letter (`5" pan`).
- `escape`, `comment` and `trim` are read byte by byte, and a file by one thread. With `quote: None` a large file is cut into
  parts without looking for quotes first.

### NDJSON
One JSON object a line; blank lines are no rows. Without a schema the first lines of up to 100 files tell the columns: a field with
numbers and texts is text, so is one that is always null, and one with whole numbers too long for an Int64. Nested objects and lists
become structs and lists. Fields that are no column are not read (`unknown_fields: Reject` sends such rows to `errors`); beside a
declared schema the plan's notes name those seen in the sample, and without one each row with a field that came up only behind the
sample is reported as altered: `field not in the sample, not read: coupon`.
Missing commas and repeated commas are tolerated. Inside nested values, a number with a fraction loses it where the schema has a whole
number.

### Types
Declared types are cast from the text as Spark does with ANSI off (`" 12 "`, `12.7` as Int32 is 12, `1,204` cannot be read). What
cannot be read is rejected; `on_error: Null` makes it null, which is what Spark does, and reports the row as altered (`null by cast: qty`);
`Fail` stops the run. Guessed whole numbers
are read strictly: a fraction is rejected, not cut off.

### Schema files
`schema: "schemas/orders.ron"` takes the columns from a file that `selvedge crawl` wrote, so that a graph is checked, with all its types,
where the data is not; a run needs the data. A file that contradicts the data is told like a declared schema that does: a column that
is gone stops the check, a value of another type goes to `errors`. Whole numbers are then read strictly: a fraction is no Int64. A null
in a column with `nullable: false` goes to `errors` as `null`.

A `Choice([Int64, Utf8])` is for values that are now a number and now a text: a struct with a field for each type, of which one is
set (`int64`, `utf8`). NDJSON can have choices of Boolean, Int64, Float64, Utf8, lists and structs; files of Parquet and Arrow, some of
which have one type and some another, as well. `SchemaEdit(edits: [ResolveChoice(…)])` makes one type of it.

### Parquet, ORC and Arrow
Columns that are not wanted are not read. All files must have the same columns with the same types. Dictionaries, views and large offsets
become plain text, binary and lists. A declared `schema` picks columns and must have their types.

ORC: all its types and compressions; `char` and `varchar` are text. Times are read in microseconds, those of `timestamp with local
time zone` as instants in UTC. A time that microseconds cannot hold stops the run and is never rounded: declare its column as
`LocalTimestamp(Nanosecond)` or `ZonedTimestamp(Nanosecond, "UTC")`. Stripes are read in parallel; their statistics are not used yet.

### New files only
With `bookmark: ()` a run reads the files that no earlier run of the graph has read and published: names, lengths and times of change are
kept in the folder of `--state` when the run has ended well. `selvedge bookmark show` tells them, `bookmark reset` has them forgotten.
A file that has changed since it was read stops the run before anything is read; with `bookmark: (changed: Read)` it is read again, whole,
and with `(changed: Skip)` passed over. For files that grow there is `Stream`.

### Reasons of rejected rows
`csv.columns` (wrong number of fields), `csv.utf8`, `csv.quote` (text behind a closing quote, or a quote never closed),
`csv.record_too_long`, `null` (a schema file says never), `ndjson.syntax`, `ndjson.utf8`, `ndjson.type`, `ndjson.unknown_field`, `ndjson.record_too_long`, `cast` (CSV: a text
that its column's type cannot take). The message starts with `file:line`; `rawData` has the line, at most 64 KiB of it, or for `cast`
the row as JSON. `ragged: Null` reports rows as altered: `missing fields became null`.

### Failures
A packed file that is cut off or damaged, and a Parquet, ORC or Arrow file that is, fails the run after the rows before the damage; so does
a file that becomes shorter while it is read.
"#;
    const EXAMPLE: &'static str = r#"Files(
    connection: "lake",
    path: "raw/inventory/*.csv.gz",
    format: Csv(delimiter: ';'),
    schema: { "sku": Utf8, "quantity": Int32, "restocked": Date },
    on_error: Null,
    file_name: "file",
)"#;
    type Config = Config;

    fn build(config: Config, site: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let known = config.schema.as_ref().and_then(|schema| problems.take(schema.known(schema.span, site)));
        let root = problems.take(root::<C>(Self::NAME, config.connection.as_ref(), site));
        if *config.split_bytes == 0 {
            problems.push(Problem::error(config.split_bytes.span, "split_bytes must be at least 1"));
        }
        let format = problems.take(config.format.check());
        problems.take(packed(&config));
        let from_file = known.as_ref().is_some_and(|known| known.from_file);
        let missing_is_fine = config.on_missing == OnMissing::Empty || from_file;
        let files = root.as_ref().and_then(|root| match find(root, &config.path, missing_is_fine) {
            // A graph is checked where its bucket cannot be reached, too.
            Err(_) if from_file && matches!(root, Root::Store(_)) => Some(vec![]),
            found => problems.take(found),
        });
        let (Some(format), Some(files), false) = (format, files, problems.has_errors()) else { return Err(problems) };
        let request = Request {
            files: &files,
            path_at: config.path.span,
            compression: config.compression,
            schema: known.as_ref().map(|known| &known.fields),
            exact: from_file,
            columns: config.columns.as_deref(),
            file_name: config.file_name.as_ref(),
            row_number: config.row_number.as_ref(),
            on_error: config.on_error,
            split_bytes: *config.split_bytes,
        };
        let plan = format.plan(&request)?;
        let Known { guard, warnings, .. } = known.unwrap_or_default();
        let sent = &plan.output.schema;
        let may_reject = plan.may_reject || !guard.columns(sent).is_empty();
        let mut source: Box<dyn Source> = Box::new(Versioned { source: plan.source, files: files.clone() });
        if let Some(bookmark) = config.bookmark {
            source = Box::new(OnlyNew { source, files: files.clone(), bookmark });
        }
        let mut notes = vec![about(&files)];
        if let (true, OnMissing::Fail, Some(root)) = (files.is_empty(), config.on_missing, root) {
            // Planning needs no data where a schema file tells the columns; a run does.
            notes = vec!["no file is there now: the columns are those of the schema file".into()];
            source = Box::new(Missing { root, path: config.path });
        }
        let mut built = Built::source(sent.clone(), guard.watch(source, sent)).may_reject(may_reject);
        built.notes.extend(notes);
        built.notes.extend(plan.notes);
        built.warnings = plan.warnings;
        built.warnings.extend(warnings);
        Ok(built)
    }
}

/// Files that were not there when the graph was planned.
struct Missing {
    root: Root,
    path: Spanned<Paths>,
}

impl Source for Missing {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        Err(match find(&self.root, &self.path, false) {
            Err(Problems(problems)) => match problems.into_iter().next() {
                Some(Problem { message, help: Some(help), .. }) => Error::world(message).help(help),
                Some(Problem { message, .. }) => Error::world(message),
                None => Error::world("there is no file"),
            },
            Ok(_) => Error::world("the files came while the run began").help("run the graph again").retryable(),
        })
    }
}

/// What a crawl looks at.
pub struct Looked {
    pub format: Checked,
    pub files: Vec<Found>,
    pub compression: Compression,
    pub path_at: Span,
}

impl Config {
    /// The files that are there, for a crawl. That there are none is no problem, but that their folder is not there is: it may
    /// be on a disk that is not mounted.
    pub fn look<C: Connectors>(self, site: &Site) -> std::result::Result<Looked, Problems> {
        let mut problems = Problems::default();
        let root = problems.take(root::<C>("Files", self.connection.as_ref(), site));
        let format = problems.take(self.format.check());
        let there = root.filter(|root| problems.take(root.there()).is_some());
        let files = there.and_then(|root| problems.take(find(&root, &self.path, true)));
        let (Some(format), Some(files)) = (format, files) else { return Err(problems) };
        Ok(Looked { format, files, compression: self.compression, path_at: self.path.span })
    }
}

/// A format with its options checked.
pub enum Checked {
    Csv(csv::Options),
    Ndjson(ndjson::Options),
    Parquet,
    Orc,
    Arrow,
}

impl Checked {
    pub fn plan(&self, request: &Request) -> std::result::Result<crate::request::Plan, Problems> {
        match self {
            Checked::Csv(options) => csv::plan(request, options),
            Checked::Ndjson(options) => ndjson::plan(request, options),
            Checked::Parquet => parquet::plan(request),
            Checked::Orc => orc::plan(request),
            Checked::Arrow => ipc::plan(request),
        }
    }
}

trait Check {
    fn check(&self) -> std::result::Result<Checked, Problems>;
}

impl Check for Spanned<Format> {
    fn check(&self) -> std::result::Result<Checked, Problems> {
        let mut problems = Problems::default();
        let mut length = |bytes: u64| {
            if !(1..=LARGEST_RECORD).contains(&bytes) {
                let what = format!("max_record must be from 1 to {LARGEST_RECORD} bytes, but is {bytes}");
                problems.push(Problem::error(self.span, what));
            }
            bytes as usize
        };
        let checked = match &self.value {
            Format::Csv { delimiter, quote, escape, header, comment, nulls, trim, ragged, infer, max_record } => {
                let max_record = length(*max_record);
                let dialect = Dialect::new(self.span, *delimiter, *quote, *escape, *comment, *trim);
                Checked::Csv(csv::Options {
                    dialect: problems.take(dialect).unwrap_or_default(),
                    header: *header,
                    nulls: nulls.clone(),
                    fill_ragged: *ragged == Ragged::Null,
                    infer: *infer,
                    max_record,
                })
            }
            Format::Ndjson { sample, unknown_fields, max_record } => Checked::Ndjson(ndjson::Options {
                sample: (*sample).max(1) as usize,
                unknown_fields: *unknown_fields,
                max_record: length(*max_record),
            }),
            Format::Parquet => Checked::Parquet,
            Format::Orc => Checked::Orc,
            Format::Arrow => Checked::Arrow,
        };
        problems.or(checked)
    }
}

/// Formats that are read from their end cannot be unpacked on the way.
fn packed(config: &Config) -> std::result::Result<(), Problem> {
    let seeks = matches!(*config.format, Format::Parquet | Format::Orc | Format::Arrow);
    if seeks && !matches!(config.compression, Compression::Auto | Compression::Uncompressed) {
        return Err(Problem::error(
            config.format.span,
            "this format cannot be read through a compression of the whole file",
        )
        .help("leave `compression` out: the format has its own inside"));
    }
    Ok(())
}

/// `24 files, 1.2 GB`
fn about(files: &[Found]) -> String {
    let bytes: u64 = files.iter().map(|f| f.bytes).sum();
    let count = if files.len() == 1 { "1 file".to_string() } else { format!("{} files", files.len()) };
    let (size, unit) = match bytes {
        0..1_000 => (bytes as f64, "B"),
        1_000..1_000_000 => (bytes as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => (bytes as f64 / 1e6, "MB"),
        _ => (bytes as f64 / 1e9, "GB"),
    };
    if unit == "B" { format!("{count}, {size} B") } else { format!("{count}, {size:.1} {unit}") }
}
