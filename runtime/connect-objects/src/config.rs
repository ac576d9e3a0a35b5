//! What a connection says, as a client.

use crate::bucket::{Bucket, Client};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientOptions, CredentialProvider, RetryConfig};
use selvedge_connect::store::Store;
use selvedge_connect_aws::{Identity, identity};
use selvedge_node::{Connection, Problem, Spanned};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The kind of connection.
pub const KIND: &str = "ObjectStore";

/// `ObjectStore(url: "s3://retail-lake/raw", region: "eu-west-1")`. No Debug: keys are in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `https://host/path`.
    pub url: Spanned<String>,
    region: Option<String>,
    /// Of a server that speaks S3, or an emulator: `"http://127.0.0.1:9000"`. It is asked by path, not by host name.
    endpoint: Option<String>,
    /// Of `~/.aws/config`, for S3. Without it, and without keys, the chain of AWS's own tools: the environment, `AWS_PROFILE`, a web identity,
    /// the container or instance.
    profile: Option<String>,
    /// With `secret_key`: no chain, these keys.
    pub access_key: Option<String>,
    pub secret_key: Option<String>,
    pub session_token: Option<String>,
    /// Seconds that one request may take; 60 unless told.
    timeout: Option<u64>,
    /// How often a request that failed is sent again; 8 unless told.
    retries: Option<usize>,
    /// Any other setting of the client by its name, such as `"azure_storage_account_name"`.
    #[serde(default)]
    options: BTreeMap<Spanned<String>, String>,
}

/// The store that a connection means; `None`: it is of another kind.
pub fn connect(connection: &Connection) -> Option<Result<Arc<dyn Store>, Problem>> {
    (connection.kind == KIND).then(|| {
        let config: Config = connection.config()?;
        config.store()
    })
}

impl Config {
    pub fn store(&self) -> Result<Arc<dyn Store>, Problem> {
        Ok(Arc::new(self.bucket()?))
    }

    fn bucket(&self) -> Result<Bucket, Problem> {
        let url = self.url.trim_end_matches('/');
        let problem = |text: String| Problem::error(self.url.span, text);
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(problem(format!("`{url}` is no URL")).help("url: \"s3://bucket/prefix\""));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(problem(format!("`{url}` names no bucket")).help("url: \"s3://bucket/prefix\""));
        }
        let client = match scheme {
            "s3" | "s3a" => self.s3(bucket)?,
            "gs" => self.gcs(bucket)?,
            "az" | "abfs" | "abfss" => self.azure(bucket)?,
            "http" | "https" => return self.http(scheme, bucket, prefix),
            other => {
                return Err(problem(format!("there is no object store of the scheme `{other}`"))
                    .help("s3, gs, az or https; folders of this machine are connections of the kind Folder"));
            }
        };
        Bucket::new(client, &format!("{scheme}://{bucket}"), prefix).map_err(|e| problem(e.message))
    }

    fn s3(&self, bucket: &str) -> Result<Client, Problem> {
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = self.s3_endpoint() {
            builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
        }
        if let (Some(key), Some(secret)) = (&self.access_key, &self.secret_key) {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        if let Some(token) = &self.session_token {
            builder = builder.with_token(token);
        }
        let told = |name: &str| self.options.keys().any(|key| key.trim_start_matches("aws_") == name);
        if self.access_key.is_none() && !told("access_key_id") && !told("skip_signature") {
            let who = Chain(identity(self.profile.as_deref()).map_err(|e| Problem::error(self.url.span, e.message))?);
            if let (None, Some(region)) = (&self.region, who.0.region()) {
                builder = builder.with_region(region);
            }
            builder = builder.with_credentials(Arc::new(who));
        }
        for (name, value) in &self.options {
            builder = builder.with_config(self.option::<AmazonS3ConfigKey>(name)?, value);
        }
        let made = builder.with_retry(self.retry()).with_client_options(self.client()).build();
        Ok(Client::Store(Arc::new(made.map_err(|e| self.refused(&e))?)))
    }

    fn gcs(&self, bucket: &str) -> Result<Client, Problem> {
        let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
        for (name, value) in &self.options {
            builder = builder.with_config(self.option::<GoogleConfigKey>(name)?, value);
        }
        let made = builder.with_retry(self.retry()).with_client_options(self.client()).build();
        Ok(Client::Store(Arc::new(made.map_err(|e| self.refused(&e))?)))
    }

    fn azure(&self, container: &str) -> Result<Client, Problem> {
        // `abfss://container@account.dfs.core.windows.net/…`
        let (container, account) = container.split_once('@').unwrap_or((container, ""));
        let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container);
        if let Some((account, _)) = account.split_once('.') {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        for (name, value) in &self.options {
            builder = builder.with_config(self.option::<AzureConfigKey>(name)?, value);
        }
        let made = builder.with_retry(self.retry()).with_client_options(self.client()).build();
        Ok(Client::Store(Arc::new(made.map_err(|e| self.refused(&e))?)))
    }

    fn http(&self, scheme: &str, host: &str, path: &str) -> Result<Bucket, Problem> {
        let root = format!("{scheme}://{host}");
        let options = self.client().with_allow_http(scheme == "http");
        let made = HttpBuilder::new().with_url(&root).with_retry(self.retry()).with_client_options(options).build();
        let client = Client::ReadOnly(Arc::new(made.map_err(|e| self.refused(&e))?));
        Bucket::new(client, &root, path).map_err(|e| Problem::error(self.url.span, e.message))
    }

    /// As for AWS's own tools, the environment may tell it.
    fn s3_endpoint(&self) -> Option<String> {
        let told = |name: &str| std::env::var(name).ok().filter(|url| !url.is_empty());
        self.endpoint.clone().or_else(|| told("AWS_ENDPOINT_URL_S3")).or_else(|| told("AWS_ENDPOINT_URL"))
    }

    fn client(&self) -> ClientOptions {
        let endpoint = if self.url.starts_with("s3") { self.s3_endpoint() } else { self.endpoint.clone() };
        let plain = endpoint.is_some_and(|e| e.starts_with("http://"));
        ClientOptions::new()
            .with_allow_http(plain)
            .with_connect_timeout(Duration::from_secs(10))
            .with_timeout(Duration::from_secs(self.timeout.unwrap_or(60)))
            .with_pool_max_idle_per_host(64)
    }

    fn retry(&self) -> RetryConfig {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(15),
            ..Default::default()
        };
        let tries = self.retries.unwrap_or(8);
        RetryConfig { backoff, max_retries: tries, retry_timeout: Duration::from_secs(300) }
    }

    fn option<K: std::str::FromStr>(&self, name: &Spanned<String>) -> Result<K, Problem> {
        name.parse().map_err(|_| {
            Problem::error(name.span, format!("the client has no setting `{name}`"))
                .help("see the keys of the crate object_store: aws_…, google_…, azure_…")
        })
    }

    fn refused(&self, e: &object_store::Error) -> Problem {
        Problem::error(self.url.span, crate::error::reason(e))
    }
}

/// Keys that are renewed.
struct Chain(Arc<Identity>);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain")
    }
}

impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    // As `async_trait` writes it.
    fn get_credential<'a, 'b>(
        &'a self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async {
            let found = self.0.credentials().await.map_err(|e| {
                let text = e.help.map_or(e.message.clone(), |help| format!("{} ({help})", e.message));
                object_store::Error::Generic { store: "S3", source: text.into() }
            })?;
            Ok(Arc::new(AwsCredential {
                key_id: found.access_key_id().into(),
                secret_key: found.secret_access_key().into(),
                token: found.session_token().map(str::to_string),
            }))
        })
    }
}
