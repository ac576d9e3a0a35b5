//! `SessionFeatures`: events of users as one row for each session, with what a recommender learns from.
//!
//! Source of the session: Google Analytics 4, "About Analytics sessions": 30 minutes without activity end one, nothing else does.
#![deny(unsafe_code)]

mod sessions;
mod state;
mod time;

use selvedge_guest::prelude::*;
use sessions::{Clock, Closed, Event, Session, Sessions};
use std::collections::BTreeMap;
use time::Ticks;

/// The kind.
pub struct SessionFeatures;

/// The settings.
pub struct Config {
    user: String,
    time: String,
    kind: Option<String>,
    item: Option<String>,
    gap: u32,
    lateness: u32,
    last_items: u32,
    counts: Vec<(String, Vec<String>)>,
}

/// The work.
pub struct Work {
    user: usize,
    time: usize,
    kind: Option<usize>,
    item: Option<usize>,
    last_items: usize,
    /// Users are numbers.
    numbers: bool,
    ticks: Ticks,
    /// By type of event: the columns in which it counts.
    counts: BTreeMap<String, Vec<usize>>,
    sessions: Sessions,
}

impl Kind for SessionFeatures {
    const NAME: &'static str = "SessionFeatures";
    const ABOUT: &'static str = "makes one row of features for each session of a user";
    const DOCS: &'static str = "\
Settings: `user` (a column of text or whole numbers), `time` (timestamps), `type` and `item` (text or whole numbers; may be left out), `counts` (a \
column of the output for each list of event types: `{\"views\": [\"view\"]}`), `gap_minutes` (30), `lateness_minutes` (60), `last_items` (10).

Each session becomes a row: the user, `session_id` (user and start: unique), `session_start`, `session_end`, `seconds`, `events`, the columns of \
`counts`, `distinct_items` and `last_items` (JSON, in the order they were there last) where there is `item`, `bounce` (only one event), `hour` (0 to \
23) and `weekday` (1 is Monday) of the start, in the time of the column.

More than `gap_minutes` without an event end a session. An event may be up to `lateness_minutes` older than the newest one of its user, and goes \
where it belongs, if need be joining two sessions. Sessions leave when no event in time can touch them any more; the last ones of each user \
with a watermark, or at the end. In memory are the open sessions and their items.

Events are absorbed as `grouped`, sessions created as `sessions`. Reject codes: `session.user` and `session.time` (null or empty), `session.late`.";
    const EXAMPLE: &'static str = r#"{"user": "user_id", "time": "at", "type": "event", "item": "sku",
 "counts": {"views": ["view", "screen_view"], "purchases": ["purchase"]}}"#;
    type Config = Config;
    type Work = Work;

    fn config(settings: &mut Settings) -> Result<Config> {
        let config = Config {
            user: settings.required("user")?,
            time: settings.required("time")?,
            kind: settings.optional("type")?,
            item: settings.optional("item")?,
            gap: settings.or("gap_minutes", 30)?,
            lateness: settings.or("lateness_minutes", 60)?,
            last_items: settings.or("last_items", 10)?,
            counts: settings.or("counts", vec![])?,
        };
        if config.gap == 0 {
            return Err(Error::graph("expected 1 minute or more, found 0").at(settings.at("gap_minutes")));
        }
        if config.kind.is_none() && !config.counts.is_empty() {
            let help = "name the column that says what happened";
            return Err(Error::graph("`counts` needs `type`").help(help).at(settings.at("counts")));
        }
        Ok(config)
    }

    fn build(config: Config, inputs: &[Input]) -> Result<Built<Work>> {
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_default();
        let word = |name: &str, at: &str| {
            // Beyond the range of i64 numbers would be alike.
            let fits = |t: &Type| t.is_text() || (t.is_integer() && *t != Type::UInt64);
            schema.column_of_type(name, at, "text or a whole number of at most 63 bits", fits)
        };
        let user = word(&config.user, "user")?;
        let is_time = |t: &Type| matches!(t, Type::Timestamp(..));
        let time = schema.column_of_type(&config.time, "time", "a timestamp", is_time)?;
        let kind = config.kind.as_ref().map(|name| word(name, "type")).transpose()?;
        let item = config.item.as_ref().map(|name| word(name, "item")).transpose()?;

        let numbers = schema.fields[user].ty.is_integer();
        let when = schema.fields[time].ty.clone();
        let ticks = Ticks::of(&when);
        let user_type = if numbers { Type::Int64 } else { Type::Utf8 };
        let mut fields = vec![
            Field::new(&config.user, user_type),
            Field::new("session_id", Type::Utf8),
            Field::new("session_start", when.clone()),
            Field::new("session_end", when),
            Field::new("seconds", Type::Int64),
            Field::new("events", Type::Int64),
        ];
        fields.extend(config.counts.iter().map(|(name, _)| Field::new(name, Type::Int64)));
        if item.is_some() {
            fields.push(Field::new("distinct_items", Type::Int64));
            fields.push(Field::new("last_items", Type::Utf8));
        }
        fields.extend([
            Field::new("bounce", Type::Bool),
            Field::new("hour", Type::Int32),
            Field::new("weekday", Type::Int32),
        ]);
        for (i, field) in fields.iter().enumerate() {
            if fields[..i].iter().any(|f| f.name == field.name) {
                let counted = config.counts.iter().any(|(name, _)| *name == field.name);
                let at = if counted { format!("counts.{}", field.name) } else { "user".to_string() };
                let message = format!("two columns of the output would be named `{}`", field.name);
                return Err(Error::graph(message).at(at));
            }
        }

        let mut counts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (column, (_, types)) in config.counts.iter().enumerate() {
            for name in types {
                let columns = counts.entry(name.clone()).or_default();
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        let (gap, lateness) = (ticks.minutes(config.gap), ticks.minutes(config.lateness));
        let sessions = Sessions::new(Clock { gap, lateness, watermark: i64::MIN }, config.counts.len());
        let last_items = config.last_items as usize;
        let work = Work { user, time, kind, item, last_items, numbers, ticks, counts, sessions };
        let reads = [Some(user), Some(time), kind, item].into_iter().flatten();
        let keys = Partitioning::Keys(vec![vec![user as u32]]);
        let output = Schema::new(fields.into_iter().map(Field::required));
        Ok(Built::transform(output, keys, work).reads(reads).may_reject(true))
    }
}

/// A column of text, or of numbers as text.
enum Words<'a> {
    Texts(selvedge_guest::Texts<'a>),
    Numbers(Vec<Option<String>>),
}

impl Words<'_> {
    fn of(batch: &Batch, column: usize) -> Result<Words<'_>> {
        let text = batch.schema().fields.get(column).is_some_and(|f| f.ty.is_text());
        match text {
            true => batch.utf8(column).map(Words::Texts),
            false => Ok(Words::Numbers(batch.integers(column)?.iter().map(|n| Some(n?.to_string())).collect())),
        }
    }
    fn get(&self, row: usize) -> Option<&str> {
        match self {
            Words::Texts(texts) => texts.get(row),
            Words::Numbers(numbers) => numbers.get(row)?.as_deref(),
        }
    }
}

/// Room for as many sessions as are best sent at once.
fn room() -> Closed {
    let wanted = host::wanted();
    Closed::new(wanted.rows as usize, wanted.bytes as usize)
}

impl Transform for Work {
    fn process(&mut self, _: usize, batch: &Batch, out: &mut Out) -> Result<()> {
        let users = Words::of(batch, self.user)?;
        let times = batch.timestamp(self.time)?;
        let kinds = self.kind.map(|column| Words::of(batch, column)).transpose()?;
        let items = self.item.map(|column| Words::of(batch, column)).transpose()?;
        let (mut no_user, mut no_time, mut late) = (vec![], vec![], vec![]);
        let mut closed = room();
        for row in 0..batch.rows() {
            let Some(user) = users.get(row).filter(|user| !user.is_empty()) else {
                let found = if users.get(row).is_some() { "an empty text" } else { "null" };
                no_user.push((row as u32, format!("expected a user, found {found}")));
                continue;
            };
            let Some(time) = times.get(row) else {
                no_time.push((row as u32, "expected a time, found null".to_string()));
                continue;
            };
            let kind = kinds.as_ref().and_then(|kinds| kinds.get(row));
            let counts = kind.and_then(|kind| self.counts.get(kind)).map_or(&[][..], Vec::as_slice);
            let item = items.as_ref().and_then(|items| items.get(row));
            if let Err(earliest) = self.sessions.add(user, Event { time, counts, item }, &mut closed) {
                let (found, earliest) = (self.ticks.text(time), self.ticks.text(earliest));
                let message = format!("expected a time from {earliest} on, found {found}: earlier sessions have ended");
                late.push((row as u32, message));
            }
        }
        out.absorb("grouped", (batch.rows() - no_user.len() - no_time.len() - late.len()) as u64);
        out.reject_rows("session.user", &no_user);
        out.reject_rows("session.time", &no_time);
        out.reject_rows("session.late", &late);
        self.send(closed, out)
    }

    fn watermark(&mut self, time: i64, out: &mut Out) -> Result<()> {
        let mut closed = room();
        self.sessions.watermark(self.ticks.milliseconds(time), &mut closed);
        self.send(closed, out)
    }

    fn finish(&mut self, out: &mut Out) -> Result<bool> {
        let mut closed = room();
        let more = self.sessions.finish(&mut closed);
        self.send(closed, out)?;
        Ok(more)
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.sessions.save())
    }

    fn load(&mut self, state: &[u8]) -> Result<()> {
        let wrong = || Error::bug("expected what `save` gave, found other bytes");
        self.sessions.load(state).ok_or_else(wrong)
    }
}

impl Work {
    fn send(&self, closed: Closed, out: &mut Out) -> Result<()> {
        let rows = &closed.rows;
        out.create("sessions", rows.len() as u64);
        let users = || rows.iter().map(|(user, _)| user.as_ref());
        let sessions = || rows.iter().map(|(_, session)| session);
        let integers = |of: &dyn Fn(&Session) -> i64| Column::of(sessions().map(|s| Some(of(s))));
        let small = |of: &dyn Fn(&Session) -> i32| Column::of(sessions().map(|s| Some(of(s))));
        let id = |(user, session): &(Box<str>, Session)| Some(format!("{user}-{}", self.ticks.text(session.start)));
        // Numbers come back from their text as they were.
        let user = match self.numbers {
            true => Column::of(users().map(|user| user.parse::<i64>().ok())),
            false => Column::utf8(users().map(Some)),
        };
        let mut columns = vec![
            user,
            Column::utf8(rows.iter().map(id)),
            integers(&|s| s.start),
            integers(&|s| s.end),
            integers(&|s| self.ticks.seconds(s.end.saturating_sub(s.start))),
            integers(&|s| s.events as i64),
        ];
        let counts = self.sessions.columns();
        columns.extend((0..counts).map(|at| integers(&|s| s.counts.get(at).map_or(0, |count| *count as i64))));
        if self.item.is_some() {
            columns.push(integers(&|s| s.items.len() as i64));
            columns.push(Column::utf8(sessions().map(|s| Some(json(&s.last_items(self.last_items))))));
        }
        columns.push(Column::bool(sessions().map(|s| Some(s.events == 1))));
        columns.push(small(&|s| self.ticks.hour(s.start)));
        columns.push(small(&|s| self.ticks.weekday(s.start)));
        let fresh = Rows::fresh(rows.len());
        out.send(0, columns.into_iter().enumerate().fold(fresh, |rows, (at, column)| rows.with(at, column)))
    }
}

/// A list of texts.
fn json(texts: &[&str]) -> String {
    let mut json = "[".to_string();
    for (i, text) in texts.iter().enumerate() {
        json += if i == 0 { "\"" } else { ",\"" };
        for c in text.chars() {
            match c {
                '"' | '\\' => json.extend(['\\', c]),
                '\0'..' ' => json += &format!("\\u{:04x}", c as u32),
                c => json.push(c),
            }
        }
        json.push('"');
    }
    json + "]"
}

selvedge_guest::export_transform!(SessionFeatures);

#[cfg(test)]
#[path = "lib_tests.rs"]
mod tests;
