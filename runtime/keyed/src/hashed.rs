//! Rows with the hashes of their keys in a last column, as state holds them in checkpoints and on disk.

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, Field};
use selvedge_node::prelude::*;
use selvedge_node::{HASH_COLUMN, Result};

const HASH: DataType = DataType::Decimal128(38, 0);

pub(crate) fn hash_field() -> Field {
    Field::new(HASH_COLUMN, HASH, false)
}

pub(crate) fn hash_column(hashes: impl Iterator<Item = i128>) -> ArrayRef {
    Arc::new(Decimal128Array::from_iter_values(hashes).with_data_type(HASH))
}

/// The hashes of the keys of stored rows.
pub(crate) fn hashes(batch: &RecordBatch) -> &[i128] {
    batch.column(batch.num_columns() - 1).as_primitive::<Decimal128Type>().values()
}

pub(crate) fn hashed(rows: &RecordBatch, hashes: &[u128]) -> Result<RecordBatch> {
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(hash_field()));
    let mut columns = rows.columns().to_vec();
    columns.push(hash_column(hashes.iter().map(|&hash| hash as i128)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

pub(crate) fn unhashed(batch: &RecordBatch) -> Result<(RecordBatch, Vec<u128>)> {
    let columns: Vec<usize> = (0..batch.num_columns() - 1).collect();
    Ok((batch.project(&columns)?, hashes(batch).iter().map(|&hash| hash as u128).collect()))
}
