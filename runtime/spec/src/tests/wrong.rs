//! Golden tests of what is said about wrong graphs: `golden/NAME.ron` holds the files, `golden/NAME.txt` the two renderings.
//! `UPDATE_GOLDEN=1 cargo test -p selvedge-spec` writes the latter anew.

use super::{options, read};
use crate::{render, render_short};
use std::path::Path;

fn check(name: &str, profile: &str, set: &[(&str, &str)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/golden");
    let text = std::fs::read_to_string(folder.join(format!("{name}.ron"))).expect("the files of the test");
    let (sources, result, warnings) =
        read(&text, &options(profile, set, &[("BUCKET", "b"), ("SELVEDGE_SECRET_DB", "hunter2")]));
    let mut problems = result.err().map(|p| p.0).unwrap_or_default();
    problems.extend(warnings);
    let found = format!("{}\n{}", render_short(&problems, &sources), render(&problems, &sources, false));
    let file = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &found).expect("written");
    }
    assert_eq!(found, std::fs::read_to_string(&file).unwrap_or_default(), "{name}");
    assert!(!found.contains("hunter2"));
}

#[test]
fn syntax() {
    check("syntax", "local", &[]);
}

#[test]
fn structure() {
    check("structure", "local", &[]);
}

#[test]
fn parameters() {
    check("parameters", "local", &[("sinse", "1"), ("bad", "[1, 2]")]);
}

#[test]
fn includes() {
    check("includes", "local", &[]);
}

#[test]
fn profiles() {
    check("profiles", "asw", &[]);
}

#[test]
fn connections() {
    check("connections", "aws", &[]);
}

#[test]
fn no_connections() {
    check("no_connections", "aws", &[]);
}

/// A line that no terminal could show is cut around the place.
#[test]
fn long_lines_are_cut() {
    let long = "x".repeat(1_000_000);
    let text =
        format!("// file: graph.ron\nGraph(about: \"é{long}\", nodse: {{}}, nodes: {{\"a\": T(x: \"{long}\")}})");
    let (sources, result, _) = read(&text, &options("local", &[], &[]));
    let shown = render(&result.expect_err("a wrong field").0, &sources, true);
    assert!(shown.contains("graph.ron:1:1000019") && shown.contains("nodse") && shown.len() < 2_000, "{shown}");
}
