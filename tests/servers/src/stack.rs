//! What stands in for AWS on one machine, with the data of the graphs in it: MariaDB for the shops' databases, an S3 server for the
//! lake, a stand-in for Redshift, a search engine.

use crate::mariadb::{MariaDb, PASSWORD as MARIADB_PASSWORD};
use crate::objects::{KEY, Objects, SECRET};
use crate::postgres::{PASSWORD as POSTGRES_PASSWORD, Postgres};
use crate::proxy::Act;
use crate::redshift::RedshiftStandIn;
use crate::search::Noida;
use rusqlite::types::ValueRef;
use std::path::{Path, PathBuf};

/// Servers that run until this is dropped.
pub struct Stack {
    pub mariadb: MariaDb,
    pub postgres: Postgres,
    pub objects: &'static Objects,
    pub redshift: RedshiftStandIn,
    pub search: Noida,
    /// Where the suppliers' files are, and where the lake is.
    pub landing: String,
    pub lake: String,
    staging: String,
}

impl Stack {
    /// Starts all of them, and gives them the data of the graphs in this folder.
    pub fn start(graphs: &Path) -> Stack {
        let objects = crate::objects();
        let (landing, lake, staging) = (objects.url(), objects.url(), objects.url());
        let postgres = Postgres::start();
        let redshift = RedshiftStandIn::start(&postgres, |url| objects.get(url), |_, _| Act::Pass);
        let mariadb = MariaDb::start();
        let stack = Stack { mariadb, postgres, objects, redshift, search: Noida::start(), landing, lake, staging };
        stack.seed(&graphs.join("inventory/data/retail.db"), "retail");
        stack.seed(&graphs.join("customer/data/shop.db"), "shop");
        for graph in ["market_iri", "market_numerator"] {
            stack.upload(graphs, &graphs.join(graph).join("data"));
        }
        stack
    }

    /// The variables that the profile `aws` of the graphs asks for.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let here = || "127.0.0.1".to_string();
        let (mysql, disable) = (self.mariadb.port.to_string(), || "Disable".to_string());
        vec![
            ("AWS_ACCESS_KEY_ID", KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ENDPOINT_URL_S3", self.objects.endpoint()),
            ("RETAIL_HOST", here()),
            ("RETAIL_PORT", mysql.clone()),
            ("RETAIL_USER", "app".into()),
            ("RETAIL_TLS", disable()),
            ("SELVEDGE_SECRET_retail", MARIADB_PASSWORD.into()),
            ("SHOP_HOST", here()),
            ("SHOP_PORT", mysql),
            ("SHOP_USER", "app".into()),
            ("SHOP_TLS", disable()),
            ("SELVEDGE_SECRET_shop", MARIADB_PASSWORD.into()),
            ("LANDING", self.landing.clone()),
            ("LAKE", self.lake.clone()),
            ("STAGING", self.staging.clone()),
            ("WAREHOUSE_HOST", here()),
            ("WAREHOUSE_PORT", self.redshift.port.to_string()),
            ("WAREHOUSE_TLS", disable()),
            // PostgreSQL itself, behind the stand-in for Redshift.
            ("POSTGRES_PORT", self.postgres.port.to_string()),
            ("SELVEDGE_SECRET_warehouse", POSTGRES_PASSWORD.into()),
            ("LOAD_ROLE", "arn:aws:iam::000000000000:role/stand-in".into()),
            ("SEARCH_URL", self.search.url()),
        ]
    }

    /// A SQLite database as a database of MariaDB.
    fn seed(&self, file: &Path, database: &str) {
        let failed = |e: rusqlite::Error| -> ! { panic!("{}: {e}", file.display()) };
        self.mariadb.sql(&format!("CREATE DATABASE IF NOT EXISTS {database}"));
        let db = rusqlite::Connection::open(file).unwrap_or_else(|e| failed(e));
        let tables = || -> rusqlite::Result<Vec<(String, String)>> {
            let mut tables = db.prepare("select name, sql from sqlite_master where type = 'table'")?;
            tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        for (table, sql) in tables().unwrap_or_else(|e| failed(e)) {
            self.mariadb.sql(&format!("USE {database}; {}", sql.replace("INTEGER", "BIGINT")));
            let rows = rows(&db, &table).unwrap_or_else(|e| failed(e));
            for some in rows.chunks(200) {
                self.mariadb.sql(&format!("USE {database}; INSERT INTO {table} VALUES {}", some.join(",")));
            }
        }
    }

    /// The files of a folder, under their names below `root`.
    fn upload(&self, root: &Path, folder: &Path) {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                self.upload(root, &path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            self.objects.put(&format!("{}/{name}", self.landing), &bytes);
        }
    }
}

/// Rows as SQL spells them.
fn rows(db: &rusqlite::Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare(&format!("select * from {table}"))?;
    let columns = query.column_count();
    let (mut rows, mut found) = (vec![], query.query([])?);
    while let Some(row) = found.next()? {
        let mut cells = vec![];
        for at in 0..columns {
            cells.push(match row.get_ref(at)? {
                ValueRef::Null => "NULL".to_string(),
                ValueRef::Integer(n) => n.to_string(),
                ValueRef::Text(t) => {
                    format!("'{}'", String::from_utf8_lossy(t).replace('\\', "\\\\").replace('\'', "''"))
                }
                other => panic!("{table}: {other:?}"),
            });
        }
        rows.push(format!("({})", cells.join(",")));
    }
    Ok(rows)
}
