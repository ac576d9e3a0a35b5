//! Kinds for the plan's own tests, named and shaped as the real ones but without any work in them.

use selvedge_node::prelude::*;
use selvedge_node::{ErasedKind, Fields, Inputs, Map, Positions, Result, Sink, Source, Split, erase};

type Planned = std::result::Result<Built, Problems>;

pub fn kinds() -> Vec<Box<dyn ErasedKind>> {
    vec![
        erase::<Table>(),
        erase::<FilesSource>(),
        erase::<FilesSink>(),
        erase::<Keep>(),
        erase::<Dedup>(),
        erase::<Sort>(),
        erase::<Limit>(),
        erase::<Join>(),
        erase::<Union>(),
        erase::<Route>(),
        erase::<Warehouse>(),
        erase::<Null>(),
        erase::<Liar>(),
    ]
}

/// No work at all.
struct Idle;

impl Source for Idle {
    fn splits(&self, _: &Positions) -> Result<Vec<Box<dyn Split>>> {
        Ok(vec![])
    }
}
impl Map for Idle {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        out.send(0, batch)
    }
}
impl Transform for Idle {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        out.send(0, batch)
    }
}
impl Writer for Idle {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        out.absorb("written", batch.num_rows() as u64);
        Ok(())
    }
}
impl Sink for Idle {
    fn open(&self, _: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Idle))
    }
}

fn transform(schema: SchemaRef, partitioning: Partitioning) -> Built {
    Built::transform(schema, partitioning, |_| Ok(Idle))
}

/// Declares a kind's constants, so that what differs can be seen.
macro_rules! kind {
    ($name:literal, $role:ident, $config:ty) => {
        const NAME: &'static str = $name;
        const ROLE: Role = Role::$role;
        const ABOUT: &'static str = "";
        const DOCS: &'static str = "";
        const EXAMPLE: &'static str = "";
        type Config = $config;
    };
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    columns: Vec<Column>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schemed {
    #[serde(default)]
    schema: Fields,
    #[serde(default)]
    unbounded: bool,
    #[serde(default)]
    connection: Option<Spanned<String>>,
}

fn source(config: Schemed, site: &Site) -> Planned {
    let mut problems = config.schema.problems();
    if let Some(connection) = &config.connection {
        problems.take(site.connection(connection));
    }
    let mut built = Built::source(config.schema.schema(), Idle);
    built.unbounded = config.unbounded;
    problems.or(built)
}

struct Table;
impl Kind for Table {
    kind!("Table", Source, Schemed);
    fn build(config: Schemed, site: &Site, _: &[Input]) -> Planned {
        Ok(source(config, site)?.note("one table"))
    }
}

struct FilesSource;
impl Kind for FilesSource {
    kind!("Files", Source, Schemed);
    fn build(config: Schemed, site: &Site, _: &[Input]) -> Planned {
        Ok(source(config, site)?.may_reject(true))
    }
}

struct FilesSink;
impl Kind for FilesSink {
    kind!("Files", Sink, Nothing);
    fn build(_: Nothing, _: &Site, _: &[Input]) -> Planned {
        Ok(Built::sink(Partitioning::Any, Idle))
    }
}

/// Takes only the named columns on; may reject.
struct Keep;
impl Kind for Keep {
    kind!("Keep", Transform, Columns);
    fn build(config: Columns, _: &Site, inputs: &[Input]) -> Planned {
        let schema = &inputs[0].schema;
        let columns = columns(schema, &config.columns)?;
        let schema = Arc::new(schema.project(&columns).expect("columns of its own"));
        Ok(Built::map(schema, Idle).may_reject(true))
    }
}

struct Dedup;
impl Kind for Dedup {
    kind!("Dedup", Transform, Columns);
    fn build(config: Columns, _: &Site, inputs: &[Input]) -> Planned {
        let schema = inputs[0].schema.clone();
        let keys = columns(&schema, &config.columns)?;
        Ok(transform(schema, Partitioning::Keys(vec![keys])))
    }
}

struct Sort;
impl Kind for Sort {
    kind!("Sort", Transform, Nothing);
    fn build(_: Nothing, _: &Site, inputs: &[Input]) -> Planned {
        Ok(transform(inputs[0].schema.clone(), Partitioning::Single).ordered())
    }
}

struct Limit;
impl Kind for Limit {
    kind!("Limit", Transform, Nothing);
    fn build(_: Nothing, _: &Site, inputs: &[Input]) -> Planned {
        Ok(transform(inputs[0].schema.clone(), Partitioning::InOrder))
    }
}

/// By the first column of each side.
struct Join;
impl Kind for Join {
    kind!("Join", Transform, Nothing);
    fn ports(_: &Nothing) -> Ports {
        Ports { inputs: Inputs::Named(vec!["left".into(), "right".into()]), outputs: vec!["out".into()] }
    }
    fn build(_: Nothing, _: &Site, inputs: &[Input]) -> Planned {
        Ok(transform(inputs[0].schema.clone(), Partitioning::Keys(vec![vec![0], vec![0]])))
    }
}

struct Union;
impl Kind for Union {
    kind!("Union", Transform, Nothing);
    fn ports(_: &Nothing) -> Ports {
        Ports { inputs: Inputs::Each, outputs: vec!["out".into()] }
    }
    fn build(_: Nothing, _: &Site, inputs: &[Input]) -> Planned {
        Ok(transform(inputs[0].schema.clone(), Partitioning::Any))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ways {
    ways: Vec<String>,
}

struct Route;
impl Kind for Route {
    kind!("Route", Transform, Ways);
    fn ports(config: &Ways) -> Ports {
        Ports { inputs: Inputs::One, outputs: config.ways.clone() }
    }
    fn build(config: Ways, _: &Site, inputs: &[Input]) -> Planned {
        let schema = inputs[0].schema.clone();
        Ok(Built::map(schema.clone(), Idle).outputs(vec![schema; config.ways.len()]))
    }
}

struct Warehouse;
impl Kind for Warehouse {
    kind!("Warehouse", Sink, Columns);
    fn build(config: Columns, site: &Site, inputs: &[Input]) -> Planned {
        columns(&inputs[0].schema, &config.columns)?;
        let slow = Problem::warning(site.span, "this table has no index").help("add one");
        Ok(Built::sink(Partitioning::Single, Idle).may_reject(true).warn(slow))
    }
}

struct Null;
impl Kind for Null {
    kind!("Null", Sink, Nothing);
    fn build(_: Nothing, _: &Site, _: &[Input]) -> Planned {
        Ok(Built::sink(Partitioning::Any, Idle).visible_at_once())
    }
}

/// Breaks its promises.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
pub enum Lie {
    NoSchema,
    StrangeKeys,
    Silence,
    Panic,
    PanicInPorts,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lies {
    lie: Lie,
}

struct Liar;
impl Kind for Liar {
    kind!("Liar", Transform, Lies);
    fn ports(config: &Lies) -> Ports {
        assert!(!matches!(config.lie, Lie::PanicInPorts), "no ports today");
        Ports::transform()
    }
    fn build(config: Lies, _: &Site, inputs: &[Input]) -> Planned {
        let schema = inputs[0].schema.clone();
        match config.lie {
            Lie::NoSchema => Ok(Built::map(schema, Idle).outputs(vec![])),
            Lie::StrangeKeys => Ok(transform(schema, Partitioning::Keys(vec![vec![1000]]))),
            Lie::Silence => Err(Problems::default()),
            Lie::Panic | Lie::PanicInPorts => panic!("nobody told me about {}", inputs[0].port),
        }
    }
}
