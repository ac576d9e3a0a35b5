//! Elasticsearch and OpenSearch behind `Search`.
//!
//! ```text
//! config    where the engine is, and how to get in
//! client    one request and its answer; what refusals mean
//! mapping   the fields of an index, from Arrow's types; an index that is there, compared
//! bulk      documents until each is stored or refused: parts, retries, splitting
//! ```

mod bulk;
mod client;
mod config;
mod mapping;
#[cfg(test)]
mod tests;

use client::Client;
use selvedge_connect::search::{Answer, Engine, Index, Request};
use selvedge_node::{Connection, Problem, Problems, Result};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The kind of connection.
pub const KIND: &str = "Elasticsearch";

/// The engine that a connection means; `None`: it is of another kind.
pub fn connect(connection: &Connection) -> Option<std::result::Result<Arc<dyn Engine>, Problem>> {
    (connection.kind == KIND).then(|| Ok(Arc::new(Client::new(connection)?) as Arc<dyn Engine>))
}

impl Engine for Client {
    fn place(&self) -> String {
        self.place.clone()
    }
    fn reach(&self) -> Result<String> {
        Ok(self.version()?.to_string())
    }
    fn check(&self, index: &Index) -> Result<Problems> {
        mapping::check(self, index)
    }
    fn make(&self, index: &Index) -> Result<()> {
        mapping::make(self, index)
    }
    fn requests(&self) -> usize {
        self.requests
    }
    fn documents(&self) -> usize {
        self.documents
    }
    fn send(&self, request: Request) -> Result<JoinHandle<Result<Answer>>> {
        selvedge_connect::spawn(bulk::send(self.clone(), request))
    }
}
