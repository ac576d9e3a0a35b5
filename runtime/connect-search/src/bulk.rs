//! Documents until each of them is stored or refused.
//!
//! An engine answers for each document of a request. Those that it had no room for (429) or failed with (5xx) are sent again, with
//! exponential back-off, and with them all later ones of the same id, so that the last one wins as it would have. A request that is
//! too large (413) is sent in halves. A document keeps its id, so that one whose answer was lost takes its own place again.

use crate::client::{Answered, Client, cause};
use bytes::Bytes;
use reqwest::{Method, StatusCode};
use selvedge_connect::search::{Answer, Item, Refusal, Request};
use selvedge_node::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;
use std::time::Duration;

/// Of an answer, what we read.
const PATH: &str = "_bulk?filter_path=errors,items.*.status,items.*.error";
const DOING: &str = "sending documents to";

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    items: Vec<serde_json::Map<String, Value>>,
}

pub async fn send(client: Client, request: Request) -> Result<Answer> {
    let (text, items) = (Bytes::from(request.text), request.items);
    let mut answer = Answer::default();
    // Parts of the request that are still to be sent, the first one last.
    let mut parts: Vec<Vec<usize>> = vec![(0..items.len()).collect()];
    let mut failed = 0;
    while let Some(part) = parts.pop() {
        let (why, after, again) = match client.ask(Method::POST, PATH, Some(lines(&text, &items, &part))).await {
            Err(e) if e.retry => (e, None, part),
            Err(e) => return Err(e),
            Ok(answered) if answered.status == StatusCode::PAYLOAD_TOO_LARGE => {
                halve(part, &text, &items, &mut parts, &mut answer);
                continue;
            }
            Ok(answered) if !answered.status.is_success() => {
                let e = client.refused(DOING, &answered);
                if !e.retry {
                    return Err(e);
                }
                (e, answered.after, part)
            }
            Ok(answered) => {
                let again = each(&client, &answered, &text, &items, &part, &mut answer)?;
                if again.0.len() < part.len() {
                    failed = 0;
                }
                if again.0.is_empty() {
                    continue;
                }
                let e = Error::world(format!("{DOING} {}: {}", client.place, again.1));
                (e.help("the engine is busy or not well; look at its logs").retryable(), answered.after, again.0)
            }
        };
        failed += 1;
        let Some(wait) = client.backoff.after(failed) else { return Err(why) };
        answer.retries += 1;
        tokio::time::sleep(after.map_or(wait, |after: Duration| after + wait.min(Duration::from_secs(1)))).await;
        parts.push(again);
    }
    Ok(answer)
}

/// Where the lines of a document are.
fn range(items: &[Item], at: usize) -> std::ops::Range<usize> {
    let start = at.checked_sub(1).map_or(0, |before| items[before].end);
    start..items[at].end
}

/// The body of a request with these documents.
fn lines(text: &Bytes, items: &[Item], part: &[usize]) -> (&'static str, Bytes) {
    let whole = match part {
        [first, .., last] if last - first + 1 == part.len() => {
            text.slice(range(items, *first).start..range(items, *last).end)
        }
        _ => part.iter().flat_map(|&at| &text[range(items, at)]).copied().collect(),
    };
    ("application/x-ndjson", whole)
}

fn refuse(text: &Bytes, items: &[Item], at: usize, code: &str, message: String, answer: &mut Answer) {
    let document = String::from_utf8_lossy(&text[items[at].document..items[at].end]).trim_end().to_string();
    answer.refused.push(Refusal { code: code.to_string(), message, document });
}

/// What is too large is sent in halves; a document that is too large alone is refused.
fn halve(part: Vec<usize>, text: &Bytes, items: &[Item], parts: &mut Vec<Vec<usize>>, answer: &mut Answer) {
    if let [one] = part[..] {
        let bytes = range(items, one).len();
        let why = format!("the engine takes no request of {bytes} bytes (HTTP 413), and this one document has them");
        return refuse(text, items, one, "size", why, answer);
    }
    let (first, second) = part.split_at(part.len() / 2);
    parts.push(second.to_vec());
    parts.push(first.to_vec());
}

/// What the engine says of each document: those to be sent again, and why.
fn each(
    client: &Client,
    answered: &Answered,
    text: &Bytes,
    items: &[Item],
    part: &[usize],
    answer: &mut Answer,
) -> Result<(Vec<usize>, String)> {
    let told: Told = serde_json::from_slice(&answered.body)
        .map_err(|e| client.foreign(&format!("something else than the bulk API's answer: {e}")))?;
    if told.items.len() != part.len() {
        return Err(client.foreign(&format!("{} results for {} documents", told.items.len(), part.len())));
    }
    let (mut again, mut ids, mut why) = (vec![], HashSet::new(), String::new());
    for (&at, item) in part.iter().zip(&told.items) {
        let Some((operation, result)) = item.iter().next() else {
            return Err(client.foreign("an empty result of a document"));
        };
        if ids.contains(&items[at].hash) {
            // An earlier one of this id comes after it otherwise.
            again.push(at);
            continue;
        }
        match result["status"].as_u64().unwrap_or_default() {
            200..300 => answer.stored += 1,
            // It has been made before, by a request whose answer was lost or a run that was killed.
            409 if operation == "create" => answer.stored += 1,
            429 | 500.. => {
                let (kind, reason) = cause(&result["error"]);
                why = format!("{kind}: {reason}");
                ids.insert(items[at].hash);
                again.push(at);
            }
            // Not the document's fault.
            status @ (401 | 403 | 404) => {
                let (kind, reason) = cause(&result["error"]);
                let e = Error::world(format!("{DOING} {}: HTTP {status}, {kind}: {reason}", client.place));
                return Err(match status {
                    404 => e.help("the index is gone, or nobody makes it: create: true"),
                    _ => e.help(
                        "the engine forbids it: grant what is needed, or remove a block of the index or its disk",
                    ),
                });
            }
            400..500 => {
                let (kind, reason) = cause(&result["error"]);
                refuse(text, items, at, &kind, reason, answer);
            }
            _ => return Err(client.foreign("a result of a document without a status")),
        }
    }
    Ok((again, why))
}
