//! What connections lead to: the seams between the nodes and the clients of databases, object stores and search engines.
//!
//! ```text
//! Table, Warehouse, Files, Search ──ask──► Connectors ──is──► the binary's list ──names──► connect-mysql, connect-postgres, …
//!                                          database::Driver                                 each with its heavy client
//! ```
//!
//! A node that needs one of them is generic over `C: Connectors`, so that its crate knows none of the clients.

pub mod cells;
pub mod database;
mod io;
pub mod position;
pub mod retry;
pub mod search;
pub mod store;

use database::Driver;
pub use io::{spawn, wait};
use search::Engine;
use selvedge_node::{Connection, Problem};
use std::sync::Arc;
use store::Store;

/// The kinds of connections that a program knows besides the embedded ones. `None`: the connection is of another kind.
pub trait Connectors: 'static {
    fn database(connection: &Connection) -> Option<Result<Arc<dyn Driver>, Problem>> {
        let _ = connection;
        None
    }
    fn store(connection: &Connection) -> Option<Result<Arc<dyn Store>, Problem>> {
        let _ = connection;
        None
    }
    fn search(connection: &Connection) -> Option<Result<Arc<dyn Engine>, Problem>> {
        let _ = connection;
        None
    }
}

/// No connectors at all: what is embedded works without.
pub struct Embedded;

impl Connectors for Embedded {}
