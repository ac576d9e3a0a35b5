//! What a store says, and the way out.

use object_store::Error as Told;
use selvedge_node::Error;

/// An error of a request, with the object that it was about.
pub fn error(doing: &str, place: &str, e: &Told) -> Error {
    let text = format!("{doing} {place}: {}", reason(e));
    match e {
        Told::NotFound { .. } => Error::world(text).help("check the bucket and the path"),
        Told::Unauthenticated { .. } => Error::world(text)
            .help("check access_key and secret_key, or the environment's credentials, and the clock of this machine"),
        Told::PermissionDenied { .. } => Error::world(text).help("check what these credentials may do with the bucket"),
        Told::Precondition { .. } => Error::world(text).help("somebody else has written it meanwhile; run again"),
        Told::NotSupported { .. } | Told::NotImplemented { .. } => {
            Error::world(text).help("the store cannot do this; use another one for what is written")
        }
        _ => Error::world(text).help("check the endpoint and the network").retryable(),
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
