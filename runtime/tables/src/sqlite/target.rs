//! Whether a load fits its target: the table as it is, and the columns of the load as they will be stored in it.

use super::cursor::most_columns;
use super::{Sqlite, error, types};
use arrow::datatypes::DataType;
use rusqlite::{Connection, OptionalExtension};
use selvedge_connect::database::{Change, Drift, Load};
use selvedge_node::{Problem, Problems, Result};
use std::collections::HashSet;
use std::path::Path;

/// A table that is there.
#[derive(Debug, Clone)]
pub struct Existing {
    /// What follows the name in its CREATE TABLE.
    pub body: String,
    pub columns: Vec<TargetColumn>,
    /// The columns of each unique index and of the primary key.
    pub unique: Vec<Vec<String>>,
    pub foreign: Vec<Foreign>,
}

#[derive(Debug, Clone)]
pub struct TargetColumn {
    pub name: String,
    ty: Option<DataType>,
    /// A row without this column is refused.
    needed: bool,
    generated: bool,
}

/// A foreign key: columns here, and columns of `parent`.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    pub parent: String,
    pub columns: Vec<(String, String)>,
}

/// How the columns of a load are stored, in their order.
#[derive(Debug, Clone)]
pub struct Fit {
    pub columns: Vec<FitColumn>,
    /// The keys of an upsert, as indices of columns.
    pub keys: Vec<usize>,
    pub existing: Option<Existing>,
}

#[derive(Debug, Clone)]
pub struct FitColumn {
    /// As the target spells it.
    pub name: String,
    pub ty: DataType,
    /// The target does not have it yet.
    pub added: bool,
}

impl FitColumn {
    pub fn declaration(&self) -> String {
        format!("{} {}", super::quoted(&self.name), types::declare(&self.ty).unwrap_or_default())
    }
}

impl Fit {
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.name.as_str()).collect()
    }

    pub fn key_names(&self) -> Vec<&str> {
        self.keys.iter().filter_map(|&k| self.columns.get(k)).map(|c| c.name.as_str()).collect()
    }

    /// Whether rows may be refused for what is already in the target, so that they count as written only at the flush.
    pub fn asks_at_flush(&self, change: &Change) -> bool {
        self.existing
            .as_ref()
            .is_some_and(|e| !e.foreign.is_empty() || *change == Change::Append && !e.unique.is_empty())
    }

    /// Whether rows of one load may be refused for each other, so that they have to be staged together.
    pub fn compares_rows(&self) -> bool {
        let others = |e: &Existing| e.unique.iter().any(|unique| !self.are_keys(unique));
        self.existing.as_ref().is_some_and(others)
    }

    fn are_keys(&self, unique: &[String]) -> bool {
        let keys = self.key_names();
        unique.len() == keys.len() && unique.iter().all(|c| keys.iter().any(|k| k.eq_ignore_ascii_case(c)))
    }

    /// Whether the target itself keeps the keys unique.
    pub fn keys_are_unique(&self) -> bool {
        self.existing.as_ref().is_some_and(|e| e.unique.iter().any(|unique| self.are_keys(unique)))
    }
}

/// For the plan: what stands in the way.
pub fn check(database: &Sqlite, load: &Load) -> Result<Problems> {
    if !database.path.exists() {
        let mut problems = fit(None, load).err().unwrap_or_default();
        if !load.create {
            let text = format!("there is no database at {}", database.path.display());
            problems
                .push(Problem::error(load.span, text).help("check the path of the connection, or set create: true"));
        }
        return Ok(problems);
    }
    let connection = database.reader()?;
    let existing = existing(&connection, &database.path, &load.table)?;
    let mut problems = Problems::default();
    match existing {
        Found::Table(existing) => problems.0.extend(fit(Some(existing), load).err().unwrap_or_default().0),
        Found::Other(what) => {
            let text = format!("`{}` is {what}, which cannot be loaded", load.table);
            problems.push(Problem::error(load.span, text).help("name another table"));
        }
        Found::Nothing => {
            problems.0.extend(fit(None, load).err().unwrap_or_default().0);
            if !load.create {
                let tables = super::describe::tables(database)?;
                let missing = Problem::unknown(load.span, "table", &load.table, tables.iter().map(String::as_str));
                problems.push(if missing.help.is_some() {
                    missing
                } else {
                    missing.help("set create: true to make it")
                });
            }
        }
    }
    Ok(problems)
}

/// Whether rows of this load may be refused for each other.
pub fn compares_rows(database: &Sqlite, load: &Load) -> Result<bool> {
    if !database.path.exists() {
        return Ok(false);
    }
    let found = existing(&database.reader()?, &database.path, &load.table)?;
    let Found::Table(existing) = found else { return Ok(false) };
    Ok(fit(Some(existing), load).is_ok_and(|fit| fit.compares_rows()))
}

/// What a name stands for in a database.
pub enum Found {
    Nothing,
    Table(Existing),
    /// `a view`
    Other(&'static str),
}

pub fn existing(connection: &Connection, path: &Path, table: &str) -> Result<Found> {
    inspect(connection, table).map_err(|e| error("describing a table of", path, &e))
}

fn inspect(connection: &Connection, table: &str) -> rusqlite::Result<Found> {
    let sql = "SELECT type, name, coalesce(sql, '') FROM main.sqlite_master WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')";
    let found = connection
        .query_row(sql, [table], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?)));
    let Some((kind, name, sql)) = found.optional()? else { return Ok(Found::Nothing) };
    if kind == "view" {
        return Ok(Found::Other("a view"));
    }
    let Some(body) = body(&sql) else { return Ok(Found::Other("a virtual table")) };

    let mut columns = vec![];
    let mut primary: Vec<(i64, String, String)> = vec![];
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1, 'main')",
    )?;
    let mut rows = statement.query([&name])?;
    while let Some(row) = rows.next()? {
        let (name, declared, pk): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(4)?);
        let (not_null, default, hidden): (bool, bool, i64) = (row.get(2)?, row.get(3)?, row.get(5)?);
        if pk > 0 {
            primary.push((pk, name.clone(), declared.clone()));
        }
        columns.push(TargetColumn {
            name,
            ty: types::meaning(&declared),
            needed: not_null && !default,
            generated: hidden != 0,
        });
    }
    drop(rows);

    let mut unique: Vec<Vec<String>> = vec![];
    // An `INTEGER PRIMARY KEY` is the row's number and has no index of its own. It numbers itself.
    if let [(_, key, declared)] = &primary[..]
        && declared.eq_ignore_ascii_case("INTEGER")
    {
        unique.push(vec![key.clone()]);
        for column in columns.iter_mut().filter(|c| c.name == *key) {
            column.needed = false;
        }
    }
    let sql = "SELECT name FROM pragma_index_list(?1, 'main') WHERE \"unique\" AND NOT partial";
    let indexes: Vec<String> =
        connection.prepare(sql)?.query_map([&name], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
    for index in indexes {
        let sql = "SELECT name FROM pragma_index_info(?1, 'main') ORDER BY seqno";
        let named: Vec<Option<String>> =
            connection.prepare(sql)?.query_map([&index], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
        // An index over an expression has no name there; it speaks up at the commit.
        if let Some(names) = named.into_iter().collect::<Option<Vec<_>>>() {
            unique.push(names);
        }
    }
    Ok(Found::Table(Existing { body: body.to_string(), columns, unique, foreign: foreign(connection, &name)? }))
}

/// Foreign keys to other tables whose columns are named; those to the table itself may point into the load.
fn foreign(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Foreign>> {
    let sql = "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1, 'main') ORDER BY id, seq";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    let mut keys: Vec<(i64, Foreign)> = vec![];
    while let Some(row) = rows.next()? {
        let (id, parent): (i64, String) = (row.get(0)?, row.get(1)?);
        let (Some(from), Some(to)): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?) else { continue };
        match keys.last_mut() {
            Some((last, key)) if *last == id => key.columns.push((from, to)),
            _ => keys.push((id, Foreign { parent, columns: vec![(from, to)] })),
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).filter(|k| !k.parent.eq_ignore_ascii_case(table)).collect())
}

/// What follows the name in `CREATE TABLE name …`, as SQLite keeps it; `None` for a virtual table.
fn body(sql: &str) -> Option<&str> {
    let rest = sql.strip_prefix("CREATE TABLE ")?.trim_start();
    let close = match rest.chars().next()? {
        quote @ ('"' | '`' | '\'') => {
            // A doubled quote is part of the name.
            let mut at = 1;
            loop {
                at += rest.get(at..)?.find(quote)? + 1;
                if !rest.get(at..)?.starts_with(quote) {
                    break at;
                }
                at += 1;
            }
        }
        '[' => rest.find(']')? + 1,
        _ => rest.find(|c: char| c.is_whitespace() || c == '(')?,
    };
    let body = rest.get(close..)?.trim_start();
    body.starts_with('(').then_some(body)
}

/// Finds the place of every column of the load in its target, or says why there is none.
pub fn fit(existing: Option<Existing>, load: &Load) -> std::result::Result<Fit, Problems> {
    let mut problems = Problems::default();
    let problem = |text: String| Problem::error(load.span, text);
    let mut columns: Vec<FitColumn> = vec![];
    let mut names = HashSet::new();
    for field in load.schema.fields() {
        let (name, ty) = (field.name(), field.data_type());
        if !names.insert(name.to_ascii_lowercase()) {
            let text = format!("two columns are named `{name}`: SQL does not tell upper and lower case apart");
            problems.push(problem(text).help("rename one with SchemaEdit(edits: [Rename(…)])"));
            continue;
        }
        let Some(plain) = types::plain(ty) else {
            let help = if ty.is_nested() {
                "flatten it with SchemaEdit(edits: [Flatten(…)]), or drop it"
            } else {
                "cast it to Utf8, Int64 or a Decimal with SchemaEdit(edits: [Cast(…)]), or drop it"
            };
            problems.push(problem(format!("column `{name}` of type {ty} cannot be stored in SQLite")).help(help));
            continue;
        };
        let there = existing.as_ref().map(|e| e.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)));
        columns.push(match there {
            None => FitColumn { name: name.clone(), ty: plain, added: false },
            Some(None) if load.drift == Drift::AddColumns => FitColumn { name: name.clone(), ty: plain, added: true },
            Some(None) => {
                let known = existing.iter().flat_map(|e| &e.columns).map(|c| c.name.as_str());
                let near = selvedge_node::Problem::unknown(load.span, "column", name, known);
                let help = near.help.unwrap_or_default();
                let text = format!("the table `{}` has no column named `{name}`", load.table);
                problems
                    .push(problem(text).help(format!("{help}; rename or drop the column, or set drift: AddColumns")));
                continue;
            }
            Some(Some(column)) if column.generated => {
                let text = format!("column `{name}` of the table `{}` is computed by the database", load.table);
                problems.push(problem(text).help("drop it with SchemaEdit(edits: [Drop([…])])"));
                continue;
            }
            Some(Some(column)) => {
                let ty = column.ty.clone().unwrap_or_else(|| plain.clone());
                // A column without any value fits everywhere.
                if *field.data_type() != DataType::Null && !types::widens(&plain, &ty) {
                    let text = format!("column `{name}` is {plain}, but {ty} in the table `{}`", load.table);
                    problems.push(problem(text).help("cast it with SchemaEdit(edits: [Cast(…)])"));
                }
                FitColumn { name: column.name.clone(), ty, added: false }
            }
        });
    }
    for column in existing.iter().flat_map(|e| &e.columns).filter(|c| c.needed && !c.generated) {
        if !load.schema.fields().iter().any(|f| f.name().eq_ignore_ascii_case(&column.name)) {
            let text = format!(
                "the table `{}` needs a value for `{}`, which is no column of the input",
                load.table, column.name
            );
            problems
                .push(problem(text).help("add it with SchemaEdit(edits: [Add(…)]), or give it a default in the table"));
        }
    }
    let keys = match &load.change {
        Change::Upsert(keys) => {
            keys.iter().filter_map(|k| load.schema.fields().iter().position(|f| f.name() == k)).collect()
        }
        _ => vec![],
    };
    let there =
        existing.as_ref().map_or(columns.len(), |e| e.columns.len() + columns.iter().filter(|c| c.added).count());
    let fit = Fit { columns, keys, existing };
    // One more tells how often a row was merged, or goes with the rows that the target is asked about.
    let extra = usize::from(matches!(load.change, Change::Upsert(_)) || fit.asks_at_flush(&load.change));
    match most_columns() {
        Ok(most) if there + extra > most => {
            let text = format!("{there} columns are too many: a load into SQLite can have {}", most - extra);
            problems.push(problem(text).help("keep fewer with SchemaEdit(edits: [Select([…])])"));
        }
        Ok(_) => {}
        Err(e) => problems.push(Problem::nowhere(format!("opening a database in memory: {e}"))),
    }
    problems.or(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_follows_any_kind_of_name() {
        let check = |sql: &str, expected: Option<&str>| assert_eq!(body(sql), expected, "{sql}");
        check("CREATE TABLE t(a)", Some("(a)"));
        check("CREATE TABLE t (a) STRICT", Some("(a) STRICT"));
        check("CREATE TABLE \"a\"\"(b\" (a, \"x\" TEXT)", Some("(a, \"x\" TEXT)"));
        check("CREATE TABLE [a b](a)", Some("(a)"));
        check("CREATE TABLE `t`\n(a)", Some("(a)"));
        check("CREATE VIRTUAL TABLE t USING fts5(a)", None);
        check("CREATE TABLE \"ü", None);
    }
}
