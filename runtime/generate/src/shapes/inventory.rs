//! The stock table of the shop database: a row for each sku and store, edited by many hands.

use super::{Block, DAY, FIRST_DAY, field};
use crate::words::{COLOURS, CUTS, DIRTY_COUNT, DIRTY_DATE, DIRTY_MONEY, GARMENTS, SIZES};
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field};
use selvedge_node::Result;
use std::sync::Arc;

pub fn fields() -> Vec<Field> {
    let text = |name| field(name, DataType::Utf8);
    vec![
        text("sku"),
        field("store_id", DataType::Int64),
        text("name"),
        text("category"),
        text("size"),
        text("color"),
        text("qty"),
        text("price"),
        text("restock_date"),
        text("active"),
        text("legacy_code"),
        text("updated_at"),
    ]
}

const ACTIVE: &[&str] = &[
    "true", "true", "true", "true", "true", "true", "false", "false", "false", "TRUE", "False", "t", "0", "1", "Y",
    "no", "N/A",
];

pub fn columns(block: &Block) -> Result<Vec<ArrayRef>> {
    let origins = block.origins(40, 60);
    // One sku in four or so is met in several stores.
    let skus = (block.total / 3).max(1);
    let (sku, product, cut) = (block.draws("sku"), block.draws("product"), block.draws("cut"));
    let sku_of = |row: u64| sku.at(row).below(skus);
    let garment = |row: u64| product.at(sku_of(row)).pick(GARMENTS);
    let (nulls, store) = (block.draws("null"), block.draws("store"));
    let (category, size, colour) = (block.draws("category"), block.draws("size"), block.draws("color"));
    let (qty, price, restock) = (block.draws("qty"), block.draws("price"), block.draws("restock_date"));
    let (active, legacy, updated) = (block.draws("active"), block.draws("legacy_code"), block.draws("updated_at"));

    let store_id: Int64Array = origins
        .iter()
        .map(|o| {
            let mut draw = store.at(o.row);
            (!draw.chance(30)).then(|| 1 + draw.below(60) as i64)
        })
        .collect();
    Ok(vec![
        block.text(&origins, 12, |o, out| {
            if nulls.at(o.row).chance(30) {
                return out.null();
            }
            out.put(garment(o.row).2);
            out.put("-");
            out.number(sku_of(o.row), 6);
            out.end();
        })?,
        Arc::new(store_id),
        block.text(&origins, 24, |o, out| {
            let mut draw = cut.at(sku_of(o.row));
            out.put(draw.pick(CUTS));
            out.put(" ");
            out.put(garment(o.row).0);
            if draw.chance(150) {
                out.put(", \"Édition ");
                out.number(2019 + draw.below(7), 4);
                out.put("\"");
            }
            out.end();
        })?,
        block.text(&origins, 10, |o, out| {
            let mut draw = category.at(o.row);
            if draw.chance(40) {
                return out.null();
            }
            let clean = garment(o.row).1;
            match draw.below(20) {
                0 => out.put(&clean.to_uppercase()),
                1 => {
                    out.put(" ");
                    out.put(clean);
                    out.put(" ");
                }
                _ => out.put(clean),
            }
            out.end();
        })?,
        block.text(&origins, 5, |o, out| {
            let mut draw = size.at(o.row);
            if draw.chance(50) {
                return out.null();
            }
            out.put(draw.pick(SIZES));
            out.end();
        })?,
        block.text(&origins, 8, |o, out| {
            out.put(colour.at(sku_of(o.row)).pick(COLOURS));
            out.end();
        })?,
        block.text(&origins, 4, |o, out| {
            let mut draw = qty.at(o.sender);
            if draw.chance(40) {
                return out.null();
            }
            let clean = draw.below(1200);
            out.dirty(&mut draw, 60, DIRTY_COUNT, |out| out.number(clean, 1));
        })?,
        block.text(&origins, 7, |o, out| {
            let mut draw = price.at(o.row);
            if draw.chance(30) {
                return out.null();
            }
            let clean = 399 + 10 * draw.below(3000);
            out.dirty(&mut draw, 40, DIRTY_MONEY, |out| out.money(clean));
        })?,
        block.text(&origins, 10, |o, out| {
            let mut draw = restock.at(o.row);
            if draw.chance(60) {
                return out.null();
            }
            let clean = FIRST_DAY + draw.below(730);
            out.dirty(&mut draw, 60, DIRTY_DATE, |out| out.date(clean));
        })?,
        block.text(&origins, 5, |o, out| {
            let mut draw = active.at(o.row);
            if draw.chance(30) {
                return out.null();
            }
            out.put(draw.pick(ACTIVE));
            out.end();
        })?,
        block.text(&origins, 6, |o, out| {
            let mut draw = legacy.at(o.row);
            if draw.chance(600) {
                return out.null();
            }
            out.put("OLD");
            out.number(draw.below(99_999), 5);
            out.end();
        })?,
        block.text(&origins, 19, |o, out| {
            let sent = FIRST_DAY * DAY + updated.at(o.row).below(700 * DAY);
            // A re-sent row comes hours to weeks after the one it corrects.
            let later = if o.resent() { 3600 + updated.at(o.sender).below(20 * DAY) } else { 0 };
            out.time(sent + later);
            out.end();
        })?,
    ])
}
