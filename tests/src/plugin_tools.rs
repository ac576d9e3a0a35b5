//! What people do with plugins: make one, test it, pin it, fetch it, build it again.

use crate::harness::{Place, json, top};
use crate::toolchain;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn component(name: &str) -> Vec<u8> {
    std::fs::read(top().join(format!("plugins/{name}.wasm"))).unwrap()
}

/// The commands in the docs under this heading.
fn session(document: &str, heading: &str) -> String {
    let text = std::fs::read_to_string(top().join("docs").join(document)).unwrap();
    let (_, after) = text.split_once(&format!("## {heading}\n")).unwrap();
    let section = after.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap());
    blocks.collect()
}

/// Runs commands of the docs as a person would, with `selvedge` on the path.
fn follow(place: &Place, commands: &str) -> String {
    let bin = place.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_selvedge-under-test"), bin.join("selvedge")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", commands]).current_dir(place.0.path());
    shell.env("PATH", path).env("NO_COLOR", "1");
    shell.env("SELVEDGE_PLUGIN_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/plugins"));
    // Built once, not by every run of the tests.
    shell.env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/session"));
    let ran = shell.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    said
}

#[test]
fn a_new_user_gets_from_nothing_to_a_running_graph() {
    toolchain::rust();
    let place = Place::new();
    let said = follow(&place, &session("plugins.md", "From nothing to a graph"));
    for words in [
        "made price_check",
        "PriceCheck is a transform of contract 0.1.1",
        "2 of 2 cases hold",
        "`prices` is sound: 4 nodes, 3 edges\n  checked: transform price_check.wasm, ",
        "; granted: nothing",
        "► out: sku Utf8, price Float64",
        "done: every row accounted for",
        "implausible price",
    ] {
        assert!(said.contains(words), "no `{words}` in\n{said}");
    }
    assert_eq!(place.published("price_check/out"), ["pen,1.5", "sku,price"]);
}

/// A graph with a plugin that is pinned by a lock file.
fn pinned() -> Place {
    let place = Place::with(
        r#"Graph(name: "upc", nodes: {
            "rows": Files(path: "in.csv", format: Csv(), schema: { "upc": Utf8 }),
            "checked": Plugin(input: "rows", path: "p/check.wasm", config: (column: "upc")),
            "out": Files(input: "checked", path: "out", format: Csv()),
        })"#,
    );
    place.write("in.csv", "upc\n036000291452\n");
    place.write("p/check.wasm", component("upc_check"));
    place
}

#[test]
fn a_locked_run_takes_no_other_plugin() {
    let place = pinned();
    let ran = place.with_plugins(&["run", "graph.ron", "--locked"]).code(2);
    assert!(ran.stderr.contains("there is no plugins.lock"), "{}", ran.stderr);

    place.with_plugins(&["plugin", "lock", "graph.ron"]).code(0);
    let lock = std::fs::read_to_string(place.path("plugins.lock")).unwrap();
    assert_eq!(lock, format!("{}  p/check.wasm\n", hash(&component("upc_check"))));
    let checked = Command::new("sha256sum").args(["-c", "plugins.lock"]).current_dir(place.0.path()).output().unwrap();
    assert!(checked.status.success(), "sha256sum reads it too");
    place.with_plugins(&["run", "graph.ron", "--locked", "--quiet"]).code(0);

    // Another file in its place: refused, or at least said.
    place.write("p/check.wasm", std::fs::read(top().join("tests/data/contract-0.1.0.wasm")).unwrap());
    let ran = place.with_plugins(&["check", "graph.ron", "--locked", "--short"]).code(2);
    assert!(
        ran.stderr.contains("graph.ron:3:") && ran.stderr.contains("is not what plugins.lock pins"),
        "{}",
        ran.stderr
    );
    let ran = place.with_plugins(&["check", "graph.ron", "--short"]).code(0);
    assert!(ran.stderr.contains("warning: `p/check.wasm` is not what plugins.lock pins"), "{}", ran.stderr);
}

/// Serves these bytes to everybody who asks, at the address that it answers with; counts how often.
fn serve(bytes: Vec<u8>) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let found = head.starts_with(b"GET /check.wasm");
            let (status, body) = if found { ("200 OK", &bytes[..]) } else { ("404 Not Found", &b""[..]) };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).unwrap();
        }
    });
    (address, asked)
}

#[test]
fn a_plugin_comes_from_a_url_once() {
    let (address, asked) = serve(component("upc_check"));
    let place = pinned();
    let graph = std::fs::read_to_string(place.path("graph.ron")).unwrap();
    let with = |file: &str, sha256: &str| {
        let url = format!(r#"url: "http://{address}/{file}?token=hush"{sha256}"#);
        place.write("graph.ron", graph.replace(r#"path: "p/check.wasm""#, &url));
    };
    let run =
        |words: &[&str]| place.start_with(words, |c| _ = c.env("SELVEDGE_PLUGIN_CACHE", place.path("cache"))).wait();

    with("check.wasm", "");
    assert!(run(&["check", "graph.ron", "--short"]).code(2).stderr.contains("a plugin from a URL needs its `sha256`"));
    with("check.wasm", r#", sha256: "abc""#);
    assert!(run(&["check", "graph.ron", "--short"]).code(2).stderr.contains("expected a SHA-256"));
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);

    let right = format!(r#", sha256: "{}""#, hash(&component("upc_check")));
    with("gone.wasm", &right);
    let ran = run(&["check", "graph.ron", "--short"]).code(2);
    assert!(ran.stderr.contains(&format!("cannot download http://{address}/gone.wasm: HTTP status client error (404")));
    with("check.wasm", &format!(r#", sha256: "{}""#, "0".repeat(64)));
    let ran = run(&["check", "graph.ron", "--short"]).code(2);
    assert!(ran.stderr.contains("is another file: its SHA-256 is"), "{}", ran.stderr);

    with("check.wasm", &right);
    let before = asked.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..2 {
        let ran = run(&["run", "graph.ron", "--report", "run.json"]).code(0);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    }
    run(&["plugin", "lock", "graph.ron"]).code(0);
    run(&["run", "graph.ron", "--locked"]).code(0);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst) - before, 1, "kept after the first download");
    let lock = std::fs::read_to_string(place.path("plugins.lock")).unwrap();
    assert!(lock.ends_with(&format!("  http://{address}/check.wasm\n")), "{lock}");
}

#[test]
fn a_plugin_of_an_older_contract_runs() {
    let place = pinned();
    place.write("p/check.wasm", std::fs::read(top().join("tests/data/contract-0.1.0.wasm")).unwrap());
    place.with_plugins(&["run", "graph.ron", "--quiet"]).code(0);
    assert_eq!(place.published("out"), ["00036000291452", "upc"]);
    let ran = place.with_plugins(&["plugin", "check", "p/check.wasm"]).code(0);
    assert!(ran.stdout.contains("UpcCheck is a transform of contract 0.1.0"), "{}", ran.stdout);
}

#[test]
fn plugins_of_one_name_do_not_clash() {
    let place = Place::with(
        r#"Graph(name: "two", nodes: {
            "rows": Files(path: "in.csv", format: Csv(), schema: { "upc": Utf8, "size": Utf8 }),
            "ours": Plugin(input: "rows", path: "ours/check.wasm", config: (column: "upc", length: 13)),
            "theirs": Plugin(input: "ours", path: "theirs/check.wasm", config: (column: "size", assume: "women")),
            "old": Plugin(input: "theirs", path: "old/check.wasm", config: (column: "upc", length: 14)),
            "out": Files(input: "old", path: "out", format: Csv()),
        })"#,
    );
    place.write("in.csv", "upc,size\n036000291452,x-large\n");
    place.write("ours/check.wasm", component("upc_check"));
    place.write("theirs/check.wasm", component("size_normalizer"));
    // Of the same name inside, too.
    place.write("old/check.wasm", std::fs::read(top().join("tests/data/contract-0.1.0.wasm")).unwrap());
    place.with_plugins(&["run", "graph.ron", "--report", "run.json", "--quiet"]).code(0);
    assert!(place.published("out")[0].starts_with("00036000291452,x-large,"), "{:?}", place.published("out"));
    let nodes = json(&place.path("run.json"))["nodes"].clone();
    assert!(nodes.as_array().unwrap().iter().all(|n| n["inputs"][0]["rows"] == 1 || n["name"] == "rows"), "{nodes}");
}

#[test]
fn cases_of_all_plugins_hold() {
    let place = Place::new();
    let mut with_cases = 0;
    for entry in std::fs::read_dir(top().join("plugins")).unwrap() {
        let cases = entry.unwrap().path().join("cases");
        let component = cases.parent().unwrap().with_extension("wasm");
        if !cases.is_dir() || !component.is_file() {
            continue;
        }
        with_cases += 1;
        let (component, cases) = (component.display().to_string(), cases.display().to_string());
        let ran = place.with_plugins(&["plugin", "test", &component, "--cases", &cases]);
        assert_eq!(ran.code, Some(0), "{}", ran.stdout);
        place.with_plugins(&["plugin", "check", &component]).code(0);
    }
    assert!(with_cases >= 6, "{with_cases}");
}

#[test]
fn a_case_that_does_not_hold_is_shown() {
    let place = Place::new();
    place.write("check.wasm", component("upc_check"));
    let case = |text: &str| {
        place.write("cases/one.ron", text);
        let ran = place.with_plugins(&["plugin", "test", "check.wasm"]);
        (ran.code, ran.stdout)
    };
    let rows = r#"input: "upc\n036000291452\n12-34""#;
    let (code, said) = case(&format!(r#"(config: (column: "upc"), {rows}, output: "upc\n36000291452")"#));
    assert_eq!(code, Some(1));
    for words in [
        "FAILED  one",
        "rows of port `out`: expected (-), found (+)\n          - 36000291452\n          + 00036000291452",
        "rejected: expected none, found 1 as `upc.length`",
        "0 of 1 cases hold",
    ] {
        assert!(said.contains(words), "no `{words}` in\n{said}");
    }
    for (text, words) in [
        (
            format!(r#"(config: (column: "ucp"), {rows})"#),
            "cases/one.ron:1:19: error: check.wasm: no column named `ucp`",
        ),
        (
            format!(r#"(config: (column: "ucp"), {rows}, refused: "no such")"#),
            "expected an error with `no such`, found:",
        ),
        (format!(r#"(config: (column: "upc"), {rows}, refused: "x")"#), "must be refused with `x`, but it is sound"),
        (r#"(input: "upc:Txt\n1")"#.into(), "cases/one.ron:1:9: error: type of upc:Txt"),
        (r#"(input: "upc | b\n1")"#.into(), "expected 2 cells, found 1 in `1`"),
        (
            r#"(config: (column: "upc"), inputs: {"left": "upc\n1"})"#.into(),
            "the plugin has no input port named `left`",
        ),
        (r#"(inptu: "upc\n1")"#.into(), "inptu"),
        ("(".into(), "cases/one.ron:1:"),
    ] {
        let (code, said) = case(&text);
        assert!(code == Some(1) && said.contains(words), "{text}: no `{words}` in\n{said}");
    }
    let ran = place.with_plugins(&["plugin", "test", "check.wasm", "--cases", "none"]).code(2);
    assert!(ran.stderr.contains("cannot list none"), "{}", ran.stderr);
}

#[test]
fn a_plugin_is_measured() {
    let place = Place::new();
    let cases = top().join("plugins/upc_check/cases").display().to_string();
    let component = top().join("plugins/upc_check.wasm").display().to_string();
    let ran = place.with_plugins(&["plugin", "bench", &component, "--cases", &cases, "--seconds", "1"]).code(0);
    for words in ["calls of 8,192 rows", "rows a second", "times a copy of the batch", "memory of an instance"] {
        assert!(ran.stdout.contains(words), "no `{words}` in\n{}", ran.stdout);
    }
}

/// What the committed components were built from and with: `plugins/build` writes it.
#[test]
fn committed_components_are_what_their_source_makes() {
    let built = std::fs::read_to_string(top().join("plugins/built")).unwrap();
    let (compiler, entries) = built.split_once('\n').unwrap();
    let names = entries.lines().map(|l| l.strip_suffix(".wasm").unwrap().split_once("  ").unwrap());
    let entries: Vec<(&str, &str)> = names.collect();
    for (hash_of, name) in &entries {
        assert_eq!(*hash_of, hash(&component(name)), "plugins/{name}.wasm: run plugins/build");
    }
    toolchain::rust();
    let rebuilt = Place::new();
    let mut build = Command::new(top().join("plugins/build"));
    build.env("PLUGINS_TO", rebuilt.0.path()).env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/rebuilt"));
    let ran = build.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let here = Command::new("rustc").arg("-V").output().unwrap();
    let same = String::from_utf8_lossy(&here.stdout).trim() == compiler;
    for (_, name) in &entries {
        let made = std::fs::read(rebuilt.path(&format!("{name}.wasm"))).unwrap();
        // Another compiler makes other bytes; then it is enough that it makes a plugin.
        if same {
            assert!(made == component(name), "plugins/{name}.wasm is not what its source makes: run plugins/build");
        }
        let made = rebuilt.path(&format!("{name}.wasm")).display().to_string();
        rebuilt.with_plugins(&["plugin", "check", &made]).code(0);
    }
}
