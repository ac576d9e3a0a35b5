//! Tests of the crate as its users see it.

mod de;
mod parse;
mod property;
