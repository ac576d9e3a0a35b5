//! The graphs, unchanged, with their databases in MariaDB, their files in an S3 server, their warehouse in PostgreSQL and their
//! documents in a search engine: what comes out is what comes out of folders and SQLite.

use crate::graphs::{GRAPHS, check, place};
use crate::harness::{Place, json};
use crate::kills::doomed;
use bytes::Bytes;
use rusqlite::types::ValueRef;
use selvedge_connect::store::Store;
use selvedge_node::{Connection, Span};
use selvedge_servers::{
    Act, Bulk, FakeSearch, MARIADB_PASSWORD, OBJECTS_KEY, OBJECTS_SECRET, POSTGRES_PASSWORD, RedshiftStandIn, mariadb,
    noida, objects, postgres,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A SQLite database as a database of MariaDB.
fn seed(place: &Place, file: &str, database: &str) {
    let server = mariadb();
    server.sql(&format!("CREATE DATABASE {database}"));
    let db = rusqlite::Connection::open(place.path(file)).unwrap();
    let mut tables = db.prepare("select name, sql from sqlite_master where type = 'table'").unwrap();
    let tables: Vec<(String, String)> =
        tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    for (table, sql) in tables {
        server.sql(&format!("USE {database}; {}", sql.replace("INTEGER", "BIGINT")));
        let mut query = db.prepare(&format!("select * from {table}")).unwrap();
        let columns = query.column_count();
        let mut rows = vec![];
        let mut found = query.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let cell = |at: usize| match row.get_ref(at).unwrap() {
                ValueRef::Null => "NULL".to_string(),
                ValueRef::Integer(n) => n.to_string(),
                ValueRef::Text(t) => {
                    let text = std::str::from_utf8(t).unwrap().replace('\\', "\\\\").replace('\'', "''");
                    format!("'{text}'")
                }
                other => panic!("{other:?}"),
            };
            rows.push(format!("({})", (0..columns).map(cell).collect::<Vec<_>>().join(",")));
        }
        for some in rows.chunks(200) {
            server.sql(&format!("USE {database}; INSERT INTO {table} VALUES {}", some.join(",")));
        }
    }
}

fn bucket(url: &str) -> (String, Arc<dyn Store>) {
    let text = format!(
        r#"(url: "{url}", endpoint: "{}", region: "us-east-1", access_key: "{OBJECTS_KEY}", secret_key: "{OBJECTS_SECRET}")"#,
        objects().endpoint()
    );
    let body = selvedge_ron::parse(selvedge_ron::FileId(0), &text).unwrap();
    let base = std::path::PathBuf::new();
    let connection = Connection { name: "b".into(), kind: "ObjectStore".into(), span: Span::default(), body, base };
    let store = selvedge_connect_objects::connect(&connection).unwrap().unwrap_or_else(|p| panic!("{}", p.message));
    (format!("ObjectStore{text}"), store)
}

#[test]
fn the_graphs_are_the_same_with_servers() {
    postgres().sql("CREATE SCHEMA lake_side");
    let warehouse = in_postgres("Postgres", postgres().port, "lake_side", "");
    the_graphs_are_the_same(&warehouse, &warehouse);
    assert_eq!(noida().documents("chat-keywords"), documents());
}

/// Redshift is an emulator: PostgreSQL with Redshift's COPY.
#[test]
fn the_graphs_are_the_same_with_a_stand_in_of_redshift() {
    postgres().sql("CREATE SCHEMA redshift");
    let (staging, objects) = bucket(&objects().url());
    let root = objects.place("");
    let stand_in = RedshiftStandIn::start(
        postgres(),
        move |url| Some(objects.get(url.strip_prefix(&root)?.trim_start_matches('/')).unwrap()?.0.to_vec()),
        |_, _| Act::Pass,
    );
    let staging = staging.trim_start_matches("ObjectStore");
    let more = format!(", tls: Disable, staging: {staging}, copy: Keys");
    let warehouse = in_postgres("Redshift", stand_in.port, "redshift", &more);
    the_graphs_are_the_same(&warehouse, &in_postgres("Postgres", postgres().port, "redshift", ""));
}

fn in_postgres(kind: &str, port: u16, schema: &str, more: &str) -> String {
    format!(
        r#"{kind}(host: "127.0.0.1", port: "{port}", database: "retail", user: "etl", password: "{POSTGRES_PASSWORD}", schema: "{schema}"{more})"#
    )
}

/// What is loaded into `warehouse` is read from `loaded`.
fn the_graphs_are_the_same(warehouse: &str, loaded: &str) {
    let place = place();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let (retail, shop) = (format!("retail_{n}"), format!("shop_{n}"));
    seed(&place, "graphs/inventory/data/retail.db", &retail);
    seed(&place, "graphs/customer/data/shop.db", &shop);
    let (landing, files) = bucket(&objects().url());
    for graph in ["market_iri", "market_numerator"] {
        for file in place.files(&format!("graphs/{graph}/data")) {
            let name = file.strip_prefix(place.path("graphs")).unwrap().to_str().unwrap().to_string();
            let mut upload = files.upload(&name).unwrap();
            let bytes = Bytes::from(std::fs::read(&file).unwrap());
            upload.part(bytes.clone()).unwrap();
            files.complete(&name, &upload.finish().unwrap(), bytes.len() as u64).unwrap();
            std::fs::remove_file(&file).unwrap();
        }
    }
    let (lake, written) = bucket(&objects().url());
    let database = |name: &str| {
        let port = mariadb().port;
        format!(
            r#"MySql(host: "127.0.0.1", port: "{port}", database: "{name}", user: "app", password: "{MARIADB_PASSWORD}")"#
        )
    };
    for graph in GRAPHS {
        // Streams are read from a folder as yet.
        let landing = if graph.stream { r#"Folder(path: ".")"# } else { &landing };
        let connections = format!(
            r#"Connections(profiles: {{"aws": {{
                "retail_db": {}, "shop_db": {}, "landing": {landing}, "lake": {lake}, "search": Elasticsearch(url: "{}"),
                "warehouse": {warehouse}, "loaded": {loaded},
                "copy": Sqlite(path: "out/warehouse.db"),
            }}}})"#,
            database(&retail),
            database(&shop),
            noida().url(),
        );
        place.write("graphs/connections.ron", connections);
        let path = format!("graphs/{}/graph.ron", graph.name);
        place.selvedge(&["doctor", &path, "--profile", "aws"]).code(0);
        let report = format!("{}.json", graph.name);
        let once: &[&str] = if graph.stream { &["--once"] } else { &[] };
        let words = [&["run", &path, "--profile", "aws", "--report", &report], once].concat();
        let ran = place.selvedge(&words).code(0);
        for secret in [MARIADB_PASSWORD, POSTGRES_PASSWORD, OBJECTS_SECRET] {
            assert!(!ran.to_string().contains(secret), "{ran}");
        }
        for object in written.list("").unwrap() {
            let (bytes, _) = written.get(&object.name).unwrap().unwrap();
            place.write(&format!("graphs/out/lake/{}", object.name), bytes);
        }
        for table in graph.tables {
            let copy = format!(
                r#"Graph(name: "copy", nodes: {{
                    "from": Table(connection: "loaded", table: "{table}"),
                    "to": Warehouse(input: "from", connection: "copy", table: "{table}", mode: Replace),
                }})"#
            );
            place.write("graphs/copy.ron", copy);
            place.selvedge(&["run", "graphs/copy.ron", "--profile", "aws"]).code(0);
        }
        check(&place, graph, &json(&place.path(&report)));
    }
}

/// What the website's graph writes for the bulk API, by id.
fn documents() -> BTreeMap<String, Value> {
    let place = place();
    place.selvedge(&["run", "graphs/website_chat/graph.ron", "--once", "--quiet"]).code(0);
    let files = place.files("graphs/out/search/chat-keywords");
    let text: String = files.iter().filter(|f| f.extension().is_some_and(|e| e == "ndjson")).map(|f| read(f)).collect();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 100);
    lines.chunks(2).map(|pair| (pair[0]["index"]["_id"].as_str().unwrap().to_string(), pair[1].clone())).collect()
}

/// Documents are sent while requests fail in all ways and the program is killed at each message: every document is there, as its last row is.
#[test]
fn documents_arrive_whatever_fails() {
    selvedge_servers::debian(&["strace"], "/usr/bin/strace");
    let server = FakeSearch::start(Some("ApiKey planted-key"), 1 << 20, |number| match number % 9 {
        1 => Bulk::Lose,
        3 => Bulk::Some(429, 5),
        5 => Bulk::Whole(503),
        7 => Bulk::Cut,
        _ => Bulk::Pass,
    });
    server.make("killed", serde_json::json!({ "properties": { "n": { "type": "long" } } }));
    const ROWS: usize = 3000;
    let place = Place::with(
        r#"Graph(name: "documents", nodes: {
            "from": Files(connection: "here", path: "rows.csv", format: Csv(), schema: {"id": Utf8, "n": Utf8}),
            "to": Search(input: "from", connection: "search", index: "killed", id: ["id"], roll: (size: "8KiB")),
            "refused": Files(input: "to.errors", connection: "here", path: "refused", format: Ndjson(), mode: Replace),
        })"#,
    );
    let connection = format!(r#"Elasticsearch(url: "{}", auth: ApiKey("planted-key"))"#, server.url());
    let here = r#""here": Folder(path: ".")"#;
    place
        .write("connections.ron", format!(r#"Connections(profiles: {{"local": {{"search": {connection}, {here}}}}})"#));
    place.write("rows.csv", "id,n\n");
    place.selvedge(&["doctor", "graph.ron"]).code(0);
    let (mut deaths, mut done) = (0, 0);
    let mut expected = BTreeMap::new();
    for n in 1.. {
        // Each time other values for the same ids: what a killed run has sent is written over.
        let mut rows = String::from("id,n\n");
        let mut refused = 0;
        for row in 0..ROWS {
            let (id, value) = (row % 1000, format!("{n}{row}"));
            if row % 100 == 99 {
                refused += 1;
                rows += &format!("{id},no number\n");
            } else {
                rows += &format!("{id},{value}\n");
                expected.insert(id.to_string(), serde_json::json!({ "id": id.to_string(), "n": value }));
            }
        }
        place.write("rows.csv", rows);
        let words = ["run", "graph.ron", "--checkpoint-every", "0s", "--report", "report.json", "--threads", "2"];
        let ran = doomed(&place, "sendto,sendmsg,writev", n * 3, &words).wait();
        match ran.code {
            None => deaths += 1,
            Some(0) => done += 1,
            _ => panic!("message {n}: {ran}"),
        }
        if ran.code.is_none() {
            let again = place.selvedge(&words).code(0);
            assert!(!again.to_string().contains("planted-key"), "{again}");
        }
        let report = read(&place.path("report.json"));
        assert!(!report.contains("planted-key") && report.contains("search.document_parsing_exception"), "{report}");
        let told: Vec<_> =
            place.files("refused").into_iter().filter(|f| f.extension().is_some_and(|e| e == "ndjson")).collect();
        assert_eq!(told.iter().map(|f| read(f).lines().count()).sum::<usize>(), refused, "after a kill at message {n}");
        assert_eq!(server.documents("killed"), expected, "after a kill at message {n}");
        if done == 2 || n == 15 {
            break;
        }
    }
    assert!(deaths > 5, "killed {deaths} times only");
}

/// A load from MariaDB into PostgreSQL is killed at each message that one of its threads sends, and gone on from: every row has arrived once.
#[test]
fn a_kill_at_any_message_to_a_server_loses_and_doubles_nothing() {
    selvedge_servers::debian(&["strace"], "/usr/bin/strace");
    const ROWS: u64 = 4000;
    mariadb().sql(&format!(
        "CREATE DATABASE kills; CREATE TABLE kills.t AS SELECT seq AS id, seq % 7 AS shop FROM seq_1_to_{ROWS}"
    ));
    let place = Place::with(
        r#"Graph(name: "load", params: {"to": "none"}, nodes: {
            "from": Table(connection: "db", table: "t", partition_by: "id", partitions: 4),
            "to": Warehouse(input: "from", connection: "warehouse", table: "${to}", mode: Append),
            "merged": Warehouse(input: "from", connection: "warehouse", table: "${to}_merged", mode: Upsert(["id"])),
        })"#,
    );
    place.write(
        "connections.ron",
        format!(
            r#"Connections(profiles: {{"local": {{
                "db": MySql(host: "127.0.0.1", port: {}, database: "kills", user: "app", password: "{MARIADB_PASSWORD}"),
                "warehouse": Postgres(host: "127.0.0.1", port: {}, database: "retail", user: "etl", password: "{POSTGRES_PASSWORD}"),
            }}}})"#,
            mariadb().port,
            postgres().port
        ),
    );
    let (mut deaths, mut survived) = (0, 0);
    for n in 1.. {
        let (set, state) = (format!("to=killed_{n}"), format!("state-{n}"));
        let words = ["run", "graph.ron", "--set", &set, "--state", &state, "--checkpoint-every", "0s", "--quiet"];
        let ran = doomed(&place, "sendto,sendmsg,write,writev", n, &words).wait();
        match ran.code {
            None => deaths += 1,
            Some(0) => survived += 1,
            _ => panic!("message {n}: {ran}"),
        }
        if ran.code.is_none() {
            place.selvedge(&words).code(0);
        }
        for table in ["", "_merged"] {
            let found =
                postgres().sql(&format!("SELECT count(*), count(DISTINCT id), sum(shop) FROM killed_{n}{table}"));
            let shops: u64 = (1..=ROWS).map(|id| id % 7).sum();
            assert_eq!(found.trim(), format!("{ROWS}|{ROWS}|{shops}"), "after a kill at message {n}");
        }
        if survived == 2 || n == 40 {
            break;
        }
    }
    assert!(deaths > 20, "killed {deaths} times only");
}

fn read(file: &std::path::Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
