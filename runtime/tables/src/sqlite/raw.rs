//! Rows that are refused, as JSON for `errors`: enough of each cell to find and know it, however large it is.

use super::cursor::Cell;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Bytes of a text or blob that are told; the rest is told as `…`.
const TOLD: usize = 64 << 10;

pub fn json<'a>(cells: impl Iterator<Item = (&'a str, Cell<'a>)>) -> String {
    let row: Map<String, Value> = cells.map(|(name, cell)| (name.to_string(), value(cell))).collect();
    Value::Object(row).to_string()
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Int(v) => v.into(),
        Cell::Real(v) => v.into(),
        Cell::Text(t) => start(t, TOLD).into(),
        Cell::Blob(b) => {
            let told = b.get(..TOLD).unwrap_or(b);
            let mut hex = String::with_capacity(2 * told.len() + 4);
            told.iter().for_each(|byte| _ = write!(hex, "{byte:02x}"));
            hex.push_str(if told.len() < b.len() { "…" } else { "" });
            hex.into()
        }
    }
}

/// The text, or about its first `bytes` and `…`, cut between two characters.
pub fn start(text: &[u8], bytes: usize) -> String {
    if text.len() <= bytes {
        return String::from_utf8_lossy(text).into_owned();
    }
    // A character has at most three bytes behind its first.
    let inside = |at: &usize| text.get(*at).is_some_and(|b| b & 0xC0 == 0x80);
    let end = (bytes.saturating_sub(3)..=bytes).rev().find(|at| !inside(at)).unwrap_or(bytes);
    String::from_utf8_lossy(text.get(..end).unwrap_or(text)).into_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_cells_are_cut_between_characters() {
        let check = |text: &[u8], bytes, expected| assert_eq!(start(text, bytes), expected);
        check("grün".as_bytes(), 5, "grün");
        check("grün".as_bytes(), 4, "grü…");
        check("grün".as_bytes(), 3, "gr…");
        check("😀😀".as_bytes(), 7, "😀…");
        check(&[0x80; 3], 2, "\u{fffd}\u{fffd}…");
        let large = "x".repeat(1 << 20);
        let row = json([("text", Cell::Text(large.as_bytes())), ("blob", Cell::Blob(large.as_bytes()))].into_iter());
        assert_eq!(row.len(), 3 * TOLD + r#"{"text":"…","blob":"…"}"#.len());
    }
}
