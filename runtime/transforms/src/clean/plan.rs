//! From the config of `Clean` to steps on column indices, with every problem found on the way.

use super::ops::{Add, Config, Op, Outside, Unknown};
use super::people::{self, Hasher, Synonyms};
use super::text::{self, each};
use super::{At, Bad, Change, Made, Step, to};
use crate::failures::Says;
use crate::fill::{Fill, is_clock};
use crate::literal::Literal;
use arrow::array::cast::AsArray;
use arrow::array::types::{Float32Type, Float64Type};
use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Scalar, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::{gt, lt};
use arrow::compute::kernels::zip::zip;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use selvedge_node::{Column, Problem, Problems, Result, Span, Spanned, column};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct Planned {
    pub fields: Vec<FieldRef>,
    pub steps: Vec<(usize, Step)>,
    pub made: Vec<Made>,
    pub problems: Problems,
}

pub(super) fn plan(schema: &Schema, config: Config) -> Planned {
    let mut plan = Planned {
        fields: schema.fields().to_vec(),
        steps: vec![],
        made: vec![],
        problems: config.columns.problems("column"),
    };
    let places: HashMap<&str, usize> =
        schema.fields().iter().enumerate().rev().map(|(at, field)| (field.name().as_str(), at)).collect();
    for (name, ops) in config.columns.0 {
        let found = places.get(name.as_str()).copied().map_or_else(|| column(schema, &name), Ok);
        let Some(at) = plan.problems.take(found) else { continue };
        // What had no nulls may have some now.
        plan.fields[at] = Arc::new(plan.fields[at].as_ref().clone().with_nullable(true));
        for op in ops {
            plan.op(at, op);
        }
    }
    for add in config.add {
        plan.add(add);
    }
    plan
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

impl Planned {
    fn wrong(&mut self, span: Span, message: String, help: &str) {
        let problem = Problem::error(span, message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    fn op(&mut self, at: usize, op: Spanned<Op>) {
        let span = op.span;
        let name = self.fields[at].name().clone();
        let ty = self.fields[at].data_type().clone();
        if let Op::Range { min, max, otherwise } = op.value {
            return self.range(at, span, [min, max], otherwise);
        }
        let any = matches!(op.value, Op::Hash { .. } | Op::Mask { .. } | Op::PadLeft { .. });
        let fits = is_text(&ty) || any && selvedge_cast::supported(&ty, &DataType::Utf8);
        if !fits {
            let message = format!("this operation is for text, but column `{name}` is {ty}");
            return self.wrong(span, message, "cast it first with SchemaEdit(edits: [Cast(…)])");
        }
        if ty != DataType::Utf8 {
            self.push(at, Box::new(|array| Ok((to(array, &DataType::Utf8)?, None))), Bad::Nothing);
            let field = self.fields[at].as_ref().clone().with_data_type(DataType::Utf8);
            self.fields[at] = Arc::new(field);
        }
        let simple = |f: fn(&StringArray) -> Result<StringArray>| on_text(f);
        let change = match op.value {
            Op::Trim => simple(text::trim),
            Op::Lower => simple(text::lower),
            Op::Upper => simple(text::upper),
            Op::Title => simple(text::title),
            Op::CollapseSpaces => simple(text::collapse_spaces),
            Op::Unicode { form } => on_text(move |a| text::unicode(a, form)),
            Op::StripAccents => simple(text::strip_accents),
            Op::StripControl => simple(text::strip_control),
            Op::EmptyToNull => simple(text::empty_to_null),
            Op::NullIf { values } => on_text(move |a| text::null_if(a, &values)),
            Op::Replace { from, to } => {
                if from.is_empty() {
                    self.wrong(from.span, "an empty text cannot be replaced".into(), "");
                }
                on_text(move |a| text::replace(a, &from, &to))
            }
            Op::Digits => simple(text::digits),
            Op::PadLeft { length, .. } if length.value > 1000 => {
                return self.wrong(length.span, format!("a length of at most 1000 was expected, not {length}"), "");
            }
            Op::PadLeft { length, with } => on_text(move |a| text::pad_left(a, length.value, with)),
            Op::Hash { key } => match Hasher::new(key.as_ref().map(|k| k.as_str())) {
                Some(hasher) => on_text(move |a| hasher.hash(a)),
                None => {
                    let span = key.map_or(span, |k| k.span);
                    return self.wrong(
                        span,
                        "an empty key is no secret".into(),
                        "leave `key` out, or give it a secret",
                    );
                }
            },
            Op::Mask { keep_last, keep_first, with } => on_text(move |a| people::mask(a, keep_first, keep_last, with)),
            Op::MaskEmail => simple(people::mask_email),
            Op::Synonyms { values, otherwise } => {
                self.problems.0.extend(values.problems("synonym").0);
                let known = Synonyms::new(values.0.into_iter().map(|(from, to)| (from.value, to)));
                let bad = bad(&otherwise, "synonym", &name, "is no known synonym");
                let change = known_or(otherwise, move |old, new, room| {
                    new.push_str(known.meaning(old, room)?);
                    Some(())
                });
                return self.push(at, change, bad);
            }
            Op::Phone { country, digits, otherwise } => {
                if country.is_empty() || country.len() > 3 || !country.bytes().all(|b| b.is_ascii_digit()) {
                    self.wrong(
                        country.span,
                        format!("a country code has one to three digits, but is \"{country}\""),
                        "",
                    );
                }
                let bad = bad(&otherwise, "phone", &name, "is no telephone number");
                let change = known_or(otherwise, move |old, new, _| people::phone(old, &country, digits, new));
                return self.push(at, change, bad);
            }
            // Done above.
            Op::Range { .. } => return,
        };
        self.push(at, change, Bad::Nothing);
    }

    fn push(&mut self, at: usize, change: Change, bad: Bad) {
        self.steps.push((at, Step { change, bad }));
    }

    fn range(&mut self, at: usize, span: Span, bounds: [Option<Spanned<Literal>>; 2], otherwise: Outside) {
        let name = self.fields[at].name().clone();
        let ty = self.fields[at].data_type().clone();
        if !(ty.is_numeric() || matches!(ty, DataType::Date32 | DataType::Timestamp(..))) {
            let message = format!("a range is for numbers, dates and timestamps, but column `{name}` is {ty}");
            return self.wrong(span, message, "cast it first with SchemaEdit(edits: [Cast(…)])");
        }
        if bounds.iter().all(Option::is_none) {
            return self.wrong(span, "a range needs a bound".into(), "give min, max or both");
        }
        let [min, max] = bounds.map(|bound| {
            let bound = bound?;
            let array = bound.array(&ty).filter(|a| a.is_valid(0));
            if array.is_none() {
                self.wrong(bound.span, format!("{} is no {ty}, as column `{name}` is", bound.value), "");
            }
            array
        });
        let code = "range";
        let bad = match otherwise {
            Outside::Null => Bad::Alter(format!("null by range: {name}")),
            Outside::Reject => {
                Bad::Reject(code, Says { before: String::new(), after: format!(" in column `{name}` is out of range") })
            }
            Outside::Clamp => Bad::Alter(format!("clamped to range: {name}")),
        };
        self.push(at, Box::new(move |array| bound(array, min.as_ref(), max.as_ref(), otherwise)), bad);
    }

    /// A column for `add`, of a type that is wanted.
    fn source(&mut self, name: &Column, wanted: &str, accepts: fn(&DataType) -> bool) -> Option<usize> {
        let schema = Schema::new(self.fields.clone());
        self.problems.take(selvedge_node::column_of_type(&schema, name, wanted, accepts))
    }

    fn new_column(&mut self, name: &Column, ty: DataType) {
        if self.fields.iter().any(|f| *f.name() == name.value) {
            self.wrong(name.span, format!("there is a column `{name}` already"), "");
        }
        self.fields.push(Arc::new(Field::new(name.value.clone(), ty, true)));
    }

    fn add(&mut self, add: Spanned<Add>) {
        let span = add.span;
        let day = |t: &DataType| matches!(t, DataType::Date32 | DataType::Timestamp(..));
        match add.value {
            Add::Age { from, to, at, on } => {
                let from = self.source(&from, "a date or timestamp", day);
                let at = match (at, on) {
                    (Some(at), None) => {
                        let text = if is_clock(&at) { "today()".to_string() } else { at.value.clone() };
                        let fill = Fill::new(&Literal::Text(text), &DataType::Date32);
                        if fill.is_none() {
                            self.wrong(at.span, format!("\"{at}\" is no date"), "write it as 2024-06-30, or today()");
                        }
                        fill.map(At::Day)
                    }
                    (None, Some(on)) => self.source(&on, "a date or timestamp", day).map(At::Column),
                    _ => {
                        self.wrong(
                            span,
                            "an age is counted to one day".into(),
                            "give `at` a day, or `on` a column with days",
                        );
                        None
                    }
                };
                self.new_column(&to, DataType::Int32);
                if let (Some(from), Some(at)) = (from, at) {
                    self.made.push(Made::Age { from, at });
                }
            }
            Add::Band { from, to, edges, labels } => {
                let from = self.source(&from, "a number", DataType::is_numeric);
                if edges.is_empty() || !edges.windows(2).all(|e| e[0] < e[1]) {
                    self.wrong(edges.span, "edges must be numbers in ascending order, at least one".into(), "");
                }
                let names = match labels {
                    Some(labels) if labels.len() == edges.len() => labels.value,
                    Some(labels) => {
                        let message =
                            format!("{} edges need as many labels, but there are {}", edges.len(), labels.len());
                        return self.wrong(labels.span, message, "each band begins at its edge; the last one is open");
                    }
                    None => people::band_names(&edges),
                };
                self.new_column(&to, DataType::Utf8);
                if let Some(from) = from {
                    self.made.push(Made::Band { from, edges: edges.value, names });
                }
            }
            Add::Place { from, city, state, zip } => {
                let from = self.source(&from, "text", is_text);
                let wanted = [city, state, zip];
                let parts: Vec<usize> = (0..wanted.len()).filter(|i| wanted[*i].is_some()).collect();
                if parts.is_empty() {
                    self.wrong(span, "no part of the place is wanted".into(), "name columns for city, state or zip");
                }
                for name in wanted.iter().flatten() {
                    self.new_column(name, DataType::Utf8);
                }
                if let Some(from) = from {
                    self.made.push(Made::Place { from, parts });
                }
            }
        }
    }
}

fn on_text(f: impl Fn(&StringArray) -> Result<StringArray> + Send + Sync + 'static) -> Change {
    Box::new(move |array| Ok((Arc::new(f(array.as_string())?) as ArrayRef, None)))
}

fn bad(otherwise: &Unknown, code: &'static str, column: &str, complaint: &str) -> Bad {
    match otherwise {
        Unknown::Null => Bad::Alter(format!("null by {code}: {column}")),
        Unknown::Reject => {
            Bad::Reject(code, Says { before: String::new(), after: format!(" in column `{column}` {complaint}") })
        }
        Unknown::Keep | Unknown::Use(_) => Bad::Nothing,
    }
}

/// What `know` writes (with a further text as room to work in) in place of a text, or `otherwise` where it does not know it.
fn known_or(
    otherwise: Unknown,
    know: impl Fn(&str, &mut String, &mut String) -> Option<()> + Send + Sync + 'static,
) -> Change {
    Box::new(move |array| {
        let array = array.as_string::<i32>();
        // Marked by number: nulls are never asked about.
        let mut bad = BooleanBufferBuilder::new(array.len());
        let mut asked = 0;
        let mut unknown = vec![];
        let mut room = String::new();
        let new = each(array, |old, new| {
            asked += 1;
            if know(old, new, &mut room).is_some() {
                return if new == old { text::Change::Same } else { text::Change::New };
            }
            unknown.push(asked - 1);
            new.clear();
            match &otherwise {
                Unknown::Keep | Unknown::Reject => text::Change::Same,
                Unknown::Null => text::Change::Null,
                Unknown::Use(text) => {
                    new.push_str(text);
                    text::Change::New
                }
            }
        })?;
        if unknown.is_empty() {
            return Ok((Arc::new(new) as ArrayRef, None));
        }
        let mut next = unknown.into_iter().peekable();
        let mut asked = 0;
        for row in 0..array.len() {
            let valid = array.is_valid(row);
            bad.append(valid && next.next_if_eq(&asked).is_some());
            asked += usize::from(valid);
        }
        Ok((Arc::new(new) as ArrayRef, Some(bad.finish())))
    })
}

/// Values below `min`, above `max` or NaN become null, a bound, or stay to be rejected.
fn bound(
    array: &ArrayRef,
    min: Option<&ArrayRef>,
    max: Option<&ArrayRef>,
    otherwise: Outside,
) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
    let nan = nan(array);
    let sure = |mask: BooleanArray| match mask.nulls() {
        Some(valid) => mask.values() & valid.inner(),
        None => mask.values().clone(),
    };
    let below = min.map(|m| lt(array, &Scalar::new(m))).transpose()?.map(sure);
    let above = max.map(|m| gt(array, &Scalar::new(m))).transpose()?.map(sure);
    let outside = [&nan, &below, &above].into_iter().flatten().cloned().reduce(|a, b| &a | &b);
    let Some(outside) = outside.filter(|o| o.count_set_bits() > 0) else { return Ok((array.clone(), None)) };
    let mask = |rows: &BooleanBuffer| BooleanArray::new(rows.clone(), None);
    let new = match otherwise {
        Outside::Reject => array.clone(),
        Outside::Null => nullif(array, &mask(&outside))?,
        Outside::Clamp => {
            let mut new = array.clone();
            for (rows, bound) in [(below, min), (above, max)] {
                if let (Some(rows), Some(bound)) = (rows, bound) {
                    new = zip(&mask(&rows), &Scalar::new(bound), &new)?;
                }
            }
            // Nothing is near to NaN.
            match nan {
                Some(nan) => nullif(&new, &mask(&nan))?,
                None => new,
            }
        }
    };
    Ok((new, Some(outside)))
}

fn nan(array: &ArrayRef) -> Option<BooleanBuffer> {
    let nan = match array.data_type() {
        DataType::Float64 => BooleanArray::from_unary(array.as_primitive::<Float64Type>(), f64::is_nan),
        DataType::Float32 => BooleanArray::from_unary(array.as_primitive::<Float32Type>(), f32::is_nan),
        _ => return None,
    };
    let sure = match nan.nulls() {
        Some(valid) => nan.values() & valid.inner(),
        None => nan.values().clone(),
    };
    (sure.count_set_bits() > 0).then_some(sure)
}
