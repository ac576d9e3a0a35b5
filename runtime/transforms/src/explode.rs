//! `Explode`: a row for every item of a list.

use arrow::array::cast::AsArray;
use arrow::array::{GenericListArray, Int64Array, OffsetSizeTrait, RecordBatchOptions, UInt64Array};
use arrow::compute::{cast, take};
use selvedge_node::column_of_type;
use selvedge_node::prelude::*;

pub(crate) struct Explode;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The list column.
    column: Column,
    /// Name of the item column that takes its place; the same name if left out.
    #[serde(default)]
    into: Option<Column>,
    /// Keep a row, with a null item, where the list is empty or null.
    #[serde(default)]
    outer: bool,
    /// Name of a further column with the item's place in its list, from 0.
    #[serde(default)]
    position: Option<Column>,
}

/// Rows of an output batch: lists may be long, and their rows wide.
const CHUNK: usize = 16_384;

impl Kind for Explode {
    const NAME: &'static str = "Explode";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "makes a row of every item of a list column";
    const DOCS: &'static str = "\
The list column becomes a column of its items; all other columns are repeated. An item may be null, and may be a struct: take
that apart with `SchemaEdit(edits: [Flatten(…)])`.

A row whose list is null or empty is dropped as `null list in items` or `empty list in items`, or stays, once, with a null
item if `outer` is true (Spark's `explode_outer`). A row with n items leaves as n rows: n - 1 rows count as created,
`exploded`.";
    const EXAMPLE: &'static str = r#"Explode(input: "orders", column: "items", into: "item", position: "line")"#;
    type Config = Config;

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let mut problems = Problems::default();
        let is_list =
            |t: &DataType| matches!(t, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
        let column =
            problems.take(column_of_type(schema, &config.column, "a list", is_list).map_err(|p| match p.help {
                Some(help) if help.starts_with("cast") => Problem { help: Some("only a list has items".into()), ..p },
                help => Problem { help, ..p },
            }));
        let mut names: Vec<&str> =
            schema.fields().iter().map(|f| f.name().as_str()).filter(|n| *n != config.column.value).collect();
        for new in [config.into.as_ref(), config.position.as_ref()].into_iter().flatten() {
            if names.contains(&new.as_str()) {
                problems.push(Problem::error(new.span, format!("there is a column `{new}` already")));
            }
            names.push(new);
        }
        let Some(column) = column else { return Err(problems) };
        let mut fields = schema.fields().to_vec();
        let old = schema.field(column);
        let item = match old.data_type() {
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => f.data_type().clone(),
            other => other.clone(),
        };
        let name = config.into.as_ref().map_or(old.name().as_str(), |n| n.as_str());
        fields[column] = Arc::new(Field::new(name, item, true));
        if let Some(position) = &config.position {
            fields.push(Arc::new(Field::new(position.value.clone(), DataType::Int64, true)));
        }
        let output = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let work = Items {
            column,
            output: output.clone(),
            outer: config.outer,
            position: config.position.is_some(),
            empty: format!("empty list in {}", config.column),
            null: format!("null list in {}", config.column),
        };
        problems.or(Built::map(output, work))
    }
}

struct Items {
    column: usize,
    output: SchemaRef,
    outer: bool,
    position: bool,
    empty: String,
    null: String,
}

impl Map for Items {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let list = batch.column(self.column);
        match list.data_type() {
            DataType::LargeList(_) => self.explode(&batch, list.as_list::<i64>(), out),
            DataType::List(_) => self.explode(&batch, list.as_list::<i32>(), out),
            DataType::FixedSizeList(item, _) => {
                let plain = cast(list, &DataType::List(item.clone()))?;
                self.explode(&batch, plain.as_list::<i32>(), out)
            }
            other => Err(Error::bug(format!("a list was promised, but {other} came"))),
        }
    }
}

/// Rows to be: which row each comes from, which item it gets, and that item's place.
#[derive(Default)]
struct Rows {
    parent: Vec<u64>,
    item: Vec<Option<u64>>,
    position: Vec<Option<i64>>,
}

impl Items {
    fn explode<O: OffsetSizeTrait>(
        &self,
        batch: &RecordBatch,
        list: &GenericListArray<O>,
        out: &mut dyn Out,
    ) -> Result<()> {
        let length = |row: usize| if list.is_null(row) { 0 } else { list.value_length(row).as_usize() };
        let (mut items, mut filled) = (0, 0);
        for row in 0..list.len() {
            items += length(row);
            filled += usize::from(length(row) > 0);
        }
        out.create("exploded", (items - filled) as u64);
        if !self.outer && filled < list.len() {
            let null: BooleanArray = (0..list.len()).map(|row| Some(list.is_null(row))).collect();
            let empty: BooleanArray = (0..list.len()).map(|row| Some(list.is_valid(row) && length(row) == 0)).collect();
            out.drop_where(&self.null, batch, &null);
            out.drop_where(&self.empty, batch, &empty);
        }
        let mut rows = Rows::default();
        for row in 0..list.len() {
            let start = list.value_offsets()[row].as_usize();
            let length = length(row);
            if length == 0 && self.outer {
                self.add(&mut rows, row, None, batch, list, out)?;
            }
            for place in 0..length {
                self.add(&mut rows, row, Some((start + place, place)), batch, list, out)?;
            }
        }
        self.flush(&mut rows, batch, list, out)
    }

    fn add<O: OffsetSizeTrait>(
        &self,
        rows: &mut Rows,
        parent: usize,
        item: Option<(usize, usize)>,
        batch: &RecordBatch,
        list: &GenericListArray<O>,
        out: &mut dyn Out,
    ) -> Result<()> {
        rows.parent.push(parent as u64);
        rows.item.push(item.map(|(at, _)| at as u64));
        if self.position {
            rows.position.push(item.map(|(_, place)| place as i64));
        }
        if rows.parent.len() >= CHUNK { self.flush(rows, batch, list, out) } else { Ok(()) }
    }

    fn flush<O: OffsetSizeTrait>(
        &self,
        rows: &mut Rows,
        batch: &RecordBatch,
        list: &GenericListArray<O>,
        out: &mut dyn Out,
    ) -> Result<()> {
        let count = rows.parent.len();
        let Rows { parent, item, position } = std::mem::take(rows);
        let items = take(list.values(), &UInt64Array::from(item), None)?;
        let parent = UInt64Array::from(parent);
        let mut columns = vec![];
        for (i, column) in batch.columns().iter().enumerate() {
            // The list itself is not to be copied for each of its items.
            columns.push(if i == self.column { items.clone() } else { take(column, &parent, None)? });
        }
        if self.position {
            columns.push(Arc::new(Int64Array::from(position)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        out.send(0, RecordBatch::try_new_with_options(self.output.clone(), columns, &options)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Builder, LargeListBuilder, ListBuilder, StringArray};
    use selvedge_testkit::Case;

    fn orders() -> RecordBatch {
        let mut items = ListBuilder::new(Int32Builder::new());
        for row in [Some(vec![Some(1), None, Some(3)]), Some(vec![]), None, Some(vec![Some(9)])] {
            items.append_option(row);
        }
        let ids = StringArray::from(vec!["a", "b", "c", "d"]);
        RecordBatch::try_from_iter(vec![("id", Arc::new(ids) as ArrayRef), ("items", Arc::new(items.finish()))])
            .unwrap()
    }

    #[test]
    fn a_row_for_every_item() {
        let done = Case::<Explode>::new(r#"(column: "items", into: "item", position: "line")"#).batch(orders()).run();
        done.expect_in_order("id | item:Int32 | line:Int64\na | 1 | 0\na | null | 1\na | 3 | 2\nd | 9 | 0");
        assert_eq!(done.created["exploded"], 2);
        assert_eq!(
            done.dropped,
            [("empty list in items".to_string(), 1), ("null list in items".to_string(), 1)].into()
        );
    }

    #[test]
    fn outer_keeps_rows_without_items() {
        let done = Case::<Explode>::new(r#"(column: "items", outer: true)"#).batch(orders().slice(1, 3)).run();
        done.expect_in_order("id | items:Int32\nb | null\nc | null\nd | 9");
        assert!(done.dropped.is_empty());
    }

    #[test]
    fn long_lists_leave_in_batches() {
        let mut items = LargeListBuilder::new(Int32Builder::new());
        items.append_value((0..40_000).map(Some));
        let batch = RecordBatch::try_from_iter(vec![("n", Arc::new(items.finish()) as ArrayRef)]).unwrap();
        let done = Case::<Explode>::new(r#"(column: "n")"#).batch(batch).run();
        assert_eq!(done.sent[&0].iter().map(|b| b.num_rows()).collect::<Vec<_>>(), [16_384, 16_384, 7_232]);
    }

    #[test]
    fn all_problems_at_once() {
        let problems =
            Case::<Explode>::new(r#"(column: "id", into: "items", position: "items")"#).batch(orders()).problems();
        assert_eq!(
            problems,
            "column `id` must be a list, but is Utf8 (only a list has items)\nthere is a column `items` already\n\
             there is a column `items` already"
        );
        let unknown = Case::<Explode>::new(r#"(column: "itms")"#).batch(orders()).problems();
        assert_eq!(unknown, "no column named `itms` (did you mean `items`?)");
    }
}
