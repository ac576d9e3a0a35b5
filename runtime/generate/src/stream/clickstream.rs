//! What users of the app and the site do. The fields are those of the benchmark's clickstream, and `device` and `screen`.

use super::{Event, line::Line};
use crate::words::{FAMILY, GIVEN};

const KINDS: &[(&str, &str, u64)] = &[
    // event, the app's screen, how many of a hundred
    ("page_view", "home", 45),
    ("product_view", "product", 30),
    ("add_to_cart", "product", 10),
    ("remove_from_cart", "cart", 3),
    ("search", "search", 9),
    ("purchase", "checkout", 3),
];
const TITLES: &[&str] = &[
    "Käse & Wein",
    "Summer sale 🔥",
    "Home",
    "Coffee — fresh",
    "抹茶 Latte",
    "Jalapeño \"hot\" chips",
    "Доставка",
    "عروض الصيف",
    "Checkout",
];
const COUNTRIES: &[&str] = &["US", "DE", "FR", "BR", "IN", "JP", "CN", "EG"];
const DEVICES: &[(&str, &str)] = &[
    ("iphone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"),
    ("android", "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/130.0 Mobile"),
    ("desktop", "Mozilla/5.0 (X11; Linux x86_64) Firefox/131.0"),
    ("desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0"),
];

pub fn write(event: Event, line: &mut Line) -> u64 {
    let Event { number, start, time, user, mut draw } = event;
    let mut dice = draw.below(100);
    let kind = KINDS.iter().position(|kind| {
        let hit = dice < kind.2;
        dice = dice.wrapping_sub(if hit { 0 } else { kind.2 });
        hit
    });
    let (kind, screen, _) = KINDS[kind.unwrap_or_default()];
    let country = COUNTRIES[(user % COUNTRIES.len() as u64) as usize];
    let (device, agent) = DEVICES[(user / 7 % DEVICES.len() as u64) as usize];
    let (sku, quantity, cents) = (draw.below(50_000), 1 + draw.below(5), 99 + draw.below(29_900));
    // A number spread over all of 64 bits, as in the benchmark: an odd factor makes different ones of different numbers.
    let id = start.wrapping_mul(0xC2B2_AE3D_27D4_EB4F).wrapping_add(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    line.put(format_args!("{{\"event_id\":\"e{id:020}\",\"ts\":"));
    if draw.chance(2) {
        line.put(format_args!("null"));
    } else {
        line.put(format_args!("\""));
        line.time(time);
        line.put(format_args!("\""));
    }
    line.put(format_args!(",\"event\":\"{kind}\",\"user\":{{\"id\":"));
    match draw.chance(4) {
        true => line.put(format_args!("null")),
        false => line.put(format_args!("\"u{user:07}\"")),
    }
    let given = GIVEN[(user % GIVEN.len() as u64) as usize];
    let family = FAMILY[(user / 16 % FAMILY.len() as u64) as usize];
    line.put(format_args!(",\"name\":\"{given} {family}\",\"country\":\"{country}\"}},"));
    line.put(format_args!("\"page\":{{\"url\":\"/p/SKU{sku:06}?ref={country}\",\"title\":"));
    match draw.chance(100) {
        true => line.put(format_args!("null")),
        false => line.quoted(draw.pick(TITLES)),
    }
    line.put(format_args!("}},\"props\":"));
    match kind {
        "page_view" | "search" => line.put(format_args!("null")),
        _ => line.put(format_args!(
            "{{\"sku\":\"SKU{sku:06}\",\"qty\":{quantity},\"price\":{}.{:02}}}",
            cents / 100,
            cents % 100
        )),
    }
    line.put(format_args!(",\"user_agent\":\"{agent}\",\"device\":\"{device}\",\"screen\":\"{screen}\"}}"));
    user
}
