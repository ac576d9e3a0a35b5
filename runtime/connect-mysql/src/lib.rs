//! MySQL and MariaDB behind `Table`.
//!
//! ```text
//! MySql(host: …) ─config─► Database ─► describe   names, columns, bounds, what a crawl finds
//!                                  └─► read       one SELECT ─text─► cells in columns ─cast─► batches
//! ```
//!
//! Rows are read in the text protocol: the server prints each value exactly, and whole columns of text are cast at once.

mod config;
mod describe;
mod error;
mod position;
mod read;
#[cfg(test)]
mod tests;
mod types;

pub use config::{KIND, connect};
