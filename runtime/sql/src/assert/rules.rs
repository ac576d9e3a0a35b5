//! The rules as the graph writes them, and what they are checked as.

use super::distinct::Distinct;
use crate::aggregate::{CompiledAggregate, compile_aggregate};
use crate::expr::{Compiled, compile_predicate};
use selvedge_node::prelude::*;
use serde::Deserializer;

/// What a broken rule does.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The row goes on; the report counts it.
    Warn,
    /// The row goes to `errors`.
    Reject,
    /// The run fails.
    Fail,
}

/// A number, or text for dates and words.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    Number(f64),
    Integer(i64),
    Text(String),
}

impl Bound {
    /// The bound in SQL.
    fn sql(&self) -> String {
        match self {
            Bound::Number(x) => format!("{x:?}"),
            Bound::Integer(i) => i.to_string(),
            Bound::Text(text) => format!("'{}'", text.replace('\'', "''")),
        }
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Bound, D::Error> {
        struct V;
        impl serde::de::Visitor<'_> for V {
            type Value = Bound;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a number or a text")
            }
            fn visit_i64<E>(self, i: i64) -> std::result::Result<Bound, E> {
                Ok(Bound::Integer(i))
            }
            fn visit_u64<E: serde::de::Error>(self, i: u64) -> std::result::Result<Bound, E> {
                i64::try_from(i).map(Bound::Integer).map_err(|_| E::custom(format!("{i} is too large")))
            }
            fn visit_f64<E: serde::de::Error>(self, x: f64) -> std::result::Result<Bound, E> {
                match x.is_finite() {
                    true => Ok(Bound::Number(x)),
                    false => Err(E::custom("expected a finite number")),
                }
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Bound, E> {
                Ok(Bound::Text(text.to_string()))
            }
        }
        d.deserialize_any(V)
    }
}

impl JsonSchema for Bound {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bound".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "a number or a text", "type": ["number", "string"] })
    }
}

/// One rule. Rules of a row reject it unless told otherwise, rules of the table fail the run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Rule {
    /// An SQL predicate of each row. Null is not a breach, as in an SQL `check`.
    Row {
        #[serde(rename = "where")]
        predicate: Spanned<String>,
        severity: Option<Severity>,
    },
    /// Every row has a value in these columns.
    NotNull { columns: Vec<Column>, severity: Option<Severity> },
    /// Values lie between `min` and `max`, both included. Null is not a breach.
    Between { column: Column, min: Option<Bound>, max: Option<Bound>, severity: Option<Severity> },
    /// Values are among these. Null is not a breach.
    OneOf { column: Column, values: Vec<Bound>, severity: Option<Severity> },
    /// A regular expression is found in the text (`^…$` to match all of it). Null is not a breach.
    Matches { column: Column, pattern: Spanned<String>, severity: Option<Severity> },
    /// No two rows are equal in these columns; nulls are equal to each other. Of the table.
    Unique { columns: Vec<Column>, severity: Option<Spanned<Severity>> },
    /// At most this share (0 to 1) of the rows has no value in the column. Of the table.
    NullShare { column: Column, max: Spanned<f64>, severity: Option<Spanned<Severity>> },
    /// How many different combinations of values there are in these columns. Of the table.
    Distinct { columns: Vec<Column>, min: Option<u64>, max: Option<u64>, severity: Option<Spanned<Severity>> },
    /// How many rows there are. Of the table.
    Rows { min: Option<u64>, max: Option<u64>, severity: Option<Spanned<Severity>> },
    /// An SQL aggregate over all rows, such as `avg(price)`, lies between `min` and `max`; null does not. Of the table.
    Total { of: Spanned<String>, min: Option<f64>, max: Option<f64>, severity: Option<Spanned<Severity>> },
}

/// A rule of each row, ready to check.
#[derive(Clone)]
pub(super) struct RowRule {
    /// What the report calls it.
    pub(super) label: String,
    pub(super) holds: Compiled,
    pub(super) severity: Severity,
}

/// A rule of all rows, ready to check.
#[derive(Clone)]
pub(super) struct TableRule {
    pub(super) label: String,
    pub(super) check: Check,
    pub(super) fails: bool,
}

#[derive(Clone)]
pub(super) enum Check {
    Unique { columns: Vec<usize> },
    NullShare { column: usize, max: f64 },
    Distinct { columns: Vec<usize>, min: Option<u64>, max: Option<u64> },
    Rows { min: Option<u64>, max: Option<u64> },
    Total { of: CompiledAggregate, min: Option<f64>, max: Option<f64> },
}

/// Plans one rule.
pub(super) fn plan(
    rule: &Rule,
    schema: &SchemaRef,
    rows: &mut Vec<RowRule>,
    table: &mut Vec<TableRule>,
) -> std::result::Result<(), Problems> {
    let mut problems = Problems::default();
    let mut row = |label: String, sql: String, at: &Column, severity: &Option<Severity>| {
        let text = Spanned::new(sql, at.span);
        compile_predicate(schema, &text).map(|holds| {
            rows.push(RowRule { label, holds, severity: severity.unwrap_or(Severity::Reject) });
        })
    };
    match rule {
        Rule::Row { predicate, severity } => {
            let holds = compile_predicate(schema, predicate)?;
            let label = holds.text().to_string();
            rows.push(RowRule { label, holds, severity: severity.unwrap_or(Severity::Reject) });
        }
        Rule::NotNull { columns: names, severity } => {
            for name in names {
                if problems.take(column(schema, name)).is_some() {
                    problems.take(row(
                        format!("{name} is not null"),
                        format!("{} is not null", quoted(name)),
                        name,
                        severity,
                    ));
                }
            }
        }
        Rule::Between { column: name, min, max, severity } => {
            column(schema, name)?;
            bounded(name, min.is_some() || max.is_some(), &mut problems);
            let least = min.as_ref().map(|m| (">=", m));
            let sides: Vec<_> = least.into_iter().chain(max.as_ref().map(|m| ("<=", m))).collect();
            let sql = |name: &str| {
                sides.iter().map(|(op, b)| format!("{name} {op} {}", b.sql())).collect::<Vec<_>>().join(" and ")
            };
            if !sides.is_empty() {
                problems.take(row(sql(name), sql(&quoted(name)), name, severity));
            }
        }
        Rule::OneOf { column: name, values, severity } => {
            column(schema, name)?;
            if values.is_empty() {
                problems.push(Problem::error(name.span, "expected at least one allowed value"));
            } else {
                let list = values.iter().map(Bound::sql).collect::<Vec<_>>().join(", ");
                problems.take(row(format!("{name} in (…)"), format!("{} in ({list})", quoted(name)), name, severity));
            }
        }
        Rule::Matches { column: name, pattern, severity } => {
            column(schema, name)?;
            let sql = format!("{} ~ {}", quoted(name), Bound::Text(pattern.value.clone()).sql());
            problems.take(row(
                format!("{name} ~ {pattern}"),
                sql,
                &Spanned::new(name.value.clone(), pattern.span),
                severity,
            ));
        }
        Rule::Unique { columns: names, severity } => {
            let columns = keys(schema, names)?;
            let label = format!("unique {}", list(names));
            table.push(TableRule { label, check: Check::Unique { columns }, fails: fails(severity, &mut problems) });
        }
        Rule::NullShare { column: name, max, severity } => {
            let column = column(schema, name)?;
            if !(0.0..=1.0).contains(&max.value) {
                problems.push(Problem::error(max.span, format!("a share is between 0 and 1, not {}", max.value)));
            }
            let label = format!("share of nulls in {name} <= {}", max.value);
            let check = Check::NullShare { column, max: max.value };
            table.push(TableRule { label, check, fails: fails(severity, &mut problems) });
        }
        Rule::Distinct { columns: names, min, max, severity } => {
            let columns = keys(schema, names)?;
            bounded(&names[0], min.is_some() || max.is_some(), &mut problems);
            let label = within(&format!("distinct {}", list(names)), min, max);
            let check = Check::Distinct { columns, min: *min, max: *max };
            table.push(TableRule { label, check, fails: fails(severity, &mut problems) });
        }
        Rule::Rows { min, max, severity } => {
            let check = Check::Rows { min: *min, max: *max };
            table.push(TableRule { label: within("rows", min, max), check, fails: fails(severity, &mut problems) });
        }
        Rule::Total { of, min, max, severity } => {
            let aggregate = compile_aggregate(schema, of)?;
            bounded(of, min.is_some() || max.is_some(), &mut problems);
            if !aggregate.data_type().is_numeric() {
                let message = format!("`{}` must be a number, but is {}", aggregate.text(), aggregate.data_type());
                problems.push(Problem::error(of.span, message));
            }
            let label = within(aggregate.text(), min, max);
            let check = Check::Total { of: aggregate, min: *min, max: *max };
            table.push(TableRule { label, check, fails: fails(severity, &mut problems) });
        }
    }
    problems.or(())
}

fn keys(schema: &SchemaRef, names: &[Column]) -> std::result::Result<Vec<usize>, Problems> {
    let keys = columns(schema, names)?;
    let Some(first) = names.first() else {
        return Err(Problem::nowhere("expected at least one column in `columns`").into());
    };
    // Only to refuse columns whose values have no equality.
    selvedge_state::RowHasher::new(schema, &keys).map_err(|e| Problem::error(first.span, e.message))?;
    Ok(keys)
}

fn bounded(at: &Spanned<String>, bounded: bool, problems: &mut Problems) {
    if !bounded {
        problems.push(Problem::error(at.span, "expected `min`, `max`, or both"));
    }
}

/// The severity of a rule of the table: there is no row to reject.
fn fails(severity: &Option<Spanned<Severity>>, problems: &mut Problems) -> bool {
    match severity {
        Some(s) if s.value == Severity::Reject => {
            problems.push(
                Problem::error(s.span, "a rule of the whole table cannot reject rows")
                    .help("Warn or Fail; to part with duplicates, use Dedup"),
            );
            true
        }
        Some(s) => s.value == Severity::Fail,
        None => true,
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list(names: &[Column]) -> String {
    names.iter().map(|n| n.value.as_str()).collect::<Vec<_>>().join(", ")
}

fn within(what: &str, min: &Option<impl std::fmt::Display>, max: &Option<impl std::fmt::Display>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{what} between {min} and {max}"),
        (Some(min), None) => format!("{what} >= {min}"),
        (None, Some(max)) => format!("{what} <= {max}"),
        (None, None) => what.to_string(),
    }
}

/// What a rule of the table remembers of the rows so far.
pub(super) enum State {
    Nothing,
    Nulls(u64),
    Keys { distinct: Box<Distinct>, samples: Vec<String> },
    Total(Box<dyn datafusion::logical_expr::Accumulator>),
}
