//! `selvedge nodes`: the reference, printed from the code.

use super::WRONG;
use crate::cli::Nodes;
use crate::{catalogue, screen};
use selvedge_node::ErasedKind;
use serde_json::{Value, json};

pub fn nodes(args: &Nodes) -> u8 {
    let catalogue = catalogue();
    let kinds: Vec<&dyn ErasedKind> = match &args.name {
        None => catalogue.kinds().collect(),
        Some(name) => catalogue.kinds().filter(|k| k.name().eq_ignore_ascii_case(name)).collect(),
    };
    if let (Some(name), true) = (&args.name, kinds.is_empty()) {
        let near = selvedge_ron::similar(name, catalogue.kinds().map(|k| k.name()));
        let help = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
        screen::error(&format!("error: no kind of node named `{name}`{help}"));
        return WRONG;
    }
    if args.json {
        let all: Vec<Value> = kinds.iter().map(|k| as_json(*k)).collect();
        screen::print(&serde_json::to_string_pretty(&all).unwrap_or_default());
    } else if args.name.is_some() {
        kinds.iter().for_each(|k| screen::print(&reference(*k)));
    } else {
        let rows: Vec<Vec<String>> =
            kinds.iter().map(|k| vec![k.name().into(), role(*k), k.about().into()]).collect();
        // The last column is prose: padded to the left like the first ones.
        let width = rows.iter().map(|r| r[0].len()).max().unwrap_or(0);
        let lines = rows.iter().map(|r| format!("{:<width$}  {:<9}  {}", r[0], r[1], r[2]));
        screen::print(&lines.collect::<Vec<_>>().join("\n"));
    }
    0
}

fn role(kind: &dyn ErasedKind) -> String {
    format!("{:?}", kind.role()).to_lowercase()
}

fn as_json(kind: &dyn ErasedKind) -> Value {
    json!({
        "name": kind.name(),
        "role": role(kind),
        "about": kind.about(),
        "docs": kind.docs(),
        "example": kind.example(),
        "config": kind.schema(),
    })
}

fn reference(kind: &dyn ErasedKind) -> String {
    let mut text = format!("{} ({}): {}\n\n{}\n", kind.name(), role(kind), kind.about(), kind.docs().trim());
    let schema = kind.schema();
    text.push_str("\nFields\n");
    text.push_str(&fields(&schema, &schema, 1));
    text.push_str(&format!("\nExample\n{}\n", indent(kind.example().trim(), 1)));
    text
}

/// The fields of a struct schema, and the variants of the enums that they use, one level of words deep each.
fn fields(schema: &Value, root: &Value, depth: usize) -> String {
    let none = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if properties.is_empty() {
        return indent("none", depth) + "\n";
    }
    let mut text = String::new();
    for (name, field) in properties {
        let need = if required.contains(&name.as_str()) {
            "required".to_string()
        } else {
            match field.get("default").filter(|d| !d.is_null()) {
                Some(default) => format!("default {default}"),
                None => "optional".to_string(),
            }
        };
        let line = format!("{name}: {} ({need})", type_name(field, root));
        text.push_str(&indent(&line, depth));
        text.push('\n');
        if let Some(about) = field["description"].as_str() {
            text.push_str(&indent(about, depth + 1));
            text.push('\n');
        }
    }
    text
}

/// A type in a few words.
fn type_name(schema: &Value, root: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        let target = &root["$defs"][name];
        let variants = variants(target);
        return if variants.is_empty() { name.to_string() } else { variants.join(" | ") };
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(options) = schema[key].as_array() {
            let variants = variants(schema);
            if !variants.is_empty() {
                return variants.join(" | ");
            }
            let names: Vec<String> =
                options.iter().filter(|o| o["type"] != "null").map(|o| type_name(o, root)).collect();
            return names.join(" | ");
        }
    }
    if !variants(schema).is_empty() {
        return variants(schema).join(" | ");
    }
    match &schema["type"] {
        Value::String(t) if t == "array" => match &schema["items"] {
            Value::Null => "list".into(),
            items => format!("list of {}", type_name(items, root)),
        },
        Value::String(t) => t.clone(),
        Value::Array(types) => {
            let names = types.iter().filter_map(Value::as_str).filter(|t| *t != "null");
            names.collect::<Vec<_>>().join(" | ")
        }
        _ => "value".into(),
    }
}

/// The variants of an enum schema, as RON writes them.
fn variants(schema: &Value) -> Vec<String> {
    if let Some(names) = schema["enum"].as_array() {
        return names.iter().filter_map(Value::as_str).map(str::to_string).collect();
    }
    let options = schema["oneOf"].as_array().into_iter().flatten();
    options
        .flat_map(|o| {
            if let Some(name) = o["const"].as_str() {
                return vec![name.to_string()];
            }
            if o["enum"].is_array() {
                return variants(o);
            }
            let properties = o["properties"].as_object();
            properties.into_iter().flat_map(|p| p.keys()).map(|name| format!("{name}(…)")).collect()
        })
        .collect()
}

fn indent(text: &str, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    text.lines().map(|l| format!("{pad}{l}").trim_end().to_string()).collect::<Vec<_>>().join("\n")
}
