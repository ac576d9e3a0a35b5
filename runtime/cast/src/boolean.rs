//! Text to booleans: Spark's words, in any letter case, blanks trimmed.

use crate::text::{Text, trim};

#[inline(always)]
pub(crate) fn boolean(t: Text) -> Option<bool> {
    match t.bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        other => any(other),
    }
}

#[inline(never)]
fn any(text: &[u8]) -> Option<bool> {
    let text = trim(text);
    let among = |words: &[&str]| words.iter().any(|w| text.eq_ignore_ascii_case(w.as_bytes()));
    if among(&["t", "true", "y", "yes", "1"]) {
        Some(true)
    } else if among(&["f", "false", "n", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}
