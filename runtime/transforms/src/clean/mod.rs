//! `Clean`: values made alike, plausible and fit to be seen.

mod ops;
mod people;
mod place;
mod plan;
#[cfg(test)]
mod tests;
mod text;

use crate::failures::{Failure, Says, send_rest};
use crate::fill::Fill;
use arrow::array::RecordBatchOptions;
use arrow::array::cast::AsArray;
use arrow::buffer::BooleanBuffer;
use ops::Config;
use selvedge_node::prelude::*;

pub(crate) struct Clean;

impl Kind for Clean {
    const NAME: &'static str = "Clean";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str =
        "trims, maps, bounds, hashes and masks values, and makes ages, bands and parts of places";
    const DOCS: &'static str = "\
`columns` changes values where they are; the operations of a column are done in the order given. Operations on text take text
columns only; `Hash`, `Mask` and `PadLeft` take any column, as it prints. Null stays null. `add` makes new columns.

A row is reported as altered where an operation says `otherwise: Null` or `Clamp`: `null by range: age`, `null by synonym: gender`,
`null by phone: phone`, `clamped to range: age`. With `otherwise: Reject` its row goes to `errors` with the code `range`, `synonym` or `phone`, as it came in.
No row is dropped.

Do not put personal data into the samples of a report: clean it as early in the graph as you can.";
    const EXAMPLE: &'static str = r#"Clean(
    input: "customers",
    columns: {
        "name": [Trim, CollapseSpaces, Unicode(Nfc), Title],
        "gender": [Synonyms({"Male": "M", "Female": "F"}, otherwise: Null)],
        "email": [Trim, Lower, Hash(key: "pepper")],
        "phone": [Phone("1", otherwise: Null)],
        "card": [Mask(keep_last: 4)],
        "visits": [Range(0, 1000, otherwise: Reject)],
    },
    add: [
        Age("birth_date", to: "age", at: "2024-06-30"),
        Band("age", to: "age_band", edges: [18, 25, 45, 65]),
        Place("location", city: "city", state: "state"),
    ],
)"#;
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let plan::Planned { fields, steps, made, problems } = plan::plan(schema, config);
        let rejects = steps.iter().any(|(_, s)| matches!(s.bad, Bad::Reject(..)));
        let output = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        problems.or(Built::map(output.clone(), Work { steps, made, output }).may_reject(rejects))
    }
}

/// Changes a column, and tells which rows it could not take.
type Change = Box<dyn Fn(&ArrayRef) -> Result<(ArrayRef, Option<BooleanBuffer>)> + Send + Sync>;

struct Step {
    change: Change,
    bad: Bad,
}

/// What is done about rows that a step could not take.
enum Bad {
    Nothing,
    /// Their values are others now: reported under this name.
    Alter(String),
    Reject(&'static str, Says),
}

/// A column made from another one.
enum Made {
    Age {
        from: usize,
        at: At,
    },
    Band {
        from: usize,
        edges: Vec<f64>,
        names: Vec<String>,
    },
    /// Which of city, state and zip are wanted, in the order of their columns.
    Place {
        from: usize,
        parts: Vec<usize>,
    },
}

enum At {
    Day(Fill),
    Column(usize),
}

struct Work {
    /// Steps with the index of their column.
    steps: Vec<(usize, Step)>,
    made: Vec<Made>,
    output: SchemaRef,
}

impl Map for Work {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let mut columns = batch.columns().to_vec();
        let mut failures = vec![];
        for (at, step) in &self.steps {
            let (new, bad) = (step.change)(&columns[*at])?;
            let source = std::mem::replace(&mut columns[*at], new);
            let Some(rows) = bad.filter(|rows| rows.count_set_bits() > 0) else { continue };
            match &step.bad {
                Bad::Nothing => {}
                Bad::Alter(what) => out.altered_where(what, &batch, &BooleanArray::new(rows, None)),
                Bad::Reject(code, says) => failures.push(Failure { code, source, rows, says }),
            }
        }
        for made in &self.made {
            made.push_onto(&mut columns)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let cleaned = RecordBatch::try_new_with_options(self.output.clone(), columns, &options)?;
        send_rest(&batch, cleaned, &failures, out)
    }
}

impl Made {
    fn push_onto(&self, columns: &mut Vec<ArrayRef>) -> Result<()> {
        match self {
            Made::Age { from, at } => {
                let births = to(&columns[*from], &DataType::Date32)?;
                let at = match at {
                    At::Day(day) => day.one()?,
                    At::Column(column) => to(&columns[*column], &DataType::Date32)?,
                };
                columns.push(people::ages(&births, &at));
            }
            Made::Band { from, edges, names } => {
                let numbers = to(&columns[*from], &DataType::Float64)?;
                columns.push(people::bands(&numbers, edges, names));
            }
            Made::Place { from, parts } => {
                let text = to(&columns[*from], &DataType::Utf8)?;
                let places = place::places(text.as_string());
                columns.extend(parts.iter().filter_map(|p| places.get(*p).cloned()));
            }
        }
        Ok(())
    }
}

/// A cast that the plan has found possible; what does not fit is null.
fn to(array: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    Ok(selvedge_cast::cast(array, ty).map_err(|e| Error::bug(e.to_string()))?.values)
}
