//! Numbers as people write them, made plain: `(1.234,50 €)` → `-1234.50`. The cast that follows does the reading.

use arrow::array::{Array, StringArray, StringBuilder};

/// How numbers are written.
#[derive(Debug, Clone)]
pub(crate) struct NumberParser {
    pub decimal: char,
    pub thousands: char,
    /// Longest first, so that `US$` is not taken for `$`.
    currency: Vec<String>,
    percent: bool,
}

impl NumberParser {
    pub fn new(decimal: char, thousands: char, mut currency: Vec<String>, percent: bool) -> NumberParser {
        currency.retain(|c| !c.is_empty());
        currency.sort_by_key(|c| std::cmp::Reverse(c.len()));
        NumberParser { decimal, thousands, currency, percent }
    }

    /// The column with each number in plain form; what is none becomes an empty text, which no cast takes.
    pub fn plain(&self, text: &StringArray) -> StringArray {
        let mut out = StringBuilder::with_capacity(text.len(), text.value_data().len());
        let mut number = String::new();
        for value in text {
            match value {
                Some(value) => {
                    number.clear();
                    if self.read(value, &mut number).is_none() {
                        number.clear();
                    }
                    out.append_value(&number);
                }
                None => out.append_null(),
            }
        }
        out.finish()
    }

    fn read(&self, text: &str, out: &mut String) -> Option<()> {
        let mut text = text.trim();
        // Most numbers wear nothing.
        if let [b'0'..=b'9', .., b'0'..=b'9'] | [b'0'..=b'9'] = text.as_bytes() {
            return self.digits(text, out);
        }
        let mut negative = false;
        if let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
            negative = true;
            text = inner.trim();
        }
        // Sign and currency come in either order, before or after: `-$5`, `$-5`, `5- €`.
        let (mut signed, mut marked, mut hundredth) = (negative, false, false);
        loop {
            if !signed && let Some(rest) = text.strip_prefix(['-', '−']).or_else(|| text.strip_suffix(['-', '−'])) {
                (signed, negative, text) = (true, true, rest.trim());
            } else if !signed && let Some(rest) = text.strip_prefix('+') {
                (signed, text) = (true, rest.trim());
            } else if self.percent
                && !hundredth
                && let Some(rest) = text.strip_suffix('%')
            {
                (hundredth, text) = (true, rest.trim());
            } else if !marked && let Some(rest) = self.without_currency(text) {
                (marked, text) = (true, rest.trim());
            } else {
                break;
            }
        }
        if negative {
            out.push('-');
        }
        self.digits(text, out)?;
        if hundredth {
            out.push_str("e-2");
        }
        Some(())
    }

    fn without_currency<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.currency.iter().find_map(|c| text.strip_prefix(c.as_str()).or_else(|| text.strip_suffix(c.as_str())))
    }

    /// Digits, separators taken out or put right.
    fn digits(&self, text: &str, out: &mut String) -> Option<()> {
        let (whole, fraction) = match text.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let mut groups = whole.split(|c: char| c == self.thousands || (self.thousands == ' ' && c.is_whitespace()));
        let first = groups.next().unwrap_or_default();
        let mut grouped = false;
        all_digits(first)?;
        out.push_str(first);
        for group in groups {
            grouped = true;
            all_digits(group).filter(|_| group.len() == 3)?;
            out.push_str(group);
        }
        if grouped && !(1..=3).contains(&first.len()) {
            return None;
        }
        let fraction = fraction.unwrap_or_default();
        all_digits(fraction)?;
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        Some(())
    }
}

fn all_digits(text: &str) -> Option<()> {
    text.bytes().all(|b| b.is_ascii_digit()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(parser: &NumberParser, rows: &[(&str, &str)]) {
        for (text, expected) in rows {
            let plain = parser.plain(&StringArray::from(vec![*text]));
            assert_eq!(plain.value(0), *expected, "{text:?}");
        }
    }

    fn currencies() -> Vec<String> {
        ["$", "€", "USD", "US$"].map(String::from).to_vec()
    }

    #[test]
    fn american() {
        check(
            &NumberParser::new('.', ',', currencies(), true),
            &[
                ("1,234.50", "1234.50"),
                ("1234.5", "1234.5"),
                ("$3.50", "3.50"),
                ("-$3.50", "-3.50"),
                ("$-3.50", "-3.50"),
                ("US$ 3", "3"),
                ("3 USD", "3"),
                ("(1,234)", "-1234"),
                ("($5)", "-5"),
                ("5-", "-5"),
                ("−5", "-5"),
                ("+5", "5"),
                (".5", ".5"),
                ("5.", "5"),
                ("12.5 %", "12.5e-2"),
                ("1,5", ""),
                ("1,2345", ""),
                ("1234,567", ""),
                (",123", ""),
                ("1.234.5", ""),
                ("--5", ""),
                ("(-5)", ""),
                ("$$5", ""),
                ("$", ""),
                ("", ""),
                ("N/A", ""),
                ("1e3", ""),
            ],
        );
    }

    #[test]
    fn european() {
        check(
            &NumberParser::new(',', '.', currencies(), false),
            &[("1.234,50 €", "1234.50"), ("-5,1", "-5.1"), ("1.5", ""), ("5 %", "")],
        );
        check(&NumberParser::new(',', ' ', vec![], false), &[("1\u{202f}234 567,5", "1234567.5"), ("1 23", "")]);
    }

    proptest! {
        /// What comes out is a plain number or nothing.
        #[test]
        fn plain_or_nothing(text in "[-+0-9., $€()%éx]{0,12}") {
            let parser = NumberParser::new('.', ',', currencies(), true);
            let plain = parser.plain(&StringArray::from(vec![text.as_str()]));
            prop_assert!(plain.value(0).is_empty() || plain.value(0).parse::<f64>().is_ok(), "{}", plain.value(0));
        }
    }
}
