//! Whether a load fits its target, for the plan and again when it is committed.

use crate::Redshift;
use crate::types::{self, Column};
use selvedge_connect::database::{Change, Distribution, Drift, Load};
use selvedge_connect_postgres::{Session, list, literal, quoted};
use selvedge_node::{Problem, Problems, Result};

pub fn tables(redshift: &Redshift) -> Result<Vec<String>> {
    let database = &redshift.database;
    let sql = format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {} ORDER BY 1",
        literal(&database.schema)
    );
    let found = database.query(&database.connect()?, "listing the tables of", &sql)?;
    Ok(found.into_iter().flatten().flatten().filter(|name| !name.starts_with("_selvedge_")).collect())
}

/// The columns of a table; `None`: there is no such table.
pub fn existing(redshift: &Redshift, client: &Session, table: &str) -> Result<Option<Vec<Column>>> {
    let sql = format!(
        "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale, is_nullable, column_default \
         FROM information_schema.columns WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        literal(&redshift.database.schema),
        literal(table)
    );
    let rows = redshift.database.query(client, "describing a table of", &sql)?;
    let columns: Vec<Column> = rows
        .into_iter()
        .map(|row| {
            let cell = |at: usize| row.get(at).cloned().flatten();
            let ty = cell(1).unwrap_or_default();
            // PostgreSQL's information_schema knows no length of VARCHAR without one.
            let length = cell(2).and_then(|n| n.parse().ok());
            let length = length.or_else(|| ty.starts_with("character").then_some(types::LONGEST));
            Column {
                name: cell(0).unwrap_or_default(),
                length,
                precision: cell(3).and_then(|n| n.parse().ok()),
                scale: cell(4).and_then(|n| n.parse().ok()),
                never_null: cell(5).as_deref() == Some("NO"),
                fills_itself: cell(6).is_some(),
                ty,
            }
        })
        .collect();
    Ok((!columns.is_empty()).then_some(columns))
}

/// For the plan: what stands in the way.
pub fn check(redshift: &Redshift, load: &Load) -> Result<Problems> {
    let mut problems = Problems::default();
    for field in load.schema.fields() {
        if types::declare(field.data_type()).is_none() {
            let text = format!("Redshift cannot hold column `{}` of type {}", field.name(), field.data_type());
            problems.push(Problem::error(load.span, text).help("cast it before with SchemaEdit"));
        }
    }
    let Some(existing) = existing(redshift, &redshift.database.connect()?, &load.table)? else {
        if !load.create {
            let text = format!("there is no table `{}` in {}", load.table, redshift.database.place);
            problems.push(Problem::error(load.span, text).help("make it, or set create: true"));
        }
        return Ok(problems);
    };
    for field in load.schema.fields() {
        let (name, ty) = (field.name(), field.data_type());
        match existing.iter().find(|c| c.name == *name) {
            None if load.drift == Drift::Fail => {
                let text = format!("table `{}` has no column `{name}`", load.table);
                problems.push(
                    Problem::error(load.span, text)
                        .help("drop it before with SchemaEdit, or set drift: AddColumns to have it added"),
                );
            }
            Some(column) if !types::fits(ty, column) => {
                let (table, declared) = (&load.table, column.declared());
                let text = format!("column `{name}` of table `{table}` is {declared}, which does not hold every {ty}");
                problems.push(Problem::error(load.span, text).help("cast it before with SchemaEdit"));
            }
            _ => {}
        }
    }
    for column in existing.iter().filter(|c| c.never_null && !c.fills_itself) {
        if !load.schema.fields().iter().any(|f| *f.name() == column.name) {
            let text = format!("table `{}` needs column `{}`, which does not come", load.table, column.name);
            problems.push(Problem::error(load.span, text).help("add it before, or give it a default in the table"));
        }
    }
    Ok(problems)
}

/// The statements that make the target, or add what it lacks, one by one.
pub fn prepare(redshift: &Redshift, load: &Load, existing: Option<&[Column]>) -> Vec<String> {
    let declare = |f: &arrow::datatypes::FieldRef| {
        // Keys are never null: those rows have been rejected.
        let key = matches!(&load.change, Change::Upsert(keys) if keys.contains(f.name()));
        let rule = if key { " NOT NULL" } else { "" };
        format!("{} {}{rule}", quoted(f.name()), types::declare(f.data_type()).unwrap_or_default())
    };
    let table = redshift.database.table(&load.table);
    let fields = load.schema.fields().iter();
    let Some(existing) = existing else {
        let columns: Vec<String> = fields.map(declare).collect();
        let mut layout = match &load.layout.distribution {
            None => String::new(),
            Some(Distribution::Even) => " DISTSTYLE EVEN".into(),
            Some(Distribution::All) => " DISTSTYLE ALL".into(),
            Some(Distribution::Key(column)) => format!(" DISTSTYLE KEY DISTKEY ({})", quoted(column)),
        };
        if !load.layout.sort.is_empty() {
            layout += &format!(" COMPOUND SORTKEY ({})", list(&load.layout.sort));
        }
        return vec![format!("CREATE TABLE {table} ({}){layout}", columns.join(", "))];
    };
    let new = fields.filter(|f| !existing.iter().any(|c| c.name == *f.name()));
    new.map(|f| {
        let ty = types::declare(f.data_type()).unwrap_or_default();
        format!("ALTER TABLE {table} ADD COLUMN {} {ty}", quoted(f.name()))
    })
    .collect()
}
