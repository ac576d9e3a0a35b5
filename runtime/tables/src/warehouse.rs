//! `Warehouse`: rows into a table of a database, all in one transaction, exactly once.

use crate::connect;
use selvedge_connect::Connectors;
use selvedge_connect::database::{self, Change, Distribution, Drift, Load};
use selvedge_node::prelude::*;
use std::marker::PhantomData;

pub struct Warehouse<C>(PhantomData<C>);

/// How the table changes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
pub enum Mode {
    /// Rows are added.
    #[default]
    Append,
    /// The rows of this run take the place of all that are there. The table itself, with its indexes, stays.
    Replace,
    /// Rows whose keys are there are updated, others added. Of several rows with equal keys in one run, the last wins.
    Upsert(Vec<Column>),
}

/// What happens when the table lacks a column of the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum OnDrift {
    /// The plan is refused.
    #[default]
    Fail,
    /// The column is added, empty in the rows that are there.
    AddColumns,
}

/// On which of its slices Redshift puts the rows of a table that it makes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub enum Dist {
    Even,
    /// All rows on all nodes.
    All,
    /// Rows with equal values in this column together.
    Key(Column),
}

/// How Redshift lays out a table that it makes. Other databases have nothing like it, and let it be.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// `Even`, `All` or `Key("sku")`. Without it Redshift decides.
    dist: Option<Dist>,
    /// Columns that the rows are sorted by.
    #[serde(default)]
    sort: Vec<Column>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A database connection: `Sqlite(path: "warehouse.db")`, `Postgres(host: "…", database: "retail", …)` or `Redshift(…)`.
    connection: Spanned<String>,
    /// The table to load.
    table: Spanned<String>,
    /// `Append` (the default), `Replace` or `Upsert(["key", …])`.
    #[serde(default)]
    mode: Mode,
    /// Make the table (and for SQLite its file) from the input's columns if there is none.
    #[serde(default = "yes")]
    create: bool,
    /// `Fail` (the default) or `AddColumns`.
    #[serde(default)]
    drift: OnDrift,
    /// For Redshift: `(dist: Key("sku"), sort: ["day"])`.
    #[serde(default)]
    redshift: Layout,
}

fn yes() -> bool {
    true
}

impl<C: Connectors> Kind for Warehouse<C> {
    const NAME: &'static str = "Warehouse";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "loads rows into a table: append, replace or upsert, in one transaction";
    const DOCS: &'static str = r#"Loads into SQLite (`Sqlite(path: "warehouse.db")`), PostgreSQL and Redshift.

### PostgreSQL
`Postgres(host: "…", database: "retail", user: "etl", password: "${secret:retail}", schema: "public")`, as for `Table`. Rows are copied as they come, by COPY,
into a table `_selvedge_stage_…` beside the target. When the whole run is done, one transaction makes the table if need be, checks the number
of the staged rows, takes them, and notes the run in `_selvedge_commits`: a commit that is repeated, or whose answer was lost, finds its note
and does nothing. **Replace** deletes and adds in one transaction: readers see the old rows or the new ones. **Upsert** makes a new table with a
unique key; one that is there works without, but faster with.

Booleans are `boolean`, integers `smallint`, `integer` and `bigint` (unsigned ones the next wider, UInt64 `numeric(20,0)`), floats `real` and `double
precision`, decimals `numeric(p,s)`, text `text`, binary `bytea`, dates `date`, times `timestamp` and `timestamptz`. Nested columns and
nanoseconds are refused by the plan. Into a table that is there, text goes to json, uuid, enums and network addresses, too.

Rejected rows: `warehouse.key`, and as `warehouse.constraint` what a column cannot hold (too long, out of range, no JSON, null where it must not be).
What only all rows together break (UNIQUE, FOREIGN KEY) or a CHECK refuses stops the load; nothing is loaded then.

### Redshift
```ron
// part of connections.ron
{ "warehouse": Redshift(
    host: "retail.eu-west-1.redshift.amazonaws.com", database: "retail", user: "etl", password: "${secret:REDSHIFT}",
    staging: (url: "s3://retail-staging/redshift", region: "eu-west-1"),
    copy: Role("arn:aws:iam::123456789012:role/load"),
) }
```

Rows become Parquet parts in the bucket of `staging` (settings of an `ObjectStore`), of some 64 MiB, while they come. When the whole run is done, the parts are completed and listed in a manifest; one
transaction copies them into a temporary table, compares the number of rows, moves them to the target and notes the run in `_selvedge_commits`. Then they are removed. Give the bucket a
lifecycle rule that ends multipart uploads after some days: runs that were killed leave some. `copy` is how Redshift gets into the bucket: `DefaultRole`, `Role("arn:…")`, or `Keys`, those of
`staging`. Redshift's role needs to read there; ours to read, write and remove. `tls` is `Require` unless told: `VerifyFull(ca: "…")` is better, `Disable` for tunnels.

**Replace** is DELETE and INSERT: readers see the old rows or the new ones, and VACUUM is the cluster's. **Upsert** is a MERGE. A table that is made has keys NOT NULL and, where the node says so, a layout:
`redshift: (dist: Key("sku"), sort: ["day"])`; other databases let that be. Names keep upper and lower case.

Types are those of PostgreSQL, but text is `varchar(65535)`, binary `varbyte`, UInt64 `decimal(20,0)`. Into a table that is there, a column must hold every value of the type that comes, as the plan
tells; text goes to SUPER by JSON_PARSE. Rejected rows: `warehouse.key`; as `warehouse.constraint` a null where it must not be, text of more bytes than the column takes or with a
zero character. What only Redshift can tell stops the load; nothing is loaded then.

### SQLite
**All or nothing, once.** Rows are staged in a file beside the database, so that others can use it meanwhile. When the whole run is done,
one transaction makes the table if need be, takes the staged rows, checks that their number is the number written, and notes the run in
`_selvedge_commits`. A commit that is repeated finds its note and does nothing. Several graphs may load into one file: they wait for each
other (`busy_seconds` of the connection, 30 unless told).

**Streams.** In a graph that never ends, what has come is loaded again and again, a transaction each time (an epoch), as often as the
graph's sinks want it. **Replace** empties the table with the first epoch of a run, and later epochs add; a stream that is to go on
after a restart wants **Append** or **Upsert**. Of several rows with equal keys in different epochs of an upsert the last wins, too.

**Upsert** wants keys that are not null. A table made by an upsert gets a unique index on them; one that is there works without, but faster
with. Columns of the table that the input lacks keep their values in updated rows, and have their default in new ones.

**Types.** Text is TEXT, booleans BOOLEAN (0, 1), integers BIGINT, INT4, SMALLINT, TINYINT, floats DOUBLE and FLOAT4, binary BLOB, dates
and timestamps ISO 8601 text of fixed width (instants in UTC with a `Z`). Decimals of up to 15 digits are DECIMAL(p,s), stored as numbers that SQL
can compare and sum; longer ones are DECIMAL_TEXT(p,s), stored as text, since a number of SQLite would lose digits. `Table` reads all of
them back as they were, but for these: a time zone other than UTC becomes UTC, and NaN, which SQLite has not, becomes null; its row is
reported as altered (`NaN became null: price`). Nested columns and unsigned 64-bit integers are refused by the plan.

**Drift.** The plan compares the input with the table: a column that the table lacks, a type that does not fit, a column that the table
needs and the input lacks.

Rejected rows: `warehouse.constraint` (the table's own NOT NULL, CHECK, UNIQUE or FOREIGN KEY refuses the row; of two rows in one run, the
second), `warehouse.key` (null in a key of an upsert), `warehouse.range` (a date outside of the years 0 to 9999)."#;
    const EXAMPLE: &'static str =
        r#"Warehouse(input: "tidy", connection: "warehouse", table: "inventory", mode: Upsert(["sku", "store_id"]))"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_else(|| Arc::new(Schema::empty()));
        let lower = config.table.to_ascii_lowercase();
        if config.table.is_empty() || lower.starts_with("sqlite_") || lower.starts_with("_selvedge_") {
            problems.push(
                Problem::error(config.table.span, format!("a table cannot be named `{}`", config.table))
                    .help("names that start with `sqlite_` or `_selvedge_` are taken"),
            );
        }
        if schema.fields().is_empty() {
            problems.push(site.error("there is no column to load").help("a table needs at least one column"));
        }
        let change = match &config.mode {
            Mode::Append => Change::Append,
            Mode::Replace => Change::Replace,
            Mode::Upsert(keys) => {
                let found = problems.take(columns(&schema, keys));
                if keys.is_empty() {
                    problems.push(site.error("an upsert needs keys").help("mode: Upsert([\"sku\", \"store_id\"])"));
                }
                for (i, key) in keys.iter().enumerate().filter(|(i, key)| keys[..*i].contains(key)) {
                    problems.push(Problem::error(key.span, format!("key {} is `{key}` again", i + 1)));
                }
                for (key, index) in keys.iter().zip(found.unwrap_or_default()) {
                    if schema.field(index).data_type().is_floating() {
                        let text =
                            format!("column `{key}` of type {} cannot be a key", schema.field(index).data_type());
                        problems.push(Problem::error(key.span, text).help("cast it to a Decimal or Int64 first"));
                    }
                }
                Change::Upsert(keys.iter().map(|k| k.value.clone()).collect())
            }
        };
        let named = config.redshift.dist.iter().filter_map(|dist| match dist {
            Dist::Key(column) => Some(column.clone()),
            Dist::Even | Dist::All => None,
        });
        problems.take(columns(&schema, &named.chain(config.redshift.sort.iter().cloned()).collect::<Vec<_>>()));
        let layout = database::Layout {
            distribution: config.redshift.dist.map(|dist| match dist {
                Dist::Even => Distribution::Even,
                Dist::All => Distribution::All,
                Dist::Key(column) => Distribution::Key(column.value),
            }),
            sort: config.redshift.sort.into_iter().map(|c| c.value).collect(),
        };
        let driver = problems.take(connect::<C>(site, &config.connection));
        let Some(driver) = driver.filter(|_| !problems.has_errors()) else { return Err(problems) };
        let load = Load {
            table: config.table.value.clone(),
            schema,
            change,
            create: config.create,
            drift: match config.drift {
                OnDrift::Fail => Drift::Fail,
                OnDrift::AddColumns => Drift::AddColumns,
            },
            layout,
            node: format!("{}/{}", site.graph, site.node),
            span: config.table.span,
        };
        match driver.check(&load) {
            Ok(found) => problems.0.extend(found.0),
            Err(e) => {
                let problem = Problem::error(config.connection.span, &e.message);
                problems.push(match e.help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
            }
        }
        let replaces = load.change != Change::Append;
        let together = driver.compares_rows(&load).unwrap_or(true);
        let note = format!("table {} of {}", load.table, driver.place());
        let target = format!("table {} of {}", load.table.to_lowercase(), driver.place());
        let built = Built::new(vec![], Work::Sink(driver.sink(load)));
        problems.or(Built { partitioning: Partitioning::Single, ..built }
            .may_reject(true)
            .flushes_once(together)
            .replaces(replaces)
            .target(target)
            .note(note))
    }
}
