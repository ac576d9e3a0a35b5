//! Object stores: S3 and what speaks like it, Google Cloud Storage, Azure, and files behind HTTP for reading.
//!
//! ```text
//! ObjectStore(url: "s3://bucket/prefix", …) ─config─► Bucket ─► read: ranges and streams, read ahead
//!                                                            └► write: multipart uploads, which nobody sees before they are completed
//! ```

mod bucket;
mod config;
mod error;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use config::{Config, KIND, connect};
