//! What a graph puts into a column: a value, or the clock.

use crate::literal::Literal;
use arrow::array::{ArrayRef, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use selvedge_cast::cast;
use selvedge_node::{Error, Result};
use std::sync::{Arc, OnceLock};

pub(crate) enum Fill {
    /// A column of one row.
    Value(ArrayRef),
    /// `now()` or `today()`: the time of the run's first row, the same for all rows and threads.
    Clock { ty: DataType, today: bool, once: OnceLock<ArrayRef> },
}

impl Fill {
    /// `None`: the value cannot be of that type.
    pub fn new(value: &Literal, ty: &DataType) -> Option<Fill> {
        match value {
            Literal::Text(t) if is_clock(t) && matches!(ty, DataType::Timestamp(..) | DataType::Date32) => {
                Some(Fill::Clock { ty: ty.clone(), today: t == "today()", once: OnceLock::new() })
            }
            value => value.array(ty).map(Fill::Value),
        }
    }

    /// The value as a column of one row.
    pub fn one(&self) -> Result<ArrayRef> {
        match self {
            Fill::Value(one) => Ok(one.clone()),
            Fill::Clock { ty, today, once } => {
                if let Some(one) = once.get() {
                    return Ok(one.clone());
                }
                let now = chrono::Utc::now();
                let clock: ArrayRef = match today {
                    true => Arc::new(Date32Array::from(vec![now.timestamp().div_euclid(86_400) as i32])),
                    false => {
                        Arc::new(TimestampMicrosecondArray::from(vec![now.timestamp_micros()]).with_timezone("UTC"))
                    }
                };
                let one = cast(&clock, ty).map_err(|e| Error::bug(e.to_string()))?.values;
                Ok(once.get_or_init(|| one).clone())
            }
        }
    }
}

pub(crate) fn is_clock(text: &str) -> bool {
    text == "now()" || text == "today()"
}
