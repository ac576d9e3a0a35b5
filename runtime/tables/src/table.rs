//! `Table`: rows of a database table or query, whole, in parallel key ranges, or only what is new since the last run.

use crate::connect;
use selvedge_connect::Connectors;
use selvedge_connect::database::{Bookmark, Described, Driver, Range, Relation, Select};
use selvedge_node::prelude::*;
use selvedge_node::{Positions, Source, Split, choice_fields};
use selvedge_ron::Value;
use selvedge_schemas::{Declared, Extent, Found, Known};
use std::collections::BTreeMap;
use std::marker::PhantomData;

pub struct Table<C>(PhantomData<C>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A database connection: `Sqlite(path: "retail.db")`, `MySql(host: "…", database: "shop", …)` or `Postgres(host: "…", …)`.
    connection: Spanned<String>,
    /// A table or view. Either this or `query`.
    table: Option<Spanned<String>>,
    /// One SELECT, run as it is; no two of its columns may have the same name. Either this or `table`.
    query: Option<Spanned<String>>,
    /// Columns to read, in this order; all unless told.
    columns: Option<Vec<Column>>,
    /// Types of columns that the database declares otherwise or not at all: `{"price": Decimal(10, 2)}`. Or the path of a schema
    /// file that `selvedge crawl` wrote, relative to the graph: then its columns are read, and no others.
    schema: Option<Spanned<Declared>>,
    /// Read only rows above the highest value of this column that the last committed run with `--state` saw.
    bookmark: Option<Column>,
    /// Read in parallel, by ranges of this column of integers.
    partition_by: Option<Column>,
    /// How many ranges; 8 unless told.
    partitions: Option<Spanned<usize>>,
}

impl<C: Connectors> Kind for Table<C> {
    const NAME: &'static str = "Table";
    const ROLE: Role = Role::Source;
    const ABOUT: &'static str = "reads a table or query of a database";
    const DOCS: &'static str = r#"Reads from SQLite (`Sqlite(path: "retail.db")`), opened for reading only, and from MySQL, MariaDB and PostgreSQL.

### MySQL and MariaDB
`MySql(host: "db.example.com", port: 3306, database: "shop", user: "etl", password: "${secret:shop}", tls: VerifyFull(ca: "rds.pem"))`. `tls` is
`Prefer` unless told: encrypted where the server can, with whoever answers; `Require` the same, or not at all; `VerifyFull(ca: …)` asks for a
certificate; `Disable`. The user needs SELECT only. Each part is read in one transaction of its own that sees one state and locks nothing.

| MySQL | here |
|---|---|
| TINYINT, SMALLINT, MEDIUMINT and INT, BIGINT | Int8, Int16, Int32, Int64; UNSIGNED: UInt8 to UInt64 |
| TINYINT(1), BOOL | Int8: it may hold more than 0 and 1; `schema: {"active": Boolean}` makes it one |
| FLOAT, DOUBLE | Float32, Float64 |
| DECIMAL(p,s) | Decimal; Utf8 of the exact digits where p is more than 38 |
| BIT(1), BIT(n) | Boolean, UInt64 |
| DATE, YEAR | Date, Int16 |
| DATETIME, TIMESTAMP | a timestamp without a zone, an instant in UTC; both in microseconds |
| TIME | Utf8: it may be negative or longer than a day |
| CHAR, VARCHAR, TEXT, ENUM, SET, JSON | Utf8, whatever the character set |
| BINARY, VARBINARY, BLOB, GEOMETRY | Binary |

A zero date (`0000-00-00`) is no date: its row goes to `errors`, unless the column is read as Utf8. `schema` overrides types by casts like
those of `SchemaEdit`. A run that was killed is gone on from only where the user may see the place in the binary log (REPLICATION CLIENT, BINLOG
MONITOR in MariaDB) and nothing has been written since; else, and always on a replica, it begins anew. What is written without being logged
(`sql_log_bin = 0`) cannot be seen. A `bookmark` is a number, a date or a time: the order of texts is their collation's.

### PostgreSQL
`Postgres(host: "db.example.com", port: 5432, database: "retail", user: "etl", password: "${secret:retail}", schema: "public", tls: VerifyFull(ca:
"ca.pem"))`; `tls` as for MySQL. Tables are those of `schema`, views and foreign tables among them; others have their schema before their name (`sales.orders`). Rows come by
binary COPY, each part from one snapshot.

| PostgreSQL | here |
|---|---|
| boolean, smallint, integer, bigint, oid | Boolean, Int16, Int32, Int64, UInt32 |
| real, double precision | Float32, Float64 |
| numeric(p,s) | Decimal; Utf8 of the exact digits without a precision, with more than 38 digits or a negative scale |
| date, timestamp, timestamptz | Date, a timestamp without a zone, an instant in UTC; both in microseconds |
| bytea | Binary |
| arrays of these | List |
| text, varchar, char, uuid, json, jsonb, enums, time, interval, inet and all others | Utf8, as PostgreSQL prints it |

What has no value here sends its row to `errors`, unless the column is read as Utf8: infinite dates, NaN in a decimal, years from 262143 on, arrays of
several dimensions. A run that was killed is gone
on from only where nothing has been written to the server since; else it begins anew.

### SQLite
**Types** are those that the database declares: INTEGER and BIGINT are Int64, SMALLINT Int16, REAL and DOUBLE Float64, DECIMAL(p,s)
Decimal, TEXT and VARCHAR Utf8, DATE Date, TIMESTAMP and DATETIME timestamps without a zone in microseconds, TIMESTAMPTZ in UTC, BOOLEAN
Boolean, BLOB Binary. A column or expression without a declaration has the type of its first 1,000 rows. `schema` overrides, and is
needed where a query works too long for a plan before it gives rows. With the path of a schema file (`schema: "schemas/stock.ron"`) the
file tells the columns, so that a graph is checked where the database is not; a run needs it.
What `Warehouse` wrote is read back with the same types and values.

SQLite types each cell by itself. A cell that does not fit its column sends its row to `errors`. What fits: whole reals in integers,
any number in text, numbers as text in numbers, 0/1/true/false in booleans, ISO 8601 text in dates and timestamps, integers in timestamps
(seconds since 1970). A decimal is rounded to its scale, half away from zero. A column of a schema file that is a
`Choice([Int64, Utf8])` keeps each cell as it is, in a struct with a field for each type (`int64`, `utf8`).

### Of a part
**Incremental.** With `bookmark` and a run with `--state`, only rows with a *strictly greater* bookmark than the highest one seen by the
last committed run are read, in the order of the bookmark. A row that arrives later with an equal or smaller bookmark is not seen, so use
a column that only grows, such as a change number or a fine timestamp. Rows whose bookmark is null are read by the first run only.

**Parallel.** With `partition_by`, the range from its smallest to its largest integer is cut into `partitions` equal parts, each read
by its own connection: rows that others change meanwhile may be seen twice or not at all. Cannot be combined with `bookmark`.

Rejected rows: `table.type` (a cell does not fit its column; `rawData` has at most 64 KiB of each cell), `null` (in a column that a
schema file says is never null)."#;
    const EXAMPLE: &'static str = r#"Table(connection: "retail_db", table: "inventory", bookmark: "updated_at")"#;
    type Config = Config;

    fn build(config: Config, site: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = settings(&config);
        let driver = problems.take(connect::<C>(site, &config.connection));
        let (Some(driver), Some((relation, span))) = (driver, relation(&config)) else {
            return problems.or(()).and_then(|()| Err(site.error("table or query is needed").into()));
        };
        let schema = config.schema.as_ref().map(|schema| problems.take(schema.known(schema.span, site)));
        let Some(known) = schema.unwrap_or_else(|| Some(Known::default())) else { return Err(problems) };
        let there = match driver.reach() {
            Ok(()) => true,
            Err(_) if known.from_file => false,
            Err(e) => {
                problems.push(told(config.connection.span, &e));
                return Err(problems);
            }
        };
        if let (true, Relation::Table(name)) = (there, &relation) {
            let Some(tables) = problems.take(driver.tables().map_err(|e| told(config.connection.span, &e))) else {
                return Err(problems);
            };
            if !tables.iter().any(|t| t.eq_ignore_ascii_case(name)) {
                problems.push(Problem::unknown(span, "table", name, tables.iter().map(String::as_str)));
                return Err(problems);
            }
        }
        let typed = |column: &str| known.fields.0.iter().any(|(name, _)| name.as_str() == column);
        let described = if there { driver.describe(&relation, &typed).map_err(|e| told(span, &e)) } else { Ok(vec![]) };
        let Some(mut described) = problems.take(described) else {
            return Err(problems);
        };
        if known.from_file {
            let names: Vec<String> = described.into_iter().map(|d| d.name).collect();
            let gone = known.fields.0.iter().filter(|(name, _)| there && !names.contains(&name.value));
            for (name, _) in gone {
                let problem = Problem::unknown(name.span, "column", name, names.iter().map(String::as_str));
                let message = format!("{} in the {} of {}", problem.message, what(&relation), driver.place());
                problems.push(Problem { message, ..problem });
            }
            let of_file = |name: &Column| Described { name: name.value.clone(), ty: None };
            described = known.fields.0.iter().map(|(name, _)| of_file(name)).collect();
        }
        for Described { name, .. } in described.iter().filter(|d| d.ty.is_none() && !typed(&d.name)) {
            let text = format!("no row came soon enough to tell the type of column `{name}`");
            problems.push(Problem::error(span, text).help(format!("say it: schema: {{\"{name}\": Int64}}")));
        }

        let field = |d: &Described| Field::new(&d.name, d.ty.clone().unwrap_or(DataType::Utf8), true);
        let mut fields: Vec<Field> = described.iter().map(field).collect();
        let columns_there = Schema::new(fields.clone());
        for (name, ty) in &known.fields.0 {
            match (problems.take(column(&columns_there, name)), ty.arrow()) {
                (Some(_), nested) if nested.is_nested() && !is_choice_of_cells(&nested) => problems.push(
                    Problem::error(ty.span, format!("a database has no column of type {nested}"))
                        .help("read it as Utf8 and parse it with SchemaEdit"),
                ),
                (Some(index), ty) => fields[index] = Field::new(name.as_str(), ty, true),
                (None, _) => {}
            }
        }
        if let Some(name) = &config.bookmark
            && let Some(index) = problems.take(column(&columns_there, name))
            && matches!(fields[index].data_type(), DataType::Binary | DataType::Boolean)
        {
            let text = format!("column `{name}` of type {} does not grow", fields[index].data_type());
            problems.push(Problem::error(name.span, text).help("a bookmark is a number, a date or a timestamp"));
        }
        if let Some(name) = &config.partition_by
            && let Some(index) = problems.take(column(&columns_there, name))
            && !fields[index].data_type().is_integer()
        {
            let text = format!("column `{name}` must be an integer, but is {}", fields[index].data_type());
            problems.push(Problem::error(name.span, text).help("partition by an integer key such as an id"));
        }
        let chosen = match &config.columns {
            None => (0..fields.len()).collect(),
            Some(names) => {
                for (_, name) in names.iter().enumerate().filter(|(i, name)| names[..*i].contains(name)) {
                    problems.push(Problem::error(name.span, format!("column `{name}` is named twice")));
                }
                problems.take(columns(&columns_there, names)).unwrap_or_default()
            }
        };
        let chosen: Vec<Field> = chosen.into_iter().map(|i| fields[i].clone()).collect();
        let schema = Arc::new(Schema::new(chosen));
        let absent = if there { "" } else { ", which is not there now: the columns are those of the schema file" };
        let note = format!("{} of {}{absent}", what(&relation), driver.place());
        let rows = Rows {
            driver,
            select: Select { relation, schema: schema.clone(), bookmark: None, range: None },
            bookmark: config.bookmark.map(|b| b.value),
            key: config.partition_by.map(|k| k.value),
            partitions: config.partitions.map_or(8, |p| p.value),
        };
        let source = known.guard.watch(Box::new(rows), &schema);
        let mut built = Built::source(schema, source).may_reject(true).note(note);
        built.warnings = known.warnings;
        problems.or(built)
    }
}

/// A cell of a database is never nested, but it may be of several types.
fn is_choice_of_cells(ty: &DataType) -> bool {
    choice_fields(ty).is_some_and(|fields| fields.iter().all(|f| !f.data_type().is_nested()))
}

/// The columns of an object `Table(connection: "…", table: "…")`, for a crawl. `None`: the database has
/// no such table any more.
pub fn crawl<C: Connectors>(
    object: &Value,
    site: &Site,
    extent: Extent,
) -> std::result::Result<Option<Found>, Problems> {
    let config: Config = selvedge_ron::from_value(object)?;
    let driver = connect::<C>(site, &config.connection)?;
    let Some(table) = &config.table else {
        let problem = Problem::error(config.connection.span, "a query has no columns of its own to crawl");
        return Err(problem.help("crawl the tables that it reads").into());
    };
    there(driver.as_ref())?;
    let tables = driver.tables().map_err(|e| told(config.connection.span, &e))?;
    if !tables.iter().any(|t| t.eq_ignore_ascii_case(table)) {
        return Ok(None);
    }
    let columns = driver.crawl(table, extent).map_err(|e| told(table.span, &e))?;
    Ok(Some(Found { columns, notes: vec![] }))
}

fn there(driver: &dyn Driver) -> std::result::Result<(), Problem> {
    driver.reach().map_err(|e| Problem { span: None, ..told(Default::default(), &e) })
}

/// The tables and views of a database, by name, each as the source that reads it.
pub fn objects<C: Connectors>(
    site: &Site,
    connection: &str,
) -> std::result::Result<BTreeMap<String, String>, Problems> {
    let driver = connect::<C>(site, &Spanned::new(connection.to_string(), Default::default()))?;
    there(driver.as_ref())?;
    let tables = driver.tables().map_err(|e| Problem { span: None, ..told(Default::default(), &e) })?;
    let object = |table: &String| format!("Table(connection: {connection:?}, table: {table:?})");
    Ok(tables.into_iter().map(|table| (table.clone(), object(&table))).collect())
}

/// What is wrong with the config by itself.
fn settings(config: &Config) -> Problems {
    let mut problems = Problems::default();
    match (&config.table, &config.query) {
        (Some(_), Some(query)) => {
            problems
                .push(Problem::error(query.span, "table and query cannot both be given").help("leave one of them out"));
        }
        (None, None) => problems.push(
            Problem::error(config.connection.span, "table or query is needed")
                .help("name a table (table: \"inventory\") or write a query (query: \"select …\")"),
        ),
        _ => {}
    }
    match (&config.partition_by, &config.partitions) {
        (None, Some(partitions)) => problems.push(
            Problem::error(partitions.span, "partitions without partition_by")
                .help("partition_by: \"id\" says which key to cut"),
        ),
        (Some(_), Some(partitions)) if !(1..=1024).contains(&partitions.value) => {
            problems.push(Problem::error(
                partitions.span,
                format!("partitions must be 1 to 1024, but is {}", partitions.value),
            ));
        }
        _ => {}
    }
    if let (Some(bookmark), Some(_)) = (&config.bookmark, &config.partition_by) {
        problems.push(
            Problem::error(bookmark.span, "bookmark and partition_by cannot both be given")
                .help("an incremental read goes in the order of its bookmark, in one part"),
        );
    }
    problems
}

fn relation(config: &Config) -> Option<(Relation, selvedge_node::Span)> {
    match (&config.table, &config.query) {
        (Some(table), None) => Some((Relation::Table(table.value.clone()), table.span)),
        (None, Some(query)) => Some((Relation::Query(query.value.clone()), query.span)),
        _ => None,
    }
}

fn what(relation: &Relation) -> String {
    match relation {
        Relation::Table(name) => format!("table {name}"),
        Relation::Query(_) => "query".into(),
    }
}

/// An error of the database as a problem of the graph.
fn told(span: selvedge_node::Span, e: &Error) -> Problem {
    let problem = Problem::error(span, &e.message);
    match &e.help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

struct Rows {
    driver: Arc<dyn Driver>,
    select: Select,
    bookmark: Option<String>,
    key: Option<String>,
    partitions: usize,
}

/// The name of the one split of a read that is not cut.
const ALL: &str = "rows";

impl Source for Rows {
    fn version(&self) -> Result<String> {
        self.driver.version()
    }
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let split = |name: String, select: Select| {
            Box::new(Part { name, select, driver: self.driver.clone() }) as Box<dyn Split>
        };
        if let Some(column) = &self.bookmark {
            let bookmark = Bookmark { column: column.clone(), from: from.get(ALL).cloned() };
            return Ok(vec![split(ALL.into(), Select { bookmark: Some(bookmark), ..self.select.clone() })]);
        }
        let bounds = match &self.key {
            Some(key) => self.driver.bounds(&self.select, key)?.map(|bounds| (key, bounds)),
            None => None,
        };
        let Some((key, (least, most))) = bounds else { return Ok(vec![split(ALL.into(), self.select.clone())]) };
        let ranges = ranges(key, least, most, self.partitions);
        Ok(ranges
            .into_iter()
            .map(|range| {
                let end = |end: Option<i64>| end.map(|e| e.to_string()).unwrap_or_default();
                let name = format!("{}..{}", end(range.from), end(range.to));
                split(name, Select { range: Some(range), ..self.select.clone() })
            })
            .collect())
    }
}

/// Cuts `least..=most` into `parts` of equal width. The outer ends are open, so that no row is missed whatever its key is.
fn ranges(column: &str, least: i64, most: i64, parts: usize) -> Vec<Range> {
    let width = i128::from(most) - i128::from(least) + 1;
    let parts = (parts as i128).clamp(1, width);
    let cut = |i: i128| i64::try_from(i128::from(least) + width * i / parts).ok();
    (0..parts)
        .map(|i| Range {
            column: column.to_string(),
            from: if i == 0 { None } else { cut(i) },
            to: if i + 1 == parts { None } else { cut(i + 1) },
        })
        .collect()
}

struct Part {
    name: String,
    select: Select,
    driver: Arc<dyn Driver>,
}

impl Split for Part {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        self.driver.read(&self.select, task)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
