//! `Limit`: the first rows, counted across all batches.

use arrow::array::{AsArray, UInt64Array};
use arrow::datatypes::UInt64Type;
use selvedge_node::prelude::*;

pub(crate) struct Limit;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How many rows go on.
    rows: u64,
    /// How many rows are left out before them.
    #[serde(default)]
    offset: u64,
}

impl Kind for Limit {
    const NAME: &'static str = "Limit";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "lets the first rows through, after an offset if wanted";
    const DOCS: &'static str = "\
Sends `rows` rows, after leaving out the first `offset`. Which rows are first is the order of the source, or of a `Sort`
before this node; to keep that order, everything before it runs on one thread.

Dropped rows are counted as `before the offset` and `over the limit`. What comes after the limit is still read, so that the
ledger tells how much there was.";
    const EXAMPLE: &'static str = r#"Limit(input: "ranked", rows: 100)"#;
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = inputs[0].schema.clone();
        Ok(Built::transform(schema, Partitioning::InOrder, move |_| {
            Ok(Counter { skip: config.offset, take: config.rows })
        })
        .saves())
    }
}

/// Rows still to be left out, and still to be sent.
struct Counter {
    skip: u64,
    take: u64,
}

impl Transform for Counter {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let rows = batch.num_rows();
        let skip = self.skip.min(rows as u64) as usize;
        let take = self.take.min((rows - skip) as u64) as usize;
        self.skip -= skip as u64;
        self.take -= take as u64;
        out.drop_all("before the offset", &batch.slice(0, skip));
        out.drop_all("over the limit", &batch.slice(skip + take, rows - skip - take));
        out.send(0, batch.slice(skip, take))
    }

    fn save(&mut self, to: &mut dyn Save) -> Result<()> {
        let column = |n| Arc::new(UInt64Array::from(vec![n])) as ArrayRef;
        to.put("left", &RecordBatch::try_from_iter([("skip", column(self.skip)), ("take", column(self.take))])?)
    }

    fn load(&mut self, _: &str, batch: RecordBatch) -> Result<()> {
        let left = |c: usize| batch.column(c).as_primitive::<UInt64Type>().value(0);
        (self.skip, self.take) = (left(0), left(1));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::Case;

    const ROWS: &str = "n:Int64\n1\n2\n3\n4\n5\n6\n7";

    #[test]
    fn takes_rows_after_an_offset() {
        let done = Case::<Limit>::new("(rows: 4, offset: 2)").input(ROWS).run();
        done.expect_in_order("n:Int64\n3\n4\n5\n6");
        assert_eq!(done.dropped["before the offset"], 2);
        assert_eq!(done.dropped["over the limit"], 1);
    }

    #[test]
    fn may_take_nothing_or_more_than_there_is() {
        let none = Case::<Limit>::new("(rows: 0)").input(ROWS).run();
        assert_eq!(none.dropped["over the limit"], 7);
        let all = Case::<Limit>::new("(rows: 18446744073709551615)").input(ROWS).run();
        all.expect_in_order(ROWS);
        assert!(all.dropped.is_empty());
        let past = Case::<Limit>::new("(rows: 1, offset: 9)").input(ROWS).run();
        assert_eq!(past.dropped["before the offset"], 7);
    }
}
