//! Requests that other clients send, signed for AWS.

use crate::Identity;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use selvedge_node::{Error, Result};
use std::time::SystemTime;

/// The headers that a request needs besides its own: who asks, and that nobody has changed it (Signature Version 4).
pub async fn signed(
    identity: &Identity,
    (region, service): (&str, &str),
    (method, url): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Vec<(String, String)>> {
    let failed = |e: &dyn std::fmt::Display| Error::bug(format!("signing a request: {e}"));
    let credentials = identity.credentials().await?.into();
    let mut settings = SigningSettings::default();
    // OpenSearch Serverless wants it.
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params = v4::SigningParams::builder()
        .identity(&credentials)
        .region(region)
        .name(service)
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(|e| failed(&e))?
        .into();
    let request = SignableRequest::new(method, url, headers.iter().copied(), SignableBody::Bytes(body));
    let output = sign(request.map_err(|e| failed(&e))?, &params).map_err(|e| failed(&e))?;
    let (headers, _) = output.into_parts().0.into_parts();
    Ok(headers.iter().map(|h| (h.name().to_string(), h.value().to_string())).collect())
}
