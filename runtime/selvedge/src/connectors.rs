//! Every connector there is.

use selvedge_connect::Connectors;
use selvedge_connect::database::Driver;
use selvedge_connect::store::Store;
use selvedge_node::{Connection, Problem};
use std::sync::Arc;

/// What the binary can connect to besides what is embedded.
pub struct All;

impl Connectors for All {
    fn database(connection: &Connection) -> Option<Result<Arc<dyn Driver>, Problem>> {
        match connection.kind.as_str() {
            _ => None,
        }
    }
    fn store(connection: &Connection) -> Option<Result<Arc<dyn Store>, Problem>> {
        selvedge_connect_objects::connect(connection)
    }
}
