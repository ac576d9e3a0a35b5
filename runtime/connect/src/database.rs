//! The seam between the two nodes and a database: what differs from one database to the next, and nothing else.

use arrow::datatypes::{DataType, SchemaRef};
use selvedge_node::{Problems, Reader, Result, Span, Task};
use selvedge_schemas::{Extent, FoundColumn};
use std::sync::Arc;

/// Where rows are read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Relation {
    Table(String),
    /// One SELECT.
    Query(String),
}

/// A column as the database describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    pub name: String,
    /// `None`: neither a declaration nor a look at the rows could tell.
    pub ty: Option<DataType>,
}

/// What a split reads.
#[derive(Debug, Clone)]
pub struct Select {
    pub relation: Relation,
    /// Names as the database knows them, and the types of the output.
    pub schema: SchemaRef,
    pub bookmark: Option<Bookmark>,
    pub range: Option<Range>,
}

impl Select {
    /// The place of the bookmark among the columns of the output, if it is one of them.
    pub fn mark(&self) -> Option<usize> {
        let name = &self.bookmark.as_ref()?.column;
        self.schema.fields().iter().position(|f| f.name() == name)
    }
}

/// Read in the order of this column, from a position on.
#[derive(Debug, Clone)]
pub struct Bookmark {
    pub column: String,
    /// As `Reader::position` gave it.
    pub from: Option<String>,
}

/// Rows with a key in `from..to`; an open end has `None`. What is null or no integer belongs to an open end.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    pub column: String,
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// How a load changes its target.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Append,
    Replace,
    /// Rows with equal keys are updated, others added.
    Upsert(Vec<String>),
}

/// What is to become of a target that lacks columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    Fail,
    AddColumns,
}

/// How Redshift lays out a table that it makes. Other databases have nothing like it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    pub distribution: Option<Distribution>,
    pub sort: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    Even,
    All,
    /// Rows with equal values in this column are on one slice.
    Key(String),
}

/// What the sink does.
#[derive(Debug, Clone)]
pub struct Load {
    pub table: String,
    pub schema: SchemaRef,
    pub change: Change,
    /// Make the table if there is none.
    pub create: bool,
    pub drift: Drift,
    pub layout: Layout,
    /// `graph/node`: names the load in commits.
    pub node: String,
    /// For problems: the place of the table's name.
    pub span: Span,
}

/// A database.
pub trait Driver: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> String;
    /// Whether there is a database that answers: the error says why not, and what to do.
    fn reach(&self) -> Result<()>;
    /// Names of tables and views.
    fn tables(&self) -> Result<Vec<String>>;
    /// The columns of a table or query, in order. Those that are `typed` otherwise need no type.
    fn describe(&self, relation: &Relation, typed: &dyn Fn(&str) -> bool) -> Result<Vec<Described>>;
    /// The columns of a table for a schema file: what is declared, and what its cells are besides.
    fn crawl(&self, table: &str, extent: Extent) -> Result<Vec<FoundColumn>>;
    /// Smallest and largest integer in a column of the rows to be read.
    fn bounds(&self, select: &Select, column: &str) -> Result<Option<(i64, i64)>>;
    /// Whether the database is as it was: another text where it may not be.
    fn version(&self) -> Result<String>;
    fn read(&self, select: &Select, task: &Task) -> Result<Box<dyn Reader>>;
    /// What stands in the way of a load: types that cannot be stored, a target that does not fit.
    fn check(&self, load: &Load) -> Result<Problems>;
    /// Whether rows of one load may be refused for each other, so that they have to be flushed together.
    fn compares_rows(&self, load: &Load) -> Result<bool>;
    fn sink(&self, load: Load) -> Arc<dyn selvedge_node::Sink>;
}
