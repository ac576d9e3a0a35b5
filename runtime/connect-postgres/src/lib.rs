//! PostgreSQL behind `Table` and `Warehouse`.
//!
//! ```text
//! Postgres(host: …) ─config─► Database ─► describe   names, columns, bounds, what a crawl finds
//!                                      ├─► read       COPY … TO STDOUT ─text─► cells in columns ─cast─► batches
//!                                      └─► load       batches ─COPY … FROM STDIN─► a staging table ─one transaction─► the target
//! ```

mod config;
mod copy;
mod describe;
mod error;
mod load;
mod read;
mod stage;
mod target;
#[cfg(test)]
mod tests;
mod types;

pub use config::{KIND, connect};
