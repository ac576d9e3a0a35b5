//! Plugins in Python: the SDK's own tests, the example graph, and the session in the docs, with componentize-py.

use crate::harness::{Place, copy_folder, top};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const TOOL: &str = "componentize-py==0.25.1";
const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

fn done(command: &mut Command) -> Output {
    let ran = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = [&ran.stdout[..], &ran.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(ran.status.success(), "{command:?}\n{said}");
    ran
}

/// The folder with componentize-py, installed there once and not by every run of the tests.
fn tool() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(TEMPORARY).join(TOOL.replace("==", "-"));
        if !folder.is_dir() {
            let made = tempfile::tempdir_in(TEMPORARY).unwrap();
            let mut python = PathBuf::from("python3");
            // Debian leaves out pip, or venv, or both: one of them is enough.
            if !Command::new(&python).args(["-m", "pip", "--version"]).output().is_ok_and(|ran| ran.status.success()) {
                let venv = made.path().join("venv");
                done(Command::new(&python).args(["-m", "venv"]).arg(&venv));
                python = venv.join("bin/python3");
            }
            let packages = made.path().join("packages");
            done(Command::new(python).args(["-m", "pip", "install", "--quiet", "--target"]).arg(&packages).arg(TOOL));
            // Where another process was faster, its folder is as good.
            if fs::rename(&packages, &folder).is_err() {
                assert!(folder.is_dir(), "{} cannot be moved to {}", packages.display(), folder.display());
            }
        }
        folder
    })
}

/// The shell as a person has it, in a folder: `selvedge` and componentize-py are on the path.
fn shell(folder: &Path, commands: &str, compiled: &Path) -> String {
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_selvedge-under-test"), bin.path().join("selvedge")).unwrap();
    let others = std::env::var_os("PATH").unwrap();
    let path = [bin.path().to_path_buf(), tool().join("bin")].into_iter().chain(std::env::split_paths(&others));
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", commands]).current_dir(folder);
    bash.env("PATH", std::env::join_paths(path).unwrap()).env("PYTHONPATH", tool());
    bash.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1").env("SELVEDGE_PLUGIN_CACHE", compiled);
    String::from_utf8_lossy(&done(&mut bash).stdout).into_owned()
}

fn unittest(folder: &Path) {
    let mut python = Command::new("python3");
    python.args(["-W", "error", "-m", "unittest", "--quiet"]).current_dir(folder);
    done(python.env("PYTHONPATH", top().join("sdk/python")).env("PYTHONDONTWRITEBYTECODE", "1"));
}

#[test]
fn the_sdk_passes_its_own_tests() {
    unittest(&top().join("sdk/python"));
}

const PLUGIN: &str = "plugins/age_bands";

/// The component of a plugin's folder. No two builds make the same bytes, so it is kept as long as its source is the same.
fn component(folder: &Path, name: &str) -> PathBuf {
    let mut hash = Sha256::new();
    for folder in [top().join("sdk/python/selvedge"), top().join("sdk/wit"), folder.to_path_buf()] {
        let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|f| f.extension().is_some_and(|e| ["py", "wit", "toml"].iter().any(|own| e == *own)));
        files.sort();
        files.iter().for_each(|f| hash.update(fs::read(f).unwrap()));
    }
    let hash: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let kept = Path::new(TEMPORARY).join(format!("{name}-{hash}.wasm"));
    if !kept.is_file() {
        let place = Place::new();
        copy_folder(folder, &place.path("plugin"));
        shell(place.0.path(), "selvedge plugin build plugin", &compiled());
        let made = tempfile::NamedTempFile::new_in(TEMPORARY).unwrap();
        fs::copy(place.path(&format!("plugin/{name}.wasm")), made.path()).unwrap();
        made.persist(&kept).unwrap();
    }
    kept
}

/// As in the other tests of plugins: compiled once.
fn compiled() -> PathBuf {
    Path::new(TEMPORARY).join("plugins")
}

#[test]
fn the_example_bands_customers_by_age() {
    unittest(&top().join(PLUGIN));
    let place = Place::new();
    copy_folder(&top().join("examples/age_bands"), &place.path("examples/age_bands"));
    copy_folder(&top().join(PLUGIN), &place.path(PLUGIN));
    fs::copy(component(&top().join(PLUGIN), "age_bands"), place.path("plugins/age_bands/age_bands.wasm")).unwrap();
    let commands = "selvedge plugin test plugins/age_bands && selvedge run examples/age_bands";
    let said = shell(place.0.path(), commands, &compiled());
    assert!(said.contains("1 of 1 cases hold") && said.contains("done: every row accounted for"), "{said}");
    for (folder, file) in [("customers", "customers.csv"), ("rejects", "rejects.ndjson")] {
        let expected = fs::read_to_string(top().join("examples/age_bands/expected").join(file)).unwrap();
        let mut expected: Vec<&str> = expected.lines().collect();
        expected.sort_unstable();
        assert_eq!(place.published(&format!("examples/age_bands/out/{folder}")), expected);
    }
}

/// Keeps a total, says something, and cannot take the number 13.
const TALLY: &str = r#"
import logging
import pickle
from itertools import accumulate
from selvedge import count, transform

@transform(partitioning="in order", reads={"n": "Int64"}, adds={"total": "Int64"})
class Tally:
    """a running total"""

    def __init__(self):
        self.total = 0

    def process(self, batch):
        numbers = batch["n"].values
        totals = list(accumulate(numbers, initial=self.total))
        self.total = totals[-1]
        print("seen", len(batch))
        count("rows", len(batch))
        if 13 in numbers:
            raise LookupError("no thirteen")
        return {"total": totals[1:]}

    def load(self, state):
        vars(self).update(pickle.loads(state))
        logging.getLogger("tally").warning("went on", extra={"total": self.total})
"#;

#[test]
fn state_survives_mistakes_and_a_full_instance() {
    let place = Place::with(
        r#"Graph(name: "tally", nodes: {
            "rows": Files(path: "in.csv", format: Csv(), schema: { "n": Int64 }),
            "tally": Plugin(input: "rows", path: "tally.wasm", on_error: Reject, limits: (memory_mib: 24)),
            "out": Files(input: "tally", path: "out", format: Csv()),
            "bad": Files(input: "tally.errors", path: "bad", format: Ndjson()),
        })"#,
    );
    place.write("plugin/tally.py", TALLY);
    let project = "[project]\nname = \"tally\"\n[tool.selvedge]\nworld = \"transform\"\nmodule = \"tally\"\n";
    place.write("plugin/pyproject.toml", project);
    // Each call leaks 64 KiB of some MiB: more than enough calls to fill an instance.
    let count = 1_500_000_u64;
    let rows: String = (0..count).map(|n| if n == 100 { "13\n" } else { "2\n" }).collect();
    place.write("in.csv", format!("n\n{rows}"));
    fs::copy(component(&place.path("plugin"), "tally"), place.path("tally.wasm")).unwrap();
    let commands = "selvedge run graph.ron --threads 1 --log info --report run.json 2>&1";
    let said = shell(place.0.path(), commands, &compiled());
    assert!(said.contains("seen 8192"), "what is printed goes to the log: {said}");
    // The mistake comes before anything is saved: what is loaded is the state of an instance that was full.
    assert!(said.contains("went on"), "{said}");

    let out = place.published("out");
    assert!(out.contains(&format!("2,{}", 2 * (count - 1))) && out.len() as u64 == count, "{} lines", out.len());
    let bad = place.published("bad");
    assert!(
        bad.len() == 1 && bad[0].contains("LookupError: no thirteen (in the plugin: process (tally.py:"),
        "{bad:?}"
    );
}

const NAMES: &str = r#"
from selvedge import Reject, source

@source(gives={"name": "Utf8"}, rejects=True)
def names(position):
    """some names"""
    for at, name in enumerate(["ann", "", "bob"]):
        if at >= int(position or 0):
            yield ({"name": name} if name else Reject("no_name", "expected a name", "row 2")), str(at + 1)
"#;

const PAPER: &str = r#"
import os
from selvedge import sink

@sink(reads=["name"], partitioning="single")
class Paper:
    """writes names, one a line"""

    def __init__(self):
        self.out = open("/out/names.part", "w")

    def write(self, batch):
        self.out.writelines(f"{name}\n" for name in batch["name"])

    def flush(self):
        self.out.close()
        return "/out/names.part"

    def commit(pending):
        for part in filter(os.path.exists, pending):
            os.rename(part, part.removesuffix(".part"))
"#;

#[test]
fn a_source_and_a_sink_run_in_one_graph() {
    let place = Place::with(
        r#"Graph(name: "names", nodes: {
            "names": Plugin(path: "names.wasm"),
            "paper": Plugin(input: "names", path: "paper.wasm", grant: (files: {"/out": Write("out")})),
            "bad": Files(input: "names.errors", path: "bad", format: Ndjson()),
        })"#,
    );
    for (name, world, module) in [("names", "source", NAMES), ("paper", "sink", PAPER)] {
        place.write(&format!("{name}/{name}.py"), module);
        let project =
            format!("[project]\nname = \"{name}\"\n[tool.selvedge]\nworld = \"{world}\"\nmodule = \"{name}\"\n");
        place.write(&format!("{name}/pyproject.toml"), project);
        fs::copy(component(&place.path(name), name), place.path(&format!("{name}.wasm"))).unwrap();
    }
    fs::create_dir(place.path("out")).unwrap();
    let commands = "selvedge run graph.ron && ls out && cat out/names bad/*.ndjson && selvedge run graph.ron";
    let said = shell(place.0.path(), commands, &compiled());
    assert!(said.contains("\nnames\nann\nbob\n") && said.contains("no_name"), "{said}");
    assert!(said.contains("names: 0 rows read"), "a second run goes on where the first one stopped: {said}");
}

#[test]
fn the_session_in_the_docs_is_what_happens() {
    let text = fs::read_to_string(top().join("docs/plugins-python.md")).unwrap();
    let (_, section) = text.split_once("## From nothing to a graph\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let commands: String = section.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    let place = Place::new();
    let said = shell(place.0.path(), &commands, &place.path("compiled"));
    for words in [
        "made price_check",
        "PriceCheck is a transform",
        "2 of 2 cases hold",
        "done: every row accounted for",
        "`prices` is sound",
    ] {
        assert!(said.contains(words), "no `{words}` in\n{said}");
    }
    assert_eq!(place.published("price_check/out"), ["pen,1.5", "sku,price"]);
}

/// Everything else that the docs show in Python runs natively: each block is a module with its own test.
#[test]
fn the_code_in_the_docs_runs() {
    let text = fs::read_to_string(top().join("docs/plugins-python.md")).unwrap();
    let blocks: Vec<&str> = text.split("```python\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
    let place = Place::new();
    for (i, block) in blocks.iter().enumerate() {
        place.write(&format!("test_{i}.py"), block);
        let mut python = Command::new("python3");
        python.args(["-W", "error", &format!("test_{i}.py")]).current_dir(place.0.path());
        done(python.env("PYTHONPATH", top().join("sdk/python")).env("PYTHONDONTWRITEBYTECODE", "1"));
    }
}
