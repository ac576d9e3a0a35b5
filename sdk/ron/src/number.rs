//! Number literals: `42`, `-1_000i64`, `0xFF`, `.5e-3`, `1.0f32`.

use unicode_ident::is_xid_continue;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

/// Names that are floats: `inf`, `NaN`, with or without a suffix.
pub(crate) fn word(name: &str) -> Option<Number> {
    match name {
        "inf" | "inff32" | "inff64" => Some(Number::Float(f64::INFINITY)),
        "NaN" | "NaNf32" | "NaNf64" => Some(Number::Float(f64::NAN)),
        _ => None,
    }
}

pub(crate) fn is_word(name: &str) -> bool {
    word(name).is_some()
}

/// How many bytes at the front of `text` belong to the number that begins there.
pub(crate) fn length(text: &str) -> usize {
    let sign = text.starts_with(['+', '-']) as usize;
    let based = text[sign..].starts_with("0x");
    let mut previous = ' ';
    for (i, c) in text.char_indices().skip(sign) {
        let exponent_sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E') && !based;
        let range = c == '.' && text[i..].starts_with("..");
        if range || !(is_xid_continue(c) || c == '.' || exponent_sign) {
            return i;
        }
        // Underscores may stand anywhere, even between `e` and its sign.
        if c != '_' {
            previous = c;
        }
    }
    text.len()
}

pub(crate) fn parse(text: &str) -> Result<Number, String> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if body.is_empty() {
        return Err(format!("expected digits after `{text}`"));
    }
    if let Some(Number::Float(f)) = word(body) {
        return Ok(Number::Float(if negative { -f } else { f }));
    }
    let (base, digits) = match body.get(..2) {
        Some("0x") => (16, &body[2..]),
        Some("0o") => (8, &body[2..]),
        Some("0b") => (2, &body[2..]),
        _ => (10, body),
    };
    let (digits, suffix) = match digits.find(['i', 'u']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    if digits.starts_with('_') || digits.is_empty() {
        return Err(format!("expected a digit at the start of the number `{}`", crate::print::shorten(text)));
    }
    if base == 10 && suffix.is_empty() && !digits.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return float(text, digits, negative);
    }
    let range = range_of(suffix).ok_or_else(|| {
        format!(
            "`{}` is no number suffix, expected one of i8 … i128, u8 … u128, f32, f64",
            crate::print::shorten(suffix)
        )
    })?;
    let mut value: Option<i128> = Some(0);
    for c in digits.chars().filter(|c| *c != '_') {
        let digit = c.to_digit(base).ok_or_else(|| format!("`{c}` is no digit of a number in base {base}"))?;
        let signed = if negative { -i128::from(digit) } else { i128::from(digit) };
        value = value.and_then(|v| v.checked_mul(base.into())).and_then(|v| v.checked_add(signed));
    }
    match value {
        Some(v) if v >= range.0 && v <= range.1 => Ok(Number::Int(v)),
        // As in `ron`: a decimal number too long for any integer is a float.
        None if base == 10 && suffix.is_empty() => float(text, digits, negative),
        _ => Err(format!("the number is out of range, expected {} to {}", range.0, range.1)),
    }
}

fn float(text: &str, digits: &str, negative: bool) -> Result<Number, String> {
    let (digits, single) = match digits.strip_suffix("f32") {
        Some(digits) => (digits, true),
        None => (digits.strip_suffix("f64").unwrap_or(digits), false),
    };
    let malformed = || format!("`{}` is no number", crate::print::shorten(text));
    let mut plain = String::with_capacity(digits.len());
    let mut underscore = false;
    for c in digits.chars() {
        match c {
            '_' if underscore => continue,
            '0'..='9' | 'e' | 'E' => underscore = true,
            '.' => underscore = false,
            '+' | '-' => {}
            _ => return Err(malformed()),
        }
        plain.push(c);
    }
    let value = if single { plain.parse::<f32>().map(f64::from) } else { plain.parse::<f64>() };
    let value = value.map_err(|_| malformed())?;
    Ok(Number::Float(if negative { -value } else { value }))
}

fn range_of(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "i8" => (i8::MIN.into(), i8::MAX.into()),
        "i16" => (i16::MIN.into(), i16::MAX.into()),
        "i32" => (i32::MIN.into(), i32::MAX.into()),
        "i64" => (i64::MIN.into(), i64::MAX.into()),
        "" | "i128" => (i128::MIN, i128::MAX),
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" => (0, u64::MAX.into()),
        "u128" => (0, i128::MAX),
        _ => return None,
    })
}
