//! Plugins: a WebAssembly component as a node like any other, in a sandbox.
//!
//! ```text
//! file ─load─► Loaded ─┬─ asked while planning: ports, schemas, wishes      (kind)
//!                      └─ Instance per thread: batch in ─► Effects ─► Out   (transform, source, sink)
//! ```
//!
//! What a call does to rows is kept as `Effects` until it has ended well. So a trap has done nothing: its rows can be
//! rejected, alone, and the row law holds whatever a plugin does.

mod bindings;
mod columns;
mod component;
mod effects;
mod engine;
mod grant;
mod host;
mod inspect;
mod instance;
mod kind;
mod limits;
mod lock;
mod origin;
mod schema;
mod sink;
mod source;
mod stdio;
mod transform;
mod wire;

pub use component::{component, default_cache};
pub use inspect::{Inspection, Wish, inspect};
pub use kind::locked;
pub use limits::Limits;
pub use lock::{LOCK_FILE, Lock};

use selvedge_node::{ErasedKind, Role};
use std::path::PathBuf;
use std::sync::Arc;

/// What the operator says about plugins.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where compiled plugins are kept; `None`: they are compiled by every process.
    pub cache: Option<PathBuf>,
    /// No graph may set a limit above these.
    pub caps: Limits,
    /// Plugins that a `plugins.lock` does not pin are refused.
    pub locked: bool,
}

/// Every kind of this crate.
pub fn kinds(settings: Settings) -> Vec<Box<dyn ErasedKind>> {
    let settings = Arc::new(settings);
    let kind = |role| Box::new(kind::Plugin::new(role, settings.clone())) as Box<dyn ErasedKind>;
    vec![kind(Role::Source), kind(Role::Transform)]
}
