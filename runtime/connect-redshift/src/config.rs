//! What a connection says.

use crate::Redshift;
use selvedge_connect_objects as objects;
use selvedge_connect_postgres::{Access, Port, Postgres, Tls, literal};
use selvedge_node::{Connection, Problem};
use serde::Deserialize;

/// No Debug: keys are in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    /// 5439 unless told.
    port: Option<Port>,
    database: String,
    user: String,
    password: Option<String>,
    /// `public` unless told.
    schema: Option<String>,
    #[serde(default)]
    tls: Encrypted,
    /// The bucket that rows get there by: settings of an `ObjectStore`.
    staging: objects::Config,
    /// How Redshift is let into that bucket.
    #[serde(default)]
    copy: Copy,
}

/// As [`Tls`], and on unless told otherwise.
#[derive(Deserialize)]
#[serde(transparent)]
struct Encrypted(Tls);

impl Default for Encrypted {
    fn default() -> Encrypted {
        Encrypted(Tls::Require)
    }
}

#[derive(Default, Deserialize)]
enum Copy {
    /// By the role that is the cluster's default.
    #[default]
    DefaultRole,
    /// By this role: `arn:aws:iam::123456789012:role/load`.
    Role(String),
    /// By the keys of `staging`.
    Keys,
}

/// What Redshift knows of PostgreSQL's settings. Names of columns stay as the input has them.
const SETUP: &str = "SET datestyle = 'ISO'; SET timezone = 'UTC'; SET statement_timeout = 0; \
    SET enable_case_sensitive_identifier = true";

impl Redshift {
    pub fn new(connection: &Connection) -> Result<Redshift, Problem> {
        let given: Config = connection.config()?;
        let staging = &given.staging;
        if !staging.url.starts_with("s3://") {
            return Err(Problem::error(staging.url.span, "Redshift loads from S3 only")
                .help("staging: (url: \"s3://bucket/prefix\")"));
        }
        let authorization = match &given.copy {
            Copy::DefaultRole => "IAM_ROLE default".to_string(),
            Copy::Role(role) => format!("IAM_ROLE {}", literal(role)),
            Copy::Keys => match (&staging.access_key, &staging.secret_key) {
                (Some(key), Some(secret)) => {
                    let token = staging.session_token.as_ref();
                    let token = token.map(|token| format!(" SESSION_TOKEN {}", literal(token)));
                    let (key, secret) = (literal(key), literal(secret));
                    format!("ACCESS_KEY_ID {key} SECRET_ACCESS_KEY {secret}{}", token.unwrap_or_default())
                }
                _ => {
                    return Err(Problem::error(staging.url.span, "there are no keys to load with")
                        .help("give access_key and secret_key in `staging`, or copy: Role(\"arn:aws:iam::…\")"));
                }
            },
        };
        let access = Access {
            scheme: "redshift",
            port: Port::or(given.port.as_ref(), 5439, connection.span)?,
            host: given.host,
            database: given.database,
            user: given.user,
            password: given.password,
            schema: given.schema.unwrap_or_else(|| "public".into()),
            tls: given.tls.0,
            setup: SETUP,
        };
        Ok(Redshift {
            database: Postgres::of(&access, connection)?,
            staging: staging.store()?,
            authorization: authorization.into(),
        })
    }
}
