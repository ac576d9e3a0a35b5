//! The rules of the house, as tests: arrows between crates, file heads, file sizes, complete lists.

use crate::harness::top;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// All files below a folder with this extension, but for what is generated or vendored.
fn files(below: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![below.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "out", "node_modules"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn short(path: &Path) -> String {
    path.strip_prefix(top()).unwrap_or(path).display().to_string()
}

#[track_caller]
fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn every_source_file_says_what_lives_in_it() {
    let bad = files(&top(), "rs").into_iter().filter(|f| !read(f).starts_with("//! "));
    none("files that do not begin with `//! `", bad.map(|f| short(&f)).collect());
}

#[test]
fn no_source_file_is_too_long() {
    let bad = files(&top(), "rs").into_iter().filter_map(|f| {
        let lines = read(&f).lines().count();
        (lines > 600).then(|| format!("{}: {lines} lines", short(&f)))
    });
    none("files of more than 600 lines are two files", bad.collect());
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", concat!("TO", "DO"), concat!("FIX", "ME")];
    let mine = Path::new(file!()).file_name().unwrap().to_owned();
    let bad = files(&top(), "rs").into_iter().filter(|f| f.file_name() != Some(&mine)).filter_map(|f| {
        let text = read(&f);
        words.iter().find(|w| text.contains(**w)).map(|w| format!("{}: {w}", short(&f)))
    });
    none("unfinished work", bad.collect());
}

/// Names of our own crates in the `[dependencies]` of a manifest, and in its other dependency sections.
fn dependencies(manifest: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut normal, mut others) = (BTreeSet::new(), BTreeSet::new());
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if line.starts_with("selvedge") && section.ends_with("dependencies]") {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default().to_string();
            if section == "[dependencies]" {
                normal.insert(name)
            } else {
                others.insert(name)
            };
        }
    }
    (normal, others)
}

/// What each crate may know, from the ground up. `deps` is no knowledge: it only makes all crates build third-party
/// crates with one set of features. A node crate is one that only `selvedge` knows.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("selvedge-deps", &[]),
    ("selvedge-ron", &[]),
    ("selvedge-node", &["selvedge-ron"]),
    ("selvedge-testkit", &["selvedge-ron", "selvedge-node"]),
    ("selvedge-cast", &["selvedge-node"]),
    ("selvedge-state", &["selvedge-node"]),
    ("selvedge-spec", &["selvedge-ron"]),
    ("selvedge-plan", &["selvedge-ron", "selvedge-node", "selvedge-spec"]),
    ("selvedge-exec", &["selvedge-ron", "selvedge-node", "selvedge-state", "selvedge-spec", "selvedge-plan"]),
    ("selvedge-orc", &["selvedge-node", "selvedge-connect"]),
    ("selvedge-schemas", &["selvedge-ron", "selvedge-node"]),
    ("selvedge-connect", &["selvedge-node", "selvedge-cast", "selvedge-schemas"]),
    ("selvedge-connect-mysql", CONNECT),
    ("selvedge-connect-postgres", CONNECT),
    ("selvedge-connect-aws", CONNECT),
    ("selvedge-connect-objects", CONNECT),
    ("selvedge-connect-search", CONNECT),
    (
        "selvedge-connect-redshift",
        &[
            "selvedge-ron",
            "selvedge-node",
            "selvedge-schemas",
            "selvedge-connect",
            "selvedge-connect-postgres",
            "selvedge-connect-objects",
        ],
    ),
    ("selvedge-servers", &[]),
    ("selvedge-sources", NODE),
    ("selvedge-transforms", NODE),
    ("selvedge-sinks", NODE),
    ("selvedge-tables", NODE),
    ("selvedge-sql", NODE),
    ("selvedge-keyed", NODE),
    ("selvedge-text", NODE),
    ("selvedge-generate", NODE),
    ("selvedge-wasm", NODE),
    ("selvedge-guest", &[]),
    ("size_normalizer", GUEST),
    ("upc_check", GUEST),
    ("evil", GUEST),
    ("speed", GUEST),
    ("fixed_width", GUEST),
    ("text_template", GUEST),
    ("intent_tagger", GUEST),
    ("session_features", GUEST),
];
const GUEST: &[&str] = &["selvedge-guest"];
const NODE: &[&str] = &[
    "selvedge-ron",
    "selvedge-node",
    "selvedge-connect",
    "selvedge-state",
    "selvedge-cast",
    "selvedge-orc",
    "selvedge-schemas",
];
/// A client of something outside: the seam it stands behind, and nothing of the nodes.
const CONNECT: &[&str] =
    &["selvedge-ron", "selvedge-node", "selvedge-connect", "selvedge-connect-aws", "selvedge-cast", "selvedge-schemas"];
/// These may know everything.
const TOP: &[&str] = &["selvedge", "selvedge-tests", "selvedge-bench"];

#[test]
fn arrows_between_crates_run_one_way() {
    let mut bad = vec![];
    for manifest in files(&top(), "toml").into_iter().filter(|f| f.ends_with("Cargo.toml")) {
        let text = read(&manifest);
        let Some(name) = text.lines().find_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"')) else { continue };
        if TOP.contains(&name) {
            continue;
        }
        let Some((_, may)) = MAY_KNOW.iter().find(|(known, _)| *known == name) else {
            bad.push(format!("{}: say in {} what `{name}` may know", short(&manifest), file!()));
            continue;
        };
        let (normal, dev) = dependencies(&text);
        let strange = |d: &&String| *d != "selvedge-deps" && !may.contains(&d.as_str());
        bad.extend(normal.iter().filter(strange).map(|d| format!("{name} → {d}")));
        // Tests may use the testkit besides; but what a crate must not know its tests do not know either.
        let strange = |d: &&String| strange(d) && !["selvedge-testkit", "selvedge-servers"].contains(&d.as_str());
        bad.extend(dev.iter().filter(strange).map(|d| format!("{name} → {d} (in tests)")));
        if manifest.starts_with(top().join("sdk")) && normal.contains("selvedge-deps") {
            bad.push(format!(
                "{name} → selvedge-deps: what authors of nodes use must not pull in the runtime's crates"
            ));
        }
    }
    none("arrows that must not be", bad);
}

#[test]
fn every_node_is_in_its_crates_list() {
    let mut bad = vec![];
    let mut nodes = 0;
    // Other crates have kinds of their own for tests and benchmarks, which no graph is to name.
    let crates = MAY_KNOW.iter().filter(|(_, may)| *may == NODE).filter_map(|(name, _)| name.strip_prefix("selvedge-"));
    for file in crates.flat_map(|name| files(&top().join("runtime").join(name).join("src"), "rs")) {
        let text = read(&file);
        for line in text.lines() {
            let Some((_, name)) = line.split_once(" Kind for ").filter(|(start, _)| start.starts_with("impl")) else {
                continue;
            };
            let name = name.split([' ', '{', '<']).next().unwrap_or_default();
            nodes += 1;
            let source = file.ancestors().find(|a| a.ends_with("src")).unwrap();
            let list = read(&source.join("lib.rs"));
            let entry = list.match_indices("erase::<").any(|(at, _)| {
                let path = list[at + 8..].split(['>', '<']).next().unwrap_or_default();
                path.rsplit("::").next() == Some(name)
            });
            if !entry {
                bad.push(format!("{}: {name} is not in kinds() of {}", short(&file), short(&source.join("lib.rs"))));
            }
        }
    }
    none("nodes that no graph can name", bad);
    assert!(nodes >= 20, "only {nodes} nodes found: does this test still look where they are?");
}

#[test]
fn every_node_crate_is_in_the_catalogue() {
    let mut bad = vec![];
    let names = files(&top().join("runtime/selvedge/src"), "rs").iter().map(|f| read(f)).collect::<String>();
    for (name, may) in MAY_KNOW {
        if *may == NODE && !names.contains(&format!("{}::kinds", name.replace('-', "_"))) {
            bad.push((*name).to_string());
        }
    }
    none("crates whose kinds() runtime/selvedge does not call", bad);
}

#[test]
fn every_member_shares_versions_and_lints() {
    let mut bad = vec![];
    for manifest in files(&top(), "toml").into_iter().filter(|f| f.ends_with("Cargo.toml")) {
        let text = read(&manifest);
        if text.contains("[workspace]") {
            continue;
        }
        for line in ["version.workspace = true", "license.workspace = true", "publish.workspace = true"] {
            if !text.contains(line) {
                bad.push(format!("{}: no `{line}`", short(&manifest)));
            }
        }
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            } else if section.ends_with("dependencies]") && line.contains('=') && !line.contains("workspace = true") {
                bad.push(format!("{}: {line}", short(&manifest)));
            }
        }
    }
    none("versions belong into the workspace's table", bad);
}

#[test]
fn every_graph_is_tested_and_complete() {
    let mut bad = vec![];
    for folder in std::fs::read_dir(top().join("graphs")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if name == "out" {
            continue;
        }
        if !crate::graphs::GRAPHS.iter().any(|g| g.name == name) {
            bad.push(format!("graphs/{name} is not in the list of graphs.rs"));
        }
        for part in ["graph.ron", "data", "expected/ledger.txt"] {
            if !folder.join(part).exists() {
                bad.push(format!("graphs/{name}/{part} is missing"));
            }
        }
        let mut sizes = vec![folder.clone()];
        while let Some(path) = sizes.pop() {
            if path.is_dir() {
                sizes.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            } else if path.metadata().unwrap().len() > 512 << 10 {
                bad.push(format!("{} is larger than 512 KiB", short(&path)));
            }
        }
    }
    none("graphs that are not whole", bad);
}

#[test]
fn dependencies_of_a_manifest_are_found() {
    let (normal, dev) = dependencies(
        "[package]\nname = \"selvedge-x\"\n[dependencies]\nselvedge-node.workspace = true\nserde = \"1\"\n\
         [dev-dependencies]\nselvedge-testkit = { path = \"x\" }\n",
    );
    assert_eq!(normal.into_iter().collect::<Vec<_>>(), ["selvedge-node"]);
    assert_eq!(dev.into_iter().collect::<Vec<_>>(), ["selvedge-testkit"]);
}
