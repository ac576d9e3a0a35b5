//! `SchemaEdit`: which columns there are, what they are called, and of what type.

mod columns;
mod dates;
mod edits;
mod numbers;
mod plan;
#[cfg(test)]
mod tests;
mod work;

use edits::{Config, OnError};
use plan::Planner;
use selvedge_node::prelude::*;
use work::{Edits, Op};

pub(crate) struct SchemaEdit;

impl Kind for SchemaEdit {
    const NAME: &'static str = "SchemaEdit";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "drops, keeps, selects, renames, reorders, casts, adds, fills and flattens columns";
    const DOCS: &'static str = "\
Edits are done in their order; later ones use the names that earlier ones made. Columns that no edit touches are passed on
without being copied.

**Casts** follow Spark with ANSI off: blanks around text are ignored, `12.7` becomes the integer 12, decimals round half up,
`2024-1-5` is a date, `t`, `yes` and `1` are true. A value that cannot be cast becomes null (`on_error: Null`) and is reported as
`null by cast: quantity`, sends its row to `errors` with the code `cast` (`Reject`), or stops the run (`Fail`).

Where we deviate from Spark, it is so as never to invent a value. These fail instead: a number beyond the range of a narrower
integer type (Spark wraps it round: 300 to Int8 is 44), NaN to an integer (Spark: 0), a number beyond an integer's range
(Spark: the largest), a time without a date (Spark: the day of the run), `.` (Spark: 0). Decimals print without an exponent.

**Null** columns of a rejected row do not matter: the row on `errors` is the one that came in, before any edit.";
    const EXAMPLE: &'static str = r#"SchemaEdit(input: "stock", edits: [
    Drop(["legacy_code"]),
    Rename("qty", "quantity"),
    Cast("quantity", Int32, on_error: Null),
    Casts({"price": Decimal(10, 2), "store_id": Int64}, on_error: Reject),
    ParseDate("restocked", ["%d/%m/%Y", "%Y-%m-%d"]),
    ParseNumber("list_price", Decimal(12, 2), decimal: ",", thousands: "."),
    Default("quantity", 0),
    Flatten("supplier"),
    Add("loaded_at", "now()"),
    Reorder(["sku", "quantity"]),
])"#;
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let Planner { fields, ops, problems, .. } = Planner::plan(schema, config);
        let rejects = ops.iter().any(|op| matches!(op, Op::Convert(_, c) if c.on_error == OnError::Reject));
        let output = Arc::new(Schema::new_with_metadata(fields.into_fields(), schema.metadata().clone()));
        problems.or(Built::map(output.clone(), Edits { ops, output }).may_reject(rejects))
    }
}
