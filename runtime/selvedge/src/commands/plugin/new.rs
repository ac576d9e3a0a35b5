//! `selvedge plugin new`: a folder with a plugin that builds, tests and runs, to be changed.

use crate::cli::New;
use std::fs;
use std::path::Path;

/// A file of the SDK, as it lies in `sdk/`.
macro_rules! sdk {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../sdk/", $path)))),*]
    };
}

const SDK: &[(&str, &str)] = sdk![
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
];

const TEMPLATE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("README.md", include_str!("template/README.md.txt")),
    ("src/lib.rs", include_str!("template/lib.rs.txt")),
    ("selvedge/guest/Cargo.toml", include_str!("template/guest.toml.txt")),
    (".gitignore", "target/\n"),
];

/// Makes the folder; answers with what to do next.
pub fn new(args: &New) -> Result<String, String> {
    let folder = &args.folder;
    let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let sound = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !sound {
        return Err(format!("`{name}` cannot be the name of a plugin: use a-z, 0-9 and _, as in size_normalizer"));
    }
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", folder.display()));
    }
    let kind = camel(name);
    let fill = |text: &str| {
        text.replace("__KIND__", &kind).replace("__NAME__", name).replace("__VERSION__", env!("CARGO_PKG_VERSION"))
    };
    for (path, text) in TEMPLATE {
        write(&folder.join(path), &fill(text))?;
    }
    for (path, text) in SDK {
        write(&folder.join("selvedge").join(path), text)?;
    }
    Ok(format!(
        "made {0}\n  cd {0}\n  cargo test               runs the node natively\n  selvedge plugin build .  makes {name}.wasm",
        folder.display()
    ))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// `size_normalizer` as `SizeNormalizer`.
fn camel(name: &str) -> String {
    let words = name.split('_').filter(|w| !w.is_empty());
    words.map(|w| w[..1].to_ascii_uppercase() + &w[1..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_goes_along() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/guest/src");
        let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        for name in names.filter(|n| !n.ends_with("_tests.rs")) {
            assert!(SDK.iter().any(|(path, _)| *path == format!("guest/src/{name}")), "{name} is not in SDK");
        }
    }

    #[test]
    fn kinds_are_named_in_camel_case() {
        assert_eq!(camel("size_normalizer2"), "SizeNormalizer2");
    }
}
