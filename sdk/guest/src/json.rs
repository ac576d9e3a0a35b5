//! A small JSON reader: configs come as JSON, and a general library would be most of a small plugin.

/// A JSON value. Numbers stay text until somebody wants them.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A string.
    Text(String),
    /// `[…]`
    List(Vec<Json>),
    /// `{…}`, in the order it was written.
    Object(Vec<(String, Json)>),
}

/// Values nested deeper than this are refused: the stack of a plugin is small.
const DEPTH: usize = 64;

impl Json {
    /// Reads a text that holds one value. The error says what was expected at which byte.
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(DEPTH)?;
        reader.space();
        match reader.at == text.len() {
            true => Ok(value),
            false => Err(reader.expected("the end")),
        }
    }

    /// What it is, for messages: `the text "abc"`.
    pub fn describe(&self) -> String {
        match self {
            Json::Null => "null".into(),
            Json::Bool(b) => b.to_string(),
            Json::Number(n) => n.clone(),
            Json::Text(t) => {
                let short: String = t.chars().take(40).collect();
                format!("the text \"{short}{}\"", if short.len() < t.len() { "…" } else { "" })
            }
            Json::List(_) => "a list".into(),
            Json::Object(_) => "an object".into(),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
    fn expected(&self, what: &str) -> String {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => format!("expected {what} at byte {}, found `{found}`", self.at),
            None => format!("expected {what} at byte {}, found the end", self.at),
        }
    }
    fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
    fn value(&mut self, depth: usize) -> Result<Json, String> {
        let Some(depth) = depth.checked_sub(1) else { return Err(format!("nested deeper than {DEPTH}")) };
        self.space();
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'[') => {
                let mut list = vec![];
                self.items(b']', "`,` or `]`", |r| r.value(depth).map(|value| list.push(value)))?;
                Ok(Json::List(list))
            }
            Some(b'{') => {
                let mut object: Vec<(String, Json)> = vec![];
                self.items(b'}', "`,` or `}`", |r| {
                    r.space();
                    let key = r.string()?;
                    if object.iter().any(|(k, _)| *k == key) {
                        return Err(format!("`{key}` is there twice"));
                    }
                    if !r.eat(b':') {
                        return Err(r.expected("`:`"));
                    }
                    object.push((key, r.value(depth)?));
                    Ok(())
                })?;
                Ok(Json::Object(object))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.expected("a value")),
        }
    }
    fn items(
        &mut self,
        end: u8,
        expected: &str,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.at += 1;
        if self.eat(end) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.eat(end) {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.expected(expected));
            }
        }
    }
    fn digits(&mut self) -> Result<(), String> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(self.expected("a digit")) } else { Ok(()) }
    }
    fn number(&mut self) -> Result<Json, String> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Json::Number(self.text[from..self.at].to_string()))
    }
    fn string(&mut self) -> Result<String, String> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a text in quotes"));
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.bytes().position(|b| b == b'"' || b == b'\\' || b < b' ');
            let Some(plain) = plain else {
                self.at = self.text.len();
                return Err(self.expected("`\"`"));
            };
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(self.expected("no control character in a text")),
            }
        }
    }
    fn escape(&mut self) -> Result<char, String> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => {
                self.at += 1;
                let first = self.hex()?;
                // Beyond the basic plane: two surrogates.
                let code = match first {
                    0xD800..0xDC00 if self.rest().starts_with("\\u") => {
                        self.at += 2;
                        let second = self.hex()?;
                        0x10000 + ((first - 0xD800) << 10) + (second.wrapping_sub(0xDC00) & 0x3FF)
                    }
                    other => other,
                };
                return char::from_u32(code).ok_or_else(|| self.expected("a whole pair of surrogates before this"));
            }
            _ => return Err(self.expected("one of `\"\\/bfnrtu` after `\\`")),
        };
        self.at += 1;
        Ok(c)
    }
    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code =
            digits.and_then(|d| u32::from_str_radix(d, 16).ok()).ok_or_else(|| self.expected("four hex digits"))?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_json_is() {
        let text = r#" {"a": [1, -2.5e3, "x\n\u00e9\ud83d\ude00"], "b": null, "c": {"d": true}} "#;
        let expected = Json::Object(vec![
            (
                "a".into(),
                Json::List(vec![Json::Number("1".into()), Json::Number("-2.5e3".into()), Json::Text("x\né😀".into())]),
            ),
            ("b".into(), Json::Null),
            ("c".into(), Json::Object(vec![("d".into(), Json::Bool(true))])),
        ]);
        assert_eq!(Json::parse(text), Ok(expected));
    }

    #[test]
    fn refuses_what_it_is_not() {
        for (text, error) in [
            ("", "expected a value at byte 0, found the end"),
            ("{", "expected a text in quotes at byte 1, found the end"),
            ("[1 2]", "expected `,` or `]` at byte 3, found `2`"),
            ("[1,]", "expected a value at byte 3, found `]`"),
            ("01", "expected the end at byte 1, found `1`"),
            ("1.", "expected a digit at byte 2, found the end"),
            ("\"é", "expected `\"` at byte 3, found the end"),
            ("\"\\x\"", "expected one of `\"\\/bfnrtu` after `\\` at byte 2, found `x`"),
            ("\"\\u12é4\"", "expected four hex digits at byte 3, found `1`"),
            ("\"\\ud800\"", "expected a whole pair of surrogates before this at byte 7, found `\"`"),
            (r#"{"a":1,"a":2}"#, "`a` is there twice"),
        ] {
            assert_eq!(Json::parse(text).unwrap_err(), error, "{text}");
        }
        assert_eq!(Json::parse(&"[".repeat(100_000)).unwrap_err(), "nested deeper than 64");
    }
}
