//! Plugins in JavaScript and TypeScript: Node runs the SDK's own script, which makes the component with componentize-js.

use super::language::{Language, output};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the SDK, as it lies in `sdk/`.
macro_rules! sdk {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../sdk/", $path)))),*]
    };
}

pub const JS: Language = Language {
    name: "js",
    marker: "package.json",
    template: &[
        ("package.json", include_str!("template/js/package.json.txt")),
        ("README.md", include_str!("template/js/README.md.txt")),
        ("node.js", include_str!("template/js/node.js.txt")),
        ("node.test.js", include_str!("template/js/node.test.js.txt")),
        ("cases/bounds.ron", include_str!("template/rust/bounds.ron.txt")),
        ("cases/swapped.ron", include_str!("template/rust/swapped.ron.txt")),
        (".gitignore", "node_modules/\n*.wasm\n"),
    ],
    sdk: sdk![
        "wit/plugin.wit",
        "js/batch.js",
        "js/build.js",
        "js/encode.js",
        "js/error.js",
        "js/guest.js",
        "js/host.js",
        "js/index.d.ts",
        "js/index.js",
        "js/mask.js",
        "js/node.js",
        "js/out.js",
        "js/package.json",
        "js/schema.js",
        "js/settings.js",
        "js/testing.d.ts",
        "js/testing.js",
        "js/type.js",
    ],
    install: Some("npm install"),
    tests: "npm test",
    build,
};

const NODE: &str = "see https://nodejs.org, version 20 or later";

fn build(folder: &Path) -> Result<PathBuf, String> {
    let manifest = folder.join("package.json");
    let text = std::fs::read_to_string(&manifest).map_err(|e| format!("cannot read {}: {e}", manifest.display()))?;
    let package: Value = serde_json::from_str(&text).map_err(|e| format!("{} is no JSON: {e}", manifest.display()))?;
    // A folder may say where its SDK is, if not where `plugin new` has put it.
    let sdk = package["selvedge"]["sdk"].as_str().unwrap_or("selvedge/js");
    let script = Path::new(sdk).join("build.js");
    if !folder.join(&script).is_file() {
        return Err(format!("the SDK is missing: no {}", folder.join(&script).display()));
    }
    let made = output(Command::new("node").arg(&script).current_dir(folder), NODE)?;
    match made.lines().last() {
        Some(path) => Ok(folder.join(path.trim())),
        None => Err("node made no component, and did not say why".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_goes_along() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/js");
        let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap()).filter(|e| e.path().is_file());
        for name in files.map(|e| e.file_name().into_string().unwrap()) {
            assert!(JS.sdk.iter().any(|(path, _)| *path == format!("js/{name}")), "{name} is not in JS");
        }
    }
}
