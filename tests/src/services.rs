//! The graphs, unchanged, with their databases in MariaDB, their files in an S3 server, their warehouse in PostgreSQL and their
//! documents in a search engine: what comes out is what comes out of folders and SQLite.

use crate::graphs::{GRAPHS, check, place};
use crate::harness::{Place, json, top};
use crate::kills::doomed;
use selvedge_servers::{
    Act, Bulk, FakeSearch, MARIADB_PASSWORD, OBJECTS_KEY, OBJECTS_SECRET, POSTGRES_PASSWORD, Postgres, RedshiftStandIn,
    Stack, mariadb, objects, postgres,
};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The servers of `selvedge up`, once for all tests here.
fn stack() -> &'static Stack {
    static ONE: OnceLock<Stack> = OnceLock::new();
    ONE.get_or_init(|| Stack::start(&top().join("graphs")))
}

/// As the repository has them. Redshift is an emulator: PostgreSQL with Redshift's COPY.
#[test]
fn the_graphs_are_the_same_under_the_profile_aws() {
    the_graphs_are_the_same("aws", "public", |text| text);
    assert_eq!(stack().search.documents("chat-keywords"), documents());
}

#[test]
fn the_graphs_are_the_same_with_a_warehouse_in_postgres() {
    stack().postgres.sql("CREATE SCHEMA plain");
    the_graphs_are_the_same("plain", "plain", |text| {
        let start = text.find("\"warehouse\": Redshift(").unwrap();
        let end = start + text[start..].find("\"search\"").unwrap();
        format!("{}\"warehouse\": {},{}", &text[..start], in_postgres("plain"), &text[end..])
    });
}

fn in_postgres(schema: &str) -> String {
    let port = stack().postgres.port;
    format!(
        r#"Postgres(host: "127.0.0.1", port: {port}, database: "retail", user: "etl", password: "{POSTGRES_PASSWORD}", schema: "{schema}")"#
    )
}

/// All seven, with a lake of their own; their tables are in `schema` of PostgreSQL.
fn the_graphs_are_the_same(lake: &str, schema: &str, change: impl FnOnce(String) -> String) {
    let (place, stack) = (place(), stack());
    let mut env = stack.env();
    let lake = format!("{}/{lake}", stack.lake);
    env.iter_mut().filter(|(name, _)| *name == "LAKE").for_each(|(_, value)| value.clone_from(&lake));
    let selvedge = |words: &[&str]| place.start_with(words, |command| _ = command.envs(env.clone())).wait().code(0);
    place.write("graphs/connections.ron", change(read(&place.path("graphs/connections.ron"))));
    for graph in ["market_iri", "market_numerator"] {
        // They are in the bucket.
        std::fs::remove_dir_all(place.path(&format!("graphs/{graph}/data"))).unwrap();
    }
    let out = place.path("graphs/out/warehouse.db");
    place.write(
        "copy/connections.ron",
        format!(
            r#"Connections(profiles: {{"local": {{"loaded": {}, "copy": Sqlite(path: "{}")}}}})"#,
            in_postgres(schema),
            out.display()
        ),
    );
    for graph in GRAPHS {
        let path = format!("graphs/{}/graph.ron", graph.name);
        selvedge(&["doctor", &path, "--profile", "aws"]);
        let report = format!("{}.json", graph.name);
        let once: &[&str] = if graph.stream { &["--once"] } else { &[] };
        let ran = selvedge(&[&["run", &path, "--profile", "aws", "--report", &report], once].concat());
        for secret in [MARIADB_PASSWORD, POSTGRES_PASSWORD, OBJECTS_SECRET] {
            assert!(!ran.to_string().contains(secret), "{ran}");
        }
        for (name, bytes) in stack.objects.all(&lake) {
            place.write(&format!("graphs/out/lake/{name}"), bytes);
        }
        for table in graph.tables {
            let copy = format!(
                r#"Graph(name: "copy", nodes: {{
                    "from": Table(connection: "loaded", table: "{table}"),
                    "to": Warehouse(input: "from", connection: "copy", table: "{table}", mode: Replace),
                }})"#
            );
            place.write("copy/graph.ron", copy);
            place.selvedge(&["run", "copy/graph.ron"]).code(0);
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
    let port = postgres().port;
    let warehouse = format!(
        r#"Postgres(host: "127.0.0.1", port: {port}, database: "retail", user: "etl", password: "{POSTGRES_PASSWORD}")"#
    );
    kill_at_messages("kills", &warehouse, |_| (), |sql| postgres().sql(sql));
}

/// So it is with a load into Redshift's stand-in, whose database crashes besides.
#[test]
fn a_kill_at_any_message_to_redshift_loses_and_doubles_nothing() {
    let server = RefCell::new(Postgres::start());
    let stand_in = RedshiftStandIn::start(&server.borrow(), |url| objects().get(url), |_, _| Act::Pass);
    let warehouse = format!(
        r#"Redshift(host: "127.0.0.1", port: {}, database: "retail", user: "etl", password: "{POSTGRES_PASSWORD}", tls: Disable,
            staging: (url: "{}", endpoint: "{}", region: "us-east-1", access_key: "{OBJECTS_KEY}", secret_key: "{OBJECTS_SECRET}"), copy: Keys)"#,
        stand_in.port,
        objects().url(),
        objects().endpoint()
    );
    let crash = |n: u64| {
        if n.is_multiple_of(3) {
            server.borrow_mut().crash_and_restart();
        }
    };
    kill_at_messages("kills_redshift", &warehouse, crash, |sql| server.borrow().sql(sql));
}

/// `between` is called after each kill, `sql` asks the warehouse.
fn kill_at_messages(database: &str, warehouse: &str, between: impl Fn(u64), sql: impl Fn(&str) -> String) {
    selvedge_servers::debian(&["strace"], "/usr/bin/strace");
    const ROWS: u64 = 4000;
    mariadb().sql(&format!(
        "CREATE DATABASE {database}; CREATE TABLE {database}.t AS SELECT seq AS id, seq % 7 AS shop FROM seq_1_to_{ROWS}"
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
                "db": MySql(host: "127.0.0.1", port: {}, database: "{database}", user: "app", password: "{MARIADB_PASSWORD}"),
                "warehouse": {warehouse},
            }}}})"#,
            mariadb().port,
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
            between(n);
            place.selvedge(&words).code(0);
        }
        for table in ["", "_merged"] {
            let found = sql(&format!("SELECT count(*), count(DISTINCT id), sum(shop) FROM killed_{n}{table}"));
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
