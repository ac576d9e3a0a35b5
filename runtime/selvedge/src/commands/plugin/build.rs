//! `selvedge plugin build`: cargo's component, checked and put beside its source.

use crate::cli::Build;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-wasip2";

/// Builds; answers with the component's path.
pub fn build(args: &Build) -> Result<PathBuf, String> {
    let folder = &args.folder;
    if !folder.join("Cargo.toml").is_file() {
        return Err(format!("there is no Cargo.toml in {}: this builds plugins in Rust", folder.display()));
    }
    let meta = output(Command::new("cargo").args(["metadata", "--no-deps", "--format-version=1"]).current_dir(folder))?;
    let meta: Value = serde_json::from_str(&meta).map_err(|e| format!("cargo metadata gives no JSON: {e}"))?;
    let name = name(&meta, folder).ok_or("the package has no library of crate-type cdylib: add it to [lib]")?;
    let has_target =
        output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder));
    if !has_target.is_ok_and(|libs| Path::new(libs.trim()).is_dir()) {
        return Err(format!("Rust's standard library for {TARGET} is missing: `rustup target add {TARGET}`"));
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", TARGET]).current_dir(folder);
    let status = cargo.status().map_err(|e| format!("cargo does not start: {e}"))?;
    if !status.success() {
        return Err("cargo could not build the plugin: see above".into());
    }
    let target = meta["target_directory"].as_str().unwrap_or("target");
    let made = Path::new(target).join(TARGET).join("release").join(format!("{name}.wasm"));
    let to = folder.join(format!("{name}.wasm"));
    std::fs::copy(&made, &to).map_err(|e| format!("cannot copy {} to {}: {e}", made.display(), to.display()))?;
    Ok(to)
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

fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let ran = command.stderr(Stdio::inherit()).output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("{program} is not installed: see https://rustup.rs"),
        _ => format!("{program} does not start: {e}"),
    })?;
    match ran.status.success() {
        true => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
        false => Err(format!("{program} failed")),
    }
}
