//! `UpcCheck`: GTINs of all lengths, checked, repaired where a spreadsheet has done harm, and brought to one length.
//!
//! Source of the rules: GS1 General Specifications, sections on GTIN check digits, prefixes and UPC-E zero suppression.
#![deny(unsafe_code)]

mod gtin;

use gtin::{Gtin, Problem};
use selvedge_guest::prelude::*;

/// The kind.
pub struct UpcCheck;

/// What becomes of a row whose code is wrong.
#[derive(Clone, Copy, PartialEq)]
pub enum OnInvalid {
    /// It goes to `errors`.
    Reject,
    /// The code becomes null.
    Null,
    /// The code stays as it came.
    Keep,
}

/// The settings.
pub struct Config {
    column: String,
    output: Option<String>,
    length: usize,
    length_at: String,
    on_invalid: OnInvalid,
    range: Option<String>,
}

/// The work.
pub struct Work {
    column: usize,
    output: String,
    config: Config,
}

impl Kind for UpcCheck {
    const NAME: &'static str = "UpcCheck";
    const ABOUT: &'static str = "checks UPC, EAN and GTIN codes and brings them to one length";
    const DOCS: &'static str = "\
Settings: `column` (text or number), `output` (the same column unless named), `length` of the result (14; 13, 12 or 8), `on_invalid` \
(`reject`, `null`, `keep`), `range` (a column for what is no ordinary article: `restricted`, `coupon`, `refund`, `periodical`, `book`).

GTIN-8, UPC-A, EAN-13 and GTIN-14 pass with their check digit; UPC-E is expanded: eight digits from 0, or from 1 where they are no GTIN-8. \
Spaces, hyphens, an apostrophe in front and a `.0` at the end are taken away; leading zeros that a spreadsheet lost are put back where the \
check digit then fits. Nulls and blanks stay null.

Reject codes: `upc.check_digit`, `upc.length`, `upc.characters`, `upc.scientific` (`8.12345E+11`: digits are lost for good).";
    const EXAMPLE: &'static str =
        r#"{"column": "upc", "output": "gtin", "length": 14, "on_invalid": "reject", "range": "gtin_range"}"#;
    type Config = Config;
    type Work = Work;

    fn config(settings: &mut Settings) -> Result<Config> {
        use OnInvalid::{Keep, Null, Reject};
        Ok(Config {
            column: settings.required("column")?,
            output: settings.optional("output")?,
            length: settings.or::<u32>("length", 14)? as usize,
            length_at: settings.at("length"),
            on_invalid: settings
                .choice("on_invalid", &[("reject", Reject), ("null", Null), ("keep", Keep)])?
                .unwrap_or(Reject),
            range: settings.optional("range")?,
        })
    }

    fn build(config: Config, inputs: &[Input]) -> Result<Built<Work>> {
        if ![8, 12, 13, 14].contains(&config.length) {
            let message = format!("expected 8, 12, 13 or 14, found {}", config.length);
            return Err(Error::graph(message).at(&config.length_at));
        }
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_default();
        let fits = |t: &Type| t.is_text() || t.is_integer() || t.is_float();
        let column = schema.column_of_type(&config.column, "column", "text or a number", fits)?;
        let output = config.output.clone().unwrap_or_else(|| config.column.clone());
        if config.range.as_ref() == Some(&output) {
            return Err(Error::graph("`range` is the same column as the output").at("range"));
        }
        let mut schema = schema.with(Field::new(&output, Type::Utf8));
        if let Some(range) = &config.range {
            schema = schema.with(Field::new(range, Type::Utf8));
        }
        let may_reject = config.on_invalid == OnInvalid::Reject;
        Ok(Built::map(schema, Work { column, output, config }).reads([column]).may_reject(may_reject))
    }
}

impl Map for Work {
    fn map(&self, batch: &Batch, out: &mut Out) -> Result<()> {
        let ty = batch.schema().fields.get(self.column).map(|f| &f.ty);
        let mut sorted = Sorted::new(batch.rows());
        if ty.is_some_and(Type::is_text) {
            let texts = batch.utf8(self.column)?;
            texts.iter().for_each(|text| self.sort(text, &mut sorted));
        } else if ty.is_some_and(Type::is_integer) {
            let numbers = batch.integers(self.column)?;
            numbers.iter().for_each(|n| self.sort(n.map(|n| n.to_string()).as_deref(), &mut sorted));
        } else {
            // A whole number below 2^53 is exact; of any other the digits say nothing.
            let exact = |n: f64| n.abs() < 9_007_199_254_740_992.0 && n == (n as i64) as f64;
            // Six places are enough to show what it was; the library's own way would be a third of the plugin.
            let text = |n: f64| match exact(n) {
                true => (n as i64).to_string(),
                false if n.is_finite() => format!("{}.{:06}", n as i64, (n.fract().abs() * 1e6) as u32),
                false => "not a number".to_string(),
            };
            let numbers = batch.numbers(self.column)?;
            numbers.iter().for_each(|n| self.sort(n.map(text).as_deref(), &mut sorted));
        }
        for (problem, rows) in Problem::ALL.iter().zip(&sorted.rejected) {
            out.reject_rows(problem.code(), rows);
        }
        out.altered("null in place of a wrong code", &sorted.nulled);
        let mut rows = match sorted.sent.count() == batch.rows() {
            true => Rows::all(batch),
            false => Rows::filter(&sorted.sent),
        };
        rows = rows.with(&self.output, Column::utf8(sorted.codes));
        if let Some(range) = &self.config.range {
            rows = rows.with(range, Column::utf8(sorted.ranges));
        }
        out.send(0, rows)
    }
}

/// The rows of a batch by what becomes of them.
struct Sorted {
    row: usize,
    sent: Mask,
    nulled: Mask,
    codes: Vec<Option<String>>,
    ranges: Vec<Option<&'static str>>,
    rejected: [Vec<(u32, String)>; 4],
}

impl Sorted {
    fn new(rows: usize) -> Sorted {
        let (sent, nulled) = (Mask::none(rows), Mask::none(rows));
        Sorted { row: 0, sent, nulled, codes: vec![], ranges: vec![], rejected: Default::default() }
    }
    fn send(&mut self, code: Option<String>, range: Option<&'static str>) {
        self.sent.set(self.row);
        self.codes.push(code);
        self.ranges.push(range);
    }
}

impl Work {
    /// Decides on the next row.
    fn sort(&self, text: Option<&str>, sorted: &mut Sorted) {
        match text.map(str::trim).filter(|t| !t.is_empty()) {
            None => sorted.send(None, None),
            Some(text) => match Gtin::read(text).and_then(|g| Ok((g.text(self.config.length)?, g.range()))) {
                Ok((code, range)) => sorted.send(Some(code), range),
                Err((problem, message)) => match self.config.on_invalid {
                    OnInvalid::Keep => sorted.send(Some(text.to_string()), None),
                    OnInvalid::Null => {
                        sorted.nulled.set(sorted.row);
                        sorted.send(None, None);
                    }
                    OnInvalid::Reject => sorted.rejected[problem as usize].push((sorted.row as u32, message)),
                },
            },
        }
        sorted.row += 1;
    }
}

selvedge_guest::export_map!(UpcCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_guest::test;

    const CODES: &str = "id | upc
        1 | 036000291452
        2 | 36000291452.0
        3 | 036000291453
        4 | 3.60003E+10
        5 | null
        6 | 12-34
        7 | ABC
        8 | 4006381333931
        9 | 0200000000004";

    #[test]
    fn codes_are_repaired_or_rejected() {
        let done = test::map::<UpcCheck>(r#"{"column": "upc", "output": "gtin", "range": "kind"}"#, CODES);
        done.expect(
            "id | upc           | gtin           | kind
             1  | 036000291452  | 00036000291452 | null
             2  | 36000291452.0 | 00036000291452 | null
             5  | null          | null           | null
             8  | 4006381333931 | 04006381333931 | null
             9  | 0200000000004 | 00200000000004 | restricted",
        );
        let mut told: Vec<&str> = done.rejected.iter().map(|r| r.code.as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, ["upc.characters", "upc.check_digit", "upc.length", "upc.scientific"]);
        let wrong = done.rejected.iter().find(|r| r.code == "upc.check_digit").unwrap();
        assert_eq!(wrong.message, "expected check digit 2 in `036000291453`, found 3");
        assert_eq!(wrong.raw, "3 | 036000291453");
    }

    #[test]
    fn wrong_codes_become_null_or_stay() {
        let done = test::map::<UpcCheck>(r#"{"column": "upc", "on_invalid": "null", "length": 13}"#, CODES);
        let codes = ["0036000291452", "0036000291452", "null", "null", "null", "null", "null", "4006381333931"];
        assert_eq!(done.sent[0].values("upc")[..8], codes);
        assert_eq!(done.altered["null in place of a wrong code"], 4);
        let done = test::map::<UpcCheck>(r#"{"column": "upc", "on_invalid": "keep"}"#, CODES);
        assert_eq!(done.sent[0].values("upc")[2..4], ["036000291453", "3.60003E+10"]);
    }

    #[test]
    fn numbers_are_codes_too() {
        for ty in ["Int64", "Float64"] {
            let table = format!("upc:{ty}\n 36000291452\n null\n -5");
            let done = test::map::<UpcCheck>(r#"{"column": "upc", "length": 12}"#, &table);
            done.expect("upc\n 036000291452\n null");
            assert_eq!(done.rejected[0].code, "upc.characters");
        }
        let done = test::map::<UpcCheck>(r#"{"column": "upc"}"#, "upc:Float64\n 0.5\n NaN\n inf");
        assert_eq!(done.rejected.len(), 3);
    }

    #[test]
    fn settings_are_checked() {
        test::example::<UpcCheck>();
        for (config, message) in [
            (r#"{"column": "upcs"}"#, "no column named `upcs` (did you mean `upc`?)"),
            // Settings that were not read yet are not unknown.
            (r#"{"column": 7, "length": 12}"#, "expected a text, found 7"),
            (r#"{"colum": "upc", "length": 12}"#, "no setting named `colum` (did you mean `column`?)"),
            (r#"{"column": "upc", "length": 11}"#, "expected 8, 12, 13 or 14, found 11"),
            (r#"{"column": "upc", "range": "upc"}"#, "`range` is the same column as the output"),
        ] {
            assert_eq!(test::problem::<UpcCheck>(config, CODES).to_string(), message);
        }
        let error = test::problem::<UpcCheck>(r#"{"column": "upc"}"#, "upc:Boolean\n true");
        assert_eq!(error.message, "expected `upc` to be text or a number, found Boolean");
    }
}
