//! Event time of one shard: the latest seen, the watermark that follows it, and rows that come from the future.

use arrow::array::{AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::{cast, filter_record_batch, max, not};
use arrow::datatypes::{TimeUnit, TimestampMicrosecondType};
use selvedge_node::{Period, Watermark, column_of_type, prelude::*};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// `(column: "at", lateness: "10s")`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// A timestamp: when the event happened. Without a time zone it is taken as UTC.
    column: Column,
    /// How much later than the latest event of its shard an event may come: `"500ms"`, `"10s"`, `"5m"`, `"1h"`.
    lateness: Period,
    /// A shard without new rows for so long no longer holds the others back.
    #[serde(default = "idle")]
    idle: Period,
    /// Events further ahead of this machine's clock are rejected.
    #[serde(default = "future")]
    future: Period,
}

fn idle() -> Period {
    Period(30_000_000)
}
fn future() -> Period {
    Period(3_600_000_000)
}

/// What a clock goes by.
#[derive(Debug, Clone)]
pub struct Rules {
    column: usize,
    name: String,
    lateness: i64,
    idle: Duration,
    future: i64,
}

impl Rules {
    pub fn new(setting: &Setting, schema: &Schema) -> std::result::Result<Rules, Problem> {
        let wanted = |ty: &DataType| matches!(ty, DataType::Timestamp(..));
        Ok(Rules {
            column: column_of_type(schema, &setting.column, "a timestamp", wanted)?,
            name: setting.column.value.clone(),
            lateness: setting.lateness.0,
            idle: setting.idle.duration(),
            future: setting.future.0,
        })
    }
}

/// The clock of one shard.
pub struct Clock {
    rules: Rules,
    /// The latest event, in microseconds since 1970.
    latest: Option<i64>,
    /// Since when there has been nothing to read.
    waiting: Option<Instant>,
}

impl Clock {
    pub fn new(rules: Rules, latest: Option<i64>) -> Clock {
        Clock { rules, latest, waiting: None }
    }

    pub fn latest(&self) -> Option<i64> {
        self.latest
    }

    pub fn watermark(&self) -> Watermark {
        match self.latest {
            _ if self.waiting.is_some_and(|since| since.elapsed() >= self.rules.idle) => Watermark::Idle,
            Some(latest) => Watermark::At(latest.saturating_sub(self.rules.lateness)),
            None => Watermark::None,
        }
    }

    /// There is nothing to read: how long until the shard counts as idle, if it does not yet.
    pub fn wait(&mut self) -> Option<Duration> {
        let since = self.waiting.get_or_insert_with(Instant::now);
        self.rules.idle.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
    }

    /// Takes note of the times of a batch, and rejects what comes from the future.
    fn pass(&mut self, batch: RecordBatch, out: &mut dyn Out) -> Result<RecordBatch> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let times = cast(batch.column(self.rules.column), &micros)?;
        let times: &PrimitiveArray<TimestampMicrosecondType> = times.as_primitive();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
        let limit = now.saturating_add(self.rules.future);
        self.waiting = None;
        let latest = max(times);
        if latest.is_none_or(|latest| latest <= limit) {
            self.latest = self.latest.max(latest);
            return Ok(batch);
        }
        let ahead = BooleanArray::from_iter(times.iter().map(|t| Some(t.is_some_and(|t| t > limit))));
        let rows: Vec<usize> = ahead.values().set_indices().collect();
        let story = |row: usize| {
            let by = Duration::from_micros(times.value(row).abs_diff(now)).as_secs();
            format!("`{}` is {by} s ahead of the clock of this machine", self.rules.name)
        };
        out.reject_rows("time.future", &batch, &rows, &story)?;
        let kept = filter_record_batch(&batch, &not(&ahead)?)?;
        self.latest = self.latest.max(times.iter().flatten().filter(|t| *t <= limit).max());
        Ok(kept)
    }
}

/// The way out of a shard's reader, by its clock.
pub struct Timed<'a> {
    pub out: &'a mut dyn Out,
    pub clock: Option<&'a mut Clock>,
}

impl Out for Timed<'_> {
    fn send(&mut self, port: usize, batch: RecordBatch) -> Result<()> {
        let batch = match &mut self.clock {
            Some(clock) => clock.pass(batch, self.out)?,
            None => batch,
        };
        self.out.send(port, batch)
    }
    fn drop_rows(&mut self, reason: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        self.out.drop_rows(reason, count, samples);
    }
    fn altered(&mut self, what: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        self.out.altered(what, count, samples);
    }
    fn reject(&mut self, rejection: Rejection) -> Result<()> {
        self.out.reject(rejection)
    }
    fn absorb(&mut self, reason: &str, rows: u64) {
        self.out.absorb(reason, rows);
    }
    fn create(&mut self, reason: &str, rows: u64) {
        self.out.create(reason, rows);
    }
    fn count(&mut self, name: &str, value: u64) {
        self.out.count(name, value);
    }
    fn publish_soon(&mut self) {
        self.out.publish_soon();
    }
    fn stopping(&self) -> bool {
        self.out.stopping()
    }
}
