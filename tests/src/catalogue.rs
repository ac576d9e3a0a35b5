//! What holds for every kind of node: a name of its own, docs, an example that parses, fields that are explained.

use selvedge_node::{ErasedKind, Role};
use selvedge_spec::{Files, NodeSpec, Options};
use std::collections::BTreeSet;
use std::path::Path;

/// A graph file that is on no disk.
struct One(String);

impl Files for One {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        if path.ends_with("graph.ron") { Ok(self.0.clone()) } else { Err(std::io::ErrorKind::NotFound.into()) }
    }
}

/// The only node of a graph.
#[track_caller]
fn node(text: &str) -> NodeSpec {
    let graph = One(format!("Graph(name: \"example\", nodes: {{ \"node\": {text} }})"));
    let (sources, spec, _) = selvedge_spec::load(&graph, Path::new("/graph.ron"), &Options::default());
    let spec = spec.unwrap_or_else(|p| panic!("{}\n{text}", selvedge_spec::render_short(&p.0, &sources)));
    spec.nodes.into_iter().next().unwrap()
}

/// Runs `check` for every kind; says at the end which kinds are wrong, and how.
#[track_caller]
fn each(check: impl Fn(&dyn ErasedKind) -> Vec<String>) {
    let catalogue = selvedge::catalogue(Default::default());
    let found: Vec<String> = catalogue
        .kinds()
        .flat_map(|k| check(k).into_iter().map(|p| format!("{} ({:?}): {p}", k.name(), k.role())).collect::<Vec<_>>())
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn unless(good: bool, problem: &str) -> Option<String> {
    (!good).then(|| problem.to_string())
}

#[test]
fn all_kinds_of_the_issue_are_there() {
    let catalogue = selvedge::catalogue(Default::default());
    let found: BTreeSet<(&str, Role)> = catalogue.kinds().map(|k| (k.name(), k.role())).collect();
    let sources = ["Files", "Table", "Generate"].map(|n| (n, Role::Source));
    let transforms = [
        "SchemaEdit",
        "DropNulls",
        "Dedup",
        "Filter",
        "Derive",
        "Clean",
        "Sql",
        "Aggregate",
        "Join",
        "Sort",
        "Union",
        "Route",
        "Explode",
        "Limit",
        "Sample",
        "Assert",
        "Window",
    ];
    let transforms = transforms.map(|n| (n, Role::Transform));
    let sinks = ["Files", "Warehouse", "Stdout", "Null"].map(|n| (n, Role::Sink));
    let missing: Vec<_> =
        sources.into_iter().chain(transforms).chain(sinks).filter(|kind| !found.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn names_are_unique_and_read_like_kinds() {
    let catalogue = selvedge::catalogue(Default::default());
    let mut seen = BTreeSet::new();
    for kind in catalogue.kinds() {
        assert!(seen.insert((kind.name().to_string(), kind.role())), "two kinds are {:?} {}", kind.role(), kind.name());
    }
    each(|k| {
        let name = k.name();
        let camel =
            name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric());
        unless(camel, "the name is not in CamelCase").into_iter().collect()
    });
}

#[test]
fn every_kind_is_explained() {
    each(|k| {
        let about = k.about();
        [
            unless((10..=100).contains(&about.chars().count()) && !about.contains('\n'), "`about` is not one line"),
            unless(!about.ends_with('.'), "`about` ends with a full stop"),
            unless(!about.starts_with(|c: char| c.is_uppercase()), "`about` starts with a capital"),
            unless(k.docs().len() >= 80, "the docs say too little"),
        ]
        .into_iter()
        .flatten()
        .collect()
    });
}

#[test]
fn every_example_parses_and_stands_where_its_kind_may() {
    each(|k| {
        let node = node(k.example());
        let mut problems: Vec<String> = [
            unless(*node.kind == k.name(), "the example is of another kind"),
            unless(
                node.inputs.is_empty() == (k.role() == Role::Source),
                "`input` in the example does not fit the role",
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        problems.extend(k.parse(&node.body).err().map(|p| format!("the example does not parse: {p}")));
        problems
    });
}

#[test]
fn an_unknown_field_is_refused_by_every_kind() {
    each(|k| {
        let input = if k.role() == Role::Source { "" } else { "input: \"a\", " };
        let node = node(&format!("{}({input}no_such_field: 1)", k.name()));
        match k.parse(&node.body) {
            Ok(_) => vec!["takes any field".into()],
            Err(p) if p.to_string().contains("no_such_field") => vec![],
            Err(p) => vec![format!("does not name the unknown field: {p}")],
        }
    });
}

#[test]
fn every_field_is_documented() {
    each(|k| {
        let schema = k.schema();
        let fields = schema["properties"].as_object().cloned().unwrap_or_default();
        let bare = fields.into_iter().filter(|(_, f)| f["description"].as_str().is_none_or(|d| d.trim().is_empty()));
        bare.map(|(name, _)| format!("the field `{name}` has no doc comment")).collect()
    });
}

#[test]
fn every_kind_is_in_the_printed_reference() {
    let place = crate::harness::Place::new();
    let list = place.selvedge(&["nodes"]).code(0).stdout;
    each(|k| unless(list.contains(k.about()), "is not in `selvedge nodes`").into_iter().collect());
    each(|k| {
        let text = place.selvedge(&["nodes", k.name()]).code(0).stdout;
        unless(text.contains(k.docs().lines().next().unwrap_or_default()), "`selvedge nodes NAME` lacks its docs")
            .into_iter()
            .collect()
    });
}
