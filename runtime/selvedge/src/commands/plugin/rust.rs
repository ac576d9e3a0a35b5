//! Plugins in Rust: cargo's component, put beside its source.

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

pub const RUST: Language = Language {
    name: "rust",
    marker: "Cargo.toml",
    template: &[
        ("Cargo.toml", include_str!("template/rust/Cargo.toml.txt")),
        ("README.md", include_str!("template/rust/README.md.txt")),
        ("src/lib.rs", include_str!("template/rust/lib.rs.txt")),
        ("cases/bounds.ron", include_str!("template/rust/bounds.ron.txt")),
        ("cases/swapped.ron", include_str!("template/rust/swapped.ron.txt")),
        ("selvedge/guest/Cargo.toml", include_str!("template/rust/guest.toml.txt")),
        (".gitignore", "target/\n"),
    ],
    sdk: sdk![
        "wit/plugin.wit",
        "guest/src/batch.rs",
        "guest/src/bindings.rs",
        "guest/src/build.rs",
        "guest/src/config.rs",
        "guest/src/error.rs",
        "guest/src/export.rs",
        "guest/src/host.rs",
        "guest/src/imports.rs",
        "guest/src/json.rs",
        "guest/src/kind.rs",
        "guest/src/lib.rs",
        "guest/src/out.rs",
        "guest/src/run.rs",
        "guest/src/schema.rs",
        "guest/src/test.rs",
        "guest/src/view.rs",
    ],
    install: None,
    tests: "cargo test",
    build,
};

const TARGET: &str = "wasm32-wasip2";
/// What it makes is no component yet.
const PLAIN: &str = "wasm32-unknown-unknown";
const RUSTUP: &str = "see https://rustup.rs";

fn build(folder: &Path) -> Result<PathBuf, String> {
    let meta = ["metadata", "--no-deps", "--format-version=1"];
    let meta = output(Command::new("cargo").args(meta).current_dir(folder), RUSTUP)?;
    let meta: Value = serde_json::from_str(&meta).map_err(|e| format!("cargo metadata gives no JSON: {e}"))?;
    let name = name(&meta, folder).ok_or("the package has no library of crate-type cdylib: add it to [lib]")?;
    let (mut cargo, target) = toolchain(folder)?;
    output(&mut cargo, RUSTUP)?;
    let folders = meta["target_directory"].as_str().unwrap_or("target");
    let made = Path::new(folders).join(target).join("release").join(format!("{name}.wasm"));
    let to = folder.join(format!("{name}.wasm"));
    let component = std::fs::read(&made).map_err(|e| format!("cannot read {}: {e}", made.display()))?;
    let component = selvedge_wasm::component(&component).map_err(|e| e.message)?;
    std::fs::write(&to, component).map_err(|e| format!("cannot write {}: {e}", to.display()))?;
    Ok(to)
}

/// The command that builds, and the target that it builds for: with rustup's standard library or with Debian's source of it.
fn toolchain(folder: &Path) -> Result<(Command, &'static str), String> {
    let libs = ["--print", "target-libdir", "--target", TARGET];
    let libs = output(Command::new("rustc").args(libs).current_dir(folder), RUSTUP);
    if libs.is_ok_and(|libs| Path::new(libs.trim()).is_dir()) {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--target", TARGET]).current_dir(folder);
        return Ok((cargo, TARGET));
    }
    if ["cargo", "rustc", "wasm-ld"].iter().all(|tool| Path::new("/usr/bin").join(tool).exists()) {
        let mut cargo = Command::new("/usr/bin/cargo");
        cargo.args(["build", "--release", "--target", PLAIN, "-Zbuild-std=std,panic_abort"]).current_dir(folder);
        // Debian's compiler is stable; building its standard library is what needs the switch.
        cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
        return Ok((cargo, PLAIN));
    }
    Err(format!(
        "Rust's standard library for WebAssembly is missing: `rustup target add {TARGET}`, or on Debian `apt-get install \
         rustc-web cargo-web rust-web-src lld`"
    ))
}

/// The name of the package's library.
fn name(meta: &Value, folder: &Path) -> Option<String> {
    let here = folder.join("Cargo.toml").canonicalize().ok()?;
    let is_here = |p: &&Value| {
        p["manifest_path"].as_str().is_some_and(|m| Path::new(m).canonicalize().ok() == Some(here.clone()))
    };
    let package = meta["packages"].as_array()?.iter().find(is_here)?;
    let is_cdylib = |t: &&Value| t["crate_types"].as_array().is_some_and(|c| c.iter().any(|c| c == "cdylib"));
    Some(package["targets"].as_array()?.iter().find(is_cdylib)?["name"].as_str()?.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_goes_along() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/guest/src");
        let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        for name in names.filter(|n| !n.ends_with("_tests.rs")) {
            assert!(RUST.sdk.iter().any(|(path, _)| *path == format!("guest/src/{name}")), "{name} is not in RUST");
        }
    }
}
