//! The shapes by name, and what they share: a block of rows to make, and rows that repeat earlier ones.

mod counter;
mod customers;
mod inventory;
mod iri_pos;
mod numerator;
mod orders;

use crate::prng::Draws;
use crate::text::Text;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use schemars::JsonSchema;
use selvedge_node::Result;
use serde::Deserialize;
use std::ops::Range;
use std::sync::Arc;

/// Midnight of 2023-01-01, in days since 1970: where the shapes' two years begin.
const FIRST_DAY: u64 = 19_358;
const DAY: u64 = 86_400;

/// What the rows look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Shape {
    /// Clean: `n` counts from 0, `key` is a random number below 1000.
    Counter,
    /// A stock table out of a shop database: sku and store, dirty quantities, prices and dates, duplicates, re-sent rows.
    Inventory,
    /// Weekly point-of-sale extracts as IRI delivers them: UPC in four parts, units, dollars; later weeks restate earlier ones.
    IriPos,
    /// Receipts of a shopper panel as Numerator delivers them: nested, a list of items in each; some are scanned twice.
    NumeratorReceipts,
    /// Customer demographics, several versions a customer: names in many scripts, messy gender, birth date and location.
    Customers,
    /// Orders of the same customers: times, quantities, prices, payment; some are sent again with a new quantity.
    Orders,
}

impl Shape {
    pub const ALL: &[Shape] =
        &[Shape::Counter, Shape::Inventory, Shape::IriPos, Shape::NumeratorReceipts, Shape::Customers, Shape::Orders];

    /// As a graph writes it.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Counter => "Counter",
            Shape::Inventory => "Inventory",
            Shape::IriPos => "IriPos",
            Shape::NumeratorReceipts => "NumeratorReceipts",
            Shape::Customers => "Customers",
            Shape::Orders => "Orders",
        }
    }

    /// As a table of a database is named.
    pub fn table(self) -> &'static str {
        match self {
            Shape::Counter => "counter",
            Shape::Inventory => "inventory",
            Shape::IriPos => "iri_pos",
            Shape::NumeratorReceipts => "numerator_receipts",
            Shape::Customers => "customers",
            Shape::Orders => "orders",
        }
    }

    /// One line for a list of shapes.
    pub fn about(self) -> &'static str {
        match self {
            Shape::Counter => "clean numbers: a counter and a random key",
            Shape::Inventory => "a stock table of a shop database, dirty, with duplicates and re-sent rows",
            Shape::IriPos => "weekly point-of-sale extracts as IRI delivers them, with restated weeks",
            Shape::NumeratorReceipts => "nested receipts of a shopper panel as Numerator delivers them",
            Shape::Customers => "customer demographics, several versions a customer",
            Shape::Orders => "orders of those customers, some sent twice (take five times as many rows)",
        }
    }

    /// The shape of a name in any letter case, with or without `_` and `-`: `iri-pos`, `IriPos`.
    pub fn find(name: &str) -> Option<Shape> {
        let plain = name.replace(['_', '-'], "");
        Self::ALL.iter().copied().find(|shape| shape.name().eq_ignore_ascii_case(&plain))
    }

    pub fn schema(self) -> SchemaRef {
        let fields = match self {
            Shape::Counter => counter::fields(),
            Shape::Inventory => inventory::fields(),
            Shape::IriPos => iri_pos::fields(),
            Shape::NumeratorReceipts => numerator::fields(),
            Shape::Customers => customers::fields(),
            Shape::Orders => orders::fields(),
        };
        Arc::new(Schema::new(fields))
    }

    /// About how many bytes a row takes in memory.
    pub(crate) fn row_bytes(self) -> usize {
        match self {
            Shape::Counter => 16,
            Shape::Inventory => 170,
            Shape::IriPos => 90,
            Shape::NumeratorReceipts => 450,
            Shape::Customers => 150,
            Shape::Orders => 140,
        }
    }

    /// Rows `rows` of the table of `total` rows with this seed.
    pub(crate) fn batch(self, seed: u64, total: u64, rows: Range<u64>) -> Result<RecordBatch> {
        let block = Block { shape: self, seed, total, rows };
        let columns = match self {
            Shape::Counter => counter::columns(&block),
            Shape::Inventory => inventory::columns(&block),
            Shape::IriPos => iri_pos::columns(&block),
            Shape::NumeratorReceipts => numerator::columns(&block),
            Shape::Customers => customers::columns(&block),
            Shape::Orders => orders::columns(&block),
        };
        Ok(RecordBatch::try_new(self.schema(), columns?)?)
    }
}

/// Rows to make.
struct Block {
    shape: Shape,
    seed: u64,
    /// Rows of the whole table.
    total: u64,
    rows: Range<u64>,
}

impl Block {
    fn draws(&self, column: &str) -> Draws {
        Draws::new(self.seed, &format!("{}.{column}", self.shape.name()))
    }

    /// Which row's content each row shows: mostly its own, else that of an earlier row, as an exact copy or sent again.
    fn origins(&self, copied_permille: u64, resent_permille: u64) -> Vec<Origin> {
        let draws = self.draws("origin");
        self.rows
            .clone()
            .map(|row| {
                let mut draw = draws.at(row);
                let dice = draw.below(1000);
                if row == 0 || dice >= copied_permille + resent_permille {
                    Origin { row, sender: row }
                } else {
                    let earlier = draw.below(row);
                    Origin { row: earlier, sender: if dice < copied_permille { earlier } else { row } }
                }
            })
            .collect()
    }

    /// A text column: `value` writes one value for each origin.
    fn text<O>(&self, origins: &[O], width: usize, mut value: impl FnMut(&O, &mut Text)) -> Result<ArrayRef> {
        let mut text = Text::new(origins.len(), width);
        for origin in origins {
            value(origin, &mut text);
        }
        text.finish()
    }
}

/// Whose content a row shows.
#[derive(Debug, Clone, Copy)]
struct Origin {
    /// Draws of what never changes are taken here …
    row: u64,
    /// … and draws of what a re-sent row changes, here. Not equal to `row` where a row was sent again.
    sender: u64,
}

impl Origin {
    fn resent(&self) -> bool {
        self.row != self.sender
    }
}

fn field(name: &str, ty: DataType) -> Field {
    Field::new(name, ty, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::compute::concat_batches;

    #[test]
    fn names_are_found_however_written() {
        for &shape in Shape::ALL {
            assert_eq!(Shape::find(&shape.name().to_lowercase()), Some(shape));
        }
        assert_eq!(Shape::find("iri_pos"), Some(Shape::IriPos));
        assert_eq!(Shape::find("numerator-receipts"), Some(Shape::NumeratorReceipts));
        assert_eq!(Shape::find("x"), None);
    }

    #[test]
    fn every_shape_is_the_same_in_any_cut_and_differs_by_seed() {
        for &shape in Shape::ALL {
            let whole = shape.batch(7, 1000, 0..1000).unwrap();
            let parts: Vec<_> = [0..1, 1..333, 333..333, 333..1000].map(|r| shape.batch(7, 1000, r).unwrap()).into();
            assert_eq!(concat_batches(&shape.schema(), &parts).unwrap(), whole, "{shape:?}");
            assert_ne!(shape.batch(8, 1000, 0..1000).unwrap(), whole, "{shape:?}");
        }
    }

    #[test]
    fn retail_shapes_repeat_themselves_and_have_nulls() {
        for &shape in Shape::ALL.iter().filter(|s| **s != Shape::Counter) {
            let rows = shape.batch(1, 3000, 0..3000).unwrap();
            let text = selvedge_testkit::show(&rows);
            let lines: Vec<&str> = text.lines().skip(1).collect();
            let different: std::collections::HashSet<&str> = lines.iter().copied().collect();
            let copies = lines.len() - different.len();
            assert!((30..600).contains(&copies), "{shape:?} has {copies} exact copies");
            assert!(rows.columns().iter().any(|c| c.null_count() > 0), "{shape:?} has nulls");
        }
    }
}
