//! The seam between `Search` and a search engine.

use arrow::datatypes::SchemaRef;
use selvedge_node::{Problems, Result, Span};
use tokio::task::JoinHandle;

/// Where documents go.
#[derive(Debug, Clone)]
pub struct Index {
    pub name: String,
    /// The fields of a document.
    pub schema: SchemaRef,
    /// Columns of the id, as indices of the schema.
    pub id: Vec<usize>,
    /// It only grows: a document is made, never written over.
    pub data_stream: bool,
    /// Make it if there is none.
    pub create: bool,
    /// For problems: the place of the index's name.
    pub span: Span,
}

/// Documents on their way, as the lines of the bulk API, in order.
#[derive(Debug, Default)]
pub struct Request {
    pub text: Vec<u8>,
    pub items: Vec<Item>,
}

/// One document.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Where its lines end in the text.
    pub end: usize,
    /// Where the line of what to do ends, and the document begins.
    pub document: usize,
    /// Of its id: documents with equal ids are stored in their order.
    pub hash: u64,
}

/// A document that the engine does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The engine's name for the reason: `document_parsing_exception`.
    pub code: String,
    pub message: String,
    pub document: String,
}

/// What became of a request: every document is stored or refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub stored: u64,
    pub refused: Vec<Refusal>,
    /// How often something had to be sent again.
    pub retries: u64,
}

/// A search engine.
pub trait Engine: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> String;
    /// Which engine answers, and its version: the error says why none does, and what to do.
    fn reach(&self) -> Result<String>;
    /// What stands in the way of such documents: an index whose fields are others.
    fn check(&self, index: &Index) -> Result<Problems>;
    /// Makes the index if it is wanted and there is none. Several may ask at the same time.
    fn make(&self, index: &Index) -> Result<()>;
    /// How many requests one writer may have on their way.
    fn requests(&self) -> usize;
    /// The most documents of a request.
    fn documents(&self) -> usize;
    /// Sends the documents, and those again that may yet be taken, until each has its answer.
    fn send(&self, request: Request) -> Result<JoinHandle<Result<Answer>>>;
}
