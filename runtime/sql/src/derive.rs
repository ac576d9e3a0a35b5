//! `Derive`: new columns, or new values of old ones, from SQL expressions.

use crate::bounds::{MAX_BATCH, bytes, too_much};
use crate::expr::{Compiled, Values, compile};
use crate::filter::rows_but;
use crate::named::Named;
use crate::reject::reject_bad;
use arrow::array::RecordBatchOptions;
use arrow::compute::filter;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use selvedge_node::prelude::*;

/// See [`Kind::ABOUT`].
pub struct Derive;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// SQL expressions by the name of their column, evaluated in this order: a later one sees the columns of the earlier ones. A
    /// column that is there already keeps its place and gets the new values; the others are added at the end.
    columns: Named,
}

impl Kind for Derive {
    const NAME: &'static str = "Derive";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "adds or replaces columns by SQL expressions";
    const DOCS: &'static str = "\
Each expression is an SQL expression of DataFusion over the columns of the input and those derived before it. A name may be \
written in any letter case where that leaves one column; double quotes make it exact. Text stands in single quotes. `now()` is \
one instant for the whole run.

**Rejected rows**, code `expression`: a value could not be computed (a failed `cast`, an overflow, an integer divided by zero). \
`try_cast` gives null instead. A value that a function such as `repeat` or `range` would make larger than 16 MiB counts among \
them. No row is dropped.

An expression that makes more than 256 MiB of one batch stops the run; a constant of more than 32 KiB is a mistake in the graph.

Deviations from Spark: integers overflow with an error instead of wrapping around, `/` between integers divides as integers, and a \
float divided by zero is infinite or NaN instead of null.";
    const EXAMPLE: &'static str =
        "Derive(input: \"sales\", columns: {\"price\": \"dollars / units\", \"promo\": \"f <> 'NONE' or d > 0\"})";
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let mut schema = inputs[0].schema.clone();
        let mut steps = vec![];
        let mut broken: Vec<String> = vec![];
        for (name, text) in &config.columns.0 {
            let compiled = compile(&schema, text).and_then(typed(text));
            let ty = compiled.as_ref().map_or(DataType::Null, |c| c.data_type().clone());
            let at = schema.index_of(name).unwrap_or(schema.fields().len());
            schema = with_column(&schema, at, Field::new(name.value.clone(), ty, true));
            match compiled {
                Ok(value) => steps.push(Step { value, at, schema: schema.clone() }),
                Err(found) => {
                    // What reads a column that could not be planned is not to blame for its type.
                    let lower = text.to_lowercase();
                    let mut words = lower.split(|c: char| !c.is_alphanumeric() && c != '_');
                    if !words.any(|w| broken.iter().any(|b| b == w)) {
                        problems.0.extend(found.0);
                    }
                    broken.push(name.to_lowercase());
                }
            }
        }
        problems.or(())?;
        Ok(Built::map(schema, Work { steps }).may_reject(true))
    }
}

/// Refuses an expression whose only value is a null of no type.
fn typed(text: &Spanned<String>) -> impl Fn(Compiled) -> std::result::Result<Compiled, Problems> {
    move |compiled| match compiled.data_type() {
        DataType::Null => Err(Problem::error(text.span, format!("`{}` is null and has no type", compiled.text()))
            .help("give it one: cast(null as varchar)")
            .into()),
        _ => Ok(compiled),
    }
}

fn with_column(schema: &SchemaRef, at: usize, field: Field) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    match fields.get_mut(at) {
        Some(old) => *old = Arc::new(field),
        None => fields.push(Arc::new(field)),
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

struct Step {
    value: Compiled,
    /// Where the column goes: an old place, or one past the end.
    at: usize,
    /// The columns after this step.
    schema: SchemaRef,
}

impl Step {
    /// Whether its column is another one under a new name, which takes no memory.
    fn copies(&self) -> bool {
        self.value.physical().is::<PhysicalColumn>()
    }
}

struct Work {
    steps: Vec<Step>,
}

impl Map for Work {
    fn map(&self, mut batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let mut made = 0;
        for step in &self.steps {
            let Values { mut array, bad } = step.value.evaluate_each(&batch)?;
            // Each step may double what the one before it made.
            if !step.copies() {
                made += bytes(&array);
            }
            if made > MAX_BATCH {
                return Err(too_much(step.value.text(), made, true));
            }
            if !bad.is_empty() {
                reject_bad(out, &batch, &step.value, &bad)?;
                let good = BooleanArray::new(rows_but(batch.num_rows(), &bad), None);
                array = filter(&array, &good)?;
                batch = arrow::compute::filter_record_batch(&batch, &good)?;
            }
            let rows = batch.num_rows();
            let mut columns = batch.columns().to_vec();
            match columns.get_mut(step.at) {
                Some(old) => *old = array,
                None => columns.push(array),
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            batch = RecordBatch::try_new_with_options(step.schema.clone(), columns, &options)?;
        }
        out.send(0, batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use selvedge_testkit::Case;

    const SALES: &str = "IRI_KEY | units:Int32 | dollars:Float64 | F
                         17      | 2           | 5               | NONE
                         18      | null        | 3               | B
                         19      | 0           | null            | null";

    #[test]
    fn later_columns_see_earlier_ones() {
        Case::<Derive>::new(
            r#"(columns: {"price": "dollars / units", "cheap": "price < 3", "units": "units * 10", "more": "units + 1"})"#,
        )
        .input(SALES)
        .run()
        .expect_in_order(
            "IRI_KEY | units:Int64 | dollars:Float64 | F    | price:Float64 | cheap:Boolean | more:Int64
             17      | 20          | 5               | NONE | 2.5           | true          | 21
             18      | null        | 3               | B    | null          | null          | null
             19      | 0           | null            | null | null          | null          | 1",
        );
    }

    #[test]
    fn text_stays_plain_text() {
        let done = Case::<Derive>::new(
            r#"(columns: {"upc": "lpad(iri_key, 4, '0') || '-' || F", "up": "upper(f)", "week": "cast(date_trunc('week', cast('2024-01-18' as date)) as date)"})"#,
        )
        .input(SALES)
        .run();
        let types: Vec<_> = done.schemas[0].fields().iter().skip(4).map(|f| f.data_type().clone()).collect();
        assert_eq!(types, [DataType::Utf8, DataType::Utf8, DataType::Date32]);
        assert!(done.text().contains("0017-NONE | NONE | 2024-01-15"), "{}", done.text());
    }

    #[test]
    fn rows_without_a_value_are_rejected_alone() {
        let done = Case::<Derive>::new(
            r#"(columns: {"n": "cast(f as int)", "big": "units * 2000000000 * 2000000000 * 2000000000"})"#,
        )
        .input(
            "units:Int32 | f
1 | 12
0 | x
0 | 7",
        )
        .run();
        let messages: Vec<_> = done.rejected.iter().map(|r| r.message.as_str()).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages.iter().any(|m| m.starts_with("`cast(f as int)`: cannot cast string 'x'")), "{messages:?}");
        assert!(messages.iter().any(|m| m.contains("overflow")), "{messages:?}");
        done.expect(
            "units:Int32 | f | n:Int32 | big:Int64
0 | 7 | 7 | 0",
        );
    }

    #[test]
    fn a_column_called_as_a_word_of_sql() {
        Case::<Derive>::new(r#"(columns: {"who": "user || '!'"})"#)
            .input(
                "user
ann",
            )
            .run()
            .expect(
                "user | who
ann | ann!",
            );
    }

    #[test]
    fn fields_of_structs_and_flattened_names() {
        let case = |columns: &str| {
            Case::<Derive>::new(&format!("(columns: {{{columns}}})")).input(
                "user.id | n:Int32
u1 | 1",
            )
        };
        case(r#""id": "user.id""#).run().expect(
            "user.id | n:Int32 | id
u1 | 1 | u1",
        );
        assert_eq!(case(r#""id": "n.x""#).problems(), "`n` has no fields: it is Int32");
    }

    #[test]
    fn all_problems_at_once_and_none_twice() {
        let problems = Case::<Derive>::new(
            r#"(columns: {"a": "unit + 1", "b": "a * 2", "c": "nope(1)", "d": "null", "e": "dollars + (F > 1)"})"#,
        )
        .input(SALES)
        .problems();
        let lines: Vec<_> = problems.lines().collect();
        assert_eq!(lines.len(), 4, "{problems}");
        assert!(lines[0].starts_with("no column named `unit`"));
        assert!(lines[1].starts_with("no function named `nope`"));
        assert!(lines[2].starts_with("`null` is null and has no type"));
        assert!(lines[3].contains("Boolean"), "{problems}");
    }

    proptest! {
        #[test]
        fn every_row_comes_out_or_is_rejected(rows in prop::collection::vec((any::<Option<i32>>(), any::<Option<i32>>()), 0..60)) {
            use arrow::array::Int32Array;
            let a: Int32Array = rows.iter().map(|r| r.0).collect();
            let b: Int32Array = rows.iter().map(|r| r.1).collect();
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("a", Arc::new(a) as ArrayRef, true),
                ("b", Arc::new(b) as ArrayRef, true),
            ]).unwrap();
            let done = Case::<Derive>::new(r#"(columns: {"sum": "a + b", "share": "a / b"})"#).batch(batch).run();
            let fails = |r: &&(Option<i32>, Option<i32>)| match r {
                (Some(a), Some(b)) => a.checked_add(*b).is_none() || a.checked_div(*b).is_none(),
                _ => false,
            };
            let failing = rows.iter().filter(fails).count();
            prop_assert_eq!(done.rejected.len(), failing);
            prop_assert_eq!(done.rows(0).num_rows(), rows.len() - failing);
        }
    }
}
