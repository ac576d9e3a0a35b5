//! The plan of one graph with everything in it, in every format, and names that try to break out of them.

use super::{golden, good, read};
use crate::{Machine, Plan, Schedule, print, schedule};
use std::path::Path;

fn laid(plan: Plan) -> (Plan, Schedule) {
    let schedule = schedule(&plan, Machine { threads: 4 }, &|n| (n.index() == 1).then_some(1));
    (plan, schedule)
}

/// Two sources, a fan-out, a route, a join by exchange, a sort, single sinks, errors from everywhere.
fn picture() -> (Plan, Schedule) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/golden/picture.ron");
    let (sources, plan) = read(&std::fs::read_to_string(file).expect("the graph of the test"));
    laid(plan.unwrap_or_else(|p| panic!("{}", selvedge_spec::render_short(&p.0, &sources))))
}

#[test]
fn text() {
    let (plan, schedule) = picture();
    golden("picture.plan.txt", &print::text(&plan, &schedule));
}

#[test]
fn mermaid() {
    let (plan, schedule) = picture();
    golden("picture.mermaid", &print::mermaid(&plan, &schedule));
}

#[test]
fn dot() {
    let (plan, schedule) = picture();
    golden("picture.dot", &print::dot(&plan, &schedule));
}

#[test]
fn svg() {
    let (plan, schedule) = picture();
    golden("picture.svg", &print::svg(&plan, &schedule));
}

#[test]
fn json() {
    let (plan, schedule) = picture();
    golden("picture.json", &print::json(&plan, &schedule));
}

/// A picture without lines, and one with a single box.
#[test]
fn the_smallest_pictures() {
    let (plan, schedule) = laid(good(r#""a": Table(), "b": Null(input: "a")"#));
    let picture = print::svg(&plan, &schedule);
    well_formed(&picture);
    assert_eq!(picture.matches("<g>").count(), 2);
}

/// Columns, ports and the graph's name may be any text; none of it is ever markup.
#[test]
fn hostile_names_stay_text() {
    let evil = r##"]]>\"</text><script>&amp;#quot;|`\u{1b}[31m\u{0}\n-->--\\"##;
    let graph = format!(
        "Graph(name: \"]]>\\\"<b>&#quot;|`\", about: \"{evil}\", nodes: {{
            \"é\": Table(schema: {{\"{evil}\": Int64}}),
            \"b\": Route(input: \"é\", ways: [\"{evil}\", \"out\"]),
            \"c\": Dedup(input: [\"b\", \"b.out\"], columns: [\"{evil}\"]),
            \"d\": Null(input: \"c\"),
         }})"
    );
    let (sources, plan) = read(&graph);
    let (plan, schedule) = laid(plan.unwrap_or_else(|p| panic!("{}", selvedge_spec::render_short(&p.0, &sources))));

    let picture = print::svg(&plan, &schedule);
    well_formed(&picture);
    assert!(!picture.contains("<script>"));

    let value: serde_json::Value = serde_json::from_str(&print::json(&plan, &schedule)).expect("JSON");
    assert_eq!(
        value["nodes"][0]["outputs"][0]["schema"][0]["name"],
        plan.graph[petgraph::graph::NodeIndex::new(0)].outputs[0].schema.field(0).name().as_str()
    );

    for text in [print::text(&plan, &schedule), print::mermaid(&plan, &schedule), print::dot(&plan, &schedule)] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    // Every quoted string of DOT ends where it should: what is outside of them is ours alone.
    let mut outside = String::new();
    let mut quoted = false;
    let text = print::dot(&plan, &schedule);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => _ = chars.next(),
            '"' => quoted = !quoted,
            c if !quoted => outside.push(c),
            _ => {}
        }
    }
    assert!(!quoted && outside.chars().all(|c| c.is_ascii_alphanumeric() || " \n{}[]=,;->_".contains(c)), "{outside}");
    // And of Mermaid: an even number of quotes on each line, no markup in them but our own.
    for line in print::mermaid(&plan, &schedule).lines() {
        let ours = line.replace("<br/><small>", "").replace("</small>", "").replace("-->", "").replace("-.->", "");
        assert!(line.matches('"').count() % 2 == 0 && !ours.contains(['<', '>', '`', '&']), "{line}");
    }
}

/// A small check of XML: tags nest, `<` and `&` begin nothing else, no character that XML forbids.
fn well_formed(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    let mut open: Vec<&str> = vec![];
    for part in text.split('<').skip(1) {
        let (tag, words) = part.split_once('>').expect("a closed tag");
        for entity in words.split('&').skip(1).chain(tag.split('&').skip(1)) {
            let name = entity.split(';').next().unwrap_or_default();
            assert!(["amp", "lt", "gt", "quot"].contains(&name), "&{entity}");
        }
        assert!(tag.matches('"').count() % 2 == 0, "<{tag}>");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap_or_default()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
