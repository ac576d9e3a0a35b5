//! RON text with places: every value remembers where it stood, so that any later stage can point at it.
//!
//! `ron` reads text straight into types and stops at the first error. A graph needs more: all its problems at once, each
//! with its place, and parameters put in as *values* between parsing and typing. So this crate has a tree in between:
//!
//! ```text
//! text ──parse──► Value (a tree, each part with its Span) ──from_value──► T: Deserialize
//! ```
//!
//! A property test holds the parser to the `ron` crate: what one accepts, the other does, with the same meaning.

mod attribute;
mod de;
mod lexer;
mod number;
mod parse;
mod print;
mod problem;
mod span;
mod value;

pub use de::from_value;
pub use parse::parse;
pub use print::to_json;
pub use problem::{Problem, Problems, Severity, nearest, similar};
pub use span::{FileId, Span, Spanned};
pub use value::{Field, Secret, Value, ValueKind};

#[cfg(test)]
mod tests;
