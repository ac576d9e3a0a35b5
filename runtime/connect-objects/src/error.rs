//! What a store says, and the way out.

use object_store::Error as Told;
use selvedge_node::Error;

const KEYS: &str = "check access_key and secret_key (or the environment's credentials), the clock of this machine, and what they may do there";

/// An error of a request, with the object that it was about.
pub fn error(doing: &str, place: &str, e: &Told) -> Error {
    let reason = reason(e);
    let code = reason.split(':').next().unwrap_or_default();
    let told = Error::world(format!("{doing} {place}: {reason}"));
    match (code, e) {
        (
            "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "AccessDenied" | "ExpiredToken" | "RequestTimeTooSkewed",
            _,
        )
        | (_, Told::Unauthenticated { .. } | Told::PermissionDenied { .. }) => told.help(KEYS),
        ("NoSuchBucket", _) | (_, Told::NotFound { .. }) => told.help("check the bucket and the path"),
        (_, Told::Precondition { .. }) => told.help("somebody else has written it meanwhile; run again"),
        (_, Told::NotSupported { .. } | Told::NotImplemented { .. }) => {
            told.help("the store cannot do this; use another one for what is written")
        }
        _ => told.help("check the endpoint and the network").retryable(),
    }
}

/// The innermost reason, without the layers that repeat it, and short.
pub fn reason(e: &Told) -> String {
    let mut inner: &dyn std::error::Error = e;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let (outer, inner) = (e.to_string(), inner.to_string());
    let text = if outer.contains("Server returned") || inner.is_empty() { outer } else { inner };
    if matches!(e, Told::PermissionDenied { .. }) && !text.contains("<Code>") {
        return "it is forbidden".into();
    }
    // An S3 server answers in XML.
    let tag = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.to_string())
    };
    match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
        (Some(code), _) => code,
        _ => text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(400).collect(),
    }
}
