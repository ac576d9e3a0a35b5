//! Plugins in JavaScript: the one that comes along, built and run, and what the docs promise to those who write one.

use crate::harness::{Place, copy_folder, top};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is kept between runs of the tests: npm's packages and the component. Nobody ever builds in the checkout.
const KEPT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/js");

/// Runs to its end, however long it takes: a download, or a component of 12 MB compiled by an unoptimised compiler.
#[track_caller]
fn done(command: &mut Command) -> String {
    let ran = command.env("NO_COLOR", "1").output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ran.status.success(), "{command:?}\n{said}");
    said.into_owned()
}

fn selvedge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-under-test"));
    command.env("SELVEDGE_PLUGIN_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/plugins"));
    command
}

/// The files of a folder that are source, and what is in them.
fn sources(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "node_modules" {
            found.extend(sources(&path));
        } else if path.is_file() && !name.ends_with(".wasm") {
            found.push((path.strip_prefix(top()).unwrap().to_path_buf(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The component of `plugins/geo_region`: made anew when a source of it or of the SDK has changed.
fn geo_region() -> PathBuf {
    let kept = Path::new(KEPT);
    fs::create_dir_all(kept).unwrap();
    // Tests that run at the same time, of this process or another, wait for the one that builds.
    let lock = fs::File::create(kept.join("lock")).unwrap();
    lock.lock().unwrap();
    let sources: Vec<_> =
        ["sdk/wit", "sdk/js", "plugins/geo_region"].iter().flat_map(|f| sources(&top().join(f))).collect();
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    let component = kept.join(format!("geo_region-{:016x}.wasm", hasher.finish()));
    if component.is_file() {
        return component;
    }
    for (path, text) in sources {
        let to = kept.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text).unwrap();
    }
    let folder = kept.join("plugins/geo_region");
    done(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--no-package-lock"]).current_dir(&folder));
    done(selvedge().args(["plugin", "build"]).arg(&folder));
    done(selvedge().args(["plugin", "test"]).arg(&folder));
    fs::rename(folder.join("geo_region.wasm"), &component).unwrap();
    component
}

#[test]
fn the_sdk_and_the_plugin_pass_their_own_tests() {
    for folder in ["sdk/js", "plugins/geo_region"] {
        let said = done(Command::new("node").args(["--test", "test/"]).current_dir(top().join(folder)));
        assert!(said.contains("# fail 0") && !said.contains("# pass 0"), "{said}");
    }
}

#[test]
fn orders_get_their_region_from_a_plugin_in_javascript() {
    let component = geo_region();
    let place = Place::new();
    copy_folder(&top().join("examples/geo_region"), place.0.path());
    let graph = fs::read_to_string(place.path("graph.ron")).unwrap();
    place.write("graph.ron", graph.replace("../../plugins/geo_region/geo_region.wasm", component.to_str().unwrap()));
    place.with_plugins(&["run", "graph.ron", "--quiet"]).code(0);
    for name in ["orders", "rejects"] {
        assert_eq!(place.published(&format!("out/{name}")), place.published(&format!("expected/{name}")), "{name}");
    }

    place.write("graph.ron", fs::read_to_string(place.path("graph.ron")).unwrap().replace("on_unknown", "on_unknwon"));
    let ran = place.with_plugins(&["check", "graph.ron", "--short"]).code(2);
    assert!(ran.stderr.contains("no setting named `on_unknwon`") && ran.stderr.contains("`on_unknown`"), "{ran}");
}

#[test]
fn a_new_plugin_becomes_a_component() {
    geo_region();
    let place = Place::new();
    place.selvedge(&["plugin", "new", "price_check", "--lang", "js"]).code(0);
    // The packages that `npm install` would fetch once more.
    let packages = Path::new(KEPT).join("plugins/geo_region/node_modules");
    std::os::unix::fs::symlink(packages, place.path("price_check/node_modules")).unwrap();
    let said = done(selvedge().args(["plugin", "build"]).arg(place.path("price_check")));
    assert!(said.contains("PriceCheck is a transform of contract"), "{said}");
    let mut test = selvedge();
    // No two builds make the same bytes: what is compiled of them is not worth keeping.
    test.env("SELVEDGE_PLUGIN_CACHE", place.path("compiled"));
    let said = done(test.args(["plugin", "test"]).arg(place.path("price_check")));
    assert!(said.contains("2 of 2 cases hold"), "{said}");
}

/// The blocks of this language in the docs.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(top().join("docs/plugins-js.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|block| block.split("```").next().unwrap().to_string()).collect()
}

#[test]
fn a_new_plugin_passes_its_tests_and_so_does_the_code_of_the_docs() {
    let place = Place::new();
    let said = place.selvedge(&["plugin", "new", "price_check", "--lang", "js"]).code(0);
    assert!(said.stdout.contains("npm test"), "{}", said.stdout);
    let folder = place.path("price_check");
    let test = || done(Command::new("npm").arg("test").current_dir(&folder));
    assert!(test().contains("# pass 2"));

    // Each block is a whole node or a test of the one before it.
    for (i, block) in blocks("js").iter().enumerate() {
        let name = if block.contains("export default") { "node.js" } else { "node.test.js" };
        place.write(&format!("price_check/{name}"), block);
        if name == "node.test.js" {
            let said = test();
            assert!(said.contains("# fail 0") && !said.contains("# pass 0"), "block {i}: {said}");
        }
    }

    let ran = place.selvedge(&["plugin", "build", "price_check"]).code(1);
    assert!(ran.stderr.contains("@bytecodealliance/componentize-js is not installed: run `npm install` in "), "{ran}");
}
