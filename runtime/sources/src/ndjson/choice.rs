//! Values of several types. A line is spelled out before it is decoded: where the schema has a choice, `12` becomes
//! `{"int64":12}` and `"x"` becomes `{"utf8":"x"}`, which is what a choice is at run time.

use crate::typed::{shorten, whole};
use arrow::datatypes::{DataType, Fields};
use selvedge_node::choice_fields;
use serde_json::Value;
use std::collections::HashMap;

/// Beyond, a float does not know a whole number from its neighbours.
const EXACT: u64 = 1 << 53;

/// Where in an object choices are.
pub struct Choices(Node);

enum Node {
    /// No choice in here.
    Plain,
    Object(HashMap<String, Node>),
    List(Box<Node>),
    Choice(Vec<(DataType, Node)>),
}

impl Node {
    fn of(ty: &DataType) -> Node {
        if let Some(fields) = choice_fields(ty) {
            return Node::Choice(fields.iter().map(|f| (f.data_type().clone(), Node::of(f.data_type()))).collect());
        }
        match ty {
            DataType::Struct(fields) => Node::object(fields),
            DataType::List(item) => match Node::of(item.data_type()) {
                Node::Plain => Node::Plain,
                item => Node::List(Box::new(item)),
            },
            _ => Node::Plain,
        }
    }

    fn object(fields: &Fields) -> Node {
        let nodes = fields.iter().map(|f| (f.name().clone(), Node::of(f.data_type())));
        let nodes: HashMap<String, Node> = nodes.filter(|(_, node)| !matches!(node, Node::Plain)).collect();
        if nodes.is_empty() { Node::Plain } else { Node::Object(nodes) }
    }
}

/// Whether JSON can hold every choice in this type; else the one that it cannot.
pub fn readable(ty: &DataType) -> Result<(), DataType> {
    if let Some(fields) = choice_fields(ty) {
        let bad = fields.iter().find(|f| {
            !matches!(
                f.data_type(),
                DataType::Boolean
                    | DataType::Int64
                    | DataType::Float64
                    | DataType::Utf8
                    | DataType::List(_)
                    | DataType::Struct(_)
            )
        });
        if let Some(bad) = bad {
            return Err(bad.data_type().clone());
        }
    }
    match ty {
        DataType::Struct(fields) => fields.iter().try_for_each(|f| readable(f.data_type())),
        DataType::List(item) => readable(item.data_type()),
        _ => Ok(()),
    }
}

/// Why a line is not spelled out.
enum Stop {
    /// It is no JSON, which the decoder will find as well.
    Syntax,
    /// The path of a value, innermost name first, and what is wrong with it.
    Misfit(Vec<String>, String),
}

impl Choices {
    /// `None`: there are none in these columns.
    pub fn of(columns: &Fields) -> Option<Choices> {
        match Node::object(columns) {
            Node::Plain => None,
            node => Some(Choices(node)),
        }
    }

    /// The line with its choices spelled out; the error says which value is none of its choice.
    pub fn spell(&self, line: &[u8]) -> Result<Vec<u8>, String> {
        let mut walk = Walk { text: line, at: 0, copied: 0, out: Vec::with_capacity(line.len() + 64) };
        match walk.value(&self.0) {
            Ok(()) => {
                walk.at = line.len();
                walk.copy();
                Ok(walk.out)
            }
            Err(Stop::Syntax) => Ok(line.to_vec()),
            Err(Stop::Misfit(mut path, what)) => {
                path.reverse();
                Err(format!("field `{}`: {what}", path.join(".")))
            }
        }
    }
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    /// How much of the text is in `out`.
    copied: usize,
    out: Vec<u8>,
}

impl Walk<'_> {
    fn copy(&mut self) {
        self.out.extend_from_slice(&self.text[self.copied..self.at]);
        self.copied = self.at;
    }

    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Takes this byte, blanks around it passed over; false: another one is there.
    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, node: &Node) -> Result<(), Stop> {
        self.blanks();
        match (node, self.text.get(self.at)) {
            (Node::Choice(types), Some(first)) if *first != b'n' => self.choose(types),
            (Node::Object(fields), Some(b'{')) => self.object(fields),
            (Node::List(item), Some(b'[')) => self.list(item),
            _ => self.skip(),
        }
    }

    fn object(&mut self, fields: &HashMap<String, Node>) -> Result<(), Stop> {
        self.at += 1;
        while !self.take(b'}') {
            let from = self.at;
            if self.text.get(from) != Some(&b'"') {
                return Err(Stop::Syntax);
            }
            self.skip()?;
            let key: String = serde_json::from_slice(&self.text[from..self.at]).map_err(|_| Stop::Syntax)?;
            if !self.take(b':') {
                return Err(Stop::Syntax);
            }
            self.value(fields.get(&key).unwrap_or(&Node::Plain)).map_err(|stop| match stop {
                Stop::Misfit(mut path, what) => {
                    path.push(key);
                    Stop::Misfit(path, what)
                }
                Stop::Syntax => Stop::Syntax,
            })?;
            self.take(b',');
        }
        Ok(())
    }

    fn list(&mut self, item: &Node) -> Result<(), Stop> {
        self.at += 1;
        while !self.take(b']') {
            self.value(item)?;
            self.take(b',');
        }
        Ok(())
    }

    fn choose(&mut self, types: &[(DataType, Node)]) -> Result<(), Stop> {
        let from = self.at;
        self.skip()?;
        let text = &self.text[from..self.at];
        let first = text.first().copied().unwrap_or_default();
        let number = std::str::from_utf8(text).ok().filter(|_| first == b'-' || first.is_ascii_digit());
        let long =
            number.is_some_and(|n| n.bytes().all(|b| b == b'-' || b.is_ascii_digit()) && n.parse::<i64>().is_err());
        let fits = |ty: &DataType| match (ty, first) {
            (DataType::Boolean, b't' | b'f') | (DataType::Utf8, b'"') => true,
            (DataType::List(_), b'[') | (DataType::Struct(_), b'{') => true,
            // A whole number of too many digits for an Int64 is a name and not a number.
            (DataType::Utf8, _) => long,
            (DataType::Int64, _) => number.is_some_and(|n| whole(n).is_some()),
            (DataType::Float64, _) => number.is_some_and(|n| match n.parse::<i64>() {
                Ok(n) => n.unsigned_abs() <= EXACT,
                Err(_) => !long && n.parse::<f64>().is_ok_and(f64::is_finite),
            }),
            _ => false,
        };
        let Some((ty, node)) = types.iter().find(|(ty, _)| fits(ty)) else {
            let names: Vec<String> = types.iter().map(|(ty, _)| ty.to_string()).collect();
            let shown = shorten(&String::from_utf8_lossy(text), 80);
            return Err(Stop::Misfit(vec![], format!("{shown} is none of {}", names.join(", "))));
        };
        let end = std::mem::replace(&mut self.at, from);
        self.copy();
        self.out.extend_from_slice(format!("{{{}:", Value::from(selvedge_node::choice_name(ty))).as_bytes());
        let quoted = *ty == DataType::Utf8 && long;
        if quoted {
            self.out.push(b'"');
        }
        self.value(if quoted { &Node::Plain } else { node })?;
        self.at = end;
        self.copy();
        self.out.extend_from_slice(if quoted { b"\"}" } else { b"}" });
        Ok(())
    }

    /// Passes over a value, whatever it is and however deep.
    fn skip(&mut self) -> Result<(), Stop> {
        self.blanks();
        let mut depth = 0usize;
        loop {
            match self.text.get(self.at) {
                None => return Err(Stop::Syntax),
                Some(b'"') => self.string()?,
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') => {
                    depth = depth.checked_sub(1).ok_or(Stop::Syntax)?;
                    self.at += 1;
                }
                Some(b',' | b':') if depth == 0 => return Err(Stop::Syntax),
                Some(b) if b.is_ascii_whitespace() || matches!(b, b',' | b':') => self.at += 1,
                Some(_) => {
                    let ends =
                        |b: &u8| b.is_ascii_whitespace() || matches!(b, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"');
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(ends).unwrap_or(rest.len());
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn string(&mut self) -> Result<(), Stop> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                None => return Err(Stop::Syntax),
                Some(b'\\') => self.at += 2,
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    fn choice(types: &[DataType]) -> DataType {
        let field = |ty: &DataType| Field::new(selvedge_node::choice_name(ty), ty.clone(), true);
        DataType::Struct(types.iter().map(field).collect())
    }

    #[test]
    fn lines_are_spelled_out() {
        let price = choice(&[DataType::Int64, DataType::Utf8]);
        let item = DataType::Struct(vec![Field::new("price", price.clone(), true)].into());
        let any =
            choice(&[DataType::Boolean, DataType::Float64, DataType::new_list(price.clone(), true), item.clone()]);
        let columns: Fields = [("price", price), ("items", DataType::new_list(item, true)), ("any", any)]
            .map(|(name, ty)| Field::new(name, ty, true))
            .into_iter()
            .collect();
        let choices = Choices::of(&columns).unwrap();
        let spelled = |line: &str| choices.spell(line.as_bytes()).map(|l| String::from_utf8(l).unwrap());
        for (line, expected) in [
            (r#"{"price":12}"#, r#"{"price":{"int64":12}}"#),
            (
                r#" { "price" : "a\"}" , "x":[1,{"price":2}] } "#,
                r#" { "price" : {"utf8":"a\"}"} , "x":[1,{"price":2}] } "#,
            ),
            (r#"{"price":null}"#, r#"{"price":null}"#),
            (r#"{"price":123456789012345678901}"#, r#"{"price":{"utf8":"123456789012345678901"}}"#),
            (
                r#"{"items":[{"price":1},null,{"price":"b"}]}"#,
                r#"{"items":[{"price":{"int64":1}},null,{"price":{"utf8":"b"}}]}"#,
            ),
            (r#"{"any":true}"#, r#"{"any":{"boolean":true}}"#),
            (r#"{"any":[1,"b"]}"#, r#"{"any":{"list":[{"int64":1},{"utf8":"b"}]}}"#),
            (r#"{"any":{"price":1}}"#, r#"{"any":{"struct":{"price":{"int64":1}}}}"#),
            (r#"{"any":1}"#, r#"{"any":{"float64":1}}"#),
            ("[1]", "[1]"),
            (r#"{"price":12"#, r#"{"price":12"#),
            (r#"{"price"#, r#"{"price"#),
            ("{,}", "{,}"),
        ] {
            assert_eq!(spelled(line).as_deref(), Ok(expected));
        }
        let misfit = |line: &str| spelled(line).unwrap_err();
        assert_eq!(misfit(r#"{"price":1.5}"#), "field `price`: 1.5 is none of Int64, Utf8");
        assert_eq!(misfit(r#"{"items":[{"price":true}]}"#), "field `items.price`: true is none of Int64, Utf8");
        assert!(misfit(r#"{"any":9007199254740993}"#).starts_with("field `any`: 9007199254740993 is none of"));
    }

    proptest! {
        /// Whatever a line is, nothing panics, and a line of JSON stays one, with the same values in it.
        #[test]
        fn any_line_is_spelled_or_left(
            line in prop_oneof![
                any::<Vec<u8>>(),
                r#"\{"price":[\[\]{},:"0-9a\\. -]{0,12}\}?"#.prop_map(String::into_bytes),
                (any::<i64>(), ".{0,6}", any::<bool>()).prop_map(|(n, text, number)| {
                    let price = if number { Value::from(n) } else { Value::from(text) };
                    serde_json::json!({"x": [price.clone(), {"price": 1.5}], "price": price}).to_string().into_bytes()
                }),
            ],
        ) {
            let price = choice(&[DataType::Int64, DataType::Utf8, DataType::new_list(DataType::Int64, true)]);
            let choices = Choices::of(&vec![Field::new("price", price, true)].into()).unwrap();
            let Ok(spelled) = choices.spell(&line) else { return Ok(()) };
            let Ok(mut before) = serde_json::from_slice::<Value>(&line) else { return Ok(()) };
            let mut after: Value = serde_json::from_slice(&spelled).unwrap();
            if let (Some(before), Some(after)) = (before.as_object_mut(), after.as_object_mut())
                && let (Some(plain), Some(chosen)) = (before.remove("price"), after.remove("price"))
                && !plain.is_null()
            {
                let name = match &plain {
                    Value::String(_) => "utf8",
                    Value::Array(_) => "list",
                    number => if number.is_i64() || number.is_f64() { "int64" } else { "utf8" },
                };
                prop_assert!(chosen.get(name).is_some(), "{chosen}");
                prop_assert!(name == "utf8" && !plain.is_string() || chosen[name] == plain, "{chosen}");
            }
            prop_assert_eq!(before, after);
        }
    }
}
