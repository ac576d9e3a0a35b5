//! `selvedge crawl`: schema files of what is there, or where they differ from it.

use super::crawl_target::Target;
use super::{FAILED, WRONG};
use crate::cli::{Crawl, CrawlDeleted, CrawlUpdate};
use crate::screen;
use selvedge_node::Problems;
use selvedge_schemas::{Extent, Found, SchemaFile, Update};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub fn crawl(args: &Crawl) -> u8 {
    let Some(target) = Target::find(args) else { return WRONG };
    target.notes.iter().for_each(|note| screen::print(note));
    let files = match files(&target.out) {
        Ok(files) => files,
        Err(problems) => {
            problems.0.iter().for_each(|p| screen::error(&format!("error: {p}")));
            return WRONG;
        }
    };
    let others = target.objects.keys().filter_map(|name| Some((name, files.get(name)?)));
    let clash: Vec<_> = others.filter(|(_, file)| file.from != target.from).collect();
    for (name, file) in &clash {
        let path = path(&target.out, name).display().to_string();
        screen::error(&format!(
            "error: {path} is of `{}`, and would be overwritten by `{}` (choose another folder: --out DIR)",
            file.from, target.from
        ));
    }
    if !clash.is_empty() {
        return WRONG;
    }
    let mut work = Work { args, out: &target.out, drift: false, failed: false };
    let mut gone: Vec<&String> = files
        .iter()
        .filter(|(n, f)| f.from == target.from && !target.objects.contains_key(*n))
        .map(|(n, _)| n)
        .collect();
    for (name, object) in &target.objects {
        let old = files.get(name);
        let extent = match (args.full, args.sample) {
            (true, _) => Extent::Full,
            (false, Some(rows)) => Extent::Sample(rows),
            (false, None) => old.map_or(Extent::default(), |old| old.crawled),
        };
        match target.look(object, extent) {
            Ok(Some(Found { columns, notes })) => {
                let now = SchemaFile {
                    from: target.from.clone(),
                    object: object.value.clone(),
                    crawled: extent,
                    deprecated: false,
                    columns,
                    pinned: Default::default(),
                };
                work.found(name, old, now, &notes);
            }
            Ok(None) if old.is_some() => gone.push(name),
            Ok(None) => screen::print(&format!("`{name}` has no data, and no schema file")),
            Err(problems) => work.fail(name, &problems),
        }
    }
    for name in gone {
        if let Some(file) = files.get(name) {
            work.gone(name, file);
        }
    }
    if work.failed || args.check && work.drift { FAILED } else { 0 }
}

/// The schema files of a folder, by name.
fn files(folder: &Path) -> Result<BTreeMap<String, SchemaFile>, Problems> {
    let mut found = BTreeMap::new();
    let mut problems = Problems::default();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(selvedge_node::Problem::nowhere(format!("cannot list {}: {e}", folder.display())).into()),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|p| p.is_file() && p.extension().is_some_and(|e| e == "ron")) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(file) = problems.take(SchemaFile::read(path, &path.display().to_string())) {
            found.insert(name, file);
        }
    }
    problems.or(found)
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.ron"))
}

struct Work<'a> {
    args: &'a Crawl,
    out: &'a Path,
    drift: bool,
    failed: bool,
}

impl Work<'_> {
    fn found(&mut self, name: &str, old: Option<&SchemaFile>, now: SchemaFile, notes: &[String]) {
        let path = path(self.out, name);
        let shown = path.display();
        let columns = now.columns.len();
        let Some(old) = old else {
            self.drift = true;
            let verb = if self.args.check { "is missing" } else { "new" };
            screen::print(&format!("{shown}: {verb}, {columns} columns"));
            tell(notes);
            return if !self.args.check {
                self.write(&path, &now)
            };
        };
        let drift = old.drift(&now);
        self.drift |= !drift.is_empty();
        let how = match self.args.update {
            CrawlUpdate::Update => Update::Update,
            CrawlUpdate::AddColumns => Update::AddColumns,
            CrawlUpdate::Log => Update::Log,
        };
        let merged = old.merged(&now, how);
        // A file that says the same keeps its bytes, comments included.
        let changes = merged.to_string() != old.to_string();
        let write = changes && !self.args.check;
        let verb = match (drift.is_empty(), write) {
            (true, false) => "unchanged",
            (_, true) => "updated",
            (false, false) => "differs from the data",
        };
        screen::print(&format!("{shown}: {verb}, {columns} columns"));
        drift.iter().for_each(|drift| screen::print(&format!("  {drift}")));
        tell(notes);
        if write {
            self.write(&path, &merged);
        }
    }

    fn gone(&mut self, name: &str, old: &SchemaFile) {
        let path = path(self.out, name);
        let (how, check) = (self.args.deleted, self.args.check);
        if how == CrawlDeleted::Ignore || how == CrawlDeleted::Deprecate && old.deprecated {
            return;
        }
        self.drift = true;
        let verb = match how {
            _ if check => "its object is gone",
            CrawlDeleted::Delete => "deleted, its object is gone",
            _ => "deprecated, its object is gone",
        };
        screen::print(&format!("{}: {verb}", path.display()));
        if check {
            return;
        }
        if how == CrawlDeleted::Deprecate {
            self.write(&path, &SchemaFile { deprecated: true, ..old.clone() });
        } else if let Err(e) = std::fs::remove_file(&path) {
            screen::error(&format!("error: cannot delete {}: {e}", path.display()));
            self.failed = true;
        }
    }

    /// Whole or not at all: a crawl that is stopped leaves no half of a file.
    fn write(&mut self, path: &Path, file: &SchemaFile) {
        let part = path.with_extension("ron.part");
        let written = std::fs::create_dir_all(self.out)
            .and_then(|()| std::fs::write(&part, file.to_string()))
            .and_then(|()| std::fs::rename(&part, path));
        if let Err(e) = written {
            screen::error(&format!("error: cannot write {}: {e}", path.display()));
            self.failed = true;
        }
    }

    fn fail(&mut self, name: &str, problems: &Problems) {
        problems.0.iter().for_each(|problem| screen::error(&format!("error: `{name}`: {problem}")));
        self.failed = true;
    }
}

fn tell(notes: &[String]) {
    notes.iter().for_each(|note| screen::print(&format!("  note: {note}")));
}
