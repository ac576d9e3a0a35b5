//! The chain of credentials that AWS's own tools walk (*AWS SDKs and Tools Reference Guide*, "Standardized credential providers").

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use selvedge_connect::wait;
use selvedge_node::{Error, Result};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Credentials are renewed that long before they end.
const AHEAD: Duration = Duration::from_secs(300);

/// A profile, or the machine's own identity. No Debug: keys are in it.
pub struct Identity {
    profile: Option<String>,
    chain: Option<SharedCredentialsProvider>,
    region: Option<String>,
    last: Mutex<Option<Credentials>>,
}

/// Who this is. It is found out once for each profile; `None` is what `AWS_PROFILE` says, or `default`.
pub fn identity(profile: Option<&str>) -> Result<Arc<Identity>> {
    static KNOWN: Mutex<BTreeMap<Option<String>, Arc<Identity>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = profile.map(str::to_string);
    if let Some(found) = known.get(&key) {
        return Ok(found.clone());
    }
    let made = Arc::new(wait(Identity::new(key.clone()))?);
    known.insert(key, made.clone());
    Ok(made)
}

impl Identity {
    async fn new(profile: Option<String>) -> Identity {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        if let Some(name) = &profile {
            loader = loader.profile_name(name);
        }
        let config = loader.load().await;
        let region = config.region().map(|r| r.as_ref().to_string());
        Identity { profile, chain: config.credentials_provider(), region, last: Mutex::new(None) }
    }

    /// What `AWS_REGION` or the profile says.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Credentials that are good for some minutes at least.
    pub async fn credentials(&self) -> Result<Credentials> {
        let fresh = |c: &Credentials| c.expiry().is_none_or(|end| end > SystemTime::now() + AHEAD);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(last) = last.filter(fresh) {
            return Ok(last);
        }
        let chain = self.chain.as_ref().ok_or_else(|| Error::bug("AWS's configuration has no credentials"))?;
        let found = chain.provide_credentials().await.map_err(|e| {
            let mut inner: &dyn std::error::Error = &e;
            while let Some(source) = inner.source() {
                inner = source;
            }
            let who = self.profile.as_ref().map_or(String::new(), |p| format!(" for the profile `{p}`"));
            let reason = if e.source().is_some() { inner.to_string() } else { e.to_string() };
            Error::world(format!("no AWS credentials{who}: {reason}")).help(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, run `aws sso login`, or give the machine a role",
            )
        })?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }
}
