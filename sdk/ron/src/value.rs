//! The tree: a RON document as values with places.

use crate::Span;

/// One value of a document and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub span: Span,
    pub kind: ValueKind,
}

/// One `name: value` of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub name_span: Span,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ValueKind {
    Bool(bool),
    Int(i128),
    Float(f64),
    Char(char),
    Str(String),
    /// A string that must not be seen: it prints as `***` and deserialises as its text. No text reads as one.
    Secret(Secret),
    Bytes(Vec<u8>),
    /// `None`, or `Some(value)`.
    Option(Option<Box<Value>>),
    /// `[a, b]`
    List(Vec<Value>),
    /// `{ k: v }` in the order of the text.
    Map(Vec<(Value, Value)>),
    /// `()`, or `Name`: a unit, named or not. `Name` alone is also how an enum's unit variant reads.
    Unit {
        name: Option<String>,
    },
    /// `(a, b)` or `Name(a, b)`. `name_span` is empty without a name.
    Tuple {
        name: Option<String>,
        name_span: Span,
        items: Vec<Value>,
    },
    /// `(a: 1)` or `Name(a: 1)`. `name_span` is empty without a name. In `Name(x, y, a: 1)` the positional values are the
    /// fields `0` and `1`.
    Struct {
        name: Option<String>,
        name_span: Span,
        fields: Vec<Field>,
    },
}

impl Value {
    /// Whether both say the same, wherever they stand.
    pub fn same(&self, other: &Value) -> bool {
        let all = |a: &[Value], b: &[Value]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b));
        match (&self.kind, &other.kind) {
            (ValueKind::Option(a), ValueKind::Option(b)) => match (a, b) {
                (Some(a), Some(b)) => a.same(b),
                (a, b) => a.is_none() && b.is_none(),
            },
            (ValueKind::List(a), ValueKind::List(b)) => all(a, b),
            (ValueKind::Map(a), ValueKind::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0.same(&b.0) && a.1.same(&b.1))
            }
            (ValueKind::Tuple { name: a, items: x, .. }, ValueKind::Tuple { name: b, items: y, .. }) => {
                a == b && all(x, y)
            }
            (ValueKind::Struct { name: a, fields: x, .. }, ValueKind::Struct { name: b, fields: y, .. }) => {
                let field = |f: &Field| y.iter().any(|g| f.name == g.name && f.value.same(&g.value));
                a == b && x.len() == y.len() && x.iter().all(field)
            }
            (a, b) => a == b,
        }
    }
}

/// A text that no `Debug`, `Display` or JSON shows.
#[derive(Clone, PartialEq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself: for the one who needs the password, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Value {
    /// What the value is, for messages: `a string`, `a list`, `the struct Graph`.
    pub fn what(&self) -> String {
        match &self.kind {
            ValueKind::Bool(_) => "a boolean".into(),
            ValueKind::Int(_) => "an integer".into(),
            ValueKind::Float(_) => "a float".into(),
            ValueKind::Char(_) => "a character".into(),
            ValueKind::Str(_) => "a string".into(),
            ValueKind::Secret(_) => "a secret".into(),
            ValueKind::Bytes(_) => "a byte string".into(),
            ValueKind::Option(None) => "None".into(),
            ValueKind::Option(Some(v)) => v.what(),
            ValueKind::List(_) => "a list".into(),
            ValueKind::Map(_) => "a map".into(),
            ValueKind::Unit { name: None } => "()".into(),
            ValueKind::Unit { name: Some(n) } => format!("the name {n}"),
            ValueKind::Tuple { name: None, .. } => "a tuple".into(),
            ValueKind::Tuple { name: Some(n), .. } => format!("the tuple {n}(…)"),
            ValueKind::Struct { name: None, .. } => "a struct".into(),
            ValueKind::Struct { name: Some(n), .. } => format!("the struct {n}(…)"),
        }
    }

    /// The text of a string; a secret has none to show.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            ValueKind::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The value of the field `name`, if this is a struct that has it.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match &self.kind {
            ValueKind::Struct { fields, .. } => fields.iter().find(|f| f.name == name).map(|f| &f.value),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{FileId, parse};

    #[test]
    fn values_are_the_same_wherever_they_stand() {
        let value = |text: &str| parse(FileId(0), text).unwrap();
        let text = r#"A(a: [1, Some("x"), None], b: {"k": B(2, 'c')}, c: D)"#;
        assert!(value(text).same(&value(r#"A( c: D,  b: { "k": B(2, 'c') }, a: [1, Some("x"), None] )"#)));
        for other in [
            "A(a: [1])",
            r#"A(a: [1, Some("y"), None], b: {"k": B(2, 'c')}, c: D)"#,
            r#"A(a: [1, Some("x"), None], b: {"k": B(3, 'c')}, c: D)"#,
            r#"A(a: [1, Some("x"), Some(1)], b: {"k": B(2, 'c')}, c: D)"#,
            r#"E(a: [1, Some("x"), None], b: {"k": B(2, 'c')}, c: D)"#,
        ] {
            assert!(!value(text).same(&value(other)), "{other}");
        }
    }
}
