//! `GroupSort`: the rows of each key in order of time, in sessions that a pause ends.

mod far;
mod held;
mod runs;
mod session;
mod work;

use arrow::datatypes::TimeUnit;
use selvedge_node::prelude::*;
use selvedge_node::{EventTime, Period};
use selvedge_state::RowHasher;
use session::Rules;

pub(crate) struct GroupSort;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns whose values make a group: `["user_id"]`.
    keys: Spanned<Vec<Column>>,
    /// The column of event time: a timestamp or a date.
    time: Column,
    /// A pause longer than this ends a session: `"30m"`.
    gap: Period,
    /// A session ends this long after its first row, pause or not: `"24h"`. No end but a pause if left out.
    #[serde(default)]
    max_session: Option<Period>,
    /// A new column with the session's id: 32 hexadecimal digits.
    #[serde(default)]
    session: Option<Column>,
    /// A new column with the row's place in its session, from 1.
    #[serde(default)]
    position: Option<Column>,
}

impl Kind for GroupSort {
    const NAME: &'static str = "GroupSort";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "sends the rows of each key in order of time, one session after another";
    const DOCS: &'static str = "\
Rows of one key whose times are at most `gap` apart, directly or by way of others, are a session. With `max_session` a row that is \
that long or longer after the first row of its session begins the next one. The rows of a session leave together and in order \
of time; rows of equal time in the order of their arrival. Batches hold many sessions; only a session longer than a batch is cut.

**In a stream** a session leaves when the watermark has passed its last row by more than `gap`, or its first row by `max_session`. \
A row before the watermark that belongs to no session still held leaves by the port `late`, as it came. Without `max_session` \
a key that never pauses is held for ever: give one. **In a bounded run** everything leaves at the end, in the same sessions, \
key by key, and nothing is late.

**Errors.** A row with a null in a key is rejected as `null_key`, one with a null time, or one beyond the years that 64 bits of \
microseconds can tell (of nanoseconds, if the column has them), as `null_time`.

**Ids.** `session` depends on the key and the time of the session's first row only: a repeated run gives the same.

**State.** Rows are held in memory as they came, with about 40 bytes for each row and 200 for each open session. What exceeds the \
node's share of the memory budget goes to the scratch folder. In a stream whole sessions go, those first that are due last, and \
come back when event time has reached the moment at which they are due; until then about three bytes of each stay in memory, \
and a row whose key is on disk costs a read of 1 KiB. So a row is written once, or once more in each `gap` that its session \
goes on. Nothing else changes: the same sessions leave at the same time, and the same rows are late. Only a session larger than \
a thirty-second of the memory budget comes back later: its rows are sorted by key and time on disk, and leave when they are a \
quarter of all that is there, or once in a `gap`. A stream stops and says so when not even what is known of its sessions fits. \
In a bounded run everything beyond the budget is sorted on disk and merged at the end: also one key with more rows than fit.

Parallel, by the hash of the keys, which are compared by 128 bits of it (docs/decisions/0002-hash-is-identity.md).";
    const EXAMPLE: &'static str = r#"GroupSort(input: "events", keys: ["user_id"], time: "ts", gap: "30m", max_session: "24h", session: "session_id")"#;
    type Config = Config;

    fn ports(_: &Config) -> Ports {
        Ports { inputs: Inputs::One, outputs: vec!["out".into(), "late".into()] }
    }

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = inputs[0].schema.clone();
        let mut problems = Problems::default();
        if config.keys.is_empty() {
            problems.push(Problem::error(config.keys.span, "expected at least one key column").help("keys: [\"id\"]"));
        }
        crate::dedup::named_once(&config.keys, &mut problems);
        let keys = problems.take(columns(&schema, &config.keys)).unwrap_or_default();
        for (name, &key) in config.keys.iter().zip(&keys) {
            if let Err(e) = RowHasher::new(&schema, &[key]) {
                problems.push(Problem::error(name.span, e.message));
            }
        }
        let time = problems.take(time_column(&schema, &config.time));
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        let added = [(&config.session, DataType::Utf8), (&config.position, DataType::Int64)];
        for (name, ty) in added {
            let Some(name) = name else { continue };
            if fields.iter().any(|f| f.name() == &name.value) {
                let problem = Problem::error(name.span, format!("there is a column `{name}` already"));
                problems.push(problem.help("choose another name for the new column"));
            }
            fields.push(Arc::new(Field::new(name.value.clone(), ty, false)));
        }
        problems.or(())?;

        let time = time.unwrap_or_default();
        let clock = Clock::of(time, schema.field(time).data_type());
        let hasher = RowHasher::new(&schema, &keys).map_err(|e| Problem::error(inputs[0].span, e.message))?;
        let output = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let plan = Arc::new(work::Plan {
            rules: Rules {
                gap: clock.ticks(config.gap.0),
                max: config.max_session.map_or(i64::MAX, |max| clock.ticks(max.0)),
            },
            schema: schema.clone(),
            output: output.clone(),
            hasher,
            clock,
            session: config.session.is_some(),
            position: config.position.is_some(),
            unbounded: inputs[0].unbounded,
        });
        let make = move |task: &Task| Ok(work::Work::new(plan.clone(), task));
        let built = Built::transform(output.clone(), Partitioning::Keys(vec![keys]), make);
        Ok(built.outputs(vec![output, schema]).may_reject(true).time(EventTime::Needs).saves())
    }
}

/// A column that tells event time.
pub(crate) fn time_column(schema: &Schema, name: &Column) -> std::result::Result<usize, Problem> {
    let wanted = |ty: &DataType| matches!(ty, DataType::Timestamp(..) | DataType::Date32);
    column_of_type(schema, name, "a timestamp or a date", wanted)
}

/// Reads event times as ticks since 1970: nanoseconds where the column has them, else microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    column: usize,
    /// Ticks in a microsecond.
    scale: i64,
}

impl Clock {
    pub(crate) fn of(column: usize, ty: &DataType) -> Clock {
        let fine = matches!(ty, DataType::Timestamp(TimeUnit::Nanosecond, _));
        Clock { column, scale: if fine { 1000 } else { 1 } }
    }
    /// Clocks of several columns that tell time in the same ticks.
    pub(crate) fn alike<const N: usize>(columns: [(usize, &DataType); N]) -> [Clock; N] {
        let clocks = columns.map(|(column, ty)| Clock::of(column, ty));
        let scale = clocks.iter().map(|c| c.scale).max().unwrap_or(1);
        clocks.map(|clock| Clock { scale, ..clock })
    }
    pub(crate) fn ticks(&self, micros: i64) -> i64 {
        micros.saturating_mul(self.scale)
    }
    pub(crate) fn micros(&self, ticks: i64) -> i64 {
        ticks.div_euclid(self.scale)
    }
    /// The time of each row, null where there is none or it cannot be told in 64 bits.
    pub(crate) fn read(&self, batch: &RecordBatch) -> Result<arrow::array::Int64Array> {
        let unit = if self.scale == 1 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond };
        let times = arrow::compute::cast(batch.column(self.column), &DataType::Timestamp(unit, None))?;
        Ok(arrow::array::AsArray::as_primitive(&arrow::compute::cast(&times, &DataType::Int64)?).clone())
    }
    /// The rows that have a time, and their times; the others are rejected as `null_time`.
    pub(crate) fn timed(
        &self,
        batch: RecordBatch,
        out: &mut dyn Out,
    ) -> Result<(RecordBatch, arrow::array::Int64Array)> {
        let times = self.read(&batch)?;
        if times.null_count() == 0 {
            return Ok((batch, times));
        }
        let bad: Vec<usize> = (0..batch.num_rows()).filter(|&row| times.is_null(row)).collect();
        let story = |_| "expected a time, found null or one too far from 1970 to be told in 64 bits".to_string();
        out.reject_rows("null_time", &batch, &bad, &story)?;
        let good = arrow::compute::is_not_null(&times)?;
        let batch = arrow::compute::filter_record_batch(&batch, &good)?;
        let times = arrow::array::AsArray::as_primitive(&arrow::compute::filter(&times, &good)?).clone();
        Ok((batch, times))
    }
}

#[cfg(test)]
#[path = "group_sort/tests.rs"]
mod tests;
