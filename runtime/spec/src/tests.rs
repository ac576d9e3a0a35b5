//! Whole loads from memory: what a graph comes to, and what is said about wrong ones.

mod docs;
mod property;
mod wrong;

use crate::{Files, Options, Sources, Spec, load};
use selvedge_ron::{Problem, Problems, from_value};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::path::{Path, PathBuf};

/// Files in memory, from one text: each begins with a line `// file: path`.
struct Memory(BTreeMap<PathBuf, String>);

impl Memory {
    fn new(text: &str) -> Memory {
        let files = text.split("// file: ").skip(1).map(|part| {
            let (path, text) = part.split_once('\n').unwrap_or((part, ""));
            (PathBuf::from(path.trim()), text.to_string())
        });
        Memory(files.collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> IoResult<String> {
        self.0.get(&crate::loader::normal(path)).cloned().ok_or_else(|| Error::new(ErrorKind::NotFound, "no such file"))
    }
}

type Loaded = (Sources, Result<Spec, Problems>, Vec<Problem>);

fn read(text: &str, options: &Options) -> Loaded {
    load(&Memory::new(text), Path::new("graph.ron"), options)
}

fn options(profile: &str, set: &[(&str, &str)], env: &[(&str, &str)]) -> Options {
    let owned = |(a, b): &(&str, &str)| (a.to_string(), b.to_string());
    Options {
        profile: profile.into(),
        set: set.iter().map(owned).collect(),
        env: env.iter().map(owned).collect(),
        connections: None,
        vault: |name, _| {
            let name = name.strip_prefix("vault:")?;
            Some(if name == "there" { Ok("kept".into()) } else { Err((format!("no {name}"), Some("make it".into()))) })
        },
    }
}

fn good(text: &str, options: &Options) -> Spec {
    let (sources, result, _) = read(text, options);
    result.unwrap_or_else(|p| panic!("{}", crate::render(&p.0, &sources, false)))
}

/// One line for each node: `name Kind(body) <- port=node.output …`.
#[track_caller]
fn check(text: &str, options: &Options, expected: &[&str]) -> Spec {
    let spec = good(text, options);
    let lines: Vec<String> = spec
        .nodes
        .iter()
        .map(|n| {
            let mut line = format!("{} {}", n.name, n.body);
            for input in &n.inputs {
                let port = input.port.as_ref().map(|p| format!("{p}=")).unwrap_or_default();
                let output = input.output.as_ref().map(|o| format!(".{o}")).unwrap_or_default();
                line.push_str(&format!(" <- {port}{}{output}", input.node));
            }
            line
        })
        .collect();
    assert_eq!(lines, expected);
    spec
}

#[test]
fn a_graph() {
    let text = r#"
// file: graph.ron
Graph(name: "g", about: "all about it", nodes: {
    "a": Table(connection: "db"),
    "b": Join(input: {"left": "a", "right": ["b2", "a.errors"]}, on: ["x"]),
    "b2": Null(input: ["a"]),
})"#;
    let spec = check(
        text,
        &Options::default(),
        &[
            "a Table(connection: \"db\")",
            "b Join(on: [\"x\"]) <- left=a <- right=b2 <- right=a.errors",
            "b2 Null() <- a",
        ],
    );
    assert_eq!((spec.name.as_str(), spec.about.as_str(), spec.profile.as_str()), ("g", "all about it", "local"));
    assert_eq!(spec.nodes[0].base, Path::new("."));
}

/// The example of the design, as it stands there.
#[test]
fn the_inventory_graph() {
    let text = r#"
// file: graph.ron
Graph(
    name: "inventory",
    about: "RDS inventory, cleaned, into the warehouse",
    params: { "since": "2024-01-01" },
    nodes: {
        "stock":    Table(connection: "retail_db", table: "inventory", bookmark: "updated_at"),
        "typed":    SchemaEdit(input: "stock", edits: [
                        Drop(["legacy_code"]), Rename("qty", "quantity"),
                        Cast("quantity", Int32, on_error: Null), Add("loaded_at", "now()"),
                    ]),
        "unique":   Dedup(input: "typed", keys: ["sku", "store_id"], keep: Last(by: "updated_at")),
        "load":     Warehouse(input: "unique", connection: "warehouse", mode: Upsert(["sku", "store_id"])),
        "rejects":  Files(input: ["typed.errors", "load.errors"], connection: "lake", format: Ndjson),
    },
)"#;
    let (_, spec, warnings) = read(text, &Options::default());
    assert_eq!(spec.expect("a graph").nodes.len(), 5);
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].message, "the parameter `since` is never used");
}

#[test]
fn the_place_of_an_input_is_its_name() {
    let text = "// file: graph.ron\nGraph(nodes: {\"a\": T(input: \"node.port\")})";
    let (sources, result, _) = read(text, &Options::default());
    let spec = result.expect("a graph");
    let input = &spec.nodes[0].inputs[0];
    assert_eq!(sources.slice(input.node.span), "node");
    assert_eq!(input.output.as_ref().map(|o| sources.slice(o.span)), Some("port"));
    assert_eq!(sources.line_col(input.node.span), (1, 30));
}

#[test]
fn values() {
    let text = r#"
// file: graph.ron
Graph(name: "of ${store}", params: {"store": "12", "n": 5, "keys": ["a", "${store}"], "mode": "Append", "from": "${env:FROM:-x}"}, nodes: {
    "a": T(n: "${n}", keys: "${keys}", path: "p/${store}/${n}.csv", literal: "$${n}", from: "${from}", home: "${env:HOME}",
           mode: "${mode}", empty: "${env:EMPTY:-full}", missing: "${env:MISSING:-}"),
})"#;
    let env = [("HOME", "/h"), ("EMPTY", "")];
    let spec = check(
        text,
        &options("local", &[], &env),
        &[
            r#"a T(n: 5, keys: ["a", "12"], path: "p/12/5.csv", literal: "${n}", from: "x", home: "/h", mode: "Append", empty: "full", missing: "")"#,
        ],
    );
    assert_eq!(spec.name, "of 12");
    let set =
        [("store", "13"), ("n", "6"), ("keys", "[\"${n}\"]"), ("mode", "Upsert([\"k\"])"), ("from", "2024-01-01")];
    let spec = check(
        text,
        &options("local", &set, &env),
        &[
            r#"a T(n: 6, keys: [6], path: "p/13/6.csv", literal: "${n}", from: "2024-01-01", home: "/h", mode: "Upsert([\"k\"])", empty: "full", missing: "")"#,
        ],
    );
    assert_eq!(spec.params[1].value.to_string(), "6");
}

#[test]
fn secrets_of_services_are_asked_for() {
    let sources = |text: &str| {
        let loaded = read(
            &format!(
                r#"// file: graph.ron
Graph(name: "g", nodes: {{"a": N(x: "{text}")}})"#
            ),
            &options("local", &[], &[]),
        );
        (loaded.1.map(|spec| format!("{:?}", spec.nodes)), loaded.0)
    };
    let (spec, _) = sources("${secret:vault:there}");
    assert!(!spec.unwrap().contains("kept"));
    let (problems, files) = sources("${secret:vault:gone}");
    let told = crate::render(&problems.unwrap_err().0, &files, false);
    assert!(told.contains("cannot read the secret `vault:gone`: no gone") && told.contains("make it"), "{told}");
    let (problems, files) = sources("${secret:other:there}");
    assert!(crate::render(&problems.unwrap_err().0, &files, false).contains("is no name of a secret"));
}

#[test]
fn secrets_do_not_print() {
    let text = r#"
// file: graph.ron
Graph(params: {"key": "${secret:KEY}"}, nodes: {"a": T(url: "x://me:${secret:DB}@h", key: "${key}")})
// file: vault/KEY
hunter3
"#;
    let spec =
        good(text, &options("local", &[], &[("SELVEDGE_SECRET_DB", "hunter2"), ("SELVEDGE_SECRETS_DIR", "vault")]));
    let shown = format!("{spec:?} {} {}", spec.nodes[0].body, selvedge_ron::to_json(&spec.nodes[0].body));
    assert!(!shown.contains("hunter"), "{shown}");
    let read: BTreeMap<String, String> = from_value(&spec.nodes[0].body).expect("strings");
    assert_eq!(read, BTreeMap::from([("url".into(), "x://me:hunter2@h".into()), ("key".into(), "hunter3".into())]));
}

#[test]
fn connections_of_the_profile() {
    let text = r#"
// file: graph.ron
Graph(nodes: {})
// file: ../connections.ron
Connections(profiles: {
    "local": {"lake": Folder(path: "lake"), "null": Null()},
    "aws": {"lake": S3(bucket: "${env:BUCKET}")},
})"#;
    let shown = |options: &Options| {
        let spec = good(text, options);
        assert!(spec.connections.iter().all(|c| c.base == Path::new("..")));
        spec.connections.iter().map(|c| format!("{} {} {}", c.name, c.kind, c.body)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&Options::default()), ["lake Folder Folder(path: \"lake\")", "null Null Null()"]);
    assert_eq!(shown(&options("aws", &[], &[("BUCKET", "b")])), ["lake S3 S3(bucket: \"b\")"]);
    let moved = Memory::new(&text.replace("../connections.ron", "else/where.ron"));
    let options = Options { connections: Some("else/where.ron".into()), ..Options::default() };
    let (_, spec, _) = load(&moved, Path::new("graph.ron"), &options);
    assert_eq!(spec.expect("a graph").connections.len(), 2);
}

#[test]
fn includes() {
    let text = r#"
// file: graph.ron
Graph(params: {"x": 7}, nodes: {
    "stock": Table(),
    "more": Table(),
    "clean": Include(path: "parts/clean.ron", params: {"limit": "${x}"}, input: ["stock", "more.errors"]),
    "load": Warehouse(input: "clean"),
    "bad": Files(input: ["clean.errors", "stock.errors", "clean.all"]),
    "both": Include(path: "parts/both.ron", input: {"left": "clean", "right": "load.errors"}),
})
// file: parts/clean.ron
Graph(params: {"limit": 1}, inputs: ["in"], outputs: {"out": "unique", "errors": "typed.errors", "all": "deep"}, nodes: {
    "typed": SchemaEdit(input: "$in", limit: "${limit}"),
    "deep": Include(path: "../deep.ron", input: "typed"),
    "unique": Dedup(input: {"main": "deep"}),
})
// file: deep.ron
Graph(inputs: ["rows"], outputs: {"rows": "$in"}, nodes: {"count": Null(input: "$in.rows")})
// file: parts/both.ron
Graph(inputs: ["left", "right"], nodes: {"join": Join(input: {"l": "$in.left", "r": "$in.right"})})
"#;
    let spec = check(
        text,
        &Options::default(),
        &[
            "stock Table()",
            "more Table()",
            "clean/typed SchemaEdit(limit: 7) <- stock <- more.errors",
            "clean/deep/count Null() <- clean/typed",
            "clean/unique Dedup() <- main=clean/typed",
            "load Warehouse() <- clean/unique",
            "bad Files() <- clean/typed.errors <- stock.errors <- clean/typed",
            "both/join Join() <- l=clean/unique <- r=load.errors",
        ],
    );
    assert_eq!(spec.nodes[2].base, Path::new("parts"));
}

#[test]
fn a_folder_is_its_graph() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("graph.ron"), "Graph(nodes: {})").expect("written");
    let (_, spec, _) = load(&crate::Os, folder.path(), &Options::default());
    assert_eq!(spec.expect("a graph").name, folder.path().file_name().expect("a name").to_string_lossy());
    let (_, missing, _) = load(&crate::Os, &folder.path().join("nothing"), &Options::default());
    assert!(missing.expect_err("missing").0[0].message.starts_with("cannot read the graph "));
    std::fs::remove_file(folder.path().join("graph.ron")).expect("removed");
    let (_, empty, _) = load(&crate::Os, folder.path(), &Options::default());
    assert_eq!(empty.expect_err("empty").0[0].help.as_deref(), Some("a folder that is run has a graph.ron in it"));
    std::fs::write(folder.path().join("graph.ron"), b"\xff\xfe").expect("written");
    let (_, binary, _) = load(&crate::Os, folder.path(), &Options::default());
    assert!(binary.expect_err("binary").0[0].message.contains("UTF-8"));
}

#[test]
fn a_thousand_nodes_load_fast() {
    let nodes: String =
        (1..1000).map(|i| format!("\"n{i}\": Filter(input: \"n{}\", sql: \"x > ${{x}}\"),", i - 1)).collect();
    let text = format!("// file: graph.ron\nGraph(params: {{\"x\": 1}}, nodes: {{\"n0\": Table(), {nodes}}})");
    let start = std::time::Instant::now();
    assert_eq!(good(&text, &Options::default()).nodes.len(), 1000);
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
}

/// A graph's name is the name of its report and of its folder of positions.
#[test]
fn a_name_is_no_path() {
    for name in ["", ".", "..", "../../etc/cron", "a/b", "a\\\\b", "a\\nb", ".hidden", &"x".repeat(201)] {
        let text = format!("// file: graph.ron\nGraph(name: \"{name}\", nodes: {{}})");
        let (_, result, _) = read(&text, &Options::default());
        let problems = result.expect_err(name).0;
        assert!(problems[0].message.ends_with("is no name of a graph"), "{problems:?}");
    }
    assert_eq!(
        good("// file: graph.ron\nGraph(name: \"Läger v1.2 (alt)\", nodes: {})", &Options::default()).name,
        "Läger v1.2 (alt)"
    );
}

/// Small texts that ask for huge graphs are refused.
#[test]
fn bombs() {
    let refused = |text: &str, message: &str| {
        let (_, result, _) = read(text, &Options::default());
        let problems = result.expect_err(message).0;
        assert!(problems.iter().any(|p| p.message.contains(message)), "{problems:?}");
    };
    let chain = |length: usize, next: &dyn Fn(usize) -> String| {
        let params: String = (0..length).map(|i| format!("\"p{i}\": {},", next(i + 1))).collect();
        format!(
            "// file: graph.ron\nGraph(params: {{{params} \"p{length}\": \"xxxxxxxx\"}}, nodes: {{\"a\": T(x: \"${{p0}}\")}})"
        )
    };
    refused(&chain(30, &|i| format!("\"${{p{i}}}${{p{i}}}${{p{i}}}\"")), "grow beyond");
    refused(&chain(30, &|i| format!("[\"${{p{i}}}\", \"${{p{i}}}\", \"${{p{i}}}\"]")), "grow beyond");
    refused(&chain(30, &|i| format!("[[[[[[\"${{p{i}}}\"]]]]]]")), "nested deeper");
    refused(&chain(5000, &|i| format!("\"${{p{i}}}\"")), "in a row");
    let twice = |i: usize| {
        format!(
            "// file: g{i}.ron\nGraph(nodes: {{\"a\": Include(path: \"g{}.ron\"), \"b\": Include(path: \"g{}.ron\")}})\n",
            i + 1,
            i + 1
        )
    };
    let files: String = (0..20).map(twice).collect();
    refused(&files.replace("g0.ron", "graph.ron"), "deeper than 16 levels");
}
