//! What a connection says.

use crate::client::{Auth, Client};
use reqwest::Certificate;
use selvedge_connect::retry::Backoff;
use selvedge_connect_aws::identity;
use selvedge_node::{Connection, Problem, Spanned};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// `Elasticsearch(url: "https://search.example.com:9200", auth: ApiKey("${secret:search}"))`. No Debug: keys are in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// `https://host:9200`, with a path where a proxy wants one.
    url: Spanned<String>,
    #[serde(default)]
    auth: How,
    /// Certificates that are trusted besides those of the machine (PEM, relative to the file of connections).
    ca: Option<PathBuf>,
    /// Compress what is sent.
    #[serde(default)]
    gzip: bool,
    /// Requests that one writer has on their way at a time; 4 unless told.
    requests: Option<usize>,
    /// The most documents of a request; 10000 unless told.
    documents: Option<usize>,
    /// Seconds that one request may take; 60 unless told.
    timeout: Option<u64>,
    /// How often something that failed is sent again without any success; 8 unless told.
    retries: Option<u32>,
}

#[derive(Default, Deserialize)]
enum How {
    #[default]
    Nobody,
    Basic {
        user: String,
        password: String,
    },
    /// As the engine gives it: base64 of id and key.
    ApiKey(String),
    /// A token: `Authorization: Bearer …`.
    Bearer(String),
    /// Amazon OpenSearch: requests are signed with the credentials of AWS's chain.
    Aws {
        /// Unless told, that of the chain.
        region: Option<String>,
        /// `es` unless told; `aoss` is Serverless.
        service: Option<String>,
        profile: Option<String>,
    },
}

impl Client {
    pub fn new(connection: &Connection) -> Result<Client, Problem> {
        let config: Config = connection.config()?;
        let wrong = |text: String| Problem::error(config.url.span, text);
        let url = config.url.trim_end_matches('/');
        let parsed = reqwest::Url::parse(url).map_err(|e| wrong(format!("`{url}` is no URL: {e}")));
        let parsed = parsed.map_err(|p| p.help("url: \"https://host:9200\""))?;
        if !["http", "https"].contains(&parsed.scheme()) || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong(format!("`{url}` is no address of a search engine")).help("url: \"https://host:9200\""));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Problem::error(config.url.span, "user and password do not belong into the URL")
                .help("auth: Basic(user: \"…\", password: \"${secret:…}\")"));
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(config.timeout.unwrap_or(60)))
            // A redirection would take the key to another host.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true);
        if let Some(ca) = &config.ca {
            let path = connection.base.join(ca);
            let failed = |e: &dyn std::fmt::Display| {
                wrong(format!("reading certificates from {}: {e}", path.display()))
                    .help("`ca` names a PEM file with the certificates that are trusted")
            };
            let pem = std::fs::read(&path).map_err(|e| failed(&e))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|e| failed(&e))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(|e| wrong(format!("setting up the client: {e}")))?;
        Ok(Client {
            http,
            place: url.to_string(),
            auth: match config.auth {
                How::Nobody => Auth::Nobody,
                How::Basic { user, password } => Auth::Basic(user, password),
                How::ApiKey(key) => Auth::Header(format!("ApiKey {key}")),
                How::Bearer(token) => Auth::Header(format!("Bearer {token}")),
                How::Aws { region, service, profile } => {
                    let identity = identity(profile.as_deref()).map_err(|e| wrong(e.message))?;
                    let Some(region) = region.or_else(|| identity.region().map(str::to_string)) else {
                        return Err(wrong("no AWS region is known".into()).help("auth: Aws(region: \"eu-west-1\")"));
                    };
                    Auth::Aws { identity, region, service: service.unwrap_or_else(|| "es".into()) }
                }
            },
            gzip: config.gzip,
            requests: config.requests.unwrap_or(4).clamp(1, 64),
            documents: config.documents.unwrap_or(10_000).max(1),
            backoff: Backoff { tries: config.retries.unwrap_or(8).saturating_add(1), ..Backoff::default() },
        })
    }
}
