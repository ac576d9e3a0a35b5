//! The setting `schema` of a source: columns written in the graph, or the path of a schema file.

use crate::{Guard, SchemaFile};
use schemars::JsonSchema;
use selvedge_node::{Fields, Problem, Problems, Site, Span, Spanned};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// `{"sku": Utf8}`, or `"schemas/orders.ron"`, relative to the graph.
#[derive(Debug, Clone, PartialEq)]
pub enum Declared {
    Inline(Fields),
    File(String),
}

/// A declared schema, whichever way it was declared.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub fields: Fields,
    /// It stands in a schema file, so that nothing has to be looked at to know the columns.
    pub from_file: bool,
    pub guard: Guard,
    /// Suspicious but not wrong.
    pub warnings: Vec<Problem>,
}

impl Declared {
    /// Reads and checks the schema. What is wrong in a schema file is told with its place there, and shown at the graph's path.
    pub fn known(&self, span: Span, site: &Site) -> Result<Known, Problems> {
        let shown = match self {
            Declared::Inline(fields) => {
                return fields.problems().or(Known { fields: fields.clone(), ..Known::default() });
            }
            Declared::File(shown) => shown,
        };
        let at_path = |problem: Problem| Problem { span: Some(span), ..problem };
        let file = SchemaFile::read(&site.base.join(shown), shown)
            .map_err(|problems| Problems(problems.0.into_iter().map(at_path).collect()))?;
        let mut warnings = vec![];
        if file.deprecated {
            let warning =
                Problem::warning(span, format!("{shown} is deprecated: its object was gone when it was crawled"));
            warnings.push(warning.help("crawl again if the object is back"));
        }
        let never_null = file.columns.iter().filter(|c| !c.nullable).map(|c| c.name.clone()).collect();
        let spanned = |name: String, ty| (Spanned::new(name, span), Spanned::new(ty, span));
        let fields = Fields(file.columns.into_iter().map(|c| spanned(c.name, c.ty)).collect());
        Ok(Known { fields, from_file: true, guard: Guard { file: shown.clone(), never_null }, warnings })
    }
}

impl<'de> Deserialize<'de> for Declared {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Declared, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Declared;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a schema: a map from column name to type, or the path of a schema file")
            }
            fn visit_str<E>(self, path: &str) -> Result<Declared, E> {
                Ok(Declared::File(path.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Declared, A::Error> {
                let mut fields = vec![];
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Declared::Inline(Fields(fields)))
            }
        }
        d.deserialize_any(V)
    }
}

impl JsonSchema for Declared {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Schema".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let fields = generator.subschema_for::<Fields>();
        schemars::json_schema!({
            "description": "a map from column name to type, in order, or the path of a schema file",
            "anyOf": [fields, { "type": "string" }],
        })
    }
}
