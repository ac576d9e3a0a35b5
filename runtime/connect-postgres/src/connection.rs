//! Where a server is, how to get in, and what it means when it does not let one.

use crate::quoted;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use selvedge_connect::retry::Backoff;
use selvedge_connect::wait;
use selvedge_node::{Connection, Error, Problem, Result, Span};
use serde::Deserialize;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a server may take to answer at all.
const CONNECT: Duration = Duration::from_secs(15);

/// A database on a server.
#[derive(Clone)]
pub struct Postgres {
    /// `postgres://host:port/database`, for people.
    pub place: String,
    /// Of tables that are named without one.
    pub schema: String,
    setup: &'static str,
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    /// 5432 unless told.
    port: Option<Port>,
    database: String,
    user: String,
    /// `"${secret:PG_PASSWORD}"`. None where the server asks for none.
    password: Option<String>,
    /// `public` unless told.
    schema: Option<String>,
    #[serde(default)]
    tls: Tls,
}

/// What comes from the environment is text.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Port {
    Number(u16),
    Text(String),
}

/// The modes of libpq's `sslmode` that say what they do.
#[derive(Default, Deserialize)]
pub enum Tls {
    Disable,
    /// Encrypted if the server can. Nobody proves who he is.
    #[default]
    Prefer,
    /// Encrypted, or not at all. Nobody proves who he is.
    Require,
    /// Encrypted, and the server's certificate is for its host and signed by one of these (PEM, relative to the file of connections).
    VerifyFull {
        ca: PathBuf,
    },
}

/// How to get to a server that speaks PostgreSQL's protocol. No Debug: a password is in it.
pub struct Access {
    /// `postgres`, for people.
    pub scheme: &'static str,
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<String>,
    /// Of tables that are named without one.
    pub schema: String,
    pub tls: Tls,
    /// Statements that begin a session: the texts of values must not depend on how the server is set up.
    pub setup: &'static str,
}

/// Nor may a full pipeline count as idle.
const SETUP: &str = "SET datestyle = 'ISO'; SET timezone = 'UTC'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; \
    SET extra_float_digits = 1; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

impl Port {
    /// The number, or that of the kind of server.
    pub fn or(given: Option<&Port>, usual: u16, span: Span) -> std::result::Result<u16, Problem> {
        match given {
            None => Ok(usual),
            Some(Port::Number(port)) => Ok(*port),
            Some(Port::Text(text)) => text
                .trim()
                .parse()
                .map_err(|_| Problem::error(span, format!("port must be 1 to 65535, but is `{text}`"))),
        }
    }
}

impl Postgres {
    pub fn new(connection: &Connection) -> std::result::Result<Postgres, Problem> {
        let given: Config = connection.config()?;
        let access = Access {
            scheme: "postgres",
            port: Port::or(given.port.as_ref(), 5432, connection.span)?,
            host: given.host,
            database: given.database,
            user: given.user,
            password: given.password,
            schema: given.schema.unwrap_or_else(|| "public".into()),
            tls: given.tls,
            setup: SETUP,
        };
        Postgres::of(&access, connection)
    }

    /// A server that is another kind of connection.
    pub fn of(access: &Access, connection: &Connection) -> std::result::Result<Postgres, Problem> {
        let Access { scheme, host, port, database, .. } = access;
        let mut config = tokio_postgres::Config::new();
        config.host(host).port(*port).dbname(database).user(&access.user).connect_timeout(CONNECT);
        config.application_name("selvedge");
        if let Some(password) = &access.password {
            config.password(password);
        }
        config.ssl_mode(match access.tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require | Tls::VerifyFull { .. } => SslMode::Require,
        });
        let ca = match &access.tls {
            Tls::VerifyFull { ca } => Some(connection.base.join(ca)),
            _ => None,
        };
        let tls = tls(ca.as_deref()).map_err(|e| Problem::error(connection.span, e.to_string()))?;
        Ok(Postgres {
            place: format!("{scheme}://{host}:{port}/{database}"),
            schema: access.schema.clone(),
            setup: access.setup,
            config,
            tls: MakeRustlsConnect::new(tls),
        })
    }

    /// Runs this with a connection of its own, to the end.
    pub fn with<T>(&self, work: impl AsyncFnOnce(&Session) -> Result<T>) -> Result<T> {
        wait(async { work(&self.session().await?).await })?
    }

    pub async fn session(&self) -> Result<Session> {
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, connection) = connected.map_err(|e| self.unreached(&e))?;
        let link = Background::spawn(async move {
            // Whoever waits for an answer is told of what breaks the connection.
            _ = connection.await;
        });
        let session = Session { client, _link: link };
        let setup = format!("{}; SET search_path TO {}", self.setup, quoted(&self.schema));
        session.client.batch_execute(&setup).await.map_err(|e| self.error("setting up a session with", &e))?;
        Ok(session)
    }

    /// A connection that is kept, for a load. A server that comes again is waited for.
    pub fn connect(&self) -> Result<Session> {
        Backoff::default().retry(|| wait(self.session())?)
    }

    /// Statements without an answer.
    pub fn execute(&self, session: &Session, doing: &str, sql: &str) -> Result<()> {
        wait(session.client.batch_execute(sql))?.map_err(|e| self.error(doing, &e))
    }

    /// One statement; how many rows it has changed.
    pub fn affected(&self, session: &Session, doing: &str, sql: &str) -> Result<u64> {
        let found = wait(session.client.simple_query(sql))?.map_err(|e| self.error(doing, &e))?;
        let changed = found.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(rows),
            _ => None,
        });
        Ok(changed.sum())
    }

    /// Rows of text.
    pub fn query(&self, session: &Session, doing: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let found = wait(session.client.simple_query(sql))?.map_err(|e| self.error(doing, &e))?;
        let rows = found.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_string)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// A table of the connection's schema, in SQL.
    pub fn table(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(name))
    }

    /// Why there is no connection, and the way out.
    fn unreached(&self, e: &tokio_postgres::Error) -> Error {
        let told = self.error("connecting to", e);
        match e.code() {
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                told.help("check user and password of the connection, and what pg_hba.conf lets in")
            }
            Some(&SqlState::INVALID_CATALOG_NAME) => told.help("check the database of the connection"),
            Some(_) => told,
            None if reason(e).contains("TLS") => told.help(
                "the server speaks no TLS, or shows a certificate that is not trusted: see `tls` of the connection",
            ),
            None if e.source().is_some_and(|s| s.is::<std::io::Error>()) => {
                told.help("check host and port of the connection, and that the server runs").retryable()
            }
            None => told.help("check user, password and tls of the connection"),
        }
    }

    /// What the server says, whose fault it is, and the way out.
    pub fn error(&self, doing: &str, e: &tokio_postgres::Error) -> Error {
        let told = Error::world(format!("{doing} {}: {}", self.place, reason(e)));
        let Some(db) = e.as_db_error() else {
            return if e.is_closed() || e.source().is_some() { told.retryable() } else { told };
        };
        // Classes of SQLSTATE, PostgreSQL's manual, appendix A.
        match db.code() {
            &SqlState::INSUFFICIENT_PRIVILEGE => told.help("grant the user what it needs, or use another one"),
            &SqlState::DISK_FULL => told.help("free some disk space on the server"),
            code if code.code().starts_with("23") => told.help(
                "the table's own rules refuse a row, and nothing was loaded: put the rows right before, or drop the rule",
            ),
            &SqlState::TOO_MANY_CONNECTIONS => {
                told.help("raise max_connections, or read in fewer partitions").retryable()
            }
            code if ["08", "40", "53", "57P"].iter().any(|class| code.code().starts_with(class)) => told.retryable(),
            _ => match db.hint() {
                Some(hint) => told.help(hint),
                None => told,
            },
        }
    }
}

/// The message alone, with what it says of details.
pub fn reason(e: &tokio_postgres::Error) -> String {
    match (e.as_db_error(), e.source()) {
        (Some(db), _) => match db.detail() {
            Some(detail) => format!("{}: {detail}", db.message()),
            None => db.message().to_string(),
        },
        (None, Some(source)) => format!("{}: {source}", e.to_string().trim_end_matches(&format!(": {source}"))),
        (None, None) => e.to_string(),
    }
}

/// A connection. Dropped, it hangs up at once: the server then rolls back, and nobody drains what it was sending.
pub struct Session {
    pub client: tokio_postgres::Client,
    _link: Background,
}

/// A task on the network's threads that ends with its owner.
pub struct Background(JoinHandle<()>);

impl Background {
    pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Background {
        Background(tokio::spawn(work))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// With these certificates, or believing everybody.
fn tls(ca: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let failed = |e: rustls::Error| Error::bug(format!("setting up TLS: {e}"));
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(failed)?;
    let Some(ca) = ca else {
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth());
    };
    let unreadable = |e: &dyn std::fmt::Display| {
        Error::world(format!("reading certificates from {}: {e}", ca.display()))
            .help("`ca` names a PEM file with the certificates that are trusted")
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|e| unreadable(&e))? {
        roots.add(certificate.map_err(|e| unreadable(&e))?).map_err(|e| unreadable(&e))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"it has none"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate, as libpq's `prefer` and `require` do: what is sent is encrypted, to whomever.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
