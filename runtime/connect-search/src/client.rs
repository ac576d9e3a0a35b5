//! One request and its answer.

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use selvedge_connect::retry::Backoff;
use selvedge_connect::wait;
use selvedge_connect_aws::{Identity, signed};
use selvedge_node::{Error, Result};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An engine, and how to get in.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    /// `https://host:9200`, for people and for requests.
    pub place: String,
    pub auth: Auth,
    pub gzip: bool,
    pub requests: usize,
    pub documents: usize,
    pub backoff: Backoff,
}

#[derive(Clone)]
pub enum Auth {
    Nobody,
    Basic(String, String),
    Header(String),
    Aws { identity: Arc<Identity>, region: String, service: String },
}

/// The longest wait that an engine may ask for.
const LONGEST: Duration = Duration::from_secs(120);

/// What came back.
pub struct Answered {
    pub status: StatusCode,
    pub body: Bytes,
    /// How long the engine wants to be left alone.
    pub after: Option<Duration>,
}

/// Which engine it is.
pub struct Version {
    name: &'static str,
    number: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.number)
    }
}

impl Client {
    /// One request. An error has had no answer.
    pub async fn ask(&self, method: Method, path: &str, body: Option<(&'static str, Bytes)>) -> Result<Answered> {
        let url = format!("{}/{path}", self.place);
        let mut headers = vec![];
        let mut sent = Bytes::new();
        if let Some((kind, body)) = body {
            headers.push((CONTENT_TYPE.as_str(), kind));
            let zip = self.gzip && body.len() > 1024;
            sent = if zip { zipped(&body)?.into() } else { body };
            if zip {
                headers.push((CONTENT_ENCODING.as_str(), "gzip"));
            }
        }
        let mut request = self.http.request(method.clone(), &url);
        request = match &self.auth {
            Auth::Nobody => request,
            Auth::Basic(user, password) => request.basic_auth(user, Some(password)),
            Auth::Header(text) => request.header(AUTHORIZATION, text),
            Auth::Aws { identity, region, service } => {
                let to = (method.as_str(), url.as_str());
                let signature = signed(identity, (region, service), to, &headers, &sent).await?;
                signature.into_iter().fold(request, |request, (name, value)| request.header(name, value))
            }
        };
        request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value)).body(sent);
        let answer = request.send().await.map_err(|e| self.unreached(&e))?;
        let status = answer.status();
        let after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let after = after.map(|seconds| Duration::from_secs(seconds).min(LONGEST));
        let body = answer.bytes().await.map_err(|e| self.unreached(&e))?;
        Ok(Answered { status, body, after })
    }

    /// A small request whose answer is JSON, tried again where that may help. `None`: there is no such thing.
    pub fn json(&self, method: &Method, path: &str, body: Option<&Value>, doing: &str) -> Result<Option<Value>> {
        self.backoff.retry(|| {
            let body = body.map(|b| ("application/json", Bytes::from(b.to_string())));
            let answered = wait(self.ask(method.clone(), path, body))??;
            if answered.status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if !answered.status.is_success() {
                return Err(self.refused(doing, &answered));
            }
            let read = serde_json::from_slice(&answered.body);
            read.map(Some).map_err(|e| self.foreign(&format!("an answer that is no JSON: {e}")))
        })
    }

    pub fn version(&self) -> Result<Version> {
        let told = self.json(&Method::GET, "", None, "asking for the version of")?;
        let version = told.as_ref().map(|t| &t["version"]);
        let number = version.and_then(|v| v["number"].as_str()).unwrap_or_default();
        let Some(major) = number.split('.').next().and_then(|m| m.parse::<u32>().ok()) else {
            return Err(self.foreign("no version of a search engine"));
        };
        let open = version.is_some_and(|v| v["distribution"] == "opensearch");
        let found = Version { name: if open { "OpenSearch" } else { "Elasticsearch" }, number: number.to_string() };
        match open || major >= 7 {
            true => Ok(found),
            false => Err(Error::world(format!("{} is {found}", self.place)).help("Elasticsearch 7 or later is needed")),
        }
    }

    /// Why there was no answer, and the way out.
    fn unreached(&self, e: &reqwest::Error) -> Error {
        let mut inner: &dyn std::error::Error = e;
        while let Some(source) = inner.source() {
            inner = source;
        }
        // Never the outermost text: it has the URL, and that may have more in it than people should see.
        let reason = if e.is_timeout() { "no answer in time".into() } else { inner.to_string() };
        let told = Error::world(format!("asking {}: {reason}", self.place));
        match reason.contains("certificate") {
            true => told.help("the engine shows a certificate that is not trusted: see `ca` of the connection"),
            false => told.help("check the url of the connection, and that the engine runs").retryable(),
        }
    }

    pub fn foreign(&self, what: &str) -> Error {
        Error::world(format!("{} answers with {what}", self.place))
            .help("is it Elasticsearch or OpenSearch, and no proxy or page of another program?")
    }

    /// What an answer other than success means.
    pub fn refused(&self, doing: &str, answered: &Answered) -> Error {
        let status = answered.status.as_u16();
        let told = serde_json::from_slice::<Value>(&answered.body).unwrap_or_default();
        let (kind, reason) = cause(&told["error"]);
        let said = match kind.is_empty() && reason.is_empty() {
            true => String::from_utf8_lossy(&answered.body).split_whitespace().collect::<Vec<_>>().join(" "),
            false => format!("{kind}: {reason}"),
        };
        let said: String = said.chars().take(400).collect();
        let e = Error::world(format!("{doing} {}: HTTP {status}, {said}", self.place));
        match status {
            401 => e.help("the engine does not know who asks: check `auth` of the connection"),
            403 => e.help("the engine forbids it: grant what is needed, or remove a block of the index or its disk"),
            408 | 429 | 500 | 502..=504 => e.help("the engine is busy or not well; look at its logs").retryable(),
            301..=308 => e.help("the address has moved: set the url of the connection to where it is now"),
            _ => e.help("see what the engine says, and its logs"),
        }
    }
}

/// Type and reason of an error in the engine's words, with the innermost cause.
pub fn cause(error: &Value) -> (String, String) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let (kind, mut reason) = match error {
        Value::String(reason) => (String::new(), reason.clone()),
        _ => (text(&error["type"]), text(&error["reason"])),
    };
    let mut inner = &error["caused_by"];
    while inner["caused_by"].is_object() {
        inner = &inner["caused_by"];
    }
    let why = text(&inner["reason"]);
    if !why.is_empty() && !reason.contains(&why) {
        reason = format!("{reason}: {why}");
    }
    (kind, reason)
}

fn zipped(body: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write;
    let mut to = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    let done = to.write_all(body).and_then(|()| to.finish());
    done.map_err(|e| Error::bug(format!("compressing a request: {e}")))
}
