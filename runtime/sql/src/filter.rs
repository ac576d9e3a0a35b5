//! `Filter`: keeps the rows for which an SQL predicate is true, and says which part of it the others failed.

use crate::expr::{Compiled, Values, compile_conjuncts};
use crate::reject::reject_bad;
use arrow::array::AsArray;
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use selvedge_node::prelude::*;

/// See [`Kind::ABOUT`].
pub struct Filter;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// An SQL predicate over the columns of the input, such as `quantity > 0 and price between 0.01 and 1000`.
    #[serde(rename = "where")]
    predicate: Spanned<String>,
    /// The reason under which dropped rows are counted. Left out: the text of the first part, of those that `and` joins, that
    /// was not true.
    reason: Option<String>,
}

impl Kind for Filter {
    const NAME: &'static str = "Filter";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "keeps the rows for which an SQL predicate is true";
    const DOCS: &'static str = "\
The predicate is an SQL expression of DataFusion over the columns of the input. A name may be written in any letter case where \
that leaves one column; double quotes make it exact (`\"IRI KEY\"`). Text stands in single quotes.

The parts of the predicate that `and` joins at its top are tried from left to right; a row that fails one is dropped and later \
parts do not concern it, so `units > 0 and dollars / units < 1000` never divides by zero.

**Dropped rows.** Where a part is false, the reason is its text (`quantity > 0`); where it is null, the reason is the text with \
`is null` after it (`quantity > 0 is null`), or `reason` with `(null)` after it.

**Rejected rows**, code `expression`: a part could not be evaluated (a failed `cast`, an overflow, an integer divided by zero). \
`try_cast` gives null instead. Deviation from Spark: integers overflow with an error instead of wrapping around, and `/` between \
integers divides as integers.";
    const EXAMPLE: &'static str = "Filter(input: \"sales\", where: \"quantity > 0 and price between 0.01 and 1000\")";
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let parts = compile_conjuncts(schema, &config.predicate)?;
        let mut built =
            Built::map(schema.clone(), Work { parts: parts.iter().map(|p| Part::new(p, &config)).collect() });
        for part in &parts {
            if let Some(value) = part.constant() {
                let value = value.as_boolean();
                let outcome = match value.is_valid(0) {
                    true => value.value(0).to_string(),
                    false => "null".to_string(),
                };
                let message = format!("`{}` reads no column: it is always {outcome}", part.text());
                built = built.warn(Problem::warning(config.predicate.span, message));
            }
        }
        Ok(built.may_reject(true))
    }
}

struct Part {
    predicate: Compiled,
    if_false: String,
    if_null: String,
}

impl Part {
    fn new(predicate: &Compiled, config: &Config) -> Part {
        let (if_false, if_null) = match &config.reason {
            Some(reason) => (reason.clone(), format!("{reason} (null)")),
            None => (predicate.text().to_string(), format!("{} is null", predicate.text())),
        };
        Part { predicate: predicate.clone(), if_false, if_null }
    }
}

struct Work {
    parts: Vec<Part>,
}

impl Map for Work {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let rows = batch.num_rows();
        let mut alive = BooleanBuffer::new_set(rows);
        let mut count = rows;
        for part in &self.parts {
            if count == 0 {
                break;
            }
            let Values { array, bad } = choose(&part.predicate, &batch, &alive, count)?;
            let truth = array.as_boolean();
            let mut failed = &alive & &!truth.values();
            if !bad.is_empty() {
                reject_bad(out, &batch, &part.predicate, &bad)?;
                let good = rows_but(rows, &bad);
                alive = &alive & &good;
                failed = &failed & &good;
            }
            if let Some(valid) = truth.nulls().filter(|n| n.null_count() > 0) {
                let null = &alive & &!valid.inner();
                failed = &failed & valid.inner();
                out.drop_where(&part.if_null, &batch, &BooleanArray::new(null, None));
                alive = &alive & valid.inner();
            }
            out.drop_where(&part.if_false, &batch, &BooleanArray::new(failed, None));
            alive = &alive & truth.values();
            count = alive.count_set_bits();
        }
        match count {
            0 => Ok(()),
            all if all == rows => out.send(0, batch),
            _ => out.send(0, filter_record_batch(&batch, &BooleanArray::new(alive, None))?),
        }
    }
}

/// Evaluates a predicate for the rows that are alive; what it says of the others means nothing.
///
/// Evaluating all rows is cheaper than picking the living ones out, unless few are left, and wrong only where a dead row
/// fails to evaluate.
pub(crate) fn choose(predicate: &Compiled, batch: &RecordBatch, alive: &BooleanBuffer, count: usize) -> Result<Values> {
    let rows = batch.num_rows();
    if count == rows {
        return predicate.evaluate_each(batch);
    }
    if count >= rows / 8
        && let Ok(array) = predicate.evaluate(batch)
    {
        return Ok(Values { array, bad: vec![] });
    }
    let Values { array, bad } = predicate.evaluate_chosen(batch, &BooleanArray::new(alive.clone(), None))?;
    // Spread over the whole batch again: row `i` of the result belongs to the `i`th living row.
    let mut at = arrow::array::UInt32Builder::with_capacity(rows);
    let mut next = 0;
    for living in alive {
        at.append_option(living.then_some(next));
        next += u32::from(living);
    }
    Ok(Values { array: arrow::compute::take(&array, &at.finish(), None)?, bad })
}

/// True for every row that is not bad.
pub(crate) fn rows_but(rows: usize, bad: &[(usize, String)]) -> BooleanBuffer {
    let mut good = arrow::array::BooleanBufferBuilder::new(rows);
    good.append_n(rows, true);
    bad.iter().for_each(|(row, _)| good.set_bit(*row, false));
    good.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use selvedge_testkit::Case;

    const SALES: &str = "sku | quantity:Int32 | Price:Float64
                         a   | 1              | 2.5
                         b   | 0              | 3
                         c   | null           | 4
                         d   | 5              | 0.001
                         e   | 7              | null
                         f   | -1             | null";

    #[test]
    fn rows_are_dropped_for_the_first_part_they_fail() {
        let done = Case::<Filter>::new("(where: \"quantity > 0 and price between 0.01 and 1000\")").input(SALES).run();
        done.expect("sku | quantity:Int32 | Price:Float64\na | 1 | 2.5");
        let dropped: Vec<_> = done.dropped.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(
            dropped,
            [
                ("price between 0.01 and 1000", 1),
                ("price between 0.01 and 1000 is null", 1),
                ("quantity > 0", 2),
                ("quantity > 0 is null", 1),
            ]
        );
        assert_eq!(done.samples["quantity > 0 is null"], ["{\"sku\":\"c\",\"quantity\":null,\"Price\":4.0}"]);
    }

    #[test]
    fn a_reason_of_ones_own() {
        let done = Case::<Filter>::new("(where: \"quantity > 0\", reason: \"not sold\")").input(SALES).run();
        assert_eq!(done.dropped["not sold"], 2);
        assert_eq!(done.dropped["not sold (null)"], 1);
    }

    #[test]
    fn an_earlier_part_guards_a_later_one() {
        let done = Case::<Filter>::new("(where: \"quantity <> 0 and 10 / quantity > 1\")").input(SALES).run();
        assert_eq!(done.rejected, []);
        assert_eq!(done.dropped["quantity <> 0"], 1);
        done.expect("sku | quantity:Int32 | Price:Float64\na | 1 | 2.5\nd | 5 | 0.001");
    }

    #[test]
    fn rows_that_cannot_be_judged_are_rejected_alone() {
        let done = Case::<Filter>::new("(where: \"10 / quantity > 1\")").input(SALES).run();
        assert_eq!(done.rejected.len(), 1);
        assert_eq!(done.rejected[0].code, "expression");
        assert!(
            done.rejected[0].message.starts_with("`10 / quantity > 1`: divide by zero"),
            "{}",
            done.rejected[0].message
        );
        assert!(done.rejected[0].raw.contains("\"sku\":\"b\""));
        done.expect("sku | quantity:Int32 | Price:Float64\na | 1 | 2.5\nd | 5 | 0.001");
    }

    #[test]
    fn wrong_predicates_are_found_while_planning() {
        let problems =
            |predicate: &str| Case::<Filter>::new(&format!("(where: {predicate:?})")).input(SALES).problems();
        assert_eq!(
            problems("quantty > 0 and colour = 'x'"),
            "no column named `quantty` (did you mean `quantity`?)\n\
             no column named `colour` (there is `sku`, `quantity`, `Price`)"
        );
        assert!(problems("quantity + 1").starts_with("`quantity + 1` must be true or false, but is Int64"));
        assert!(problems("sku = \"bread\"").contains("text stands in single quotes: 'bread'"));
        assert!(problems("quantity >").contains("expected"), "{}", problems("quantity >"));
        assert!(problems("uper(sku) = 'A'").contains("no function named `uper` (did you mean `upper`"));
        assert!(problems("sum(quantity) > 1").contains("use Aggregate"));
        assert!(problems("quantity > (select 1)").contains("cannot hold a subquery"));
        assert!(problems("").contains("found nothing"));
        assert!(problems("cast('x' as int) = quantity").contains("x"), "{}", problems("cast('x' as int) = quantity"));
    }

    #[test]
    fn a_predicate_without_columns_is_suspicious() {
        let built = Case::<Filter>::new("(where: \"1 = 2\")").input(SALES).build().unwrap();
        assert_eq!(built.warnings[0].message, "`1 = 2` reads no column: it is always false");
    }

    proptest! {
        #[test]
        fn keeps_what_is_true_and_loses_nothing(rows in prop::collection::vec((any::<Option<i8>>(), any::<Option<i8>>()), 0..60)) {
            use arrow::array::{Int8Array, RecordBatch};
            let a: Int8Array = rows.iter().map(|r| r.0).collect();
            let b: Int8Array = rows.iter().map(|r| r.1).collect();
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("a", Arc::new(a) as ArrayRef, true),
                ("b", Arc::new(b) as ArrayRef, true),
            ]).unwrap();
            let done = Case::<Filter>::new("(where: \"a > -50 and 100 / b > 1 and a < 100\")").batch(batch).run();
            let keeps = |r: &&(Option<i8>, Option<i8>)| matches!(r, (Some(a), Some(b))
                if *a > -50 && *b != 0 && 100 / i32::from(*b) > 1 && *a < 100);
            let errors = |r: &&(Option<i8>, Option<i8>)| matches!(r, (Some(a), Some(0)) if *a > -50);
            prop_assert_eq!(done.rows(0).num_rows(), rows.iter().filter(keeps).count());
            prop_assert_eq!(done.rejected.len(), rows.iter().filter(errors).count());
        }
    }
}
