//! Where a schema file and the data have parted, and what a crawl makes of it.

use crate::{FoundColumn, SchemaFile, type_text};

/// What becomes of a schema file that is no longer what the data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// It is made so: columns come, go, and change their types.
    Update,
    /// New columns are added; those that are there stay as they are.
    AddColumns,
    /// Nothing; the difference is only told.
    Log,
}

/// One difference, from the file to the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    Added(FoundColumn),
    Removed(FoundColumn),
    /// Before and after.
    Changed(FoundColumn, FoundColumn),
    /// The file describes the object by other words: another path, another format.
    Object {
        from: String,
        to: String,
    },
    /// A deprecated object is there again.
    Returned,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let null = |column: &FoundColumn| if column.nullable { "" } else { ", never null" };
        match self {
            Drift::Added(c) => write!(f, "+ {}: {}{}", c.name, type_text(&c.ty), null(c)),
            Drift::Removed(c) => write!(f, "- {}: {}{}", c.name, type_text(&c.ty), null(c)),
            Drift::Changed(a, b) => {
                write!(f, "~ {}: {}{} → {}{}", a.name, type_text(&a.ty), null(a), type_text(&b.ty), null(b))
            }
            Drift::Object { from, to } => write!(f, "~ object: {from} → {to}"),
            Drift::Returned => f.write_str("~ no longer deprecated: the object is there again"),
        }
    }
}

impl SchemaFile {
    /// How the data, as `now`, differs from what this file says. The order of columns is no difference.
    pub fn drift(&self, now: &SchemaFile) -> Vec<Drift> {
        let mut drift = vec![];
        if self.deprecated {
            drift.push(Drift::Returned);
        }
        let (from, to) = (self.object.to_string(), now.object.to_string());
        if from != to {
            drift.push(Drift::Object { from, to });
        }
        for column in &self.columns {
            match now.column(&column.name) {
                None => drift.push(Drift::Removed(column.clone())),
                Some(_) if self.pinned.contains(&column.name) => {}
                Some(found) if found.nullable != column.nullable || found.ty.arrow() != column.ty.arrow() => {
                    drift.push(Drift::Changed(column.clone(), found.clone()));
                }
                Some(_) => {}
            }
        }
        let new = now.columns.iter().filter(|c| self.column(&c.name).is_none());
        drift.extend(new.map(|c| Drift::Added(c.clone())));
        drift
    }

    /// This file after a crawl that found `now`. Columns keep their places; new ones come last.
    pub fn merged(&self, now: &SchemaFile, how: Update) -> SchemaFile {
        if how == Update::Log {
            return self.clone();
        }
        let mut columns = vec![];
        for column in &self.columns {
            match now.column(&column.name) {
                Some(found) if how == Update::Update && !self.pinned.contains(&column.name) => {
                    columns.push(found.clone())
                }
                None if how == Update::Update => {}
                _ => columns.push(column.clone()),
            }
        }
        columns.extend(now.columns.iter().filter(|c| self.column(&c.name).is_none()).cloned());
        let pinned = self.pinned.iter().filter(|name| columns.iter().any(|c| c.name == **name)).cloned().collect();
        SchemaFile { columns, pinned, ..now.clone() }
    }

    fn column(&self, name: &str) -> Option<&FoundColumn> {
        self.columns.iter().find(|c| c.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(columns: &str) -> SchemaFile {
        let text = format!("Schema(from: \"f\", object: Files(path: \"x\"), columns: {{{columns}}})");
        SchemaFile::parse(&text, "f.ron").unwrap()
    }

    #[test]
    fn drift_and_what_becomes_of_it() {
        let old =
            file(r#""a": Column(type: Int64, nullable: false), "b": Column(type: Utf8), "c": Column(type: Date)"#);
        let now = file(r#""d": Column(type: Utf8), "c": Column(type: Date), "a": Column(type: Choice([Int64, Utf8]))"#);
        let told: Vec<String> = old.drift(&now).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["~ a: Int64, never null → Choice([Int64, Utf8])", "- b: Utf8", "+ d: Utf8"]);
        let names = |file: SchemaFile| file.columns.into_iter().map(|c| c.name).collect::<String>();
        assert_eq!(names(old.merged(&now, Update::Update)), "acd");
        let added = old.merged(&now, Update::AddColumns);
        assert_eq!(added.columns[0], old.columns[0]);
        assert_eq!(names(added), "abcd");
        assert_eq!(old.merged(&now, Update::Log), old);
        assert_eq!(old.merged(&now, Update::Update).drift(&now), []);
    }

    #[test]
    fn a_pinned_column_keeps_its_type_until_it_is_gone() {
        let old = file(r#""a": Column(type: Decimal(10, 2), pinned: true), "b": Column(type: Utf8)"#);
        let now = file(r#""a": Column(type: Utf8), "b": Column(type: Date)"#);
        let told = |now: &SchemaFile| old.drift(now).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(told(&now), ["~ b: Utf8 → Date"]);
        let merged = old.merged(&now, Update::Update);
        assert_eq!((&merged.columns[0], &merged.pinned), (&old.columns[0], &old.pinned));
        assert_eq!(merged.drift(&now), []);
        let gone = file(r#""b": Column(type: Utf8)"#);
        assert_eq!(told(&gone), ["- a: Decimal(10, 2)"]);
        assert!(old.merged(&gone, Update::Update).pinned.is_empty());
    }

    #[test]
    fn an_object_that_moved_or_returned() {
        let (mut old, mut now) = (file("\"a\": Column(type: Int64)"), file("\"a\": Column(type: Int64)"));
        assert_eq!(old.drift(&now), []);
        old.deprecated = true;
        now.object = selvedge_ron::parse(selvedge_ron::FileId(0), "Files(path: \"y\")").unwrap();
        let told: Vec<String> = old.drift(&now).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["~ no longer deprecated: the object is there again", "~ object: Files(path: \"x\") → Files(path: \"y\")"]
        );
        assert!(!old.merged(&now, Update::AddColumns).deprecated);
    }
}
