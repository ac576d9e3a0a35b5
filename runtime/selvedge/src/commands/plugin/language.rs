//! The languages that plugins are written in: what `new` writes, and how `build` makes a component of it.

use super::js::JS;
use super::python::PYTHON;
use super::rust::RUST;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One language, one file, one entry in [`LANGUAGES`].
pub struct Language {
    /// As in `--lang`.
    pub name: &'static str,
    /// The file by which a folder of it is known.
    pub marker: &'static str,
    /// The files of a new plugin, by their path in its folder. `__NAME__`, `__KIND__` and `__VERSION__` are filled in.
    pub template: &'static [(&'static str, &'static str)],
    /// The files of the SDK, as they lie in `sdk/`; copied into the plugin's `selvedge/`.
    pub sdk: &'static [(&'static str, &'static str)],
    /// The command that installs what `build` takes into the folder.
    pub install: Option<&'static str>,
    /// The command that runs the node natively in its tests.
    pub tests: &'static str,
    /// Makes the component of a folder; answers with its path.
    pub build: fn(&Path) -> Result<PathBuf, String>,
}

pub const LANGUAGES: &[&Language] = &[&RUST, &PYTHON, &JS];

/// The language with this name.
pub fn named(name: &str) -> Result<&'static Language, String> {
    let names = || LANGUAGES.iter().map(|l| l.name).collect::<Vec<_>>().join(", ");
    let found = LANGUAGES.iter().find(|l| l.name == name);
    found.copied().ok_or_else(|| format!("no SDK for `{name}`; there is one for {}", names()))
}

/// The language of a plugin's folder.
pub fn of(folder: &Path) -> Result<&'static Language, String> {
    let markers = || LANGUAGES.iter().map(|l| format!("{} ({})", l.marker, l.name)).collect::<Vec<_>>().join(", ");
    let found = LANGUAGES.iter().find(|l| folder.join(l.marker).is_file());
    found
        .copied()
        .ok_or_else(|| format!("{} is no folder of a plugin: expected one of {}", folder.display(), markers()))
}

/// The component of a plugin's folder, made by `selvedge plugin build`; the only one in it.
pub fn component(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("cannot list {}: {e}", folder.display()))?;
    let mut found: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "wasm")).collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(format!("no component in {0}: make it with `selvedge plugin build {0}`", folder.display())),
        (Some(_), false) => Err(format!("several components in {}: name the file", folder.display())),
    }
}

/// Runs a tool of a language; answers with what it printed. `missing` tells how to install it.
pub fn output(command: &mut Command, missing: &str) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let ran = command.stderr(Stdio::inherit()).output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("{program} is not installed: {missing}"),
        _ => format!("{program} does not start: {e}"),
    })?;
    match ran.status.success() {
        true => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
        false => Err(format!("{program} failed: see above")),
    }
}
