//! `{"name": "expression", …}`: expressions by name, in the order of the text.

use selvedge_node::{Column, Spanned};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A map from names to SQL expressions that keeps its order and the places of both.
#[derive(Debug, Clone, Default)]
pub struct Named(pub Vec<(Column, Spanned<String>)>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Named;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a map from name to SQL expression: {\"name\": \"expression\"}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let mut entries = vec![];
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        d.deserialize_map(V)
    }
}

impl schemars::JsonSchema for Named {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Named".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "a map from name to SQL expression, in order",
            "type": "object",
            "additionalProperties": { "type": "string" },
        })
    }
}
