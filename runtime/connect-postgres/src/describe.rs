//! What is in a database: tables, their columns and types, and the range of a key.

use crate::connection::{Postgres, Session, reason};
use crate::{quoted, types};
use arrow::datatypes::DataType;
use selvedge_connect::database::{Described, Range, Relation, Select};
use selvedge_node::{Error, Problem, Result};
use selvedge_schemas::{FoundColumn, type_of};
use tokio_postgres::types::Type;

/// Tables, partitioned or foreign, and views, materialised or not, but for PostgreSQL's and our own.
const RELATIONS: &str = "SELECT n.nspname, c.relname, c.relkind = 'r' FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' \
    AND c.relname NOT LIKE '\\_selvedge\\_%' ORDER BY 1, 2";

/// A table or view by its full name.
pub struct Named {
    pub schema: String,
    pub name: String,
    /// One that has its rows itself: they have an order of their own, `ctid`.
    pub plain: bool,
}

impl Named {
    pub fn sql(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// As people name it: without the schema where it is that of the connection.
    fn shown(&self, database: &Postgres) -> String {
        match self.schema == database.schema {
            true => self.name.clone(),
            false => format!("{}.{}", self.schema, self.name),
        }
    }
}

async fn relations(database: &Postgres, session: &Session) -> Result<Vec<Named>> {
    let rows = session.client.query(RELATIONS, &[]).await;
    let rows = rows.map_err(|e| database.error("listing the tables of", &e))?;
    Ok(rows.iter().map(|r| Named { schema: r.get(0), name: r.get(1), plain: r.get(2) }).collect())
}

pub fn tables(database: &Postgres) -> Result<Vec<String>> {
    let found = database.with(async |session| relations(database, session).await)?;
    let mut names: Vec<String> = found.iter().map(|n| n.shown(database)).collect();
    names.sort();
    Ok(names)
}

/// The table that a name means: as it is spelled, or the only one but for upper and lower case.
pub async fn find(database: &Postgres, session: &Session, table: &str) -> Result<Option<Named>> {
    let mut found = relations(database, session).await?;
    found.retain(|n| n.shown(database).eq_ignore_ascii_case(table));
    if let Some(exact) = found.iter().position(|n| n.shown(database) == table) {
        return Ok(Some(found.swap_remove(exact)));
    }
    if let [a, b, ..] = &found[..] {
        let text = format!("`{table}` may be {} or {}", a.shown(database), b.shown(database));
        return Err(Error::graph(text).help("spell it as the database does"));
    }
    Ok(found.pop())
}

/// A relation in a FROM clause. The columns of a query go by their place there, so that any name will do.
pub struct Origin {
    /// `WITH … AS (…) ` for a query.
    with: String,
    name: String,
    pub columns: Vec<Column>,
    pub plain: bool,
}

pub struct Column {
    pub name: String,
    pub sql: String,
    pub ty: Type,
    pub modifier: i32,
}

impl Origin {
    pub async fn new(database: &Postgres, session: &Session, relation: &Relation) -> Result<Origin> {
        let (from, plain) = match relation {
            Relation::Table(name) => match find(database, session, name).await? {
                Some(named) => (named.sql(), named.plain),
                None => return Err(Error::graph(format!("there is no table `{name}` in {}", database.place))),
            },
            // A query ends with a line break, as it may end with a comment.
            Relation::Query(sql) => (format!("({}\n) q", bare(sql)), false),
        };
        let statement = session.client.prepare(&format!("SELECT * FROM {from}")).await.map_err(|e| match relation {
            Relation::Query(_) => Error::graph(format!("the query does not run: {}", reason(&e))),
            Relation::Table(_) => database.error("describing a table of", &e),
        })?;
        if !statement.params().is_empty() {
            let text = format!("the query has {} parameters without values", statement.params().len());
            return Err(Error::graph(text).help(
                "write the value itself, or a parameter of the graph: `where x = ${name}`, with quotes for a text: `'${name}'`",
            ));
        }
        let query = matches!(relation, Relation::Query(_));
        let columns: Vec<Column> = statement
            .columns()
            .iter()
            .enumerate()
            .map(|(i, c)| Column {
                name: c.name().to_string(),
                sql: if query { format!("c{i}") } else { quoted(c.name()) },
                ty: c.type_().clone(),
                modifier: c.type_modifier(),
            })
            .collect();
        let places: Vec<&str> = columns.iter().map(|c| c.sql.as_str()).collect();
        Ok(match relation {
            Relation::Table(_) => Origin { with: String::new(), name: from, columns, plain },
            Relation::Query(sql) => {
                let name = "_selvedge_query";
                let with = format!("WITH {name} ({}) AS ({}\n) ", places.join(", "), bare(sql));
                Origin { with, name: name.into(), columns, plain }
            }
        })
    }

    pub fn column(&self, name: &str) -> Result<&Column> {
        let missing = || {
            let names = self.columns.iter().map(|c| c.name.as_str());
            let problem = Problem::unknown(Default::default(), "column", name, names);
            let error = Error::world(format!("{}: the table has changed since the plan looked at it", problem.message));
            error.help("run the graph again")
        };
        self.columns.iter().find(|c| c.name == name).ok_or_else(missing)
    }

    pub fn select(&self, what: &str, rest: &str) -> String {
        format!("{}SELECT {what} FROM {}{rest}", self.with, self.name)
    }
}

fn bare(query: &str) -> &str {
    query.trim().trim_end_matches(';')
}

pub fn columns(database: &Postgres, relation: &Relation) -> Result<Vec<Described>> {
    let from = database.with(async |session| Origin::new(database, session, relation).await)?;
    for (i, column) in from.columns.iter().enumerate() {
        if from.columns.iter().take(i).any(|c| c.name == column.name) {
            return Err(Error::graph(format!("two columns of the query are named `{}`", column.name))
                .help("give each a name of its own: `select a.id as a_id, b.id as b_id …`"));
        }
    }
    let ty = |c: &Column| types::native(&c.ty, c.modifier).unwrap_or(DataType::Utf8);
    Ok(from.columns.iter().map(|c| Described { name: c.name.clone(), ty: Some(ty(c)) }).collect())
}

/// PostgreSQL keeps what it declares, so no row has to be looked at.
pub fn crawl(database: &Postgres, table: &str) -> Result<Vec<FoundColumn>> {
    let (from, promised) = database.with(async |session| {
        let from = Origin::new(database, session, &Relation::Table(table.into())).await?;
        // Of a table: what a view promises is not known.
        let sql = "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 \
                   AND attnotnull AND NOT attisdropped";
        let rows = session.client.query(sql, &[&from.name]).await;
        let rows = rows.map_err(|e| database.error("describing a table of", &e))?;
        Ok((from, rows.iter().map(|r| r.get(0)).collect::<Vec<String>>()))
    })?;
    let found = from.columns.iter().map(|c| FoundColumn {
        name: c.name.clone(),
        ty: type_of(&types::native(&c.ty, c.modifier).unwrap_or(DataType::Utf8)),
        nullable: !promised.contains(&c.name),
    });
    Ok(found.collect())
}

/// Smallest and largest value of a column of integers.
pub fn bounds(database: &Postgres, select: &Select, column: &str) -> Result<Option<(i64, i64)>> {
    database.with(async |session| {
        let from = Origin::new(database, session, &select.relation).await?;
        let key = &from.column(column)?.sql;
        // As text: a numeric that was declared an integer may lie beyond 64 bits.
        let sql = from.select(&format!("min({key})::text, max({key})::text"), "");
        let row = session.client.query_one(&sql, &[]).await;
        let row = row.map_err(|e| database.error("looking for the range of keys in", &e))?;
        let end = |i: usize| row.get::<_, Option<&str>>(i).and_then(|t| t.parse().ok());
        Ok(end(0).zip(end(1)))
    })
}

/// Moves with each transaction that writes anything to the server: no finer mark says that nothing at all has changed.
pub fn version(database: &Postgres) -> Result<String> {
    database.with(async |session| {
        let row = session.client.query_one("SELECT pg_catalog.pg_current_snapshot()::text", &[]).await;
        let row = row.map_err(|e| database.error("asking for the state of", &e))?;
        Ok(format!("{} {}", database.place, row.get::<_, &str>(0)))
    })
}

/// The condition of a key range. Nulls are in the first.
pub fn range_condition(range: &Range, key: &str) -> String {
    match (range.from, range.to) {
        (None, None) => "true".into(),
        (None, Some(to)) => format!("({key} < {to} OR {key} IS NULL)"),
        (Some(from), None) => format!("{key} >= {from}"),
        (Some(from), Some(to)) => format!("({key} >= {from} AND {key} < {to})"),
    }
}
