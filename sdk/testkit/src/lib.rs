//! Run one node without the runtime, in one line, and hold it to the row law.
//!
//! ```text
//! let done = Case::<DropNulls>::new(r#"(columns: ["sku"])"#)
//!     .input("sku:Utf8 | qty:Int32
//!             a        | 1
//!             null     | 2")
//!     .run();
//! assert_eq!(done.dropped["null in sku"], 1);
//! ```
//!
//! Every case runs three times: the input whole, row by row, and in batches of three. All must agree as multisets of rows.

mod case;
mod recorder;
mod saved;
mod table;

pub use case::{Case, Done, NoConnections, config, drive, site};
pub use recorder::Recorder;
pub use saved::Saved;
pub use table::{quote, show, sorted, table, try_table};
