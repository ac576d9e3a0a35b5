//! Texts in quotes with escapes, as JSON writes them (RFC 8259, section 7); logfmt takes them over.

/// Goes over a quoted text that starts at `from`, behind its first quote: where its last quote is, and whether there are
/// escapes in it. `Err` says what is wrong, and where.
pub(super) fn quoted(line: &[u8], from: usize, controls: bool) -> Result<(usize, bool), String> {
    let (mut at, mut escaped) = (from, false);
    loop {
        match line.get(at) {
            Some(b'"') => return Ok((at, escaped)),
            Some(b'\\') => {
                at = escape(line, at)?;
                escaped = true;
            }
            Some(control @ 0..0x20) if !controls => {
                return Err(format!("a control character (U+{control:04X}) at byte {}, which must be escaped", at + 1));
            }
            Some(_) => at += 1,
            None => return Err(format!("the text that starts at byte {from} has no closing quote")),
        }
    }
}

/// Where the escape that starts at `at` ends.
fn escape(line: &[u8], at: usize) -> Result<usize, String> {
    match line.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match unit(line, at + 2) {
            Some(0xD800..=0xDBFF) if matches!(low(line, at + 6), Some(0xDC00..=0xDFFF)) => Ok(at + 12),
            Some(0xD800..=0xDFFF) => Err(format!("half of a surrogate pair at byte {}", at + 1)),
            Some(_) => Ok(at + 6),
            None => Err(format!("expected four hexadecimal digits at byte {}", at + 3)),
        },
        _ => Err(format!("an unknown escape at byte {}", at + 1)),
    }
}

fn low(line: &[u8], at: usize) -> Option<u32> {
    if line.get(at..at + 2)? == b"\\u" { unit(line, at + 2) } else { None }
}

/// Four hexadecimal digits.
fn unit(line: &[u8], at: usize) -> Option<u32> {
    line.get(at..at + 4)?.iter().try_fold(0, |n, &digit| Some(n << 4 | char::from(digit).to_digit(16)?))
}

/// Gives the parts of a text that [`quoted`] has gone over, escapes resolved.
pub(super) fn unescape(mut text: &str, mut put: impl FnMut(&str)) {
    while let Some(backslash) = text.find('\\') {
        put(&text[..backslash]);
        let bytes = text.as_bytes();
        let (char, length) = match bytes.get(backslash + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => {
                let first = unit(bytes, backslash + 2).unwrap_or_default();
                match low(bytes, backslash + 6).filter(|_| (0xD800..0xDC00).contains(&first)) {
                    Some(second) => {
                        let code = 0x10000 + ((first - 0xD800) << 10) + second.saturating_sub(0xDC00);
                        (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
                    }
                    None => (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
                }
            }
            other => (char::from(*other.unwrap_or(&b'\\')), 2),
        };
        put(char.encode_utf8(&mut [0; 4]));
        text = text.get(backslash + length..).unwrap_or_default();
    }
    put(text);
}
