//! `Join`: rows of two inputs that agree in their keys, side by side.

mod probe;
mod shape;
mod table;
mod within;

use crate::hashed::{hashed, unhashed};
use probe::{Counts, Probe};
use selvedge_node::prelude::*;
use selvedge_node::{EventTime, Reservation};
use selvedge_state::{Partition, Partitions, RowHasher};
use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};
use shape::{Shape, shape};
use table::Table;

pub(crate) struct Join;

/// Input ports.
const LEFT: usize = 0;
const RIGHT: usize = 1;
/// A part of its state.
const TABLE: &str = "table";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The key columns: a name if both inputs call it the same, a pair if not: `["customer_id", ("state", "region")]`.
    on: Spanned<Vec<Spanned<On>>>,
    /// Which rows to send.
    #[serde(default)]
    how: How,
    /// Put behind the name of a column of the right input that the left one has too.
    #[serde(default = "suffix")]
    suffix: String,
    /// Only rows that are near each other match: `(time: "ts", for: "10m")` in event time, or `(rows: 1000000)`. Then neither input
    /// has to end.
    #[serde(default)]
    within: Option<Spanned<within::Config>>,
}

fn suffix() -> String {
    "_right".into()
}

/// Which rows to send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum How {
    /// Each pair of rows that match.
    #[default]
    Inner,
    /// Those, and the left rows without a match.
    Left,
    /// Those, and the right rows without a match.
    Right,
    /// Those, and the rows of either input without a match.
    Full,
    /// The left rows that have a match, once each, with their own columns.
    Semi,
    /// The left rows that have none, with their own columns.
    Anti,
}

impl How {
    fn unmatched_left(self) -> bool {
        matches!(self, How::Left | How::Full)
    }
    fn unmatched_right(self) -> bool {
        matches!(self, How::Right | How::Full)
    }
    /// Only the left rows' own columns are sent.
    fn left_only(self) -> bool {
        matches!(self, How::Semi | How::Anti)
    }
}

/// A key column of the left input and the one of the right input that it must equal.
#[derive(Debug, Clone)]
struct On(Column, Column);

impl<'de> Deserialize<'de> for On {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<On, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = On;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a column of both inputs, or a pair (\"left column\", \"right column\")")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<On, E> {
                let name = Column::new(name.to_string(), Default::default());
                Ok(On(name.clone(), name))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<On, A::Error> {
                let few = || serde::de::Error::invalid_length(1, &"a pair (\"left column\", \"right column\")");
                let on = On(seq.next_element()?.ok_or_else(few)?, seq.next_element()?.ok_or_else(few)?);
                match seq.next_element::<Column>()? {
                    None => Ok(on),
                    Some(_) => Err(serde::de::Error::custom("a pair of columns has two names")),
                }
            }
        }
        d.deserialize_any(V)
    }
}

impl JsonSchema for On {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "On".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 }],
        })
    }
}

impl Kind for Join {
    const NAME: &'static str = "Join";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "puts rows of two inputs with equal keys side by side";
    const DOCS: &'static str = "\
Ports: `left` and `right`. Give the smaller input to `right`: its rows are held, those of `left` pass by.

**Columns.** Those of `left`, then those of `right`. A key column that both inputs call the same comes once; for a right row \
without a match it has the right row's value. Other columns of `right` whose name `left` has too get `suffix` behind it. Where \
rows without a match are sent, the columns of the other side are null. `Semi` and `Anti` send the columns of `left` alone.

**Keys** must be of equal types: cast them before. A null key matches nothing, not even another null. -0.0 equals 0.0, NaN \
equals NaN. Keys are compared by a 128-bit hash (docs/decisions/0002-hash-is-identity.md).

**The ledger.** A left row with one match is that row, sent. Right rows are absorbed as `build side`. What more comes of it is \
created: `multiplied`, the second and further matches of left rows; `unmatched right`, right rows without a match, sent by \
`Right` and `Full`. Left rows that are not sent are dropped as `no match` (`Inner`, `Right`, `Semi`) or as `matched` (`Anti`).

**State.** Right rows are collected until their input ends, left rows that come earlier wait. If all right rows fit the node's \
share of the memory budget, left rows then pass by as they come; if not, both inputs are set apart by key on disk and joined \
part by part when both have ended (Grace hash join). A key with more right rows than fit takes several goes over its left rows.

**In a stream** `left` may have no end, if `right` has one and its rows fit the node's share of the memory budget: left rows wait \
until `right` has ended, then pass by. If they do not fit, the run stops and says so. A `right` without end, and `Right` or `Full` \
in a graph without end, take `within`.

**`within`** (an interval join, as Flink has it): rows match only if they are near each other, so that they can be forgotten and \
neither input has to end. With `time` the right row lies at most `before` earlier and at most `after` later than the left one, both \
ends included; `for` stands for both. A row whose time is null is rejected as `null_time`. With `rows` each is among so many rows \
that came last of its input when the other comes, of any key: what matches then depends on the order in which rows of the two \
inputs arrive. Pairs are sent at once. A row without a match is sent, or dropped as `no match`, when event time has come so far \
that none can follow; a row that is late may still match what is held. Times are looked at in steps of 1/64 of `before` and `after` \
together.

**What `within` takes.** The rows of both inputs that can still match, and 33 bytes for each. What exceeds the node's share of the memory \
budget goes to the scratch folder, sorted by key; of such a row some 12 bytes stay in memory, and a row with the key of one on disk \
costs a read of 32 KiB. If that does not fit either, the run stops and says so.

Parallel, by the hash of the keys. Rows come out in no particular order.";
    const EXAMPLE: &'static str =
        r#"Join(input: {"left": "orders", "right": "customers"}, on: ["customer_id"], how: Left, suffix: "_customer")"#;
    type Config = Config;

    fn ports(_: &Config) -> Ports {
        Ports { inputs: Inputs::Named(vec!["left".into(), "right".into()]), outputs: vec!["out".into()] }
    }

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let (left, right) = (inputs[LEFT].schema.clone(), inputs[RIGHT].schema.clone());
        let mut problems = Problems::default();
        if config.on.is_empty() {
            problems.push(Problem::error(config.on.span, "expected at least one key column").help("on: [\"id\"]"));
        }
        let mut keys: Vec<(usize, usize)> = vec![];
        for on in &config.on.value {
            // A single name stands where the whole value does.
            let placed =
                |c: &Column| Column::new(c.value.clone(), if c.span == Default::default() { on.span } else { c.span });
            let (a, b) = (placed(&on.0), placed(&on.1));
            let in_left = problems.take(column(&left, &a).map_err(|p| of_input(p, "left")));
            let in_right = problems.take(column(&right, &b).map_err(|p| of_input(p, "right")));
            let (Some(l), Some(r)) = (in_left, in_right) else { continue };
            let (lt, rt) = (left.field(l).data_type(), right.field(r).data_type());
            if lt != rt {
                let message =
                    format!("key columns must be of one type, but `{a}` of left is {lt} and `{b}` of right is {rt}");
                problems.push(
                    Problem::error(on.span, message).help("cast one of them first with SchemaEdit(edits: [Cast(…)])"),
                );
            } else if let Err(e) = RowHasher::new(&left, &[l]) {
                problems.push(Problem::error(on.span, e.message));
            }
            if keys.contains(&(l, r)) {
                problems.push(Problem::error(on.span, format!("`{a}` is compared twice with `{b}`")));
            }
            keys.push((l, r));
        }
        problems.or(())?;
        let mut problems = Problems::default();
        let shape = problems.take(shape(config.how, &left, &right, &keys, &config.suffix, config.on.span));
        let near = config.within.map(|w| problems.take(w.resolve(w.span, [&left, &right])));
        let Some(shape) = problems.or(shape)? else { return Err(Problems::default()) };
        let (lk, rk): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
        let bug = |e: Error| Problem::error(config.on.span, e.message);
        let hashers = [RowHasher::new(&left, &lk).map_err(bug)?, RowHasher::new(&right, &rk).map_err(bug)?];
        let output = shape.output.clone();
        if let Some(near) = near.flatten() {
            let by_time = matches!(near, within::Near::Time { .. });
            // The rows that came last are those of all keys: one instance counts them.
            let partitioning = if by_time { Partitioning::Keys(vec![lk, rk]) } else { Partitioning::Single };
            let make = move |task: &Task| Ok(within::Work::new(&shape, &hashers, &near, task));
            let built = Built::transform(output, partitioning, make).may_reject(by_time).saves();
            return Ok(if by_time { built.time(EventTime::Needs) } else { built });
        }
        let endless = inputs[LEFT].unbounded;
        let make = move |task: &Task| Ok(Work::new(&shape, &hashers, endless, task));
        let built = Built::transform(output, Partitioning::Keys(vec![lk, rk]), make).saves();
        // Left rows without end may pass a table that ends; everything else waits for an end that does not come.
        let waits = inputs[RIGHT].unbounded || config.how.unmatched_right();
        Ok(if waits {
            built.waits_for_end(
                "give `within: (time: \"…\", for: \"10m\")`, so that rows are forgotten; or give the input that ends to `right` and join \
                 with `how: Inner`, `Left`, `Semi` or `Anti`: its rows become a table",
            )
        } else {
            built
        })
    }
}

fn of_input(mut problem: Problem, port: &str) -> Problem {
    problem.message = format!("{} in the {port} input", problem.message);
    problem
}

/// A running join.
///
/// ```text
/// right ─► build partitions ─ all in memory at end(right) ─► Table ◄─ left rows, those waiting and those to come
///                └─ some on disk ─► left rows wait in partitions too; finish() joins part by part
/// ```
struct Work {
    shape: Shape,
    hashers: [RowHasher; 2],
    task: Task,
    /// Rows that wait, by port; `None` once they are not to come any more.
    waiting: [Option<Partitions>; 2],
    /// All right rows, in memory.
    table: Option<Table>,
    /// Left rows never end: they cannot wait on disk for it.
    endless: bool,
    /// The table is in the last checkpoint.
    saved: bool,
    reservation: Reservation,
    hashes: Vec<u128>,
}

/// What the right rows at work may always take.
fn floor(task: &Task) -> u64 {
    (task.memory.limit() / 64).min(256 << 10)
}

impl Work {
    fn new(shape: &Shape, hashers: &[RowHasher; 2], endless: bool, task: &Task) -> Work {
        Work {
            shape: shape.clone(),
            hashers: hashers.clone(),
            task: task.clone(),
            waiting: [&shape.left, &shape.right].map(|s| Some(Partitions::new(task, s))),
            table: None,
            endless,
            saved: false,
            reservation: task.memory.reserve(),
            hashes: vec![],
        }
    }

    /// Whether the right rows, all in memory now, may have a table on top.
    fn room_for_table(&mut self) -> bool {
        let Some(build) = self.waiting[RIGHT].as_ref().filter(|b| b.spilled() == 0) else { return false };
        let rows = build.rows();
        // The rows themselves are in the partitions' reservation until they are here.
        let table = Table::bytes_for(rows);
        table + build.held() <= floor(&self.task)
            || (table + build.held() <= self.reservation.share() && self.reservation.try_resize(table))
    }

    /// Joins one part of each input; `parent`: right rows of the part that this one was split off.
    fn join(&mut self, left: Partition, right: Partition, parent: u64, out: &mut dyn Out) -> Result<()> {
        let limit = self.reservation.share().max(floor(&self.task));
        let bytes = right.bytes() + Table::bytes_for(right.rows());
        // A part that splitting has hardly made smaller is one giant key.
        let splits = right.can_split() && right.rows() < parent - parent / 8;
        if bytes > limit && splits {
            let parent = right.rows();
            for (left, right) in left.split()?.zip(right.split()?) {
                self.join(left, right, parent, out)?;
            }
            return Ok(());
        }
        if left.is_empty() && !self.shape.how.unmatched_right() {
            return Ok(());
        }
        let once = bytes <= limit;
        let mut counts = (!once).then(|| Counts::new(left.rows()));
        let mut pieces = right.read().peekable();
        loop {
            let mut table = Table::new(&self.shape.right, if once { right.rows() } else { 0 });
            while let Some(piece) = pieces.next_if(|_| once || table.bytes() < limit) {
                let piece = piece?;
                table.add(piece.batch, &piece.hashes)?;
                self.reservation.resize(table.bytes());
            }
            table.finish(self.shape.how.unmatched_right())?;
            self.reservation.resize(table.bytes());
            let last = pieces.peek().is_none();
            let mut probe = Probe { shape: &self.shape, table: &mut table, task: &self.task, out };
            let mut row = 0;
            for piece in left.read() {
                let piece = piece?;
                match &mut counts {
                    None => probe.batch(&piece.batch, &piece.hashes, None)?,
                    Some(counts) => probe.pairs(&piece.batch, &piece.hashes, counts, row)?,
                }
                row += piece.batch.num_rows();
            }
            probe.unmatched_right()?;
            self.reservation.resize(0);
            if last {
                break;
            }
        }
        if let Some(counts) = counts {
            let mut row = 0;
            for piece in left.read() {
                let piece = piece?;
                probe::counted(&self.shape, &piece.batch, &counts, row, &self.task, out)?;
                row += piece.batch.num_rows();
            }
        }
        Ok(())
    }
}

impl Transform for Work {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let hasher = &self.hashers[port];
        hasher.hash(&batch, &mut self.hashes);
        let nulls = hasher.null_keys(&batch).filter(|n| n.null_count() > 0);
        let batch = match port {
            LEFT => batch,
            _ => {
                out.absorb("build side", batch.num_rows() as u64);
                batch.project(&self.shape.held)?
            }
        };
        if let (LEFT, Some(table)) = (port, &mut self.table) {
            let mut probe = Probe { shape: &self.shape, table, task: &self.task, out };
            return probe.batch(&batch, &self.hashes, nulls.as_ref());
        }
        let Some(waiting) = &mut self.waiting[port] else { return Err(Error::bug("rows after the end of an input")) };
        let Some(nulls) = nulls else { return waiting.push(&batch, &self.hashes) };
        // Rows with null keys match nothing: they need not wait, and would all wait in one part.
        let keyed = BooleanArray::new(nulls.inner().clone(), None);
        let null = arrow::compute::filter_record_batch(&batch, &arrow::compute::not(&keyed)?)?;
        let hashes: Vec<u128> = nulls.iter().zip(&self.hashes).filter(|(v, _)| *v).map(|(_, &h)| h).collect();
        waiting.push(&arrow::compute::filter_record_batch(&batch, &keyed)?, &hashes)?;
        match port {
            LEFT => probe::lonely_left(&self.shape, &null, &self.task, out),
            _ => probe::lonely_right(&self.shape, &null, &self.task, out),
        }
    }

    /// Left rows wait for the table, so nothing can be promised before it is there.
    fn watermark(&mut self, time: i64, _: &mut dyn Out) -> Result<i64> {
        Ok(if self.table.is_some() { time } else { i64::MIN })
    }

    /// Parts `left` and `right`, the rows that wait; then `table`, which does not change any more.
    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        for (waiting, part) in self.waiting.iter_mut().zip(["left", "right"]) {
            if let Some(waiting) = waiting {
                waiting.each(|rows| to.put(part, rows))?;
            }
        }
        let Some(table) = &self.table else { return Ok(()) };
        if !self.saved || !to.keep(&[TABLE.to_string()]) {
            table.each(|rows, hashes| to.put(TABLE, &hashed(rows, hashes)?))?;
            self.saved = true;
        }
        Ok(())
    }

    fn load(&mut self, part: &str, batch: RecordBatch) -> Result<()> {
        let port = if part == "left" { LEFT } else { RIGHT };
        let (rows, hashes) = unhashed(&batch)?;
        match &mut self.waiting[port] {
            Some(waiting) => waiting.push(&rows, &hashes),
            None => Err(Error::bug("state comes after the table was made")),
        }
    }

    fn end(&mut self, port: usize, out: &mut dyn Out) -> Result<()> {
        if port != RIGHT {
            return Ok(());
        }
        if !self.room_for_table() {
            return match self.endless {
                true => Err(Error::world("the rows of `right` take more than this node's share of the memory budget")
                    .help("raise --memory, or leave out columns and rows of `right` that are not needed")),
                false => Ok(()),
            };
        }
        let Some(build) = self.waiting[RIGHT].take() else { return Ok(()) };
        let mut table = Table::new(&self.shape.right, build.rows());
        for part in build.drain()? {
            for piece in part.read() {
                let piece = piece?;
                table.add(piece.batch, &piece.hashes)?;
            }
            // The partitions give back what the table now has.
            drop(part);
            self.reservation.resize(table.bytes());
        }
        table.finish(self.shape.how.unmatched_right())?;
        self.reservation.resize(table.bytes());
        if let Some(left) = self.waiting[LEFT].take() {
            let mut probe = Probe { shape: &self.shape, table: &mut table, task: &self.task, out };
            for part in left.drain()? {
                for piece in part.read() {
                    let piece = piece?;
                    probe.batch(&piece.batch, &piece.hashes, None)?;
                }
            }
        }
        self.table = Some(table);
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        if let Some(mut table) = self.table.take() {
            return Probe { shape: &self.shape, table: &mut table, task: &self.task, out }.unmatched_right();
        }
        let [Some(left), Some(right)] = std::mem::take(&mut self.waiting) else { return Ok(()) };
        self.reservation.resize(0);
        for (left, right) in left.drain()?.zip(right.drain()?) {
            if out.stopping() {
                return Err(Error::stopped());
            }
            if left.is_empty() && right.is_empty() {
                continue;
            }
            self.join(left, right, u64::MAX, out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "join/tests.rs"]
mod tests;
