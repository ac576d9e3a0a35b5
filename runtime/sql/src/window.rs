//! `Window`: one row for each group of rows and each window of time.

mod closing;
mod panes;
mod spans;
mod state;
mod times;

use crate::aggregate::CompiledAggregate;
use crate::grouping::batch_of;
use crate::grouping::groups::{self, Results};
use crate::grouping::split::split;
use crate::named::Named;
use arrow::datatypes::TimeUnit;
use selvedge_node::Period;
use selvedge_node::prelude::*;
use selvedge_state::RowHasher;
use spans::Spans;
use state::State;

/// See [`Kind::ABOUT`].
pub struct Window;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns whose values make a group; null is a value like any other. Without any, all rows are one group.
    #[serde(default)]
    keys: Vec<Column>,
    /// The event time: a timestamp or a date (its midnight). One without a time zone is taken as UTC.
    time: Column,
    /// Which windows there are.
    window: Spanned<Spanning>,
    /// Tumbling and sliding windows start so much after 1970-01-01T00:00:00Z and its repetitions: with `Tumbling("1d")` and
    /// `offset: "6h"`, at six in the morning UTC.
    offset: Option<Spanned<Period>>,
    /// Result columns by name, as in Aggregate: SQL expressions over aggregates, such as `count(*)`, `sum(price) / count(*)`. Columns of
    /// `keys`, `window_start` and `window_end` may be used besides.
    aggregates: Named,
}

/// Lengths of time: `"500ms"`, `"90s"`, `"1h30m"`, `"7d"`, down to `"1us"`, up to `"36525d"`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub enum Spanning {
    /// Windows of this length, one after the other: `Tumbling("1m")`.
    Tumbling(Period),
    /// Windows of length `size`, a new one `every` so often: `Sliding(size: "5m", every: "1m")`.
    Sliding { size: Period, every: Period },
    /// Rows that follow each other by less than `gap`. A session ends `gap` after its last row: `Session(gap: "30m")`.
    Session { gap: Period },
    /// Windows of this length, each of which opens at the first row of its key that no window before it has: `Stagger("1m")`.
    Stagger(Period),
}

/// The columns of the result between keys and aggregates.
const BOUNDS: [&str; 2] = ["window_start", "window_end"];
/// The most windows that a row may be in.
const MOST: i64 = 100_000;
/// Windows that are sent together, where there are as many.
const WINDOW_ROWS: usize = 8192;

impl Kind for Window {
    const NAME: &'static str = "Window";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str =
        "makes one row of each group of rows in each window of time: sums, counts, extremes, means";
    const DOCS: &'static str = "\
The output has the columns of `keys`, then `window_start` (included) and `window_end` (not included), timestamps in microseconds with \
the time zone of `time`, then those of `aggregates`, in no particular order of rows. Windows without a row do not appear. Aggregate \
functions are those of Aggregate. A time is taken to the microsecond.

**Windows.** `Tumbling`: of one length, without gaps. `Sliding` (hopping): a row is in `size / every` of them, at most 100,000; \
`every` is at most `size`. `Session`: rows of a key whose times are less than `gap` apart, in whatever order they come; \
`window_start` is the time of the first, `window_end` that of the last and `gap`. `Stagger`, as Kinesis Data Analytics had it: a window of \
a key opens at its first record and takes what comes within its length; the next record after that opens the next. First means in \
the order of event time, not of arrival. Tumbling and sliding windows are aligned to 1970 in UTC and `offset`, so that those of a day \
do not follow a time zone's summer time.

**In a stream** a window is sent when the watermark has come to its end; where more than 30,000 are held, some wait until a quarter \
as many rows have come, so that looking for them stays cheap. A row older than the watermark goes to the port `late`, as it came, \
if all its windows are over: for `Tumbling` and `Sliding` those around it, for `Session` the one that it would open by itself, even \
where a session around it is not over. For `Stagger` every row older than the watermark is late: it could open a window before one that \
has opened. How late rows may be is said where the watermark is made. For what follows, the event time of a window is its end less a microsecond: \
name `window_end` as its `time`. **In a graph that ends** everything is sent at the end, no row is late, and the result does not depend \
on the order in which rows came, but for functions such as `first_value` and the last digits of sums of floats.

**State.** For each key there is one partial result for each span that its windows have in common (the window itself; for \
`Sliding` the greatest common divisor of `size` and `every`; for `Session` at most one for each `gap` and one for each open session; \
for `Stagger` one for each time that is not older than the watermark and one for each open window), not the rows. So a key with a billion rows costs \
what its windows cost. A row of a sliding window is taken once; the partial results of a window are merged when it is sent. What does not fit \
into the memory budget goes to disk and is sorted there by key and time when windows end. `array_agg`, `count(distinct …)`, \
`median` and the like hold values inside of partial results.

**Ledger**: rows that came are absorbed as `grouped` or sent to `late`; rows that go are created as `windows`.

**Rejected rows**: code `no_time`, the time is null; `time_out_of_range`, it lies more than 146,000 years from 1970; `expression`, an argument \
could not be computed (an overflow, a failed `cast`). No row is dropped.

Deviations: from Flink, a late row never enters a session that is still open by other rows alone; from Spark, `time` may not be null and a window \
is two columns, not a struct.";
    const EXAMPLE: &'static str = "\
Window(input: \"events\", keys: [\"user_id\"], time: \"ts\", window: Sliding(size: \"5m\", every: \"1m\"), \
aggregates: {\"clicks\": \"count(*)\", \"spent\": \"sum(price)\"})";
    type Config = Config;

    fn ports(_: &Config) -> Ports {
        Ports { inputs: Inputs::One, outputs: vec!["out".into(), "late".into()] }
    }

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let schema = &inputs[0].schema;
        let by = problems.take(columns(schema, &config.keys)).unwrap_or_default();
        for (_, name) in config.keys.iter().enumerate().filter(|(i, name)| config.keys[..*i].contains(name)) {
            problems.push(Problem::error(name.span, format!("column `{name}` stands in `keys` twice")));
        }
        let time = problems.take(column_of_type(schema, &config.time, "a timestamp or a date", times::is_time));
        let spans = problems.take(spans_of(&config));
        let hasher = match RowHasher::new(schema, &by) {
            Ok(hasher) => Some(hasher),
            Err(e) => {
                let span = config.keys.first().map_or(inputs[0].span, |c| c.span);
                problems.push(Problem::error(span, e.message).help(e.help.unwrap_or_default()));
                None
            }
        };
        let zone = match time.map(|time| schema.field(time).data_type()) {
            Some(DataType::Timestamp(_, zone)) => zone.clone(),
            _ => None,
        };
        let keys: SchemaRef = Arc::new(schema.project(&by).map_err(|e| Problem::nowhere(e.to_string()))?);
        let bound = |name| Arc::new(Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, zone.clone()), false));
        let mut known: Vec<_> = keys.fields().iter().cloned().collect();
        known.extend(BOUNDS.map(bound));
        let known: SchemaRef = Arc::new(Schema::new(known));
        for name in config.keys.iter().chain(config.aggregates.0.iter().map(|(name, _)| name)) {
            if BOUNDS.contains(&name.as_str()) {
                problems.push(
                    Problem::error(name.span, format!("the result has `{name}` already, a bound of its window"))
                        .help("give the column another name"),
                );
            }
        }
        for (name, _) in config.aggregates.0.iter().filter(|(name, _)| config.keys.contains(name)) {
            problems.push(
                Problem::error(name.span, format!("the result has `{name}` already, from `keys`"))
                    .help("give it another name"),
            );
        }
        let clear = by.iter().all(|&c| !BOUNDS.contains(&schema.field(c).name().as_str()));
        let planned = clear.then(|| problems.take(split(schema, &known, &config.aggregates.0))).flatten();
        let (Some(hasher), Some(planned), Some(time), Some(spans)) = (hasher, planned, time, spans) else {
            return Err(problems);
        };
        problems.or(())?;

        let mut fields: Vec<_> = known.fields().iter().cloned().collect();
        fields.extend(planned.columns.iter().map(|c| Arc::new(c.field.clone())));
        let output: SchemaRef = Arc::new(Schema::new(fields));
        let partitioning = if by.is_empty() { Partitioning::Single } else { Partitioning::Keys(vec![by.clone()]) };
        let states = groups::stored(&keys, &planned.aggregates)?;
        let plan = Arc::new(Plan {
            by,
            time,
            spans,
            zone,
            hasher,
            keys,
            stored: panes::stored(&states),
            states,
            aggregates: planned.aggregates,
            results: Results {
                merged: planned.merged,
                columns: planned.columns,
                output: output.clone(),
                made: "windows",
            },
        });
        let built = Built::transform(output.clone(), partitioning, move |task| State::new(plan.clone(), task));
        Ok(built.outputs(vec![output, schema.clone()]).may_reject(true).time(EventTime::Needs).saves())
    }
}

fn spans_of(config: &Config) -> std::result::Result<Spans, Problem> {
    let place = config.window.span;
    let offset = config.offset.as_ref().map_or(0, |o| o.value.0);
    let spans = match config.window.value {
        Spanning::Tumbling(size) => Spans::aligned(size.0, size.0, offset),
        Spanning::Sliding { size, every } if every.0 > size.0 => {
            return Err(Problem::error(
                place,
                "`every` is longer than `size`: rows between two windows would be in none",
            )
            .help("make `every` at most `size`, or drop those rows with Filter and use Tumbling"));
        }
        Spanning::Sliding { size, every } if size.0 / every.0 > MOST => {
            let windows = size.0 / every.0;
            return Err(Problem::error(
                place,
                format!("every row would be in {windows} windows: at most {MOST} will do"),
            )
            .help("make `every` longer or `size` shorter"));
        }
        Spanning::Sliding { size, every } => Spans::aligned(size.0, every.0, offset),
        Spanning::Session { gap } => Spans::Session { gap: gap.0 },
        Spanning::Stagger(size) => Spans::Stagger { size: size.0 },
    };
    match &config.offset {
        Some(offset) if !matches!(spans, Spans::Aligned { .. }) => {
            Err(Problem::error(offset.span, "these windows start at rows: there is nothing to shift")
                .help("leave `offset` out, or use Tumbling or Sliding"))
        }
        _ => Ok(spans),
    }
}

/// What all instances share.
struct Plan {
    by: Vec<usize>,
    time: usize,
    spans: Spans,
    /// The time zone of window bounds.
    zone: Option<Arc<str>>,
    hasher: RowHasher,
    /// Columns of `keys`.
    keys: SchemaRef,
    aggregates: Vec<CompiledAggregate>,
    /// Columns of `keys`, then the states of `aggregates`.
    states: SchemaRef,
    /// Those, then times and hash.
    stored: SchemaRef,
    results: Results,
}

impl Plan {
    /// The key columns of stored rows.
    fn keys_of(&self, stored: &RecordBatch) -> Result<RecordBatch> {
        batch_of(&self.keys, stored.columns()[..self.by.len()].to_vec(), stored.num_rows())
    }
}

#[cfg(test)]
mod tests;
