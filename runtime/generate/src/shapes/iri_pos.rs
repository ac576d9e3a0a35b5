//! IRI's weekly store extracts: a row for each store, week and UPC, the UPC in four parts (system, generation, vendor, item).
//!
//! Rows are in the order of their weeks. The second half of the table restates some rows of the first, as a later extract
//! does: the same key with other units and dollars.

use super::{Block, field};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use selvedge_node::Result;

pub fn fields() -> Vec<Field> {
    ["IRI_KEY", "WEEK", "SY", "GE", "VEND", "ITEM", "UNITS", "DOLLARS", "F", "D", "PR"]
        .map(|name| field(name, DataType::Utf8))
        .into()
}

/// IRI counts weeks from 1979-09-03; this one begins on 2023-01-02.
const FIRST_WEEK: u64 = 2262;
const STORES: u64 = 120;
const ITEMS: u64 = 40_009;

/// Whose key a row has, and who says how much was sold.
struct Sale {
    key: u64,
    sender: u64,
}

pub fn columns(block: &Block) -> Result<Vec<ArrayRef>> {
    let half = block.total / 2;
    let origin = block.draws("origin");
    let sales: Vec<Sale> = block
        .rows
        .clone()
        .map(|row| {
            let dice = origin.at(row).below(1000);
            match dice {
                0..25 if row > 0 => Sale { key: row - 1, sender: row - 1 },
                25..120 if row >= half && half > 0 => Sale { key: row - half, sender: row },
                _ => Sale { key: row, sender: row },
            }
        })
        .collect();
    let weeks = (block.total / 500).clamp(1, 104);
    let in_week = block.total.div_ceil(weeks).max(1);
    // Within a week no two rows have one key: stores go round, and with each round comes the next item. The step is prime
    // to the number of items, so that neighbours are not alike.
    let store = |key: u64| key % in_week % STORES;
    let item = |key: u64| (key % in_week / STORES * 611 + key / in_week * 17 + store(key) * 7) % ITEMS;
    let (stores, vendors, items) = (block.draws("IRI_KEY"), block.draws("VEND"), block.draws("ITEM"));
    let (units, dollars) = (block.draws("UNITS"), block.draws("DOLLARS"));
    let (feature, display, cut) = (block.draws("F"), block.draws("D"), block.draws("PR"));
    let list_price = |item: u64| 799 + 100 * items.at(ITEMS + item).below(90);
    let reduced = |sale: &Sale| cut.at(sale.key).chance(200);
    let sold = |sale: &Sale| {
        let mut draw = units.at(sale.sender);
        1 + draw.below(3) * draw.below(6)
    };
    let returned = |sale: &Sale| units.at(u64::MAX - sale.sender).chance(10);
    Ok(vec![
        block.text(&sales, 6, |s, out| {
            let mut draw = stores.at(store(s.key));
            // A store's number, with one row in a hundred that has lost it.
            if stores.at(STORES + s.key).chance(10) {
                return out.null();
            }
            out.number(200_000 + store(s.key) * 5000 + draw.below(5000), 6);
            out.end();
        })?,
        block.text(&sales, 4, |s, out| {
            let mut draw = stores.at(u64::MAX - s.key);
            let week = FIRST_WEEK + s.key / in_week;
            out.dirty(&mut draw, 4, &["N/A", "wk {}", "{} "], |out| out.number(week, 4));
        })?,
        block.text(&sales, 2, |s, out| {
            let sy = items.at(item(s.key)).pick(&[0u64, 0, 0, 88]);
            out.number(sy, if s.key % 50 == 7 { 2 } else { 1 });
            out.end();
        })?,
        block.text(&sales, 1, |s, out| {
            out.number(1 + items.at(2 * ITEMS + item(s.key)).below(8), 1);
            out.end();
        })?,
        block.text(&sales, 5, |s, out| {
            out.number(100 + vendors.at(item(s.key) / 97).below(99_899), 1);
            out.end();
        })?,
        block.text(&sales, 5, |s, out| {
            out.number(1 + item(s.key), 1);
            out.end();
        })?,
        block.text(&sales, 3, |s, out| {
            let mut draw = dollars.at(u64::MAX - s.sender);
            let (units, returned) = (sold(s), returned(s));
            out.dirty(&mut draw, 12, &["N/A", " {} ", "{}.0", ""], |out| {
                out.put(if returned { "-" } else { "" });
                out.number(units, 1);
            });
        })?,
        block.text(&sales, 7, |s, out| {
            let mut draw = dollars.at(s.sender);
            if draw.chance(10) {
                return out.null();
            }
            let cents = sold(s) * list_price(item(s.key)) * if reduced(s) { 80 } else { 100 } / 100;
            let returned = returned(s);
            out.dirty(&mut draw, 8, &["N/A", " {}", "${}"], |out| {
                out.put(if returned { "-" } else { "" });
                out.money(cents);
            });
        })?,
        block.text(&sales, 4, |s, out| {
            out.put(feature.at(s.key).pick(&["NONE", "NONE", "NONE", "NONE", "NONE", "NONE", "A", "A+", "B", "C"]));
            out.end();
        })?,
        block.text(&sales, 1, |s, out| {
            out.number(display.at(s.key).pick(&[0u64, 0, 0, 0, 0, 0, 0, 0, 1, 2]), 1);
            out.end();
        })?,
        block.text(&sales, 1, |s, out| {
            out.number(u64::from(reduced(s)), 1);
            out.end();
        })?,
    ])
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use arrow::array::{Array, AsArray};
    use std::collections::HashMap;

    #[test]
    fn a_key_comes_again_only_as_a_copy_or_a_restatement() {
        let rows = Shape::IriPos.batch(1, 20_000, 0..20_000).unwrap();
        let column = |i: usize| rows.column(i).as_string::<i32>();
        let mut seen: HashMap<Vec<&str>, Vec<usize>> = HashMap::new();
        for row in 0..rows.num_rows() {
            let key: Vec<&str> = (0..6).map(|c| column(c).value(row)).collect();
            if column(0).is_valid(row) && key[1].len() == 4 {
                seen.entry(key).or_default().push(row);
            }
        }
        let mut restated = 0;
        for rows in seen.values().filter(|r| r.len() > 1) {
            assert!(rows.windows(2).all(|w| w[1] - w[0] <= 3 || (9_990..=10_010).contains(&(w[1] - w[0]))), "{rows:?}");
            restated += usize::from(rows[rows.len() - 1] - rows[0] > 3);
        }
        assert!(restated > 500, "{restated}");
    }
}
