//! Loads into the stand-in, which is PostgreSQL with Redshift's COPY, cut between every two of its statements.

use crate::connect;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use selvedge_connect::database::{Change, Distribution, Drift, Driver, Layout, Load};
use selvedge_connect::store::Store;
use selvedge_node::{Commit, Connection, Memory, Pending, Sink, Span, Task};
use selvedge_servers::{
    Act, OBJECTS_KEY, OBJECTS_SECRET, POSTGRES_PASSWORD, Postgres, RedshiftStandIn, objects, postgres,
};
use selvedge_testkit::{Recorder, table};
use std::sync::{Arc, Mutex};

/// A schema of its own behind a stand-in of its own.
struct Place {
    driver: Arc<dyn Driver>,
    stand_in: RedshiftStandIn,
    staging: Arc<dyn Store>,
    /// The statement from here on that fails, and how.
    fault: Arc<Mutex<Option<(usize, Act)>>>,
    /// What has been asked, but for what only looks.
    said: Arc<Mutex<Vec<String>>>,
}

fn connection(kind: &str, body: &str) -> Connection {
    let body = selvedge_ron::parse(selvedge_ron::FileId(0), body).unwrap();
    Connection { name: "db".into(), kind: kind.into(), span: Span::default(), body, base: ".".into() }
}

fn place(schema: &str, copy: &str) -> Place {
    place_of(postgres(), schema, copy)
}

fn place_of(server: &Postgres, schema: &str, copy: &str) -> Place {
    server.sql(&format!("CREATE SCHEMA \"{schema}\""));
    let (url, endpoint) = (objects().url(), objects().endpoint());
    let staging = format!(
        r#"(url: "{url}", endpoint: "{endpoint}", region: "us-east-1", access_key: "{OBJECTS_KEY}", secret_key: "{OBJECTS_SECRET}")"#
    );
    let store = selvedge_connect_objects::connect(&connection("ObjectStore", &staging)).unwrap();
    let store = store.unwrap_or_else(|p| panic!("{}", p.message));
    let fault: Arc<Mutex<Option<(usize, Act)>>> = Arc::default();
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let (faults, heard, objects) = (fault.clone(), said.clone(), store.clone());
    let stand_in = RedshiftStandIn::start(
        server,
        move |from| Some(objects.get(from.strip_prefix(&url)?.trim_start_matches('/')).unwrap()?.0.to_vec()),
        move |_, sql| {
            heard.lock().unwrap().push(sql.to_string());
            let mut fault = faults.lock().unwrap();
            match fault.take() {
                Some((0, act)) => act,
                Some((more, act)) => {
                    *fault = Some((more - 1, act));
                    Act::Pass
                }
                None => Act::Pass,
            }
        },
    );
    let text = format!(
        r#"(host: "127.0.0.1", port: {}, database: "retail", user: "etl", password: "{POSTGRES_PASSWORD}", schema: "{schema}",
            tls: Disable, staging: {staging}, copy: {copy})"#,
        stand_in.port
    );
    let driver = connect(&connection("Redshift", &text)).unwrap().unwrap_or_else(|p| panic!("{}", p.message));
    Place { driver, stand_in, staging: store, fault, said }
}

fn task(run: &str) -> Task {
    Task {
        run: run.into(),
        node: "n".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(256 << 20),
        scratch: std::env::temp_dir(),
        batch_rows: 1000,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}

fn load(table: &str, batch: &RecordBatch, change: Change) -> Load {
    Load {
        table: table.into(),
        schema: batch.schema(),
        change,
        create: true,
        drift: Drift::Fail,
        layout: Layout::default(),
        node: "g/load".into(),
        span: Span::default(),
    }
}

/// Writes batches, a flush each, and gives what is pending and what was rejected.
fn write(sink: &dyn Sink, run: &str, batches: &[RecordBatch]) -> (Vec<Pending>, Vec<String>) {
    let mut writer = sink.open(&task(run)).unwrap();
    let mut out = Recorder::default();
    let mut pending = vec![];
    for (epoch, batch) in batches.iter().enumerate() {
        writer.write(0, batch.clone(), &mut out).unwrap();
        pending.push(writer.flush(epoch as u64 + 1, &mut out).unwrap());
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(out.absorbed.values().sum::<u64>() as usize + out.rejected.len(), rows);
    (pending, out.rejected.iter().map(|r| format!("{}: {}", r.code, r.message)).collect())
}

fn commit(run: &str, epoch: u64) -> Commit {
    Commit { run: run.into(), epoch }
}

#[test]
fn every_type_arrives_as_it_was() {
    let place = place("rs_types", "Keys");
    let rows = table(
        "b:Boolean | i:Int64 | s:Int8 | u:UInt64 | f:Float64 | d:Decimal128(20, 3) | t | day:Date32 | at:Timestamp(ms) | in:Timestamp(µs, \"Europe/Madrid\") | x\"y
         true | -9 | -128 | 18446744073709551615 | 0.1 | -1.500 | \"a\\tb\" | 2024-02-29 | 2024-01-01T10:00:00.001 | 2024-07-01T10:00:00Z | \\N
         null | null | null | null | null | null | null | null | null | null | null
         false | 7 | 1 | 0 | -1e300 | 99999999999999999.999 | \"\" | 1970-01-01 | 1969-12-31T23:59:59 | 0001-01-01T00:00:00Z | ü",
    );
    let mut load = load("all", &rows, Change::Append);
    load.layout = Layout { distribution: Some(Distribution::Key("i".into())), sort: vec!["day".into(), "x\"y".into()] };
    assert!(place.driver.check(&load).unwrap().0.is_empty());
    let sink = place.driver.sink(load.clone());
    let (pending, rejected) = write(&*sink, "one", std::slice::from_ref(&rows));
    assert!(rejected.is_empty(), "{rejected:?}");
    assert!(place.driver.tables().unwrap().is_empty() && place.staging.list("").unwrap().is_empty());
    for _ in 0..3 {
        sink.commit(&commit("one", 1), &pending).unwrap();
    }
    let made = place.said.lock().unwrap().iter().find(|s| s.starts_with("CREATE TABLE \"rs_types\".\"all\"")).cloned();
    assert!(made.unwrap().ends_with(r#" DISTSTYLE KEY DISTKEY ("i") COMPOUND SORTKEY ("day", "x""y")"#));
    assert_eq!(
        postgres().sql(r#"SET timezone = 'UTC'; SELECT * FROM rs_types."all" ORDER BY i NULLS LAST"#),
        "t|-9|-128|18446744073709551615|0.1|-1.500|a\tb|2024-02-29|2024-01-01 10:00:00.001|2024-07-01 10:00:00+00|\\N\n\
         f|7|1|0|-1e+300|99999999999999999.999||1970-01-01|1969-12-31 23:59:59|0001-01-01 00:00:00+00|ü\n||||||||||\n"
    );
    // What was made is what is compared with; parts and manifest are gone.
    assert!(place.driver.check(&load).unwrap().0.is_empty());
    assert!(place.staging.list("").unwrap().is_empty());
}

#[test]
fn tables_are_appended_to_replaced_and_merged() {
    let place = place("rs_changes", r#"Role("arn:aws:iam::123456789012:role/load")"#);
    let rows = |text: &str| table(&format!("k:Int64 | v\n{text}"));
    let all = |table: &str| {
        postgres().sql(&format!("SELECT string_agg(k || coalesce(v, '-'), ' ' ORDER BY k, v) FROM rs_changes.{table}"))
    };
    let run = |table: &str, run: &str, change: Change, batches: &[RecordBatch]| {
        let run = &format!("{run} {table}");
        let sink = place.driver.sink(load(table, &batches[0], change));
        let (pending, rejected) = write(&*sink, run, batches);
        sink.commit(&commit(run, 1), &pending).unwrap();
        sink.commit(&commit(run, 1), &pending).unwrap();
        rejected
    };
    run("a", "1", Change::Append, &[rows("1 | a"), rows("2 | b")]);
    run("a", "2", Change::Append, &[rows("2 | b")]);
    assert_eq!(all("a"), "1a 2b 2b\n");
    run("a", "3", Change::Replace, &[rows("9 | z"), rows("8 | y")]);
    assert_eq!(all("a"), "8y 9z\n");
    let keys = || Change::Upsert(vec!["k".into()]);
    for table in ["made", "there"] {
        if table == "there" {
            postgres().sql("CREATE TABLE rs_changes.there (k bigint, v varchar(9), more int DEFAULT 5)");
        }
        // The last of several wins, in one batch and over several.
        run(table, "4", keys(), &[rows("1 | a\n2 | b\n1 | c"), rows("2 | d\n3 | e")]);
        assert_eq!(all(table), "1c 2d 3e\n");
        let rejected = run(table, "5", keys(), &[rows("3 | null\nnull | x\n4 | f")]);
        assert_eq!(all(table), "1c 2d 3- 4f\n");
        assert_eq!(rejected, [format!("warehouse.key: column `k` of table `{table}` must not be null")]);
    }
    assert_eq!(postgres().sql("SELECT DISTINCT more FROM rs_changes.there"), "5\n");
    // Keys and nothing else.
    run("only", "6", keys(), &[rows("1 | a\n1 | b")]);
    let both = Change::Upsert(vec!["k".into(), "v".into()]);
    run("only", "7", both, &[rows("1 | b\n2 | c\n2 | c")]);
    assert_eq!(all("only"), "1b 2c\n");
    // Nothing at all still makes the table.
    run("none", "8", Change::Replace, &[rows("1 | a").slice(0, 0)]);
    assert_eq!(all("none"), "\n");
    // Of a stream that replaces, later epochs add.
    let sink = place.driver.sink(load("a", &rows("1 | a"), Change::Replace));
    let (pending, _) = write(&*sink, "9", &[rows("1 | a"), rows("2 | b")]);
    sink.commit(&commit("9", 1), &pending[..1]).unwrap();
    sink.commit(&commit("9", 2), &pending[1..]).unwrap();
    assert_eq!(all("a"), "1a 2b\n");
}

/// The connection is cut at each statement of a load, before Redshift hears of it and after it has done it.
#[test]
fn a_cut_between_any_two_statements_loses_and_doubles_nothing() {
    let place = place("rs_cuts", "Keys");
    let rows = |text: &str| table(&format!("k:Int64 | v\n{text}"));
    let changes =
        [("append", Change::Append), ("replace", Change::Replace), ("upsert", Change::Upsert(vec!["k".into()]))];
    let (mut cuts, mut expected) = (0, String::new());
    for (name, change) in changes {
        for act in [Act::Refuse, Act::Lose] {
            for n in 0.. {
                let run = format!("{name} {act:?} {n}");
                // In half of the cases the table is there already.
                let table = if n % 2 == 0 { name.to_string() } else { format!("{name}_{act:?}_{n}") };
                let batches = [rows("1 | a\n2 | b"), rows("2 | c\n3 | d")];
                let sink = place.driver.sink(load(&table, &batches[0], change.clone()));
                let (pending, _) = write(&*sink, &run, &batches);
                *place.fault.lock().unwrap() = Some((n, act));
                sink.commit(&commit(&run, 1), &pending).unwrap();
                let met = place.fault.lock().unwrap().take().is_none();
                let found =
                    postgres().sql(&format!("SELECT string_agg(k || v, ' ' ORDER BY k, v) FROM rs_cuts.\"{table}\""));
                if name == "append" && n % 2 == 0 {
                    expected += " 1a 2b 2c 3d";
                    let mut all: Vec<&str> = expected.split_whitespace().collect();
                    all.sort_unstable();
                    assert_eq!(found.trim(), all.join(" "), "{run}");
                } else {
                    assert_eq!(found.trim(), if name == "upsert" { "1a 2c 3d" } else { "1a 2b 2c 3d" }, "{run}");
                }
                assert!(place.staging.list("").unwrap().is_empty(), "{run}");
                if !met {
                    break;
                }
                cuts += 1;
            }
        }
    }
    assert!(cuts > 80, "{cuts} cuts only");
    assert!(place.stand_in.statements() > 1000);
}

#[test]
fn what_the_target_does_not_take_is_rejected_or_told() {
    let place = place("rs_rules", "Keys");
    postgres().sql("CREATE TABLE rs_rules.t (k bigint NOT NULL, v varchar(3), j jsonb, need int DEFAULT 4 NOT NULL)");
    let rows = table("k:Int64 | v | j\n1 | abc | {}\n3 | añb | {}\nnull | a | {}\n6 | f | null\n7 | x\u{0} | null");
    let sink = place.driver.sink(load("t", &rows, Change::Append));
    let (pending, rejected) = write(&*sink, "r", std::slice::from_ref(&rows));
    assert_eq!(
        rejected,
        [
            "warehouse.constraint: column `k` of table `t` must not be null",
            "warehouse.constraint: column `v` of table `t` takes 3 bytes, but the text has 4",
            "warehouse.constraint: column `v` of table `t` takes no text with a zero character",
        ]
    );
    sink.commit(&commit("r", 1), &pending).unwrap();
    assert_eq!(postgres().sql("SELECT string_agg(k::text, ' ' ORDER BY k) FROM rs_rules.t"), "1 6\n");
    // What only Redshift can tell stops the load, and nothing is loaded.
    let bad = table("k:Int64 | v | j\n1 | x | {}\n9 | x | \"{\"");
    let (pending, _) = write(&*sink, "s", std::slice::from_ref(&bad));
    let e = sink.commit(&commit("s", 1), &pending).unwrap_err();
    assert!(e.message.contains("invalid input syntax for type json"), "{e}");
    sink.abort(&pending);
    assert_eq!(postgres().sql("SELECT count(*) FROM rs_rules.t"), "2\n");
    assert!(place.staging.list("").unwrap().is_empty());

    let told = |fields: Vec<Field>, drift: Drift, table: &str, create: bool| {
        let batch = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
        let problems = place.driver.check(&Load { drift, create, ..load(table, &batch, Change::Append) }).unwrap();
        problems.0.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("; ")
    };
    let field = |name: &str, ty: DataType| Field::new(name, ty, true);
    assert_eq!(
        told(vec![field("k", DataType::Float64), field("vv", DataType::Utf8)], Drift::Fail, "t", true),
        "column `k` of table `t` is bigint, which does not hold every Float64; table `t` has no column `vv`"
    );
    assert_eq!(
        told(vec![field("v", DataType::Utf8)], Drift::AddColumns, "t", true),
        "table `t` needs column `k`, which does not come"
    );
    let list = DataType::new_list(DataType::Int8, true);
    assert!(told(vec![field("l", list)], Drift::Fail, "u", true).starts_with("Redshift cannot hold column `l`"));
    assert!(told(vec![field("k", DataType::Int8)], Drift::Fail, "u", false).starts_with("there is no table `u`"));
    let more = table("k:Int64 | new:Date32 | newer:Int32\n2 | 2024-01-01 | 5");
    let sink = place.driver.sink(Load { drift: Drift::AddColumns, ..load("t", &more, Change::Append) });
    let (pending, _) = write(&*sink, "u", std::slice::from_ref(&more));
    sink.commit(&commit("u", 1), &pending).unwrap();
    assert_eq!(postgres().sql("SELECT new, newer, need FROM rs_rules.t WHERE k = 2"), "2024-01-01|5|4\n");
}

#[test]
fn loads_at_the_same_time_wait_for_each_other() {
    let place = place("rs_many", "DefaultRole");
    let rows = table("k:Int64 | v\n1 | a\n2 | b");
    std::thread::scope(|scope| {
        for run in 0..6 {
            let (driver, rows) = (place.driver.clone(), rows.clone());
            scope.spawn(move || {
                let keys = Change::Upsert(vec!["k".into()]);
                let sink = driver.sink(Load { node: format!("g/{run}"), ..load("t", &rows, keys) });
                let (pending, _) = write(&*sink, &run.to_string(), std::slice::from_ref(&rows));
                sink.commit(&commit(&run.to_string(), 1), &pending).unwrap();
            });
        }
    });
    assert_eq!(postgres().sql("SELECT count(*) FROM rs_many.t"), "2\n");
    assert_eq!(postgres().sql("SELECT count(*) FROM rs_many._selvedge_commits"), "6\n");
}

#[test]
fn many_parts_of_bounded_memory_arrive_whole() {
    let place = place("rs_parts", "Keys");
    let memory = Memory::new(64 << 20);
    // Digits that no codec shortens much.
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{seed:016x}")
    };
    let mut text = || (0..6).map(|_| next()).collect::<String>();
    let texts: Vec<String> = (0..20_000).map(|_| text()).collect();
    let rows =
        RecordBatch::try_from_iter([("t", Arc::new(arrow::array::StringArray::from(texts)) as arrow::array::ArrayRef)])
            .unwrap();
    let sink = place.driver.sink(load("t", &rows, Change::Append));
    let mut writer = sink.open(&Task { memory: memory.clone(), ..task("r") }).unwrap();
    let mut out = Recorder::default();
    for _ in 0..60 {
        writer.write(0, rows.clone(), &mut out).unwrap();
    }
    let pending = [writer.flush(1, &mut out).unwrap()];
    let parts = serde_json::from_str::<serde_json::Value>(&pending[0]).unwrap()["parts"].as_array().unwrap().len();
    assert!(parts > 1, "{parts} part");
    assert!(memory.peak() <= 64 << 20, "{} bytes", memory.peak());
    sink.commit(&commit("r", 1), &pending).unwrap();
    assert_eq!(postgres().sql("SELECT count(*), count(DISTINCT t) FROM rs_parts.t"), "1200000|20000\n");
}

#[test]
fn a_connection_says_what_it_lacks_and_no_secret() {
    let problem = |body: &str| connect(&connection("Redshift", body)).unwrap().err().map(|p| p.message);
    let staging = r#"(url: "s3://b/p", access_key: "AK", secret_key: "planted-secret")"#;
    let server = |staging: &str, more: &str| {
        format!(
            r#"(host: "127.0.0.1", port: 1, database: "d", user: "u", password: "planted-password", staging: {staging}{more})"#
        )
    };
    assert_eq!(problem(&server(r#"(url: "gs://b/p")"#, "")).unwrap(), "Redshift loads from S3 only");
    assert_eq!(problem(&server(r#"(url: "s3://b/p")"#, ", copy: Keys")).unwrap(), "there are no keys to load with");
    let driver = connect(&connection("Redshift", &server(staging, ", copy: Keys, tls: Disable"))).unwrap();
    let driver = driver.unwrap_or_else(|p| panic!("{}", p.message));
    let e = driver.reach().unwrap_err();
    assert!(e.message.starts_with("connecting to redshift://127.0.0.1:1/d") && e.help.is_some(), "{e}");
    assert!(!format!("{e} {e:?}").contains("planted"), "{e}");
}

#[test]
fn the_stand_in_refuses_what_redshift_refuses() {
    let place = place("rs_refused", "Keys");
    let text = format!(
        r#"(host: "127.0.0.1", port: {}, database: "retail", user: "etl", password: "{POSTGRES_PASSWORD}")"#,
        place.stand_in.port
    );
    // Our own PostgreSQL connector cannot even begin a session.
    let driver = selvedge_connect_postgres::connect(&connection("Postgres", &text)).unwrap();
    let e = driver.unwrap_or_else(|p| panic!("{}", p.message)).reach().unwrap_err();
    assert!(e.message.contains("Redshift does not know this"), "{e}");
}
