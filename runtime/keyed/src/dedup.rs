//! `Dedup`: one row for each key.

mod best;
mod distinct;
mod order;
mod recent;

use crate::group_sort::{Clock, time_column};
use selvedge_node::prelude::*;
use selvedge_node::{EventTime, Period, Span};
use selvedge_state::RowHasher;
use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};

pub(crate) struct Dedup;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns that tell one thing from another. The whole row if left out: only exact copies are dropped.
    #[serde(default)]
    keys: Option<Spanned<Vec<Column>>>,
    /// Which row of a key to keep.
    #[serde(default)]
    keep: Keep,
    /// How long a key is remembered: `(time: "ts", for: "24h")` in event time, or `(rows: 1000000)`. For ever if left out, which
    /// rows that never end do not allow.
    #[serde(default)]
    within: Option<Spanned<Within>>,
}

/// How long a key is remembered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Within {
    /// The column of event time: a timestamp or a date. With `for`.
    #[serde(default)]
    time: Option<Column>,
    /// A row is a duplicate if one of its key was sent at most this much earlier or later: `"24h"`. With `time`.
    #[serde(rename = "for", default)]
    length: Option<Spanned<Period>>,
    /// A row is a duplicate if one of its key is among this many rows that were sent last. Instead of `time` and `for`.
    #[serde(default)]
    rows: Option<Spanned<u64>>,
}

impl Within {
    fn resolve(&self, span: Span, schema: &Schema) -> std::result::Result<recent::Within, Problem> {
        match (&self.time, &self.length, &self.rows) {
            (Some(time), Some(length), None) => {
                let time = time_column(schema, time)?;
                let clock = Clock::of(time, schema.field(time).data_type());
                let length = clock.ticks(length.value.0);
                Ok(recent::Within::Time(clock, length))
            }
            (None, None, Some(rows)) => match i64::try_from(rows.value) {
                Ok(rows) if rows > 0 => Ok(recent::Within::Rows(rows)),
                _ => Err(Problem::error(
                    rows.span,
                    format!("expected from 1 to {} rows, found {}", i64::MAX, rows.value),
                )),
            },
            _ => Err(Problem::error(span, "expected either `time` and `for`, or `rows`")
                .help("within: (time: \"ts\", for: \"24h\"), or within: (rows: 1000000)")),
        }
    }
}

/// Which row of a key to keep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
enum Keep {
    /// Whichever is met first: the fastest, but with parallel input not always the same row. Spark's `dropDuplicates`.
    Any,
    /// The first row, or the one with the smallest values in `by`.
    First {
        #[serde(default)]
        by: Option<Spanned<By>>,
    },
    /// The last row, or the one with the largest values in `by`.
    Last {
        #[serde(default)]
        by: Option<Spanned<By>>,
    },
}

impl Default for Keep {
    fn default() -> Keep {
        Keep::First { by: None }
    }
}

/// A column, or several, the most important first.
#[derive(Debug, Clone)]
struct By(Vec<Column>);

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<By, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = By;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a column or a list of columns")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<By, E> {
                Ok(By(vec![Column::new(name.to_string(), Default::default())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<By, A::Error> {
                let mut names = vec![];
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(By(names))
            }
        }
        d.deserialize_any(V)
    }
}

impl JsonSchema for By {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "By".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

impl Kind for Dedup {
    const NAME: &'static str = "Dedup";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "keeps one row for each key, or drops exact copies of rows";
    const DOCS: &'static str = "\
Rows are the same if they agree in all of `keys`, or in every column if there are no `keys`. Null equals null, -0.0 equals 0.0, \
NaN equals NaN. The rows that are not kept are dropped as `duplicate`.

| keep | the row that stays | rows wait? | instances |
|---|---|---|---|
| without `keys` | any: they are all the same | no | parallel, by hash |
| `Any` | the first to arrive, whatever its source | no | parallel, by hash |
| `First` (the default) | the first in the order of the source | no | one |
| `Last` | the last in the order of the source | until the input ends | one |
| `First(by: \"a\")`, `First(by: [\"a\", \"b\"])` | the smallest in `a`, then in `b` | until the input ends | parallel, by hash |
| `Last(by: \"a\")`, `Last(by: [\"a\", \"b\"])` | the largest in `a`, then in `b` | until the input ends | parallel, by hash |

`First` and `Last` without `by` keep everything before them on one thread; with `by` the result is the same however the rows \
arrive: a null in `by` loses to any value, and among rows that are equal in `by` the one with the larger 128-bit hash of the \
whole row stays. NaN counts as larger than infinity, text is compared by its bytes.

**In a stream** give `within`, so that keys are forgotten. With `time` and `for` a row is a duplicate if its time is at most \
`for` away from that of the latest row of its key that was sent; what is older than the watermark by more than `for` is forgotten, \
and a row whose time is null is rejected as `null_time`. With `rows` a row is a duplicate if one of its key is among so many rows \
that were sent last, of any key: one instance counts them, also with `Any`. The first row to arrive stays, so that only `Any` and \
`First` without `by` go with `within`. Without it, and with any other `keep`, rows that never end are refused.

**What `within` takes.** About 40 bytes for each key that is remembered, in memory. What exceeds the node's share of the memory \
budget goes to the scratch folder, 24 bytes a key, and leaves it as a file when all keys in it are forgotten; of such a key 2.4 bytes \
stay in memory, and a row whose key is there costs a read of 1 KiB. If that does not fit either, the run stops and says so.

Keys are compared by a 128-bit hash (docs/decisions/0002-hash-is-identity.md). Memory: about 26 bytes for each different row or \
key where rows do not wait; where they do, the rows themselves. What exceeds the node's share of the memory budget goes to the \
scratch folder and is worked off, part by part, when the input ends. Output order is not input order.";
    const EXAMPLE: &'static str =
        r#"Dedup(input: "required", keys: ["sku", "store_id"], keep: Last(by: "updated_at"))"#;
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = inputs[0].schema.clone();
        let mut problems = Problems::default();
        let names = config.keys.as_ref().map(|k| k.value.clone()).unwrap_or_default();
        let keys = match &config.keys {
            None => (0..schema.fields().len()).collect(),
            Some(_) => problems.take(columns(&schema, &names)).unwrap_or_default(),
        };
        if let Some(none) = config.keys.as_ref().filter(|k| k.is_empty()) {
            let problem = Problem::error(none.span, "expected at least one key column");
            problems.push(problem.help("leave `keys` out to compare whole rows"));
        }
        named_once(&names, &mut problems);
        for (i, &key) in keys.iter().enumerate() {
            if let Err(e) = RowHasher::new(&schema, &[key]) {
                let mut problem = Problem::error(names.get(i).map_or(inputs[0].span, |n| n.span), e.message);
                problem.help = e.help;
                problems.push(problem);
            }
        }

        let (by, greatest, latest, any) = match config.keep {
            Keep::Any => (None, false, false, true),
            Keep::First { by } => (by, false, false, false),
            Keep::Last { by } => (by, true, true, false),
        };
        let order = match by {
            None => None,
            Some(by) => {
                let whole = config.keys.is_none();
                problems.take(order_of(by, whole, &schema)).map(|columns| order::Order::new(&schema, columns, greatest))
            }
        };
        let within = config.within.and_then(|within| {
            if latest || order.is_some() {
                let message =
                    "with `within` the first row to arrive is kept, not the last one nor one chosen by columns";
                problems.push(Problem::error(within.span, message).help("keep: First, or GroupSort before it"));
            }
            problems.take(within.resolve(within.span, &schema))
        });
        problems.or(())?;

        let hasher = RowHasher::new(&schema, &keys).map_err(|e| Problem::error(inputs[0].span, e.message))?;
        let output = schema.clone();
        let in_order = config.keys.is_some() && !any;
        let by_key = Partitioning::Keys(vec![keys]);
        if let Some(within) = within {
            let by_time = matches!(within, recent::Within::Time(..));
            // The rows that were sent last are those of all keys: one instance counts them.
            let partitioning = if in_order || !by_time { Partitioning::InOrder } else { by_key };
            let make = move |task: &Task| Ok(recent::Recent::new(&hasher, &within, task));
            let built = Built::transform(output, partitioning, make).may_reject(by_time).saves();
            return Ok(if by_time { built.time(EventTime::Needs) } else { built });
        }
        let waits =
            "give `within: (time: \"…\", for: \"24h\")` with `keep: Any` or `First`, so that keys are forgotten";
        if let Some(order) = order {
            let make = move |task: &Task| best::Best::new(&schema, &hasher, Some(order.clone()), task);
            return Ok(Built::transform(output, by_key, make).waits_for_end(waits).saves());
        }
        if latest && config.keys.is_some() {
            let make = move |task: &Task| best::Best::new(&schema, &hasher, None, task);
            return Ok(Built::transform(output, Partitioning::InOrder, make).waits_for_end(waits).saves());
        }
        let partitioning = if in_order { Partitioning::InOrder } else { by_key };
        let make = move |task: &Task| distinct::Distinct::new(&schema, &hasher, task);
        Ok(Built::transform(output, partitioning, make).waits_for_end(waits).saves())
    }
}

pub(crate) fn named_once(names: &[Column], problems: &mut Problems) {
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            problems.push(Problem::error(name.span, format!("column `{name}` is named twice")));
        }
    }
}

/// The columns of `by`, all of them fit to be ordered by.
fn order_of(by: Spanned<By>, whole: bool, schema: &Schema) -> std::result::Result<Vec<usize>, Problems> {
    let mut problems = Problems::default();
    // A single name stands where the whole value does.
    let placed =
        |c: &Column| if c.span == Default::default() { Column::new(c.value.clone(), by.span) } else { c.clone() };
    let names: Vec<Column> = by.value.0.iter().map(placed).collect();
    if names.is_empty() {
        problems.push(Problem::error(by.span, "expected at least one column to choose by"));
    }
    if whole {
        let problem = Problem::error(by.span, "`by` chooses among the rows of a key, but there are no `keys`");
        problems.push(problem.help("name the columns that tell one thing from another: keys: [\"id\"]"));
    }
    named_once(&names, &mut problems);
    let mut found = vec![];
    for name in &names {
        let Some(index) = problems.take(column(schema, name)) else { continue };
        let ty = schema.field(index).data_type();
        if !order::orders(ty) {
            problems.push(Problem::error(name.span, format!("column `{name}` has no order to choose by: it is {ty}")));
        }
        found.push(index);
    }
    problems.or(found)
}

#[cfg(test)]
#[path = "dedup/tests.rs"]
mod tests;
