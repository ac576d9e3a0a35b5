//! What the host gives. Outside of WebAssembly a recorder stands in its place, which `test` reads.

#[cfg(target_family = "wasm")]
pub use crate::bindings::{
    batches::wanted,
    clock::now,
    counters::add,
    logging::{enabled, log},
    rows::{absorb, altered, create, drop_kept, drop_rows, reject_raw, reject_rows, send},
    secrets::get,
};

#[cfg(not(target_family = "wasm"))]
pub use crate::test::imports::*;

/// A panic takes the instance down; its message and place would be lost with it.
#[cfg(target_family = "wasm")]
pub fn log_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            log(crate::bindings::logging::Level::Error, &panic.to_string(), &[]);
        }));
    });
}
#[cfg(not(target_family = "wasm"))]
pub fn log_panics() {}
