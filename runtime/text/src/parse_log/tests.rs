//! Good lines of all formats, bad ones with their whole words, and the same JSON as another reader's.

use super::ParseLog;
use super::cell::Cell;
use super::json::{Tree, pointer};
use super::standard::PATTERNS;
use arrow::array::{ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray, StringViewArray};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;
use selvedge_node::Kind;
use selvedge_testkit::{Case, Done};
use serde_json::Value;
use std::sync::Arc;

fn batch(lines: &[Option<&str>]) -> RecordBatch {
    let column = Arc::new(lines.iter().copied().collect::<StringArray>()) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([("line", column, true)]).unwrap()
}

fn case(config: &str, lines: &[&str]) -> Case<ParseLog> {
    let lines: Vec<Option<&str>> = lines.iter().map(|line| Some(*line)).collect();
    Case::new(&format!("(column: \"line\", {config})")).batch(batch(&lines))
}

fn run(config: &str, lines: &[&str]) -> Done {
    case(config, lines).run()
}

fn problems(config: &str) -> String {
    case(config, &[]).problems()
}

/// Code and message of the one row that is rejected.
fn refused(config: &str, line: &str) -> String {
    let done = run(config, &[line]);
    assert_eq!(done.rejected.len(), 1, "{line}");
    format!("{}: {}", done.rejected[0].code, done.rejected[0].message)
}

#[test]
fn json_values_become_columns() {
    let config = r#"format: Json(paths: {"user": "/context/user/id", "second": "/items/1/sku", "slash": "/a~1b/~0"}),
        schema: {"at": Timestamp, "level": Utf8, "took": Int32, "ok": Boolean, "user": Utf8, "second": Utf8, "items": Utf8, "slash": Float64}"#;
    let done = run(
        config,
        &[
            r#"{"at":"2024-05-01T10:00:00Z","level":"info","took":12,"ok":true,"context":{"user":{"id":"u1"},"x":[{}]},"items":[{"sku":"A"},{"sku":"B"}],"a/b":{"~":1.5}}"#,
            r#" { "took" : 12.7 , "level" : null, "items": [], "other": {"level": "deep"}, "context": 5 } "#,
            "{}",
        ],
    );
    done.expect_in_order(
        r#"at:Timestamp(µs, "UTC") | level | took:Int32 | ok:Boolean | user | second | items | slash:Float64
           2024-05-01T10:00:00Z | info | 12 | true | u1 | B | "[{"sku":"A"},{"sku":"B"}]" | 1.5
           null | null | 12 | null | null | null | [] | null
           null | null | null | null | null | null | null | null"#,
    );
    assert!(done.rejected.is_empty());
}

#[test]
fn the_example_reads_a_chat() {
    let done = Case::<ParseLog>::new(&ParseLog::EXAMPLE.replace("input: \"chat_log\", ", ""))
        .input(
            r#"day:Date32 | message
               2024-05-01 | {"at":"2024-05-01 10:00:00","context":{"user":{"id":7}},"text":"hi","took_ms":3}"#,
        )
        .run();
    done.expect(
        r#"day:Date32 | at:Timestamp(µs, "UTC") | user | text | took_ms:Int32
           2024-05-01 | 2024-05-01T10:00:00Z    | 7    | hi   | 3"#,
    );
}

#[test]
fn json_texts_lose_their_escapes_and_nothing_else() {
    let lines = [
        r#"{"t":"\"\\\/\b\f\n\r\t"}"#,
        r#"{"t":"gr\u00fc\u00dfe \ud83d\udc5f!"}"#,
        r#"{"\u0074":"by an escaped name"}"#,
        "{\"t\":\"שלום e\u{301} \u{202e}abc\u{7f}\"}",
        r#"{"t":"first","t":"last"}"#,
    ];
    let done = run(r#"format: Json, schema: {"t": Utf8}"#, &lines);
    let texts: Vec<String> = done.rows(0).column(0).as_string::<i32>().iter().flatten().map(String::from).collect();
    assert_eq!(
        texts,
        ["\"\\/\u{8}\u{c}\n\r\t", "grüße 👟!", "by an escaped name", "שלום e\u{301} \u{202e}abc\u{7f}", "last"]
    );
}

#[test]
fn nothing_of_an_earlier_namesake_stays() {
    let config = r#"format: Json(paths: {"id": "/user/id", "name": "/user/name"}), schema: {"id": Int64, "name": Utf8, "user": Utf8}"#;
    let done =
        run(config, &[r#"{"user":{"id":1,"name":"ann"},"user":{"name":"bob"}}"#, r#"{"user":{"id":1},"user":7}"#]);
    done.expect_in_order(
        r#"id:Int64 | name | user
           null     | bob  | "{"name":"bob"}"
           null     | null | 7"#,
    );
}

#[test]
fn bad_json_is_told_with_its_place() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(300), "]".repeat(300));
    for (line, said) in [
        ("", "log.empty: the line is empty: ``"),
        (" \t", "log.empty: the line is empty: ` \t`"),
        ("{", "json.syntax: expected a name in quotes, found the end of the line: `{`"),
        (r#"{"a":1"#, r#"json.syntax: expected `,` or `}`, found the end of the line: `{"a":1`"#),
        (r#"{"a":1,}"#, r#"json.syntax: expected a name in quotes at byte 8, found `}`: `{"a":1,}`"#),
        (r#"{"a":1}x"#, r#"json.syntax: expected the end of the line at byte 8, found `x`: `{"a":1}x`"#),
        (r#"{"a":NaN}"#, r#"json.syntax: expected a value at byte 6, found `N`: `{"a":NaN}`"#),
        (r#"{"a":007}"#, r#"json.syntax: expected `,` or `}` at byte 7, found `0`: `{"a":007}`"#),
        (r#"{"a":-}"#, r#"json.syntax: expected a digit at byte 7, found `}`: `{"a":-}`"#),
        (r#"{"a" 1}"#, r#"json.syntax: expected `:` at byte 6, found `1`: `{"a" 1}`"#),
        (r#"{"a":"x"#, r#"json.syntax: the text that starts at byte 6 has no closing quote: `{"a":"x`"#),
        (r#"{"a":"\q"}"#, r#"json.syntax: an unknown escape at byte 7: `{"a":"\q"}`"#),
        (r#"{"a":"\ud83d"}"#, r#"json.syntax: half of a surrogate pair at byte 7: `{"a":"\ud83d"}`"#),
        (r#"{"a":"\u12"}"#, r#"json.syntax: expected four hexadecimal digits at byte 9: `{"a":"\u12"}`"#),
        (
            "{\"a\":\"\u{1}\"}",
            "json.syntax: a control character (U+0001) at byte 7, which must be escaped: `{\"a\":\"\u{1}\"}`",
        ),
        ("\0\0", "json.syntax: expected a value at byte 1, found `\\0`: `\0\0`"),
        ("é", "json.syntax: expected a value at byte 1, found `é`: `é`"),
        ("[1]", "json.type: expected an object, found another JSON value: `[1]`"),
        (r#"{"a":{"b":1}}"#, r#"cast: cannot read `{"b":1}` in column `a` as Int64"#),
        (r#"{"a":"N/A"}"#, "cast: cannot read `N/A` in column `a` as Int64"),
    ] {
        assert_eq!(refused(r#"format: Json, schema: {"a": Int64}"#, line), said);
    }
    let said = refused(r#"format: Json, schema: {"a": Int64}"#, &deep);
    assert!(
        said.starts_with("json.syntax: nested deeper than 256 levels: `{\"a\":[[[") && said.ends_with("…`"),
        "{said}"
    );
    let said = refused(r#"format: Json, schema: {"a": Int64}, max_line: 10"#, r#"{"a": 1234567}"#);
    assert_eq!(said, r#"log.too_long: a line of 14 bytes, where 10 are allowed: `{"a": 1234567}`"#);
}

#[test]
fn logfmt_pairs_become_columns() {
    let done = run(
        r#"format: Logfmt, schema: {"level": Utf8, "msg": Utf8, "took": Float64, "retry": Boolean, "url": Utf8}"#,
        &[
            r#"level=info msg="hello \"there\" \u00e9" took=1.5 retry url=http://x/?a=b&c=d"#,
            r#"  url="" took= level=warn	level=error other="x" msg=שלום"#,
        ],
    );
    done.expect_in_order(
        r#"level | msg               | took:Float64 | retry:Boolean | url
           info  | hello "there" é   | 1.5          | true          | http://x/?a=b&c=d
           error | שלום               | null         | null          | """#,
    );
}

#[test]
fn bad_logfmt_is_told_with_its_place() {
    for (line, said) in [
        ("   ", "log.empty: the line is empty: `   `"),
        ("hello there", "logfmt.syntax: expected key=value somewhere in the line: `hello there`"),
        ("a=1 =2", "logfmt.syntax: expected key=value at byte 5, found `=`: `a=1 =2`"),
        ("a\"b=1", "logfmt.syntax: expected key=value at byte 1, found `\"`: `a\"b=1`"),
        ("a=x\"y\"", "logfmt.syntax: a quote inside a value, at byte 4: `a=x\"y\"`"),
        ("a=\"x", "logfmt.syntax: the text that starts at byte 3 has no closing quote: `a=\"x`"),
        ("a=\"x\"y", "logfmt.syntax: expected a blank behind the closing quote, at byte 6: `a=\"x\"y`"),
        ("a=ten", "cast: cannot read `ten` in column `a` as Int64"),
    ] {
        assert_eq!(refused(r#"format: Logfmt, schema: {"a": Int64}"#, line), said);
    }
}

#[test]
fn named_groups_become_columns() {
    let config = r#"format: Regex("^(?P<level>[A-Z]+)(?: \\[(?P<id>[0-9]+)\\])? (?P<text>.*)$"), keep: true"#;
    let done = run(config, &["INFO [7] grüß dich", "WARN no id"]);
    done.expect_in_order(
        "line               | level | id   | text
         INFO [7] grüß dich | INFO  | 7    | grüß dich
         WARN no id         | WARN  | null | no id",
    );
    let done = run(&format!("{config}, schema: {{\"id\": Int16}}"), &["INFO [7] x", "WARN [99999] x", "nonsense"]);
    done.expect_in_order("line | id:Int16\nINFO [7] x | 7");
    let said: Vec<String> = done.rejected.iter().map(|r| format!("{}: {}", r.code, r.message)).collect();
    assert!(said.contains(&"log.no_match: the line does not match the pattern: `nonsense`".to_string()), "{said:?}");
    assert!(said.contains(&"cast: cannot read `99999` in column `id` as Int16".to_string()), "{said:?}");
    assert!(done.rejected.iter().any(|r| r.raw == r#"{"line":"nonsense"}"#));
}

#[test]
fn grok_reads_what_web_servers_write() {
    let lines = [
        r#"10.0.0.7 - ann@example.com [10/Oct/2023:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 2326 "http://x/" "Mozilla/5.0 (X11)""#,
        r#"2001:db8::1 - - [10/Oct/2023:13:55:36 +0000] "\x16\x03" 400 - "-" "-""#,
    ];
    let schema = r#"schema: {"clientip": Utf8, "auth": Utf8, "timestamp": Utf8, "verb": Utf8, "request": Utf8, "httpversion": Utf8,
        "rawrequest": Utf8, "response": Int32, "bytes": Int64, "agent": Utf8}"#;
    let done = run(&format!("format: Grok(\"^%{{COMBINEDAPACHELOG}}$\"), {schema}"), &lines);
    done.expect_in_order(
        r#"clientip | auth | timestamp | verb | request | httpversion | rawrequest | response:Int32 | bytes:Int64 | agent
           10.0.0.7 | ann@example.com | 10/Oct/2023:13:55:36 -0700 | GET | /a?b=c | 1.1 | null | 200 | 2326 | ""Mozilla/5.0 (X11)""
           2001:db8::1 | - | 10/Oct/2023:13:55:36 +0000 | null | null | null | \x16\x03 | 400 | null | ""-"""#,
    );
}

#[test]
fn grok_takes_types_and_patterns_of_ones_own() {
    let config = r#"format: Grok("%{LOGLEVEL:level} (?:%{SKU:[item][sku]}|no (?<reason>\\w+)) x%{INT:n:int}%{SPACE}(?:%{NUMBER:price:float})?",
        patterns: {"SKU": "[A-Z]{2}-%{DIGITS}", "DIGITS": "[0-9]+"})"#;
    let done = run(config, &["sold INFO AB-12 x3 9.50", "WARN no stock x-1"]);
    done.expect_in_order(
        "level | item.sku | reason | n:Int64 | price:Float64
         INFO  | AB-12    | null   | 3       | 9.5
         WARN  | null     | stock  | -1      | null",
    );
    // Standard patterns name columns too.
    run(r#"format: Grok("%{URI:uri}")"#, &["GET http://x.org:80/a"])
        .expect_in_order("uri | port\nhttp://x.org:80/a | 80");
    // Where standard patterns do not look around.
    run(r#"format: Grok("%{TIME:at}")"#, &["12:34:567"]).expect_in_order("at\n12:34:56");
    assert_eq!(run(r#"format: Grok("%{IPV4:ip}")"#, &["v10.0.0.1"]).rejected.len(), 1);
    // A name in two places is one column; an own pattern goes before a standard one.
    let done = run(
        r#"format: Grok("^(?:%{WORD:a}=%{INT:v:int}|%{INT:v:int} %{WORD:a})$", patterns: {"WORD": "[a-z]+"})"#,
        &["x=1", "2 y"],
    );
    done.expect_in_order("a | v:Int64\nx | 1\ny | 2");
}

#[test]
fn every_standard_pattern_matches_what_it_is_for() {
    // Name, and texts that it takes whole.
    let samples: &[(&str, &[&str])] = &[
        ("USERNAME", &["j.doe-1"]),
        ("USER", &["root"]),
        ("EMAILLOCALPART", &["a.b+c"]),
        ("EMAILADDRESS", &["a.b+c@mail.example.org"]),
        ("INT", &["-12", "+3"]),
        ("BASE10NUM", &["-1.5", ".5", "10"]),
        ("NUMBER", &["3.14"]),
        ("BASE16NUM", &["0xDEADbeef", "ff"]),
        ("BASE16FLOAT", &["0x1.f", "ab"]),
        ("POSINT", &["10"]),
        ("NONNEGINT", &["0"]),
        ("WORD", &["größe_1"]),
        ("NOTSPACE", &["a/b:c"]),
        ("SPACE", &["", " \t"]),
        ("DATA", &["anything at all"]),
        ("GREEDYDATA", &["anything at all"]),
        ("QUOTEDSTRING", &[r#""a \" b""#, "''", "`x`"]),
        ("QS", &[r#""""#]),
        ("UUID", &["123e4567-e89b-12d3-a456-426614174000"]),
        ("URN", &["urn:isbn:0451450523"]),
        ("MAC", &["0123.4567.89ab"]),
        ("CISCOMAC", &["0123.4567.89ab"]),
        ("WINDOWSMAC", &["01-23-45-67-89-ab"]),
        ("COMMONMAC", &["01:23:45:67:89:ab"]),
        ("H16", &["db8"]),
        ("OCTET", &["0", "99", "255"]),
        ("IPV4", &["192.168.0.255"]),
        ("IPV6", &["::", "::1", "2001:db8::8a2e:370:7334", "1:2:3:4:5:6:7:8", "fe80::1%eth0", "::ffff:10.0.0.1"]),
        ("IP", &["10.0.0.1", "2001:db8::1"]),
        ("HOSTNAME", &["db-1.example.com"]),
        ("IPORHOST", &["10.0.0.1", "localhost"]),
        ("HOSTPORT", &["localhost:8080"]),
        ("PATH", &["/var/log/x.log", r"C:\logs\x.log"]),
        ("UNIXPATH", &["/var/log/x.log"]),
        ("WINPATH", &[r"C:\logs\x.log"]),
        ("TTY", &["/dev/pts/0", "/dev/tty1"]),
        ("URIPROTO", &["https"]),
        ("URIHOST", &["example.com:443"]),
        ("URIPATH", &["/a/b"]),
        ("URIQUERY", &["a=b&c=[1]"]),
        ("URIPARAM", &["?a=b"]),
        ("URIPATHPARAM", &["/a?b=c"]),
        ("URI", &["https://me:pw@example.com:443/a/b?c=d", "file:///etc/hosts"]),
        ("MONTH", &["Feb", "December", "März"]),
        ("MONTHNUM", &["1", "01", "12"]),
        ("MONTHNUM2", &["01", "12"]),
        ("MONTHDAY", &["1", "09", "31"]),
        ("DAY", &["Mon", "Saturday"]),
        ("YEAR", &["24", "2024"]),
        ("HOUR", &["7", "23"]),
        ("MINUTE", &["59"]),
        ("SECOND", &["5", "60", "59.123"]),
        ("TIME", &["12:34:56", "1:02:03.456"]),
        ("DATE_US", &["12/31/2024"]),
        ("DATE_EU", &["31.12.2024"]),
        ("DATE", &["12/31/2024", "31.12.2024"]),
        ("DATESTAMP", &["31.12.2024 23:59:59"]),
        ("TZ", &["PST", "UTC"]),
        ("ISO8601_TIMEZONE", &["Z", "+02:00", "-0700"]),
        ("ISO8601_SECOND", &["59.5"]),
        ("TIMESTAMP_ISO8601", &["2024-05-01T10:00:00.123Z", "2024-05-01 10:00", "2024-05-01T10:00:00+02:00"]),
        ("DATESTAMP_RFC822", &["Mon Jan 01 2024 10:00:00 UTC"]),
        ("DATESTAMP_RFC2822", &["Mon, 01 Jan 2024 10:00:00 +0100"]),
        ("DATESTAMP_OTHER", &["Mon Jan 01 10:00:00 UTC 2024"]),
        ("DATESTAMP_EVENTLOG", &["20240501100000"]),
        ("HTTPDATE", &["10/Oct/2023:13:55:36 -0700"]),
        ("SYSLOGTIMESTAMP", &["Oct  1 10:00:00"]),
        ("PROG", &["cron"]),
        ("SYSLOGPROG", &["sshd[123]", "kernel"]),
        ("SYSLOGHOST", &["web-1"]),
        ("SYSLOGFACILITY", &["<13.4>"]),
        ("SYSLOGBASE", &["Oct  1 10:00:00 web-1 sshd[123]:"]),
        ("LOGLEVEL", &["INFO", "INF", "Warning", "error", "ERR", "FATAL"]),
        ("HTTPDUSER", &["-", "a@b.org"]),
        ("HTTPD_COMMONLOG", &[r#"h - - [10/Oct/2023:13:55:36 -0700] "GET / HTTP/1.0" 200 5"#]),
        ("HTTPD_COMBINEDLOG", &[r#"h - - [10/Oct/2023:13:55:36 -0700] "GET / HTTP/1.0" 200 5 "-" "curl""#]),
        ("COMMONAPACHELOG", &[r#"h - - [10/Oct/2023:13:55:36 -0700] "GET /" 304 -"#]),
        ("COMBINEDAPACHELOG", &[r#"h - - [10/Oct/2023:13:55:36 -0700] "-" 408 - "-" "-""#]),
    ];
    let names = |list: Vec<&str>| list.join(" ");
    assert_eq!(
        names(samples.iter().map(|(name, _)| *name).collect()),
        names(PATTERNS.iter().map(|(name, _)| *name).collect()),
    );
    for (name, texts) in samples {
        let config = format!("format: Grok(\"^%{{{name}:it}}$\"), schema: {{\"it\": Utf8}}");
        let done = run(&config, texts);
        let found = done.rows(0);
        let found: Vec<&str> = found.column(0).as_string::<i32>().iter().flatten().collect();
        assert_eq!(found, *texts, "{name}: {:?}", done.rejected);
    }
    for (name, text) in [
        ("IPV4", "256.1.1.1"),
        ("IPV6", "1::2::3"),
        ("MONTHDAY", "32"),
        ("HOUR", "24"),
        ("UUID", "123e4567"),
        ("TIMESTAMP_ISO8601", "2024-13-01T10:00:00"),
        ("LOGLEVEL", "loud"),
    ] {
        assert_eq!(run(&format!("format: Grok(\"^%{{{name}:it}}$\")"), &[text]).rejected.len(), 1, "{name}");
    }
}

#[test]
fn rows_that_cannot_be_read_go_where_the_graph_says() {
    let lines = [r#"{"a":1}"#, "broken", r#"{"a":"x"}"#, "", "[]"];
    let config = |on_error| format!("format: Json, schema: {{\"a\": Int64, \"b\": Int64}}, on_error: {on_error}");
    let done = run(&config("Drop"), &lines);
    done.expect_in_order("a:Int64 | b:Int64\n1 | null");
    let dropped: Vec<(&str, u64)> = done.dropped.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    assert_eq!(
        dropped,
        [
            ("unreadable line, json.syntax", 1),
            ("unreadable line, json.type", 1),
            ("unreadable line, log.empty", 1),
            ("unreadable value in a", 1)
        ]
    );
    let done = run(&config("Null"), &lines);
    done.expect_in_order("a:Int64 | b:Int64\n1 | null\nnull | null\nnull | null\nnull | null\nnull | null");
    assert_eq!(done.altered["null: unreadable line, json.syntax"], 1);
    assert_eq!(done.altered["null: unreadable value in a"], 1);
    assert_eq!(run(&config("Reject"), &lines).rejected.len(), 4);
    let error = case(&config("Fail"), &lines[..2]).run_strict().unwrap_err();
    assert!(
        error.to_string().starts_with("expected a value at byte 1, found `b`: `broken` (on_error: Reject"),
        "{error}"
    );
    // A row is rejected once, however much is wrong with it.
    assert_eq!(run(&config("Reject"), &[r#"{"a":"x","b":"y"}"#]).rejected.len(), 1);
}

#[test]
fn all_kinds_of_text_are_read_and_null_stays_null() {
    let lines = [Some("a=1"), None, Some("a=3")];
    let columns: [ArrayRef; 3] = [
        Arc::new(lines.iter().copied().collect::<StringViewArray>()),
        Arc::new(lines.iter().copied().collect::<DictionaryArray<Int32Type>>()),
        Arc::new([Some("a=0")].iter().chain(&lines).copied().collect::<StringArray>().slice(1, 3)),
    ];
    for column in columns {
        let batch = RecordBatch::try_from_iter_with_nullable([("line", column, true)]).unwrap();
        let config = r#"(column: "line", format: Logfmt, schema: {"a": Int64})"#;
        Case::<ParseLog>::new(config).batch(batch).run().expect_in_order("a:Int64\n1\nnull\n3");
    }
}

#[test]
fn problems_of_a_graph_are_told_before_a_row_moves() {
    for (config, said) in [
        (
            r#"format: Json"#,
            "which columns come out of the lines must be declared (add a schema: {\"level\": Utf8, …})",
        ),
        (r#"format: Logfmt, schema: {}"#, "no column would come out of the lines (name at least one)"),
        (
            r#"format: Json, schema: {"a": List(Int64)}"#,
            "column `a` cannot be read as List(Int64) (take it as Utf8; of JSON, take single values by `paths`)",
        ),
        (
            r#"format: Json(paths: {"usr": "/x", "user": "x"}), schema: {"user": Utf8}"#,
            "no column named `usr` (did you mean `user`?)\n`x` is no path into JSON: it does not start with `/` \
             (write it as `/user/id`, or `/items/0` for a place in a list)",
        ),
        (
            r#"format: Json(paths: {"a": "/x~2"}), schema: {"a": Utf8}"#,
            "`~` in `x~2` stands for nothing: write `~0` for `~` and `~1` for `/` (write it as `/user/id`, or `/items/0` for a \
             place in a list)",
        ),
        (
            r#"format: Regex("(?P<level>x")"#,
            "this is no regular expression: unclosed group (the syntax is that of Rust's `regex`, which looks neither ahead \
             nor behind)",
        ),
        (
            r#"format: Regex("(?P<a>x)(?=y)")"#,
            "this is no regular expression: look-around, including look-ahead and look-behind, is not supported (the syntax is \
             that of Rust's `regex`, which looks neither ahead nor behind)",
        ),
        (
            r#"format: Regex("(?P<a>(\\w{1,1000}){1,1000})")"#,
            "the pattern takes more than 10 MiB when compiled (repeat smaller parts, or fewer times: `{1,1000}` of `\\w` is \
             large, of `[a-z]` it is not)",
        ),
        (r#"format: Regex("(x)")"#, "no column would come of this pattern (name a group: (?P<level>[A-Z]+))"),
        (r#"format: Grok("%{IP}")"#, "no column would come of this pattern (name what is wanted: %{IP:client})"),
        (
            r#"format: Regex("(?P<level>x)"), schema: {"lvel": Utf8}"#,
            "no part of the pattern named `lvel` (did you mean `level`?)",
        ),
        (
            r#"format: Grok("%{IPV5:a} %{WORD:b:integer}")"#,
            "no grok pattern named `IPV5` (did you mean `IPV4`, `IPV6`, `IP`?)\nno grok type named `integer` (write int, long, float, double, boolean or string)",
        ),
        (
            r#"format: Grok("%{A:x}", patterns: {"A": "a%{B}", "B": "b(%{A})?"})"#,
            "the pattern `A` is made of itself: A → B → A (a pattern cannot hold itself: repeat a part with `*` or `+`)",
        ),
        (r#"format: Grok("%{INT:a:int} %{INT:a:float}")"#, "`a` is Int64 in one place and Float64 in another"),
        (
            r#"format: Grok("%{INT:a:int}"), schema: {"a": Utf8}"#,
            "`a` is Utf8 here and Int64 in the pattern (say it in one of the two places)",
        ),
        (r#"format: Grok("%{INT:}")"#, "a part of the pattern has an empty name"),
        (
            r#"format: Regex("(?P<line>x)"), keep: true"#,
            "there is a column `line` already (rename it first: SchemaEdit(edits: [Rename(…)]))",
        ),
    ] {
        assert_eq!(problems(config), said, "{config}");
    }
    run(r#"format: Regex("(?P<line>x)")"#, &["axb"]).expect_in_order("line\nx");
    assert_eq!(
        Case::<ParseLog>::new(r#"(column: "lin", format: Logfmt)"#).batch(batch(&[])).problems(),
        "no column named `lin` (did you mean `line`?)\nwhich columns come out of the lines must be declared (add a schema: \
         {\"level\": Utf8, …})"
    );
}

#[test]
fn patterns_that_grow_without_end_are_refused() {
    let chain = |links: usize, times: usize| {
        let link = |i: usize| format!("\"P{i}\": \"{}\"", format!("%{{P{}}}", i + 1).repeat(times));
        let links: Vec<String> = (0..links).map(link).chain([format!("\"P{links}\": \"x\"")]).collect();
        problems(&format!("format: Grok(\"%{{P0:a}}\", patterns: {{{}}})", links.join(", ")))
    };
    let said =
        "the pattern becomes longer than 256 KiB, or deeper than 100 levels (use fewer patterns inside patterns)";
    assert_eq!(chain(30, 2), said);
    assert_eq!(chain(5000, 1), said);
}

/// JSON text, some of it broken.
fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        "[ -~é\"\\\\\n👟]{0,6}".prop_map(Value::from),
    ];
    let value = scalar.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab\"]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    let object = prop::collection::btree_map("[abé\"]", value, 0..4)
        .prop_map(|m| Value::Object(m.into_iter().collect()).to_string());
    (object, prop::option::of((any::<prop::sample::Index>(), "[]{}\\[\",:0-9a-fu\\\\ -.]?"))).prop_map(
        |(mut text, broken)| {
            if let Some((at, with)) = broken {
                let from = text.floor_char_boundary(at.index(text.len()));
                let to = text.ceil_char_boundary(from + 1);
                text.replace_range(from..to, &with);
            }
            text
        },
    )
}

proptest! {
    #[test]
    fn json_is_what_another_reader_makes_of_it(text in json_text()) {
        let tree = Tree::new(vec![vec!["a".into()], pointer("/b/a").unwrap(), pointer("/b/0").unwrap()]);
        let mut cells = [Cell::Null; 3];
        let ours = tree.read(&text, &mut cells);
        match serde_json::from_str::<Value>(&text) {
            Err(e) if e.to_string().contains("out of range") => {}
            Ok(value @ Value::Object(_)) => {
                prop_assert!(ours.is_ok(), "{text}: {ours:?}");
                let wanted = [value.pointer("/a"), value.pointer("/b/a"), value.pointer("/b/0")];
                for (cell, wanted) in cells.into_iter().zip(wanted) {
                    let mut column = arrow::array::StringBuilder::new();
                    cell.append(&mut column);
                    let column = column.finish();
                    let found = column.iter().next().flatten();
                    match wanted {
                        None | Some(Value::Null) => prop_assert_eq!(found, None),
                        Some(Value::String(text)) => prop_assert_eq!(found, Some(text.as_str())),
                        Some(other) => prop_assert_eq!(&serde_json::from_str::<Value>(found.unwrap()).unwrap(), other),
                    }
                }
            }
            _ => prop_assert!(ours.is_err(), "{text}"),
        }
    }
}

proptest! {
    // Each case compiles its patterns.
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_row_law_holds_for_any_text(
        lines in prop::collection::vec(prop::option::of("[ -~\\t\"=\\\\{}:éא]{0,24}"), 0..8),
    ) {
        let lines: Vec<Option<&str>> = lines.iter().map(|line| line.as_deref()).collect();
        for format in [
            r#"Json(paths: {"b": "/a/b"}), schema: {"a": Utf8, "b": Int64}"#,
            r#"Logfmt, schema: {"a": Utf8, "b": Int64}"#,
            r#"Regex("(?P<a>[a-m]+)=?(?P<b>.*)"), schema: {"a": Utf8, "b": Int64}"#,
            r#"Grok("%{WORD:a}%{SPACE}%{GREEDYDATA:b}")"#,
        ] {
            for on_error in ["Reject", "Null", "Drop"] {
                let config = format!("(column: \"line\", format: {format}, on_error: {on_error})");
                Case::<ParseLog>::new(&config).batch(batch(&lines)).run();
            }
        }
    }
}
