//! RON text to the tree.
use crate::{FileId, Problem, Problems, Value};
/// Parses one document.
pub fn parse(file: FileId, _text: &str) -> Result<Value, Problems> {
    Err(Problem::error(crate::Span::new(file, 0, 0), "parse is not written").into())
}
