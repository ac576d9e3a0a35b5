//! What a connection says, and connections to the server.

use crate::error::error;
use crate::{describe, load, read, target};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use selvedge_connect::database::{Described, Driver, Load, Relation, Select};
use selvedge_connect::retry::Backoff;
use selvedge_connect::wait;
use selvedge_node::{Connection, Error, Problem, Problems, Reader, Result, Task};
use selvedge_schemas::{Extent, FoundColumn};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config as Options};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The kind of connection.
pub const KIND: &str = "Postgres";

/// `Postgres(host: "db.example.com", database: "retail", user: "etl", password: "${secret:retail}")`. No Debug: a password is in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    /// 5432 unless told.
    port: Option<Port>,
    database: String,
    user: String,
    #[serde(default)]
    password: String,
    /// Where tables are looked for and made; `public` unless told.
    schema: Option<String>,
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
    /// Always, and the server shows a certificate for its name, of an authority whose certificates are in the file `ca`, in PEM.
    VerifyFull {
        ca: String,
    },
}

/// The database that a connection means; `None`: it is of another kind.
pub fn connect(connection: &Connection) -> Option<std::result::Result<Arc<dyn Driver>, Problem>> {
    (connection.kind == KIND).then(|| {
        let config: Config = connection.config()?;
        let port = match &config.port {
            None => 5432,
            Some(Port::Number(port)) => *port,
            Some(Port::Text(text)) => text.parse().map_err(|_| {
                Problem::error(connection.span, format!("`{text}` is no port")).help("a number from 1 to 65535")
            })?,
        };
        let place = format!("postgres://{}:{port}/{}", config.host, config.database);
        let schema = config.schema.unwrap_or_else(|| "public".into());
        let mut options = Options::new();
        options.host(&config.host).port(port).dbname(&config.database).user(&config.user).password(&config.password);
        options.application_name("selvedge").connect_timeout(Duration::from_secs(10)).ssl_mode(match config.tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require | Tls::VerifyFull { .. } => SslMode::Require,
        });
        let tls = tls(&config.tls, connection).map_err(|why| Problem::error(connection.span, why))?;
        let backoff = Backoff { tries: config.tries.unwrap_or(6).max(1), ..Backoff::default() };
        Ok(Arc::new(Database { options, tls, backoff, place, schema }) as Arc<dyn Driver>)
    })
}

fn tls(tls: &Tls, connection: &Connection) -> std::result::Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let Tls::VerifyFull { ca } = tls else {
        let anybody = Arc::new(Anybody(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    let path = connection.base.join(ca);
    let pem = std::fs::read(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| format!("{} is not PEM: {e}", path.display()))?;
        roots.add(certificate).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Believes anybody: what `Prefer` and `Require` ask for.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer,
        _: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A database of a server. No Debug: a password is in it.
#[derive(Clone)]
pub struct Database {
    options: Options,
    tls: ClientConfig,
    backoff: Backoff,
    pub place: String,
    pub schema: String,
}

impl Database {
    /// A connection whose texts are exact: in UTC, ISO 8601, all digits.
    pub fn client(&self) -> Result<Client> {
        let client = self.backoff.retry(|| wait(self.open())?.map_err(|e| error("connecting to", &self.place, &e)))?;
        Ok(client)
    }

    async fn open(&self) -> std::result::Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.options.connect(MakeRustlsConnect::new(self.tls.clone())).await?;
        // It ends when the client is dropped, or by an error that the client hears of.
        drop(tokio::spawn(connection));
        let path = format!("SET search_path TO {}, pg_catalog", crate::describe::quoted(&self.schema));
        client.batch_execute(&path).await?;
        client
            .batch_execute(
                "SET TimeZone TO 'UTC'; SET DateStyle TO 'ISO, YMD'; SET IntervalStyle TO 'iso_8601'; SET bytea_output TO 'hex'; \
                 SET extra_float_digits TO 3; SET client_encoding TO 'UTF8'; SET statement_timeout TO 0; \
                 SET idle_in_transaction_session_timeout TO 0; SET client_min_messages TO warning",
            )
            .await?;
        Ok(client)
    }

    pub fn failed(&self, doing: &str) -> impl Fn(tokio_postgres::Error) -> Error + use<> {
        let (doing, place) = (doing.to_string(), self.place.clone());
        move |e| error(&doing, &place, &e)
    }

    /// Statements without an answer.
    pub fn execute(&self, client: &Client, doing: &str, sql: &str) -> Result<()> {
        wait(client.batch_execute(sql))?.map_err(self.failed(doing))
    }

    /// Rows of text.
    pub fn query(&self, client: &Client, doing: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let found = wait(client.simple_query(sql))?.map_err(self.failed(doing))?;
        let rows = found.into_iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_string)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }
}

impl Driver for Database {
    fn place(&self) -> String {
        self.place.clone()
    }
    fn reach(&self) -> Result<()> {
        self.client().map(drop)
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
        target::check(self, load)
    }
    fn compares_rows(&self, _: &Load) -> Result<bool> {
        Ok(false)
    }
    fn sink(&self, load: Load) -> Arc<dyn selvedge_node::Sink> {
        Arc::new(load::Loader { database: self.clone(), load })
    }
}
