//! The settings of a node: typed, each error with the path of the setting, unknown names with the nearest known one.

use crate::error::{list, nearest};
use crate::json::Json;
use crate::{Error, Result};

/// The settings of a node, or of a part of one. What is asked for is known; what is there besides is an error.
pub struct Settings<'a> {
    fields: &'a [(String, Json)],
    path: String,
    known: Vec<&'static str>,
}

/// A type that a setting may have.
pub trait Setting: Sized {
    /// In words, for messages: `a whole number`.
    const EXPECTED: &'static str;
    /// Its value; none where the JSON is something else.
    fn of(value: &Json) -> Option<Self>;
    /// As `of`; `at` is the path of the value.
    fn read(value: &Json, at: &str) -> Result<Self> {
        Self::of(value).ok_or_else(|| unexpected(Self::EXPECTED, value, at))
    }
}

fn unexpected(expected: &str, found: &Json, at: &str) -> Error {
    Error::graph(format!("expected {expected}, found {}", found.describe())).at(at)
}

impl Setting for String {
    const EXPECTED: &'static str = "a text";
    fn of(value: &Json) -> Option<String> {
        match value {
            Json::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}
impl Setting for bool {
    const EXPECTED: &'static str = "true or false";
    fn of(value: &Json) -> Option<bool> {
        match value {
            Json::Bool(b) => Some(*b),
            _ => None,
        }
    }
}
macro_rules! numbers {
    ($($type:ty: $expected:literal),*) => {$(
        impl Setting for $type {
            const EXPECTED: &'static str = $expected;
            fn of(value: &Json) -> Option<$type> {
                match value {
                    Json::Number(n) => n.parse().ok(),
                    _ => None,
                }
            }
        }
    )*};
}
numbers!(
    i64: "a whole number", u64: "a whole number from 0", i32: "a whole number of 32 bits",
    u32: "a whole number of 32 bits from 0", u8: "a whole number from 0 to 255", f64: "a number"
);
impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = "a list";
    fn of(value: &Json) -> Option<Vec<T>> {
        Self::read(value, "").ok()
    }
    fn read(value: &Json, at: &str) -> Result<Vec<T>> {
        match value {
            Json::List(items) => {
                items.iter().enumerate().map(|(i, item)| T::read(item, &below(at, &i.to_string()))).collect()
            }
            other => Err(unexpected(Self::EXPECTED, other, at)),
        }
    }
}
/// An object with names of the user's own, in their order.
impl<T: Setting> Setting for Vec<(String, T)> {
    const EXPECTED: &'static str = "an object";
    fn of(value: &Json) -> Option<Self> {
        Self::read(value, "").ok()
    }
    fn read(value: &Json, at: &str) -> Result<Self> {
        match value {
            Json::Object(fields) => {
                fields.iter().map(|(name, value)| Ok((name.clone(), T::read(value, &below(at, name))?))).collect()
            }
            other => Err(unexpected(Self::EXPECTED, other, at)),
        }
    }
}

fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_string(),
        path => format!("{path}.{name}"),
    }
}

/// Reads a whole config: `read` asks for the settings there are.
pub(crate) fn read<T>(config: &str, read: impl FnOnce(&mut Settings) -> Result<T>) -> Result<T> {
    let json = match config.trim() {
        "" => Json::Object(vec![]),
        text => Json::parse(text).map_err(|e| Error::graph(format!("the config is no JSON: {e}")))?,
    };
    Settings::inside(&json, "", read)
}

impl<'a> Settings<'a> {
    fn inside<T>(json: &Json, path: &str, read: impl FnOnce(&mut Settings) -> Result<T>) -> Result<T> {
        let Json::Object(fields) = json else { return Err(unexpected("an object", json, path)) };
        let mut settings = Settings { fields, path: path.to_string(), known: vec![] };
        match read(&mut settings) {
            Ok(value) => settings.unknown().map(|()| value),
            Err(e) => Err(settings.misspelt().unwrap_or(e)),
        }
    }
    /// Where the setting asked for last is missing, another name may be its misspelling: that says more.
    fn misspelt(&self) -> Option<Error> {
        let missing = *self.known.last()?;
        let is_there = self.fields.iter().any(|(name, _)| name == missing);
        let strange = self.fields.iter().map(|(name, _)| name.as_str()).filter(|n| !self.known.contains(n));
        let near = if is_there { None } else { nearest(missing, strange) };
        near.map(|name| self.stranger(name, format!("did you mean `{missing}`?")))
    }
    fn stranger(&self, name: &str, help: String) -> Error {
        Error::graph(format!("no setting named `{name}`")).help(help).at(below(&self.path, name))
    }
    fn unknown(&self) -> Result<()> {
        let Some((name, _)) = self.fields.iter().find(|(name, _)| !self.known.contains(&name.as_str())) else {
            return Ok(());
        };
        let known = || self.known.iter().copied();
        let free = known().filter(|k| self.fields.iter().all(|(name, _)| name != k));
        let help = match nearest(name, free) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.known.is_empty() => "there are none".to_string(),
            None => format!("there are {}", list(known())),
        };
        Err(self.stranger(name, help))
    }
    fn value(&mut self, name: &'static str) -> Option<&'a Json> {
        self.known.push(name);
        let fields = self.fields;
        fields.iter().find(|(n, v)| n == name && *v != Json::Null).map(|(_, v)| v)
    }
    /// The path of a setting, for errors of one's own: `Error::graph(…).at(settings.at("to"))`.
    pub fn at(&self, name: &str) -> String {
        below(&self.path, name)
    }
    /// A setting that may be left out, or be null.
    pub fn optional<T: Setting>(&mut self, name: &'static str) -> Result<Option<T>> {
        let at = self.at(name);
        self.value(name).map(|value| T::read(value, &at)).transpose()
    }
    /// A setting with a default.
    pub fn or<T: Setting>(&mut self, name: &'static str, default: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(default))
    }
    /// A setting that must be there.
    pub fn required<T: Setting>(&mut self, name: &'static str) -> Result<T> {
        let at = self.at(name);
        self.optional(name)?.ok_or_else(|| Error::graph(format!("needs `{name}`: {}", T::EXPECTED)).at(at))
    }
    /// One of some words, by what they mean; none where it is left out.
    pub fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(found) = self.optional::<String>(name)? else { return Ok(None) };
        let names = || words.iter().map(|(word, _)| *word);
        words.iter().find(|(word, _)| *word == found).map(|(_, meaning)| Some(*meaning)).ok_or_else(|| {
            let error = Error::graph(format!("expected {}, found `{found}`", list(names()))).at(self.at(name));
            match nearest(&found, names()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error,
            }
        })
    }
    /// An object with settings of its own; none where it is left out.
    pub fn part<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Settings) -> Result<T>) -> Result<Option<T>> {
        let at = self.at(name);
        self.value(name).map(|value| Settings::inside(value, &at, read)).transpose()
    }
    /// A list of such objects; empty where it is left out.
    pub fn parts<T>(&mut self, name: &'static str, mut read: impl FnMut(&mut Settings) -> Result<T>) -> Result<Vec<T>> {
        let at = self.at(name);
        match self.value(name) {
            None => Ok(vec![]),
            Some(Json::List(items)) => items
                .iter()
                .enumerate()
                .map(|(i, item)| Settings::inside(item, &below(&at, &i.to_string()), &mut read))
                .collect(),
            Some(other) => Err(unexpected("a list", other, &at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(config: &str) -> String {
        let settings = |s: &mut Settings| {
            s.required::<String>("column")?;
            s.or::<i64>("length", 14)?;
            s.choice("on_error", &[("keep", 1), ("reject", 2)])?;
            s.part("part", |s| s.required::<bool>("deep"))?;
            s.parts("sizes", |s| s.required::<f64>("from"))?;
            s.optional::<Vec<String>>("names")
        };
        match read(config, settings) {
            Ok(names) => format!("{names:?}"),
            Err(e) => format!("{}: {e}", e.at.clone().unwrap_or_default()),
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        for (config, expected) in [
            (r#"{"column": "a", "names": ["b"], "length": null}"#, "Some([\"b\"])"),
            ("{}", "column: needs `column`: a text"),
            ("", "column: needs `column`: a text"),
            ("[]", ": expected an object, found a list"),
            ("{", ": the config is no JSON: expected a text in quotes at byte 1, found the end"),
            (r#"{"colunm": "a"}"#, "colunm: no setting named `colunm` (did you mean `column`?)"),
            (r#"{"column": 7}"#, "column: expected a text, found 7"),
            (r#"{"column": "a", "length": 1.5}"#, "length: expected a whole number, found 1.5"),
            (
                r#"{"column": "a", "length": 99999999999999999999}"#,
                "length: expected a whole number, found 99999999999999999999",
            ),
            (
                r#"{"column": "a", "on_error": "rejct"}"#,
                "on_error: expected `keep`, `reject`, found `rejct` (did you mean `reject`?)",
            ),
            (r#"{"column": "a", "part": {"depp": true}}"#, "part.depp: no setting named `depp` (did you mean `deep`?)"),
            (
                r#"{"column": "a", "sizes": [{"from": 1}, {"from": "x"}]}"#,
                "sizes.1.from: expected a number, found the text \"x\"",
            ),
            (r#"{"column": "a", "names": ["b", 3]}"#, "names.1: expected a text, found 3"),
        ] {
            assert_eq!(told(config), expected, "{config}");
        }
    }
}
