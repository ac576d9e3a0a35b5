//! The node on real databases: what it reads, refuses and remembers.

use super::*;
use rusqlite::Connection;
use selvedge_connect::Embedded;
use selvedge_node::{Memory, Next, Reader, Work};
use selvedge_testkit::{Case, Recorder};
use std::path::Path;

const STOCK: &str = "
    CREATE TABLE inventory (id INTEGER PRIMARY KEY, sku TEXT, qty INT, price DECIMAL(10,2), day DATE, at TIMESTAMP, ok BOOLEAN, x BLOB);
    INSERT INTO inventory VALUES
        (1, 'a', 5, 3.5, '2024-03-01', '2024-03-01 10:00:00', 1, x'6869'),
        (2, null, null, null, null, null, null, null),
        (3, 'c', -7, '12.25', '2024-02-29', '2024-03-01T10:00:00.5Z', 0, x'');
    CREATE VIEW small AS SELECT sku, qty FROM inventory WHERE qty < 0;";

fn database(sql: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    change(dir.path(), sql);
    dir
}

fn change(dir: &Path, sql: &str) {
    Connection::open(dir.join("retail.db")).unwrap().execute_batch(sql).unwrap();
}

fn case(dir: &Path, config: &str) -> Case<Table<Embedded>> {
    let config = format!("(connection: \"db\", {config})");
    Case::new(&config).base(dir).connection("db", "Sqlite", "(path: \"retail.db\")")
}

#[test]
fn declared_types_become_column_types() {
    let dir = database(STOCK);
    let done = case(dir.path(), "table: \"inventory\"").run();
    done.expect(
        "id:Int64 | sku | qty:Int64 | price:Decimal128(10, 2) | day:Date32 | at:Timestamp(µs) | ok:Boolean | x:Binary
         1 | a | 5 | 3.50 | 2024-03-01 | 2024-03-01T10:00:00 | true | hi
         2 | null | null | null | null | null | null | null
         3 | c | -7 | 12.25 | 2024-02-29 | 2024-03-01T10:00:00.5 | false | \"\"",
    );
    assert_eq!(done.created["read"], 3);
}

#[test]
fn tables_views_queries_and_columns() {
    let dir = database(STOCK);
    case(dir.path(), "table: \"small\"").run().expect("sku | qty:Int64\nc | -7");
    case(dir.path(), "table: \"INVENTORY\", columns: [\"qty\", \"id\"]")
        .run()
        .expect("qty:Int64 | id:Int64\n5 | 1\nnull | 2\n-7 | 3");
    let query = "query: \"select sku, qty * 2 as double, price * 1.0 as p, 'x' || sku as s from inventory where id <> 2; -- note\"";
    case(dir.path(), &query.replace("; -- note", " -- note"))
        .run()
        .expect("sku | double:Int64 | p:Float64 | s\na | 10 | 3.5 | xa\nc | -14 | 12.25 | xc");
    case(dir.path(), "query: \"select sku from inventory where id = 1 ; \"").run().expect("sku\na");
    case(dir.path(), "table: \"inventory\", columns: [\"id\", \"qty\"], schema: {\"qty\": Utf8, \"id\": Int16}")
        .run()
        .expect("id:Int16 | qty\n1 | 5\n2 | null\n3 | -7");
}

#[test]
fn names_that_differ_in_case_are_kept() {
    let dir = database(STOCK);
    let query =
        "query: \"with s as (select id, sku from inventory) select id as a, 10 - id as A, sku from s where id <> 2\"";
    let whole = "a:Int64 | A:Int64 | sku\n1 | 9 | a\n3 | 7 | c";
    case(dir.path(), query).run().expect_in_order(whole);
    case(dir.path(), &format!("{query}, bookmark: \"A\""))
        .run()
        .expect_in_order("a:Int64 | A:Int64 | sku\n3 | 7 | c\n1 | 9 | a");
    case(dir.path(), &format!("{query}, partition_by: \"A\"")).run().expect(whole);
    case(dir.path(), &format!("{query}, columns: [\"A\"]")).run().expect("A:Int64\n9\n7");
}

#[test]
fn a_cell_that_does_not_fit_rejects_its_row() {
    let dir = database(
        "CREATE TABLE t (i INTEGER, d DATE, p DECIMAL(4,2), b BOOLEAN, s TEXT);
         INSERT INTO t VALUES (1, '2024-03-01', 1.5, 1, 'ok'), ('N/A', null, null, null, 'a'), (2, '15/01/2024', null, null, 'b'),
            (3, null, 12345, null, 'c'), (4, null, null, 2, 'd'), (5, null, null, null, x'ff'), (6, null, null, null, cast(x'ff' as text));",
    );
    let done = case(dir.path(), "table: \"t\"").run();
    done.expect("i:Int64 | d:Date32 | p:Decimal128(4, 2) | b:Boolean | s\n1 | 2024-03-01 | 1.50 | true | ok");
    let messages: Vec<&str> = done.rejected.iter().map(|r| r.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "column `i` is Int64, but holds the text `N/A`",
            "column `d` is Date32, but holds the text `15/01/2024`",
            "column `p` is Decimal128(4, 2), but holds the integer 12345",
            "column `b` is Boolean, but holds the integer 2",
            "column `s` is Utf8, but holds a blob of 1 bytes",
            "column `s` is Utf8, but holds the text `\u{fffd}`",
        ]
    );
    assert!(done.rejected.iter().all(|r| r.code == "table.type"));
    assert_eq!(done.rejected[0].raw, r#"{"i":"N/A","d":null,"p":null,"b":null,"s":"a"}"#);
    assert_eq!(done.created["read"], 7);
}

#[test]
fn all_problems_at_once_with_the_nearest_names() {
    let dir = database(STOCK);
    let check = |config: &str, expected: &[&str]| {
        let problems = case(dir.path(), config).problems();
        assert!(expected.iter().all(|e| problems.contains(e)), "{config}: {problems}");
        assert_eq!(problems.lines().count(), expected.len(), "{config}: {problems}");
    };
    check("table: \"inventry\"", &["no table named `inventry` (did you mean `inventory`?)"]);
    check(
        "table: \"inventory\", columns: [\"skuu\", \"qyt\"], bookmark: \"att\", schema: {\"prices\": Utf8}",
        &["no column named `skuu`", "did you mean `qty`", "did you mean `at`", "did you mean `price`"],
    );
    check("query: \"selec 1\"", &["the query does not run"]);
    check("query: \"select 1 as a, 2 as b\", columns: [\"a\", \"a\"]", &["column `a` is named twice"]);
    check("query: \"select 1; drop table inventory\"", &["the query does not run"]);
    check("query: \"delete from inventory\"", &["the query does not run"]);
    check(
        "query: \"select id as a, sku as b, qty as a from inventory\"",
        &["two columns of the query are named `a` (give each a name of its own"],
    );
    check(
        "query: \"select id from inventory where sku = ?\"",
        &["the parameter `?` of the query has no value (write the value itself, or a parameter of the graph"],
    );
    check(
        "query: \"select id from inventory where sku = :sku or qty = @qty\"",
        &["the parameters `:sku`, `@qty` of the query have no value"],
    );
    check("table: \"inventory\", partition_by: \"sku\"", &["column `sku` must be an integer, but is Utf8"]);
    check("table: \"inventory\", bookmark: \"x\"", &["does not grow"]);
    check("partitions: 2", &["table or query is needed", "partitions without partition_by"]);
    check(
        "table: \"inventory\", query: \"select 1\", bookmark: \"id\", partition_by: \"id\"",
        &["table and query cannot both be given", "bookmark and partition_by cannot both be given"],
    );
    let problems = Case::<Table<Embedded>>::new("(connection: \"db\", table: \"t\")")
        .connection("db", "Sqlite", "(path: \"none.db\")")
        .problems();
    assert!(problems.contains("there is no database at") && problems.contains("none.db"), "{problems}");
    let problems = Case::<Table<Embedded>>::new("(connection: \"db\", table: \"t\")")
        .connection("db", "Folder", "(path: \"x\")")
        .problems();
    assert!(problems.contains("tables need a database, but `db` is Folder"), "{problems}");
    std::fs::write(dir.path().join("retail.db"), "this is no database, but long enough to look like a file of one")
        .unwrap();
    check("table: \"inventory\"", &["file is not a database"]);
}

fn source(case: &Case<Table<Embedded>>) -> Arc<dyn Source> {
    match case.build().unwrap_or_else(|p| panic!("{p}")).work {
        Work::Source(source) => source,
        _ => panic!("a source"),
    }
}

fn task(batch_rows: usize) -> Task {
    Task {
        run: "r".into(),
        node: "n".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(1 << 20),
        scratch: std::env::temp_dir(),
        batch_rows,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}

/// Reads at most `batches` and tells the ids read and the position after.
fn read(case: &Case<Table<Embedded>>, from: &Positions, batch_rows: usize, batches: usize) -> (Vec<i64>, Positions) {
    let mut out = Recorder::default();
    let mut positions = from.clone();
    for split in source(case).splits(from).unwrap() {
        let name = split.name();
        let mut reader = split.open(&task(batch_rows)).unwrap();
        for _ in 0..batches {
            if reader.read(&mut out).unwrap() == Next::Done {
                break;
            }
        }
        positions.extend(reader.position().map(|p| (name, p)));
    }
    out.check_law(0);
    let ids = out.sent.values().flatten().flat_map(|b| {
        let ids = b.column(0).as_any().downcast_ref::<arrow::array::Int64Array>().unwrap();
        ids.values().to_vec()
    });
    (ids.collect(), positions)
}

fn reader(case: &Case<Table<Embedded>>) -> Box<dyn Reader> {
    let mut splits = source(case).splits(&Positions::new()).unwrap();
    splits.remove(0).open(&task(8192)).unwrap()
}

/// A statement that adds so many rows of this to `t`.
fn add(rows: usize, row: &str) -> String {
    let numbers = format!("n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT {rows})");
    format!("INSERT INTO t WITH RECURSIVE {numbers} SELECT {row} FROM n;")
}

#[test]
fn batches_are_cut_by_bytes() {
    let dir = database(&format!("CREATE TABLE t (x BLOB, y TEXT); {}", add(10, "zeroblob(3 << 20), 'y'")));
    let mut out = Recorder::default();
    let mut reader = reader(&case(dir.path(), "table: \"t\""));
    while reader.read(&mut out).unwrap() == Next::More {}
    let rows: Vec<usize> = out.sent[&0].iter().map(|b| b.num_rows()).collect();
    assert_eq!(rows, [1; 10]);
}

#[test]
fn refused_rows_are_told_in_part_and_a_few_at_a_time() {
    let rows = [add(4, "zeroblob(20 << 20)"), add(100, "zeroblob(1 << 17)")].concat();
    let dir = database(&format!("CREATE TABLE t (i INTEGER); {rows}"));
    let mut out = Recorder::default();
    let mut reader = reader(&case(dir.path(), "table: \"t\""));
    assert_eq!(reader.read(&mut out).unwrap(), Next::More);
    assert_eq!(out.rejected.len(), 8, "an eighth of the bytes of a batch each");
    let Rejection { message, raw, .. } = &out.rejected[0];
    assert_eq!(message, "column `i` is Int64, but holds a blob of 20971520 bytes");
    assert_eq!(*raw, format!("{{\"i\":\"{}…\"}}", "00".repeat(64 << 10)));
}

/// The way out of a run that has been told to stop.
#[derive(Default)]
struct Stopping(Recorder);

impl Out for Stopping {
    fn send(&mut self, port: usize, batch: RecordBatch) -> Result<()> {
        self.0.send(port, batch)
    }
    fn drop_rows(&mut self, reason: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        self.0.drop_rows(reason, count, samples);
    }
    fn altered(&mut self, what: &str, count: u64, samples: &dyn Fn(usize) -> Vec<String>) {
        self.0.altered(what, count, samples);
    }
    fn reject(&mut self, rejection: Rejection) -> Result<()> {
        self.0.reject(rejection)
    }
    fn absorb(&mut self, reason: &str, rows: u64) {
        self.0.absorb(reason, rows);
    }
    fn create(&mut self, reason: &str, rows: u64) {
        self.0.create(reason, rows);
    }
    fn stopping(&self) -> bool {
        true
    }
}

#[test]
fn a_query_that_never_ends_is_planned_and_stopped() {
    let dir = database(STOCK);
    let endless =
        "with recursive t as (select 1 x union all select x + 1 from t where x > 0) select x from t where x < 3";
    let few = case(dir.path(), &format!("query: \"{endless} limit 2\""));
    few.run().expect("x:Int64\n1\n2");
    // Two rows tell the type, and then no more come.
    let query = format!("query: \"{endless}\"");
    let mut out = Stopping::default();
    let mut stopped = reader(&case(dir.path(), &query));
    assert_eq!(stopped.read(&mut out).unwrap(), Next::More);
    assert_eq!(out.0.rows_sent(), 2, "what was read before goes on");
    out.0.check_law(0);
    assert!(stopped.read(&mut out).unwrap_err().is_stopped(), "it does not start anew");
    // No row tells the type.
    let query = query.replace("x < 3", "x < 0");
    assert_eq!(
        case(dir.path(), &query).problems(),
        "no row came soon enough to tell the type of column `x` (say it: schema: {\"x\": Int64})"
    );
    assert_eq!(case(dir.path(), &format!("{query}, schema: {{\"x\": Int64}}")).problems(), "");
}

#[test]
fn only_rows_above_the_bookmark_are_read_again() {
    let dir = database(STOCK);
    let case = case(dir.path(), "table: \"inventory\", columns: [\"id\"], bookmark: \"at\"");
    let (ids, positions) = read(&case, &Positions::new(), 100, 100);
    assert_eq!(ids, [2, 1, 3], "in the order of the bookmark, null first");
    assert_eq!(positions["rows"], r#"{"after":"2024-03-01T10:00:00.5Z"}"#);
    let (ids, again) = read(&case, &positions, 100, 100);
    assert!(ids.is_empty());
    assert_eq!(again, positions, "nothing new: the position stays");
    change(dir.path(), "INSERT INTO inventory (id, at) VALUES (4, '2024-03-02'), (5, null), (6, '2024-01-01')");
    let (ids, _) = read(&case, &positions, 100, 100);
    assert_eq!(ids, [4]);
}

#[test]
fn a_table_of_all_columns_that_sqlite_can_have_is_read_by_one_of_them() {
    let columns: Vec<String> = (0..2000).map(|i| format!("c{i} INTEGER")).collect();
    let dir = database(&format!("CREATE TABLE t ({}); INSERT INTO t (c7) VALUES (2), (1)", columns.join(", ")));
    let done = case(dir.path(), "table: \"t\", bookmark: \"c7\"").run();
    assert_eq!(done.rows(0).num_rows(), 2);
    assert_eq!(done.rows(0).num_columns(), 2000);
}

#[test]
fn a_read_that_stops_among_equal_bookmarks_goes_on_behind_the_last_row() {
    let rows: Vec<String> = (0..50).map(|i| format!("({i}, {})", i / 7)).collect();
    let dir = database(&format!("CREATE TABLE t (id INTEGER, mark INTEGER); INSERT INTO t VALUES {}", rows.join(",")));
    let case = case(dir.path(), "table: \"t\", bookmark: \"mark\"");
    for batches in [1, 2, 3, 8] {
        let (mut all, mut positions) = (vec![], Positions::new());
        for _ in 0..60 {
            let (ids, next) = read(&case, &positions, 3, batches);
            all.extend(ids);
            positions = next;
        }
        assert_eq!(all, (0..50).collect::<Vec<i64>>(), "{batches} batches at a time");
    }
}

#[test]
fn key_ranges_hold_every_row_once() {
    let dir = database(
        "CREATE TABLE t (id INTEGER, k INT); INSERT INTO t VALUES (1, -9223372036854775808), (2, 9223372036854775807), (3, null),
         (4, 0), (5, 1), (6, 'text'), (7, x'00'), (8, -1);",
    );
    for partitions in [1, 2, 3, 7, 1024] {
        let case = case(
            dir.path(),
            &format!("table: \"t\", columns: [\"id\"], partition_by: \"k\", partitions: {partitions}"),
        );
        let (mut ids, _) = read(&case, &Positions::new(), 100, 100);
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8], "{partitions} partitions");
    }
    let few: Vec<String> = ranges("k", 1, 3, 8).iter().map(|r| format!("{:?}..{:?}", r.from, r.to)).collect();
    assert_eq!(few, ["None..Some(2)", "Some(2)..Some(3)", "Some(3)..None"]);
    let empty = database("CREATE TABLE t (id INTEGER, k INT)");
    let case = self::case(empty.path(), "table: \"t\", partition_by: \"k\"");
    assert!(read(&case, &Positions::new(), 100, 100).0.is_empty());
}
