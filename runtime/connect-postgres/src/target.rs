//! Whether a load fits its target, for the plan and again when it is committed.

use crate::connection::{Postgres, Session};
use crate::types;
use crate::{literal, quoted};
use selvedge_connect::database::{Change, Drift, Load};
use selvedge_node::{Problem, Problems, Result};

/// A column of a table that is there.
#[derive(Debug, Clone)]
pub struct Existing {
    pub name: String,
    /// As SQL declares it: `numeric(10,2)`.
    pub declared: String,
    category: String,
    never_null: bool,
    /// It has a value where none is given, or can have none of its own.
    fills_itself: bool,
    generated: bool,
}

impl Existing {
    pub fn never_null(&self) -> bool {
        self.never_null && !self.generated
    }
}

/// The columns of a table; `None`: there is no such table.
pub fn existing(database: &Postgres, client: &Session, table: &str) -> Result<Option<Vec<Existing>>> {
    let sql = format!(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), t.typcategory, a.attnotnull, a.atthasdef OR a.attidentity <> '', \
         a.attgenerated <> '' FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid \
         WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = {}) AND c.relname = {} \
         AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        literal(&database.schema),
        literal(table)
    );
    let rows = database.query(client, "describing a table of", &sql)?;
    let columns: Vec<Existing> = rows
        .into_iter()
        .map(|row| {
            let cell = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
            let yes = |at: usize| cell(at) == "t";
            Existing {
                name: cell(0),
                declared: cell(1),
                category: cell(2),
                never_null: yes(3),
                fills_itself: yes(4),
                generated: yes(5),
            }
        })
        .collect();
    Ok((!columns.is_empty()).then_some(columns))
}

/// For the plan: what stands in the way.
pub fn check(database: &Postgres, load: &Load) -> Result<Problems> {
    let mut problems = Problems::default();
    for field in load.schema.fields() {
        if types::declare(field.data_type()).is_none() {
            let text = format!("PostgreSQL cannot hold column `{}` of type {}", field.name(), field.data_type());
            problems.push(Problem::error(load.span, text).help("cast it before with SchemaEdit"));
        }
    }
    let client = database.connect()?;
    let Some(existing) = existing(database, &client, &load.table)? else {
        if !load.create {
            let text = format!("there is no table `{}` in {}", load.table, database.place);
            problems.push(Problem::error(load.span, text).help("make it, or set create: true"));
        }
        return Ok(problems);
    };
    for field in load.schema.fields() {
        let (name, ty) = (field.name(), field.data_type());
        match existing.iter().find(|c| c.name == *name) {
            None if load.drift == Drift::Fail => {
                let known = existing.iter().map(|c| c.name.as_str());
                let unknown = Problem::unknown(load.span, "column", name, known);
                let message = format!("table `{}` has no column `{name}`", load.table);
                let help = unknown.help.unwrap_or_default();
                let help = format!("{help}; add it, drop it before, or set drift: AddColumns");
                problems.push(Problem::error(load.span, message).help(help.trim_start_matches("; ")));
            }
            Some(column) if column.generated => {
                let text = format!("column `{name}` of table `{}` makes its own values", load.table);
                problems.push(Problem::error(load.span, text).help("drop it before with SchemaEdit"));
            }
            Some(column) if !types::fits(ty, &column.category, &column.declared) => {
                let text = format!("column `{name}` of table `{}` is {}, but {ty} comes", load.table, column.declared);
                problems.push(Problem::error(load.span, text).help("cast it before with SchemaEdit"));
            }
            _ => {}
        }
    }
    for column in existing.iter().filter(|c| c.never_null && !c.fills_itself && !c.generated) {
        if !load.schema.fields().iter().any(|f| *f.name() == column.name) {
            let text = format!("table `{}` needs column `{}`, which does not come", load.table, column.name);
            problems.push(Problem::error(load.span, text).help("add it before, or give it a default in the table"));
        }
    }
    Ok(problems)
}

/// The statements that make the target, or add what it lacks.
pub fn prepare(database: &Postgres, client: &Session, load: &Load) -> Result<String> {
    let declare = |f: &arrow::datatypes::FieldRef| {
        format!("{} {}", quoted(f.name()), types::declare(f.data_type()).unwrap_or_default())
    };
    let table = database.table(&load.table);
    Ok(match existing(database, client, &load.table)? {
        None => {
            let columns: Vec<String> = load.schema.fields().iter().map(declare).collect();
            let key = match &load.change {
                Change::Upsert(keys) => format!(", UNIQUE ({})", crate::list(keys)),
                _ => String::new(),
            };
            format!("CREATE TABLE {table} ({}{key});", columns.join(", "))
        }
        Some(existing) => {
            let new = load.schema.fields().iter().filter(|f| !existing.iter().any(|c| c.name == *f.name()));
            new.map(|f| format!("ALTER TABLE {table} ADD COLUMN {};", declare(f))).collect()
        }
    })
}
