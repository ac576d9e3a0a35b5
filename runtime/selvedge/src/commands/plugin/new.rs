//! `selvedge plugin new`: a folder with a plugin that builds, tests and runs, to be changed.

use super::language::named;
use crate::cli::New;
use std::fs;
use std::path::Path;

/// Makes the folder; answers with what to do next.
pub fn new(args: &New) -> Result<String, String> {
    let language = named(&args.lang)?;
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
    for (path, text) in language.template {
        write(&folder.join(path), &fill(text))?;
    }
    for (path, text) in language.sdk {
        write(&folder.join("selvedge").join(path), text)?;
    }
    let there = format!("cd {}", folder.display());
    let steps = [
        Some((there.as_str(), "")),
        Some((language.tests, "runs the node natively")),
        language.install.map(|command| (command, "once: what makes components")),
        Some(("selvedge plugin build", "makes the component")),
        Some(("selvedge plugin test", "runs the component on the tables in cases/")),
    ];
    let steps = steps.into_iter().flatten().map(|(command, what)| format!("\n  {command:<30} {what}"));
    let steps: String = steps.map(|step| step.trim_end().to_string()).collect();
    Ok(format!("made {}{steps}", folder.display()))
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
    fn kinds_are_named_in_camel_case() {
        assert_eq!(camel("size_normalizer2"), "SizeNormalizer2");
    }
}
