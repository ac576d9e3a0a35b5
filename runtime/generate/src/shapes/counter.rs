//! `n` and `key`: for tests of the engine, where the data must not be in the way.

use super::{Block, field};
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field};
use selvedge_node::Result;
use std::sync::Arc;

pub fn fields() -> Vec<Field> {
    vec![field("n", DataType::Int64), field("key", DataType::Int64)]
}

pub fn columns(block: &Block) -> Result<Vec<ArrayRef>> {
    let draws = block.draws("key");
    let n = Int64Array::from_iter_values(block.rows.clone().map(|row| row as i64));
    let key = Int64Array::from_iter_values(block.rows.clone().map(|row| draws.at(row).below(1000) as i64));
    Ok(vec![Arc::new(n), Arc::new(key)])
}
