//! The node: cuts the table into splits and hands out batches, as fast as possible or at a rate.

use crate::shapes::Shape;
use selvedge_node::prelude::*;
use selvedge_node::{Positions, Source, Split};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Rows by the million that nobody had to collect.
pub struct Generate;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the rows look like: `Counter`, `Inventory`, `IriPos`, `NumeratorReceipts`, `Customers`, `Orders`.
    shape: Shape,
    /// How many rows to make.
    #[serde(default = "ten_thousand")]
    rows: Spanned<u64>,
    /// The same seed makes the same rows on every machine; another seed makes other rows.
    #[serde(default = "one")]
    seed: u64,
    /// How many parts may be made in parallel; chosen by `rows` if left out. The rows are the same for any number.
    #[serde(default)]
    partitions: Option<Spanned<u64>>,
    /// Rows per second, all parts together; as fast as they are taken if left out.
    #[serde(default)]
    per_second: Option<Spanned<f64>>,
}

fn ten_thousand() -> Spanned<u64> {
    Spanned { value: 10_000, span: Default::default() }
}

fn one() -> u64 {
    1
}

/// Years of work; and the shapes may multiply a row's number by a thousand.
const MOST_ROWS: u64 = 1_000_000_000_000_000;
const MOST_PARTITIONS: u64 = 1024;

impl Kind for Generate {
    const NAME: &'static str = "Generate";
    const ROLE: Role = Role::Source;
    const ABOUT: &'static str = "makes synthetic rows: a plain counter, or the retailer's dirty tables";
    const DOCS: &'static str = "\
Every row is computed from `shape`, `rows`, `seed` and its own number, so a graph that starts with `Generate` gives the same
result on every machine, with any number of threads and partitions. (Another `rows` makes another table: how often a key comes
again depends on it.) Runs always start at row 0.

Shapes and their columns (text, unless a type is given):

- `Counter`: `n` Int64 counts from 0, `key` Int64 is random in 0..1000. No nulls.
- `Inventory`: `sku`, `store_id` Int64, `name`, `category`, `size`, `color`, `qty`, `price`, `restock_date`, `active`,
  `legacy_code`, `updated_at`. 4 % exact copies of earlier rows, 6 % sent again later with another `qty`.
- `IriPos`: `IRI_KEY`, `WEEK`, `SY`, `GE`, `VEND`, `ITEM`, `UNITS`, `DOLLARS`, `F`, `D`, `PR`. Ordered by week; 2.5 % exact copies;
  9.5 % of the second half restate a row of the first half.
- `NumeratorReceipts`: `receipt_id`, `panelist` Struct(`id`, `birth_year` Int64, `state`), `retailer` Struct(`name`, `channel`,
  `online` Boolean), `purchased_at`, `scanned_at`, `items` List of Struct(`upc`, `description`, `brand`, `quantity`, `price`,
  `promotion`). 1 % have no list, 1 % an empty one; 2 % exact copies, 5 % scanned again later.
- `Customers`: `customer_id`, `name`, `email`, `birth_date`, `gender`, `location`, `signup_date`, `updated_at`. About 62 people for
  100 rows: the rest are other versions, 3 % exact copies.
- `Orders`: `order_id`, `customer_id`, `order_time`, `item`, `quantity`, `unit_price`, `payment`, `ingested_at`. Refers to the people
  of `Customers` with a fifth of the rows. 2 % exact copies, 5 % sent again with another `quantity`.

Text columns hold what such sources hold: ` 12 `, `12.7`, `N/A`, `$3.50`, `2024-02-30`, `15/01/2024`, names in many scripts.";
    const EXAMPLE: &'static str = r#"Generate(shape: Inventory, rows: 1000000, seed: 7)"#;
    type Config = Config;

    fn build(config: Config, _site: &Site, _inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        if *config.rows > MOST_ROWS {
            problems.push(Problem::error(config.rows.span, format!("rows must be at most {MOST_ROWS}")));
        }
        if let Some(n) = config.partitions.as_ref().filter(|n| !(1..=MOST_PARTITIONS).contains(&n.value)) {
            problems.push(Problem::error(n.span, format!("partitions must be 1 to {MOST_PARTITIONS}, not {n}")));
        }
        if let Some(rate) = config.per_second.as_ref().filter(|r| !(r.is_finite() && r.value > 0.0)) {
            problems.push(
                Problem::error(rate.span, format!("per_second must be more than 0, not {rate}"))
                    .help("leave it out for as many rows as are taken"),
            );
        }
        let rows = *config.rows;
        let partitions = config.partitions.map_or((rows / 100_000).clamp(1, 16), |n| n.value);
        let source = Table {
            shape: config.shape,
            rows,
            seed: config.seed,
            partitions,
            per_second: config.per_second.map(|r| r.value / partitions as f64),
        };
        let note = format!("{rows} rows of {}, seed {}", config.shape.name(), config.seed);
        problems.or(Built::source(config.shape.schema(), source).note(note))
    }
}

/// The table to make.
struct Table {
    shape: Shape,
    rows: u64,
    seed: u64,
    partitions: u64,
    /// Of each partition.
    per_second: Option<f64>,
}

impl Source for Table {
    fn splits(&self, _from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        let bound = |part: u64| (u128::from(self.rows) * u128::from(part) / u128::from(self.partitions)) as u64;
        let splits = (0..self.partitions).map(|part| {
            let part = Part {
                shape: self.shape,
                seed: self.seed,
                total: self.rows,
                rows: bound(part)..bound(part + 1),
                per_second: self.per_second,
            };
            Box::new(part) as Box<dyn Split>
        });
        Ok(splits.collect())
    }
}

/// A range of rows that one thread makes.
struct Part {
    shape: Shape,
    seed: u64,
    total: u64,
    rows: Range<u64>,
    per_second: Option<f64>,
}

impl Split for Part {
    fn name(&self) -> String {
        format!("rows {}..{}", self.rows.start, self.rows.end)
    }

    fn open(self: Box<Self>, task: &Task) -> Result<Box<dyn Reader>> {
        let batch = (task.batch_bytes / self.shape.row_bytes()).clamp(1, task.batch_rows.max(1)) as u64;
        let pace = self.per_second.map(|per_second| Pace { per_second, start: Instant::now(), first: self.rows.start });
        Ok(Box::new(Rows { part: *self, batch, pace }))
    }
}

struct Rows {
    /// `part.rows` is what is still to be made.
    part: Part,
    batch: u64,
    pace: Option<Pace>,
}

/// How fast rows may come.
struct Pace {
    per_second: f64,
    start: Instant,
    first: u64,
}

impl Pace {
    /// Rows may be made up to (not including) this one, after that time.
    fn due(&self, elapsed: Duration) -> u64 {
        self.first.saturating_add((elapsed.as_secs_f64() * self.per_second) as u64).saturating_add(1)
    }

    /// How long to wait for `row`, at most a second: a stop must be noticed.
    fn wait(&self, row: u64, elapsed: Duration) -> Duration {
        let at = (row - self.first) as f64 / self.per_second;
        Duration::from_secs_f64((at - elapsed.as_secs_f64()).clamp(0.001, 1.0))
    }
}

impl Reader for Rows {
    fn read(&mut self, out: &mut dyn Out) -> Result<Next> {
        let Range { start, end: last } = self.part.rows;
        if start >= last {
            return Ok(Next::Done);
        }
        let mut end = last.min(start.saturating_add(self.batch));
        if let Some(pace) = &self.pace {
            let elapsed = pace.start.elapsed();
            end = end.min(pace.due(elapsed));
            if end <= start {
                return Ok(Next::Idle(pace.wait(start, elapsed)));
            }
        }
        let batch = self.part.shape.batch(self.part.seed, self.part.total, start..end)?;
        out.create("generated", end - start);
        out.send(0, batch)?;
        self.part.rows.start = end;
        Ok(if end == last { Next::Done } else { Next::More })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::{Case, show};

    fn case(config: &str) -> Case<Generate> {
        Case::new(config)
    }

    #[test]
    fn counts() {
        let done = case("(shape: Counter, rows: 3, seed: 1)").run();
        assert_eq!(done.created["generated"], 3);
        assert_eq!(done.schemas[0].fields().len(), 2);
        assert_eq!(done.rows(0).column(0).as_ref(), &arrow::array::Int64Array::from(vec![0, 1, 2]) as &dyn Array);
    }

    #[test]
    fn rows_are_the_same_in_any_number_of_partitions() {
        for shape in ["Inventory", "NumeratorReceipts"] {
            let one = show(&case(&format!("(shape: {shape}, rows: 2000, partitions: 1)")).run().rows(0));
            for partitions in [2, 3, 7, 1024] {
                let many = case(&format!("(shape: {shape}, rows: 2000, partitions: {partitions})")).run();
                assert!(show(&many.rows(0)) == one, "{shape} in {partitions}");
            }
        }
    }

    #[test]
    fn more_partitions_than_rows_and_no_rows_at_all() {
        assert_eq!(case("(shape: Orders, rows: 2, partitions: 5)").run().rows(0).num_rows(), 2);
        assert_eq!(case("(shape: Counter, rows: 0)").run().rows(0).num_rows(), 0);
    }

    #[test]
    fn a_rate_is_kept() {
        let pace = Pace { per_second: 100.0, start: Instant::now(), first: 1000 };
        assert_eq!(pace.due(Duration::ZERO), 1001);
        assert_eq!(pace.due(Duration::from_millis(250)), 1026);
        assert_eq!(pace.wait(1026, Duration::from_millis(250)), Duration::from_millis(10));
        assert_eq!(pace.wait(9000, Duration::ZERO), Duration::from_secs(1));
        // At a hundred thousand a second, 50 rows come in at least half a millisecond and are all there.
        let start = Instant::now();
        let done = case("(shape: Counter, rows: 51, per_second: 100000.0)").run();
        assert_eq!(done.rows(0).num_rows(), 51);
        assert!(start.elapsed() >= Duration::from_micros(500));
    }

    #[test]
    fn problems_come_all_at_once() {
        let found = case("(shape: Counter, rows: 18446744073709551615, partitions: 0, per_second: 0.0)").problems();
        assert_eq!(
            found,
            "rows must be at most 1000000000000000\n\
             partitions must be 1 to 1024, not 0\n\
             per_second must be more than 0, not 0 (leave it out for as many rows as are taken)"
        );
    }

    #[test]
    fn an_enormous_table_can_be_begun() {
        let source = Table { shape: Shape::Counter, rows: MOST_ROWS, seed: 1, partitions: 1024, per_second: None };
        let names: Vec<_> = source.splits(&Positions::new()).unwrap().iter().map(|s| s.name()).collect();
        assert_eq!(names[1023], "rows 999023437500000..1000000000000000");
        for &shape in Shape::ALL {
            let batch = shape.batch(u64::MAX, MOST_ROWS, MOST_ROWS - 10..MOST_ROWS).unwrap();
            assert_eq!(batch.num_rows(), 10);
        }
    }
}
