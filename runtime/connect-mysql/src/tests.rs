//! On a real MariaDB, and a real MySQL where it can be fetched.

use crate::connect;
use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use selvedge_connect::database::{Bookmark, Driver, Range, Relation, Select};
use selvedge_node::{Connection, Memory, Next, Span, Task};
use selvedge_servers::{MARIADB_PASSWORD, MariaDb, MySql, mariadb, mysql};
use selvedge_testkit::Recorder;
use std::sync::Arc;

fn connection(port: u16, more: &str) -> Arc<dyn Driver> {
    let text = format!(
        r#"(host: "127.0.0.1", port: {port}, database: "shop", user: "app", password: "{MARIADB_PASSWORD}", {more})"#
    );
    of(&text)
}

fn of(text: &str) -> Arc<dyn Driver> {
    let body = selvedge_ron::parse(selvedge_ron::FileId(0), text).unwrap();
    let base = std::path::PathBuf::from(".");
    let connection = Connection { name: "db".into(), kind: "MySql".into(), span: Span::default(), body, base };
    connect(&connection).unwrap().unwrap_or_else(|p| panic!("{}", p.message))
}

fn shop() -> Arc<dyn Driver> {
    connection(mariadb().port, "tries: 1")
}

/// A server that is asked SQL.
trait Server {
    fn sql(&self, sql: &str) -> String;
}

impl Server for MariaDb {
    fn sql(&self, sql: &str) -> String {
        MariaDb::sql(self, sql)
    }
}

impl Server for MySql {
    fn sql(&self, sql: &str) -> String {
        MySql::sql(self, sql)
    }
}

/// On MariaDB, and on MySQL where it can be fetched.
fn on_all(test: impl Fn(&dyn Server, &dyn Driver)) {
    test(mariadb(), &*shop());
    if let Some(server) = mysql() {
        test(server, &*connection(server.port, "tries: 1"));
    }
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

#[test]
fn every_type_is_read_as_it_is() {
    on_all(|server, driver| {
        // Type; the type here; values as SQL, and as they are read.
        type Case = (&'static str, &'static str, Vec<(&'static str, &'static str)>);
        let digits: &'static str = Box::leak("9".repeat(65).into_boxed_str());
        let cases: Vec<Case> = vec![
            ("TINYINT", "Int8", vec![("-128", "-128"), ("127", "127")]),
            ("TINYINT(1)", "Int8", vec![("2", "2"), ("TRUE", "1")]),
            ("TINYINT UNSIGNED", "UInt8", vec![("255", "255")]),
            ("SMALLINT", "Int16", vec![("-32768", "-32768")]),
            ("SMALLINT UNSIGNED", "UInt16", vec![("65535", "65535")]),
            ("MEDIUMINT", "Int32", vec![("-8388608", "-8388608")]),
            ("INT", "Int32", vec![("-2147483648", "-2147483648")]),
            ("INT UNSIGNED", "UInt32", vec![("4294967295", "4294967295")]),
            ("INT(8) UNSIGNED ZEROFILL", "UInt32", vec![("42", "42")]),
            ("BIGINT", "Int64", vec![("-9223372036854775808", "-9223372036854775808")]),
            ("BIGINT UNSIGNED", "UInt64", vec![("18446744073709551615", "18446744073709551615")]),
            ("FLOAT", "Float32", vec![("0.1", "0.1"), ("1234567.9", "1234567.9"), ("-3.4e38", "-3.4e38")]),
            ("DOUBLE", "Float64", vec![("0.1", "0.1"), ("1.7976931348623157e308", "1.7976931348623157e308")]),
            ("DECIMAL(10,2)", "Decimal128(10, 2)", vec![("-12345678.90", "-12345678.90"), ("0", "0.00")]),
            ("DECIMAL(5,5) UNSIGNED", "Decimal128(5, 5)", vec![("0.00001", "0.00001")]),
            (
                "DECIMAL(38,10)",
                "Decimal128(38, 10)",
                vec![("1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789")],
            ),
            ("DECIMAL(65,0)", "Utf8", vec![("'9'", "9"), ("REPEAT('9',65)", digits)]),
            ("BIT(1)", "Boolean", vec![("b'1'", "true"), ("b'0'", "false")]),
            ("BIT(64)", "UInt64", vec![("b'101'", "5"), ("18446744073709551615", "18446744073709551615")]),
            ("DATE", "Date32", vec![("'1000-01-01'", "1000-01-01"), ("'9999-12-31'", "9999-12-31")]),
            ("TIME(3)", "Utf8", vec![("'-838:59:59'", "-838:59:59.000"), ("'10:00:00.5'", "10:00:00.500")]),
            ("YEAR", "Int16", vec![("2024", "2024")]),
            ("DATETIME", "Timestamp(µs)", vec![("'2024-03-31 02:30:00'", "2024-03-31T02:30:00")]),
            ("DATETIME(6)", "Timestamp(µs)", vec![("'1000-01-01 00:00:00.000001'", "1000-01-01T00:00:00.000001")]),
            ("TIMESTAMP(6)", "Timestamp(µs, \"UTC\")", vec![("'2024-03-31 02:30:00.25'", "2024-03-31T02:30:00.250Z")]),
            ("CHAR(5)", "Utf8", vec![("'ab '", "ab"), ("''", "")]),
            ("VARCHAR(20)", "Utf8", vec![("'Größe 👟'", "Größe 👟"), ("'a\\'b\\\\c'", "a'b\\c")]),
            ("VARCHAR(20) CHARACTER SET latin1", "Utf8", vec![("'Größe'", "Größe")]),
            ("MEDIUMTEXT", "Utf8", vec![("'x'", "x")]),
            ("ENUM('S','M','L')", "Utf8", vec![("'M'", "M")]),
            ("SET('red','blue')", "Utf8", vec![("'red,blue'", "red,blue"), ("''", "")]),
            ("JSON", "Utf8", vec![("'{\"a\": [1, 2.5]}'", "{\"a\": [1, 2.5]}")]),
            ("BINARY(3)", "Binary", vec![("x'00ff'", "00ff00")]),
            ("VARBINARY(9)", "Binary", vec![("x'00ff'", "00ff"), ("''", "")]),
            ("BLOB", "Binary", vec![("x'c328'", "c328")]),
        ];
        for (n, (declared, ty, values)) in cases.iter().enumerate() {
            server.sql(&format!("CREATE TABLE type_{n} (id INT PRIMARY KEY, v {declared})"));
            for (id, (sql, _)) in values.iter().enumerate() {
                server.sql(&format!("SET time_zone='+00:00'; INSERT INTO type_{n} VALUES ({id}, {sql})"));
            }
            server.sql(&format!("INSERT INTO type_{n} VALUES (99, NULL)"));
            let select = whole(driver, &format!("type_{n}"));
            assert_eq!(select.schema.field(1).data_type().to_string(), *ty, "{declared}");
            let (batch, rejected, _) = read(driver, &select);
            assert!(rejected.is_empty(), "{declared}: {rejected:?}");
            let expected: Vec<&str> = values.iter().map(|(_, read)| *read).chain(["null"]).collect();
            assert_eq!(shown(&batch, 1), expected, "{declared}");
        }
    });
}

#[test]
fn what_a_type_cannot_hold_is_rejected() {
    on_all(|server, driver| {
        server.sql(
        "SET sql_mode=''; CREATE TABLE odd (id INT, d DATE, t DATETIME); \
         INSERT INTO odd VALUES (1,'0000-00-00','2024-01-01'),(2,'2024-00-10','2024-01-01'),(3,'2024-01-01','0000-00-00'),(4,'2024-01-01','2024-01-01')",
    );
        let (batch, rejected, _) = read(driver, &whole(driver, "odd"));
        assert_eq!(shown(&batch, 0), ["4"]);
        assert_eq!(
            rejected,
            [
                "table.type: column `d` is Date32, but holds `0000-00-00`",
                "table.type: column `d` is Date32, but holds `2024-00-10`",
                "table.type: column `t` is Timestamp(µs), but holds `0000-00-00 00:00:00`",
            ]
        );
        // Another type may be asked for.
        let mut select = whole(driver, "odd");
        select.schema = Arc::new(Schema::new(vec![Field::new("d", DataType::Utf8, true)]));
        assert_eq!(shown(&read(driver, &select).0, 0), ["0000-00-00", "2024-00-10", "2024-01-01", "2024-01-01"]);
    });
}

#[test]
fn a_query_is_a_table() {
    on_all(|server, driver| {
        server.sql("CREATE TABLE q (id INT, price DECIMAL(10,2)); INSERT INTO q VALUES (1, 2.50), (2, 3.25)");
        let relation = Relation::Query("SELECT id, price * 2 AS `twice \"x`, 'a' AS a FROM q ORDER BY id;".into());
        let schema = schema(driver, &relation);
        assert_eq!(schema.field(1).data_type(), &DataType::Decimal128(11, 2));
        let select = Select { relation, schema, bookmark: None, range: None };
        assert_eq!(shown(&read(driver, &select).0, 1), ["5.00", "6.50"]);
    });
}

#[test]
fn ranges_are_the_whole() {
    on_all(|server, driver| {
        server.sql("CREATE TABLE keys_ (id BIGINT, n INT); INSERT INTO keys_ VALUES (NULL, 0)");
        let digits = "(SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
        let numbers = format!(
            "SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS n FROM {digits} a, {digits} b, {digits} c, {digits} e"
        );
        server.sql(&format!("INSERT INTO keys_ SELECT n, n FROM ({numbers}) s WHERE n <= 5000"));
        let select = whole(driver, "keys_");
        let bounds = driver.bounds(&select, "id").unwrap();
        assert_eq!(bounds, Some((1, 5000)));
        let mut seen = vec![];
        for (from, to) in [(None, Some(1000)), (Some(1000), Some(4000)), (Some(4000), None)] {
            let range = Range { column: "id".into(), from, to };
            let (batch, _, _) = read(driver, &Select { range: Some(range), ..select.clone() });
            seen.extend(shown(&batch, 1).into_iter().map(|n| n.parse::<i64>().unwrap()));
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..=5000));
        server.sql("CREATE TABLE none_ (id INT)");
        assert_eq!(driver.bounds(&whole(driver, "none_"), "id").unwrap(), None);
        assert_eq!(read(driver, &whole(driver, "none_")).0.num_rows(), 0);
    });
}

#[test]
fn only_what_is_new_is_read() {
    on_all(|server, driver| {
        server
            .sql("CREATE TABLE news (id INT PRIMARY KEY, at TIMESTAMP(3) NULL, big BIGINT UNSIGNED, name VARCHAR(20))");
        server.sql("SET time_zone='+00:00'; INSERT INTO news VALUES (1,'2024-01-01 10:00:00.001',18446744073709551614,'a'),(2,'2024-01-01 10:00:00.002',18446744073709551615,'it''s \\\\'),(3,NULL,NULL,NULL)");
        let text = Select { bookmark: Some(Bookmark { column: "name".into(), from: None }), ..whole(driver, "news") };
        let e = driver.read(&text, &task()).err().unwrap();
        assert!(e.message.ends_with("is text, whose order its collation decides"), "{e}");
        for column in ["at", "big"] {
            let select = |from: Option<String>| Select {
                bookmark: Some(Bookmark { column: column.into(), from }),
                ..whole(driver, "news")
            };
            let (batch, _, first) = read(driver, &select(None));
            assert_eq!(shown(&batch, 0), ["3", "1", "2"], "{column}");
            let (batch, _, again) = read(driver, &select(first.clone()));
            assert_eq!((batch.num_rows(), &again), (0, &first), "{column}");
            // In the middle of rows with one value: the second of them is left.
            let value = shown(&read(driver, &select(None)).0, 0).len();
            assert_eq!(value, 3);
            let at = first.unwrap().replace("\"after\"", "\"at\"").replace('}', ",\"rows\":1}");
            server.sql("SET time_zone='+00:00'; INSERT INTO news SELECT 4, at, big, name FROM news WHERE id = 2");
            let (batch, _, _) = read(driver, &select(Some(at)));
            assert_eq!(shown(&batch, 0), ["4"], "{column}");
            server.sql("DELETE FROM news WHERE id = 4");
        }
        // A column that is not read may be the bookmark, too.
        let mut select = whole(driver, "news");
        select.schema = Arc::new(select.schema.project(&[0]).unwrap());
        select.bookmark = Some(Bookmark { column: "at".into(), from: None });
        let (batch, _, position) = read(driver, &select);
        assert_eq!(batch.num_columns(), 1);
        assert_eq!(position.unwrap(), r#"{"after":"2024-01-01 10:00:00.002"}"#);
    });
}

#[test]
fn tables_of_every_shape() {
    on_all(|server, driver| {
        let wide: Vec<String> = (0..1000).map(|n| format!("c{n} INT DEFAULT {n}")).collect();
        server.sql(&format!("CREATE TABLE wide ({})", wide.join(", ")));
        server.sql("INSERT INTO wide () VALUES (), ()");
        assert_eq!(shown(&read(driver, &whole(driver, "wide")).0, 999), ["999", "999"]);
        server.sql("CREATE TABLE ```o'd\"d ü` (`a``b \"c'` INT); INSERT INTO ```o'd\"d ü` VALUES (7)");
        assert_eq!(shown(&read(driver, &whole(driver, "`o'd\"d ü")).0, 0), ["7"]);
        server.sql(
        "CREATE TABLE huge (id INT, t LONGTEXT); INSERT INTO huge SELECT n, REPEAT('ü', 8388608) FROM (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) s",
    );
        let (batch, _, _) = read(driver, &whole(driver, "huge"));
        assert_eq!(batch.column(1).get_buffer_memory_size() >> 24, 3);
        assert!(driver.tables().unwrap().contains(&"`o'd\"d ü".to_string()));
    });
}

#[test]
fn the_state_of_the_server_tells_whether_to_go_on() {
    let mut server = MariaDb::start();
    let driver = connection(server.port, "tries: 3");
    server.sql("CREATE TABLE t (id INT)");
    let before = driver.version().unwrap();
    assert_eq!(driver.version().unwrap(), before);
    server.sql("INSERT INTO t VALUES (1)");
    assert_ne!(driver.version().unwrap(), before);
    server.crash_and_restart();
    assert_eq!(read(&*driver, &whole(&*driver, "t")).0.num_rows(), 1);
}

#[test]
fn a_change_makes_another_state_on_all_servers() {
    on_all(|server, driver| {
        server.sql("CREATE TABLE states (id INT)");
        let before = driver.version().unwrap();
        server.sql("INSERT INTO states VALUES (1)");
        assert_ne!(driver.version().unwrap(), before);
    });
}

/// MySQL makes itself a certificate, which is nobody's that we know.
#[test]
fn what_is_sent_is_encrypted_where_it_is_wanted() {
    let Some(server) = mysql() else { return };
    server.sql("CREATE TABLE safe (id INT)");
    let driver = connection(server.port, "tls: Require, tries: 1");
    let relation = Relation::Query(
        "SELECT variable_value FROM performance_schema.session_status WHERE variable_name = 'Ssl_cipher'".into(),
    );
    let select = Select { schema: schema(&*driver, &relation), relation, bookmark: None, range: None };
    assert!(shown(&read(&*driver, &select).0, 0)[0].starts_with("TLS_"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(server.folder.join("data/ca.pem"), file.path()).unwrap();
    let verified = connection(server.port, &format!("tls: VerifyFull(ca: {:?}), tries: 1", file.path()));
    let e = verified.reach().unwrap_err();
    assert!(e.message.to_lowercase().contains("certificate"), "{e}");
}

#[test]
fn a_connection_that_is_cut_while_it_reads_is_an_error() {
    let server = MariaDb::start();
    let driver = connection(server.port, "tries: 1");
    server.sql(
        "CREATE TABLE big (id INT, t VARCHAR(200)); INSERT INTO big SELECT seq, REPEAT('x', 200) FROM seq_1_to_400000",
    );
    let mut reader = driver.read(&whole(&*driver, "big"), &task()).unwrap();
    let mut out = Recorder::default();
    assert_eq!(reader.read(&mut out).unwrap(), Next::More);
    server.sql("SELECT CONCAT('KILL ', id) INTO @k FROM information_schema.processlist WHERE info LIKE 'SELECT `id`%'; EXECUTE IMMEDIATE @k");
    let e = loop {
        match reader.read(&mut out) {
            Ok(Next::Done) => panic!("a part of the table was taken for all of it"),
            Ok(_) => {}
            Err(e) => break e,
        }
    };
    assert!(e.retry && e.message.starts_with("reading from mysql://127.0.0.1:"), "{e}");
}

#[test]
fn what_is_wrong_is_said_and_no_password_with_it() {
    let port = mariadb().port;
    let nobody = selvedge_servers::NOBODY;
    let with = |text: &str| of(&format!("({text}, tries: 1)")).reach().unwrap_err();
    let cases = [
        (
            format!(r#"host: "127.0.0.1", port: {port}, database: "shop", user: "app", password: "wr0ng""#),
            "Access denied",
            "check user and password",
        ),
        (
            format!(
                r#"host: "127.0.0.1", port: {port}, database: "shoe", user: "app", password: "{MARIADB_PASSWORD}""#
            ),
            "Unknown database 'shoe'",
            "check `database`",
        ),
        (
            format!(r#"host: "127.0.0.1", port: "{nobody}", database: "shop", user: "app", password: "wr0ng""#),
            "refused",
            "that the server runs",
        ),
        (
            r#"host: "no-such-host.invalid", database: "shop", user: "app", password: "wr0ng""#.to_string(),
            "",
            "check host",
        ),
        (
            format!(
                r#"host: "127.0.0.1", port: {port}, database: "shop", user: "app", password: "{MARIADB_PASSWORD}", tls: Require"#
            ),
            "does not encrypt",
            "tls: Prefer",
        ),
    ];
    for (text, message, help) in cases {
        let e = with(&text);
        assert!(e.message.contains(message), "{e}");
        assert!(e.help.as_ref().is_some_and(|h| h.contains(help)), "{e}");
        let all = format!("{e:?} {e}");
        assert!(!all.contains("wr0ng") && !all.contains(MARIADB_PASSWORD), "{all}");
    }
    let e = shop().describe(&Relation::Query("SELECT nothing".into()), &|_| false).unwrap_err();
    assert!(e.message.contains("Unknown column 'nothing'"), "{e}");
}
