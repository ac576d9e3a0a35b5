//! `Assert`: rules that rows, columns and the whole table must keep, and how many breaches are too many.

mod distinct;
mod rules;
#[cfg(test)]
mod tests;

use crate::expr::Values;
use crate::reject::CODE;
use arrow::array::AsArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Float64Type;
use distinct::Distinct;
use rules::{Check, RowRule, Rule, Severity, State, TableRule};
use selvedge_node::prelude::*;
use selvedge_node::row_json;

/// See [`Kind::ABOUT`].
pub struct Assert;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rules. Those of a row: `Row`, `NotNull`, `Between`, `OneOf`, `Matches`. Those of the table, judged when all rows are
    /// through: `Unique`, `NullShare`, `Distinct`, `Rows`, `Total`.
    rules: Vec<Rule>,
    /// The run fails at the first rejected row beyond this many (AWS Glue's stageThreshold).
    max_rejects: Option<u64>,
    /// The run fails if more than this share of all rows (0 to 1) was rejected; judged when all rows are through.
    max_reject_share: Option<Spanned<f64>>,
}

impl Kind for Assert {
    const NAME: &'static str = "Assert";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "checks rules of rows, columns and the whole table, with an error budget";
    const DOCS: &'static str = "\
Rows that keep all rules go on unchanged. A rule has a severity: `Warn` counts the breach and lets the row go on, `Reject` sends \
the row to `errors`, `Fail` stops the run. Rules of a row reject unless told otherwise; rules of the table fail the run, after all \
rows, and never reject. A run that fails publishes nothing: sinks commit only when all is well.

As in an SQL `check`, a null breaks no rule but `NotNull`. `Total` is broken by a null.

**Rejected rows**: the code is the rule's text (`quantity >= 0`), the first that the row breaks; code `expression` where a rule \
could not be evaluated. `max_rejects` and `max_reject_share` are the error budget: beyond it the run fails, with the rules that were \
broken, how often, and sample rows. No row is dropped.

**Altered**: `Warn` breaches are reported under `warning: ` and the rule's text, although the row goes on as it came.

With rules of a row alone and no budget the node runs on every core; otherwise one instance sees everything. The keys of `Unique` \
and `Distinct` are known by their 128-bit hashes, in memory, then on disk.";
    const EXAMPLE: &'static str = "Assert(input: \"stock\", rules: [Row(where: \"quantity >= 0\"), NotNull(columns: [\"sku\"]), \
                                   Unique(columns: [\"sku\", \"store_id\"]), Rows(min: 1000, severity: Warn)], max_rejects: 100)";
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = inputs[0].schema.clone();
        let mut problems = Problems::default();
        if config.rules.is_empty() {
            problems.push(site.error("expected at least one rule").help("rules: [Row(where: \"…\")]"));
        }
        if let Some(share) = &config.max_reject_share
            && !(0.0..=1.0).contains(&share.value)
        {
            problems.push(Problem::error(share.span, format!("a share is between 0 and 1, not {}", share.value)));
        }
        let (mut rows, mut table) = (vec![], vec![]);
        for rule in &config.rules {
            problems.take(rules::plan(rule, &schema, &mut rows, &mut table));
        }
        problems.or(())?;
        let rules = Rules { rows };
        let share = config.max_reject_share.map(|s| s.value);
        if table.is_empty() && config.max_rejects.is_none() && share.is_none() {
            return Ok(Built::map(schema, rules).may_reject(true));
        }
        let at_the_end = !table.is_empty() || share.is_some();
        let (rules, table, input) = (Arc::new(rules), Arc::new(table), schema.clone());
        let make = move |task: &Task| {
            let states = table.iter().map(|rule| start(rule, &input, task)).collect::<Result<Vec<_>>>()?;
            Ok(Checker {
                rules: rules.clone(),
                table: table.clone(),
                states,
                rows: 0,
                budget: Budget { max: config.max_rejects, share, ..Budget::default() },
            })
        };
        let built = Built::transform(schema, Partitioning::Single, make).may_reject(true);
        Ok(match at_the_end {
            true => built.waits_for_end(
                "leave out the rules of the table and max_reject_share, which are judged at the end: rules of rows and max_rejects \
                 are judged at once",
            ),
            false => built,
        })
    }
}

/// The rules of a row.
struct Rules {
    rows: Vec<RowRule>,
}

impl Map for Rules {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        self.check(batch, out, &mut Budget::default()).map(|_| ())
    }
}

impl Rules {
    /// Sends on what keeps the rules.
    fn check(&self, batch: RecordBatch, out: &mut dyn Out, budget: &mut Budget) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        // For each broken row that must go: the first rule it broke.
        let mut gone: Vec<Option<Breach>> = vec![];
        for (at, rule) in self.rows.iter().enumerate() {
            let Values { array, bad } = rule.holds.evaluate_each(&batch)?;
            let truth = array.as_boolean();
            // Bad rows have a null here and are not among the broken.
            let mut broken = !truth.values();
            if let Some(valid) = truth.nulls() {
                broken = &broken & valid.inner();
            }
            if broken.count_set_bits() == 0 && bad.is_empty() {
                continue;
            }
            // A value that cannot be judged keeps no rule, whatever the rule's severity.
            if rule.severity == Severity::Fail
                && let Some(row) = broken.set_indices().next().or(bad.first().map(|(row, _)| *row))
            {
                let count = broken.count_set_bits() + bad.len();
                return Err(Error::data(format!(
                    "rule `{}` is broken by {count} of {rows} rows, such as {}",
                    rule.label,
                    row_json(&batch, row)
                ))
                .help("severity: Reject sends such rows to `errors`, Warn counts them"));
            }
            if rule.severity == Severity::Warn {
                out.altered_where(
                    &format!("warning: {}", rule.label),
                    &batch,
                    &BooleanArray::new(broken.clone(), None),
                );
            }
            gone.resize_with(rows, || None);
            if rule.severity == Severity::Reject {
                for row in broken.set_indices() {
                    gone[row].get_or_insert(Breach { rule: at, error: None });
                }
            }
            for (row, why) in bad {
                gone[row].get_or_insert(Breach { rule: at, error: Some(why) });
            }
        }
        if gone.iter().all(Option::is_none) {
            out.send(0, batch.clone())?;
            return Ok(batch);
        }
        self.reject(&batch, &gone, out, budget)?;
        let kept: BooleanArray = gone.iter().map(|g| Some(g.is_none())).collect();
        let kept = filter_record_batch(&batch, &kept)?;
        out.send(0, kept.clone())?;
        Ok(kept)
    }

    fn reject(
        &self,
        batch: &RecordBatch,
        gone: &[Option<Breach>],
        out: &mut dyn Out,
        budget: &mut Budget,
    ) -> Result<()> {
        for (row, breach) in gone.iter().enumerate() {
            let Some(breach) = breach else { continue };
            let label = &self.rows[breach.rule].label;
            let raw = row_json(batch, row);
            budget.spend(label, &raw)?;
            let (code, message) = match &breach.error {
                None => (label.as_str(), format!("`{label}` is not true")),
                Some(why) => (CODE, format!("`{label}`: {why}")),
            };
            out.reject(selvedge_node::Rejection { code: code.to_string(), message, raw })?;
        }
        Ok(())
    }
}

/// Why a row must go.
struct Breach {
    rule: usize,
    /// The rule could not be evaluated.
    error: Option<String>,
}

/// How many rows may be rejected, and what was.
#[derive(Default)]
struct Budget {
    max: Option<u64>,
    share: Option<f64>,
    rejected: u64,
    /// By rule: how often, and a sample row.
    by_rule: Vec<(String, u64, String)>,
}

impl Budget {
    fn spend(&mut self, rule: &str, raw: &str) -> Result<()> {
        self.rejected += 1;
        match self.by_rule.iter_mut().find(|(known, ..)| known == rule) {
            Some((_, count, _)) => *count += 1,
            None => self.by_rule.push((rule.to_string(), 1, raw.to_string())),
        }
        match self.max {
            Some(max) if self.rejected > max => Err(self.exceeded(&format!("more than max_rejects: {max}"))),
            _ => Ok(()),
        }
    }

    fn judge(&self, rows: u64) -> Result<()> {
        match self.share {
            Some(share) if self.rejected as f64 > share * rows as f64 => {
                Err(self.exceeded(&format!("of {rows}, a larger share than max_reject_share: {share}")))
            }
            _ => Ok(()),
        }
    }

    fn exceeded(&self, what: &str) -> Error {
        let rules = self.by_rule.iter().map(|(rule, count, raw)| format!("{count} broke `{rule}`, such as {raw}"));
        let rejected = self.rejected;
        Error::data(format!("{rejected} rows were rejected, {what}: {}", rules.collect::<Vec<_>>().join("; ")))
            .help("mend the data, or raise the budget")
    }
}

/// Rules of the table, a budget, or both.
struct Checker {
    rules: Arc<Rules>,
    table: Arc<Vec<TableRule>>,
    states: Vec<State>,
    rows: u64,
    budget: Budget,
}

fn start(rule: &TableRule, schema: &SchemaRef, task: &Task) -> Result<State> {
    Ok(match &rule.check {
        Check::Unique { columns } | Check::Distinct { columns, .. } => {
            State::Keys { distinct: Box::new(Distinct::new(schema, columns, task)?), samples: vec![] }
        }
        Check::NullShare { .. } => State::Nulls(0),
        Check::Rows { .. } => State::Nothing,
        Check::Total { of, .. } => State::Total(of.accumulator()?),
    })
}

const SAMPLES: usize = 3;

impl Transform for Checker {
    fn process(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let kept = self.rules.check(batch, out, &mut self.budget)?;
        // The table is what goes on.
        for (rule, state) in self.table.iter().zip(&mut self.states) {
            match (&rule.check, state) {
                (Check::NullShare { column, .. }, State::Nulls(nulls)) => {
                    *nulls += kept.column(*column).logical_null_count() as u64;
                }
                (check, State::Keys { distinct, samples }) => {
                    let wanted = if matches!(check, Check::Unique { .. }) { SAMPLES - samples.len() } else { 0 };
                    for row in distinct.add(&kept, wanted)? {
                        samples.push(row_json(&kept, row));
                    }
                }
                (Check::Total { of, .. }, State::Total(accumulator)) => {
                    let (mut args, filter) = of.evaluate(&kept)?;
                    if let Some(filter) = filter {
                        args = args
                            .iter()
                            .map(|a| arrow::compute::filter(a, &filter))
                            .collect::<std::result::Result<_, _>>()?;
                    }
                    accumulator.update_batch(&args).map_err(|e| crate::problem::error(&e))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Out) -> Result<()> {
        self.budget.judge(self.rows)?;
        let rows = self.rows - self.budget.rejected;
        let mut failures = vec![];
        for (rule, state) in self.table.iter().zip(&mut self.states) {
            let Some(found) = judge(&rule.check, state, rows)? else { continue };
            if rule.fails {
                failures.push(format!("rule `{}` is broken: {found}", rule.label));
            } else {
                out.altered(&format!("warning: {}: {found}", rule.label), 1, &|_| vec![]);
            }
        }
        match failures.is_empty() {
            true => Ok(()),
            false => Err(Error::data(failures.join("; ")).help("severity: Warn reports a broken rule and goes on")),
        }
    }
}

/// What was found, if that breaks the rule.
fn judge(check: &Check, state: &mut State, rows: u64) -> Result<Option<String>> {
    let outside =
        |n: u64, min: &Option<u64>, max: &Option<u64>| min.is_some_and(|m| n < m) || max.is_some_and(|m| n > m);
    Ok(match (check, state) {
        (Check::Rows { min, max }, _) => outside(rows, min, max).then(|| format!("there are {rows}")),
        (Check::NullShare { max, .. }, State::Nulls(nulls)) => {
            (*nulls as f64 > max * rows as f64).then(|| format!("{nulls} of {rows} rows have none"))
        }
        (Check::Unique { .. }, State::Keys { distinct, samples }) => {
            let count = distinct.finish()?;
            let such = if samples.is_empty() { String::new() } else { format!(", such as {}", samples.join(", ")) };
            (count < rows).then(|| format!("{} of {rows} rows have a key that came before{such}", rows - count))
        }
        (Check::Distinct { min, max, .. }, State::Keys { distinct, .. }) => {
            let count = distinct.finish()?;
            outside(count, min, max).then(|| format!("there are {count}"))
        }
        (Check::Total { min, max, .. }, State::Total(accumulator)) => {
            let value = accumulator.evaluate().map_err(|e| crate::problem::error(&e))?;
            let array = value.to_array().map_err(|e| crate::problem::error(&e))?;
            let number = arrow::compute::cast(&array, &DataType::Float64)?;
            let number = number.as_primitive::<Float64Type>();
            match number.is_valid(0).then(|| number.value(0)) {
                None => Some("it is null".to_string()),
                Some(x) if min.is_some_and(|m| x < m) || max.is_some_and(|m| x > m) || x.is_nan() => {
                    Some(format!("it is {value}"))
                }
                Some(_) => None,
            }
        }
        _ => None,
    })
}
