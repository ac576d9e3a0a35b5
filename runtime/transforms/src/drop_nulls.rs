//! `DropNulls`: rows without a value where one is needed; or columns that hold none at all.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter_record_batch;
use selvedge_node::prelude::*;
use std::collections::HashSet;

pub(crate) struct DropNulls;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns to look at; all of them if left out.
    #[serde(default)]
    columns: Vec<Column>,
    /// Whether one null is enough, or all must be null.
    #[serde(default)]
    how: How,
    /// Whether to drop rows, or columns.
    #[serde(default)]
    mode: Mode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
pub(crate) enum How {
    #[default]
    Any,
    All,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
pub(crate) enum Mode {
    /// Drop rows with nulls.
    #[default]
    Rows,
    /// Drop columns that are null throughout.
    NullColumns,
}

impl Kind for DropNulls {
    const NAME: &'static str = "DropNulls";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "drops rows with nulls in the columns that matter, or columns that are null throughout";
    const DOCS: &'static str = "\
**Rows** (the default). With `how: Any` a row that has a null in one of `columns` is dropped as `null in sku`: the first null
column, in the order given, names the reason, so each row counts once. With `how: All` only rows that are null in all of them
are dropped, as `null in all of sku, store_id`. NaN is a value and no null (Spark's `na.drop` drops it too).

**NullColumns**, Glue's DropNullFields: as in Glue, a column whose *type* is null, because nothing was ever seen in it, leaves
the schema. Which columns go must be known before the first row moves: an edge has one schema, and the warehouse's table is
made from it. So a column that is null throughout *by accident of today's data* stays, unless it is named in `columns`: a
named column leaves the schema too, whatever its type, and the claim that it is empty is checked: a row that does hold a
value there goes to `errors` with the code `not_null` instead of losing it silently.";
    const EXAMPLE: &'static str = r#"DropNulls(input: "typed", columns: ["sku", "store_id"])"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let mut problems = Problems::default();
        let mut named = problems.take(columns(schema, &config.columns)).unwrap_or_default();
        let mut seen = HashSet::new();
        for name in &config.columns {
            if !seen.insert(name.as_str()) {
                problems.push(Problem::error(name.span, format!("column `{name}` is named twice")));
            }
        }
        if config.mode == Mode::NullColumns {
            return problems.or(null_columns(schema, named, site));
        }
        if config.columns.is_empty() {
            named = (0..schema.fields().len()).collect();
        }
        let names: Vec<&str> = named.iter().map(|c| schema.field(*c).name().as_str()).collect();
        let reasons = match config.how {
            How::Any => names.iter().map(|n| format!("null in {n}")).collect(),
            How::All => vec![format!("null in all of {}", names.join(", "))],
        };
        problems.or(Built::map(schema.clone(), Rows { columns: named, how: config.how, reasons }))
    }
}

struct Rows {
    columns: Vec<usize>,
    how: How,
    /// One for each column, or one for all.
    reasons: Vec<String>,
}

impl Map for Rows {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let nulls = self.columns.iter().map(|c| batch.column(*c).logical_nulls().filter(|n| n.null_count() > 0));
        let dropped = match self.how {
            How::Any => {
                let mut dropped: Option<BooleanBuffer> = None;
                for (nulls, reason) in nulls.zip(&self.reasons) {
                    let Some(null) = nulls.map(|n| !n.inner()) else { continue };
                    let (new, all) = match dropped {
                        Some(before) => (&null & &!&before, &null | &before),
                        None => (null.clone(), null),
                    };
                    out.drop_where(reason, &batch, &BooleanArray::new(new, None));
                    dropped = Some(all);
                }
                dropped
            }
            How::All => {
                // One column without nulls, and no row is null in all.
                let all: Option<Vec<NullBuffer>> = nulls.collect();
                let null = all.and_then(|all| all.iter().map(|n| !n.inner()).reduce(|a, b| &a & &b));
                if let (Some(null), Some(reason)) = (&null, self.reasons.first()) {
                    out.drop_where(reason, &batch, &BooleanArray::new(null.clone(), None));
                }
                null
            }
        };
        match dropped {
            Some(dropped) => out.send(0, filter_record_batch(&batch, &BooleanArray::new(!&dropped, None))?),
            None => out.send(0, batch),
        }
    }
}

/// The schema without the columns of type null and the named ones.
fn null_columns(schema: &SchemaRef, named: Vec<usize>, site: &Site) -> Built {
    let claimed: HashSet<usize> = named.iter().copied().collect();
    let gone = |c: &usize| schema.field(*c).data_type() == &DataType::Null || claimed.contains(c);
    let kept: Vec<usize> = (0..schema.fields().len()).filter(|c| !gone(c)).collect();
    let fields: Vec<_> = kept.iter().map(|c| schema.fields()[*c].clone()).collect();
    let output = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let left: Vec<&str> = (0..schema.fields().len()).filter(gone).map(|c| schema.field(c).name().as_str()).collect();
    let note = format!("drops {}", if left.is_empty() { "no column".into() } else { left.join(", ") });
    let nothing = left.is_empty();
    let checked = !named.is_empty();
    let built = Built::map(output.clone(), NullColumns { kept, claimed: named, output }).may_reject(checked).note(note);
    if nothing {
        let problem = Problem::warning(site.span, "no column is of type null, so none is dropped");
        return built.warn(
            problem.help("name the columns that should be empty: DropNulls(mode: NullColumns, columns: [\"…\"])"),
        );
    }
    built
}

struct NullColumns {
    kept: Vec<usize>,
    /// Columns that the graph says are empty.
    claimed: Vec<usize>,
    output: SchemaRef,
}

impl Map for NullColumns {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let columns: Vec<ArrayRef> = self.kept.iter().map(|c| batch.column(*c).clone()).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rest = RecordBatch::try_new_with_options(self.output.clone(), columns, &options)?;
        let filled = |c: &&usize| batch.column(**c).logical_null_count() < batch.num_rows();
        let filled: Vec<usize> = self.claimed.iter().filter(filled).copied().collect();
        if filled.is_empty() {
            return out.send(0, rest);
        }
        let holds = |row: usize| filled.iter().find(|c| !is_null(batch.column(**c), row));
        let rows: Vec<usize> = (0..batch.num_rows()).filter(|row| holds(*row).is_some()).collect();
        let schema = batch.schema();
        out.reject_rows("not_null", &batch, &rows, &|row| {
            let name = holds(row).map_or("", |c| schema.field(*c).name());
            format!("column `{name}` is to be dropped as null throughout, but holds a value")
        })?;
        let mut kept = BooleanBufferBuilder::new(batch.num_rows());
        kept.append_n(batch.num_rows(), true);
        rows.iter().for_each(|row| kept.set_bit(*row, false));
        out.send(0, filter_record_batch(&rest, &BooleanArray::new(kept.finish(), None))?)
    }
}

fn is_null(array: &ArrayRef, row: usize) -> bool {
    array.logical_nulls().is_some_and(|n| n.is_null(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::Case;

    const ROWS: &str = "sku | store:Int64 | note
        a    | 1    | null
        null | 2    | x
        null | null | y
        c    | null | null
        e    | 3    | null";

    #[test]
    fn any_null_drops_and_the_first_one_is_the_reason() {
        let done = Case::<DropNulls>::new(r#"(columns: ["store", "sku"])"#).input(ROWS).run();
        done.expect("sku | store:Int64 | note\na | 1 | null\ne | 3 | null");
        assert_eq!(done.dropped, [("null in store".to_string(), 2), ("null in sku".to_string(), 1)].into());
        assert_eq!(done.samples["null in sku"], [r#"{"sku":null,"store":2,"note":"x"}"#]);
    }

    #[test]
    fn all_columns_unless_told() {
        let done = Case::<DropNulls>::new("()").input(ROWS).run();
        assert_eq!(done.rows(0).num_rows(), 0);
        assert_eq!(done.dropped.values().sum::<u64>(), 5);
    }

    #[test]
    fn all_null() {
        let done = Case::<DropNulls>::new(r#"(columns: ["sku", "store"], how: All)"#).input(ROWS).run();
        assert_eq!(done.dropped, [("null in all of sku, store".to_string(), 1)].into());
        assert_eq!(done.rows(0).num_rows(), 4);
    }

    #[test]
    fn columns_of_type_null_leave_the_schema() {
        let done = Case::<DropNulls>::new("(mode: NullColumns)").input("a | b:Null\nx | null\nnull | null").run();
        done.expect("a\nx\nnull");
        let none = Case::<DropNulls>::new("(mode: NullColumns)").input("a\nx").build().unwrap();
        assert_eq!(none.warnings.len(), 1);
    }

    #[test]
    fn a_column_named_as_empty_is_held_to_it() {
        let done = Case::<DropNulls>::new(r#"(mode: NullColumns, columns: ["b"])"#)
            .input("a | b:Int64\nx | null\ny | 7\nz | null")
            .run();
        done.expect("a\nx\nz");
        assert_eq!(done.rejected.len(), 1);
        assert_eq!(done.rejected[0].message, "column `b` is to be dropped as null throughout, but holds a value");
        assert_eq!(done.rejected[0].raw, r#"{"a":"y","b":7}"#);
    }

    #[test]
    fn all_problems_at_once() {
        let problems = Case::<DropNulls>::new(r#"(columns: ["skuu", "store", "store", "x"])"#).input(ROWS).problems();
        assert_eq!(
            problems,
            "no column named `skuu` (did you mean `sku`?)\nno column named `x` (there is `sku`, `store`, `note`)\n\
             column `store` is named twice"
        );
    }
}
