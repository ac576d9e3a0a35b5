//! The contract of a node: everything the author of a source, transform or sink needs, and nothing of the runtime.
//!
//! ```text
//!            config (RON) + input schemas
//!                      │ Kind::build          pure but for a source that looks at its own data
//!                      ▼
//!   Built { outputs: schemas, partitioning, work }      what the plan needs to know
//!                      │ Work::{Source, Map, Transform, Sink}
//!                      ▼
//!   running instances, one per thread:  batches in ──► Out: send │ drop │ reject │ absorb │ create
//! ```
//!
//! **The row law.** Every row that enters a node leaves it exactly once: sent on a port, dropped with a reason, or rejected
//! to the `errors` port with a reason. A node that groups or expands says so with `absorb` and `create`. The engine counts
//! on both sides and checks, for every node of every run:
//!
//! ```text
//! rows in + created = rows sent + dropped + rejected + absorbed
//! ```

mod choice;
mod error;
mod kind;
mod memory;
mod out;
mod period;
mod rows;
mod types;
mod work;

pub use choice::{choice_fields, choice_name};
pub use error::{Error, Fault, Result};
pub use kind::{
    Built, Connection, Connections, ErasedConfig, ErasedKind, EventTime, Input, Inputs, Kind, MakeTransform,
    Partitioning, Ports, Role, Site, Work, erase,
};
pub use memory::{Memory, Reservation};
pub use out::{ERRORS_PORT, Out, Rejection, errors_schema};
pub use period::Period;
pub use rows::{row_json, rows_json, write_json_lines};
pub use types::{Column, Fields, TimeUnit, Type, column, column_of_type, columns};
pub use work::{
    BATCH_BYTES, BATCH_ROWS, Commit, HASH_COLUMN, Map, Next, Pending, Positions, Reader, Save, Sink, Source, Split,
    Task, Transform, Wake, Watermark, Writer,
};

pub use selvedge_ron::{Problem, Problems, Span, Spanned};

/// Everything a node's file usually needs.
pub mod prelude {
    pub use crate::{
        Built, Column, Error, EventTime, Input, Inputs, Kind, Map, Next, Out, Partitioning, Ports, Problem, Problems,
        Reader, Rejection, Result, Role, Save, Site, Spanned, Task, Transform, Work, Writer, column, column_of_type,
        columns,
    };
    pub use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
    pub use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;
    pub use std::sync::Arc;
}
