//! Typed config out of text: what is accepted, and what is said about what is not.

use crate::{FileId, Problem, Secret, Span, Spanned, Value, ValueKind, from_value, parse};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

fn tree(text: &str) -> Value {
    parse(FileId(0), text).unwrap_or_else(|p| panic!("{text}: {p}"))
}

#[track_caller]
fn check<T: DeserializeOwned + PartialEq + Debug>(text: &str, expected: T) {
    assert_eq!(from_value::<T>(&tree(text)), Ok(expected), "{text}");
}

/// The problem of reading `text` as a `T`, as `marked text: message (help)`.
#[track_caller]
fn wrong<T: DeserializeOwned + Debug>(text: &str, expected: &str) {
    let problem: Problem = from_value::<T>(&tree(text)).expect_err(text);
    let span = problem.span.expect("a place");
    assert_eq!(format!("{}: {problem}", &text[span.start as usize..span.end as usize]), expected, "{text}");
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    #[serde(default)]
    limit: Option<u16>,
    #[serde(default)]
    edits: Vec<Edit>,
    #[serde(default)]
    keep: Keep,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Edit {
    Drop(Vec<String>),
    Rename(String, String),
    Cast {
        column: String,
        to: Type,
        #[serde(default)]
        strict: bool,
    },
    Add(String, #[serde(default)] Options),
}

#[derive(Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    nullable: bool,
}

#[derive(Debug, PartialEq, Clone, Copy, Deserialize)]
enum Type {
    Int32,
    Utf8,
}

#[derive(Debug, PartialEq, Default, Deserialize)]
enum Keep {
    #[default]
    First,
    Last {
        by: Option<String>,
    },
    None,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Meters(f64);

#[derive(Debug, PartialEq, Deserialize)]
struct Nothing;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Spanned<String>),
    Many(Vec<Spanned<String>>),
}

fn config(edits: Vec<Edit>) -> Config {
    Config { name: "x".into(), limit: None, edits, keep: Keep::First }
}

#[test]
fn structs_and_enums() {
    check("Config(name: \"x\")", config(vec![]));
    check("(name: \"x\")", config(vec![]));
    check("{\"name\": \"x\"}", config(vec![]));
    for limit in ["5", "Some(5)"] {
        check(&format!("(name: \"x\", limit: {limit})"), Config { limit: Some(5), ..config(vec![]) });
    }
    check(
        "(name: \"x\", keep: Last(by: \"t\"))",
        Config { keep: Keep::Last { by: Some("t".into()) }, ..config(vec![]) },
    );
    check("(name: \"x\", keep: Last(\"t\"))", Config { keep: Keep::Last { by: Some("t".into()) }, ..config(vec![]) });
    check("(name: \"x\", keep: Last)", Config { keep: Keep::Last { by: None }, ..config(vec![]) });
    check("(name: \"x\", keep: \"First\")", config(vec![]));
    check("(name: \"x\", keep: None)", Config { keep: Keep::None, ..config(vec![]) });
    let cast = |strict| Edit::Cast { column: "q".into(), to: Type::Int32, strict };
    check(
        "[Drop([\"a\"]), Rename(\"a\", \"b\")]",
        vec![Edit::Drop(vec!["a".into()]), Edit::Rename("a".into(), "b".into())],
    );
    check("Cast(column: \"q\", to: Int32)", cast(false));
    check("Cast(\"q\", Int32)", cast(false));
    check("Cast(\"q\", Int32, strict: true)", cast(true));
    check("Cast(\"q\", to: Int32)", cast(false));
    check("Add(\"q\")", Edit::Add("q".into(), Options::default()));
    check("Add(\"q\", nullable: true)", Edit::Add("q".into(), Options { nullable: true }));
}

#[test]
fn scalars_and_collections() {
    check("255", 255u8);
    check("-1", -1i128);
    check("1", 1.0f64);
    check("'a'", 'a');
    check("\",\"", ',');
    check("Meters(2.5)", Meters(2.5));
    check("2", Meters(2.0));
    check("(1, \"a\")", (1, "a".to_string()));
    check("[1, 2]", [1, 2]);
    check("{1: \"a\"}", BTreeMap::from([(1, "a".to_string())]));
    check("(a: 1)", BTreeMap::from([("a".to_string(), 1)]));
    check("None", None::<u8>);
    check("()", ());
    check("Nothing()", Nothing);
    check("Nothing", Nothing);
    check("Type(Int32)", serde_json::json!({"Type": "Int32"}));
    check("(a: [1, 2.5], b: None)", serde_json::json!({"a": [1, 2.5], "b": null}));
}

/// The deepest document that parses also deserialises, in a test's small stack.
#[test]
fn deep_documents() {
    let text = format!("{}{}", "[".repeat(128), "]".repeat(128));
    assert_eq!(from_value::<serde_json::Value>(&tree(&text)).expect("lists").to_string(), text);
    assert!(from_value::<OneOrMany>(&tree(&text)).is_err());
}

#[test]
fn places() {
    let value = tree("[\"a\", \"bc\"]");
    let read: Vec<Spanned<String>> = from_value(&value).expect("strings");
    assert_eq!(read.iter().map(|s| (s.span.start, s.span.end)).collect::<Vec<_>>(), [(1, 4), (6, 10)]);
    let read: Vec<Option<Spanned<String>>> = from_value(&value).expect("strings");
    assert_eq!(read.iter().flatten().map(|s| s.span.start).collect::<Vec<_>>(), [1, 6]);
    // Through serde's buffer the place is that of the whole value.
    let OneOrMany::Many(read) = from_value(&value).expect("strings") else { panic!("one") };
    assert_eq!((read[1].span.start, read[1].span.end), (0, 11));
    let map: BTreeMap<Spanned<String>, Spanned<u8>> = from_value(&tree("(key: 7)")).expect("a map");
    let (key, seven) = map.iter().next().expect("an entry");
    assert_eq!((key.span.start, key.span.end, seven.span.start), (1, 4, 6));
}

#[test]
fn mistakes() {
    wrong::<u8>("300", "300: expected an integer from 0 to 255, found 300");
    wrong::<u32>("-1", "-1: expected an integer from 0 to 4294967295, found -1");
    wrong::<i32>("1.0", "1.0: expected an integer, found the float 1.0");
    wrong::<String>("abc", "abc: expected a string, found the name abc (put it in quotes: \"abc\")");
    wrong::<Vec<String>>(
        "\"sku\"",
        "\"sku\": expected a list, found the string \"sku\" (a list has square brackets: [\"sku\"])",
    );
    wrong::<Vec<u8>>("(1, 2)", "(1, 2): expected a list, found a tuple (a list has square brackets: [1, 2])");
    wrong::<(u8, u8)>("(1, 2, 3)", "(1, 2, 3): expected 2 values, found 3 values");
    wrong::<(u8, u8)>("(1,)", "(1,): expected 2 values, found 1");
    wrong::<Config>("C(nam: \"x\")", "nam: no field named `nam` (did you mean `name`?)");
    wrong::<Config>("C(limit: 1)", "C: `C` has no field `name` (add `name: …`)");
    wrong::<Config>("(limit: 1)", "(limit: 1): missing field `name` (add `name: …`)");
    wrong::<Config>(
        "C(name: \"x\", limit: 70000)",
        "70000: expected an integer from 0 to 65535, found 70000 in field `limit`",
    );
    wrong::<Config>("C(name: \"x\", keep: Lst)", "Lst: no variant named `Lst` in field `keep` (did you mean `Last`?)");
    wrong::<Config>(
        "C(name: \"x\", edits: [Drop([\"a\"]), Cast(\"q\", Int23)])",
        "Int23: no variant named `Int23` in field `edits[1].to` (did you mean `Int32`?)",
    );
    wrong::<Config>(
        "C(name: \"x\", edits: [Rename(\"a\")])",
        "Rename(\"a\"): expected 2 values, found 1 in field `edits[0]`",
    );
    wrong::<Config>(
        "C(name: \"x\", edits: [Drop])",
        "Drop: expected a value in `Drop(…)`, found the name Drop in field `edits[0]` (write Drop(…))",
    );
    wrong::<Config>(
        "C(name: \"x\", edits: [5])",
        "5: expected `Drop`, `Rename`, `Cast` or `Add`, found the integer 5 in field `edits[0]`",
    );
    wrong::<Config>(
        "C(name: \"x\", keep: First(1))",
        "First(1): expected `First` alone, found the tuple First(…) in field `keep`",
    );
    wrong::<Config>(
        "5",
        "5: expected named fields, found the integer 5 (write (name: …, limit: …, edits: …, keep: …))",
    );
    wrong::<Config>("C(\"x\", limit: 1)", "\"x\": expected `name: value`, found the string \"x\"");
    wrong::<Config>("{1: 2}", "1: expected a field's name in quotes, found the integer 1");
    wrong::<Edit>("Cast(\"q\", Int32, true, 4)", "4: expected at most 3 values, found 4 or more");
    wrong::<Edit>(
        "Add(\"q\", nulable: true)",
        "nulable: no field named `nulable` in field `[1]` (did you mean `nullable`?)",
    );
    wrong::<BTreeMap<String, u8>>("{\"a\": \"b\"}", "\"b\": expected an integer, found the string \"b\" in field `a`");
    wrong::<OneOrMany>("5", "5: data did not match any variant of untagged enum OneOrMany");
}

/// A type that repeats what it refuses, as many do.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Loud;

impl TryFrom<String> for Loud {
    type Error = String;
    fn try_from(text: String) -> Result<Loud, String> {
        Err(format!("{text} is not welcome"))
    }
}

#[test]
fn secrets_give_their_text_and_stay_out_of_messages() {
    let secret = Value { span: Span::default(), kind: ValueKind::Secret(Secret::new("hunter2".into())) };
    assert_eq!(from_value::<String>(&secret), Ok("hunter2".into()));
    assert_eq!(from_value::<Spanned<Option<String>>>(&secret).map(|s| s.value), Ok(Some("hunter2".into())));
    assert_eq!(from_value::<Loud>(&secret).expect_err("loud").message, "*** is not welcome");
    for problem in [
        from_value::<u8>(&secret).map(|_| ()),
        from_value::<Type>(&secret).map(|_| ()),
        from_value::<char>(&secret).map(|_| ()),
    ] {
        let shown = format!("{:?}", problem.expect_err("no such value"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
