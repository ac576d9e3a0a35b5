//! How long rows may wait before they are published, as sinks are told it: `"60s"`, `"64MiB"`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// A time of at least a tenth of a second: `"500ms"`, `"60s"`, `"15m"`, `"1h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Interval(pub Duration);

/// A number of bytes: `"64MiB"`, `"10MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Size(pub u64);

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Interval, String> {
        let told = || format!("expected a time such as \"60s\" or \"500ms\", found {text:?}");
        let (number, unit) = split(&text).ok_or_else(told)?;
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => return Err(told()),
        };
        let time = number.checked_mul(milliseconds).filter(|ms| (100..=7 * 24 * 3_600_000).contains(ms));
        let time = time.ok_or_else(|| format!("expected a time from 100ms to 168h, found {text:?}"))?;
        Ok(Interval(Duration::from_millis(time)))
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Size, String> {
        let told = || format!("expected a number of bytes such as \"64MiB\" or \"10MB\", found {text:?}");
        let (number, unit) = split(&text).ok_or_else(told)?;
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(told()),
        };
        number.checked_mul(factor).filter(|bytes| *bytes > 0).map(Size).ok_or_else(told)
    }
}

/// The number and its unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        let time = |text: &str| Interval::try_from(text.to_string()).map(|i| i.0.as_millis());
        assert_eq!(["500ms", "60s", "15 m", "1h"].map(|t| time(t).unwrap()), [500, 60_000, 900_000, 3_600_000]);
        assert_eq!(time("60").unwrap_err(), "expected a time such as \"60s\" or \"500ms\", found \"60\"");
        assert_eq!(time("5ms").unwrap_err(), "expected a time from 100ms to 168h, found \"5ms\"");
        assert!(
            ["", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h"]
                .iter()
                .all(|t| time(t).is_err())
        );
        let size = |text: &str| Size::try_from(text.to_string()).map(|s| s.0);
        assert_eq!(["64MiB", "10 MB", "1b"].map(|t| size(t).unwrap()), [64 << 20, 10_000_000, 1]);
        assert!(["64", "0MiB", "MiB", "1 parsec", "18446744073709551615GiB"].iter().all(|t| size(t).is_err()));
    }
}
