//! Search servers: an independent one from PyPI, and a strict fake of our own that fails as told.
//!
//! No real Elasticsearch or OpenSearch installs on the machines that run the tests. noida-db answers as Elasticsearch 8.15 and
//! shares no code with us; but it is never busy, asks nobody who he is and takes bodies that Elasticsearch refuses. That is what the fake
//! is for: parameters, refusals and results as in Elasticsearch's API specification (`bulk`, 9.x).

use crate::install::python;
use crate::process::{Process, folder, free_port, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// noida-db.
pub struct Noida {
    pub port: u16,
    _process: Process,
}

impl Noida {
    pub fn start() -> Noida {
        let program = python(&["noida-db==0.2.3"]).join("noida_db/noida-db");
        let folder = folder("noida");
        let port = free_port();
        let mut server = Command::new(program);
        server.args(["start", "--only", "elasticsearch,kafka", "--host", "127.0.0.1"]);
        server.arg("--elasticsearch-port").arg(port.to_string()).arg("--kafka-port").arg(free_port().to_string());
        server.arg("--data-dir").arg(folder.join("data")).current_dir(&folder);
        let mut process = Process::start("noida-db", server, &folder.join("log"));
        process.ready(port, || ask(port, "GET", "/", "").is_ok_and(|told| told["version"]["number"].is_string()));
        Noida { port, _process: process }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every document of an index, by its id.
    pub fn documents(&self, index: &str) -> BTreeMap<String, Value> {
        let failed = |e: io::Error| panic!("{index}: {e}");
        ask(self.port, "POST", &format!("/{index}/_refresh"), "").unwrap_or_else(failed);
        let found = ask(self.port, "POST", &format!("/{index}/_search"), r#"{"size":10000}"#).unwrap_or_else(failed);
        let hits = found["hits"]["hits"].as_array().cloned().unwrap_or_default();
        assert!(hits.len() < 10_000, "more documents than one search gives");
        hits.into_iter().map(|mut hit| (text(&hit["_id"]), hit["_source"].take())).collect()
    }

    pub fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        ask(self.port, method, path, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }
}

/// The independent server of this test program.
pub fn noida() -> &'static Noida {
    static ONE: OnceLock<Noida> = OnceLock::new();
    ONE.get_or_init(Noida::start)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn ask(port: u16, method: &str, path: &str, body: &str) -> io::Result<Value> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        &stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut from = BufReader::new(&stream);
    let head = Head::read(&mut from)?.ok_or_else(|| io::Error::other("no answer"))?;
    let mut body = vec![];
    match head.field("content-length").and_then(|l| l.parse().ok()) {
        Some(bytes) => _ = from.take(bytes).read_to_end(&mut body)?,
        None => _ = from.read_to_end(&mut body)?,
    }
    serde_json::from_slice(&body).map_err(|e| io::Error::other(format!("{e}: {}", String::from_utf8_lossy(&body))))
}

/// The first lines of a message.
struct Head {
    line: String,
    fields: Vec<(String, String)>,
}

impl Head {
    fn read(from: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut lines = vec![];
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_string();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let line = lines.first().cloned().unwrap_or_default();
        let fields = lines.iter().skip(1).filter_map(|l| l.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string())).collect();
        Ok(Some(Head { line, fields }))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What becomes of a `_bulk` request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bulk {
    Pass,
    /// The engine answers so and does nothing; 429 and 503 with `Retry-After: 0`.
    Whole(u16),
    /// Of so many documents one is answered so, and not stored.
    Some(u16, usize),
    /// The connection is cut before anything is done.
    Cut,
    /// All is done, and the connection is cut before the answer.
    Lose,
}

/// A strict fake of an engine: what it has, and how it fails.
pub struct FakeSearch {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// What `Authorization` must be.
    key: Option<String>,
    /// The most bytes of a body.
    limit: usize,
    version: Value,
    decide: Box<dyn Fn(usize) -> Bulk + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bulks: usize,
    /// Mappings, by index.
    mappings: BTreeMap<String, Value>,
    templates: BTreeMap<String, Value>,
    streams: Vec<String>,
    documents: BTreeMap<(String, String), Value>,
}

/// Query parameters of `bulk` in the specification, and those of every API.
const PARAMETERS: &[&str] = &[
    "include_source_on_error",
    "list_executed_pipelines",
    "pipeline",
    "refresh",
    "routing",
    "_source",
    "_source_excludes",
    "_source_includes",
    "timeout",
    "wait_for_active_shards",
    "require_alias",
    "require_data_stream",
    "error_trace",
    "filter_path",
    "human",
    "pretty",
];

impl FakeSearch {
    /// `decide` is asked for each `_bulk`, with its number from 0.
    pub fn start(
        key: Option<&str>,
        limit: usize,
        decide: impl Fn(usize) -> Bulk + Send + Sync + 'static,
    ) -> FakeSearch {
        FakeSearch::of(json!({ "number": "8.15.3" }), key, limit, decide)
    }

    /// One that says that it is of this version.
    pub fn of(
        version: Value,
        key: Option<&str>,
        limit: usize,
        decide: impl Fn(usize) -> Bulk + Send + Sync + 'static,
    ) -> FakeSearch {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|e| panic!("{e}"));
        let port = listener.local_addr().unwrap_or_else(|e| panic!("{e}")).port();
        let (key, decide) = (key.map(str::to_string), Box::new(decide));
        let shared = Arc::new(Shared { key, limit, version, decide, state: Mutex::default() });
        let served = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = served.clone();
                // A connection that breaks is nothing but that.
                std::thread::spawn(move || _ = shared.serve(&client));
            }
        });
        FakeSearch { port, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn documents(&self, index: &str) -> BTreeMap<String, Value> {
        let state = self.shared.lock();
        let those = state.documents.iter().filter(|((its, _), _)| its == index);
        those.map(|((_, id), document)| (id.clone(), document.clone())).collect()
    }

    pub fn mapping(&self, index: &str) -> Option<Value> {
        self.shared.lock().mappings.get(index).cloned()
    }

    pub fn make(&self, index: &str, mapping: Value) {
        self.shared.lock().mappings.insert(index.to_string(), mapping);
    }

    pub fn bulks(&self) -> usize {
        self.shared.lock().bulks
    }

    /// Waits for so many `_bulk` requests.
    pub fn until_bulks(&self, count: usize) {
        until("bulk requests", || self.bulks() >= count);
    }
}

fn error(kind: &str, reason: &str) -> Value {
    json!({ "type": kind, "reason": reason })
}

fn whole(status: u16, kind: &str, reason: &str) -> (u16, Value) {
    let its = error(kind, reason);
    (status, json!({ "error": { "root_cause": [its], "type": kind, "reason": reason }, "status": status }))
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut from = BufReader::new(client);
        while let Some(head) = Head::read(&mut from)? {
            let bytes = head.field("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
            let mut body = vec![];
            from.by_ref().take(bytes).read_to_end(&mut body)?;
            if head.field("content-encoding") == Some("gzip") {
                let mut plain = vec![];
                flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
                body = plain;
            }
            let Some((status, answer)) = self.answer(&head, &body) else { return Ok(()) };
            let answer = answer.to_string();
            let wait = if [429, 503].contains(&status) { "Retry-After: 0\r\n" } else { "" };
            let mut to = client;
            write!(
                to,
                "HTTP/1.1 {status} Told\r\n{wait}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
                answer.len()
            )?;
        }
        Ok(())
    }

    /// `None`: the connection is cut.
    fn answer(&self, head: &Head, body: &[u8]) -> Option<(u16, Value)> {
        if self.key.as_deref().is_some_and(|key| head.field("authorization") != Some(key)) {
            return Some(whole(401, "security_exception", "missing authentication credentials for REST request"));
        }
        if body.len() > self.limit {
            return Some((413, Value::Null));
        }
        let mut words = head.line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let parsed = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        let mut state = self.lock();
        Some(match (method, &parts[..]) {
            ("GET", [""]) => {
                (200, json!({ "name": "fake", "version": self.version, "tagline": "You Know, for Search" }))
            }
            ("GET", [index, "_mapping"]) => match state.mappings.get(*index) {
                Some(mapping) => (200, json!({ *index: { "mappings": mapping } })),
                None => whole(404, "index_not_found_exception", &format!("no such index [{index}]")),
            },
            ("PUT", ["_index_template", name]) => {
                state.templates.insert((*name).to_string(), parsed());
                (200, json!({ "acknowledged": true }))
            }
            ("GET", ["_data_stream", name]) => match state.streams.iter().any(|s| s == name) {
                true => (200, json!({ "data_streams": [{ "name": name }] })),
                false => whole(404, "index_not_found_exception", &format!("no such index [{name}]")),
            },
            ("PUT", ["_data_stream", name]) => {
                let Some(template) = state.templates.get(*name) else {
                    return Some(whole(400, "illegal_argument_exception", "no matching index template found"));
                };
                let mapping = template["template"]["mappings"].clone();
                state.mappings.insert((*name).to_string(), mapping);
                state.streams.push((*name).to_string());
                (200, json!({ "acknowledged": true }))
            }
            ("PUT", [index]) if state.mappings.contains_key(*index) => {
                whole(400, "resource_already_exists_exception", &format!("index [{index}] already exists"))
            }
            ("PUT", [index]) => {
                state.mappings.insert((*index).to_string(), parsed()["mappings"].clone());
                (200, json!({ "acknowledged": true, "index": index }))
            }
            ("POST", ["_bulk"]) => {
                let strange = query.split('&').map(|p| p.split('=').next().unwrap_or_default());
                if let Some(name) = strange.into_iter().find(|p| !p.is_empty() && !PARAMETERS.contains(p)) {
                    let why = format!("request [/_bulk] contains unrecognized parameter: [{name}]");
                    return Some(whole(400, "illegal_argument_exception", &why));
                }
                let kind = head.field("content-type").unwrap_or_default();
                if !["application/x-ndjson", "application/json"].contains(&kind) {
                    return Some((
                        406,
                        json!({ "error": format!("Content-Type header [{kind}] is not supported"), "status": 406 }),
                    ));
                }
                let number = state.bulks;
                state.bulks += 1;
                let act = (self.decide)(number);
                match act {
                    Bulk::Cut => return None,
                    Bulk::Whole(status) => {
                        return Some(whole(status, "es_rejected_execution_exception", "rejected execution"));
                    }
                    _ => {}
                }
                let answered = state.bulk(body, act);
                if act == Bulk::Lose {
                    return None;
                }
                answered
            }
            _ => whole(400, "illegal_argument_exception", &format!("no handler found for {method} {path}")),
        })
    }
}

impl State {
    fn bulk(&mut self, body: &[u8], act: Bulk) -> (u16, Value) {
        if body.last() != Some(&b'\n') {
            return whole(400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]");
        }
        let mut lines = body[..body.len() - 1].split(|b| *b == b'\n');
        let mut items = vec![];
        while let Some(action) = lines.next() {
            let malformed = || whole(400, "illegal_argument_exception", "Malformed action/metadata line");
            let Ok(Value::Object(action)) = serde_json::from_slice(action) else { return malformed() };
            let Some((operation, its)) = action.iter().next() else { return malformed() };
            let known = ["_index", "_id", "routing", "pipeline", "require_alias", "version", "op_type"];
            let odd = its.as_object().is_none_or(|m| m.keys().any(|k| !known.contains(&k.as_str())));
            if odd || action.len() != 1 || !["index", "create"].contains(&operation.as_str()) {
                return malformed();
            }
            let Some(document) = lines.next() else { return malformed() };
            let (index, id) = (text(&its["_index"]), text(&its["_id"]));
            let told = match act {
                Bulk::Some(status, of) if items.len() % of == 0 => (
                    u64::from(status),
                    Some(error("es_rejected_execution_exception", "rejected execution of primary operation")),
                ),
                _ => self.store(operation, &index, &id, document),
            };
            let mut result = json!({ "_index": index, "_id": id, "status": told.0 });
            if let Some(error) = told.1 {
                result["error"] = error;
            }
            items.push(json!({ operation: result }));
        }
        let errors = items.iter().any(|item| item.to_string().contains("\"error\""));
        (200, json!({ "took": 1, "errors": errors, "items": items }))
    }

    fn store(&mut self, operation: &str, index: &str, id: &str, document: &[u8]) -> (u64, Option<Value>) {
        let refused = |kind: &str, reason: String| (400, Some(error(kind, &reason)));
        if id.len() > 512 {
            return refused("action_request_validation_exception", format!("id [{id}] is too long"));
        }
        let Some(mapping) = self.mappings.get(index) else {
            return (404, Some(error("index_not_found_exception", &format!("no such index [{index}]"))));
        };
        if self.streams.iter().any(|s| s == index) && operation != "create" {
            return refused(
                "illegal_argument_exception",
                "only write ops with an op_type of create are allowed in data streams".into(),
            );
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(document) else {
            return refused("document_parsing_exception", "failed to parse".into());
        };
        for (name, value) in &fields {
            let field = &mapping["properties"][name];
            if field.is_null() && mapping["dynamic"] == "strict" {
                let why =
                    format!("mapping set to strict, dynamic introduction of [{name}] within [_doc] is not allowed");
                return refused("strict_dynamic_mapping_exception", why);
            }
            let number =
                value.is_number() || value.as_str().is_some_and(|v| v.parse::<f64>().is_ok_and(f64::is_finite));
            if ["long", "integer", "double"].contains(&field["type"].as_str().unwrap_or_default()) && !number {
                let why = format!("failed to parse field [{name}] of type [{}]", text(&field["type"]));
                let mut its = error("document_parsing_exception", &why);
                its["caused_by"] = error("number_format_exception", &format!("For input string: {value}"));
                return (400, Some(its));
            }
        }
        let key = (index.to_string(), id.to_string());
        let there = self.documents.contains_key(&key);
        if there && operation == "create" {
            return (409, Some(error("version_conflict_engine_exception", "document already exists")));
        }
        self.documents.insert(key, Value::Object(fields));
        (if there { 200 } else { 201 }, None)
    }
}
