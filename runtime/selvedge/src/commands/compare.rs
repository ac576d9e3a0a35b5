//! What was expected beside what was found: tables in any order, counts by reason, words of an error.

use arrow::array::RecordBatch;
use selvedge_testkit::{show, sorted};
use std::collections::BTreeMap;

/// How two tables differ, whatever the order of their rows.
pub fn difference(what: &str, expected: &RecordBatch, found: &RecordBatch) -> Option<String> {
    let text = |rows: &RecordBatch| sorted(std::slice::from_ref(rows)).map(|rows| show(&rows)).unwrap_or_default();
    let (expected, found) = (text(expected), text(found));
    (expected != found).then(|| lines(what, &expected, &found))
}

/// The lines that are missing (`-`) and those too many (`+`).
pub fn lines(what: &str, expected: &str, found: &str) -> String {
    let mut missing: Vec<&str> = expected.lines().collect();
    let mut extra = vec![];
    for line in found.lines() {
        match missing.iter().position(|m| *m == line) {
            Some(at) => _ = missing.remove(at),
            None => extra.push(line),
        }
    }
    let all: Vec<String> = missing
        .iter()
        .map(|line| format!("\n  - {line}"))
        .chain(extra.iter().map(|line| format!("\n  + {line}")))
        .collect();
    let shown: String = all.iter().take(20).map(String::as_str).collect();
    let more = all.len().saturating_sub(20);
    let more = if more > 0 { format!("\n  and {more} lines more") } else { String::new() };
    let order = if all.is_empty() { ", the same lines in another order or with other ends" } else { "" };
    format!("{what}: expected (-), found (+){order}{shown}{more}")
}

pub fn counts(what: &str, expected: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> Option<String> {
    let text = |counts: &BTreeMap<String, u64>| match counts.is_empty() {
        true => "none".to_string(),
        false => counts.iter().map(|(name, n)| format!("{n} as `{name}`")).collect::<Vec<_>>().join(", "),
    };
    (expected != found).then(|| format!("{what}: expected {}, found {}", text(expected), text(found)))
}

/// Whether an error says so.
pub fn contains(found: &str, words: &str) -> Result<(), String> {
    match found.contains(words) {
        true => Ok(()),
        false => Err(format!("expected an error with `{words}`, found:\n{found}")),
    }
}

pub fn indented(text: &str) -> String {
    text.lines().map(|line| format!("        {line}").trim_end().to_string()).collect::<Vec<_>>().join("\n")
}
