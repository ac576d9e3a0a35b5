//! `Sample`: a share of the rows, chosen by their hash, so that the choice does not depend on batches, threads or order.

use selvedge_node::prelude::*;
use selvedge_state::{RowHasher, Seed};
use std::cell::RefCell;

pub(crate) struct Sample;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The share of rows to keep, from 0 to 1.
    fraction: Spanned<f64>,
    /// Another seed chooses other rows.
    #[serde(default)]
    seed: u64,
    /// Choose by these columns only: all rows of a customer are kept, or none. Without them, by the whole row.
    #[serde(default)]
    by: Vec<Column>,
}

impl Kind for Sample {
    const NAME: &'static str = "Sample";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "keeps a share of the rows, the same ones in every run";
    const DOCS: &'static str = "\
A row is kept if the hash of its values and the seed is small enough. The same data and seed give the same rows, however
they are cut into batches or spread over threads; `fraction: 0.1` keeps a subset of what `fraction: 0.2` keeps. Rows that are
equal (in the columns of `by`) share their fate, so the share is approximate, and more so the fewer distinct rows there are.

Dropped rows are counted as `not sampled`.";
    const EXAMPLE: &'static str = r#"Sample(input: "purchases", fraction: 0.05, by: ["customer_id"])"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let mut problems = Problems::default();
        let fraction = config.fraction.value;
        if !(0.0..=1.0).contains(&fraction) {
            problems
                .push(Problem::error(config.fraction.span, format!("fraction must be from 0 to 1, but is {fraction}")));
        }
        let by = problems.take(columns(schema, &config.by)).unwrap_or_default();
        let by = if by.is_empty() { (0..schema.fields().len()).collect() } else { by };
        let hasher = RowHasher::new(schema, &by).map_err(|e| site.error(e.message).help("name columns in `by`"));
        let Some(hasher) = problems.take(hasher) else { return Err(problems) };
        // The seed is spread over the state, so that seeds 1 and 2 have nothing in common.
        let seed =
            Seed(u128::from(config.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) ^ Seed::default().0);
        // As many of the 2^64 hashes as the fraction says; at 1.0 all of them.
        let limit = (fraction * 2f64.powi(64)) as u128;
        problems.or(Built::map(schema.clone(), Choice { hasher: hasher.with_seed(seed), limit }))
    }
}

struct Choice {
    hasher: RowHasher,
    limit: u128,
}

thread_local! {
    static HASHES: RefCell<Vec<u128>> = const { RefCell::new(vec![]) };
}

impl Map for Choice {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let kept: BooleanArray = HASHES.with_borrow_mut(|hashes| {
            self.hasher.hash(&batch, hashes);
            BooleanArray::new(hashes.iter().map(|h| (h >> 64) < self.limit).collect(), None)
        });
        out.drop_where("not sampled", &batch, &arrow::compute::not(&kept)?);
        out.send(0, arrow::compute::filter_record_batch(&batch, &kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::Case;

    fn rows(n: usize) -> String {
        (0..n).fold("id:Int64 | who".to_string(), |t, i| format!("{t}\n{i} | c{}", i % 10))
    }

    #[test]
    fn keeps_about_the_share() {
        let done = Case::<Sample>::new("(fraction: 0.3)").input(&rows(1000)).run();
        let kept = done.rows(0).num_rows();
        assert!((250..350).contains(&kept), "{kept} of 1000");
        assert_eq!(done.dropped["not sampled"], 1000 - kept as u64);
    }

    #[test]
    fn all_none_and_other_seeds() {
        Case::<Sample>::new("(fraction: 1)").input(&rows(50)).run().expect(&rows(50));
        assert_eq!(Case::<Sample>::new("(fraction: 0)").input(&rows(50)).run().dropped["not sampled"], 50);
        let with =
            |seed: u32| Case::<Sample>::new(&format!("(fraction: 0.5, seed: {seed})")).input(&rows(200)).run().text();
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }

    #[test]
    fn by_a_column_keeps_its_rows_together() {
        let done = Case::<Sample>::new(r#"(fraction: 0.5, by: ["who"])"#).input(&rows(100)).run();
        let kept = done.rows(0).num_rows();
        assert!([10, 20, 30, 40, 50, 60, 70, 80, 90].contains(&kept), "{kept}");
    }

    #[test]
    fn all_problems_at_once() {
        let problems =
            Case::<Sample>::new(r#"(fraction: 1.5, by: ["idd", "who"])"#).input("id | who\n1 | 2").problems();
        assert_eq!(problems, "fraction must be from 0 to 1, but is 1.5\nno column named `idd` (did you mean `id`?)");
    }
}
