//! `selvedge nodes`: the reference, printed from the code.

use super::WRONG;
use crate::cli::Nodes;
use crate::reference::reference;
use crate::{catalogue, screen};
use selvedge_node::ErasedKind;
use serde_json::{Value, json};

pub fn nodes(args: &Nodes) -> u8 {
    let catalogue = catalogue(Default::default());
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
        kinds.iter().for_each(|k| screen::print(&reference(*k, &role(*k))));
    } else {
        let rows: Vec<Vec<String>> = kinds.iter().map(|k| vec![k.name().into(), role(*k), k.about().into()]).collect();
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
