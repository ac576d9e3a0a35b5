//! What the tests of this crate's nodes share.

use selvedge_node::{Connection, Connections, Memory, Task};

/// A site without connections.
pub(crate) struct Nothing;

impl Connections for Nothing {
    fn find(&self, _: &str) -> Option<Connection> {
        None
    }
    fn names(&self) -> Vec<String> {
        vec![]
    }
}

/// A task for a node that is driven by hand.
pub(crate) fn task(memory: u64, batch_rows: usize, scratch: &std::path::Path) -> Task {
    Task {
        run: "test".into(),
        node: "node".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(memory),
        scratch: scratch.into(),
        batch_rows,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}
