//! `SizeNormalizer`: apparel sizes of all systems and spellings as one, that sorts.
#![deny(unsafe_code)]

mod sizes;

use selvedge_guest::prelude::*;
use sizes::{Department, Size, System};

/// The kind.
pub struct SizeNormalizer;

/// What becomes of a row whose size cannot be understood.
#[derive(Clone, Copy, PartialEq)]
pub enum OnUnknown {
    /// `size_normal` is the size as it came, without system and order.
    Keep,
    /// All three are null.
    Null,
    /// It goes to `errors`.
    Reject,
}

/// The settings.
pub struct Config {
    column: String,
    output: String,
    to: System,
    department: Option<String>,
    assume: Option<Department>,
    on_unknown: OnUnknown,
}

/// The work.
pub struct Work {
    column: usize,
    department: Option<usize>,
    config: Config,
}

impl Config {
    /// The columns that are added.
    fn outputs(&self) -> [String; 3] {
        ["system", "normal", "order"].map(|part| format!("{}_{part}", self.output))
    }
}

impl Kind for SizeNormalizer {
    const NAME: &'static str = "SizeNormalizer";
    const ABOUT: &'static str = "brings apparel sizes of all systems and spellings to one that sorts";
    const DOCS: &'static str = "\
Settings: `column` (text), `output` (`size`: adds `size_system`, `size_normal` and `size_order`), `to` (`US`; `UK`, `EU`, `FR`, `DE`, `IT`, `JP`, \
`CM` for shoes), `department` (a text column: `Women`, `Men's shoes`, `kids`), `assume` (where that says nothing: `men`, `women`, `kids`, \
`men_shoes`, `women_shoes`), `on_unknown` (`keep`, `null`, `reject` with the code `size.unknown`).

Understands letters (`x-small`, `2XL`, `3X`), one size, waist and inseam (`32x34`, `W32 L34`), ages (`6-9M`, `4T`, `10Y`), and numbers with or \
without their system (`EU 38`, `9½`) where the department is known. Only numbers are converted. Numbers without a system are US.

No standard binds sizes: US 4 of women's clothes is taken as UK 8, EU and FR 36, DE 34, IT 40, JP 7, and so on in steps; men's shoes US 9 as UK 8, \
EU 42.5, 27 cm, women's being one and a half more. A null or blank size stays null.";
    const EXAMPLE: &'static str = r#"{"column": "size", "to": "EU", "department": "category", "assume": "women"}"#;
    type Config = Config;
    type Work = Work;

    fn config(settings: &mut Settings) -> Result<Config> {
        use OnUnknown::{Keep, Null, Reject};
        Ok(Config {
            column: settings.required("column")?,
            output: settings.or("output", "size".to_string())?,
            to: settings.choice("to", &System::ALL)?.unwrap_or(System::Us),
            department: settings.optional("department")?,
            assume: settings.choice("assume", &Department::ALL)?,
            on_unknown: settings
                .choice("on_unknown", &[("keep", Keep), ("null", Null), ("reject", Reject)])?
                .unwrap_or(Keep),
        })
    }

    fn build(config: Config, inputs: &[Input]) -> Result<Built<Work>> {
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_default();
        let column = schema.column_of_type(&config.column, "column", "text", Type::is_text)?;
        let department = match &config.department {
            Some(name) => Some(schema.column_of_type(name, "department", "text", Type::is_text)?),
            None => None,
        };
        let [system, normal, order] = config.outputs();
        let schema = schema
            .with(Field::new(system, Type::Utf8))
            .with(Field::new(normal, Type::Utf8))
            .with(Field::new(order, Type::Int32));
        let may_reject = config.on_unknown == OnUnknown::Reject;
        let reads = [Some(column), department].into_iter().flatten();
        Ok(Built::map(schema, Work { column, department, config }).reads(reads).may_reject(may_reject))
    }
}

impl Map for Work {
    fn map(&self, batch: &Batch, out: &mut Out) -> Result<()> {
        let texts = batch.utf8(self.column)?;
        let departments = self.department.map(|d| batch.utf8(d)).transpose()?;
        let mut sent = Mask::none(batch.rows());
        let mut unknown = vec![];
        let mut sizes: Vec<Option<Size>> = vec![];
        for (row, text) in texts.iter().enumerate() {
            let text = text.map(str::trim).filter(|t| !t.is_empty());
            let told = departments.as_ref().and_then(|d| d.get(row)).and_then(Department::read);
            let size = text.and_then(|text| sizes::read(text, told.or(self.config.assume), self.config.to));
            match (text, self.config.on_unknown) {
                (Some(text), OnUnknown::Reject) if size.is_none() => {
                    unknown.push((row as u32, format!("expected a size, found `{text}`")));
                    continue;
                }
                _ => sent.set(row),
            }
            sizes.push(size);
        }
        out.reject_rows("size.unknown", &unknown);
        let kept = |row: usize| texts.get(row).filter(|_| self.config.on_unknown == OnUnknown::Keep);
        let systems = Column::utf8(sizes.iter().map(|s| s.as_ref().map(|s| &s.system)));
        let normals =
            sent.rows().zip(&sizes).map(|(row, s)| s.as_ref().map(|s| s.normal.as_str()).or_else(|| kept(row)));
        let orders = Column::of(sizes.iter().map(|s| s.as_ref().map(|s| s.order)));
        let normals = Column::utf8(normals);
        let rows = if unknown.is_empty() { Rows::all(batch) } else { Rows::filter(&sent) };
        let [system, normal, order] = self.config.outputs();
        out.send(0, rows.with(&system, systems).with(&normal, normals).with(&order, orders))
    }
}

selvedge_guest::export_map!(SizeNormalizer);

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_guest::test;

    const STOCK: &str = "sku | size      | category
        1 | x-large   | Women
        2 | EU 42     | Women
        3 | 32x34     | Men
        4 | null      | Men
        5 | 9.5       | Men's Shoes
        6 | big       | Women
        7 | 8         | null";

    #[test]
    fn sizes_become_one_system() {
        let config = r#"{"column": "size", "department": "category"}"#;
        test::map::<SizeNormalizer>(config, STOCK).expect(
            "sku | size | category | size_system | size_normal | size_order:Int32
             1 | x-large | Women       | letter       | XL      | 20002
             2 | EU 42   | Women       | women US     | 10      | 40010
             3 | 32x34   | Men         | waist        | W32 L34 | 33234
             4 | null    | Men         | null         | null    | null
             5 | 9.5     | Men's Shoes | men_shoes US | 9.5     | 50019
             6 | big     | Women       | null         | big     | null
             7 | 8       | null        | null         | 8       | null",
        );
    }

    #[test]
    fn what_is_unknown_is_kept_made_null_or_rejected() {
        let config = r#"{"column": "size", "output": "s", "assume": "women", "to": "UK", "on_unknown": "reject"}"#;
        let done = test::map::<SizeNormalizer>(config, "size\n big\n null\n 8");
        done.expect(
            "size | s_system | s_normal | s_order:Int32\n null | null | null | null\n 8 | women UK | 12 | 40008",
        );
        assert_eq!(done.rejected[0].code, "size.unknown");
        assert_eq!(done.rejected[0].message, "expected a size, found `big`");
        let done = test::map::<SizeNormalizer>(r#"{"column": "size", "on_unknown": "null"}"#, "size\n big");
        assert_eq!(done.sent[0].values("size_normal"), ["null"]);
    }

    #[test]
    fn settings_are_checked() {
        test::example::<SizeNormalizer>();
        for (config, message) in [
            (r#"{"column": "sizes"}"#, "no column named `sizes` (did you mean `size`?)"),
            (r#"{"column": "size", "department": "categry"}"#, "no column named `categry` (did you mean `category`?)"),
            (r#"{"column": "size", "asume": "men"}"#, "no setting named `asume` (did you mean `assume`?)"),
        ] {
            assert_eq!(test::problem::<SizeNormalizer>(config, STOCK).to_string(), message);
        }
    }
}
