//! One small tokio runtime for all clients. Nodes are synchronous: they wait for what a client does.

use std::future::Future;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};

static IO: LazyLock<Result<Runtime, std::io::Error>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).thread_name("connect").enable_all().build());

/// Runs a future of a client to its end. Not to be called within one.
pub fn wait<F: Future>(future: F) -> selvedge_node::Result<F::Output> {
    match &*IO {
        Ok(io) => Ok(io.block_on(future)),
        Err(e) => Err(selvedge_node::Error::world(format!("starting threads for the network: {e}"))),
    }
}
