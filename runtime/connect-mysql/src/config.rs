//! What a connection says, and connections to the server.

use crate::error::error;
use crate::{describe, read};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Opts, OptsBuilder, SslOpts};
use selvedge_connect::database::{Described, Driver, Load, Relation, Select};
use selvedge_connect::retry::Backoff;
use selvedge_connect::wait;
use selvedge_node::{Connection, Error, Problem, Problems, Reader, Result, Task};
use selvedge_schemas::{Extent, FoundColumn};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// The kind of connection.
pub const KIND: &str = "MySql";

/// `MySql(host: "db.example.com", database: "shop", user: "etl", password: "${secret:shop}")`. No Debug: a password is in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    /// 3306 unless told.
    port: Option<Port>,
    database: String,
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    tls: Tls,
    /// How often to try to connect; 6 unless told.
    tries: Option<u32>,
}

/// A number, or the text of one: out of the environment it comes as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
enum Tls {
    Disable,
    /// Where the server can; whoever answers is believed to be it.
    #[default]
    Prefer,
    /// Always; whoever answers is believed to be it.
    Require,
    /// Always, and the server shows a certificate for its name: of a public authority, or of the one whose certificates are in
    /// the file `ca`, in PEM.
    VerifyFull {
        ca: Option<String>,
    },
}

/// The database that a connection means; `None`: it is of another kind.
pub fn connect(connection: &Connection) -> Option<std::result::Result<Arc<dyn Driver>, Problem>> {
    (connection.kind == KIND).then(|| {
        let config: Config = connection.config()?;
        let port = match &config.port {
            None => 3306,
            Some(Port::Number(port)) => *port,
            Some(Port::Text(text)) => text.parse().map_err(|_| {
                Problem::error(connection.span, format!("`{text}` is no port")).help("a number from 1 to 65535")
            })?,
        };
        let place = format!("mysql://{}:{port}/{}", config.host, config.database);
        let options = OptsBuilder::default()
            .ip_or_hostname(config.host)
            .tcp_port(port)
            .db_name(Some(config.database))
            .user(Some(config.user))
            .pass(Some(config.password))
            .prefer_socket(Some(false))
            .tcp_nodelay(true)
            .tcp_keepalive(Some(Duration::from_secs(60)))
            .max_allowed_packet(Some(LARGEST_PACKET));
        let backoff = Backoff { tries: config.tries.unwrap_or(6).max(1), ..Backoff::default() };
        let tls = match config.tls {
            Tls::VerifyFull { ca: Some(ca) } => {
                Tls::VerifyFull { ca: Some(connection.base.join(ca).display().to_string()) }
            }
            tls => tls,
        };
        Ok(Arc::new(Database { options, tls, backoff, place }) as Arc<dyn Driver>)
    })
}

/// The most that the protocol allows.
const LARGEST_PACKET: usize = 1 << 30;
/// How long the server is told to wait for a client that is held up by what comes behind it, in seconds.
const PATIENCE: u32 = 24 * 3600;

/// A database of a server. No Debug: a password is in it.
#[derive(Clone)]
pub struct Database {
    options: OptsBuilder,
    tls: Tls,
    backoff: Backoff,
    pub place: String,
}

impl Database {
    /// A connection that reads one state of the tables, in UTC and UTF-8.
    pub fn connection(&self) -> Result<Conn> {
        self.backoff.retry(|| wait(self.open())?.map_err(|e| error("connecting to", &self.place, &e)))
    }

    async fn open(&self) -> mysql_async::Result<Conn> {
        let with = |tls: Option<SslOpts>| Opts::from(self.options.clone().ssl_opts(tls));
        let anybody =
            SslOpts::default().with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true);
        let mut conn = match &self.tls {
            Tls::Disable => Conn::new(with(None)).await?,
            Tls::Require => Conn::new(with(Some(anybody))).await?,
            Tls::Prefer => match Conn::new(with(Some(anybody))).await {
                Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)) => {
                    Conn::new(with(None)).await?
                }
                conn => conn?,
            },
            Tls::VerifyFull { ca } => {
                let roots = ca.iter().map(|path| std::path::PathBuf::from(path).into()).collect();
                // An authority that is named is the only one.
                let named = SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(ca.is_some());
                Conn::new(with(Some(named))).await?
            }
        };
        conn.query_drop("SET SESSION time_zone = '+00:00'").await?;
        conn.query_drop(format!("SET SESSION net_write_timeout = {PATIENCE}, net_read_timeout = {PATIENCE}")).await?;
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        Ok(conn)
    }

    pub fn failed(&self, doing: &str) -> impl Fn(mysql_async::Error) -> Error + use<> {
        let (doing, place) = (doing.to_string(), self.place.clone());
        move |e| error(&doing, &place, &e)
    }
}

impl Driver for Database {
    fn place(&self) -> String {
        self.place.clone()
    }
    fn reach(&self) -> Result<()> {
        self.connection().map(drop)
    }
    fn tables(&self) -> Result<Vec<String>> {
        describe::tables(self)
    }
    fn describe(&self, relation: &Relation, _: &dyn Fn(&str) -> bool) -> Result<Vec<Described>> {
        describe::columns(self, relation)
    }
    fn crawl(&self, table: &str, _: Extent) -> Result<Vec<FoundColumn>> {
        describe::crawl(self, table)
    }
    fn bounds(&self, select: &Select, column: &str) -> Result<Option<(i64, i64)>> {
        describe::bounds(self, select, column)
    }
    fn version(&self) -> Result<String> {
        describe::version(self)
    }
    fn read(&self, select: &Select, task: &Task) -> Result<Box<dyn Reader>> {
        Ok(Box::new(read::open(self, select, task)?))
    }
    fn check(&self, load: &Load) -> Result<Problems> {
        let problem = Problem::error(load.span, format!("nothing can be loaded into {} yet", self.place));
        Ok(problem.help("tables of MySQL are read; load into Sqlite").into())
    }
    fn compares_rows(&self, _: &Load) -> Result<bool> {
        Ok(true)
    }
    fn sink(&self, load: Load) -> Arc<dyn selvedge_node::Sink> {
        Arc::new(Refused(format!("nothing can be loaded into {} of {}", load.table, self.place)))
    }
}

/// A sink behind a plan that is refused.
struct Refused(String);

impl selvedge_node::Sink for Refused {
    fn open(&self, _: &Task) -> Result<Box<dyn selvedge_node::Writer>> {
        Err(Error::graph(self.0.clone()))
    }
}
