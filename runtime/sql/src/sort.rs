//! `Sort`: rows in the order of some columns, on disk where memory does not suffice.

use crate::feed::{Feed, FeedExec};
use crate::pool;
use crate::query::Query;
use arrow::compute::SortOptions;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr, expressions};
use datafusion::physical_plan::sorts::sort::SortExec;
use selvedge_node::prelude::*;
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};

/// See [`Kind::ABOUT`].
pub struct Sort;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The columns to sort by, the most important first. `"a"` or `Asc("a")`: ascending, nulls first. `Desc("a")`: descending,
    /// nulls last. That is Spark's habit; `AscNullsLast("a")` and `DescNullsFirst("a")` are the other two.
    by: Vec<Spanned<Key>>,
}

/// A column to sort by, and how.
#[derive(Debug, Clone)]
pub struct Key {
    column: String,
    options: SortOptions,
}

#[derive(Deserialize)]
#[serde(variant_identifier)]
enum Order {
    Asc,
    Desc,
    AscNullsFirst,
    AscNullsLast,
    DescNullsFirst,
    DescNullsLast,
}

impl Order {
    fn options(&self) -> SortOptions {
        let (descending, nulls_first) = match self {
            Order::Asc | Order::AscNullsFirst => (false, true),
            Order::AscNullsLast => (false, false),
            Order::Desc | Order::DescNullsLast => (true, false),
            Order::DescNullsFirst => (true, true),
        };
        SortOptions { descending, nulls_first }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Key, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Key;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a column to sort by: \"a\", Desc(\"a\")")
            }
            fn visit_str<E: serde::de::Error>(self, column: &str) -> std::result::Result<Key, E> {
                Ok(Key { column: column.to_string(), options: Order::Asc.options() })
            }
            // A named value is a map of one entry to a deserializer that was not told what to expect.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Key, A::Error> {
                let none = || serde::de::Error::custom("expected a column to sort by");
                let order: Order = map.next_key()?.ok_or_else(none)?;
                Ok(Key { column: map.next_value()?, options: order.options() })
            }
        }
        d.deserialize_any(V)
    }
}

impl JsonSchema for Key {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Key".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "a column, or Asc, Desc, AscNullsFirst, AscNullsLast, DescNullsFirst, DescNullsLast of one",
            "type": "string",
        })
    }
}

impl Kind for Sort {
    const NAME: &'static str = "Sort";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "puts the rows in order";
    const DOCS: &'static str = "\
All rows are taken before the first is sent; what follows keeps the order. Rows that are equal in all columns of `by` come in no \
particular order. Floats sort NaN after infinity, text by its bytes.

One instance sees everything. Rows beyond the memory budget are sorted in pieces, written to the run's scratch folder and merged \
from there (external merge sort).

No row is dropped or rejected.";
    const EXAMPLE: &'static str = "Sort(input: \"sales\", by: [\"store_id\", Desc(\"sold_at\")])";
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = inputs[0].schema.clone();
        let mut problems = Problems::default();
        if config.by.is_empty() {
            problems.push(site.error("expected at least one column to sort by").help("by: [\"column\"]"));
        }
        let mut keys: Vec<(usize, SortOptions)> = vec![];
        for key in &config.by {
            let name = Column::new(key.column.clone(), key.span);
            let Some(index) = problems.take(column(&schema, &name)) else { continue };
            let ty = schema.field(index).data_type();
            if !sorts(ty) {
                problems.push(Problem::error(key.span, format!("column `{name}` cannot be sorted by: it is {ty}")));
            }
            if keys.iter().any(|(other, _)| *other == index) {
                problems.push(Problem::error(key.span, format!("column `{name}` is here twice")));
            }
            keys.push((index, key.options));
        }
        problems.or(())?;
        let output = schema.clone();
        let make = move |task: &Task| Work::new(&schema, &keys, task);
        let built = Built::transform(output, Partitioning::Single, make).ordered();
        Ok(built.waits_for_end(
            "use GroupSort, which puts the rows of each key in the order of time, session by session: \
             GroupSort(keys: […], time: \"…\", gap: \"30m\")",
        ))
    }
}

fn sorts(ty: &DataType) -> bool {
    match ty {
        DataType::Map(..) | DataType::Union(..) => false,
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => sorts(f.data_type()),
        DataType::Struct(fields) => fields.iter().all(|f| sorts(f.data_type())),
        _ => true,
    }
}

struct Work {
    query: Query,
}

impl Work {
    fn new(schema: &SchemaRef, keys: &[(usize, SortOptions)], task: &Task) -> Result<Work> {
        Ok(Work { query: sorting(schema, keys, task)? })
    }
}

/// A query that gives the rows of its one port in the order of some columns, on disk where memory does not suffice.
pub(crate) fn sorting(schema: &SchemaRef, keys: &[(usize, SortOptions)], task: &Task) -> Result<Query> {
    let by = keys.iter().map(|(index, options)| {
        let column = expressions::Column::new(schema.field(*index).name(), *index);
        PhysicalSortExpr { expr: Arc::new(column), options: *options }
    });
    let by = LexOrdering::new(by).ok_or_else(|| Error::bug("a sort by nothing"))?;
    let feed = Feed::new(schema.clone(), None, Some(task));
    let plan = SortExec::new(by, Arc::new(FeedExec::new(0, feed)));
    let context = TaskContext::default().with_session_config(pool::config(task)).with_runtime(pool::runtime_env(task)?);
    Query::start(Arc::new(plan), 1, Arc::new(context), task)
}

fn send(batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
    out.send(0, batch)
}

impl Transform for Work {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        self.query.push(port, &batch, out, &mut send)
    }
    fn end(&mut self, port: usize, out: &mut dyn Out) -> Result<()> {
        self.query.end(port, out, &mut send)
    }
    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        self.query.finish(out, &mut send)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray};
    use proptest::prelude::*;
    use selvedge_testkit::Case;

    const ROWS: &str = "a:Int32 | b
                        2       | x
                        null    | y
                        1       | null
                        2       | a
                        1       | z";

    #[test]
    fn nulls_come_first_going_up_and_last_going_down() {
        let sorted = |by: &str| Case::<Sort>::new(&format!("(by: [{by}])")).input(ROWS).run().text();
        assert_eq!(sorted(r#""a", Desc("b")"#), "a:Int32 | b:Utf8\nnull | y\n1 | z\n1 | null\n2 | x\n2 | a");
        assert_eq!(sorted(r#"Desc("a"), "b""#), "a:Int32 | b:Utf8\n2 | a\n2 | x\n1 | null\n1 | z\nnull | y");
        assert_eq!(
            sorted(r#"AscNullsLast("a"), DescNullsFirst("b")"#),
            "a:Int32 | b:Utf8\n1 | null\n1 | z\n2 | x\n2 | a\nnull | y"
        );
    }

    #[test]
    fn the_order_of_what_never_ends_is_that_of_its_sessions() {
        let built = Case::<Sort>::new(r#"(by: ["a"])"#).input(ROWS).build().unwrap();
        assert!(built.waits_for_end.unwrap().starts_with("use GroupSort"));
    }

    #[test]
    fn nothing_sorts_to_nothing() {
        assert_eq!(Case::<Sort>::new(r#"(by: ["a"])"#).input("a:Int32").run().text(), "a:Int32");
    }

    #[test]
    fn wrong_keys_are_found_while_planning() {
        let problems = |by: &str| Case::<Sort>::new(&format!("(by: [{by}])")).input(ROWS).problems();
        assert_eq!(
            problems(r#""c", Desc("A")"#),
            "no column named `c` (did you mean `a`, `b`?)\nno column named `A` (did you mean `a`, `b`?)"
        );
        assert_eq!(problems(r#""a", Desc("a")"#), "column `a` is here twice");
        assert!(problems("").starts_with("expected at least one column"));
        assert!(problems(r#"Down("a")"#).contains("Desc"), "{}", problems(r#"Down("a")"#));
    }

    #[test]
    fn more_rows_than_memory_are_sorted_on_disk() {
        const ROWS: i32 = 200_000;
        let mixed = |i: i32| i.wrapping_mul(0x9E37_79B1_u32 as i32);
        let key: Int32Array = (0..ROWS).map(mixed).collect();
        let text: StringArray = (0..ROWS).map(|i| Some(format!("row number {i}"))).collect();
        let batch =
            RecordBatch::try_from_iter([("k", Arc::new(key) as ArrayRef), ("t", Arc::new(text) as ArrayRef)]).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let task = task(2 << 20, scratch.path());
        let case = Case::<Sort>::new(r#"(by: ["k"])"#).batch(batch.clone());
        let selvedge_node::Work::Transform(make) = case.build().unwrap().work else { panic!("a transform") };
        let mut node = make(&task).unwrap();
        let mut out = selvedge_testkit::Recorder::default();
        for at in (0..ROWS as usize).step_by(8192) {
            node.process(0, batch.slice(at, 8192.min(ROWS as usize - at)), &mut out).unwrap();
        }
        let spilled = files(scratch.path());
        assert!(spilled > 0, "8 MB of rows in 2 MB");
        node.end(0, &mut out).unwrap();
        node.finish(&mut out).unwrap();
        drop(node);
        out.check_law(ROWS as u64);
        let keys: Vec<i32> = out.sent[&0]
            .iter()
            .flat_map(|b| b.column(0).as_any().downcast_ref::<Int32Array>().unwrap().values().to_vec())
            .collect();
        let mut expected: Vec<i32> = (0..ROWS).map(mixed).collect();
        expected.sort_unstable();
        assert!(keys == expected);
        assert_eq!(files(scratch.path()), 0, "spill files are removed");
        assert_eq!(task.memory.used(), 0, "memory is given back");
    }

    fn task(memory: u64, scratch: &std::path::Path) -> Task {
        Task {
            run: "test".into(),
            node: "node".into(),
            instance: 0,
            instances: 1,
            memory: selvedge_node::Memory::new(memory),
            scratch: scratch.to_path_buf(),
            batch_rows: 8192,
            batch_bytes: 1 << 20,
            wake: Default::default(),
        }
    }

    fn files(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        entries.map(|p| if p.is_dir() { files(&p) } else { 1 }).sum()
    }

    proptest! {
        #[test]
        fn sorts_as_a_naive_sort_does(rows in prop::collection::vec((any::<Option<i8>>(), prop::option::of("[a-c]{0,2}")), 0..80)) {
            let a: arrow::array::Int8Array = rows.iter().map(|r| r.0).collect();
            let b: StringArray = rows.iter().map(|r| r.1.as_deref()).collect();
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("a", Arc::new(a) as ArrayRef, true),
                ("b", Arc::new(b) as ArrayRef, true),
            ]).unwrap();
            let done = Case::<Sort>::new(r#"(by: [Desc("b"), "a"])"#).batch(batch).run();
            let mut expected = rows.clone();
            // Spark's order of nulls is that of Option: none before some, and the reverse going down.
            expected.sort_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(&y.0)));
            let a: arrow::array::Int8Array = expected.iter().map(|r| r.0).collect();
            let sorted = done.rows(0);
            prop_assert_eq!(sorted.column(0).as_any().downcast_ref::<arrow::array::Int8Array>().unwrap(), &a);
        }
    }
}
