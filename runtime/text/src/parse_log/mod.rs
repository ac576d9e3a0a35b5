//! `ParseLog`: the lines of a log become columns.

mod cell;
mod grok;
mod json;
mod logfmt;
mod pattern;
mod quoted;
mod standard;
#[cfg(test)]
mod tests;
mod work;

use cell::Names;
use json::Tree;
use pattern::{Compiled, Pattern};
use selvedge_node::Fields;
use selvedge_node::prelude::*;
use std::collections::{BTreeMap, HashSet};
use work::{Lines, Reader};

pub(crate) struct ParseLog;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The column with the lines: text.
    column: Column,
    /// How the lines are written.
    format: Spanned<Format>,
    /// The columns that come out, and their types. Of a pattern all its names come out if this is left out, as text or as the
    /// types that a grok pattern tells.
    #[serde(default)]
    schema: Option<Spanned<Fields>>,
    /// Whether the column with the lines stays.
    #[serde(default)]
    keep: bool,
    /// What happens to a line that cannot be read, and to a line with a value that its type cannot take.
    #[serde(default)]
    on_error: OnError,
    /// The longest line that is read, in bytes.
    #[serde(default = "max_line")]
    max_line: usize,
}

fn max_line() -> usize {
    1 << 20
}

/// How lines are written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) enum Format {
    /// A JSON object on each line: `Json`, `Json(paths: {"user": "/context/user/id"})`.
    Json {
        /// Where a column's value is, as a JSON Pointer (RFC 6901): `/items/0/sku`. A column that is not named here is the
        /// field of its own name.
        #[serde(default)]
        paths: BTreeMap<String, Spanned<String>>,
    },
    /// `level=info msg="hello there" retry took=12ms`.
    Logfmt,
    /// A regular expression with named groups: `Regex(r"^(?P<level>[A-Z]+) (?P<message>.*)")`. It may match anywhere in the line
    /// unless it starts with `^`.
    Regex {
        /// In the syntax of Rust's `regex`: <https://docs.rs/regex/latest/regex/#syntax>.
        pattern: Spanned<String>,
    },
    /// A pattern made of named patterns: `Grok("%{IP:client} %{INT:bytes:int}")`.
    Grok {
        /// A regular expression in which `%{PATTERN}`, `%{PATTERN:column}` and `%{PATTERN:column:type}` stand for patterns.
        pattern: Spanned<String>,
        /// Patterns of one's own; they go before standard ones of the same name: `{"SKU": "[A-Z]{2}[0-9]+"}`.
        #[serde(default)]
        patterns: BTreeMap<String, Spanned<String>>,
    },
}

/// What happens to a line that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum OnError {
    /// Its row goes to `errors`.
    #[default]
    Reject,
    /// What could not be read is null, and the row is reported as altered.
    Null,
    /// Its row is dropped, and counted.
    Drop,
    /// The run stops.
    Fail,
}

impl Kind for ParseLog {
    const NAME: &'static str = "ParseLog";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "makes columns of log lines: JSON, logfmt, regular expressions, grok patterns";
    const DOCS: &'static str = "\
The new columns follow those that came in; the column with the lines goes, unless `keep: true`. What a line does not have is null.
Of a row whose line is null all new columns are null. Texts are cast to their types as by `SchemaEdit`: `12.7` becomes the integer
12, and a time must be written as Spark reads it. Take another one as `Utf8` and read it with `SchemaEdit(edits: [ParseDate(…)])`.

**Json** follows RFC 8259 to the letter: no NaN, no control characters or half surrogate pairs in texts, nothing behind the object. Of
a name that stands twice the last value counts. An object or a list in a `Utf8` column is its JSON as it stood in the line: take it apart
with `paths`, or with another ParseLog. Values may be nested 256 levels deep.

**Logfmt** has no standard. A key alone is `true`, `key=` is null, `key=\"\"` is empty text; quoted values have the escapes of JSON, bare
ones end at a blank. Of a key that stands twice the last value counts. A line without any `key=value` cannot be read.

**Regex** has the syntax of Rust's `regex`, and takes time in proportion to the line: no text makes it explode. A group that took no
part in the match is null. There are no back-references, and a pattern looks neither ahead nor behind. **Grok** puts named patterns
together: `%{PATTERN}`, `%{PATTERN:column}`, `%{PATTERN:column:type}` with a type of `int`, `long`, `float`, `double`, `boolean`,
`string`; `[a][b]` names the column `a.b`. The standard patterns are those of Logstash, written without looking around: numbers, words,
quoted texts, addresses, paths, URIs, dates, syslog, `COMMONAPACHELOG`, `COMBINEDAPACHELOG`. Where one name stands in several places, the
first that matched counts. A pattern may take 10 MiB when compiled.

Rows that cannot be read are rejected as `json.syntax`, `json.type` (no object), `logfmt.syntax`, `log.no_match`, `log.empty` (a blank
line; a pattern may match one), `log.too_long` (over `max_line`) or `cast` (a value that its type cannot take). With `on_error:
Drop` they are dropped as `unreadable line, json.syntax` or `unreadable value in took`; with `Null` they are reported as altered,
and a value that could not be cast is null, or all values of a line that could not be read: keep the line then.";
    const EXAMPLE: &'static str = r#"ParseLog(
    input: "chat_log", column: "message", format: Json(paths: {"user": "/context/user/id"}),
    schema: {"at": Timestamp, "user": Utf8, "text": Utf8, "took_ms": Int32},
)"#;
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let input = &inputs[0].schema;
        let mut problems = Problems::default();
        let column = problems.take(column_of_type(input, &config.column, "text", is_text));
        let read = problems.take(read(&config));
        let (Some(column), Some((reader, parts))) = (column, read) else { return Err(problems) };

        let mut fields: Vec<Arc<Field>> = input.fields().to_vec();
        if !config.keep {
            fields.remove(column);
        }
        let taken: HashSet<&str> = fields.iter().map(|f| f.name().as_str()).collect();
        for part in parts.iter().filter(|part| taken.contains(part.value.0.as_str())) {
            let problem = Problem::error(part.span, format!("there is a column `{}` already", part.value.0));
            problems.push(problem.help("rename it first: SchemaEdit(edits: [Rename(…)])"));
        }
        let parts: Vec<(String, DataType)> = parts.into_iter().map(|part| part.value).collect();
        fields.extend(parts.iter().map(|(name, ty)| Arc::new(Field::new(name, ty.clone(), true))));
        let output = Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()));
        let Config { keep, on_error, max_line, .. } = config;
        let lines = Lines { column, keep, reader, parts, output: output.clone(), on_error, max_line };
        problems.or(Built::map(output, lines).may_reject(on_error == OnError::Reject))
    }
}

fn is_text(ty: &DataType) -> bool {
    let plain = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    plain(ty) || matches!(ty, DataType::Dictionary(_, values) if plain(values))
}

/// A column that comes out, with the place where the graph asks for it.
type Part = Spanned<(String, DataType)>;

/// The reader of lines, and the columns that it makes.
fn read(config: &Config) -> std::result::Result<(Reader, Vec<Part>), Problems> {
    let mut problems = Problems::default();
    let declared = match &config.schema {
        Some(schema) => Some(declared(schema)?),
        None => None,
    };
    let named = || {
        declared.clone().ok_or_else(|| {
            Problem::error(config.format.span, "which columns come out of the lines must be declared")
                .help("add a schema: {\"level\": Utf8, …}")
        })
    };
    let names = |parts: &[Part]| parts.iter().map(|part| part.value.0.clone()).collect::<Vec<_>>();
    match &config.format.value {
        Format::Logfmt => {
            let parts = named()?;
            Ok((Reader::Logfmt(Names::new(names(&parts))), parts))
        }
        Format::Json { paths } => {
            let parts = named()?;
            let names = names(&parts);
            for (name, path) in paths.iter().filter(|(name, _)| !names.contains(name)) {
                problems.push(Problem::unknown(path.span, "column", name, names.iter().map(String::as_str)));
            }
            let path = |name: &String| match paths.get(name) {
                Some(path) => json::pointer(path).map_err(|what| {
                    Problem::error(path.span, what).help("write it as `/user/id`, or `/items/0` for a place in a list")
                }),
                None => Ok(vec![name.clone()]),
            };
            let found = names.iter().filter_map(|name| problems.take(path(name))).collect();
            problems.or((Reader::Json(Tree::new(found)), parts))
        }
        Format::Regex { pattern } => matched(pattern, &pattern::compile(pattern, None)?, declared),
        Format::Grok { pattern, patterns } => {
            let grok = grok::expand(pattern, patterns)?;
            matched(pattern, &pattern::compile(pattern, Some(grok))?, declared)
        }
    }
}

/// The columns of a schema.
fn declared(schema: &Spanned<Fields>) -> std::result::Result<Vec<Part>, Problems> {
    let mut problems = schema.problems();
    if schema.0.is_empty() {
        problems.push(Problem::error(schema.span, "no column would come out of the lines").help("name at least one"));
    }
    for (name, ty) in &schema.0 {
        if !selvedge_cast::supported(&DataType::Utf8, &ty.arrow()) {
            let problem = Problem::error(ty.span, format!("column `{name}` cannot be read as {}", ty.arrow()));
            problems.push(problem.help("take it as Utf8; of JSON, take single values by `paths`"));
        }
    }
    problems.or(schema.0.iter().map(|(name, ty)| Spanned::new((name.value.clone(), ty.arrow()), name.span)).collect())
}

/// A pattern, and the columns that are wanted of it: all that it names, if none are declared.
fn matched(
    pattern: &Spanned<String>,
    compiled: &Compiled,
    declared: Option<Vec<Part>>,
) -> std::result::Result<(Reader, Vec<Part>), Problems> {
    let offered = &compiled.parts;
    let Some(parts) = declared else {
        let all: Vec<usize> = (0..offered.len()).collect();
        let part = |part: &pattern::Part| (part.name.clone(), part.ty.clone().unwrap_or(DataType::Utf8));
        let parts = offered.iter().map(|p| Spanned::new(part(p), pattern.span)).collect();
        return Ok((Reader::Pattern(Pattern::new(compiled, &all)), parts));
    };
    let mut problems = Problems::default();
    let mut wanted = vec![];
    for part in &parts {
        let (name, ty) = &part.value;
        let Some(at) = offered.iter().position(|o| o.name == *name) else {
            let known = offered.iter().map(|o| o.name.as_str());
            problems.push(Problem::unknown(part.span, "part of the pattern", name, known));
            continue;
        };
        wanted.push(at);
        if let Some(told) = offered[at].ty.as_ref().filter(|told| *told != ty) {
            let message = format!("`{name}` is {ty} here and {told} in the pattern");
            problems.push(Problem::error(part.span, message).help("say it in one of the two places"));
        }
    }
    problems.or((Reader::Pattern(Pattern::new(compiled, &wanted)), parts))
}
