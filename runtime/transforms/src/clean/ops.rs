//! The config of `Clean`: what is done to columns, and what is made from them.

use crate::literal::Literal;
use crate::ordered::Ordered;
use schemars::JsonSchema;
use selvedge_node::{Column, Spanned};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// For each column, what is done to its values, in this order.
    #[serde(default)]
    pub columns: Ordered<Vec<Spanned<Op>>>,
    /// New last columns made from others, after these were cleaned; later ones may use earlier ones.
    #[serde(default)]
    pub add: Vec<Spanned<Add>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) enum Op {
    /// Removes blanks of all kinds at both ends.
    Trim,
    Lower,
    Upper,
    /// Each word begins with a capital, the rest is small: `o'neil-smith` becomes `O'neil-Smith`.
    Title,
    /// Every run of blanks of all kinds becomes one space.
    CollapseSpaces,
    /// Unicode normalisation: `Unicode(Nfc)`.
    Unicode {
        form: Form,
    },
    /// Letters lose their accents: `é` becomes `e`. Letters that are no letter plus accent stay: `ø`.
    StripAccents,
    /// Control and invisible characters go; tab and line break become a space.
    StripControl,
    /// Text of nothing but blanks becomes null.
    EmptyToNull,
    /// These texts become null, blanks around them and letter case ignored: `NullIf(["N/A", "none"])`.
    NullIf {
        values: Vec<String>,
    },
    /// One text for many: `Synonyms({"Male": "M", "Man": "M"}, otherwise: Null)`. Blanks around and letter case ignored.
    Synonyms {
        values: Ordered<String>,
        /// What happens to a text that is neither a synonym nor one of their meanings.
        #[serde(default)]
        otherwise: Unknown,
    },
    /// `Replace("-", "")`, every occurrence.
    Replace {
        from: Spanned<String>,
        to: String,
    },
    /// A number, date or timestamp outside the bounds, which belong to the range: `Range(0, 120, otherwise: Null)`,
    /// `Range(min: "1900-01-01")`. NaN is outside.
    Range {
        #[serde(default)]
        min: Option<Spanned<Literal>>,
        #[serde(default)]
        max: Option<Spanned<Literal>>,
        #[serde(default)]
        otherwise: Outside,
    },
    /// Only 0 to 9 stay; nothing left is null.
    Digits,
    /// A telephone number as `+15125550123`, from however it is written: `Phone("1")`.
    Phone {
        /// Country code of numbers that have none.
        #[serde(default = "one")]
        country: Spanned<String>,
        /// Digits of a national number.
        #[serde(default = "ten")]
        digits: usize,
        /// What happens to a text that is no such number.
        #[serde(default)]
        otherwise: Unknown,
    },
    /// Zeros before a text until it has that length: `PadLeft(5)` mends postal codes that a spreadsheet took for numbers.
    PadLeft {
        length: Spanned<usize>,
        #[serde(default = "zero")]
        with: char,
    },
    /// SHA-256 of the text as 64 hexadecimal digits; with a key HMAC-SHA-256. Without a key anyone can hash a list of all
    /// telephone numbers and compare: for personal data give one, `Hash(key: "${secret:pepper}")`.
    Hash {
        #[serde(default)]
        key: Option<Spanned<String>>,
    },
    /// All but the last characters become `*`: `Mask(keep_last: 4)`.
    Mask {
        #[serde(default)]
        keep_last: usize,
        #[serde(default)]
        keep_first: usize,
        #[serde(default = "star")]
        with: char,
    },
    /// `anna@example.com` becomes `a***@example.com`; what is no address becomes `***`.
    MaskEmail,
}

fn one() -> Spanned<String> {
    Spanned::new("1".into(), Default::default())
}
fn ten() -> usize {
    10
}
fn zero() -> char {
    '0'
}
fn star() -> char {
    '*'
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
pub(crate) enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

/// What happens to a text that is not known.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
pub(crate) enum Unknown {
    #[default]
    Keep,
    Null,
    /// Its row goes to `errors`.
    Reject,
    /// This text takes its place: `Use("other")`.
    Use(String),
}

/// What happens to a value outside its range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
pub(crate) enum Outside {
    #[default]
    Null,
    /// Its row goes to `errors`.
    Reject,
    /// The nearest bound takes its place.
    Clamp,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) enum Add {
    /// Whole years from a date of birth: `Age("birth_date", to: "age", at: "2024-06-30")`. Null before birth. Who was born
    /// on 29 February has a birthday on 1 March where there is no 29th.
    Age {
        from: Column,
        to: Column,
        /// The day to count to, or `today()`: the day of the run's first row.
        #[serde(default)]
        at: Option<Spanned<String>>,
        /// The column with the day to count to, instead of `at`.
        #[serde(default)]
        on: Option<Column>,
    },
    /// Bands of a number: `Band("age", to: "age_band", edges: [18, 25, 45, 65])` makes `18-24`, `25-44`, `45-64`, `65+`; null below
    /// the first edge.
    Band {
        from: Column,
        to: Column,
        /// The least number of each band, ascending.
        edges: Spanned<Vec<f64>>,
        /// A name for each band, instead of the ones made from the edges.
        #[serde(default)]
        labels: Option<Spanned<Vec<String>>>,
    },
    /// Parts of a place in the United States: `Place("location", city: "city", state: "state", zip: "zip")` reads
    /// `Austin, TX 78701`, `12 Elm St, Austin, Texas, 78701-1234, USA`, `Austin TX`. The state is its code of two letters. What is
    /// not there is null; a text of one part that is neither state nor zip is a city.
    Place {
        from: Column,
        #[serde(default)]
        city: Option<Column>,
        #[serde(default)]
        state: Option<Column>,
        #[serde(default)]
        zip: Option<Column>,
    },
}
