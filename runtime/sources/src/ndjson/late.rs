//! Fields that come up behind the sample from which the columns were guessed. They are not read; that is told, row by row.

use arrow::datatypes::{DataType, Fields};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, HashMap};

/// Different fields that are told by name; an object whose keys are data has no end of them.
const NAMED: usize = 20;

/// The names of the known fields, and of those within them.
#[derive(Default)]
pub struct Names(HashMap<String, Names>);

impl Names {
    pub fn of(fields: &Fields) -> Names {
        Names(fields.iter().map(|f| (f.name().clone(), Names::within(f.data_type()))).collect())
    }

    fn within(ty: &DataType) -> Names {
        match ty {
            DataType::Struct(fields) => Names::of(fields),
            DataType::List(item) => Names::within(item.data_type()),
            _ => Names::default(),
        }
    }
}

/// Unknown fields of some lines.
#[derive(Default)]
pub struct Late {
    /// By name: how many lines have it, and the first of them.
    found: BTreeMap<String, (u64, usize)>,
}

impl Late {
    /// Looks at line number `at`, whose JSON is `text`.
    pub fn look(&mut self, known: &Names, at: usize, text: &[u8]) {
        let mut names = vec![];
        let mut json = serde_json::Deserializer::from_slice(text);
        // What cannot be read has been rejected, or is nested too deeply to be looked into.
        _ = Walk { known, path: String::new(), names: &mut names }.deserialize(&mut json);
        names.sort();
        names.dedup();
        for name in names {
            let name = if self.found.len() < NAMED || self.found.contains_key(&name) { name } else { "others".into() };
            let (lines, _) = self.found.entry(name).or_insert((0, at));
            *lines += 1;
        }
    }

    /// Name, lines, first line.
    pub fn found(&self) -> impl Iterator<Item = (&str, u64, usize)> {
        self.found.iter().map(|(name, (lines, first))| (name.as_str(), *lines, *first))
    }
}

/// Goes through a value and notes the paths of fields that are not known.
struct Walk<'a> {
    known: &'a Names,
    path: String,
    names: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        // A scalar, or a map with keys that are data: nothing to look for inside.
        if self.known.0.is_empty() {
            value.deserialize_ignored_any(IgnoredAny).map(|_| ())
        } else {
            value.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            match self.known.0.get(&key) {
                Some(known) => map.next_value_seed(Walk { known, path, names: self.names })?,
                None => {
                    // A null says nothing that could get lost.
                    if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                        self.names.push(path);
                    }
                }
            }
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Walk { known: self.known, path: self.path.clone(), names: self.names })?.is_some()
        {
        }
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
