//! `Null`: counts rows away. For measuring a graph without its output, and for outputs that nobody wants.

use selvedge_node::Sink;
use selvedge_node::prelude::*;

pub struct Null;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Kind for Null {
    const NAME: &'static str = "Null";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "counts rows and forgets them";
    const DOCS: &'static str = "Takes rows of any schema, counts them as absorbed (`discarded`) and writes nothing.

For timing a graph without its output, and to say in the graph that an output is not wanted.";
    const EXAMPLE: &'static str = r#"Null(input: "stock")"#;
    type Config = Config;

    fn build(_: Config, _: &Site, _: &[Input]) -> std::result::Result<Built, Problems> {
        Ok(Built::sink(Partitioning::Any, Nowhere).replaces(true))
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn open(&self, _: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Nowhere))
    }
}

impl Writer for Nowhere {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        out.absorb("discarded", batch.num_rows() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::Case;

    #[test]
    fn every_row_is_counted() {
        let done = Case::<Null>::new("()").input("a:Int64\n1\nnull\n3").run();
        assert_eq!(done.absorbed["discarded"], 3);
    }

    #[test]
    fn it_takes_no_fields() {
        let problems = Case::<Null>::new("(limit: 3)").input("a\n1").problems();
        assert!(problems.contains("limit"), "{problems}");
    }
}
