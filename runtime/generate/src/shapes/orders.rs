//! Orders: time, item, quantity, price and payment, of the people that [`customers`](super::customers) is about.

use super::{Block, DAY, FIRST_DAY, customers, field};
use crate::words::{CUTS, DIRTY_MONEY, DIRTY_TIME, GARMENTS, PAYMENTS};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use selvedge_node::Result;

pub fn fields() -> Vec<Field> {
    ["order_id", "customer_id", "order_time", "item", "quantity", "unit_price", "payment", "ingested_at"]
        .map(|name| field(name, DataType::Utf8))
        .into()
}

pub fn columns(block: &Block) -> Result<Vec<ArrayRef>> {
    let origins = block.origins(20, 50);
    // Five orders for each version of a customer; a few orders name somebody who is not there.
    let people = customers::people(block.total / 5) * 103 / 100 + 1;
    let (id, who, time) = (block.draws("order_id"), block.draws("customer_id"), block.draws("order_time"));
    let (item, quantity, price) = (block.draws("item"), block.draws("quantity"), block.draws("unit_price"));
    let (payment, ingested) = (block.draws("payment"), block.draws("ingested_at"));
    // Shops sell in the evening: the later of two draws in the day.
    let ordered = |row: u64| {
        let mut draw = time.at(row);
        let day = draw.below(730);
        (FIRST_DAY + day) * DAY + draw.below(DAY).max(draw.below(DAY))
    };
    Ok(vec![
        block.text(&origins, 11, |o, out| {
            if id.at(o.row).chance(4) {
                return out.null();
            }
            out.put("O");
            out.number(o.row, 10);
            out.end();
        })?,
        block.text(&origins, 9, |o, out| {
            let mut draw = who.at(o.row);
            if draw.chance(10) {
                return out.null();
            }
            out.put("C");
            out.number(draw.below(people), 8);
            out.end();
        })?,
        block.text(&origins, 19, |o, out| {
            let mut draw = time.at(u64::MAX - o.row);
            out.dirty(&mut draw, 15, DIRTY_TIME, |out| out.time(ordered(o.row)));
        })?,
        block.text(&origins, 20, |o, out| {
            let mut draw = item.at(o.row);
            out.put(draw.pick(CUTS));
            out.put(" ");
            out.put(draw.pick(GARMENTS).0);
            out.end();
        })?,
        block.text(&origins, 2, |o, out| {
            let mut draw = quantity.at(o.sender);
            if draw.chance(15) {
                return out.null();
            }
            let clean = 1 + draw.below(3) * draw.below(4);
            out.dirty(&mut draw, 25, &[" {} ", "N/A", "0", "-3", "{}.0", "9999"], |out| out.number(clean, 1));
        })?,
        block.text(&origins, 6, |o, out| {
            let mut draw = price.at(o.row);
            if draw.chance(15) {
                return out.null();
            }
            let clean = 499 + 50 * draw.below(500);
            out.dirty(&mut draw, 15, DIRTY_MONEY, |out| out.money(clean));
        })?,
        block.text(&origins, 5, |o, out| {
            let mut draw = payment.at(o.row);
            if draw.chance(30) {
                return out.null();
            }
            out.put(draw.pick(PAYMENTS));
            out.end();
        })?,
        block.text(&origins, 19, |o, out| {
            let later = ingested.at(o.row).below(3600);
            let again = if o.resent() { 4000 + ingested.at(o.sender).below(DAY) } else { 0 };
            out.time(ordered(o.row) + 1 + later + again);
            out.end();
        })?,
    ])
}
