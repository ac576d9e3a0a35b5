//! From the tree to typed config, by serde.
use crate::{Problem, Value};
/// Reads `value` as a `T`; an error points at the part of the text that does not fit.
pub fn from_value<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    Err(Problem::error(value.span, "from_value is not written"))
}
