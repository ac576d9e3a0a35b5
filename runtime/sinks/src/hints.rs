//! How much a sink gathers, as it is told it: `"64MiB"`.

use schemars::JsonSchema;
use serde::Deserialize;

/// A number of bytes: `"64MiB"`, `"10MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Size(pub u64);

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
    fn sizes_have_units() {
        let size = |text: &str| Size::try_from(text.to_string()).map(|s| s.0);
        assert_eq!(["64MiB", "10 MB", "1b"].map(|t| size(t).unwrap()), [64 << 20, 10_000_000, 1]);
        assert!(["64", "0MiB", "MiB", "1 parsec", "18446744073709551615GiB"].iter().all(|t| size(t).is_err()));
    }
}
