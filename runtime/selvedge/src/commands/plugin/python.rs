//! Plugins in Python: componentize-py's component, put beside its source.

use super::language::{Language, output};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the SDK, as `import selvedge` finds it.
macro_rules! sdk {
    ($($name:literal),* $(,)?) => {
        &[
            ("wit/plugin.wit", include_str!("../../../../../sdk/wit/plugin.wit")),
            $(($name, include_str!(concat!("../../../../../sdk/python/selvedge/", $name)))),*
        ]
    };
}

pub const PYTHON: Language = Language {
    name: "python",
    marker: "pyproject.toml",
    template: &[
        ("pyproject.toml", include_str!("template/python/pyproject.toml.txt")),
        ("README.md", include_str!("template/python/README.md.txt")),
        ("node.py", include_str!("template/python/node.py.txt")),
        ("test_node.py", include_str!("template/python/test_node.py.txt")),
        ("cases/bounds.ron", include_str!("template/rust/bounds.ron.txt")),
        ("cases/swapped.ron", include_str!("template/rust/swapped.ron.txt")),
        (".gitignore", "__pycache__/\n*.wasm\n"),
    ],
    sdk: sdk![
        "__init__.py",
        "_component.py",
        "batch.py",
        "bits.py",
        "build.py",
        "columns.py",
        "config.py",
        "ends.py",
        "errors.py",
        "fresh.py",
        "host.py",
        "node.py",
        "rows.py",
        "testing.py",
        "types.py",
    ],
    install: None,
    tests: "python3 -m unittest",
    build,
};

const COMPONENTIZE: &str = "`pip install componentize-py==0.25.1`";

fn build(folder: &Path) -> Result<PathBuf, String> {
    let project = folder.join("pyproject.toml");
    let text = std::fs::read_to_string(&project).map_err(|e| format!("cannot read {}: {e}", project.display()))?;
    let setting = |section: &str, key: &str| {
        let missing = || format!("{}: needs `{key} = \"…\"` in [{section}]", project.display());
        setting(&text, section, key).ok_or_else(missing)
    };
    let (name, world) = (setting("project", "name")?, setting("tool.selvedge", "world")?);
    let module = setting("tool.selvedge", "module")?;
    // A folder of `plugin new` has its own SDK; others take that of this binary.
    let ours = tempfile::tempdir().map_err(|e| format!("cannot make a temporary folder: {e}"))?;
    let has_sdk = folder.join("selvedge/wit").is_dir();
    if !has_sdk {
        for (path, text) in PYTHON.sdk {
            let path = ours.path().join("selvedge").join(path);
            let parent = path.parent().unwrap_or(ours.path());
            let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text));
            written.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
    }
    let base = if has_sdk { folder } else { ours.path() };
    let to = folder.join(format!("{}.wasm", name.replace('-', "_")));
    let mut tool = Command::new("componentize-py");
    tool.arg("--wit-path").arg(base.join("selvedge/wit")).args(["--world", world, "componentize", module]);
    // Packages that come along: `pip install --target vendor NAME`.
    for path in [folder, ours.path(), &folder.join("vendor")].into_iter().filter(|path| path.is_dir()) {
        tool.arg("--python-path").arg(path);
    }
    tool.arg("--output").arg(&to);
    output(&mut tool, COMPONENTIZE)?;
    Ok(to)
}

/// The text of a key of pyproject.toml: only what is written as `key = "text"` is looked for.
fn setting<'a>(text: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let lines = text.lines().map(str::trim).skip_while(|line| line.strip_prefix('[') != Some(&format!("{section}]")));
    let own = lines.skip(1).take_while(|line| !line.starts_with('['));
    let value = |line: &'a str| line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"');
    own.filter_map(value).find_map(|rest| rest.split_once('"')).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_goes_along() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python/selvedge");
        let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        for name in names.filter(|n| n.ends_with(".py")) {
            assert!(PYTHON.sdk.iter().any(|(path, _)| *path == name), "{name} is not in PYTHON");
        }
    }

    #[test]
    fn settings_of_a_project_are_found() {
        let text = "[project]\nname = \"a\" # its name\n[tool.other]\nworld=\"x\"\n[tool.selvedge]\nworld=\"sink\"\n";
        assert_eq!(setting(text, "project", "name"), Some("a"));
        assert_eq!(setting(text, "tool.selvedge", "world"), Some("sink"));
        assert_eq!(setting(text, "tool.selvedge", "name"), None);
    }
}
