//! `Union`: the rows of several inputs under one schema.

use crate::literal::repeat;
use arrow::array::{RecordBatchOptions, StringArray, new_null_array};
use arrow::datatypes::TimeUnit;
use selvedge_node::prelude::*;
use std::collections::HashMap;

pub(crate) struct Union;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How columns of the inputs find each other.
    #[serde(default)]
    by: By,
    /// Name of a further text column that tells which input a row came from.
    #[serde(default)]
    tag: Option<Column>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
pub(crate) enum By {
    /// Columns of one name are one column; where an input lacks it, it is null.
    #[default]
    Name,
    /// First to first, second to second; the names are those of the first input.
    Position,
}

impl Kind for Union {
    const NAME: &'static str = "Union";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "puts the rows of several inputs under one schema";
    const DOCS: &'static str = "\
Unlike a plain list of inputs, whose schemas must be equal, the inputs may differ: by `Name` the output has every column of
any input, in the order of first appearance, null where an input lacks it; by `Position` all inputs have as many columns.

Types are widened where no value can get lost in it: smaller to larger integers, integers and decimals to a decimal that holds
both, dates to timestamps, anything to a float that one input has (an Int64 beyond 2^53 loses digits there, as in Spark). Text
and numbers do not mix: cast one of them first. Duplicates stay: put `Dedup` after it. Rows come in no particular order.

A value that does not fit the wider type (a date beyond the range of nanosecond timestamps) stops the run.";
    const EXAMPLE: &'static str = r#"Union(input: ["iri", "numerator"], by: Name, tag: "feed")"#;
    type Config = Config;

    fn ports(_: &Config) -> Ports {
        Ports { inputs: Inputs::Each, outputs: vec!["out".into()] }
    }

    fn build(config: Config, _: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let mut fields: Vec<Field> = vec![];
        let mut by_name: HashMap<String, usize> = HashMap::new();
        // For each input, where in it each output column is.
        let mut places: Vec<Vec<Option<usize>>> = vec![];
        for (n, input) in inputs.iter().enumerate() {
            let found = input.schema.fields();
            if config.by == By::Position && n > 0 && found.len() != fields.len() {
                let message = format!(
                    "`{}` has {} columns, but `{}` has {}",
                    input.port,
                    found.len(),
                    inputs[0].port,
                    fields.len()
                );
                problems.push(
                    Problem::error(input.span, message).help("unite by: Name, or edit the schema of one of them first"),
                );
                continue;
            }
            let mut place = vec![None; fields.len()];
            for (i, field) in found.iter().enumerate() {
                let at = match config.by {
                    By::Position if n > 0 => Some(i),
                    By::Position => None,
                    By::Name => by_name.get(field.name()).copied(),
                };
                let Some(at) = at else {
                    by_name.entry(field.name().clone()).or_insert(fields.len());
                    fields.push(field.as_ref().clone().with_nullable(true));
                    place.push(Some(i));
                    continue;
                };
                place[at] = Some(i);
                match wider(fields[at].data_type(), field.data_type()) {
                    Some(ty) => fields[at] = fields[at].clone().with_data_type(ty),
                    None => {
                        let (name, had, has) = (field.name(), fields[at].data_type(), field.data_type());
                        let message =
                            format!("column `{name}` is {has} in `{}`, but {had} in an earlier input", input.port);
                        problems
                            .push(Problem::error(input.span, message).help("cast one of them first with SchemaEdit"));
                    }
                }
            }
            places.push(place);
        }
        if let Some(tag) = &config.tag {
            if fields.iter().any(|f| *f.name() == tag.value) {
                problems.push(Problem::error(tag.span, format!("there is a column `{tag}` already")));
            }
            fields.push(Field::new(tag.value.clone(), DataType::Utf8, true));
        }
        let output = Arc::new(Schema::new(fields));
        let tags = config.tag.map(|_| inputs.iter().map(|i| i.port.clone()).collect());
        let plan = Arc::new(Plan { places, tags, output: output.clone() });
        problems.or(Built::transform(output, Partitioning::Any, move |_| Ok(Columns(plan.clone()))).saves())
    }
}

/// The type that holds every value of both, if there is one that both can be cast to.
fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    common(a, b).filter(|ty| selvedge_cast::supported(a, ty) && selvedge_cast::supported(b, ty))
}

fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::*;
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (Null, t) | (t, Null) => t.clone(),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => LargeUtf8,
        (Float32 | Float64, t) | (t, Float32 | Float64) if t.is_numeric() => match t {
            Int8 | Int16 | UInt8 | UInt16 if *a == Float32 || *b == Float32 => Float32,
            _ => Float64,
        },
        (x, y) if x.is_integer() && y.is_integer() => {
            let ((signed_x, bits_x), (signed_y, bits_y)) = (integer(x)?, integer(y)?);
            match (signed_x, signed_y) {
                (true, true) => signed(bits_x.max(bits_y))?,
                (false, false) => {
                    if bits_x > bits_y {
                        x.clone()
                    } else {
                        y.clone()
                    }
                }
                // The unsigned one needs a bit more.
                (true, false) => signed(bits_x.max(bits_y * 2))?,
                (false, true) => signed(bits_y.max(bits_x * 2))?,
            }
        }
        (x, y) if decimal(x).is_some() && decimal(y).is_some() => {
            let ((whole_x, scale_x), (whole_y, scale_y)) = (decimal(x)?, decimal(y)?);
            let (whole, scale) = (whole_x.max(whole_y), scale_x.max(scale_y));
            if whole + scale > 38 {
                return None;
            }
            Decimal128((whole + scale) as u8, scale as i8)
        }
        (Date32, t @ Timestamp(..)) | (t @ Timestamp(..), Date32) => t.clone(),
        (Timestamp(u, x), Timestamp(v, y)) if x == y => Timestamp(finer(*u, *v), x.clone()),
        _ => return None,
    })
}

/// Whether signed, and how many bits.
fn integer(t: &DataType) -> Option<(bool, usize)> {
    t.primitive_width().map(|bytes| (t.is_signed_integer(), bytes * 8))
}

fn signed(bits: usize) -> Option<DataType> {
    Some(match bits {
        8 => DataType::Int8,
        16 => DataType::Int16,
        32 => DataType::Int32,
        64 => DataType::Int64,
        _ => DataType::Decimal128(20, 0),
    })
}

/// Digits before and after the point that hold every value of an exact number type.
fn decimal(t: &DataType) -> Option<(i16, i16)> {
    Some(match t {
        DataType::Decimal128(p, s) => (i16::from(*p) - i16::from(*s), i16::from(*s)),
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        _ => return None,
    })
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    let rank = |u| match u {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(a) > rank(b) { a } else { b }
}

struct Plan {
    places: Vec<Vec<Option<usize>>>,
    tags: Option<Vec<String>>,
    output: SchemaRef,
}

struct Columns(Arc<Plan>);

impl Transform for Columns {
    fn process(&mut self, port: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let rows = batch.num_rows();
        let Plan { places, tags, output } = &*self.0;
        let place = places.get(port).map(Vec::as_slice).unwrap_or_default();
        let mut columns: Vec<ArrayRef> = vec![];
        let widths = output.fields().len() - usize::from(tags.is_some());
        for (i, field) in output.fields().iter().take(widths).enumerate() {
            columns.push(match place.get(i).copied().flatten() {
                Some(at) => widen(batch.column(at), field)?,
                None => new_null_array(field.data_type(), rows),
            });
        }
        if let Some(tag) = tags.as_ref().and_then(|t| t.get(port)) {
            columns.push(repeat(&StringArray::from(vec![tag.as_str()]), rows)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        out.send(0, RecordBatch::try_new_with_options(output.clone(), columns, &options)?)
    }

    fn save(&mut self, _: &mut dyn Save) -> Result<()> {
        Ok(())
    }
}

fn widen(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if array.data_type() == field.data_type() {
        return Ok(array.clone());
    }
    let done = selvedge_cast::cast(array, field.data_type()).map_err(|e| Error::bug(e.to_string()))?;
    match done.failed {
        None => Ok(done.values),
        Some(_) => {
            let message = format!("a value of column `{}` does not fit {}", field.name(), field.data_type());
            Err(Error::data(message).help("cast the column in one of the inputs, so that both have the same type"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use selvedge_testkit::Case;

    #[test]
    fn by_name_fills_what_is_missing_and_widens() {
        Case::<Union>::new(r#"(tag: "feed")"#)
            .port("iri", "upc | units:Int32 | day:Date32\na | 1 | 2024-01-02")
            .port("numerator", "units:Int64 | upc | dollars:Float32\n5000000000 | b | 1.5\nnull | null | null")
            .run()
            .expect(
                "upc | units:Int64 | day:Date32 | dollars:Float32 | feed
                 a | 1 | 2024-01-02 | null | iri
                 b | 5000000000 | null | 1.5 | numerator
                 null | null | null | null | numerator",
            );
    }

    #[test]
    fn by_position_takes_the_names_of_the_first() {
        Case::<Union>::new("(by: Position)")
            .input("a:Int8 | b\n1 | x")
            .input("p:UInt8 | q:Null\n255 | null")
            .run()
            .expect("a:Int16 | b\n1 | x\n255 | null");
    }

    #[test]
    fn all_problems_at_once() {
        let problems = Case::<Union>::new(r#"(tag: "a")"#)
            .port("x", "a:Int64 | b | c:Boolean\n1 | x | true")
            .port("y", "a | b:Date32 | c:Boolean\nx | 2024-01-01 | true")
            .problems();
        assert_eq!(
            problems,
            "column `a` is Utf8 in `y`, but Int64 in an earlier input (cast one of them first with SchemaEdit)\n\
             column `b` is Date32 in `y`, but Utf8 in an earlier input (cast one of them first with SchemaEdit)\n\
             there is a column `a` already"
        );
        let widths = Case::<Union>::new("(by: Position)").port("x", "a | b\n1 | 2").port("y", "a\n1").problems();
        assert_eq!(
            widths,
            "`y` has 1 columns, but `x` has 2 (unite by: Name, or edit the schema of one of them first)"
        );
    }

    #[test]
    fn a_value_beyond_the_wider_type_is_an_error() {
        let case = Case::<Union>::new("()")
            .port("x", "t:Timestamp(ns)\n2024-01-01T00:00:00")
            .port("y", "t:Date32\n9999-01-01");
        let error = case.try_run().unwrap_err();
        assert_eq!(error.message, "a value of column `t` does not fit Timestamp(ns)");
    }

    fn a_type() -> impl Strategy<Value = DataType> {
        use DataType::*;
        prop_oneof![
            Just(Int8),
            Just(Int16),
            Just(Int32),
            Just(Int64),
            Just(UInt8),
            Just(UInt16),
            Just(UInt32),
            Just(UInt64),
            Just(Float32),
            Just(Float64),
            Just(Date32),
            Just(Utf8),
            Just(LargeUtf8),
            Just(Null),
            (1u8..=38, 0i8..=10).prop_map(|(p, s)| Decimal128(p, s.min(p as i8))),
        ]
    }

    proptest! {
        /// The order of inputs does not matter, a type is as wide as itself, and widening can be done.
        #[test]
        fn widening_is_fair(a in a_type(), b in a_type()) {
            prop_assert_eq!(wider(&a, &b), wider(&b, &a));
            prop_assert_eq!(wider(&a, &a), Some(a.clone()));
            if let Some(w) = wider(&a, &b) {
                prop_assert!(selvedge_cast::supported(&a, &w), "{} to {}", a, w);
                prop_assert_eq!(wider(&w, &a), Some(w.clone()));
            }
        }
    }
}
