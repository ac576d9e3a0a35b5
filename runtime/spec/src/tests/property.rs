//! Whatever the text, a load ends with a graph or with problems that can be shown.

use super::{options, read};
use crate::{render, render_short};
use proptest::prelude::*;

/// Strings with the marks that mean something in them.
fn string() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "$", "{", "}", "${", "$${", "${a}", "${b}", "env:", ":-", "secret:", "E", "a", "é", ".", "/", "$in", "..",
        "p.ron", "x", " ", "\\n",
    ]);
    prop::collection::vec(part, 0..5).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![4 => string(), 1 => Just("5".to_string()), 1 => Just("Name".to_string())];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|v| format!("[{}]", v.join(", "))),
            prop::collection::vec((string(), inner), 0..3).prop_map(|v| format!(
                "{{{}}}",
                v.iter().map(|(k, v)| format!("{k}: {v}")).collect::<Vec<_>>().join(", ")
            )),
        ]
    })
}

fn node() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec!["T", "Include"]);
    let field =
        (prop::sample::select(vec!["input", "path", "params", "x"]), value()).prop_map(|(n, v)| format!("{n}: {v}"));
    (kind, prop::collection::vec(field, 0..3)).prop_map(|(kind, fields)| format!("{kind}({})", fields.join(", ")))
}

fn graph() -> impl Strategy<Value = String> {
    let names = || prop::sample::select(vec!["a", "b", "in", "x", "é.b"]);
    let entries = move |value: BoxedStrategy<String>| {
        prop::collection::vec((names(), value), 0..4)
            .prop_map(|v| v.iter().map(|(k, v)| format!("\"{k}\": {v}")).collect::<Vec<_>>().join(", "))
    };
    (entries(value().boxed()), entries(node().boxed()), entries(string().boxed()), value()).prop_map(
        |(params, nodes, outputs, inputs)| {
            format!("Graph(params: {{{params}}}, nodes: {{{nodes}}}, outputs: {{{outputs}}}, inputs: {inputs})")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_load_ends(graph in graph(), part in graph(), set in string()) {
        let text = format!("// file: graph.ron\n{graph}\n// file: p.ron\n{part}\n");
        let (sources, result, warnings) = read(&text, &options("local", &[("a", &set)], &[("E", "e")]));
        let mut problems = result.err().map(|p| p.0).unwrap_or_default();
        problems.extend(warnings);
        for problem in &problems {
            prop_assert!(problem.span.is_none_or(|s| sources.text(s.file).get(s.start as usize..s.end as usize).is_some()), "{problem:?}");
        }
        prop_assert_eq!(render_short(&problems, &sources).is_empty(), problems.is_empty());
        render(&problems, &sources, true);
    }
}
