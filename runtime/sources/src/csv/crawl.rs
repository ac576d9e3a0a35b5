//! The columns of CSV files, from as many of their rows as wanted: read as a run reads them, so that what is quoted, cut or null
//! here is so there. All values are text, so a column with several kinds of them is text and no choice.

use super::guess::Shape;
use super::{Options, plan};
use crate::crawl::{Rows, look};
use crate::request::Request;
use arrow::array::{Array, AsArray, RecordBatch};
use selvedge_node::{Error, Problems};
use selvedge_schemas::{Extent, FoundColumn, type_of};

/// What one file has. `request` is about this file alone.
pub fn crawl(
    request: &Request,
    options: &Options,
    extent: Extent,
) -> Result<(Vec<FoundColumn>, Vec<String>), Problems> {
    let plan = plan(request, options)?;
    let names: Vec<&String> = plan.output.schema.fields().iter().map(|f| f.name()).collect();
    let mut shapes = vec![(Shape::Nothing, false); names.len()];
    let mut see = |batch: &RecordBatch| {
        for ((shape, null), column) in shapes.iter_mut().zip(batch.columns()) {
            *null |= column.null_count() > 0;
            if let Some(text) = column.as_string_opt::<i32>() {
                *shape = text.iter().flatten().fold(*shape, |shape, text| shape.and(Shape::of(text)));
            }
        }
    };
    let Rows { good, bad } =
        look(plan.source.as_ref(), extent.rows(), &mut see).map_err(|e: Error| request.problem(e))?;
    let whole = extent == Extent::Full && good > 0;
    let column = |(name, (shape, null)): (&&String, &(Shape, bool))| FoundColumn {
        name: name.to_string(),
        ty: type_of(&shape.guess().ty),
        nullable: *null || !whole,
    };
    let columns = names.iter().zip(&shapes).map(column).collect();
    let notes = match bad {
        0 => vec![],
        rows => vec![format!("{rows} rows of {} cannot be read", request.files[0].name)],
    };
    Ok((columns, notes))
}
