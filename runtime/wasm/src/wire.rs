//! Batches and schemas as the bindings borrow them for a call.

use crate::bindings::selvedge::plugin::types::{
    Batch, FieldParam, FieldResult, NodeParam, Port, SchemaParam, SchemaResult,
};
use crate::columns::{Node, crosses, flatten, range_bytes};
use crate::schema;
use arrow::array::{Array, RecordBatch};
use selvedge_node::Input;
use selvedge_node::prelude::{Schema, SchemaRef};
use std::sync::Arc;

/// The input ports and their schemas, by the contract's names.
pub struct Arriving(Vec<(String, Vec<FieldResult>)>);

impl Arriving {
    pub fn new(inputs: &[Input]) -> Arriving {
        Arriving(inputs.iter().map(|i| (i.port.clone(), schema::fields(&i.schema))).collect())
    }

    pub fn with<R>(&self, call: impl FnOnce(&[Port<'_>]) -> R) -> R {
        let fields: Vec<Vec<FieldParam<'_>>> =
            self.0.iter().map(|(_, fields)| fields.iter().map(param).collect()).collect();
        let ports = self.0.iter().zip(&fields).map(|((name, _), fields)| Port { name, schema: SchemaParam { fields } });
        call(&ports.collect::<Vec<_>>())
    }
}

fn param(field: &FieldResult) -> FieldParam<'_> {
    FieldParam { name: &field.name, format: &field.format, nullable: field.nullable, children: field.children }
}

pub fn schema_of(told: SchemaResult) -> Result<SchemaRef, String> {
    schema::schema(told.fields).map(|s: Schema| Arc::new(s))
}

/// Calls with the columns that the plugin reads. Nothing is copied here.
pub fn with_batch<R>(batch: &RecordBatch, reads: &[usize], call: impl FnOnce(Batch<'_>) -> R) -> R {
    let mut nodes: Vec<Node> = vec![];
    for column in reads.iter().map(|c| batch.column(*c)) {
        match crosses(column.data_type()) {
            true => flatten(column, &mut nodes),
            // Told to the plugin as a column of nulls.
            false => nodes.push(Node { length: column.len() as u32, null_count: column.len() as u32, buffers: vec![] }),
        }
    }
    let slices: Vec<Vec<&[u8]>> = nodes.iter().map(|n| n.buffers.iter().map(|b| b.as_slice()).collect()).collect();
    let params = nodes.iter().zip(&slices);
    let params = params.map(|(n, buffers)| NodeParam { length: n.length, null_count: n.null_count, buffers });
    call(Batch { rows: batch.num_rows() as u32, nodes: &params.collect::<Vec<_>>() })
}

/// Cuts a batch so that what is sent of each piece is at most `limit` bytes; a single row may be more.
pub fn pieces(batch: RecordBatch, reads: &[usize], limit: usize) -> Vec<RecordBatch> {
    let bytes = sent_bytes(&batch, reads);
    if bytes <= limit || batch.num_rows() <= 1 {
        return vec![batch];
    }
    let half = batch.num_rows() / 2;
    let (front, back) = (batch.slice(0, half), batch.slice(half, batch.num_rows() - half));
    let mut all = pieces(front, reads, limit);
    all.extend(pieces(back, reads, limit));
    all
}

/// Bytes of the columns that the plugin reads.
pub fn sent_bytes(batch: &RecordBatch, reads: &[usize]) -> usize {
    let columns = reads.iter().map(|c| batch.column(*c)).filter(|c| crosses(c.data_type()));
    columns.map(|c| range_bytes(&c.to_data(), 0, c.len())).sum()
}
