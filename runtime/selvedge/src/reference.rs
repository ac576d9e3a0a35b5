//! The reference of a kind as text, from its docs and the JSON schema of its config.

use selvedge_node::ErasedKind;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Docs, fields, the types that the fields use, and the example.
pub fn reference(kind: &dyn ErasedKind, role: &str) -> String {
    let schema = kind.schema();
    let mut text = format!("{} ({role}): {}\n\n{}\n", kind.name(), kind.about(), kind.docs().trim());
    let _ = write!(text, "\nFields\n{}", fields(&schema));
    for (name, def) in schema["$defs"].as_object().into_iter().flatten() {
        let _ = write!(text, "\n{name}\n{}", definition(def));
    }
    let _ = write!(text, "\nExample\n{}\n", indent(kind.example().trim(), 1));
    text
}

/// The fields of a struct: a line each, its words below.
fn fields(schema: &Value) -> String {
    let Some(properties) = schema["properties"].as_object().filter(|p| !p.is_empty()) else {
        return indent("none", 1) + "\n";
    };
    let required = required(schema);
    let mut text = String::new();
    for (name, field) in properties {
        let need = match field.get("default").filter(|d| !d.is_null()) {
            _ if required.contains(&name.as_str()) => "required".to_string(),
            Some(default) => format!("default {default}"),
            None => "optional".to_string(),
        };
        let _ = writeln!(text, "  {name}: {} ({need})", type_name(field));
        words(&mut text, field, 2);
    }
    text
}

/// A type that has a name: its variants, its fields, or what it is made of.
fn definition(def: &Value) -> String {
    let variants = variants(def);
    let mut text = String::new();
    if !variants.is_empty() {
        // Variants without words of their own share a line.
        let (plain, told): (Vec<_>, Vec<_>) = variants.into_iter().partition(|(_, about)| about.is_none());
        if !plain.is_empty() {
            let names: Vec<String> = plain.into_iter().map(|(name, _)| name).collect();
            let _ = writeln!(text, "  {}", names.join(" | "));
        }
        for (name, about) in told {
            let _ = writeln!(text, "  {name}");
            if let Some(about) = about {
                let _ = writeln!(text, "{}", indent(&about, 2));
            }
        }
        return text;
    }
    if def["properties"].is_object() {
        return fields(def);
    }
    let _ = writeln!(text, "  {}", type_name(def));
    words(&mut text, def, 2);
    text
}

fn words(text: &mut String, schema: &Value, depth: usize) {
    if let Some(about) = schema["description"].as_str() {
        let _ = writeln!(text, "{}", indent(about, depth));
    }
}

fn required(schema: &Value) -> Vec<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The variants of an enum as RON writes them, with what is said of each.
fn variants(schema: &Value) -> Vec<(String, Option<String>)> {
    let about = |v: &Value| v["description"].as_str().map(str::to_string);
    if let Some(names) = schema["enum"].as_array() {
        return names.iter().filter_map(Value::as_str).map(|n| (n.to_string(), None)).collect();
    }
    let mut found = vec![];
    for option in schema["oneOf"].as_array().into_iter().flatten() {
        if let Some(name) = option["const"].as_str() {
            found.push((name.to_string(), about(option)));
        } else if option["enum"].is_array() {
            found.extend(variants(option));
        } else {
            let properties = option["properties"].as_object().into_iter().flatten();
            found.extend(properties.map(|(name, inside)| (format!("{name}({})", arguments(inside)), about(option))));
        }
    }
    found
}

/// `column, to, on_error?` of a struct variant; the type of a newtype variant.
fn arguments(inside: &Value) -> String {
    if let Some(items) = inside["prefixItems"].as_array() {
        return items.iter().map(type_name).collect::<Vec<_>>().join(", ");
    }
    let empty = Map::new();
    let properties = inside["properties"].as_object().unwrap_or(&empty);
    if properties.is_empty() {
        return type_name(inside);
    }
    let required = required(inside);
    let argument = |name: &String| if required.contains(&name.as_str()) { name.clone() } else { format!("{name}?") };
    properties.keys().map(argument).collect::<Vec<_>>().join(", ")
}

/// A type in a few words.
fn type_name(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return name.to_string();
    }
    let variants = variants(schema);
    if !variants.is_empty() {
        return variants.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" | ");
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(options) = schema[key].as_array() {
            let names = options.iter().filter(|o| o["type"] != "null").map(type_name);
            return names.collect::<Vec<_>>().join(" | ");
        }
    }
    match &schema["type"] {
        Value::String(t) if t == "array" => match &schema["items"] {
            Value::Null => "list".into(),
            items => format!("list of {}", type_name(items)),
        },
        Value::String(t) if t == "object" && schema["additionalProperties"].is_object() => {
            format!("map from name to {}", type_name(&schema["additionalProperties"]))
        }
        Value::String(t) => t.clone(),
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect::<Vec<_>>().join(" | ")
        }
        _ => "value".into(),
    }
}

fn indent(text: &str, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    text.lines().map(|l| format!("{pad}{l}").trim_end().to_string()).collect::<Vec<_>>().join("\n")
}
