//! The columns of a schema while it is edited, found by name: a wide table has as many edits as columns.

use arrow::datatypes::{FieldRef, Schema};
use selvedge_node::{Column, Problem};
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

/// Fields in order. Names are unique, or else the first one of a name is meant.
pub(super) struct Columns {
    fields: Vec<FieldRef>,
    places: HashMap<String, usize>,
}

impl Deref for Columns {
    type Target = [FieldRef];
    fn deref(&self) -> &[FieldRef] {
        &self.fields
    }
}

impl Columns {
    pub fn new(fields: Vec<FieldRef>) -> Columns {
        let mut places = HashMap::with_capacity(fields.len());
        for (at, field) in fields.iter().enumerate() {
            places.entry(field.name().clone()).or_insert(at);
        }
        Columns { fields, places }
    }

    pub fn into_fields(self) -> Vec<FieldRef> {
        self.fields
    }

    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// As [`place`](Columns::place), or the problem with the nearest names.
    pub fn find(&self, name: &Column) -> Result<usize, Problem> {
        match self.place(name) {
            Some(at) => Ok(at),
            None => selvedge_node::column(&Schema::new(self.fields.clone()), name),
        }
    }

    pub fn push(&mut self, field: FieldRef) {
        self.places.entry(field.name().clone()).or_insert(self.fields.len());
        self.fields.push(field);
    }

    /// Another type under the same name.
    pub fn retype(&mut self, at: usize, ty: arrow::datatypes::DataType) {
        self.fields[at] = Arc::new(self.fields[at].as_ref().clone().with_data_type(ty).with_nullable(true));
    }

    /// These columns, in this order.
    pub fn pick(&mut self, indices: &[usize]) {
        *self = Columns::new(indices.iter().map(|at| self.fields[*at].clone()).collect());
    }

    /// All columns but these, in their order.
    pub fn others(&self, indices: &[usize]) -> Vec<usize> {
        let without: HashSet<usize> = indices.iter().copied().collect();
        (0..self.fields.len()).filter(|at| !without.contains(at)).collect()
    }

    /// Puts several columns in the place of one.
    pub fn splice(&mut self, at: usize, fields: Vec<FieldRef>) {
        let mut all = std::mem::take(&mut self.fields);
        all.splice(at..=at, fields);
        *self = Columns::new(all);
    }
}
