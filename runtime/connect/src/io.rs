//! One small tokio runtime for all clients. Nodes are synchronous: they wait for what a client does.

use selvedge_node::{Error, Result};
use std::future::Future;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

static IO: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).thread_name("connect").enable_all().build());

/// Runs a future of a client to its end. Not to be called within one.
pub fn wait<F: Future>(future: F) -> Result<F::Output> {
    Ok(io()?.block_on(future))
}

/// Lets a future of a client run beside.
pub fn spawn<F: Future<Output: Send> + Send + 'static>(future: F) -> Result<JoinHandle<F::Output>> {
    Ok(io()?.spawn(future))
}

fn io() -> Result<&'static Runtime> {
    IO.as_ref().map_err(|e| Error::world(format!("starting threads for the network: {e}")))
}
