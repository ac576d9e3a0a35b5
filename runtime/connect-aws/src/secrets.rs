//! `${secret:secretsmanager:NAME#KEY}` and `${secret:ssm:/NAME}`: values that AWS keeps.

use crate::{identity, signed};
use selvedge_connect::retry::Backoff;
use selvedge_connect::wait;
use selvedge_node::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const MANAGER: &str = "secretsmanager:";
const STORE: &str = "ssm:";

/// How long a value is kept: one command may read a graph several times.
const KEPT: Duration = Duration::from_secs(30);

/// The value of a secret of ours; `None`: another service keeps it.
pub fn secret(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<Result<String>> {
    static KNOWN: Mutex<BTreeMap<String, (Instant, String)>> = Mutex::new(BTreeMap::new());
    if !name.starts_with(MANAGER) && !name.starts_with(STORE) {
        return None;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((since, text)) = known.get(name)
        && since.elapsed() < KEPT
    {
        return Some(Ok(text.clone()));
    }
    let found = find(name, env);
    if let Ok(text) = &found {
        known.insert(name.to_string(), (Instant::now(), text.clone()));
    }
    Some(found)
}

/// The value of a secret of *Secrets Manager* (a name or ARN; behind `#` a key of its JSON) or a parameter of the *Systems Manager*. `env` is
/// where endpoints may be told: `AWS_ENDPOINT_URL_SECRETS_MANAGER`, `AWS_ENDPOINT_URL_SSM`, `AWS_ENDPOINT_URL`.
fn find(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    if let Some(name) = name.strip_prefix(STORE) {
        let service = Service { name: "ssm", target: "AmazonSSM.GetParameter", endpoint: "AWS_ENDPOINT_URL_SSM" };
        let told = service.ask(&json!({ "Name": name, "WithDecryption": true }), env)?;
        return text(&told["Parameter"]["Value"]).ok_or_else(|| Error::world("it has no value"));
    }
    let name = name.strip_prefix(MANAGER).unwrap_or(name);
    let (id, key) = name.split_once('#').map_or((name, None), |(id, key)| (id, Some(key)));
    let service = Service {
        name: "secretsmanager",
        target: "secretsmanager.GetSecretValue",
        endpoint: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    };
    let told = service.ask(&json!({ "SecretId": id }), env)?;
    let whole = text(&told["SecretString"])
        .ok_or_else(|| Error::world("it is no text").help("binary secrets cannot be part of a connection"))?;
    let Some(key) = key else { return Ok(whole) };
    // Never the text itself, in no error.
    let parsed: Value = serde_json::from_str(&whole)
        .map_err(|_| Error::world("it is no JSON, so that it has no keys").help("leave out `#` and the key"))?;
    match &parsed[key] {
        Value::Null => Err(Error::world(format!("its JSON has no key `{key}`"))),
        Value::String(text) => Ok(text.clone()),
        other => Ok(other.to_string()),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_string)
}

struct Service {
    name: &'static str,
    target: &'static str,
    endpoint: &'static str,
}

impl Service {
    fn ask(&self, body: &Value, env: &dyn Fn(&str) -> Option<String>) -> Result<Value> {
        let identity = identity(None)?;
        let region = identity.region().ok_or_else(|| {
            Error::world("no AWS region is known").help("set AWS_REGION, or `region` of the profile in ~/.aws/config")
        })?;
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        let usual = || format!("https://{}.{region}.amazonaws.com{suffix}", self.name);
        let url = env(self.endpoint).or_else(|| env("AWS_ENDPOINT_URL")).unwrap_or_else(usual);
        let url = format!("{}/", url.trim_end_matches('/'));
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build();
        let http = http.map_err(|e| Error::bug(format!("setting up a client: {e}")))?;
        let body = body.to_string();
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", self.target)];
        Backoff::default().retry(|| {
            wait(async {
                let signature =
                    signed(&identity, (region, self.name), ("POST", &url), &headers, body.as_bytes()).await?;
                let mut request = http.post(&url).body(body.clone());
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                for (name, value) in signature {
                    request = request.header(name, value);
                }
                let unreached = |e: reqwest::Error| {
                    let e = e.without_url();
                    Error::world(format!("asking {url}: {e}")).help("check the network and the region").retryable()
                };
                let answer = request.send().await.map_err(unreached)?;
                let status = answer.status().as_u16();
                let told: Value = serde_json::from_slice(&answer.bytes().await.map_err(unreached)?).unwrap_or_default();
                if status == 200 { Ok(told) } else { Err(refused(self.name, status, &told)) }
            })?
        })
    }
}

/// What an answer other than success means.
fn refused(service: &str, status: u16, told: &Value) -> Error {
    let kind = told["__type"].as_str().unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default();
    let why = told["message"].as_str().or(told["Message"].as_str()).unwrap_or_default();
    let e = Error::world(format!("{service} answers {status} {kind}: {why}"));
    match kind {
        "ResourceNotFoundException" | "ParameterNotFound" => e.help("check its name, and the account and region"),
        "AccessDeniedException" => e.help(
            "let this identity do secretsmanager:GetSecretValue or ssm:GetParameter on it, and decrypt with its key",
        ),
        "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
            e.help("the credentials are wrong or too old")
        }
        "ThrottlingException" => e.help("too many ask at a time").retryable(),
        _ if status >= 500 => e.retryable(),
        _ => e,
    }
}
