//! Every connector there is, and the connections of a profile.

use selvedge_connect::Connectors;
use selvedge_connect::database::Driver;
use selvedge_connect::search::Engine;
use selvedge_connect::store::Store;
use selvedge_node::{Connection, Connections, Problem};
use selvedge_spec::ConnectionSpec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the binary can connect to besides what is embedded.
pub struct All;

impl Connectors for All {
    fn database(connection: &Connection) -> Option<Result<Arc<dyn Driver>, Problem>> {
        selvedge_connect_mysql::connect(connection)
            .or_else(|| selvedge_connect_postgres::connect(connection))
            .or_else(|| selvedge_connect_redshift::connect(connection))
    }
    fn store(connection: &Connection) -> Option<Result<Arc<dyn Store>, Problem>> {
        selvedge_connect_objects::connect(connection)
    }
    fn search(connection: &Connection) -> Option<Result<Arc<dyn Engine>, Problem>> {
        selvedge_connect_search::connect(connection)
    }
}

/// Secrets that services keep.
pub fn vault(name: &str, env: &BTreeMap<String, String>) -> Option<Result<String, (String, Option<String>)>> {
    let found = selvedge_connect_aws::secret(name, &|name| env.get(name).cloned())?;
    Some(found.map_err(|e| (e.message, e.help)))
}

/// The connections of the chosen profile.
pub struct Known(pub Vec<ConnectionSpec>);

impl Connections for Known {
    fn find(&self, name: &str) -> Option<Connection> {
        let found = self.0.iter().find(|c| c.name.value == name)?;
        Some(Connection {
            name: name.into(),
            kind: found.kind.value.clone(),
            span: found.name.span,
            body: found.body.clone(),
            base: found.base.clone(),
        })
    }
    fn names(&self) -> Vec<String> {
        self.0.iter().map(|c| c.name.value.clone()).collect()
    }
}
