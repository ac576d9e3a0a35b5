//! `cast(date_trunc('week', day) as date)` on days: one division instead of the way through nanoseconds and back. Dates
//! that have no nanoseconds since 1970 in 64 bits (before 1677, after 2262) are no error here.

use arrow::array::{AsArray, Date32Array, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Schema};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{CastExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Week,
    Month,
    Quarter,
    Year,
}

#[derive(Debug, Clone)]
struct TruncDate {
    unit: Unit,
    day: Arc<dyn PhysicalExpr>,
    /// DataFusion's own expression.
    slow: Arc<dyn PhysicalExpr>,
}

/// A cast to a date of `date_trunc` of a date.
pub(super) fn recognise(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    Ok(parts(expr).and_then(|(unit, day)| {
        let is_date = matches!(day.data_type(schema), Ok(DataType::Date32));
        is_date.then(|| Arc::new(TruncDate { unit, day: day.clone(), slow: expr.clone() }) as Arc<dyn PhysicalExpr>)
    }))
}

fn parts(expr: &Arc<dyn PhysicalExpr>) -> Option<(Unit, &Arc<dyn PhysicalExpr>)> {
    let outer = expr.downcast_ref::<CastExpr>().filter(|c| *c.cast_type() == DataType::Date32)?;
    let call = outer.expr().downcast_ref::<ScalarFunctionExpr>().filter(|c| c.name() == "date_trunc")?;
    let [unit, time] = call.args() else { return None };
    let ScalarValue::Utf8(Some(unit)) = unit.downcast_ref::<Literal>()?.value() else { return None };
    let unit = match unit.to_lowercase().as_str() {
        "week" => Unit::Week,
        "month" => Unit::Month,
        "quarter" => Unit::Quarter,
        "year" => Unit::Year,
        _ => return None,
    };
    let inner = time.downcast_ref::<CastExpr>().filter(|c| matches!(c.cast_type(), DataType::Timestamp(_, None)))?;
    Some((unit, inner.expr()))
}

impl Unit {
    /// The first day of the unit that a day lies in; days are counted from 1970-01-01, a Thursday.
    fn first(self, day: i32) -> i32 {
        let day = i64::from(day);
        let first = match self {
            Unit::Week => day - (day + 3).rem_euclid(7),
            Unit::Month => {
                let (year, month) = year_month(day);
                first_of(year, month)
            }
            Unit::Quarter => {
                let (year, month) = year_month(day);
                first_of(year, (month - 1) / 3 * 3 + 1)
            }
            Unit::Year => first_of(year_month(day).0, 1),
        };
        // Only days within a year of the first representable one could leave the range.
        i32::try_from(first).unwrap_or(i32::MIN)
    }
}

/// Year and month of a day of the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
fn year_month(day: i64) -> (i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

/// The first day of a month (same source).
fn first_of(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl PhysicalExpr for TruncDate {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Date32)
    }
    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.day.nullable(schema)
    }
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let days = self.day.evaluate(batch)?.into_array(batch.num_rows())?;
        let unit = self.unit;
        let first: Date32Array = days.as_primitive::<Date32Type>().unary(|day| unit.first(day));
        Ok(ColumnarValue::Array(Arc::new(first)))
    }
    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.slow]
    }
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        // Only the slow expression is rewritten from outside; who rewrites makes it fast again.
        match children.into_iter().next() {
            Some(slow) => Ok(slow),
            None => internal_err!("a truncated date without its expression"),
        }
    }
    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.slow.fmt_sql(f)
    }
}

impl fmt::Display for TruncDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.slow.fmt(f)
    }
}

impl PartialEq for TruncDate {
    fn eq(&self, other: &TruncDate) -> bool {
        self.slow.eq(&other.slow)
    }
}
impl Eq for TruncDate {}
impl Hash for TruncDate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.slow.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::compile;
    use arrow::array::ArrayRef;
    use proptest::prelude::*;
    use selvedge_node::{Span, Spanned};

    proptest! {
        #[test]
        fn truncates_as_datafusion_does(days in prop::collection::vec(prop::option::of(-100_000i32..100_000), 1..40)) {
            let array: Date32Array = days.iter().copied().collect();
            let batch = RecordBatch::try_from_iter_with_nullable([("d", Arc::new(array) as ArrayRef, true)]).unwrap();
            for unit in ["week", "month", "quarter", "YEAR"] {
                let text = Spanned::new(format!("cast(date_trunc('{unit}', d) as date)"), Span::default());
                let compiled = compile(&batch.schema(), &text).unwrap();
                let fast = compiled.physical().downcast_ref::<TruncDate>().expect("recognised");
                let slow = fast.slow.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap();
                prop_assert_eq!(&compiled.evaluate(&batch).unwrap(), &slow, "{}", unit);
            }
        }
    }
}
