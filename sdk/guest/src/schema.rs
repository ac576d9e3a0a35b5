//! Schemas: columns by name and type, and how they stand in the contract.

use crate::bindings::types;
use crate::error::{list, nearest};
use crate::{Error, Result};
use std::fmt;

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// All null; also a column of a type that cannot cross: it may be passed on, but not read.
    Null,
    /// `b`
    Bool,
    /// `c`
    Int8,
    /// `s`
    Int16,
    /// `i`
    Int32,
    /// `l`
    Int64,
    /// `C`
    UInt8,
    /// `S`
    UInt16,
    /// `I`
    UInt32,
    /// `L`
    UInt64,
    /// `f`
    Float32,
    /// `g`
    Float64,
    /// `u`
    Utf8,
    /// `U`: with 64-bit offsets
    LargeUtf8,
    /// Days since 1970.
    Date,
    /// Since 1970, in a unit; with a time zone it is UTC, without one it is what a clock on the wall shows.
    Timestamp(Unit, Option<String>),
    /// A whole number of 128 bits with (precision, scale): 1.50 at scale 2 is 150.
    Decimal(u8, i8),
    /// Any other, in the notation of the Arrow C data interface.
    Other(String),
}

/// The unit of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 1 s
    Second,
    /// 1/1,000 s
    Milli,
    /// 1/1,000,000 s
    Micro,
    /// 1/1,000,000,000 s
    Nano,
}

const PLAIN: [(&str, Type, &str); 15] = [
    ("n", Type::Null, "Null"),
    ("b", Type::Bool, "Boolean"),
    ("c", Type::Int8, "Int8"),
    ("s", Type::Int16, "Int16"),
    ("i", Type::Int32, "Int32"),
    ("l", Type::Int64, "Int64"),
    ("C", Type::UInt8, "UInt8"),
    ("S", Type::UInt16, "UInt16"),
    ("I", Type::UInt32, "UInt32"),
    ("L", Type::UInt64, "UInt64"),
    ("f", Type::Float32, "Float32"),
    ("g", Type::Float64, "Float64"),
    ("u", Type::Utf8, "Utf8"),
    ("U", Type::LargeUtf8, "LargeUtf8"),
    ("tdD", Type::Date, "Date"),
];

const UNITS: [(&str, Unit); 4] =
    [("tss:", Unit::Second), ("tsm:", Unit::Milli), ("tsu:", Unit::Micro), ("tsn:", Unit::Nano)];

impl Type {
    /// The type for a format of the Arrow C data interface.
    pub fn from_format(format: &str) -> Type {
        if let Some((_, plain, _)) = PLAIN.iter().find(|(f, _, _)| *f == format) {
            return plain.clone();
        }
        for (prefix, unit) in UNITS {
            if let Some(zone) = format.strip_prefix(prefix) {
                return Type::Timestamp(unit, (!zone.is_empty()).then(|| zone.to_string()));
            }
        }
        let decimal = format.strip_prefix("d:").and_then(|d| d.strip_suffix(",128").unwrap_or(d).split_once(','));
        match decimal.and_then(|(p, s)| Some((p.parse().ok()?, s.parse().ok()?))) {
            Some((precision, scale)) => Type::Decimal(precision, scale),
            None => Type::Other(format.to_string()),
        }
    }
    /// The type of a name as messages have it: `Int64`.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn named(name: &str) -> Option<Type> {
        PLAIN.iter().find(|(_, _, n)| *n == name).map(|(_, ty, _)| ty.clone())
    }
    /// As in the Arrow C data interface.
    pub fn format(&self) -> String {
        match self {
            Type::Timestamp(unit, zone) => {
                let prefix = UNITS.iter().find(|(_, u)| u == unit).map_or("", |(prefix, _)| prefix);
                format!("{prefix}{}", zone.as_deref().unwrap_or_default())
            }
            Type::Decimal(precision, scale) => format!("d:{precision},{scale}"),
            Type::Other(format) => format.clone(),
            plain => PLAIN.iter().find(|(_, p, _)| p == plain).map_or(String::new(), |(f, _, _)| f.to_string()),
        }
    }
    /// Whether values are text.
    pub fn is_text(&self) -> bool {
        matches!(self, Type::Utf8 | Type::LargeUtf8)
    }
    /// Whether values are whole numbers.
    pub fn is_integer(&self) -> bool {
        use Type::*;
        matches!(self, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
    }
    /// Whether values are floating point numbers.
    pub fn is_float(&self) -> bool {
        matches!(self, Type::Float32 | Type::Float64)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Timestamp(unit, None) => write!(f, "Timestamp({unit:?})"),
            Type::Timestamp(unit, Some(zone)) => write!(f, "Timestamp({unit:?}, {zone})"),
            Type::Decimal(precision, scale) => write!(f, "Decimal({precision}, {scale})"),
            Type::Other(format) => f.write_str(format),
            plain => f.write_str(PLAIN.iter().find(|(_, p, _)| p == plain).map_or("", |(_, _, name)| name)),
        }
    }
}

/// A column, or a part of a nested one.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether it may hold null.
    pub nullable: bool,
    /// The parts of a nested type.
    pub children: Vec<Field>,
}

impl Field {
    /// A column that may hold null.
    pub fn new(name: impl Into<String>, ty: Type) -> Field {
        Field { name: name.into(), ty, nullable: true, children: vec![] }
    }
    /// A column that never holds null.
    #[must_use]
    pub fn required(mut self) -> Field {
        self.nullable = false;
        self
    }
    fn push(&self, into: &mut Vec<types::Field>) {
        into.push(types::Field {
            name: self.name.clone(),
            format: self.ty.format(),
            nullable: self.nullable,
            children: self.children.len() as u32,
        });
        self.children.iter().for_each(|child| child.push(into));
    }
    /// How many arrays it is made of: itself and all below it.
    pub(crate) fn nodes(&self) -> usize {
        1 + self.children.iter().map(Field::nodes).sum::<usize>()
    }
}

/// The columns of a port.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schema {
    /// In their order.
    pub fields: Vec<Field>,
}

/// Types nested deeper than this are refused.
const DEPTH: usize = 64;

impl Schema {
    /// A schema of these columns.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Schema {
        Schema { fields: fields.into_iter().collect() }
    }
    /// The number of a column.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }
    /// The number of the column that the setting `at` names; an error that tells the nearest ones otherwise.
    pub fn column(&self, name: &str, at: &str) -> Result<usize> {
        self.position(name).ok_or_else(|| {
            let names = || self.fields.iter().map(|f| f.name.as_str());
            let help = match nearest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.fields.is_empty() => "there are no columns".to_string(),
                None => format!("there are {}", list(names())),
            };
            Error::graph(format!("no column named `{name}`")).help(help).at(at)
        })
    }
    /// As [`Schema::column`], for a column of some types: `what` says them in words.
    pub fn column_of_type(&self, name: &str, at: &str, what: &str, fits: impl Fn(&Type) -> bool) -> Result<usize> {
        let column = self.column(name, at)?;
        match self.fields.get(column) {
            Some(field) if !fits(&field.ty) => {
                Err(Error::graph(format!("expected `{name}` to be {what}, found {}", field.ty)).at(at))
            }
            _ => Ok(column),
        }
    }
    /// With a column set: in the place of the one of that name, or as the last one.
    #[must_use]
    pub fn with(mut self, field: Field) -> Schema {
        match self.fields.iter_mut().find(|f| f.name == field.name) {
            Some(old) => *old = field,
            None => self.fields.push(field),
        }
        self
    }
    /// Without a column.
    #[must_use]
    pub fn without(mut self, name: &str) -> Schema {
        self.fields.retain(|f| f.name != name);
        self
    }

    /// From the contract's flat list.
    pub(crate) fn from_wire(schema: types::Schema) -> Result<Schema> {
        let mut fields = schema.fields.into_iter();
        let mut own = vec![];
        while let Some(field) = fields.next() {
            own.push(pull(field, &mut fields, DEPTH)?);
        }
        Ok(Schema { fields: own })
    }
    /// The contract's flat list.
    pub(crate) fn to_wire(&self) -> types::Schema {
        let mut fields = vec![];
        self.fields.iter().for_each(|f| f.push(&mut fields));
        types::Schema { fields }
    }
}

fn pull(field: types::Field, rest: &mut std::vec::IntoIter<types::Field>, depth: usize) -> Result<Field> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::graph(format!("column `{}` is nested deeper than {DEPTH}", field.name)));
    };
    let mut children = vec![];
    for _ in 0..field.children {
        let Some(child) = rest.next() else {
            return Err(Error::bug(format!("the schema ends before all parts of column `{}`", field.name)));
        };
        children.push(pull(child, rest, depth)?);
    }
    Ok(Field { name: field.name, ty: Type::from_format(&field.format), nullable: field.nullable, children })
}

/// What arrives at one input port.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The name of the port.
    pub port: String,
    /// Its columns.
    pub schema: Schema,
}

impl Input {
    pub(crate) fn all(ports: Vec<types::Port>) -> Result<Vec<Input>> {
        ports.into_iter().map(|p| Ok(Input { port: p.name, schema: Schema::from_wire(p.schema)? })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_keep_their_format() {
        for format in ["n", "b", "l", "g", "u", "tdD", "tsu:UTC", "tsn:", "d:19,10", "d:5,-2", "+l", "z", "d:x"] {
            assert_eq!(Type::from_format(format).format(), format);
        }
        assert_eq!(Type::from_format("d:38,10,256"), Type::Other("d:38,10,256".into()));
    }

    #[test]
    fn nested_columns_cross_and_liars_do_not_panic() {
        let item = Field::new("item", Type::Int64);
        let list = Field { children: vec![item], ..Field::new("list", Type::Other("+l".into())) };
        let schema = Schema::new([list, Field::new("a", Type::Utf8).required()]);
        assert_eq!(Schema::from_wire(schema.to_wire()), Ok(schema));

        let field = |children| types::Field { name: "x".into(), format: "+s".into(), nullable: true, children };
        let error = Schema::from_wire(types::Schema { fields: vec![field(2), field(0)] }).unwrap_err();
        assert_eq!(error.message, "the schema ends before all parts of column `x`");
        let error = Schema::from_wire(types::Schema { fields: vec![field(1); 1000] }).unwrap_err();
        assert_eq!(error.message, "column `x` is nested deeper than 64");
    }

    #[test]
    fn a_missing_column_tells_the_nearest() {
        let schema = Schema::new([Field::new("price", Type::Utf8)]);
        assert_eq!(
            schema.column("prize", "column").unwrap_err().to_string(),
            "no column named `prize` (did you mean `price`?)"
        );
        let error = schema.column_of_type("price", "column", "a number", Type::is_float).unwrap_err();
        assert_eq!(error.message, "expected `price` to be a number, found Utf8");
    }
}
