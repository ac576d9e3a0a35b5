//! Rows out of a real server.

use crate::connection::Postgres;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use selvedge_connect::database::{Bookmark, Driver, Range, Relation, Select};
use selvedge_node::{Connection, Memory, Next, Task};
use selvedge_schemas::{Extent, type_text};
use selvedge_servers::{POSTGRES_PASSWORD as PASSWORD, postgres};
use selvedge_testkit::{Recorder, show};
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) fn connection(more: &str) -> Connection {
    let server = postgres();
    given(&format!("(host: \"127.0.0.1\", port: \"{}\", user: \"etl\", {more})", server.port))
}

fn given(body: &str) -> Connection {
    Connection {
        name: "db".into(),
        kind: "Postgres".into(),
        span: Default::default(),
        body: selvedge_ron::parse(Default::default(), body).unwrap(),
        base: PathBuf::from("/nowhere"),
    }
}

pub(crate) fn database() -> Postgres {
    Postgres::new(&connection(&format!("database: \"retail\", password: {PASSWORD:?}"))).unwrap()
}

pub(crate) fn sql(sql: &str) -> String {
    postgres().sql(sql)
}

pub(crate) fn task() -> Task {
    Task {
        run: "run".into(),
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

fn schema(database: &Postgres, relation: &Relation) -> SchemaRef {
    let described = database.describe(relation, &|_| false).unwrap();
    Arc::new(Schema::new(described.into_iter().map(|d| Field::new(d.name, d.ty.unwrap(), true)).collect::<Vec<_>>()))
}

fn select(relation: Relation) -> Select {
    Select { schema: schema(&database(), &relation), relation, bookmark: None, range: None }
}

fn table(name: &str) -> Select {
    select(Relation::Table(name.into()))
}

fn query(sql: &str) -> Select {
    select(Relation::Query(sql.into()))
}

fn read_at_most(select: &Select, task: &Task, batches: usize) -> (RecordBatch, Recorder, Option<String>) {
    let mut reader = database().read(select, task).unwrap();
    let mut out = Recorder::default();
    for _ in 0..batches {
        if reader.read(&mut out).unwrap() == Next::Done {
            break;
        }
    }
    out.check_law(0);
    let none = vec![];
    let all = arrow::compute::concat_batches(&select.schema, out.sent.get(&0).unwrap_or(&none)).unwrap();
    (all, out, reader.position())
}

fn read(select: &Select) -> (RecordBatch, Recorder, Option<String>) {
    read_at_most(select, &task(), usize::MAX)
}

fn column(sql: &str) -> (String, String) {
    let (rows, ..) = read(&query(&format!("select {sql} as x")));
    let shown = show(&rows);
    let mut lines = shown.lines();
    (lines.next().unwrap_or("").into(), lines.next().unwrap_or("").trim().into())
}

#[test]
fn each_type_comes_as_it_is() {
    let check = |sql: &str, head: &str, value: &str| {
        assert_eq!(column(sql), (format!("x{head}"), value.to_string()), "{sql}");
    };
    check("true", ":Boolean", "true");
    check("(-32768)::int2", ":Int16", "-32768");
    check("2147483647::int4", ":Int32", "2147483647");
    check("(-9223372036854775808)::int8", ":Int64", "-9223372036854775808");
    check("4294967295::oid", ":UInt32", "4294967295");
    check("0.1::float4", ":Float32", "0.1");
    check("'-Infinity'::float8", ":Float64", "-inf");
    check("123.45::numeric(10,2)", ":Decimal128(10, 2)", "123.45");
    check("(-0.001)::numeric(38,38)", ":Decimal128(38, 38)", &format!("-0.001{}", "0".repeat(35)));
    check("99999999999999999999999999999999999999::numeric(38,0)", ":Decimal128(38, 0)", &"9".repeat(38));
    check(
        "123456789012345678901234567890.123456789012::numeric",
        ":Utf8",
        "123456789012345678901234567890.123456789012",
    );
    check("'NaN'::numeric", ":Utf8", "NaN");
    check("1::numeric(50,2)", ":Utf8", "1.00");
    check("'grün'::text", ":Utf8", "grün");
    check("'ab'::varchar(5)", ":Utf8", "ab");
    check("'ab'::char(4) || ''", ":Utf8", "ab");
    check("'x'::name", ":Utf8", "x");
    check("'\\x6869'::bytea", ":Binary", "6869");
    check("'2024-02-29'::date", ":Date32", "2024-02-29");
    check("'10:11:12.5'::time", ":Utf8", "10:11:12.5");
    check("'2024-03-01 10:00:00.123456'::timestamp", ":Timestamp(µs)", "2024-03-01T10:00:00.123456");
    check("'1960-03-01 10:00:00+02'::timestamptz", ":Timestamp(µs, \"UTC\")", "1960-03-01T08:00:00Z");
    check("'1 day 2 hours'::interval", ":Utf8", "1 day 02:00:00");
    check("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", ":Utf8", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    check("'{\"b\": 1,  \"a\": 2}'::json->'a'", ":Utf8", "2");
    check("'[1, 2]'::jsonb", ":Utf8", "[1, 2]");
    check("'10.0.0.1/8'::inet", ":Utf8", "10.0.0.1/8");
    check("'08:00:2b:01:02:03'::macaddr", ":Utf8", "08:00:2b:01:02:03");
    check("'[1,5)'::int4range", ":Utf8", "[1,5)");
    check("array[1, null, 3]", ":List(Int32)", "[1, null, 3]");
    check("'{}'::text[]", ":List(Utf8)", "[]");
    check("array['10.0.0.1'::inet]", ":Utf8", "{10.0.0.1}");
    check("null::int", ":Int32", "null");
    sql("create type mood as enum ('sad', 'ok'); create domain cents as int check (value >= 0)");
    check("'ok'::mood", ":Utf8", "ok");
    check("7::cents", ":Int32", "7");
}

#[test]
fn values_that_no_column_holds_reject_their_rows() {
    sql("create table odd (id int, d date, t timestamptz, n numeric(5,2), a int[]); insert into odd values \
         (1, 'infinity', null, null, null), (2, null, '-infinity', null, null), (3, null, null, 'NaN', null), \
         (4, null, null, null, '{{1,2},{3,4}}'), (5, '2024-01-01', '294276-12-31 23:59:59+00', 1, '{5}'), \
         (6, '5874897-12-31', null, null, null), (7, '2024-01-01', '2024-01-01', 2, '{7}')");
    let (rows, out, _) = read(&table("odd"));
    assert_eq!(rows.num_rows(), 1);
    assert!(out.rejected.iter().all(|r| r.code == "table.type"));
    let told: Vec<&str> = out.rejected.iter().map(|r| r.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "column `d` is Date32, but holds infinity",
            "column `t` is Timestamp(µs, \"UTC\"), but holds -infinity",
            "column `n` is Decimal128(5, 2), but holds NaN",
            "column `a` is List(Int32), but holds an array of several dimensions",
            "column `t` is Timestamp(µs, \"UTC\"), but holds a time beyond the year 262142",
            "column `d` is Date32, but holds a date beyond the year 262142",
        ]
    );
    assert!(out.rejected[0].raw.contains("\"d\":\"infinity\""), "{}", out.rejected[0].raw);
}

#[test]
fn types_of_a_schema_override() {
    sql("create table loose (id int8, price numeric, note text, day text)");
    sql(
        "insert into loose values (1, 1.005, '17', '2024-01-02'), (2, 1e30, '18', null), (3, 2, 'x', null), (3000000000, 1, '1', null)",
    );
    let field = |name: &str, ty: DataType| Field::new(name, ty, true);
    let fields = vec![
        field("day", DataType::Date32),
        field("price", DataType::Decimal128(10, 2)),
        field("note", DataType::Int16),
        field("id", DataType::Int32),
    ];
    let (rows, out, _) = read(&Select { schema: Arc::new(Schema::new(fields)), ..table("loose") });
    assert_eq!(show(&rows), "day:Date32 | price:Decimal128(10, 2) | note:Int16 | id:Int32\n2024-01-02 | 1.01 | 17 | 1");
    let told: Vec<&str> = out.rejected.iter().map(|r| r.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "column `price` is Decimal128(10, 2), but holds a number with more digits",
            "column `note` is Int16, but holds `x`",
            "column `id` is Int32, but holds `3000000000`",
        ]
    );
    let text = Schema::new(vec![field("id", DataType::Utf8), field("price", DataType::Utf8)]);
    let (rows, ..) = read(&Select { schema: Arc::new(text), ..table("loose") });
    assert!(show(&rows).starts_with("id:Utf8 | price:Utf8\n1 | 1.005\n2 | 1"), "{}", show(&rows));
}

#[test]
fn tables_views_and_odd_names() {
    sql("create schema other; create table other.far (x int); create view near as select 1 as x; \
         create table \"Odd \"\"Näme.x\" (\"select\" int, \"a\"\"b\" text); insert into \"Odd \"\"Näme.x\" values (1, 'y')");
    let tables = database().tables().unwrap();
    for name in ["other.far", "near", "Odd \"Näme.x"] {
        assert!(tables.iter().any(|t| t == name), "{name}: {tables:?}");
    }
    assert_eq!(show(&read(&table("Odd \"Näme.x")).0), "select:Int32 | a\"b:Utf8\n1 | y");
    assert_eq!(read(&table("OTHER.FAR")).0.num_rows(), 0);
    let (rows, ..) = read(&query("select 1 as a, 2 as \"A\"; "));
    assert_eq!(show(&rows), "a:Int32 | A:Int32\n1 | 2");
    let wrong = |sql: &str| database().describe(&Relation::Query(sql.into()), &|_| false).unwrap_err().to_string();
    assert!(wrong("select 1 as a, 2 as a").contains("two columns of the query are named `a`"));
    assert!(wrong("select nothing").contains("does not run: column \"nothing\" does not exist"));
    assert!(wrong("select $1::int").contains("1 parameters without values"));
    assert!(wrong("delete from other.far returning x").contains("does not run"));
}

#[test]
fn what_a_query_does_changes_nothing() {
    sql("create table kept (x int); insert into kept values (1); create function hit() returns int language sql as \
         'delete from kept returning x'");
    let mut reader = database().read(&query("select hit() as x"), &task()).unwrap();
    let error = reader.read(&mut Recorder::default()).unwrap_err().to_string();
    assert!(error.contains("read-only transaction"), "{error}");
    assert_eq!(sql("select count(*) from kept").trim(), "1");
}

#[test]
fn bookmarks_go_on_where_they_were_in_any_batch() {
    sql("create table events (id int, at timestamptz); insert into events select i, \
         case when i > 2 then timestamptz '2024-01-01' + (i / 4) * interval '1.5 s' end from generate_series(1, 50) i");
    let at = |from: Option<String>| {
        let bookmark = Some(Bookmark { column: "at".into(), from });
        Select {
            bookmark,
            schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, true)])),
            ..table("events")
        }
    };
    let (all, _, whole) = read(&at(None));
    assert_eq!(all.num_rows(), 50);
    assert_eq!(whole.as_deref(), Some(r#"{"after":"2024-01-01 00:00:18+00"}"#));
    assert_eq!(read(&at(whole.clone())).0.num_rows(), 0);
    // Stopped after each number of batches, the rest comes in the next run.
    let few = Task { batch_rows: 3, ..task() };
    for batches in 1..=17 {
        let (first, _, position) = read_at_most(&at(None), &few, batches);
        let (second, ..) = read(&at(position));
        let both = arrow::compute::concat_batches(&all.schema(), [&first, &second]).unwrap();
        assert_eq!(both, all, "{batches}");
    }
    sql("insert into events values (51, '2024-01-01 00:00:18'), (52, '2024-01-01 00:00:18.000001')");
    assert_eq!(show(&read(&at(whole)).0), "id:Int32\n52");
}

#[test]
fn ranges_part_the_rows() {
    sql("create table parts (id bigint, x int); insert into parts select i, i from generate_series(-5, 20) i; \
         insert into parts values (null, 0)");
    let whole = table("parts");
    assert_eq!(database().bounds(&whole, "id").unwrap(), Some((-5, 20)));
    let part = |from, to| {
        let range = Some(Range { column: "id".into(), from, to });
        read(&Select { range, ..whole.clone() }).0.num_rows()
    };
    assert_eq!([part(None, Some(0)), part(Some(0), Some(10)), part(Some(10), None)], [6, 10, 11]);
}

#[test]
fn many_rows_and_huge_ones_come_in_bounded_batches() {
    let (rows, out, _) = read(&query("select i, repeat('x', 100) as t from generate_series(1, 25000) i"));
    assert_eq!(rows.num_rows(), 25_000);
    assert!(out.sent[&0].iter().all(|b| b.num_rows() <= 1000));
    let (rows, out, _) = read(&query("select repeat('y', 5000000) as t from generate_series(1, 3)"));
    assert_eq!((rows.num_rows(), out.sent[&0].len()), (3, 3));
    let columns: Vec<String> = (0..1600).map(|i| format!("{i} as c{i}")).collect();
    let (rows, ..) = read(&query(&format!("select {}", columns.join(", "))));
    assert_eq!((rows.num_columns(), rows.num_rows()), (1600, 1));
    let none = Select { schema: Arc::new(Schema::empty()), ..query("select 1 as x from generate_series(1, 7)") };
    assert_eq!(read(&none).1.created["read"], 7);
}

#[test]
fn a_crawl_tells_declared_types_and_what_is_never_null() {
    sql("create table crawled (id int primary key, price numeric(8,2), tags text[])");
    let found = database().crawl("crawled", Extent::Full).unwrap();
    let told: Vec<String> = found.iter().map(|c| format!("{} {} {}", c.name, type_text(&c.ty), c.nullable)).collect();
    assert_eq!(told, ["id Int32 false", "price Decimal(8, 2) true", "tags List(Utf8) true"]);
}

#[test]
fn the_version_moves_when_rows_are_written() {
    sql("create table moving (x int)");
    let before = database().version().unwrap();
    sql("insert into moving values (1)");
    assert_ne!(database().version().unwrap(), before);
}

#[test]
fn each_reason_not_to_get_in_is_told() {
    let refused = |body: &str| {
        let error = Postgres::new(&given(body)).unwrap().reach().unwrap_err().to_string();
        assert!(!error.contains(PASSWORD) && !error.contains("hunter2"), "{error}");
        error
    };
    let port = postgres().port;
    let at = |more: &str| refused(&format!("(host: \"127.0.0.1\", port: {port}, {more})"));
    let wrong = at("database: \"retail\", user: \"etl\", password: \"hunter2\"");
    assert!(wrong.contains("password authentication failed") && wrong.contains("check user and password"), "{wrong}");
    let none = at("database: \"retail\", user: \"etl\"");
    assert!(none.contains("password"), "{none}");
    let absent = at(&format!("database: \"nope\", user: \"etl\", password: {PASSWORD:?}"));
    assert!(absent.contains("database \"nope\" does not exist") && absent.contains("check the database"), "{absent}");
    let plain = at(&format!("database: \"retail\", user: \"etl\", password: {PASSWORD:?}, tls: Require"));
    assert!(plain.contains("TLS"), "{plain}");
    let closed = selvedge_servers::NOBODY;
    let closed = refused(&format!("(host: \"127.0.0.1\", port: {closed}, database: \"x\", user: \"y\")"));
    assert!(closed.contains("refused") && closed.contains("check host and port"), "{closed}");
    let port = Postgres::new(&given("(host: \"h\", port: \"high\", database: \"x\", user: \"y\")"));
    assert!(port.err().unwrap().to_string().contains("port must be 1 to 65535"));
}

#[test]
fn a_connection_that_breaks_is_an_error_and_no_end() {
    let endless = query("select i, repeat('z', 1000) as t from generate_series(1, 100000000) i");
    let mut reader = database().read(&endless, &task()).unwrap();
    let mut out = Recorder::default();
    reader.read(&mut out).unwrap();
    sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where query like 'COPY%100000000%' and pid <> pg_backend_pid()",
    );
    let error = loop {
        match reader.read(&mut out) {
            Ok(_) => {}
            Err(e) => break e,
        }
    };
    assert!(error.retry, "{error}");
}
