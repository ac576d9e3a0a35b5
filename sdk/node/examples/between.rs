//! A whole node, as docs/writing-a-node.md shows it: `Between` lets rows through whose number is within bounds.

use arrow::array::AsArray;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::Float64Type;
use selvedge_node::prelude::*;

struct Between;

/// The fields of `Between(…)`; these comments become the reference that `selvedge nodes Between` prints.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The column to look at: a number.
    column: Column,
    /// The smallest number that passes.
    from: f64,
    /// The largest number that passes.
    to: Spanned<f64>,
}

impl Kind for Between {
    const NAME: &'static str = "Between";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "lets rows through whose number is within bounds";
    const DOCS: &'static str = "\
Both bounds belong to the range. A row outside of it is dropped as `out of bounds`. A row without a number goes to `errors` with the
code `no_number`.";
    const EXAMPLE: &'static str = r#"Between(input: "sales", column: "price", from: 0.01, to: 1000)"#;
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = inputs[0].schema.clone();
        let mut problems = Problems::default();
        let column = problems.take(column_of_type(&schema, &config.column, "a number", |t| t.is_numeric()));
        if config.from > *config.to {
            let message = format!("`to` is {}, which is below `from`, {}", config.to, config.from);
            problems.push(Problem::error(config.to.span, message).help("swap them"));
        }
        // Where something is wrong, `or` answers with all of it and this value is never used.
        let work = Work { column: column.unwrap_or_default(), from: config.from, to: *config.to };
        problems.or(Built::map(schema, work).may_reject(true))
    }
}

struct Work {
    column: usize,
    from: f64,
    to: f64,
}

impl Map for Work {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let numbers = cast(batch.column(self.column), &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let missing: Vec<usize> = (0..batch.num_rows()).filter(|row| numbers.is_null(*row)).collect();
        out.reject_rows("no_number", &batch, &missing, &|_| "expected a number, found null".into())?;

        let inside: BooleanArray = numbers.iter().map(|n| n.map(|n| n >= self.from && n <= self.to)).collect();
        let outside: BooleanArray = inside.iter().map(|i| i.map(|i| !i)).collect();
        out.drop_where("out of bounds", &batch, &outside);
        out.send(0, filter_record_batch(&batch, &inside)?)
    }
}

/// What `lib.rs` of a crate of nodes offers to the catalogue.
pub fn kinds() -> Vec<Box<dyn selvedge_node::ErasedKind>> {
    vec![selvedge_node::erase::<Between>()]
}

fn main() {
    for kind in kinds() {
        println!("{}: {}\n\n{}\n\n{}", kind.name(), kind.about(), kind.docs(), kind.example());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::Case;

    const SALES: &str = "sku  | price:Float64
                         pen  | 1.50
                         free | 0.00
                         lost | null
                         car  | 20000";

    #[test]
    fn rows_within_bounds_pass() {
        let done = Case::<Between>::new(r#"(column: "price", from: 0.01, to: 1000)"#).input(SALES).run();
        done.expect(
            "sku | price:Float64
             pen | 1.50",
        );
        assert_eq!(done.dropped["out of bounds"], 2);
        assert_eq!((done.rejected[0].code.as_str(), done.rejected.len()), ("no_number", 1));
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let case = Case::<Between>::new(r#"(column: "prize", from: 2, to: 1)"#).input(SALES);
        assert_eq!(
            case.problems(),
            "no column named `prize` (did you mean `price`?)\n`to` is 1, which is below `from`, 2 (swap them)"
        );
    }

    #[test]
    fn the_page_shows_this_file() {
        let (page, file) = (include_str!("../../../docs/writing-a-node.md"), include_str!("between.rs"));
        let shown: Vec<&str> = page.split("```rust\n").skip(1).filter_map(|part| part.split("```").next()).collect();
        assert_eq!(shown.len(), 4);
        for code in shown {
            // The last bracket of the tests closes behind this one.
            assert!(file.contains(code.trim_end().trim_end_matches("\n}")), "not in between.rs:\n{code}");
        }
    }
}
