//! From the paths of a graph to files: globs, folders, and what to say when nothing is there.

use crate::lake::{At, Found};
use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use selvedge_node::{Problem, Span, Spanned};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One path or several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Paths(pub Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Paths, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Paths;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a path or a list of paths")
            }
            fn visit_str<E>(self, path: &str) -> Result<Paths, E> {
                Ok(Paths(vec![Spanned::new(path.to_string(), Span::default())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Paths, A::Error> {
                let mut paths = vec![];
                while let Some(path) = seq.next_element()? {
                    paths.push(path);
                }
                Ok(Paths(paths))
            }
        }
        d.deserialize_any(V)
    }
}

impl JsonSchema for Paths {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Paths".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "a path, a glob, a folder, or a list of them",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        })
    }
}

/// The files in a folder of this machine that one path names.
pub fn find_one(root: &Path, path: &str, at: Span) -> Result<Vec<Found>, Problem> {
    let (folder, pattern) = split_glob(path);
    let start = root.join(folder);
    let mut walk = Walk { at, glob: None, hidden: false, recursive: true, seen: BTreeSet::new(), found: vec![] };
    match pattern {
        None => {
            let about = match std::fs::metadata(&start) {
                Ok(about) => about,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
                Err(e) => return Err(unreadable(at, folder, &e)),
            };
            // A pipe gives its bytes once; here a file is opened to be looked at, and again for each of its parts.
            if !about.is_dir() && !about.is_file() {
                return Err(Problem::error(at, format!("`{path}` is neither a file nor a folder"))
                    .help("write what comes out of a pipe or device to a file first"));
            }
            if !about.is_dir() {
                return Ok(vec![Found { at: At::Path(start), name: slashes(folder), bytes: about.len() }]);
            }
        }
        Some(pattern) => {
            walk.glob = Some(glob(path, pattern, at)?);
            walk.hidden = pattern.rsplit('/').next().is_some_and(is_hidden);
            walk.recursive = pattern.contains('/');
        }
    }
    if start.is_dir() {
        walk.seen.extend(start.canonicalize());
        walk.folder(&start, &slashes(folder), "")?;
    }
    Ok(walk.found)
}

struct Walk {
    at: Span,
    /// Matches what is below the folder; a folder by itself means all that is in it.
    glob: Option<GlobMatcher>,
    /// The pattern asks for hidden files.
    hidden: bool,
    recursive: bool,
    /// Folders reached by links: a link to a folder above would go round for ever.
    seen: BTreeSet<PathBuf>,
    found: Vec<Found>,
}

impl Walk {
    /// `name`: of the folder, as messages show it; `below`: the way from the start to here.
    fn folder(&mut self, path: &Path, name: &str, below: &str) -> Result<(), Problem> {
        let entries = std::fs::read_dir(path).map_err(|e| unreadable(self.at, name, &e))?;
        for entry in entries {
            let entry = entry.map_err(|e| unreadable(self.at, name, &e))?;
            let own = match entry.file_name().into_string() {
                Ok(own) => own,
                Err(own) if is_hidden(&own.to_string_lossy()) && !self.hidden => continue,
                Err(own) => {
                    let what = format!("`{name}` holds `{}`, whose name is not UTF-8", own.to_string_lossy());
                    return Err(Problem::error(self.at, what)
                        .help("rename it, so that it can be told whether it is to be read"));
                }
            };
            // As Spark: `_SUCCESS`, `_temporary`, `.part-0.crc` are about data and not data.
            if is_hidden(&own) && !self.hidden {
                continue;
            }
            let join =
                |to: &str| if to.is_empty() { own.clone() } else { format!("{}/{own}", to.trim_end_matches('/')) };
            let (name, below) = (join(name), join(below));
            let about = match std::fs::metadata(entry.path()) {
                Ok(about) => about,
                // A link that leads nowhere is no file.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                // Nor is one that leads back to itself.
                Err(e) if e.kind() != std::io::ErrorKind::PermissionDenied && entry.path().is_symlink() => continue,
                Err(e) => return Err(unreadable(self.at, &name, &e)),
            };
            if about.is_dir() {
                let linked = entry.path().is_symlink();
                let real = if linked { entry.path().canonicalize().ok() } else { None };
                if self.recursive && (!linked || real.is_some_and(|real| self.seen.insert(real))) {
                    self.folder(&entry.path(), &name, &below)?;
                }
            } else if about.is_file() && self.glob.as_ref().is_none_or(|glob| glob.is_match(&below)) {
                self.found.push(Found { at: At::Path(entry.path()), name, bytes: about.len() });
            }
        }
        Ok(())
    }
}

/// What the pattern in a path matches.
pub fn glob(path: &str, pattern: &str, at: Span) -> Result<GlobMatcher, Problem> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).empty_alternates(true).build().map_err(|e| {
        Problem::error(at, format!("`{path}` is not a glob: {}", e.kind()))
            .help("`*` is any part of a name, `**` any folders, `{a,b}` one of two; `[*]` is a star itself")
    })?;
    Ok(glob.compile_matcher())
}

pub fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// The folder before the first part with a glob in it, and the rest; no rest: a plain path.
pub fn split_glob(path: &str) -> (&str, Option<&str>) {
    match path.find(['*', '?', '[', '{']) {
        None => (path, None),
        Some(special) => match path[..special].rfind('/') {
            None => ("", Some(path)),
            Some(0) => ("/", Some(&path[1..])),
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        },
    }
}

fn slashes(path: &str) -> String {
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path.to_string() };
    path.strip_prefix("./").map(str::to_string).unwrap_or(path)
}

fn unreadable(at: Span, what: &str, e: &std::io::Error) -> Problem {
    let what = if what.is_empty() { "." } else { what };
    Problem::error(at, format!("cannot read `{what}`: {e}")).help("check who may read it")
}

/// Nothing is there: says what is, as near as it comes.
pub fn missing(root: &Path, path: &str, at: Span) -> Problem {
    let (folder, pattern) = split_glob(path);
    let (folder, last) = match pattern {
        Some(pattern) => (Path::new(folder), pattern),
        None => {
            let path = Path::new(folder);
            (path.parent().unwrap_or(Path::new("")), path.file_name().and_then(|n| n.to_str()).unwrap_or_default())
        }
    };
    // The nearest folder that exists.
    let mut known = folder;
    while !root.join(known).is_dir() {
        match known.parent() {
            Some(parent) => known = parent,
            None => break,
        }
    }
    let shown = root.join(known);
    let names: Vec<String> = std::fs::read_dir(&shown)
        .map(|entries| {
            entries.flatten().filter_map(|e| e.file_name().into_string().ok()).filter(|n| !is_hidden(n)).collect()
        })
        .unwrap_or_default();
    let problem = Problem::error(
        at,
        if pattern.is_some() {
            format!("no file matches `{path}`")
        } else {
            format!("there is no file or folder `{path}`")
        },
    );
    // What was looked for there: the file, or the first folder on the way that is missing.
    let wanted =
        folder.strip_prefix(known).ok().and_then(|rest| rest.iter().next()).and_then(|p| p.to_str()).unwrap_or(last);
    let near = selvedge_ron::similar(wanted, names.iter().map(String::as_str));
    if !near.is_empty() {
        return problem.help(format!("`{}` has {}", shown.display(), listed(&near)));
    }
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.sort_unstable();
    problem.help(match all.len() {
        0 => format!("`{}` is empty", shown.display()),
        _ => format!("`{}` has {}", shown.display(), listed(&all)),
    })
}

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::{Root, find};

    fn lake() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "raw/a.csv",
            "raw/b.csv",
            "raw/c.json",
            "raw/2024/01/d.csv",
            "raw/_SUCCESS",
            "raw/.a.csv.crc",
            "raw/_x/e.csv",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        folder
    }

    fn names(root: &Path, paths: &[&str]) -> Result<Vec<String>, String> {
        let paths = Paths(paths.iter().map(|p| Spanned::new(p.to_string(), Span::default())).collect());
        match find(&Root::Folder(root.to_path_buf()), &Spanned::new(paths, Span::default()), false) {
            Ok(found) => Ok(found.into_iter().map(|f| f.name).collect()),
            Err(problems) => Err(problems.to_string().replace(&root.display().to_string(), "ROOT")),
        }
    }

    #[test]
    fn globs_and_folders_name_files() {
        let lake = lake();
        let names = |paths: &[&str]| names(lake.path(), paths).unwrap().join(" ");
        assert_eq!(names(&["raw/*.csv"]), "raw/a.csv raw/b.csv");
        assert_eq!(names(&["raw/**/*.csv"]), "raw/2024/01/d.csv raw/a.csv raw/b.csv");
        assert_eq!(names(&["raw"]), "raw/2024/01/d.csv raw/a.csv raw/b.csv raw/c.json");
        assert_eq!(names(&["raw/"]), "raw/2024/01/d.csv raw/a.csv raw/b.csv raw/c.json");
        assert_eq!(names(&["./raw/b.csv", "raw/?.csv", "raw/b.csv"]), "raw/a.csv raw/b.csv");
        assert_eq!(names(&["raw/{a,c}.*"]), "raw/a.csv raw/c.json");
        assert_eq!(names(&["raw/20*/**"]), "raw/2024/01/d.csv");
        assert_eq!(names(&["raw/_*"]), "raw/_SUCCESS");
        let absolute = format!("{}/raw/b.*", lake.path().display());
        assert_eq!(names(&[&absolute]), format!("{}/raw/b.csv", lake.path().display()));
    }

    #[test]
    fn what_is_missing_is_said() {
        let lake = lake();
        let problem = |path: &str| names(lake.path(), &[path]).unwrap_err();
        assert_eq!(
            problem("raw/*.parquet"),
            "no file matches `raw/*.parquet` (`ROOT/raw` has `2024`, `a.csv`, `b.csv`, `c.json`)"
        );
        assert_eq!(problem("raw/c.jsonl"), "there is no file or folder `raw/c.jsonl` (`ROOT/raw` has `c.json`)");
        assert_eq!(problem("row/x/*.csv"), "no file matches `row/x/*.csv` (`ROOT/` has `raw`)");
        assert!(problem("raw/[.csv").starts_with("`raw/[.csv` is not a glob"), "{}", problem("raw/[.csv"));
        let both = names(lake.path(), &["no.csv", "nor.csv"]).unwrap_err();
        assert!(both.contains("`no.csv`") && both.contains("`nor.csv`"), "{both}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_no_text_is_not_passed_over() {
        use std::os::unix::ffi::OsStrExt;
        let lake = lake();
        std::fs::write(lake.path().join("raw").join(std::ffi::OsStr::from_bytes(b"caf\xe9.csv")), "x").unwrap();
        let problem = names(lake.path(), &["raw/*.csv"]).unwrap_err();
        assert!(problem.starts_with("`raw` holds `caf\u{fffd}.csv`, whose name is not UTF-8"), "{problem}");
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_go_round() {
        let lake = lake();
        std::os::unix::fs::symlink(lake.path().join("raw"), lake.path().join("raw/2024/up")).unwrap();
        std::os::unix::fs::symlink(lake.path().join("nowhere"), lake.path().join("raw/gone.csv")).unwrap();
        std::os::unix::fs::symlink("self.csv", lake.path().join("raw/self.csv")).unwrap();
        let found = names(lake.path(), &["raw/**/b.csv"]).unwrap();
        assert_eq!(found, ["raw/b.csv"]);
    }
}
