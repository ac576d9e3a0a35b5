//! `SchemaEdit`: which columns there are, what they are called, and of what type.

mod choice;
#[cfg(test)]
mod choice_tests;
mod columns;
mod dates;
mod edits;
mod numbers;
mod plan;
mod resolve;
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

**Choices**, as Glue has them, are columns whose values are of several types: a schema file says `Choice([Int64, Utf8])`, and at run
time it is a struct with a field for each type, of which one is set. `ResolveChoice(\"price\", …)` does to it:

- `Cast(Float64)`: all values are cast; those that cannot be are treated as `on_error` says.
- `Project(Int64)`: the same, to one of its own types.
- `MakeCols`: a column for each type, `price_int64` and `price_utf8`.
- `MakeStruct`: it stays the struct that it is.
- `MatchCatalog(\"schemas/orders.ron\")`: cast to the type that the schema file has; where that is a choice too, it stays.

A path goes into structs and, with `[]`, into the items of lists: `items[].price`. `ResolveChoices(…)` does it to all choices.

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
    ResolveChoice("lines[].price", Cast(Decimal(10, 2)), on_error: Reject),
    Add("loaded_at", "now()"),
    Reorder(["sku", "quantity"]),
])"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let Planner { fields, ops, problems, .. } = Planner::plan(schema, config, site.base);
        let rejects = ops.iter().any(|op| match op {
            Op::Convert(_, convert) => convert.on_error == OnError::Reject,
            Op::Resolve(_, resolver) => resolver.on_error == OnError::Reject,
            _ => false,
        });
        let output = Arc::new(Schema::new_with_metadata(fields.into_fields(), schema.metadata().clone()));
        problems.or(Built::map(output.clone(), Edits { ops, output }).may_reject(rejects))
    }
}
