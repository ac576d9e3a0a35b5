//! What parses to what, where it stands, and what is said about text that does not parse.

use crate::{FileId, Span, Value, ValueKind, parse, to_json};

fn read(text: &str) -> Value {
    parse(FileId(0), text).unwrap_or_else(|p| panic!("{text}: {p}"))
}

/// `text` reads as the value that prints as `expected`.
fn check(text: &str, expected: &str) {
    assert_eq!(read(text).to_string(), expected, "{text}");
}

/// All problems of `text`, each as `marked text: message (help)`.
fn wrong(text: &str, expected: &[&str]) {
    let problems = parse(FileId(0), text).expect_err(text).0;
    let found: Vec<String> = problems
        .iter()
        .map(|p| {
            let span = p.span.expect("a place");
            format!("{}: {p}", &text[span.start as usize..span.end as usize])
        })
        .collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn numbers() {
    for (text, expected) in [
        ("42", "42"),
        ("-1_000", "-1000"),
        ("+7", "7"),
        ("0xFF", "255"),
        ("-0x1f", "-31"),
        ("0o17u8", "15"),
        ("0b1010_1010", "170"),
        ("255u8", "255"),
        ("-128i8", "-128"),
        ("170141183460469231731687303715884105727", "170141183460469231731687303715884105727"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1.", "1.0"),
        ("1e3", "1000.0"),
        ("1_0.2_5e-1_0", "1.025e-9"),
        ("1f32", "1.0"),
        ("1_e_+_2", "100.0"),
        ("2.5f64", "2.5"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("NaN", "NaN"),
        ("inff64", "inf"),
        ("b'a'", "97"),
        ("b'\\xff'", "255"),
        ("1..5", "(start: 1, end: 5)"),
        ("1..=5.5", "(start: 1, end: 5.5)"),
        ("3..", "(start: 3)"),
        ("..-4", "(end: -4)"),
        ("..", "()"),
    ] {
        check(text, expected);
    }
}

#[test]
fn texts() {
    for (text, expected) in [
        (r#""a\n\t\"\\\u{e9}\x41""#, r#""a\n\t\"\\éA""#),
        (r#""\xc3\xa9""#, "\"é\""),
        ("\"a \\\n   b\"", "\"a b\""),
        ("\"a\nb\"", "\"a\\nb\""),
        ("r\"\\n\"", r#""\\n""#),
        ("r##\"a\"# b\"##", r##""a\"# b""##),
        ("'x'", "'x'"),
        (r"'\''", r"'\''"),
        ("'''", r"'\''"),
        (r"'\u{1F600}'", "'😀'"),
        (r#"b"a\xff\0""#, r#"b"a\xff\x00""#),
        ("br#\"\\\"#", r#"b"\\""#),
    ] {
        check(text, expected);
    }
}

#[test]
fn structures() {
    for (text, expected) in [
        ("// c\n/* a /* b */ c */ true // end", "true"),
        ("#![enable(implicit_some, unwrap_newtypes,)] #![type = \"x\"] 1", "1"),
        ("\u{feff}1", "1"),
        ("()", "()"),
        ("( )", "()"),
        ("Name()", "Name()"),
        ("Name", "Name"),
        ("r#a-b.c", "r#a-b.c"),
        ("r#true", "r#true"),
        ("Some(1,)", "Some(1)"),
        ("Some (None)", "Some(None)"),
        ("Some(a: 1)", "Some((a: 1))"),
        ("Some((1, 2))", "Some((1, 2))"),
        ("[1, [], (2,),]", "[1, [], (2)]"),
        ("{ \"a\": 1, 2: B(3), }", "{\"a\": 1, 2: B(3)}"),
        ("P(x: 1, r#type: (y: 2))", "P(x: 1, type: (y: 2))"),
        ("(inf: 1, None: 2)", "(inf: 1, None: 2)"),
        ("Cast(\"qty\", Int32, on_error: Null)", "Cast(\"qty\", Int32, on_error: Null)"),
    ] {
        check(text, expected);
        check(expected, expected);
    }
}

#[test]
fn spans() {
    let text = "Graph(\n  name: \"é\", nodes: {\"a\": [1, -2]})";
    let value = read(text);
    let at = |s: Span| &text[s.start as usize..s.end as usize];
    assert_eq!(at(value.span), text);
    let ValueKind::Struct { name_span, fields, .. } = &value.kind else { panic!("{value:?}") };
    assert_eq!(at(*name_span), "Graph");
    assert_eq!(fields.iter().map(|f| at(f.name_span)).collect::<Vec<_>>(), ["name", "nodes"]);
    assert_eq!(fields.iter().map(|f| at(f.value.span)).collect::<Vec<_>>(), ["\"é\"", "{\"a\": [1, -2]}"]);
    let ValueKind::Map(entries) = &fields[1].value.kind else { panic!("{value:?}") };
    assert_eq!(at(entries[0].0.span), "\"a\"");
    let ValueKind::List(items) = &entries[0].1.kind else { panic!("{value:?}") };
    assert_eq!(items.iter().map(|i| at(i.span)).collect::<Vec<_>>(), ["1", "-2"]);
}

#[test]
fn mistakes() {
    wrong("", &[": expected a value, found the end of the text"]);
    wrong("[1 2, 3", &["[: `[` is never closed (expected `]` before the end of the text)"]);
    wrong("[1 2, 3]", &["2: expected `,` or `]`, found a number (put a comma before it)"]);
    wrong(
        "[1; 2; 3]",
        &[
            ";: expected `,` or `]`, found `;` (items are separated by commas)",
            ";: expected `,` or `]`, found `;` (items are separated by commas)",
        ],
    );
    wrong(
        "(a = 1, b => 2)",
        &[
            "=: expected `:` after a field's name, found `=` (write `name: value`)",
            "=>: expected `:` after a field's name, found `=>` (write `name: value`)",
        ],
    );
    wrong(
        "(\"a\": 1, \"b\": 2)",
        &["\"a\": expected a field's name before the `:`, found a string (field names have no quotes: a: …)"],
    );
    wrong("[a: 1, b: 2]", &[":: expected `,` or `]`, found `:` (a list has no keys; a map is {key: value, …})"]);
    wrong("{1, 2: 3}", &[",: expected `:` and a value after the key, found `,` (a map is {key: value, …})"]);
    wrong(
        "'abc'",
        &["'abc': expected one character between single quotes (a string is written in double quotes: \"abc\")"],
    );
    wrong("(a: , b: 1)", &[",: expected the value of `a`, found `,`"]);
    wrong("(a: 1, a: 2)", &["a: the field `a` is here twice (remove one of the two)"]);
    wrong("{\"a\": 1, \"a\": 2}", &["\"a\": the key \"a\" is here twice (remove one of the two)"]);
    wrong("[1, 2)]", &["): `)` closes nothing (remove it)"]);
    wrong("(a: [1, 2, b: 3)", &["[: `[` is never closed (expected `]` before the `)` of line 1)"]);
    wrong("(1) 2", &["2: expected the end of the text, found a number (a document is one value)"]);
    wrong("[,, 1]", &[",: expected a value or `]`, found `,`"]);
    wrong(
        "(a: 1, 2, b: 3)",
        &["2: expected `name: value`, found a number (after the first named field, all are named)"],
    );
    wrong(
        "Some",
        &[": expected `(` after `Some`, found the end of the text (write `Some(value)`, or the value alone)"],
    );
    wrong(
        "#![enable(implicit_sum)] 1",
        &["implicit_sum: no extension of RON named `implicit_sum` (did you mean `implicit_some`?)"],
    );
    wrong(
        "[300u8, 0b12, 1x, 1.2.3, -, 0x, 1e]",
        &[
            "300u8: the number is out of range, expected 0 to 255",
            "0b12: `2` is no digit of a number in base 2",
            "1x: `1x` is no number",
            "1.2.3: `1.2.3` is no number",
            "-: expected digits after `-`",
            "0x: expected a digit at the start of the number `0x`",
            "1e: `1e` is no number",
        ],
    );
    wrong(
        r#"["a\qb", "\u{d800}", 'a]"#,
        &[
            "\\q: `\\q` is no escape (escapes are \\n \\r \\t \\0 \\\\ \\\" \\' \\x41 \\u{1F600}; a backslash itself is \\\\)",
            "\\u{d800}: `\\u{d800}` is no escape (escapes are \\n \\r \\t \\0 \\\\ \\\" \\' \\x41 \\u{1F600}; a backslash itself is \\\\)",
            "'a: expected one character and a closing single quote (a string is written in double quotes)",
        ],
    );
    wrong("(a-b: 1)", &["a-b: `a-b` is not a plain name (write `r#a-b`, or quote a string)"]);
}

/// One missing quote or bracket is one problem, and the place is where it is missing.
#[test]
fn missing_ends() {
    wrong("(\n a: \"x,\n b: \"y\",\n c: 1 2,\n)", &["\"x,: this string is never closed (close it with `\"`)"]);
    wrong("(a: \"SELECT\n1\", b: \"y)", &["\": this string is never closed (close it with `\"`)"]);
    wrong("(a: 1, /* b )", &["/*: this comment is never closed (close it with `*/`)"]);
    wrong("(a: r#\"x\")", &["r#\": this raw string is never closed (close it with `\"#`)"]);
    wrong(
        "Graph(nodes: {\n \"a\": Table(x: 1,\n \"b\": Files(y: 2),\n })",
        &["(: `(` is never closed (expected `)` before the `}` of line 4)"],
    );
    wrong(
        "(a: [1 2], b = 3, c: (d: 4]",
        &[
            "2: expected `,` or `]`, found a number (put a comma before it)",
            "=: expected `:` after a field's name, found `=` (write `name: value`)",
            "(: `(` is never closed (expected `)` before the end of the text)",
        ],
    );
}

#[test]
fn deep_nesting_is_a_problem() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    read(&nested(128));
    for text in
        [nested(129), "[".repeat(1_000_000), "Some(".repeat(1_000_000), "{(".repeat(500_000), "a(b:".repeat(500_000)]
    {
        let problems = parse(FileId(0), &text).expect_err("too deep").0;
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "nested deeper than 128 levels");
    }
    for text in ["'a b ".repeat(200_000), "[(]".repeat(300_000), "[".to_string() + &"[(],".repeat(300_000)] {
        parse(FileId(0), &text).expect_err("wrong");
    }
    for text in [
        "[),".repeat(300_000),
        "),".repeat(300_000),
        "[1 ".to_string() + &") ] , ; ".repeat(200_000),
        "a:=;".repeat(300_000),
    ] {
        parse(FileId(0), &text).expect_err("wrong");
    }
}

#[test]
fn secrets_do_not_show() {
    let secret = Value { span: Span::default(), kind: ValueKind::Secret(crate::Secret::new("hunter2".into())) };
    let value = Value { span: Span::default(), kind: ValueKind::List(vec![secret]) };
    for shown in [value.to_string(), format!("{value:?}"), to_json(&value).to_string()] {
        assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn json() {
    let value = read(
        "G(a: [1, 2.5, Name, inf], b: {\"k\": Some('c'), 2: None}, c: Upsert([\"x\"]), d: R(1, 2), e: F(format: Csv))",
    );
    assert_eq!(
        to_json(&value).to_string(),
        r#"{"G":{"a":[1,2.5,"Name","inf"],"b":{"k":"c","2":null},"c":{"Upsert":["x"]},"d":{"R":[1,2]},"e":{"F":{"format":"Csv"}}}}"#
    );
}
