//! Rows into a real server, by way of crashes.

use crate::connect;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use selvedge_connect::database::{Change, Drift, Driver, Load, Relation, Select};
use selvedge_node::{Commit, Connection, Memory, Next, Pending, Sink, Span, Task};
use selvedge_servers::{POSTGRES_PASSWORD, Postgres, postgres};
use selvedge_testkit::{Recorder, table};
use std::sync::Arc;

fn of(text: &str) -> Arc<dyn Driver> {
    let body = selvedge_ron::parse(selvedge_ron::FileId(0), text).unwrap();
    let base = std::path::PathBuf::from(".");
    let connection = Connection { name: "db".into(), kind: "Postgres".into(), span: Span::default(), body, base };
    connect(&connection).unwrap().unwrap_or_else(|p| panic!("{}", p.message))
}

fn at(port: u16, schema: &str) -> Arc<dyn Driver> {
    of(&format!(
        r#"(host: "127.0.0.1", port: {port}, database: "retail", user: "etl", password: "{POSTGRES_PASSWORD}", schema: "{schema}")"#
    ))
}

/// A schema of the test's own.
fn shop(schema: &str) -> Arc<dyn Driver> {
    postgres().sql(&format!("CREATE SCHEMA \"{schema}\""));
    at(postgres().port, schema)
}

fn task() -> Task {
    Task {
        run: "r".into(),
        node: "n".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(64 << 20),
        scratch: std::env::temp_dir(),
        batch_rows: 1000,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}

fn schema(driver: &dyn Driver, relation: &Relation) -> SchemaRef {
    let described = driver.describe(relation, &|_| false).unwrap();
    let fields = described.into_iter().map(|d| Field::new(d.name, d.ty.unwrap(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn whole(driver: &dyn Driver, table: &str) -> Select {
    let relation = Relation::Table(table.into());
    Select { schema: schema(driver, &relation), relation, bookmark: None, range: None }
}

/// All rows, the reasons of those rejected, and the last position.
fn read(driver: &dyn Driver, select: &Select) -> (RecordBatch, Vec<String>, Option<String>) {
    let mut reader = driver.read(select, &task()).unwrap();
    let mut out = Recorder::default();
    while reader.read(&mut out).unwrap() != Next::Done {}
    let batches: Vec<RecordBatch> = out.sent.into_values().flatten().collect();
    let rejected = out.rejected.iter().map(|r| format!("{}: {}", r.code, r.message)).collect();
    (concat_batches(&select.schema, &batches).unwrap(), rejected, reader.position())
}

/// A column's cells as text.
fn shown(batch: &RecordBatch, column: usize) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let cells = ArrayFormatter::try_new(batch.column(column), &options).unwrap();
    (0..batch.num_rows()).map(|row| cells.value(row).to_string()).collect()
}

fn load(table: &str, batch: &RecordBatch, change: Change) -> Load {
    Load {
        table: table.into(),
        schema: batch.schema(),
        change,
        create: true,
        drift: Drift::Fail,
        layout: Default::default(),
        node: "g/load".into(),
        span: Span::default(),
    }
}

/// Writes batches, a flush each, and gives what is pending and what was rejected.
fn write(sink: &dyn Sink, run: &str, batches: &[RecordBatch]) -> (Vec<Pending>, Vec<String>) {
    let mut writer = sink.open(&Task { run: run.into(), ..task() }).unwrap();
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
fn what_is_loaded_is_read_back() {
    let driver = shop("loads");
    let rows = table(
        "b:Boolean | i:Int64 | u:UInt64 | f:Float64 | d:Decimal128(20, 3) | t | day:Date32 | at:Timestamp(µs) | in:Timestamp(µs, \"UTC\") | x\"y
         true | -9 | 18446744073709551615 | 0.1 | -1.500 | \"a\\tb\" | 2024-02-29 | 2024-01-01T10:00:00.000001 | 2024-01-01T10:00:00Z | \\N
         null | null | null | null | null | null | null | null | null | null
         false | 7 | 0 | -1e300 | 99999999999999999.999 | \"\" | 1970-01-01 | 1969-12-31T23:59:59 | 0001-01-01T00:00:00Z | ü",
    );
    let sink = driver.sink(load("all", &rows, Change::Append));
    assert!(driver.check(&load("all", &rows, Change::Append)).unwrap().0.is_empty());
    let (pending, rejected) = write(&*sink, "one", std::slice::from_ref(&rows));
    assert!(rejected.is_empty(), "{rejected:?}");
    assert!(!driver.tables().unwrap().contains(&"all".to_string()), "nothing is seen before the commit");
    for _ in 0..3 {
        sink.commit(&commit("one", 1), &pending).unwrap();
    }
    let mut select = whole(&*driver, "all");
    // An unsigned number of 64 bits is a number of 20 digits there.
    assert_eq!(select.schema.field(2).data_type(), &DataType::Decimal128(20, 0));
    select.schema = rows.schema();
    let (back, rejected, _) = read(&*driver, &select);
    assert!(rejected.is_empty(), "{rejected:?}");
    for column in 0..rows.num_columns() {
        assert_eq!(shown(&back, column), shown(&rows, column));
    }
    assert_eq!(
        postgres()
            .sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE '\\_selvedge\\_stage%' AND schemaname = 'loads'"),
        "0\n"
    );
}

#[test]
fn tables_are_appended_to_replaced_and_merged() {
    let (server, driver) = (postgres(), shop("changes"));
    let rows = |text: &str| table(&format!("k:Int64 | v\n{text}"));
    let all = |table: &str| {
        server.sql(&format!("SELECT string_agg(k || coalesce(v, '-'), ' ' ORDER BY k, v) FROM changes.{table}"))
    };
    let run = |table: &str, run: &str, change: Change, batches: &[RecordBatch]| {
        let run = &format!("{run} {table}");
        let sink = driver.sink(load(table, &batches[0], change));
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
            server.sql("CREATE TABLE changes.there (k bigint, v text, more int DEFAULT 5)");
        }
        // The last of several wins, in one batch and over several.
        run(table, "4", keys(), &[rows("1 | a\n2 | b\n1 | c"), rows("2 | d\n3 | e")]);
        assert_eq!(all(table), "1c 2d 3e\n");
        let rejected = run(table, "5", keys(), &[rows("3 | null\nnull | x\n4 | f")]);
        assert_eq!(all(table), "1c 2d 3- 4f\n");
        assert_eq!(rejected, [format!("warehouse.key: column `k` of table `{table}` must not be null")]);
    }
    assert_eq!(server.sql("SELECT DISTINCT more FROM changes.there"), "5\n");
    // Nothing at all still makes the table, and empties one.
    run("none", "6", Change::Replace, &[rows("1 | a").slice(0, 0)]);
    assert_eq!(all("none"), "\n");
    // Of a stream that replaces, later epochs add.
    let sink = driver.sink(load("a", &rows("1 | a"), Change::Replace));
    let (pending, _) = write(&*sink, "7", &[rows("1 | a"), rows("2 | b")]);
    sink.commit(&commit("7", 1), &pending[..1]).unwrap();
    let (pending, _) = write(&*sink, "7", &[rows("2 | b")]);
    sink.commit(&commit("7", 2), &pending).unwrap();
    assert_eq!(all("a"), "1a 2b\n");
}

#[test]
fn the_tables_own_rules_reject_rows() {
    let (server, driver) = (postgres(), shop("rules"));
    server.sql("CREATE TABLE rules.t (k smallint NOT NULL, v varchar(3), j json, PRIMARY KEY (k))");
    let rows = table(
        "k:Int64 | v | j\n1 | abc | {}\n70000 | a | {}\n3 | abcd | {}\nnull | a | {}\n5 | e | \"{\"\n6 | f | null",
    );
    let sink = driver.sink(load("t", &rows, Change::Append));
    let (pending, rejected) = write(&*sink, "r", std::slice::from_ref(&rows));
    assert_eq!(
        rejected,
        [
            "warehouse.constraint: column `k` of table `t` must not be null",
            "warehouse.constraint: value \"70000\" is out of range for type smallint",
            "warehouse.constraint: value too long for type character varying(3)",
            "warehouse.constraint: invalid input syntax for type json",
        ]
    );
    sink.commit(&commit("r", 1), &pending).unwrap();
    assert_eq!(server.sql("SELECT string_agg(k::text, ' ' ORDER BY k) FROM rules.t"), "1 6\n");
    // What only all rows together break stops the load, and nothing is loaded.
    let again = table("k:Int64 | v | j\n1 | x | {}\n9 | x | {}");
    let (pending, _) = write(&*sink, "s", std::slice::from_ref(&again));
    let e = sink.commit(&commit("s", 1), &pending).unwrap_err();
    assert!(e.message.contains("duplicate key") && e.help.is_some(), "{e}");
    sink.abort(&pending);
    assert_eq!(server.sql("SELECT count(*) FROM rules.t"), "2\n");
    assert_eq!(
        server
            .sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE '\\_selvedge\\_stage%' AND schemaname = 'rules'"),
        "0\n"
    );
}

#[test]
fn a_plan_tells_what_does_not_fit() {
    let (server, driver) = (postgres(), shop("plans"));
    server.sql("CREATE TABLE plans.t (id int, need text NOT NULL, gen int GENERATED ALWAYS AS (id * 2) STORED, at timestamptz)");
    let told = |fields: Vec<Field>, drift: Drift, table: &str, create: bool| {
        let batch = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
        let problems = driver.check(&Load { drift, create, ..load(table, &batch, Change::Append) }).unwrap();
        problems.0.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("; ")
    };
    let field = |name: &str, ty: DataType| Field::new(name, ty, true);
    let int = || field("id", DataType::Int64);
    assert_eq!(told(vec![int(), field("need", DataType::Utf8)], Drift::Fail, "t", true), "");
    assert_eq!(
        told(
            vec![field("id", DataType::Utf8), field("gen", DataType::Int32), field("idd", DataType::Int8)],
            Drift::Fail,
            "t",
            true
        ),
        "column `id` of table `t` is integer, but Utf8 comes; column `gen` of table `t` makes its own values; \
         table `t` has no column `idd`; table `t` needs column `need`, which does not come"
    );
    assert_eq!(
        told(vec![int(), field("need", DataType::Utf8), field("new", DataType::Date32)], Drift::AddColumns, "t", true),
        ""
    );
    let list = DataType::List(Arc::new(field("item", DataType::Int8)));
    assert!(
        told(vec![field("l", list)], Drift::Fail, "u", true)
            .starts_with("PostgreSQL cannot hold column `l` of type List")
    );
    assert!(told(vec![int()], Drift::Fail, "u", false).starts_with("there is no table `u` in postgres://"));
    // And a column that is added is there.
    let rows = table("id:Int64 | need | new:Date32\n1 | x | 2024-01-01");
    let sink = driver.sink(Load { drift: Drift::AddColumns, ..load("t", &rows, Change::Append) });
    let (pending, _) = write(&*sink, "r", std::slice::from_ref(&rows));
    sink.commit(&commit("r", 1), &pending).unwrap();
    assert_eq!(server.sql("SELECT id, need, gen, new FROM plans.t"), "1|x|2|2024-01-01\n");
}

/// The server ends without a good-bye after each step of a load, and comes again.
#[test]
fn a_server_that_crashes_loses_and_doubles_nothing() {
    let mut server = Postgres::start();
    let driver = at(server.port, "public");
    let rows = table("k:Int64 | v\n1 | a\n2 | b");
    let sink = driver.sink(load("t", &rows, Change::Append));
    let before = driver.version().unwrap();
    assert_eq!(driver.version().unwrap(), before);
    server.sql("CREATE TABLE other (a int)");
    assert_ne!(driver.version().unwrap(), before);
    // In the middle of a flush: an error, and nothing is there.
    let mut writer = sink.open(&Task { run: "one".into(), ..task() }).unwrap();
    let mut out = Recorder::default();
    writer.write(0, rows.clone(), &mut out).unwrap();
    server.crash_and_restart();
    let e = writer.flush(1, &mut out).unwrap_err();
    assert!(e.message.starts_with("staging rows in postgres://"), "{e}");
    drop(writer);
    // Behind the flush: what is pending waits.
    let (pending, _) = write(&*sink, "one", std::slice::from_ref(&rows));
    server.crash_and_restart();
    sink.commit(&commit("one", 1), &pending).unwrap();
    server.crash_and_restart();
    sink.commit(&commit("one", 1), &pending).unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM t"), "2\n");
    // A flush whose checkpoint did not come about is no part of a later commit.
    let (_, _) = write(&*sink, "two", std::slice::from_ref(&rows));
    let (pending, _) = write(&*sink, "two", std::slice::from_ref(&rows));
    sink.commit(&commit("two", 1), &pending).unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM t"), "4\n");
    assert_eq!(server.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE '\\_selvedge\\_stage%'"), "0\n");
}

#[test]
fn loads_at_the_same_time_wait_for_each_other() {
    let driver = shop("many");
    let rows = table("k:Int64 | v\n1 | a\n2 | b");
    std::thread::scope(|scope| {
        for run in 0..8 {
            let (driver, rows) = (driver.clone(), rows.clone());
            scope.spawn(move || {
                let keys = Change::Upsert(vec!["k".into()]);
                let sink = driver.sink(Load { node: format!("g/{run}"), ..load("t", &rows, keys) });
                let (pending, _) = write(&*sink, &run.to_string(), std::slice::from_ref(&rows));
                sink.commit(&commit(&run.to_string(), 1), &pending).unwrap();
            });
        }
    });
    assert_eq!(postgres().sql("SELECT count(*) FROM many.t"), "2\n");
    assert_eq!(postgres().sql("SELECT count(*) FROM many._selvedge_commits"), "8\n");
}
