//! The fields of an index, from Arrow's types.

use crate::client::Client;
use arrow::datatypes::{DataType, Field};
use reqwest::Method;
use selvedge_connect::search::Index;
use selvedge_node::{Problem, Problems, Result};
use serde_json::{Map, Value, json};

/// What a data stream has for its time.
pub const TIME: &str = "@timestamp";

/// Decimals of more digits lose some on their way to a scaled float, as JSON's numbers are read as doubles.
const EXACT: u8 = 15;

/// How a column is indexed; `None`: nothing of it can be searched.
fn field(ty: &DataType, is_id: bool) -> Value {
    let of = |name: &str| json!({ "type": name });
    match ty {
        DataType::Boolean => of("boolean"),
        DataType::Int8 => of("byte"),
        DataType::Int16 | DataType::UInt8 => of("short"),
        DataType::Int32 | DataType::UInt16 => of("integer"),
        DataType::Int64 | DataType::UInt32 => of("long"),
        DataType::UInt64 => of("unsigned_long"),
        DataType::Float16 | DataType::Float32 => of("float"),
        DataType::Float64 => of("double"),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => match (p, s) {
            (..=18, ..=0) => of("long"),
            (..=EXACT, &s) => json!({ "type": "scaled_float", "scaling_factor": 10f64.powi(i32::from(s)) }),
            _ => of("double"),
        },
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => of("date"),
        // An id is asked for as it is, word for word.
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if !is_id => {
            json!({ "type": "text", "fields": { "keyword": { "type": "keyword", "ignore_above": 256 } } })
        }
        DataType::Dictionary(_, values) => field(values, is_id),
        DataType::RunEndEncoded(_, values) => field(values.data_type(), is_id),
        // An engine has no lists: a field may have many values.
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::ListView(inner)
        | DataType::LargeListView(inner) => field(inner.data_type(), is_id),
        DataType::Struct(fields) => {
            let inner = fields.iter().map(|f| (f.name().clone(), field(f.data_type(), false)));
            json!({ "properties": inner.collect::<Map<_, _>>() })
        }
        DataType::Map(..) => json!({ "type": "object", "dynamic": true }),
        _ => of("keyword"),
    }
}

pub fn mapping(index: &Index) -> Value {
    let all = index.schema.fields().iter().enumerate();
    let properties = all.map(|(i, f)| (f.name().clone(), field(f.data_type(), index.id.contains(&i))));
    json!({ "properties": properties.collect::<Map<_, _>>() })
}

/// Makes the index or data stream.
pub fn make(client: &Client, index: &Index) -> Result<()> {
    if !index.create || found(client, index)?.is_some() {
        return Ok(());
    }
    let name = &index.name;
    let made = if index.data_stream {
        let template = json!({
            "index_patterns": [name],
            "data_stream": {},
            "priority": 200,
            "template": { "mappings": mapping(index) },
            "_meta": { "made_by": "selvedge" },
        });
        let path = format!("_index_template/{name}");
        client.json(&Method::PUT, &path, Some(&template), "making the template of the data stream in")?;
        client.json(&Method::PUT, &format!("_data_stream/{name}"), None, "making the data stream in")
    } else {
        let body = json!({ "mappings": mapping(index) });
        client.json(&Method::PUT, name, Some(&body), "making the index in")
    };
    match made {
        // Another writer of this run was first.
        Err(e) if e.message.contains("already_exists") => Ok(()),
        Err(e) => Err(e),
        Ok(_) => Ok(()),
    }
}

/// The mappings of the index, or of all that an alias or a data stream stands for.
fn found(client: &Client, index: &Index) -> Result<Option<Value>> {
    client.json(&Method::GET, &format!("{}/_mapping", index.name), None, "asking for the fields of the index in")
}

pub fn check(client: &Client, index: &Index) -> Result<Problems> {
    client.version()?;
    let mut problems = Problems::default();
    let problem = |text: String| Problem::error(index.span, text);
    if index.data_stream {
        match index.schema.field_with_name(TIME).map(Field::data_type) {
            Ok(DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) => {}
            Ok(other) => {
                problems.push(problem(format!("`{TIME}` of a data stream is a time, but the column is {other}")))
            }
            Err(_) => problems.push(
                problem(format!("a data stream needs a column `{TIME}`")).help("rename the column of the time before"),
            ),
        }
        let stream = client.json(&Method::GET, &format!("_data_stream/{}", index.name), None, "looking at")?;
        if stream.is_none() && found(client, index)?.is_some() {
            problems
                .push(problem(format!("`{}` is there, and is no data stream", index.name)).help("data_stream: false"));
        }
    }
    let Some(found) = found(client, index)? else {
        if !index.create {
            problems.push(problem(format!("there is no index `{}`", index.name)).help("create: true makes it"));
        }
        return Ok(problems);
    };
    for (concrete, its) in found.as_object().into_iter().flatten() {
        let mut odd = vec![];
        compare(&its["mappings"], &mapping(index), "", false, &mut odd);
        for (text, help) in odd {
            problems.push(problem(format!("index `{concrete}` {text}")).help(help));
        }
    }
    Ok(problems)
}

/// What an index makes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Text,
    Whole,
    Fraction,
    Boolean,
    Date,
    Object,
    /// Types of their own: whoever mapped them knows what they take.
    Other,
}

fn class(field: &Value) -> Class {
    match field["type"].as_str() {
        None | Some("object" | "nested" | "flattened") => Class::Object,
        Some("text" | "keyword" | "wildcard" | "match_only_text" | "search_as_you_type") => Class::Text,
        Some("byte" | "short" | "integer" | "long" | "unsigned_long") => Class::Whole,
        Some("float" | "half_float" | "double" | "scaled_float") => Class::Fraction,
        Some("boolean") => Class::Boolean,
        Some("date" | "date_nanos") => Class::Date,
        Some(_) => Class::Other,
    }
}

/// Where documents of `ours` would be refused by an index that has `theirs`. What depends on the values is left to the engine.
fn compare(theirs: &Value, ours: &Value, prefix: &str, strict: bool, odd: &mut Vec<(String, &'static str)>) {
    let strict = match &theirs["dynamic"] {
        Value::String(text) => text == "strict",
        Value::Bool(_) => false,
        _ => strict,
    };
    for (name, our) in ours["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let Some(their) = theirs["properties"].get(name) else {
            if strict && !name.contains('.') {
                odd.push((
                    format!("takes no other fields than its own (dynamic: strict), and `{path}` is none of them"),
                    "add the field to the index's mapping, or drop the column before",
                ));
            }
            continue;
        };
        let never = match (class(our), class(their)) {
            (Class::Object, Class::Object) => {
                if their["type"] != "flattened" {
                    compare(their, our, &format!("{path}."), strict, odd);
                }
                false
            }
            (_, Class::Other) => false,
            (Class::Object, _) | (_, Class::Object) => true,
            (Class::Boolean, Class::Whole | Class::Fraction | Class::Date) => true,
            (Class::Whole | Class::Fraction | Class::Date, Class::Boolean) => true,
            (Class::Date, Class::Whole | Class::Fraction) => true,
            _ => false,
        };
        if never {
            let name = |field: &Value| field["type"].as_str().unwrap_or("object").to_string();
            odd.push((
                format!("has `{path}` as {}, but the column would be {}", name(their), name(our)),
                "cast the column before, or write to an index of another name",
            ));
        }
    }
}
