//! What is stored and refused, whatever the engine and the network do.

use crate::connect;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use selvedge_connect::search::{Answer, Engine, Index, Item, Request};
use selvedge_connect::wait;
use selvedge_node::{Connection, Span};
use selvedge_servers::{Bulk, FakeSearch, NOBODY, noida};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "planted-key-c2VjcmV0";

fn connection(body: &str) -> Connection {
    let body = selvedge_ron::parse(selvedge_ron::FileId(0), body).unwrap();
    Connection { name: "search".into(), kind: crate::KIND.into(), span: Span::default(), body, base: "/".into() }
}

fn at(url: &str, more: &str) -> Arc<dyn Engine> {
    connect(&connection(&format!("(url: \"{url}\"{more})"))).unwrap().unwrap_or_else(|p| panic!("{}", p.message))
}

fn index(name: &str, fields: Vec<Field>) -> Index {
    let schema = Arc::new(Schema::new(fields));
    Index { name: name.into(), schema, id: vec![0], data_stream: false, create: true, span: Span::default() }
}

/// Documents `(id, value)` of an index.
fn request(operation: &str, index: &str, documents: &[(u32, &str)]) -> Request {
    let mut request = Request::default();
    for (id, value) in documents {
        let action = json!({ operation: { "_index": index, "_id": id.to_string() } });
        request.text.extend(format!("{action}\n").bytes());
        let document = request.text.len();
        request.text.extend(format!("{}\n", json!({ "id": id, "v": value })).bytes());
        request.items.push(Item { end: request.text.len(), document, hash: u64::from(*id) });
    }
    request
}

fn send(engine: &dyn Engine, request: Request) -> selvedge_node::Result<Answer> {
    wait(engine.send(request).unwrap()).unwrap().unwrap()
}

fn random(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[test]
fn each_document_is_stored_or_refused_whatever_fails() {
    for seed in 0..60 {
        let fault = move |number: usize| {
            let mut random_of = (number as u64) << 8 | seed;
            random(&mut random_of);
            match random(&mut random_of) % 12 {
                0 => Bulk::Cut,
                1 => Bulk::Lose,
                2 => Bulk::Whole(429),
                3 => Bulk::Whole(503),
                4 => Bulk::Some(429, 2),
                5 => Bulk::Some(503, 3),
                6 => Bulk::Some(500, 7),
                _ => Bulk::Pass,
            }
        };
        let server = FakeSearch::start(None, 1500, fault);
        server.make("chat", json!({ "properties": { "v": { "type": "long" } } }));
        let gzip = seed % 2 == 0;
        // Waits are what makes a test slow; how long they are is tested with `Backoff`.
        let body = format!("(url: \"{}\", gzip: {gzip}, retries: 60)", server.url());
        let mut client = crate::Client::new(&connection(&body)).unwrap_or_else(|p| panic!("{}", p.message));
        client.backoff.first = Duration::from_millis(1);
        client.backoff.most = Duration::from_millis(2);

        let mut state = seed;
        let values = ["1", "22", "x", "4444", "-5", "no number"];
        let long = "7".repeat(1600);
        let mut expected = BTreeMap::new();
        let (mut stored, mut refused) = (0, 0);
        for _ in 0..8 {
            let count = 1 + random(&mut state) % 60;
            let mut documents: Vec<(u32, &str)> = vec![];
            for _ in 0..count {
                let value = values[random(&mut state) % values.len()];
                documents.push(((random(&mut state) % 25) as u32, value));
            }
            if random(&mut state).is_multiple_of(4) {
                documents.insert(random(&mut state) % count, (3, &long));
            }
            for (id, value) in &documents {
                match value.parse::<i64>() {
                    Ok(_) => _ = expected.insert(id.to_string(), json!({ "id": id, "v": value })),
                    Err(_) => refused += 1,
                }
            }
            let answer = send(&client, request("index", "chat", &documents)).unwrap();
            stored += answer.stored;
            assert_eq!(answer.stored as usize + answer.refused.len(), documents.len());
            for told in &answer.refused {
                let number = told.code == "document_parsing_exception" && told.message.contains("For input string");
                assert!(number || told.code == "size", "{told:?}");
                assert!(serde_json::from_str::<Value>(&told.document).is_ok(), "{told:?}");
            }
            refused -= answer.refused.len();
        }
        assert_eq!(refused, 0, "seed {seed}");
        assert!(stored > 0);
        assert_eq!(server.documents("chat"), expected, "seed {seed}");
    }
}

#[test]
fn a_data_stream_keeps_what_is_there() {
    let server = FakeSearch::start(None, 1 << 20, |number| if number == 0 { Bulk::Lose } else { Bulk::Pass });
    let engine = at(&server.url(), "");
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut stream =
        index("events", vec![Field::new("id", DataType::Int64, true), Field::new("v", DataType::Utf8, true)]);
    stream.data_stream = true;
    let told = engine.check(&stream).unwrap();
    assert!(told.0[0].message.contains("a data stream needs a column `@timestamp`"), "{told}");
    stream.schema = Arc::new(Schema::new(
        [stream.schema.fields().to_vec(), vec![Arc::new(Field::new("@timestamp", time, true))]].concat(),
    ));
    assert!(engine.check(&stream).unwrap().0.is_empty());
    for _ in 0..2 {
        engine.make(&stream).unwrap();
    }
    assert_eq!(server.mapping("events").unwrap()["properties"]["@timestamp"]["type"], "date");
    // The first answer is lost: the documents are there when they come again.
    let answer = send(&*engine, request("create", "events", &[(1, "a"), (2, "b"), (1, "c")])).unwrap();
    assert_eq!((answer.stored, answer.refused.len(), answer.retries), (3, 0, 1));
    assert_eq!(server.documents("events")["1"]["v"], "a");
    // An index of that name is none.
    stream.name = "plain".into();
    server.make("plain", json!({}));
    assert!(engine.check(&stream).unwrap().0[0].message.contains("is no data stream"));
}

#[test]
fn what_is_not_the_documents_fault_ends_the_run() {
    let told = |answer: selvedge_node::Result<Answer>| {
        let e = answer.unwrap_err();
        format!("{} ({})", e.message, e.help.unwrap_or_default())
    };
    let server = FakeSearch::start(Some("ApiKey right"), 1 << 20, |_| Bulk::Pass);
    server.make("chat", json!({}));
    let one = || request("index", "chat", &[(1, "a")]);
    for auth in [format!("ApiKey(\"{KEY}\")"), format!("Basic(user: \"elastic\", password: \"{KEY}\")")] {
        let wrong = at(&server.url(), &format!(", auth: {auth}"));
        let said = told(send(&*wrong, one()));
        assert!(said.contains("HTTP 401, security_exception") && said.contains("check `auth`"), "{said}");
        assert!(!said.contains(KEY), "{said}");
        assert!(!wrong.reach().unwrap_err().to_string().contains(KEY));
    }
    let right = at(&server.url(), ", auth: ApiKey(\"right\"), retries: 1");
    assert_eq!(right.reach().unwrap(), "Elasticsearch 8.15.3");
    assert_eq!(send(&*right, one()).unwrap().stored, 1);
    let said = told(send(&*right, request("index", "gone", &[(1, "a")])));
    assert!(said.contains("no such index [gone]") && said.contains("create: true"), "{said}");

    let busy = FakeSearch::start(None, 1 << 20, |_| Bulk::Some(429, 1));
    busy.make("chat", json!({}));
    let said = told(send(&*at(&busy.url(), ", retries: 1"), one()));
    assert!(said.contains("es_rejected_execution_exception") && busy.bulks() == 2, "{said}");
    let forbids = FakeSearch::start(None, 1 << 20, |_| Bulk::Some(403, 1));
    forbids.make("chat", json!({}));
    let said = told(send(&*at(&forbids.url(), ""), one()));
    assert!(said.contains("HTTP 403") && forbids.bulks() == 1, "{said}");
    let said = told(send(&*at(&format!("http://127.0.0.1:{NOBODY}"), ", retries: 0"), one()));
    assert!(said.contains("Connection refused") && said.contains("check the url"), "{said}");
}

#[test]
fn engines_are_told_apart() {
    let of = |version: Value| {
        let server = FakeSearch::of(version, None, 1 << 20, |_| Bulk::Pass);
        at(&server.url(), "").reach()
    };
    assert_eq!(of(json!({ "number": "2.17.0", "distribution": "opensearch" })).unwrap(), "OpenSearch 2.17.0");
    assert!(of(json!({ "number": "6.8.0" })).unwrap_err().message.contains("is Elasticsearch 6.8.0"));
    assert!(of(json!({})).unwrap_err().message.contains("no version of a search engine"));
    let problem = |text: &str| connect(&connection(text)).unwrap().err().map(|p| p.message).unwrap_or_default();
    assert!(problem("(url: \"search:9200\")").contains("is no address"));
    let secret = problem(&format!("(url: \"http://elastic:{KEY}@h:9200\")"));
    assert!(secret.contains("do not belong into the URL") && !secret.contains(KEY));
    assert!(problem("(url: \"https://h\", ca: \"/none.pem\")").contains("reading certificates"));
}

#[test]
fn fields_that_contradict_are_told_before() {
    let server = FakeSearch::start(None, 1 << 20, |_| Bulk::Pass);
    let engine = at(&server.url(), "");
    let inner = Fields::from(vec![Field::new("c", DataType::Boolean, true)]);
    let fields = vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("ok", DataType::Boolean, true),
        Field::new("o", DataType::Struct(inner), true),
        Field::new("new", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
    ];
    let chat = index("chat", fields);
    let told = |index: &Index| engine.check(index).unwrap().0.iter().map(|p| p.message.clone()).collect::<Vec<_>>();
    assert!(told(&chat).is_empty());
    assert_eq!(told(&Index { create: false, ..chat.clone() }), ["there is no index `chat`"]);
    server.make(
        "chat",
        json!({ "dynamic": "strict", "properties": {
            "id": { "type": "keyword" }, "ok": { "type": "long" }, "o": { "properties": { "c": { "type": "date" } } },
            "t": { "type": "ip" },
        }}),
    );
    assert_eq!(
        told(&chat),
        [
            "index `chat` has `ok` as long, but the column would be boolean",
            "index `chat` has `o.c` as date, but the column would be boolean",
            "index `chat` takes no other fields than its own (dynamic: strict), and `new` is none of them",
        ]
    );
    server.make("text", json!({ "properties": { "o": { "type": "text" } } }));
    let told = told(&Index { name: "text".into(), ..chat.clone() });
    assert_eq!(told, ["index `text` has `o` as text, but the column would be object"]);
}

/// An implementation that shares no code with ours takes our index, our requests, and answers as we read it.
#[test]
fn an_independent_server_takes_them() {
    let server = noida();
    let engine = at(&server.url(), ", documents: 100");
    assert_eq!(engine.reach().unwrap(), "Elasticsearch 8.15.3");
    let decimal = DataType::Decimal128(10, 2);
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("v", DataType::Int64, true),
        Field::new("p", decimal, true),
        Field::new("l", DataType::new_list(DataType::Utf8, true), true),
    ];
    let numbers = index("numbers", fields);
    assert!(engine.check(&numbers).unwrap().0.is_empty());
    for _ in 0..2 {
        engine.make(&numbers).unwrap();
    }
    let mapping = server.ask("GET", "/numbers/_mapping", "");
    let properties = &mapping["numbers"]["mappings"]["properties"];
    assert_eq!((&properties["v"]["type"], &properties["p"]["type"]), (&json!("long"), &json!("scaled_float")));
    let answer = send(&*engine, request("index", "numbers", &[(1, "7"), (2, "x"), (1, "8"), (3, "9")])).unwrap();
    assert_eq!(answer.stored, 3);
    assert_eq!(answer.refused.len(), 1);
    assert_eq!(answer.refused[0].code, "document_parsing_exception", "{answer:?}");
    assert_eq!(answer.refused[0].document, r#"{"id":2,"v":"x"}"#);
    let found = server.documents("numbers");
    assert_eq!(found.len(), 2);
    assert_eq!((&found["1"]["v"], &found["3"]["v"]), (&json!("8"), &json!("9")));
    // What it has been made with is what it is compared with.
    assert!(engine.check(&numbers).unwrap().0.is_empty());
    let other =
        index("numbers", vec![Field::new("id", DataType::Int64, false), Field::new("v", DataType::Boolean, true)]);
    assert_eq!(engine.check(&other).unwrap().0.len(), 1);
}
