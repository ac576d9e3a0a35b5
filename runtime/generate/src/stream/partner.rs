//! Sales that partners report: everything is text, and a part of it is not what it should be.

use super::{Event, line::Line};

const CURRENCIES: &[&str] = &["USD", "USD", "USD", "EUR", "EUR", "GBP", "JPY"];
/// What stands where an amount should, in two of a hundred.
const NO_AMOUNT: &[&str] = &["N/A", "", "12,50", "$3.50", "1e3", "-", "99999999999999999999.99", "٣٫٥٠"];
/// Partners, with their shops 0 to 49.
const PARTNERS: u64 = 20;

pub fn write(event: Event, line: &mut Line) -> u64 {
    let Event { number, time, user, mut draw, .. } = event;
    let (partner, shop) = (user % PARTNERS, user / PARTNERS % 50);
    let (quantity, cents) = (1 + draw.below(4) * draw.below(3), 199 + draw.below(40_000));
    // GTIN-13: digits weigh 1 and 3 by turns, and the last one makes the sum a multiple of ten.
    let body = 400_638_133_000 + draw.below(4_000) * 37;
    let (mut rest, mut sum, mut weight) = (body, 0, 3);
    while rest > 0 {
        sum += rest % 10 * weight;
        rest /= 10;
        weight = 4 - weight;
    }
    let right = body * 10 + (10 - sum % 10) % 10;
    line.put(format_args!("{{\"partner_id\":\"P{partner:03}\",\"store\":\"S{shop:02}\",\"sale_id\":"));
    match draw.chance(5) {
        true => line.put(format_args!("null")),
        false => line.put(format_args!("\"P{partner:03}-{number:010}\"")),
    }
    match draw.below(100) {
        0 => line.put(format_args!(",\"gtin\":\"{}\"", right ^ 1)),
        1 => line.put(format_args!(",\"gtin\":\"{}\"", right % 100_000_000)),
        2 => {}
        _ => line.put(format_args!(",\"gtin\":\"{right}\"")),
    }
    line.put(format_args!(",\"quantity\":"));
    match draw.below(100) {
        0 => line.put(format_args!("\"-{quantity}\"")),
        1 => line.put(format_args!("\"{quantity}.0\"")),
        _ => line.put(format_args!("\"{quantity}\"")),
    }
    line.put(format_args!(",\"unit_price\":"));
    match draw.chance(20) {
        true => line.quoted(draw.pick(NO_AMOUNT)),
        false => line.put(format_args!("\"{}.{:02}\"", cents / 100, cents % 100)),
    }
    line.put(format_args!(",\"currency\":\"{}\",\"sold_at\":", draw.pick(CURRENCIES)));
    match draw.chance(5) {
        true => line.put(format_args!("\"0000-00-00\"}}")),
        false => {
            line.put(format_args!("\""));
            line.time(time);
            line.put(format_args!("\"}}"));
        }
    }
    if draw.chance(3) {
        line.cut(3);
    }
    partner * 50 + shop
}
