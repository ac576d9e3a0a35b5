//! Lengths of time as a graph writes them: `"90s"`, `"1h30m"`.

use schemars::JsonSchema;
use serde::Deserialize;

const UNITS: [(&str, i64); 7] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// A hundred years of 365.25 days: window bounds stay far from the ends of 64 bits.
const MAX: i64 = 36_525 * 86_400_000_000;

/// A length of time in microseconds, more than none: `"500ms"`, `"90s"`, `"1h30m"`, `"7d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Period(pub i64);

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Period, String> {
        let told = || format!("expected a length of time such as \"90s\", \"1h30m\" or \"7d\", found {text:?}");
        let mut total = 0i64;
        let mut rest = text.trim();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(told)?;
            let number: i64 = rest[..digits].parse().map_err(|_| told())?;
            let unit = &rest[digits..];
            let unit = &unit[..unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len())];
            let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(told)?;
            let sum = number.checked_mul(*size).and_then(|part| total.checked_add(part)).filter(|sum| *sum <= MAX);
            total = sum.ok_or_else(|| format!("expected a length of time of at most 36525d, found {text:?}"))?;
            rest = &rest[digits + unit.len()..];
        }
        if total > 0 { Ok(Period(total)) } else { Err(told()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let read = |text: &str| Period::try_from(text.to_string()).map(|p| p.0);
        assert_eq!(read("1us"), Ok(1));
        assert_eq!(read("1h30m"), Ok(5_400_000_000));
        assert_eq!(read(" 2d500ms "), Ok(172_800_500_000));
        assert_eq!(read("5min"), read("5m"));
        assert_eq!(read("36525d"), Ok(MAX));
        for bad in ["", "1", "m", "0s", "-1m", "1.5h", "1 m", "1w", "9999999999999999999s"] {
            assert!(read(bad).unwrap_err().starts_with("expected a length of time such as"), "{bad}");
        }
        for bad in ["36526d", "9223372036854775807d"] {
            assert!(read(bad).unwrap_err().contains("at most 36525d"), "{bad}");
        }
    }
}
