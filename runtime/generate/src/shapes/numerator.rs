//! Numerator's panel receipts: who bought what where, with the items of a receipt as a list of objects.

use super::{Block, DAY, FIRST_DAY, Origin, field};
use crate::text::Text;
use crate::words::{BRANDS, CUTS, DIRTY_COUNT, DIRTY_MONEY, DIRTY_TIME, GARMENTS, PLACES, PROMOTIONS, RETAILERS};
use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use selvedge_node::Result;
use std::sync::Arc;

pub fn fields() -> Vec<Field> {
    let text = |name| field(name, DataType::Utf8);
    vec![
        text("receipt_id"),
        field("panelist", DataType::Struct(panelist_fields())),
        field("retailer", DataType::Struct(retailer_fields())),
        text("purchased_at"),
        text("scanned_at"),
        field("items", DataType::List(item_field())),
    ]
}

fn panelist_fields() -> Fields {
    vec![field("id", DataType::Utf8), field("birth_year", DataType::Int64), field("state", DataType::Utf8)].into()
}

fn retailer_fields() -> Fields {
    vec![field("name", DataType::Utf8), field("channel", DataType::Utf8), field("online", DataType::Boolean)].into()
}

fn item_fields() -> Fields {
    ["upc", "description", "brand", "quantity", "price", "promotion"]
        .map(|name| field(name, DataType::Utf8))
        .into_iter()
        .collect::<Vec<_>>()
        .into()
}

fn item_field() -> Arc<Field> {
    Arc::new(field("item", DataType::Struct(item_fields())))
}

/// One line of a receipt: the draws are taken at its number.
struct Line(u64);

pub fn columns(block: &Block) -> Result<Vec<ArrayRef>> {
    let receipts = block.origins(20, 50);
    let panel = (block.total / 6).max(1);
    let who = block.draws("panelist");
    let member = |o: &Origin| who.at(o.row).below(panel);
    let (nulls, born, state) = (block.draws("null"), block.draws("birth_year"), block.draws("state"));
    let (shop, bought, scanned) = (block.draws("retailer"), block.draws("purchased_at"), block.draws("scanned_at"));
    let retailer = |o: &Origin| shop.at(o.row).pick(RETAILERS);
    let time = |o: &Origin| (FIRST_DAY + 365) * DAY + bought.at(o.row).below(200 * DAY);

    let panelist = StructArray::try_new(
        panelist_fields(),
        vec![
            block.text(&receipts, 8, |o, out| {
                if nulls.at(o.row).chance(10) {
                    return out.null();
                }
                out.put("P");
                out.number(member(o), 7);
                out.end();
            })?,
            Arc::new(Int64Array::from_iter(receipts.iter().map(|o| {
                let mut draw = born.at(member(o));
                (!draw.chance(60)).then(|| 1940 + draw.below(66) as i64)
            }))),
            block.text(&receipts, 2, |o, out| {
                let mut draw = state.at(member(o));
                let place = draw.pick(PLACES).1;
                out.put(if draw.chance(60) { "unknown" } else { place });
                out.end();
            })?,
        ],
        None,
    )?;
    let shops = StructArray::try_new(
        retailer_fields(),
        vec![
            block.text(&receipts, 12, |o, out| {
                let mut draw = shop.at(u64::MAX - o.row);
                out.dirty(&mut draw, 40, &[" {} ", "{} "], |out| out.put(retailer(o).0));
            })?,
            block.text(&receipts, 10, |o, out| {
                out.put(retailer(o).1);
                out.end();
            })?,
            Arc::new(BooleanArray::from_iter(receipts.iter().map(|o| Some(retailer(o).2)))),
        ],
        None,
    )?;
    Ok(vec![
        block.text(&receipts, 10, |o, out| {
            out.put("R");
            out.number(o.row, 9);
            out.end();
        })?,
        Arc::new(panelist),
        Arc::new(shops),
        block.text(&receipts, 20, |o, out| {
            let mut draw = bought.at(u64::MAX - o.row);
            out.dirty(&mut draw, 10, DIRTY_TIME, |out| iso(out, time(o)));
        })?,
        block.text(&receipts, 20, |o, out| {
            let later = scanned.at(o.row).below(DAY);
            let again = if o.resent() { DAY + scanned.at(o.sender).below(3 * DAY) } else { 0 };
            iso(out, time(o) + 600 + later + again);
            out.end();
        })?,
        items(block, &receipts)?,
    ])
}

fn iso(out: &mut Text, seconds: u64) {
    out.date(seconds / DAY);
    out.put("T");
    out.clock(seconds);
    out.put("Z");
}

/// Up to eleven digits with their check digit: from the right, digits weigh 3 and 1 by turns, and the sum is a multiple of ten.
fn upc_a(body: u64) -> u64 {
    let (mut rest, mut sum, mut weight) = (body, 0, 3);
    while rest > 0 {
        sum += rest % 10 * weight;
        rest /= 10;
        weight = 4 - weight;
    }
    body * 10 + (10 - sum % 10) % 10
}

/// The lists of items: a few in most receipts, none in some, and no list at all in others.
fn items(block: &Block, receipts: &[Origin]) -> Result<ArrayRef> {
    let count = block.draws("items");
    let mut offsets = vec![0i32];
    let mut valid = vec![];
    let mut lines = vec![];
    for receipt in receipts {
        let mut draw = count.at(receipt.row);
        let kind = draw.below(100);
        valid.push(kind != 0);
        let many = match kind {
            0 | 1 => 0,
            2..50 => 1,
            _ => 2 + draw.below(5),
        };
        // At most 8 items: their numbers never meet those of another receipt.
        lines.extend((0..many).map(|at| Line(receipt.sender * 8 + at)));
        offsets.push(lines.len() as i32);
    }
    let (upc, product, brand) = (block.draws("upc"), block.draws("description"), block.draws("brand"));
    let (quantity, price, promotion) = (block.draws("quantity"), block.draws("price"), block.draws("promotion"));
    let columns: Vec<ArrayRef> = vec![
        block.text(&lines, 12, |l, out| {
            let mut draw = upc.at(l.0);
            if draw.chance(20) {
                return out.null();
            }
            let code = upc_a(3_600_000_000 + draw.below(4000) * 24_107);
            match draw.below(1000) {
                // Spreadsheets take the leading zeros away, make a number of the code, and round it.
                0..60 => out.number(code, 1),
                60..75 => {
                    out.number(code, 1);
                    out.put(".0");
                }
                75..80 => {
                    let rounded = (code + 50_000) / 100_000;
                    out.number(rounded / 100_000, 1);
                    out.put(".");
                    out.number(rounded % 100_000, 5);
                    out.put("E+10");
                }
                // One digit misread.
                80..87 => out.number(code - code % 10 + (code % 10 + 1 + draw.below(9)) % 10, 12),
                _ => out.number(code, 12),
            }
            out.end();
        })?,
        block.text(&lines, 20, |l, out| {
            let mut draw = product.at(l.0);
            let (cut, article) = (draw.pick(CUTS), draw.pick(GARMENTS).0);
            match draw.below(12) {
                0 => {
                    out.put(&cut.to_uppercase());
                    out.put("  ");
                    out.put(&article.to_uppercase());
                }
                1 => {
                    out.put(article);
                    out.put("\t\"");
                    out.put(cut);
                    out.put("\"");
                }
                _ => {
                    out.put(cut);
                    out.put(" ");
                    out.put(article);
                }
            }
            out.end();
        })?,
        block.text(&lines, 8, |l, out| {
            let mut draw = brand.at(l.0);
            if draw.chance(80) {
                return out.null();
            }
            out.put(draw.pick(BRANDS));
            out.end();
        })?,
        block.text(&lines, 2, |l, out| {
            let mut draw = quantity.at(l.0);
            let clean = 1 + draw.below(2) * draw.below(4);
            out.dirty(&mut draw, 30, DIRTY_COUNT, |out| out.number(clean, 1));
        })?,
        block.text(&lines, 6, |l, out| {
            let mut draw = price.at(l.0);
            if draw.chance(20) {
                return out.null();
            }
            let clean = 299 + 100 * draw.below(180);
            out.dirty(&mut draw, 30, DIRTY_MONEY, |out| out.money(clean));
        })?,
        block.text(&lines, 6, |l, out| {
            let mut draw = promotion.at(l.0);
            if draw.chance(750) {
                return out.null();
            }
            out.put(draw.pick(PROMOTIONS));
            out.end();
        })?,
    ];
    let items = StructArray::try_new_with_length(item_fields(), columns, None, lines.len())?;
    let nulls = NullBuffer::from(valid);
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::try_new(item_field(), offsets, Arc::new(items), nulls)?) as Arc<dyn Array>)
}

#[cfg(test)]
mod tests {
    use super::upc_a;
    use crate::Shape;
    use arrow::array::AsArray;

    #[test]
    fn nearly_all_codes_have_a_right_check_digit() {
        let rows = Shape::NumeratorReceipts.batch(1, 1500, 0..1500).unwrap();
        let items = rows["items"].as_list::<i32>().values().as_struct().clone();
        let codes: Vec<&str> = items["upc"].as_string::<i32>().iter().flatten().collect();
        let count = |is: &dyn Fn(&str) -> bool| codes.iter().filter(|code| is(code)).count();
        let right = |code: &str| code.parse().is_ok_and(|code: u64| upc_a(code / 10) == code);
        let whole = count(&|code| code.len() == 12 && right(code));
        let short = count(&|code| code.len() == 11 && right(code));
        let number = count(&|code| code.strip_suffix(".0").is_some_and(right));
        let rounded = count(&|code| code.contains('E'));
        let misread = count(&|code| code.len() == 12 && !right(code));
        assert_eq!(whole + short + number + rounded + misread, codes.len());
        assert!(whole > codes.len() * 9 / 10, "{whole} of {}", codes.len());
        assert!([short, number, rounded, misread].iter().all(|n| (1..codes.len() / 10).contains(n)));
        assert_eq!(upc_a(3_600_029_145), 36_000_291_452);
    }
}
