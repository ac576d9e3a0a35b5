//! What a node may ask the host for: a log, counters, the time, secrets, how much to send at once.

pub use crate::bindings::batches::Size;
pub use crate::bindings::logging::Level;
use crate::imports;

/// A line in the log of the run.
pub fn log(level: Level, message: &str) {
    log_with(level, message, &[]);
}

/// A line in the log of the run, with fields.
pub fn log_with(level: Level, message: &str, fields: &[(String, String)]) {
    imports::log(level, message, fields);
}

/// Whether anybody reads lines of this level: to save the work of making them.
pub fn logs(level: Level) -> bool {
    imports::enabled(level)
}

/// Adds to a counter of the plugin's own, in the run's report.
pub fn count(name: &str, value: u64) {
    imports::add(name, value);
}

/// Nanoseconds since 1970, UTC, as the run sees it.
pub fn now() -> u64 {
    imports::now()
}

/// A secret; none where the graph does not grant it.
pub fn secret(name: &str) -> Option<String> {
    imports::get(name)
}

/// How much to send at once: a batch is best when it reaches one of both, and has few rows more.
pub fn wanted() -> Size {
    imports::wanted()
}
