//! A Selvedge plugin in Rust: a node like a built-in one, that runs as a WebAssembly component.
//!
//! A plugin is a library of `crate-type = ["cdylib", "rlib"]`: a type that implements [`Kind`], its work, which is a [`Map`],
//! a [`Transform`], a [`Source`] or the [`Writer`] of a [`Sink`], and one macro that exports it. `cargo test` runs it natively;
//! `cargo build --profile plugin --target wasm32-wasip2` makes the component.
//!
//! ```
//! use selvedge_guest::prelude::*;
//!
//! /// Lets the rows through whose number is within bounds.
//! struct Between;
//!
//! struct Config {
//!     column: String,
//!     from: f64,
//!     to: f64,
//! }
//!
//! struct Work {
//!     column: usize,
//!     from: f64,
//!     to: f64,
//! }
//!
//! impl Kind for Between {
//!     const NAME: &'static str = "Between";
//!     const ABOUT: &'static str = "lets rows through whose number is within bounds";
//!     const DOCS: &'static str = "\
//! Both bounds belong to the range. A row outside of it is dropped as `out of bounds`; one without a number goes to `errors` with
//! the code `no_number`.";
//!     const EXAMPLE: &'static str = r#"{"column": "price", "from": 0.01, "to": 1000}"#;
//!     type Config = Config;
//!     type Work = Work;
//!
//!     fn config(settings: &mut Settings) -> Result<Config> {
//!         let column = settings.required("column")?;
//!         let (from, to) = (settings.required("from")?, settings.required("to")?);
//!         if to < from {
//!             let message = format!("`to` is {to}, which is below `from`, {from}");
//!             return Err(Error::graph(message).help("swap them").at(settings.at("to")));
//!         }
//!         Ok(Config { column, from, to })
//!     }
//!
//!     fn build(config: Config, inputs: &[Input]) -> Result<Built<Work>> {
//!         let schema = inputs[0].schema.clone();
//!         let column = schema.column_of_type(&config.column, "column", "Float64", |t| *t == Type::Float64)?;
//!         let work = Work { column, from: config.from, to: config.to };
//!         Ok(Built::map(schema, work).reads([column]).may_reject(true))
//!     }
//! }
//!
//! impl Map for Work {
//!     fn map(&self, batch: &Batch, out: &mut Out) -> Result<()> {
//!         let numbers = batch.f64(self.column)?;
//!         let inside = |n: f64| n >= self.from && n <= self.to;
//!         let missing = batch.nulls(self.column)?;
//!         let story = |row| (row as u32, "expected a number, found null".to_string());
//!         out.reject_rows("no_number", &missing.rows().map(story).collect::<Vec<_>>());
//!         out.drop_rows("out of bounds", &Mask::from_fn(batch.rows(), |row| numbers.get(row).is_some_and(|n| !inside(n))));
//!         out.send(0, Rows::filter(&Mask::from_fn(batch.rows(), |row| numbers.get(row).is_some_and(inside))))
//!     }
//! }
//!
//! selvedge_guest::export_map!(Between);
//!
//! let done = selvedge_guest::test::map::<Between>(
//!     r#"{"column": "price", "from": 0.01, "to": 1000}"#,
//!     "sku  | price:Float64
//!      pen  | 1.50
//!      free | 0.00
//!      lost | null
//!      car  | 20000",
//! );
//! done.expect(
//!     "sku | price:Float64
//!      pen | 1.50",
//! );
//! assert_eq!(done.dropped["out of bounds"], 2);
//! assert_eq!(done.rejected[0].code, "no_number");
//! ```
//!
//! **The row law.** Every row that comes in is sent, dropped, rejected or absorbed, each exactly once, and the host counts. A call that fails or panics
//! has sent nothing. A panic's message and place go to the log.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod batch;
#[doc(hidden)]
pub mod bindings;
mod build;
mod config;
mod error;
#[doc(hidden)]
pub mod export;
pub mod host;
mod imports;
mod json;
mod kind;
mod out;
mod run;
mod schema;
#[cfg(not(target_family = "wasm"))]
pub mod test;
mod view;

pub use batch::{Batch, Bools, Texts, Values};
pub use bindings::types::Node;
pub use build::{Column, Mask, Texts as TextBuilder};
pub use config::{Setting, Settings};
pub use error::{Error, Fault, Result};
pub use json::Json;
pub use kind::{
    Built, Capability, Commit, Inputs, Kind, Map, Next, Partitioning, Ports, Positions, Reader, Sink, Source, Task,
    Transform, Wish, Writer,
};
pub use out::{Out, Rows, Which};
pub use schema::{Field, Input, Schema, Type, Unit};
pub use view::Native;

/// What a plugin needs.
pub mod prelude {
    pub use crate::{
        Batch, Built, Column, Commit, Error, Field, Input, Inputs, Kind, Map, Mask, Next, Out, Partitioning, Ports,
        Positions, Reader, Result, Rows, Schema, Settings, Sink, Source, Task, Transform, Type, Unit, Writer, host,
    };
}
